"""MAD and IR-MAD: the equations of the papers, what they are invariant to, and what they cannot do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.core.alterations import PATCH, altered
from tests.core.slow import mad as slow

from changedet.core.covariance import weighted_moments
from changedet.core.mad import (
    IrMadParameters,
    MadParameters,
    canonical_contrasts,
    invariant_pixels,
    irmad,
    mad_score,
)
from changedet.errors import NoUsableImageryError

WEIGHTS = (1.0,) * 4
EVERY_PIXEL = {"sample": 0}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("iterations", [0, 1, 50])
def test_it_equals_the_equations_of_the_papers(seed, iterations):
    before, after, valid = altered(seed)
    variates, statistic, tail, correlations, made = slow.irmad(before, after, iterations)
    found = irmad(before, after, valid, MadParameters(iterations=iterations))
    assert found.iterations == made
    assert found.converged == (iterations != 1)
    np.testing.assert_allclose(found.correlations, correlations, atol=1e-6)
    np.testing.assert_allclose(found.chi_square, statistic, rtol=1e-4)
    np.testing.assert_allclose(found.invariance, tail, atol=1e-4)
    # the sign of a pair is a convention
    np.testing.assert_allclose(np.abs(found.variates), np.abs(variates.transpose(2, 0, 1)), atol=1e-4)


@pytest.mark.parametrize("iterations", [0, 50])
def test_one_pass_in_float32_over_every_pixel_finds_the_same(iterations):
    before, after, valid = altered(0)
    valid[:, -7:] = False
    whole = irmad(before, after, valid, MadParameters(iterations=iterations, **EVERY_PIXEL))
    sampled = irmad(before, after, valid, MadParameters(iterations=iterations))
    assert whole.iterations == sampled.iterations
    np.testing.assert_allclose(whole.chi_square[valid], sampled.chi_square[valid], rtol=1e-3)


def test_variates_are_uncorrelated_and_have_the_variance_that_the_correlation_says():
    before, after, valid = altered(3, change=0)
    found = irmad(before, after, valid, MadParameters())
    assert (np.diff(found.correlations) > 0).all()
    covariance = np.cov(found.variates.reshape(4, -1), ddof=0)
    np.testing.assert_allclose(covariance, np.diag(2 * (1 - found.correlations)), atol=1e-5)
    assert found.chi_square.mean() == pytest.approx(4, rel=1e-4)


def test_the_vectors_make_the_variates():
    before, after, valid = altered(1)
    found = irmad(before, after, valid)
    first = np.tensordot(found.before_vectors, before - found.before_mean[:, None, None], 1)
    second = np.tensordot(found.after_vectors, after - found.after_mean[:, None, None], 1)
    np.testing.assert_allclose(found.variates, first - second, atol=1e-4)
    squared = found.variates**2 / (2 - 2 * found.correlations)[:, None, None]
    np.testing.assert_allclose(found.chi_square, squared.sum(axis=0), rtol=1e-3)


def test_change_has_the_largest_statistic_and_rounds_set_it_apart():
    before, after, valid = altered(0, size=90)
    plain, iterated = irmad(before, after, valid, MadParameters()), irmad(before, after, valid)
    for found in (plain, iterated):
        rest = np.ma.masked_array(found.chi_square, np.zeros_like(valid))
        rest[PATCH] = np.ma.masked
        assert found.chi_square[PATCH].min() > rest.max()
    assert iterated.chi_square[PATCH].min() > 2 * plain.chi_square[PATCH].max()
    assert iterated.correlations.min() > plain.correlations.min()


@settings(max_examples=25, deadline=None)
@given(
    matrix=arrays(np.float64, (4, 4), elements=st.floats(-1, 1)),
    offset=arrays(np.float64, 4, elements=st.floats(-5, 5)),
    on_after=st.booleans(),
    iterations=st.sampled_from([0, 2]),
)
def test_an_invertible_combination_of_the_bands_of_a_date_does_not_matter(
    matrix, offset, on_after, iterations
):
    before, after, valid = altered(2)
    # far enough from a matrix without an inverse for float32
    left, values, right = np.linalg.svd(matrix)
    matrix = left @ np.diag(np.clip(values, 0.2, 3)) @ right
    date = after if on_after else before
    mixed = (np.tensordot(matrix, date, 1) + offset[:, None, None]).astype(np.float32)
    parameters = MadParameters(iterations=iterations)
    plain = irmad(before, after, valid, parameters)
    other = irmad(*((before, mixed) if on_after else (mixed, after)), valid, parameters)
    np.testing.assert_allclose(other.correlations, plain.correlations, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(other.chi_square), np.sqrt(plain.chi_square), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_unit_does_not_matter_with_a_ridge_either(scale):
    before, after, valid = altered(2)
    parameters = MadParameters(ridge=0.01)
    plain = irmad(before, after, valid, parameters)
    gains = np.float32([scale, 1, 1 / scale, 3])[:, None, None]
    np.testing.assert_allclose(
        irmad(gains * before, after, valid, parameters).chi_square, plain.chi_square, rtol=1e-3
    )


def test_a_ridge_is_weaker_and_still_standardises():
    before, after, valid = altered(2, change=0)
    plain = irmad(before, after, valid, MadParameters())
    found = irmad(before, after, valid, MadParameters(ridge=0.05))
    assert found.correlations.max() < plain.correlations.max()
    assert found.chi_square.mean() == pytest.approx(4, rel=1e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), iterations=st.sampled_from([0, 3]))
def test_swapping_the_dates_swaps_vectors_and_nothing_else(seed, iterations):
    before, after, valid = altered(seed)
    parameters = MadParameters(iterations=iterations)
    there, back = irmad(before, after, valid, parameters), irmad(after, before, valid, parameters)
    np.testing.assert_allclose(back.chi_square, there.chi_square, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.abs(back.before_vectors), np.abs(there.after_vectors), rtol=1e-4, atol=1e-4)


def test_the_sign_of_a_pair_is_one_that_most_bands_share():
    before, after, valid = altered(4)
    found = irmad(before, after, valid, MadParameters())
    first = np.tensordot(found.before_vectors, before - found.before_mean[:, None, None], 1)
    for variate in first:
        shared = [np.corrcoef(variate.ravel(), band.ravel())[0, 1] for band in before]
        assert sum(shared) > 0


@pytest.mark.parametrize("sample", [0, 50_000])
def test_unusable_pixels_have_no_influence_and_no_result(sample):
    before, after, valid = altered(0)
    valid[20:30, 5:25] = False
    parameters = IrMadParameters(sample=sample)
    plain = irmad(before, after, valid, parameters)
    for rubbish in (np.nan, np.inf, 1e30):
        spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
        found = irmad(*spoilt, valid, parameters)
        np.testing.assert_array_equal(found.chi_square, plain.chi_square)
        np.testing.assert_array_equal(found.variates, plain.variates)
    for image in (plain.chi_square, plain.invariance, *plain.variates):
        assert image.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(image), ~valid)
    assert not invariant_pixels(plain, 0.0)[~valid].any()


def test_dates_may_have_different_bands_and_the_smaller_number_counts():
    before, after, valid = altered(0, bands=5)
    found = irmad(before, after[:3], valid)
    assert found.variates.shape == (3, *valid.shape)
    assert found.before_vectors.shape == (3, 5)
    assert found.after_vectors.shape == (3, 3)


@pytest.mark.parametrize("iterations", [0, 3])
@pytest.mark.parametrize("sample", [0, 50_000])
def test_constant_and_collinear_bands_drop_out(iterations, sample):
    before, after, valid = altered(0)
    parameters = MadParameters(iterations=iterations, sample=sample)
    plain = irmad(before, after, valid, parameters)
    constant = np.full_like(before[:1], 0.3)
    repeated = (2 * before[:1] - before[1:2] + 0.1).astype(np.float32)
    found = irmad(np.concatenate([before, constant, repeated]), after, valid, parameters)
    assert len(found.correlations) == 4
    np.testing.assert_array_equal(found.before_vectors[:, 4], 0)
    np.testing.assert_allclose(found.correlations, plain.correlations, atol=1e-3)
    np.testing.assert_allclose(np.sqrt(found.chi_square), np.sqrt(plain.chi_square), rtol=0.02, atol=0.02)


def test_the_same_image_twice_is_unaltered_everywhere():
    before, _, valid = altered(0)
    for after in (before, np.float32(0.7) * before + np.float32(0.02)):
        found = irmad(before, after, valid)
        np.testing.assert_allclose(found.correlations, 1, atol=1e-8)
        assert invariant_pixels(found, 0.99).all()


def test_a_date_that_does_not_vary_is_refused():
    before, after, valid = altered(0)
    flat = np.full_like(before, 0.2)
    for images in ((flat, after), (before, flat)):
        with pytest.raises(NoUsableImageryError, match=r"one of the dates is the same everywhere; look at"):
            irmad(*images, valid)


def test_too_few_pixels_are_refused_and_just_enough_are_not():
    before, after, valid = altered(0)
    few = np.zeros_like(valid)
    few.flat[:80] = True
    assert np.isfinite(irmad(before, after, few, MadParameters()).chi_square[few]).all()
    few.flat[79] = False
    with pytest.raises(NoUsableImageryError, match=r"79 usable pixels are too few for 8 bands .*; 80 are"):
        irmad(before, after, few)
    with pytest.raises(NoUsableImageryError, match="cva"):
        mad_score(before, after, few, WEIGHTS)


def test_rounds_end_before_hardly_a_pixel_has_weight():
    rng = np.random.default_rng(0)
    before, after = rng.standard_normal((2, 4, 30, 30)).astype(np.float32)
    after[0] = before[0] * np.float32(0.9)
    after += (rng.standard_cauchy((1, 30, 30)) * before).astype(np.float32)
    found = irmad(before, after, np.ones((30, 30), bool))
    assert not found.converged
    assert found.iterations < 50
    assert found.invariance.sum() < 80
    # one round less, and there was weight enough for the fit that was kept
    previous = irmad(
        before, after, np.ones((30, 30), bool), MadParameters(iterations=max(found.iterations - 1, 0))
    )
    assert previous.invariance.sum() >= 80


def test_invariant_pixels_are_those_of_largest_tail():
    before, after, valid = altered(0, size=120)
    found = irmad(before, after, valid)
    stable = invariant_pixels(found)
    assert not stable[PATCH].any()
    assert 0.002 < stable.mean() < 0.05
    assert found.invariance[stable].min() >= 0.95
    assert invariant_pixels(found, 0.5).sum() > stable.sum()
    with pytest.raises(ValueError, match=r"at_least must lie in 0\.\.1, not 95"):
        invariant_pixels(found, 95)


def test_the_score_is_the_root_mean_square_of_standardised_variates():
    before, after, valid = altered(0)
    valid[3, 3] = False
    for parameters in (MadParameters(smoothing_px=()), IrMadParameters(smoothing_px=())):
        score = mad_score(before, after, valid, WEIGHTS, parameters)
        expected = np.sqrt(irmad(before, after, valid, parameters).chi_square / 4)
        np.testing.assert_allclose(score, expected, rtol=1e-6)


def test_bands_without_weight_are_left_out_and_other_weights_are_alike():
    before, after, valid = altered(0)
    score = mad_score(before, after, valid, (1.0, 0.0, 0.2, 3.0))
    kept = [0, 2, 3]
    np.testing.assert_array_equal(score, mad_score(before[kept], after[kept], valid, (1.0,) * 3))


def test_the_sample_is_repeatable_and_its_size_is_kept():
    before, after, valid = altered(0, size=150)
    first, same, other = (
        mad_score(before, after, valid, WEIGHTS, IrMadParameters(sample=4000, seed=seed))
        for seed in (0, 0, 1)
    )
    assert first.tobytes() == same.tobytes()
    assert (first != other).any()
    np.testing.assert_allclose(first, other, rtol=0.2, atol=0.2)
    # a sample too small for the bands is made large enough
    assert np.isfinite(mad_score(before, after, valid, WEIGHTS, MadParameters(sample=5))).all()


def test_contrasts_follow_from_moments_alone():
    before, after, valid = altered(1)
    moments = weighted_moments((before.astype(float), after.astype(float)))
    contrasts = canonical_contrasts(moments, 4)
    found = irmad(before, after, valid, MadParameters())
    np.testing.assert_allclose(contrasts.spectrum, found.correlations, atol=1e-8)
    np.testing.assert_allclose(contrasts.scale, np.sqrt(2 - 2 * found.correlations), rtol=1e-6)
    np.testing.assert_allclose(contrasts.matrix[:, 4:], -found.after_vectors, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"iterations": -1}, "iterations and sample must not be negative"),
        ({"sample": -1}, "iterations and sample must not be negative"),
        ({"tolerance": 0}, "the tolerance must be positive"),
        ({"tolerance": float("nan")}, "the tolerance must be positive"),
        ({"ridge": 1.1}, r"ridge must lie in 0\.\.1"),
        ({"ridge": -0.1}, r"ridge must lie in 0\.\.1"),
    ],
)
def test_impossible_parameters_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        MadParameters(**wrong)


def test_grids_must_agree():
    before, after, valid = altered(0)
    for arguments in ((before, after[:, 1:], valid), (before, after, valid[1:])):
        with pytest.raises(ValueError, match="shapes disagree"):
            irmad(*arguments)


def test_parameters_describe_themselves():
    assert IrMadParameters().to_dict() == MadParameters(iterations=50).to_dict()
    assert MadParameters(smoothing_px=(2.0,), ridge=0.1).to_dict()["smoothing_px"] == [2.0]
