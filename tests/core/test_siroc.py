"""SiROC against votes counted pixel by pixel, and its parameters."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from tests.core.slow import siroc as slow

from changedet.core import siroc
from changedet.core.siroc import SirocParameters, siroc_score

WEIGHTS = (1.0, 1.0)
FEW = (0, 2, 4, 7)


def scene(seed=0, shape=(28, 32)):
    rng = np.random.default_rng(seed)
    texture = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape), 1) for _ in range(2)])
    before = 0.2 + 0.04 * texture
    after = 0.9 * before + rng.normal(0, 0.004, before.shape)
    after[:, 8:16, 10:20] = 0.55
    valid = rng.random(shape) < 0.95
    return before.astype(np.float32), after.astype(np.float32), valid


@pytest.mark.parametrize("corners", [False, True])
def test_residuals_equal_those_of_one_pixel_at_a_time(corners):
    before, after, valid = scene(shape=(17, 21))
    parameters = SirocParameters((0, 1, 3, 4, 6, 30), corners)
    found = list(siroc._residuals(before, after, valid, (1.0, 0.5), parameters))
    assert len(found) == 5
    for ring, residual in zip(pairwise(parameters.radii_px), found, strict=True):
        expected = slow.residual(before, after, valid, (1.0, 0.5), ring, corners)
        np.testing.assert_allclose(residual[valid], expected[valid], atol=2e-5)


@pytest.mark.parametrize(("corners", "factor", "side"), [(False, 1.0, 3), (True, 0.8, 5), (False, 1.3, 1)])
def test_votes_equal_those_counted_by_hand(corners, factor, side):
    before, after, valid = scene()
    found = siroc_score(before, after, valid, WEIGHTS, SirocParameters(FEW, corners, factor, side))
    expected = slow.votes(before, after, valid, WEIGHTS, FEW, corners=corners, factor=factor, side=side)
    np.testing.assert_allclose(found[valid], expected[valid], atol=1e-6)
    np.testing.assert_array_equal(np.isnan(found), ~valid)


def test_neighbourhoods_held_at_one_time_and_tiles_leave_no_trace(monkeypatch):
    before, after, valid = scene()
    parameters = SirocParameters((0, 1, 2, 3, 5, 8, 9))
    whole = [r.copy() for r in siroc._residuals(before, after, valid, WEIGHTS, parameters)]
    monkeypatch.setattr(siroc, "_AT_ONE_TIME", 2)
    monkeypatch.setattr(siroc, "_TILE_PX", (11, 9))
    cut = [r.copy() for r in siroc._residuals(before, after, valid, WEIGHTS, parameters)]
    np.testing.assert_allclose(cut, whole, atol=2e-6)


def test_a_large_change_gets_half_of_the_votes_and_the_ground_does_not():
    before, after, _ = scene(shape=(64, 64))
    score = siroc_score(before, after, np.ones((64, 64), bool), WEIGHTS)
    assert (score[9:15, 11:19] >= 0.5).all()
    assert (score[30:] < 0.5).all()


def test_a_gain_on_a_date_does_not_matter():
    before, after, valid = scene()
    plain = siroc_score(before, after, valid, WEIGHTS, SirocParameters(FEW))
    lit = siroc_score(2 * before, 4 * after, valid, WEIGHTS, SirocParameters(FEW))
    np.testing.assert_array_equal(lit, plain)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e6])
def test_values_at_unusable_pixels_have_no_influence(rubbish):
    before, after, valid = scene()
    expected = siroc_score(before, after, valid, WEIGHTS, SirocParameters(FEW))
    spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
    np.testing.assert_array_equal(siroc_score(*spoilt, valid, WEIGHTS, SirocParameters(FEW)), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 2)])
def test_tiny_and_equal_images_get_no_votes(shape):
    image = np.full((2, *shape), 0.3, np.float32)
    assert (siroc_score(image, image, np.ones(shape, bool), WEIGHTS) == 0).all()
    assert np.isnan(siroc_score(image, image, np.zeros(shape, bool), WEIGHTS)).all()


@pytest.mark.parametrize("wrong", [{"otsu_factor": 0.0}, {"opening_px": 0}, {"opening_px": 4}])
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match="otsu_factor must be positive, and opening_px an odd number"):
        SirocParameters(**wrong)
    with pytest.raises(ValueError, match="at least two"):
        SirocParameters((5,))
