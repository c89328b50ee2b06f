"""The flow from two images to a result, one stage after the other."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import change_weights
from changedet.comparison import MIN_CONTRAST, DetectSettings, compare
from changedet.core.registration import (
    RELIABILITY_LIMIT,
    RESIDUAL_LIMIT_PX,
    Registration,
    Shift,
    estimate_shift,
    judge,
    measure_residual,
    shift_image,
)
from changedet.frame import choose_frame, displaced, require_memory, site_mask
from changedet.gates import gain_warnings, refusals
from changedet.hashing import sha256_file
from changedet.objects import build_objects
from changedet.pairing import Pair, make_pair
from changedet.progress import Progress, Silent
from changedet.providers.local import LocalOptions, Source, open_source
from changedet.resample import pixel_size_m
from changedet.result import ChangeResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

    from changedet.frame import Frame
    from changedet.scene import Image, Scene
    from changedet.site import Site

    Input = str | Path | xr.Dataset | xr.DataArray | Image

#: Bands that carry sharp, season-proof edges; the visible ones register best.
_REGISTRATION_BANDS = ("B02", "B03", "B04", "B08")
#: Windows that disagree with the whole image by more than this are not believed.
_REFINE_LIMIT_PX = 1.0

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
        When an input cannot be used, the images do not overlap, or their coordinate systems differ.
    NoUsableImageryError
        When nothing in the images can be compared.

    Examples
    --------
    >>> import changedet as cd                                        # doctest: +SKIP
    >>> result = cd.detect("scenes/2023-05-21", "scenes/2025-05-26")  # doctest: +SKIP
    >>> result.objects[["kind", "area_m2", "mgrs"]].head()            # doctest: +SKIP
    """
    sources = open_source(before, before_options), open_source(after, after_options)
    inputs = {
        "before": _input_record(sources[0], before, before_options),
        "after": _input_record(sources[1], after, after_options),
    }
    return compare_sources(sources, inputs, site=site, settings=settings, progress=progress)


def compare_sources(
    sources: tuple[Source, Source],
    inputs: Mapping[str, Any],
    *,
    site: Site | None = None,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    reason: str = "both dates were given by the user",
    progress: Progress = _SILENT,
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

    Returns
    -------
    ChangeResult
        As `detect` returns it.

    Raises
    ------
    InputFileError
        When an input cannot be used, the images do not overlap, or their coordinate systems differ.
    NoUsableImageryError
        When nothing in the images can be compared.
    """
    progress.step("reading the images")
    frame = choose_frame(sources[0], sources[1], settings.grid, site)
    require_memory(frame.context, max(source.band_count for source in sources))
    inside = site_mask(site, frame.context)
    first = sources[0].load(frame.context)
    progress.advance(0.5)
    pair = make_pair(first, sources[1].load(frame.context), inside)
    progress.step("registering")
    registration, moved = register(pair, sources[1], settings.residual_limit_px)
    pair = make_pair(first, moved, inside)
    progress.step("comparing")
    refused = refusals(registration, pair)
    comparison = compare(pair, inside, settings, refused=bool(refused))
    if comparison.undecided:
        refused = ("not comparable: the score has no background that a change could rise above",)
    progress.step("describing the objects")
    objects, kind = build_objects(comparison.flagged, pair.before, comparison.after, inside)
    window = frame.window
    notes = gain_warnings(comparison.normalization) if comparison.normalization else ()
    return ChangeResult(
        name=default_name(site, sources[0].scene),
        grid=frame.grid,
        score=comparison.flagged.score[window],
        state=comparison.state[window],
        kind=kind[window],
        objects=objects,
        before=frame.crop(pair.before),
        after=frame.crop(comparison.after),
        pair=replace(pair, before=frame.crop(pair.before), after=frame.crop(pair.after), reason=reason),
        registration=registration,
        normalization=comparison.normalization,
        parameters=_parameters(settings, pair.before.bands, frame),
        thresholds=asdict(comparison.flagged.thresholds),
        detection_floor=comparison.detection_floor,
        warnings=(*refused, *pair.warnings, *notes),
        inputs={
            **inputs,
            "site": site.to_dict() if site else None,
            "settings": settings.to_dict(),
        },
        refusals=refused,
    )


def default_name(site: Site | None, before: Scene) -> str:
    """Return what a comparison is called when nobody named it: the site, the tile, or just "comparison"."""
    return site.name if site else before.tile or "comparison"


def register(pair: Pair, source: Source, limit_px: float = RESIDUAL_LIMIT_PX) -> tuple[Registration, Image]:
    """Measure the shift of the after image, take it out in one resampling, and measure what is left.

    Parameters
    ----------
    pair : Pair
        Both images on one grid.
    source : Source
        Of the after image: its pixels are read again onto the displaced grid, so that they are interpolated
        once and not twice.
    limit_px : float
        Largest residual that passes the gate.

    Returns
    -------
    registration : Registration
        Shift, residual, verdict.
    after : Image
        The after image, moved onto the before image; as it was when the shift cannot be trusted.
    """
    grid = pair.before.grid
    bands = tuple(b for b in _REGISTRATION_BANDS if b in pair.before.bands) or pair.before.bands[:4]
    reference, moving = pair.before.select(bands), pair.after.select(bands)
    shift = estimate_shift(reference.data, moving.data, reference.valid, moving.valid)
    if shift.reliability < RELIABILITY_LIMIT:
        untouched = measure_residual(reference.data, moving.data, reference.valid, moving.valid)
        return judge(shift, untouched, pixel_size_m(grid), limit_px=limit_px), pair.after
    shift = _refined(shift, reference, moving)
    after = replace(source.load(displaced(grid, shift.row_px, shift.column_px)), grid=grid)
    moved = after.select(bands)
    left = measure_residual(reference.data, moved.data, reference.valid, moved.valid)
    registration = judge(shift, left, pixel_size_m(grid), limit_px=limit_px)
    return registration, after if registration.applied else pair.after


def _refined(shift: Shift, reference: Image, moving: Image) -> Shift:
    """Correct a global shift by what windows say: the image's edges and changes pull on its one peak."""
    trial = np.stack([shift_image(band, shift.row_px, shift.column_px) for band in moving.data])
    valid = np.asarray(np.isfinite(trial).all(axis=0), bool)
    left = measure_residual(reference.data, trial, reference.valid, valid)
    if left.tie_points == 0 or left.length_px > _REFINE_LIMIT_PX:
        return shift
    return Shift(shift.row_px + left.row_px, shift.column_px + left.column_px, shift.reliability)


def _parameters(settings: DetectSettings, bands: tuple[str, ...], frame: Frame) -> dict[str, Any]:
    return {
        **settings.to_dict(),
        "detector": settings.detector_parameters(settings.method).to_dict(),
        "band_weights": dict(zip(bands, change_weights(bands), strict=True)),
        "min_contrast_reflectance": MIN_CONTRAST,
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
