"""One site, two periods: what is asked for, the plan for it, and the comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from changedet.comparison import DetectSettings
from changedet.errors import InputFileError, ProviderError, UsageError
from changedet.periods import parse_period
from changedet.progress import Progress, Silent
from changedet.selection import SelectionRules

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from changedet.access import Plan
    from changedet.plans import PlanStore
    from changedet.providers.base import Estimate
    from changedet.providers.tracked import TrackedProvider
    from changedet.result import ChangeResult
    from changedet.site import Site

_SILENT = Silent()
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
    plan : Plan
        What is going to be compared.
    estimate : Estimate
        What fetching it takes, with the looks that are missing; nothing for what is kept.
    kept_since : datetime or None
        When it was made, for one that was kept; None for a new one.
    """

    plan: Plan
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
        Periods, as `changedet.periods.parse_period` reads them.
    provider : str
        Where imagery comes from.
    settings : DetectSettings
        How the images are compared.
    access : AccessOptions
        How imagery is chosen and fetched.
    """

    before: str
    after: str
    provider: str = "earth-search"
    settings: DetectSettings = _DEFAULT_SETTINGS
    access: AccessOptions = _DEFAULT_ACCESS

    def __post_init__(self) -> None:
        before, after = parse_period(self.before), parse_period(self.after)
        if before.start > after.end:
            raise UsageError(
                f"the period before ({self.before}) lies wholly after the other ({self.after})",
                todo="swap the two periods",
            )

    def choosing(self) -> dict[str, Any]:
        """Return what decides the choice of dates, JSON-serialisable."""
        return {
            "before": self.before.strip(),
            "after": self.after.strip(),
            "provider": self.provider,
            "rules": asdict(self.access.rules),
            "max_tile_cloud": self.access.max_tile_cloud,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the results, JSON-serialisable."""
        return self.choosing() | {"settings": self.settings.to_dict()}

    def open(self, progress: Progress = _SILENT) -> TrackedProvider:
        """Open the provider with the cache before it, and count what comes in.

        Parameters
        ----------
        progress : Progress
            Is told what has come in.

        Returns
        -------
        TrackedProvider
            For `plan` and `compare`, of one site or of many.

        Raises
        ------
        UsageError
            When there is no provider of this name.
        """
        from changedet.providers.tracked import open_tracked

        return open_tracked(self.provider, self.access.cache, self.access.max_processing_units, progress)

    def plan(
        self, site: Site, provider: TrackedProvider, progress: Progress = _SILENT, *, looking: bool = True
    ) -> Planned:
        """Choose the dates for a site, or take the choice that was kept.

        Parameters
        ----------
        site : Site
            The place.
        provider : TrackedProvider
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
            As by `changedet.access.make_plan`.
        """
        from changedet.access import make_plan, provisional_plan, surroundings
        from changedet.looking import cost_of_looks

        store, request = self._store(), self._request(provider)
        provider.begin(surroundings(site.grid))
        kept = None if self.access.replan else store.read(request, site)
        if kept is None:
            periods = parse_period(self.before), parse_period(self.after)
            access, choose = self.access, make_plan if looking else provisional_plan
            plan = choose(
                site, periods, provider, progress, rules=access.rules, max_tile_cloud=access.max_tile_cloud
            )
            if not plan.provisional:
                store.keep(request, plan, periods)
        else:
            plan = kept.plan
        looks = cost_of_looks(site, (*plan.before, *plan.after), provider)
        scenes = [scene for side in plan.scenes for scene in side]
        return Planned(plan, provider.expect(scenes, plan.grid, before=looks), kept.made if kept else None)

    def _store(self) -> PlanStore:
        from changedet.plans import PlanStore
        from changedet.providers.cache import default_folder

        return PlanStore((self.access.cache or default_folder()) / _PLANS)

    def _request(self, provider: TrackedProvider) -> dict[str, Any]:
        from changedet.providers.catalog import contents_digest

        archive = {"endpoints": list(provider.info.endpoints), "contents": contents_digest(provider.info)}
        return self.choosing() | archive

    def compare(
        self, planned: Planned, provider: TrackedProvider, progress: Progress = _SILENT
    ) -> ChangeResult:
        """Fetch what was chosen and compare it; a choice that will never be fetched is not kept any longer.

        Parameters
        ----------
        planned : Planned
            From `plan`.
        provider : TrackedProvider
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
            As by `changedet.access.compare_plan`.
        """
        from changedet.access import compare_plan

        try:
            return compare_plan(planned.plan, provider, settings=self.settings, progress=progress)
        except (ProviderError, InputFileError) as error:
            anew = "--replan chooses the dates anew"
            # an interrupted run goes on with the same dates when the service is there again
            if not error.details.get("passing"):
                self._store().forget(self._request(provider), planned.plan.site)
                anew = "the next run chooses the dates anew (as with --replan)"
            todo = f"{error.todo}; {anew}" if error.todo else anew
            raise type(error)(error.what, where=error.where, todo=todo, details=error.details) from error


def run(
    site: Site,
    before: str,
    after: str,
    *,
    provider: str = "earth-search",
    settings: DetectSettings = _DEFAULT_SETTINGS,
    access: AccessOptions = _DEFAULT_ACCESS,
    progress: Progress = _SILENT,
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
    request = Investigation(before, after, provider, settings, access)
    opened = request.open(progress)
    return request.compare(request.plan(site, opened, progress), opened, progress)
