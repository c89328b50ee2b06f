"""Phases of a construction as it develops: prepared, under construction, finished; with their dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.timeline.kinds_in_time import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Clear dates, and days, on which a finished surface has to stay as it is.
SETTLED_DATES, SETTLED_DAYS = 4, 45.0
#: How far, in index units, a finished surface moves: sun, dust and rain.
_STILL: dict[str, float] = {"NDVI": 0.10, "brightness": 0.05}


@dataclass(frozen=True)
class PhaseSpan:
    """A phase of a construction.

    Attributes
    ----------
    phase : Phase
    after, by : int
        It began after the first and by the second of these clear dates, as places in the series.
    until : int
        The last clear date that shows it.
    """

    phase: Phase
    after: int
    by: int
    until: int


def construction_phases(
    values: Mapping[str, NDArray[np.float32]],
    built: NDArray[np.bool_],
    days: NDArray[np.float64],
    start: tuple[int, int],
) -> tuple[PhaseSpan, ...]:
    """Say when a place was prepared, built on, and finished.

    Ground is prepared while it reads as anything but built. It is under construction from the first of two
    clear dates in a row that read as built or paved. It is finished from the clear date on from which its
    NDVI and brightness stay what they are on the last ones, once they have done so for `SETTLED_DATES` clear
    dates and `SETTLED_DAYS` days. The names are those of IARPA SMART (Goldberg et al. 2023,
    doi:10.1117/12.2663071); what they mean at 10 m is less: a phase may come and go between two clear dates.

    Parameters
    ----------
    values : mapping of str to ndarray of float32, shape (time,)
        Index medians by name; NaN where a date does not show the place.
    built : ndarray of bool, shape (time,)
        Which dates read as built or paved.
    days : ndarray of float64, shape (time,)
        Ascending.
    start : tuple of int
        The last clear date before the change, and the first one that shows it.

    Returns
    -------
    tuple of PhaseSpan
        In order of time, those that some clear date shows, and `Phase.ACTIVE` also where it fell between two.

    Examples
    --------
    >>> values = {"brightness": np.float32([0.15] * 4 + [0.28] * 6)}
    >>> days, built = 20.0 * np.arange(10), np.arange(10) >= 4
    >>> [(one.phase.value, one.by) for one in construction_phases(values, built, days, (-1, 0))]
    [('Site Preparation', 0), ('Active Construction', 4), ('Post Construction', 4)]
    """
    clear = np.isfinite(np.stack(list(values.values()))).all(axis=0)
    places = np.flatnonzero(clear & (np.arange(len(days)) >= start[1]))
    if not len(places):
        return ()
    here = built[places]
    twice = here & np.append(here[1:], here[-1:])
    begun = int(np.argmax(twice)) if twice.any() else len(places)
    settled = max(_settled(values, days, places), begun)
    if not _long_enough(days, places[settled:]):
        settled = len(places)
    spans = []
    for phase, first, end in (
        (Phase.PREPARATION, 0, begun),
        (Phase.ACTIVE, begun, settled),
        (Phase.POST, settled, len(places)),
    ):
        between = phase is Phase.ACTIVE and first == end < len(places)
        if first < end or between:
            after = start[0] if first == 0 else int(places[first - 1])
            until = int(places[max(end - 1, first)])
            spans.append(PhaseSpan(phase, after, int(places[first]), until))
    return tuple(spans)


def _settled(
    values: Mapping[str, NDArray[np.float32]], days: NDArray[np.float64], places: NDArray[np.intp]
) -> int:
    """Return from which of the places on nothing moves any more; their number where it still does."""
    still = np.ones(len(places), bool)
    for name, most in _STILL.items():
        if name in values:
            series = values[name][places]
            still &= np.abs(series - np.median(series[-SETTLED_DATES:])) <= most
    # a single date that is off is weather, and ends nothing
    moving = ~still & ~np.append(still[1:], True)
    first = int(np.flatnonzero(moving)[-1]) + 2 if moving.any() else 0
    return min(first, len(places))


def _long_enough(days: NDArray[np.float64], places: NDArray[np.intp]) -> bool:
    return len(places) >= SETTLED_DATES and bool(days[places[-1]] - days[places[0]] >= SETTLED_DAYS)
