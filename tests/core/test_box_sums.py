"""Sums over rings and corners equal sums over their pixels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow.siroc import neighbours

from changedet.core import box_sums
from changedet.core.box_sums import RingSums, check_radii, with_margin


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    radii=st.lists(st.integers(0, 9), min_size=2, max_size=4, unique=True).map(sorted),
    corners=st.booleans(),
    seed=st.integers(0, 9),
)
def test_rings_and_corners_equal_sums_over_their_pixels(rows, columns, radii, corners, seed):
    rng = np.random.default_rng(seed)
    plane, valid = rng.random((rows, columns), np.float32), rng.random((rows, columns)) < 0.8
    cut = with_margin(plane, valid, (slice(0, rows), slice(0, columns)), radii[-1])
    for some, rings in RingSums([cut, cut * cut], tuple(radii), corners=corners).groups():
        for (inner, outer), ring in zip(pairwise(radii), rings, strict=True):
            row, column = int(rng.integers(some.start, some.stop)), int(rng.integers(columns))
            near = neighbours(valid, row, column, inner, outer, corners)
            expected = [sum(float(plane[p]) ** power for p in near) for power in (1, 2)]
            np.testing.assert_allclose(ring[:, row - some.start, column], expected, atol=3e-5)


def test_groups_of_rows_cover_the_tile_once(monkeypatch):
    monkeypatch.setattr(box_sums, "_GROUP_ROWS", 4)
    valid = np.ones((11, 6), bool)
    cut = with_margin(valid.astype(np.float32), valid, (slice(0, 11), slice(0, 6)), 2)
    groups = [rows for rows, _ in RingSums([cut], (0, 2)).groups()]
    assert [(rows.start, rows.stop) for rows in groups] == [(0, 4), (4, 8), (8, 11)]


@pytest.mark.parametrize("rubbish", [np.nan, np.inf])
def test_a_cut_holds_nothing_where_nothing_is_usable_or_there(rubbish):
    plane, valid = np.arange(1, 21, dtype=np.float32).reshape(4, 5), np.ones((4, 5), bool)
    valid[1, 2] = False
    plane[1, 2] = rubbish
    cut = with_margin(plane, valid, (slice(0, 2), slice(2, 5)), 1)
    expected = [[0, 0, 0, 0, 0], [2, 3, 4, 5, 0], [7, 0, 9, 10, 0], [12, 13, 14, 15, 0]]
    np.testing.assert_array_equal(cut, expected)


@pytest.mark.parametrize("radii", [(), (1,), (-1, 2), (3, 3), (4, 2)])
def test_impossible_radii_are_refused(radii):
    with pytest.raises(ValueError, match="not negative and increasing"):
        check_radii(radii)
