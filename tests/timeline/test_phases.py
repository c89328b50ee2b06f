"""Phases of made-up constructions: prepared, built, finished, and what clear dates cannot show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_up_series import GROUND, object_dates

from changedet.kinds import Surface, name_surfaces
from changedet.timeline.kinds_in_time import Phase
from changedet.timeline.phases import construction_phases


def built_dates(series):
    return np.array([one == Surface.BUILT for one in name_surfaces(series.values)])


def phases_of(course, first, step_days=15.0):
    series = object_dates(course, step_days)
    return [
        (one.phase, one.by)
        for one in construction_phases(series.values, built_dates(series), series.days, (first - 1, first))
    ]


def test_a_hall_goes_through_all_phases():
    course = ["grass"] * 6 + ["soil"] * 5 + ["concrete"] * 4 + ["roof"] * 6
    assert phases_of(course, 6) == [(Phase.PREPARATION, 6), (Phase.ACTIVE, 11), (Phase.POST, 15)]


def test_what_still_moves_is_not_finished():
    course = ["grass"] * 6 + ["soil"] * 5 + ["concrete", "asphalt", "roof", "concrete", "roof"]
    assert [phase for phase, _ in phases_of(course, 6)] == [Phase.PREPARATION, Phase.ACTIVE]


def test_bare_ground_stays_prepared():
    assert phases_of(["forest"] * 6 + ["soil"] * 9, 6) == [(Phase.PREPARATION, 6)]


def test_a_few_dates_do_not_show_that_it_is_finished():
    assert phases_of(["grass"] * 6 + ["roof"] * 3, 6) == [(Phase.ACTIVE, 6)]
    assert phases_of(["grass"] * 6 + ["roof"] * 8, 6, 5.0) == [(Phase.ACTIVE, 6)]


def test_a_hall_between_two_clear_dates_was_under_construction_between_them():
    assert phases_of(["grass"] * 6 + ["roof"] * 9, 6) == [(Phase.ACTIVE, 6), (Phase.POST, 6)]


def test_nothing_clear_gives_no_phase():
    series = object_dates(["grass"] * 6)
    assert construction_phases(series.values, built_dates(series), series.days, (5, 6)) == ()


def test_a_single_odd_date_ends_nothing():
    course = ["grass"] * 6 + ["roof"] * 5 + ["soil"] + ["roof"] * 5
    assert phases_of(course, 6) == [(Phase.ACTIVE, 6), (Phase.POST, 6)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([*GROUND]), min_size=2, max_size=15), st.data())
def test_phases_follow_each_other_and_cover_the_dates(course, data):
    first = data.draw(st.integers(0, len(course) - 1))
    series = object_dates(course)
    spans = construction_phases(series.values, built_dates(series), series.days, (first - 1, first))
    order = [Phase.PREPARATION, Phase.ACTIVE, Phase.POST]
    places = [order.index(one.phase) for one in spans]
    assert places == sorted(set(places))
    assert spans[0].by == first
    assert spans[-1].until == len(course) - 1
    assert all(one.after < one.by <= one.until for one in spans)
    starts = np.array([one.by for one in spans])
    assert (np.diff(starts) >= 0).all()


def test_days_are_those_of_the_series():
    course = ["grass"] * 4 + ["roof"] * 9
    series = object_dates(course, 20.0)
    active, post = construction_phases(series.values, built_dates(series), series.days, (3, 4))
    assert series.days[active.after] == pytest.approx(60) and series.days[post.by] == pytest.approx(80)
