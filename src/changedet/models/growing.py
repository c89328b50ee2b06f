"""Growing trees with scikit-learn, and taking them out of it: the only place that needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.trees import Trees, sum_trees
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.models.training import TrainingSettings

#: How many pixels are scored both ways, and how far the two may lie apart.
_CHECKED_PX, _SAME_WITHIN = 2000, 1e-4


def grow_trees(
    samples: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]], settings: TrainingSettings
) -> Trees:
    """Grow boosted trees on samples of several sites, each counting alike, and change as much as the rest.

    Parameters
    ----------
    samples : sequence of (ndarray of float32, shape (feature, pixel), ndarray of bool, shape (pixel,))
        Features, and which pixels are changed, for each site; together both classes.
    settings : TrainingSettings
        How they are grown.

    Returns
    -------
    Trees
        Whose sum is the log odds of change among pixels that are changed as often as not.

    Raises
    ------
    UsageError
        When scikit-learn is not installed, or no sample holds a changed pixel.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise UsageError("training needs scikit-learn", todo="pip install 'changedet[learn]'") from error
    features = np.concatenate([part for part, _ in samples], axis=1).T
    changed = np.concatenate([part for _, part in samples])
    if not changed.any() or changed.all():
        raise UsageError(
            "all labelled changes lie at one site", todo="give at least two sites at which something changed"
        )
    weights = np.concatenate([_weights(part) for _, part in samples])
    machine = HistGradientBoostingClassifier(
        max_iter=settings.rounds,
        max_leaf_nodes=settings.leaves,
        learning_rate=settings.learning_rate,
        min_samples_leaf=settings.smallest_leaf,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=settings.seed,
    )
    machine.fit(features, changed, sample_weight=weights * (weights.size / weights.sum()))
    trees = _taken_out(machine)
    trees.check(features.shape[1])
    shown = features[:: max(1, len(features) // _CHECKED_PX)]
    expected = machine.decision_function(shown)
    if not np.allclose(sum_trees(trees, np.ascontiguousarray(shown.T)), expected, atol=_SAME_WITHIN):
        raise UsageError("this version of scikit-learn keeps its trees in another form", todo="use 1.9")
    return trees


def _weights(changed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give changed and unchanged pixels of a site half of its weight each."""
    share = 0.5 / np.maximum(np.bincount(changed, minlength=2), 1)
    return np.asarray(share[changed.astype(int)], np.float64)


def _taken_out(machine: Any) -> Trees:  # noqa: ANN401  # scikit-learn ships no types
    rows = [stage[0].nodes for stage in machine._predictors]
    shape = len(rows), max(len(nodes) for nodes in rows)
    feature, left, right = np.full(shape, -1, np.int16), np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    threshold, value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for row, nodes in enumerate(rows):
        inner = nodes["is_leaf"] == 0
        width = len(nodes)
        feature[row, :width] = np.where(inner, nodes["feature_idx"], -1)
        threshold[row, :width] = np.where(inner, _not_above(nodes["num_threshold"]), 0)
        left[row, :width] = np.where(inner, nodes["left"], 0)
        right[row, :width] = np.where(inner, nodes["right"], 0)
        value[row, :width] = np.where(inner, 0, nodes["value"])
    return Trees(feature, threshold, left, right, value, float(np.ravel(machine._baseline_prediction)[0]))


def _not_above(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each number, so that float32 features go the same way."""
    largest = np.float64(np.finfo(np.float32).max)
    rounded = np.clip(numbers, -largest, largest).astype(np.float32)
    return np.where(rounded > numbers, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)
