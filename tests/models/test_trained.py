"""A model as a file: what comes back is what was written, and what is no model is refused."""

import json
import math
from types import MappingProxyType

import numpy as np
import pytest
from tests.core.test_change_features import BANDS, WEIGHTS, pair

from changedet.core.change_features import change_features, fingerprint
from changedet.errors import (
    InputFileError,
    MissingBandError,
    MissingInputError,
    OutputError,
    OutputExistsError,
)
from changedet.models.growing import grow_trees
from changedet.models.trained import TrainedModel, model_score, open_model
from changedet.models.training import TrainingSettings

PROVENANCE = {"sites": [{"site": "Pier"}, {"site": "Hall"}], "cross_validation": {"pooled": {"f1": 0.512}}}


def make_model():
    before, after, valid = pair()
    features = change_features(before, after, valid, BANDS, WEIGHTS).reshape(-1, valid.size)
    changed = np.zeros(valid.shape, bool)
    changed[20:30, 40:50] = True
    trees = grow_trees([(features, changed.ravel())], TrainingSettings(rounds=8, smallest_leaf=5))
    return TrainedModel(trees, BANDS, WEIGHTS, (1.0,), 3.0, 2.0, fingerprint(BANDS, WEIGHTS),
                        MappingProxyType(PROVENANCE))  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return make_model()


def test_a_model_comes_back_as_it_was(model, tmp_path):
    path = model.save(tmp_path / "m.json")
    again = open_model(path)
    assert again.to_dict() == model.to_dict()
    before, after, valid = pair(5)
    assert np.array_equal(
        model_score(model, before, after, valid, BANDS), model_score(again, before, after, valid, BANDS)
    )
    assert again.save(tmp_path / "n.json").read_bytes() == path.read_bytes()


def test_the_file_is_plain_json_that_says_what_it_asks_for(model, tmp_path):
    data = json.loads(model.save(tmp_path / "m.json").read_text(encoding="utf-8"))
    assert data["schema"] == "changedet.model/1"
    assert data["features"][0] == {
        "name": "predict_0px", "unit": "robust standard deviations above the background of the scene",
        "text": "score of predict, smoothed over 0 px",
    }  # fmt: skip
    assert data["thresholds"] == {"seed": 3.0, "grow": 2.0}
    assert data["provenance"] == PROVENANCE


def test_the_score_is_high_where_it_should_be(model):
    before, after, valid = pair(7)
    valid[:5] = False
    score = model_score(model, before, after, valid, BANDS)
    assert score.dtype == np.float32
    assert np.isnan(score[:5]).all()
    assert np.nanmin(score) >= 0
    assert np.nanmin(score[22:28, 42:48]) > np.nanquantile(score, 0.95)


def test_bands_may_come_in_any_order_and_be_more(model):
    before, after, valid = pair(7)
    expected = model_score(model, before, after, valid, BANDS)
    extra = [np.concatenate([image[::-1], image[:1] * 3]) for image in (before, after)]
    assert np.array_equal(model_score(model, *extra, valid, (*BANDS[::-1], "B12")), expected)
    with pytest.raises(MissingBandError, match=r"the model needs B11; give images with these bands"):
        model_score(model, before[:4], after[:4], valid, BANDS[:4])


def test_without_valid_pixels_there_is_no_score(model):
    before, after, valid = pair()
    assert np.isnan(model_score(model, before, after, np.zeros_like(valid), BANDS)).all()


def test_the_sentence_says_on_what_it_was_trained(model):
    said = model.sentence()
    assert "trained on 2 labelled site(s) (Pier, Hall)" in said
    assert "at sites it had not seen its F1 was 0.51" in said
    bare = TrainedModel(model.trees, BANDS, WEIGHTS, (), 3.0, 2.0, ())
    assert "0 labelled site(s) (not known). It finds" in bare.sentence()


# --- files that are no models -----------------------------------------------------------------------


def spoil(model, tmp_path, change):
    data = json.loads(json.dumps(model.to_dict()))
    change(data)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d.update(schema="changedet.run/1"), "layout 'changedet.run/1' is not"),
        (lambda d: d.pop("trees"), "trees"),
        (lambda d: d["trees"]["left"][0].__setitem__(0, 0), "points back"),
        (lambda d: d["trees"]["feature"][0].__setitem__(0, 999), "asks for feature 999"),
        (lambda d: d["trees"]["feature"][0].__setitem__(0, 10**9), "no model that can be used"),
        (lambda d: d["trees"].update(value=[[1], [2, 3]]), "no model that can be used"),
        (lambda d: d["trees"].update(baseline="x"), "could not convert"),
        (lambda d: d["thresholds"].update(seed=1.0), "weights or thresholds do not fit"),
        (lambda d: d["thresholds"].update(seed=math.inf), "weights or thresholds do not fit"),
        (lambda d: d["weights"].pop(), "weights or thresholds do not fit"),
        (lambda d: d.update(smoothing_px=[1e9]), "its smoothing is out of range"),
        (lambda d: d.update(provenance=3), "no model that can be used"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(model, tmp_path, change, text):
    path = spoil(model, tmp_path, change)
    with pytest.raises(InputFileError, match=text) as caught:
        open_model(path)
    assert str(caught.value).startswith(f"{path}: is no model")
    assert str(caught.value).endswith("train it again with changedet train")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\x80\x04\x95", b"[" * 100_000, b'{"schema": "changedet.model/1"}']
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(InputFileError, match="is no model that can be used"):
        open_model(tmp_path / "m.json")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(MissingInputError, match="no such file; name a file that changedet train wrote"):
        open_model(tmp_path / "m.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(features_version=0),
        lambda d: d["fingerprint"].__setitem__(2, d["fingerprint"][2] * 1.1 + 0.1),
        lambda d: d["fingerprint"].pop(),
    ],
)
def test_a_model_of_other_features_is_refused(model, tmp_path, change):
    with pytest.raises(
        InputFileError, match=r"computes in another way; train it again .* or use the version"
    ):
        open_model(spoil(model, tmp_path, change))


def test_the_last_digits_of_another_machine_do_no_harm(model, tmp_path):
    def _shake(data):
        data["fingerprint"] = [value * (1 + 1e-5) for value in data["fingerprint"]]

    assert open_model(spoil(model, tmp_path, _shake)).bands == BANDS


def test_nothing_is_overwritten_unasked(model, tmp_path):
    path = model.save(tmp_path / "m.json")
    with pytest.raises(OutputExistsError, match=r"is there already; .*--overwrite"):
        model.save(path)
    assert model.save(path, overwrite=True) == path
    with pytest.raises(OutputError, match="its folder is not there"):
        model.save(tmp_path / "nowhere" / "m.json")
    with pytest.raises(OutputExistsError):
        model.save(tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
