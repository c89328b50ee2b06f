"""Normalisation: the gain and offset that were put in come out, whatever else has happened."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from changedet.core.normalization import Normalization, apply_normalization, fit_normalization

BANDS = ("B02", "B04", "B08")
GAIN = np.array([0.8, 1.25, 1.6])
OFFSET = np.array([0.02, -0.01, 0.05])
NOISE = 0.004
SIZE = 160
EVERYWHERE = np.ones((SIZE, SIZE), bool)


def ground(seed=0, size=SIZE):
    """Reflectance of three bands that vary together and apart."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((size, size)), 2) for _ in range(4)]
    shared = fields[3] / fields[3].std()
    bands = [0.2 + 0.04 * shared + 0.03 * field / field.std() for field in fields[:3]]
    return np.stack(bands).astype(np.float32)


def dates(changed_share=0.0, noise=NOISE, gain=GAIN, offset=OFFSET, seed=0):
    """A before image, and an after image that `gain` and `offset` bring back to it."""
    rng = np.random.default_rng(seed + 1)
    truth = ground(seed)
    before, plain = (truth + rng.normal(0, noise, truth.shape) for _ in range(2))
    after = (plain - offset[:, None, None]) / gain[:, None, None]
    height = round(changed_share * SIZE)
    after[:, :height] = 0.5 * ground(seed + 50)[:, :height] + 0.3
    return before.astype(np.float32), after.astype(np.float32)


@pytest.mark.parametrize("changed_share", [0.0, 0.15, 0.3])
def test_known_gain_and_offset_come_out(changed_share):
    before, after = dates(changed_share)
    found = fit_normalization(before, after, EVERYWHERE, BANDS)
    assert found.bands == BANDS
    assert found.gain == pytest.approx(GAIN, rel=0.01)
    assert found.offset == pytest.approx(OFFSET, abs=0.003)


def test_the_matched_image_is_the_before_image_up_to_noise():
    before, after = dates(0.15)
    matched = apply_normalization(after, fit_normalization(before, after, EVERYWHERE, BANDS))
    unchanged = (matched - before)[:, round(0.15 * SIZE) :]
    assert unchanged.mean(axis=(1, 2)) == pytest.approx(0, abs=5e-4)
    assert unchanged.std(axis=(1, 2)) == pytest.approx(NOISE * np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_the_error_is_near_the_noise(noise):
    before, after = dates(0.15, noise=noise)
    found = fit_normalization(before, after, EVERYWHERE, BANDS)
    # the least surprising 60 % are counted, so the error lies below the noise of a difference
    for error in found.error:
        assert 0.5 * noise < error < 1.5 * noise
    assert found.invariant_share == pytest.approx(0.6, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.5, 2.0), offset=st.floats(-0.05, 0.05), seed=st.integers(0, 3))
def test_any_credible_line_is_found(gain, offset, seed):
    before, after = dates(0.1, gain=np.full(3, gain), offset=np.full(3, offset), seed=seed)
    found = fit_normalization(before, after, EVERYWHERE, BANDS)
    assert found.gain == pytest.approx([gain] * 3, rel=0.02)
    assert found.offset == pytest.approx([offset] * 3, abs=0.005)


def test_identical_images_need_nothing():
    image = ground()
    found = fit_normalization(image, image, EVERYWHERE, BANDS)
    assert found.gain == pytest.approx([1.0] * 3, abs=1e-6)
    assert found.offset == pytest.approx([0.0] * 3, abs=1e-6)
    assert found.error == pytest.approx([0.0] * 3, abs=1e-6)


def test_a_constant_band_gets_an_offset_and_spoils_no_other():
    before, after = dates()
    before[1], after[1] = 0.3, 0.25
    found = fit_normalization(before, after, EVERYWHERE, BANDS)
    assert found.gain[1] == 1.0
    assert found.offset[1] == pytest.approx(0.05, abs=1e-6)
    assert [found.gain[0], found.gain[2]] == pytest.approx([GAIN[0], GAIN[2]], rel=0.02)


def test_an_incredible_gain_is_not_believed():
    before, after = dates(gain=np.array([1.0, 5.0, 1.0]), offset=np.zeros(3))
    found = fit_normalization(before, after, EVERYWHERE, BANDS)
    assert found.gain[1] == 1.0
    assert found.gain[0] == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("pixels", [0, 1, 49])
def test_too_few_pixels_leave_the_image_alone(pixels):
    before, after = dates()
    valid = np.zeros((SIZE, SIZE), bool)
    valid.ravel()[:pixels] = True
    found = fit_normalization(before, after, valid, BANDS)
    assert (found.gain, found.offset, found.invariant_share) == ((1.0,) * 3, (0.0,) * 3, 0.0)
    assert np.isnan(found.error).all()
    np.testing.assert_array_equal(apply_normalization(after, found), np.maximum(after, 0))


def test_unusable_pixels_have_no_say():
    before, after = dates()
    valid = EVERYWHERE.copy()
    valid[40:90, 20:70] = False
    plain = fit_normalization(before, after, valid, BANDS)
    spoilt = np.where(valid, after, np.float32(np.nan))
    assert fit_normalization(before, spoilt, valid, BANDS) == plain


def test_the_seed_makes_it_repeatable_and_hardly_matters():
    big = np.tile(ground(size=300), (1, 1, 1))
    after = big * np.float32(0.8) + np.random.default_rng(0).normal(0, NOISE, big.shape).astype(np.float32)
    everywhere = np.ones((300, 300), bool)  # more pixels than the sample holds
    first, same, other = (fit_normalization(big, after, everywhere, BANDS, seed=s) for s in (0, 0, 1))
    assert first == same
    assert first != other
    assert first.gain == pytest.approx(other.gain, rel=0.005)


def test_the_result_is_clipped_at_zero_and_keeps_what_is_missing():
    after = np.array([[[0.1, 0.01, np.nan]], [[0.1, 0.2, 0.3]]], np.float32)
    line = Normalization(("B02", "B03"), (2.0, 1.0), (-0.1, 0.0), (0.01, 0.01), 0.6)
    result = apply_normalization(after, line)
    np.testing.assert_allclose(result, [[[0.1, 0.0, np.nan]], [[0.1, 0.2, 0.3]]], atol=1e-7)
    assert result.dtype == np.float32
    assert np.isnan(after[0, 0, 2])


def test_a_normalisation_survives_json():
    line = Normalization(("B02", "B03"), (2.0, 1.0), (-0.1, 0.0), (0.01, 0.02), 0.6)
    assert Normalization.from_dict(json.loads(json.dumps(line.to_dict()))) == line
    unknown = Normalization.from_dict({**line.to_dict(), "error_reflectance": [None, None]})
    assert np.isnan(unknown.error).all()
    with pytest.raises(KeyError):
        Normalization.from_dict({"bands": ["B02"]})


def test_the_image_may_be_written_over():
    before, after = np.random.default_rng(5).random((2, 2, 40, 40), np.float32)
    line = fit_normalization(before, after, np.ones((40, 40), bool), ("B03", "B04"))
    apart = apply_normalization(after, line)
    assert apply_normalization(after, line, out=after) is after
    np.testing.assert_array_equal(after, apart)
