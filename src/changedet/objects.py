"""From flagged pixels to objects: polygons with area, position, kind, confidence and evidence."""

from __future__ import annotations

#: Columns of the object table, in order, before ``geometry``. The same in every vector file.
COLUMNS: tuple[str, ...] = (
    "id",  # int, 1 = highest rank
    "kind",  # str, a label of changedet.kinds
    "score",  # float, 95th percentile of the score inside
    "score_mads",  # float, the same in robust standard deviations above the background median
    "confidence",  # str: low, medium, high
    "area_m2",  # float, true square metres on the ellipsoid
    "lat", "lon",  # float, centroid, degrees WGS 84
    "dms",  # str
    "mgrs",  # str, 10 m precision
    "first_seen",  # str, UTC time of the after image
    "last_seen_before",  # str, UTC time of the before image
    "evidence",  # str, the numbers that chose the kind, for a reader
    "warnings",  # str, empty when there is none
)  # fmt: skip
