"""The kind of a candidate of a watch: what is kept of its dates, put into the numbers that choose a kind."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.detection_floor import DATE_BY_DATE, DetectionFloor, detection_floor
from changedet.core.harmonic_baseline import design_of
from changedet.core.indices import compute_indices
from changedet.core.object_series import object_series
from changedet.core.series_behaviour import BehaviourParameters, Pattern, behaviour
from changedet.kinds import built_up, choose_kind, read_surface
from changedet.timeline.evidence import (
    Change,
    ObjectDates,
    Outline,
    approximate_indices,
    gather_evidence,
    looks_like,
)
from changedet.timeline.kinds_in_time import PHASED, TimeFinding, choose_time_kind
from changedet.timeline.phases import construction_phases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.watch.baselines import SiteBaseline

    Floats = NDArray[np.float32]

#: Fewer built-up pixels say nothing of the noise of a site.
_LEAST_BUILT_PX = 12
#: Clear dates that say what a candidate looks like now.
_LATEST = 5
#: Clear dates before that of most pixels from which a candidate may date.
_EARLIER = 2


@dataclass(frozen=True, eq=False)
class PixelGroup:
    """Pixels that make a candidate.

    Attributes
    ----------
    pixels : ndarray of bool, shape (y, x)
    pure : ndarray of bool, shape (y, x)
        Those of them that hold little else.
    leading : int
        The index that speaks for most of these.
    side : int
        1 where that one is above what is usual, -1 below.
    by_day : float
        The first day that shows them.
    """

    pixels: NDArray[np.bool_]
    pure: NDArray[np.bool_]
    leading: int
    side: int
    by_day: float


@dataclass(frozen=True)
class Judged:
    """What the dates of a candidate say.

    Attributes
    ----------
    found : TimeFinding
        Its kind.
    surfaces : str
        What it looked like and looks like now, for a reader.
    after, first : int
        The last clear date before it and the first that shows it, as places among the dates.
    """

    found: TimeFinding
    surfaces: str
    after: int
    first: int


def typical_indices(values: Floats, bands: tuple[str, ...]) -> dict[str, float]:
    """Return the index medians of some pixels; nothing where none is known.

    Parameters
    ----------
    values : ndarray of float32, shape (band, pixel)
    bands : tuple of str

    Returns
    -------
    dict of str to float
    """
    known = values[:, np.isfinite(values).all(axis=0)]
    if not known.size:
        return {}
    return {name: float(np.median(one)) for name, one in compute_indices(known, bands).items()}


def candidate_finding(base: SiteBaseline, group: PixelGroup) -> Judged:
    """Choose the kind of a candidate by all dates that are kept of it.

    Of past dates the deviations of the watched indices are kept, up to a hundred standard deviations; the
    near and short-wave infrared of a date are worked out from them, and its colour is not known. What the
    ground was and is now is read from all bands.

    Parameters
    ----------
    base : SiteBaseline
        After its last date.
    group : PixelGroup

    Returns
    -------
    Judged
        With the phase, of a construction.
    """
    series = _object_dates(base, group.pure)
    clear = np.flatnonzero(np.isfinite(np.stack(list(series.units.values()))).all(axis=0))
    first = _first_shown(series.units[base.names[group.leading]], base.days, clear, group)
    showing = clear[clear >= first]
    if not len(showing):
        showing = np.array([first])
    name = base.names[group.leading]
    side = np.array([group.side], np.int8)
    day = np.array([base.days[first]], np.float32)
    went = behaviour(series.units[name][:, None], base.days, day, side)
    last, over = _ends(showing, base.days, float(went.return_day[0]), int(went.pattern[0]))
    before = typical_indices(base.before[:, group.pure], base.bands)
    now = _latest_state(base, group.pure, len(showing))
    change = Change(
        first,
        last,
        over,
        seasonal=int(went.pattern[0]) == Pattern.SEASONAL,
        episodes=max(int(went.bursts[0]), 1),
        outline=Outline.of(group.pixels),
        before=before,
        now=now,
    )
    earlier = clear[clear < first]
    start = int(earlier[-1]) if len(earlier) else max(first - 1, 0)
    finding = choose_time_kind(gather_evidence(series, change))
    judged = Judged(finding, choose_kind(before, now)[1], start, first)
    if finding.kind not in PHASED or not now:
        return judged
    # dates are compared with dates: the medians of pixels are other numbers than those of bands
    latest = showing[-_LATEST:]
    usual_now = {name: float(np.median(one[latest])) for name, one in series.values.items()}
    built = looks_like(series.values, usual_now)
    spans = construction_phases(series.values, built, base.days, (start, first))
    if not spans or finding.phase is not None:
        return judged
    return replace(judged, found=replace(finding, phase=spans[-1].phase))


def _latest_state(base: SiteBaseline, pixels: NDArray[np.bool_], dates: int) -> dict[str, float]:
    """Return the index medians of the last clear dates that read as the same surface; nothing if most do not.

    The median of two dates with bare soil and two with a cloud over it would be paving.
    """
    states = [typical_indices(plane, base.bands) for plane in base.latest(pixels, dates)]
    surfaces = [read_surface(one) for one in states if one]
    if not surfaces:
        return {}
    (most, count), *_ = Counter(surfaces).most_common()
    if 2 * count <= len(surfaces):
        return {}
    agreeing = [one for one in states if one and read_surface(one) == most]
    return {name: float(np.median([one[name] for one in agreeing])) for name in agreeing[0]}


def _first_shown(units: Floats, days: NDArray[np.float64], clear: NDArray[np.intp], group: PixelGroup) -> int:
    """Return the first date that shows a candidate: the one from which its pixels together are off.

    A pixel by itself may begin to add up early, by chance or by a cloud; so the date is taken that leaves the
    fewest dates on the wrong side of half of the step, beginning where the first pixels did.
    """
    place = min(int(np.searchsorted(days, group.by_day - 0.5)), len(days) - 1)
    signed = units[clear] * group.side
    begin = int(np.searchsorted(clear, place))
    step = float(np.median(signed[-_LATEST:])) if len(signed) > begin else 0.0
    if not step > 0:
        return place
    off = signed >= 0.5 * step
    # what is off before a date speaks against it, and what is not off from then on
    wrong = np.concatenate([[0], np.cumsum(off)]) + np.concatenate([np.cumsum(~off[::-1])[::-1], [0]])
    among = wrong[max(begin - _EARLIER, 0) : len(signed)]
    return int(clear[max(begin - _EARLIER, 0) + int(among.argmin())])


def _ends(
    showing: NDArray[np.intp], days: NDArray[np.float64], return_day: float, pattern: int
) -> tuple[int, int | None]:
    """Return the last date that shows a change and the first that does not; None while it lasts."""
    back = pattern in (Pattern.REVERSED, Pattern.SEASONAL) and not math.isnan(return_day)
    if not back:
        return int(showing[-1]), None
    over = int(np.abs(days - return_day).argmin())
    earlier = showing[showing < over]
    return (int(earlier[-1]) if len(earlier) else int(showing[0])), max(over, int(showing[0]) + 1)


def _object_dates(base: SiteBaseline, pixels: NDArray[np.bool_]) -> ObjectDates:
    """Return the medians of the watched indices, and their deviations, for each date."""
    labels = np.ones(int(pixels.sum()), np.int64)
    values, units, scale = {}, {}, {}
    for index, (name, state) in enumerate(zip(base.names, base.states, strict=True)):
        baseline = state.baseline
        off = base.units_of(index, pixels)
        terms = design_of(base.days, baseline.origin_day, baseline.parameters).astype(np.float32)
        usual = np.nan_to_num(baseline.coefficient[:, pixels])
        noise = baseline.scale[pixels]
        series = terms @ usual + off * noise
        values[name] = object_series(series, labels).median[:, 0]
        units[name] = object_series(off, labels).median[:, 0]
        scale[name] = float(np.nanmedian(noise)) if np.isfinite(noise).any() else math.nan
    return ObjectDates(base.days, approximate_indices(values), units, scale)


def site_floor(base: SiteBaseline) -> DetectionFloor:
    """Say which maintenance at a site its dates could not show, from the noise of its built-up pixels.

    Parameters
    ----------
    base : SiteBaseline

    Returns
    -------
    DetectionFloor
        Of all pixels of the site where hardly any is built up.
    """
    indices = compute_indices(base.before, base.bands)
    chosen, measured_on = base.inside, "the whole site, of which hardly any is built up"
    if "NDVI" in base.names:
        coefficient = base.states[base.names.index("NDVI")].baseline.coefficient
        greenest = coefficient[0] + np.sqrt(np.square(coefficient[1:]).sum(axis=0))
        built = built_up(indices, greenest.astype(np.float32)) & base.inside
        if built.sum() >= _LEAST_BUILT_PX:
            chosen, measured_on = built, f"{int(built.sum())} built-up pixels"
    scale = {name: one.baseline.scale[chosen] for name, one in zip(base.names, base.states, strict=True)}
    return detection_floor(scale, base.days, measured_on, 1, DATE_BY_DATE)


def leading_side(
    leading: NDArray[np.int8], side: NDArray[np.int8], pixels: NDArray[np.bool_]
) -> tuple[int, int]:
    """Return which index speaks for most pixels, and on which side it is.

    Parameters
    ----------
    leading : ndarray of int8, shape (y, x)
        Index of each pixel, -1 for none.
    side : ndarray of int8, shape (y, x)
        On which side that one is.
    pixels : ndarray of bool, shape (y, x)

    Returns
    -------
    tuple of int
    """
    among = leading[pixels & (leading >= 0)]
    if not among.size:
        return 0, 1
    index = int(np.bincount(among.astype(np.intp)).argmax())
    total = int(side[pixels & (leading == index)].astype(np.int64).sum())
    return index, 1 if total >= 0 else -1


def still_off(units: Floats, side: NDArray[np.int8], step: Floats) -> NDArray[np.bool_]:
    """Tell which pixels are off on their last clear date.

    Parameters
    ----------
    units : ndarray of float32, shape (time, pixel)
        In standard deviations; NaN where a date does not see it.
    side : ndarray of int8, shape (pixel,)
    step : ndarray of float32, shape (pixel,)
        Their median since; half of it is off where that is less than usual.

    Returns
    -------
    ndarray of bool, shape (pixel,)
    """
    seen = np.isfinite(units)
    last = len(units) - 1 - np.argmax(seen[::-1], axis=0)
    newest = np.where(seen, units, np.float32(0))[last, np.arange(units.shape[1])]
    least = np.fmin(np.float32(BehaviourParameters.beyond), np.abs(step) / 2)
    return np.asarray(newest * side > least)
