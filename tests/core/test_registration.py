"""Registration: the sign, the sub-pixel truth, and the courage to say that a shift cannot be trusted."""

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.scenery import pair, real, usable

from changedet.core.registration import (
    RELIABILITY_LIMIT,
    Shift,
    edge_feature,
    estimate_shift,
    measure_residual,
)
from changedet.core.warping import shift_image

SIZE = 128
# (rows too far down, columns too far right) of the moving image's content
DISPLACED = [(0.0, 0.0), (0.25, -0.5), (-0.75, 0.25), (1.0, 2.5), (3.25, -2.5), (-6.75, 5.75), (0.5, 11.0)]


def moved(image, shift):
    return np.stack([shift_image(band, shift.row_px, shift.column_px) for band in image])


def measure(reference, moving, reference_valid=None, moving_valid=None):
    """The two passes a run makes: the global peak, then the windows on a trial correction."""
    reference_valid = usable(reference) if reference_valid is None else reference_valid
    moving_valid = usable(moving) if moving_valid is None else moving_valid
    shift = estimate_shift(reference, moving, reference_valid, moving_valid)
    trial = moved(np.where(moving_valid, moving, np.float32(np.nan)), shift)
    left = measure_residual(reference, trial, reference_valid, np.isfinite(trial).all(axis=0))
    return Shift(shift.row_px + left.row_px, shift.column_px + left.column_px, shift.reliability)


def blobs(seed, radius_px, count=9):
    """A mask of round clouds."""
    y, x = np.mgrid[:SIZE, :SIZE]
    centres = np.random.default_rng(seed).integers(0, SIZE, (count, 2))
    return np.any([np.hypot(y - r, x - c) < radius_px for r, c in centres], axis=0)


@pytest.mark.parametrize("displaced", DISPLACED)
def test_the_shift_brings_the_moving_content_back(displaced):
    reference, moving = pair(SIZE, *displaced)
    alone = estimate_shift(reference, moving, usable(reference), usable(moving))
    assert (alone.row_px, alone.column_px) == pytest.approx([-d for d in displaced], abs=0.15)
    refined = measure(reference, moving)
    assert (refined.row_px, refined.column_px) == pytest.approx([-d for d in displaced], abs=0.05)
    assert refined.reliability > 2 * RELIABILITY_LIMIT


@pytest.mark.parametrize("displaced", [(1.0, 2.5), (-0.75, 0.25)])
def test_applying_the_shift_lowers_the_difference(displaced):
    reference, moving = pair(SIZE, *displaced)
    corrected = moved(moving, measure(reference, moving))
    inner = np.isfinite(corrected).all(axis=0)
    assert inner.mean() > 0.9

    def rms(image):
        return np.sqrt(((image - reference)[:, inner] ** 2).mean())

    assert rms(corrected) < 0.5 * rms(moving)
    wrong_way = moved(moving, Shift(displaced[0], displaced[1], 0.0))
    both = inner & np.isfinite(wrong_way).all(axis=0)
    assert np.abs(wrong_way - reference)[:, both].mean() > np.abs(corrected - reference)[:, both].mean()


@settings(max_examples=6, deadline=None)
@given(rows=st.integers(-12, 12), columns=st.integers(-12, 12), seed=st.integers(0, 3))
def test_swapping_the_roles_flips_the_sign(rows, columns, seed):
    reference, moving = pair(64, rows / 4, columns / 4, seed)
    there = estimate_shift(reference, moving, usable(reference), usable(moving))
    back = estimate_shift(moving, reference, usable(moving), usable(reference))
    assert there.row_px == pytest.approx(-back.row_px, abs=0.021)
    assert there.column_px == pytest.approx(-back.column_px, abs=0.021)
    assert there.reliability == pytest.approx(back.reliability, rel=0.05)


def test_contrast_turned_round_in_half_the_image_does_not_matter():
    reference, moving = pair(SIZE, 1.25, -2.5)
    moving = moving.copy()
    moving[:, :, : SIZE // 2] = 0.4 - moving[:, :, : SIZE // 2]
    shift = measure(reference, moving)
    assert (shift.row_px, shift.column_px) == pytest.approx((-1.25, 2.5), abs=0.05)


def test_eight_per_cent_of_pasted_change_does_not_matter():
    reference, moving = pair(SIZE, 1.25, -2.5)
    other, _ = pair(SIZE, 0, 0, seed=50)
    moving = moving.copy()
    moving[:, 30:66, 50:86] = 0.25 + 2 * (other[:, 30:66, 50:86] - 0.2)
    shift = measure(reference, moving)
    assert (shift.row_px, shift.column_px) == pytest.approx((-1.25, 2.5), abs=0.05)


def test_masked_clouds_on_both_dates_do_not_matter():
    reference, moving = pair(SIZE, 1.25, -2.5)
    clear = ~blobs(1, 11), ~blobs(2, 13)
    assert 0.5 < (clear[0] & clear[1]).mean() < 0.85
    cloudy = [
        np.where(c, image, np.float32(0.7)) for c, image in zip(clear, (reference, moving), strict=True)
    ]
    shift = measure(cloudy[0], cloudy[1], *clear)
    assert (shift.row_px, shift.column_px) == pytest.approx((-1.25, 2.5), abs=0.07)


def test_what_stands_at_unusable_pixels_does_not_matter():
    reference, moving = pair(64, 1.25, -2.5)
    valid = ~blobs(1, 9)[:64, :64]
    found = [
        estimate_shift(np.where(valid, reference, np.float32(v)), moving, valid, usable(moving))
        for v in (np.nan, 0.0, 9.0)
    ]
    assert found[0] == found[1] == found[2]


def test_unrelated_images_are_not_reliable():
    for seed in range(4):
        reference, _ = pair(SIZE, 0, 0, seed=seed)
        _, moving = pair(SIZE, 0, 0, seed=seed + 20)
        shift = estimate_shift(reference, moving, usable(reference), usable(moving))
        left = measure_residual(reference, moving, usable(reference), usable(moving))
        assert shift.reliability < RELIABILITY_LIMIT or left.tie_points == 0


def test_images_without_content_are_not_an_error():
    textured, _ = pair(64, 0, 0)
    flat = np.full_like(textured, 0.3)
    for first, second in ((flat, textured), (textured, flat), (flat, flat)):
        shift = estimate_shift(first, second, usable(flat), usable(flat))
        assert shift.reliability == 0
        left = measure_residual(first, second, usable(flat), usable(flat))
        assert left.tie_points == 0


def test_without_usable_pixels_there_is_no_tie_point():
    reference, moving = pair(64, 0, 0)
    nothing = np.zeros((64, 64), bool)
    left = measure_residual(reference, moving, nothing, usable(moving))
    assert left.tie_points == 0
    assert np.isnan([left.row_px, left.column_px, left.spread_px]).all()
    assert estimate_shift(reference, moving, nothing, nothing).reliability == 0


@pytest.mark.parametrize("size", [40, 41, 57])
def test_small_images_register(size):
    reference, moving = pair(size, 1.0, -1.5)
    shift = estimate_shift(reference, moving, usable(reference), usable(moving))
    assert (shift.row_px, shift.column_px) == pytest.approx((-1.0, 1.5), abs=0.15)
    assert (
        measure_residual(reference, moved(moving, shift), usable(reference), usable(moving)).tie_points >= 0
    )


def test_an_oblong_image_keeps_rows_and_columns_apart():
    reference, moving = (image[:, 10:70] for image in pair(SIZE, 2.0, -3.0))
    shift = estimate_shift(reference, moving, usable(reference), usable(moving))
    assert (shift.row_px, shift.column_px) == pytest.approx((-2.0, 3.0), abs=0.15)


def test_the_search_stops_where_it_is_told_to():
    reference, moving = pair(SIZE, 0.0, 9.0)
    shift = estimate_shift(reference, moving, usable(reference), usable(moving), max_shift_px=5)
    assert max(abs(shift.row_px), abs(shift.column_px)) <= 6
    assert (
        shift.reliability < estimate_shift(reference, moving, usable(reference), usable(moving)).reliability
    )


@pytest.mark.parametrize("left", [0.75, 0.25])
def test_what_is_left_of_the_shift_is_measured(left):
    reference, moving = pair(SIZE, 0.0, left)
    residual = measure_residual(reference, moving, usable(reference), usable(moving))
    assert residual.length_px == pytest.approx(left, abs=0.05)
    assert residual.column_px == pytest.approx(-left, abs=0.05)
    assert residual.spread_px < 0.1
    assert residual.tie_points >= 9


def test_a_shift_that_varies_over_the_image_shows_in_the_spread():
    reference, left = pair(SIZE, 0.0, -1.0)
    _, right = pair(SIZE, 0.0, 1.0)
    torn = np.concatenate([left[:, :, : SIZE // 2], right[:, :, SIZE // 2 :]], axis=2)
    assert measure_residual(reference, torn, usable(torn), usable(torn)).spread_px > 1.0


def test_the_edge_feature_ignores_gain_offset_and_sign():
    image = pair(64, 0, 0)[0][0]
    feature = edge_feature(image, usable(image))
    assert feature.mean() == pytest.approx(0, abs=1e-4)
    assert np.abs(feature).max() > 1
    for other in (3 * image + 0.1, 1 - image):
        np.testing.assert_allclose(edge_feature(other, usable(image)), feature, atol=2e-3)


def test_the_edge_feature_is_silent_round_unusable_pixels():
    image = pair(64, 0, 0)[0][0]
    valid = usable(image)
    valid[30, 30] = False
    feature = edge_feature(np.where(valid, image, np.float32(np.nan)), valid)
    assert (feature[27:34, 27:34] == 0).all()
    assert (feature[:26] != 0).any()
    assert (edge_feature(image, np.zeros((64, 64), bool)) == 0).all()


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", ["r+0.00c+0.25", "r+0.00c+0.50", "r+0.00c-0.25", "r+0.25c+0.25"])
def test_known_shifts_of_a_real_image_are_found(name):
    folder = real("pandora2d", "T19KER", name)
    images = []
    for side in ("left", "right"):
        with rasterio.open(folder / f"{side}.tif") as source:
            images.append(source.read().astype(np.float32))
    rows, columns = (float(text) for text in name[1:].split("c"))
    shift = measure(*images)
    assert (shift.row_px, shift.column_px) == pytest.approx((-rows, -columns), abs=0.05)
    assert shift.reliability > 2 * RELIABILITY_LIMIT
