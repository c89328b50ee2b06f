"""What the noise of dates lets one see, in numbers and in words."""

import json
import math

import numpy as np
import pytest

from changedet.core.detection_floor import DATE_BY_DATE, LOOKING_BACK, DetectionFloor, detection_floor

DAYS = np.arange(0.0, 300.0, 10.0)


def test_the_floor_grows_with_the_noise_and_never_falls_below_that_of_the_sensor():
    scale = {"brightness": np.float32([0.02, 0.02, 0.5]), "NDVI": np.float32([0.001])}
    floor = detection_floor(scale, DAYS, "a yard", 1, DATE_BY_DATE)
    assert floor.steps["brightness"] == pytest.approx(3.5 * 0.02)
    assert floor.steps["NDVI"] == pytest.approx(3.5 * DATE_BY_DATE.least_spread)
    assert floor.least_days == 20 and floor.dates == DATE_BY_DATE.dates


def test_ground_that_has_to_be_covered_is_that_of_the_contrast():
    floor = DetectionFloor({"brightness": 0.05}, 12, 20.0, "a yard")
    assert floor.ground_m2() == pytest.approx(600)
    assert floor.ground_m2(contrast=0.04) == math.inf
    assert "covers less than about 600 m\u00b2, or is gone within 20 days, does not show" in floor.sentence
    assert floor.to_dict()["least_ground_m2"] == 600


def test_ground_too_noisy_for_any_repair_says_so():
    floor = DetectionFloor({"brightness": 0.3}, 1, math.nan, "a yard")
    assert "however large, does not show" in floor.sentence
    assert floor.to_dict()["least_ground_m2"] is None
    json.dumps(floor.to_dict(), allow_nan=False)


def test_noise_that_is_not_known_says_nothing():
    floor = detection_floor({"NDVI": np.float32([np.nan])}, DAYS[:1], "a yard", 4, LOOKING_BACK)
    assert floor.steps == {} and floor.sentence == ""
    assert math.isnan(floor.least_days) and math.isnan(floor.ground_m2())
