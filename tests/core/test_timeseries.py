"""Several indices together, and since when."""

import doctest

import numpy as np
import pytest
from benchmarks.pixel_series import simulate, with_step

from changedet.core import harmonic_baseline, object_series, robust_fit, timeseries
from changedet.core.cusum import AlarmStatus, MonitorParameters
from changedet.core.harmonic_baseline import BaselineParameters
from changedet.core.index_alarms import SeriesParameters, combine_alarms, monitor_indices, update_indices
from changedet.core.series_behaviour import Pattern
from changedet.core.timeseries import timeline

NAMES = ("ndvi", "brightness", "ndbi")


@pytest.fixture(scope="module")
def series():
    """Three indices of 200 pixels: the second steps everywhere, the third in every second pixel, and more."""
    parts = [simulate(200, seed) for seed in (1, 2, 3)]
    half = with_step(parts[2], 0.2).values
    half[:, ::2] = parts[2].values[:, ::2]
    values = np.stack([parts[0].values, with_step(parts[1], 0.12).values, half])
    return values, parts[0].days, parts[0].monitored_from


@pytest.fixture(scope="module")
def states(series):
    return monitor_indices(*series)


def test_indices_that_are_in_alarm_say_so(states):
    found = combine_alarms(states, NAMES)
    np.testing.assert_array_equal(found.said("ndvi"), states[0].alarmed)
    np.testing.assert_array_equal(found.said("brightness"), states[1].alarmed)
    assert found.said("brightness").mean() > 0.97
    assert found.said("ndbi")[1::2].mean() > 0.97
    assert found.said("ndbi")[::2].mean() < 0.03
    assert (found.leading[found.said_by == 2] == 1).all()
    sizes = np.stack([np.where(state.alarmed, np.abs(state.chart.size), -1) for state in states])
    np.testing.assert_array_equal(
        np.abs(found.size[found.leading >= 0]), sizes.max(axis=0)[found.leading >= 0]
    )
    assert (found.status == AlarmStatus.PERSISTING).mean() > 0.95


def test_dates_are_those_of_the_leading_index(states):
    found = combine_alarms(states, NAMES)
    for pixel in range(200):
        if found.leading[pixel] < 0:
            assert np.isnan(found.by_day[pixel])
            assert found.size[pixel] != found.size[pixel]
            continue
        chart = states[found.leading[pixel]].chart
        assert found.by_day[pixel] == chart.by_day[pixel]
        assert found.after_day[pixel] == chart.after_day[pixel]
        assert found.size[pixel] == chart.size[pixel]
        days = [s.chart.alarm_day[pixel] for s in states if s.alarmed[pixel]]
        assert found.alarm_day[pixel] == min(days)


def test_two_indices_are_asked_for_and_the_later_one_decides(states):
    found = combine_alarms(states, NAMES, least_indices=2)
    both = np.stack([state.alarmed for state in states]).sum(axis=0) >= 2
    np.testing.assert_array_equal(np.isfinite(found.alarm_day), both)
    np.testing.assert_array_equal(np.isin(found.status, (1, 2)), both)
    for pixel in np.flatnonzero(both):
        days = sorted(s.chart.alarm_day[pixel] for s in states if s.alarmed[pixel])
        assert found.alarm_day[pixel] == days[1]
    assert (found.leading[~both] == -1).all()


def test_a_date_more_is_the_same_as_all_at_one_go(series, states):
    values, days, start = series
    short = monitor_indices(values[:, :-1], days[:-1], start)
    updated = update_indices(short, days[-1], values[:, -1])
    for one, other in zip(updated, states, strict=True):
        np.testing.assert_array_equal(one.chart.up, other.chart.up)
        np.testing.assert_array_equal(one.status, other.status)
    before, after = (combine_alarms(s, NAMES) for s in (updated, states))
    np.testing.assert_array_equal(before.said_by, after.said_by)


def test_a_mask_serves_all_indices(series):
    values, days, start = series
    seen = np.isfinite(values).all(axis=0)
    masked = monitor_indices(np.nan_to_num(values, nan=3), days, start, seen)
    gaps = monitor_indices(np.where(seen, values, np.float32(np.nan)), days, start)
    for one, other in zip(masked, gaps, strict=True):
        np.testing.assert_array_equal(one.chart.up, other.chart.up)


def test_what_came_back_is_said():
    quiet = simulate(100, 5)
    gone = with_step(quiet, 0.2, until=quiet.monitored_from + 150)
    states = monitor_indices(gone.values[None], gone.days, gone.monitored_from)
    found = combine_alarms(states, ["ndvi"])
    assert (found.status == AlarmStatus.RETURNED).mean() > 0.9
    assert (found.said_by == 0).mean() > 0.9


def test_a_history_without_later_dates_can_be_watched_later(series):
    values, days, _ = series
    states = monitor_indices(values, days, 9e9)
    assert (combine_alarms(states, NAMES).status == AlarmStatus.NONE).all()


def test_timelines_hold_everything(series, states):
    values, days, start = series
    found = timeline(values, days, start, NAMES)
    np.testing.assert_array_equal(found.alarms.by_day, combine_alarms(states, NAMES).by_day)
    assert found.units.shape == values.shape
    steps = found.behaviour.pattern == Pattern.STEP
    assert steps.mean() > 0.9
    for pixel in np.flatnonzero(steps)[:20]:
        after = days >= states[found.described[pixel]].chart.first_by_day[pixel]
        expected = np.nanmedian(found.units[found.described[pixel], after, pixel])
        assert found.behaviour.step[pixel] == pytest.approx(expected, abs=1.0)
    never = found.described < 0
    np.testing.assert_array_equal(never, np.all([state.chart.alarms == 0 for state in states], axis=0))
    assert (found.behaviour.pattern[never] == Pattern.OPEN).all()


def test_what_is_over_is_described_as_well():
    quiet = simulate(150, 6)
    gone = with_step(quiet, 0.2, until=quiet.monitored_from + 160)
    found = timeline(gone.values[None], gone.days, gone.monitored_from, ["ndvi"])
    assert (found.alarms.status == AlarmStatus.RETURNED).mean() > 0.85
    assert (found.behaviour.pattern == Pattern.REVERSED).mean() > 0.85
    assert np.nanmedian(found.behaviour.return_day) == pytest.approx(quiet.monitored_from + 160, abs=15)


def test_parameters_reach_baseline_and_chart(series):
    values, days, start = series
    parameters = SeriesParameters(BaselineParameters(harmonics=2), MonitorParameters(limit=4.0))
    state = monitor_indices(values, days, start, parameters=parameters)[0]
    assert state.baseline.coefficient.shape[0] == 5
    assert state.parameters.limit == 4.0
    assert parameters.to_dict()["baseline"]["harmonics"] == 2


def test_what_does_not_fit_is_refused(series, states):
    values, days, _ = series
    with pytest.raises(ValueError, match="no date lies before day -1"):
        monitor_indices(values, days, -1.0)
    with pytest.raises(ValueError, match="2 indices for 3 states"):
        update_indices(states, 2000.0, values[:2, 0])
    with pytest.raises(ValueError, match="give a name for each"):
        combine_alarms(states, NAMES[:2])
    with pytest.raises(ValueError, match="need between 1 and all of them"):
        combine_alarms(states, NAMES, least_indices=4)


@pytest.mark.parametrize("module", [harmonic_baseline, object_series, robust_fit, timeseries])
def test_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_everything_that_is_offered_is_there():
    for name in timeseries.__all__:
        assert getattr(timeseries, name).__doc__
