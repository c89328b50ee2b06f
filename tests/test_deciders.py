"""Who decides: detectors with and without a background, trained models, and what each refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import make_image
from tests.test_comparison import BOX, EVERYWHERE, changed, pair_of
from tests.tree_models import SENTENCE, model_of

from changedet.comparison import DetectSettings, compare, threshold_of
from changedet.core.optical import DETECTORS
from changedet.core.prediction import predict_change
from changedet.core.smoothing import smooth_score
from changedet.core.threshold import robust_thresholds
from changedet.deciders import MODEL_METHOD, Evidence, open_deciders
from changedet.errors import InputFileError, MissingBandError, MissingInputError, UsageError
from changedet.hashing import sha256_file
from changedet.result import State

#: Detectors that speak of change by themselves.
VOTING = [name for name, detector in DETECTORS.items() if detector.decides_at is not None]


@pytest.fixture(scope="module")
def model():
    before, after = changed()
    labels = np.zeros(before.valid.shape, bool)
    labels[BOX] = True
    return model_of(before.data, after.data, before.valid & after.valid, labels, before.bands)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return str(model.save(tmp_path_factory.mktemp("models") / "boxes.json"))


def first_of(method):
    return open_deciders(DetectSettings(method=method)).first


class TestSharpScores:
    """What is small stands out of a score that is neither capped nor smoothed widely."""

    def test_only_the_default_has_one(self, path):
        for decider in (first_of("cva"), open_deciders(DetectSettings(model=path)).first):
            assert decider.sharp_score(None) is None
        assert not open_deciders(DetectSettings(model=path)).first.passes_over_seasons

    def test_it_leaves_out_the_cap_and_the_widest_gaussian(self):
        before, after = changed()
        usable = before.valid & after.valid
        weights = DetectSettings().weights_of(before)
        prediction = predict_change(np.nan_to_num(before.data), np.nan_to_num(after.data), usable, weights)
        evidence = Evidence(before, after, usable, weights, prediction)
        sharp, (_, score) = first_of("predict").sharp_score(evidence), first_of("predict").scores(evidence)
        expected = smooth_score(prediction.uncapped(), usable, (1.0, 2.0, 4.0))
        np.testing.assert_array_equal(sharp, expected)
        assert np.nanmax(sharp) / np.nanmedian(sharp) > np.nanmax(score) / np.nanmedian(score)


class TestDetectors:
    @pytest.mark.parametrize("name", VOTING)
    def test_a_score_that_does_not_vary_is_decided_by_the_method_itself(self, name):
        score = np.zeros((40, 40), np.float32)
        score[10:14, 10:14] = 2.0
        found = first_of(name).thresholds(score)
        assert found.seed == found.grow == DETECTORS[name].decides_at
        assert np.array_equal(first_of(name).outline(score), score > 1)

    def test_a_background_so_wide_that_no_share_of_votes_exceeds_it_does_not_decide(self):
        score = np.random.default_rng(0).uniform(0, 1, (60, 60)).astype(np.float32)
        assert robust_thresholds(score).seed > 1
        assert first_of("siroc").thresholds(score).seed == 0.5
        assert np.array_equal(first_of("siroc").outline(score), score > 0.5)

    @pytest.mark.parametrize("name", VOTING)
    def test_a_narrow_background_decides(self, name):
        score = np.random.default_rng(0).uniform(0, 0.1, (60, 60)).astype(np.float32)
        assert first_of(name).thresholds(score) == robust_thresholds(score)
        score[30, 30] = 0.95
        assert np.argwhere(first_of(name).outline(score)).tolist() == [[30, 30]]

    def test_what_only_scores_is_never_given_a_threshold(self):
        assert np.isinf(first_of("cva").thresholds(np.zeros((9, 9), np.float32)).seed)

    def test_no_share_of_votes_exceeds_one(self):
        assert DETECTORS["siroc"].highest == 1.0
        assert all(d.highest > (d.decides_at or 0) for d in DETECTORS.values())

    @pytest.mark.parametrize("name", VOTING)
    def test_they_flag_a_large_change(self, name):
        found = compare(pair_of(*changed()), EVERYWHERE, DetectSettings(method=name), refused=False)
        assert not found.refusal
        assert (found.state[BOX] == State.CHANGED).mean() > 0.6
        assert (found.state == State.CHANGED).mean() < 0.1

    @pytest.mark.parametrize("name", VOTING)
    def test_equal_images_give_them_no_reason_to_flag(self, name):
        image = make_image(0)
        found = compare(pair_of(image, image), EVERYWHERE, DetectSettings(method=name), refused=False)
        assert not (found.state == State.CHANGED).any()

    def test_bands_that_are_missing_are_named(self):
        text = (
            "ndbi-difference needs B11, and there is only B04, B08; give images with these bands, or choose"
        )
        with pytest.raises(MissingBandError, match=text):
            open_deciders(DetectSettings(method="ndbi-difference")).require(("B04", "B08"))
        open_deciders(DetectSettings(method="ndbi-difference")).require(("B08", "B11"))

    @pytest.mark.parametrize(
        ("method", "opinions"),
        [
            ("predict", ("prediction", "change vector")),
            ("cva", ("change vector", "prediction")),
            ("irmad", ("irmad", "prediction")),
        ],
    )
    def test_the_two_who_are_asked_differ_and_have_names(self, method, opinions):
        deciders = open_deciders(DetectSettings(method=method))
        assert deciders.opinions == opinions
        assert deciders.notes == ()
        assert deciders.inputs == {}

    @pytest.mark.parametrize("method", ["predict", "pca-kmeans"])
    def test_samples_are_drawn_with_the_seed_of_the_settings(self, method):
        assert open_deciders(DetectSettings(method=method, seed=7)).first.to_dict()["seed"] == 7


class TestModels:
    def test_it_flags_what_it_learnt(self, path):
        found = compare(pair_of(*changed()), EVERYWHERE, DetectSettings(model=path), refused=False)
        assert (found.state[BOX] == State.CHANGED).mean() > 0.8
        outside = found.state == State.CHANGED
        outside[BOX] = False
        assert outside.mean() < 0.01
        assert found.flagged.opinions == ("trained model", "prediction")

    def test_its_own_thresholds_decide(self, path, model):
        found = compare(pair_of(*changed()), EVERYWHERE, DetectSettings(model=path), refused=False)
        thresholds = found.flagged.thresholds
        assert (thresholds.seed, thresholds.grow) == (model.seed, model.grow)
        assert np.nanmin(found.flagged.score[found.state == State.CHANGED]) > model.grow
        assert np.nanmax(found.flagged.score[BOX]) > model.seed

    def test_a_higher_threshold_in_the_file_flags_less(self, model, tmp_path):
        high = np.nanmax(
            compare(
                pair_of(*changed()), EVERYWHERE, DetectSettings(model=str(model.save(tmp_path / "a.json"))),
                refused=False,
            ).flagged.score
        )  # fmt: skip
        strict = replace(model, seed=float(high) + 1).save(tmp_path / "b.json")
        found = compare(pair_of(*changed()), EVERYWHERE, DetectSettings(model=str(strict)), refused=False)
        assert not (found.state == State.CHANGED).any()

    def test_a_candidate_needs_contrast_all_the_same(self, path):
        settings = DetectSettings(model=path)
        demanding = replace(settings, threshold=replace(settings.threshold, seed_contrast=0.9))
        found = compare(pair_of(*changed()), EVERYWHERE, demanding, refused=False)
        assert not (found.state == State.CHANGED).any()

    def test_what_is_recorded_holds_it_to_its_digest(self, path, model, tmp_path):
        copy = model.save(tmp_path / "m.json")
        deciders = open_deciders(DetectSettings(model=str(copy)))
        assert deciders.first.name == MODEL_METHOD
        assert deciders.notes == (SENTENCE,)
        assert deciders.inputs["model"]["provenance"] == dict(model.provenance)
        settled = deciders.settled(DetectSettings(model=str(copy)))
        assert settled.model_sha256 == sha256_file(copy) == deciders.model["sha256"]
        again = DetectSettings.from_dict(json.loads(json.dumps(settled.to_dict())))
        assert open_deciders(again).settled(again) == settled
        replace(model, seed=model.seed + 1).save(copy, overwrite=True)
        with pytest.raises(
            InputFileError, match=r"m\.json: model file has changed: .*; restore the file that"
        ):
            open_deciders(again)

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(MissingInputError, match="no such file; name a file that changedet train wrote"):
            open_deciders(DetectSettings(model=str(tmp_path / "gone.json")))

    def test_images_without_its_bands_are_refused(self, path):
        before, after = (image.select(("B02", "B03")) for image in changed())
        with pytest.raises(MissingBandError, match=r"the model needs B04, .*; give images with these bands"):
            compare(pair_of(before, after), EVERYWHERE, DetectSettings(model=path), refused=False)

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"method": "cva"}, "a model decides, and so cannot cva; leave out the method or the model"),
            ({"threshold": threshold_of(14.0)}, "a model brings its own thresholds; leave out the threshold"),
        ],
    )
    def test_what_it_would_pass_over_is_refused(self, changes, text):
        with pytest.raises(UsageError, match=text):
            DetectSettings(model="m.json", **changes)

    def test_a_budget_ranks_by_it(self, path):
        settings = DetectSettings(model=path, budget=0.01, min_area_m2=0.0)
        found = compare(pair_of(*changed()), EVERYWHERE, settings, refused=False)
        judged = np.isfinite(found.flagged.score)
        flagged = found.state == State.CHANGED
        assert 0 < flagged.sum() <= 0.01 * judged.sum()
        assert found.flagged.score[flagged].min() >= np.quantile(found.flagged.score[judged], 0.99)
