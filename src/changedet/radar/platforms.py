"""Whether the satellites of one track show the ground in the same place, and what is done if they do not.

Terrain-corrected products of different satellites have lain a few tenths of a pixel to several pixels apart.
Passes of one satellite fit each other; so each satellite is measured by the mean of its passes.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.radar_stack import LEAST_POWER
from changedet.core.registration import TIE_POINT_RELIABILITY, estimate_shift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.core.registration import Shift

#: Satellites further apart than this, in pixels, are brought together; less would cost more than it gains.
CORRECTED_FROM_PX = 0.3
#: Largest offset that is sought.
MOST_OFFSET_PX = 12.0


def platform_offsets(
    stack: NDArray[np.float32], platforms: Sequence[str]
) -> tuple[Mapping[str, tuple[float, float]], tuple[str, ...]]:
    """Measure how far the passes of each satellite lie from those of the one with most passes.

    The logarithms of the mean power of each are correlated by their edges
    (`changedet.core.registration.estimate_shift`): speckle differs between them, walls and shores do not.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one track, of both periods; NaN where a pass does not see a pixel.
    platforms : sequence of str
        Satellite of each pass.

    Returns
    -------
    offsets : mapping of str to (float, float)
        For every satellite but the leading one that could be measured: (row, column) in pixels by which its
        content lies further down and right.
    unmeasured : tuple of str
        Satellites whose correlation has no clear peak.
    """
    counts = Counter(platforms)
    leading, _ = min(counts.items(), key=lambda item: (-item[1], item[0]))
    found: dict[str, tuple[float, float]] = {}
    unmeasured = []
    reference = _mean_log(stack, platforms, leading)
    for name in sorted(counts.keys() - {leading}):
        shift = _shift(reference, _mean_log(stack, platforms, name))
        if shift.reliability < TIE_POINT_RELIABILITY:
            unmeasured.append(name)
        else:
            # plus zero, or minus zero would be another number in a record
            found[name] = (round(-shift.row_px, 2) + 0.0, round(-shift.column_px, 2) + 0.0)
    return MappingProxyType(found), tuple(unmeasured)


def brought_together(
    stack: NDArray[np.float32], platforms: Sequence[str], offsets: Mapping[str, tuple[float, float]]
) -> NDArray[np.float32]:
    """Move the passes of satellites that lie too far from the leading one.

    Parameters
    ----------
    stack, platforms
        As in `platform_offsets`.
    offsets : mapping
        From there; those below `CORRECTED_FROM_PX` are left as they are.

    Returns
    -------
    ndarray of float32, shape (time, pol, y, x)
        Power, interpolated with bilinear weights as when it is loaded; the very stack when nothing moves.
    """
    from scipy.ndimage import shift

    far = {name: by for name, by in offsets.items() if np.hypot(*by) >= CORRECTED_FROM_PX}
    if not far.keys() & set(platforms):
        return stack
    moved = stack.copy()
    for date, name in zip(moved, platforms, strict=True):
        if name in far:
            back = tuple(-pixels for pixels in far[name])
            for plane in date:
                plane[:] = shift(plane, back, order=1, mode="constant", cval=np.nan, prefilter=False)
    return moved


def _mean_log(stack: NDArray[np.float32], platforms: Sequence[str], name: str) -> NDArray[np.float32]:
    """Return the logarithm of the mean power of one satellite's passes, first polarisation; NaN: not seen."""
    total, count = np.zeros(stack.shape[2:]), np.zeros(stack.shape[2:])
    for date, own in zip(stack, platforms, strict=True):
        if own == name:
            seen = np.isfinite(date[0])
            total += np.where(seen, date[0], 0)
            count += seen
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.asarray(np.log(np.maximum(mean, LEAST_POWER)), np.float32)


def _shift(reference: NDArray[np.float32], moving: NDArray[np.float32]) -> Shift:
    return estimate_shift(
        reference[None],
        moving[None],
        np.isfinite(reference),
        np.isfinite(moving),
        max_shift_px=MOST_OFFSET_PX,
    )
