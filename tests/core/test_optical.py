"""Optical detectors: what is expected scores low, what is not scores high, whatever the light."""

import json
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.optical import DETECTORS
from changedet.core.prediction import PredictParameters, predict_score
from changedet.core.smoothing import smooth_score

SIZE = 96
PATCH = np.s_[40:50, 60:70]
EVERYWHERE = np.ones((SIZE, SIZE), bool)
WEIGHTS = (1.0, 1.0, 0.6, 0.1)
NAMES = sorted(DETECTORS)
#: Families whose score stays as it is under a gain and an offset on one date.
LINEAR = [name for name in NAMES if DETECTORS[name].family in ("prediction", "difference")]
#: Detectors that look no farther than the smoothing does.
LOCAL = [name for name in NAMES if DETECTORS[name].family not in ("context", "clusters")]
#: Detectors that take any bands.
ANY_BANDS = [name for name in NAMES if not DETECTORS[name].needs]
#: Detectors that rank every pixel by any change of reflectance.
RANKING = [name for name in ANY_BANDS if DETECTORS[name].decides_at is None]


def run(name, before, after, valid=EVERYWHERE, weights=WEIGHTS, **parameters):
    """Run a detector on as many bands as it takes."""
    detector = DETECTORS[name]
    if detector.needs:
        taken = len(detector.needs)
        before, after, weights = before[:taken], after[:taken], weights[:taken]
    return detector.function(before, after, valid, weights, detector.parameters(**parameters))


def scene(seed=0, noise=0.004, patch=True, size=SIZE):
    """Two dates of four correlated bands, a season apart, with a new bright patch."""
    rng = np.random.default_rng(seed)
    cover = [ndimage.gaussian_filter(rng.standard_normal((size, size)), s) for s in (3, 2, 1.5)]
    cover = np.stack([c / c.std() for c in cover])
    mixing = rng.uniform(-0.03, 0.05, (2, 4, 3))
    dates = [0.25 + np.tensordot(m, cover, 1) + rng.normal(0, noise, (4, size, size)) for m in mixing]
    if patch:
        dates[1][(slice(None), *PATCH)] = np.array([0.5, 0.5, 0.48, 0.3])[:, None, None]
    return tuple(date.astype(np.float32) for date in dates)


@pytest.mark.parametrize("name", NAMES)
def test_identical_images_score_nothing(name):
    image, other = scene()
    same, different = run(name, image, image), run(name, image, other)
    # the ridge leaves the prediction of an image from itself a few per cent short
    assert same.max() < 0.1
    assert np.mean(same) < 0.3 * np.mean(different)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "siroc"])
def test_the_order_of_the_dates_does_not_matter(name):
    before, after = scene()
    np.testing.assert_allclose(run(name, before, after), run(name, after, before), rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    gain=st.lists(st.floats(0.3, 3.0), min_size=4, max_size=4),
    offset=st.lists(st.floats(-0.1, 0.3), min_size=4, max_size=4),
    name=st.sampled_from(LINEAR),
    on_after=st.booleans(),
)
def test_gain_and_offset_on_one_date_do_not_matter(gain, offset, name, on_after):
    before, after = scene()
    gain, offset = (np.array(v, np.float32)[:, None, None] for v in (gain, offset))
    plain = run(name, before, after)
    lit = (before, gain * after + offset) if on_after else (gain * before + offset, after)
    np.testing.assert_allclose(run(name, *lit), plain, rtol=1e-3)


@pytest.mark.parametrize("name", RANKING)
def test_the_new_patch_ranks_highest(name):
    for seed in range(3):
        score = run(name, *scene(seed))
        row, column = np.unravel_index(score.argmax(), score.shape)
        assert 40 <= row < 50
        assert 60 <= column < 70


def test_a_season_that_is_everywhere_the_same_is_predicted_and_the_patch_is_not():
    score = run("predict", *scene())
    background = np.ma.masked_array(score, np.zeros_like(EVERYWHERE))
    background[30:60, 50:80] = np.ma.masked
    assert score[PATCH].min() > 2 * background.max()


@pytest.mark.parametrize("name", NAMES)
def test_missing_exactly_where_not_usable(name):
    before, after = scene()
    valid = np.random.default_rng(0).random((SIZE, SIZE)) < 0.8
    score = run(name, before, after, valid)
    np.testing.assert_array_equal(np.isnan(score), ~valid)
    assert (score[valid] >= 0).all()
    assert score.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rubbish", [np.nan, 1e4, -7.0])
def test_values_at_unusable_pixels_have_no_influence(name, rubbish):
    before, after = scene()
    valid = EVERYWHERE.copy()
    valid[5:30, 20:50] = False
    expected = run(name, before, after, valid)
    spoilt = [np.where(valid, image, np.float32(rubbish)) for image in (before, after)]
    np.testing.assert_array_equal(run(name, *spoilt, valid), expected)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_usable_is_not_an_error(name):
    before, after = scene()
    assert np.isnan(run(name, before, after, np.zeros_like(EVERYWHERE))).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_band_is_harmless(name):
    before, after = scene()
    before[2] = after[2] = 0.3
    assert np.isfinite(run(name, before, after)).all()


@pytest.mark.parametrize("name", LOCAL)
def test_a_moved_scene_moves_the_score(name):
    before, after = scene()
    there = run(name, before, after)
    rolled = [np.roll(image, (7, 11), axis=(1, 2)) for image in (before, after)]
    back = np.roll(run(name, *rolled), (-7, -11), axis=(0, 1))
    # away from the seam, where the smoothing sees other neighbours
    inner = np.s_[16:-24, 16:-28]
    np.testing.assert_allclose(back[inner], there[inner], rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_every_detector_runs_on_defaults_and_describes_itself(name):
    detector = DETECTORS[name]
    before, after = scene(size=80)
    bands = detector.needs or ("B02", "B03", "B04", "B08")
    score = detector.score(
        (before[: len(bands)], after[: len(bands)]), np.ones((80, 80), bool), bands, WEIGHTS[: len(bands)]
    )
    assert np.isfinite(score).all()
    described = json.loads(json.dumps(detector.parameters().to_dict()))
    again = {key: tuple(value) if isinstance(value, list) else value for key, value in described.items()}
    assert detector.parameters(**again) == detector.parameters()
    assert detector.name == name
    assert detector.title
    assert detector.family
    assert re.search(r"doi:10\.\d+/|\d{4}", detector.source)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_left_alone(name):
    images = scene()
    copies = [image.copy() for image in images]
    run(name, *images)
    for image, copy in zip(images, copies, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_a_band_of_no_weight_does_not_score_but_helps_to_predict():
    before, after = scene()
    after[3][PATCH] += 0.3
    three, none = (1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 0.0)
    without = cva_score(before[:3], after[:3], EVERYWHERE, three)
    np.testing.assert_allclose(cva_score(before, after, EVERYWHERE, none), without, rtol=1e-5)
    blind = predict_score(before[:3], after[:3], EVERYWHERE, three)
    seeing = predict_score(before, after, EVERYWHERE, none)
    assert np.median(seeing) < np.median(blind)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_proportions_of_the_weights_matter(name):
    before, after = scene()
    doubled = tuple(2 * weight for weight in WEIGHTS)
    np.testing.assert_allclose(run(name, before, after, weights=doubled), run(name, before, after), rtol=1e-4)


def test_the_seed_of_the_sample_makes_it_repeatable():
    before, after = scene()
    first, same, other = (run("predict", before, after, sample=900, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    np.testing.assert_allclose(first, other, rtol=0.3, atol=0.1)


def test_a_score_of_one_value_keeps_it():
    valid = np.random.default_rng(0).random((50, 50)) < 0.6
    smooth = smooth_score(np.full((50, 50), 3.0, np.float32), valid, (1.0, 4.0))
    np.testing.assert_allclose(smooth[valid], 3.0, rtol=1e-4)


def test_masked_smoothing_is_plain_smoothing_away_from_masks():
    score = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    valid = EVERYWHERE.copy()
    valid[:8, :8] = False
    smooth = smooth_score(score, valid, (2.0,))
    plain = cv2.GaussianBlur(score, (0, 0), 2.0, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(smooth[20:, 20:], plain[20:, 20:], rtol=1e-5)
    reference = ndimage.gaussian_filter(score.astype(float), 2.0, mode="reflect")
    np.testing.assert_allclose(smooth[20:, 20:], reference[20:, 20:], rtol=5e-3)


def test_scales_are_combined_by_geometric_mean():
    score = np.random.default_rng(0).random((40, 40), np.float32)
    valid = np.ones((40, 40), bool)
    fine, coarse, both = (smooth_score(score, valid, s) for s in ((1.0,), (3.0,), (1.0, 3.0)))
    np.testing.assert_allclose(both, np.sqrt(fine * coarse), rtol=1e-4)


def test_no_smoothing_only_masks():
    score = np.random.default_rng(0).random((5, 5), np.float32)
    valid = np.eye(5, dtype=bool)
    np.testing.assert_array_equal(smooth_score(score, valid, ()), np.where(valid, score, np.float32(np.nan)))


@pytest.mark.parametrize("parameters", [{"trim": 0.4}, {"trim": 1.1}, {"ridge": -0.1}, {"sample": 0}])
def test_impossible_parameters_are_refused(parameters):
    with pytest.raises(ValueError, match=r"trim must lie in 0\.5\.\.1"):
        PredictParameters(**parameters)


@pytest.mark.parametrize("name", ANY_BANDS)
def test_shapes_and_weights_must_agree(name):
    before, after = scene()
    for images, valid, weights in (
        ((before, after[:3]), EVERYWHERE, WEIGHTS),
        ((before, after), EVERYWHERE[:-1], WEIGHTS),
        ((before, after), EVERYWHERE, WEIGHTS[:3]),
    ):
        with pytest.raises(ValueError, match="shapes disagree"):
            run(name, *images, valid, weights)
    for weights in ((1.0, 1.0, 1.0, -0.1), (0.0,) * 4):
        with pytest.raises(ValueError, match="weights must not be negative"):
            run(name, before, after, weights=weights)


def test_parameters_are_told_apart():
    assert CvaParameters((1.0,)).to_dict() == {"smoothing_px": [1.0]}
    assert PredictParameters(trim=0.9).to_dict()["trim"] == 0.9
