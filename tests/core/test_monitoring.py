"""Watching pixels date by date."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.pixel_series import simulate, with_step

from changedet.core.cusum import AlarmStatus, MonitorParameters
from changedet.core.harmonic_baseline import BaselineCode, fit_baseline
from changedet.core.monitoring import MonitorState, monitor, start_monitoring, update

SERIES = simulate(900, 11)
LATER = ~SERIES.history


def state_of(series=SERIES, values=None, shape=None):
    values = (series.values if values is None else values)[series.history]
    values = values if shape is None else values.reshape(-1, *shape)
    return start_monitoring(fit_baseline(values, series.days[series.history]))


def watched(series):
    return monitor(state_of(series), series.days[~series.history], series.values[~series.history])


def assert_same(one, other):
    arrays = other.to_arrays()
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


@pytest.mark.parametrize("shape", [(900,), (30, 30)])
def test_date_by_date_is_the_same_as_at_one_go(shape):
    mixed = with_step(SERIES, 0.08).values
    mixed[:, ::3] = SERIES.values[:, ::3]
    # some pixels with few dates, so that all ways of judging take part
    mixed[:150, ::10] = np.where(np.arange(150)[:, None] % 17 == 3, mixed[:150, ::10], np.nan)
    seen = np.random.default_rng(0).random(mixed.shape) < 0.9
    state = state_of(values=mixed, shape=shape)
    assert {BaselineCode.MONITORED, BaselineCode.LEVEL_ONLY} <= set(state.baseline.code.ravel().tolist())
    later = mixed[LATER].reshape(-1, *shape)
    whole = monitor(state, SERIES.days[LATER], later, seen[LATER].reshape(later.shape), threads=2)
    for day, date, clear in zip(SERIES.days[LATER], later, seen[LATER].reshape(later.shape), strict=True):
        state = update(state, day, date, clear, threads=1)
    assert_same(state, whole)
    assert (whole.chart.alarms > 0).mean() > 0.3


def test_a_state_outlives_the_program(tmp_path):
    state = monitor(state_of(), SERIES.days[LATER][:20], SERIES.values[LATER][:20])
    np.savez(tmp_path / "state.npz", **state.to_arrays())
    with np.load(tmp_path / "state.npz") as stored:
        again = MonitorState.from_arrays(stored)
    assert_same(again, state)
    assert again.parameters == state.parameters
    assert again.baseline.parameters == state.baseline.parameters
    ends = [monitor(s, SERIES.days[LATER][20:], SERIES.values[LATER][20:]) for s in (state, again)]
    assert_same(*ends)


def test_a_state_before_the_first_date_can_be_kept():
    state = state_of()
    again = MonitorState.from_arrays(state.to_arrays())
    assert again.day == -math.inf
    assert not again.new_alarms.any()


def test_arguments_stay_as_they_are():
    state = state_of()
    before = {name: array.copy() for name, array in state.to_arrays().items()}
    date = SERIES.values[LATER][0].copy()
    update(state, SERIES.days[LATER][0], date)
    np.testing.assert_array_equal(date, SERIES.values[LATER][0])
    for name, array in state.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_steps_are_found_dated_and_borne_out():
    found = watched(with_step(SERIES, 0.1))
    alarmed = found.baseline.monitored & found.alarmed
    assert alarmed.mean() > 0.98
    assert (found.status[alarmed] == AlarmStatus.PERSISTING).mean() > 0.95
    assert (found.chart.side[alarmed] == 1).all()
    day = SERIES.monitored_from + 60
    middle = (found.chart.after_day + found.chart.by_day)[alarmed] / 2
    assert np.median(np.abs(middle - day)) <= 15
    assert (found.chart.after_day < found.chart.by_day)[alarmed].all()
    assert (found.chart.by_day <= found.chart.alarm_day)[alarmed].all()


def test_what_did_not_change_hardly_raises_an_alarm():
    found = watched(simulate(5000, 12))
    assert (found.chart.alarms > 0).mean() <= 0.004
    assert np.isfinite(found.chart.persisting_day).mean() <= 0.001


def test_what_is_not_monitored_never_raises_one():
    series = with_step(with_step(SERIES, 0.2, 365), 0.3)
    found = watched(series)
    unstable = found.baseline.code == BaselineCode.UNSTABLE
    assert unstable.mean() > 0.95
    assert (found.chart.alarms[unstable] == 0).all()
    assert (found.chart.judged[unstable] == 0).all()


def test_what_is_new_is_said_on_its_day_only():
    state, said = state_of(with_step(SERIES, 0.15)), {"new": 0, "persisting": 0, "returned": 0}
    series = with_step(SERIES, 0.15, until=SERIES.monitored_from + 160)
    for day, date in zip(series.days[LATER], series.values[LATER], strict=True):
        state = update(state, day, date)
        assert (state.new_alarms <= state.alarmed).all()
        said["new"] += state.new_alarms.sum()
        said["persisting"] += state.newly_persisting.sum()
        said["returned"] += state.newly_returned.sum()
    assert said["new"] == state.chart.alarms.sum() > 800
    assert said["persisting"] == pytest.approx(state.baseline.monitored.sum(), rel=0.15)
    assert (state.status == AlarmStatus.RETURNED).mean() > 0.9
    assert said["returned"] > 800


def test_two_scenes_of_one_day_are_two_dates():
    state, date = state_of(), SERIES.values[LATER][0]
    twice = update(update(state, 800.0, date), 800.0, date)
    assert (twice.chart.judged[np.isfinite(date) & state.baseline.monitored] == 2).all()


def test_other_rules_go_with_the_state():
    state = state_of()
    eager = start_monitoring(state.baseline, MonitorParameters(limit=3.0))
    few, many = (monitor(s, SERIES.days[LATER], SERIES.values[LATER]) for s in (state, eager))
    assert (many.chart.alarms > 0).sum() > 5 * (few.chart.alarms > 0).sum()


def test_what_does_not_fit_is_refused():
    state = update(state_of(), 800.0, SERIES.values[0])
    with pytest.raises(ValueError, match="give later dates only"):
        update(state, 799.0, SERIES.values[0])
    with pytest.raises(ValueError, match="use one grid"):
        update(state, 801.0, SERIES.values[0][:-1])
    with pytest.raises(ValueError, match="give bool of the shape"):
        update(state, 801.0, SERIES.values[0], SERIES.values[0])


def _without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: _without(a, "chart.up"), "no state of a monitor"),
        (lambda a: _without(a, "about"), "no state of a monitor"),
        (lambda a: a | {"chart.up": a["chart.up"][1:]}, "up of the state is float32 of shape"),
        (lambda a: a | {"chart.side": a["chart.side"].astype(float)}, "side of the state is float64"),
        (lambda a: a | {"baseline.coefficient": a["baseline.coefficient"][1:]}, "no 3 coefficients"),
        (lambda a: a | {"about": np.array('{"version": 99}')}, "version 99 is not read here"),
        (lambda a: a | {"about": np.array("no json")}, "no state of a monitor"),
        (lambda a: a | {"about": np.array("[" * 100_000)}, "no state of a monitor"),
    ],
)
def test_damaged_states_are_refused(change, text):
    arrays = change(state_of().to_arrays())
    with pytest.raises(ValueError, match=text):
        MonitorState.from_arrays(arrays)


def test_a_changed_baseline_changes_what_is_said():
    state = state_of()
    darker = replace(state.baseline, coefficient=state.baseline.coefficient - np.float32(0.3))
    found = monitor(start_monitoring(darker), SERIES.days[LATER], SERIES.values[LATER])
    assert found.alarmed.mean() > 0.4
