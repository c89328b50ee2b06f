"""The default detector: as its equations say, blind to light and noise, and hard to fool."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.core.slow import prediction as slow

from changedet.core.prediction import PredictParameters, predict_change, predict_score

WEIGHTS = (1.0, 1.0, 0.3, 0.0)
SIZE = 120
EVERYWHERE = np.ones((SIZE, SIZE), bool)
BOX = np.s_[60:76, 40:60]


def cover(seed, size=SIZE):
    """Four correlated bands with fields and small bright roofs, reflectance."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((size, size)), s) for s in (6, 3, 1.5)]
    fields = [f / f.std() for f in fields]
    roofs = ndimage.gaussian_filter((rng.random((size, size)) > 0.98).astype(float), 0.8)
    bands = [0.12 + 0.02 * b + 0.02 * fields[b % 3] + 0.01 * fields[1] + 0.5 * roofs for b in range(4)]
    return np.array(bands)


def season(image, seed=0):
    """The same ground in another light and season: curved, other haze, its own noise."""
    rng = np.random.default_rng(seed)
    other = 0.8 * image + 0.9 * image[::-1] ** 2 + 0.03
    return (other + rng.normal(0, 0.003, image.shape)).astype(np.float32)


def dates(seed=0, built=0.0):
    ground = cover(seed)
    before = (ground + np.random.default_rng(seed + 9).normal(0, 0.003, ground.shape)).astype(np.float32)
    after = season(ground, seed)
    after[(slice(None), *BOX)] += np.float32(built)
    return before, after


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_what_the_equations_say(seed):
    before, after = dates(seed, built=0.15)
    valid = EVERYWHERE.copy()
    valid[10:30, 80:] = False
    parameters = PredictParameters()
    found = predict_score(before, after, valid, WEIGHTS, parameters)
    expected = slow.score(before, after, valid, WEIGHTS, parameters)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-4, atol=1e-4 * np.nanmax(expected))


def test_tiles_leave_no_seams(monkeypatch):
    before, after = dates(3, built=0.1)
    whole = predict_change(before, after, EVERYWHERE, WEIGHTS)
    score = predict_score(before, after, EVERYWHERE, WEIGHTS)
    monkeypatch.setattr("changedet.core.prediction._TILE_BYTES", 200_000)
    monkeypatch.setattr("changedet.core.planes._TILE_BYTES", 20_000)
    parts = predict_change(before, after, EVERYWHERE, WEIGHTS)
    for name in ("surprise", "raw", "contrast"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predict_score(before, after, EVERYWHERE, WEIGHTS), score, rtol=1e-5)


def test_a_curved_season_is_learnt():
    before, _ = dates()
    after = (4 * before**2 + 0.02).astype(np.float32)
    straight = predict_change(before, after, EVERYWHERE, WEIGHTS, PredictParameters(knots=()))
    curved = predict_change(before, after, EVERYWHERE, WEIGHTS)
    assert np.median(curved.surprise) < 0.5 * np.median(straight.surprise)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.4, 2.5), st.floats(-0.05, 0.2), st.booleans())
def test_a_gain_and_an_offset_leave_the_score(gain, offset, first):
    before, after = dates(1, built=0.15)
    plain = predict_score(before, after, EVERYWHERE, WEIGHTS)
    lit = [np.float32(gain) * image + np.float32(offset) for image in (before, after)]
    other = (lit[0], after) if first else (before, lit[1])
    np.testing.assert_allclose(predict_score(*other, EVERYWHERE, WEIGHTS), plain, rtol=2e-3)


@pytest.mark.parametrize("built", [0.06, -0.06, 0.2])
def test_contrast_is_as_large_as_what_was_built(built):
    contrast = predict_change(*dates(2, built), EVERYWHERE, (1.0, 1.0, 1.0, 1.0)).contrast
    assert np.median(contrast[64:72, 45:55]) == pytest.approx(abs(built), rel=0.45)
    outside = np.delete(contrast, np.s_[52:84], axis=0)
    assert np.quantile(outside, 0.999) < 0.01


def test_edges_a_tenth_of_a_pixel_off_have_no_contrast():
    ground = cover(4)
    shifted = ndimage.shift(ground, (0, 0.1, 0), order=3, mode="nearest")
    found = predict_change(ground.astype(np.float32), season(shifted), EVERYWHERE, WEIGHTS)
    assert found.contrast.max() < 0.02
    assert found.raw.max() > 5 * np.median(found.raw)  # though they stand out of so quiet a scene


def test_one_glint_is_not_more_than_a_building_site():
    before, after = dates(5, built=0.15)
    after[:, 20, 20] += np.float32(3.0)
    score = predict_score(before, after, EVERYWHERE, WEIGHTS)
    assert score[60:76, 40:60].max() > 1.5 * score[14:27, 14:27].max()


def test_the_inside_of_a_large_plain_change_counts():
    before, after = dates(6)
    rng = np.random.default_rng(0)
    after[:, 30:90, 30:90] = 0.35 + rng.normal(0, 0.003, (4, 60, 60)).astype(np.float32)
    score = predict_score(before, after, EVERYWHERE, WEIGHTS)
    assert np.quantile(score[40:80, 40:80], 0.05) > np.quantile(score[:20], 0.99)


def test_a_change_that_fills_the_site_is_seen_by_what_lies_around_it():
    before, after = dates(7)
    site = np.zeros_like(EVERYWHERE)
    site[:72] = True  # more than half of what is compared
    ground = cover(11)
    after[:, :72] = (0.2 + 0.4 * ground[::-1, :72]).astype(np.float32)
    around = predict_change(before, after, EVERYWHERE, WEIGHTS, learn=~site)
    itself = predict_change(before, after, EVERYWHERE, WEIGHTS)

    def contrast(prediction):
        return np.median(prediction.surprise[site]) / np.median(prediction.surprise[~site])

    assert contrast(around) > 2 * contrast(itself)


def test_how_much_one_date_tells_of_the_other():
    before, after = dates(8)
    alike = predict_change(before, after, EVERYWHERE, WEIGHTS)
    strange = predict_change(before, season(cover(99)), EVERYWHERE, WEIGHTS)
    assert alike.explained > 0.85
    assert strange.explained < 0.4


def test_nothing_to_learn_from_is_not_an_error():
    before, after = dates()
    found = predict_change(before, after, EVERYWHERE, WEIGHTS, learn=np.zeros_like(EVERYWHERE))
    assert not found.raw.any()
    assert np.isnan(found.explained)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"knots": (0.0, 0.5)}, "quantiles"),
        ({"knots": (1.5,)}, "quantiles"),
        ({"surprise_cap": 0.5}, "caps"),
        ({"structure_cap": 0.0}, "caps"),
        ({"structure_weight": -1.0}, "structure_weight"),
    ],
)
def test_impossible_parameters_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        PredictParameters(**wrong)


def test_what_was_capped_is_known():
    before, after = dates(4, built=0.4)
    found = predict_change(before, after, EVERYWHERE, WEIGHTS)
    free = predict_change(before, after, EVERYWHERE, WEIGHTS, PredictParameters(surprise_cap=1e6))
    np.testing.assert_allclose(found.uncapped(), free.raw, rtol=1e-5)
    places, factors = found.peaks
    assert 0 < places.size < SIZE * SIZE / 4
    assert (factors > 1).all()
    assert (found.uncapped() >= found.raw).all()
    assert found.uncapped().max() > 1.5 * found.raw.max()
    assert found.surprise.max() == found.surprise.ravel()[places[0]]
    assert not free.peaks[0].size


def test_without_ground_that_teaches_nothing_was_capped():
    before, after = dates(5)
    found = predict_change(before, after, ~EVERYWHERE, WEIGHTS)
    assert not found.peaks[0].size
    assert not found.uncapped().any()
