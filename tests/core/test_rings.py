"""What the ground round a pixel does not predict of it: against plain loops, and what leaves it as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.core.slow import rings as slow

from changedet.core import box_sums, rings
from changedet.core.box_sums import RingSums, with_margin
from changedet.core.rings import RADII_PX, RingParameters, ring_score, ring_surprise

WEIGHTS = (1.0, 0.3)
FEW = (0, 2, 5, 9)


def scene(seed=0, shape=(40, 52), bands=2):
    """Two dates of textured ground that differ by a gain and noise, with a new bright patch."""
    rng = np.random.default_rng(seed)
    before = 0.2 + 0.05 * np.stack(
        [ndimage.gaussian_filter(rng.standard_normal(shape), 1) for _ in range(bands)]
    )
    after = 0.8 * before + rng.normal(0, 0.004, before.shape)
    after[:, shape[0] // 2 : shape[0] // 2 + 3, shape[1] // 2 : shape[1] // 2 + 3] = 0.4
    valid = rng.random(shape) < 0.9
    return before.astype(np.float32), after.astype(np.float32), valid


@pytest.mark.parametrize("radii", [FEW, (1, 3, 4), (0, 14)])
def test_it_equals_loops_over_pixels(radii):
    before, after, valid = scene()
    found = ring_surprise(before, after, valid, WEIGHTS, radii)
    expected = slow.ring_surprise(before, after, valid, WEIGHTS, radii)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert found.dtype == np.float32


def test_rings_without_pixels_say_nothing():
    before, after, valid = scene(shape=(14, 12))
    valid[:9] = False
    valid[2, 3] = True  # alone
    found = ring_surprise(before, after, valid, WEIGHTS, (0, 2, 4, 30))
    np.testing.assert_allclose(
        found, slow.ring_surprise(before, after, valid, WEIGHTS, (0, 2, 4, 30)), atol=1e-4, rtol=1e-4
    )
    alone = np.zeros_like(valid)
    alone[2, 3] = True
    assert ring_surprise(before, after, alone, WEIGHTS, FEW)[2, 3] == 0


def test_tiles_and_threads_leave_no_trace(monkeypatch):
    before, after, valid = scene(1, (70, 90))
    whole = ring_surprise(before, after, valid, WEIGHTS, FEW)
    monkeypatch.setattr(rings, "_TILE_PX", (32, 21))
    monkeypatch.setattr(box_sums, "_GROUP_ROWS", 5)
    cut = ring_surprise(before, after, valid, WEIGHTS, FEW)
    np.testing.assert_allclose(cut, whole, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(rings, "run_blocks", lambda work, blocks: [work(block) for block in blocks])
    np.testing.assert_array_equal(ring_surprise(before, after, valid, WEIGHTS, FEW), cut)


def test_dark_ground_beside_very_bright_ground_keeps_its_digits():
    rng = np.random.default_rng(0)
    before = rng.uniform(0.5, 1.0, (1, 60, 1500)).astype(np.float32)
    before[:, 20:50, 1400:1460] = rng.uniform(0.005, 0.01, (30, 60))
    after = (0.9 * before + rng.normal(0, 0.001, before.shape)).astype(np.float32)
    valid = np.ones(before.shape[1:], bool)
    band = rings._Band(before[0], after[0], valid, (0, 4, 8), (0.5, 0.5))
    found = np.empty((2, *valid.shape), np.float32)
    rings._residual_of_tile(band, found, rings._Place((slice(0, 60), slice(0, 1500)), True))
    part, inner = np.s_[10:60, 1385:1475], np.s_[18:32, 25:65]
    expected = slow.mean_residual(
        *(image[0][part].astype(float) for image in (before, after)), valid[part], (0, 4, 8)
    )
    np.testing.assert_allclose(found[0][part][inner], expected[inner], atol=2e-6)


@settings(max_examples=10, deadline=None)
@given(
    gains=st.lists(st.floats(0.2, 5.0), min_size=4, max_size=4),
    seed=st.integers(0, 5),
)
def test_a_gain_on_any_band_of_any_date_does_not_matter(gains, seed):
    before, after, valid = scene(seed)
    b, a = (np.array(g, np.float32)[:, None, None] for g in (gains[:2], gains[2:]))
    plain = ring_surprise(before, after, valid, WEIGHTS, FEW)
    np.testing.assert_allclose(ring_surprise(b * before, a * after, valid, WEIGHTS, FEW), plain, atol=2e-3)


def test_an_offset_does_matter():
    before, after, valid = scene()
    plain = ring_surprise(before, after, valid, WEIGHTS, FEW)
    assert np.nanmax(np.abs(ring_surprise(before, after + 0.2, valid, WEIGHTS, FEW) - plain)) > 0.5


def test_the_order_of_the_dates_does_not_matter():
    before, after, valid = scene()
    there, back = (ring_surprise(*pair, valid, WEIGHTS, FEW) for pair in ((before, after), (after, before)))
    np.testing.assert_array_equal(there, back)


def test_the_patch_stands_out():
    before, after, _ = scene(shape=(64, 64))
    score = ring_score(before, after, np.ones((64, 64), bool), WEIGHTS, RingParameters(FEW, (1.0,)))
    row, column = np.unravel_index(score.argmax(), score.shape)
    assert (row, column) in {(r, c) for r in (32, 33, 34) for c in (32, 33, 34)}
    assert score.max() > 5 * np.median(score)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e6])
def test_values_at_unusable_pixels_have_no_influence(rubbish):
    before, after, valid = scene()
    expected = ring_surprise(before, after, valid, WEIGHTS, FEW)
    spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
    np.testing.assert_array_equal(ring_surprise(*spoilt, valid, WEIGHTS, FEW), expected)
    np.testing.assert_array_equal(np.isnan(expected), ~valid)


def test_bands_of_one_value_or_of_none_are_harmless():
    before, after, valid = scene()
    for value in (0.0, 0.3):
        before[1] = after[1] = value
        assert np.isfinite(ring_surprise(before, after, valid, WEIGHTS, FEW)[valid]).all()
    same = ring_surprise(before, before, valid, WEIGHTS, FEW)
    assert np.nanmax(same) < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3)])
def test_tiny_images_are_judged(shape):
    image = np.full((2, *shape), 0.2, np.float32)
    assert np.isfinite(ring_surprise(image, image, np.ones(shape, bool), WEIGHTS, RADII_PX)).all()


def test_nothing_usable_is_not_an_error():
    before, after, valid = scene()
    assert np.isnan(ring_surprise(before, after, np.zeros_like(valid), WEIGHTS)).all()


def test_a_band_of_no_weight_is_left_out():
    before, after, valid = scene()
    one = ring_surprise(before[:1], after[:1], valid, (2.0,), FEW)
    np.testing.assert_array_equal(ring_surprise(before, after, valid, (1.0, 0.0), FEW), one)


@pytest.mark.parametrize("radii", [(), (3,), (-1, 4), (4, 4), (9, 2)])
def test_impossible_radii_are_refused(radii):
    before, after, valid = scene()
    with pytest.raises(ValueError, match="at least two, not negative and increasing"):
        ring_surprise(before, after, valid, WEIGHTS, radii)
    with pytest.raises(ValueError, match="at least two"):
        RingParameters(radii)


def test_shapes_must_agree():
    before, after, valid = scene()
    with pytest.raises(ValueError, match="shapes disagree"):
        ring_surprise(before, after[:1], valid, WEIGHTS)


def test_rings_are_squares_without_the_squares_before():
    rng = np.random.default_rng(0)
    plane, valid = rng.random((23, 31), np.float32), np.ones((23, 31), bool)
    cut = with_margin(plane, valid, (slice(2, 20), slice(4, 30)), 6)
    groups = RingSums([cut, 2 * cut], (1, 3, 6)).groups()
    for rows, rings_found in groups:
        for (inner, outer), ring in zip(((1, 3), (3, 6)), rings_found, strict=True):
            for row, column in ((0, 0), (rows.stop - rows.start - 1, 25)):
                at = (2 + rows.start + row, 4 + column)
                near = slow.pixels_of_ring(valid, *at, inner, outer)
                total = sum(float(plane[p]) for p in near)
                np.testing.assert_allclose(ring[:, row, column], [total, 2 * total], rtol=1e-5)
