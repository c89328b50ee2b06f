"""The vectorised NumPy core: arrays in, arrays out. No files, no coordinate systems, no logging."""
