"""Shifts from little ground: known shifts of smooth scenes, holes, change, and what cannot be measured."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.displacement import DisplacementField
from changedet.core.small_shift import least_squares_shift
from changedet.core.warping import warp


def scene(seed=0, size=96):
    rng = np.random.default_rng(seed)
    return (0.1 + cv2.GaussianBlur(rng.random((size, size)).astype(np.float32), (0, 0), 2)).astype(np.float32)


def moved(image, row, column):
    field = DisplacementField("translation", image.shape, (row, column))
    out = warp(image, field)
    return np.nan_to_num(out), np.isfinite(out)


@given(row=st.floats(-1.2, 1.2), column=st.floats(-1.2, 1.2), seed=st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_known_shifts_come_back(row, column, seed):
    image = scene(seed)
    other, valid = moved(image, row, column)
    found = least_squares_shift(image, other, np.ones(image.shape, bool), valid)
    assert found.settled
    assert found.row_px == pytest.approx(-row, abs=0.05)
    assert found.column_px == pytest.approx(-column, abs=0.05)
    assert found.length_px == pytest.approx(np.hypot(row, column), abs=0.07)


def test_gain_offset_and_change_of_a_fifth_of_the_ground_do_not_matter():
    image = scene(1)
    other, valid = moved(image, 0.4, -0.6)
    other = 0.7 * other + 0.05
    other[10:50, 10:50] = 0.9
    found = least_squares_shift(image, other.astype(np.float32), np.ones(image.shape, bool), valid)
    assert (found.row_px, found.column_px) == (pytest.approx(-0.4, abs=0.05), pytest.approx(0.6, abs=0.05))


def test_a_tenth_of_the_ground_is_enough_and_the_error_says_how_little_it_is():
    image, rng = scene(2), np.random.default_rng(2)
    other, valid = moved(image, -0.5, 0.3)
    other += 0.004 * rng.standard_normal(other.shape).astype(np.float32)
    seen = np.zeros(image.shape, bool)
    seen[30:62, 30:62] = True
    whole = least_squares_shift(image, other, np.ones(image.shape, bool), valid)
    part = least_squares_shift(image, other, np.ones(image.shape, bool), valid & seen)
    assert (part.row_px, part.column_px) == (pytest.approx(0.5, abs=0.08), pytest.approx(-0.3, abs=0.08))
    assert part.error_px > 2 * whole.error_px
    assert part.pixels < 0.12 * image.size


@pytest.mark.parametrize("kind", ["too little", "flat", "another place", "inverted"])
def test_what_cannot_be_measured_is_not(kind):
    image = scene(3)
    valid, other = np.ones(image.shape, bool), scene(4)
    if kind == "too little":
        valid, other = np.zeros(image.shape, bool), image
        valid[40:44, 40:44] = True
    elif kind == "flat":
        image, other = np.full_like(image, 0.2), np.full_like(image, 0.2)
    elif kind == "inverted":
        other = np.float32(0.5) - image
    found = least_squares_shift(image, other, np.ones(image.shape, bool), valid)
    assert found is None or not found.settled or found.error_px > 0.05
