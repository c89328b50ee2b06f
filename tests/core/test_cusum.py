"""Page's chart for every pixel at one time, beside one pixel after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import timeseries as slow

from changedet.core.cusum import CHART_TYPES, AlarmStatus, Chart, MonitorParameters, advance

DEFAULTS = MonitorParameters()
NAMES = (
    "status",
    "side",
    "alarms",
    "alarm_day",
    "persisting_day",
    "return_day",
    "after_day",
    "by_day",
    "size",
    "first_alarm_day",
    "first_after_day",
    "first_by_day",
    "first_size",
)


def run(units, parameters=DEFAULTS, days=None):
    """The chart after all dates of (time, pixel)."""
    units = np.asarray(units, np.float32)
    chart = Chart.start(np.zeros(units.shape[1], np.float32))
    for day, date in zip(days or range(5, 5 * len(units) + 5, 5), units, strict=True):
        advance(chart, day, date, parameters)
    return chart


def one(*units, **parameters):
    return run(np.array(units)[:, None], MonitorParameters(**parameters))


def made_up(pixels, seed, dates=80):
    """Noise, steps that stay or go, gaps, clouds; in steps of 1/64, so that sums are exact."""
    rng = np.random.default_rng(seed)
    units = rng.normal(0, 1, (dates, pixels))
    start, length = rng.integers(0, dates, pixels), rng.integers(2, 60, pixels)
    time = np.arange(dates)[:, None]
    units += ((time >= start) & (time < start + length)) * rng.normal(0, 3, pixels)
    units[rng.random(units.shape) < 0.04] = 9
    units = np.round(units * 64) / 64
    units[rng.random(units.shape) < 0.3] = np.nan
    return units.astype(np.float32)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"limit": 5.0, "of_later": 5, "least_later": 3},
        {"allowance": 0.5, "clip": 5.0, "persistence": 1.5},
    ],
)
def test_every_pixel_gets_the_chart_it_would_get_alone(rules):
    parameters = MonitorParameters(**rules)
    units = made_up(400, 1)
    found = run(units, parameters)
    seen_status = set()
    for pixel in range(400):
        alone = slow.Chart(
            0.0,
            parameters.allowance,
            parameters.limit,
            parameters.clip,
            parameters.persistence,
            parameters.least_later,
            parameters.of_later,
        )
        for number, unit in enumerate(units[:, pixel]):
            alone.take(5.0 * number + 5, float(unit))
        for name in NAMES:
            np.testing.assert_allclose(
                getattr(found, name)[pixel], getattr(alone, name), rtol=1e-6, err_msg=name
            )
        assert found.up[pixel] == alone.sums[1]
        assert found.down[pixel] == alone.sums[-1]
        seen_status.add(alone.status)
    assert seen_status == {0, 1, 2, 3}


def test_the_change_lies_between_the_last_nought_and_the_next_clear_date():
    chart = one(0, 0, np.nan, 3, 3, 3, 3, 3)
    assert chart.alarm_day == 40
    assert (chart.after_day, chart.by_day) == (10, 20)
    assert chart.size == 3
    assert chart.side == 1


def test_without_a_clear_date_before_it_lies_after_the_history():
    chart = one(-3, -3, -3, -3, -3)
    assert (chart.after_day, chart.by_day, chart.side, chart.size) == (0, 5, -1, -3)


def test_one_cloud_is_no_alarm_and_three_are_none():
    assert one(0, 40, 0, 0).status == AlarmStatus.NONE
    assert one(0, 40, 40, 40, 0, 0).status == AlarmStatus.NONE
    assert one(0, 40, 40, 40, 40, 40).alarms == 1


@pytest.mark.parametrize(
    ("later", "status"),
    [
        ([], AlarmStatus.PROVISIONAL),
        ([2.6], AlarmStatus.PROVISIONAL),
        ([2.6, 2.4], AlarmStatus.PROVISIONAL),
        ([2.6, np.nan, 2.4, 2.6], AlarmStatus.PERSISTING),
        ([2.6, 2.4, 2.4, 2.6], AlarmStatus.PROVISIONAL),
        ([2.6, 2.4, 2.4, 2.6, 2.6], AlarmStatus.PERSISTING),
        ([-2.6, -2.6, -2.6], AlarmStatus.RETURNED),
        ([0] * 7, AlarmStatus.PROVISIONAL),
        ([0] * 8, AlarmStatus.RETURNED),
    ],
)
def test_later_dates_bear_an_alarm_out_or_end_it(later, status):
    assert one(3, 3, 3, 3, 3, *later).status == status


def test_persistence_is_counted_after_the_alarm():
    assert one(3, 3, 3, 3, 3).alarm_day == 25
    chart = one(3, 3, 3, 3, 3, 3, 3)
    assert (chart.status, chart.persisting_day) == (AlarmStatus.PERSISTING, 35)


def test_after_a_return_the_next_alarm_is_another_one():
    chart = one(*[3] * 8, *[0] * 9, *[-3] * 5)
    assert (chart.alarms, chart.side, chart.status) == (2, -1, AlarmStatus.PROVISIONAL)
    assert (chart.first_alarm_day, chart.first_after_day, chart.first_by_day) == (25, 0, 5)
    assert chart.alarm_day == 110
    assert np.isnan(chart.return_day)
    assert np.isnan(chart.persisting_day)


@given(st.lists(st.floats(-6, 6, width=32) | st.just(float("nan")), min_size=1, max_size=40))
@settings(max_examples=80, deadline=None)
def test_both_sides_are_alike(units):
    up, down = one(*units), one(*[-u for u in units])
    assert up.status == down.status
    assert up.side == -down.side
    np.testing.assert_array_equal(up.by_day, down.by_day)
    np.testing.assert_array_equal(up.up, down.down)


@given(st.lists(st.floats(-6, 6, width=32), min_size=1, max_size=30), st.data())
@settings(max_examples=50, deadline=None)
def test_dates_that_do_not_see_change_nothing(units, data):
    days = list(range(5, 5 * len(units) + 5, 5))
    place = data.draw(st.integers(0, len(units)))
    gap = [*units[:place], np.nan, *units[place:]]
    gap_days = [*days[:place], days[place - 1] + 1 if place else 1, *days[place:]]
    plain, with_gap = (run(np.array(u)[:, None], days=d) for u, d in ((units, days), (gap, gap_days)))
    for name, array in plain.arrays().items():
        np.testing.assert_array_equal(array, getattr(with_gap, name), err_msg=name)


def test_a_chart_begins_at_nought():
    chart = Chart.start(np.array([[3.0, np.nan]], np.float32))
    for name, array in chart.arrays().items():
        assert array.shape == (1, 2)
        assert array.dtype == CHART_TYPES[name]
    assert chart.last_day[0, 0] == 3
    assert (chart.status == AlarmStatus.NONE).all()


def test_copies_share_nothing_and_parts_do():
    chart = Chart.start(np.zeros(4, np.float32))
    copy, part = chart.copy(), chart.part(slice(1, 3))
    part.up[:] = 5
    assert chart.up.tolist() == [0, 5, 5, 0]
    assert (copy.up == 0).all()


def test_alarms_are_counted_up_to_255():
    chart = Chart.start(np.zeros(1, np.float32))
    chart.alarms[:] = 255
    for day in range(5):
        advance(chart, day, np.array([3], np.float32), MonitorParameters())
    assert (chart.alarms, chart.status) == (255, AlarmStatus.PROVISIONAL)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"limit": 0.0}, "give positive numbers"),
        ({"clip": 1.0}, "a clip above the allowance"),
        ({"allowance": -1.0}, "give positive numbers"),
        ({"persistence": float("nan")}, "give positive numbers"),
        ({"least_later": 4}, "the first not above the second"),
        ({"least_later": 0}, "give between 1 and 8"),
        ({"of_later": 9}, "give between 1 and 8"),
    ],
)
def test_parameters_out_of_range(wrong, text):
    with pytest.raises(ValueError, match=text):
        MonitorParameters(**wrong)
