"""Writers of the run folder: rasters, vectors, KMZ, plates and the report."""
