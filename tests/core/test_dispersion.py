"""Dispersion of pixels, drawn towards what is usual."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import polygamma

from changedet.core.dispersion import Dispersion, DispersionPrior, fit_prior, inverse_trigamma, moderated


def scatter(side, own, prior, value=1.0, seed=0):
    """Estimates with some degrees of freedom of pixels whose true dispersion differs."""
    rng = np.random.default_rng(seed)
    truth = value if np.isinf(prior) else value * prior / rng.chisquare(prior, (side, side))
    found = truth * rng.chisquare(own, (side, side)) / own
    return Dispersion(found.astype(np.float32), np.full((side, side), own, np.float32))


@pytest.mark.parametrize("own", [4, 22])
@pytest.mark.parametrize("prior", [5, 20])
@pytest.mark.parametrize("value", [1.0, 3.0])
def test_the_prior_that_pixels_were_drawn_from_is_found(own, prior, value):
    found = fit_prior(scatter(400, own, prior, value))
    assert found.degrees == pytest.approx(prior, rel=0.1)
    assert np.median(found.value) == pytest.approx(value, rel=0.03)


def test_pixels_that_agree_make_it_nearly_certain():
    found = fit_prior(scatter(400, 22, np.inf, 2.0))
    assert found.degrees > 1000
    assert found.value == pytest.approx(2.0, rel=0.02)


def test_a_neighbourhood_has_a_value_of_its_own():
    quiet, loud = scatter(60, 22, np.inf, 1.0, 1), scatter(60, 22, np.inf, 6.0, 2)
    value = np.hstack([quiet.value, loud.value])
    found = fit_prior(Dispersion(value, np.full(value.shape, 22, np.float32)), 5)
    assert np.median(found.value[:, :40]) == pytest.approx(1, rel=0.15)
    assert np.median(found.value[:, 80:]) == pytest.approx(6, rel=0.15)
    assert found.degrees < 770
    whole = fit_prior(Dispersion(value, np.full(value.shape, 22, np.float32)))
    assert whole.degrees < 6


def test_pixels_that_say_nothing_are_left_out():
    found = scatter(60, 10, 10)
    value, degrees = found.value.copy(), found.degrees.copy()
    value[:10], degrees[10:20], value[10:20] = np.nan, 0, 1e6
    value[20:22] = 0
    part = fit_prior(Dispersion(value, degrees))
    assert part.degrees == pytest.approx(fit_prior(found).degrees, rel=0.3)
    nothing = fit_prior(Dispersion(np.full((3, 3), np.nan, np.float32), np.ones((3, 3), np.float32)))
    assert (nothing.value == 1).all()
    assert np.isinf(nothing.degrees)


def test_a_ratio_of_moderated_dispersion_follows_fishers_f():
    found = scatter(1000, 8, 12, 2.0)
    rng = np.random.default_rng(5)
    truth = 2.0 * 12 / np.random.default_rng(0).chisquare(12, (1000, 1000))
    statistic = truth * rng.chisquare(2, truth.shape)
    value, degrees = moderated(found, fit_prior(found), least=0.0)
    tail = stats.f.sf(statistic / value / 2, 2, degrees)
    for share in (0.05, 0.01, 0.001):
        assert (tail < share).mean() == pytest.approx(share, rel=0.12)


def test_what_is_known_of_a_pixel_is_weighed_with_the_prior():
    found = Dispersion(np.float32([[3, np.nan, 0.1]]), np.float32([[10, 0, 10]]))
    value, degrees = moderated(found, DispersionPrior(np.float32([[2, 2, 1]]), 30.0))
    assert value.ravel().tolist() == pytest.approx([2.25, 2, 1])
    assert degrees.ravel().tolist() == [40, 30, 40]
    value, degrees = moderated(found, DispersionPrior(np.float32([[2, 2, 0.5]]), np.inf))
    assert value.ravel().tolist() == [2, 2, 1]
    assert np.isinf(degrees).all()


@given(st.floats(1e-6, 1e4))
def test_the_inverse_of_trigamma(value):
    assert polygamma(1, inverse_trigamma(value)) == pytest.approx(value, rel=1e-6)
