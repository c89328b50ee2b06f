"""From a place and a span of time to the passes of each track: of a provider, or of local files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import NoUsableImageryError, UsageError
from changedet.periods import parse_period, parse_searched_period
from changedet.radar.access import fetch_passes
from changedet.radar.choice import by_track
from changedet.radar.files import RadarFiles, RadarNumbers, find_radar_files
from changedet.radar.series import RadarSeriesSettings
from changedet.radar.types import RadarSettings, SensorChoice, sensor_of
from changedet.timeline.access import LeftOut, search_span, sorted_left

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odc.geo.geobox import GeoBox

    from changedet.periods import Period
    from changedet.progress import Progress
    from changedet.providers.base import Provider
    from changedet.radar.files import RadarFile
    from changedet.radar.types import Track
    from changedet.scene import Image, Scene
    from changedet.site import Site

    Loaded = tuple[tuple[Image, ...], tuple[LeftOut, ...]]
    Load = Callable[[GeoBox, Progress], Loaded]


@dataclass(frozen=True)
class RadarSeriesRequest:
    """What is asked of radar.

    Attributes
    ----------
    sensor : SensorChoice
        Which sensors a timeline follows.
    provider : str or None
        Where radar comes from; None = from that of the optical images where it has radar, else from
        `changedet.access.archives.RADAR_PROVIDER`.
    images : Path or None
        Local files of radar instead: a raster, or a folder with rasters in any depth.
    numbers : RadarNumbers
        How numbers of local files become power.
    settings : RadarSeriesSettings
        How breaks are looked for.
    """

    sensor: SensorChoice = SensorChoice.S2
    provider: str | None = None
    images: Path | None = None
    numbers: RadarNumbers = field(default_factory=RadarNumbers)
    settings: RadarSeriesSettings = field(default_factory=RadarSeriesSettings)

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the result, JSON-serialisable; nothing where radar is not asked for."""
        if self.sensor is SensorChoice.S2:
            return {}
        local = None if self.images is None else {"images": str(self.images)} | self.numbers.to_dict()
        return {
            "sensor": str(self.sensor),
            "radar": {"provider": self.provider, "local": local, "settings": self.settings.to_dict()},
        }


def radar_request(
    sensor: str,
    images: str | Path | None = None,
    unit: str = "linear",
    scaled: tuple[float, float] = (1.0, 0.0),
    provider: str | None = None,
) -> RadarSeriesRequest:
    """Return a request by the names that users give.

    Parameters
    ----------
    sensor : str
        ``s2``, ``s1`` or ``both``.
    images : str or Path, optional
        Local files of radar.
    unit : str
        Of their numbers: ``linear`` or ``db``.
    scaled : tuple of float
        Scale and offset, taken before the unit.
    provider : str, optional
        Where radar comes from.

    Returns
    -------
    RadarSeriesRequest

    Raises
    ------
    UsageError
        When there is no sensor or unit of a name, or a unit is given without files.
    """
    numbers = RadarNumbers(unit, *scaled)  # type: ignore[arg-type]  # checked there
    if numbers != RadarNumbers() and images is None:
        raise UsageError(
            "radar has a unit, and no file of it is read", todo="give its files as --radar-images"
        )
    return RadarSeriesRequest(sensor_of(sensor), provider, None if images is None else Path(images), numbers)


@dataclass(frozen=True, eq=False)
class TrackSource:
    """The passes of one track that wait to be read.

    Attributes
    ----------
    track : Track
        Their geometry.
    scenes : tuple of Scene
        In order of time.
    load : callable
        Reads them onto a grid: the passes in order of time, and those that cannot be read.
    """

    track: Track
    scenes: tuple[Scene, ...]
    load: Load


@dataclass(frozen=True, eq=False)
class RadarSeriesPlan:
    """Which passes are going to be read.

    Attributes
    ----------
    provider : str
        Where they come from; ``"local"`` for files.
    tracks : tuple of TrackSource
        The one with most passes first; at least one.
    left_out : tuple of LeftOut
        Passes that are not read, with the reason.
    grid : GeoBox or None
        Of the first local file; None of a provider.
    notes : tuple of str
        What a reader should know.
    """

    provider: str
    tracks: tuple[TrackSource, ...]
    left_out: tuple[LeftOut, ...] = ()
    grid: GeoBox | None = None
    notes: tuple[str, ...] = ()

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All passes of all tracks."""
        return tuple(scene for one in self.tracks for scene in one.scenes)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "provider": self.provider,
            "tracks": [
                {
                    "track": one.track.label,
                    "passes": [{"date": scene.date_text, "scene": scene.id} for scene in one.scenes],
                }
                for one in self.tracks
            ],
            "left_out": [one.to_dict() for one in self.left_out],
            "notes": list(self.notes),
        }


def plan_provider_radar(
    site: Site, during: str, provider: Provider, progress: Progress, least_passes: int
) -> RadarSeriesPlan:
    """Search a span of time for radar passes, by track.

    Parameters
    ----------
    site : Site
        The place.
    during : str
        The span, such as ``"2022/2024"``.
    provider : Provider
        Where to look; it has radar.
    progress : Progress
        Told about each step.
    least_passes : int
        Tracks with fewer are left out.

    Returns
    -------
    RadarSeriesPlan
        Nothing but the catalogue has been asked by then.

    Raises
    ------
    NoUsableImageryError
        When no track has passes enough.
    ProviderError, CredentialsError
        When the provider fails, or wants an account.
    """
    progress.step("searching for radar")
    found = search_span(site, parse_searched_period(during), provider, "s1")
    left = [LeftOut.of(one, "shows nothing of the site") for one in found if one.coverage == 0]
    tracks, more = _chosen([one for one in found if one.coverage != 0], least_passes)
    if not tracks:
        what = f"{provider.name} has no track of radar of {site.name} in {during}"
        raise _nothing(what, least_passes, more)
    sources = (
        TrackSource(track, scenes, partial(_fetch, scenes, provider)) for track, scenes in tracks.items()
    )
    return RadarSeriesPlan(provider.name, tuple(sources), sorted_left([*left, *more]))


def plan_local_radar(
    folder: Path, numbers: RadarNumbers, during: str | None, least_passes: int
) -> RadarSeriesPlan:
    """Find the passes in local files, by track; no network.

    Parameters
    ----------
    folder : Path
        A raster, or a folder with rasters in any depth.
    numbers : RadarNumbers
        How numbers become power.
    during : str or None
        Only passes of this span.
    least_passes : int
        Tracks with fewer are left out.

    Returns
    -------
    RadarSeriesPlan
        Files of which nothing says the track are taken as passes of one.

    Raises
    ------
    MissingInputError, InputFileError
        When there is no radar, or it cannot be read.
    NoUsableImageryError
        When no track has passes enough.
    """
    found = find_radar_files(folder)
    dated = tuple(one for one in found if one.time is not None)
    left = [
        LeftOut("unknown date", one.header.path.name, "nothing says when it was taken")
        for one in found
        if one.time is None
    ]
    span = None if during is None else parse_period(during)
    inside = tuple(one for one in dated if span is None or _within(one, span))
    files = RadarFiles((folder, folder), (inside, ()), numbers, RadarSettings())
    sources = []
    for track in sorted({one.track for one in inside}, key=lambda track: track.label):
        scenes = files.scenes(track)
        if len(scenes) < least_passes:
            left += [LeftOut.of(one, _few(track, len(scenes))) for one in scenes]
        else:
            own = replace(files, sides=(tuple(one for one in inside if one.track == track), ()))
            sources.append(TrackSource(track, scenes, partial(_read, own)))
    if not sources:
        when = "" if during is None else f" in {during}"
        raise _nothing(f"no track of local radar{when}", least_passes, left)
    sources.sort(key=lambda one: -len(one.scenes))
    return RadarSeriesPlan("local", tuple(sources), sorted_left(left), inside[0].header.grid, files.notes())


def _within(one: RadarFile, span: Period) -> bool:
    return one.time is not None and span.start <= one.time.value <= span.end


def _chosen(
    scenes: Sequence[Scene], least_passes: int
) -> tuple[dict[Track, tuple[Scene, ...]], list[LeftOut]]:
    """Return the passes of each track that can be followed, and why others cannot."""
    tracks: dict[Track, tuple[Scene, ...]] = {}
    left: list[LeftOut] = []
    for track, own in by_track(scenes).items():
        kept, fewer = _of_full_polarisations(own)
        left += [LeftOut.of(one, "has one polarisation; most passes of its track have two") for one in fewer]
        if track.relative_orbit is None:
            left += [LeftOut.of(one, "nobody states its track, and tracks are not mixed") for one in kept]
        elif len(kept) < least_passes:
            left += [LeftOut.of(one, _few(track, len(kept))) for one in kept]
        else:
            tracks[track] = tuple(kept)
    ordered = sorted(tracks, key=lambda track: (-len(tracks[track]), track.label))
    return {track: tracks[track] for track in ordered}, left


def _of_full_polarisations(scenes: Sequence[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Return passes of all polarisations and the others, where those are half of the passes or more."""
    most = max(len(scene.assets) for scene in scenes)
    full = [scene for scene in scenes if len(scene.assets) == most]
    if 2 * len(full) < len(scenes):
        return list(scenes), []
    return full, [scene for scene in scenes if len(scene.assets) < most]


def _fetch(scenes: tuple[Scene, ...], provider: Provider, grid: GeoBox, progress: Progress) -> Loaded:
    images, spoilt = fetch_passes(scenes, provider, grid, progress)
    left = (LeftOut.of(one, f"cannot be loaded: {spoilt[one.id].what}") for one in scenes if one.id in spoilt)
    return tuple(images[one.id] for one in scenes if one.id in images), tuple(left)


def _read(files: RadarFiles, grid: GeoBox, _: Progress) -> Loaded:
    (passes,) = files.load(grid)
    return passes.before, ()


def _few(track: Track, count: int) -> str:
    return f"only {count} pass(es) of {track.label}"


def _nothing(what: str, least_passes: int, left: Sequence[LeftOut]) -> NoUsableImageryError:
    reasons = sorted({one.reason for one in left})
    why = f" ({'; '.join(reasons[:3])})" if reasons else ""
    return NoUsableImageryError(
        f"{what} with {least_passes} passes or more{why}",
        todo="choose a longer span, or another --radar-provider",
        details={"left_out": [one.to_dict() for one in left]},
    )
