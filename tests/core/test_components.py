"""Groups of flagged pixels: the same as a plain labelling and loops, on whatever pattern."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from changedet.core.components import (
    component_quantile,
    component_sizes,
    label_components,
    split_components,
)

EIGHT = np.ones((3, 3))
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


def labelled_by_loops(grow, seed, min_pixels):
    found, count = ndimage.label(grow, EIGHT)
    out, number = np.zeros(grow.shape, np.int32), 0
    for group in range(1, count + 1):
        inside = found == group
        if inside.sum() >= min_pixels and (inside & seed).any():
            number += 1
            out[inside] = number
    return out


@settings(max_examples=60, deadline=None)
@given(grow=masks, min_pixels=st.integers(1, 6), seed=st.integers(0, 3))
def test_labels_equal_a_loop_over_groups(grow, min_pixels, seed):
    chosen = np.random.default_rng(seed).random(grow.shape) < 0.3
    labels = label_components(grow, chosen, min_pixels=min_pixels)
    np.testing.assert_array_equal(labels, labelled_by_loops(grow, chosen, min_pixels))
    assert labels.dtype == np.int32


def test_labels_equal_a_loop_on_a_large_pattern():
    rng = np.random.default_rng(0)
    grow = ndimage.gaussian_filter(rng.standard_normal((200, 230)), 1.5) > 0.12
    seed = grow & (rng.random(grow.shape) < 0.01)
    labels = label_components(grow, seed, min_pixels=5)
    assert labels.max() > 50
    np.testing.assert_array_equal(labels, labelled_by_loops(grow, seed, 5))


def test_numbers_follow_the_raster_order():
    rng = np.random.default_rng(3)
    grow = ndimage.gaussian_filter(rng.standard_normal((120, 120)), 1.2) > 0.15
    labels = label_components(grow, grow)
    first = [np.flatnonzero(labels.ravel() == number)[0] for number in range(1, labels.max() + 1)]
    assert len(first) > 50
    assert first == sorted(first)


def test_corners_connect_and_gaps_part():
    grow = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    assert label_components(grow, grow).tolist() == [[1, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2]]


def test_a_seed_outside_the_candidates_starts_nothing():
    grow = np.array([[1, 1, 0, 0]], bool)
    assert not label_components(grow, ~grow).any()


@settings(max_examples=60, deadline=None)
@given(
    labels=hnp.arrays(np.int32, (7, 8), elements=st.integers(0, 4)),
    quantile=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 5),
)
def test_quantiles_equal_numpy_group_by_group(labels, quantile, seed):
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal((7, 8)) * 10.0 ** rng.integers(-20, 20, (7, 8))).astype(np.float32)
    values[rng.random((7, 8)) < 0.3] = np.nan
    found = component_quantile(labels, values, quantile)
    assert found.shape == (labels.max(),)
    for number, result in enumerate(found, start=1):
        inside = values[(labels == number) & np.isfinite(values)]
        if inside.size:
            assert result == np.quantile(inside, quantile, method="lower")
        else:
            assert np.isnan(result)


@settings(max_examples=20, deadline=None)
@given(grow=masks)
def test_sizes_count_the_pixels(grow):
    labels = label_components(grow, grow)
    sizes = component_sizes(labels)
    assert sizes.tolist() == [int((labels == n).sum()) for n in range(1, labels.max() + 1)]
    assert sizes.sum() == grow.sum()


@pytest.mark.parametrize("shape", [(4, 5), (1, 1)])
def test_nothing_flagged_means_no_group(shape):
    nothing = np.zeros(shape, bool)
    labels = label_components(nothing, nothing)
    assert labels.shape == shape
    assert not labels.any()
    assert component_sizes(labels).shape == (0,)
    assert component_quantile(labels, np.ones(shape, np.float32), 0.5).shape == (0,)


def test_arguments_are_left_alone():
    grow = np.eye(5, dtype=bool)
    seed, values = grow.copy(), np.ones((5, 5), np.float32)
    labels = label_components(grow, seed)
    component_quantile(labels, values, 0.5)
    assert (grow == np.eye(5)).all()
    assert (seed == np.eye(5)).all()
    assert (values == 1).all()


@settings(max_examples=40, deadline=None)
@given(grow=masks, seed=st.integers(0, 5), min_pixels=st.integers(1, 5))
def test_a_split_keeps_the_pixels_and_parts_only_where_the_class_changes(grow, seed, min_pixels):
    classes = np.random.default_rng(seed).integers(1, 3, grow.shape).astype(np.uint8)
    labels = label_components(grow, grow)
    parts = split_components(labels, classes, min_pixels=min_pixels)
    np.testing.assert_array_equal(parts > 0, labels > 0)
    assert set(np.unique(parts)) | {0} == set(range(parts.max() + 1))
    for number in range(1, parts.max() + 1):
        assert len(set(labels[parts == number])) == 1
        alone = (labels == labels[parts == number][0]) == (parts == number)
        assert (parts == number).sum() >= min_pixels or alone.all()
    if min_pixels == 1:
        for value in (1, 2):
            expected, count = ndimage.label((classes == value) & grow, EIGHT)
            assert len(np.unique(parts[expected > 0])) == count


def test_what_is_too_small_stays_with_the_largest_part():
    labels = np.ones((1, 9), np.int32)
    classes = np.array([[1, 1, 2, 3, 3, 3, 3, 2, 1]], np.uint8)
    assert split_components(labels, classes, min_pixels=2).tolist() == [[1, 1, 2, 2, 2, 2, 2, 2, 2]]
    assert not split_components(np.zeros((2, 2), np.int32), classes[:, :4].reshape(2, 2)).any()
