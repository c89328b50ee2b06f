"""Where thresholds and outlines begin and end: parameters, reach, and pixels that nobody judged."""

import re

import numpy as np
import pytest

from changedet.core.threshold import ThresholdParameters, Thresholds, outline_pixels, robust_thresholds


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grow_mads": 0.0}, "grow_mads must be positive and not above seed_mads"),
        ({"grow_mads": 10.5}, "grow_mads must be positive and not above seed_mads"),
        ({"grow_contrast": -0.01}, "grow_contrast must not be negative and not above seed_contrast"),
        ({"grow_contrast": 0.021}, "grow_contrast must not be negative and not above seed_contrast"),
        ({"seed_contrast_share": -0.1}, "seed_contrast_share must lie in 0..1"),
        ({"seed_contrast_share": 1.1}, "seed_contrast_share must lie in 0..1"),
        ({"peak_share": -0.1}, "peak_share must lie in 0..1 and peak_reach_px must not be negative"),
        ({"peak_share": 1.0}, "peak_share must lie in 0..1 and peak_reach_px must not be negative"),
        ({"peak_reach_px": -1}, "peak_share must lie in 0..1 and peak_reach_px must not be negative"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_in_words(wrong, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ThresholdParameters(**wrong)


@pytest.mark.parametrize(
    "limits",
    [
        {"grow_mads": 10.0},
        {"grow_contrast": 0.0},
        {"grow_contrast": 0.02},
        {"seed_contrast_share": 0.0},
        {"seed_contrast_share": 1.0},
        {"peak_share": 0.0},
        {"peak_reach_px": 0},
    ],
)
def test_the_limits_themselves_are_allowed(limits):
    parameters = ThresholdParameters(**limits)
    assert {name: getattr(parameters, name) for name in limits} == limits


def ramp():
    """A score whose median is 5 and whose absolute deviations have the median 2."""
    return np.tile(np.array([1.0, 3.0, 5.0, 7.0, 9.0], np.float32), (5, 1))


def test_thresholds_are_counted_from_the_median_in_robust_deviations():
    found = robust_thresholds(ramp(), ThresholdParameters(seed_mads=4.0, grow_mads=2.0))
    assert found.median == 5.0
    assert found.mad == pytest.approx(2 * 1.4826, rel=1e-4)
    assert found.seed == pytest.approx(5 + 4 * 2 * 1.4826, rel=1e-4)
    assert found.grow == pytest.approx(5 + 2 * 2 * 1.4826, rel=1e-4)
    assert found.mads(5 + 2 * 1.4826) == pytest.approx(1.0, rel=1e-4)


def test_what_was_not_judged_does_not_count():
    score = ramp()
    score[0] = np.nan
    assert robust_thresholds(score) == robust_thresholds(ramp())


@pytest.mark.parametrize("score", [np.full((4, 4), np.nan, np.float32), np.full((4, 4), 3.0, np.float32)])
def test_without_a_background_nothing_is_flagged(score):
    found = robust_thresholds(score)
    assert found.seed == found.grow == float("inf")
    assert found.mad == 0.0
    assert not outline_pixels(score).any()


def test_a_background_that_does_not_vary_has_no_deviations():
    assert Thresholds(1.0, 0.0, 2.0, 2.0).mads(5.0) == 0.0


@pytest.fixture
def scene():
    """A quiet background with one peak of 100 in its middle."""
    score = np.tile(np.array([1.0, 2.0, 3.0], np.float32), (33, 11))
    score[16, 16] = 100.0
    return score


def test_the_halo_of_a_peak_is_left_out_up_to_its_reach(scene):
    scene[16, 17:23] = 24.0
    found = outline_pixels(scene)
    assert found[16, 16]
    # 4 px and nearer are the halo of the peak, what lies further is a thing of its own
    assert found[16, 17:23].tolist() == [False] * 4 + [True] * 2
    assert found.sum() == 3


def test_a_quarter_of_the_peak_belongs_to_the_thing_itself(scene):
    scene[16, 17], scene[16, 15] = 25.1, 25.0
    found = outline_pixels(scene)
    assert found[16, 15:18].tolist() == [False, True, True]


def test_the_reach_is_round_and_can_be_nothing(scene):
    scene[20, 20] = scene[12, 16] = 20.0
    assert outline_pixels(scene)[20, 20]
    assert not outline_pixels(scene)[12, 16]
    near = ThresholdParameters(peak_reach_px=0)
    assert outline_pixels(scene, near)[12, 16]


def test_the_share_decides_what_is_halo(scene):
    scene[16, 17] = 24.0
    assert outline_pixels(scene, ThresholdParameters(peak_share=0.2))[16, 17]
    assert not outline_pixels(scene, ThresholdParameters(peak_share=0.3))[16, 17]


def test_no_data_is_no_outline_and_raises_nobody_over_its_neighbours(scene):
    scene[16, 17] = np.nan
    scene[:, 0] = np.nan
    found = outline_pixels(scene)
    assert not found[16, 17]
    assert found.sum() == 1
    assert found.dtype == bool


def test_what_reaches_the_threshold_exactly_does_not_rise_above_it():
    score = np.tile(np.array([1.0, 2.0, 3.0], np.float32), (33, 11))
    limit = np.float32(robust_thresholds(score).grow)
    score[5, 5], score[25, 25] = limit, np.nextafter(limit, np.float32(100))
    found = outline_pixels(score)
    assert found[25, 25]
    assert found.sum() == 1
