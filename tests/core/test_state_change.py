"""Since when a place has been in a state: dates, noise, and what is too little to say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.core.state_change import StateChangeParameters, last_state_change


def course(before, since, wrong=()):
    state = np.array([False] * before + [True] * since)
    state[list(wrong)] ^= True
    return state


def test_the_first_date_of_the_state_is_found_in_spite_of_single_ones_that_read_otherwise():
    found = last_state_change(course(30, 12, wrong=(4, 35)))
    assert found.first == 30
    assert found.share_before == pytest.approx(1 / 30) and found.share_since == pytest.approx(11 / 12)


@given(st.integers(8, 60), st.integers(5, 60))
def test_a_clean_change_is_dated_exactly(before, since):
    assert last_state_change(course(before, since)).first == before


@pytest.mark.parametrize(
    "state",
    [
        course(7, 30),
        course(30, 4),
        np.ones(40, bool),
        np.zeros(40, bool),
        np.array(([False] * 6 + [True] * 6) * 4),
        np.r_[course(20, 10), np.zeros(6, bool)],
    ],
    ids=["too few before", "too few since", "always", "never", "every year", "over again"],
)
def test_what_is_no_lasting_change_is_none(state):
    assert last_state_change(state) is None


def test_noise_is_hardly_ever_a_change():
    rng = np.random.default_rng(0)
    found = [last_state_change(rng.random(60) < share) for share in np.repeat([0.02, 0.5, 0.9], 300)]
    assert sum(one is not None for one in found) == 0


def test_parameters_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="at least one date"):
        StateChangeParameters(least_since=0)
    with pytest.raises(ValueError, match="the first the smaller"):
        StateChangeParameters(most_before=0.9)
