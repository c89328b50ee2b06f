"""The likelihood ratio of two periods: slow formulas, rates, power, calibration, gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.core.radar_scenes import close, decibels, speckle, with_gaps
from tests.core.slow import radar as slow

from changedet.core.likelihood_ratio import (
    LikelihoodRatioParameters,
    leave_one_out,
    likelihood_ratio,
    period_mean,
)

PLAIN = LikelihoodRatioParameters(looks=22, calibrated=False)


def flickering(shape, seed, deviation_db=0.7):
    """Speckle of 22 looks on ground whose brightness itself differs from date to date."""
    texture = np.random.default_rng(seed + 99).normal(0, deviation_db, shape).astype(np.float32)
    return speckle(shape, 22, seed) * decibels(texture)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_every_pixel_has_the_ratio_of_a_slow_implementation(share):
    before, after = (with_gaps(speckle((n, 2, 6, 7), 4, n), share, n) for n in (8, 3))
    parameters = LikelihoodRatioParameters(4, calibrated=False, least_before=1)
    found = likelihood_ratio(before, after, parameters)
    for row, column in np.ndindex(6, 7):
        series = before[..., row, column], after[..., row, column]
        if np.isnan(found.statistic[row, column]):
            assert share
            assert not slow.seen_dates(series[1])[0]
            continue
        expected = slow.likelihood_ratio(*series, 4)
        close(found.statistic[row, column], expected)
        close(found.p_value[row, column], stats.chi2.sf(abs(expected), 2))


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_the_dispersion_is_the_mean_ratio_of_dates_left_out(share):
    stack = with_gaps(speckle((7, 2, 6, 5), 6, 3), share, 3)
    found = leave_one_out(stack, 6)
    for row, column in np.ndindex(6, 5):
        close(found[row, column], slow.leave_one_out(stack[..., row, column], 6))


def test_the_dispersion_of_speckle_is_one_and_flicker_raises_it():
    assert leave_one_out(speckle((12, 2, 200, 200), 22, 1), 22).mean() == pytest.approx(1, abs=0.01)
    assert leave_one_out(flickering((12, 2, 200, 200), 1), 22).mean() == pytest.approx(1.57, abs=0.05)


@pytest.mark.parametrize("looks", [4.4, 22])
@pytest.mark.parametrize("calibrated", [False, True])
def test_unaltered_speckle_is_flagged_as_often_as_promised(looks, calibrated):
    before, after = speckle((12, 2, 700, 600), looks, 7), speckle((4, 2, 700, 600), looks, 8)
    found = likelihood_ratio(before, after, LikelihoodRatioParameters(looks, calibrated))
    for share, tolerance in ((0.05, 0.05), (0.01, 0.1), (0.001, 0.15)):
        assert (found.p_value < share).mean() == pytest.approx(share, rel=tolerance)


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_step_of_two_decibels_is_found_after_multilooking(calibrated):
    """12 before, 4 after, two polarisations, 22 looks: 98 % at 1 % false alarms, counted, not promised."""
    before, after = speckle((12, 2, 300, 300), 22, 1), speckle((4, 2, 300, 300), 22, 2)
    parameters = LikelihoodRatioParameters(22, calibrated)
    level = np.quantile(np.abs(likelihood_ratio(before, after, parameters).statistic), 0.99)
    for step in (2, -2):
        found = likelihood_ratio(before, after * decibels(step), parameters)
        assert (found.statistic * step > level * abs(step)).mean() >= 0.98


def test_ground_that_flickers_raises_no_more_false_alarms_once_calibrated():
    before, after = flickering((12, 2, 400, 400), 1), flickering((4, 2, 400, 400), 2)
    plain = (likelihood_ratio(before, after, PLAIN).p_value < 0.01).mean()
    calibrated = (likelihood_ratio(before, after).p_value < 0.01).mean()
    assert plain > 0.04
    assert calibrated == pytest.approx(0.01, rel=0.15)


def test_a_field_that_flickers_among_quiet_ground_is_weighed_by_its_own_scatter():
    before, after = speckle((12, 2, 300, 300), 22, 1), speckle((4, 2, 300, 300), 22, 2)
    field = np.s_[:, :, 100:160, 100:160]
    before[field], after[field] = flickering((12, 2, 60, 60), 3, 2), flickering((4, 2, 60, 60), 4, 2)
    shares = [
        (likelihood_ratio(before, after, p).p_value < 0.01)[100:160, 100:160].mean()
        for p in (PLAIN, LikelihoodRatioParameters())
    ]
    assert shares[0] > 0.25
    assert shares[1] < 0.05


def test_looks_that_are_too_many_cancel_out():
    before, after = speckle((12, 2, 300, 300), 10, 1), speckle((4, 2, 300, 300), 10, 2)
    found = likelihood_ratio(before, after, LikelihoodRatioParameters(looks=22))
    assert np.median(found.dispersion) == pytest.approx(2.2, abs=0.1)
    assert (found.p_value < 0.01).mean() == pytest.approx(0.01, rel=0.15)


@given(st.integers(0, 10_000), st.booleans())
def test_swapping_periods_flips_the_sign(seed, gaps):
    one, two = (with_gaps(speckle((5, 2, 4, 4), 3, seed + n), 0.1 * gaps, n) for n in (1, 2))
    parameters = LikelihoodRatioParameters(3, calibrated=False, least_before=1)
    forth, back = likelihood_ratio(one, two, parameters), likelihood_ratio(two, one, parameters)
    close(back.statistic, -forth.statistic)
    close(back.change_db, -forth.change_db)
    close(back.p_value, forth.p_value)


def test_swapping_periods_flips_the_sign_when_calibrated_too():
    one, two = speckle((6, 2, 20, 20), 22, 1), speckle((6, 2, 20, 20), 22, 2) * decibels(1)
    forth, back = likelihood_ratio(one, two), likelihood_ratio(two, one)
    assert (np.sign(back.statistic) == -np.sign(forth.statistic)).all()


def test_constant_dates_have_no_change_and_a_step_of_constants_has():
    flat = np.full((5, 2, 4, 4), 0.2, np.float32)
    same = likelihood_ratio(flat, flat[:3])
    assert (same.statistic == 0).all()
    assert (same.p_value == 1).all()
    stepped = likelihood_ratio(flat, 4 * flat[:3])
    assert (stepped.p_value < 1e-6).all()
    assert (stepped.change_db > 6).all()


def test_polarisations_that_disagree_add_up_and_the_stronger_gives_the_sign():
    before = np.full((6, 2, 1, 1), 0.2, np.float32)
    after = before[:4] * np.float32([4, 0.8]).reshape(1, 2, 1, 1)
    found = likelihood_ratio(before, after, PLAIN)
    assert found.statistic.item() > 0
    assert np.sign(found.change_db.ravel()).tolist() == [1, -1]
    alone = likelihood_ratio(before[:, :1], after[:, :1], PLAIN)
    assert found.statistic.item() > alone.statistic.item()


def test_gaps_and_single_dates():
    before, after = speckle((5, 2, 3, 3), 22, 1), speckle((1, 2, 3, 3), 22, 2)
    before[:3, 1, 0, 0] = np.nan
    after[0, 0, 1, 1] = np.nan
    found = likelihood_ratio(before, after)
    gaps = np.isnan(found.statistic)
    assert np.argwhere(gaps).tolist() == [[0, 0], [1, 1]]
    assert (np.isnan(found.p_value) == gaps).all()
    assert (np.isnan(found.change_db) == gaps).all()
    nothing = np.full((4, 2, 3, 3), np.nan, np.float32)
    assert np.isnan(likelihood_ratio(nothing, nothing).p_value).all()
    assert np.isnan(leave_one_out(before[:1], 22)).all()


def test_threads_do_not_matter_and_arguments_are_left_alone():
    before, after = with_gaps(speckle((5, 2, 90, 400), 5, 1), 0.01, 1), speckle((4, 2, 90, 400), 5, 2)
    kept = before.copy()
    one, two = (likelihood_ratio(before, after, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.statistic, two.statistic)
    np.testing.assert_array_equal(one.p_value, two.p_value)
    np.testing.assert_array_equal(before, kept)


def test_the_mean_of_a_period_leaves_gaps_out():
    stack = np.float32([[1, 5], [3, np.nan], [5, 1]]).reshape(3, 2, 1, 1)
    mean, count = period_mean(stack)
    assert (mean.ravel().tolist(), count.item()) == ([3.0, 3.0], 2)


@pytest.mark.parametrize(
    "arguments",
    [(0,), (np.inf,), (-1,), (22, True, -1), (22, True, 5, 1), (22, False, 5, 0), (22, True, 5, 3, 0)],
)
def test_impossible_parameters_are_refused(arguments):
    with pytest.raises(ValueError, match="give positive looks, no negative neighbourhood and at least"):
        LikelihoodRatioParameters(*arguments)


def test_stacks_that_do_not_fit_are_refused():
    stack = speckle((4, 2, 5, 5), 5, 1)
    with pytest.raises(ValueError, match="differ in more than the number of dates"):
        likelihood_ratio(stack, stack[:, :, :4])
