"""Features of a pair: their list, what they see, and what they must not depend on."""

import numpy as np
import pytest

from changedet.core.change_features import Feature, change_features, fingerprint, list_features

BANDS = ("B02", "B03", "B04", "B08", "B11")
WEIGHTS = (1.0, 1.0, 1.0, 0.1, 0.3)


def pair(seed=0, size=64):
    rng = np.random.default_rng(seed)
    ground = rng.random((1, size, size)).astype(np.float32) * 0.1 + 0.1
    tone = np.linspace(0.8, 1.2, len(BANDS), dtype=np.float32)[:, None, None]
    images = [ground * tone + 0.003 * rng.standard_normal((len(BANDS), size, size)) for _ in range(2)]
    before, after = (image.astype(np.float32) for image in images)
    after[:, 20:30, 40:50] += 0.2
    return before, after, np.ones((size, size), bool)


@pytest.fixture(scope="module")
def planes():
    names = [one.name for one in list_features(BANDS)]
    return dict(zip(names, change_features(*pair(), BANDS, WEIGHTS), strict=True))


def test_every_feature_has_a_name_of_its_own_a_unit_and_a_text():
    found = list_features(BANDS)
    assert len({one.name for one in found}) == len(found) > 25
    assert all(isinstance(one, Feature) and one.unit and one.text for one in found)
    assert [one.name for one in found[:4]] == ["predict_0px", "predict_1px", "predict_2px", "predict_4px"]


def test_bands_decide_which_features_there_are():
    few = {one.name for one in list_features(("B02", "B03", "B04"))}
    assert "difference_B04" in few
    assert not any("B08" in name or "NDVI" in name for name in few)
    images = [plane[:3] for plane in pair()[:2]]
    found = change_features(*images, pair()[2], ("B02", "B03", "B04"), (1.0, 1.0, 1.0))
    assert len(found) == len(few)


def test_other_sensors_have_features_too():
    images = [plane[:2] for plane in pair()[:2]]
    found = change_features(*images, pair()[2], ("red edge", "thermal"), (1.0, 1.0))
    assert len(found) == len(list_features(("red edge", "thermal")))
    assert np.isfinite(found).all()


def test_features_are_in_their_units(planes):
    inside = np.s_[24:26, 44:46]
    assert np.allclose(planes["difference_B04"][inside], 0.2, atol=0.02)
    assert planes["cva_1px"][inside].min() > 10
    assert abs(np.median(planes["cva_1px"])) < 0.01
    assert np.abs(planes["before_NDVI"]).max() < 1
    # at the edge of what was built
    assert planes["texture_difference"][25, 40] > 5 * np.median(planes["texture_difference"])


def test_what_is_not_valid_is_nan_and_tells_nothing():
    before, after, valid = pair()
    valid[10:20, 10:20] = False
    found = change_features(before, after, valid, BANDS, WEIGHTS)
    assert np.isnan(found[:, ~valid]).all()
    assert np.isfinite(found[:, valid]).all()
    before[:, ~valid], after[:, ~valid] = 55.0, -3.0
    assert np.array_equal(found, change_features(before, after, valid, BANDS, WEIGHTS), equal_nan=True)


def test_arguments_are_left_as_they_are():
    before, after, valid = pair()
    kept = before.copy(), after.copy()
    change_features(before, after, valid, BANDS, WEIGHTS)
    assert np.array_equal(before, kept[0])
    assert np.array_equal(after, kept[1])


def test_the_fingerprint_is_the_same_every_time_and_tells_weights_apart():
    assert fingerprint(BANDS, WEIGHTS) == fingerprint(BANDS, WEIGHTS)
    assert len(fingerprint(BANDS, WEIGHTS)) == 2 * len(list_features(BANDS))
    assert fingerprint(BANDS, WEIGHTS) != fingerprint(BANDS, (1.0,) * 5)


def test_weights_must_fit_the_bands():
    with pytest.raises(ValueError, match="shapes disagree"):
        change_features(*pair(), BANDS, (1.0,))
