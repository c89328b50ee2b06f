"""What is left of a displacement after it was taken out, measured anew in other windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.registration import edge_feature
from changedet.core.tie_points import match_windows, window_corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.core.alignment import Feature
    from changedet.core.tie_points import Plane

#: Sides of the windows: larger than those of the estimate, whose errors they must not share; smaller ones
#: only where clouds leave too few large ones.
_WINDOWS_PX = (64, 32)
_ENOUGH = 12
#: About so many windows on each axis at most.
_MOST_PER_AXIS = 40
#: What still lies further off is another place, a cloud or change.
_SEARCH_PX = 2.0
#: Windows further than this from the median, in deviations, are real change and do not count.
_REACH = 4.0
_ROUNDS = 3


@dataclass(frozen=True)
class Remainder:
    """What is left of the displacement.

    Attributes
    ----------
    row_rmse_px, column_rmse_px : float
        Root mean square of what the windows say, in pixels; the noise of a window is in it. NaN without any.
    row_px, column_px : float
        Medians, to be added to the position of the moving image's content.
    spread_px : float
        Larger one of the two inter-quartile ranges.
    kept, dropped : int
        Windows that count, and those that were measured but look like change or cloud.
    """

    row_rmse_px: float
    column_rmse_px: float
    row_px: float
    column_px: float
    spread_px: float
    kept: int
    dropped: int

    @property
    def rmse_px(self) -> float:
        """Root mean square of the length of what is left."""
        return float(np.hypot(self.row_rmse_px, self.column_rmse_px))


def measure_remainder(
    reference: Sequence[Plane],
    moving: Sequence[Plane],
    reference_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
    feature: Feature = "reflectance",
) -> Remainder:
    """Measure what is left of the displacement between two images that should already fit.

    Parameters
    ----------
    reference, moving : sequence of ndarray of float32 or uint16, shape (y, x)
        The same bands on the same grid, finite where valid.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable.
    feature : {"reflectance", "edges"}
        What is matched; see `changedet.core.alignment.Alignment`.

    Returns
    -------
    Remainder
        Without any window that could be measured, NaN and 0.
    """
    stacks = [
        [_prepared(plane, valid, feature) for plane in planes]
        for planes, valid in ((reference, reference_valid), (moving, moving_valid))
    ]
    masks = reference_valid, moving_valid
    found = _nothing(0)
    for window_px in _WINDOWS_PX:
        found = _measured(stacks, masks, max(8, min(window_px, min(reference_valid.shape) // 3)))
        if found.kept >= _ENOUGH:
            break
    return found


def _measured(
    stacks: list[list[Plane]], masks: tuple[NDArray[np.bool_], NDArray[np.bool_]], window_px: int
) -> Remainder:
    """Measure with windows of one size, half a spacing away from those of the estimate."""
    shape = masks[0].shape
    spacing_px = max(window_px / 2, max(shape) / _MOST_PER_AXIS)
    rows, columns = (
        axis[:-1] + int(spacing_px / 2) if len(axis) > 2 else axis  # a small image has no room for that
        for axis in window_corners((shape[0], shape[1]), window_px, spacing_px)
    )
    if not len(rows) or not len(columns):
        return _nothing(0)
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    # where enough windows are clear throughout, weights for the pixels of a whole image can be saved
    clear = np.array([_is_clear(masks, corner, window_px) for corner in corners])
    whole = clear.sum() >= max(_ENOUGH, len(corners) / 2)
    corners = corners[clear] if whole else corners
    ties = match_windows(
        stacks[0], stacks[1], corners, np.zeros_like(corners), window_px,
        reference_valid=None if whole else masks[0], moving_valid=None if whole else masks[1],
    )  # fmt: skip
    return _summary(np.stack([ties.row_px, ties.column_px])[:, ties.usable])


def _nothing(measured: int) -> Remainder:
    return Remainder(np.nan, np.nan, np.nan, np.nan, np.nan, 0, measured)


def _prepared(plane: Plane, valid: NDArray[np.bool_], feature: Feature) -> Plane:
    return edge_feature(np.asarray(plane, np.float32), valid) if feature == "edges" else plane


def _is_clear(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]], corner: NDArray[np.intp], px: int) -> bool:
    window = slice(corner[0], corner[0] + px), slice(corner[1], corner[1] + px)
    return bool(masks[0][window].all() and masks[1][window].all())


def _summary(shifts: NDArray[np.float64]) -> Remainder:
    """Sum up measured shifts, shape (2, n), without those that lie far from all others."""
    measured = shifts.shape[1]
    kept = shifts[:, np.hypot(*shifts) < _SEARCH_PX]
    for _ in range(_ROUNDS):
        if not kept.size:
            break
        distance = np.hypot(*(kept - np.median(kept, axis=1, keepdims=True)))
        # of two independent normal components the median distance is 1.1774 deviations
        kept = kept[:, distance <= _REACH * (float(np.median(distance)) / 1.1774 + 1e-3)]
    if not kept.size:
        return _nothing(measured)
    rows, columns = np.sqrt((kept**2).mean(axis=1))
    middle = np.median(kept, axis=1)
    spread = max(float(np.subtract(*np.percentile(axis, [75, 25]))) for axis in kept)
    count = kept.shape[1]
    return Remainder(
        float(rows), float(columns), float(middle[0]), float(middle[1]), spread, count, measured - count
    )
