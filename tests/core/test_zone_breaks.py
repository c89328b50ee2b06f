"""When radar of a zone changed: known steps in zones of any size, noise alone, gaps, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.test_breaks import DATES, DAYS, speckle

from changedet.core.breaks import BreakParameters, find_breaks
from changedet.core.radar_stack import Direction
from changedet.core.zone_breaks import ZoneBreakParameters, find_zone_breaks, zone_series

SIDE = 60
ALL = np.ones((SIDE, SIDE), bool)


def box(top, left, size):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + size, left : left + size] = True
    return mask


def stepped(stack, mask, start, stop, step_db):
    stack = stack.copy()
    stack[start:stop, :, mask] *= np.float32(10 ** (step_db / 10))
    return stack


def breaks_of(stack, *masks, taught_by=ALL, **more):
    parameters = ZoneBreakParameters(**more)
    zones = [zone_series(stack, mask, parameters.min_share) for mask in masks]
    return find_zone_breaks(stack, DAYS, zones, taught_by, parameters)


@pytest.fixture(scope="module")
def quiet():
    return speckle(3, side=SIDE)


def test_a_lasting_step_and_one_that_ends_are_told_with_their_dates_and_size(quiet):
    lasting, ending = box(10, 10, 6), box(40, 40, 3)
    stack = stepped(stepped(quiet, lasting, 40, DATES, 4), ending, 20, 30, -5)
    first, second = breaks_of(stack, lasting, ending)
    (one,), (other,) = first.changes, second.changes
    assert (one.unchanged_until, one.first, one.last, one.over_by) == (39, 40, DATES - 1, None)
    assert (other.unchanged_until, other.first, other.last, other.over_by) == (19, 20, 29, 30)
    assert (one.direction, other.direction) == (Direction.BRIGHTER, Direction.DARKER)
    np.testing.assert_allclose(one.change_db, 4, atol=0.4)
    np.testing.assert_allclose(other.change_db, -5, atol=1)
    assert one.score > one.threshold == first.threshold
    assert one.inside(DATES).sum() == DATES - 40


def test_several_breaks_of_one_zone_are_found_one_after_the_other(quiet):
    mask = box(20, 20, 5)
    stack = stepped(stepped(quiet, mask, 15, 25, 5), mask, 50, DATES, -4)
    (found,) = breaks_of(stack, mask)
    assert [(one.first, one.over_by) for one in found.changes] == [(15, 25), (50, None)]
    (only,) = breaks_of(stack, mask, most_breaks=1)
    assert len(only.changes) == 1


def test_a_zone_of_nine_pixels_is_the_pixel_in_its_middle(quiet):
    mask = box(30, 30, 3)
    stack = stepped(quiet, mask, 33, DATES, 3)
    (zone,) = breaks_of(stack, mask)
    pixel = find_breaks(stack, DAYS, BreakParameters(false_alarms=0.01, sample=5_000))
    assert zone.side_px == 3
    assert zone.score == pytest.approx(float(pixel.score[31, 31]), rel=0.03)
    assert zone.changes[0].first == pixel.first[31, 31]


def test_larger_zones_show_smaller_steps(quiet):
    large, small = box(5, 5, 15), box(40, 40, 3)
    stack = stepped(stepped(quiet, large, 50, DATES, 1.2), small, 50, DATES, 1.2)
    first, second = breaks_of(stack, large, small)
    assert first.noise.spread_db.max() < 0.4 * second.noise.spread_db.min()
    assert first.score > 2 * second.score
    assert first.changes[0].first == 50


def test_noise_alone_makes_hardly_any_break(quiet):
    masks = [box(top, left, 3) for top in range(0, 57, 6) for left in range(0, 57, 6)]
    found = breaks_of(quiet, *masks)
    assert np.mean([bool(one.changes) for one in found]) <= 0.03


def test_what_fills_the_site_is_no_level_of_the_dates(quiet):
    site = box(10, 10, 40)
    stack = stepped(quiet, site, 35, DATES, 2)
    (outside,) = breaks_of(stack, site, taught_by=~site)
    assert outside.changes[0].first == 35
    assert np.abs(np.median(outside.level_db[35:] - outside.level_db[:35].mean())) < 1


def test_rain_over_everything_is_no_break(quiet):
    rain = np.ones((DATES, 1, 1, 1), np.float32)
    rain[30:45] = 10**0.3
    (found,) = breaks_of(quiet * rain, box(20, 20, 4))
    assert not found.changes
    assert found.level_db[30:45].mean() - found.level_db[:30].mean() == pytest.approx(3, abs=0.8)


def test_calm_water_does_not_teach_where_there_is_land(quiet):
    stack = quiet.copy()
    wind = np.random.default_rng(1).normal(0, 4, (DATES, 1, 1, 1))
    water = np.zeros((SIDE, SIDE), bool)
    water[:, 25:] = True
    stack[:, :, water] = (0.002 * 10 ** (wind / 10) * np.ones_like(stack))[:, :, water]
    mask = box(10, 5, 4)
    (found,) = breaks_of(stepped(stack, mask, 40, DATES, 3), mask)
    assert found.changes[0].first == 40
    (plain,) = breaks_of(quiet, mask)
    np.testing.assert_allclose(found.noise.spread_db, plain.noise.spread_db, rtol=0.2)


@given(gone=st.integers(0, 1000), start=st.integers(12, 55))
@settings(max_examples=5, deadline=None)
def test_gaps_widen_the_interval_and_keep_the_step_in_it(quiet, gone, start):
    mask = box(15, 15, 5)
    stack = stepped(quiet, mask, start, DATES, 6)
    away = np.random.default_rng(gone).permutation(DATES)[:15]
    stack[away, :, 15:18, 15:20] = np.nan
    series = zone_series(stack, mask, 0.6)
    assert not series.used[away].any() and series.used.sum() == DATES - 15
    assert series.share[away] == pytest.approx(0.4)
    (found,) = find_zone_breaks(stack, DAYS, [series], ALL)
    one = next(change for change in found.changes if change.over_by is None)
    assert one.unchanged_until < start <= one.first
    seen = np.flatnonzero(series.used)
    assert seen[np.searchsorted(seen, one.first) - 1] == one.unchanged_until


def test_too_few_dates_are_not_judged(quiet):
    stack = quiet.copy()
    stack[11:, :, 10:14, 10:14] = np.nan
    hidden, clear = breaks_of(stack, box(10, 10, 4), box(40, 40, 4))
    assert not hidden.changes and np.isnan(hidden.score) and np.isfinite(clear.score)


def test_power_is_averaged_and_not_decibels():
    stack = np.full((1, 1, 1, 2), 0.1, np.float32)
    stack[..., 1] = 0.3
    found = zone_series(stack, np.ones((1, 2), bool), 1.0)
    assert found.power[0, 0] == pytest.approx(0.2)


def test_what_is_no_zone_is_refused(quiet):
    with pytest.raises(ValueError, match="the zone has no pixel"):
        zone_series(quiet, ~ALL, 0.6)
    for wrong in ({"most_breaks": 0}, {"widest_px": 4}):
        with pytest.raises(ValueError, match="give at least 1, and an odd side"):
            ZoneBreakParameters(**wrong)
    with pytest.raises(ValueError, match="give a share"):
        replace(ZoneBreakParameters(), min_share=0.0)
