"""Alarmed pixels that are one thing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.watch.grouping import latest_median, separate


def ground():
    size = np.zeros((20, 30), np.float32)
    size[2:18, 2:28] = 1.0
    return size


def test_a_strong_thing_in_a_weak_one_stands_alone_and_keeps_its_edge():
    size = ground()
    size[7:12, 7:12], size[8:11, 8:11] = 3.0, 9.0
    found = separate(size > 0, size, 4)
    assert set(found.labels[8:11, 8:11].ravel()) == {1} and (found.labels == 1).sum() == 25
    assert found.pure[8:11, 8:11].all() and not found.pure[7, 7:12].any()
    # what is weak and lies beyond its edge is another thing
    assert found.labels.max() == 2 and found.labels[2, 2] == 2
    assert found.pure[found.labels == 2].all()


def test_two_strong_things_in_one_weak_field_are_two():
    size = ground()
    size[5:8, 4:8], size[12:15, 20:24] = 9.0, 8.0
    found = separate(size > 0, size, 4)
    assert found.labels[6, 5] != found.labels[13, 21] and found.labels.max() == 3


def test_a_pixel_that_stands_out_tears_no_hole():
    size = ground()
    size[8, 8] = 50.0
    found = separate(size > 0, size, 8)
    assert found.labels.max() == 1 and (found.labels == 1).sum() == 16 * 26


def test_noise_of_a_field_does_not_tear_it():
    rng = np.random.default_rng(3)
    size = np.where(ground() > 0, rng.normal(1, 0.1, (20, 30)), 0).astype(np.float32)
    found = separate(size > 0, size, 4)
    assert found.labels.max() == 1 and (found.labels == 1).sum() >= 0.99 * 16 * 26


def test_what_is_too_small_is_no_thing():
    size = np.zeros((5, 9), np.float32)
    size[1, 1:4] = 2.0
    assert not separate(size > 0, size, 4).labels.any()
    assert not separate(np.zeros((5, 9), bool), size, 4).labels.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_things_lie_within_what_is_alarmed_and_are_numbered_without_gaps(seed, least):
    rng = np.random.default_rng(seed)
    pixels = rng.random((12, 15)) < 0.6
    size = np.where(pixels, rng.lognormal(0, 1.5, pixels.shape), 0).astype(np.float32)
    found = separate(pixels, size, least)
    numbers = np.unique(found.labels)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)) + (0 if (found.labels == 0).any() else 1))
    assert not found.labels[~pixels].any()
    for number in numbers[numbers > 0]:
        inside = found.labels == number
        assert inside.sum() >= least and (inside & found.pure).any()
    np.testing.assert_array_equal(separate(pixels, 7 * size, least).labels, found.labels)


def test_the_median_is_of_the_last_clear_dates():
    nan = np.nan
    units = np.array([[9, 9, nan], [1, nan, nan], [2, 4, nan], [nan, 6, nan], [3, nan, nan]], np.float32)
    np.testing.assert_allclose(latest_median(units, 3), [2, 6, nan])
    assert latest_median(units, 2)[1] == pytest.approx(5)
