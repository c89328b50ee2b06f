"""The flow from two images to a result, one stage after the other."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.bands import change_weights
from changedet.core.components import label_components
from changedet.core.normalization import Normalization, apply_normalization, fit_normalization
from changedet.core.optical import DETECTORS, CvaParameters, PredictParameters
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
from changedet.core.threshold import ThresholdParameters, outline_pixels, robust_thresholds
from changedet.errors import CrsMismatchError, NoOverlapError, UsageError
from changedet.objects import Flagged, build_objects, split_by_kind
from changedet.pairing import Pair, make_pair
from changedet.progress import Progress, Silent
from changedet.provenance import sha256_file
from changedet.providers.local import LocalOptions, Source, open_source
from changedet.resample import crs_of, pixel_size_m, utm_grid
from changedet.result import ChangeResult, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.scene import Image, Scene
    from changedet.site import Site

    Input = str | Path | xr.Dataset | xr.DataArray | Image

#: Bands that carry sharp, season-proof edges; the visible ones register best.
_REGISTRATION_BANDS = ("B02", "B03", "B04", "B08")
#: Windows that disagree with the whole image by more than this are not believed.
_REFINE_LIMIT_PX = 1.0
#: Objects are outlined on the score at this scale alone, in pixels.
_OUTLINE_SMOOTHING_PX = (1.0,)
#: A part of an object is cut off as another kind only when it is this many times the smallest object.
_PART_FACTOR = 3.0
#: Peak memory of a comparison, measured, and the share of the machine's memory it may take.
_BYTES_PER_PIXEL_AND_BAND = 36.0
_MEMORY_SHARE = 0.7
#: Snow edges melt: this many pixels round snow on one date are not compared either.
_SNOW_MARGIN_PX = 3
#: A jump of the dark end of *every* band within these limits is a missed -1000 offset, not the ground.
_OFFSET_JUMP = (0.08, 0.12)
#: Changes smaller than this in every band, in reflectance, are within the sensor's own uncertainty.
MIN_CONTRAST = 0.01


@dataclass(frozen=True)
class DetectSettings:
    """Everything about a comparison that is not the imagery.

    Attributes
    ----------
    method : str
        Name of an optical detector, see `changedet.core.optical.DETECTORS`.
    threshold : ThresholdParameters
        How far a score must rise above the background.
    min_area_m2 : float
        Smallest object in square metres.
    grid : {"before", "utm"}
        Keep the grid of the before image's finest bands, or resample both onto a 10 m UTM grid.
    residual_limit_px : float
        Registration residual above which nothing is compared.
    seed : int
        Seed of every random sample.
    """

    method: str = "predict"
    threshold: ThresholdParameters = field(default_factory=ThresholdParameters)
    min_area_m2: float = 500.0
    grid: Literal["before", "utm"] = "before"
    residual_limit_px: float = RESIDUAL_LIMIT_PX
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in DETECTORS:
            raise UsageError(f"unknown method {self.method!r}", todo=f"choose one of {', '.join(DETECTORS)}")
        if self.grid not in ("before", "utm"):
            raise UsageError(f"unknown grid {self.grid!r}", todo="choose before or utm")
        if self.min_area_m2 < 0 or self.residual_limit_px <= 0:
            raise UsageError("the minimum area must not be negative and the residual limit must be positive")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DetectSettings:
        """Make settings again from what `to_dict` gave.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.

        Returns
        -------
        DetectSettings
            Equal to the one described.

        Raises
        ------
        UsageError
            When a name or value is not understood.
        """
        try:
            return cls(**{**data, "threshold": ThresholdParameters(**data["threshold"])})
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"settings cannot be understood ({error})") from error

    def detector_parameters(self, method: str) -> PredictParameters | CvaParameters:
        """Return the parameters of a detector under these settings."""
        return PredictParameters(seed=self.seed) if method == "predict" else CvaParameters()


def threshold_of(seed_mads: float) -> ThresholdParameters:
    """Return thresholds from the one number a user gives, growing to the same share as the default.

    Examples
    --------
    >>> threshold_of(10.0) == ThresholdParameters()
    True
    """
    default = ThresholdParameters()
    return ThresholdParameters(seed_mads, seed_mads * default.grow_mads / default.seed_mads)


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
    progress.step("reading the images")
    sources = open_source(before, before_options), open_source(after, after_options)
    grid = choose_grid(sources[0], sources[1], settings.grid, site)
    require_memory(grid, max(len(source.scene.assets) or 1 for source in sources))
    inside = site_mask(site, grid)
    first = sources[0].load(grid)
    progress.advance(0.5)
    pair = make_pair(first, sources[1].load(grid), inside)
    progress.step("registering")
    registration, moved = register(pair, sources[1], settings.residual_limit_px)
    pair = make_pair(first, moved, inside)
    progress.step("comparing")
    refusals = _refusals(registration, pair)
    comparison = _compare(pair, inside, settings, refused=bool(refusals))
    progress.step("describing the objects")
    objects, kind = build_objects(comparison.flagged, pair.before, comparison.after)
    return ChangeResult(
        name=default_name(site, sources[0].scene),
        grid=grid,
        score=comparison.flagged.score,
        state=comparison.state,
        kind=kind,
        objects=objects,
        before=pair.before,
        after=comparison.after,
        pair=pair,
        registration=registration,
        normalization=comparison.normalization,
        parameters={
            **settings.to_dict(),
            "detector": settings.detector_parameters(settings.method).to_dict(),
            "band_weights": dict(zip(pair.before.bands, change_weights(pair.before.bands), strict=True)),
            "min_contrast_reflectance": MIN_CONTRAST,
        },
        thresholds=asdict(comparison.flagged.thresholds),
        detection_floor=_detection_floor(comparison, settings),
        warnings=(*refusals, *pair.warnings),
        inputs={
            "before": _input_record(sources[0], before, before_options),
            "after": _input_record(sources[1], after, after_options),
            "site": site.to_dict() if site else None,
            "settings": settings.to_dict(),
        },
        refusals=refusals,
    )


def default_name(site: Site | None, before: Scene) -> str:
    """Return what a comparison is called when nobody named it: the site, the tile, or just "comparison"."""
    return site.name if site else before.tile or "comparison"


def choose_grid(before: Source, after: Source, kind: Literal["before", "utm"], site: Site | None) -> GeoBox:
    """Choose the grid on which two sources are compared, cropped to the site.

    Raises
    ------
    CrsMismatchError
        When the sources differ in coordinate system and the grid of the before image was asked for.
    NoOverlapError
        When the sources, or the site and the before image, share no ground.
    """
    from odc.geo.geom import Geometry

    if kind == "before" and before.grid.crs != after.grid.crs:
        raise CrsMismatchError(
            f"before is in {before.grid.crs} and after in {after.grid.crs}",
            where=f"{before.scene.id} and {after.scene.id}",
            todo="pass --grid utm to resample both onto one UTM grid",
        )
    grid = before.grid if kind == "before" else utm_grid(before.grid)
    outline = after.grid.extent.to_crs(crs_of(grid))
    if not grid.extent.intersects(outline):
        raise NoOverlapError(
            "the two images do not overlap",
            where=f"{before.scene.id} and {after.scene.id}",
            todo="give two images of the same place",
        )
    if site is None:
        return grid
    wanted = Geometry(site.geometry, "EPSG:4326").to_crs(crs_of(grid))
    if not grid.extent.intersects(wanted):
        raise NoOverlapError(
            "the site lies outside the before image", where=site.name, todo="check the coordinates"
        )
    window = grid.overlap_roi(grid.enclosing(wanted))
    return grid[window]


def require_memory(grid: GeoBox, bands: int, available_bytes: float | None = None) -> None:
    """Refuse a comparison that this machine cannot hold, before it tries.

    Parameters
    ----------
    grid : GeoBox
        Grid of the comparison.
    bands : int
        Number of bands that are loaded.
    available_bytes : float, optional
        Memory of the machine; asked of the system when not given, and not checked when it does not say.

    Raises
    ------
    UsageError
        With the size and what to do about it.
    """
    if available_bytes is None:
        available_bytes = _physical_memory_bytes()
    needed = float(np.prod(tuple(grid.shape))) * bands * _BYTES_PER_PIXEL_AND_BAND
    if needed > _MEMORY_SHARE * available_bytes:
        raise UsageError(
            f"{np.prod(tuple(grid.shape)) / 1e6:.0f} megapixels with {bands} bands need about "
            f"{needed / 1e9:.0f} GB of memory, this machine has {available_bytes / 1e9:.0f} GB",
            todo="restrict the comparison with --at and --radius, or with --bbox",
        )


def _physical_memory_bytes() -> float:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return float("inf")
    return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")


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


def displaced(grid: GeoBox, row_px: float, column_px: float) -> GeoBox:
    """Return the grid on which a source must be read so that its content moves by (row, column) pixels."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    return GeoBox(grid.shape, grid.affine * Affine.translation(-column_px, -row_px), grid.crs)


def site_mask(site: Site | None, grid: GeoBox) -> NDArray[np.bool_]:
    """Return True for the pixels of a grid whose centre lies inside the site, shape (y, x)."""
    if site is None:
        return np.ones(tuple(grid.shape), bool)
    from odc.geo.geom import Geometry
    from rasterio.features import geometry_mask

    outline = Geometry(site.geometry, "EPSG:4326").to_crs(crs_of(grid))
    inside = geometry_mask([outline.geom], tuple(grid.shape), grid.transform, invert=True)
    return np.asarray(inside, bool)


@dataclass(frozen=True, eq=False)
class _Comparison:
    """What the comparison of a registered pair left."""

    after: Image
    normalization: Normalization | None
    flagged: Flagged
    state: NDArray[np.uint8]


def _refusals(registration: Registration, pair: Pair) -> tuple[str, ...]:
    found = []
    if registration.verdict == "residual too large":
        found.append(
            f"not comparable: registration residual {registration.residual_px:.2f} px "
            f"is above the limit of {registration.limit_px:g} px"
        )
    elif not registration.passed:
        found.append(
            "not comparable: no reliable shift between the images was found "
            f"(peak {registration.reliability:.1f} standard deviations, {registration.tie_points} tie points)"
        )
    jump = _offset_jump(pair)
    if jump is not None:
        found.append(
            f"not comparable: every band of the after image is {abs(jump):.2f} reflectance "
            f"{'brighter' if jump > 0 else 'darker'} at its dark end, as when the offset of processing "
            f"baseline 04.00 is missed on the {'after' if jump > 0 else 'before'} date; "
            f"state it with --{'after' if jump > 0 else 'before'}-offset -0.1"
        )
    return tuple(found)


def _offset_jump(pair: Pair) -> float | None:
    """Return the jump of the dark end when every band jumps by about 0.1 reflectance, else None."""
    both = pair.before.valid & pair.after.valid
    if not both.any():
        return None
    dark = [np.quantile(image.data[:, both], 0.01, axis=1) for image in (pair.before, pair.after)]
    jumps = dark[1] - dark[0]
    low, high = _OFFSET_JUMP
    alike = np.all((abs(jumps) > low) & (abs(jumps) < high)) and np.all(np.sign(jumps) == np.sign(jumps[0]))
    return float(np.median(jumps)) if alike and len(jumps) > 1 else None


def _compare(
    pair: Pair, inside: NDArray[np.bool_], settings: DetectSettings, *, refused: bool
) -> _Comparison:
    """Normalise, score, decide. A refused pair is not judged anywhere."""
    observed = pair.before.valid & pair.after.valid
    snow = _snow_on_one_date(pair)
    state = np.full(inside.shape, State.NOT_FLAGGED, np.uint8)
    state[snow] = State.NOT_COMPARABLE
    if refused:
        state[:] = State.NOT_COMPARABLE
    state[~observed] = State.NOT_OBSERVED
    state[~inside] = State.OUTSIDE
    judged = state == State.NOT_FLAGGED
    if refused:
        blank = np.full(inside.shape, np.nan, np.float32)
        nothing = robust_thresholds(blank)
        flagged = Flagged(np.zeros(inside.shape, np.int32), blank, nothing, blank, nothing, judged)
        return _Comparison(pair.after, None, flagged, state)
    # the fit uses everything observed, the site's surroundings too: change that fills a site must not
    # become the normal state of the scene
    fitted = observed & ~snow
    bands = pair.before.bands
    normalization = fit_normalization(pair.before.data, pair.after.data, fitted, bands, seed=settings.seed)
    after = replace(pair.after, data=apply_normalization(pair.after.data, normalization))
    flagged = _decide(pair.before, after, fitted, judged, settings)
    state[flagged.labels > 0] = State.CHANGED
    return _Comparison(after, normalization, flagged, state)


def _decide(
    before: Image,
    after: Image,
    fitted: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    settings: DetectSettings,
) -> Flagged:
    """Score with the chosen detector and with the other one, and flag what stands out of the first."""
    weights = change_weights(before.bands)

    def _score_with(method: str, **changes: Any) -> NDArray[np.float32]:  # noqa: ANN401
        detector = DETECTORS[method]
        parameters = replace(settings.detector_parameters(method), **changes)
        return detector.function(before.data, after.data, fitted, weights, parameters)

    score = _score_with(settings.method)
    second_score = _score_with("cva" if settings.method == "predict" else "predict")
    thresholds = robust_thresholds(score, settings.threshold)
    sharp = _score_with(settings.method, smoothing_px=_OUTLINE_SMOOTHING_PX)
    outline = outline_pixels(sharp, settings.threshold)
    contrast = np.max(np.abs(np.nan_to_num(after.data - before.data)), axis=0) >= MIN_CONTRAST
    grow = judged & contrast & outline & (np.nan_to_num(score) > thresholds.grow)
    min_pixels = settings.min_area_m2 / float(np.prod(pixel_size_m(before.grid)))
    labels = label_components(grow, grow & (score > thresholds.seed), min_pixels=min_pixels)
    labels = split_by_kind(labels, before, after, min_pixels=_PART_FACTOR * min_pixels)
    return Flagged(
        labels=labels,
        score=np.where(judged, score, np.float32(np.nan)),
        thresholds=thresholds,
        second_score=second_score,
        second_thresholds=robust_thresholds(second_score, settings.threshold),
        observed=judged,
    )


def _snow_on_one_date(pair: Pair) -> NDArray[np.bool_]:
    import cv2

    snow = (pair.before.snow != pair.after.snow).astype(np.uint8)
    if not snow.any():
        return np.zeros(snow.shape, bool)
    size = 2 * _SNOW_MARGIN_PX + 1
    return np.asarray(cv2.dilate(snow, np.ones((size, size), np.uint8), borderValue=0) > 0)


def _detection_floor(comparison: _Comparison, settings: DetectSettings) -> dict[str, float]:
    """Smallest object, and about how large a visible difference it took to be flagged in this pair."""
    floor = {"min_area_m2": settings.min_area_m2}
    after, threshold = comparison.after, comparison.flagged.thresholds.seed
    if np.isfinite(threshold) and after.valid.any():
        weights = np.array(change_weights(after.bands))
        spread = np.array([float(band[after.valid].std()) for band in after.data])
        contrast = threshold * float((weights * spread).sum() / weights.sum())
        floor["contrast_reflectance"] = max(contrast, MIN_CONTRAST)
    return floor


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
    files = sorted({asset.href for asset in source.scene.assets.values() if Path(asset.href).is_file()})
    return {
        "path": str(given),
        "in_memory": False,
        "options": said,
        "files": {href: sha256_file(Path(href)) for href in files},
    }
