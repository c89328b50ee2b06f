"""The sample: usable pixels only, the same ones from every image, the same ones every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from changedet.core import sampling
from changedet.core.sampling import last_axis_median, plane_median, sample_index, sample_pixels, values_at


@settings(max_examples=30, deadline=None)
@given(valid=hnp.arrays(bool, (6, 7)), size=st.integers(1, 60), seed=st.integers(0, 5))
def test_a_sample_holds_usable_pixels_once_in_raster_order(valid, size, seed):
    number = np.arange(42, dtype=np.float32).reshape(1, 6, 7)
    (drawn,) = sample_pixels((number,), valid, size, seed)
    assert drawn.shape == (1, min(size, int(valid.sum())))
    assert set(drawn[0]) <= set(np.flatnonzero(valid))
    assert (np.diff(drawn[0]) > 0).all()


def test_all_images_are_sampled_at_the_same_pixels():
    rng = np.random.default_rng(0)
    first = rng.random((3, 40, 50), np.float32)
    valid = rng.random((40, 50)) < 0.7
    a, b = sample_pixels((first, 2 * first[:2]), valid, 300, seed=4)
    assert a.shape == (3, 300)
    np.testing.assert_array_equal(b, 2 * a[:2])


def test_the_seed_decides_the_sample():
    image = np.random.default_rng(0).random((2, 40, 50), np.float32)
    everywhere = np.ones((40, 50), bool)
    (again, same, other) = (sample_pixels((image,), everywhere, 100, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(again, same)
    assert (again != other).any()


def test_fewer_pixels_than_asked_for_are_all_taken():
    image = np.random.default_rng(0).random((2, 4, 5), np.float32)
    (drawn,) = sample_pixels((image,), np.ones((4, 5), bool), 20, seed=0)
    np.testing.assert_array_equal(drawn, image.reshape(2, -1).astype(np.float64))
    assert drawn.dtype == np.float64


def test_the_mean_of_the_sample_is_the_mean_of_the_image():
    image = np.random.default_rng(0).normal(5.0, 1.0, (1, 300, 300)).astype(np.float32)
    (drawn,) = sample_pixels((image,), np.ones((300, 300), bool), 10_000, seed=0)
    assert drawn.mean() == pytest.approx(5.0, abs=0.04)


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 3), st.integers(1, 9)),
        elements=st.floats(-100, 100, width=32),
    )
)
def test_the_median_is_that_of_numpy(values):
    found = last_axis_median(values)
    np.testing.assert_array_equal(found, np.median(values, axis=1))
    assert found.dtype == values.dtype
    assert last_axis_median(values[0]) == np.median(values[0])


def test_the_sample_of_a_large_grid_is_that_of_the_list_of_its_usable_pixels():
    rng = np.random.default_rng(0)
    valid = rng.random((400, 500)) < 0.3
    valid[100:300] = False
    usable = np.flatnonzero(valid)
    expected = np.sort(np.random.default_rng(5).choice(usable, 700, replace=False))
    np.testing.assert_array_equal(sample_index(valid, 700, 5), expected)
    everything = np.ones_like(valid)
    assert len(np.unique(sample_index(everything, 700, 5))) == 700
    np.testing.assert_array_equal(sample_index(valid, 10**6, 5), usable)


@settings(max_examples=60, deadline=None)
@given(
    numbers=hnp.arrays(np.float32, (9, 11), elements=st.sampled_from([-2.5, -1, 0, 0.25, 1, 1, 7, np.nan])),
    limits=st.sampled_from([(10**6, 20), (10, 20), (10, 1000), (10, 2)]),
)
def test_the_median_of_a_plane_is_exact_however_it_is_found(numbers, limits):
    before = sampling._BRACKETED_FROM, sampling._BRACKET_SAMPLE
    sampling._BRACKETED_FROM, sampling._BRACKET_SAMPLE = limits
    try:
        found = plane_median(lambda part: part[np.isfinite(part)], numbers)
    finally:
        sampling._BRACKETED_FROM, sampling._BRACKET_SAMPLE = before
    known = numbers[np.isfinite(numbers)]
    np.testing.assert_equal(found, float(last_axis_median(known)) if known.size else float("nan"))


def test_a_sample_that_misleads_costs_time_and_no_exactness(monkeypatch):
    monkeypatch.setattr(sampling, "_BRACKETED_FROM", 100)
    monkeypatch.setattr(sampling, "_BRACKET_SAMPLE", 900)
    plane = np.random.default_rng(0).random((300, 300), np.float32)
    plane[::10, ::10] += 9  # just where the sample is taken
    assert plane_median(np.ravel, plane) == float(last_axis_median(plane.ravel()))


def test_values_are_taken_in_the_shape_of_their_places() -> None:
    plane = np.random.default_rng(4).random((50, 90), dtype=np.float32)
    places = np.random.default_rng(5).integers(0, plane.size, (5000, 3))
    found = values_at(plane, places)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plane.ravel()[places])
    np.testing.assert_array_equal(values_at(plane, places[:, 1]), found[:, 1])
