"""Slow features: the equations of the paper, what they are invariant to, and degenerate bands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.alterations import PATCH, altered
from tests.core.slow import slow_features as slow

from changedet.core.covariance import weighted_moments
from changedet.core.slow_features import IsfaParameters, SfaParameters, slow_contrasts, slow_feature_score
from changedet.errors import NoUsableImageryError

WEIGHTS = (1.0,) * 4


def score_of(before, after, valid, iterations=0, **parameters):
    return slow_feature_score(
        before,
        after,
        valid,
        (1.0,) * len(before),
        SfaParameters(iterations=iterations, smoothing_px=(), **parameters),
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("iterations", [0, 1, 50])
def test_it_equals_the_equations_of_the_paper(seed, iterations):
    before, after, valid = altered(seed)
    statistic, _, made = slow.isfa(before, after, iterations)
    assert iterations < 50 or 1 < made < 50
    expected = np.sqrt(statistic / 4)
    np.testing.assert_allclose(score_of(before, after, valid, iterations), expected, rtol=1e-4)
    np.testing.assert_allclose(score_of(before, after, valid, iterations, sample=0), expected, rtol=1e-3)


def test_without_rounds_it_is_the_mahalanobis_length_of_the_difference():
    before, after, valid = altered(0)
    first, second = (
        (image - image.mean(axis=(1, 2), keepdims=True)) / image.std(axis=(1, 2), keepdims=True)
        for image in (before.astype(float), after.astype(float))
    )
    change = (first - second).reshape(4, -1)
    squared = np.einsum("ap,ab,bp->p", change, np.linalg.inv(change @ change.T / change.shape[1]), change)
    np.testing.assert_allclose(
        score_of(before, after, valid).ravel(), np.sqrt(squared / 4), rtol=1e-4, atol=1e-5
    )


def test_features_have_variance_one_are_uncorrelated_and_the_slowest_is_first():
    before, after, valid = altered(1)
    contrasts = slow_contrasts(weighted_moments((before.astype(float), after.astype(float))))
    assert (np.diff(contrasts.spectrum) > 0).all()
    np.testing.assert_allclose(contrasts.scale, np.sqrt(contrasts.spectrum), rtol=1e-7)
    centred = np.concatenate([before, after]).reshape(8, -1) - contrasts.mean[:, None]
    difference = contrasts.matrix @ centred
    np.testing.assert_allclose(difference @ difference.T / valid.size, np.diag(contrasts.spectrum), atol=1e-6)
    first, second = contrasts.matrix[:, :4] @ centred[:4], -contrasts.matrix[:, 4:] @ centred[4:]
    same = (first @ first.T + second @ second.T) / (2 * valid.size)
    np.testing.assert_allclose(same, np.eye(4), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    gain=st.lists(st.floats(0.2, 5) | st.floats(1e3, 1e4), min_size=4, max_size=4),
    offset=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    on_after=st.booleans(),
    iterations=st.sampled_from([0, 2]),
)
def test_gain_and_offset_of_a_band_do_not_matter(gain, offset, on_after, iterations):
    before, after, valid = altered(2)
    plain = score_of(before, after, valid, iterations)
    gain, offset = (np.array(v, np.float32)[:, None, None] for v in (gain, offset))
    lit = (before, gain * after + offset) if on_after else (gain * before + offset, after)
    np.testing.assert_allclose(score_of(*lit, valid, iterations), plain, rtol=1e-2, atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), iterations=st.sampled_from([0, 3]))
def test_the_order_of_the_dates_does_not_matter(seed, iterations):
    before, after, valid = altered(seed)
    np.testing.assert_allclose(
        score_of(after, before, valid, iterations),
        score_of(before, after, valid, iterations),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("iterations", [0, 50])
def test_change_scores_highest(iterations):
    before, after, valid = altered(0, change=0.4)
    score = score_of(before, after, valid, iterations)
    rest = np.ma.masked_array(score, np.zeros_like(valid))
    rest[PATCH] = np.ma.masked
    assert np.median(score[PATCH]) > rest.max()


@pytest.mark.parametrize("sample", [0, 50_000])
def test_unusable_pixels_have_no_influence_and_no_score(sample):
    before, after, valid = altered(0)
    valid[20:30, 5:25] = False
    plain = score_of(before, after, valid, 5, sample=sample)
    for rubbish in (np.nan, np.inf, 1e30):
        spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
        np.testing.assert_array_equal(score_of(*spoilt, valid, 5, sample=sample), plain)
    np.testing.assert_array_equal(np.isnan(plain), ~valid)


@pytest.mark.parametrize("iterations", [0, 3])
def test_bands_that_are_constant_on_either_date_or_repeat_others_drop_out(iterations):
    before, after, valid = altered(0)
    plain = score_of(before, after, valid, iterations)
    noise = np.random.default_rng(0).random((1, 40, 40), np.float32)
    flat = np.full_like(noise, 0.3)
    for extra in ((flat, flat), (flat, noise), (noise, flat), (before[:1], after[:1])):
        more = [np.concatenate([image, one]) for image, one in zip((before, after), extra, strict=True)]
        np.testing.assert_allclose(score_of(*more, valid, iterations), plain, rtol=1e-2, atol=1e-3)


def test_images_without_a_band_that_varies_on_both_dates_are_refused():
    before, after, valid = altered(0)
    with pytest.raises(NoUsableImageryError, match="one of the dates is the same everywhere"):
        score_of(before, np.zeros_like(after), valid)


def test_too_few_pixels_are_refused_and_none_are_not():
    before, after, valid = altered(0)
    few = np.zeros_like(valid)
    assert np.isnan(score_of(before, after, few)).all()
    few.flat[:79] = True
    with pytest.raises(NoUsableImageryError, match=r"79 usable pixels .*; take a larger area"):
        score_of(before, after, few)


def test_the_same_image_twice_is_unaltered_everywhere():
    before, _, valid = altered(0)
    assert score_of(before, before, valid, 50).max() < 0.05
    assert score_of(before, np.float32(0.7) * before + np.float32(0.02), valid, 50).max() < 0.1


def test_bands_without_weight_are_left_out_and_other_weights_are_alike():
    before, after, valid = altered(0)
    score = slow_feature_score(before, after, valid, (0.0, 1.0, 0.2, 3.0), IsfaParameters())
    expected = slow_feature_score(before[1:], after[1:], valid, (1.0,) * 3, IsfaParameters())
    np.testing.assert_array_equal(score, expected)


def test_shapes_and_parameters_are_checked():
    before, after, valid = altered(0)
    with pytest.raises(ValueError, match="shapes disagree"):
        slow_feature_score(before, after[:3], valid, WEIGHTS)
    with pytest.raises(ValueError, match="iterations and sample must not be negative"):
        IsfaParameters(iterations=-1)
    assert IsfaParameters().to_dict() == SfaParameters(iterations=50).to_dict()
