"""Shifts solved on a graph of pairs: exact ones come back, wrong ones are told, triangles close."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.pairs import CALM, made_up, make_pair, uniform

from changedet.core.alignment import AlignmentSettings, align
from changedet.core.shift_graph import LEAST_ERROR_PX, Link, closure_errors, solve_shifts, standard_error_px


def links_of(shifts, pairs=None, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    pairs = combinations(range(len(shifts)), 2) if pairs is None else pairs
    return [Link(i, j, *(shifts[j] - shifts[i] + rng.normal(0, noise, 2)), noise) for i, j in pairs]


def random_shifts(count, seed=0):
    shifts = np.random.default_rng(seed).uniform(-2, 2, (count, 2))
    return shifts - shifts[0]


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 9), seed=st.integers(0, 10**6))
def test_exact_pairs_give_the_shifts_back(count, seed):
    shifts = random_shifts(count, seed)
    links = links_of(shifts)
    np.testing.assert_allclose(solve_shifts(count, links, 0).shifts_px, shifts, atol=1e-6)
    turned = [Link(link.moving, link.reference, -link.row_px, -link.column_px) for link in links]
    np.testing.assert_allclose(solve_shifts(count, turned, 0).shifts_px, shifts, atol=1e-6)


def test_a_chain_is_enough():
    shifts = random_shifts(6)
    chain = links_of(shifts, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    np.testing.assert_allclose(solve_shifts(6, chain, 0).shifts_px, shifts, atol=1e-6)
    assert closure_errors(6, chain).triangles == 0
    assert np.isnan(closure_errors(6, chain).rmse_px)


def test_wrong_pairs_are_outvoted():
    shifts = random_shifts(8)
    links = links_of(shifts, noise=0.01)
    for number in (3, 11, 20):
        one = links[number]
        links[number] = Link(one.reference, one.moving, one.row_px + 3, one.column_px - 1.5, one.error_px)
    solution = solve_shifts(8, links, 0)
    assert np.abs(solution.shifts_px - shifts).max() < 0.03
    assert np.flatnonzero(solution.weights < 0.01).tolist() == [3, 11, 20]


def test_a_wrong_pair_costs_the_plain_mean_more():
    links = [Link(0, 1, 1.0, 0.0, 0.01), Link(0, 1, 1.02, 0.0, 0.01), Link(0, 1, 4.0, 0.0, 0.01)]
    assert solve_shifts(2, links, 0).shifts_px[1, 0] == pytest.approx(1.01, abs=0.02)


def test_better_pairs_count_more():
    links = [Link(0, 1, 0.0, 0.0, 0.01), Link(0, 1, 0.1, 0.0, 0.1)]
    assert solve_shifts(2, links, 0).shifts_px[1, 0] == pytest.approx(0.001, abs=0.0005)


def test_images_without_a_way_to_the_fixed_one_have_no_shift():
    links = [Link(0, 1, 1.0, 2.0), Link(2, 3, 1.0, 1.0)]
    solution = solve_shifts(4, links, 0)
    assert np.isfinite(solution.shifts_px).all(axis=1).tolist() == [True, True, False, False]
    assert solution.weights.tolist() == [1.0, 0.0]
    alone = solve_shifts(3, [], 1)
    assert np.isfinite(alone.shifts_px).all(axis=1).tolist() == [False, True, False]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_errors_are_as_large_as_they_are_said_to_be(seed):
    ratios = []
    for trial in range(20):
        shifts = random_shifts(6, seed + trial)
        solution = solve_shifts(6, links_of(shifts, noise=0.05, seed=seed + trial), 0)
        ratios += (np.abs(solution.shifts_px - shifts)[1:] / solution.errors_px[1:, None]).ravel().tolist()
    assert 0.6 < np.sqrt(np.mean(np.square(ratios))) < 1.6


def test_triangles_of_exact_pairs_close_and_a_wrong_one_is_seen_by_its_dates():
    shifts = random_shifts(5)
    links = links_of(shifts)
    closed = closure_errors(5, links)
    assert (closed.triangles, closed.rmse_px) == (10, pytest.approx(0, abs=1e-12))
    wrong = links[0]
    links[0] = Link(wrong.reference, wrong.moving, wrong.row_px + 0.3, wrong.column_px + 0.4)
    found = closure_errors(5, links)
    # the pair (0, 1) is in three of the ten triangles, and in three of the six of each of its dates
    assert found.rmse_px == pytest.approx(0.5 * np.sqrt(3 / 10))
    np.testing.assert_allclose(found.each_px, 0.5 * np.sqrt([3 / 6, 3 / 6, 1 / 6, 1 / 6, 1 / 6]))


def test_the_direction_of_a_pair_does_not_matter_to_its_triangle():
    links = [Link(0, 1, 1.0, 0.0), Link(2, 1, -1.0, 0.0), Link(0, 2, 2.0, 0.0)]
    assert closure_errors(3, links).rmse_px == 0


def test_the_error_of_an_alignment_holds_its_shift():
    pair = make_pair(made_up((256, 256), 4), uniform((256, 256), 1.3, -0.7), 4, CALM)
    limits = AlignmentSettings(local=False)
    found = align(list(pair.reference), list(pair.moving), pair.all_usable, pair.all_usable, limits)
    error = standard_error_px(found)
    miss = np.subtract(found.field.median_px, (1.3, -0.7))
    assert (np.abs(miss) < 4 * np.maximum(error, LEAST_ERROR_PX)).all()
    assert max(error) < 0.02


def test_an_alignment_without_a_field_has_no_error():
    flat = [np.ones((64, 64), np.float32)]
    usable = np.ones((64, 64), bool)
    assert np.isnan(standard_error_px(align(flat, flat, usable, usable))).all()
