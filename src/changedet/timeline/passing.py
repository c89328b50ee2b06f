"""Clear dates outside of the band that make no break: each run of them has a name, none is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.series_behaviour import BehaviourParameters, Pattern, behaviour
from changedet.timeline.evidence import Change, gather_evidence
from changedet.timeline.kinds_in_time import TimeFinding, choose_time_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.series_change import SeriesChange
    from changedet.timeline.kinds import ZoneSeries

    Floats = NDArray[np.float32]

#: A single date may be told to be its season's.
_SHORT = BehaviourParameters(least_later=1)


@dataclass(frozen=True)
class Passing:
    """Some clear dates in a row that leave the band and make no break.

    Attributes
    ----------
    after, by : str
        The last clear date before, and the first of them; `after` is empty at the beginning of the series.
    last_seen : str
        The last of them.
    over_by : str
        The first clear date back in the band; empty where the series ends with them.
    dates : int
        How many there are.
    indices : tuple of str
        Which of the indices leave it.
    found : TimeFinding
        What they are consistent with.
    """

    after: str
    by: str
    last_seen: str
    over_by: str
    dates: int
    indices: tuple[str, ...]
    found: TimeFinding

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "after": self.after or None,
            "by": self.by,
            "last_seen": self.last_seen,
            "over_by": self.over_by or None,
            "clear_dates": self.dates,
            "indices": list(self.indices),
            "kind": self.found.kind.value,
            "decided_by": self.found.to_dict(),
        }


def find_passing(
    series: ZoneSeries, changes: tuple[SeriesChange, ...], band_sigma: float
) -> tuple[Passing, ...]:
    """Name what leaves the band of a zone without a break.

    Parameters
    ----------
    series : ZoneSeries
    changes : tuple of SeriesChange
        The breaks; their dates are not looked at.
    band_sigma : float
        Half the width of the band, in standard deviations.

    Returns
    -------
    tuple of Passing
        In order of time; none without a baseline.
    """
    values, expected, sigma = series.usual
    units = (values - expected) / sigma
    clear = np.flatnonzero(np.isfinite(values).all(axis=1))
    taken = np.zeros(len(values), bool)
    for change in changes:
        taken |= change.inside(len(values))
    with np.errstate(invalid="ignore"):
        outside = np.asarray(np.abs(units) > band_sigma)[clear] & ~taken[clear, None]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], outside.any(axis=1), [False]]).astype(np.int8)))
    return tuple(
        _passing(series, units, clear, (int(start), int(stop)), outside[start:stop])
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def _passing(
    series: ZoneSeries,
    units: Floats,
    clear: NDArray[np.intp],
    run: tuple[int, int],
    outside: NDArray[np.bool_],
) -> Passing:
    start, stop = run
    first, last = int(clear[start]), int(clear[stop - 1])
    over = int(clear[stop]) if stop < len(clear) else None
    here = units[clear[start:stop]]
    known = np.isfinite(here).all(axis=0)
    step = np.median(np.where(known, here, 0), axis=0)
    lead = int(np.argmax(np.abs(step)))
    days = series.reading.days
    side = np.array([np.sign(step[lead])], np.int8)
    found = behaviour(units[:, lead : lead + 1], days, np.array([days[first]], np.float32), side, _SHORT)
    seasonal = int(found.pattern[0]) == Pattern.SEASONAL
    change = Change(first, last, over, seasonal=seasonal, outline=series.outline)
    dates = [one.date for one in series.reading.dates]
    return Passing(
        after=dates[clear[start - 1]] if start else "",
        by=dates[first],
        last_seen=dates[last],
        over_by="" if over is None else dates[over],
        dates=stop - start,
        indices=tuple(name for column, name in enumerate(series.indices) if outside[:, column].any()),
        found=choose_time_kind(gather_evidence(series.dates(None), change)),
    )


def latest_note(series: ZoneSeries, passing: tuple[Passing, ...]) -> list[str]:
    """Say when the last clear date lies outside its band and no break says so: what is new is provisional.

    Parameters
    ----------
    series : ZoneSeries
    passing : tuple of Passing
        From `find_passing`.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    if not passing or passing[-1].over_by:
        return []
    one = passing[-1]
    verb = "lies" if len(one.indices) == 1 else "lie"
    return [
        f"on {one.last_seen}, the last clear date, {', '.join(one.indices)} {verb} outside the band: "
        "provisional, look again at the next clear date"
    ]
