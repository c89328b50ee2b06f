"""The comparison of a registered pair: normalise, score, decide, and say what could not be judged."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.bands import BAND_WEIGHTS, change_weights
from changedet.core.masking import SceneClass
from changedet.core.normalization import Normalization, apply_normalization, fit_normalization
from changedet.core.optical import DETECTORS
from changedet.core.planes import by_rows, by_tiles, count_where, new_plane, over_rows
from changedet.core.prediction import Prediction, PredictParameters, predict_change
from changedet.core.threshold import ThresholdParameters, robust_thresholds
from changedet.deciders import Deciders, Evidence, open_deciders
from changedet.decision import (
    REFLECTANCE_BANDS,
    flag_scored,
    least_contrast,
    min_area_m2,
    min_pixels,
    score_evidence,
)
from changedet.errors import UsageError
from changedet.gates import unlikeness
from changedet.objects import Flagged
from changedet.radar.fusion import add_radar, judged_by_radar
from changedet.registration import RESIDUAL_LIMIT_PX
from changedet.resample import pixel_size_m
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from changedet.core.optical import DetectorParameters
    from changedet.pairing import Pair
    from changedet.radar.types import RadarEvidence
    from changedet.scene import Image

#: Snow edges melt: this many pixels round snow on one date are not compared either.
_SNOW_MARGIN_PX = 3
#: A site up to this share of the compared ground does not teach what is normal, if enough ground is left.
_SMALL_SITE_SHARE, _ENOUGH_PIXELS = 0.25, 50_000
#: Scores within this factor of the threshold tell how much contrast it takes to reach it.
_NEAR_THRESHOLD, _ENOUGH_NEAR = 1.25, 20
#: Why nothing was decided where scores vary and their background does not.
_NO_BACKGROUND = "not comparable: the score has no background that a change could rise above"


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
    band_weights : {"auto", "built-up", "equal"}
        Which bands score, see `changedet.bands.change_weights`.
    keep_seasonal : bool
        Also flag what season, plants or moisture alone could have made (`changedet.seasonal`).
    budget : float or None
        Flag this share of the judged ground, 0 to 1, whatever its score: for looking through the leading
        candidates of a place where something is known to have happened. None, the usual, flags what stands
        out, which may be nothing.
    model : str or None
        File of a trained model that decides in place of `method`, see `changedet.models.trained`.
    model_sha256 : str
        SHA-256 digest that this file must have; empty for whichever file is there.
    """

    method: str = "predict"
    threshold: ThresholdParameters = field(default_factory=ThresholdParameters)
    min_area_m2: float = 500.0
    grid: Literal["before", "utm"] = "before"
    residual_limit_px: float = RESIDUAL_LIMIT_PX
    seed: int = 0
    band_weights: str = "auto"
    budget: float | None = None
    model: str | None = None
    model_sha256: str = ""
    keep_seasonal: bool = False

    def __post_init__(self) -> None:
        if self.method not in DETECTORS:
            raise UsageError(f"unknown method {self.method!r}", todo=f"choose one of {', '.join(DETECTORS)}")
        if self.grid not in ("before", "utm"):
            raise UsageError(f"unknown grid {self.grid!r}", todo="choose before or utm")
        # written so that NaN, which compares false with everything, is refused too
        if not (0 <= self.min_area_m2 < math.inf and 0 < self.residual_limit_px < math.inf):
            raise UsageError("the minimum area must not be negative and the residual limit must be positive")
        if self.band_weights not in BAND_WEIGHTS:
            known = ", ".join(BAND_WEIGHTS)
            raise UsageError(f"unknown band weights {self.band_weights!r}", todo=f"choose one of {known}")
        if self.budget is not None and not 0 < self.budget < 1:
            raise UsageError(
                "the budget must be a share of the ground between 0 and 1", todo="write for example 2.5%"
            )
        self._check_model()

    def _check_model(self) -> None:
        """Refuse what a model would pass over without a word."""
        if self.model is None:
            return
        if self.method != DetectSettings.method:
            raise UsageError(
                f"a model decides, and so cannot {self.method}", todo="leave out the method or the model"
            )
        usual, asked = ThresholdParameters(), self.threshold
        if (asked.seed_mads, asked.grow_mads) != (usual.seed_mads, usual.grow_mads):
            raise UsageError(
                "a model brings its own thresholds",
                todo="leave out the threshold; to see more or less give a budget",
            )

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

    def detector_parameters(self, method: str) -> DetectorParameters:
        """Return the parameters of a detector under these settings."""
        parameters = DETECTORS[method].parameters()
        if not hasattr(parameters, "seed"):
            return parameters
        return replace(parameters, seed=self.seed)  # type: ignore[type-var]  # all are dataclasses

    def predict_parameters(self) -> PredictParameters:
        """Return the parameters of the default detector, which also tells the contrast of every other."""
        return PredictParameters(seed=self.seed)

    def weights_of(self, image: Image) -> tuple[float, ...]:
        """Return the weights of the bands of an image under these settings."""
        return change_weights(image.bands, self.band_weights, max(pixel_size_m(image.grid)))


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
    refusal : str
        Why nothing was decided after all, in words for a reader; empty when something was.
    """

    after: Image
    normalization: Normalization | None
    flagged: Flagged
    state: NDArray[np.uint8]
    detection_floor: Mapping[str, float]
    refusal: str = ""


def compare(
    pair: Pair,
    inside: NDArray[np.bool_],
    settings: DetectSettings,
    *,
    refused: bool,
    deciders: Deciders | None = None,
    radar: RadarEvidence | None = None,
    reuse: bool = False,
) -> Comparison:
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
    deciders : Deciders, optional
        What `open_deciders` made of the settings; it is asked when left out.
    radar : RadarEvidence, optional
        On the grid of the pair: weighs the score, adds what it alone flags, and judges ground that the
        images do not show.
    reuse : bool
        Whether the after image may be written over by the normalised one.

    Returns
    -------
    Comparison
        With a state for every pixel.

    Raises
    ------
    InputFileError
        When a trained model cannot be used, or a band is missing that the method needs.
    """
    observed = by_rows(np.logical_and, pair.before.valid, pair.after.valid, dtype=bool)
    if refused:
        return _not_compared(pair, inside, settings)
    snow = snow_on_one_date(pair.before, pair.after)
    fitted = by_rows(lambda seen, white: seen & ~white, observed, snow, dtype=bool)
    learn = teaching_ground(fitted, inside)
    bands = pair.before.bands
    normalization = fit_normalization(pair.before.data, pair.after.data, learn, bands, seed=settings.seed)
    clip, out = set(bands) <= REFLECTANCE_BANDS, pair.after.data if reuse else None
    data = apply_normalization(pair.after.data, normalization, clip=clip, out=out)
    after = replace(pair.after, data=data)
    prediction = predict_change(
        pair.before.data,
        after.data,
        fitted,
        settings.weights_of(pair.before),
        settings.predict_parameters(),
        learn,
    )
    if refusal := unlikeness(pair, prediction.explained):
        return replace(_not_compared(pair, inside, settings), refusal=refusal)
    state = _states(inside, observed, snow)
    evidence = Evidence(pair.before, after, fitted, settings.weights_of(pair.before), prediction, radar)
    deciders = deciders or open_deciders(settings)
    scored = score_evidence(evidence, learn, deciders)
    judged = by_rows(lambda part: part == State.NOT_FLAGGED, state, dtype=bool)
    flagged = flag_scored(scored, evidence, judged, settings, deciders)
    undecided = settings.budget is None and _undecided(flagged)
    _mark(state, State.NOT_COMPARABLE, lambda score: undecided | np.isnan(score), flagged.score)
    if radar is not None and not undecided:
        # a budget is a share of the ground, and radar's own objects would exceed it
        own = radar if settings.budget is None else replace(radar, flagged=np.zeros_like(radar.flagged))
        flagged = add_radar(flagged, own, state, min_pixels(pair.before, settings))
        state[(state == State.NOT_OBSERVED) & judged_by_radar(radar)] = State.NOT_FLAGGED
    _mark(state, State.CHANGED, lambda labels: labels > 0, flagged.labels, anywhere=True)
    floor = _floor(pair, settings, flagged, prediction)
    return Comparison(after, normalization, flagged, state, floor, _NO_BACKGROUND if undecided else "")


def _mark(
    state: NDArray[np.uint8],
    code: State,
    where: Callable[..., NDArray[np.bool_]],
    plane: NDArray[Any],
    *,
    anywhere: bool = False,
) -> None:
    """Give pixels another state where a condition on a plane holds, among those that may be flagged."""

    def _marked(part: NDArray[np.uint8], other: NDArray[Any]) -> NDArray[np.uint8]:
        at = where(other)
        return np.where(at if anywhere else at & (part == State.NOT_FLAGGED), np.uint8(code), part)

    by_rows(_marked, state, plane, dtype=np.uint8, out=state)


def _not_compared(pair: Pair, inside: NDArray[np.bool_], settings: DetectSettings) -> Comparison:
    observed = by_rows(np.logical_and, pair.before.valid, pair.after.valid, dtype=bool)
    state = _states(inside, observed, observed)
    floor = {"min_area_m2": min_area_m2(pair.before, settings)}
    return Comparison(pair.after, None, _nothing(observed), state, floor)


def teaching_ground(usable: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ground that teaches what is normal: without the site, when that is small.

    A change that fills the site would otherwise be part of what is expected there.

    Parameters
    ----------
    usable, inside : ndarray of bool, shape (y, x)
        True where both dates can be compared; true inside the site.

    Returns
    -------
    ndarray of bool, shape (y, x)
        Never more than `usable`.
    """
    within = count_where(np.logical_and, usable, inside)
    everything = int(np.count_nonzero(usable))
    if within > _SMALL_SITE_SHARE * everything or everything - within < _ENOUGH_PIXELS:
        return usable
    return by_rows(lambda part, site: part & ~site, usable, inside, dtype=bool)


def _states(
    inside: NDArray[np.bool_], observed: NDArray[np.bool_], refused: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    def _state(
        within: NDArray[np.bool_], seen: NDArray[np.bool_], out: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        state = np.full(within.shape, State.NOT_FLAGGED, np.uint8)
        state[out] = State.NOT_COMPARABLE
        state[~seen] = State.NOT_OBSERVED
        state[~within] = State.OUTSIDE
        return state

    return by_rows(_state, inside, observed, refused, dtype=np.uint8)


def _nothing(observed: NDArray[np.bool_]) -> Flagged:
    blank = new_plane(observed.shape, np.float32, np.nan)
    thresholds = robust_thresholds(blank[:1])
    nothing = new_plane(observed.shape, np.int32, 0)
    return Flagged(nothing, blank, thresholds, blank, thresholds, observed, construction=blank)


def _undecided(flagged: Flagged) -> bool:
    """Tell whether scores vary though their background does not: then no threshold means anything.

    Two equal images score 0 everywhere, which is a plain answer and not this case.
    """
    return math.isinf(flagged.thresholds.seed) and bool(count_where(lambda score: score > 0, flagged.score))


def snow_on_one_date(before: Image, after: Image) -> NDArray[np.bool_]:
    """Return where snow lies on one date only, and round it; bool, shape (y, x)."""
    import cv2

    square = np.ones((2 * _SNOW_MARGIN_PX + 1,) * 2, np.uint8)

    def _tile(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
        differs = np.asarray((first == SceneClass.SNOW) != (second == SceneClass.SNOW), np.bool_)
        if not differs.any():
            return differs
        return np.asarray(cv2.dilate(differs.view(np.uint8), square, borderValue=0) > 0)

    return by_tiles(_tile, before.classes, after.classes, halo_px=_SNOW_MARGIN_PX, dtype=bool)


def _floor(
    pair: Pair, settings: DetectSettings, flagged: Flagged, prediction: Prediction
) -> dict[str, float]:
    """Smallest object, and how large a difference from what was expected it took in this pair."""
    floor = {"min_area_m2": min_area_m2(pair.before, settings)}
    seed = flagged.thresholds.seed
    if not math.isfinite(seed) or settings.budget is not None:
        return floor
    least = least_contrast(pair.before, prediction, settings)[0]

    def _near(score: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.float32]:
        return contrast[(score > seed / _NEAR_THRESHOLD) & (score < seed * _NEAR_THRESHOLD) & (contrast > 0)]

    near = np.concatenate(over_rows(_near, flagged.score, prediction.contrast))
    usual = float(np.median(near)) if near.size >= _ENOUGH_NEAR else 0.0
    floor["contrast_reflectance"] = max(usual, least)
    return floor
