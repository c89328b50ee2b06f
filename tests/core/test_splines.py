"""Uniform cubic B-splines: what they add up to, where they are, and what roughness measures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.core.splines import basis, roughness, support


@given(
    intervals=st.integers(1, 20),
    length=st.integers(2, 5000),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_the_splines_add_up_to_one(intervals, length, shares):
    found = basis(np.array(shares) * (length - 1), intervals, length)
    assert found.shape == (len(shares), intervals + 3)
    np.testing.assert_allclose(found.toarray().sum(axis=1), 1)


def test_beyond_an_end_the_end_counts():
    np.testing.assert_array_equal(
        basis(np.array([-7.0, 300.0]), 4, 100).toarray(), basis(np.array([0.0, 99.0]), 4, 100).toarray()
    )


@pytest.mark.parametrize("power", [0, 1])
def test_a_straight_line_is_reproduced(power):
    at = np.linspace(0, 99, 37)
    # Greville: the coefficients of a line are its values at the middles of the splines
    middles = support(8).mean(axis=0) * 99
    np.testing.assert_allclose(basis(at, 5, 100) @ middles**power, at**power, atol=1e-6)


def test_a_spline_is_nothing_outside_its_support():
    at = np.linspace(0, 99, 400)
    values = basis(at, 5, 100).toarray()
    start, stop = support(8)[:, :, None] * 99
    assert (values[(at < start).T | (at > stop).T] == 0).all()
    assert (values[((at > start + 1e-6) & (at < stop - 1e-6)).T] > 0).all()


def test_roughness_is_the_square_of_second_differences():
    values = np.random.default_rng(0).normal(size=9)
    assert values @ roughness(9) @ values == pytest.approx((np.diff(values, 2) ** 2).sum())
    assert np.abs(roughness(9) @ np.arange(9.0)).max() == 0
