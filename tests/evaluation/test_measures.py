"""Figures of a result beside a truth that was made up for it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.synthetic import GRID, make_result

from changedet.evaluation.measures import (
    Calibration,
    change_vector_groups,
    mean_rates,
    measure,
    object_labels,
    pool,
)
from changedet.evaluation.sets import Truth
from changedet.result import State

SHAPE = tuple(GRID.shape)
#: The result flags 30:42, 40:55 and 60:64, 80:100 and 80:86, 20:26, the first with medium confidence.


def truth_of(*boxes, known=None):
    changed = np.zeros(SHAPE, bool)
    for r0, r1, c0, c1 in boxes:
        changed[r0:r1, c0:c1] = True
    return Truth(changed, np.ones(SHAPE, bool) if known is None else known)


@pytest.fixture(scope="module")
def result():
    return make_result()


def test_pixels_and_objects_are_counted(result):
    # half of the first object, and one of 30 pixels that nothing flags
    found = measure(result, truth_of((30, 42, 40, 47), (90, 96, 60, 65))).method
    assert (found.pixels.hits, found.pixels.misses) == (84, 30)
    assert found.pixels.false_alarms == 12 * 8 + 80 + 36
    assert found.objects.labelled == (0, 0, 1, 1, 0)
    assert found.objects.found == (0, 0, 0, 1, 0)
    assert (found.objects.flagged, found.objects.touching) == (3, 1)
    rates = found.rates()
    assert rates["recall"] == pytest.approx(84 / 114)
    assert rates["object_recall_50-99_px"] == 1
    assert rates["object_recall_25-49_px"] == 0
    assert math.isnan(rates["object_recall_10-24_px"])
    assert found.counts()["labelled_objects"]["50-99"] == 1


def test_areas_under_curves_are_those_of_the_score_itself(result):
    truth = truth_of((30, 42, 40, 47), (0, 6, 0, 5))
    rates = measure(result, truth).method.rates()
    score = np.where(np.isnan(result.score), -1, result.score).ravel()
    assert rates["roc_auc"] == pytest.approx(roc_auc_score(truth.changed.ravel(), score), abs=1e-12)
    assert rates["average_precision"] == pytest.approx(
        average_precision_score(truth.changed.ravel(), score), abs=1e-12
    )


def test_what_was_not_judged_was_not_found(result):
    blind = np.isnan(result.score)
    rates = measure(result, Truth(blind, np.ones(SHAPE, bool))).method.rates()
    assert rates["recall"] == 0
    assert rates["roc_auc"] == 0
    assert rates["not_judged_share"] == pytest.approx(blind.mean())
    judged = measure(result, truth_of()).method
    assert judged.objects.area_km2 == pytest.approx((~blind).sum() * 1e-4, rel=2e-3)


def test_ground_without_a_label_counts_nowhere(result):
    known = np.ones(SHAPE, bool)
    known[60:64, 80:100] = False  # the second object
    found = measure(result, truth_of((30, 42, 40, 55), (60, 64, 80, 100), known=known)).method
    assert found.pixels.misses == 0
    assert found.pixels.hits == 180
    assert found.objects.flagged == 2
    assert found.changed.size == SHAPE[0] * SHAPE[1] - 80


def test_ground_outside_the_site_counts_nowhere(result):
    state = result.state.copy()
    state[:50] = State.OUTSIDE
    found = measure(replace(result, state=state), truth_of((30, 42, 40, 55), (60, 64, 80, 100))).method
    assert (found.pixels.hits, found.pixels.misses) == (80, 0)
    assert found.changed.size == 50 * SHAPE[1]


def test_a_truth_of_another_size_is_refused(result):
    with pytest.raises(ValueError, match="does not lie on the grid"):
        measure(result, Truth(np.zeros((3, 3), bool), np.ones((3, 3), bool)))


def test_outlines_become_their_pixels_again(result):
    labels = object_labels(result.objects, result.grid)
    assert np.array_equal(labels > 0, result.state == State.CHANGED)
    assert np.bincount(labels.ravel())[1:].tolist() == [180, 80, 36]
    assert not object_labels(result.objects.head(0), result.grid).any()


def test_confidence_is_counted_by_level(result):
    found = measure(result, truth_of((30, 42, 40, 55))).calibration
    assert dict(found.objects) == {"low": 2, "medium": 1, "high": 0}
    assert dict(found.touching) == {"low": 0, "medium": 1, "high": 0}
    both = (found + found).to_dict()
    assert both["medium"]["objects"] == 2
    assert both["medium"]["share"] == 1
    assert 0.3 < both["medium"]["low"] < both["medium"]["high"] == 1
    assert math.isnan(both["high"]["share"])
    assert isinstance(found + found, Calibration)


def test_change_vectors_flag_no_more_than_the_method(result):
    found = measure(result, truth_of((30, 42, 40, 55)))
    flagged = found.method.pixels.hits + found.method.pixels.false_alarms
    compared = found.cva.pixels.hits + found.cva.pixels.false_alarms
    # the halo of smoothing makes groups grow in steps
    assert 0.9 * flagged < compared <= flagged
    assert found.cva.judged == found.method.judged
    # the made-up change is one of brightness, which change vectors see
    assert found.cva.rates()["roc_auc"] > 0.99


def test_objects_of_change_vectors_are_cut_where_the_kind_differs(result):
    # plants that become soil on the left, water on the right: one group, two kinds
    plants = np.float32([0.03, 0.06, 0.04, 0.4, 0.18, 0.08])
    names = ("B02", "B03", "B04", "B08", "B11", "B12")
    planes = np.broadcast_to(plants[:, None, None], (len(names), *SHAPE)).astype(np.float32)
    planes = planes + np.random.default_rng(0).normal(0, 0.002, planes.shape).astype(np.float32)
    changed = planes.copy()
    changed[:, 30:50, 40:50] = np.float32([0.14, 0.2, 0.26, 0.3, 0.4, 0.36])[:, None, None]
    changed[:, 30:50, 50:60] = np.float32([0.08, 0.07, 0.05, 0.02, 0.01, 0.01])[:, None, None]
    before, after = (
        replace(result.before, data=data, bands=names, valid=np.ones(SHAPE, bool))
        for data in (planes, changed)
    )
    state = np.zeros(SHAPE, np.uint8)
    state[30:50, 40:60] = State.CHANGED
    told = replace(
        result, before=before, after=after, state=state, score=np.ones(SHAPE, np.float32),
        parameters={"detector": {"smoothing_px": (1.0,)}},
    )  # fmt: skip
    truth = truth_of((30, 50, 40, 60))
    groups = change_vector_groups(told, truth.known, 400)[1]
    assert groups.max() == 1
    assert measure(told, truth).cva.objects.flagged == 2


def test_without_images_nothing_is_compared(result):
    empty = replace(result.before, data=np.full_like(result.before.data, np.nan))
    assert measure(replace(result, before=empty), truth_of((30, 42, 40, 55))).cva is None


def test_a_refused_pair_judged_nothing(result):
    nothing = np.full(SHAPE, np.nan, np.float32)
    refused = replace(
        result, score=nothing, state=np.full(SHAPE, State.NOT_COMPARABLE, np.uint8),
        objects=result.objects.head(0), thresholds={"median": math.nan, "mad": 0.0},
    )  # fmt: skip
    found = measure(refused, truth_of((30, 42, 40, 55)))
    rates = found.method.rates()
    assert (rates["roc_auc"], rates["recall"], rates["not_judged_share"]) == (0.5, 0, 1)
    assert rates["average_precision"] == rates["changed_share"]
    assert math.isnan(rates["false_objects_per_km2"])
    assert found.cva is None


def test_pooling_ranks_scores_above_their_own_background(result):
    truth = truth_of((30, 42, 40, 55))
    # the same scene in other units: a thousandfold score on a high background
    loud = replace(
        result, score=result.score * 1000 + 500,
        thresholds={"median": 0.8 * 1000 + 500, "mad": 450.0, "seed": 0.0, "grow": 0.0},
    )  # fmt: skip
    one, other = measure(result, truth).method, measure(loud, truth).method
    together = pool([one, other])
    assert together.rates()["average_precision"] == pytest.approx(one.rates()["average_precision"], abs=2e-3)
    assert together.pixels == one.pixels + other.pixels
    assert together.changed.size == 2 * one.changed.size
    assert together.rates()["f1"] == one.rates()["f1"]


def test_macro_means_leave_out_what_is_not_a_number():
    assert mean_rates([{"a": 1.0, "b": math.nan}, {"a": 0.0, "b": 0.5}]) == {"a": 0.5, "b": 0.5}
    assert math.isnan(mean_rates([{"a": math.nan}])["a"])
    assert mean_rates([]) == {}


def test_curves_begin_and_end_where_they_must(result):
    curves = measure(result, truth_of((30, 42, 40, 55))).method.curves()
    assert curves["roc"][0] == (0, 0)
    assert curves["roc"][-1] == (1, 1)
    assert curves["precision_recall"][-1][0] == 1
    assert len(curves["roc"]) < 130
    assert measure(result, truth_of()).method.curves() == {"roc": [], "precision_recall": []}
