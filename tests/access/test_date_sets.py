"""Sets of dates: as few as show enough, close together, and every date of them keeps the rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import make_scene

from changedet.access.date_sets import best_match, date_sets, fullest_set, gaps_between, same_orbit
from changedet.access.selection import Look, SelectionRules

DAY = datetime(2023, 5, 1, 2, 7, tzinfo=UTC)
RULES = SelectionRules()


def seen(day, clear, pixels=20, **scene):
    """A date on which the pixels of `clear` are clear."""
    mask = np.isin(np.arange(pixels), list(clear))
    share = float(mask.mean())
    return Look(make_scene(DAY + timedelta(days=day), **scene), share, 1 - share, 0.0, 0.0, mask)


def members(one):
    return {look.scene.time for look in one.looks}


def test_a_date_that_shows_enough_stands_alone():
    looks = [seen(0, range(17)), seen(5, range(10)), seen(10, range(10, 20))]
    found = date_sets(looks, RULES, 5)
    assert [members(one) for one in found] == [{looks[0].scene.time}, {look.scene.time for look in looks[1:]}]
    assert [one.clear_share for one in found] == [0.85, 1.0]


@given(st.lists(st.frozensets(st.integers(0, 9)), min_size=1, max_size=6), st.integers(1, 4))
def test_no_date_can_be_spared_and_no_smaller_set_is_missed(clears, most):
    looks = [seen(5 * number, clear, 10) for number, clear in enumerate(clears)]
    found = date_sets(looks, RULES, most)
    wanted = [
        set(places)
        for number in range(1, most + 1)
        for places in combinations(range(len(looks)), number)
        if len(frozenset().union(*(clears[place] for place in places))) >= 8
    ]
    wanted = [places for places in wanted if not any(other < places for other in wanted)]
    days = [{(time - DAY).days // 5 for time in members(one)} for one in found]
    assert sorted(map(sorted, days)) == sorted(map(sorted, wanted))


def test_the_clearest_date_is_the_anchor_and_the_others_follow_in_time():
    looks = [seen(0, range(5)), seen(20, range(5, 14)), seen(25, range(14, 20))]
    (found,) = date_sets(looks, RULES, 5)
    assert [(look.scene.time - DAY).days for look in found.looks] == [20, 25, 0]
    assert found.anchor is looks[1]
    assert found.spread == pytest.approx(2.5)


def test_dates_far_apart_are_not_put_together():
    looks = [seen(0, range(10)), seen(50, range(10, 20))]
    assert date_sets(looks, RULES, 5) == ()
    assert len(date_sets(looks, replace(RULES, max_span_days=50), 5)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"clear": None},
        {"scene": make_scene(platform="Sentinel-1A")},
        {"scene": replace(make_scene(), time=None)},
    ],
    ids=["no mask", "radar", "no time"],
)
def test_what_cannot_be_put_together(change):
    looks = [replace(seen(0, range(10)), **change), seen(5, range(10, 20))]
    assert date_sets(looks, RULES, 5) == ()
    assert len(fullest_set(looks, RULES, 5).looks) == 1


def test_the_fullest_set_shows_most_and_is_no_larger_than_needed():
    looks = [seen(0, range(6)), seen(5, range(4, 9)), seen(10, range(4, 8))]
    found = fullest_set(looks, RULES, 5)
    assert (len(found.looks), found.clear_share) == (2, 0.45)


def test_of_many_dates_only_the_clearest_are_tried():
    looks = [seen(number, {number}) for number in range(20)] + [seen(30, range(10)), seen(31, range(10, 20))]
    assert [len(one.looks) for one in date_sets(looks, RULES, 2)] == [2]


def test_gaps_are_those_of_the_worst_pair_of_dates():
    before = date_sets([seen(0, range(10)), seen(30, range(10, 20))], RULES, 2)
    after = date_sets([seen(365, range(20))], RULES, 1)
    gaps = gaps_between(before, after)
    assert gaps.season_days.tolist() == [[30.0]]
    assert not gaps.other_geometry.any()
    assert best_match(before, after, replace(RULES, max_season_gap_days=29)) is None


def test_fewer_dates_are_preferred_then_those_near_the_anchor():
    three = [seen(0, range(7)), seen(2, range(7, 14)), seen(4, range(14, 20))]
    two = [seen(8, range(9)), seen(30, range(9, 18))]
    after = date_sets([seen(365, range(20))], RULES, 1)
    first, _ = best_match(date_sets([*three, *two], RULES, 5), after, RULES)
    assert len(first.looks) == 2
    near = [seen(8, range(9)), seen(13, range(9, 18)), seen(30, range(9, 18))]
    first, _ = best_match(date_sets(near, RULES, 5), after, RULES)
    assert members(first) == {look.scene.time for look in near[:2]}


def test_a_composite_on_one_side_is_preferred_to_one_on_both():
    halves = [seen(0, range(10)), seen(5, range(10, 20))]
    thirds = [seen(365, range(7)), seen(366, range(7, 14)), seen(367, range(14, 20))]
    clear = seen(380, range(20))
    found = best_match(date_sets(halves, RULES, 5), date_sets([*thirds, clear], RULES, 5), RULES)
    assert [len(one.looks) for one in found] == [2, 1]


def test_the_orbit_must_be_known_to_be_the_same():
    looks = [seen(0, range(20)), seen(5, range(20), relative_orbit=None)]
    assert same_orbit(looks[:1])
    assert not same_orbit(looks)
    assert not same_orbit(looks[1:])
