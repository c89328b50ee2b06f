"""The season of a pixel, and what an episode leaves of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import breaks as slow

from changedet.core.season import SeasonParameters, season_design, season_residual

DAYS = np.cumsum(np.tile([12.0, 24.0, 12.0], 22))


def wave(days, height, peak_day):
    return height * np.cos(2 * np.pi * (days - peak_day) / 365.25)


@pytest.mark.parametrize("harmonics", [0, 1, 2])
def test_design_has_a_level_and_two_terms_a_wave(harmonics):
    design = season_design(DAYS, SeasonParameters(harmonics=harmonics))
    assert design.shape == (len(DAYS), 1 + 2 * harmonics)
    assert (design[:, 0] == 1).all()


@pytest.mark.parametrize(("years", "terms"), [(1.9, 1), (2.1, 3)])
def test_short_series_get_a_level_only(years, terms):
    assert season_design(np.linspace(0, years * 365.25, 40)).shape[1] == terms


@given(
    level=st.floats(-20, 0), height=st.floats(0, 6), peak_day=st.floats(0, 365), missing=st.integers(0, 40)
)
@settings(max_examples=30, deadline=None)
def test_a_season_goes_whatever_its_height_and_the_gaps(level, height, peak_day, missing):
    series = (level + wave(DAYS, height, peak_day)).astype(np.float32)[:, None]
    gone = np.random.default_rng(missing).permutation(len(DAYS))[:missing]
    series[gone] = np.nan
    parameters = SeasonParameters(shrink_dates=0, rounds=400, clip=1e3)
    residual = season_residual(series, season_design(DAYS), 0.5, parameters)
    assert np.abs(residual).max() < 1e-3
    assert (residual[gone] == 0).all()


@pytest.mark.parametrize("missing", [0, 20])
def test_the_fit_is_that_of_the_definition(missing):
    rng = np.random.default_rng(missing)
    series = wave(DAYS, 1.5, 60)[:, None] + rng.standard_t(2, (len(DAYS), 4)) * 0.5 - 13
    series[rng.permutation(len(DAYS))[:missing]] = np.nan
    design = season_design(DAYS)
    residual = season_residual(series.astype(np.float32), design, 0.4, SeasonParameters(rounds=300))
    for pixel in range(4):
        expected = np.nan_to_num(slow.season_residual(series[:, pixel], design, 2.0 * 0.4, 5.0))
        np.testing.assert_allclose(residual[:, pixel], expected, atol=1e-4)


def test_default_rounds_are_near_enough():
    rng = np.random.default_rng(5)
    series = (wave(DAYS, 2, 100)[:, None] + rng.normal(0, 0.5, (len(DAYS), 200)) - 12).astype(np.float32)
    series[rng.random(series.shape) < 0.2] = np.nan
    design = season_design(DAYS)
    few, many = (season_residual(series, design, 0.5, SeasonParameters(rounds=n)) for n in (20, 300))
    assert np.abs(few - many).max() < 0.01


def test_an_episode_is_not_taken_for_the_season():
    series = wave(DAYS, 1, 30).astype(np.float32)[:, None].repeat(2, axis=1)
    series[30:36, 1] -= 6
    design = season_design(DAYS)
    residual = season_residual(series, design, 0.3)
    np.testing.assert_allclose(residual[30:36, 1] - residual[30:36, 0], -6, atol=0.15)
    unclipped = season_residual(series, design, 0.3, SeasonParameters(clip=1e6))
    assert (residual[30:36, 1].mean() - unclipped[30:36, 1].mean()) < -0.3


def test_what_is_never_seen_is_zero():
    series = np.full((len(DAYS), 2), np.nan, np.float32)
    series[:, 1] = -10
    assert (season_residual(series, season_design(DAYS), 0.5)[:, 0] == 0).all()


@pytest.mark.parametrize(
    "wrong", [{"harmonics": -1}, {"rounds": 0}, {"shrink_dates": -1.0}, {"clip": 0.0}, {"clip": float("nan")}]
)
def test_parameters_out_of_range(wrong):
    with pytest.raises(ValueError, match="give none below 0, a positive clip, and at least one round"):
        SeasonParameters(**wrong)


def test_parameters_are_recorded_whole():
    assert SeasonParameters(**SeasonParameters(harmonics=2).to_dict()) == SeasonParameters(harmonics=2)
