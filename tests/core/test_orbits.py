"""Tests of several orbits as one: the sum, its rates, and what sees nothing."""

import numpy as np
import pytest
from scipy import stats
from tests.core.radar_scenes import close, decibels, speckle
from tests.core.slow import radar as slow

from changedet.core.likelihood_ratio import LikelihoodRatioParameters, likelihood_ratio
from changedet.core.orbits import (
    MOST_DEVIATIONS,
    OrbitScore,
    ScalesParameters,
    combine_orbits,
    score_of_ratio,
    score_of_t,
    smooth_scales,
)
from changedet.core.t_test import TTest, t_test


def orbits(side, seed, step_db=0.0):
    """Tests of three orbits with other looks and numbers of dates."""
    found = []
    for number, (looks, before, after) in enumerate([(22, 9, 3), (10, 12, 4), (22, 5, 2)]):
        one, two = (
            speckle((n, 2, side, side), looks, 10 * seed + 2 * number + i)
            for i, n in enumerate((before, after))
        )
        found.append(t_test(one, two * decibels(step_db)))
    return found


def test_every_pixel_has_the_sum_of_a_slow_implementation():
    rng = np.random.default_rng(1)
    deviations = rng.normal(0, 2, (3, 2, 4, 5)).astype(np.float32)
    deviations[rng.random(deviations.shape) < 0.3] = np.nan
    weights = rng.uniform(1, 20, deviations.shape).astype(np.float32)
    found = combine_orbits([OrbitScore(z, w) for z, w in zip(deviations, weights, strict=True)])
    for place in np.ndindex(2, 4, 5):
        expected = slow.stouffer(deviations[(slice(None), *place)], weights[(slice(None), *place)])
        close(found.deviations[place], expected)
    for row, column in np.ndindex(4, 5):
        channels = found.deviations[:, row, column]
        channels = channels[np.isfinite(channels)]
        single = stats.norm.sf(np.abs(channels).max()) * 2 if channels.size else np.nan
        close(found.p_value[row, column], 1 - (1 - single) ** channels.size)
        assert found.orbits[row, column] == np.isfinite(deviations[:, :, row, column]).any(axis=1).sum()


def test_t_becomes_the_deviation_of_the_same_tail():
    statistic, degrees = np.float32([[[0, 2, -3, 1e6, np.nan]]]), np.float32([[[5, 14, 3.5, 200, np.nan]]])
    found = score_of_t(TTest(statistic, degrees, statistic)).deviations.ravel()
    assert found[:3] == pytest.approx(
        [0, stats.norm.isf(stats.t.sf(2, 14)), -stats.norm.isf(stats.t.sf(3, 3.5))]
    )
    assert found[3] == pytest.approx(MOST_DEVIATIONS)
    assert np.isnan(found[4])


def test_unaltered_speckle_is_flagged_as_often_as_promised():
    found = combine_orbits([score_of_t(test) for test in orbits(600, 1)])
    for share, tolerance in ((0.05, 0.1), (0.01, 0.1), (0.001, 0.2)):
        assert (found.p_value < share).mean() == pytest.approx(share, rel=tolerance)


def test_orbits_together_find_what_one_does_not_and_noise_does_not_add_up():
    scores = [score_of_t(test) for test in orbits(120, 2, 2.0)]
    single, together = (combine_orbits(part).p_value for part in (scores[:1], scores))
    assert (together < 0.001).mean() > 2 * (single < 0.001).mean()
    opposite = [scores[0], OrbitScore(-scores[0].deviations, scores[0].weight)]
    assert combine_orbits(opposite).deviations == pytest.approx(0, abs=1e-5)


def test_likelihood_ratios_combine_too():
    before, after = speckle((9, 2, 300, 300), 22, 1), speckle((3, 2, 300, 300), 22, 2)
    plain = LikelihoodRatioParameters(22, calibrated=False)
    test = likelihood_ratio(before, after, plain)
    score = score_of_ratio(test, 9 * 3 / 12)
    assert (np.sign(score.deviations[0]) == np.sign(test.statistic)).all()
    close(combine_orbits([score]).p_value, test.p_value, 1e-4)
    assert score.deviations.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("calibrated", [True, False])
def test_strong_changes_are_still_told_apart(calibrated):
    before, after = speckle((12, 2, 80, 80), 38, 1), speckle((12, 2, 80, 80), 38, 2)
    strips = np.repeat([1, 2, 3, 4, 8], 16)  # a tail of float32 ends where power has tripled
    test = likelihood_ratio(
        before, after * strips.astype(np.float32), LikelihoodRatioParameters(38, calibrated=calibrated)
    )
    score = score_of_ratio(test, 6.0).deviations[0]
    medians = np.array([np.median(score[:, strips == factor]) for factor in (1, 2, 3, 4, 8)])
    assert (np.diff(medians) > 1.5).all()
    assert (score < 37).mean() > 0.75
    if not calibrated:
        expected = stats.norm.isf(stats.chi2.sf(test.statistic[:, strips == 3], 2) / 2)
        assert score[:, strips == 3] == pytest.approx(np.minimum(expected, 37), rel=1e-5)


def test_what_no_orbit_judged_is_not_judged():
    nothing = OrbitScore(np.full((2, 1, 2), np.nan, np.float32), np.ones((2, 1, 2), np.float32))
    found = combine_orbits([nothing, nothing])
    assert np.isnan(found.deviations).all()
    assert np.isnan(found.p_value).all()
    assert (found.orbits == 0).all()


def test_small_p_values_do_not_vanish():
    score = OrbitScore(np.full((2, 1, 1), 10, np.float32), np.ones((2, 1, 1), np.float32))
    assert combine_orbits([score]).p_value.item() == pytest.approx(4 * stats.norm.sf(10), rel=1e-5)


def test_orbits_on_other_grids_and_no_orbits_are_refused():
    one = OrbitScore(np.zeros((1, 2, 2), np.float32), np.ones((1, 2, 2), np.float32))
    other = OrbitScore(np.zeros((1, 2, 3), np.float32), np.ones((1, 2, 3), np.float32))
    with pytest.raises(ValueError, match="give at least one, all on one grid"):
        combine_orbits([one, other])
    with pytest.raises(ValueError, match="0 orbits"):
        combine_orbits([])


def test_scales_are_means_over_discs():
    rng = np.random.default_rng(1)
    score = rng.normal(0, 1, (23, 21)).astype(np.float32)
    score[3:6, 4:9] = np.nan
    found = smooth_scales(score, ScalesParameters((20, 45), 10))
    rows, columns = np.mgrid[:23, :21]
    for row, column in ((0, 0), (11, 10), (2, 5), (22, 20)):
        apart = np.hypot(rows - row, columns - column)
        layers = [np.nanmean(score[apart <= radius]) for radius in (0, 2, 4.5)]
        assert found[row, column] == pytest.approx(np.mean(layers), abs=1e-5)
    assert (np.isnan(found) == np.isnan(score)).all()


@pytest.mark.parametrize("arguments", [((50, 0),), ((50,), 0)])
def test_impossible_scales_are_refused(arguments):
    with pytest.raises(ValueError, match="give positive lengths"):
        ScalesParameters(*arguments)
