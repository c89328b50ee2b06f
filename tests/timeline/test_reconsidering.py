"""Another threshold on a finished result gives what a comparison under that threshold gives."""

from dataclasses import replace

import numpy as np
import pytest
from tests.radar.test_fusion import BUILT
from tests.radar.test_left_out import images, radar_of
from tests.radar_passes import factors, make_track_passes
from tests.synthetic import make_radar_alone, make_result

from changedet.comparison import DetectSettings, threshold_of
from changedet.core.threshold import Thresholds
from changedet.decision import at_seed
from changedet.errors import UsageError
from changedet.pipeline import compare_radar_passes, detect, detect_with_radar
from changedet.radar.types import RadarPasses
from changedet.result import ChangeResult
from changedet.samples import SceneSettings, simulate_pair
from changedet.timeline.reconsidering import reconsider, recorded_thresholds


@pytest.fixture(scope="module")
def pair():
    made = simulate_pair(SceneSettings(size_px=200, clouds=False))
    return made.before.to_image(), made.after.to_image()


@pytest.fixture(scope="module")
def result(pair):
    return detect(*pair)


@pytest.fixture(scope="module")
def again(result):
    return reconsider(result)


def seed_of(result, mads):
    return result.thresholds["median"] + mads * result.thresholds["mad"]


def told(objects):
    facts = objects.drop(columns=["geometry"]).astype(object).fillna("").to_numpy().tolist()
    return facts, [g.normalize().wkt for g in objects.geometry]


def test_the_recorded_threshold_gives_the_recorded_objects(result, again):
    assert len(result.objects) > 1
    found = again.candidates(result.thresholds["seed"], 500.0)
    assert told(found) == told(result.objects)


@pytest.mark.parametrize(("mads", "area_m2"), [(7.0, 500.0), (18.0, 500.0), (10.0, 3000.0)])
def test_other_settings_give_what_a_new_comparison_gives(pair, result, again, mads, area_m2):
    settings = DetectSettings(threshold=threshold_of(mads), min_area_m2=area_m2)
    fresh = detect(*pair, settings=settings)
    found = again.candidates(seed_of(result, mads), area_m2)
    assert told(found) == told(fresh.objects)


def test_a_higher_threshold_never_flags_more_ground(result, again):
    areas = [again.candidates(seed_of(result, mads), 500.0).area.sum() for mads in (6.0, 10.0, 20.0, 1e6)]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] == 0


def test_a_budget_gives_way_to_the_threshold(pair, result):
    asked = reconsider(detect(*pair, settings=DetectSettings(budget=0.2)))
    found = asked.candidates(seed_of(result, 10.0), 500.0)
    assert len(found) == len(result.objects)


def test_a_run_folder_can_be_reconsidered(sample_run):
    opened = ChangeResult.open(sample_run)
    found = reconsider(opened).candidates(opened.thresholds["seed"], 500.0)
    assert told(found) == told(opened.objects)


def test_radar_alone_is_decided_by_deviations():
    result = make_radar_alone()
    result = replace(result, thresholds={"median": 0.5, "mad": 0.4, "seed": 4.0, "grow": 4.0})
    asked = reconsider(result)
    few, many = (asked.candidates(seed, 500.0).area.sum() for seed in (6.0, 1.0))
    assert few < many
    assert asked.candidates(float(np.nanmax(result.score)) + 1, 500.0).empty


@pytest.mark.parametrize("seed", [0.0, float("nan")])
def test_a_threshold_in_the_background_is_refused(again, seed):
    with pytest.raises(UsageError, match="does not lie above the background; choose more than"):
        again.candidates(seed, 500.0)


@pytest.mark.parametrize("seed", [float("inf"), float("nan"), 0.1])
def test_a_result_that_was_refused_has_no_threshold_to_move(seed):
    result = make_result(thresholds={"median": 0.8, "mad": 0.4, "seed": seed, "grow": seed})
    with pytest.raises(UsageError, match="no threshold to move"):
        recorded_thresholds(result)


def test_thresholds_move_together():
    moved = at_seed(Thresholds(1.0, 0.5, 6.0, 3.5), 0.5)
    assert moved == Thresholds(1.0, 0.5, 3.5, 2.25)


@pytest.fixture(scope="module")
def passes():
    return make_track_passes(change=factors((BUILT, 4.0)))


class TestRadar:
    def test_both_sensors_together_decide_as_they_did(self, passes):
        result = detect_with_radar(images(), radar_of(passes))
        assert "both" in set(result.objects["sensor"])
        again = reconsider(result)
        assert told(again.candidates(result.thresholds["seed"], 500.0)) == told(result.objects)
        settings = DetectSettings(threshold=threshold_of(14.0), min_area_m2=1500.0)
        fresh = detect_with_radar(images(), radar_of(passes), settings=settings)
        assert told(again.candidates(seed_of(result, 14.0), 1500.0)) == told(fresh.objects)

    def test_objects_keep_saying_that_radar_was_asked_and_had_nothing(self, passes):
        few = RadarPasses(passes.track, passes.before, ())
        result = detect_with_radar(images(), radar_of(few))
        found = reconsider(result).candidates(result.thresholds["seed"], 500.0)
        assert set(found["sensor"]) == {"optical only"}
        assert told(found) == told(result.objects)

    def test_radar_alone_decides_as_it_did(self, passes):
        result = compare_radar_passes(radar_of(passes), {}, grid=passes.before[0].grid)
        assert len(result.objects)
        again = reconsider(result)
        assert told(again.candidates(result.thresholds["seed"], 500.0)) == told(result.objects)
