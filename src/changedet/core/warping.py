"""Moving the content of images: by one shift exactly, or by a field, each pixel interpolated once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from changedet.core.blocks import run_blocks, spans, tile_with_halo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from changedet.core.displacement import DisplacementField

    Plane = NDArray[Any]
    #: Rows of the result as a slice; returns where their pixels stand in the source: rows and columns.
    Positions = Callable[[slice], tuple[NDArray[np.float32], NDArray[np.float32]]]

Order = Literal["nearest", "linear", "cubic", "spline"]

#: Pixels before and after the one that holds a position which the kernel needs.
_REACH_PX = {"nearest": (0, 0), "linear": (0, 1), "cubic": (1, 2), "spline": (1, 2)}
_FLAGS = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
#: Gaps up to this wide are closed before images are matched.
_GAP_PX = 4
#: ... if they cover more than this share.
_GAPS_SHARE = 1e-3
#: Side of the square whose mean a pixel without data gets.
_BRIDGE_PX = 9
#: Pixels that are interpolated at one time: few enough for the cache of a core, and for memory that is used
#: again instead of being asked of the system anew.
_BLOCK_PX, _LEAST_ROWS = 2**17, 8
#: OpenCV takes no images of 32767 columns.
_BLOCK_COLUMNS = 2**14


def warp(
    plane: Plane, field: DisplacementField, *, order: Order = "cubic", nodata: float | None = None
) -> NDArray[Any]:
    """Move the content of an image by a displacement field.

    A field that is one shift everywhere is applied to float32 by `shift_image`, exactly; any other one by
    cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711) or the cubic B-spline through the pixels.
    Positions are made block by block; besides the result little memory is taken.

    Parameters
    ----------
    plane : ndarray, shape of the field
        float32 with NaN where there is no data, or integers of 8 or 16 bits.
    field : DisplacementField
        What is added to the position of the content: the result at q is the image at q - field(q).
    order : {"nearest", "linear", "cubic", "spline"}
        The kernel. ``"spline"`` is for floating types only; it takes several times as long as ``"cubic"`` and
        is right where that puts smooth content up to a twentieth of a pixel aside.
    nodata : float, optional
        The number that means "no data", for types that cannot hold NaN.

    Returns
    -------
    ndarray, shape (y, x)
        Of the type of `plane`. A pixel that needs one without data, or one outside the image, has no data
        itself: NaN, else `nodata`, else 0.

    Raises
    ------
    ValueError
        When the plane does not have the shape of the field.

    Examples
    --------
    >>> from changedet.core.displacement import DisplacementField
    >>> right = DisplacementField("translation", (1, 5), (0.0, 1.0))
    >>> warp(np.arange(5, dtype=np.float32)[None], right).tolist()
    [[nan, 0.0, 1.0, 2.0, 3.0]]
    """
    if plane.shape != field.shape:
        message = f"a plane of {plane.shape} pixels cannot be moved by a field on {field.shape}"
        raise ValueError(message)
    if field.model == "translation" and plane.dtype == np.float32 and order == "cubic" and nodata is None:
        return shift_image(np.asarray(plane, np.float32), *field.centre_px)
    return sample(plane, field.shape, source_positions(field), order=order, nodata=nodata)


def source_positions(field: DisplacementField, origin_px: tuple[float, float] = (0.0, 0.0)) -> Positions:
    """Return the map from the pixels of the reference to where they stand in the moving image.

    Parameters
    ----------
    field : DisplacementField
        Any.
    origin_px : tuple of float
        Where the first pixel of the reference lies in the moving image: row and column.

    Returns
    -------
    callable
        Takes rows of the reference as a slice and returns the rows and columns of the moving image, float32,
        shape (rows, all columns) each; (0, 0) is the centre of its first pixel.
    """
    shifts = field.by_rows()
    right = (np.arange(field.shape[1]) + origin_px[1]).astype(np.float32)

    def _positions(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        down = (np.arange(rows.start, rows.stop) + origin_px[0]).astype(np.float32)
        row_px, column_px = shifts(rows)
        np.subtract(down[:, None], row_px, out=row_px)
        np.subtract(right, column_px, out=column_px)
        return row_px, column_px

    return _positions


def sample(
    plane: Plane,
    shape: tuple[int, int],
    positions: Positions,
    *,
    order: Order = "cubic",
    nodata: float | None = None,
    lenient: bool = False,
) -> NDArray[Any]:
    """Interpolate an image at any positions, in blocks, with two threads.

    Parameters
    ----------
    plane : ndarray, shape (y, x)
        As for `warp`.
    shape : tuple of int
        (y, x) of the result.
    positions : callable
        Takes rows of the result as a slice and returns the rows and columns of `plane` where their pixels
        stand, float32, shape (rows, x) each; (0, 0) is the centre of the first pixel.
    order : {"nearest", "linear", "cubic", "spline"}
        The kernel. ``"spline"`` is for floating types only; it takes several times as long as ``"cubic"`` and
        is right where that puts smooth content up to a twentieth of a pixel aside.
    nodata : float, optional
        As for `warp`.
    lenient : bool
        Whether only the nearest pixel must have data; what the kernel needs besides is then made up from the
        neighbours, and the edge of the image goes on beyond it.

    Returns
    -------
    ndarray, shape `shape`
        As for `warp`, but for `lenient`.
    """
    floating = np.issubdtype(plane.dtype, np.floating)
    missing = _missing(plane, nodata)
    if missing is not None and floating:
        made_up = lenient or order == "spline"
        plane = _filled(plane, missing) if made_up else np.where(missing, np.float32(0), plane)
    if order == "spline":
        plane = _coefficients(plane)
    fill = nodata if nodata is not None else (np.nan if floating else 0.0)
    out = np.empty(shape, plane.dtype)

    def _work(rows: slice) -> None:
        down, right = (np.broadcast_to(axis, (rows.stop - rows.start, shape[1])) for axis in positions(rows))
        for columns in spans(shape[1], _BLOCK_COLUMNS):
            where = np.ascontiguousarray(down[:, columns]), np.ascontiguousarray(right[:, columns])
            _block((plane, missing), where, order, fill, lenient=lenient, out=out[rows, columns])

    step = max(_LEAST_ROWS, _BLOCK_PX // max(shape[1], 1))
    run_blocks(_work, spans(shape[0], step))
    return out


def _coefficients(plane: Plane) -> NDArray[np.float32]:
    """Return the coefficients of the cubic B-spline through pixels (Unser 1999, doi:10.1109/79.799930)."""
    from scipy import ndimage

    if not np.issubdtype(plane.dtype, np.floating):
        message = f"a spline goes through floating numbers, not through {plane.dtype}"
        raise ValueError(message)
    return np.asarray(ndimage.spline_filter(plane, 3, output=np.float32, mode="mirror"))


def _missing(plane: Plane, nodata: float | None) -> NDArray[np.bool_] | None:
    """Tell which pixels have no data; None when all have."""
    if nodata is None and not np.issubdtype(plane.dtype, np.floating):
        return None
    gaps = equals(plane, np.nan if nodata is None else nodata)
    return gaps if gaps.any() else None


def shift_image(image: NDArray[np.float32], row_px: float, column_px: float) -> NDArray[np.float32]:
    """Move the content of an image by a sub-pixel shift with cubic convolution.

    Keys 1981, doi:10.1109/TASSP.1981.1163711. A shift by whole pixels is exact.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        NaN where there is no data; a result pixel that would need such a pixel, or one outside the image,
        is NaN.
    row_px, column_px : float
        Added to the position of the content: rows down, columns right.

    Returns
    -------
    ndarray of float32, shape (y, x)
        The moved image on the same grid.
    """
    whole = [int(np.floor(shift)) for shift in (row_px, column_px)]
    weights = [_cubic_weights(shift - w) for shift, w in zip((row_px, column_px), whole, strict=True)]
    taps = [(w != 0).astype(np.float32) for w in weights]
    missing = np.isnan(image)
    gaps = bool(missing.any())
    filled = np.where(missing, np.float32(0), image) if gaps else image
    moved = _filter(filled, weights)
    if gaps:
        moved[_filter(missing.astype(np.float32), taps) > 0.5] = np.nan
    for axis_view, tap in ((moved, taps[0]), (moved.T, taps[1])):
        reach = np.flatnonzero(tap) - 2
        axis_view[: -min(reach[0], 0)] = np.nan
        axis_view[len(axis_view) - max(reach[-1], 0) :] = np.nan
    out = np.full(image.shape, np.nan, np.float32)
    spans = [_overlap(w, length) for w, length in zip(whole, image.shape, strict=True)]
    out[spans[0][0], spans[1][0]] = moved[spans[0][1], spans[1][1]]
    return out


def bridge_gaps(
    planes: Sequence[Plane], valid: NDArray[np.bool_]
) -> tuple[list[Plane | Bridged], NDArray[np.bool_]]:
    """Close gaps of a few pixels before images are matched: many of them would leave no window whole.

    Parameters
    ----------
    planes : sequence of ndarray, shape (y, x)
        Bands of one image: float32 with NaN = no data, or integers.
    valid : ndarray of bool, shape (y, x)
        True where usable.

    Returns
    -------
    planes : list of ndarray or Bridged, shape (y, x)
        With the mean of their neighbours in the gaps that were closed, computed where somebody looks; the
        very same where there is none.
    valid : ndarray of bool, shape (y, x)
        True there too; gaps wider than 4 pixels are left.
    """
    # the corners of clouds and edges are closed a little too, which is no reason to touch the numbers
    few = _GAPS_SHARE * valid.size
    if valid.size - np.count_nonzero(valid) < max(few, 1):
        return list(planes), valid
    closed = cv2.morphologyEx(
        valid.view(np.uint8), cv2.MORPH_CLOSE, np.ones((_GAP_PX + 1, _GAP_PX + 1), np.uint8)
    )
    wide = np.asarray(closed > 0)
    if np.count_nonzero(wide != valid) < few:
        return list(planes), valid
    return [Bridged(plane, valid) for plane in planes], wide


@dataclass(frozen=True, eq=False)
class Bridged:
    """A band whose gaps are filled where it is looked at: large images are matched by small windows.

    Attributes
    ----------
    plane : ndarray, shape (y, x)
        Float with NaN = no data, or integers.
    valid : ndarray of bool, shape (y, x)
        True where integers are data.
    """

    plane: Plane
    valid: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.plane.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers that one gets."""
        return self.plane.dtype if np.issubdtype(self.plane.dtype, np.floating) else np.dtype(np.float32)

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[np.floating]:
        """Return a window, with the mean of their neighbours where pixels have no data."""
        height, width = self.plane.shape
        tile = slice(*window[0].indices(height)), slice(*window[1].indices(width))
        wide, inner = tile_with_halo(tile, (height, width), _BRIDGE_PX // 2)
        part = self.plane[wide].astype(self.dtype, copy=False)
        whole_numbers = not np.issubdtype(self.plane.dtype, np.floating)
        missing = ~self.valid[wide] if whole_numbers else np.isnan(part)
        return (_filled(part, missing) if missing.any() else part)[inner]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole band."""
        return np.asarray(self[:, :], dtype)


def equals(values: Plane, number: float) -> NDArray[np.bool_]:
    """Tell where values are a number, comparing in their own type, which is quicker than in another one.

    Parameters
    ----------
    values : ndarray
        Of any real type.
    number : float
        NaN counts as equal to NaN.

    Returns
    -------
    ndarray of bool, shape of `values`
        False everywhere when their type cannot hold the number.

    Examples
    --------
    >>> equals(np.array([0, 7], np.uint8), 7.0).tolist(), equals(np.array([0, 7], np.uint8), -9999).tolist()
    ([False, True], [False, False])
    """
    if np.issubdtype(values.dtype, np.floating):
        return np.asarray(np.isnan(values) if np.isnan(number) else values == number)
    limits = np.iinfo(values.dtype)
    if not (limits.min <= number <= limits.max and float(number).is_integer()):
        return np.zeros(values.shape, np.bool_)
    return np.asarray(values == values.dtype.type(int(number)))


@cache
def remap_is_exact() -> bool:
    """Tell whether OpenCV interpolates at the position it is given.

    Returns
    -------
    bool
        False where it rounds positions to 1/32 pixel, as versions before 5 do; positions are then looked up
        without it, more slowly.
    """
    waves = np.outer(np.sin(np.arange(16)), np.cos(np.arange(16))).astype(np.float32)
    rows, columns = np.full((1, 1), 8.39, np.float32), np.full((1, 1), 7.01, np.float32)
    found = cv2.remap(waves, columns, rows, cv2.INTER_CUBIC)
    return bool(abs(found - _gathered(waves, rows, columns, "cubic"))[0, 0] < 1e-5)


def _filled(plane: NDArray[np.floating], missing: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Give pixels without data the mean of their neighbours, for kernels that reach into them."""
    size = _BRIDGE_PX, _BRIDGE_PX
    weight = cv2.GaussianBlur((~missing).astype(plane.dtype), size, 2.0)
    values = cv2.GaussianBlur(np.where(missing, plane.dtype.type(0), plane), size, 2.0)
    return np.where(missing, values / np.maximum(weight, plane.dtype.type(1e-6)), plane)


def _block(
    source: tuple[Plane, NDArray[np.bool_] | None],
    where: tuple[NDArray[np.float32], NDArray[np.float32]],
    order: Order,
    fill: float,
    *,
    lenient: bool,
    out: NDArray[Any],
) -> None:
    """Interpolate one block into `out`; only the part of the image that it needs is looked at."""
    plane, missing = source
    reach = (0, 0) if lenient else _REACH_PX[order]
    ends = [_ends(axis) for axis in where]
    spans = [_span(end, length, order) for end, length in zip(ends, plane.shape, strict=True)]
    if spans[0].stop <= spans[0].start or spans[1].stop <= spans[1].start:
        out[...] = fill
        return
    rows, columns = (
        axis - np.float32(span.start) if span.start else axis for axis, span in zip(where, spans, strict=True)
    )
    out[...] = _interpolated(plane[spans[0], spans[1]], rows, columns, order)
    if not np.issubdtype(plane.dtype, np.floating):
        # an interpolated number must not come to mean "no data" by chance
        chance = equals(out, fill)
        if chance.any():
            out[chance] = fill + 1 if fill < np.iinfo(plane.dtype).max else fill - 1
    hole = None if missing is None else missing[spans[0], spans[1]].astype(np.uint8)
    hole = hole if hole is not None and hole.any() else None
    inside = all(_within(end, length, order) for end, length in zip(ends, plane.shape, strict=True))
    if hole is None and inside:
        return
    # the pixels that the kernel reaches from
    cells = [np.rint(axis) if lenient or order == "nearest" else np.floor(axis) for axis in where]
    outside = _beyond(cells, plane.shape, reach)
    if hole is not None:
        near = [cell - np.float32(span.start) for cell, span in zip(cells, spans, strict=True)]
        outside |= _in_holes(hole, near, reach)
    out[outside] = fill


def _beyond(
    cells: list[NDArray[np.float32]], shape: tuple[int, ...], reach: tuple[int, int]
) -> NDArray[np.bool_]:
    """Tell where the kernel leaves the image."""
    outside = np.zeros(cells[0].shape, np.bool_)
    for cell, length in zip(cells, shape, strict=True):
        # written so that a position that is not a number is outside
        outside |= ~((cell >= reach[0]) & (cell < length - reach[1]))
    return outside


def _in_holes(
    hole: NDArray[np.uint8], cells: list[NDArray[np.float32]], reach: tuple[int, int]
) -> NDArray[np.bool_]:
    """Tell where the kernel needs a pixel without data."""
    side = reach[0] + reach[1] + 1
    wide = cv2.dilate(hole, np.ones((side, side), np.uint8), anchor=(reach[0], reach[0]), borderValue=0)
    at = [cell.astype(np.float32) for cell in cells]
    return np.asarray(cv2.remap(wide, at[1], at[0], cv2.INTER_NEAREST, borderValue=1) > 0)


def _ends(positions: NDArray[np.float32]) -> tuple[float, float]:
    """Return the least and the largest position; NaN for both when one is not a number."""
    return float(positions.min()), float(positions.max())


def _span(ends: tuple[float, float], length: int, order: Order) -> slice:
    """Return the pixels of an axis that positions and the kernel need; an empty slice for none."""
    before, after = _REACH_PX[order]
    if not (math.isfinite(ends[0]) and math.isfinite(ends[1])):
        # some positions are no numbers: the whole axis is looked at
        return slice(0, length)
    low, high = math.floor(ends[0]) - before - 1, math.ceil(ends[1]) + after + 2
    return slice(min(max(low, 0), length), min(max(high, 0), length))


def _within(ends: tuple[float, float], length: int, order: Order) -> bool:
    """Tell whether the kernel stays inside the image at every position."""
    before, after = _REACH_PX[order]
    return bool(ends[0] >= before and ends[1] < length - 1 - after)


def _interpolated(
    part: Plane, rows: NDArray[np.float32], columns: NDArray[np.float32], order: Order
) -> NDArray[Any]:
    if order == "spline":
        from scipy import ndimage

        at = np.stack([rows, columns])
        return np.asarray(ndimage.map_coordinates(part, at, order=3, mode="mirror", prefilter=False))
    if order == "nearest" or remap_is_exact():
        found = cv2.remap(part, columns, rows, _FLAGS[order], borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, part.dtype)
    return _gathered(part, rows, columns, order)


def _gathered(
    part: Plane, rows: NDArray[np.float32], columns: NDArray[np.float32], order: Order
) -> NDArray[Any]:
    """Interpolate by looking every pixel up that the kernel needs."""
    before, after = _REACH_PX[order]
    # a position that is no number has no cell, and its weights make it no data again
    cells = [np.floor(np.nan_to_num(axis)).astype(np.intp) for axis in (rows, columns)]
    weights = [_kernel(axis - cell, order) for axis, cell in zip((rows, columns), cells, strict=True)]
    total = np.zeros(rows.shape, np.float32)
    for down in range(-before, after + 1):
        row = np.clip(cells[0] + down, 0, part.shape[0] - 1)
        for right in range(-before, after + 1):
            column = np.clip(cells[1] + right, 0, part.shape[1] - 1)
            total += weights[0][down + before] * weights[1][right + before] * part[row, column]
    if np.issubdtype(part.dtype, np.integer):
        limits = np.iinfo(part.dtype)
        return np.clip(np.rint(total), limits.min, limits.max).astype(part.dtype)
    return total


def _kernel(fraction: NDArray[np.floating], order: Order) -> list[NDArray[np.floating]]:
    """Weights of the pixels round positions that lie a fraction of a pixel after one."""
    before, after = _REACH_PX[order]
    distances = [np.abs(fraction - offset) for offset in range(-before, after + 1)]
    return [1 - distance if order == "linear" else _cubic(distance) for distance in distances]


def _cubic(distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Evaluate the kernel of Keys with a = -0.75, as OpenCV has it."""
    near = (1.25 * distance - 2.25) * distance**2 + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    return np.where(distance <= 1, near, far)


def _filter(image: NDArray[np.float32], weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Weigh the pixels at -2, -1, 0 and 1 of every pixel, row-wise and column-wise."""
    return np.asarray(cv2.sepFilter2D(image, -1, weights[1], weights[0], anchor=(2, 2)), np.float32)


def _cubic_weights(part_px: float) -> NDArray[np.float32]:
    """Weights of the pixels at -2, -1, 0 and 1 for content moved by 0 to 1 px."""
    return np.asarray(_cubic(np.abs(np.arange(-2, 2) + round(part_px, 6))), np.float32)


def _overlap(shift_px: int, length_px: int) -> tuple[slice, slice]:
    """Where moved content lands on its axis, and where it came from."""
    shift_px = max(-length_px, min(length_px, shift_px))
    return (
        slice(max(shift_px, 0), length_px + min(shift_px, 0)),
        slice(max(-shift_px, 0), length_px - max(shift_px, 0)),
    )
