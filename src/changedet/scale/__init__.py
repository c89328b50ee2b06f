"""Large areas: within a fixed budget of memory, on all processors."""
