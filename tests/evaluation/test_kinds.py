"""What the kind of change is worth: rankings of pixels and objects beside a truth that was made up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import GRID, make_result

from changedet.evaluation.kinds import KindMeasures, RankedObjects, pool_kinds
from changedet.evaluation.measures import measure
from changedet.evaluation.sets import Truth
from changedet.kinds import KIND_LABELS, Kind

SHAPE = tuple(GRID.shape)


def ranked(touching, score, construction, of_kind):
    return RankedObjects(
        np.array(touching, bool), np.float32(score), np.float32(construction), np.array(of_kind, bool)
    )


def pixels(changed, score, construction, first, objects=None):
    return KindMeasures(
        np.array(changed, bool), np.float32(score), np.float32(construction), np.array(first, bool),
        objects or ranked([], [], [], []),
    )  # fmt: skip


def truth_of(*boxes):
    changed = np.zeros(SHAPE, bool)
    for r0, r1, c0, c1 in boxes:
        changed[r0:r1, c0:c1] = True
    return Truth(changed, np.ones(SHAPE, bool))


def test_objects_of_kind_construction_are_ranked_among_themselves():
    found = ranked([1, 0, 1, 0], [1, 4, 3, 2], [4, 1, 2, 3], [1, 0, 1, 1])
    # by score: wrong, right, wrong, right; of the kind: right, wrong, right
    assert found.by_score() == {"object_average_precision": 0.5, "object_precision": 0.5}
    assert found.by_construction()["object_average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found.by_construction()["object_precision"] == pytest.approx(2 / 3)
    # the three of highest score are the second, the third and the fourth
    assert found.leading_precision() == pytest.approx(1 / 3)


def test_without_an_object_of_the_kind_nothing_is_said():
    found = ranked([1, 0], [1, 2], [2, 1], [0, 0])
    assert math.isnan(found.by_construction()["object_average_precision"])
    assert math.isnan(found.by_construction()["object_precision"])
    assert math.isnan(found.leading_precision())
    assert found.by_score()["object_precision"] == 0.5


def test_pixels_are_ranked_by_each_map_and_with_candidates_first():
    found = pixels([1, 0, 0, 1], [4, 3, 2, 1], [9, 1, 2, 3], [0, 0, 1, 0]).to_dict()
    assert found["by_score"]["average_precision"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["by_construction"]["average_precision"] == 1
    # the wrong pixel of a candidate comes before both right ones
    assert found["by_construction"]["candidates_first_average_precision"] == pytest.approx(
        (1 / 2 + 2 / 3) / 2
    )


def test_what_was_not_judged_ranks_last_also_inside_a_candidate():
    found = pixels([0, 1], [math.nan, 1], [math.nan, 1], [1, 0]).to_dict()
    assert found["by_construction"]["candidates_first_average_precision"] == 1
    nothing = pixels([0, 1], [math.nan] * 2, [math.nan] * 2, [0, 0]).to_dict()
    assert nothing["by_construction"]["candidates_first_average_precision"] == 0.5


def test_several_sites_are_one_list():
    one = pixels([1], [2], [3], [1], ranked([1], [2], [3], [1]))
    other = pixels([0], [9], [1], [0], ranked([0], [9], [1], [1]))
    found = pool_kinds([one, other]).to_dict()
    assert found["counts"] == {"objects": 2, "construction_objects": 2}
    assert found["by_score"]["object_average_precision"] == 0.5
    assert found["by_construction"]["object_average_precision"] == 1
    assert found["by_construction"]["average_precision"] == 1


@pytest.fixture(scope="module")
def result():
    made = make_result()
    weight = np.where(np.arange(SHAPE[0])[:, None] < 50, 1, 0.5).astype(np.float32)
    return replace(made, construction=made.score * weight)


def test_a_result_is_measured_by_its_own_kinds(result):
    kinds = measure(result, truth_of((30, 42, 40, 47))).kinds
    said = [str(kind) == KIND_LABELS[Kind.CONSTRUCTION] for kind in result.objects["kind"]]
    assert kinds.objects.is_construction.tolist() == said
    assert kinds.objects.touching.tolist() == [True, False, False]
    assert int(kinds.first.sum()) == int((result.kind == Kind.CONSTRUCTION).sum())
    figures = kinds.to_dict()
    method = measure(result, truth_of((30, 42, 40, 47))).method.rates()
    assert figures["by_score"]["average_precision"] == pytest.approx(method["average_precision"], abs=1e-6)
    assert figures["by_score"]["object_precision"] == pytest.approx(method["object_precision"])


def test_objects_on_ground_without_a_label_are_left_out(result):
    known = np.ones(SHAPE, bool)
    known[60:64, 80:100] = False
    changed = truth_of((30, 42, 40, 47)).changed
    assert measure(result, Truth(changed, known)).kinds.objects.touching.tolist() == [True, False]


def test_without_a_map_of_likeness_nothing_is_ranked_by_it(result):
    assert measure(replace(result, construction=None), truth_of((30, 42, 40, 47))).kinds is None
