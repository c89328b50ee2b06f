"""Rules of the literature for every pixel at one time, beside one pixel after the other."""

import math

import numpy as np
import pytest
from tests.core.slow import timeseries as slow

from changedet.core.break_rules import CusumRule, EwmaRule, MosumRule, PageRule, RunRule


@pytest.fixture(scope="module")
def series():
    """Units of (time, pixel): monitored, and history."""
    rng = np.random.default_rng(1)
    units, history = rng.normal(0, 1, (50, 300)), rng.normal(0, 1, (60, 300))
    units[20:] += rng.normal(0, 2.5, 300)
    units[rng.random(units.shape) < 0.05] = 12
    for part in (units, history):
        part[rng.random(part.shape) < 0.4] = np.nan
    return units.astype(np.float32), history.astype(np.float32)


def page(units, history, allowance, limit, clip):
    chart = slow.Chart(0.0, allowance, limit, clip)
    for place, unit in enumerate(units):
        chart.take(place, float(unit))
        if chart.alarms:
            return place
    return -1


def run(units, history, dates, threshold, one_side):
    return slow.first_run(units, dates, threshold, one_side)


CASES = [
    (PageRule(), page, (1.0, 8.0, 3.0)),
    (PageRule(0.5, 5.0, 4.0), page, (0.5, 5.0, 4.0)),
    (RunRule(), run, (3, 3.0, False)),
    (RunRule(4, 2.5, one_side=True), run, (4, 2.5, True)),
    (RunRule(2, 1.0, one_side=True), run, (2, 1.0, True)),
    (EwmaRule(), slow.first_ewma, (0.3, 5.0, 3.0, math.inf)),
    (EwmaRule(0.2, 2.0, math.inf, 10.0), slow.first_ewma, (0.2, 2.0, math.inf, 10.0)),
    (CusumRule(), slow.first_cusum, (7.78,)),
    (MosumRule(), slow.first_mosum, (0.25, 1.1)),
    (MosumRule(0.5, 1.5), slow.first_mosum, (0.5, 1.5)),
]


@pytest.mark.parametrize(("rule", "alone", "arguments"), CASES)
def test_first_alarms_are_those_of_each_pixel_alone(series, rule, alone, arguments):
    units, history = series
    found = rule.first_alarm(units, history)
    expected = [alone(units[:, pixel], history[:, pixel], *arguments) for pixel in range(units.shape[1])]
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected)) > 5


def test_shapes_are_those_of_a_date(series):
    units, history = (part.reshape(-1, 20, 15) for part in series)
    for rule, *_ in CASES:
        first = rule.first_alarm(units, history)
        assert first.shape == (20, 15)
        np.testing.assert_array_equal(first.ravel(), rule.first_alarm(*series))


def test_a_moving_sum_is_crossed_by_one_in_twenty():
    rng = np.random.default_rng(2)
    history = rng.standard_normal((200, 4000), np.float32)
    units = rng.standard_normal((100, 4000), np.float32) - history.mean(axis=0)
    history -= history.mean(axis=0)
    assert (MosumRule().first_alarm(units, history) >= 0).mean() == pytest.approx(0.05, abs=0.015)


def test_rules_are_recorded_whole():
    for rule, *_ in CASES:
        assert type(rule)(**rule.to_dict()) == rule
