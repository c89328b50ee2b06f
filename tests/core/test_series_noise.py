"""Levels and noise of a series against noise that was made so."""

import numpy as np
import pytest

from changedet.core.season import SeasonParameters
from changedet.core.series_noise import estimate_noise

DAYS = 12.0 * np.arange(80)
SEASON = SeasonParameters()


def made(pixels=4000, correlation=0.4, slow_share=0.3, slow_days=50.0, seed=0):
    """Series of known noise, shape (time, pol, pixel), and the levels of its dates."""
    rng = np.random.default_rng(seed)
    dates = slow_share * np.exp(-np.abs(DAYS[:, None] - DAYS) / slow_days) + (1 - slow_share) * np.eye(80)
    bands = np.linalg.cholesky([[1, correlation], [correlation, 1]])
    noise = np.einsum(
        "tu,pq,uqn->tpn", np.linalg.cholesky(dates), bands, rng.standard_normal((80, 2, pixels))
    )
    level = rng.normal(0, 1.5, (80, 2))
    usual = rng.normal(-12, 4, (2, pixels))
    season = rng.normal(0, 1, pixels) * np.cos(2 * np.pi * DAYS / 365.25)[:, None]
    spread = np.array([0.6, 0.8])
    series = usual + level[:, :, None] + season[:, None] + spread[:, None] * noise
    return series.astype(np.float32), level


@pytest.fixture(scope="module")
def series():
    return made()


def test_noise_is_found_as_it_was_made(series):
    noise = estimate_noise(series[0], DAYS, SEASON)
    assert noise.spread_db == pytest.approx([0.6, 0.8], rel=0.06)
    assert noise.correlation[0, 1] == pytest.approx(0.4, abs=0.03)
    assert noise.slow_share == pytest.approx(0.3, abs=0.06)
    assert 25 <= noise.slow_days <= 70


def test_levels_of_dates_are_found(series):
    stack, level = series
    found = estimate_noise(stack, DAYS, SEASON).level_db
    error = found - level
    # the season of the whole scene, and a constant, belong to the pixels' own courses
    assert (error - np.median(error, axis=0)).std() < 0.1


def test_independent_dates_have_nothing_in_common():
    noise = estimate_noise(made(slow_share=0.0)[0], DAYS, SEASON)
    assert noise.slow_share < 0.03


def test_change_on_a_sixth_of_the_ground_moves_little(series):
    stack = series[0].copy()
    stack[40:46, :, :600] -= 4
    before, after = (estimate_noise(part, DAYS, SEASON) for part in (series[0], stack))
    np.testing.assert_allclose(after.level_db, before.level_db, atol=0.4)  # a mean would move by 0.6
    np.testing.assert_allclose(after.spread_db, before.spread_db, rtol=0.03)


def test_gaps_and_an_empty_date_change_little(series):
    stack = series[0].copy()
    stack[:, :, ::5][::3] = np.nan
    stack[7] = np.nan
    whole, gappy = (estimate_noise(part, DAYS, SEASON) for part in (series[0], stack))
    assert (gappy.level_db[7] == 0).all()
    assert gappy.spread_db == pytest.approx(whole.spread_db, rel=0.05)
    assert gappy.slow_share == pytest.approx(whole.slow_share, abs=0.05)


def test_constant_series_have_the_least_spread():
    noise = estimate_noise(np.full((80, 2, 50), -9, np.float32), DAYS, SEASON)
    assert (noise.spread_db > 0).all()
    assert (noise.spread_db < 0.01).all()
    np.testing.assert_array_equal(noise.correlation, np.eye(2))
    assert noise.slow_share == 0


def test_the_same_band_twice_is_still_invertible(series):
    stack = series[0][:, :1].repeat(2, axis=1)
    noise = estimate_noise(stack, DAYS, SEASON)
    assert 0.95 < noise.correlation[0, 1] < 1
    assert np.linalg.cond(noise.correlation) < 1000


def test_one_pixel_and_one_band():
    noise = estimate_noise(made(pixels=1)[0][:, :1], DAYS, SEASON)
    assert noise.correlation == pytest.approx(np.ones((1, 1)))
    assert noise.slow_share == 0


def test_what_dates_have_in_common_fades(series):
    noise = estimate_noise(series[0], DAYS, SEASON)
    common = noise.in_common(DAYS)
    np.testing.assert_allclose(np.diag(common), noise.slow_share)
    assert common[0, 4] == pytest.approx(noise.slow_share * np.exp(-48 / noise.slow_days))
    assert set(noise.to_dict()) == {"spread_db", "correlation", "slow_share", "slow_days"}
