"""Clusters of windows against one pixel at a time, and what must leave them as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import pca_kmeans as slow

from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.pca_kmeans import PcaKmeansParameters, pca_kmeans_score

WEIGHTS = (1.0, 0.5)


def scene(seed=0, shape=(44, 50), gaps=0.03):
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.1, 0.3, (2, *shape))
    after = before + rng.normal(0, 0.03, before.shape)
    after[:, 10:22, 20:34] += 0.4
    return before.astype(np.float32), after.astype(np.float32), rng.random(shape) >= gaps


@pytest.mark.parametrize(("side", "components"), [(4, 3), (3, 2), (5, 6), (1, 1)])
def test_the_decision_is_that_of_one_pixel_at_a_time(side, components):
    before, after, valid = scene()
    length = cva_score(before, after, valid, WEIGHTS, CvaParameters(()))
    expected = slow.changed(length, side, components)
    score = pca_kmeans_score(before, after, valid, WEIGHTS, PcaKmeansParameters(side, components))
    decided = np.nan_to_num(score) > 1
    near = np.abs(np.nan_to_num(score) - 1) < 1e-4
    np.testing.assert_array_equal(decided[~near], expected[~near])
    assert 100 < expected.sum() < 400


def test_the_block_is_found_and_little_else():
    before, after, _ = scene(gaps=0)
    flagged = pca_kmeans_score(before, after, np.ones((44, 50), bool), WEIGHTS) > 1
    truth = np.zeros_like(flagged)
    truth[10:22, 20:34] = True
    assert (flagged & truth).sum() > 0.9 * truth.sum()
    assert (flagged & ~truth).sum() < 0.3 * truth.sum()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 20), gain=st.floats(0.3, 4), offset=st.floats(-0.5, 0.5))
def test_light_and_the_order_of_dates_do_not_matter(seed, gain, offset):
    before, after, valid = scene(seed)
    plain = pca_kmeans_score(before, after, valid, WEIGHTS)
    lit = pca_kmeans_score((gain * before + offset).astype(np.float32), after, valid, WEIGHTS)
    np.testing.assert_allclose(lit, plain, atol=5e-3)
    np.testing.assert_allclose(pca_kmeans_score(after, before, valid, WEIGHTS), plain, atol=5e-3)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e6])
def test_values_at_unusable_pixels_have_no_influence(rubbish):
    before, after, valid = scene()
    spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
    expected = pca_kmeans_score(before, after, valid, WEIGHTS)
    np.testing.assert_array_equal(pca_kmeans_score(*spoilt, valid, WEIGHTS), expected)
    np.testing.assert_array_equal(np.isnan(expected), ~valid)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 4), (9, 5)])
def test_tiny_images_and_equal_ones(shape):
    rng = np.random.default_rng(0)
    before, after = rng.random((2, 2, *shape), np.float32)
    valid = np.ones(shape, bool)
    assert np.isfinite(pca_kmeans_score(before, after, valid, WEIGHTS)).all()
    assert pca_kmeans_score(before, before, valid, WEIGHTS).max() < 1e-3
    assert np.isnan(pca_kmeans_score(before, after, ~valid, WEIGHTS)).all()


def test_a_sample_gives_almost_the_same_and_always_the_same():
    before, after, valid = scene(shape=(90, 90))
    whole = pca_kmeans_score(before, after, valid, WEIGHTS)
    some, again = (
        pca_kmeans_score(before, after, valid, WEIGHTS, PcaKmeansParameters(sample=150, seed=3))
        for _ in range(2)
    )
    np.testing.assert_array_equal(some, again)
    assert ((some > 1) == (whole > 1)).mean() > 0.97


@pytest.mark.parametrize("wrong", [{"block_px": 0}, {"components": 17}, {"components": 0}, {"sample": 1}])
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match="components at most its square"):
        PcaKmeansParameters(**wrong)
