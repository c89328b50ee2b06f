"""From one pixel grid to another: every band of every source passes through here exactly once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.errors import CrsMismatchError

if TYPE_CHECKING:
    from affine import Affine
    from numpy.typing import NDArray
    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox

Method = Literal["cubic", "nearest", "bilinear", "average"]

#: Two grids count as aligned when their pixels lie this close together, in pixels.
ALIGNED_WITHIN_PX = 1e-3
#: Largest error of the map projection while resampling, in pixels; GDAL's own default (0.125) is as large
#: as the misregistration that a comparison has to measure.
PROJECTION_TOLERANCE_PX = 0.01
#: Pixels around the target that the widest kernel (cubic) reaches, plus one.
_MARGIN_PX = 4
_EDGE_POINTS = 17


def resample(
    array: NDArray[Any], source: GeoBox, target: GeoBox, *, method: Method = "cubic"
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Put a plane of pixels onto another grid.

    When the target is aligned with the source (same reference system and resolution, displaced by whole
    pixels) the numbers are copied, not interpolated.

    Parameters
    ----------
    array : ndarray, shape (y, x)
        float32 with NaN = no data, or uint8 classes with 0 = no data. Other floating types are converted to
        float32.
    source : GeoBox
        Grid of `array`.
    target : GeoBox
        Grid wanted; it may be displaced by a fraction of a pixel, have another resolution or lie in another
        reference system.
    method : {"cubic", "nearest", "bilinear", "average"}
        Kernel for float32; uint8 classes are always taken from the nearest pixel.

    Returns
    -------
    ndarray, shape of the target
        float32 (NaN outside the source and wherever the nearest source pixel is NaN) or uint8 (0 there).

    Raises
    ------
    ValueError
        When the shape of `array` is not the shape of `source`, or its type is neither float nor uint8.

    Notes
    -----
    Cubic convolution: Keys 1981, doi:10.1109/TASSP.1981.1163711, as implemented in GDAL.
    """
    if array.shape != tuple(source.shape):
        message = f"array {array.shape} does not lie on a grid of {tuple(source.shape)} pixels"
        raise ValueError(message)
    if array.dtype == np.uint8:
        blank: NDArray[Any] = np.zeros(tuple(target.shape), np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
        blank = np.full(tuple(target.shape), np.nan, np.float32)
    else:
        message = f"pixels of type {array.dtype} are neither float32 nor uint8 classes"
        raise ValueError(message)
    shift = whole_pixel_shift(source, target)
    if shift is not None:
        return _paste(array, blank, shift)
    return _warp(array, source, target, blank, method)


def whole_pixel_shift(source: GeoBox, target: GeoBox) -> tuple[int, int] | None:
    """Return (row, column) of the target's corner in the source when the two grids are aligned, else None.

    Examples
    --------
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox.from_bbox((0, 0, 100, 100), "EPSG:32633", resolution=10)
    >>> whole_pixel_shift(grid, grid[2:, 3:]), whole_pixel_shift(grid, grid.translate_pix(0.5, 0))
    ((2, 3), None)
    """
    if source.crs != target.crs:
        return None
    step = ~source.transform * target.transform
    height, width = target.shape
    stretch_x = max(abs(step.a - 1), abs(step.d)) * width
    stretch_y = max(abs(step.e - 1), abs(step.b)) * height
    row, column = round(step.f), round(step.c)
    if max(stretch_x, stretch_y, abs(step.f - row), abs(step.c - column)) > ALIGNED_WITHIN_PX:
        return None
    return row, column


def source_window(source: GeoBox, target: GeoBox) -> tuple[slice, slice] | None:
    """Return the rows and columns of the source that the target needs, margin for the kernel included.

    Parameters
    ----------
    source, target : GeoBox
        Any two grids.

    Returns
    -------
    tuple of slice, or None
        (rows, columns) inside the source; None when the two do not overlap.
    """
    from pyproj import Transformer

    height, width = target.shape
    x_px, y_px = _edge(width, height)
    x, y = _apply(target.transform, x_px, y_px)
    if source.crs != target.crs:
        x, y = Transformer.from_crs(_wkt(target), _wkt(source), always_xy=True).transform(x, y)
    columns, rows = _apply(~source.transform, np.asarray(x), np.asarray(y))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    # a coarse target averages over many source pixels: the kernel widens with the ratio
    reach = (np.ptp(rows) / height, np.ptp(columns) / width)
    found = [
        _span(values, size, math.ceil(_MARGIN_PX * max(1.0, ratio)))
        for values, size, ratio in zip((rows, columns), source.shape, reach, strict=True)
    ]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def pixel_size_m(grid: GeoBox) -> tuple[float, float]:
    """Return the true size of a pixel on the ground at the centre of a grid.

    Parameters
    ----------
    grid : GeoBox
        In any reference system, projected or geographic.

    Returns
    -------
    tuple of float
        (row spacing, column spacing) in metres along the WGS 84 ellipsoid.

    Notes
    -----
    Geodesic distances: Karney 2013, doi:10.1007/s00190-012-0578-z.

    Examples
    --------
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox.from_bbox((10, 43, 10.1, 43.1), "EPSG:4326", resolution=0.0001)
    >>> [round(side, 2) for side in pixel_size_m(grid)]
    [11.11, 8.15]
    """
    from pyproj import Geod, Transformer

    height, width = grid.shape
    x_px = np.array([0.5, 0.5, 0.0, 1.0]) + (width - 1) / 2
    y_px = np.array([0.0, 1.0, 0.5, 0.5]) + (height - 1) / 2
    x, y = _apply(grid.transform, x_px, y_px)
    lon, lat = Transformer.from_crs(_wkt(grid), "EPSG:4326", always_xy=True).transform(x, y)
    _, _, sides = Geod(ellps="WGS84").inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    return float(sides[0]), float(sides[1])


def crs_of(grid: GeoBox) -> CRS:
    """Return the coordinate reference system of a grid.

    Parameters
    ----------
    grid : GeoBox
        Any grid.

    Returns
    -------
    odc.geo.crs.CRS
        Never None.

    Raises
    ------
    CrsMismatchError
        When the grid has none.
    """
    if grid.crs is None:
        raise CrsMismatchError("the pixel grid has no coordinate reference system", todo="assign one first")
    return grid.crs


def utm_grid(grid: GeoBox) -> GeoBox:
    """Return the site grid that covers a grid: UTM zone of its centre, 10 m, corners on multiples of 20 m.

    Parameters
    ----------
    grid : GeoBox
        In any reference system.

    Returns
    -------
    GeoBox
        `grid` itself when it is such a grid already.

    Raises
    ------
    UsageError
        Beyond 84 N or 80 S.
    """
    from changedet.site import GRID_RESOLUTION_M, GRID_SNAP_M, Site

    site = Site("", grid.extent.to_crs("EPSG:4326", resolution=_edge_step(grid)).geom)
    wanted = site.grid
    bounds = grid.boundingbox
    on_snap = all(float(v) % GRID_SNAP_M == 0 for v in bounds)
    step = grid.transform
    if grid.crs == wanted.crs and on_snap and (step.a, step.e) == (GRID_RESOLUTION_M, -GRID_RESOLUTION_M):
        return grid
    return wanted


def _apply(
    transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = transform
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _wkt(grid: GeoBox) -> str:
    return str(crs_of(grid).to_wkt())


def _edge_step(grid: GeoBox) -> float:
    height, width = grid.shape
    return float(max(height * abs(grid.transform.e), width * abs(grid.transform.a)) / _EDGE_POINTS)


def _edge(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    along = np.linspace(0.0, 1.0, _EDGE_POINTS)
    low, high = np.zeros_like(along), np.ones_like(along)
    x = np.concatenate([along, along, low, high]) * width
    y = np.concatenate([low, high, along, along]) * height
    return x, y


def _span(values: NDArray[np.float64], size: int, margin: int) -> slice | None:
    if values.max() <= 0 or values.min() >= size:
        return None
    first = max(math.floor(values.min()) - margin, 0)
    last = min(math.ceil(values.max()) + margin, size)
    return slice(first, last)


def _paste(array: NDArray[Any], blank: NDArray[Any], shift: tuple[int, int]) -> NDArray[Any]:
    into, taken = [], []
    for offset, size, wanted in zip(shift, array.shape, blank.shape, strict=True):
        first, last = max(offset, 0), max(min(offset + wanted, size), offset, 0)
        taken.append(slice(first, last))
        into.append(slice(first - offset, last - offset))
    blank[tuple(into)] = array[tuple(taken)]
    return blank


def _warp(
    array: NDArray[Any], source: GeoBox, target: GeoBox, blank: NDArray[Any], method: Method
) -> NDArray[Any]:
    from rasterio.crs import CRS
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    options: dict[str, Any] = {
        "src_transform": source.transform,
        "src_crs": CRS.from_wkt(_wkt(source)),
        "dst_transform": target.transform,
        "dst_crs": CRS.from_wkt(_wkt(target)),
        "tolerance": PROJECTION_TOLERANCE_PX,
    }
    if blank.dtype == np.uint8:
        reproject(array, blank, resampling=Resampling.nearest, src_nodata=0, dst_nodata=0, **options)
        return blank
    missing = np.isnan(array)
    gaps = method == "average" or bool(missing.any())
    # without gaps GDAL need not look for them, which is three times as fast; `blank` is NaN already
    nodata = {"src_nodata": np.nan, "dst_nodata": np.nan} if gaps else {"init_dest_nodata": False}
    reproject(array, blank, resampling=Resampling[method], **nodata, **options)
    if method != "average" and gaps:
        # the kernel fills small gaps from their neighbours; what was not observed stays so
        seen = np.zeros(blank.shape, np.uint8)
        reproject((~missing).astype(np.uint8), seen, resampling=Resampling.nearest, **options)
        blank[seen == 0] = np.nan
    return blank
