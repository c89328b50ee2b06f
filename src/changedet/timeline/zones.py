"""The parts of a site that a timeline follows: all of it, a point, an object of an earlier run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.coordinates import parse_point
from changedet.errors import MissingInputError, NoOverlapError, UsageError
from changedet.frame import site_mask
from changedet.resample import crs_of
from changedet.timeline.evidence import Outline

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from changedet.site import Site

ZoneKind = Literal["site", "built-up", "point", "object"]
#: Side of the square round a point, in pixels.
POINT_PX = 3


@dataclass(frozen=True, eq=False)
class Zone:
    """Pixels that are followed together.

    Attributes
    ----------
    name : str
        As printed, such as ``"point 38.2721, 126.5013"``.
    kind : {"site", "built-up", "point", "object"}
        What it is.
    mask : ndarray of bool, shape (y, x)
        Its pixels.
    place : str
        Where it is, in words: coordinates, or the run folder and the object.
    """

    name: str
    kind: ZoneKind
    mask: NDArray[np.bool_]
    place: str = ""

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns that hold it."""
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    @property
    def outline(self) -> Outline:
        """Its form, where it is that of an object; unknown for a site, built-up ground and a point."""
        return Outline.of(self.mask) if self.kind == "object" else Outline()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {"name": self.name, "kind": self.kind, "place": self.place, "pixels": int(self.mask.sum())}


def site_zone(site: Site | None, grid: GeoBox) -> Zone:
    """Return the whole site, or the whole grid without one."""
    return Zone("whole site", "site", site_mask(site, grid))


def point_zone(text: str, grid: GeoBox) -> Zone:
    """Return the 3 x 3 pixels round a point.

    Parameters
    ----------
    text : str
        As `changedet.coordinates.parse_point` reads it.
    grid : GeoBox
        Of the results.

    Returns
    -------
    Zone

    Raises
    ------
    CoordinateError
        When the text is not a coordinate.
    NoOverlapError
        When the point lies outside the grid.
    """
    from odc.geo.geom import point as point_of

    found = parse_point(text)
    (x, y) = point_of(found.lon, found.lat, "EPSG:4326").to_crs(crs_of(grid)).coords[0]
    column, row = ~grid.affine * (x, y)
    if not (0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]):
        raise NoOverlapError(
            "the point lies outside the site", where=text, todo="check the coordinates: latitude first"
        )
    mask, half = np.zeros(tuple(grid.shape), bool), POINT_PX // 2
    top, left = max(int(row) - half, 0), max(int(column) - half, 0)
    mask[top : int(row) + half + 1, left : int(column) + half + 1] = True
    return Zone(f"point {found.lat:.5f}, {found.lon:.5f}", "point", mask, found.dd)


def object_zone(text: str, grid: GeoBox) -> Zone:
    """Return the pixels of an object of an earlier run.

    Parameters
    ----------
    text : str
        The run folder, a colon and the number of the object, such as ``"runs/pier:3"``.
    grid : GeoBox
        Of the results.

    Returns
    -------
    Zone

    Raises
    ------
    UsageError
        When it is not written so, or the run has no such object.
    NoOverlapError
        When the object lies outside the grid.
    InputFileError
        When the run folder cannot be read.
    """
    from changedet.output.vector import read_gpkg

    folder, _, number = text.rpartition(":")
    if not folder or not number.strip().isdigit():
        raise UsageError(
            "not an object", where=repr(text), todo="write it as RUNFOLDER:ID, such as runs/pier:3"
        )
    if not Path(folder).is_dir():
        raise MissingInputError("no such run folder", where=folder, todo="check the path before the colon")
    objects = read_gpkg(Path(folder) / "changes.gpkg")
    chosen = objects[objects["id"] == int(number)]
    if chosen.empty:
        known = ", ".join(str(one) for one in sorted(objects["id"])[:20]) or "none"
        raise UsageError(
            f"there is no object {number} (there are: {known})", where=folder, todo="choose another"
        )
    outline = chosen.to_crs(crs_of(grid).to_wkt()).geometry.iloc[0]
    return polygon_zone(f"object {number}", outline, grid, place=f"{folder}, object {number}")


def polygon_zone(name: str, outline: BaseGeometry, grid: GeoBox, *, place: str = "") -> Zone:
    """Return the pixels whose centre lies in a polygon; those it touches when it holds no centre.

    Parameters
    ----------
    name : str
        As printed.
    outline : shapely geometry
        In the coordinates of the grid.
    grid : GeoBox
        Of the results.
    place : str
        Where it is, in words.

    Returns
    -------
    Zone

    Raises
    ------
    NoOverlapError
        When it lies outside the grid.
    """
    from rasterio.features import geometry_mask

    for touched in (False, True):
        shape = tuple(grid.shape)
        mask = geometry_mask([outline], shape, grid.transform, invert=True, all_touched=touched)
        if mask.any():
            return Zone(name, "object", np.asarray(mask, bool), place)
    raise NoOverlapError("lies outside the site", where=name, todo="give the site that holds it")
