"""When it changed: steps put into speckle at known dates, gaps, refusals, and cleared forest with dates."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from benchmarks.radar_zones import clearings as read_clearings
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.scenery import real

from changedet.core.breaks import NO_DATE, BreakParameters, find_breaks
from changedet.core.episodes import EpisodeParameters
from changedet.core.radar_stack import Direction
from changedet.core.season import SeasonParameters
from changedet.errors import NoUsableImageryError

DATES, SIDE = 70, 30
DAYS = 12.0 * np.arange(DATES)


def speckle(seed=0, looks=5, side=SIDE):
    """A wet and a dry half year, rain on single dates, speckle; shape (time, pol, y, x)."""
    rng = np.random.default_rng(seed)
    usual = rng.uniform(-14, -8, (2, side, side))
    season = np.cos(2 * np.pi * DAYS / 365.25) * 1.5
    rain = rng.normal(0, 0.6, DATES)
    decibels = usual + (season + rain)[:, None, None, None]
    return (10 ** (decibels / 10) * rng.gamma(looks, 1 / looks, decibels.shape)).astype(np.float32)


def changed(stack, start, stop, step_db):
    stack = stack.copy()
    stack[start:stop, :, 10:20, 10:20] *= np.float32(10 ** (step_db / 10))
    return stack


INSIDE = (slice(12, 18), slice(12, 18))


@pytest.fixture(scope="module")
def quiet():
    return speckle()


@pytest.mark.parametrize(
    ("start", "stop", "step_db"), [(40, 46, -3), (25, DATES, 3), (35, DATES, -4), (50, 53, 5)]
)
def test_a_step_is_dated_within_one_acquisition(quiet, start, stop, step_db):
    breaks = find_breaks(changed(quiet, start, stop, step_db), DAYS)
    assert breaks.flagged[INSIDE].all()
    assert (np.abs(breaks.first[INSIDE] - start) <= 1).mean() > 0.95
    assert (np.abs(breaks.last[INSIDE] - (stop - 1)) <= 1).mean() > 0.95
    assert (breaks.direction[INSIDE] == (Direction.BRIGHTER if step_db > 0 else Direction.DARKER)).all()
    assert np.median(breaks.change_db[:, 12:18, 12:18]) == pytest.approx(step_db, abs=0.7)


def test_the_interval_is_between_two_acquisitions(quiet):
    breaks = find_breaks(changed(quiet, 40, 46, -5), DAYS)
    before, after = breaks.interval_days()
    assert before[15, 15] == DAYS[39]
    assert after[15, 15] == DAYS[40]


def test_noise_passes_the_threshold_about_as_often_as_asked():
    shares = [find_breaks(speckle(seed, side=40), DAYS).flagged.mean() for seed in (1, 2)]
    assert 0.01 < np.mean(shares) < 0.1


@given(start=st.integers(6, 60), seed=st.integers(0, 5), step_db=st.sampled_from([-8.0, 8.0]))
@settings(max_examples=4, deadline=None)
def test_gaps_widen_the_interval_and_keep_the_step_in_it(start, seed, step_db):
    stack = changed(speckle(seed), start, DATES, step_db)
    gone = np.random.default_rng(start).permutation(DATES)[:20]
    stack[gone, :, 14:16] = np.nan
    breaks = find_breaks(stack, DAYS)
    rows = (slice(14, 16), slice(13, 17))
    seen = np.setdiff1d(np.arange(DATES), gone)
    place = np.searchsorted(seen, start)
    assert np.isin(breaks.first[rows], seen[place - 1 : place + 2]).all()
    order = np.searchsorted(seen, breaks.first[rows])
    np.testing.assert_array_equal(breaks.unchanged_until[rows], seen[order - 1])


def test_a_gain_on_any_date_changes_nothing(quiet):
    stack = changed(quiet, 40, 46, -3)
    gains = np.random.default_rng(3).uniform(0.3, 3, (DATES, 2, 1, 1)).astype(np.float32)
    plain, scaled = find_breaks(stack, DAYS), find_breaks(stack * gains, DAYS)
    np.testing.assert_allclose(scaled.score, plain.score, rtol=0.1, atol=0.3)
    np.testing.assert_array_equal(scaled.first[INSIDE], plain.first[INSIDE])


def test_brightness_turned_over_turns_the_direction(quiet):
    stack = changed(quiet, 30, 40, -4)
    up, down = find_breaks(1 / stack, DAYS), find_breaks(stack, DAYS)
    assert (up.direction[INSIDE] == Direction.BRIGHTER).all()
    assert (down.direction[INSIDE] == Direction.DARKER).all()


def test_tiles_leave_no_seam(quiet, monkeypatch):
    whole = find_breaks(changed(quiet, 40, 46, -3), DAYS)
    monkeypatch.setattr("changedet.core.breaks._BLOCK_NUMBERS", 9000)
    tiled = find_breaks(changed(quiet, 40, 46, -3), DAYS)
    np.testing.assert_allclose(tiled.score, whole.score, rtol=1e-3)
    np.testing.assert_array_equal(tiled.flagged, whole.flagged)


def test_the_stack_is_left_as_it_was_and_repeats(quiet):
    kept = quiet.copy()
    first, second = find_breaks(quiet, DAYS), find_breaks(quiet, DAYS)
    np.testing.assert_array_equal(quiet, kept)
    np.testing.assert_array_equal(first.score, second.score)
    assert first.threshold == second.threshold


def test_what_few_dates_see_is_not_judged(quiet):
    stack = quiet.copy()
    stack[11:, 0, :4] = np.nan
    breaks = find_breaks(stack, DAYS)
    assert np.isnan(breaks.score[:4]).all()
    assert np.isfinite(breaks.score[4:]).all()
    assert not breaks.flagged[:4].any()
    assert np.isnan(breaks.change_db[:, :4]).all()
    for dates in (breaks.first, breaks.unchanged_until, breaks.last):
        assert (dates[:4] == NO_DATE).all()
    assert np.isnan(breaks.interval_days()).any(axis=0)[:4].all()
    assert (breaks.direction[:4] == Direction.NONE).all()


def test_a_constant_stack_has_no_episode():
    breaks = find_breaks(np.full((20, 2, 6, 6), 0.1, np.float32), DAYS[:20])
    assert breaks.score.max() < 1e-3
    assert not breaks.flagged.any()


def test_no_power_at_all_is_not_a_refusal():
    stack = speckle()
    stack[30:34, :, 15, 15] = 0
    assert np.isfinite(find_breaks(stack, DAYS).score).all()


def test_one_polarisation(quiet):
    breaks = find_breaks(changed(quiet, 40, 46, -4)[:, :1], DAYS)
    assert breaks.change_db.shape == (1, SIDE, SIDE)
    assert breaks.flagged[INSIDE].all()


def test_between_days_and_sense_bound_what_is_found(quiet):
    stack = changed(changed(quiet, 20, 26, -5), 50, 56, 4)
    late = find_breaks(stack, DAYS, BreakParameters(between_days=(DAYS[45], DAYS[60])))
    assert (late.first[INSIDE] == 50).mean() > 0.9
    brighter = find_breaks(stack, DAYS, BreakParameters(episode=EpisodeParameters(sense="brighter")))
    assert (brighter.first[INSIDE] == 50).mean() > 0.9
    assert (find_breaks(stack, DAYS).first[INSIDE] == 20).mean() > 0.9


def test_a_rarer_false_alarm_asks_for_a_higher_score(quiet):
    thresholds = [
        find_breaks(quiet, DAYS, BreakParameters(false_alarms=a)).threshold for a in (0.2, 0.05, 0.01)
    ]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[2] - 0.5


def test_small_changes_are_not_flagged(quiet):
    stack = changed(quiet, 35, DATES, -2)
    assert find_breaks(stack, DAYS).flagged[INSIDE].all()
    assert not find_breaks(stack, DAYS, BreakParameters(least_change_db=4)).flagged[INSIDE].any()


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (DAYS[:-1], "give one day for each date"),
        (DAYS // 24, "sort the dates, and merge the slices of one pass"),
    ],
)
def test_days_that_do_not_fit(quiet, days, text):
    with pytest.raises(ValueError, match=text):
        find_breaks(quiet, days)


def test_too_few_dates(quiet):
    with pytest.raises(NoUsableImageryError, match="12 dates or more; give more dates, or lower least_dates"):
        find_breaks(quiet[:11], DAYS[:11])


@pytest.mark.parametrize("wrong", [{"false_alarms": 0.0}, {"least_dates": 2}, {"sample": 0}])
def test_parameters_out_of_range(wrong):
    with pytest.raises(ValueError, match="give a share between 0 and 1, 3 dates, 1 pixel or more"):
        BreakParameters(**wrong)


def test_parameters_are_recorded_whole():
    parameters = BreakParameters(multilook_px=5, between_days=(10.0, 20.0), own_noise=False)
    recorded = parameters.to_dict()
    assert set(recorded) == set(BreakParameters.__dataclass_fields__)
    assert recorded["between_days"] == [10.0, 20.0]
    assert SeasonParameters(**recorded["season"]) == parameters.season


@pytest.fixture(scope="module")
def clearings():
    """98 slices of 85 passes over forest in which fields are cleared, and 150 points with dates or none."""
    return read_clearings(real("s1_disturbance"))


def measured(clearings, parameters):
    """Area under the curve, best F1, F1 of what is flagged, and median error in days of flagged dates."""
    stack, passes, at, dated = clearings
    disturbed = np.isfinite(dated)
    breaks = find_breaks(stack, passes, parameters)
    score, flagged = breaks.score[at], breaks.flagged[at]
    area = (score[disturbed][:, None] > score[~disturbed]).mean()
    best = max(f1(score >= cut, disturbed) for cut in score)
    before, after = breaks.interval_days()
    error = np.abs((before + after)[at] / 2 - dated)[flagged & disturbed]
    return area, best, f1(flagged, disturbed), np.median(error)


def f1(flagged, disturbed):
    return 2 * (flagged & disturbed).sum() / (flagged.sum() + disturbed.sum())


def test_cleared_forest_is_found_and_dated(clearings):
    area, best, as_flagged, days = measured(clearings, BreakParameters())
    assert area >= 0.87
    assert best >= 0.81
    assert as_flagged >= 0.78
    assert days <= 45


@pytest.mark.parametrize(
    "other",
    [
        {"own_noise": False},
        {"multilook_px": 5},
        {"season": SeasonParameters(harmonics=0)},
        {"season": SeasonParameters(shrink_dates=20.0)},
        {"episode": EpisodeParameters(least_dates=3)},
        {"episode": EpisodeParameters(sense="darker")},
        {"between_days": (date(2016, 1, 1).toordinal(), date(2017, 12, 31).toordinal())},
    ],
)
def test_neighbouring_choices_are_as_good(clearings, other):
    area, best, _, days = measured(clearings, replace(BreakParameters(), **other))
    assert area >= 0.86
    assert best >= 0.80
    assert days <= 60
