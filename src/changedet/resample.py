"""From one pixel grid to another: every band of every source passes through here exactly once."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.errors import CrsMismatchError
from changedet.resample_warp import interpolated

if TYPE_CHECKING:
    from collections.abc import Callable

    from affine import Affine
    from numpy.typing import NDArray
    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox
    from pyproj import Transformer

    from changedet.core.displacement import DisplacementField
    from changedet.core.warping import Order, Positions

Method = Literal["cubic", "nearest", "bilinear", "average"]

#: Two grids count as aligned when their pixels lie this close together, in pixels.
ALIGNED_WITHIN_PX = 1e-3
#: Pixels around the target that the widest kernel (cubic) reaches, plus one.
_MARGIN_PX = 4
_EDGE_POINTS = 17
#: By so much the largest shift of a field may be larger than on the raster of points where it is sought.
_BETWEEN_SAMPLES_PX = 0.1
#: The reference systems are asked at points this many pixels apart.
_LATTICE_PX = 64
#: Pixels are smaller than others when it is by more than this: they are then averaged or smoothed before.
FINER = 1.25
#: Grids that are turned or stretched by less than this, in pixels a pixel, lie side by side.
_NO_TURN = 1e-9


def resample(
    array: NDArray[Any],
    source: GeoBox,
    target: GeoBox,
    *,
    method: Method = "cubic",
    displacement: DisplacementField | None = None,
    rows: slice | None = None,
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
    displacement : DisplacementField, optional
        On the target: moves the content in the same interpolation.
    rows : slice, optional
        Rows of the target that are wanted; all when left out.

    Returns
    -------
    ndarray, shape of the target, or of those rows
        float32 (NaN outside the source and wherever the nearest source pixel is NaN) or uint8 (0 there).

    Raises
    ------
    ValueError
        When the shape of `array` is not the shape of `source`, or its type is neither float nor uint8.

    Notes
    -----
    Cubic convolution: Keys 1981, doi:10.1109/TASSP.1981.1163711, as implemented in GDAL. With a displacement,
    OpenCV's sharper kernel, which puts smooth content up to a twentieth of a pixel aside; that is too much of
    pixels coarser than the target: through them goes a spline (Unser 1999, doi:10.1109/79.799930).
    """
    if array.shape != tuple(source.shape):
        message = f"array {array.shape} does not lie on a grid of {tuple(source.shape)} pixels"
        raise ValueError(message)
    part = target if rows is None else target[rows, :]
    if array.dtype == np.uint8:
        blank: NDArray[Any] = np.zeros(tuple(part.shape), np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
        blank = np.full(tuple(part.shape), np.nan, np.float32)
    else:
        message = f"pixels of type {array.dtype} are neither float32 nor uint8 classes"
        raise ValueError(message)
    if displacement is not None:
        return _displaced(array, source, target, displacement, rows)
    shift = whole_pixel_shift(source, part)
    if shift is not None:
        return paste(array, blank, shift)
    placed = [(grid.transform, _wkt(grid)) for grid in (source, part)]
    return interpolated(array, placed[0], placed[1], blank, method)


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


def source_window(
    source: GeoBox, target: GeoBox, displacement: DisplacementField | None = None
) -> tuple[slice, slice] | None:
    """Return the rows and columns of the source that the target needs, margin for the kernel included.

    Parameters
    ----------
    source, target : GeoBox
        Any two grids.
    displacement : DisplacementField, optional
        On the target, by which the content will be moved.

    Returns
    -------
    tuple of slice, or None
        (rows, columns) inside the source; None when the two do not overlap.
    """
    target = reached(target, displacement)
    height, width = target.shape
    x_px, y_px = edge_px(width, height)
    x, y = _apply(target.transform, x_px, y_px)
    if source.crs != target.crs:
        x, y = _transformer(_wkt(target), _wkt(source)).transform(x, y)
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


def room_for(target: GeoBox, displacement: DisplacementField, margin_px: int = _MARGIN_PX) -> GeoBox:
    """Widen a grid by the largest shift of a field on it, so that nothing is lost at its edges.

    Parameters
    ----------
    target : GeoBox
        Any grid.
    displacement : DisplacementField
        On that grid.
    margin_px : int
        Pixels beyond that; by default as many as a kernel needs on the wider grid.

    Returns
    -------
    GeoBox
        The same pixels and more of them on each side.
    """
    middle, extent = displacement.median_px, displacement.extent_px
    largest = max(abs(m) + e for m, e in zip(middle, extent, strict=True))
    return target.pad(math.ceil(largest + _BETWEEN_SAMPLES_PX) + margin_px)


def reached(target: GeoBox, displacement: DisplacementField | None) -> GeoBox:
    """Return the ground that a grid shows when its content is moved by a field.

    Parameters
    ----------
    target : GeoBox
        Any grid.
    displacement : DisplacementField or None
        On that grid.

    Returns
    -------
    GeoBox
        Widened by the largest shift; `source_window` adds room for a kernel.
    """
    return target if displacement is None else room_for(target, displacement, 0)


def displaced_positions(source: GeoBox, target: GeoBox, displacement: DisplacementField | None) -> Positions:
    """Return the map from the pixels of one grid to where they stand on another one.

    The reference systems are asked on a raster of points; in between, what a straight map leaves is
    interpolated, which at the size of an image is exact to far less than a hundredth of a pixel.

    Parameters
    ----------
    source, target : GeoBox
        Any two grids.
    displacement : DisplacementField or None
        On the target.

    Returns
    -------
    callable
        What `changedet.core.warping.sample` takes.
    """
    from changedet.core.warping import source_positions

    step, bend = _relation(source, target)
    turn = step.a - 1, step.b, step.d, step.e - 1
    if displacement is not None and source.crs == target.crs and np.abs(turn).max() < _NO_TURN:
        return source_positions(displacement, (step.f, step.c))

    moved = None if displacement is None else source_positions(displacement)

    def _positions(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        down: NDArray[Any] = np.arange(rows.start, rows.stop)[:, None]
        right: NDArray[Any] = np.arange(target.shape[1])[None, :]
        bent = bend(down[:, 0], right[0])
        if moved is not None:
            down, right = moved(rows)
        # transforms count from the corner of the first pixel, positions from its centre
        columns, lines = _apply(step, right + 0.5, down + 0.5)
        return (lines - 0.5 + bent[0]).astype(np.float32), (columns - 0.5 + bent[1]).astype(np.float32)

    return _positions


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
    from pyproj import Geod

    if not has_place(grid):
        a, b, _, d, e, _ = tuple(grid.transform)[:6]
        return math.hypot(b, e), math.hypot(a, d)
    height, width = grid.shape
    x_px = np.array([0.5, 0.5, 0.0, 1.0]) + (width - 1) / 2
    y_px = np.array([0.0, 1.0, 0.5, 0.5]) + (height - 1) / 2
    x, y = _apply(grid.transform, x_px, y_px)
    lon, lat = _transformer(_wkt(grid), "EPSG:4326").transform(x, y)
    _, _, sides = Geod(ellps="WGS84").inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    return float(sides[0]), float(sides[1])


def has_place(grid: GeoBox) -> bool:
    """Tell whether a grid says where on Earth it lies.

    Parameters
    ----------
    grid : GeoBox
        With a reference system.

    Returns
    -------
    bool
        False where the system is one of metres about an unnamed place (an engineering system), as that of
        results whose coordinates are withheld.
    """
    return not crs_of(grid).proj.is_engineering


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


def _apply(
    transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = transform
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _relation(
    source: GeoBox, target: GeoBox
) -> tuple[Affine, Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any] | float, NDArray[Any] | float]]]:
    """Return the straight map from target to source pixels, and what has to be added to rows and columns."""
    from affine import Affine

    if source.crs == target.crs:
        return ~source.transform * target.transform, lambda _rows, _columns: (0.0, 0.0)
    from scipy.interpolate import RectBivariateSpline

    axes = [np.linspace(0, size, max(8, size // _LATTICE_PX + 2)) for size in target.shape]
    y_px, x_px = np.meshgrid(*axes, indexing="ij")
    x, y = _apply(target.transform, x_px, y_px)
    x, y = _transformer(_wkt(target), _wkt(source)).transform(x, y)
    columns, rows = _apply(~source.transform, np.asarray(x), np.asarray(y))
    terms = np.stack([x_px.ravel(), y_px.ravel(), np.ones(x_px.size)], axis=1)
    across, down = (np.linalg.lstsq(terms, part.ravel(), rcond=None)[0] for part in (columns, rows))
    splines = [
        RectBivariateSpline(*axes, part - (terms @ found).reshape(part.shape))
        for part, found in ((rows, down), (columns, across))
    ]

    def _bend(rows: NDArray[Any], columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        # transforms count from the corner of the first pixel
        return splines[0](rows + 0.5, columns + 0.5), splines[1](rows + 0.5, columns + 0.5)

    return Affine(*across, *down), _bend


def _displaced(
    array: NDArray[Any],
    source: GeoBox,
    target: GeoBox,
    displacement: DisplacementField,
    rows: slice | None,
) -> NDArray[np.float32] | NDArray[np.uint8]:
    from changedet.core.warping import sample

    everywhere = displaced_positions(source, target, displacement)
    first, last = (rows.start, rows.stop) if rows else (0, target.shape[0])
    shape = last - first, target.shape[1]

    def _positions(some: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return everywhere(slice(some.start + first, some.stop + first))

    if array.dtype == np.uint8:
        return np.asarray(sample(array, shape, _positions, order="nearest", nodata=0), np.uint8)
    ratio = pixel_ratio(source, target)
    order: Order = "spline" if ratio * FINER < 1 else "cubic"
    return np.asarray(sample(smoothed(array, ratio), shape, _positions, order=order, lenient=True))


def pixel_ratio(source: GeoBox, target: GeoBox) -> float:
    """Return the side of a pixel of the target in pixels of the source.

    Examples
    --------
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox.from_bbox((0, 0, 1000, 1000), "EPSG:32633", resolution=10)
    >>> pixel_ratio(grid, grid.zoom_out(2))
    2.0
    """
    return math.sqrt(abs(_relation(source, target)[0].determinant))


def smoothed(array: NDArray[np.float32], ratio: float) -> NDArray[np.float32]:
    """Take from an image the detail that coarser pixels cannot show.

    Parameters
    ----------
    array : ndarray of float32, shape (y, x)
        NaN where there is no data.
    ratio : float
        Side of the coarser pixels in pixels of the image; up to 1.25 nothing is done.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Smoothed by a Gaussian, over the pixels with data only.
    """
    if ratio <= FINER:
        return array
    import cv2

    # a pixel of the coarser image sees a box of this width; the kernel that samples it adds the rest
    sigma = 0.5 * math.sqrt(ratio**2 - 1)
    missing = np.isnan(array)
    weight = cv2.GaussianBlur((~missing).astype(np.float32), (0, 0), sigma)
    values = cv2.GaussianBlur(np.where(missing, np.float32(0), array), (0, 0), sigma)
    return np.where(missing, np.float32(np.nan), values / np.maximum(weight, np.float32(1e-6)))


def _wkt(grid: GeoBox) -> str:
    return _wkt_of(crs_of(grid))


@lru_cache(maxsize=64)
def _wkt_of(crs: CRS) -> str:
    return str(crs.to_wkt())


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    """Return what turns x and y of one reference system into another; making one takes milliseconds."""
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def edge_px(
    width: int, height: int, points: int = _EDGE_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions along the four edges of a grid, which its corners alone do not tell when it is turned.

    Parameters
    ----------
    width, height : int
        Of the grid, in pixels.
    points : int
        On each edge, corners included.

    Returns
    -------
    tuple of two ndarray of float64, shape (4 * points,)
        Columns and rows, in pixels from the outer corner of the first pixel.
    """
    along = np.linspace(0.0, 1.0, points)
    low, high = np.zeros_like(along), np.ones_like(along)
    x = np.concatenate([along, along, low, high]) * width
    y = np.concatenate([low, high, along, along]) * height
    return x, y


def _span(values: NDArray[np.float64], size: int, margin: int) -> slice | None:
    if values.max() <= 0 or values.min() >= size:
        return None
    return slice(max(math.floor(values.min()) - margin, 0), min(math.ceil(values.max()) + margin, size))


def paste(array: NDArray[Any], blank: NDArray[Any], shift: tuple[int, int]) -> NDArray[Any]:
    """Copy pixels onto a grid that is aligned with theirs.

    Parameters
    ----------
    array : ndarray, shape (y, x)
        What is copied.
    blank : ndarray, shape of the target
        What stands where nothing is copied; it is written into.
    shift : tuple of int
        (row, column) of the target's corner in `array`, from `whole_pixel_shift`.

    Returns
    -------
    ndarray
        `blank`.
    """
    into, taken = [], []
    for offset, size, wanted in zip(shift, array.shape, blank.shape, strict=True):
        first, last = max(offset, 0), max(min(offset + wanted, size), offset, 0)
        taken.append(slice(first, last))
        into.append(slice(first - offset, last - offset))
    blank[tuple(into)] = array[tuple(taken)]
    return blank
