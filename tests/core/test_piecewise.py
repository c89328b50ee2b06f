"""Sums of bent lines: exact where the truth is one, and not bent by a minority."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.piecewise import fit_piecewise

PLAIN = SimpleNamespace(trim=1.0, ridge=0.0)
TRIMMED = SimpleNamespace(trim=0.85, ridge=1e-6)


def as_image(pixels):
    return pixels[:, None].astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3))
def test_a_sum_of_bent_lines_is_found_exactly(seed, bands, targets):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (bands, 500))
    knots = np.quantile(x, (0.3, 0.7), axis=1).T
    y = rng.standard_normal((targets, 1)) + sum(
        rng.standard_normal((targets, 1)) * piece
        for plane, bends in zip(x, knots, strict=True)
        for piece in (plane, np.maximum(plane - bends[0], 0), np.maximum(plane - bends[1], 0))
    )
    fit = fit_piecewise(x, y, (0.3, 0.7), PLAIN)
    np.testing.assert_allclose(fit.predict(as_image(x))[:, 0], y, atol=1e-4)


def test_without_knots_it_is_linear_regression():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 400)), rng.standard_normal((2, 400))
    fit = fit_piecewise(x, y, (), PLAIN)
    design = np.vstack([x, np.ones(400)]).T
    expected = design @ np.linalg.lstsq(design, y.T, rcond=None)[0]
    np.testing.assert_allclose(fit.predict(as_image(x))[:, 0], expected.T, atol=1e-5)


def test_a_tenth_that_changed_does_not_bend_it():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (1, 4000))
    y = 2 * x + rng.normal(0, 0.01, x.shape)
    y[:, :400] = 5
    error = fit_piecewise(x, y, (0.5,), TRIMMED).predict(as_image(x))[0, 0, 400:] - 2 * x[0, 400:]
    assert np.abs(error).max() < 0.02


def test_what_it_predicts_does_not_depend_on_the_shape_of_the_image():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 30_000))
    fit = fit_piecewise(x, x**2, (0.5,), TRIMMED)
    flat = fit.predict(as_image(x))
    square = fit.predict(x.reshape(2, 150, 200).astype(np.float32))
    np.testing.assert_array_equal(square.reshape(2, 1, -1), flat)


@pytest.mark.parametrize("quantiles", [(), (0.25, 0.5, 0.75)])
def test_a_constant_band_is_harmless(quantiles):
    x = np.vstack([np.full(300, 0.3), np.linspace(0, 1, 300)])
    fit = fit_piecewise(x, x[1:], quantiles, TRIMMED)
    np.testing.assert_allclose(fit.predict(as_image(x))[0, 0], x[1], atol=0.01)


def test_a_missing_value_stays_one():
    x = np.random.default_rng(3).standard_normal((2, 100))
    fit = fit_piecewise(x, x, (0.5,), TRIMMED)
    image = as_image(x)
    image[0, 0, 7] = np.nan
    assert np.isnan(fit.predict(image)[:, 0, 7]).all()
    assert np.isfinite(np.delete(fit.predict(image), 7, axis=2)).all()
