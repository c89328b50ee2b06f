"""Warping: whole pixels exactly, fractions and fields as the kernel says, and no value out of nothing."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from changedet.core import warping
from changedet.core.alignment import align
from changedet.core.displacement import DisplacementField
from changedet.core.warping import (
    bridge_gaps,
    equals,
    remap_is_exact,
    sample,
    shift_image,
    source_positions,
    warp,
)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, -2), (-1, 5)])
def test_a_whole_pixel_shift_is_exact(rows, columns):
    image = np.random.default_rng(0).random((20, 30), np.float32)
    padded = np.pad(image, 10, constant_values=np.nan)
    expected = padded[10 - rows : 30 - rows, 10 - columns : 40 - columns]
    np.testing.assert_allclose(shift_image(image, rows, columns), expected, atol=1e-6)


def test_missing_pixels_stay_missing_and_spread_no_value():
    image = np.full((20, 20), 0.5, np.float32)
    image[8, 9] = np.nan
    result = shift_image(image, 2, 3)
    assert np.argwhere(np.isnan(result[2:, 3:])).tolist() == [[8, 9]]
    # between pixels, two on each side are needed
    half = shift_image(image, 0.5, 0.0)
    assert np.argwhere(np.isnan(half[2:-1])).tolist() == [[row, 9] for row in range(5, 9)]
    assert np.isnan(half[[0, 1, -1]]).all()
    np.testing.assert_allclose(half[np.isfinite(half)], 0.5, rtol=1e-6)


@pytest.mark.parametrize("shift", [(25.0, 0.0), (0.0, -20.0), (-19.5, 40.25)])
def test_content_moved_out_of_the_image_is_gone(shift):
    assert np.isnan(shift_image(np.ones((20, 20), np.float32), *shift)).all()


@settings(max_examples=15, deadline=None)
@given(rows=st.floats(-3, 3), columns=st.floats(-3, 3))
def test_a_sub_pixel_shift_moves_a_smooth_surface_by_that_much(rows, columns):
    y, x = np.mgrid[:48, :48].astype(float)

    def surface(y, x):
        return 0.2 + 0.1 * np.sin(2 * np.pi * x / 24) * np.cos(2 * np.pi * y / 24)

    result = shift_image(surface(y, x).astype(np.float32), rows, columns)
    error = (result - surface(y - rows, x - columns))[6:-6, 6:-6]
    assert np.abs(error).max() < 1.5e-3


def test_a_sub_pixel_shift_agrees_with_a_spline():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 60)), 2).astype(np.float32)
    expected = ndimage.shift(image.astype(float), (0.37, -1.62), order=3)
    np.testing.assert_allclose(
        shift_image(image, 0.37, -1.62)[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.02 * np.ptp(image)
    )


def smooth(shape=(90, 120), seed=0):
    return ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2).astype(np.float32)


def bent(shape, largest_px=2.0, seed=1):
    surface = np.random.default_rng(seed).uniform(-largest_px, largest_px, (2, 5, 6))
    return DisplacementField("spline", shape, (0.0, 0.0), surface=surface)


def constant(shape, row_px, column_px):
    """A shift that is not known to be one."""
    return DisplacementField("affine", shape, (row_px, column_px))


class TestExactness:
    @pytest.mark.parametrize("order", ["linear", "cubic"])
    def test_the_installed_remap_interpolates_where_it_is_told(self, order):
        image, field = smooth(), bent((90, 120))
        positions = source_positions(field)(slice(0, 90))
        expected = warping._gathered(image, *positions, order)
        got = warp(image, field, order=order)
        inside = np.isfinite(got)
        assert inside.mean() > 0.8
        # a table of 1/32 pixel would be off by 1/64 of the steepest slope
        np.testing.assert_allclose(got[inside], expected[inside], atol=1e-6)
        # OpenCV 4 takes positions from a table; what is here then does the work itself
        assert remap_is_exact() == (int(cv2.__version__.split(".")[0]) >= 5)

    def test_a_spline_goes_through_the_pixels_and_follows_smooth_ground(self):
        image, field = smooth(), bent((90, 120))
        got = warp(image, field, order="spline")
        rows, columns = source_positions(field)(slice(0, 90))
        expected = ndimage.map_coordinates(image, [rows, columns], order=3, mode="mirror")
        inside = np.isfinite(got)
        assert inside.mean() > 0.8
        np.testing.assert_allclose(got[inside], expected[inside], atol=1e-5)
        still = warp(image, constant((90, 120), 0.0, 0.0), order="spline")
        np.testing.assert_allclose(still[2:-3, 2:-3], image[2:-3, 2:-3], atol=1e-5)

    def test_a_spline_leaves_gaps_open_and_its_surroundings_as_they_are(self):
        image = smooth()
        gap = image.copy()
        gap[40:44, 50:55] = np.nan
        whole, holed = (
            sample(one, (90, 120), source_positions(bent((90, 120))), order="spline", lenient=True)
            for one in (image, gap)
        )
        assert 5 < np.isnan(holed).sum() - np.isnan(whole).sum() < 60
        far = np.ones(holed.shape, bool)
        far[28:56, 38:67] = False
        np.testing.assert_allclose(holed[far], whole[far], atol=1e-4)

    def test_a_spline_through_whole_numbers_is_refused(self):
        with pytest.raises(ValueError, match="a spline goes through floating numbers, not through uint16"):
            warp(np.zeros((90, 120), np.uint16), bent((90, 120)), order="spline")

    def test_without_an_exact_remap_the_numbers_are_the_same(self, monkeypatch):
        image, field = smooth(), bent((90, 120))
        fast = warp(image, field)
        whole = (image * 10000).astype(np.uint16)
        fast_whole = warp(whole, field, nodata=0)
        monkeypatch.setattr(warping, "remap_is_exact", lambda: False)
        np.testing.assert_allclose(warp(image, field), fast, atol=1e-6)
        assert np.abs(warp(whole, field, nodata=0).astype(int) - fast_whole).max() <= 1

    @settings(max_examples=15, deadline=None)
    @given(row=st.floats(-4, 4), column=st.floats(-4, 4))
    def test_a_constant_field_is_the_exact_shift(self, row, column):
        image = smooth((40, 50))
        shifted = warp(image, DisplacementField("translation", (40, 50), (row, column)))
        np.testing.assert_array_equal(shifted, shift_image(image, row, column))
        field = warp(image, constant((40, 50), row, column))
        both = np.isfinite(shifted) & np.isfinite(field)
        assert both.mean() > 0.6
        np.testing.assert_allclose(field[both], shifted[both], atol=2e-5)

    def test_a_field_moves_a_known_surface_by_that_much(self):
        field = bent((90, 120))
        rows, columns = source_positions(field)(slice(0, 90))

        def surface(y, x):
            return 0.2 + 0.1 * np.sin(2 * np.pi * x / 24) * np.cos(2 * np.pi * y / 24)

        y, x = np.mgrid[:90, :120].astype(float)
        got = warp(surface(y, x).astype(np.float32), field)
        inside = np.isfinite(got)
        assert np.abs(got - surface(rows.astype(float), columns.astype(float)))[inside].max() < 1.5e-3

    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 99))
    def test_a_constant_image_stays_constant(self, seed):
        got = warp(np.full((60, 70), 0.37, np.float32), bent((60, 70), seed=seed))
        np.testing.assert_allclose(got[np.isfinite(got)], 0.37, rtol=1e-6)


class TestMissing:
    def test_what_needs_a_missing_pixel_is_missing(self):
        image = smooth((40, 50))
        image[20, 25] = np.nan
        got = warp(image, constant((40, 50), 0.5, 0.25))
        hole = np.isnan(got[4:-4, 4:-4])
        assert hole.sum() == 16
        assert np.argwhere(hole).min(axis=0).tolist() == [15, 20]
        np.testing.assert_allclose(
            got[10, 10], warp(smooth((40, 50)), constant((40, 50), 0.5, 0.25))[10, 10], rtol=1e-6
        )

    def test_lenient_sampling_loses_only_what_lies_nearest(self):
        image = smooth((40, 50))
        image[20, 25] = np.nan

        def half(rows):
            return (
                np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - 0.25,
                np.arange(50, dtype=np.float32)[None, :] - 0.25,
            )

        got = sample(image, (40, 50), half, lenient=True)
        assert np.argwhere(np.isnan(got)).tolist() == [[20, 25]]
        whole = sample(smooth((40, 50)), (40, 50), half, lenient=True)
        assert np.nanmax(np.abs(got - whole)) < 0.1 * np.ptp(whole)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
    def test_integers_keep_their_type_and_their_number_for_no_data(self, dtype):
        image = (smooth((40, 50)) * 200).astype(dtype)
        image[:6] = 7
        got = warp(image, bent((40, 50)), nodata=7)
        assert got.dtype == dtype
        assert (got[:3] == 7).all()
        inner = got[12:-6, 6:-6]
        assert (abs(inner.astype(float) - 100) < 60).all()

    def test_a_value_that_happens_to_be_the_number_for_no_data_is_moved_aside(self):
        image = np.tile(np.array([0, 1, 0, 1, 0, 1, 1, 1, 1, 1], np.uint8), (10, 4)) * 2 + 1
        got = warp(image, constant((10, 40), 0.0, 0.5), nodata=2)
        assert (got[3:-3, 4:-4] != 2).all()

    def test_all_outside_is_all_missing(self):
        assert np.isnan(warp(smooth((40, 50)), constant((40, 50), 0.25, 300.0))).all()
        assert (warp(np.ones((40, 50), np.uint8), constant((40, 50), 90.5, 0.0)) == 0).all()


def test_blocks_leave_no_seams(monkeypatch):
    image, field = smooth((90, 120)), bent((90, 120))
    whole = warp(image, field)
    monkeypatch.setattr(warping, "_BLOCK_PX", 7 * 120)
    monkeypatch.setattr(warping, "_LEAST_ROWS", 1)
    monkeypatch.setattr(warping, "_BLOCK_COLUMNS", 11)
    np.testing.assert_allclose(warp(image, field), whole, atol=1e-5)


def test_a_plane_of_another_shape_is_refused():
    with pytest.raises(
        ValueError, match=r"a plane of \(3, 4\) pixels cannot be moved by a field on \(5, 6\)"
    ):
        warp(np.zeros((3, 4), np.float32), constant((5, 6), 0.0, 0.0))


def test_the_argument_is_left_as_it_was():
    image = smooth((40, 50))
    image[3, 3] = np.nan
    kept = image.copy()
    warp(image, bent((40, 50)))
    np.testing.assert_array_equal(image, kept)


class TestGaps:
    def test_single_pixels_are_bridged_and_clouds_are_left(self):
        image, valid = smooth((80, 90)), np.ones((80, 90), bool)
        valid[np.random.default_rng(0).random(valid.shape) < 0.01] = False
        valid[30:50, 40:70] = False
        planes, whole = bridge_gaps([np.where(valid, image, np.float32(np.nan))], valid)
        planes = [np.asarray(plane) for plane in planes]
        assert not whole[32:48, 42:68].any()
        assert whole[:25].all()
        assert np.abs(planes[0] - image)[:25].max() < 0.3 * np.ptp(image)
        np.testing.assert_array_equal(planes[0][valid], image[valid])
        numbers = np.where(valid, image * 10000, 0).astype(np.uint16)
        bridged = np.asarray(bridge_gaps([numbers], valid)[0][0])
        assert np.abs(bridged - image * 10000)[:25].max() < 0.3 * np.ptp(numbers[valid])

    @pytest.mark.parametrize("kind", [np.float32, np.uint16])
    def test_windows_are_cut_from_the_whole(self, kind):
        rng = np.random.default_rng(4)
        valid = rng.random((80, 90)) > 0.03
        image = np.where(valid, 1000 * smooth((80, 90)), np.nan if kind is np.float32 else 0).astype(kind)
        plane = bridge_gaps([image], valid)[0][0]
        whole = np.asarray(plane)
        assert (plane.shape, plane.dtype) == (whole.shape, whole.dtype)
        assert np.isfinite(whole).all()
        for rows, columns in [
            (slice(0, 20), slice(0, 30)),
            (slice(37, 61), slice(50, 90)),
            (slice(70, None),) * 2,
        ]:
            np.testing.assert_allclose(plane[rows, columns], whole[rows, columns], rtol=1e-5)

    def test_matching_by_windows_says_what_matching_the_whole_says(self):
        rng = np.random.default_rng(5)
        valid = rng.random((200, 220)) > 0.02
        valid[60:90, 100:150] = False
        first, second = (
            np.where(valid, np.roll(smooth((200, 220)), by, 0), np.float32(np.nan)) for by in (0, 1)
        )
        lazy = [bridge_gaps([plane], valid) for plane in (first, second)]
        found = [
            align(wrap(lazy[0][0]), wrap(lazy[1][0]), lazy[0][1], lazy[1][1])
            for wrap in (list, lambda planes: [np.asarray(plane) for plane in planes])
        ]
        assert found[0].field is not None
        assert found[0].agreement == found[1].agreement
        np.testing.assert_allclose(found[0].field.median_px, found[1].field.median_px, atol=1e-5)

    @pytest.mark.parametrize("hole", [None, slice(20, 40)])
    def test_without_small_gaps_nothing_is_touched(self, hole):
        image, valid = smooth((60, 60)), np.ones((60, 60), bool)
        if hole:
            valid[hole, hole] = False
        planes, whole = bridge_gaps([image], valid)
        assert planes[0] is image
        np.testing.assert_array_equal(whole, valid)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("number", [0, 7.0, -3, 0.5, 300, 1e9, np.nan, np.inf])
def test_numbers_are_compared_as_their_values_are(dtype, number):
    values = np.array([0, 7, 100, 44], dtype)
    if dtype.startswith("float"):
        values = np.append(values, np.array([np.nan, 0.5, -3], dtype))
    expected = [v == number or bool(np.isnan(v) and np.isnan(number)) for v in values.astype(float)]
    assert equals(values, number).tolist() == expected


def test_positions_start_where_the_image_lies():
    field = bent((30, 40))
    here = source_positions(field)(slice(5, 9))
    there = source_positions(field, (2.5, -7.0))(slice(5, 9))
    np.testing.assert_allclose(there[0] - here[0], 2.5, atol=1e-5)
    np.testing.assert_allclose(there[1] - here[1], -7.0, atol=1e-5)


def test_positions_that_are_no_numbers_have_no_data():
    def positions(rows):
        down, right = np.meshgrid(
            np.arange(rows.start, rows.stop, dtype=float), np.arange(50.0), indexing="ij"
        )
        down[:, 9] = np.nan
        return down.astype(np.float32), right.astype(np.float32)

    image = smooth((40, 50))
    found = warping.sample(image, (40, 50), positions)
    assert np.isnan(found[:, 9]).all()
    np.testing.assert_allclose(found[5:30, 10:40], image[5:30, 10:40], atol=1e-5)
