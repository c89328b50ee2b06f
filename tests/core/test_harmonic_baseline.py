"""What histories let one expect, and where they let one expect nothing."""

import numpy as np
import pytest
from benchmarks.pixel_series import Weather, simulate, with_step
from tests.core.slow import timeseries as slow

from changedet.core.harmonic_baseline import (
    BaselineCode,
    BaselineParameters,
    check_series,
    design_of,
    fit_baseline,
)

SERIES = simulate(60, 1)
DAYS, HISTORY = SERIES.days[SERIES.history], SERIES.values[SERIES.history]


@pytest.mark.parametrize(("harmonics", "trend"), [(0, False), (1, False), (2, True)])
def test_expectation_and_spread_are_those_of_the_definition(harmonics, trend):
    parameters = BaselineParameters(harmonics=harmonics, trend=trend, rounds=40, stability=np.inf)
    found = fit_baseline(HISTORY, DAYS, parameters=parameters)
    assert (found.code == BaselineCode.MONITORED).all()
    origin, day = DAYS.mean(), 800.0
    design = np.array([slow.terms(d, harmonics, trend, origin) for d in DAYS])
    row = np.array(slow.terms(day, harmonics, trend, origin))
    expected, spread = found.expected(day)
    for pixel in range(0, 60, 7):
        fitted, scale, inverse = slow.robust_fit(design, HISTORY[:, pixel], 40)
        assert expected[pixel] == pytest.approx(row @ fitted, abs=2e-3 * scale)
        assert spread[pixel] == pytest.approx(scale * np.sqrt(1 + row @ inverse @ row), rel=5e-3)
        assert found.count[pixel] == np.isfinite(HISTORY[:, pixel]).sum()


def test_design_is_that_of_the_definition():
    parameters = BaselineParameters(harmonics=2, trend=True)
    expected = [slow.terms(day, 2, True, 100.0) for day in DAYS]
    np.testing.assert_allclose(design_of(DAYS, 100.0, parameters), expected, atol=1e-12)


def test_standard_units_are_deviations_over_spreads():
    found = fit_baseline(HISTORY, DAYS)
    seen = np.random.default_rng(0).random(HISTORY.shape) < 0.8
    units = found.standardise(HISTORY, DAYS, seen)
    assert (np.isfinite(units) == (np.isfinite(HISTORY) & seen & found.monitored)).all()
    expected, spread = found.expected(DAYS[7])
    np.testing.assert_array_equal(units[7][seen[7]], ((HISTORY[7] - expected) / spread)[seen[7]])
    assert 0.8 < np.nanstd(np.clip(units, -3, 3)) < 1.1


def test_grids_rows_and_threads_give_the_same():
    series = simulate(600, 2)
    flat, grid = series.values[series.history], series.values[series.history].reshape(-1, 20, 30)
    days = series.days[series.history]
    one, other = fit_baseline(flat, days, threads=1), fit_baseline(grid, days, threads=2)
    np.testing.assert_array_equal(one.coefficient, other.coefficient.reshape(one.coefficient.shape))
    np.testing.assert_array_equal(one.scale, other.scale.ravel())
    assert other.shape == (20, 30)
    assert other.expected(750.0)[0].shape == (20, 30)


def test_a_seen_mask_is_the_same_as_gaps():
    full = np.nan_to_num(HISTORY, nan=7.0)
    one, other = fit_baseline(HISTORY, DAYS), fit_baseline(full, DAYS, np.isfinite(HISTORY))
    np.testing.assert_array_equal(one.coefficient, other.coefficient)
    np.testing.assert_array_equal(one.break_day, other.break_day)


def test_unaltered_histories_are_stable():
    series = simulate(3000, 3)
    found = fit_baseline(series.values[series.history], series.days[series.history])
    assert (found.code == BaselineCode.UNSTABLE).mean() <= 0.01


@pytest.mark.parametrize(("day", "share"), [(250, 0.95), (365, 0.99), (500, 0.95)])
def test_a_step_in_the_history_is_said_and_dated(day, share):
    series = with_step(simulate(500, 4), 0.1, day)
    found = fit_baseline(series.values[series.history], series.days[series.history])
    unstable = found.code == BaselineCode.UNSTABLE
    assert unstable.mean() >= share
    assert not found.monitored[unstable].any()
    assert abs(np.median(found.break_day[unstable]) - day) <= 30
    assert np.isnan(found.break_day[~unstable]).all()


def test_the_test_of_stability_is_that_of_the_definition():
    series = with_step(simulate(80, 5), 0.05, 400)
    values, days = series.values[series.history], series.days[series.history]
    found = fit_baseline(values, days, parameters=BaselineParameters(stability=1.2, rounds=40))
    design = np.array([slow.terms(day, 1, False, 0) for day in days])
    for pixel in range(80):
        seen = np.isfinite(values[:, pixel])
        fitted, scale, _ = slow.robust_fit(design, values[:, pixel], 40)
        far, place = slow.strays((values[:, pixel] - design @ fitted)[seen] / scale)
        if abs(far - 1.2) > 0.01:
            assert (found.code[pixel] == BaselineCode.UNSTABLE) == (far > 1.2)
            assert not far > 1.2 or found.break_day[pixel] == days[seen][place]


def few(dates, span_days=700.0):
    """A history of one pixel beside others that are seen on `dates` dates."""
    values = np.repeat(HISTORY[:, :4], 2, axis=1)
    clear = np.flatnonzero(np.isfinite(values[:, 1]) & (DAYS[0] + span_days > DAYS))
    values[:, 0] = np.nan
    kept = clear[np.linspace(0, len(clear) - 1, dates).astype(int)] if dates else []
    values[kept, 0] = values[kept, 1]
    return values


@pytest.mark.parametrize(
    ("dates", "span_days", "code"),
    [
        (0, 700, BaselineCode.TOO_FEW),
        (2, 700, BaselineCode.TOO_FEW),
        (3, 700, BaselineCode.LEVEL_ONLY),
        (11, 700, BaselineCode.LEVEL_ONLY),
        (12, 700, BaselineCode.MONITORED),
        (14, 400, BaselineCode.TOO_SHORT),
    ],
)
def test_codes_say_why(dates, span_days, code):
    parameters = BaselineParameters(stability=np.inf)
    found = fit_baseline(few(dates, span_days), DAYS, parameters=parameters)
    assert found.code[0] == code
    assert found.count[0] == dates
    assert found.monitored[0] == (code in (BaselineCode.MONITORED, BaselineCode.LEVEL_ONLY))
    assert np.isfinite(found.coefficient[:, 0]).all() == (code == BaselineCode.MONITORED)
    assert np.isnan(found.last_day[0]) == (dates == 0)


@pytest.mark.parametrize("day", [735.0, 800.0, 905.5, 1090.0])
def test_few_dates_give_the_level_of_their_season(day):
    values = few(9)
    found = fit_baseline(values, DAYS)
    expected, spread = found.expected(day)
    level, count = slow.season_level(values[:, 0], DAYS, day, 45.0, 3)
    np.testing.assert_allclose(expected[0], level, rtol=1e-6)
    assert np.isnan(spread[0]) == np.isnan(level)
    if count >= 3:
        usual = np.median(found.scale[found.code == BaselineCode.MONITORED])
        assert spread[0] >= usual * np.sqrt(1 + np.pi / 2 / count) * 0.999
    assert np.isfinite(expected[1:]).all()


def test_a_season_that_was_never_seen_is_not_judged():
    summer = np.where((DAYS % 365.25 < 90)[:, None], HISTORY, np.nan).astype(np.float32)
    found = fit_baseline(summer, DAYS, parameters=BaselineParameters(least_years=1.0))
    fitted = found.code == BaselineCode.MONITORED
    assert fitted.sum() > 20
    assert np.isfinite(found.expected(730.5 + 45)[0][fitted]).all()
    assert np.isnan(found.expected(730.5 + 240)[0][fitted]).mean() > 0.9


def test_a_series_without_noise_has_the_least_scale():
    constant = np.full((len(DAYS), 2), 0.4, np.float32)
    found = fit_baseline(constant, DAYS)
    assert found.scale == pytest.approx([0.005, 0.005])
    assert (found.code == BaselineCode.MONITORED).all()


def test_clouds_and_noise_hardly_move_the_scale():
    series = simulate(500, 6, Weather(cloud=0.1))
    found = fit_baseline(series.values[series.history], series.days[series.history])
    assert np.nanmedian(found.scale) == pytest.approx(0.033, rel=0.1)


def test_arguments_stay_as_they_are():
    values, seen = HISTORY.copy(), np.isfinite(HISTORY)
    fit_baseline(values, DAYS, seen)
    np.testing.assert_array_equal(values, HISTORY)


@pytest.mark.parametrize(
    ("values", "days", "seen", "text"),
    [
        (HISTORY, DAYS[:-1], None, "are not a series"),
        (HISTORY[:, 0], DAYS, None, "are not a series"),
        (HISTORY[:0], DAYS[:0], None, "are not a series"),
        (HISTORY, DAYS[::-1], None, "sort the dates first"),
        (HISTORY, np.where(DAYS > 300, np.nan, DAYS), None, "sort the dates first"),
        (HISTORY, DAYS, np.ones(3, bool), "give bool of the shape of the values"),
        (HISTORY, DAYS, np.ones(HISTORY.shape), "give bool of the shape of the values"),
    ],
)
def test_series_that_do_not_fit_are_refused(values, days, seen, text):
    with pytest.raises(ValueError, match=text):
        check_series(values, days, seen)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"harmonics": -1}, "give no negative number"),
        ({"rounds": -1}, "give no negative number"),
        ({"least_level_dates": 0}, "at least one date"),
        ({"least_dates": 3}, "give more dates than terms"),
        ({"tuning": 0.0}, "must be positive"),
        ({"least_scale": float("nan")}, "must be positive"),
        ({"least_years": -1.0}, "not negative"),
    ],
)
def test_parameters_out_of_range(wrong, text):
    with pytest.raises(ValueError, match=text):
        BaselineParameters(**wrong)


def test_parameters_are_recorded_whole():
    assert BaselineParameters(**BaselineParameters(harmonics=2).to_dict()) == BaselineParameters(harmonics=2)


@pytest.mark.parametrize("rounds", [0, 2])
def test_count_and_ends_of_a_history_are_those_of_the_dates_that_see(rounds):
    rng = np.random.default_rng(4)
    seen = rng.random((len(DAYS), 200)) < rng.uniform(0, 0.4, 200)
    seen[:, :3] = False
    values = np.where(seen, np.float32(0.2), np.float32(np.nan)) + rng.normal(0, 0.01, seen.shape)
    values = values.astype(np.float32)
    kept = values.copy()
    found = fit_baseline(values, DAYS, parameters=BaselineParameters(rounds=rounds, least_years=1.9))
    np.testing.assert_array_equal(values, kept)
    np.testing.assert_array_equal(found.count, seen.sum(axis=0))
    for pixel in range(200):
        days = DAYS[seen[:, pixel]]
        expected = days[-1] if days.size else np.nan
        np.testing.assert_allclose(found.last_day[pixel], expected, rtol=1e-6)
        if len(days) >= 12:
            short = days[-1] - days[0] < 1.9 * 365.25
            assert (found.code[pixel] == BaselineCode.TOO_SHORT) == short
    assert {BaselineCode.TOO_SHORT, BaselineCode.MONITORED} <= set(found.code.tolist())
