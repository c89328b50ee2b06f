"""The comparison of a registered pair: normalise, score, decide, and say what could not be judged."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.bands import SENTINEL2_BANDS, change_weights
from changedet.core.components import label_components
from changedet.core.normalization import Normalization, apply_normalization, fit_normalization
from changedet.core.optical import DETECTORS, contrast_of_score
from changedet.core.prediction import PredictParameters
from changedet.core.smoothing import smooth_score
from changedet.core.threshold import ThresholdParameters, outline_pixels, robust_thresholds
from changedet.errors import UsageError
from changedet.objects import Flagged, split_by_kind
from changedet.registration import RESIDUAL_LIMIT_PX
from changedet.resample import pixel_size_m
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from changedet.core.change_vectors import CvaParameters
    from changedet.pairing import Pair
    from changedet.scene import Image

#: Objects are outlined on the score at this scale alone, in pixels.
_OUTLINE_SMOOTHING_PX = (1.0,)
#: A part of an object is cut off as another kind only when it is this many times the smallest object.
_PART_FACTOR = 3.0
#: Snow edges melt: this many pixels round snow on one date are not compared either.
_SNOW_MARGIN_PX = 3
#: Changes smaller than this in every band, in reflectance, are within the sensor's own uncertainty.
MIN_CONTRAST = 0.01
#: Which detector gives the second opinion on what another one flags.
_SECOND_OPINION = {"predict": "cva"}
_REFLECTANCE_BANDS = frozenset(band.name for band in SENTINEL2_BANDS)


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
        Smallest object in square metres; never less than a pixel.
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
        # written so that NaN, which compares false with everything, is refused too
        if not (0 <= self.min_area_m2 < math.inf and 0 < self.residual_limit_px < math.inf):
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
        parameters = DETECTORS[method].parameters()
        if isinstance(parameters, PredictParameters):
            return replace(parameters, seed=self.seed)
        return parameters


def threshold_of(seed_mads: float) -> ThresholdParameters:
    """Return thresholds from the one number a user gives, growing to the same share as the default.

    Examples
    --------
    >>> threshold_of(10.0) == ThresholdParameters()
    True
    """
    default = ThresholdParameters()
    return ThresholdParameters(seed_mads, seed_mads * default.grow_mads / default.seed_mads)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the comparison of a registered pair left.

    Attributes
    ----------
    after : Image
        The after image, normalised when the pair was compared.
    normalization : Normalization or None
        None when a gate refused the pair.
    flagged : Flagged
        Labels, scores and thresholds.
    state : ndarray of uint8, shape (y, x)
        `State` codes.
    detection_floor : mapping of str to float
        What was too small or too faint to be flagged.
    undecided : bool
        True when the score has no background to rise above, so that nothing could have been flagged.
    """

    after: Image
    normalization: Normalization | None
    flagged: Flagged
    state: NDArray[np.uint8]
    detection_floor: Mapping[str, float]
    undecided: bool = False


def compare(pair: Pair, inside: NDArray[np.bool_], settings: DetectSettings, *, refused: bool) -> Comparison:
    """Compare a registered pair.

    Parameters
    ----------
    pair : Pair
        Registered, not normalised.
    inside : ndarray of bool, shape (y, x)
        True inside the site. Ground outside it teaches what is normal and is never flagged.
    settings : DetectSettings
        Method and thresholds.
    refused : bool
        True when a gate refused the pair: then nothing is judged.

    Returns
    -------
    Comparison
        With a state for every pixel.
    """
    observed = pair.before.valid & pair.after.valid
    snow = _snow_on_one_date(pair)
    if refused:
        state = _states(inside, observed, np.ones(inside.shape, bool))
        return Comparison(pair.after, None, _nothing(observed), state, _floor(pair, settings, math.inf))
    fitted = observed & ~snow
    bands = pair.before.bands
    normalization = fit_normalization(pair.before.data, pair.after.data, fitted, bands, seed=settings.seed)
    data = apply_normalization(pair.after.data, normalization, clip=set(bands) <= _REFLECTANCE_BANDS)
    after = replace(pair.after, data=data)
    state = _states(inside, observed, snow)
    flagged = _decide(pair.before, after, fitted, state == State.NOT_FLAGGED, settings)
    undecided = _undecided(flagged)
    state[(state == State.NOT_FLAGGED) & (undecided | np.isnan(flagged.score))] = State.NOT_COMPARABLE
    state[flagged.labels > 0] = State.CHANGED
    floor = _floor(replace(pair, after=after), settings, flagged.thresholds.seed)
    return Comparison(after, normalization, flagged, state, floor, undecided)


def _states(
    inside: NDArray[np.bool_], observed: NDArray[np.bool_], refused: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    state = np.full(inside.shape, State.NOT_FLAGGED, np.uint8)
    state[refused] = State.NOT_COMPARABLE
    state[~observed] = State.NOT_OBSERVED
    state[~inside] = State.OUTSIDE
    return state


def _nothing(observed: NDArray[np.bool_]) -> Flagged:
    blank = np.full(observed.shape, np.nan, np.float32)
    thresholds = robust_thresholds(blank)
    return Flagged(np.zeros(observed.shape, np.int32), blank, thresholds, blank, thresholds, observed)


def _undecided(flagged: Flagged) -> bool:
    """Tell whether scores vary though their background does not: then no threshold means anything.

    Two equal images score 0 everywhere, which is a plain answer and not this case.
    """
    return math.isinf(flagged.thresholds.seed) and bool(np.nanmax(flagged.score, initial=0.0) > 0)


def _decide(
    before: Image,
    after: Image,
    fitted: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    settings: DetectSettings,
) -> Flagged:
    """Score with the chosen detector and with another one, and flag what stands out of the first."""
    raw = _raw_score(settings.method, before, after, fitted, settings)
    smoothing_px = settings.detector_parameters(settings.method).smoothing_px
    score = smooth_score(raw, fitted, smoothing_px)
    thresholds = robust_thresholds(score, settings.threshold)
    outline = outline_pixels(smooth_score(raw, fitted, _OUTLINE_SMOOTHING_PX), settings.threshold)
    contrast = np.max(np.abs(np.nan_to_num(after.data - before.data)), axis=0) >= MIN_CONTRAST
    grow = judged & contrast & outline & (np.nan_to_num(score) > thresholds.grow)
    min_pixels = _min_area_m2(before, settings) / float(np.prod(pixel_size_m(before.grid)))
    labels = label_components(grow, grow & (score > thresholds.seed), min_pixels=min_pixels)
    labels = split_by_kind(labels, before, after, min_pixels=_PART_FACTOR * min_pixels)
    second = _SECOND_OPINION.get(settings.method, "predict")
    second_raw = _raw_score(second, before, after, fitted, settings)
    second_score = smooth_score(second_raw, fitted, settings.detector_parameters(second).smoothing_px)
    return Flagged(
        labels=labels,
        score=np.where(judged, score, np.float32(np.nan)),
        thresholds=thresholds,
        second_score=second_score,
        second_thresholds=robust_thresholds(second_score, settings.threshold),
        observed=before.valid & after.valid,
    )


def _raw_score(
    method: str, before: Image, after: Image, fitted: NDArray[np.bool_], settings: DetectSettings
) -> NDArray[np.float32]:
    parameters = replace(settings.detector_parameters(method), smoothing_px=())
    weights = change_weights(before.bands)
    return DETECTORS[method].function(before.data, after.data, fitted, weights, parameters)


def _snow_on_one_date(pair: Pair) -> NDArray[np.bool_]:
    import cv2

    snow = (pair.before.snow != pair.after.snow).astype(np.uint8)
    if not snow.any():
        return np.zeros(snow.shape, bool)
    size = 2 * _SNOW_MARGIN_PX + 1
    return np.asarray(cv2.dilate(snow, np.ones((size, size), np.uint8), borderValue=0) > 0)


def _min_area_m2(image: Image, settings: DetectSettings) -> float:
    return max(settings.min_area_m2, float(np.prod(pixel_size_m(image.grid))))


def _floor(pair: Pair, settings: DetectSettings, seed: float) -> dict[str, float]:
    """Smallest object, and how large a difference alike in all bands it took to be flagged in this pair."""
    floor = {"min_area_m2": _min_area_m2(pair.before, settings)}
    both = pair.before.valid & pair.after.valid
    if math.isfinite(seed) and both.any():
        weights = change_weights(pair.before.bands)
        contrast = contrast_of_score(
            settings.method, seed, (pair.before.data, pair.after.data), both, weights
        )
        floor["contrast_reflectance"] = max(contrast, MIN_CONTRAST)
    return floor
