"""Resampling: nothing is invented, nothing is moved, and the geometry is that of the ground."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from changedet import resample_rows as module
from changedet.core.displacement import DisplacementField
from changedet.errors import CrsMismatchError
from changedet.resample import (
    pixel_size_m,
    resample,
    room_for,
    smoothed,
    source_window,
    whole_pixel_shift,
)
from changedet.resample_rows import resampled_rows, source_rows

GRID = GeoBox.from_bbox((300000, 4800000, 300600, 4800480), "EPSG:32633", resolution=10, tight=True)
COARSE = GeoBox.from_bbox((300000, 4800000, 300600, 4800480), "EPSG:32633", resolution=20, tight=True)
LONLAT = GeoBox.from_bbox((12.5, 43.2, 12.6, 43.3), "EPSG:4326", resolution=0.0001, tight=True)


def wave(grid, period_m=240.0):
    """A smooth surface defined by map coordinates, so that every grid has its truth."""
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    step = grid.transform
    x, y = step.a * columns + step.c, step.e * rows + step.f
    return (0.2 + 0.1 * np.sin(2 * np.pi * x / period_m) * np.cos(2 * np.pi * y / period_m)).astype(
        np.float32
    )


def inner(array, margin=4):
    return array[margin:-margin, margin:-margin]


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(-70, 70), columns=st.integers(-70, 70))
def test_a_grid_displaced_by_whole_pixels_is_pasted_exactly(rows, columns):
    array = np.random.default_rng(0).random(tuple(GRID.shape), np.float32)
    target = GRID.translate_pix(columns, rows)
    assert whole_pixel_shift(GRID, target) == (rows, columns)
    moved = resample(array, GRID, target, method="cubic")
    padded = np.pad(array, 80, constant_values=np.nan)
    expected = padded[80 + rows : 80 + rows + GRID.shape[0], 80 + columns : 80 + columns + GRID.shape[1]]
    np.testing.assert_array_equal(moved, expected)


@settings(max_examples=15, deadline=None)
@given(rows=st.floats(-0.9, 0.9), columns=st.floats(-0.9, 0.9))
def test_a_fraction_of_a_pixel_moves_the_content_by_that_fraction(rows, columns):
    target = GRID.translate_pix(columns, rows)
    moved = resample(wave(GRID), GRID, target, method="cubic")
    assert np.abs(inner(moved - wave(target))).max() < 6e-4


def test_the_aligned_limit_is_a_thousandth_of_a_pixel():
    assert whole_pixel_shift(GRID, GRID.translate_pix(3.0005, -2)) == (-2, 3)
    assert whole_pixel_shift(GRID, GRID.translate_pix(3.01, -2)) is None
    assert whole_pixel_shift(GRID, COARSE) is None
    assert whole_pixel_shift(GRID, LONLAT) is None


def test_a_slightly_other_pixel_size_is_not_pasted():
    stretched = GeoBox(GRID.shape, Affine(10.001, 0, 300000, 0, -10, 4800480), GRID.crs)
    assert whole_pixel_shift(GRID, stretched) is None


@pytest.mark.parametrize("method", ["cubic", "bilinear"])
def test_a_coarse_band_lands_where_it_belongs(method):
    fine = resample(wave(COARSE), COARSE, GRID, method=method)
    assert np.abs(inner(fine - wave(GRID), 6)).max() < (0.002 if method == "cubic" else 0.006)


def test_average_is_the_mean_of_the_pixels_inside():
    array = np.random.default_rng(1).random(tuple(GRID.shape), np.float32)
    blocks = array.reshape(COARSE.shape[0], 2, COARSE.shape[1], 2).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(array, GRID, COARSE, method="average"), blocks, atol=1e-6)


def test_another_projection_keeps_the_content_in_place():
    window = GeoBox.from_bbox((297000, 4790000, 298000, 4791000), "EPSG:32633", resolution=10, tight=True)
    array = wave(window)
    there = GeoBox.from_geopolygon(window.extent, resolution=0.0001, crs="EPSG:4326")
    back = resample(resample(array, window, there), there, window)
    difference = inner(back - array, 20)
    assert np.isfinite(difference).all()
    assert np.abs(difference).max() < 0.004


def test_missing_pixels_stay_missing_and_do_not_leak():
    array = wave(GRID)
    array[10:13, 20:24] = np.nan
    array[30, 40] = np.nan
    moved = resample(array, GRID, GRID.translate_pix(0.3, -0.2), method="cubic")
    # the nearest source pixel of target (r, c) is (r, c): the same pixels are missing
    np.testing.assert_array_equal(np.isnan(moved[1:, :-1]), np.isnan(array[1:, :-1]))
    assert np.nanmin(moved) > 0.05
    assert np.nanmax(moved) < 0.35


@pytest.mark.parametrize(
    "target", [GRID.translate_pix(-20.3, 10.4), COARSE.translate_pix(3.3, -2.6), "lonlat"]
)
def test_a_gap_elsewhere_changes_nothing(target):
    if target == "lonlat":
        target = GeoBox.from_geopolygon(GRID.extent, resolution=0.0001, crs="EPSG:4326")
    array = np.random.default_rng(3).random(tuple(GRID.shape), np.float32)
    whole = resample(array, GRID, target)
    array[24, 30] = np.nan
    holed = resample(array, GRID, target)
    assert np.isnan(whole).any()
    differ = ~np.isclose(whole, holed, equal_nan=True)
    assert 0 < differ.sum() <= 60


def test_outside_the_source_is_missing():
    moved = resample(wave(GRID), GRID, GRID.translate_pix(10.5, 0.0), method="cubic")
    assert np.isnan(moved[:, -10:]).all()
    assert np.isfinite(moved[:, :-11]).all()


def test_zero_is_a_value_and_not_a_gap():
    zeros = np.zeros(tuple(GRID.shape), np.float32)
    assert (resample(zeros, GRID, GRID.translate_pix(0.4, 0.4))[1:-1, 1:-1] == 0).all()


def test_classes_are_taken_from_the_nearest_pixel_whatever_the_method():
    codes = np.random.default_rng(2).integers(1, 12, tuple(COARSE.shape)).astype(np.uint8)
    fine = resample(codes, COARSE, GRID, method="cubic")
    assert fine.dtype == np.uint8
    np.testing.assert_array_equal(fine, codes.repeat(2, 0).repeat(2, 1))
    outside = resample(codes, COARSE, GRID.translate_pix(20, 0.5))
    assert (outside[:, -20:] == 0).all()


def test_arrays_are_not_changed_and_doubles_become_floats():
    array = wave(GRID).astype(np.float64)
    array[0, 0] = np.nan
    copy = array.copy()
    assert resample(array, GRID, GRID.translate_pix(0.5, 0)).dtype == np.float32
    np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 3), np.float32), "does not lie on a grid"),
        (np.zeros(tuple(GRID.shape), np.int16), "neither float32 nor uint8"),
    ],
)
def test_unfit_arrays_are_refused(array, words):
    with pytest.raises(ValueError, match=words):
        resample(array, GRID, GRID)


def test_a_grid_without_reference_system_is_refused():
    nowhere = GeoBox(GRID.shape, GRID.transform, None)
    with pytest.raises(CrsMismatchError, match="assign one first"):
        pixel_size_m(nowhere)


@settings(max_examples=20, deadline=None)
@given(x=st.floats(-900, 900), y=st.floats(-900, 900), size=st.integers(1, 40))
def test_reading_the_window_gives_the_same_as_reading_everything(x, y, size):
    target = GeoBox((size, size), Affine(10, 0, 300000 + x, 0, -10, 4800480 + y), GRID.crs)
    array = wave(GRID)
    whole = resample(array, GRID, target)
    window = source_window(GRID, target)
    if window is None:
        assert np.isnan(whole).all()
    else:
        np.testing.assert_allclose(resample(array[window], GRID[window], target), whole, atol=1e-6)


def test_the_window_is_small_for_a_small_target():
    tile = GeoBox.from_bbox((300000, 4700000, 409800, 4809800), "EPSG:32633", resolution=10, tight=True)
    rows, columns = source_window(tile, GRID)
    assert rows.stop - rows.start <= 48 + 10
    assert columns.stop - columns.start <= 60 + 10
    assert source_window(tile, GeoBox.from_bbox((10, 10, 10.1, 10.1), "EPSG:4326", resolution=0.001)) is None


def test_pixel_sizes_are_true_metres():
    rows_m, columns_m = pixel_size_m(LONLAT)
    # length of a degree at 43.25 N on WGS 84: 111.10 km north, 81.2 km east
    assert rows_m == pytest.approx(11.11, abs=0.005)
    assert columns_m == pytest.approx(8.12, abs=0.01)
    assert pixel_size_m(GRID) == pytest.approx((10, 10), abs=0.005)
    mercator = GeoBox.from_bbox((1400000, 8400000, 1400600, 8400600), "EPSG:3857", resolution=10)
    assert pixel_size_m(mercator)[1] == pytest.approx(5.0, abs=0.1)


def field_on(grid, largest_px=1.5, seed=0):
    surface = np.random.default_rng(seed).uniform(-largest_px, largest_px, (2, 5, 5))
    return DisplacementField("spline", tuple(grid.shape), (0.0, 0.0), surface=surface)


def moved_wave(grid, field):
    """The truth: what the wave shows where each pixel of the grid looks."""
    shift = field.on(np.arange(grid.shape[0], dtype=float), np.arange(grid.shape[1], dtype=float))
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5 - shift
    step = grid.transform
    x, y = step.a * columns + step.c, step.e * rows + step.f
    return 0.2 + 0.1 * np.sin(2 * np.pi * x / 240) * np.cos(2 * np.pi * y / 240)


class TestDisplacement:
    @pytest.mark.parametrize(
        "source", [GRID, GRID.translate_pix(0.4, -0.3), COARSE], ids=["same", "off", "coarse"]
    )
    def test_content_moves_by_the_field_in_one_step(self, source):
        field = field_on(GRID)
        got = resample(wave(source), source, GRID, displacement=field)
        inside = np.isfinite(got)
        inside[:6] = inside[-6:] = inside[:, :6] = inside[:, -6:] = False
        assert inside.mean() > 0.5
        assert np.abs(got - moved_wave(GRID, field))[inside].max() < 4e-3

    @pytest.mark.parametrize("part", [0.1, 0.25, 0.4])
    def test_coarse_pixels_are_not_put_aside(self, part):
        # a kernel that is only right at halves and wholes would bend a slope into steps
        slope = np.arange(COARSE.shape[1], dtype=np.float32) * np.ones((COARSE.shape[0], 1), np.float32)
        aside = DisplacementField("affine", tuple(GRID.shape), (0.0, 2 * part))
        got = inner(resample(slope, COARSE, GRID, displacement=aside), 10)
        expected = (np.arange(GRID.shape[1]) + 0.5 - 2 * part) / 2 - 0.5
        assert np.abs(got - expected[10:-10]).max() < 2e-3

    def test_finer_pixels_are_smoothed_and_moved(self):
        field = field_on(COARSE, 0.7)
        got = resample(wave(GRID), GRID, COARSE, displacement=field)
        assert np.abs(inner(got - moved_wave(COARSE, field))).max() < 8e-3
        noise = np.random.default_rng(0).random(tuple(GRID.shape), np.float32)
        assert inner(smoothed(noise, 2.0)).std() < 0.5 * noise.std()
        assert smoothed(noise, 1.2) is noise

    def test_another_reference_system_comes_out_as_gdal_says(self):
        box = GRID.extent.to_crs("EPSG:32634").boundingbox
        elsewhere = GeoBox.from_bbox(box, "EPSG:32634", resolution=10)
        still = DisplacementField("affine", tuple(elsewhere.shape), (0.0, 0.0))
        ours = resample(wave(GRID), GRID, elsewhere, displacement=still)
        theirs = resample(wave(GRID), GRID, elsewhere)
        both = np.isfinite(ours) & np.isfinite(theirs)
        assert both.mean() > 0.8
        assert np.abs(ours - theirs)[both].max() < 6e-3

    def test_the_edge_of_the_image_is_not_lost(self):
        got = resample(wave(GRID), GRID, GRID, displacement=field_on(GRID, 0.4))
        assert np.isfinite(got).all()

    def test_classes_are_taken_from_the_nearest_pixel(self):
        codes = np.zeros(tuple(GRID.shape), np.uint8)
        codes[10:20, 10:20], codes[20:30, 20:30] = 4, 9
        down = DisplacementField("affine", tuple(GRID.shape), (2.3, -1.4))
        got = resample(codes, GRID, GRID, displacement=down)
        np.testing.assert_array_equal(got[2:40, :40], np.roll(codes, (2, -1), (0, 1))[2:40, :40])

    def test_the_window_that_is_read_holds_what_the_field_reaches(self):
        target = GRID[20:30, 20:30]
        far = DisplacementField("translation", (10, 10), (15.0, -12.0))
        rows, columns = source_window(GRID, target, far)
        assert rows.start <= 20 - 15
        assert columns.stop >= 30 + 12
        assert tuple(room_for(target, far).shape) >= (40, 40)


class TestRows:
    """A large grid is made some rows at a time, with the same pixels as in one go."""

    @pytest.mark.parametrize("moved", [False, True], ids=["as it lies", "moved by a field"])
    @pytest.mark.parametrize("kind", [np.float32, np.uint8])
    @pytest.mark.parametrize(
        "source",
        [GRID, GRID[2:, 3:], GRID.translate_pix(0.4, -0.3), COARSE, COARSE[3:-2, 1:-4]],
        ids=["same", "part", "off", "coarse", "part of coarse"],
    )
    def test_pieces_make_the_whole(self, monkeypatch, source, kind, moved):
        field = field_on(GRID, 2.5, seed=3) if moved else None
        pixels = np.random.default_rng(0).random(tuple(source.shape), np.float32)
        pixels[7:9, 11:13] = np.nan
        pixels = pixels if kind is np.float32 else (11 * np.nan_to_num(pixels)).astype(np.uint8)
        whole = resample(pixels, source, GRID, displacement=field)
        monkeypatch.setattr(module, "_ROWS_PX", 60 * 7)
        pieces = resampled_rows(GRID)
        assert len(pieces) == 7
        found = np.full(whole.shape, np.nan if kind is np.float32 else 0, kind)
        for rows in pieces:
            part = source_rows(source, GRID, rows, field)
            if part is not None:
                found[rows] = resample(pixels[part], source[part], GRID, displacement=field, rows=rows)
        np.testing.assert_allclose(found, whole, atol=3e-6)

    def test_little_more_is_looked_at_than_is_needed(self, monkeypatch):
        monkeypatch.setattr(module, "_ROWS_MARGIN_PX", 2)
        part = source_rows(GRID, GRID, slice(10, 20))
        assert part[0].start >= 3
        assert part[0].stop <= 27
        assert part[1] == slice(0, 60)
        assert source_rows(GRID[30:], GRID, slice(0, 5)) is None
        assert source_rows(COARSE, GRID, slice(0, 48)) == (slice(0, 24), slice(0, 30))
