"""Means and covariances of one pass in float32 are those of two passes in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import covariance as slow
from threadpoolctl import threadpool_limits

from changedet.core import covariance as module
from changedet.core.covariance import batch_pixels, batches, weighted_moments


def scene(bands=6, size=120, seed=0, mean=3000.0, dtype=np.float32):
    """Bands that hardly differ, in digital numbers far from 0."""
    rng = np.random.default_rng(seed)
    cover = rng.standard_normal((3, size, size))
    image = np.tensordot(rng.uniform(100, 300, (bands, 3)), cover, 1) + rng.normal(0, 20, (bands, size, size))
    return (mean + image).astype(dtype), rng.random((size, size)).astype(dtype)


def exact(stacks, weight=None, valid=None):
    pixels = np.concatenate(stacks).reshape(sum(map(len, stacks)), -1).astype(np.float64)
    weight = np.ones(pixels.shape[1]) if weight is None else weight.ravel().astype(np.float64)
    keep = np.ones(len(weight), bool) if valid is None else valid.ravel()
    pixels, weight = pixels[:, keep], weight[keep]
    centred = pixels - np.average(pixels, axis=1, weights=weight)[:, None]
    return np.average(pixels, axis=1, weights=weight), (centred * weight) @ centred.T / weight.sum()


def check(found, mean, covariance, tolerance=1e-6):
    deviation = np.sqrt(np.diag(covariance))
    assert np.abs((found.mean - mean) / deviation).max() < tolerance
    assert np.abs((found.covariance - covariance) / np.outer(deviation, deviation)).max() < tolerance


def test_it_equals_two_passes_over_single_pixels():
    image, weight = scene(3, 30)
    total, mean, covariance = slow.moments(image.reshape(3, -1).T.astype(float), weight.ravel().astype(float))
    found = weighted_moments([image], weight=weight)
    check(found, mean, covariance)
    assert found.weight == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("mean", [0.0, 0.25, 1e4, -3e5])
@pytest.mark.parametrize("weighted", [False, True])
def test_its_error_is_far_below_a_millionth_wherever_the_numbers_lie(mean, weighted):
    image, weight = scene(12, 400, mean=mean)
    weight = weight if weighted else None
    found = weighted_moments([image[:6], image[6:]], weight=weight)
    check(found, *exact([image], weight), tolerance=3e-7)


@settings(max_examples=25, deadline=None)
@given(
    bands=st.integers(1, 23),
    pixels=st.integers(1, 20_000),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_what_is_not_usable_has_no_influence(bands, pixels, share, seed, dtype):
    rng = np.random.default_rng(seed)
    image = rng.normal(5, 1, (bands, pixels)).astype(dtype)
    valid = rng.random(pixels) < share
    spoilt = np.where(valid, image, dtype(np.nan))
    found = weighted_moments([spoilt], valid)
    assert found.weight == valid.sum()
    if not valid.any():
        assert np.isnan(found.mean).all()
        assert np.isnan(found.covariance).all()
        return
    mean, covariance = exact([image], valid=valid)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.covariance, covariance, atol=2e-6)


def test_a_function_gives_the_weights_that_an_image_would():
    image, _ = scene(4, 150)
    valid = np.random.default_rng(1).random((150, 150)) < 0.7
    weight = np.where(image[0] > 3000, image[1] / 6000, 0.25).astype(np.float32)

    def weigh(pixels, centre):
        first, second = (pixels[:, i] + np.float32(centre[i]) for i in (0, 1))
        return np.where(first > 3000, second / np.float32(6000), np.float32(0.25))

    check(weighted_moments([image], valid, weigh=weigh), *exact([image], weight, valid))
    check(weighted_moments([image], valid, weight), *exact([image], weight, valid))


@pytest.mark.parametrize("bands", [6, 12, 22])
def test_threads_do_not_matter_not_even_in_the_last_digit(bands):
    image, weight = scene(bands, 460)
    found = []
    for ours, blas in ((1, 1), (1, 2), (2, 1), (2, 2)):
        with threadpool_limits(blas):
            found.append(weighted_moments([image], weight=weight, threads=ours))
    for other in found[1:]:
        assert other.covariance.tobytes() == found[0].covariance.tobytes()
        assert other.mean.tobytes() == found[0].mean.tobytes()


def test_blocks_and_tasks_do_not_matter(monkeypatch):
    image, weight = scene(5, 200)
    valid = np.random.default_rng(2).random((200, 200)) < 0.9
    whole = weighted_moments([image], valid, weight)
    monkeypatch.setattr(module, "_BLOCK_PIXELS", 2048)
    monkeypatch.setattr(module, "_TASK_PIXELS", 4096)
    check(weighted_moments([image], valid, weight), whole.mean, whole.covariance, 1e-7)


def test_a_view_gives_what_its_copy_gives_and_is_left_alone():
    image, weight = scene(4, 100)
    view, view_weight = image[::2, ::-1, 10:60], weight[::-1, 10:60]
    copy = view.copy()
    found = weighted_moments([view], weight=view_weight)
    np.testing.assert_array_equal(
        found.covariance, weighted_moments([copy], weight=view_weight.copy()).covariance
    )
    np.testing.assert_array_equal(view, copy)


def test_a_usable_pixel_that_the_rough_mean_misses_is_found():
    image, _ = scene(2, 200, mean=1e4)
    valid = np.zeros((200, 200), bool)
    valid[0, 1:8:2] = True  # the rough mean sees every ninth pixel
    mean, covariance = exact([image], valid=valid)
    found = weighted_moments([image], valid)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-2, atol=100)


def test_batches_are_the_same_pixels_in_the_same_order():
    rows = np.arange(5 * 3 * 2048).reshape(5, -1)
    each = batches(rows)
    assert np.shares_memory(each, rows)
    np.testing.assert_array_equal(np.concatenate(list(each), axis=1), rows)
    assert [batch_pixels(bands) for bands in (1, 5, 16, 24, 400)] == [2048, 2048, 512, 256, 64]


def test_grids_must_agree():
    image, weight = scene(2, 20)
    for arguments in (([image, image[:, :-1]],), ([image], weight[1:] > 0), ([image], None, weight.T[1:])):
        with pytest.raises(ValueError, match="must be on one grid"):
            weighted_moments(*arguments)


def test_no_pixel_at_all_is_no_error():
    assert weighted_moments([np.zeros((2, 0), np.float32)]).weight == 0
