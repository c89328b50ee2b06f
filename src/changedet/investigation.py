"""One site, two periods: what is asked for, the plan for it, and the comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from changedet.access.selection import SelectionRules
from changedet.comparison import DetectSettings
from changedet.errors import InputFileError, ProviderError, UsageError
from changedet.periods import parse_period, parse_searched_period
from changedet.progress import Progress, Silent, TotalProgress
from changedet.radar.types import RadarSettings, SensorChoice, sensor_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from changedet.access.archives import Archives
    from changedet.access.choosing import Plan
    from changedet.access.plans import PlanStore
    from changedet.access.sensor_plans import Plans
    from changedet.periods import Period
    from changedet.providers.base import Estimate
    from changedet.providers.tracked import TrackedProvider
    from changedet.radar.access import RadarPlan
    from changedet.result import ChangeResult
    from changedet.site import Site

_SILENT = Silent()
_DEFAULT_RADAR = RadarSettings()
_DEFAULT_RULES, _DEFAULT_SETTINGS = SelectionRules(), DetectSettings()
#: Folder of the kept plans, below that of the cache.
_PLANS = "plans"


@dataclass(frozen=True)
class AccessOptions:
    """How imagery is chosen and fetched.

    Attributes
    ----------
    rules : SelectionRules
        What two dates must have.
    max_tile_cloud : float
        Scenes whose whole tile has more cloud than this share are not looked at.
    cache : Path or None
        Folder that keeps loaded scenes and choices of dates; None = the user's cache folder.
    max_processing_units : float or None
        Most processing units that may be asked for; None = what the settings say.
    replan : bool
        Choose the dates anew, also where a choice was kept.

    Examples
    --------
    >>> AccessOptions(rules=SelectionRules(min_clear_share=0.5)).replan
    False
    """

    rules: SelectionRules = _DEFAULT_RULES
    max_tile_cloud: float = 0.9
    cache: Path | None = None
    max_processing_units: float | None = None
    replan: bool = False


_DEFAULT_ACCESS = AccessOptions()


@dataclass(frozen=True)
class Planned:
    """A plan, what carrying it out takes, and whether it is an earlier one.

    Attributes
    ----------
    plan : Plans
        What is going to be compared.
    estimate : Estimate
        What fetching it takes, with the looks that are missing; nothing for what is kept.
    kept_since : datetime or None
        When it was made, for one that was kept; None for a new one.
    """

    plan: Plans
    estimate: Estimate
    kept_since: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        since = None if self.kept_since is None else self.kept_since.isoformat(timespec="seconds")
        return self.plan.to_dict() | {"estimate": self.estimate.to_dict(), "plan_kept_since_utc": since}


@dataclass(frozen=True)
class Investigation:
    """What is asked of every site.

    Attributes
    ----------
    before, after : str
        Periods, as `changedet.periods.parse_searched_period` reads them.
    provider : str
        Where imagery comes from.
    settings : DetectSettings
        How the images are compared.
    access : AccessOptions
        How imagery is chosen and fetched.
    sensor : SensorChoice
        Which sensors are compared; also by its name.
    radar : RadarSettings
        How many radar passes are taken, and how they are compared.
    radar_provider : str or None
        Where radar comes from; None = from `provider` where that has radar, else from
        `changedet.access.archives.RADAR_PROVIDER`.
    """

    before: str
    after: str
    provider: str = "earth-search"
    settings: DetectSettings = _DEFAULT_SETTINGS
    access: AccessOptions = _DEFAULT_ACCESS
    sensor: SensorChoice = SensorChoice.S2
    radar: RadarSettings = _DEFAULT_RADAR
    radar_provider: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensor", sensor_of(self.sensor))
        before, after = parse_searched_period(self.before), parse_searched_period(self.after)
        if before.start > after.end:
            raise UsageError(
                f"the period before ({self.before}) lies wholly after the other ({self.after})",
                todo="swap the two periods",
            )

    def choosing(self) -> dict[str, Any]:
        """Return what decides the choice of dates, JSON-serialisable."""
        optical = {
            "before": self.before.strip(),
            "after": self.after.strip(),
            "provider": self.provider,
            "rules": asdict(self.access.rules),
            "max_tile_cloud": self.access.max_tile_cloud,
        }
        if self.sensor is SensorChoice.S2:
            return optical
        radar = {"provider": self.radar_provider, "most_dates": self.radar.most_dates}
        return optical | {"sensor": str(self.sensor), "radar": radar}

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the results, JSON-serialisable."""
        radar = {} if self.sensor is SensorChoice.S2 else {"radar_settings": self.radar.to_dict()}
        return self.choosing() | {"settings": self.settings.to_dict()} | radar

    def open(self, progress: Progress = _SILENT) -> Archives:
        """Open the providers with the cache before them, and count what comes in.

        Parameters
        ----------
        progress : Progress
            Is told what has come in.

        Returns
        -------
        Archives
            For `plan` and `compare`, of one site or of many.

        Raises
        ------
        UsageError
            When there is no provider of this name, or the one for radar has none.
        """
        from changedet.access.archives import open_archives
        from changedet.providers.tracked import open_tracked

        access, total = self.access, TotalProgress(progress)

        def _opened(name: str) -> TrackedProvider:
            return open_tracked(name, access.cache, access.max_processing_units, total.of(name))

        found = open_archives(self.sensor, self.provider, self.radar_provider, _opened)
        return replace(found, total=total)

    def plan(
        self, site: Site, archives: Archives, progress: Progress = _SILENT, *, looking: bool = True
    ) -> Planned:
        """Choose the dates for a site, or take the choice that was kept.

        Parameters
        ----------
        site : Site
            The place.
        archives : Archives
            From `open`.
        progress : Progress
            Told about each step.
        looking : bool
            Whether the site may be looked at. Without, no pixel is fetched, and unless all looks were kept
            the plan is provisional.

        Returns
        -------
        Planned
            Kept from now on, unless it is provisional: the same request gives the same choice, for a day
            where archives may still add to a period.

        Raises
        ------
        BudgetError
            When carrying it out would cost more than the limit.
        NoUsableImageryError, ProviderError, CredentialsError
            As by `changedet.access.choosing.make_plan` and `changedet.radar.access.make_radar_plan`; when
            both sensors were asked for, only where neither has anything.
        """
        from changedet.access.looking import cost_of_looks
        from changedet.frame import surroundings

        store, request = self._store(), self._request(archives)
        archives.begin(surroundings(site.grid))
        kept = None if self.access.replan else store.read(request, site)
        if kept is None:
            plans = self._chosen(site, archives, progress, looking=looking)
            if not plans.provisional:
                store.keep(request, plans, self._periods)
        else:
            plans = kept.plan
        optical, looks = plans.optical, None
        if optical is not None and archives.optical is not None:
            looks = cost_of_looks(site, (*optical.before, *optical.after), archives.optical)
        estimate = archives.expect(plans.optical_scenes, plans.radar_scenes, plans.grid, before=looks)
        return Planned(plans, estimate, kept.made if kept else None)

    @property
    def _periods(self) -> tuple[Period, Period]:
        return parse_period(self.before), parse_period(self.after)

    def _chosen(self, site: Site, archives: Archives, progress: Progress, *, looking: bool) -> Plans:
        from changedet.access.choosing import make_plan, provisional_plan
        from changedet.access.sensor_plans import plan_sensors
        from changedet.radar.access import make_radar_plan

        access, periods = self.access, self._periods

        def _optical(provider: TrackedProvider) -> Plan:
            choose = make_plan if looking else provisional_plan
            return choose(
                site, periods, provider, progress, rules=access.rules, max_tile_cloud=access.max_tile_cloud
            )

        def _radar(provider: TrackedProvider) -> RadarPlan:
            plan = make_radar_plan(site, periods, provider, progress, self.radar)
            return replace(plan, sentences=(*archives.notes, *plan.sentences))

        optical, radar = archives.optical, archives.radar
        return plan_sensors(
            site,
            None if optical is None else partial(_optical, optical),
            None if radar is None else partial(_radar, radar),
        )

    def _store(self) -> PlanStore:
        from changedet.access.plans import PlanStore
        from changedet.providers.cache import default_folder

        return PlanStore((self.access.cache or default_folder()) / _PLANS)

    def _request(self, archives: Archives) -> dict[str, Any]:
        return self.choosing() | archives.to_dict()

    def compare(self, planned: Planned, archives: Archives, progress: Progress = _SILENT) -> ChangeResult:
        """Fetch what was chosen and compare it; a choice that will never be fetched is not kept any longer.

        Parameters
        ----------
        planned : Planned
            From `plan`.
        archives : Archives
            From `open`.
        progress : Progress
            Told about each step.

        Returns
        -------
        ChangeResult
            As `changedet.pipeline.detect` returns it.

        Raises
        ------
        NoUsableImageryError, ProviderError, CredentialsError
            As by `changedet.access.sensor_plans.compare_plans`.
        """
        from changedet.access.sensor_plans import Sensors, compare_plans

        sensors = Sensors(archives.optical, archives.radar, self.settings, self.radar)
        try:
            return compare_plans(planned.plan, sensors, progress)
        except (ProviderError, InputFileError) as error:
            anew = "--replan chooses the dates anew"
            # an interrupted run goes on with the same dates when the service is there again
            if not error.details.get("passing"):
                self._store().forget(self._request(archives), planned.plan.site)
                anew = "the next run chooses the dates anew (as with --replan)"
            todo = f"{error.todo}; {anew}" if error.todo else anew
            raise type(error)(error.what, where=error.where, todo=todo, details=error.details) from error


def run(  # noqa: PLR0913  # the one call that says all
    site: Site,
    before: str,
    after: str,
    *,
    provider: str = "earth-search",
    settings: DetectSettings = _DEFAULT_SETTINGS,
    access: AccessOptions = _DEFAULT_ACCESS,
    progress: Progress = _SILENT,
    sensor: str = "s2",
) -> ChangeResult:
    """Fetch the matching dates of two periods at a site and compare them.

    Parameters
    ----------
    site : Site
        The place.
    before, after : str
        Periods such as ``"2023-05/2023-06"``; the same weeks of the year are best.
    provider : str
        Where imagery comes from, see ``changedet providers``.
    settings : DetectSettings
        Method, thresholds, gates.
    access : AccessOptions
        Rules for dates, cache, limit on costs.
    progress : Progress
        Told about each step.
    sensor : str
        ``"s2"`` (optical), ``"s1"`` (radar) or ``"both"``. Radar comes from another provider where this one
        has none; for more see `Investigation`.

    Returns
    -------
    ChangeResult
        With the scenes, their radiometry and the reasons for the choice on record. Also when a quality gate
        refuses the pair: then nothing is flagged and `ChangeResult.refusals` says why.

    Raises
    ------
    NoUsableImageryError
        When a period has no scene that can be used; the message names the rule that leaves none.
    ProviderError, CredentialsError
        When the provider fails, or wants an account.
    UsageError
        When a period or the provider cannot be understood, or the limit on costs does not allow it.

    Examples
    --------
    >>> import changedet as cd                                                        # doctest: +SKIP
    >>> site = cd.Site.at("38.5847, 126.1079", radius_m=2000, name="North pier")      # doctest: +SKIP
    >>> result = cd.run(site, before="2023-05/2023-06", after="2025-05/2025-06")      # doctest: +SKIP
    >>> result.save("runs/north-pier")                                                # doctest: +SKIP
    """
    request = Investigation(before, after, provider, settings, access, sensor_of(sensor))
    opened = request.open(progress)
    return request.compare(request.plan(site, opened, progress), opened, progress)
