"""Training a small model on labelled sites, and what it is worth at sites that it has not seen."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.attempts import Failure, attempt_all, error_for_all
from changedet.bands import change_weights
from changedet.comparison import DetectSettings
from changedet.core.accuracy import (
    PixelCounts,
    area_under_roc,
    average_precision,
    count_pixels,
    rank_pixels,
)
from changedet.core.change_features import change_features, fingerprint
from changedet.core.components import label_components
from changedet.core.smoothing import smooth_score
from changedet.core.trees import sum_trees
from changedet.errors import InputFileError, MissingBandError, NoUsableImageryError, UsageError
from changedet.evaluation.evaluating import labelled_result
from changedet.evaluation.measures import mean_rates
from changedet.models.growing import grow_trees
from changedet.models.trained import TrainedModel
from changedet.progress import Progress, Silent, begin_site
from changedet.provenance import library_versions, to_json_types
from changedet.resample import pixel_size_m
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.core.trees import Trees
    from changedet.evaluation.sets import LabelledSite, SitePlace
    from changedet.result import ChangeResult

_DEFAULT_DETECTION = DetectSettings()
_SILENT = Silent()
#: Log odds among which thresholds are chosen: of the pixels of an object, and how much more its peak needs.
_GROW_LOG_ODDS = tuple(np.arange(0.0, 5.01, 0.5).tolist())
_SEED_ABOVE = (0.0, 0.5, 1.0, 1.5)
_FEWEST_CHANGED_PX = 30


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is grown.

    Attributes
    ----------
    rounds : int
        Number of trees.
    leaves : int
        Most leaves of a tree.
    learning_rate : float
        How much of what is left each tree takes away.
    smallest_leaf : int
        Fewest sampled pixels in a leaf.
    unchanged_px : int
        How many unchanged pixels are sampled at each site; of the changed ones all are taken.
    smoothing_px : tuple of float
        Over which Gaussians the score is smoothed.
    seed : int
        Of the samples.
    """

    rounds: int = 60
    leaves: int = 8
    learning_rate: float = 0.1
    smallest_leaf: int = 100
    unchanged_px: int = 10_000
    smoothing_px: tuple[float, ...] = (1.0, 2.0)
    seed: int = 0


_DEFAULT_TRAINING = TrainingSettings()


@dataclass(frozen=True, eq=False)
class _Examples:
    """What is kept of a labelled site: its features lie in a file, they may be large."""

    name: str
    bands: tuple[str, ...]
    features: Path
    valid: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    min_pixels: float
    untrained: Mapping[str, Any]
    about: Mapping[str, Any]

    def sample(self, settings: TrainingSettings) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the features of the changed pixels and of some others, and which are changed."""
        changed = self.changed[self.valid]
        known = self.counted[self.valid]
        others = np.flatnonzero(known & ~changed)
        if others.size > settings.unchanged_px:
            rng = np.random.default_rng(settings.seed)
            others = rng.choice(others, settings.unchanged_px, replace=False)
        chosen = np.sort(np.concatenate([np.flatnonzero(known & changed), others]))
        features = np.load(self.features, mmap_mode="r")
        return np.asarray(features[:, chosen], np.float32), changed[chosen]

    def score(self, trees: Trees, smoothing_px: tuple[float, ...]) -> NDArray[np.float32]:
        """Return the smoothed log odds of every pixel, NaN where there are none."""
        raw = np.zeros(self.valid.shape, np.float32)
        raw[self.valid] = sum_trees(trees, np.load(self.features)) - np.float32(trees.floor)
        return smooth_score(np.maximum(raw, 0), self.valid, smoothing_px) + np.float32(trees.floor)


def train(
    places: Sequence[SitePlace],
    settings: TrainingSettings = _DEFAULT_TRAINING,
    *,
    detection: DetectSettings = _DEFAULT_DETECTION,
    dataset: Mapping[str, Any] | None = None,
    progress: Progress = _SILENT,
) -> TrainedModel:
    """Train a model on labelled sites.

    Every site is left out once: a model of the others scores it, thresholds chosen on the others decide, and
    the figures of all these are stored with the model, beside those of the method without training.

    Parameters
    ----------
    places : sequence of SitePlace
        From `changedet.evaluation.sets`; at least two.
    settings : TrainingSettings
        How the model is grown.
    detection : DetectSettings
        How images are registered and normalised.
    dataset : mapping, optional
        What is trained on, for the record.
    progress : Progress
        Told about sites and steps.

    Returns
    -------
    TrainedModel
        Grown on all sites.

    Raises
    ------
    UsageError
        When there are fewer than two sites, too few changed pixels, or scikit-learn is not installed.
    ChangedetError
        When a site cannot be used; nothing is trained on the others.

    Notes
    -----
    Gradient boosting: Friedman 2001, doi:10.1214/aos/1013203451.
    """
    if len(places) < 2:
        raise UsageError(
            "one site cannot tell what a model is worth", todo="give at least two labelled sites"
        )
    with tempfile.TemporaryDirectory(prefix="changedet-train-") as folder:
        examples = _gather(places, detection, Path(folder), progress)
        samples = {one.name: one.sample(settings) for one in examples}
        found = sum(int(changed.sum()) for _, changed in samples.values())
        if found < _FEWEST_CHANGED_PX:
            raise UsageError(f"only {found} changed pixels are labelled", todo="label more changes")
        scores = {}
        for number, one in enumerate(examples, 1):
            begin_site(progress, one.name, number, len(examples))
            progress.step("training without it")
            others = [samples[other.name] for other in examples if other is not one]
            scores[one.name] = one.score(grow_trees(others, settings), settings.smoothing_px)
        progress.step("choosing thresholds")
        thresholds, worth = _cross_validation(examples, scores)
        progress.step("training on all sites")
        trees = grow_trees(list(samples.values()), settings)
        bands = examples[0].bands
        provenance = _provenance(examples, settings, detection, dataset or {}) | {"cross_validation": worth}
    weights = change_weights(bands)
    grow, seed = (max(value - trees.floor, 1e-6) for value in thresholds)
    return TrainedModel(
        trees, bands, weights, settings.smoothing_px, seed, grow, fingerprint(bands, weights),
        MappingProxyType({key: to_json_types(value) for key, value in provenance.items()}),
    )  # fmt: skip


def _gather(
    places: Sequence[SitePlace], detection: DetectSettings, folder: Path, progress: Progress
) -> list[_Examples]:
    numbers = {place.name: number for number, place in enumerate(places, 1)}
    bands: list[tuple[str, ...]] = []

    def _work(place: SitePlace) -> _Examples:
        begin_site(progress, place.name, numbers[place.name], len(places))
        site = place.find()
        result, truth = labelled_result(site, detection, progress)
        bands.append(result.before.bands)
        target = folder / f"{numbers[place.name]}.npy"
        known = truth.known & (result.state != State.OUTSIDE)
        return _examples(site, result, (truth.changed & known, known), bands[0], target)

    found = list(attempt_all([(place.name, place) for place in places], _work))
    if failures := [one for one in found if isinstance(one, Failure)]:
        told = [{"site": one.site, "reason": one.reason, "exit_code": one.exit_code} for one in failures]
        raise error_for_all(failures, len(places), "examples", {"failed": told})
    return [one for one in found if isinstance(one, _Examples)]


def _examples(
    site: LabelledSite,
    result: ChangeResult,
    labels: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    bands: tuple[str, ...],
    target: Path,
) -> _Examples:
    """Compute the features of a site and put them into a file."""
    if lacking := [name for name in bands if name not in result.before.bands]:
        raise MissingBandError(
            f"lacks {', '.join(lacking)}, which the first site has", where=site.name, todo="leave it out"
        )
    order = [result.before.bands.index(name) for name in bands]
    before, after = result.before.data[order], result.after.data[order]
    seen = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0) & np.isfinite(result.score)
    if not seen.any():
        kept = result.before.valid.any()
        raise (NoUsableImageryError if kept else InputFileError)(
            "nothing was judged, or the run has no before.tif and after.tif",
            where=site.name,
            todo="leave it out",
        )
    changed, known = labels
    images = np.nan_to_num(before), np.nan_to_num(after)
    np.save(target, change_features(*images, seen, bands, change_weights(bands))[:, seen])
    pixel_m2 = float(np.prod(pixel_size_m(result.grid)))
    flagged = result.state == State.CHANGED
    about = {
        "site": site.name,
        "before": result.before.scene.date_text,
        "after": result.after.scene.date_text,
        "changed_pixels": int(changed.sum()),
        "labelled_pixels": int(known.sum()),
        "inputs": site.inputs(),
    }
    return _Examples(
        site.name, bands, target, seen, changed, known,
        result.detection_floor.get("min_area_m2", pixel_m2) / pixel_m2,
        _figures(changed[known], result.score[known], count_pixels(changed[known], flagged[known])), about,
    )  # fmt: skip


def _cross_validation(
    examples: Sequence[_Examples], scores: Mapping[str, NDArray[np.float32]]
) -> tuple[tuple[float, float], dict[str, Any]]:
    """Choose thresholds, and measure every site with those that the others would choose."""
    pairs = [(grow, grow + above) for grow in _GROW_LOG_ODDS for above in _SEED_ABOVE]
    counts = {one.name: [_decided(one, scores[one.name], pair) for pair in pairs] for one in examples}
    rows, totals = {}, PixelCounts()
    for one in examples:
        best = _best(pairs, [counts[other.name] for other in examples if other is not one])
        decided = counts[one.name][best]
        totals += decided
        known = one.counted
        rows[one.name] = _figures(one.changed[known], scores[one.name][known], decided)
    chosen = pairs[_best(pairs, list(counts.values()))]
    untrained = {one.name: one.untrained for one in examples}
    return chosen, {
        "by": "site: each was scored and decided by a model and thresholds that had not seen it",
        "sites": rows,
        "macro": mean_rates(row["rates"] for row in rows.values()),
        "pooled": _decision_rates(totals),
        "untrained": {
            "sites": untrained,
            "macro": mean_rates(row["rates"] for row in untrained.values()),
            "pooled": _decision_rates(sum((row["counts"] for row in untrained.values()), PixelCounts())),
        },
    }


def _decided(one: _Examples, score: NDArray[np.float32], thresholds: tuple[float, float]) -> PixelCounts:
    filled = np.where(one.counted, np.nan_to_num(score, nan=-np.inf), -np.inf)
    grow = filled > thresholds[0]
    flagged = label_components(grow, filled > thresholds[1], min_pixels=one.min_pixels) > 0
    return count_pixels(one.changed[one.counted], flagged[one.counted])


def _best(pairs: Sequence[tuple[float, float]], counts: Sequence[Sequence[PixelCounts]]) -> int:
    """Return which thresholds give the best F1 over all sites; of equal ones, those that flag least."""
    sums = [sum((site[i] for site in counts), PixelCounts()) for i in range(len(pairs))]
    return max(range(len(pairs)), key=lambda i: (np.nan_to_num(sums[i].f1), -sums[i].flagged_share))


def _figures(changed: NDArray[np.bool_], score: NDArray[np.float32], counts: PixelCounts) -> dict[str, Any]:
    ranking = rank_pixels(changed, score)
    areas = {"roc_auc": area_under_roc(ranking), "average_precision": average_precision(ranking)}
    return {"rates": areas | _decision_rates(counts), "counts": counts}


def _decision_rates(counts: PixelCounts) -> dict[str, float]:
    return {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}


def _provenance(
    examples: Sequence[_Examples],
    settings: TrainingSettings,
    detection: DetectSettings,
    dataset: Mapping[str, Any],
) -> dict[str, Any]:
    libraries = library_versions() | {"scikit-learn": version("scikit-learn")}
    return {
        "created_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "software": {"name": "changedet", "version": version("changedet"), "libraries": libraries},
        "dataset": dict(dataset),
        "settings": asdict(settings),
        "detection": detection.to_dict(),
        "sites": [dict(one.about) for one in examples],
    }
