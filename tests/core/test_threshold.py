"""Thresholds: the robust rule, and silence over a background in which nothing happened."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.smoothing import smooth_score
from changedet.core.threshold import ThresholdParameters, Thresholds, robust_thresholds

EVERYWHERE = np.ones((300, 300), bool)


def flagged_share(score):
    return float((score > robust_thresholds(score).seed).mean())


def test_the_thresholds_are_multiples_of_the_median_absolute_deviation():
    score = np.random.default_rng(0).normal(3.0, 0.5, 200_000).astype(np.float32)
    found = robust_thresholds(score, ThresholdParameters(seed_mads=6.0, grow_mads=2.0))
    assert found.median == pytest.approx(3.0, abs=0.01)
    assert found.mad == pytest.approx(0.5, rel=0.01)  # scaled to a standard deviation
    assert found.seed == pytest.approx(found.median + 6 * found.mad)
    assert found.grow == pytest.approx(found.median + 2 * found.mad)
    assert found.mads(found.seed) == pytest.approx(6.0)


def test_a_tenth_of_changed_pixels_hardly_moves_the_thresholds():
    score = np.random.default_rng(0).normal(3.0, 0.5, 20_000).astype(np.float32)
    changed = score.copy()
    changed[:2000] += 40
    before, after = robust_thresholds(score), robust_thresholds(changed)
    assert after.seed == pytest.approx(before.seed, rel=0.15)
    assert (changed[:2000] > after.seed).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smoothing_px", [(1.0, 2.0, 4.0), (1.0,)])
def test_a_field_of_noise_yields_no_seed(seed, smoothing_px):
    rng = np.random.default_rng(seed)
    fields = [np.abs(rng.standard_normal(EVERYWHERE.shape)), rng.gamma(2.0, 0.5, EVERYWHERE.shape)]
    for field in fields:
        score = smooth_score(field.astype(np.float32), EVERYWHERE, smoothing_px)
        # a gamma background smoothed by one pixel still has a long tail: up to 1 pixel in 10 000
        assert flagged_share(score) <= (0 if len(smoothing_px) == 3 else 1e-4)


def test_a_patch_in_noise_is_flagged_and_little_else():
    field = np.random.default_rng(0).gamma(2.0, 0.5, EVERYWHERE.shape).astype(np.float32)
    field[100:108, 100:108] += 6
    score = smooth_score(field, EVERYWHERE, (1.0, 2.0, 4.0))
    thresholds = robust_thresholds(score)
    flagged = score > thresholds.seed
    assert flagged[102:106, 102:106].all()
    flagged[90:118, 90:118] = False
    assert not flagged.any()


@pytest.mark.parametrize(
    "score",
    [np.full((5, 5), 2.0, np.float32), np.full((5, 5), np.nan, np.float32), np.zeros((0,), np.float32)],
)
def test_nothing_is_flagged_where_nothing_varies(score):
    found = robust_thresholds(score)
    assert found.seed == found.grow == np.inf
    assert found.mad == 0
    assert found.mads(3.0) == 0
    assert np.isnan(found.median) == (not np.isfinite(score).any())


def test_what_was_not_judged_does_not_count():
    score = np.random.default_rng(0).random(1000).astype(np.float32)
    with_gaps = np.concatenate([score, np.full(700, np.nan, np.float32), [np.float32(np.inf)]])
    assert robust_thresholds(with_gaps) == robust_thresholds(score)


@settings(max_examples=30, deadline=None)
@given(
    low=st.floats(0.5, 5),
    more=st.floats(0, 5),
    gain=st.floats(0.125, 8),
    offset=st.floats(0, 8),
    seed=st.integers(0, 9),
)
def test_flags_fall_with_the_threshold_and_ignore_units(low, more, gain, offset, seed):
    score = np.random.default_rng(seed).gamma(2.0, 1.0, 400).astype(np.float32)
    loose = robust_thresholds(score, ThresholdParameters(low, low))
    strict = robust_thresholds(score, ThresholdParameters(low + more, low))
    assert strict.seed >= loose.seed
    assert strict.grow == loose.grow
    scaled = robust_thresholds(gain * score + offset, ThresholdParameters(low, low))
    assert scaled.seed == pytest.approx(gain * loose.seed + offset, rel=1e-4)


@pytest.mark.parametrize(("seed", "grow"), [(4.0, 5.0), (4.0, 0.0), (-1.0, -2.0)])
def test_impossible_parameters_are_refused(seed, grow):
    with pytest.raises(ValueError, match="grow_mads must be positive and not above seed_mads"):
        ThresholdParameters(seed, grow)


def test_a_background_without_spread_has_no_units():
    assert Thresholds(1.0, 0.0, np.inf, np.inf).mads(7.0) == 0.0


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_the_reflectance_is_a_share(share):
    with pytest.raises(ValueError, match="seed_contrast_share must lie in"):
        ThresholdParameters(seed_contrast_share=share)
