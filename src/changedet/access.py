"""From a site and two periods to scenes that can be compared: search, look, choose, fetch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from changedet.comparison import DetectSettings
from changedet.composite import MatchSettings, open_scenes
from changedet.core.masking import cloud_buffer_px
from changedet.errors import NoUsableImageryError
from changedet.frame import CONTEXT_MARGIN_M, CONTEXT_WIDTH_M, site_mask
from changedet.pipeline import compare_sources
from changedet.providers.base import SearchQuery
from changedet.selection import Choice, Look, SelectionRules, choose_pair, look_at, look_at_radar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from changedet.periods import Period
    from changedet.progress import Progress
    from changedet.providers.base import Provider, Sensor
    from changedet.providers.layers import Source
    from changedet.result import ChangeResult
    from changedet.scene import Scene
    from changedet.site import Site

#: Scenes with less cloud on the whole tile are looked at first, and no more than this many in each period.
MOST_LOOKS = 12
#: Footprints must cover this share of the site.
MIN_COVERAGE = 0.95
#: Classification is looked at in pixels of this size, in metres: that is what it is made of.
_LOOK_M = 20.0
_DEFAULT_RULES = SelectionRules()
_DEFAULT_SETTINGS = DetectSettings()


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run is going to compare.

    Attributes
    ----------
    site : Site
        The site.
    choice : Choice
        The dates and why.
    before, after : tuple of Look
        Everything that was looked at in each period.
    grid : GeoBox
        The site grid with its surroundings.
    """

    site: Site
    choice: Choice
    before: tuple[Look, ...]
    after: tuple[Look, ...]
    grid: GeoBox

    @property
    def scenes(self) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
        """The chosen scenes before and after, the anchor of each side first."""
        before, after = (
            tuple(look.scene for look in looks) for looks in (self.choice.before, self.choice.after)
        )
        return before, after

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "site": self.site.to_dict(),
            "chosen": {
                word: [scene.to_dict() for scene in scenes]
                for word, scenes in zip(("before", "after"), self.scenes, strict=True)
            },
            "sentences": list(self.choice.sentences),
            "before": [look.to_dict() for look in self.before],
            "after": [look.to_dict() for look in self.after],
        }


def make_plan(
    site: Site,
    periods: tuple[Period, Period],
    provider: Provider,
    progress: Progress,
    *,
    rules: SelectionRules = _DEFAULT_RULES,
    max_tile_cloud: float = 0.9,
    sensor: Sensor = "s2",
) -> Plan:
    """Search both periods, look at the site on each date, and choose what is compared.

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
    rules : SelectionRules
        What two dates must have.
    max_tile_cloud : float
        Scenes whose whole tile has more cloud than this share are not looked at.
    sensor : {"s2", "s1"}
        Optical or radar.

    Returns
    -------
    Plan
        Nothing but classifications has been fetched by then.

    Raises
    ------
    NoUsableImageryError
        When a period has no scene of the site, or the rules leave none.
    ProviderError, CredentialsError
        When the provider fails.
    """
    grid = surroundings(site.grid)
    looks = []
    for period, word in zip(periods, ("before", "after"), strict=True):
        progress.step(f"searching the {word} period")
        query = SearchQuery(site, period.start, period.end, sensor=sensor, max_tile_cloud=max_tile_cloud)
        scenes = provider.search(query)
        progress.step(f"looking at the {word} period")
        looks.append(look_at_all(site, _worth_a_look(scenes, word), provider, progress))
    return Plan(site, choose_pair(looks[0], looks[1], rules), tuple(looks[0]), tuple(looks[1]), grid)


def surroundings(grid: GeoBox) -> GeoBox:
    """Return a site grid with enough ground round it to learn what is normal there.

    Parameters
    ----------
    grid : GeoBox
        The site grid, in metres.

    Returns
    -------
    GeoBox
        The same pixels and more; corners stay on multiples of 20 m.
    """
    step = abs(float(grid.resolution.x))
    widths = [max(CONTEXT_MARGIN_M, (CONTEXT_WIDTH_M - n * step) / 2) for n in grid.shape]
    rows, columns = (2 * -(-round(width / step) // 2) for width in widths)
    return grid.pad(columns, rows)


def _worth_a_look(scenes: Sequence[Scene], word: str) -> list[Scene]:
    whole = [scene for scene in scenes if scene.coverage is None or scene.coverage >= MIN_COVERAGE]
    if scenes and not whole:
        raise NoUsableImageryError(
            f"none of {len(scenes)} scene(s) in the {word} period covers the whole site",
            todo=f"choose a smaller site, or widen --{word}",
        )
    ranked = sorted(whole, key=lambda scene: (scene.tile_cloud_share or 0.0, scene.id))
    return ranked[:MOST_LOOKS]


def look_at_all(site: Site, scenes: Sequence[Scene], provider: Provider, progress: Progress) -> list[Look]:
    """Measure what each scene shows of a site, from its classification alone; radar sees through clouds.

    Parameters
    ----------
    site : Site
        The place.
    scenes : sequence of Scene
        Of the provider.
    provider : Provider
        Gives the classifications.
    progress : Progress
        Told which share is done.

    Returns
    -------
    list of Look
        In the order of the scenes.

    Raises
    ------
    ProviderError, CredentialsError
        When the provider fails.
    """
    coarse = site.grid.zoom_to(resolution=_LOOK_M)
    inside = site_mask(site, coarse)
    buffer_px = cloud_buffer_px(_LOOK_M)
    looks = []
    for number, scene in enumerate(scenes, start=1):
        if scene.sensor == "s1":
            look = look_at_radar(scene)
        else:
            look = look_at(scene, provider.classes(scene, coarse), inside, buffer_px=buffer_px)
        looks.append(look)
        progress.advance(number / len(scenes))
    return looks


def compare_plan(
    plan: Plan, provider: Provider, *, settings: DetectSettings = _DEFAULT_SETTINGS, progress: Progress
) -> ChangeResult:
    """Fetch the chosen scenes and compare them.

    Parameters
    ----------
    plan : Plan
        From `make_plan`.
    provider : Provider
        The one the plan was made with.
    settings : DetectSettings
        Method, thresholds, gates.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult
        With the scenes, their radiometry and the reasons for the choice on record.

    Raises
    ------
    ProviderError, CredentialsError, NoUsableImageryError
        When the scenes cannot be fetched, or nothing in them can be compared.
    """
    return compare_scenes(
        plan.scenes,
        provider,
        plan.site,
        settings=settings,
        reason=" ".join(plan.choice.sentences),
        progress=progress,
    )


def compare_scenes(
    scenes: tuple[tuple[Scene, ...], tuple[Scene, ...]],
    provider: Provider,
    site: Site,
    *,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    reason: str,
    progress: Progress,
) -> ChangeResult:
    """Fetch scenes of a provider and compare those before with those after at a site.

    Parameters
    ----------
    scenes : tuple of two tuples of Scene
        Before and after, the anchor of each side first. Several of one side are made into a composite.
    provider : Provider
        Who has them.
    site : Site
        The place.
    settings : DetectSettings
        Method, thresholds, gates.
    reason : str
        Why these two, for a reader.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult
        As `changedet.pipeline.detect` returns it.

    Raises
    ------
    ProviderError, CredentialsError, NoUsableImageryError
        As in `compare_plan`.
    """
    grid = surroundings(site.grid)
    match = MatchSettings(settings.residual_limit_px, settings.seed)

    def _open(word: str, side: tuple[Scene, ...]) -> Source:
        if len(side) > 1:
            progress.step(f"putting together the {len(side)} dates {word}")
        return open_scenes(provider, side, grid, match=match, progress=progress)

    sources = _open("before", scenes[0]), _open("after", scenes[1])
    result = compare_sources(
        sources, {"reason": reason}, site=site, settings=settings, reason=reason, progress=progress
    )
    # only now it is known what was used: an offset may be told by the pixels alone
    inputs = {
        word: {"provider": provider.name, "scenes": [_as_loaded(one, image.scene).to_dict() for one in side]}
        for word, side, image in zip(("before", "after"), scenes, (result.before, result.after), strict=True)
    }
    return replace(result, inputs={**inputs, **result.inputs})


def _as_loaded(scene: Scene, loaded: Scene) -> Scene:
    """Return what loading made of a scene; one that was left out of a composite stays as it was."""
    return next((one for one in loaded.acquisitions if one.id == scene.id), scene)
