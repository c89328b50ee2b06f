"""Where a comparison takes place: its grid, the surroundings it learns from, and what belongs to the site."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from changedet.core.planes import new_plane
from changedet.errors import CrsMismatchError, NoOverlapError
from changedet.resample import crs_of, pixel_size_m
from changedet.site import utm_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from odc.geo.geom import Geometry

    from changedet.providers.local import Source
    from changedet.scene import Image
    from changedet.site import Site

#: A site is compared inside a window at least this wide, and at least this much wider on each side: what is
#: normal between two dates is learnt from the surroundings, or a change that fills a site would hide itself.
CONTEXT_WIDTH_M = 5000.0
CONTEXT_MARGIN_M = 500.0
#: No strip of an image that is narrower than this is left out at its edge.
_SLIVER_PX = 4


@dataclass(frozen=True, eq=False)
class Frame:
    """The grid of the results inside the grid of the computation.

    Attributes
    ----------
    grid : GeoBox
        Grid of every result.
    context : GeoBox
        Grid on which images are loaded and statistics are fitted; the same pixels, and more of them.
    window : tuple of slice
        Rows and columns of `grid` inside `context`.
    """

    grid: GeoBox
    context: GeoBox
    window: tuple[slice, slice]

    def crop(self, image: Image) -> Image:
        """Return an image on `context` cut to `grid`."""
        return replace(
            image,
            data=image.data[:, *self.window],
            valid=image.valid[self.window],
            classes=image.classes[self.window],
            grid=self.grid,
        )


def choose_frame(before: Source, after: Source, kind: Literal["before", "utm"], site: Site | None) -> Frame:
    """Choose the grid on which two sources are compared.

    Parameters
    ----------
    before, after : Source
        Not read yet.
    kind : {"before", "utm"}
        Pixels of the before image, or of the 10 m UTM grid.
    site : Site or None
        The results cover the whole site, also where it reaches beyond the images: that part is then not
        observed. The whole before image when None.

    Returns
    -------
    Frame
        The context is limited to the image, but for the site itself.

    Raises
    ------
    CrsMismatchError
        When the sources differ in coordinate system and the grid of the before image was asked for.
    NoOverlapError
        When the sources, or the site and the before image, share no ground.
    """
    if kind == "before" and before.grid.crs != after.grid.crs:
        raise CrsMismatchError(
            f"before is in {before.grid.crs} and after in {after.grid.crs}",
            where=f"{before.scene.id} and {after.scene.id}",
            todo="pass --grid utm to resample both onto one UTM grid",
        )
    whole = before.grid if kind == "before" else utm_grid(before.grid)
    if not whole.extent.intersects(after.grid.extent.to_crs(crs_of(whole))):
        raise NoOverlapError(
            "the two images do not overlap",
            where=f"{before.scene.id} and {after.scene.id}",
            todo="give two images of the same place",
        )
    return frame_in(whole, site)


def frame_in(whole: GeoBox, site: Site | None) -> Frame:
    """Choose the part of a grid in which a site is compared.

    Parameters
    ----------
    whole : GeoBox
        Grid on which images can be had.
    site : Site or None
        As in `choose_frame`; the whole grid when None.

    Returns
    -------
    Frame
        The context is limited to the grid, but for the site itself.

    Raises
    ------
    NoOverlapError
        When the site lies elsewhere.
    """
    if site is None:
        return Frame(whole, whole, (slice(0, whole.shape[0]), slice(0, whole.shape[1])))
    outline = site_outline(site, whole)
    if not whole.extent.intersects(outline):
        raise NoOverlapError(
            f"the site (centre {site.centroid.dd}) lies outside the before image ({_cover(whole)})",
            where=site.name,
            todo="check the coordinates: latitude first",
        )
    return _around(whole, whole.enclosing(outline))


def surroundings(grid: GeoBox, width_m: float | None = None, margin_m: float | None = None) -> GeoBox:
    """Return a site grid with enough ground round it to learn what is normal there.

    Parameters
    ----------
    grid : GeoBox
        The site grid, in metres.
    width_m : float, optional
        What is returned is at least so wide and high; `CONTEXT_WIDTH_M` when not given.
    margin_m : float, optional
        And reaches at least so far beyond the site on each side; `CONTEXT_MARGIN_M` when not given.

    Returns
    -------
    GeoBox
        The same pixels and more, as many on opposite sides; corners stay on multiples of 20 m.
    """
    step = abs(float(grid.resolution.x))
    width_m = CONTEXT_WIDTH_M if width_m is None else width_m
    margin_m = CONTEXT_MARGIN_M if margin_m is None else margin_m
    margins_m = [_margin_m(size * step, width_m, margin_m) for size in grid.shape]
    rows, columns = (2 * -(-round(margin / step) // 2) for margin in margins_m)
    return grid.pad(columns, rows)


def site_outline(site: Site, grid: GeoBox) -> Geometry:
    """Return the outline of a site in the coordinates of a grid, with its sides followed closely."""
    from odc.geo.geom import Geometry

    outline = Geometry(site.geometry, "EPSG:4326")
    box = outline.boundingbox
    step = max(box.span_x, box.span_y) / 64
    return outline.to_crs(crs_of(grid), resolution=step) if step > 0 else outline.to_crs(crs_of(grid))


def site_mask(site: Site | None, grid: GeoBox) -> NDArray[np.bool_]:
    """Return True for the pixels of a grid whose centre lies inside the site, shape (y, x)."""
    if site is None:
        return new_plane(tuple(grid.shape), bool, 1)
    from rasterio.features import geometry_mask

    shapes = [site_outline(site, grid).geom]
    return np.asarray(geometry_mask(shapes, tuple(grid.shape), grid.transform, invert=True), bool)


def displaced(grid: GeoBox, row_px: float, column_px: float) -> GeoBox:
    """Return the grid on which a source must be read so that its content moves by (row, column) pixels."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    return GeoBox(grid.shape, grid.affine * Affine.translation(-column_px, -row_px), grid.crs)


def _around(whole: GeoBox, wanted: GeoBox) -> Frame:
    """Put a window round the wanted grid, inside the image but for the wanted grid itself."""
    column, row = (round(v) for v in ~whole.affine * (wanted.affine.c, wanted.affine.f))
    steps = pixel_size_m(whole)
    rows = _widened(row, row + wanted.shape[0], whole.shape[0], steps[0])
    columns = _widened(column, column + wanted.shape[1], whole.shape[1], steps[1])
    context = _part(whole, rows, columns)
    window = (
        slice(row - rows[0], row - rows[0] + wanted.shape[0]),
        slice(column - columns[0], column - columns[0] + wanted.shape[1]),
    )
    return Frame(
        _part(whole, (row, row + wanted.shape[0]), (column, column + wanted.shape[1])), context, window
    )


def _widened(start: int, stop: int, length: int, step_m: float) -> tuple[int, int]:
    margin = int(np.ceil(_margin_m((stop - start) * step_m, CONTEXT_WIDTH_M, CONTEXT_MARGIN_M) / step_m))
    low, high = max(0, start - margin), min(length, stop + margin)
    # what was fetched for this site is then taken as it is, and found again when it is kept
    low, high = 0 if low <= _SLIVER_PX else low, length if high >= length - _SLIVER_PX else high
    return min(start, low), max(stop, high)


def _margin_m(length_m: float, width_m: float, least_m: float) -> float:
    return max(least_m, (width_m - length_m) / 2)


def _part(whole: GeoBox, rows: tuple[int, int], columns: tuple[int, int]) -> GeoBox:
    from affine import Affine
    from odc.geo.geobox import GeoBox

    shape = (rows[1] - rows[0], columns[1] - columns[0])
    return GeoBox(shape, whole.affine * Affine.translation(columns[0], rows[0]), whole.crs)


def _cover(grid: GeoBox) -> str:
    box = grid.extent.to_crs("EPSG:4326").boundingbox
    return f"latitude {box.bottom:.4f} to {box.top:.4f}, longitude {box.left:.4f} to {box.right:.4f}"
