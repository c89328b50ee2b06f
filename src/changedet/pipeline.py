"""The flow from two images to a result, one stage after the other."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.comparison import DetectSettings, compare
from changedet.core.alignment import AlignmentSettings, align
from changedet.core.residual import measure_remainder
from changedet.core.warping import bridge_gaps
from changedet.deciders import open_deciders
from changedet.errors import NoUsableImageryError
from changedet.frame import choose_frame, displaced, frame_in, site_mask
from changedet.gates import gain_warnings, refusals
from changedet.hashing import sha256_file
from changedet.objects import build_objects
from changedet.pairing import Pair, make_pair
from changedet.progress import Progress, Silent
from changedet.providers.local import LocalOptions, Source, open_source
from changedet.providers.radar import SHADOW_NOT_MARKED
from changedet.radar.comparison import compare_radar, crop_evidence
from changedet.radar.fusion import without_radar
from changedet.radar.result import RadarAsked, misfit_refusal, pass_notes, platform_check, radar_result
from changedet.radar.types import SensorChoice
from changedet.registration import RESIDUAL_LIMIT_PX, Registration, Views, judge, simplified
from changedet.resample import pixel_size_m
from changedet.result import ChangeResult
from changedet.scale.streaming import planes_within_memory
from changedet.seasonal import seasonal_objects
from changedet.site import utm_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import geopandas as gpd
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.comparison import Comparison
    from changedet.core.displacement import DisplacementField
    from changedet.deciders import Deciders
    from changedet.frame import Frame
    from changedet.radar.files import RadarFiles
    from changedet.radar.types import RadarEvidence, RadarInput
    from changedet.scale.scratch import Scratch
    from changedet.scene import Image, Scene
    from changedet.site import Site

    Input = str | Path | xr.Dataset | xr.DataArray | Image

#: Bands that are matched: the visible ones fit each other, and differ least between seasons.
_REGISTRATION_BANDS = ("B04", "B03", "B02")
#: About so many tie points; more cost time and hardly move the fit.
_TIE_POINTS = 3000
#: Largest shift that is sought.
MAX_SHIFT_M = 500.0
#: Side of the part that is kept for pictures.
_VIEW_PX = 128

_GIVEN = "both dates were given by the user"
_AS_STATED = LocalOptions()
_SILENT = Silent()
_DEFAULT_SETTINGS = DetectSettings()


def detect(
    before: Input,
    after: Input,
    *,
    site: Site | None = None,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    before_options: LocalOptions = _AS_STATED,
    after_options: LocalOptions = _AS_STATED,
    progress: Progress = _SILENT,
) -> ChangeResult:
    """Compare two images of one place.

    Parameters
    ----------
    before, after : path, xarray.Dataset, xarray.DataArray or Image
        Local imagery, see `changedet.providers.local.open_source` for what is understood.
    site : Site, optional
        Restricts the comparison; pixels outside get `State.OUTSIDE`. The whole before image when not given.
    settings : DetectSettings
        Method, thresholds, grid, gates.
    before_options, after_options : LocalOptions
        Scale, offset, nodata and time where the files do not say, or say it wrongly.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult
        Also when a quality gate refuses the pair: then nothing is flagged, every observed pixel is
        `State.NOT_COMPARABLE` and `ChangeResult.refusals` says why.

    Raises
    ------
    InputFileError
        When an input or a trained model cannot be used, the images do not overlap, their coordinate systems
        differ, or they lack a band that the method needs.
    NoUsableImageryError
        When nothing in the images can be compared.

    Examples
    --------
    >>> import changedet as cd                                        # doctest: +SKIP
    >>> result = cd.detect("scenes/2023-05-21", "scenes/2025-05-26")  # doctest: +SKIP
    >>> result.objects[["kind", "area_m2", "mgrs"]].head()            # doctest: +SKIP
    """
    given = (before, before_options), (after, after_options)
    sources, inputs = _opened(given)
    return compare_sources(sources, inputs, site=site, settings=settings, progress=progress)


def detect_with_radar(
    images: tuple[tuple[Input, LocalOptions], tuple[Input, LocalOptions]],
    radar: RadarInput,
    *,
    site: Site | None = None,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    progress: Progress = _SILENT,
) -> ChangeResult:
    """Compare two images of one place, with radar beside them.

    Parameters
    ----------
    images : tuple of two (input, LocalOptions)
        Before and after, each as `detect` takes it.
    radar : RadarInput
        Radar of the same place and periods, such as `changedet.radar.files.open_radar_files` finds it.
    site, settings, progress
        As in `detect`.

    Returns
    -------
    ChangeResult
        As in `compare_sources`: each object says which sensor flagged it.

    Raises
    ------
    InputFileError, NoUsableImageryError
        As in `detect`, also for radar.

    Examples
    --------
    >>> from changedet.radar.files import open_radar_files            # doctest: +SKIP
    >>> radar = open_radar_files(Path("s1/2023"), Path("s1/2025"))    # doctest: +SKIP
    >>> images = ("s2/2023", LocalOptions()), ("s2/2025", LocalOptions())   # doctest: +SKIP
    >>> detect_with_radar(images, radar.task()).objects["sensor"]     # doctest: +SKIP
    """
    sources, inputs = _opened(images)
    return compare_sources(sources, inputs, site=site, settings=settings, radar=radar, progress=progress)


def _opened(
    images: tuple[tuple[Input, LocalOptions], tuple[Input, LocalOptions]],
) -> tuple[tuple[Source, Source], dict[str, Any]]:
    """Open both sources, and describe them for the record."""
    sources = open_source(*images[0]), open_source(*images[1])
    names = ("before", "after")
    return sources, {
        name: _input_record(source, *given)
        for name, source, given in zip(names, sources, images, strict=True)
    }


def compare_sources(
    sources: tuple[Source, Source],
    inputs: Mapping[str, Any],
    *,
    site: Site | None = None,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    reason: str = _GIVEN,
    progress: Progress = _SILENT,
    radar: RadarInput | None = None,
) -> ChangeResult:
    """Compare two sources that are open already.

    Parameters
    ----------
    sources : tuple of two Source
        Before and after.
    inputs : mapping
        What they were made from, JSON-serialisable, so that the run can be repeated.
    site, settings, progress
        As in `detect`.
    reason : str
        Why these two dates, for a reader.
    radar : RadarInput, optional
        Radar of the same place and periods. Where the images show nothing that could be compared, it stands
        alone; where radar shows nothing, they do.

    Returns
    -------
    ChangeResult
        As `detect` returns it; with `ChangeResult.radar` where radar was given and could be used.

    Raises
    ------
    InputFileError
        When an input cannot be used, the images do not overlap, or their coordinate systems differ.
    NoUsableImageryError
        When nothing in the images can be compared.
    """
    deciders = open_deciders(settings)
    settings = deciders.settled(settings)
    progress.step("reading the images")
    frame = choose_frame(sources[0], sources[1], settings.grid, site)
    bands = max(source.band_count for source in sources)
    with planes_within_memory(frame.context, bands, whole="radar" if radar else "") as scratch:
        asked = RadarAsked(frame, site_mask(site, frame.context), site, settings, reason, inputs)
        return _compared(sources, asked, deciders, radar, progress, scratch)


def _compared(
    sources: tuple[Source, Source],
    asked: RadarAsked,
    deciders: Deciders,
    radar: RadarInput | None,
    progress: Progress,
    scratch: Scratch | None,
) -> ChangeResult:
    """Compare two sources on the grid that was asked for."""
    frame, inside, site, settings = asked.frame, asked.inside, asked.site, asked.settings
    evidence, radar_notes = _radar_beside(radar, asked, progress)
    first = sources[0].load(frame.context)
    progress.advance(0.5)
    try:
        pair = make_pair(first, sources[1].load(frame.context), inside)
    except NoUsableImageryError as error:
        return _radar_instead(evidence, radar, asked, error)
    evidence, radar_notes = _fitting(evidence, radar_notes, settings.residual_limit_px)
    deciders.require(pair.before.bands)
    progress.step("registering")
    registration, moved = register(pair, sources[1], settings.residual_limit_px)
    pair = make_pair(first, moved, inside)
    progress.step("comparing")
    refused = refusals(registration, pair)
    # what was read for this comparison alone is written over: the disk would have to hold it twice
    reuse = scratch is not None and scratch.owns(moved.data)
    comparison = compare(
        pair, inside, settings, refused=bool(refused), deciders=deciders, radar=evidence, reuse=reuse
    )
    refused = (comparison.refusal,) if comparison.refusal else refused
    progress.step("describing the objects")
    (objects, seasonal), kind = _described(comparison, pair.before, inside)
    if radar and not evidence:
        objects, seasonal = without_radar(objects), without_radar(seasonal)
    window, construction = frame.window, comparison.flagged.construction
    return ChangeResult(
        name=default_name(site, sources[0].scene),
        grid=frame.grid,
        score=comparison.flagged.score[window],
        construction=None if construction is None else construction[window],
        state=comparison.state[window],
        kind=kind[window],
        objects=objects,
        seasonal=seasonal,
        before=frame.crop(pair.before),
        after=frame.crop(comparison.after),
        pair=replace(pair, before=frame.crop(pair.before), after=frame.crop(pair.after), reason=asked.reason),
        registration=registration,
        normalization=comparison.normalization,
        parameters=_parameters(settings, pair.before, frame, deciders) | _radar_parameters(evidence),
        thresholds=asdict(comparison.flagged.thresholds),
        detection_floor=comparison.detection_floor,
        warnings=(*_notes(comparison, pair, deciders, refused), *radar_notes),
        inputs={**asked.inputs, **_asked_for(site, settings, deciders), **_radar_inputs(radar)},
        refusals=refused,
        radar=None if evidence is None else crop_evidence(evidence, frame),
    )


def _described(
    comparison: Comparison, before: Image, inside: NDArray[np.bool_]
) -> tuple[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame], NDArray[np.uint8]]:
    """Return the tables of what is flagged and of what is seasonal, and the kind of every flagged pixel."""
    objects, kind = build_objects(comparison.flagged, before, comparison.after, inside)
    return (objects, seasonal_objects(comparison.flagged, before, comparison.after, inside)), kind


def compare_radar_passes(
    radar: RadarInput,
    inputs: Mapping[str, Any],
    *,
    grid: GeoBox,
    site: Site | None = None,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    reason: str = _GIVEN,
    progress: Progress = _SILENT,
) -> ChangeResult:
    """Compare two periods of radar by themselves.

    Parameters
    ----------
    radar : RadarInput
        The passes.
    inputs : mapping
        What the run was asked, JSON-serialisable, so that it can be repeated.
    grid : GeoBox
        On which the passes can be had; the comparison takes what the site and its surroundings need.
    site : Site, optional
        As in `detect`.
    settings : DetectSettings
        Smallest object, budget, largest misfit between the periods.
    reason : str
        Why these passes, for a reader.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult
        With radar's bands as images; see `changedet.radar.result.radar_result`.

    Raises
    ------
    NoUsableImageryError
        When no track has passes in both periods that see the site.
    NoOverlapError
        When the site lies outside the grid.
    UsageError
        When memory does not suffice.
    """
    frame = frame_in(grid, site)
    inside = site_mask(site, frame.context)
    progress.step("reading radar")
    passes = radar.load(frame.context)
    progress.step("comparing radar")
    evidence = compare_radar(passes, inside, radar.settings)
    progress.step("describing the objects")
    said = {**inputs, **_radar_inputs(radar)}
    return radar_result(evidence, RadarAsked(frame, inside, site, settings, reason, said, radar.notes))


def compare_radar_files(
    radar: RadarFiles,
    *,
    site: Site | None = None,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    progress: Progress = _SILENT,
) -> ChangeResult:
    """Compare local radar of two periods by itself.

    Parameters
    ----------
    radar : RadarFiles
        From `changedet.radar.files.open_radar_files`.
    site, settings, progress
        As in `compare_radar_passes`; the grid is that of the first file, or UTM if the settings ask for it.

    Returns
    -------
    ChangeResult
        As in `compare_radar_passes`.

    Raises
    ------
    InputFileError, NoUsableImageryError, UsageError
        As in `compare_radar_passes`, or when a file cannot be used.
    """
    grid = radar.grid if settings.grid == "before" else utm_grid(radar.grid)
    return compare_radar_passes(radar.task(), {}, grid=grid, site=site, settings=settings, progress=progress)


def _radar_beside(
    radar: RadarInput | None, asked: RadarAsked, progress: Progress
) -> tuple[RadarEvidence | None, tuple[str, ...]]:
    """Compare radar for a comparison of optical images, which goes on without it if it has to."""
    if radar is None:
        return None, ()
    progress.step("comparing radar")
    try:
        evidence = compare_radar(radar.load(asked.frame.context), asked.inside, radar.settings)
    except NoUsableImageryError as error:
        return None, (f"radar could not be used: {error}", *radar.notes)
    progress.step("reading the images")
    marked = (note for note in pass_notes(evidence) if note != SHADOW_NOT_MARKED)
    return evidence, (*evidence.warnings, *radar.notes, *marked)


def _fitting(
    evidence: RadarEvidence | None, notes: tuple[str, ...], limit_px: float
) -> tuple[RadarEvidence | None, tuple[str, ...]]:
    """Leave radar out beside optical images where its own periods do not lie on each other."""
    misfit = "" if evidence is None else misfit_refusal(platform_check(evidence, limit_px))
    return (None, (f"radar could not be used: {misfit}", *notes)) if misfit else (evidence, notes)


def _radar_instead(
    evidence: RadarEvidence | None, radar: RadarInput | None, asked: RadarAsked, error: NoUsableImageryError
) -> ChangeResult:
    """Let radar stand alone where the images show nothing that could be compared, or raise what they lack."""
    if evidence is None or radar is None:
        raise error
    note = f"optical images could not be used, radar stands alone: {error}"
    said = {**asked.inputs, **_radar_inputs(radar)}
    return radar_result(evidence, replace(asked, inputs=said, notes=(note, *radar.notes)))


def _radar_inputs(radar: RadarInput | None) -> dict[str, Any]:
    """Describe radar so that the run can be repeated; nothing of a comparison without it."""
    if radar is None:
        return {}
    return {"radar": {**radar.inputs, "settings": radar.settings.to_dict()}}


def _asked_for(site: Site | None, settings: DetectSettings, deciders: Deciders) -> dict[str, Any]:
    said = {"site": site.to_dict() if site else None, "settings": settings.to_dict()}
    return said | deciders.inputs


def _notes(
    comparison: Comparison, pair: Pair, deciders: Deciders, refused: tuple[str, ...]
) -> tuple[str, ...]:
    """Return what a reader of an optical comparison should know."""
    gains = gain_warnings(comparison.normalization) if comparison.normalization else ()
    return (*refused, *pair.warnings, *gains, *(() if refused else deciders.notes))


def _radar_parameters(evidence: RadarEvidence | None) -> dict[str, Any]:
    """Say that radar was used; nothing of a comparison without it."""
    if evidence is None:
        return {}
    return {"sensor": SensorChoice.BOTH.value, "radar": evidence.settings.to_dict()}


def default_name(site: Site | None, before: Scene) -> str:
    """Return what a comparison is called when nobody named it: the site, the tile, or just "comparison"."""
    return site.name if site else before.tile or "comparison"


def register(
    pair: Pair, source: Source, limit_px: float = RESIDUAL_LIMIT_PX, *, local: bool = True
) -> tuple[Registration, Image]:
    """Measure how the after image lies, take that out in one resampling, and measure what is left.

    Parameters
    ----------
    pair : Pair
        Both images on one grid.
    source : Source
        Of the after image: its pixels are read again onto the displaced grid, so that they are interpolated
        once and not twice.
    limit_px : float
        Largest residual that passes the gate.
    local : bool
        Whether the shift may vary over the image, where the tie points show that it does.

    Returns
    -------
    registration : Registration
        Shift or field, residual, verdict.
    after : Image
        The after image, moved onto the before image; as it was when the shift cannot be trusted.
    """
    grid = pair.before.grid
    bands = tuple(b for b in _REGISTRATION_BANDS if b in pair.before.bands) or pair.before.bands[:3]
    reference, moving = pair.before.select(bands), pair.after.select(bands)
    sides_m = pixel_size_m(grid)
    settings = AlignmentSettings(MAX_SHIFT_M / min(sides_m), local=local, tie_points=_TIE_POINTS)
    whole = bridge_gaps([*reference.data], reference.valid)
    came = bridge_gaps([*moving.data], moving.valid)
    alignment = align(whole[0], came[0], whole[1], came[1], settings)
    if alignment.field is None or not alignment.trusted:
        refused = judge(alignment, None, sides_m, limit_px=limit_px)
        return replace(refused, grid=grid, views=_views(reference, moving, moving)), pair.after
    correction = simplified(alignment.field)
    after = _moved(source, grid, correction)
    moved = after.select(bands)
    fits = bridge_gaps([*moved.data], moved.valid)
    left = measure_remainder(whole[0], fits[0], whole[1], fits[1], alignment.feature)
    registration = judge(alignment, left, sides_m, correction=correction, limit_px=limit_px)
    return replace(registration, grid=grid, views=_views(reference, moving, moved)), after


def _moved(source: Source, grid: GeoBox, correction: DisplacementField) -> Image:
    """Read a source again so that its content is moved; each pixel is interpolated once."""
    if correction.model == "translation":
        return replace(source.load(displaced(grid, *correction.centre_px)), grid=grid)
    return source.load(grid, correction)


def _views(reference: Image, moving: Image, moved: Image) -> Views:
    """Cut the middle out of the first band."""
    middle = tuple(
        slice(max(0, (size - _VIEW_PX) // 2), max(0, (size - _VIEW_PX) // 2) + _VIEW_PX)
        for size in reference.valid.shape
    )
    return Views(*(image.data[0][middle].copy() for image in (reference, moving, moved)))


def _parameters(settings: DetectSettings, image: Image, frame: Frame, deciders: Deciders) -> dict[str, Any]:
    said = settings.to_dict()
    del said["model_sha256"]
    return {
        **said,
        "method": deciders.first.name,
        "detector": deciders.first.to_dict(),
        "model": deciders.model or None,
        "weight_of_band": dict(zip(image.bands, settings.weights_of(image), strict=True)),
        "context_pixels": list(frame.context.shape),
    }


def _input_record(source: Source, given: Input, options: LocalOptions) -> dict[str, Any]:
    """Describe an input so that the run can be repeated, or say that it was in memory only."""
    said = {
        "scale": options.scale,
        "offset": options.offset,
        "nodata": options.nodata,
        "time": options.time.isoformat() if options.time else None,
    }
    if not isinstance(given, str | Path):
        return {"path": None, "in_memory": True, "options": said}
    return {
        "path": str(given),
        "in_memory": False,
        "options": said,
        "files": {str(path): sha256_file(path) for path in source.files()},
    }
