"""Tie points: the same as a plain loop, exact where the truth is known, silent where there is nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.pairs import CALM, made_up, make_pair, uniform

from changedet.core import planes
from changedet.core import tie_points as module
from changedet.core.tie_points import LEAST_VALID, TiePoints, match_windows, repetition, window_corners


def square(size, window_px, spacing_px=16):
    rows, columns = window_corners((size, size), window_px, spacing_px)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def one_window(reference, moving, weights, size):
    """Phase correlation of one window as the method is written down, in double precision."""
    axis = np.hanning(size + 2)[1:-1]
    spectra = []
    for image, weight in zip((reference, moving), weights, strict=True):
        taper = np.outer(axis, axis) * (1 if weight is None else weight)
        centred = image - (image * taper).sum() / taper.sum()
        spectra.append(np.fft.fft2(centred * taper))
    cross = spectra[0] * np.conj(spectra[1])
    # the mean that makes up the floor is taken over the half of the spectrum that real images need
    floor = 1e-3 * np.abs(cross[:, : size // 2 + 1]).mean()
    frequency = np.fft.fftfreq(size)
    soft = np.exp(-2 * np.pi**2 * (frequency[:, None] ** 2 + frequency**2))
    surface = np.fft.ifft2(cross / (np.abs(cross) + floor) * soft).real
    row, column = np.unravel_index(surface.argmax(), surface.shape)
    found = []
    for position, line in ((row, surface[:, column]), (column, surface[row])):
        low, top, high = np.log(np.maximum(np.roll(line, 1 - position)[:3], 1e-6 * line[position]))
        bend = low - 2 * top + high
        shift = (position + size // 2) % size - size // 2 + 0.5 * (low - high) / bend
        found.append(shift * (1 - 1 / bend / (3 * size**2 / (4 * np.pi**2))))
    return (*found, surface[row, column] / surface.std())


@pytest.fixture(scope="module")
def shifted():
    return make_pair(made_up((160, 160), 1, bands=2), uniform((160, 160), 1.3, -2.45), 1, CALM)


@pytest.mark.parametrize("size", [16, 24, 32, 64])
def test_windows_give_what_a_plain_loop_gives(shifted, size):
    corners = square(160, size, 24)
    found = match_windows(shifted.reference[:1], shifted.moving[:1], corners, 0 * corners, size)
    plain = np.array(
        [
            one_window(*(image[0, r : r + size, c : c + size] for image in images), (None, None), size)
            for images in [(shifted.reference, shifted.moving)]
            for r, c in corners
        ]
    )
    sure = found.usable
    assert sure.mean() > (0.9 if size > 24 else 0.3)
    np.testing.assert_allclose(found.row_px[sure], plain[sure, 0], atol=2e-3)
    np.testing.assert_allclose(found.column_px[sure], plain[sure, 1], atol=2e-3)
    np.testing.assert_allclose(found.quality, plain[:, 2], rtol=1e-3)


def test_many_windows_give_what_each_alone_gives(shifted):
    corners = square(160, 32, 3)
    assert len(corners) > 2**18 // 32**2, "more than are matched together"
    every = match_windows(shifted.reference, shifted.moving, corners, 0 * corners, 32)
    for index in (0, 300, len(corners) - 1):
        here = corners[index : index + 1]
        alone = match_windows(shifted.reference, shifted.moving, here, 0 * here, 32)
        assert alone.row_px[0] == pytest.approx(every.row_px[index], abs=1e-4)
        assert alone.quality[0] == pytest.approx(every.quality[index], rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    row=st.floats(-3, 3),
    column=st.floats(-3, 3),
    seed=st.integers(0, 4),
    size=st.sampled_from([32, 48, 64]),
)
def test_the_shift_is_found_wherever_between_pixels_it_lies(row, column, seed, size):
    pair = make_pair(made_up((128, 128), seed), uniform((128, 128), row, column), seed, CALM)
    corners = square(128, size)
    found = match_windows(pair.reference, pair.moving, corners, 0 * corners, size)
    good = found.usable
    assert good.mean() > 0.9
    # what is left of the pull of the taper grows with the shift: this is why what is known of it is given
    assert np.median(found.row_px[good]) == pytest.approx(row, abs=0.02 + 0.025 * abs(row))
    assert np.median(found.column_px[good]) == pytest.approx(column, abs=0.02 + 0.025 * abs(column))


def test_what_is_known_of_the_shift_is_added():
    pair = make_pair(made_up((160, 160), 2), uniform((160, 160), 20.3, -17.6), 2, CALM)
    corners = np.array([[64, 40], [80, 20], [100, 60]])
    offsets = np.array([[20, -18], [19, -17], [21, -20]])
    found = match_windows(pair.reference, pair.moving, corners, offsets, 48)
    assert found.usable.all()
    np.testing.assert_allclose(found.row_px, 20.3, atol=0.1)
    np.testing.assert_allclose(found.column_px, -17.6, atol=0.1)
    np.testing.assert_array_equal(found.row, corners[:, 0] + 23.5)


@pytest.mark.parametrize(
    ("corner", "offset"), [((-1, 0), (0, 0)), ((97, 0), (0, 0)), ((50, 50), (51, 0)), ((0, 0), (0, 1))]
)
def test_a_window_that_leaves_an_image_says_nothing(shifted, corner, offset):
    corners, offsets = np.array([corner, (40, 40)]), np.array([offset, (0, 0)])
    found = match_windows(shifted.reference, shifted.moving, corners, offsets, 64)
    assert np.isnan(found.row_px[0])
    assert np.isnan(found.column_px[0])
    assert found.quality[0] == 0
    np.testing.assert_array_equal(found.usable, [False, True])


def test_no_window_is_an_answer_too(shifted):
    nothing = np.empty((0, 2), np.intp)
    found = match_windows(shifted.reference, shifted.moving, nothing, nothing, 32)
    assert isinstance(found, TiePoints)
    assert len(found) == 0


def test_integers_and_floats_give_the_same(shifted):
    corners = square(160, 32)
    numbers = [np.rint(image).astype(np.uint16) for image in (shifted.reference, shifted.moving)]
    whole = match_windows(*numbers, corners, 0 * corners, 32)
    real = match_windows(*(image.astype(np.float32) for image in numbers), corners, 0 * corners, 32)
    np.testing.assert_array_equal(whole.row_px, real.row_px)


def test_neither_the_unit_nor_the_offset_matters(shifted):
    corners = square(160, 32)
    plain = match_windows(shifted.reference, shifted.moving, corners, 0 * corners, 32)
    scaled = match_windows(
        shifted.reference * np.float32(1e-4), 3 * shifted.moving + np.float32(200), corners, 0 * corners, 32
    )
    both = plain.usable & scaled.usable
    assert both.mean() > 0.9
    np.testing.assert_allclose(plain.row_px[both], scaled.row_px[both], atol=0.01)


def test_two_bands_are_better_than_one():
    pair = make_pair(made_up((192, 192), 5, bands=3), uniform((192, 192), 0.4, 0.7), 5)
    corners = square(192, 32)

    def spread(bands):
        found = match_windows(pair.reference[:bands], pair.moving[:bands], corners, 0 * corners, 32)
        return np.median(np.hypot(found.row_px - 0.4, found.column_px - 0.7))

    assert spread(3) < 0.9 * spread(1)


def test_swapped_images_give_the_opposite_shift(shifted):
    corners = square(160, 48)
    there = match_windows(shifted.reference, shifted.moving, corners, 0 * corners, 48)
    back = match_windows(shifted.moving, shifted.reference, corners, 0 * corners, 48)
    both = there.usable & back.usable
    np.testing.assert_allclose(there.row_px[both], -back.row_px[both], atol=2e-3)


def test_what_is_masked_does_not_count(shifted):
    valid = np.ones((160, 160), bool)
    valid[60:80] = False
    spoilt = shifted.moving.copy()
    spoilt[:, 60:80] = 9000
    corners = square(160, 48)
    clean = match_windows(shifted.reference, spoilt, corners, 0 * corners, 48, moving_valid=valid)
    blind = match_windows(shifted.reference, spoilt, corners, 0 * corners, 48)
    touched = (corners[:, 0] < 80) & (corners[:, 0] + 48 > 60) & clean.usable
    assert touched.sum() > 10
    assert np.median(abs(clean.row_px[touched] - 1.3)) < 0.1
    assert (blind.quality[touched] < clean.quality[touched]).mean() > 0.8


def test_the_edge_of_a_mask_is_not_matched_itself():
    """Both masks have the same edge; the ground has moved below them."""
    pair = make_pair(made_up((128, 128), 3), uniform((128, 128), 3.0, 0.0), 3, CALM)
    valid = np.ones((128, 128), bool)
    valid[::, 60:75] = False
    corners = square(128, 64)
    images = [np.where(valid, image, np.float32(0)) for image in (pair.reference, pair.moving)]
    found = match_windows(*images, corners, 0 * corners, 64, reference_valid=valid, moving_valid=valid)
    assert found.usable.all()
    np.testing.assert_allclose(found.row_px, 3.0, atol=0.15)


@pytest.mark.parametrize("side", ["reference_valid", "moving_valid"])
def test_a_window_needs_enough_usable_pixels(shifted, side):
    valid = np.ones((160, 160), bool)
    valid[:80] = False
    corners = np.array([[r, 40] for r in range(0, 97, 4)])
    found = match_windows(shifted.reference, shifted.moving, corners, 0 * corners, 64, **{side: valid})
    share = np.array([valid[r : r + 64].mean() for r, _ in corners])
    assert not found.usable[share < LEAST_VALID].any()
    # up to five pixels at the edge of a mask are left out as well
    assert found.usable[share > LEAST_VALID + 5 / 64].all()
    assert (found.quality[share < LEAST_VALID] == 0).all()


@pytest.mark.parametrize("flat", ["reference", "moving", "both"])
def test_nothing_to_see_says_nothing(shifted, flat):
    level = np.full((1, 160, 160), 700, np.float32)
    images = [
        level if flat in (name, "both") else getattr(shifted, name)[:1] for name in ("reference", "moving")
    ]
    corners = square(160, 32)
    found = match_windows(*images, corners, 0 * corners, 32)
    assert not found.usable.any()


def test_unrelated_windows_are_rarely_usable():
    rng = np.random.default_rng(0)
    images = [rng.normal(800, 50, (1, 256, 256)).astype(np.float32) for _ in range(2)]
    corners = square(256, 32)
    found = match_windows(*images, corners, 0 * corners, 32)
    # of a thousand samples of noise the highest is three to four deviations out
    assert found.usable.mean() < 0.15


def test_arguments_stay_as_they_are(shifted):
    before = shifted.reference.copy(), shifted.moving.copy()
    corners = square(160, 32)
    match_windows(shifted.reference, shifted.moving, corners, 0 * corners, 32)
    np.testing.assert_array_equal(before[0], shifted.reference)
    np.testing.assert_array_equal(before[1], shifted.moving)


@given(
    shape=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    window_px=st.integers(2, 80),
    spacing_px=st.floats(1, 100),
    margin_px=st.integers(0, 20),
)
def test_windows_cover_an_image_evenly(shape, window_px, spacing_px, margin_px):
    for length, starts in zip(shape, window_corners(shape, window_px, spacing_px, margin_px), strict=True):
        room = length - window_px - 2 * margin_px
        if room < 0:
            assert len(starts) == 0
            continue
        assert starts[0] == margin_px
        assert (starts + window_px <= length - margin_px).all()
        steps = np.diff(starts)
        if len(steps):
            assert steps.max() - steps.min() <= 1
            assert starts[-1] == margin_px + room
            assert steps.mean() == pytest.approx(room / max(1, round(room / spacing_px)))


def test_common_ground_does_not_repeat_itself():
    image = make_pair(made_up((200, 200), 4), uniform((200, 200), 0, 0), 4, CALM).reference[0]
    found = repetition(image, square(200, 64, 32), 64)
    assert np.median(found) < 0.45
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("period_px", [6, 9, 14, 20])
def test_rows_repeat_themselves(period_px):
    rows = np.sin(2 * np.pi * np.arange(200) / period_px)[:, None] + np.zeros(200)
    image = (900 + 200 * rows + np.random.default_rng(0).normal(0, 10, (200, 200))).astype(np.float32)
    assert repetition(image, square(200, 64, 32), 64).min() > 0.8


def test_a_lone_edge_repeats_itself_along_its_line():
    image = np.full((96, 96), 500, np.float32)
    image[48:] = 1500
    corner = np.array([[16, 16]])
    assert repetition(image, corner, 64)[0] > 0.8
    image[:, 48:] += 1000
    assert repetition(image, corner, 64)[0] < 1.0


def test_repetition_of_nothing_is_a_number():
    found = repetition(np.full((64, 64), 700, np.uint16), np.array([[0, 0]]), 48)
    assert np.isfinite(found).all()
    assert len(repetition(np.zeros((64, 64), np.float32), np.empty((0, 2), np.intp), 48)) == 0


def test_weights_of_a_mask_do_not_depend_on_tiles(monkeypatch):
    valid = np.random.default_rng(5).random((90, 130)) > 0.004
    valid[:3, 20:60] = valid[40:60, -9:] = False
    whole = module._soft(valid)
    monkeypatch.setattr(planes, "_TILE_BYTES", 4 * 4 * 17 * 17)
    assert (module._soft(valid) == whole).all()
    assert set(np.unique(whole)) >= {0, 25}
    assert not whole[~valid].any()
