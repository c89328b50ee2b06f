"""Robust regressions of many series at one time, beside one series after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import timeseries as slow

from changedet.core.robust_fit import (
    biweight_scale,
    invert_symmetric,
    median_scale,
    robust_fit,
    sorted_median,
    term_pairs,
)

DAYS = np.arange(0.0, 730.0, 9.0)
DESIGN = np.array([slow.terms(day, 1, False, 0.0) for day in DAYS])


def noisy(pixels, seed, outliers=0.05, gaps=0.4):
    rng = np.random.default_rng(seed)
    values = DESIGN @ rng.uniform(-0.1, 0.2, (3, pixels)) + rng.normal(0, 0.02, (len(DAYS), pixels))
    values += (rng.random(values.shape) < outliers) * rng.uniform(0.2, 0.6, values.shape)
    values[rng.random(values.shape) < gaps] = np.nan
    return values.astype(np.float32).T.copy()


@pytest.mark.parametrize("rounds", [0, 30])
@pytest.mark.parametrize("gaps", [0.0, 0.6])
def test_each_pixel_gets_the_fit_it_would_get_alone(rounds, gaps):
    values = noisy(40, 1, gaps=gaps)
    found = robust_fit(values, np.isfinite(values), DESIGN, rounds)
    for pixel, series in enumerate(values):
        fitted, scale, inverse = slow.robust_fit(DESIGN, series, rounds)
        np.testing.assert_allclose(found.coefficient[:, pixel], fitted, atol=2e-4 * scale + 1e-6)
        assert found.scale[pixel] == pytest.approx(scale, rel=2e-3)
        pairs = [inverse[pair] for pair in term_pairs(3)]
        np.testing.assert_allclose(found.inverse[:, pixel], pairs, atol=2e-3 * np.abs(pairs).max())


@pytest.mark.parametrize("level", [0.0, 300.0, -15.0])
def test_least_squares_are_those_of_each_pixel_alone_whatever_the_level(level):
    values = noisy(60, 9) + np.float32(level)
    values[3] = np.nan
    values[4, 2:] = np.nan
    kept = values.copy()
    found = robust_fit(values, np.isfinite(values), DESIGN, 0)
    np.testing.assert_array_equal(values, kept)
    for pixel, series in enumerate(values):
        seen = np.isfinite(series)
        if pixel in (3, 4):
            assert np.isnan(found.coefficient[:, pixel]).all()
            continue
        alone = np.linalg.lstsq(DESIGN[seen], series[seen].astype(float), rcond=None)[0]
        np.testing.assert_allclose(found.coefficient[:, pixel], alone, atol=1e-5 + 3e-7 * abs(level))
        left = np.where(seen, series - DESIGN @ alone, 0)
        np.testing.assert_allclose(found.residual[pixel], left, atol=1e-5 + 3e-7 * abs(level))


def test_ten_rounds_are_near_enough():
    values = noisy(300, 2)
    few, many = (robust_fit(values, np.isfinite(values), DESIGN, rounds) for rounds in (10, 60))
    apart = np.abs(few.coefficient - many.coefficient) / many.scale
    assert np.quantile(apart, 0.99) < 0.01
    assert apart.max() < 0.2


def test_clouds_do_not_move_the_robust_fit_and_move_the_plain_one():
    rng = np.random.default_rng(3)
    truth = np.array([0.2, 0.05, -0.03])
    values = (DESIGN @ truth + rng.normal(0, 0.01, (200, len(DAYS)))).astype(np.float32)
    values[:, ::9] += 0.5
    seen = np.ones(values.shape, bool)
    robust, plain = (robust_fit(values, seen, DESIGN, rounds) for rounds in (10, 0))
    assert np.abs(robust.coefficient.mean(axis=1) - truth).max() < 5e-4
    assert robust.scale.mean() == pytest.approx(0.01, rel=0.1)
    assert plain.coefficient[0].mean() - truth[0] > 0.04
    assert plain.scale.mean() > 0.1


def test_residuals_are_what_is_left_and_nought_in_gaps():
    values = noisy(20, 4)
    seen = np.isfinite(values)
    found = robust_fit(values, seen, DESIGN, 10)
    expected = values - (DESIGN @ found.coefficient).T
    np.testing.assert_allclose(found.residual[seen], expected[seen], atol=1e-5)
    assert (found.residual[~seen] == 0).all()


@given(gain=st.floats(0.1, 10), offset=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_another_unit_changes_the_unit_only(gain, offset):
    values = noisy(5, 5)
    seen = np.isfinite(values)
    one, other = (
        robust_fit(v.astype(np.float32), seen, DESIGN, 10) for v in (values, gain * values + offset)
    )
    np.testing.assert_allclose(other.scale, gain * one.scale, rtol=0.02)
    shifted = gain * one.coefficient
    shifted[0] += offset
    np.testing.assert_allclose(other.coefficient, shifted, atol=0.03 * gain * 0.02 + 1e-5)


def test_too_few_dates_give_no_coefficients():
    values = noisy(3, 6, gaps=0.0)
    values[0, 2:] = np.nan
    values[1, :] = np.nan
    found = robust_fit(values, np.isfinite(values), DESIGN, 5)
    assert np.isnan(found.coefficient[:, :2]).all()
    assert np.isfinite(found.coefficient[:, 2]).all()


def test_a_constant_series_is_fitted_exactly():
    values = np.full((2, len(DAYS)), 0.3, np.float32)
    values[1, 5] = 0.9
    found = robust_fit(values, np.ones(values.shape, bool), DESIGN, 10)
    np.testing.assert_allclose(found.coefficient, [[0.3, 0.3], [0, 0], [0, 0]], atol=1e-6)
    assert found.scale.max() < 1e-6


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_medians_of_rows(values, gaps):
    row = np.array([[*values, *[np.inf] * gaps]], np.float32)
    found = sorted_median(row, np.array([len(values)], np.int32))
    assert found[0] == pytest.approx(np.median(np.float32(values)), abs=1e-5)


def test_median_of_nothing_is_nought():
    assert sorted_median(np.full((1, 3), np.inf, np.float32), np.zeros(1, np.int32)) == [0]


def test_scales_of_rows_are_those_of_one_row():
    residual = np.random.default_rng(7).standard_t(3, (30, 50)).astype(np.float32)
    seen = np.random.default_rng(8).random(residual.shape) < 0.6
    residual *= seen
    gap = np.where(seen, 0, np.inf).astype(np.float32)
    count, spare = seen.sum(axis=1, dtype=np.int32), np.empty_like(residual)
    middle = median_scale(residual, gap, count, spare)
    weighted = biweight_scale(residual, gap, count, spare)
    for row in range(30):
        left = residual[row][seen[row]].astype(float)
        assert middle[row] == pytest.approx(slow.mad(left, 0), rel=1e-5)
        assert weighted[row] == pytest.approx(slow.biweight(left, 0), rel=1e-4)


def test_biweight_scale_is_nearer_to_the_truth_than_the_median_deviation():
    residual = np.random.default_rng(9).standard_normal((4000, 60)).astype(np.float32)
    gap, count = np.zeros_like(residual), np.full(4000, 60, np.int32)
    errors = [
        np.std(scale(residual, gap, count, np.empty_like(residual)))
        for scale in (biweight_scale, median_scale)
    ]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("terms", [1, 2, 3, 6])
def test_inverses_are_inverses(terms):
    rng = np.random.default_rng(terms)
    parts = rng.standard_normal((20, 10, terms))
    matrices = parts.transpose(0, 2, 1) @ parts
    stored = np.stack([matrices[:, row, column] for row, column in term_pairs(terms)])
    found = invert_symmetric(stored, terms)
    expected = np.linalg.inv(matrices)
    for place, (row, column) in enumerate(term_pairs(terms)):
        np.testing.assert_allclose(found[place], expected[:, row, column], rtol=1e-6, atol=1e-9)


def test_singular_matrices_have_no_inverse():
    assert np.isnan(invert_symmetric(np.array([[1.0], [1.0], [1.0]]), 2)).all()
    assert np.isnan(invert_symmetric(np.array([[0.0]]), 1)).all()
