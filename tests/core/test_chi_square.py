"""The tail of the chi-square distribution is the area that is left under its density."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from tests.core.slow import chi_square as slow

from changedet.core.chi_square import chi_square_tail


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 6, 7, 10, 13, 20])
@pytest.mark.parametrize("statistic", [0.0, 1e-6, 0.3, 2.0, 7.5, 21.0, 60.0])
def test_it_is_one_less_the_area_under_the_density(degrees, statistic):
    expected = slow.tail(statistic, degrees)
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-6)):
        found = chi_square_tail(np.array([statistic], dtype), degrees)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, [expected], atol=tolerance)


@given(degrees=st.integers(1, 90), statistic=st.floats(0, 400))
def test_small_tails_are_right_too(degrees, statistic):
    expected = chi2.sf(np.float64(np.float32(statistic)), degrees)
    np.testing.assert_allclose(
        chi_square_tail(np.array([np.float32(statistic)], np.float64), degrees), [expected], rtol=1e-9
    )
    found = chi_square_tail(np.array([statistic], np.float32), degrees)[0]
    if expected > 1e-30:
        assert found == pytest.approx(expected, rel=2e-5)
    else:
        assert 0 <= found < 2e-30


def test_both_ways_to_compute_it_agree_about_fractions_of_degrees():
    values = np.linspace(0, 30, 7)
    np.testing.assert_allclose(chi_square_tail(values, 4.0 + 1e-9), chi_square_tail(values, 4), atol=1e-8)
    np.testing.assert_allclose(chi_square_tail(values, 2.5), chi2.sf(values, 2.5), rtol=1e-9)


@pytest.mark.parametrize("degrees", [4, 5, 40, 42])
def test_it_falls_from_one_to_nothing(degrees):
    values = np.linspace(0, 2000, 5001, dtype=np.float32)
    tail = chi_square_tail(values, degrees)
    assert tail[0] == 1
    # what rounding alone may add in float32
    assert (np.diff(tail) <= 2e-7).all()
    assert ((tail >= 0) & (tail <= 1 + 1e-6)).all()
    assert tail[-1] < 1e-30


@pytest.mark.parametrize("degrees", [3, 6])
def test_missing_stays_missing_and_without_end_is_nothing(degrees):
    found = chi_square_tail(np.array([[np.nan, np.inf], [0, 1e30]], np.float32), degrees)
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found[0, 1], 0, atol=1e-30)
    assert found[1, 0] == 1
    np.testing.assert_allclose(found[1, 1], 0, atol=1e-30)


def test_shape_layout_and_threads_do_not_matter_and_the_argument_is_left_alone():
    values = np.random.default_rng(0).chisquare(6, (300, 900)).astype(np.float32)
    copy = values.copy()
    found = chi_square_tail(values, 6)
    assert found.shape == values.shape
    np.testing.assert_array_equal(chi_square_tail(values.T, 6), found.T)
    np.testing.assert_array_equal(chi_square_tail(values, 6, threads=1), found)
    np.testing.assert_array_equal(values, copy)
    assert chi_square_tail(values[:0], 6).shape == (0, 900)
    assert chi_square_tail(np.float32([]), 5).shape == (0,)


@pytest.mark.parametrize("degrees", [0, -2, float("nan")])
def test_impossible_degrees_are_refused(degrees):
    with pytest.raises(ValueError, match="degrees of freedom must be positive"):
        chi_square_tail(np.ones(3), degrees)
