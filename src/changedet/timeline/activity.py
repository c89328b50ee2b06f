"""How much goes on at a whole site: the share of its built-up pixels that leave what is usual for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.harmonic_baseline import fit_baseline
from changedet.core.indices import compute_indices
from changedet.core.medians import median_of_dates
from changedet.core.sampling import MAD_TO_SPREAD
from changedet.kinds import BUILT_UP_GREENEST, built_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.timeline.reading import Reading, ZoneReading
    from changedet.timeline.types import TimelineSettings

    Floats = NDArray[np.float32]

#: Pixels that are looked at together.
_BLOCK_PX = 20_000
#: Fewer built-up pixels make no share, and no zone.
LEAST_BUILT_PX = 12
#: Share of the built-up pixels that a date must show.
_LEAST_SEEN = 0.3


@dataclass(frozen=True, eq=False)
class Activity:
    """How much of a site is not as usual.

    Attributes
    ----------
    built_share : ndarray of float32, shape (time,)
        Share of the built-up pixels that lie outside their bands in some index; NaN where too few are seen.
    all_share : ndarray of float32, shape (time,)
        The same of all pixels.
    seen_share : ndarray of float32, shape (time,)
        Share of the built-up pixels that a date shows.
    built_pixels, pixels : int
        Built-up pixels, and all, that were looked at.
    """

    built_share: Floats
    all_share: Floats
    seen_share: Floats
    built_pixels: int
    pixels: int


def built_up_pixels(reading: Reading) -> NDArray[np.bool_]:
    """Say which pixels of the stack are built up, shape (pixel,); see `changedet.kinds.built_up`."""
    out = np.zeros(reading.stack.shape[2], bool)
    for start in range(0, len(out), _BLOCK_PX):
        part = slice(start, start + _BLOCK_PX)
        block = np.ascontiguousarray(reading.stack[:, :, part])
        typical = np.stack([median_of_dates(band[:, None])[0] for band in block])
        indices = compute_indices(typical, reading.bands)
        if "NDVI" not in indices:
            return out
        by_date = compute_indices(block, reading.bands)["NDVI"]
        out[part] = built_up(indices, _quantile_of_dates(by_date, BUILT_UP_GREENEST))
    return out


def measure_activity(
    reading: Reading, built: NDArray[np.bool_], settings: TimelineSettings
) -> Activity | None:
    """Count on each date the pixels outside their own bands.

    The band of a pixel is fitted robustly to all its dates: what shows on few of them stands outside, and
    what changed for good stands outside on the shorter side of the change.

    Parameters
    ----------
    reading : Reading
        With the stack of pixels.
    built : ndarray of bool, shape (pixel,)
        From `built_up_pixels`.
    settings : TimelineSettings
        Indices, baseline, band.

    Returns
    -------
    Activity or None
        None when no index can be judged.
    """
    dates, pixels = reading.stack.shape[1:]
    counts = np.zeros((4, dates), np.int64)
    parameters = replace(settings.baseline, stability=math.inf)
    for start in range(0, pixels, _BLOCK_PX):
        part = slice(start, start + _BLOCK_PX)
        indices = compute_indices(np.ascontiguousarray(reading.stack[:, :, part]), reading.bands)
        judged, outside = (np.zeros((dates, len(built[part])), bool) for _ in range(2))
        for name in settings.indices:
            if name not in indices:
                continue
            units = fit_baseline(indices[name], reading.days, None, parameters).standardise(
                indices[name], reading.days
            )
            judged |= np.isfinite(units)
            outside |= np.abs(np.nan_to_num(units)) > settings.band_sigma
        for row, mask in enumerate((built[part], np.ones(len(built[part]), bool))):
            counts[2 * row] += (judged & mask).sum(axis=1)
            counts[2 * row + 1] += (outside & mask).sum(axis=1)
    if not counts[2].any():
        return None
    total = int(built.sum())
    enough = total >= LEAST_BUILT_PX
    return Activity(
        built_share=_share(counts[1], counts[0], _LEAST_SEEN * total if enough else math.inf),
        all_share=_share(counts[3], counts[2], _LEAST_SEEN * pixels),
        seen_share=(counts[0] / max(total, 1)).astype(np.float32),
        built_pixels=total,
        pixels=pixels,
    )


def built_reading(reading: Reading, built: NDArray[np.bool_], min_share: float) -> ZoneReading:
    """Reduce the built-up pixels of the stack as a zone is reduced."""
    from changedet.timeline.reading import ZoneReading

    part = reading.stack[:, :, built]
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(part).all(axis=0))
    share, count = seen.mean(axis=1), seen.sum(axis=1)
    names = reading.index_names
    values, spread = (np.full((len(share), len(names)), np.nan, np.float32) for _ in range(2))
    indices = compute_indices(part, reading.bands)
    for number in np.flatnonzero(share >= min_share).tolist():
        for column, name in enumerate(names):
            inside = indices[name][number, seen[number]]
            values[number, column] = median = np.median(inside)
            spread[number, column] = MAD_TO_SPREAD * np.median(np.abs(inside - median))
    reasons = tuple("" if one >= min_share else f"hidden: {one:.0%} seen" for one in share)
    return ZoneReading(values, spread, share.astype(np.float32), count.astype(np.int32), reasons)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], least: float) -> Floats:
    share = np.full(len(part), np.nan, np.float32)
    known = (whole > 0) & (whole >= least)
    share[known] = part[known] / whole[known]
    return share


def _quantile_of_dates(series: Floats, share: float) -> Floats:
    """Return what a share of the dates that see a pixel stay below; NaN where none sees it."""
    ordered = np.sort(series, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    place = np.maximum(np.ceil(share * count).astype(np.intp) - 1, 0)
    return np.asarray(np.take_along_axis(ordered, place[None], axis=0)[0], np.float32)
