"""Which sensors a run can use: the plans of each, and what is compared where one of them has nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from changedet.access.choosing import Plan, compare_plan
from changedet.errors import NoUsableImageryError
from changedet.frame import surroundings
from changedet.radar.access import RadarPlan, RadarTask, compare_radar
from changedet.radar.fusion import without_radar

if TYPE_CHECKING:
    from collections.abc import Callable

    from odc.geo.geobox import GeoBox

    from changedet.comparison import DetectSettings
    from changedet.progress import Progress
    from changedet.providers.base import Provider
    from changedet.radar.types import RadarSettings
    from changedet.result import ChangeResult
    from changedet.scene import Scene
    from changedet.site import Site

_SIDES = ("before", "after")
_NO_RADAR = "radar could not be used"
OpticalPlan = TypeVar("OpticalPlan")
PlanOfRadar = TypeVar("PlanOfRadar")


@dataclass(frozen=True, eq=False)
class Plans:
    """What a run is going to compare, by each sensor that was asked for.

    Attributes
    ----------
    site : Site
        The site.
    optical : Plan or None
        None when it was not asked for, or nothing can be used.
    radar : RadarPlan or None
        Likewise; never None as well as `optical`.
    notes : tuple of str
        What a reader should know: why a sensor that was asked for has nothing.
    """

    site: Site
    optical: Plan | None
    radar: RadarPlan | None = None
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> GeoBox:
        """The site grid with its surroundings."""
        return surroundings(self.site.grid)

    @property
    def optical_scenes(self) -> tuple[Scene, ...]:
        """The chosen optical scenes of both periods."""
        return () if self.optical is None else tuple(scene for side in self.optical.scenes for scene in side)

    @property
    def radar_scenes(self) -> tuple[Scene, ...]:
        """The chosen radar passes of both periods."""
        return () if self.radar is None else self.radar.scenes

    @property
    def sentences(self) -> tuple[str, ...]:
        """Why these dates, for a reader."""
        optical = () if self.optical is None else self.optical.choice.sentences
        return (*optical, *(() if self.radar is None else self.radar.sentences))

    @property
    def provisional(self) -> bool:
        """True when the site was not looked at on every optical date, so that a run may choose others."""
        return self.optical is not None and self.optical.provisional

    @property
    def last_date_text(self) -> str:
        """Date after, by which a run is called: the optical one where there is one."""
        if self.optical is not None:
            return self.optical.scenes[1][0].date_text
        return "" if self.radar is None else self.radar.last_date_text

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        if self.optical is not None:
            said = self.optical.to_dict()
        else:
            chosen: dict[str, Any] = {word: [] for word in _SIDES}
            said = {"site": self.site.to_dict(), "chosen": chosen, "provisional": False, **chosen}
        if self.radar is None and not self.notes:
            return said
        radar = None if self.radar is None else self.radar.to_dict()
        return said | {"sentences": list(self.sentences), "radar": radar, "notes": list(self.notes)}


def plan_sensors(
    site: Site, optical: Callable[[], Plan] | None, radar: Callable[[], RadarPlan] | None
) -> Plans:
    """Make the plans of the sensors that were asked for; of two, one may have nothing.

    Parameters
    ----------
    site : Site
        The place.
    optical, radar : callable or None
        Make the plan of one sensor; None when it was not asked for.

    Returns
    -------
    Plans
        With a note for a sensor that has nothing.

    Raises
    ------
    NoUsableImageryError
        When none of those that were asked for has anything.
    ProviderError, CredentialsError
        When a provider fails: what is there may then be there later.
    """
    optical_plan, radar_plan, notes = plan_either(optical, radar)
    return Plans(site, optical_plan, radar_plan, notes)


def plan_either(
    optical: Callable[[], OpticalPlan] | None, radar: Callable[[], PlanOfRadar] | None
) -> tuple[OpticalPlan | None, PlanOfRadar | None, tuple[str, ...]]:
    """Make the plans of both sensors, of whatever kind; one of two may have nothing.

    Parameters
    ----------
    optical, radar : callable or None
        Make the plan of one sensor; None when it was not asked for.

    Returns
    -------
    optical, radar : plan or None
        None for a sensor that was not asked for or has nothing; never both.
    notes : tuple of str
        Why a sensor that was asked for has nothing.

    Raises
    ------
    NoUsableImageryError
        When none of those that were asked for has anything.
    """
    errors: list[tuple[bool, NoUsableImageryError]] = []
    optical_plan: OpticalPlan | None = None
    radar_plan: PlanOfRadar | None = None
    try:
        optical_plan = None if optical is None else optical()
    except NoUsableImageryError as error:
        errors.append((False, error))
    try:
        radar_plan = None if radar is None else radar()
    except NoUsableImageryError as error:
        errors.append((True, error))
    if optical_plan is None and radar_plan is None:
        raise _nothing_at_all([error for _, error in errors])
    return optical_plan, radar_plan, tuple(nothing_of(error, radar=is_radar) for is_radar, error in errors)


def nothing_of(error: NoUsableImageryError, *, radar: bool) -> str:
    """Say that one of two sensors has nothing, and why.

    Parameters
    ----------
    error : NoUsableImageryError
        The reason.
    radar : bool
        Whether it is radar that has nothing.

    Returns
    -------
    str
        For a reader of the result.
    """
    if radar:
        return f"{_NO_RADAR}, optical images stand alone: {error}"
    return f"optical images could not be used, radar stands alone: {error}"


def _nothing_at_all(errors: list[NoUsableImageryError]) -> NoUsableImageryError:
    if len(errors) == 1:
        return errors[0]
    optical, radar = errors
    return NoUsableImageryError(
        f"neither optical imagery ({optical.what}) nor radar ({radar.what}) can be used", todo=optical.todo
    )


@dataclass(frozen=True, eq=False)
class Sensors:
    """Who has the imagery of each sensor, and how it is compared.

    Attributes
    ----------
    optical, radar : Provider or None
        Where the plans of each sensor were made; None for one that is not used.
    settings : DetectSettings
        Method, thresholds, gates.
    radar_settings : RadarSettings
        How radar is compared.
    """

    optical: Provider | None
    radar: Provider | None
    settings: DetectSettings
    radar_settings: RadarSettings


def compare_plans(plans: Plans, sensors: Sensors, progress: Progress) -> ChangeResult:
    """Fetch what was chosen and compare it, by radar alone where nothing optical can be used.

    Parameters
    ----------
    plans : Plans
        From `plan_sensors`.
    sensors : Sensors
        The providers that the plans were made with, and settings.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult
        With `Plans.notes` among its warnings.

    Raises
    ------
    ProviderError, CredentialsError, NoUsableImageryError
        When scenes cannot be fetched, or nothing in them can be compared.
    """
    task = None
    if plans.radar is not None and sensors.radar is not None:
        task = RadarTask(plans.radar, sensors.radar, sensors.radar_settings)
    notes = plans.notes
    if plans.optical is not None and sensors.optical is not None:
        try:
            result = compare_plan(
                plans.optical, sensors.optical, settings=sensors.settings, progress=progress, radar=task
            )
            return with_notes(result, notes)
        except NoUsableImageryError as error:
            if task is None:
                raise
            notes = (*notes, nothing_of(error, radar=False))
    if task is None:
        raise NoUsableImageryError("there is no plan", where=plans.site.name, todo="plan the run again")
    return with_notes(compare_radar(task, settings=sensors.settings, progress=progress), notes)


def with_notes(result: ChangeResult, notes: tuple[str, ...]) -> ChangeResult:
    """Return a result with more warnings.

    Parameters
    ----------
    result : ChangeResult
        Any.
    notes : tuple of str
        What a reader should know; said before all else, and kept among the inputs so that a repetition says
        it too.

    Returns
    -------
    ChangeResult
        The very same when there are none. Where radar was asked as well and has nothing, the objects say so.
    """
    if not notes:
        return result
    if any(note.startswith(_NO_RADAR) for note in notes):
        seasonal = None if result.seasonal is None else without_radar(result.seasonal)
        result = replace(result, objects=without_radar(result.objects), seasonal=seasonal)
    inputs = {**result.inputs, "notes": list(notes)}
    return replace(result, warnings=(*notes, *result.warnings), inputs=inputs)
