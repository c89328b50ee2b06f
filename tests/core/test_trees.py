"""Trees as arrays: the same as scikit-learn's, walked to their end, and refused when they are not trees."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from changedet.core.blocks import THREADS
from changedet.core.trees import Trees, sum_trees
from changedet.models.growing import grow_trees
from changedet.models.training import TrainingSettings

STUMP = Trees(
    np.int16([[0, -1, -1]]), np.float32([[5, 0, 0]]), np.int16([[1, 0, 0]]), np.int16([[2, 0, 0]]),
    np.float32([[0, -1, 2]]), 0.5,
)  # fmt: skip
SETTINGS = TrainingSettings(rounds=12, leaves=6, smallest_leaf=5)


def samples(seed=0, size=600):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((4, size)).astype(np.float32)
    return features, features[1] + 0.5 * features[3] ** 2 + 0.2 * rng.standard_normal(size) > 1


def test_trees_say_what_scikit_learn_says():
    features, changed = samples()
    machine = HistGradientBoostingClassifier(
        max_iter=12,
        max_leaf_nodes=6,
        min_samples_leaf=5,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    share = np.where(changed, 0.5 / changed.sum(), 0.5 / (~changed).sum())
    machine.fit(features.T, changed, sample_weight=share * changed.size)
    trees = grow_trees([(features, changed)], SETTINGS)
    assert trees.feature.shape[0] == 12
    assert np.allclose(sum_trees(trees, features), machine.decision_function(features.T), atol=1e-5)


def test_sites_count_alike_however_many_pixels_they_have():
    features, changed = samples()
    many = np.tile(features, 3), np.tile(changed, 3)
    other = samples(1)
    settings = replace(SETTINGS, smallest_leaf=1, rounds=3)
    once = sum_trees(grow_trees([(features, changed), other], settings), features)
    thrice = sum_trees(grow_trees([many, other], settings), features)
    assert np.allclose(once, thrice, atol=0.05)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_tree_is_walked_like_a_tree(nodes, seed):
    rng = np.random.default_rng(seed)
    # a random tree: nodes are split one after the other, children are put at the end
    feature, left, right = [-1], [0], [0]
    for _ in range(nodes):
        leaf = int(rng.choice(np.flatnonzero(np.array(feature) < 0)))
        feature[leaf], left[leaf], right[leaf] = int(rng.integers(3)), len(feature), len(feature) + 1
        feature, left, right = [*feature, -1, -1], [*left, 0, 0], [*right, 0, 0]
    threshold, value = rng.random(len(feature)), rng.standard_normal(len(feature))
    trees = Trees(
        np.int16([feature]), np.float32([threshold]), np.int16([left]), np.int16([right]),
        np.float32([value]), 0.25,
    )  # fmt: skip
    trees.check(3)
    pixels = rng.random((3, 7)).astype(np.float32)
    expected = []
    for pixel in pixels.T:
        node = 0
        while feature[node] >= 0:
            goes_left = pixel[feature[node]] <= np.float32(threshold[node])
            node = left[node] if goes_left else right[node]
        expected.append(np.float32(0.25 + np.float64(np.float32(value[node]))))
    assert sum_trees(trees, pixels).tolist() == expected
    assert min(expected) >= trees.floor - 1e-6


def test_blocks_and_threads_change_nothing(monkeypatch):
    trees = grow_trees([samples()], SETTINGS)
    features = np.random.default_rng(3).standard_normal((4, 30_000)).astype(np.float32)
    whole = sum_trees(trees, features)
    assert THREADS > 1
    parts = [sum_trees(trees, features[:, i : i + 777]) for i in range(0, 30_000, 777)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert sum_trees(trees, features[:, :0]).size == 0


def test_the_floor_is_the_least_of_all_sums():
    assert STUMP.floor == -0.5
    trees = grow_trees([samples()], SETTINGS)
    features = 10 * np.random.default_rng(3).standard_normal((4, 5000)).astype(np.float32)
    assert sum_trees(trees, features).min() >= trees.floor


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"left": np.int16([[0, 0, 0]])}, "points back"),
        ({"right": np.int16([[3, 0, 0]])}, "beyond its tree"),
        ({"right": np.int16([[-1, 0, 0]])}, "points back"),
        ({"feature": np.int16([[4, -1, -1]])}, "asks for feature 4 of 4"),
        ({"feature": np.int16([[-2, -1, -1]])}, "asks for feature"),
        ({"value": np.float32([[0, np.nan, 2]])}, "not finite"),
        ({"threshold": np.float32([[np.inf, 0, 0]])}, "not finite"),
        ({"value": np.float32([[0, 1]])}, "differ in shape"),
    ],
)
def test_what_is_no_tree_is_refused(change, text):
    STUMP.check(4)
    with pytest.raises(ValueError, match=text):
        replace(STUMP, **change).check(4)


def test_no_trees_are_refused():
    nothing = {name: getattr(STUMP, name)[:0] for name in ("feature", "threshold", "left", "right", "value")}
    with pytest.raises(ValueError, match="empty"):
        replace(STUMP, **nothing).check(4)
