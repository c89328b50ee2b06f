"""Evaluations of several sites: runs and pairs, failures, what is recorded, and the Onera figures."""

import json
import math
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from tests.data import data_folder
from tests.runs import write_no_plates

from changedet.comparison import DetectSettings
from changedet.errors import MissingInputError
from changedet.evaluation.evaluating import SCHEMA, Evaluation, evaluate, evaluate_site
from changedet.evaluation.sets import LabelledSite, SitePlace, TruthFile, read_oscd, read_pairs
from changedet.pipeline import detect

OSCD = data_folder() / "oscd"
SMALLEST = "bercy"


def missing():
    raise MissingInputError("nothing is called after", where="Pier")


@pytest.fixture(scope="module")
def finished_run(sample_result, tmp_path_factory):
    """A run folder of the bundled pair, without plates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        return replace(sample_result, name="Sample pair").save(tmp_path_factory.mktemp("runs") / "Pier")


@pytest.fixture(scope="module")
def evaluated(sample, finished_run):
    """A pair, the same as a finished run, and a site that lacks a part."""
    truth = TruthFile(sample / "truth.tif")
    seen = []
    places = [
        SitePlace("pair", partial(LabelledSite, "pair", truth, sample / "before", sample / "after")),
        SitePlace("Pier", missing),
        SitePlace("run", partial(LabelledSite, "run", truth, run=finished_run)),
    ]
    found = evaluate(
        places, dataset={"name": "two"}, keep=lambda name, result: seen.append((name, result.name))
    )
    return found, seen


def test_a_run_has_the_figures_of_its_pair(evaluated):
    pair, run = evaluated[0].to_dict()["sites"]
    for row in ("method", "cva_at_equal_area", "confidence"):
        assert pair[row] == run[row]
    assert pair["method"]["rates"]["roc_auc"] > 0.8
    assert pair["method"]["rates"]["object_recall"] >= 0.6
    assert set(pair["inputs"]) == {"truth", "before", "after"}
    assert set(run["inputs"]) == {"truth", "run"}
    assert pair["before"] == "2021-05-21"


def test_a_site_that_fails_does_not_hold_up_the_others(evaluated):
    found = evaluated[0]
    assert [site.name for site in found.sites] == ["pair", "run"]
    assert [(one.site, one.exit_code) for one in found.failures] == [("Pier", 8)]
    assert found.to_dict()["failed"][0]["reason"] == "Pier: nothing is called after"


def test_every_result_is_handed_on_once(evaluated):
    assert [name for name, _ in evaluated[1]] == ["pair", "run"]
    assert evaluated[1][1][1] == "Sample pair"


def test_macro_and_pooled_stand_side_by_side(evaluated):
    document = evaluated[0].to_dict()
    one = document["sites"][0]["method"]
    # of a site and its twin, both are the figures of the site
    for word in ("macro", "pooled"):
        rates = document[word]["method"]["rates"]
        assert {k: v for k, v in rates.items() if v is not None} == pytest.approx(
            {k: v for k, v in one["rates"].items() if v is not None}
        )
    assert document["macro"]["sites"] == 2
    counts = document["pooled"]["method"]["counts"]
    assert counts["hit_pixels"] == 2 * one["counts"]["hit_pixels"]
    assert document["pooled"]["curves"]["cva"]["roc"]
    assert document["higher_than_cva"]["f1"] in ([0, 2], [2, 2])


def test_the_document_is_strict_json_with_its_provenance(evaluated):
    document = evaluated[0].to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == SCHEMA == "changedet.evaluation.evaluating/1"
    assert document["dataset"] == {"name": "two"}
    assert document["settings"] == DetectSettings().to_dict() | {
        "threshold": document["settings"]["threshold"]
    }
    assert document["software"]["version"]
    assert document["created_utc"].endswith("Z")
    assert document["command"] is None


def test_runs_alone_have_no_settings_of_this_evaluation(sample, finished_run):
    truth = TruthFile(sample / "truth.tif")
    found = evaluate([SitePlace("run", partial(LabelledSite, "run", truth, run=finished_run))])
    assert found.settings is None
    assert found.to_dict()["settings"] is None


def test_without_any_site_nothing_is_summed_up():
    document = Evaluation(()).to_dict()
    assert (document["macro"], document["pooled"], document["higher_than_cva"]) == (None, None, None)
    assert document["sites"] == []


def test_a_comparison_needs_every_site(evaluated):
    first, second = evaluated[0].sites
    blind = replace(second, measures=replace(second.measures, cva=None))
    document = Evaluation((first, blind)).to_dict()
    assert document["pooled"]["cva_at_equal_area"] is None
    assert document["macro"]["cva_at_equal_area"] is None
    assert document["sites"][1]["cva_at_equal_area"] is None
    assert document["higher_than_cva"] is None
    assert document["pooled"]["method"]["rates"]["f1"]


def test_steps_are_told_site_by_site(sample, finished_run):
    class Listener:
        def __init__(self):
            self.heard = []

        def begin_site(self, name, number, count):
            self.heard.append((name, number, count))

        def step(self, name):
            self.heard.append(name)

        def advance(self, share):
            pass

    listener = Listener()
    place = SitePlace("x", partial(LabelledSite, "x", TruthFile(sample / "truth.tif"), run=finished_run))
    evaluate([place], progress=listener)
    assert listener.heard == [("x", 1, 1), "opening the run", "measuring"]


def test_a_site_needs_images_or_a_run(sample):
    with pytest.raises(ValueError, match="neither a run nor two images"):
        evaluate_site(LabelledSite("x", TruthFile(sample / "truth.tif"), before=sample / "before"))


def test_settings_reach_the_comparison(sample):
    (place,) = read_pairs(sample)
    found = evaluate([place], DetectSettings(method="cva"))
    about = found.to_dict()["sites"][0]
    assert about["parameters"]["method"] == "cva"
    assert found.to_dict()["settings"]["method"] == "cva"


@pytest.mark.real
@pytest.mark.skipif(
    not (OSCD / "images" / SMALLEST).is_dir(),
    reason="no labelled pairs: set CHANGEDET_DATA to the folder that holds oscd/",
)
def test_figures_of_the_smallest_onera_city_are_those_of_scikit_learn():
    (place,) = (one for one in read_oscd(OSCD) if one.name == SMALLEST)
    site = place.find()
    rates = evaluate_site(site).measures.method.rates()
    result = detect(site.before, site.after)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(site.truth.path) as file:
            truth = (file.read(1) == 2).ravel()
    blind = np.isnan(result.score)
    score = np.where(blind, np.nanmin(result.score) - 1, result.score).astype(float).ravel()
    precision, recall, _ = precision_recall_curve(truth, score)
    changed = (result.state == 1).ravel()
    hit, false, miss = (changed & truth).sum(), (changed & ~truth).sum(), (~changed & truth).sum()
    expected = {
        "roc_auc": roc_auc_score(truth, score),
        "average_precision": average_precision_score(truth, score),
        "best_f1": (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max(),
        "f1": 2 * hit / (2 * hit + false + miss),
        "precision": hit / (hit + false),
        "recall": hit / (hit + miss),
        "not_judged_share": blind.mean(),
    }
    assert {name: rates[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert not math.isnan(rates["object_recall"])
