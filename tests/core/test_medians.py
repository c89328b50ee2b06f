"""Medians over dates: bit by bit what NumPy gives, for any number of dates and any gaps."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from changedet.core import medians
from changedet.core.medians import Gaps, date_blocks, median_of_dates, middle_pair, selection_network


def numpy_median(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(stack, axis=0)


def same_bits(found, expected):
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def gappy(shape, share, seed):
    rng = np.random.default_rng(seed)
    stack = rng.normal(0, 1, shape).astype(np.float32)
    stack[rng.random(shape) < share] = np.nan
    return stack


@pytest.mark.parametrize("dates", [1, 2, 3, 4, 7, 10, 11, 16, 17, 33])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_the_bits_are_those_of_numpy(dates, share):
    stack = gappy((dates, 37, 41), share, dates)
    same_bits(median_of_dates(stack), numpy_median(stack))


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(1, 4)),
        elements=st.sampled_from([-2.5, -0.1, 0.0, 0.1, 0.3, 1e-40, 3e38, np.nan]).map(np.float32),
    )
)
def test_ties_tiny_and_huge_values_are_as_in_numpy(stack):
    np.testing.assert_array_equal(median_of_dates(stack), numpy_median(stack))


@given(arrays(np.float32, (5, 2, 2), elements=st.sampled_from([0.2, 0.4, np.inf, np.nan]).map(np.float32)))
def test_infinity_is_a_value(stack):
    np.testing.assert_array_equal(median_of_dates(stack), numpy_median(stack))


def test_opposite_infinities_in_the_middle_have_no_median():
    stack = np.array([np.inf, -np.inf], np.float32).reshape(2, 1, 1)
    assert np.isnan(median_of_dates(stack)).all()


@pytest.mark.parametrize("dates", [5, 6])
def test_beyond_the_network_the_result_is_the_same(dates, monkeypatch):
    stack = gappy((dates, 20, 30), 0.4, dates)
    expected = median_of_dates(stack)
    monkeypatch.setattr(medians, "NETWORK_DATES", 2)
    same_bits(median_of_dates(stack), expected)


@given(st.integers(1, 3), st.integers(1, 500))
def test_neither_threads_nor_blocks_change_the_result(threads, block_px):
    stack = gappy((6, 23, 17), 0.3, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medians, "_BLOCK_PX", block_px)
        found = median_of_dates(stack, threads)
    same_bits(found, numpy_median(stack))


def test_a_stack_in_another_order_of_memory_is_read_as_it_is():
    stack = np.moveaxis(gappy((9, 14, 4), 0.2, 5), -1, 0)
    same_bits(median_of_dates(stack), numpy_median(stack))
    assert stack.shape == (4, 9, 14)


def test_the_stack_stays_as_it_was():
    stack = gappy((4, 8, 8), 0.3, 6)
    before = stack.copy()
    median_of_dates(stack)
    np.testing.assert_array_equal(stack, before)


@pytest.mark.parametrize("count", range(1, 11))
def test_the_network_finds_the_middle_of_every_order(count):
    # what puts the middle of all zeros and ones in place does so for any values
    wanted = [place for place in (count // 2 - 1, count // 2) if place >= 0]
    for values in itertools.product((0, 1), repeat=count):
        planes = list(values)
        for low, high, smaller, larger in selection_network(count):
            one, other = planes[low], planes[high]
            planes[low] = min(one, other) if smaller else None
            planes[high] = max(one, other) if larger else None
        assert [planes[place] for place in wanted] == [sorted(values)[place] for place in wanted]


def test_the_network_makes_fewer_comparisons_than_sorting():
    halves = sum(low + high for _, _, low, high in selection_network(10))
    assert halves < 2 * 29  # the shortest network that sorts ten takes 29, both halves of each


@given(arrays(np.bool_, (7, 3, 5)))
def test_gaps_take_turns(usable):
    gaps = Gaps.of(usable)
    filled = gaps.fill.view(np.float32)
    np.testing.assert_array_equal(gaps.count, usable.sum(axis=0))
    np.testing.assert_array_equal(np.isinf(filled), ~usable)
    above, below = (filled == np.inf).sum(axis=0), (filled == -np.inf).sum(axis=0)
    np.testing.assert_array_equal(above - below, (~usable).sum(axis=0) % 2)
    np.testing.assert_array_equal(gaps.bound == np.inf, above == below)


def test_the_pair_in_the_middle_is_one_value_where_their_number_is_odd():
    stack = np.array([3, 1, 2, 9], np.float32).reshape(4, 1, 1)
    usable = np.array([True, True, True, False]).reshape(4, 1, 1)
    lower, upper = middle_pair(stack, Gaps.of(usable))
    assert (lower.item(), upper.item()) == (2, 2)
    lower, upper = middle_pair(stack, Gaps.of(np.ones_like(usable)))
    assert (lower.item(), upper.item()) == (2, 3)


def test_blocks_hold_every_row_once():
    blocks = date_blocks((100, 1000))
    assert [row for rows in blocks for row in range(rows.start, rows.stop)] == list(range(100))
    assert len(blocks) > 1


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (2, 3, 4, 4)])
def test_what_is_no_stack_of_planes_is_refused(shape):
    with pytest.raises(ValueError, match="with a date at least"):
        median_of_dates(np.zeros(shape, np.float32))
