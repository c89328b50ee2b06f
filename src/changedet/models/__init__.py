"""Models that a user trains: grown, kept as numbers, asked."""
