"""Steps so large that the first clear dates show them, before what adds up is an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.cusum import AlarmStatus
from changedet.watch.baselines import UNSEEN, kept_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.index_alarms import IndexAlarms
    from changedet.watch.baselines import SiteBaseline
    from changedet.watch.rules import WatchRules

#: Standard deviations from which a single date stands out: a limit of Shewhart's beside the chart of sums, as
#: Lucas 1982 combines them (doi:10.1080/00224065.1982.11978790); that several dates have to is the rule of
#: Lucas and Crosier 1982 (doi:10.1080/03610928208828414), against single dates that are wrong.
STANDS_OUT = 4.0
#: What a date shows within so many is as usual. A cloud hides what was built and does not put the old ground
#: in its place: one such date, and what the dates before it showed was no step.
_USUAL = 1.5
#: So long the dates must show it: goods, machines and tents stand for days or weeks, and come in numbers that
#: no list of alerts should hold.
LEAST_DAYS = 21.0
#: Standard deviations within which 95 % of normal numbers lie.
_WITHIN_95 = 1.96
#: Among how many last dates the clear ones are looked for.
_LAST_DATES = 16


@dataclass(frozen=True, eq=False)
class Alarms:
    """What is alarmed at a site, by what adds up or by dates that stand out; arrays of shape (y, x).

    Attributes
    ----------
    alarmed : ndarray of bool
        Pixels in alarm.
    persisting : ndarray of bool
        Those of them that the chart says persist.
    early : ndarray of bool
        Those that enough of the last clear dates show, each by itself, over long enough a time.
    leading : ndarray of int8
        The index with the largest step, or -1.
    side : ndarray of int8
        1 where that one is above what is usual, -1 below.
    by_day : ndarray of float32
        The first day that shows it.
    size : ndarray of float32
        Of the leading index, in standard deviations.
    said_by : ndarray of uint32
        As in `changedet.core.index_alarms.IndexAlarms`.
    """

    alarmed: NDArray[np.bool_]
    persisting: NDArray[np.bool_]
    early: NDArray[np.bool_]
    leading: NDArray[np.int8]
    side: NDArray[np.int8]
    by_day: NDArray[np.float32]
    size: NDArray[np.float32]
    said_by: NDArray[np.uint32]


def gather_alarms(base: SiteBaseline, combined: IndexAlarms, rules: WatchRules) -> Alarms:
    """Put the alarms of the charts and the dates that stand out together.

    Parameters
    ----------
    base : SiteBaseline
    combined : IndexAlarms
        Of its charts.
    rules : WatchRules
        How many later dates have to bear an alarm out, of how many: that share of the dates must stand out,
        from the first of them to the last, which must as well.

    Returns
    -------
    Alarms
    """
    charted = np.isin(combined.status, (AlarmStatus.PROVISIONAL, AlarmStatus.PERSISTING)) & base.inside
    leading, size = combined.leading.copy(), combined.size.copy()
    by_day, said = combined.by_day.copy(), combined.said_by.copy()
    side = np.zeros(leading.shape, np.int8)
    for index, state in enumerate(base.states):
        side = np.where(leading == index, state.chart.side, side).astype(np.int8)
    listed, early = np.zeros(charted.shape, bool), np.zeros(charted.shape, bool)
    largest = np.zeros(charted.shape, np.float32)
    for index in range(len(base.names)):
        shown = _shown(base, index, rules)
        if shown is None:
            break
        here = shown.here & base.inside
        doubtful = here & ~base.states[index].baseline.monitored
        if doubtful.any():
            here[doubtful] = _beyond_history(base, index, doubtful, shown.size[doubtful])
        listed |= here
        early |= here & shown.long
        said[here] |= np.uint32(1 << index)
        better = here & ~charted & (np.abs(shown.size) > largest)
        largest[better] = np.abs(shown.size)[better]
        for target, value in ((leading, np.int8(index)), (size, shown.size), (by_day, shown.by_day),
                              (side, np.sign(shown.size).astype(np.int8))):  # fmt: skip
            target[better] = value[better] if isinstance(value, np.ndarray) else value
    alarmed = charted | listed
    persisting = charted & (combined.status == AlarmStatus.PERSISTING)
    return Alarms(alarmed, persisting, early, leading, side, by_day, size, said)


def _beyond_history(
    base: SiteBaseline, index: int, pixels: NDArray[np.bool_], size: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Tell where a step stands out of a history that was not stable itself.

    By how much such a history strayed is usual there: its noise is what 95 % of its dates stay within.
    """
    history = base.units_of(index, pixels)[: int((base.days < _since(base)).sum())]
    strayed = np.nanquantile(np.abs(history), 0.95, axis=0) / _WITHIN_95
    return np.asarray(np.abs(size) >= STANDS_OUT * np.maximum(strayed, 1))


def _since(base: SiteBaseline) -> float:
    return datetime.fromisoformat(base.since).timestamp() / 86400


@dataclass(frozen=True, eq=False)
class _Shown:
    here: NDArray[np.bool_]
    long: NDArray[np.bool_]
    size: NDArray[np.float32]
    by_day: NDArray[np.float32]


def _shown(base: SiteBaseline, index: int, rules: WatchRules) -> _Shown | None:
    """Tell which pixels enough of the last clear dates show; None before the first monitored date."""
    dates = min(int((base.days >= _since(base)).sum()), _LAST_DATES)
    if not dates:
        return None
    days, kept = base.days[-dates:], base.units[index, -dates:]
    clear = kept != UNSEEN
    cleared = _from_the_end(clear)
    newest = clear & (cleared == 1)
    last = np.where(newest.any(axis=0), days[newest.argmax(axis=0)], np.nan)
    limit, calm = kept_step(STANDS_OUT), kept_step(_USUAL)
    shape = kept.shape[1:]
    found = _Shown(
        np.zeros(shape, bool),
        np.zeros(shape, bool),
        np.zeros(shape, np.float32),
        np.full(shape, np.nan, np.float32),
    )
    for sign in (1, -1):
        off = clear & ((kept >= limit) if sign > 0 else (kept <= -limit))
        counted = _from_the_end(off)
        usual = _from_the_end(clear & ((kept < calm) if sign > 0 else (kept > -calm)))
        begins = off & (counted > rules.least_later) & (usual == 0)
        begins &= counted * (1 + rules.of_later) >= cleared * (1 + rules.least_later)
        here = (off & newest).any(axis=0) & begins.any(axis=0)
        if here.any():
            first = begins.argmax(axis=0)[here]
            units = base.units_of(index, here, dates)
            found.here[here] = True
            found.long[here] = last[here] - days[first] >= LEAST_DAYS
            found.by_day[here] = days[first]
            found.size[here] = np.nanmedian(np.where(off[:, here], units, np.nan), axis=0)
    return found


def _from_the_end(chosen: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Count along the dates from the last one back."""
    return np.cumsum(chosen[::-1], axis=0, dtype=np.int16)[::-1]
