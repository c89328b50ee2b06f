"""Tails of distributions near chi-square: critical values, and the table beside the formula."""

import numpy as np
import pytest

from changedet.core.expansion import Expansion, TabledTail

SERIES = [(2, 1, 4.4), (2, 2, 22), (9, 2, 1), (60, 2, 22), (300, 2, 8)]


@pytest.mark.parametrize(("dates", "pols", "looks"), SERIES)
def test_shares_of_many_pixels_are_those_of_the_expansion(dates, pols, looks):
    expansion = Expansion.of_series(dates, pols, looks)
    rng = np.random.default_rng(dates)
    usual = rng.chisquare(expansion.degrees, 5000)
    large = rng.uniform(0, 6 * expansion.degrees + 200, 5000)
    scaled = np.concatenate([[0.0, 1e-12, 1e6, 1e300], usual, large])
    found, exact = TabledTail(expansion)(scaled), expansion.tail(scaled)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)
    assert (found[2:4] == 0).all()
    if looks > 4:
        # of fewer the expansion itself ends at nought somewhere
        well = exact > 1e-12
        np.testing.assert_allclose(found[well], exact[well], rtol=1e-6)


@pytest.mark.parametrize("share", [0.2, 0.01, 1e-6])
def test_critical_values_have_the_tail_that_was_asked_for(share):
    for expansion in (Expansion.of_series(20, 2, 4.4), Expansion.of_date(2, 1, 4.4)):
        assert expansion.tail(np.array([expansion.critical(share)]))[0] == pytest.approx(share, rel=1e-6)
