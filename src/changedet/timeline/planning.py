"""Which dates and passes a timeline is going to read, by each sensor that was asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from changedet.access.sensor_plans import plan_either
from changedet.errors import UsageError
from changedet.radar.series_access import plan_local_radar, plan_provider_radar
from changedet.radar.types import SensorChoice
from changedet.timeline.access import (
    SeriesPlan,
    SeriesRules,
    frame_of_site,
    plan_local_series,
    plan_provider_series,
)

if TYPE_CHECKING:
    from changedet.access.archives import Archives
    from changedet.frame import Frame
    from changedet.progress import Progress
    from changedet.providers.tracked import TrackedProvider
    from changedet.radar.series_access import RadarSeriesPlan
    from changedet.site import Site
    from changedet.timeline.making import TimelineRequest


def check_sources(request: TimelineRequest) -> None:
    """Refuse sources that contradict each other, before anything is searched.

    Parameters
    ----------
    request : TimelineRequest
        Any.

    Raises
    ------
    UsageError
        When local files of one sensor are given and none of the other, radar alone has optical files, or a
        provider is to be searched without a span of time.
    """
    radar, local = request.radar, request.images is not None
    if radar.sensor is SensorChoice.S2 and (radar.images is not None or radar.provider is not None):
        raise UsageError(
            "where radar comes from is said, and none is followed", todo="add --sensor s1 or both"
        )
    if radar.sensor is SensorChoice.S1 and local:
        raise UsageError("radar alone needs no optical images", todo="give its files as --radar-images")
    if radar.sensor is SensorChoice.BOTH and local and radar.images is None:
        raise UsageError(
            "local images of both sensors need radar as well",
            todo="give --radar-images, or leave --images out to fetch both",
        )
    if radar.images is not None and radar.provider is not None:
        raise UsageError("radar comes from files or from a provider", todo="give one of both")
    if request.during is None and not _all_local(request):
        raise UsageError(
            "no span of time was given",
            todo="give --during, such as 2022/2024; local scenes (--images) do without",
        )


def _all_local(request: TimelineRequest) -> bool:
    """Tell whether no provider is asked."""
    sensor = request.radar.sensor
    optical = sensor is SensorChoice.S1 or request.images is not None
    return optical and (sensor is SensorChoice.S2 or request.radar.images is not None)


def plan_timeline(
    request: TimelineRequest, site: Site | None, progress: Progress, *, looking: bool
) -> SeriesPlan:
    """Find the dates of each sensor that was asked for; of two, one may have nothing.

    Parameters
    ----------
    request : TimelineRequest
        What is asked.
    site : Site or None
        The place; None where local files say it.
    progress : Progress
        Told about each step.
    looking : bool
        Whether optical classifications may be fetched.

    Returns
    -------
    SeriesPlan
        With a note for a sensor that has nothing.

    Raises
    ------
    UsageError
        When there is no place to search.
    NoUsableImageryError
        When none of the sensors that were asked for has anything.
    ProviderError, CredentialsError, BudgetError, InputFileError
        As by `changedet.timeline.access` and `changedet.radar.series_access`.
    """
    if site is None and not _all_local(request):
        raise UsageError("no place was given", todo="give --at and --radius, --bbox, --aoi, or --images")
    sensor, archives = request.radar.sensor, _archives(request, progress)
    optical = None if sensor is SensorChoice.S1 else partial(
        _optical, request, site, archives, progress, looking=looking
    )  # fmt: skip
    radar = None if sensor is SensorChoice.S2 else partial(_radar, request, site, archives, progress)
    found, passes, notes = plan_either(optical, radar)
    if found is None:
        found = SeriesPlan(_frame(site, passes), (), (), request.provider)
    plan = replace(found, radar=passes, notes=(*(archives.notes if archives else ()), *notes))
    return plan if archives is None else _priced(plan, archives)


def _archives(request: TimelineRequest, progress: Progress) -> Archives | None:
    """Open the providers that are needed, each once; None where all is local."""
    from changedet.access.archives import Archives, open_archives
    from changedet.progress import TotalProgress
    from changedet.providers.tracked import open_tracked

    if _all_local(request):
        return None
    radar, access, total = request.radar, request.access, TotalProgress(progress)

    def _opened(name: str) -> TrackedProvider:
        return open_tracked(name, access.cache, access.max_processing_units, total.of(name))

    if radar.sensor is SensorChoice.S2 or radar.images is not None:
        return Archives(_opened(request.provider))
    return open_archives(radar.sensor, request.provider, radar.provider, _opened)


def _optical(
    request: TimelineRequest,
    site: Site | None,
    archives: Archives | None,
    progress: Progress,
    *,
    looking: bool,
) -> SeriesPlan:
    if request.images is not None:
        return plan_local_series(request.images, site, request.during)
    if site is None or request.during is None or archives is None or archives.optical is None:
        raise UsageError("no place was given", todo="give --at and --radius, --bbox, --aoi, or --images")
    rules = SeriesRules(request.min_clear, request.access.max_tile_cloud, looking)
    return plan_provider_series(site, request.during, archives.optical, progress, rules)


def _radar(
    request: TimelineRequest, site: Site | None, archives: Archives | None, progress: Progress
) -> RadarSeriesPlan:
    radar = request.radar
    least = radar.settings.least_passes
    if radar.images is not None:
        return plan_local_radar(radar.images, radar.numbers, request.during, least)
    if site is None or request.during is None or archives is None or archives.radar is None:
        raise UsageError("no place was given", todo="give --at and --radius, --bbox, --aoi, or --images")
    if archives.radar is not archives.optical:
        archives.radar.begin(frame_of_site(site).context)
    return plan_provider_radar(site, request.during, archives.radar, progress, least)


def _frame(site: Site | None, radar: RadarSeriesPlan | None) -> Frame:
    """Return the grid of a timeline of radar alone: round the site, else that of its files."""
    from changedet.frame import frame_in

    if site is not None and (radar is None or radar.grid is None):
        return frame_of_site(site)
    if radar is None or radar.grid is None:
        raise UsageError("no place was given", todo="give --at and --radius, --bbox, --aoi")
    return frame_in(radar.grid, site)


def _priced(plan: SeriesPlan, archives: Archives) -> SeriesPlan:
    """Add what fetching radar takes, within one limit where one provider has both."""
    if plan.radar is None or archives.radar is None:
        return plan
    if archives.radar is archives.optical:
        total = archives.radar.expect(plan.radar.scenes, plan.frame.context, before=plan.estimate)
        return replace(plan, estimate=total)
    more = archives.radar.expect(plan.radar.scenes, plan.frame.context)
    return replace(plan, estimate=plan.estimate + more)
