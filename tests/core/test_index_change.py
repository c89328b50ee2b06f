"""Differences of indices and of texture against one pixel at a time, and what they must not mind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import index_change as slow

from changedet.core.index_change import (
    DIFFERENCE_INDICES,
    IndexParameters,
    TextureParameters,
    gradient_score,
    index_detector,
    index_score,
    texture_score,
)
from changedet.core.indices import baei, nbr
from changedet.core.optical import DETECTORS

NAMES = sorted(DIFFERENCE_INDICES)
RAW = IndexParameters(())
WEIGHTS = (1.0, 0.5, 0.0)


def scene(seed=0, bands=3, shape=(21, 27)):
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.05, 0.4, (bands, *shape))
    after = np.clip(before + rng.normal(0, 0.03, before.shape), 0.02, 1)
    after[:, 5:9, 6:12] = rng.uniform(0.3, 0.5, (bands, 1, 1))
    return before.astype(np.float32), after.astype(np.float32), rng.random(shape) < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_an_index_equals_its_formula_at_one_pixel_at_a_time(name):
    before, after, valid = scene(1, len(DIFFERENCE_INDICES[name].bands))
    found = index_score(name, before, after, valid, (1.0,) * len(before), RAW)
    np.testing.assert_allclose(found, slow.index_difference(name, before, after, valid), rtol=1e-3, atol=1e-4)
    smooth = index_detector(name)(before, after, valid, (1.0,) * len(before))
    assert np.nanstd(smooth) < np.nanstd(found)


def test_gradients_equal_those_of_one_pixel_at_a_time():
    before, after, valid = scene()
    found = gradient_score(before, after, valid, WEIGHTS, RAW)
    expected = slow.feature_difference(slow.gradient_length, before, after, valid, WEIGHTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [3, 7])
def test_textures_equal_those_of_one_pixel_at_a_time(side):
    before, after, valid = scene()
    found = texture_score(before, after, valid, WEIGHTS, TextureParameters(side, ()))
    expected = slow.feature_difference(
        lambda *at: slow.window_deviation(*at, side // 2), before, after, valid, WEIGHTS
    )
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 30),
    gain=st.floats(0.3, 3),
    offset=st.floats(-0.5, 0.5),
    score=st.sampled_from([gradient_score, texture_score]),
)
def test_light_does_not_change_edges_and_texture(seed, gain, offset, score):
    before, after, valid = scene(seed)
    plain = score(before, after, valid, WEIGHTS)
    lit = score(before, (gain * after + offset).astype(np.float32), valid, WEIGHTS)
    np.testing.assert_allclose(lit, plain, rtol=5e-3, atol=5e-3)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 30),
    gain=st.floats(0.5, 2),
    name=st.sampled_from(["ndvi", "ndbi", "bsi", "mndwi", "nbr"]),
)
def test_the_same_gain_on_all_bands_leaves_ratios_as_they_are(seed, gain, name):
    before, after, valid = scene(seed, len(DIFFERENCE_INDICES[name].bands))
    ones = (1.0,) * len(before)
    lit = index_score(name, before, np.float32(gain) * after, valid, ones, RAW)
    np.testing.assert_allclose(lit, index_score(name, before, after, valid, ones, RAW), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_dates_and_rubbish_where_nothing_is_usable_do_not_matter(name):
    before, after, valid = scene(2, len(DIFFERENCE_INDICES[name].bands))
    ones = (1.0,) * len(before)
    plain = index_score(name, before, after, valid, ones)
    np.testing.assert_allclose(index_score(name, after, before, valid, ones), plain, rtol=1e-4)
    for rubbish in (np.nan, np.inf):
        spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
        np.testing.assert_array_equal(index_score(name, *spoilt, valid, ones), plain)
    np.testing.assert_array_equal(np.isnan(plain), ~valid)


@pytest.mark.parametrize("score", [gradient_score, texture_score])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 2)])
def test_tiny_images_and_single_values(score, shape):
    before, after, _ = scene(0, 3, (5, 5))
    cut = np.s_[:, : shape[0], : shape[1]]
    assert np.isfinite(score(before[cut], after[cut], np.ones(shape, bool), WEIGHTS)).all()
    flat = np.full((3, *shape), 0.3, np.float32)
    assert (score(flat, flat, np.ones(shape, bool), WEIGHTS) == 0).all()
    assert np.isnan(score(flat, flat, np.zeros(shape, bool), WEIGHTS)).all()


def test_equal_images_and_nothing_usable():
    before, _, valid = scene(0, 2)
    assert np.nanmax(index_score("ndvi", before, before, valid, (1, 1))) == 0
    assert np.isnan(index_score("ndvi", before, before, np.zeros_like(valid), (1, 1))).all()


def test_what_cannot_be_is_refused():
    before, after, valid = scene()
    with pytest.raises(ValueError, match="ndvi takes the bands B04, B08, not 3"):
        index_score("ndvi", before, after, valid, WEIGHTS)
    with pytest.raises(KeyError):
        index_score("evi", before, after, valid, WEIGHTS)
    with pytest.raises(ValueError, match="odd number from 3 on"):
        TextureParameters(4)


def test_a_detector_takes_the_bands_it_needs_by_their_names():
    before, after, valid = scene(4)
    bands = ("B08", "B03", "B04")
    found = DETECTORS["ndvi-difference"].score((before, after), valid, bands, WEIGHTS, RAW)
    expected = index_score("ndvi", before[[2, 0]], after[[2, 0]], valid, (1.0, 1.0), RAW)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="bsi-difference needs B02, B11, and there is only B08, B03, B04"):
        DETECTORS["bsi-difference"].score((before, after), valid, bands, WEIGHTS)
    everything = DETECTORS["cva"].score((before, after), valid, bands, WEIGHTS)
    np.testing.assert_array_equal(everything, DETECTORS["cva"].function(before, after, valid, WEIGHTS))


def test_indices_of_known_ground():
    planes = {
        name: np.float32([value])
        for name, value in (("B03", 0.1), ("B04", 0.2), ("B08", 0.3), ("B11", 0.4), ("B12", 0.1))
    }
    np.testing.assert_allclose(baei(planes), [0.5 / 0.5], rtol=1e-6)
    np.testing.assert_allclose(nbr(planes), [0.2 / 0.4], rtol=1e-6)
    nothing = {name: np.zeros(1, np.float32) for name in planes}
    assert np.isfinite([baei(nothing), nbr(nothing)]).all()
