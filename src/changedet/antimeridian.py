"""Outlines across the antimeridian: in two parts, round the globe, or past 180 degrees; one form inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.coordinates import GeoPoint
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

#: What spans more of the globe than this runs the other way round it.
HALF_TURN_DEG = 180.0
#: A box with west > east is taken to cross the antimeridian up to this width, and for a slip beyond.
WIDEST_CROSSING_DEG = 10.0
#: No granule is as wide as this, in degrees.
_WIDEST_GRANULE_DEG = 90.0


def box_outline(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """Return the outline of a bounding box in degrees.

    Parameters
    ----------
    west, south, east, north : float
        Longitudes west and east, latitudes south and north. A west above east means a box that runs eastward
        across the antimeridian, as in RFC 7946, section 5.2.

    Returns
    -------
    shapely geometry
        In one piece; across the antimeridian its eastern edge lies beyond 180 degrees.

    Raises
    ------
    UsageError
        When it is empty, or would cross the antimeridian and be wider than 10 degrees.
    CoordinateError
        When it is out of range, or looks like swapped latitude and longitude.
    """
    from shapely.geometry import box

    crosses = west > east
    width_deg = east - west + 360 * crosses
    if not (width_deg > 0 and south < north) or (crosses and width_deg > WIDEST_CROSSING_DEG):
        across = f", and across the antimeridian {width_deg:g} degrees wide" if crosses else ""
        raise UsageError(
            f"box {west:g},{south:g},{east:g},{north:g} is empty{across}",
            todo="give W,S,E,N with west < east and south < north; only a box across the antimeridian has "
            f"west > east, and may be {WIDEST_CROSSING_DEG:g} degrees wide",
        )
    GeoPoint(south, west), GeoPoint(north, east)  # out of range is an error here, not later
    return box(west, south, west + width_deg, north)


def unwrapped(outline: BaseGeometry, centre_deg: float) -> BaseGeometry:
    """Bring every longitude within 180 degrees of a centre, so that no outline spans the globe.

    Parameters
    ----------
    outline : shapely geometry
        In longitude and latitude.
    centre_deg : float
        A longitude near the middle of the outline.

    Returns
    -------
    shapely geometry
        The same place; longitudes may lie beyond 180 degrees.
    """
    import shapely

    return shapely.transform(outline, lambda xy: xy - ((xy[:, :1] - centre_deg) / 360).round() * [360.0, 0.0])


def continuous(outline: BaseGeometry) -> BaseGeometry:
    """Return an outline in one piece, with longitudes that run on past 180 degrees where it crosses there.

    Parameters
    ----------
    outline : shapely geometry
        In longitude and latitude. Across the antimeridian it may be cut in parts on both sides (as RFC 7946
        asks), be a ring that leaps from 180 to -180 degrees, or run on already.

    Returns
    -------
    shapely geometry
        The same place. What is less than half the globe wide comes back as it is.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> parts = box(179.5, -17, 180, -16).union(box(-180, -17, -179.5, -16))
    >>> continuous(parts).bounds
    (179.5, -17.0, 180.5, -16.0)
    """
    import shapely

    west, _, east, _ = outline.bounds
    if not east - west > HALF_TURN_DEG:
        return outline
    return shapely.union_all([shapely.make_valid(unwrapped(outline, HALF_TURN_DEG))])


def near(outline: BaseGeometry, centre_deg: float) -> BaseGeometry:
    """Return an outline turned by whole turns of the globe so that its middle is near a longitude."""
    from shapely.affinity import translate

    west, _, east, _ = outline.bounds
    turns = round((centre_deg - (west + east) / 2) / 360)
    return translate(outline, 360.0 * turns) if turns else outline


def footprint_outline(footprint: Mapping[str, Any]) -> BaseGeometry | None:
    """Return the footprint of a granule as a valid outline in one piece.

    Parameters
    ----------
    footprint : mapping
        GeoJSON in longitude and latitude; rings may be drawn either way round.

    Returns
    -------
    shapely geometry or None
        None without a footprint, or where it is far wider than any granule or off the globe.
    """
    import shapely
    from shapely.geometry import shape

    if not footprint:
        return None
    # numbers that are none, or too large, become NaN on the way: the next lines see them
    with np.errstate(invalid="ignore", over="ignore"):
        drawn = shape(dict(footprint))
    if not _on_the_globe(drawn):
        return None
    outline = shapely.make_valid(continuous(drawn))
    west, _, east, _ = outline.bounds
    return outline if east - west <= _WIDEST_GRANULE_DEG else None


def _on_the_globe(outline: BaseGeometry) -> bool:
    """Say whether an outline has longitudes and latitudes; those past 180 degrees run on from there."""
    import shapely

    places = np.abs(shapely.get_coordinates(outline))
    # NaN is not at most anything
    return bool((places <= (540.0, 90.0)).all())


def footprint_on(footprint: Mapping[str, Any], grid: GeoBox) -> BaseGeometry | None:
    """Return the footprint of a granule as a valid outline in the reference system of a grid.

    Parameters
    ----------
    footprint : mapping
        As `footprint_outline` takes it.
    grid : GeoBox
        With a reference system.

    Returns
    -------
    shapely geometry or None
        None when the footprint says nothing.
    """
    import shapely
    from odc.geo.geom import Geometry

    from changedet.resample import crs_of

    stated, crs = footprint_outline(footprint), crs_of(grid)
    if stated is None:
        return None
    if crs.geographic:
        stated = near(stated, float(grid.extent.geom.centroid.x))
    return shapely.make_valid(Geometry(stated, "EPSG:4326").to_crs(crs).geom)


def promised_share(footprints: Iterable[Mapping[str, Any]], grid: GeoBox) -> float:
    """Return the share of a grid inside footprints, 0..1.

    Parameters
    ----------
    footprints : iterable of mapping
        As `footprint_outline` takes them; those that say nothing promise nothing.
    grid : GeoBox
        With a reference system.

    Returns
    -------
    float
        0 when nothing is known.
    """
    import shapely

    outlines = [one for footprint in footprints if (one := footprint_on(footprint, grid)) is not None]
    ground = grid.extent.geom
    return float(shapely.union_all(outlines).intersection(ground).area / ground.area)


def within_globe(outline: BaseGeometry) -> BaseGeometry:
    """Return an outline within -180 and 180 degrees, in two parts where it crosses the antimeridian.

    Parameters
    ----------
    outline : shapely geometry
        In longitude and latitude, in one piece, see `continuous`.

    Returns
    -------
    shapely geometry
        As catalogues and GeoJSON want it.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> sorted(part.bounds for part in within_globe(box(179.5, -17, 180.5, -16)).geoms)
    [(-180.0, -17.0, -179.5, -16.0), (179.5, -17.0, 180.0, -16.0)]
    """
    import shapely
    from shapely.affinity import translate
    from shapely.geometry import box

    globe = box(-180, -90, 180, 90)
    west, _, east, _ = outline.bounds
    if west >= -180 and east <= 180:
        return outline
    turned = [translate(outline, turn).intersection(globe) for turn in (-360, 0, 360)]
    return shapely.union_all([part for part in turned if part.area > 0])
