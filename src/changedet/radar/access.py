"""From a site and two periods to radar passes on one grid: search, choose, fetch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from changedet.comparison import DetectSettings
from changedet.errors import InputFileError, ProviderError
from changedet.frame import surroundings
from changedet.pipeline import compare_radar_passes
from changedet.providers.base import SearchQuery
from changedet.providers.registry import require_offered
from changedet.providers.settings import read_provider_settings
from changedet.providers.stopping import StopGroup
from changedet.radar.choice import TrackPlan, choose_passes
from changedet.radar.types import RadarInput, RadarPasses, RadarSettings
from changedet.scale.memory import require_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odc.geo.geobox import GeoBox

    from changedet.periods import Period
    from changedet.progress import Progress
    from changedet.providers.base import Provider
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene
    from changedet.site import Site

#: Most passes that are asked for in each period: three years of four tracks.
MOST_FOUND = 1000
#: When more than this share of the passes cannot be read, it is the service, and not the passes.
MOST_SPOILT_SHARE = 0.25
_SIDES = ("before", "after")
_DEFAULT_SETTINGS, _DEFAULT_DETECTION = RadarSettings(), DetectSettings()
#: Passes are held with less for each pixel than the images for which memory is reckoned.
_PASSES_PER_BAND = 4


@dataclass(frozen=True, eq=False)
class RadarPlan:
    """What a run is going to compare of radar.

    Attributes
    ----------
    site : Site
        The site.
    provider : str
        Name of the provider that has the passes.
    tracks : tuple of TrackPlan
        The one that shows most first; never empty.
    sentences : tuple of str
        Why these, for a reader.
    """

    site: Site
    provider: str
    tracks: tuple[TrackPlan, ...]
    sentences: tuple[str, ...]

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All passes of all tracks."""
        return tuple(scene for track in self.tracks for scene in track.scenes)

    @property
    def last_date_text(self) -> str:
        """Date of the last pass after."""
        return max(scene.date_text for track in self.tracks for scene in track.after)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "provider": self.provider,
            "tracks": [track.to_dict() for track in self.tracks],
            "sentences": list(self.sentences),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], site: Site) -> RadarPlan:
        """Make it again from what `to_dict` gave.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.
        site : Site
            The place, which is not part of the description.

        Returns
        -------
        RadarPlan
            With the same passes.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        tracks = tuple(TrackPlan.from_dict(one) for one in data["tracks"])
        if not tracks:
            raise ValueError("no tracks")
        return cls(site, str(data["provider"]), tracks, tuple(map(str, data["sentences"])))


def make_radar_plan(
    site: Site,
    periods: tuple[Period, Period],
    provider: Provider,
    progress: Progress,
    settings: RadarSettings = _DEFAULT_SETTINGS,
) -> RadarPlan:
    """Search both periods for radar passes and choose those that are compared.

    Nothing but the catalogue is asked: radar sees through clouds, so that there is nothing to look at before.

    Parameters
    ----------
    site : Site
        The place.
    periods : tuple of two Period
        Before and after.
    provider : Provider
        Where to look.
    progress : Progress
        Told about each step.
    settings : RadarSettings
        How many passes of a track and period are taken at most.

    Returns
    -------
    RadarPlan
        With at least one track that has passes in both periods.

    Raises
    ------
    UsageError
        When the provider has no radar.
    NoUsableImageryError
        When a period has no pass of the site, or no track has passes in both.
    ProviderError, CredentialsError
        When the provider fails.
    """
    found = []
    for word, period in zip(_SIDES, periods, strict=True):
        progress.step(f"searching the {word} period for radar")
        query = SearchQuery(site, period.start, period.end, "s1", 1.0, MOST_FOUND)
        require_offered(provider.info, query)
        found.append([scene for scene in provider.search(query) if scene.coverage != 0])
    tracks, sentences = choose_passes(found[0], found[1], settings.most_dates)
    return RadarPlan(site, provider.name, tracks, sentences)


@dataclass(frozen=True, eq=False)
class LoadedRadar:
    """Passes with their pixels.

    Attributes
    ----------
    passes : tuple of RadarPasses
        One for each track, all on one grid; never empty.
    notes : tuple of str
        Which passes were left out since they could not be read, for a reader.
    """

    passes: tuple[RadarPasses, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RadarTask:
    """A plan, and what carrying it out takes.

    Attributes
    ----------
    plan : RadarPlan
        Which passes.
    provider : Provider
        Who has them.
    settings : RadarSettings
        How they are compared.
    complete : bool
        Whether every pass must be there, as when a run is made again.
    notes : tuple of str
        What a reader should know besides what loading tells, as of the run that is made again.
    """

    plan: RadarPlan
    provider: Provider
    settings: RadarSettings = _DEFAULT_SETTINGS
    complete: bool = False
    notes: tuple[str, ...] = ()

    def load(self, grid: GeoBox, progress: Progress) -> RadarInput:
        """Fetch the passes, and describe them so that the run can be repeated.

        Parameters
        ----------
        grid : GeoBox
            Where the pixels are to lie.
        progress : Progress
            Told which share is done.

        Returns
        -------
        RadarInput
            Gives the passes on that grid.

        Raises
        ------
        UsageError, ProviderError, CredentialsError, InputFileError
            As by `load_passes`; also when a single pass cannot be read and all have to be there.
        """
        loaded = load_passes(self.plan, self.provider, grid, progress)
        if self.complete and loaded.notes:
            raise InputFileError(
                loaded.notes[0], where=self.plan.site.name, todo="run it anew: the archive has changed"
            )
        # only now it is known what was used, and what its files say of themselves
        tracks = tuple(TrackPlan(one.track, *one.scenes) for one in loaded.passes)
        said = RadarPlan(self.plan.site, self.provider.name, tracks, self.plan.sentences).to_dict()
        notes = (*self.notes, *loaded.notes)
        return RadarInput(
            lambda wanted: self._on(wanted, grid, loaded, progress),
            self.settings,
            said | {"settings": self.settings.to_dict(), "notes": list(notes)},
            notes,
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], site: Site, opened: Callable[[str], Provider]) -> RadarTask:
        """Make the task again that a run was made with.

        Parameters
        ----------
        data : mapping
            `RadarInput.inputs`.
        site : Site
            The place.
        opened : callable
            Opens a provider by its name.

        Returns
        -------
        RadarTask
            That gives just the same passes, or an error.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        plan, settings = RadarPlan.from_dict(data, site), RadarSettings.from_dict(data["settings"])
        return cls(plan, opened(plan.provider), settings, True, tuple(map(str, data["notes"])))

    def _on(
        self, wanted: GeoBox, grid: GeoBox, loaded: LoadedRadar, progress: Progress
    ) -> tuple[RadarPasses, ...]:
        if wanted == grid:
            return loaded.passes
        return load_passes(self.plan, self.provider, wanted, progress).passes


def load_passes(plan: RadarPlan, provider: Provider, grid: GeoBox, progress: Progress) -> LoadedRadar:
    """Fetch the passes of a plan onto one grid, several at one time.

    As many are fetched at one time as the settings of the provider allow (``max_parallel``). One that cannot
    be read, since it is damaged or not there any more, is left out and named, as long as at most a quarter of
    all are such; a track that has then no pass in a period is left out. A service that fails for now ends the
    work, so that it goes on with the same passes later.

    Parameters
    ----------
    plan : RadarPlan
        Which passes.
    provider : Provider
        The one the plan was made with.
    grid : GeoBox
        Where the pixels are to lie.
    progress : Progress
        Told which share is done.

    Returns
    -------
    LoadedRadar
        In the order of the plan; all images of a track have the polarisations that all of its passes have.

    Raises
    ------
    UsageError
        When they do not fit into memory.
    ProviderError, CredentialsError, InputFileError
        When nothing can be fetched that could be compared.
    """
    require_memory(grid, -(-len(plan.scenes) // _PASSES_PER_BAND))
    progress.step(f"fetching {len(plan.scenes)} radar passes")
    images, spoilt = fetch_passes(plan.scenes, provider, grid, progress)
    tracks, notes = [], [f"radar pass {name} was left out: {error.what}" for name, error in spoilt.items()]
    for track in plan.tracks:
        sides = [[images[one.id] for one in side if one.id in images] for side in (track.before, track.after)]
        if all(sides):
            before, after = (tuple(_sharing(side, sides)) for side in sides)
            tracks.append(RadarPasses(track.track, before, after))
        else:
            notes.append(f"radar of {track.track.label} was left out: a period has no pass that can be read")
    if not tracks:
        raise next(iter(spoilt.values()))
    return LoadedRadar(tuple(tracks), tuple(notes))


def fetch_passes(
    scenes: Sequence[Scene], provider: Provider, grid: GeoBox, progress: Progress
) -> tuple[dict[str, Image], dict[str, ProviderError | InputFileError]]:
    """Fetch passes onto one grid, several at one time; see `load_passes`.

    Parameters
    ----------
    scenes : sequence of Scene
        At least one.
    provider : Provider
        Who has them.
    grid : GeoBox
        Where the pixels are to lie.
    progress : Progress
        Told which share is done.

    Returns
    -------
    images : dict of str to Image
        By the names of their scenes.
    spoilt : dict of str to error
        What went wrong with single ones, at most a quarter of all.

    Raises
    ------
    ProviderError, CredentialsError, InputFileError
        When the service fails for now, or more of them cannot be read.
    """
    group = StopGroup()

    def _tried(scene: Scene) -> Image | ProviderError | InputFileError:
        try:
            with group.member():
                return provider.load(scene, grid)
        except (ProviderError, InputFileError) as error:
            # what may be there in an hour is not done without
            if error.details.get("passing"):
                raise
            return error

    pool = ThreadPoolExecutor(max(1, min(read_provider_settings(provider.name).max_parallel, len(scenes))))
    images: dict[str, Image] = {}
    spoilt: dict[str, ProviderError | InputFileError] = {}
    try:
        for number, (scene, found) in enumerate(zip(scenes, pool.map(_tried, scenes), strict=True), 1):
            if isinstance(found, Exception):
                spoilt[scene.id] = found
            else:
                images[scene.id] = found
            progress.advance(number / len(scenes))
    finally:
        # after an error that ends the run, or an interruption, nobody waits for the other passes
        group.stop()
        pool.shutdown(cancel_futures=True)
    if len(spoilt) > MOST_SPOILT_SHARE * len(scenes):
        raise next(iter(spoilt.values()))
    return images, spoilt


def _sharing(side: Sequence[Image], sides: Sequence[Sequence[Image]]) -> list[Image]:
    """Return images with only the polarisations that every image of both sides has."""
    every = [image for images in sides for image in images]
    shared = tuple(band for band in every[0].bands if all(band in image.bands for image in every))
    return [image if image.bands == shared else image.select(shared) for image in side]


def compare_radar(
    task: RadarTask, *, settings: DetectSettings = _DEFAULT_DETECTION, progress: Progress
) -> ChangeResult:
    """Fetch radar passes and compare them by themselves.

    Parameters
    ----------
    task : RadarTask
        Which passes, whose, and how.
    settings : DetectSettings
        The smallest object.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult
        With radar's bands as images, the passes on record, and the reasons for the choice.

    Raises
    ------
    ProviderError, CredentialsError, InputFileError, NoUsableImageryError
        When the passes cannot be fetched, or nothing in them can be compared.
    """
    site, reason = task.plan.site, " ".join(task.plan.sentences)
    grid = surroundings(site.grid)
    return compare_radar_passes(
        task.load(grid, progress),
        {"sensor": "s1", "reason": reason},
        grid=grid,
        site=site,
        settings=settings,
        reason=reason,
        progress=progress,
    )
