"""Numbers beside objects: inside the picture, apart from each other, the leading ones first."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from changedet.output.numbers import Place, place_numbers

LETTER = (4.0, 6.0)
FRAME = (200.0, 120.0)


def box(left, top, size=10.0):
    return [np.array([[left, top], [left + size, top], [left + size, top + size], [left, top + size]])]


corners = st.tuples(st.floats(0, 190), st.floats(0, 110))


@given(st.lists(corners, min_size=1, max_size=25))
def test_numbers_lie_inside_and_apart(places):
    shapes = [box(*corner) for corner in places]
    found = [p for p in place_numbers(shapes, list(range(1, len(shapes) + 1)), LETTER, FRAME) if p]
    assert not any(a.meets(b) for a, b in combinations(found, 2))
    for place in found:
        assert place.left >= 0
        assert place.top >= 0
        assert place.right <= FRAME[0] + 1e-9
        assert place.bottom <= FRAME[1] + 1e-9


@given(st.lists(corners, min_size=1, max_size=25))
def test_the_leading_object_is_always_numbered(places):
    assert place_numbers([box(*corner) for corner in places], list(range(len(places))), LETTER, FRAME)[0]


def test_a_number_stands_at_the_upper_right_when_there_is_room():
    (place,) = place_numbers([box(50, 50)], [7], LETTER, FRAME)
    assert place == Place(60, 47, 64, 53)


def test_longer_numbers_are_wider():
    (place,) = place_numbers([box(50, 50)], [123], LETTER, FRAME)
    assert place.right - place.left == 12


def test_the_fifth_object_at_one_place_goes_without():
    found = place_numbers([box(50, 50)] * 5, [1, 2, 3, 4, 5], LETTER, FRAME)
    assert [place is not None for place in found] == [True, True, True, True, False]


def test_an_object_without_an_outline_has_no_place():
    assert place_numbers([[]], [1], LETTER, FRAME) == [None]


def test_an_object_that_fills_the_picture_has_its_number_inside():
    (place,) = place_numbers([box(0, 0, 300)], [1], LETTER, FRAME)
    assert place
    assert place.right <= FRAME[0]
    assert place.top >= 0


def test_the_number_of_an_object_in_parts_stands_beside_the_largest():
    small, large = np.array([[1.0, 1.0], [3.0, 3.0]]), np.array([[40.0, 40.0], [60.0, 60.0]])
    (place,) = place_numbers([[small, large]], [1], (4, 6), (100, 100))
    assert (place.left, place.top) == (60, 37)
