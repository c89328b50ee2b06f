"""Who decides what is flagged: a score with its thresholds and its outlines, whichever way it is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from changedet.core.optical import DETECTORS
from changedet.core.planes import by_rows
from changedet.core.smoothing import smooth_score
from changedet.core.threshold import outline_pixels, robust_thresholds
from changedet.errors import InputFileError
from changedet.hashing import sha256_file
from changedet.models.trained import model_score, open_model, require_bands

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from changedet.comparison import DetectSettings
    from changedet.core.optical import Detector, DetectorParameters
    from changedet.core.prediction import Prediction
    from changedet.core.threshold import ThresholdParameters, Thresholds
    from changedet.models.trained import TrainedModel
    from changedet.radar.types import RadarEvidence
    from changedet.scene import Image

#: Which detector gives the second opinion on what another one flags.
_SECOND_OPINION = {"predict": "cva"}
_USUAL_SECOND = "predict"
_ASKED_FOR_ONE_THING = frozenset({"index", "texture"})
#: What a record calls the method when a trained model decided.
MODEL_METHOD = "model"
#: What the evidence of an object calls the two who were asked.
_SPOKEN_OF = {"predict": "prediction", "cva": "change vector", MODEL_METHOD: "trained model"}


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a pair when it is scored.

    Attributes
    ----------
    before, after : Image
        Registered and normalised.
    usable : ndarray of bool, shape (y, x)
        True where both can be compared.
    weights : tuple of float
        One for each band.
    prediction : Prediction
        What neither date predicts of the other.
    radar : RadarEvidence or None
        What radar says, where it was asked.
    """

    before: Image
    after: Image
    usable: NDArray[np.bool_]
    weights: tuple[float, ...]
    prediction: Prediction
    radar: RadarEvidence | None = None


class Decider(Protocol):
    """A score, and where it stands out."""

    @property
    def name(self) -> str:
        """What the record calls it."""

    def require(self, bands: tuple[str, ...]) -> None:
        """Raise `MissingBandError` when images with these bands cannot be scored."""

    def scores(self, evidence: Evidence) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what shows the outlines of changes, and the smoothed score; both float32, shape (y, x)."""

    def sharp_score(self, evidence: Evidence) -> NDArray[np.float32] | None:
        """Return a score that shows what is small, float32, shape (y, x), or None where there is none."""

    @property
    def passes_over_seasons(self) -> bool:
        """Whether what looks like season or vegetation is to be set aside after it decided."""

    def thresholds(self, score: NDArray[np.float32]) -> Thresholds:
        """Return the thresholds of a smoothed score; NaN = does not teach what is normal."""

    def outline(self, fine: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which pixels stand out by themselves in a finely smoothed score; NaN = not usable."""

    def to_dict(self) -> dict[str, Any]:
        """Return its parameters, JSON-serialisable, with ``smoothing_px`` among them."""


@dataclass(frozen=True, eq=False)
class Deciders:
    """Who decides, and who is asked for a second opinion.

    Attributes
    ----------
    first : Decider
        Flags.
    second : Decider
        Is compared with what was flagged.
    model : mapping of str to str
        ``path``, ``sha256`` and ``sentence`` of a trained model that decides; empty without one.
    provenance : mapping
        What that model was trained on.
    """

    first: Decider
    second: Decider
    model: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def opinions(self) -> tuple[str, str]:
        """What the evidence of an object calls the two."""
        first, second = (_SPOKEN_OF.get(one.name, one.name) for one in (self.first, self.second))
        return first, second

    def require(self, bands: tuple[str, ...]) -> None:
        """Refuse images that one of the two cannot score.

        Parameters
        ----------
        bands : tuple of str
            Canonical names of their bands.

        Raises
        ------
        MissingBandError
            It names the bands that are missing.
        """
        for one in (self.first, self.second):
            one.require(bands)

    @property
    def inputs(self) -> dict[str, Any]:
        """What the record of a run says of the model as an input; empty without one."""
        if not self.model:
            return {}
        return {"model": {**self.model, "provenance": self.provenance}}

    @property
    def notes(self) -> tuple[str, ...]:
        """What every reader of the result has to know of who decided."""
        return (self.model["sentence"],) if self.model else ()

    def settled(self, settings: DetectSettings) -> DetectSettings:
        """Return settings that name exactly what decides, so that nothing else can when they are used again.

        Parameters
        ----------
        settings : DetectSettings
            From which these were made.

        Returns
        -------
        DetectSettings
            With the digest of the model.
        """
        return replace(settings, model_sha256=self.model["sha256"]) if self.model else settings


def open_deciders(settings: DetectSettings) -> Deciders:
    """Make ready what decides under these settings; a trained model is read here and nowhere else.

    Parameters
    ----------
    settings : DetectSettings
        The method, or the file of a model, and the thresholds.

    Returns
    -------
    Deciders
        The second opinion on every other method is that of the default detector.

    Raises
    ------
    MissingInputError
        When the model file is not there.
    InputFileError
        When it cannot be used, or is not the one whose digest the settings name.
    """
    if settings.model is None:
        second = _SECOND_OPINION.get(settings.method, _USUAL_SECOND)
        return Deciders(_detector_decider(settings.method, settings), _detector_decider(second, settings))
    model, digest = open_model(settings.model), sha256_file(settings.model)
    if settings.model_sha256 not in ("", digest):
        raise InputFileError(
            "model file has changed: it has another SHA-256 digest than the one that was used",
            where=settings.model,
            todo="restore the file that was used",
        )
    said = {"path": settings.model, "sha256": digest, "sentence": model.sentence()}
    return Deciders(
        _ModelDecider(model), _detector_decider(_USUAL_SECOND, settings), said, dict(model.provenance)
    )


def _detector_decider(name: str, settings: DetectSettings) -> Decider:
    parameters = settings.detector_parameters(name)
    kind = _PredictionDecider if name == "predict" else _DetectorDecider
    return kind(DETECTORS[name], parameters, settings.threshold)


@dataclass(frozen=True, eq=False)
class _DetectorDecider:
    """A detector without labels: what stands out of the background of its score."""

    detector: Detector
    parameters: DetectorParameters
    threshold: ThresholdParameters

    @property
    def name(self) -> str:
        """Return what the record calls it."""
        return self.detector.name

    def require(self, bands: tuple[str, ...]) -> None:
        """Raise when images with these bands cannot be scored."""
        self.detector.require(bands)

    def scores(self, evidence: Evidence) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score the evidence."""
        plain = replace(self.parameters, smoothing_px=())  # type: ignore[type-var]  # all are dataclasses
        images = evidence.before.data, evidence.after.data
        raw = self.detector.score(images, evidence.usable, evidence.before.bands, evidence.weights, plain)
        return raw, smooth_score(raw, evidence.usable, self.parameters.smoothing_px)

    def sharp_score(self, evidence: Evidence) -> NDArray[np.float32] | None:
        """Return None: its score has no cap."""
        return None

    @property
    def passes_over_seasons(self) -> bool:
        """Return False for a detector that is asked for one kind of change, such as that of plants."""
        return self.detector.family not in _ASKED_FOR_ONE_THING

    def thresholds(self, score: NDArray[np.float32]) -> Thresholds:
        """Return where the score stands out."""
        found, own = robust_thresholds(score, self.threshold), self.detector.decides_at
        # a share of votes may have no background, or one so wide that no share could stand out of it
        if own is None or found.seed < self.detector.highest:
            return found
        return replace(found, seed=own, grow=own)

    def outline(self, fine: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the pixels that stand out by themselves."""
        own = self.detector.decides_at
        if own is None or robust_thresholds(fine, self.threshold).seed < self.detector.highest:
            return outline_pixels(fine, self.threshold)
        return by_rows(lambda part: part > own, fine, dtype=bool)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return self.parameters.to_dict()


class _PredictionDecider(_DetectorDecider):
    """The default detector, whose score every comparison has already."""

    def scores(self, evidence: Evidence) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score the evidence."""
        raw = evidence.prediction.raw
        score = smooth_score(raw, evidence.usable, self.parameters.smoothing_px)
        return evidence.prediction.surprise, score

    def sharp_score(self, evidence: Evidence) -> NDArray[np.float32] | None:
        """Return the score without its cap, and without its widest smoothing."""
        narrow = tuple(sorted(self.parameters.smoothing_px)[:-1])
        return smooth_score(evidence.prediction.uncapped(), evidence.usable, narrow) if narrow else None


@dataclass(frozen=True, eq=False)
class _ModelDecider:
    """A trained model, which brings its own thresholds: log odds have no background to stand out of."""

    model: TrainedModel
    name: str = MODEL_METHOD
    passes_over_seasons: bool = False

    def require(self, bands: tuple[str, ...]) -> None:
        """Raise when images with these bands cannot be scored."""
        require_bands(self.model, bands)

    def scores(self, evidence: Evidence) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score the evidence."""
        before, after = evidence.before, evidence.after
        raw = model_score(self.model, before.data, after.data, evidence.usable, before.bands)
        return raw, smooth_score(raw, evidence.usable, self.model.smoothing_px)

    def sharp_score(self, evidence: Evidence) -> NDArray[np.float32] | None:
        """Return None: it was trained on what its score shows."""
        return None

    def thresholds(self, score: NDArray[np.float32]) -> Thresholds:
        """Return where the score stands out."""
        return replace(robust_thresholds(score), seed=self.model.seed, grow=self.model.grow)

    def outline(self, fine: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the pixels that stand out by themselves."""
        return by_rows(lambda part: part > self.model.grow, fine, dtype=bool)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "smoothing_px": list(self.model.smoothing_px),
            "seed": self.model.seed,
            "grow": self.model.grow,
            "bands": list(self.model.bands),
        }
