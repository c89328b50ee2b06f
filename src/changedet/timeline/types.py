"""Since when, and is it still going on: dated indices of a place, what is usual, and where they left it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.harmonic_baseline import BaselineParameters
from changedet.core.indices import INDICES
from changedet.core.parameters import Described
from changedet.core.season import YEAR_DAYS
from changedet.core.series_behaviour import Pattern, behaviour
from changedet.core.series_change import SeriesChange, SeriesChangeParameters
from changedet.errors import UsageError
from changedet.kinds import Kind, choose_kind
from changedet.timeline.kinds import PhaseDates, ZoneSeries, find_changes, find_kind
from changedet.timeline.kinds_in_time import WORKS, TimeFinding
from changedet.timeline.passing import Passing, find_passing, latest_note
from changedet.timeline.reading import Chips, DateRecord, Reading, ReadingSettings, ZoneReading
from changedet.timeline.usual import break_state, curve_of, usual_course

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.harmonic_baseline import Baseline
    from changedet.radar.series import RadarSeries
    from changedet.site import Site
    from changedet.timeline.access import LeftOut
    from changedet.timeline.activity import Activity
    from changedet.timeline.zones import Zone

    Floats = NDArray[np.float32]

DEFAULT_INDICES = ("NDVI", "brightness", "NDBI")
#: Clear dates on each side of a break from which its kind is read.
_KIND_DATES = 6


@dataclass(frozen=True)
class TimelineSettings(Described):
    """How a timeline is made.

    Attributes
    ----------
    indices : tuple of str
        Names of `changedet.core.indices.INDICES`: what breaks are looked for in, and what is shown.
    reading : ReadingSettings
        How dates are registered and reduced.
    changes : SeriesChangeParameters
        How breaks are looked for.
    baseline : BaselineParameters
        How what is usual is fitted.
    band_sigma : float
        Half the width of the band, in standard deviations.
    """

    indices: tuple[str, ...] = DEFAULT_INDICES
    reading: ReadingSettings = field(default_factory=ReadingSettings)
    changes: SeriesChangeParameters = field(default_factory=SeriesChangeParameters)
    baseline: BaselineParameters = field(
        default_factory=lambda: BaselineParameters(least_dates=8, least_years=1.2, stability=math.inf)
    )
    band_sigma: float = 2.5

    def __post_init__(self) -> None:
        if not self.indices or not self.band_sigma > 0:
            raise UsageError("no index, or a band of no width", todo="name an index, such as ndvi")


def index_names(text: str) -> tuple[str, ...]:
    """Read a list of indices, in any case.

    Parameters
    ----------
    text : str
        Names with commas between them.

    Returns
    -------
    tuple of str
        As `changedet.core.indices.INDICES` spells them, each once.

    Raises
    ------
    UsageError
        When there is none of a name.

    Examples
    --------
    >>> index_names("ndvi, Brightness")
    ('NDVI', 'brightness')
    """
    known = {name.lower(): name for name in INDICES}
    asked = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        raise UsageError(
            f"there is no index {', '.join(unknown) or text!r}", where="--index",
            todo=f"use some of {', '.join(known)}",
        )  # fmt: skip
    return tuple(dict.fromkeys(known[name] for name in asked))


@dataclass(frozen=True, eq=False)
class ZoneBreak:
    """A change of a zone: since when, until when, and what it is consistent with.

    Attributes
    ----------
    after, by : str
        It began after the first and by the second of these dates: the last clear one before, and the first
        clear one that shows it.
    last_seen : str
        The last clear date that shows it.
    over_by : str
        The first clear date that does not show it any more; empty when it shows on the last clear date.
    state : str
        ``"persisting"``, ``"provisional"`` (few clear dates show it so far, or the series is too short to
        know the season) or ``"over"``.
    kind : Kind
        By the rules for two dates, from medians before and after.
    evidence : str
        The two surfaces and the numbers behind them.
    found : TimeFinding
        The kind by the rules for series, the rule that chose it, and its numbers.
    phases : tuple of PhaseDates
        Of a construction, in order of time.
    change : SeriesChange
        Places in the series, steps, score.
    steps : mapping of str to float
        By how much each index changed, level and season apart.
    pattern : Pattern
        What the dates after it are consistent with.
    share_beyond : float
        Share of the clear dates from `by` to `last_seen` that lie outside the band on its side; NaN without a
        baseline.
    dates_before, dates_inside : int
        Clear dates before it, and clear dates that show it.
    """

    after: str
    by: str
    last_seen: str
    over_by: str
    state: str
    kind: Kind
    evidence: str
    found: TimeFinding
    phases: tuple[PhaseDates, ...]
    change: SeriesChange
    steps: dict[str, float]
    pattern: Pattern
    share_beyond: float
    dates_before: int
    dates_inside: int

    @property
    def built(self) -> bool:
        """True for a lasting change of the kind that building, clearing and demolishing leave."""
        return self.state == "persisting" and self.found.kind in WORKS

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "after": self.after,
            "by": self.by,
            "last_seen": self.last_seen,
            "over_by": self.over_by or None,
            "state": self.state,
            "kind": self.found.kind.value,
            "kind_of_two_dates": self.kind.name.lower(),
            "evidence": self.evidence,
            "decided_by": self.found.to_dict(),
            "phases": [one.to_dict() for one in self.phases],
            "steps": {name: round(value, 4) for name, value in self.steps.items()},
            "score": round(self.change.score, 2),
            "threshold": round(self.change.threshold, 2),
            "pattern": self.pattern.name.lower(),
            "share_beyond": None if math.isnan(self.share_beyond) else round(self.share_beyond, 3),
            "clear_dates_before": self.dates_before,
            "clear_dates_showing_it": self.dates_inside,
        }


@dataclass(frozen=True, eq=False)
class ZoneTimeline:
    """A zone through time.

    Attributes
    ----------
    zone : Zone
        Its pixels.
    values, spread : ndarray of float32, shape (time, index)
        Median and robust standard deviation of its pixels; NaN where too little of it is seen.
    share : ndarray of float32, shape (time,)
        Share of its pixels that a date shows.
    count : ndarray of int32, shape (time,)
        Their number.
    reasons : tuple of str
        Why a date does not count here; empty where it does.
    baseline : Baseline or None
        What is usual for each index, breaks apart; None with too few dates.
    expected, sigma : ndarray of float32, shape (time, index)
        What is usual on each date, and a standard deviation; NaN where nothing is expected.
    breaks : tuple of ZoneBreak
        In order of time.
    notes : tuple of str
        What a reader should know, in sentences.
    passing : tuple of Passing
        Clear dates outside of the band that make no break, each with a name: snow, cloud, flood, ...
    """

    zone: Zone
    values: Floats
    spread: Floats
    share: Floats
    count: NDArray[np.int32]
    reasons: tuple[str, ...]
    baseline: Baseline | None
    expected: Floats
    sigma: Floats
    breaks: tuple[ZoneBreak, ...]
    notes: tuple[str, ...]
    passing: tuple[Passing, ...] = ()

    @property
    def used(self) -> NDArray[np.bool_]:
        """True for the dates that count, shape (time,)."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def curve(self, days: NDArray[np.float64]) -> tuple[Floats, Floats]:
        """Return what is usual on any days, and a standard deviation, shape (day, index); NaN without."""
        if self.baseline is None:
            return (np.full((len(days), self.values.shape[1]), np.nan, np.float32),) * 2
        return curve_of(self.baseline, days)


@dataclass(frozen=True, eq=False)
class Timeline:
    """The indices of a place through time, with everything a reader, a file or a notebook needs.

    Attributes
    ----------
    name : str
        Of the site, printed on every product.
    site : Site or None
        None when the images alone say where.
    grid : GeoBox
        Of the zones.
    indices : tuple of str
        Names, in the order of the values.
    dates : tuple of DateRecord
        In order of time.
    left_out : tuple of LeftOut
        Dates that are not among them, with the reason.
    zones : tuple of ZoneTimeline
        The whole site first.
    activity : Activity or None
        Share of the built-up pixels outside their own bands, on each date.
    chips : Chips or None
        The same ground on every date.
    closure_rmse_px : float
        What is left when measured shifts are added round triangles of dates.
    warnings : tuple of str
        What to beware of.
    parameters : mapping
        Everything that decides the result, JSON-serialisable.
    radar : RadarSeries or None
        Backscatter of the same zones; None where radar was not asked for, or has nothing.
    """

    name: str
    site: Site | None
    grid: GeoBox
    indices: tuple[str, ...]
    dates: tuple[DateRecord, ...]
    left_out: tuple[LeftOut, ...]
    zones: tuple[ZoneTimeline, ...]
    activity: Activity | None
    chips: Chips | None
    closure_rmse_px: float
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    radar: RadarSeries | None = None

    @property
    def days(self) -> NDArray[np.float64]:
        """Days since 1970-01-01 of each date."""
        return np.array([one.day for one in self.dates], np.float64)

    @property
    def acquisitions(self) -> tuple[DateRecord, ...]:
        """The dates of both sensors in order of time."""
        radar = () if self.radar is None else self.radar.dates
        return tuple(sorted((*self.dates, *radar), key=lambda one: one.day))

    @property
    def span(self) -> tuple[str, str]:
        """The first and the last date of both sensors."""
        return self.acquisitions[0].date, self.acquisitions[-1].date

    @property
    def band_sigma(self) -> float:
        """Half the width of the bands, in standard deviations."""
        return float(self.parameters["settings"]["band_sigma"])

    def to_xarray(self) -> xr.Dataset:
        """Return a Dataset with dimensions (time, index, zone), described as CF asks for.

        Examples
        --------
        >>> timeline.to_xarray().value.sel(zone="whole site", index="NDVI")    # doctest: +SKIP
        """
        from changedet.timeline.dataset import dataset_of

        return dataset_of(self)

    def plot(self) -> Figure:
        """Draw every zone: values, band, breaks, and dates that do not count.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to any window.
        """
        from changedet.output.timeline_plot import plot_timeline

        return plot_timeline(self)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the timeline as a folder: page, plot, tables, chips; whole or not at all.

        Parameters
        ----------
        folder : str or Path
            The folder to make.
        overwrite : bool
            Replace a timeline that is there already.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputExistsError
            When the folder is there and may not be replaced.
        OutputError
            When it cannot be written.
        """
        from changedet.output.timeline_folder import save_timeline

        return save_timeline(self, folder, overwrite=overwrite)

    def __repr__(self) -> str:
        from changedet.output.timeline_facts import timeline_lines

        return "\n".join(timeline_lines(self))

    def _repr_html_(self) -> str:
        from changedet.notebook.places import timeline_html

        return timeline_html(self)


def zone_timeline(
    zone: Zone, read: ZoneReading, reading: Reading, settings: TimelineSettings
) -> ZoneTimeline:
    """Find the breaks of a zone and what is usual besides.

    Parameters
    ----------
    zone : Zone
        The zone.
    read : ZoneReading
        What the dates show of it.
    reading : Reading
        With the dates and the names of the indices.
    settings : TimelineSettings

    Returns
    -------
    ZoneTimeline
        Without baseline and breaks when there are too few clear dates; a note says so.
    """
    columns = [reading.index_names.index(name) for name in settings.indices]
    values, days = read.values[:, columns], reading.days
    changes = find_changes(read, reading, settings.indices, settings.changes)
    clear = int(np.isfinite(values).all(axis=1).sum())
    least = max(settings.changes.least_dates, settings.baseline.least_dates)
    notes = []
    if clear < least:
        notes.append(
            f"only {clear} date(s) show it, of {least} that a baseline takes: the values stand alone, and no "
            "break is looked for"
        )
        changes = ()
    baseline, expected, sigma = _usual(values, days, changes, clear >= least, settings)
    if baseline is not None and not np.isfinite(expected).any():
        notes.append("the dates lie too close together, or too uneven over the year, for a baseline")
        baseline = None
    series = ZoneSeries(read, reading, settings.indices, (values, expected, sigma), zone.outline)
    breaks = tuple(
        _break(change, changes, series, settings) for change in sorted(changes, key=lambda one: one.first)
    )
    passing = find_passing(series, changes, settings.band_sigma)
    notes += latest_note(series, passing)
    return ZoneTimeline(
        zone, values, read.spread[:, columns], read.share, read.count, read.reasons, baseline, expected,
        sigma, breaks, tuple(notes), passing,
    )  # fmt: skip


def knows_season(days: NDArray[np.float64], settings: TimelineSettings) -> bool:
    """Tell whether dates reach over enough years for season and change to be told apart."""
    return bool(days[-1] - days[0] >= settings.changes.season.least_years * YEAR_DAYS)


def _usual(
    values: Floats,
    days: NDArray[np.float64],
    changes: tuple[SeriesChange, ...],
    enough: bool,
    settings: TimelineSettings,
) -> tuple[Baseline | None, Floats, Floats]:
    """Fit what is usual to the series without its changes; return it, and what it expects of each date."""
    if not enough:
        nothing = np.full_like(values, np.nan)
        return None, nothing, nothing
    level = values.copy()
    for change in changes:
        level -= change.course.astype(np.float32)
    return usual_course(level, days, settings.baseline)


def _break(
    change: SeriesChange,
    changes: tuple[SeriesChange, ...],
    series: ZoneSeries,
    settings: TimelineSettings,
) -> ZoneBreak:
    """Describe a change with its dates, its kind, and how it went on."""
    read, reading = series.read, series.reading
    values, expected, sigma = series.usual
    clear = np.isfinite(values).all(axis=1)
    inside = change.inside(len(values)) & clear
    before = clear & (np.arange(len(values)) < change.first)
    medians = [
        np.median(read.values[np.flatnonzero(part)[chosen]], axis=0)
        for part, chosen in ((before, slice(-_KIND_DATES, None)), (inside, slice(0, _KIND_DATES)))
    ]
    kind, evidence = choose_kind(
        *(dict(zip(reading.index_names, one.tolist(), strict=True)) for one in medians)
    )
    lead = int(np.argmax(np.abs(change.step) / change.spread))
    side = np.int8(np.sign(change.step[lead]))
    units = ((values - expected) / sigma)[:, lead]
    days = reading.days
    found = behaviour(
        units[:, None], days, np.array([days[change.first]], np.float32), np.array([side], np.int8)
    )
    known = units[inside & np.isfinite(units)] * side
    dates = [one.date for one in reading.dates]
    how, phases = find_kind(series, change, changes, found)
    state = break_state(
        over=change.over_by is not None,
        dates=int(inside.sum()),
        days=float(days[change.last] - days[change.first]),
        knows_season=knows_season(days, settings),
    )
    return ZoneBreak(
        after=dates[change.unchanged_until],
        by=dates[change.first],
        last_seen=dates[change.last],
        over_by="" if change.over_by is None else dates[change.over_by],
        state=state,
        kind=kind,
        evidence=evidence,
        found=how,
        phases=phases,
        change=change,
        steps=dict(zip(settings.indices, change.step.tolist(), strict=True)),
        pattern=Pattern(int(found.pattern[0])),
        share_beyond=float((known > settings.band_sigma).mean()) if known.size else math.nan,
        dates_before=int(before.sum()),
        dates_inside=int(inside.sum()),
    )
