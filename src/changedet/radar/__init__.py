"""Radar: its passes, what they say of a site, and how that goes with optical images."""
