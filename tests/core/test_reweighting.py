"""What repeated fits share: whitening, rounding, and images of contrasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.alterations import altered

from changedet.core import reweighting
from changedet.core.mad import IrMadParameters, canonical_contrasts
from changedet.core.reweighting import contrast_images, fit_contrasts, rounded, weighted_bands, whitening
from changedet.errors import NoUsableImageryError


def solve(moments):
    return canonical_contrasts(moments, 4)


def test_whitened_bands_are_uncorrelated_and_have_variance_one():
    bands = np.random.default_rng(0).standard_normal((5, 5)) @ np.random.default_rng(1).random((5, 400))
    basis = whitening(np.cov(bands), bands.mean(axis=1))
    np.testing.assert_allclose(basis.T @ np.cov(bands) @ basis, np.eye(5), atol=1e-9)


def test_whitening_leaves_out_what_does_not_vary_or_repeats():
    rng = np.random.default_rng(0)
    bands = rng.random((3, 400))
    bands = np.vstack([bands, bands[0] + bands[1], np.full(400, 7.0)])
    basis = whitening(np.cov(bands), bands.mean(axis=1))
    assert basis.shape == (5, 3)
    np.testing.assert_array_equal(basis[4], 0)
    np.testing.assert_allclose(basis.T @ np.cov(bands) @ basis, np.eye(3), atol=1e-9)
    # a ridge makes repetitions differ again
    assert whitening(np.cov(bands), bands.mean(axis=1), 0.01).shape == (5, 4)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
def test_a_band_in_small_units_is_not_taken_as_constant(unit):
    bands = unit * np.random.default_rng(0).random((2, 400))
    assert whitening(np.cov(bands), bands.mean(axis=1)).shape == (2, 2)


def test_nothing_that_varies_is_refused():
    with pytest.raises(NoUsableImageryError, match="choose another date"):
        whitening(np.zeros((2, 2)), np.ones(2))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(-1, 1))
def test_rounding_hides_the_last_digits_and_nothing_more(numbers, wobble):
    numbers = np.array(numbers)
    found = rounded(numbers)
    assert np.abs(found - numbers).max() <= 1e-9 * max(np.abs(numbers).max(), 1e-300)
    np.testing.assert_allclose(rounded(found), found, rtol=1e-12)
    assert np.abs(rounded(numbers * (1 + 1e-14 * wobble)) - found).max() <= 1e-9 * np.abs(numbers).max()


def test_columns_are_rounded_each_for_itself():
    found = rounded(np.array([[1e6 / 3, 1e-6 / 3], [2e6 / 3, 0]]))
    np.testing.assert_allclose(found[0], [1e6 / 3, 1e-6 / 3], rtol=1e-8)
    assert (found[0] != [1e6 / 3, 1e-6 / 3]).all()


def test_images_are_the_contrasts_of_every_pixel_whatever_the_blocks(monkeypatch):
    before, after, valid = altered(0, size=90)
    contrasts = fit_contrasts(before, after, valid, solve, IrMadParameters()).contrasts
    chi_square, images = contrast_images(before, after, contrasts, keep=True)
    pixels = np.concatenate([before, after]).reshape(8, -1).T
    expected = np.array([contrasts.matrix @ (pixel - contrasts.mean) for pixel in pixels[:200]]).T
    np.testing.assert_allclose(images.reshape(4, -1)[:, :200], expected, atol=1e-4)
    np.testing.assert_allclose(
        chi_square.ravel()[:200], ((expected / contrasts.scale[:, None]) ** 2).sum(axis=0), rtol=1e-3
    )
    alone, none = contrast_images(before, after, contrasts)
    assert none.shape == (0, 90, 90)
    monkeypatch.setattr(
        reweighting, "row_blocks", lambda shape, _: [slice(i, i + 7) for i in range(0, shape[0], 7)]
    )
    for again in (alone, contrast_images(before, after, contrasts)[0]):
        assert again.tobytes() == chi_square.tobytes()


def test_rounds_end_by_tolerance_or_by_number():
    before, after, valid = altered(0)
    loose, usual, short = (
        fit_contrasts(before, after, valid, solve, parameters)
        for parameters in (
            IrMadParameters(tolerance=0.5),
            IrMadParameters(),
            IrMadParameters(iterations=2, tolerance=1e-6),
        )
    )
    assert (loose.iterations, loose.converged) == (1, True)
    assert (short.iterations, short.converged) == (2, False)
    assert usual.converged
    assert usual.iterations > 5


def test_bands_of_no_weight_are_taken_out_and_images_of_all_bands_are_not_copied():
    image = np.random.default_rng(0).random((3, 4, 5), np.float32)
    assert weighted_bands(image, (1.0, 0.5, 2.0)) is image
    np.testing.assert_array_equal(weighted_bands(image, (1.0, 0.0, 2.0)), image[[0, 2]])
