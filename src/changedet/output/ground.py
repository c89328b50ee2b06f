"""Where a picture lies on the ground: true metres, positions, round scale bars and graticule ticks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.coordinates import GeoPoint
from changedet.resample import crs_of, has_place, pixel_size_m

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray
    from odc.geo.geobox import GeoBox


#: Share of an edge at either end that stays free of ticks, so that labels do not meet at a corner.
_CORNER = 0.05


def lonlat(
    grid: GeoBox, columns: ArrayLike, rows: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of positions in a grid.

    Parameters
    ----------
    grid : GeoBox
        Any grid with a coordinate reference system.
    columns, rows : array_like of float
        Pixel positions; (0, 0) is the outer corner of the first pixel. Broadcast against each other.

    Returns
    -------
    longitude, latitude : ndarray of float64
        Degrees on WGS 84.

    Raises
    ------
    CrsMismatchError
        When the grid has no coordinate reference system.
    """
    from odc.geo.crs import CRS

    columns, rows = np.broadcast_arrays(np.asarray(columns, float), np.asarray(rows, float))
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    longitude, latitude = crs_of(grid).transformer_to_crs(CRS("EPSG:4326"))(x, y)
    return np.asarray(longitude, float), np.asarray(latitude, float)


def place_texts(point: GeoPoint | None) -> tuple[tuple[str, str], ...]:
    """Return a place in the ways in which it is written, with a label each; nothing of a place withheld.

    Examples
    --------
    >>> [text for _, text in place_texts(GeoPoint(38.5847, 126.1079))][::2]
    ['38.58470, 126.10790', '52SBH48087465']
    >>> place_texts(None)
    ()
    """
    if point is None:
        return ()
    return ("Decimal degrees", point.dd), ("Degrees", point.dms), ("MGRS", point.mgrs)


def point_of(row: Mapping[Any, Any]) -> GeoPoint | None:
    """Return the centre of an object, from a row of the object table; None where the place is withheld."""
    return None if math.isnan(float(row["lat"])) else GeoPoint(float(row["lat"]), float(row["lon"]))


def site_point(grid: GeoBox) -> GeoPoint | None:
    """Return the middle of a grid; None of one whose place is withheld."""
    return centre(grid) if has_place(grid) else None


def point_at(grid: GeoBox, column: float, row: float) -> GeoPoint:
    """Return the point on the ground at a position in a grid; (0, 0) is the outer corner."""
    longitude, latitude = lonlat(grid, column, row)
    return GeoPoint(float(latitude), (float(longitude) + 180) % 360 - 180)


def centre(grid: GeoBox) -> GeoPoint:
    """Return the point on the ground in the middle of a grid."""
    rows, columns = grid.shape
    return point_at(grid, columns / 2, rows / 2)


def corners(grid: GeoBox) -> tuple[GeoPoint, ...]:
    """Return where the outer corners of a grid lie: upper left, upper right, lower right, lower left."""
    rows, columns = grid.shape
    return tuple(point_at(grid, x, y) for x, y in ((0, 0), (columns, 0), (columns, rows), (0, rows)))


def north_deg(grid: GeoBox) -> float:
    """Return the direction of true north in the middle of a grid, in degrees clockwise from the top."""
    from odc.geo.crs import CRS

    height_m, width_m = pixel_size_m(grid)
    if not has_place(grid):
        # its rows of metres count northwards
        _, across, _, _, down, _ = tuple(~grid.transform)[:6]
        return math.degrees(math.atan2(across * width_m, -down * height_m))
    point = centre(grid)
    ahead = min(point.lat + 1e-4, 90.0)
    x, y = CRS("EPSG:4326").transformer_to_crs(crs_of(grid))(
        np.array([point.lon, point.lon]), np.array([point.lat, ahead])
    )
    columns, rows = ~grid.transform * (np.asarray(x), np.asarray(y))
    east, north = (columns[1] - columns[0]) * width_m, (rows[0] - rows[1]) * height_m
    return math.degrees(math.atan2(east, north))


def round_length_m(longest_m: float) -> float:
    """Return the longest round length (1, 2 or 5 times a power of ten) that is not above `longest_m`.

    Examples
    --------
    >>> round_length_m(370.0), round_length_m(1000.0), round_length_m(0.7)
    (200.0, 1000.0, 0.5)
    """
    power = 10.0 ** math.floor(math.log10(longest_m))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= longest_m * (1 + 1e-9))


def length_text(length_m: float) -> str:
    """Write a length in metres or kilometres.

    Examples
    --------
    >>> length_text(500.0), length_text(2000.0)
    ('500 m', '2 km')
    """
    return f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"


def edge_ticks(degrees: NDArray[np.float64], letters: str, most: int = 4) -> tuple[tuple[float, str], ...]:
    """Return round degrees along one edge of a picture.

    Parameters
    ----------
    degrees : ndarray of float64, shape (n,)
        Longitude or latitude at n equal steps along the edge.
    letters : str
        ``"EW"`` or ``"NS"``.
    most : int
        Largest number of ticks.

    Returns
    -------
    tuple of (float, str)
        Position along the edge, 0 to 1, and label, for example ``(0.25, "126.09°E")``.
    """
    along = np.linspace(0, 1, degrees.size)
    values = np.unwrap(degrees, period=360)
    if values[-1] < values[0]:
        values, along = values[::-1], along[::-1]
    low, high = float(values[0]), float(values[-1])
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return ()
    step = _round_step((high - low) / most)
    places = max(0, -math.floor(math.log10(step)))
    ticks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    positions = np.interp(ticks, values, along)
    return tuple(
        (float(p), _degree_label(float(t), letters, places))
        for p, t in zip(positions, ticks, strict=True)
        if _CORNER < p < 1 - _CORNER
    )


def _round_step(shortest: float) -> float:
    power = 10.0 ** math.floor(math.log10(shortest))
    return next((s * power for s in (1.0, 2.0, 5.0) if s * power >= shortest), 10 * power)


def _degree_label(value: float, letters: str, places: int) -> str:
    wrapped = (value + 180) % 360 - 180 if letters == "EW" else value
    shown = f"{abs(wrapped):.{places}f}"
    return f"{shown}°" if float(shown) in {0.0, 180.0} else f"{shown}°{letters[0 if wrapped > 0 else 1]}"
