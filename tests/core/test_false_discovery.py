"""Control of false discoveries, and the decision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.slow import radar as slow

from changedet.core.false_discovery import (
    DiscoveryParameters,
    RadarDecision,
    discovery_threshold,
    false_discoveries,
    flag_change,
)


@given(st.lists(st.floats(0, 1, width=32), max_size=60), st.sampled_from([0.01, 0.2]), st.booleans())
def test_thresholds_are_those_of_the_papers(values, rate, yekutieli):
    p_value = np.float32([*values, np.nan])
    parameters = DiscoveryParameters(rate, "any" if yekutieli else "positive")
    expected = slow.benjamini(p_value, rate, yekutieli=yekutieli)
    assert discovery_threshold(p_value, parameters) == pytest.approx(expected, rel=1e-6)


def test_the_share_of_chance_among_what_is_flagged_is_kept():
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(200):
        p_value = rng.random(2000, np.float32)
        p_value[:200] *= 1e-4
        flagged = false_discoveries(p_value, DiscoveryParameters(0.1))
        assert flagged[:200].mean() > 0.99
        shares.append(flagged[200:].sum() / flagged.sum())
    assert np.mean(shares) == pytest.approx(0.09, abs=0.01)


def test_where_nothing_happened_hardly_any_site_has_a_flagged_pixel():
    rng = np.random.default_rng(2)
    sites = [
        false_discoveries(rng.random(500, np.float32), DiscoveryParameters(0.1)).any() for _ in range(500)
    ]
    assert np.mean(sites) == pytest.approx(0.1, abs=0.04)


def test_any_dependence_flags_fewer_and_gaps_nothing():
    p_value = np.float32([[0.0005, 0.012, 0.04, np.nan], [0.5, 0.6, 0.9, np.nan]])
    positive, anyhow = (false_discoveries(p_value, DiscoveryParameters(0.05, d)) for d in ("positive", "any"))
    assert (positive.sum(), anyhow.sum()) == (2, 1)
    assert not false_discoveries(np.full((2, 2), np.nan, np.float32)).any()


def test_a_candidate_is_beyond_chance_and_large():
    p_value = np.float32([[1e-6, 1e-6, 0.5, np.nan, 1e-6]])
    change = np.float32([[[4, 2, 9, np.nan, -6]], [[4, 3, 9, np.nan, -3]]])
    assert flag_change(p_value, change).tolist() == [[True, False, False, False, True]]
    every = RadarDecision(least_change_db=0)
    assert flag_change(p_value, change, every).tolist() == [[True, True, False, False, True]]


@pytest.mark.parametrize("arguments", [(0,), (1,), (0.1, "none")])
def test_impossible_rates_are_refused(arguments):
    with pytest.raises(ValueError, match="give a rate between 0 and 1 and 'positive' or 'any'"):
        DiscoveryParameters(*arguments)


@pytest.mark.parametrize("least", [-1, np.nan])
def test_impossible_changes_are_refused(least):
    with pytest.raises(ValueError, match="least_change_db must not be negative"):
        RadarDecision(least_change_db=least)


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match="does not fit p-values of shape"):
        flag_change(np.ones((2, 2), np.float32), np.ones((2, 3, 2), np.float32))
