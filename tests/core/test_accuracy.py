"""Measures of pixels and objects: the same as scikit-learn's, and what made-up scenes must give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    jaccard_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

from changedet.core.accuracy import (
    SIZE_CLASSES_PX,
    ObjectCounts,
    PixelCounts,
    area_under_roc,
    average_precision,
    best_f1,
    count_objects,
    count_pixels,
    flag_equal_area,
    rank_pixels,
    thinned,
    touched_objects,
    wilson_interval,
)


@st.composite
def ranked(draw):
    """Truth with both classes, and scores of which many may be equal."""
    size = draw(st.integers(2, 60))
    values = st.integers(-3, 3) if draw(st.booleans()) else st.floats(-1e6, 1e6, width=32)
    score = draw(hnp.arrays(np.float32, size, elements=values))
    truth = draw(hnp.arrays(np.bool_, size))
    truth[0], truth[-1] = True, False
    return truth, score


@given(ranked())
def test_areas_are_those_of_scikit_learn(case):
    truth, score = case
    ranking = rank_pixels(truth, score)
    assert area_under_roc(ranking) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert average_precision(ranking) == pytest.approx(average_precision_score(truth, score), abs=1e-12)


@given(ranked())
def test_the_best_f1_is_the_highest_of_all_thresholds(case):
    truth, score = case
    precision, recall, _ = precision_recall_curve(truth, score)
    highest = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    f1, threshold = best_f1(rank_pixels(truth, score))
    assert f1 == pytest.approx(highest, abs=1e-12)
    assert count_pixels(truth, score >= threshold).f1 == pytest.approx(f1, abs=1e-12)


@given(ranked(), st.floats(0, 1))
def test_counts_are_those_of_scikit_learn(case, share):
    truth, score = case
    flagged = score >= np.quantile(score, share)
    counts = count_pixels(truth, flagged)
    assert counts.precision == pytest.approx(precision_score(truth, flagged, zero_division=0), abs=1e-12)
    assert counts.recall == pytest.approx(recall_score(truth, flagged), abs=1e-12)
    assert counts.f1 == pytest.approx(f1_score(truth, flagged), abs=1e-12)
    assert counts.iou == pytest.approx(jaccard_score(truth, flagged), abs=1e-12)
    assert counts.flagged_share == pytest.approx(flagged.mean())
    assert counts.changed_share == pytest.approx(truth.mean())


@given(ranked())
def test_only_the_order_of_scores_matters(case):
    truth, score = case
    order = np.unique(score, return_inverse=True)[1].astype(np.float32)
    here, there = rank_pixels(truth, score), rank_pixels(truth, 7 * order - 3)
    assert here.hits.tolist() == there.hits.tolist()
    assert here.false_alarms.tolist() == there.false_alarms.tolist()


def test_what_was_not_judged_ranks_below_everything_that_was():
    truth = np.array([True, False, True, False])
    seen = np.float32([2, -np.inf, np.nan, np.nan])
    ranking = rank_pixels(truth, seen)
    assert area_under_roc(ranking) == roc_auc_score(truth, [2, -8, -9, -9])
    assert average_precision(ranking) == average_precision_score(truth, [2, -8, -9, -9])
    assert ranking.thresholds[:2].tolist() == [2, -np.inf]
    assert np.isnan(ranking.thresholds[2])


def test_the_two_zeros_are_one_threshold():
    ranking = rank_pixels(np.array([True, False]), np.float32([-0.0, 0.0]))
    assert ranking.hits.tolist() == [1]
    assert ranking.false_alarms.tolist() == [1]


def test_measures_that_the_truth_does_not_allow_are_not_numbers():
    nothing = rank_pixels(np.zeros(4, bool), np.arange(4, dtype=np.float32))
    assert math.isnan(area_under_roc(nothing))
    assert math.isnan(average_precision(nothing))
    assert all(math.isnan(v) for v in best_f1(nothing))
    everything = rank_pixels(np.ones(4, bool), np.arange(4, dtype=np.float32))
    assert math.isnan(area_under_roc(everything))
    assert average_precision(everything) == 1
    counts = count_pixels(np.zeros(4, bool), np.ones(4, bool))
    assert counts.precision == 0
    assert all(math.isnan(v) for v in (counts.recall, counts.f1, counts.iou))
    assert math.isnan(PixelCounts().flagged_share)


def test_an_empty_ranking_has_nothing_to_say():
    ranking = rank_pixels(np.zeros(0, bool), np.zeros(0, np.float32))
    assert ranking.thresholds.size == 0
    assert (ranking.changed, ranking.unchanged) == (0, 0)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"truth \(3,\), score \(2,\)"):
        rank_pixels(np.zeros(3, bool), np.zeros(2, np.float32))


def test_counts_add_up():
    assert PixelCounts(1, 2, 3, 4) + PixelCounts(10, 20, 30, 40) == PixelCounts(11, 22, 33, 44)
    one = ObjectCounts((1, 2, 0, 0, 0), (0, 1, 0, 0, 0), 5, 2, 1.5)
    assert one + one == ObjectCounts((2, 4, 0, 0, 0), (0, 2, 0, 0, 0), 10, 4, 3.0)
    assert one + ObjectCounts() == one


# --- objects ----------------------------------------------------------------------------------------


def scene():
    """Labelled objects of 4, 12, 30, 60 and 120 pixels, and flags that cover shares of them."""
    truth, flagged = np.zeros((40, 60), bool), np.zeros((40, 60), np.int32)
    truth[0:2, 0:2] = True
    truth[5:7, 0:6] = True
    truth[10:13, 0:10] = True
    truth[16:22, 0:10] = True
    truth[26:36, 0:12] = True
    flagged[5, 0:4] = 1  # 4 of 12: found
    flagged[10, 0:8] = 2  # 8 of 30: not found
    flagged[26:30, 0:12] = 3  # 48 of 120: found
    flagged[0:5, 40:45] = 4  # touches nothing
    flagged[20:25, 40:45] = 5
    return truth, flagged


def test_objects_are_found_by_the_share_of_their_area():
    truth, flagged = scene()
    counts = count_objects(truth, flagged, area_km2=4.0)
    assert counts.labelled == (1, 1, 1, 1, 1)
    assert counts.found == (0, 1, 0, 0, 1)
    assert counts.recall() == 0.5  # of four: the smallest class does not count
    assert counts.recall(0) == 0
    assert counts.recall(1, 2) == 0.5
    assert (counts.flagged, counts.touching) == (5, 3)
    assert counts.precision == 0.6
    assert counts.false_per_km2 == 0.5


def test_a_labelled_object_may_be_covered_by_several_flagged_ones():
    truth, flagged = np.ones((4, 5), bool), np.zeros((4, 5), np.int32)
    flagged[0, 0:3], flagged[3, 0:3] = 1, 2
    assert count_objects(truth, flagged, 1.0).found == (0, 1, 0, 0, 0)
    assert count_objects(truth, np.where(flagged == 1, 1, 0).astype(np.int32), 1.0).found == (0,) * 5


@pytest.mark.parametrize(("size", "place"), [(9, 0), (10, 1), (24, 1), (25, 2), (50, 3), (99, 3), (100, 4)])
def test_a_size_class_begins_at_its_number(size, place):
    truth = np.zeros((1, 200), bool)
    truth[0, :size] = True
    labelled = count_objects(truth, np.zeros((1, 200), np.int32), 1.0).labelled
    assert labelled.index(1) == place
    assert len(SIZE_CLASSES_PX) == len(labelled)


def test_without_objects_there_are_no_shares():
    counts = count_objects(np.zeros((5, 5), bool), np.zeros((5, 5), np.int32), 0.0)
    assert counts == ObjectCounts()
    assert all(math.isnan(v) for v in (counts.recall(), counts.precision, counts.false_per_km2))


def test_objects_that_touch_the_truth_are_told_by_their_label():
    truth, flagged = scene()
    assert touched_objects(flagged, truth).tolist() == [True, True, True, False, False]


# --- equal area -------------------------------------------------------------------------------------


@given(st.integers(0, 400), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_equal_area_never_exceeds_what_was_asked_for(pixels, smallest, seed):
    score = np.random.default_rng(seed).random((20, 20)).astype(np.float32)
    score[:3] = np.nan
    labels = flag_equal_area(score, pixels, smallest)
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.sum() <= pixels
    assert (sizes >= smallest).all()
    assert not labels[:3].any()
    if smallest == 1:  # every pixel counts by itself, and no two scores are equal
        assert sizes.sum() == min(pixels, 340)


def test_equal_area_takes_the_highest_scores():
    score = np.arange(20, dtype=np.float32).reshape(4, 5)
    assert (flag_equal_area(score, 5) > 0).sum() == 5
    assert (flag_equal_area(score, 5)[3] == 1).all()


# --- intervals and curves ---------------------------------------------------------------------------


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_share_and_shrinks_with_the_count(count, data):
    found = data.draw(st.integers(0, count))
    low, high = wilson_interval(found, count)
    assert 0 <= low <= found / count <= high <= 1
    wide = wilson_interval(4 * found, 4 * count)
    assert wide[1] - wide[0] < high - low


def test_an_interval_of_nothing_is_not_a_number():
    assert all(math.isnan(end) for end in wilson_interval(0, 0))


def test_a_thinned_curve_keeps_its_ends_and_its_own_points():
    x = np.linspace(0, 1, 5000) ** 2
    points = thinned(x, x**0.5, 50)
    assert 40 < len(points) <= 52
    assert points[0] == (0, 0)
    assert points[-1] == (1, 1)
    assert all(b == pytest.approx(a**0.5) for a, b in points)
    assert thinned(x[:0], x[:0], 9) == []
