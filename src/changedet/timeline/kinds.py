"""The kind of a break of a zone, from all its dates: evidence, rule, phases."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.detection_floor import LOOKING_BACK, DetectionFloor, detection_floor
from changedet.core.series_behaviour import Pattern
from changedet.core.series_change import SeriesChange, find_series_changes, noise_of_differences
from changedet.core.state_change import StateChangeParameters, last_state_change
from changedet.kinds import Surface, name_surfaces
from changedet.timeline.evidence import Change, Evidence, ObjectDates, Outline, gather_evidence
from changedet.timeline.kinds_in_time import PHASED, Phase, TimeFinding, choose_time_kind
from changedet.timeline.phases import construction_phases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.series_behaviour import Behaviour
    from changedet.core.series_change import SeriesChangeParameters
    from changedet.core.state_change import StateChange
    from changedet.timeline.reading import Reading, ZoneReading
    from changedet.timeline.types import ZoneTimeline

    Floats = NDArray[np.float32]

#: A step so few clear dates from a change of what a zone reads as is the same change.
_NEAR_DATES = 2


@dataclass(frozen=True)
class PhaseDates:
    """A phase of a construction between dates.

    Attributes
    ----------
    phase : Phase
    after, by : str
        It began after the first and by the second of these clear dates.
    last_seen : str
        The last clear date that shows it.
    """

    phase: Phase
    after: str
    by: str
    last_seen: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {"phase": self.phase.value, "after": self.after, "by": self.by, "last_seen": self.last_seen}


@dataclass(frozen=True, eq=False)
class ZoneSeries:
    """All that the dates show of a zone, and what is usual for it.

    Attributes
    ----------
    read : ZoneReading
    reading : Reading
        With the dates and the names of the indices.
    indices : tuple of str
        Names of the ones that are followed.
    usual : tuple of ndarray of float32, shape (time, index)
        Values of these, what is expected, and a standard deviation.
    outline : Outline
        Form of the zone, where it is that of an object.
    without : ndarray of bool, shape (time,), optional
        Dates that are passed over: those of other breaks.
    """

    read: ZoneReading
    reading: Reading
    indices: tuple[str, ...]
    usual: tuple[Floats, Floats, Floats]
    outline: Outline = field(default_factory=Outline)
    without: NDArray[np.bool_] | None = None

    def dates(self, change: SeriesChange | None) -> ObjectDates:
        """Return the series with its deviations; where nothing is usual, those that the change has."""
        values, expected, sigma = self.usual
        units = (values - expected) / sigma
        columns = range(len(self.indices))
        scale = [
            float(np.nanmedian(sigma[:, column])) if np.isfinite(sigma[:, column]).any() else np.nan
            for column in columns
        ]
        known = dict(zip(self.indices, columns, strict=True))
        if change is not None and not np.isfinite(units).any():
            inside = change.inside(len(units))[:, None]
            units = np.where(inside, change.step / change.spread, 0).astype(np.float32)
            scale = change.spread.tolist()
        return ObjectDates(
            self.reading.days,
            self.by_name,
            {name: units[:, column] for name, column in known.items()},
            {name: float(scale[column]) for name, column in known.items()},
        )

    @property
    def by_name(self) -> dict[str, Floats]:
        """Every index of the zone by name, NaN where a date does not show it."""
        values = self.read.values
        if self.without is not None:
            values = np.where(self.without[:, None], np.float32(np.nan), values)
        return {name: values[:, column] for column, name in enumerate(self.reading.index_names)}


def find_changes(
    read: ZoneReading, reading: Reading, indices: tuple[str, ...], parameters: SeriesChangeParameters
) -> tuple[SeriesChange, ...]:
    """Find the changes of a zone: those of its indices, and one of what it reads as.

    Parameters
    ----------
    read : ZoneReading
    reading : Reading
        With the dates and the names of the indices.
    indices : tuple of str
        Those in which steps are looked for.
    parameters : SeriesChangeParameters

    Returns
    -------
    tuple of SeriesChange
        From `find_series_changes`; after them, where there is one of about that date that lasts, none, and
        otherwise the date since which it reads as built (`last_state_change`).
    """
    series = read.values[:, [reading.index_names.index(name) for name in indices]]
    changes = find_series_changes(series, reading.days, parameters)
    clear = np.flatnonzero(np.isfinite(read.values).all(axis=1))
    by_name = {name: read.values[clear, column] for column, name in enumerate(reading.index_names)}
    became = last_state_change(np.array([one == Surface.BUILT for one in name_surfaces(by_name)], bool))
    if became is None:
        return changes
    near = [one for one in changes if one.over_by is None
            and abs(int(np.searchsorted(clear, one.first)) - became.first) <= _NEAR_DATES]  # fmt: skip
    if near:
        return changes
    return (*changes, _change_of_state(series, clear, became, parameters))


def _change_of_state(
    series: Floats, clear: NDArray[np.intp], became: StateChange, parameters: SeriesChangeParameters
) -> SeriesChange:
    """Return a change of what a zone reads as, in the form of a step that lasts."""
    first, last = int(clear[became.first]), int(clear[-1])
    before, since = series[clear[: became.first]], series[clear[became.first :]]
    # what would be usual since is learnt from the dates before alone
    course = np.zeros(series.shape)
    course[first : last + 1] = np.nan
    return SeriesChange(
        unchanged_until=int(clear[became.first - 1]),
        first=first,
        last=last,
        over_by=None,
        step=(np.median(since, axis=0) - np.median(before, axis=0)).astype(np.float64),
        course=course,
        spread=noise_of_differences(series[clear], parameters.least_spread),
        score=float(np.sqrt(became.ratio)),
        threshold=float(np.sqrt(StateChangeParameters().least_ratio)),
    )


def find_kind(
    series: ZoneSeries, change: SeriesChange, changes: tuple[SeriesChange, ...], behaviour: Behaviour
) -> tuple[TimeFinding, tuple[PhaseDates, ...]]:
    """Choose the kind of a break by all dates of its zone.

    Parameters
    ----------
    series : ZoneSeries
    change : SeriesChange
        The break.
    changes : tuple of SeriesChange
        All breaks of the zone: their dates are no others' before and after.
    behaviour : Behaviour
        How the leading index went on, of a single pixel.

    Returns
    -------
    finding : TimeFinding
        With the phase of the last clear date, of a construction.
    phases : tuple of PhaseDates
        In order of time; empty for other kinds.
    """
    alone = replace(series, without=_of_others(change, changes, len(series.reading.days)))
    finding = choose_time_kind(zone_evidence(alone, change, behaviour))
    if finding.kind not in PHASED:
        return finding, ()
    dates = [one.date for one in series.reading.dates]
    values, start = series.by_name, (change.unchanged_until, change.first)
    built = np.array([one == Surface.BUILT for one in name_surfaces(values)], bool)
    spans = construction_phases(values, built, series.reading.days, start)
    phases = tuple(PhaseDates(one.phase, dates[one.after], dates[one.by], dates[one.until]) for one in spans)
    return replace(finding, phase=phases[-1].phase if phases else finding.phase), phases


def zone_floor(
    zone: ZoneTimeline, indices: tuple[str, ...], days: NDArray[np.float64]
) -> DetectionFloor | None:
    """Say which changes of a zone its dates could not show.

    Parameters
    ----------
    zone : ZoneTimeline
    indices : tuple of str
        Names of the ones that are followed.
    days : ndarray of float64, shape (time,)
        Of all dates.

    Returns
    -------
    DetectionFloor or None
        None without a baseline.
    """
    if zone.baseline is None:
        return None
    scale = {name: zone.baseline.scale[..., column] for column, name in enumerate(indices)}
    pixels = int(zone.zone.mask.sum())
    return detection_floor(scale, days[zone.used], f"{zone.zone.name} itself", pixels, LOOKING_BACK)


def _of_others(change: SeriesChange, changes: tuple[SeriesChange, ...], dates: int) -> NDArray[np.bool_]:
    """Say which dates belong to breaks that were over before, or to ones that begin when this one is over."""
    out = np.zeros(dates, bool)
    for other in changes:
        earlier = other.over_by is not None and other.over_by <= change.first
        later = change.over_by is not None and other.first >= change.over_by
        if earlier or later:
            out |= other.inside(dates)
    return out


def zone_evidence(series: ZoneSeries, change: SeriesChange, behaviour: Behaviour) -> Evidence:
    """Put a break into the numbers by which its kind is chosen.

    Parameters
    ----------
    series : ZoneSeries
    change : SeriesChange
    behaviour : Behaviour
        Of a single pixel.

    Returns
    -------
    Evidence
    """
    over = change.over_by
    return gather_evidence(
        series.dates(change),
        Change(
            change.first,
            change.last,
            over,
            seasonal=int(behaviour.pattern[0]) == Pattern.SEASONAL,
            episodes=max(int(behaviour.bursts[0]), 1),
            outline=series.outline,
        ),
    )
