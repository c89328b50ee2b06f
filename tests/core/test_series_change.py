"""Changes of short series looked for from both sides: truth by construction, noise, season, and gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.series_change import (
    SeriesChangeParameters,
    alone,
    find_series_changes,
    noise_of_differences,
)

DAYS = np.arange(0.0, 730.0, 15.0)


def series(rng, indices=2, noise=0.02, season=0.1):
    wave = season * np.cos(2 * np.pi * DAYS / 365.25)
    return (0.4 + wave[:, None] + noise * rng.standard_normal((len(DAYS), indices))).astype(np.float32)


def slow_best_window(values, days, least=2):
    """The pair of dates whose step leaves the smallest squares, one regression for each."""
    angle = 2 * np.pi * days / 365.25
    season = np.stack([np.ones_like(days), np.cos(angle), np.sin(angle)], axis=1)
    best = (np.inf, 0, 0)
    for start in range(2, len(days) - least + 1):
        window = (np.arange(len(days)) >= start).astype(float)
        design = np.column_stack([season, window])
        left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        best = min(best, (float((left**2).sum()), start, len(days)))
    return best[1]


@pytest.mark.parametrize("place", [2, 3, 10, 25, len(DAYS) - 2])
def test_a_step_is_found_wherever_it_lies(place):
    values = series(np.random.default_rng(place))
    values[place:, 0] -= 0.25
    (change,) = find_series_changes(values, DAYS)
    assert (change.unchanged_until, change.first, change.over_by) == (place - 1, place, None)
    assert change.step[0] == pytest.approx(-0.25, abs=0.05)
    assert change.score > change.threshold


@given(seed=st.integers(0, 10_000), place=st.integers(5, len(DAYS) - 6), size=st.floats(0.15, 0.5))
@settings(max_examples=25, deadline=None)
def test_the_date_is_that_of_the_smallest_squares(seed, place, size):
    values = series(np.random.default_rng(seed))
    values[place:] += np.float32(size)
    changes = find_series_changes(values, DAYS)
    assert changes[0].first == slow_best_window(values.astype(float), DAYS)
    assert abs(changes[0].first - place) <= 1


def test_what_ends_is_over_and_what_follows_is_found_as_well():
    values = series(np.random.default_rng(1))
    values[12:20] += 0.3
    values[35:] -= 0.2
    first, second = sorted(find_series_changes(values, DAYS), key=lambda one: one.first)
    assert (first.unchanged_until, first.first, first.last, first.over_by) == (11, 12, 19, 20)
    assert (second.first, second.over_by) == (35, None)
    assert first.inside(len(DAYS)).sum() == 8


def test_the_season_is_no_change():
    quiet = sum(bool(find_series_changes(series(np.random.default_rng(n)), DAYS)) for n in range(40))
    assert quiet <= 2


def test_noise_that_fades_slowly_is_hardly_ever_a_change():
    rng, found = np.random.default_rng(3), 0
    lag = np.abs(DAYS[:, None] - DAYS)
    colour = np.linalg.cholesky(0.4 * np.exp(-lag / 60) + 0.6 * np.eye(len(DAYS)))
    for _ in range(60):
        values = (0.4 + 0.03 * colour @ rng.standard_normal((len(DAYS), 2))).astype(np.float32)
        found += bool(find_series_changes(values, DAYS))
    assert found <= 4


def test_one_cloud_is_passed_over_and_gaps_are_counted_through():
    values = series(np.random.default_rng(5))
    values[20] += 0.6
    assert find_series_changes(values, DAYS) == ()
    values[30:] -= 0.3
    values[[28, 29, 31]] = np.nan
    (change,) = find_series_changes(values, DAYS)
    assert (change.unchanged_until, change.first) == (27, 30)


def test_two_dates_that_agree_are_not_alone():
    values = np.zeros((9, 1), np.float32)
    values[4:6] = 0.5
    assert not alone(values, 0.01).any()
    values[5] = 0
    assert alone(values, 0.01).tolist() == [False] * 4 + [True] + [False] * 4
    assert not alone(values[:2], 0.01).any()


def test_few_dates_and_small_steps_are_no_change():
    values = series(np.random.default_rng(6), noise=0.001)
    values[30:] += 0.02
    assert find_series_changes(values, DAYS) == ()
    least = SeriesChangeParameters().least_dates
    values[: len(DAYS) - least + 1] = np.nan
    assert find_series_changes(values, DAYS) == ()


def test_noise_of_differences_knows_no_step():
    rng = np.random.default_rng(7)
    values = (0.05 * rng.standard_normal((4000, 1))).astype(np.float32)
    values[2000:] += 3
    assert noise_of_differences(values, 0.001)[0] == pytest.approx(0.05, rel=0.1)
    assert noise_of_differences(values[:1], 0.02).tolist() == [0.02]


def test_the_same_series_gives_the_same_answer_and_is_not_changed():
    values = series(np.random.default_rng(8))
    values[22:] -= 0.2
    before = values.copy()
    one, other = (find_series_changes(values, DAYS)[0] for _ in range(2))
    assert (one.score, one.threshold) == (other.score, other.threshold)
    np.testing.assert_array_equal(values, before)


def test_what_is_no_series_is_refused():
    with pytest.raises(ValueError, match="no series"):
        find_series_changes(np.zeros((4, 2), np.float32), DAYS)
    with pytest.raises(ValueError, match="no series"):
        find_series_changes(np.zeros((len(DAYS), 1), np.float32), DAYS[::-1])
    with pytest.raises(ValueError, match="give shares between 0 and 1"):
        SeriesChangeParameters(false_alarms=1.0)
    with pytest.raises(ValueError, match="at least 100"):
        SeriesChangeParameters(simulations=5)
