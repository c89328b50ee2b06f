"""Interpolation by phases: a parabola is met exactly, lines go on to the edge, gaps are left to others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.polyphase import interpolate_phases, nearest_phases


def positions(first, finer, length):
    return first + np.arange(length) / finer


def interpolated(plane, first, finer, shape, missing=None):
    out = np.full(shape, np.nan, np.float32)
    gaps = np.zeros(plane.shape, bool) if missing is None else missing
    return out, interpolate_phases(plane, gaps, first, finer, out)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.floats(1.0, 8.0), st.floats(1.0, 8.0))
def test_a_parabola_is_met_exactly(finer, row, column):
    # Keys' kernel with a = -0.5 reproduces polynomials of the second degree
    y, x = np.mgrid[0.0:40, 0.0:50]
    plane = (0.01 * (y - 20) ** 2 - 0.02 * (x - 11) * (y - 9) + 0.005 * x**2).astype(np.float32)
    out, left = interpolated(plane, (row, column), finer, (28 * finer, 38 * finer))
    assert left == []
    down, right = positions(row, finer, len(out))[:, None], positions(column, finer, out.shape[1])
    truth = 0.01 * (down - 20) ** 2 - 0.02 * (right - 11) * (down - 9) + 0.005 * right**2
    assert np.abs(out - truth).max() < 1e-5


def test_whole_pixels_are_copied():
    plane = np.random.default_rng(0).random((30, 600), dtype=np.float32)
    out, left = interpolated(plane, (4.0, 7.0), 1, (20, 560))
    assert left == []
    assert (out == plane[4:24, 7:567]).all()


@pytest.mark.parametrize("finer", [1, 2, 3])
def test_what_is_not_written_lies_near_a_gap_or_outside(finer):
    plane = np.random.default_rng(1).random((400, 700), dtype=np.float32)
    missing = np.zeros(plane.shape, bool)
    missing[200, 350] = True
    shape = (405 * finer, 705 * finer)
    out, left = interpolated(plane, (-2.3, -2.6), finer, shape, missing)
    told = np.zeros(shape, bool)
    for part in left:
        assert not told[part].any()
        told[part] = True
    rows, columns = positions(-2.3, finer, shape[0]), positions(-2.6, finer, shape[1])
    covered = ((rows >= -0.5) & (rows <= 399.5))[:, None] & ((columns >= -0.5) & (columns <= 699.5))
    assert (np.isnan(out) == (told | ~covered)).all()
    near = (abs(rows - 200) < 2)[:, None] & (abs(columns - 350) < 2)
    assert told[near].all()
    assert told.mean() < 0.6


def test_a_line_goes_on_to_the_edge_and_stays_level_beyond_the_last_centre():
    plane = np.arange(10, dtype=np.float32)[:, None].repeat(9, 1)
    out, left = interpolated(plane, (-0.25, -0.25), 2, (20, 18))
    assert left == []
    truth = np.clip(positions(-0.25, 2, 20), 0, 9)
    assert np.abs(out - truth[:, None]).max() < 1e-6


def test_a_plane_smaller_than_the_kernel_is_a_plane_all_the_same():
    out, left = interpolated(np.full((2, 1), 3, np.float32), (-0.25, -0.25), 2, (4, 2))
    assert left == []
    assert (out == 3).all()


def test_ground_without_any_data_is_nobodys_work():
    plane = np.zeros((600, 600), np.float32)
    missing = np.zeros(plane.shape, bool)
    missing[:, :560] = True
    out, left = interpolated(plane, (2.0, 2.0), 1, (590, 590), missing)
    assert left
    assert all(columns.stop > 500 for _, columns in left)
    assert np.isnan(out[:, :500]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.floats(-9, 9), st.floats(-9, 9), st.integers(1, 30), st.integers(1, 30))
def test_the_nearest_pixel_is_the_one_that_holds_the_position(finer, row, column, height, width):
    plane = np.random.default_rng(2).integers(1, 200, (12, 14), np.uint8)
    out = np.zeros((height, width), np.uint8)
    nearest_phases(plane, (row, column), finer, out)
    down = np.floor(positions(row, finer, height) + 0.5 + 1e-10).astype(int)
    right = np.floor(positions(column, finer, width) + 0.5 + 1e-10).astype(int)
    wide = np.zeros((200, 200), np.uint8)
    wide[50:62, 50:64] = plane
    assert (out == wide[50 + down[:, None], 50 + right]).all()
