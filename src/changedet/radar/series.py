"""The nouns of radar through time: backscatter of zones on each track, breaks, and what is usual besides."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import RADAR_BANDS
from changedet.core.breaks import power_decibels
from changedet.core.harmonic_baseline import BaselineParameters
from changedet.core.parameters import Described
from changedet.core.zone_breaks import ZoneBreakParameters
from changedet.timeline.usual import curve_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.harmonic_baseline import Baseline
    from changedet.core.zone_breaks import RadarChange, ZoneSeries
    from changedet.radar.types import Track
    from changedet.timeline.access import LeftOut
    from changedet.timeline.reading import DateRecord

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RadarSeriesSettings(Described):
    """How series of radar are made.

    Attributes
    ----------
    breaks : ZoneBreakParameters
        How breaks are looked for.
    baseline : BaselineParameters
        How what is usual is fitted, in decibels.
    least_passes : int
        Tracks with fewer passes are left out.
    """

    breaks: ZoneBreakParameters = field(default_factory=ZoneBreakParameters)
    baseline: BaselineParameters = field(
        default_factory=lambda: BaselineParameters(
            least_dates=8, least_years=1.2, stability=math.inf, least_scale=0.1
        )
    )
    least_passes: int = 3


@dataclass(frozen=True, eq=False)
class RadarBreak:
    """A change of the backscatter of a zone, on one track.

    Attributes
    ----------
    track : Track
        On which it was found.
    after, by : str
        It began after the first and by the second of these dates: the last pass before, and the first that
        shows it.
    last_seen : str
        The last pass that shows it.
    over_by : str
        The first pass that does not show it any more; empty when the last one shows it.
    state : str
        As `changedet.timeline.types.ZoneBreak.state`.
    direction : str
        ``"brighter"``, ``"darker"``, or ``"mixed"`` where the polarisations go different ways.
    steps_db : mapping of str to float
        By how much each polarisation changed, in decibels.
    passes_before, passes_inside : int
        Passes before it, and passes that show it.
    change : RadarChange
        Places in the series, score.
    """

    track: Track
    after: str
    by: str
    last_seen: str
    over_by: str
    state: str
    direction: str
    steps_db: dict[str, float]
    passes_before: int
    passes_inside: int
    change: RadarChange

    @property
    def mean_db(self) -> float:
        """Mean of the steps, in decibels."""
        return float(np.mean(list(self.steps_db.values())))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "track": self.track.label,
            "after": self.after,
            "by": self.by,
            "last_seen": self.last_seen,
            "over_by": self.over_by or None,
            "state": self.state,
            "direction": self.direction,
            "steps_db": {name: round(value, 2) for name, value in self.steps_db.items()},
            "score": round(self.change.score, 2),
            "threshold": round(self.change.threshold, 2),
            "passes_before": self.passes_before,
            "passes_showing_it": self.passes_inside,
        }


@dataclass(frozen=True, eq=False)
class TrackZone:
    """A zone through time, on one track.

    Attributes
    ----------
    name : str
        Of the zone.
    series : ZoneSeries
        Its mean power on each pass.
    level_db : ndarray of float32, shape (time, pol)
        By what each pass as a whole is brighter than usual.
    baseline : Baseline or None
        What is usual of the levelled series, breaks apart.
    expected, sigma : ndarray of float32, shape (time, pol)
        What is usual on each pass, and a standard deviation, in decibels; NaN where nothing is expected.
    breaks : tuple of RadarBreak
        In order of time.
    notes : tuple of str
        What a reader should know.
    changes_sought : bool
        Whether there were passes enough to look for breaks.
    """

    name: str
    series: ZoneSeries
    level_db: Floats
    baseline: Baseline | None
    expected: Floats
    sigma: Floats
    breaks: tuple[RadarBreak, ...]
    notes: tuple[str, ...]
    changes_sought: bool = True

    @property
    def value_db(self) -> Floats:
        """Gamma nought in decibels, shape (time, pol); NaN where a pass sees too little of the zone."""
        return power_decibels(self.series.power)

    @property
    def levelled_db(self) -> Floats:
        """The same less what the pass as a whole is brighter than usual: what breaks are looked for in."""
        return self.value_db - self.level_db

    @property
    def used(self) -> NDArray[np.bool_]:
        """True for the passes that count, shape (time,)."""
        return self.series.used

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a pass does not count here; empty where it does."""
        return tuple(
            "" if used else f"outside the pass, or in radar shadow or layover: {share:.0%} seen"
            for used, share in zip(self.used, self.series.share, strict=True)
        )

    def curve(self, days: NDArray[np.float64]) -> tuple[Floats, Floats]:
        """Return what is usual on any days, and a standard deviation, shape (day, pol); NaN without."""
        if self.baseline is None:
            return (np.full((len(days), self.level_db.shape[1]), np.nan, np.float32),) * 2
        return curve_of(self.baseline, days)


@dataclass(frozen=True, eq=False)
class TrackSeries:
    """All passes of one track, and what they show of each zone.

    Attributes
    ----------
    track : Track
        Their geometry; nothing is ever averaged over tracks.
    bands : tuple of str
        Out of ``VV`` and ``VH``.
    dates : tuple of DateRecord
        The passes in order of time; their shift is that of their satellite.
    zones : tuple of TrackZone
        In the order of the zones of the timeline.
    knows_season : bool
        Whether the passes reach over enough years for season and change to be told apart.
    notes : tuple of str
        What a reader should know of the track.
    """

    track: Track
    bands: tuple[str, ...]
    dates: tuple[DateRecord, ...]
    zones: tuple[TrackZone, ...]
    knows_season: bool
    notes: tuple[str, ...] = ()

    @property
    def days(self) -> NDArray[np.float64]:
        """Days since 1970-01-01 of each pass."""
        return np.array([one.day for one in self.dates], np.float64)

    def zone(self, name: str) -> TrackZone | None:
        """Return the series of the zone of this name; None where radar does not follow it."""
        return next((one for one in self.zones if one.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, without the values."""
        return {
            "track": self.track.label,
            "orbit_state": self.track.orbit_state,
            "relative_orbit": self.track.relative_orbit,
            "polarisations": list(self.bands),
            "dates": [one.to_dict() for one in self.dates],
            "notes": list(self.notes),
            "zones": [
                {
                    "name": one.name,
                    "passes_that_count": int(one.used.sum()),
                    "baseline": one.baseline is not None,
                    "breaks": [found.to_dict() for found in one.breaks],
                    "notes": list(one.notes),
                }
                for one in self.zones
            ],
        }


@dataclass(frozen=True, eq=False)
class RadarSeries:
    """Backscatter of the zones of a timeline.

    Attributes
    ----------
    provider : str
        Where the passes come from; ``"local"`` for files.
    tracks : tuple of TrackSeries
        The one with most passes first; at least one.
    left_out : tuple of LeftOut
        Passes that are not among them, with the reason.
    notes : tuple of str
        What a reader should know.
    """

    provider: str
    tracks: tuple[TrackSeries, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bands(self) -> tuple[str, ...]:
        """Polarisations that some track has, VV first."""
        return tuple(name for name in RADAR_BANDS if any(name in one.bands for one in self.tracks))

    @property
    def dates(self) -> tuple[DateRecord, ...]:
        """The passes of all tracks in order of time."""
        return tuple(
            sorted((date for one in self.tracks for date in one.dates), key=lambda date: date.scene.time_text)
        )

    def zones_of(self, name: str) -> tuple[tuple[TrackSeries, TrackZone], ...]:
        """Return the tracks that follow a zone, and what each shows of it; nothing of unknown zones."""
        pairs = ((one, one.zone(name)) for one in self.tracks)
        return tuple((one, zone) for one, zone in pairs if zone is not None)

    def breaks_of(self, name: str) -> tuple[RadarBreak, ...]:
        """Return the breaks of a zone on all tracks, in order of time."""
        found = (found for _, zone in self.zones_of(name) for found in zone.breaks)
        return tuple(sorted(found, key=lambda one: (one.by, one.track.label)))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, without the values."""
        return {
            "provider": self.provider,
            "tracks": [one.to_dict() for one in self.tracks],
            "left_out": [one.to_dict() for one in self.left_out],
            "notes": list(self.notes),
        }
