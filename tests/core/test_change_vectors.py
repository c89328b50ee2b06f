"""Change vectors against one pixel at a time, and what must leave them as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import change_vectors as slow

from changedet.core import blocks, change_vectors
from changedet.core.change_vectors import (
    CvaParameters,
    PcaDifferenceParameters,
    cva_score,
    pca_difference_score,
)
from changedet.core.change_vectors import change_vectors as polar

WEIGHTS = (1.0, 0.6, 0.0, 0.3)
RAW = CvaParameters(())


def pair(seed=0, shape=(23, 31), bands=4):
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.05, 0.4, (bands, *shape))
    after = 0.8 * before + 0.1 * rng.standard_normal((bands, bands)).dot(before.reshape(bands, -1)).reshape(
        before.shape
    )
    valid = rng.random(shape) < 0.85
    return before.astype(np.float32), after.astype(np.float32), valid


def test_length_and_direction_equal_those_of_one_pixel_at_a_time():
    before, after, valid = pair()
    magnitude, direction = slow.polar(before, after, valid, WEIGHTS)
    vectors = polar(before, after, valid, WEIGHTS)
    np.testing.assert_allclose(vectors.magnitude, magnitude, rtol=1e-4)
    np.testing.assert_allclose(vectors.direction_deg, direction, atol=0.02)
    np.testing.assert_allclose(cva_score(before, after, valid, WEIGHTS, RAW), magnitude, rtol=1e-4)


@pytest.mark.parametrize("energy", [0.3, 0.8, 0.95, 1.0])
def test_the_principal_part_equals_that_of_one_pixel_at_a_time(energy):
    before, after, valid = pair(3)
    weights = (1.0, 0.6, 0.2, 0.3)
    found = pca_difference_score(before, after, valid, weights, PcaDifferenceParameters(energy, ()))
    np.testing.assert_allclose(
        found, slow.principal_length(before, after, valid, weights, energy), rtol=2e-4, atol=1e-5
    )


def test_the_whole_variance_is_the_whole_length():
    before, after, valid = pair()
    whole = pca_difference_score(before, after, valid, WEIGHTS, PcaDifferenceParameters(1.0, ()))
    part = pca_difference_score(before, after, valid, WEIGHTS, PcaDifferenceParameters(0.5, ()))
    length = cva_score(before, after, valid, WEIGHTS, RAW)
    np.testing.assert_allclose(whole, length, rtol=1e-4)
    assert (part[valid] <= length[valid] * 1.0001).all()
    assert (part[valid] < 0.9 * length[valid]).any()


def test_what_bands_share_is_kept_and_what_one_has_alone_is_not():
    rng = np.random.default_rng(0)
    before = rng.normal(0, 1, (3, 60, 60)).astype(np.float32)
    shared = rng.normal(0, 3, (60, 60))
    after = (before + shared + rng.normal(0, 0.3, before.shape)).astype(np.float32)
    alone = after.copy()
    alone[0, 5, 5] += 6
    valid = np.ones((60, 60), bool)
    score = {}
    for name, image in (("with", alone), ("without", after)):
        score[name] = pca_difference_score(before, image, valid, (1, 1, 1), PcaDifferenceParameters(0.5, ()))[
            5, 5
        ]
    length = cva_score(before, alone, valid, (1, 1, 1), RAW)[5, 5]
    assert abs(score["with"] - score["without"]) < length


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    gain=st.floats(0.2, 5),
    offset=st.floats(-1, 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_light_leaves_change_vectors_as_they_are(seed, gain, offset, shape):
    before, after, valid = pair(seed, shape)
    plain = polar(before, after, valid, WEIGHTS)
    lit = polar(before, (gain * after + offset).astype(np.float32), valid, WEIGHTS)
    np.testing.assert_allclose(lit.magnitude, plain.magnitude, rtol=0.02, atol=0.02)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_swapped_dates_turn_the_direction_round(seed, shape):
    before, after, valid = pair(seed, shape)
    there, back = polar(before, after, valid, WEIGHTS), polar(after, before, valid, WEIGHTS)
    np.testing.assert_allclose(there.magnitude, back.magnitude, rtol=1e-4, atol=1e-5)
    sure = valid & (there.magnitude > 1e-3)
    np.testing.assert_allclose(there.direction_deg[sure], 180 - back.direction_deg[sure], atol=0.1)
    np.testing.assert_array_equal(np.isnan(there.magnitude), ~valid)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -1e30])
def test_what_is_not_usable_has_no_say(rubbish):
    before, after, valid = pair()
    expected = polar(before, after, valid, WEIGHTS)
    spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
    found = polar(*spoilt, valid, WEIGHTS)
    np.testing.assert_array_equal(found.magnitude, expected.magnitude)
    np.testing.assert_array_equal(found.direction_deg, expected.direction_deg)


def test_directions_of_known_vectors():
    rng = np.random.default_rng(0)
    before = rng.normal(0, 1, (2, 50, 50)).astype(np.float32)
    after = before.copy()
    after[:, 1, 1] += 4
    after[:, 2, 2] -= 4
    after[0, 3, 3] += 4
    after[1, 3, 3] -= 4
    found = polar(before, after, np.ones((50, 50), bool), (1.0, 1.0)).direction_deg
    np.testing.assert_allclose([found[i, i] for i in (1, 2, 3)], [0, 180, 90], atol=3)
    same = polar(before, before, np.ones((50, 50), bool), (1.0, 1.0))
    assert same.magnitude.max() < 1e-6
    assert np.isnan(same.direction_deg).all()


def test_half_a_band_of_one_value_does_not_outweigh_the_others():
    before, after, valid = pair()
    before[1, :, :20] = after[1, :, :20] = 0
    magnitude, _ = slow.polar(before, after, valid, WEIGHTS)
    np.testing.assert_allclose(cva_score(before, after, valid, WEIGHTS, RAW), magnitude, rtol=1e-4)
    assert np.nanmax(magnitude) < 20
    before[1] = after[1] = 9000.0
    one_value = cva_score(before, after, valid, WEIGHTS, RAW)
    without = cva_score(before[[0, 3]], after[[0, 3]], valid, (1.0, 0.3), RAW)
    np.testing.assert_allclose(one_value, without * np.sqrt(1.3 / 1.9), rtol=1e-4)


def test_nothing_usable_is_not_an_error():
    before, after, valid = pair()
    vectors = polar(before, after, np.zeros_like(valid), WEIGHTS)
    assert np.isnan([vectors.magnitude, vectors.direction_deg]).all()


def test_blocks_and_threads_leave_no_trace(monkeypatch):
    before, after, valid = pair(shape=(64, 700))
    parameters = PcaDifferenceParameters(0.9, ())
    expected = (
        cva_score(before, after, valid, WEIGHTS),
        pca_difference_score(before, after, valid, WEIGHTS, parameters),
    )
    monkeypatch.setattr(
        change_vectors, "row_blocks", lambda shape, planes, _: blocks.row_blocks(shape, planes, 9000)
    )
    np.testing.assert_allclose(cva_score(before, after, valid, WEIGHTS), expected[0], rtol=1e-6)
    cut = pca_difference_score(before, after, valid, WEIGHTS, parameters)
    np.testing.assert_allclose(cut, expected[1], rtol=1e-5)
    monkeypatch.setattr(change_vectors, "run_blocks", lambda work, cuts: [work(cut) for cut in cuts])
    np.testing.assert_array_equal(pca_difference_score(before, after, valid, WEIGHTS, parameters), cut)


@pytest.mark.parametrize("energy", [0.0, -0.1, 1.01])
def test_an_impossible_energy_is_refused(energy):
    with pytest.raises(ValueError, match="energy must lie above 0"):
        PcaDifferenceParameters(energy)


def test_images_that_do_not_lie_in_one_piece_are_read():
    before, after, valid = pair()
    turned = [np.asfortranarray(image) for image in (before, after)]
    np.testing.assert_array_equal(
        cva_score(*turned, valid, WEIGHTS), cva_score(before, after, valid, WEIGHTS)
    )
