"""From a place and a span of time to dated scenes that wait to be read: of a provider, or a local folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError, MissingInputError, NoUsableImageryError
from changedet.frame import Frame, choose_frame, surroundings
from changedet.periods import Period, parse_period, parse_searched_period
from changedet.providers.base import Estimate, SearchQuery
from changedet.providers.local import ImageSource, open_source
from changedet.providers.local_names import BAND_FILE_SUFFIXES
from changedet.providers.safe import is_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from odc.geo.geobox import GeoBox

    from changedet.access.selection import Look
    from changedet.core.displacement import DisplacementField
    from changedet.progress import Progress
    from changedet.providers.base import Provider, Searcher, Sensor
    from changedet.providers.layers import Source
    from changedet.providers.tracked import TrackedProvider
    from changedet.radar.series_access import RadarSeriesPlan
    from changedet.scene import Image, Scene
    from changedet.site import Site

_NOTHING = Estimate()
#: What the indices need; nothing else is fetched.
SERIES_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
#: It tells red tiles from dry plants only: a series goes without where an archive has none.
_SPARED_BAND = "B12"
#: A small site is registered on so much ground at least, and with at least this margin.
_GROUND_M, _MARGIN_M = 2560.0, 160.0
#: A search returns so many scenes at most; longer spans are searched in pieces.
_PIECE, _PIECE_LIMIT = timedelta(days=183), 500
_FILE_SUFFIXES = frozenset({*BAND_FILE_SUFFIXES, ".nc", ".nc4", ".h5"})


def series_bands(scenes: Iterable[Scene]) -> tuple[str, ...]:
    """Return the bands that a series takes of some scenes.

    Parameters
    ----------
    scenes : iterable of Scene
        Of one provider.

    Returns
    -------
    tuple of str
        `SERIES_BANDS`, without B12 where a catalogue that names its bands has none.
    """
    named = (set(granule.assets) for scene in scenes for granule in scene.granules if granule.assets)
    spared = any(_SPARED_BAND not in offered for offered in named)
    return tuple(name for name in SERIES_BANDS if not (spared and name == _SPARED_BAND))


@dataclass(frozen=True)
class LeftOut:
    """A date that a series does not hold.

    Attributes
    ----------
    date : str
        As ``YYYY-MM-DD``, or what stands for it.
    scene_id : str
        Which scene.
    reason : str
        Why, in words.
    """

    date: str
    scene_id: str
    reason: str

    @classmethod
    def of(cls, scene: Scene, reason: str) -> LeftOut:
        """Return a scene as a date that is left out."""
        return cls(scene.date_text, scene.id, reason)

    def to_dict(self) -> dict[str, str]:
        """Return a JSON-serialisable description."""
        return {"date": self.date, "scene": self.scene_id, "reason": self.reason}


@dataclass(frozen=True, eq=False)
class SeriesPlan:
    """Which dates are going to be read.

    Attributes
    ----------
    frame : Frame
        Grid of the results inside the grid on which dates are registered.
    sources : tuple of Source
        In order of time.
    left_out : tuple of LeftOut
        Dates that are not read, with the reason.
    provider : str
        Where they come from; ``"local"`` for a folder.
    estimate : Estimate
        What reading takes.
    radar : RadarSeriesPlan or None
        Which radar passes are read besides; None where radar was not asked for, or has nothing.
    notes : tuple of str
        What a reader should know: where radar comes from, why a sensor has nothing.
    """

    frame: Frame
    sources: tuple[Source, ...]
    left_out: tuple[LeftOut, ...]
    provider: str
    estimate: Estimate = _NOTHING
    radar: RadarSeriesPlan | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        radar = {} if self.radar is None else {"radar": self.radar.to_dict()}
        return {
            "provider": self.provider,
            "dates": [{"date": one.scene.date_text, "scene": one.scene.id} for one in self.sources],
            "left_out": [one.to_dict() for one in self.left_out],
            "estimate": self.estimate.to_dict(),
            "notes": list(self.notes),
        } | radar


@dataclass(frozen=True, eq=False)
class SeriesSource:
    """A scene of a provider as a `Source` that is fetched once, for all bands that indices need.

    Attributes
    ----------
    provider : Provider
        Where it comes from; what it fetched is kept by its cache.
    scene : Scene
        Which one.
    grid : GeoBox
        The site grid with its surroundings.
    """

    provider: Provider
    scene: Scene
    grid: GeoBox

    @property
    def band_count(self) -> int:
        """Number of bands that `load` returns."""
        return len(series_bands([self.scene]))

    def files(self) -> tuple[Path, ...]:
        """Return nothing: the pixels come from a provider, not from files."""
        return ()

    def load(self, grid: GeoBox | None = None, displacement: DisplacementField | None = None) -> Image:
        """Load the scene; onto another grid, or moved, from what was fetched for its own.

        A hundred dates are not fetched twice for a fraction of a pixel: 10 m bands, which lie on the grid
        already, are still interpolated once.
        """
        image = self.provider.load(self.scene, self.grid, series_bands([self.scene]))
        return ImageSource(image).load(self.grid if grid is None else grid, displacement)


def plan_provider_series(
    site: Site, during: str, provider: TrackedProvider, progress: Progress, rules: SeriesRules
) -> SeriesPlan:
    """Search a span of time, look at the site on each date, and keep the dates that show enough of it.

    Parameters
    ----------
    site : Site
        The place.
    during : str
        The span, such as ``"2022/2024"``.
    provider : TrackedProvider
        Where to look.
    progress : Progress
        Told about each step.
    rules : SeriesRules
        What a date must show.

    Returns
    -------
    SeriesPlan
        Nothing but classifications has been fetched by then, and without `SeriesRules.looking` nothing.

    Raises
    ------
    NoUsableImageryError
        When there is no scene, or none shows enough.
    ProviderError, CredentialsError, BudgetError
        When the provider fails, wants an account, or would cost more than the limit.
    """
    from changedet.access.looking import cost_of_looks, look_at_all, look_at_kept

    frame = frame_of_site(site)
    provider.begin(frame.context)
    progress.step("searching")
    scenes = search_span(site, parse_searched_period(during), provider)
    if not scenes:
        raise NoUsableImageryError(
            f"{provider.name} has no scene of {site.name} in {during}",
            todo="choose a longer span, or another --provider",
        )
    near = [scene for scene in scenes if (scene.tile_cloud_share or 0.0) <= rules.max_tile_cloud]
    left = [LeftOut.of(scene, "cloud over nearly all of its tile; not looked at") for scene in scenes
            if (scene.tile_cloud_share or 0.0) > rules.max_tile_cloud]  # fmt: skip
    progress.step("looking at the site on each date")
    if not near:
        looks: list[Look] = []
    elif rules.looking:
        looks = look_at_all(site, near, provider, progress)
    else:
        looks = look_at_kept(site, near, provider)
    kept = [look for look in looks if not look.rejected and look.clear_share >= rules.min_clear]
    left += [LeftOut.of(one.scene, _why_not(one)) for one in looks if one not in kept]
    if not kept:
        raise NoUsableImageryError(
            f"none of {len(scenes)} scene(s) of {site.name} shows {rules.min_clear:.0%} of it",
            todo="choose a longer span, or a lower --min-clear",
        )
    costs = Estimate() if rules.looking else cost_of_looks(site, looks, provider)
    chosen = [one.scene for one in kept]
    estimate = provider.expect(chosen, frame.context, series_bands(chosen), before=costs)
    sources = tuple(SeriesSource(provider, one.scene, frame.context) for one in kept)
    return SeriesPlan(frame, _in_order(sources), sorted_left(left), provider.name, estimate)


@dataclass(frozen=True)
class SeriesRules:
    """What a date of a provider must show to be read.

    Attributes
    ----------
    min_clear : float
        Share of the site that is clear, 0 to 1. Half of a site may hold the zone that is asked for.
    max_tile_cloud : float
        Scenes with more cloud over their tiles are not looked at.
    looking : bool
        Whether classifications may be fetched; without, the cloud of the whole tile stands in.
    """

    min_clear: float = 0.3
    max_tile_cloud: float = 0.9
    looking: bool = True


def plan_local_series(folder: str | Path, site: Site | None = None, during: str | None = None) -> SeriesPlan:
    """Find the dated scenes in a folder: folders of bands and products in it, else rasters; no network.

    Parameters
    ----------
    folder : str or Path
        With one folder or one file for each date.
    site : Site, optional
        The place; all that the first date shows when not given.
    during : str, optional
        Only dates of this span.

    Returns
    -------
    SeriesPlan
        Dates that cannot be opened, or do not say their time, are listed with the reason.

    Raises
    ------
    MissingInputError
        When the folder is not there or holds nothing that can be opened.
    NoUsableImageryError
        When no date lies in the span.
    NoOverlapError
        When the site lies outside the first date.
    """
    folder = Path(folder)
    sources, left = dated_sources(folder)
    if not sources:
        raise MissingInputError(
            f"no dated scene in this folder{_first_reason(left)}", where=str(folder),
            todo="name the folder above the dates, with one folder or one raster for each date, which its "
            "name or its tags say",
            details={"left_out": [one.to_dict() for one in left]},
        )  # fmt: skip
    return plan_series(sources, site, during, left)


def dated_sources(folder: Path) -> tuple[list[Source], list[LeftOut]]:
    """Open the dated scenes in a folder: folders of bands and products in it, else rasters.

    Parameters
    ----------
    folder : Path
        With one folder or one file for each date.

    Returns
    -------
    sources : list of Source
        Each with a time, in the order of their paths; no pixel has been read.
    left : list of LeftOut
        What cannot be opened, or does not say its time, with the reason.

    Raises
    ------
    MissingInputError
        When the folder is not there.
    """
    if not folder.is_dir():
        raise MissingInputError("no such folder", where=str(folder), todo="check the path")
    sources: list[Source] = []
    left: list[LeftOut] = []
    for path in _scene_paths(folder):
        try:
            source = open_source(path)
        except InputFileError as error:
            left.append(LeftOut("unknown date", path.name, error.what))
            continue
        if source.scene.time is None:
            left.append(LeftOut("unknown date", path.name, "nothing says when it was taken"))
        else:
            sources.append(source)
    return sources, left


def _first_reason(left: Sequence[LeftOut]) -> str:
    """Say why the first of what is there cannot be used."""
    return f" (of {left[0].scene_id}: {left[0].reason})" if left else ""


def plan_series(
    sources: Sequence[Source],
    site: Site | None = None,
    during: str | None = None,
    left_out: Sequence[LeftOut] = (),
) -> SeriesPlan:
    """Put sources in order of time, on the grid of the first one.

    Parameters
    ----------
    sources : sequence of Source
        At least one, each with a time.
    site : Site, optional
        The place; all that the first date shows when not given.
    during : str, optional
        Only dates of this span.
    left_out : sequence of LeftOut
        What was left out before.

    Returns
    -------
    SeriesPlan

    Raises
    ------
    NoUsableImageryError
        When no date lies in the span.
    NoOverlapError
        When the site lies outside the first date.

    Examples
    --------
    >>> plan = plan_series([ImageSource(image) for image in images], during="2022/2024")   # doctest: +SKIP
    """
    ordered = _in_order(sources)
    if during is not None:
        span = parse_period(during)
        ordered = tuple(one for one in ordered if _inside(one.scene, span))
    if not ordered:
        raise NoUsableImageryError(f"no date lies in {during}", todo="choose another --during")
    unique: list[Source] = []
    left = list(left_out)
    for one in ordered:
        if unique and one.scene.time == unique[-1].scene.time:
            left.append(LeftOut.of(one.scene, f"the same time as {unique[-1].scene.id}"))
        else:
            unique.append(one)
    frame = choose_frame(unique[0], unique[0], "before", site)
    return SeriesPlan(frame, tuple(unique), sorted_left(left), "local")


def _scene_paths(folder: Path) -> list[Path]:
    """Return folders of scenes; where there are none, raster files, each a date."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    folders = [path for path in inside if path.is_dir() and (is_safe(path) or _holds_rasters(path))]
    if folders:
        return folders
    return [path for path in inside if path.is_file() and path.suffix.lower() in _FILE_SUFFIXES]


def _holds_rasters(folder: Path) -> bool:
    return any(path.suffix.lower() in _FILE_SUFFIXES for path in folder.rglob("*"))


def frame_of_site(site: Site) -> Frame:
    """Put enough ground round a small site to register it.

    Parameters
    ----------
    site : Site
        The place.

    Returns
    -------
    Frame
        The grid of the site inside the grid on which dates are registered.
    """
    grid, context = site.grid, surroundings(site.grid, _GROUND_M, _MARGIN_M)
    rows, columns = ((wide - size) // 2 for wide, size in zip(context.shape, grid.shape, strict=True))
    window = slice(rows, rows + grid.shape[0]), slice(columns, columns + grid.shape[1])
    return Frame(grid, context, window)


def search_span(site: Site, span: Period, provider: Searcher, sensor: Sensor = "s2") -> list[Scene]:
    """Search a span of time of any length, whatever the clouds.

    Parameters
    ----------
    site : Site
        The place.
    span : Period
        Both ends included.
    provider : Searcher
        Where to look.
    sensor : {"s2", "s1"}
        Optical or radar.

    Returns
    -------
    list of Scene
        In order of time, those of one time by name; each once.

    Raises
    ------
    ProviderError, CredentialsError
        When the provider fails or wants an account.
    """
    found: dict[str, Scene] = {}
    for query in span_queries(site, span, sensor):
        found |= {scene.id: scene for scene in provider.search(query)}
    return sorted(found.values(), key=lambda scene: (scene.time_text, scene.id))


def span_queries(site: Site, span: Period, sensor: Sensor = "s2") -> Iterator[SearchQuery]:
    """Return what `search_span` asks, piece by piece.

    Parameters
    ----------
    site, span, sensor
        As for `search_span`.

    Yields
    ------
    SearchQuery
    """
    start = span.start
    while start <= span.end:
        stop = min(start + _PIECE, span.end)
        yield SearchQuery(site, start, stop, sensor, max_tile_cloud=1.0, limit=_PIECE_LIMIT)
        start = stop + timedelta(seconds=1)


def _in_order(sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(sorted(sources, key=lambda one: (one.scene.time_text, one.scene.id)))


def sorted_left(left: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Return what was left out in order of time."""
    return tuple(sorted(left, key=lambda one: (one.date, one.scene_id)))


def _inside(scene: Scene, span: Period) -> bool:
    return scene.time is not None and span.start <= scene.time <= span.end


def _why_not(look: Look) -> str:
    if look.rejected:
        return f"cannot be looked at: {look.rejected}"
    causes = {"cloud": look.cloud_share, "snow": 0.0, "no data": look.missing_share}
    cause = max(causes, key=lambda name: causes[name])
    return f"{cause} over the site: {look.clear_share:.0%} of it clear"
