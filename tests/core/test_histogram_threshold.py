"""Thresholds of histograms: against one cut after the other, against scikit-image, and on known mixtures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from tests.core.slow import histogram_threshold as slow

from changedet.core.histogram_threshold import (
    kittler_illingworth_threshold,
    otsu_threshold,
    triangle_threshold,
)

ALL = (otsu_threshold, kittler_illingworth_threshold, triangle_threshold)


def scores(seed=0, size=400, changed=0.2):
    rng = np.random.default_rng(seed)
    high = int(size * changed)
    return np.concatenate([rng.gamma(4, 0.25, size - high), rng.normal(6, 0.8, high)]).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [13, 32])
def test_each_equals_one_cut_after_the_other(seed, bins):
    found = scores(seed)
    exact = found.astype(float).tolist()
    width = (max(exact) - min(exact)) / bins
    np.testing.assert_allclose(otsu_threshold(found, bins), slow.otsu(exact, bins), atol=1e-4 * width)
    np.testing.assert_allclose(
        kittler_illingworth_threshold(found, bins, 0.99),
        slow.kittler_illingworth(exact, bins, 0.99),
        atol=1e-4,
    )
    np.testing.assert_allclose(triangle_threshold(found, bins), slow.triangle(exact, bins), atol=1e-4 * width)


@pytest.mark.parametrize("seed", range(3))
def test_otsu_is_that_of_another_library_to_a_bin(seed):
    found = scores(seed, 5000)
    width = np.ptp(found) / 256
    assert abs(otsu_threshold(found) - threshold_otsu(found, 256)) <= width


@pytest.mark.parametrize("threshold", ALL)
def test_two_classes_far_apart_are_told_apart(threshold):
    found = scores(size=20_000)
    assert 2 < threshold(found) < 5.5 or threshold is triangle_threshold
    assert ((found > threshold(found)) == (np.arange(20_000) >= 16_000)).mean() > 0.9


def test_where_little_changed_they_flag_too_much():
    rng = np.random.default_rng(0)
    background, changed = rng.gamma(2, 0.5, 49_500), rng.gamma(9, 0.5, 500)
    found = np.concatenate([background, changed]).astype(np.float32)
    for threshold in ALL:
        assert (found > threshold(found)).sum() > 3 * len(changed)


def test_the_least_error_of_two_gaussians():
    rng = np.random.default_rng(1)
    found = np.concatenate([rng.normal(0, 1, 60_000), rng.normal(10, 3, 40_000)]).astype(np.float32)
    # where 0.6 N(0, 1) and 0.4 N(10, 3) are equally likely
    assert abs(kittler_illingworth_threshold(found, quantile=1.0) - 2.97) < 0.3


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50), gain=st.floats(0.01, 100), offset=st.floats(-5, 5), which=st.sampled_from(ALL)
)
def test_thresholds_follow_a_gain_and_an_offset(seed, gain, offset, which):
    found = scores(seed).astype(np.float64)
    lit = (gain * found + offset).astype(np.float32)
    width = gain * np.ptp(found) / 256
    plain = which(found.astype(np.float32))
    flagged = np.count_nonzero(found > plain), np.count_nonzero(lit > which(lit))
    # a cut moves by bins only when rounding carries a score over an edge
    assert abs(which(lit) - (gain * plain + offset)) < 2 * width or abs(flagged[0] - flagged[1]) <= 20


@pytest.mark.parametrize("threshold", ALL)
def test_nothing_judged_and_one_score_flag_nothing(threshold):
    for values in ([], [np.nan, np.nan], [2.0, 2.0, np.nan], [3.0]):
        assert threshold(np.array(values, np.float32)) == float("inf")


@pytest.mark.parametrize("threshold", ALL)
def test_what_was_not_judged_does_not_count(threshold):
    found = scores()
    with_gaps = np.concatenate([found, np.full(100, np.nan, np.float32)]).reshape(20, -1)
    assert threshold(with_gaps) == threshold(found)


@pytest.mark.parametrize("threshold", ALL)
def test_one_bin_is_refused(threshold):
    with pytest.raises(ValueError, match="at least two bins"):
        threshold(scores(), 1)


def test_an_impossible_quantile_is_refused():
    with pytest.raises(ValueError, match="a quantile within"):
        kittler_illingworth_threshold(scores(), quantile=1.5)


def test_the_triangle_reads_the_longer_slope_on_either_side():
    counts = np.concatenate([2 ** np.arange(7), 128 // np.arange(1, 26)])
    slope = np.repeat(np.arange(32, dtype=np.float32), counts)
    right = triangle_threshold(slope, 32)
    np.testing.assert_allclose(triangle_threshold(-slope, 32), -right, atol=1e-4)
    assert 8 < right < 16
