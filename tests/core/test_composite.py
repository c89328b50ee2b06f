"""Composites: the same as a loop over pixels, whatever is missing; real observations; the anchor first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from changedet.core import medians
from changedet.core.composite import NO_DATE, median_composite, medoid_composite


def naive(stack, valid):
    """One pixel after the other: median, date nearest to it, number of usable dates."""
    times, bands, height, width = stack.shape
    median = np.full((bands, height, width), np.nan)
    date = np.full((height, width), NO_DATE)
    count = np.zeros((height, width), int)
    for y, x in np.ndindex(height, width):
        usable = [t for t in range(times) if valid[t, y, x] and np.isfinite(stack[t, :, y, x]).all()]
        count[y, x] = len(usable)
        if usable:
            seen = stack[usable, :, y, x].astype(np.float64)
            median[:, y, x] = np.median(seen, axis=0)
            date[y, x] = usable[int(((seen - median[:, y, x]) ** 2).sum(axis=1).argmin())]
    return median, date, count


@st.composite
def stacks(draw):
    shape = tuple(draw(st.integers(1, most)) for most in (7, 3, 4, 4))
    # few distinct values, so that ties are common; and holes of every kind
    levels = st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.3, 0.7, np.nan, np.inf])
    stack = draw(arrays(np.float32, shape, elements=levels.map(np.float32)))
    return stack, draw(arrays(np.bool_, (shape[0], *shape[2:])))


@given(stacks(), st.integers(1, 16))
def test_both_are_what_a_loop_over_pixels_gives(dates, block_px):
    stack, valid = dates
    median, date, count = naive(stack, valid)
    with pytest.MonkeyPatch.context() as patch:
        # blocks of a few rows or of one, or all at once
        patch.setattr(medians, "_BLOCK_PX", block_px)
        composite, medoids = median_composite(stack, valid), medoid_composite(stack, valid)
    np.testing.assert_array_equal(composite.data, median.astype(np.float32))
    for found in (composite, medoids):
        np.testing.assert_array_equal(found.date, date)
        np.testing.assert_array_equal(found.count, count)
    taken = np.take_along_axis(stack, np.maximum(date, 0)[None, None], axis=0)[0]
    np.testing.assert_array_equal(medoids.data, np.where(date == NO_DATE, np.float32(np.nan), taken))


@given(stacks(), st.randoms(use_true_random=False))
def test_the_median_does_not_depend_on_the_order_of_dates(dates, random):
    stack, valid = dates
    order = list(range(len(stack)))
    random.shuffle(order)
    found, other = median_composite(stack, valid), median_composite(stack[order], valid[order])
    np.testing.assert_array_equal(found.data, other.data)
    np.testing.assert_array_equal(found.count, other.count)


def test_of_two_dates_the_anchor_is_taken_wherever_it_is_usable():
    rng = np.random.default_rng(0)
    stack = rng.random((2, 4, 20, 30), dtype=np.float32)
    valid = rng.random((2, 20, 30)) < 0.7
    found = medoid_composite(stack, valid)
    np.testing.assert_array_equal(found.date, np.where(valid[0], 0, np.where(valid[1], 1, NO_DATE)))


def test_a_cloud_that_nobody_saw_does_not_win_over_two_clear_dates():
    rng = np.random.default_rng(1)
    ground = rng.uniform(0.05, 0.3, (5, 40, 40)).astype(np.float32)
    stack = np.stack([ground + rng.normal(0, 0.004, ground.shape).astype(np.float32) for _ in range(3)])
    stack[0, :, 5:15, 5:15] += 0.5
    found = medoid_composite(stack, np.ones((3, 40, 40), bool))
    assert (found.date[5:15, 5:15] != 0).all()
    assert np.abs(found.data - ground).max() < 0.03


def test_the_bands_of_a_medoid_belong_together():
    # the median takes the blue of one date and the red of another
    stack = np.array([[0.1, 0.5], [0.2, 0.1], [0.6, 0.2]], np.float32)[:, :, None, None]
    everywhere = np.ones((3, 1, 1), bool)
    median, medoid = median_composite(stack, everywhere), medoid_composite(stack, everywhere)
    assert not any((median.data == one).all() for one in stack)
    assert any((medoid.data == one).all() for one in stack)


def test_the_arguments_stay_as_they_were():
    stack = np.random.default_rng(2).random((3, 2, 8, 8), dtype=np.float32)
    valid = stack[:, 0] > 0.3
    before = stack.copy(), valid.copy()
    medoid_composite(stack, valid)
    np.testing.assert_array_equal(stack, before[0])
    np.testing.assert_array_equal(valid, before[1])


@pytest.mark.parametrize(
    ("stack", "valid"), [((3, 2, 4, 4), (2, 4, 4)), ((3, 2, 4), (3, 4)), ((0, 2, 4, 4), (0, 4, 4))]
)
def test_shapes_that_disagree_are_refused(stack, valid):
    for function in (median_composite, medoid_composite):
        with pytest.raises(ValueError, match="are not several dates"):
            function(np.zeros(stack, np.float32), np.ones(valid, bool))
