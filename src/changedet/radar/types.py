"""The nouns of radar: which passes can be compared, what they were compared by, and what they said."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.scene import Image, Scene


#: What a track was compared by.
LIKELIHOOD_RATIO, LOG_RATIO, LEFT_OUT = "likelihood ratio", "log-ratio", "left out"


class SensorChoice(StrEnum):
    """Which sensors a comparison uses."""

    S2 = "s2"
    S1 = "s1"
    BOTH = "both"


class FoundBy(StrEnum):
    """Which sensor flagged an object, in the words of the column ``sensor``."""

    #: One sensor was asked, and flagged it.
    OPTICAL = "optical"
    RADAR = "radar"
    #: Both were asked.
    BOTH = "both"
    OPTICAL_ONLY = "optical only"
    RADAR_ONLY = "radar only"
    #: Both see a change there, and their directions do not fit each other.
    CONFLICTING = "conflicting"


class Seen(IntEnum):
    """Which sensors observed a pixel on both periods: the codes of ``sensor.tif``."""

    NEITHER = 0
    OPTICAL = 1
    RADAR = 2
    BOTH = 3
    OUTSIDE = 255


#: What each code of ``sensor.tif`` is called wherever a reader sees it.
SEEN_LABELS: Mapping[Seen, str] = MappingProxyType(
    {
        Seen.NEITHER: "observed by neither",
        Seen.OPTICAL: "observed by optical imagery alone",
        Seen.RADAR: "observed by radar alone",
        Seen.BOTH: "observed by both",
        Seen.OUTSIDE: "outside the site",
    }
)


def sensor_of(name: str) -> SensorChoice:
    """Return which sensors a name means.

    Parameters
    ----------
    name : str
        ``s2``, ``s1`` or ``both``.

    Returns
    -------
    SensorChoice
        Of that name.

    Raises
    ------
    UsageError
        When it is another word.

    Examples
    --------
    >>> sensor_of("both").value
    'both'
    """
    try:
        return SensorChoice(name.strip().lower())
    except ValueError as error:
        raise UsageError(
            f"there is no sensor {name!r}", todo="take s2 (optical), s1 (radar) or both"
        ) from error


@dataclass(frozen=True, order=True)
class Track:
    """One geometry: passes of the same track and direction see the same sides of things.

    Attributes
    ----------
    orbit_state : str
        ``ascending``, ``descending`` or ``unknown``.
    relative_orbit : int or None
        1 to 175; None when it is not known, as of local files that do not say it.
    """

    orbit_state: str = "unknown"
    relative_orbit: int | None = None

    @property
    def label(self) -> str:
        """What a reader calls it in tables, such as ``ascending 127``."""
        stated = self.orbit_state != "unknown"
        if self.relative_orbit is None:
            return f"{self.orbit_state}, orbit unknown" if stated else "unknown track"
        return f"{self.orbit_state} {self.relative_orbit}" if stated else str(self.relative_orbit)

    @property
    def text(self) -> str:
        """What a reader calls it in sentences, such as ``track ascending 127``."""
        return self.label if self == Track() else f"track {self.label}"


@dataclass(frozen=True)
class RadarSettings:
    """How two periods of radar are compared.

    Attributes
    ----------
    multilook_px : int
        Side of the squares over which power is averaged before it is tested, odd.
    false_discovery_share : float
        Share of the flagged pixels that may be there by chance.
    least_change_db : float
        Mean change over the polarisations, up or down, that a pixel must reach besides.
    most_dates : int
        Passes of a track and period that are taken at most, those nearest in season to the other period.
    least_before, least_after : int
        Passes that a track must have in each period, or it is not compared by the likelihood ratio.
    fusion_exponent : float
        Power to which the radar score is raised before it multiplies the optical one.
    """

    multilook_px: int = 3
    false_discovery_share: float = 0.01
    least_change_db: float = 3.5
    most_dates: int = 12
    least_before: int = 3
    least_after: int = 1
    fusion_exponent: float = 0.1

    def __post_init__(self) -> None:
        if self.multilook_px < 1 or self.multilook_px % 2 == 0:
            raise UsageError(f"squares of {self.multilook_px} px are not odd", todo="give 1, 3, 5 or 7")
        if not 0 < self.false_discovery_share < 1:
            raise UsageError("the share of false discoveries must lie between 0 and 1", todo="give 0.01")
        if not (self.least_change_db >= 0 and self.fusion_exponent >= 0):
            raise UsageError("the least change and the exponent of radar must not be negative")
        if self.least_before < 2 or self.least_after < 1 or self.most_dates < self.least_before:
            raise UsageError(
                f"{self.least_before} to {self.most_dates} passes before and {self.least_after} after cannot "
                "be compared",
                todo="give at least 2 before, 1 after, and no fewer at most",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RadarSettings:
        """Make settings again from what `to_dict` gave; what a later version added is left out."""
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})


@dataclass(frozen=True, eq=False)
class RadarPasses:
    """The loaded passes of one track, all on one grid.

    Attributes
    ----------
    track : Track
        Their geometry.
    before, after : tuple of Image
        In order of time; bands out of ``VV`` and ``VH``, the same in all; linear gamma nought.
    """

    track: Track
    before: tuple[Image, ...]
    after: tuple[Image, ...]

    @property
    def scenes(self) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
        """The scenes before and after."""
        before, after = (tuple(image.scene for image in side) for side in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class TrackReport:
    """What was done with one track, for the record and the reader.

    Attributes
    ----------
    track : Track
        Its geometry.
    before, after : tuple of Scene
        The passes that were compared, in order of time; only the one each of the pictures when the track was
        left out.
    method : str
        ``likelihood ratio``, ``log-ratio`` where there are too few passes to test, or ``left out``.
    looks : float
        Equivalent number of looks after multilooking; NaN when it was not needed.
    platform_offsets_px : mapping of str to tuple of float
        For each satellite but that of most passes, by how many pixels (row, column) its passes lie apart from
        that one's; what was corrected.
    note : str
        What a reader should know of it; empty when there is nothing.
    """

    track: Track
    before: tuple[Scene, ...]
    after: tuple[Scene, ...]
    method: str
    looks: float = float("nan")
    platform_offsets_px: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description; of the scenes' links no secrets."""
        return {
            "orbit_state": self.track.orbit_state,
            "relative_orbit": self.track.relative_orbit,
            "before": [scene.to_dict() for scene in self.before],
            "after": [scene.to_dict() for scene in self.after],
            "method": self.method,
            "looks": None if math.isnan(self.looks) else float(self.looks),
            "platform_offsets_px": {
                name: [float(pixels) for pixels in shift] for name, shift in self.platform_offsets_px.items()
            },
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrackReport:
        """Make a report again from what `to_dict` gave.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.

        Returns
        -------
        TrackReport
            Equal to the one described, but for fractions of a second in the times of its scenes.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        from changedet.scene import Scene

        orbit = data["relative_orbit"]
        shifts = {
            name: (float(down), float(right)) for name, (down, right) in data["platform_offsets_px"].items()
        }
        return cls(
            Track(str(data["orbit_state"]), None if orbit is None else int(orbit)),
            tuple(Scene.from_dict(scene) for scene in data["before"]),
            tuple(Scene.from_dict(scene) for scene in data["after"]),
            str(data["method"]),
            math.nan if data["looks"] is None else float(data["looks"]),
            MappingProxyType(shifts),
            str(data["note"]),
        )


@dataclass(frozen=True, eq=False)
class RadarEvidence:
    """What radar says of a site, on the grid of the result.

    Attributes
    ----------
    grid : GeoBox
        Grid of every raster below.
    before, after : Image
        For pictures: mean power of the passes of the track that has most of them, and that track only.
    deviations : ndarray of float32, shape (y, x)
        All tracks together, in standard deviations of unaltered ground; positive where brighter; NaN where
        radar did not judge.
    change_db : ndarray of float32, shape (y, x)
        Mean change over polarisations, and over tracks by their dates, in decibels; NaN as above.
    flagged : ndarray of bool, shape (y, x)
        Pixels that pass the decision of radar by itself.
    observed : ndarray of bool, shape (y, x)
        Where some track saw the ground in both periods.
    tracks : tuple of TrackReport
        What was done with each track, the leading one first.
    settings : RadarSettings
        Parameters.
    warnings : tuple of str
        What a reader should know.
    seen : ndarray of uint8, shape (y, x), or None
        `Seen` codes of the site, where something besides the images and `observed` decided them; None where
        `changedet.output.radar_rasters.seen_codes` tells them from these.
    """

    grid: GeoBox
    before: Image
    after: Image
    deviations: NDArray[np.float32]
    change_db: NDArray[np.float32]
    flagged: NDArray[np.bool_]
    observed: NDArray[np.bool_]
    tracks: tuple[TrackReport, ...]
    settings: RadarSettings = RadarSettings()
    warnings: tuple[str, ...] = ()
    seen: NDArray[np.uint8] | None = None

    @property
    def compared(self) -> tuple[TrackReport, ...]:
        """What was done with the tracks that were not left out."""
        return tuple(one for one in self.tracks if one.method != LEFT_OUT)

    @property
    def tested(self) -> bool:
        """Whether some track was tested, so that what is not flagged was judged and not only ranked."""
        return any(one.method == LIKELIHOOD_RATIO for one in self.tracks)


@dataclass(frozen=True, eq=False)
class RadarInput:
    """Radar as a comparison takes it in: its passes are loaded once the grid is known.

    Attributes
    ----------
    load : callable
        Takes a grid and returns the passes of each track on it.
    settings : RadarSettings
        How they are compared.
    inputs : mapping
        What they are made from, JSON-serialisable, so that the run can be repeated.
    notes : tuple of str
        What a reader should know of how they were found or chosen.
    """

    load: Callable[[GeoBox], tuple[RadarPasses, ...]]
    settings: RadarSettings = RadarSettings()
    inputs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
