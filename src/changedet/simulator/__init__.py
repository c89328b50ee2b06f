"""The scene simulator: scenery, ground, atmosphere, acquisition, files."""
