"""From a site and two periods to scenes that can be compared: search, look, choose, fetch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from changedet.access.candidates import without_cloudy_tiles, worth_a_look
from changedet.access.composite import MatchSettings, open_scenes
from changedet.access.looking import look_at_all, look_at_kept
from changedet.access.selection import Choice, Look, SelectionRules, choose_pair
from changedet.comparison import DetectSettings
from changedet.errors import NoUsableImageryError
from changedet.frame import choose_frame, surroundings
from changedet.pipeline import compare_sources
from changedet.providers.base import SearchQuery
from changedet.providers.registry import require_offered

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from changedet.periods import Period
    from changedet.progress import Progress
    from changedet.providers.base import Provider, Sensor
    from changedet.providers.layers import Source
    from changedet.radar.access import RadarTask
    from changedet.result import ChangeResult
    from changedet.scene import Scene
    from changedet.site import Site

_SIDES = ("before", "after")
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

    @property
    def provisional(self) -> bool:
        """True when the site was not looked at on every date, so that a run may choose others."""
        return not all(look.measured for look in (*self.before, *self.after))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "site": self.site.to_dict(),
            "chosen": {
                word: [scene.to_dict() for scene in scenes]
                for word, scenes in zip(_SIDES, self.scenes, strict=True)
            },
            "provisional": self.provisional,
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
    UsageError
        When the provider does not have the sensor.
    NoUsableImageryError
        When a period has no scene of the site, or the rules leave none.
    ProviderError, CredentialsError
        When the provider fails, or none of the scenes of a period can be looked at.
    """
    query = _Query(site, periods, sensor, max_tile_cloud)
    looks = []
    for word, scenes in zip(_SIDES, _found(query, rules, provider, progress), strict=True):
        progress.step(f"looking at the {word} period")
        looks.append(tuple(look_at_all(site, scenes, provider, progress)))
    before, after = looks
    return Plan(site, choose_pair(before, after, rules), before, after, surroundings(site.grid))


def provisional_plan(
    site: Site,
    periods: tuple[Period, Period],
    provider: Provider,
    progress: Progress,
    *,
    rules: SelectionRules = _DEFAULT_RULES,
    max_tile_cloud: float = 0.9,
    sensor: Sensor = "s2",
) -> Plan:
    """Search both periods and choose what would be compared, without asking for any pixel.

    Looks that are kept from before count; on all other dates the cloud of the whole tile stands in for that
    over the site. Where by that measure nothing is clear enough, the best is taken all the same.

    Parameters
    ----------
    site, periods, provider, progress, rules, max_tile_cloud, sensor
        As for `make_plan`.

    Returns
    -------
    Plan
        `Plan.provisional` unless all looks were kept.

    Raises
    ------
    UsageError, NoUsableImageryError, ProviderError, CredentialsError
        As by `make_plan`.
    """
    query = _Query(site, periods, sensor, max_tile_cloud)
    found = _found(query, rules, provider, progress)
    before, after = (tuple(look_at_kept(site, scenes, provider)) for scenes in found)
    try:
        choice = choose_pair(before, after, rules)
    except NoUsableImageryError:
        if all(look.measured for look in (*before, *after)):
            raise
        choice = choose_pair(before, after, replace(rules, min_clear_share=0.0, max_dates=1))
    return Plan(site, choice, before, after, surroundings(site.grid))


@dataclass(frozen=True)
class _Query:
    """What is searched for in both periods."""

    site: Site
    periods: tuple[Period, Period]
    sensor: Sensor
    max_tile_cloud: float


def _found(
    query: _Query, rules: SelectionRules, provider: Provider, progress: Progress
) -> tuple[list[Scene], list[Scene]]:
    """Search both periods; nobody looks at a date before it is known whether it has a partner."""
    sides = []
    for word, period in zip(_SIDES, query.periods, strict=True):
        progress.step(f"searching the {word} period")
        span = period.start, period.end
        asked = SearchQuery(query.site, *span, sensor=query.sensor, max_tile_cloud=1.0)
        # a provider of somebody else may answer with nothing, and a longer period would be of no use
        require_offered(provider.info, asked)
        sides.append(without_cloudy_tiles(provider.search(asked), query.max_tile_cloud, word))
    return worth_a_look(sides[0], sides[1], rules)


def compare_plan(
    plan: Plan,
    provider: Provider,
    *,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    progress: Progress,
    radar: RadarTask | None = None,
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
    radar : RadarTask, optional
        The passes that are compared as well.

    Returns
    -------
    ChangeResult
        With the scenes, their radiometry and the reasons for the choice on record.

    Raises
    ------
    ProviderError, CredentialsError, NoUsableImageryError
        When the scenes cannot be fetched, or nothing in them can be compared.
    """
    sentences = plan.choice.sentences if radar is None else (*plan.choice.sentences, *radar.plan.sentences)
    return compare_scenes(
        plan.scenes,
        provider,
        plan.site,
        settings=settings,
        reason=" ".join(sentences),
        progress=progress,
        radar=radar,
    )


def compare_scenes(
    scenes: tuple[tuple[Scene, ...], tuple[Scene, ...]],
    provider: Provider,
    site: Site,
    *,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    reason: str,
    progress: Progress,
    radar: RadarTask | None = None,
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
    radar : RadarTask, optional
        The passes that are compared as well.

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
    passes = None
    if radar is not None:
        passes = radar.load(choose_frame(*sources, settings.grid, site).context, progress)
    result = compare_sources(
        sources,
        {"reason": reason},
        site=site,
        settings=settings,
        reason=reason,
        progress=progress,
        radar=passes,
    )
    # only now it is known what was used: an offset may be told by the pixels alone
    inputs = {
        word: {"provider": provider.name, "scenes": [_as_loaded(one, image.scene).to_dict() for one in side]}
        for word, side, image in zip(_SIDES, scenes, (result.before, result.after), strict=True)
    }
    return replace(result, inputs={**inputs, **result.inputs})


def _as_loaded(scene: Scene, loaded: Scene) -> Scene:
    """Return what loading made of a scene; one that was left out of a composite stays as it was."""
    return next((one for one in loaded.acquisitions if one.id == scene.id), scene)
