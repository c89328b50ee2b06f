"""Interpolation from one grid onto another: by phases where the two lie side by side, else by GDAL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.blocks import thread_count
from changedet.core.polyphase import interpolate_phases, nearest_phases

if TYPE_CHECKING:
    from affine import Affine
    from numpy.typing import NDArray

    #: Where the pixels of a plane lie: the transform of their grid, and its reference system as WKT.
    Placed = tuple[Affine, str]

#: Largest error of the map projection while resampling, in pixels; GDAL's own default (0.125) is as large
#: as the misregistration that a comparison has to measure.
PROJECTION_TOLERANCE_PX = 0.01
#: Pixels of a finer grid stand at the same fractions of a pixel while they drift by less than this.
_DRIFT_PX = 1e-6
#: More pixels than this side by side in one of the source have too many phases to be worth while.
_FINEST = 6
#: GDAL uses several threads for more pixels than this. Two warps at a time would spoil each other's filters
#: of warnings, which belong to the process: the library says of arrays in memory that they have no place.
_THREADS_FROM_PX = 2**18
_ONE_WARPS = threading.Lock()
_BY_PHASES = frozenset({"cubic", "nearest"})


def interpolated(
    array: NDArray[Any], source: Placed, target: Placed, blank: NDArray[Any], method: str
) -> NDArray[Any]:
    """Interpolate a plane at the pixels of another grid.

    Parameters
    ----------
    array : ndarray of float32 or uint8, shape (y, x)
        NaN, or 0 of classes, = no data.
    source, target : tuple of Affine and str
        Where the pixels of `array` lie, and those of the result.
    blank : ndarray of the same type, shape of the result
        All without data; it is written into.
    method : {"cubic", "nearest", "bilinear", "average"}
        Kernel for float32; classes are taken from the nearest pixel.

    Returns
    -------
    ndarray
        `blank`. Without data outside the source and wherever the nearest source pixel has none.

    Notes
    -----
    Cubic convolution: Keys 1981, doi:10.1109/TASSP.1981.1163711. Where both grids lie side by side the
    numbers are those of GDAL, bit by bit, in a sixth of its time.
    """
    side_by_side = _side_by_side(source, target, blank.shape) if method in _BY_PHASES else None
    if blank.dtype == np.uint8:
        if side_by_side is None:
            _by_gdal(array, source, target, blank, "nearest", {"src_nodata": 0, "dst_nodata": 0})
        else:
            nearest_phases(array, *side_by_side, blank)
        return blank
    missing = np.isnan(array)
    gaps = method == "average" or bool(missing.any())
    left = [(slice(0, blank.shape[0]), slice(0, blank.shape[1]))]
    if side_by_side is not None and method == "cubic":
        left = interpolate_phases(array, missing, *side_by_side, blank)
    for rows, columns in left:
        placed = target[0] * target[0].translation(columns.start, rows.start), target[1]
        part = np.full((rows.stop - rows.start, columns.stop - columns.start), np.nan, np.float32)
        _warp_part((array, missing), source, placed, part, method, gaps=gaps)
        blank[rows, columns] = part
    return blank


def _warp_part(
    source_plane: tuple[NDArray[np.float32], NDArray[np.bool_]],
    source: Placed,
    target: Placed,
    blank: NDArray[np.float32],
    method: str,
    *,
    gaps: bool,
) -> None:
    array, missing = source_plane
    # without gaps GDAL need not look for them, which is three times as fast; `blank` is NaN already
    nodata = {"src_nodata": np.nan, "dst_nodata": np.nan} if gaps else {"init_dest_nodata": False}
    _by_gdal(array, source, target, blank, method, nodata)
    if method != "average" and gaps:
        # the kernel fills small gaps from their neighbours; what was not observed stays so
        seen = np.zeros(blank.shape, np.uint8)
        _by_gdal((~missing).view(np.uint8), source, target, seen, "nearest", {})
        blank[seen == 0] = np.nan


def _by_gdal(
    array: NDArray[Any],
    source: Placed,
    target: Placed,
    out: NDArray[Any],
    method: str,
    options: dict[str, Any],
) -> None:
    from rasterio.crs import CRS
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    with _ONE_WARPS:
        reproject(
            array,
            out,
            src_transform=source[0],
            src_crs=CRS.from_wkt(source[1]),
            dst_transform=target[0],
            dst_crs=CRS.from_wkt(target[1]),
            resampling=Resampling[method],
            tolerance=PROJECTION_TOLERANCE_PX,
            num_threads=thread_count() if out.size > _THREADS_FROM_PX else 1,
            **options,
        )


def _side_by_side(
    source: Placed, target: Placed, shape: tuple[int, ...]
) -> tuple[tuple[float, float], int] | None:
    """Return where in the source the first pixel stands, and how many times as fine the target is.

    None where the grids are turned against each other, or the one is no whole number of times as fine.
    """
    if source[1] != target[1]:
        return None
    step = ~source[0] * target[0]
    finer = round(1 / abs(step.a)) if abs(step.a) * (_FINEST + 0.5) > 1 else 0
    if not 1 <= finer <= _FINEST:
        return None
    height, width = shape
    drift = max(
        abs(step.a - 1 / finer) * width,
        abs(step.b) * height,
        abs(step.d) * width,
        abs(step.e - 1 / finer) * height,
    )
    if drift > _DRIFT_PX:
        return None
    # transforms count from the corner of the first pixel
    return (step.f + 0.5 / finer - 0.5, step.c + 0.5 / finer - 0.5), finer
