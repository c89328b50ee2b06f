"""Since when: the dates of a place as a series, what is usual there, and when it left that."""
