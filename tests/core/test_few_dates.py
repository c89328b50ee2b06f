"""The few dates of pixels that have few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import timeseries as slow

from changedet.core import few_dates
from changedet.core.few_dates import FewDatesRules, collect_few_dates

RULES = FewDatesRules(45.0, 3, 0.01)


def collected(seed, pixels=12, dates=40, rules=RULES):
    rng = np.random.default_rng(seed)
    days = np.sort(rng.uniform(0, 1500, dates))
    values = rng.normal(0.2, 0.05, (dates, pixels)).astype(np.float32)
    values[rng.random(values.shape) < 0.8] = np.nan
    chosen = rng.random(pixels) < 0.7
    return values, days, chosen, collect_few_dates(values, None, days, chosen, rules)


def test_dates_are_kept_in_order():
    values, days, chosen, few = collected(1)
    assert few.pixel.tolist() == np.flatnonzero(chosen).tolist()
    for column, pixel in enumerate(few.pixel):
        clear = np.isfinite(values[:, pixel])
        kept = np.isfinite(few.value[:, column])
        np.testing.assert_array_equal(few.value[kept, column], values[clear, pixel])
        np.testing.assert_allclose(few.day[kept, column], days[clear], rtol=1e-6)


@given(seed=st.integers(0, 50), day=st.floats(1500, 2500))
@settings(max_examples=40, deadline=None)
def test_a_level_is_the_median_of_the_season(seed, day):
    values, days, _, few = collected(seed)
    level, spread = np.full(12, -1, np.float32), np.full(12, -1, np.float32)
    few.fill(day, slice(0, 12), level, spread)
    for pixel in range(12):
        if pixel not in few.pixel:
            assert (level[pixel], spread[pixel]) == (-1, -1)
            continue
        expected, _ = slow.season_level(values[:, pixel], days, day, 45.0, 3)
        np.testing.assert_allclose(level[pixel], expected, rtol=1e-6)


def test_parts_of_a_grid_are_parts_of_the_whole():
    *_, few = collected(3)
    whole = np.full((2, 12), -1, np.float32)
    few.fill(1600.0, slice(0, 12), *whole)
    for start in range(0, 12, 5):
        part = slice(start, min(start + 5, 12))
        found = np.full((2, part.stop - part.start), -1, np.float32)
        few.fill(1600.0, part, *found)
        np.testing.assert_array_equal(found, whole[:, part])


def test_no_scale_is_below_that_of_pixels_that_know_better():
    *_, quiet = collected(4, rules=FewDatesRules(45.0, 3, 0.5))
    assert (quiet.scale == 0.5).all()


def test_pixels_are_looked_through_in_parts(monkeypatch):
    *_, whole = collected(6)
    monkeypatch.setattr(few_dates, "_BLOCK_PX", 3)
    *_, parts = collected(6)
    for name in ("pixel", "value", "day", "scale"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_a_mask_hides_dates():
    values, days, chosen, few = collected(5)
    hidden = collect_few_dates(np.nan_to_num(values, nan=9.0), np.isfinite(values), days, chosen, RULES)
    np.testing.assert_array_equal(few.value, hidden.value)


@pytest.mark.parametrize("dates", [0, 1])
def test_nothing_chosen_fills_nothing(dates):
    values = np.full((3, 2), np.nan, np.float32)
    values[:dates] = 1
    few = collect_few_dates(values, None, np.arange(3.0), np.zeros(2, bool), RULES)
    level = np.zeros(2, np.float32)
    few.fill(5.0, slice(0, 2), level, level)
    assert (level == 0).all()
    assert few.value.shape == (0, 0)
