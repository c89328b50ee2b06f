"""Which shifts fit best, in whole pixels, and what the windows of a residual are."""

import cv2
import numpy as np
import pytest

from changedet.core.registration import (
    Shift,
    correlate_features,
    edge_feature,
    estimate_shift,
    measure_residual,
)


def texture(shape=(96, 80), seed=0, bands=1):
    rng = np.random.default_rng(seed)
    return np.stack([cv2.GaussianBlur(rng.random(shape), (0, 0), 1.2) for _ in range(bands)]).astype(
        np.float32
    )


def features(bands):
    valid = np.ones(bands.shape[1:], bool)
    return np.stack([edge_feature(band, valid) for band in bands])


def moved(bands, rows, columns):
    return np.roll(bands, (rows, columns), axis=(1, 2))


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-7, 5), (8, 8), (-8, -8)])
def test_the_best_shift_brings_the_content_back(shift):
    scene = features(texture())
    shifts, heights, reliability = correlate_features(scene, moved(scene, *shift), 8)
    assert shifts[0].tolist() == [-shift[0], -shift[1]]
    assert heights[0] == 1.0
    assert reliability > 30


def test_swapping_the_roles_turns_the_shift_round():
    scene = features(texture())
    there, _, one = correlate_features(scene, moved(scene, 2, 5), 10, most=1)
    back, _, other = correlate_features(moved(scene, 2, 5), scene, 10, most=1)
    assert (there == -back).all()
    assert one == pytest.approx(other, rel=0.05)


def test_two_copies_give_two_shifts_the_stronger_first():
    scene = features(texture((128, 128)))
    both = 2 * moved(scene, 6, 0) + moved(scene, -5, 9)
    shifts, heights, _ = correlate_features(scene, both, 16, most=2)
    assert shifts.tolist() == [[-6, 0], [5, -9]]
    assert 0.2 < heights[1] < 0.8
    assert (np.diff(heights) <= 0).all()


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_shifts_than_asked_for(most):
    scene = features(texture())
    shifts, heights, _ = correlate_features(scene, features(texture(seed=1)), 12, most=most)
    assert len(shifts) == len(heights) == most
    assert (abs(shifts) <= 12).all()


def test_three_shifts_are_the_usual_number_and_stand_apart():
    scene = features(texture())
    shifts, heights, _ = correlate_features(scene, features(texture(seed=1)), 14)
    assert len(shifts) == 3
    assert (heights > 0).all()
    assert (heights <= 1).all()
    apart = abs(shifts[:, None] - shifts[None]).max(axis=2)[~np.eye(3, dtype=bool)]
    assert apart.min() > 4


def test_unrelated_images_are_not_reliable_and_equal_ones_are():
    scene = features(texture(bands=2))
    _, _, alike = correlate_features(scene, scene, 8)
    _, _, unlike = correlate_features(scene, features(texture(seed=5, bands=2)), 8)
    assert unlike < 6 < alike


def test_images_without_texture_still_have_one_shift():
    flat = np.zeros((1, 64, 64), np.float32)
    shifts, heights, reliability = correlate_features(flat, flat, 6)
    assert shifts.shape == (1, 2)
    assert heights.tolist() == [0.0]
    assert reliability == 0.0


def test_the_height_is_that_of_the_surface_whatever_the_scale():
    scene = features(texture())
    other = moved(scene, 1, 2) + 0.5 * features(texture(seed=3))
    _, _, one = correlate_features(scene, other, 8)
    _, _, scaled = correlate_features(1000 * scene, 1000 * other, 8)
    assert scaled == pytest.approx(one, rel=1e-3)


def all_valid(image):
    return np.ones(image.shape[1:], bool)


def test_a_shift_beyond_two_fifths_of_the_image_is_not_sought():
    scene = texture((60, 200), seed=4)
    found = estimate_shift(scene, moved(scene, 0, 40), all_valid(scene), all_valid(scene))
    assert max(abs(found.row_px), abs(found.column_px)) <= 25
    assert isinstance(found, Shift)


def test_sixty_pixels_are_sought_where_the_image_is_large_enough():
    scene = texture((180, 180), seed=6)
    usable = all_valid(scene)
    found = estimate_shift(scene, moved(scene, 60, 0), usable, usable)
    assert found.row_px == pytest.approx(-60, abs=0.1)
    narrow = estimate_shift(scene, moved(scene, 60, 0), usable, usable, max_shift_px=20)
    assert abs(narrow.row_px) <= 21


@pytest.mark.parametrize(
    ("shape", "windows"), [((32, 32), 1), ((96, 96), 25), ((64, 128), 21), ((300, 40), 8)]
)
def test_windows_cover_the_image_and_overlap_by_half(shape, windows):
    scene = texture(shape, seed=8)
    found = measure_residual(scene, scene, all_valid(scene), all_valid(scene))
    assert found.tie_points == windows
    assert found.length_px == pytest.approx(0, abs=0.02)
    assert found.spread_px == pytest.approx(0, abs=0.02)


def test_windows_need_both_images():
    scene = texture((96, 96), seed=9)
    left, right = all_valid(scene), all_valid(scene)
    left[:, :60], right[:, 36:] = False, False
    found = measure_residual(scene, scene, left, right)
    assert found.tie_points == 0
    assert np.isnan([found.row_px, found.column_px, found.spread_px]).all()


def test_nothing_alike_gives_no_tie_point():
    flat = np.full((1, 64, 64), 0.2, np.float32)
    found = measure_residual(flat, flat, all_valid(flat), all_valid(flat))
    assert found.tie_points == 0
    assert np.isnan([found.row_px, found.column_px, found.spread_px]).all()


def test_the_spread_is_that_between_the_quartiles():
    scene = texture((128, 256), seed=10)
    halves = np.concatenate([moved(scene, 0, 0)[:, :, :128], moved(scene, 2, 0)[:, :, 128:]], axis=2)
    found = measure_residual(scene, halves, all_valid(scene), all_valid(scene))
    assert found.spread_px == pytest.approx(2, abs=0.25)
