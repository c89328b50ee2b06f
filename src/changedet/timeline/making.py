"""What is asked of a timeline, and how it comes about: dates, registration, zones, breaks, activity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from changedet.access.sensor_plans import plan_either
from changedet.core.indices import INDICES
from changedet.errors import MissingBandError, NoUsableImageryError, UsageError
from changedet.investigation import AccessOptions
from changedet.progress import Progress, Silent
from changedet.radar.series_access import RadarSeriesRequest
from changedet.radar.series_reading import radar_notes, read_radar_series
from changedet.timeline.activity import (
    LEAST_BUILT_PX,
    Activity,
    built_reading,
    built_up_pixels,
    measure_activity,
)
from changedet.timeline.planning import check_sources, plan_timeline
from changedet.timeline.reading import Reading, read_series
from changedet.timeline.types import (
    DEFAULT_INDICES,
    Timeline,
    TimelineSettings,
    ZoneTimeline,
    knows_season,
    zone_timeline,
)
from changedet.timeline.zones import Zone, object_zone, point_zone, site_zone

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.scene import Scene
    from changedet.site import Site
    from changedet.timeline.access import SeriesPlan
    from changedet.timeline.reading import ZoneReading

_SILENT = Silent()
#: Registration that closes worse than this round triangles of dates is warned about, in pixels.
_POOR_CLOSURE_PX = 0.3


@dataclass(frozen=True)
class TimelineRequest:
    """What is asked.

    Attributes
    ----------
    during : str or None
        The span, such as ``"2022/2024"``; of a folder, all its dates when None.
    provider : str
        Where imagery comes from, unless a folder is given.
    images : Path or None
        Local folder of dated scenes; no network is used then.
    points : tuple of str
        Points that are followed, 3 x 3 pixels each.
    objects : tuple of str
        Objects that are followed, each as ``RUNFOLDER:ID``.
    settings : TimelineSettings
        Indices, registration, breaks, baseline.
    access : AccessOptions
        Cache, and limits on clouds and costs; `SelectionRules.min_clear_share` is not used here.
    min_clear : float
        Share of the site that a date of a provider must show.
    radar : RadarSeriesRequest
        Which sensors are followed, and where radar comes from.
    """

    during: str | None = None
    provider: str = "earth-search"
    images: Path | None = None
    points: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    settings: TimelineSettings = field(default_factory=TimelineSettings)
    access: AccessOptions = field(default_factory=AccessOptions)
    min_clear: float = 0.3
    radar: RadarSeriesRequest = field(default_factory=RadarSeriesRequest)

    def __post_init__(self) -> None:
        check_sources(self)
        if not 0 <= self.min_clear <= 1:
            raise UsageError(
                f"a clear share of {self.min_clear:g} is not within 0 and 1", todo="give a share"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the result, JSON-serialisable."""
        local = self.images is not None
        return {
            "during": self.during,
            "provider": "local" if local else self.provider,
            "images": str(self.images) if local else None,
            "points": list(self.points),
            "objects": list(self.objects),
            "min_clear": None if local else self.min_clear,
            "max_tile_cloud": None if local else self.access.max_tile_cloud,
            "settings": self.settings.to_dict(),
        } | self.radar.to_dict()

    def plan(self, site: Site | None, progress: Progress = _SILENT, *, looking: bool = True) -> SeriesPlan:
        """Find the dates.

        Parameters
        ----------
        site : Site or None
            The place; may be None for a folder.
        progress : Progress
            Told about each step.
        looking : bool
            Whether classifications may be fetched.

        Returns
        -------
        SeriesPlan
            No reflectance has been fetched by then.

        Raises
        ------
        UsageError
            When there is no place to search.
        NoUsableImageryError, ProviderError, CredentialsError, InputFileError
            As by `changedet.timeline.planning.plan_timeline`.
        """
        return plan_timeline(self, site, progress, looking=looking)


def make_timeline(
    site: Site | None, request: TimelineRequest, progress: Progress = _SILENT, plan: SeriesPlan | None = None
) -> Timeline:
    """Follow a place through time.

    Parameters
    ----------
    site : Site or None
        The place; all that the images show when None.
    request : TimelineRequest
        Dates, zones, settings.
    progress : Progress
        Told about each step.
    plan : SeriesPlan, optional
        From `TimelineRequest.plan`, or of images in memory (`changedet.timeline.access.plan_series`); made
        when not given.

    Returns
    -------
    Timeline

    Raises
    ------
    NoUsableImageryError
        When no date can be used.
    MissingBandError
        When the dates lack the bands of every index.
    UsageError, CoordinateError, NoOverlapError
        When a zone cannot be understood or lies outside.
    ProviderError, CredentialsError, InputFileError
        When imagery cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> request = TimelineRequest(images=Path("samples/series"), points=("38.2718, 126.5013",))
    >>> timeline = make_timeline(None, request)                          # doctest: +SKIP
    >>> timeline.zones[-1].breaks[-1].by                                 # doctest: +SKIP
    '2022-04-01'
    """
    plan = request.plan(site, progress) if plan is None else plan
    zones = _zones(site, request, plan.frame.grid)
    optical = partial(_optical_timeline, site, zones, plan, request, progress)
    radar = None
    if plan.radar is not None:
        passes, settings = plan.radar, request.radar.settings
        radar = partial(read_radar_series, passes, zones, plan.frame, progress, settings)
    found, series, notes = plan_either(optical if plan.sources else None, radar)
    if found is None:
        found = _without_images(site, zones, plan, request)
    told = () if series is None else tuple(f"radar, {text}" for text in radar_notes(series))
    return replace(found, radar=series, warnings=(*plan.notes, *notes, *found.warnings, *told))


def _optical_timeline(
    site: Site | None, zones: list[Zone], plan: SeriesPlan, request: TimelineRequest, progress: Progress
) -> Timeline:
    """Follow the zones in optical images."""
    reading = read_series(plan, zones, progress, request.settings.reading)
    settings, missing = _available(request.settings, reading)
    progress.step("looking for breaks")
    built = built_up_pixels(reading)
    activity = measure_activity(reading, built, settings)
    followed = _followed(zones, reading, built, settings, plan.frame.grid)
    return Timeline(
        name=_name(site, reading.dates[0].scene),
        site=site,
        grid=plan.frame.grid,
        indices=settings.indices,
        dates=reading.dates,
        left_out=reading.left_out,
        zones=followed,
        activity=activity,
        chips=reading.chips,
        closure_rmse_px=reading.closure_rmse_px,
        warnings=(*missing, *_warnings(reading, activity, request)),
        parameters=request.to_dict() | {"settings": settings.to_dict(), "pixel_step": reading.step},
    )


def _without_images(
    site: Site | None, zones: list[Zone], plan: SeriesPlan, request: TimelineRequest
) -> Timeline:
    """Return the zones without any optical date, for radar alone."""
    scenes = () if plan.radar is None else plan.radar.scenes
    return Timeline(
        name=_name(site, scenes[0]),
        site=site,
        grid=plan.frame.grid,
        indices=(),
        dates=(),
        left_out=plan.left_out,
        zones=tuple(_unseen(zone) for zone in zones),
        activity=None,
        chips=None,
        closure_rmse_px=math.nan,
        warnings=(),
        parameters=request.to_dict() | {"pixel_step": 1},
    )


def _unseen(zone: Zone) -> ZoneTimeline:
    """Return a zone of which there is no optical date: radar alone follows it."""
    import numpy as np

    none, empty = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    return ZoneTimeline(zone, none, none, empty, np.zeros(0, np.int32), (), None, none, none, (), ())


def _zones(site: Site | None, request: TimelineRequest, grid: GeoBox) -> list[Zone]:
    zones = [site_zone(site, grid)]
    if not zones[0].mask.any():
        raise NoUsableImageryError("the site holds no pixel", todo="give a larger site")
    zones += [point_zone(text, grid) for text in request.points]
    return zones + [object_zone(text, grid) for text in request.objects]


def _available(settings: TimelineSettings, reading: Reading) -> tuple[TimelineSettings, tuple[str, ...]]:
    """Keep the indices for which there are bands."""
    there = tuple(name for name in settings.indices if name in reading.index_names)
    if there == settings.indices:
        return settings, ()
    lacking = [name for name in settings.indices if name not in there]
    bands = sorted({band for name in lacking for band in INDICES[name][1]} - set(reading.bands))
    text = f"no {', '.join(lacking)}: the images lack {', '.join(bands)}"
    if not there:
        raise MissingBandError(
            text, where="--index", todo=f"ask for {', '.join(reading.index_names) or 'others'}"
        )
    return replace(settings, indices=there), (text,)


def _followed(
    zones: list[Zone], reading: Reading, built: NDArray[np.bool_], settings: TimelineSettings, grid: GeoBox
) -> tuple[ZoneTimeline, ...]:
    """Follow every zone, and after the whole site its built-up pixels where there are enough."""
    pairs: list[tuple[Zone, ZoneReading]] = list(zip(zones, reading.zones, strict=True))
    if int(built.sum()) >= LEAST_BUILT_PX:
        zone = Zone("built-up ground", "built-up", _mask_of(zones[0], built, reading.step, grid))
        pairs.insert(1, (zone, built_reading(reading, built, settings.reading.min_share)))
    return tuple(zone_timeline(zone, read, reading, settings) for zone, read in pairs)


def _mask_of(site: Zone, built: NDArray[np.bool_], step: int, grid: GeoBox) -> NDArray[np.bool_]:
    import numpy as np

    lattice = np.zeros(tuple(grid.shape), bool)
    lattice[::step, ::step] = site.mask[::step, ::step]
    out = np.zeros_like(lattice)
    out[lattice] = built
    return out


def _name(site: Site | None, first: Scene) -> str:
    if site is not None:
        return site.name
    return "Simulated site" if first.simulated else "Local images"


def _warnings(reading: Reading, activity: Activity | None, request: TimelineRequest) -> list[str]:
    found = []
    if not request.settings.reading.register:
        found.append("the dates were not registered to each other, as asked: edges may move between them")
    elif reading.closure_rmse_px > _POOR_CLOSURE_PX:
        found.append(f"the registration of the dates closes to {reading.closure_rmse_px:.2f} pixel only")
    if not knows_season(reading.days, request.settings):
        years = request.settings.changes.season.least_years
        found.append(f"less than {years:g} years of dates: season and change cannot be told apart")
    if reading.step > 1:
        found.append(f"built-up ground and activity are measured on every {reading.step}. row and column")
    if activity is not None and activity.built_pixels < LEAST_BUILT_PX:
        found.append("hardly any built-up ground: no activity of it is given")
    levels = {one.scene.level for one in reading.dates}
    if len(levels) > 1:
        found.append(f"the dates are of several processing levels ({', '.join(sorted(levels))})")
    return found


def default_settings(
    indices: tuple[str, ...] = DEFAULT_INDICES, *, register: bool = True
) -> TimelineSettings:
    """Return the usual settings with other indices, or without registration."""
    usual = TimelineSettings(indices=indices)
    return replace(usual, reading=replace(usual.reading, register=register))
