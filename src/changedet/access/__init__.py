"""From a site and two periods to scenes that can be compared: search, look, choose, fetch."""
