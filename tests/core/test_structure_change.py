"""Patterns that stay, turn, appear or never were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.core.slow import prediction as slow

from changedet.core.structure_change import structure_change

ONE = np.ones(1, np.float32)


def pattern(seed, size=40):
    plane = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 1)
    return (plane / plane.std())[None].astype(np.float32)


def change(before, after, valid=None):
    return structure_change(before, after, np.ones(before.shape[1:], bool) if valid is None else valid, ONE)


def test_the_same_pattern_is_no_change_and_its_inverse_is_the_largest():
    same = change(pattern(0), pattern(0))
    assert same.max() < 1e-5
    inverted = change(3 * pattern(0), -3 * pattern(0))
    assert 1.3 < np.median(inverted) <= 2


@settings(max_examples=15, deadline=None)
@given(st.floats(-3, 3))
def test_a_brighter_day_changes_no_pattern(offset):
    other = change(pattern(0), pattern(1) + np.float32(offset))
    np.testing.assert_allclose(other, change(pattern(0), pattern(1)), atol=2e-3)


def test_noise_on_plain_ground_is_not_a_pattern():
    noise = [0.1 * np.random.default_rng(s).standard_normal((1, 40, 40)).astype(np.float32) for s in (0, 1)]
    assert np.quantile(change(*noise), 0.99) < 0.12
    assert np.median(change(pattern(0), pattern(1))) > 0.4


def test_it_is_what_the_equation_says():
    rng = np.random.default_rng(0)
    before, after = (rng.standard_normal((2, 30, 25)).astype(np.float32) for _ in range(2))
    valid = rng.random((30, 25)) < 0.8
    weights = np.float32([0.25, 0.75])
    found = structure_change(before, after, valid, weights)
    expected = slow.decorrelation(before.astype(float), after.astype(float), valid, weights)
    np.testing.assert_allclose(found[valid], expected[valid], atol=2e-5)
    assert not found[~valid].any()


@pytest.mark.parametrize("rubbish", [1e6, -3.0])
def test_what_cannot_be_used_has_no_say(rubbish):
    valid = np.ones((40, 40), bool)
    valid[10:20, 5:30] = False
    spoilt = np.where(valid, pattern(0), np.float32(rubbish))
    np.testing.assert_array_equal(change(spoilt, pattern(1), valid), change(pattern(0), pattern(1), valid))
