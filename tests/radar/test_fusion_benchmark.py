"""What the benchmark of radar beside optical imagery counts."""

from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from benchmarks import radar_fusion
from tests.synthetic import GRID

from changedet.radar.comparison import compare_radar


def test_the_exponent_is_chosen_on_the_other_cities():
    table = {
        "a": {k: 0.9 if k == 0.3 else 0.1 for k in radar_fusion.EXPONENTS},
        "b": {k: 0.5 if k == 0.1 else 0.4 for k in radar_fusion.EXPONENTS},
        "c": {k: 0.5 if k == 0.1 else 0.4 for k in radar_fusion.EXPONENTS},
    }
    assert radar_fusion.chosen_exponent(table, "a") == 0.1
    assert radar_fusion.chosen_exponent(table, "b") == 0.3


def test_of_equal_exponents_the_smallest_is_taken():
    table = {name: dict.fromkeys(radar_fusion.EXPONENTS, 0.4) for name in "ab"}
    assert radar_fusion.chosen_exponent(table, "a") == 0.0


def test_what_was_not_judged_ranks_last():
    score, truth = np.array([[3.0, np.nan, 1.0]]), np.array([[True, True, False]])
    assert radar_fusion.average_precision(score, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_objects_are_counted_by_sensor():
    (left, top), (right, bottom) = GRID.transform * (0, 0), GRID.transform * (10, 10)
    square = shapely.box(left, bottom, right, top)
    beside = shapely.affinity.translate(square, 300, 0)
    table = gpd.GeoDataFrame({"sensor": ["both", "both"]}, geometry=[square, beside], crs=GRID.crs.to_wkt())
    truth = np.zeros(tuple(GRID.shape), bool)
    truth[:5, :10] = True
    result = SimpleNamespace(objects=table, grid=GRID)
    assert radar_fusion.objects_right(result, truth) == {"both": (1, 2)}


def test_radar_of_unaltered_ground_flags_nothing():
    made = radar_fusion.unaltered_radar(GRID, 3)
    evidence = compare_radar(made.load(GRID), np.ones(tuple(GRID.shape), bool))
    assert evidence.tracks[0].method == "likelihood ratio"
    assert evidence.flagged.mean() < 0.001
