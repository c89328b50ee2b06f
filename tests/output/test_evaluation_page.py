"""The page of an evaluation: whole, closed to the network, and fair to what it shows."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import GRID, make_result

from changedet.attempts import Failure
from changedet.errors import OutputError, OutputExistsError
from changedet.evaluation.evaluating import Evaluation, SiteEvaluation
from changedet.evaluation.measures import measure
from changedet.evaluation.sets import Truth
from changedet.output.evaluation_page import (
    CAUTIONS,
    RATES,
    check_evaluation_folder,
    evaluation_html,
    finding,
    rate_text,
    write_evaluation,
)

ABOUT = {
    "before": "2023-05-14", "after": "2025-05-14", "pixels": [100, 120],
    "parameters": {"method": "predict", "threshold": {"seed_mads": 10.0}}, "refusals": [],
    "warnings": ["clouds were looked for by spectral tests alone"], "inputs": {"truth": {"t.tif": "ab" * 32}},
}  # fmt: skip


def make_evaluation(names=("Pier", "Hall <b>"), **changes):
    changed = np.zeros(tuple(GRID.shape), bool)
    changed[30:42, 40:50] = True
    measures = measure(make_result(), Truth(changed, np.ones_like(changed)))
    sites = tuple(SiteEvaluation(name, measures, ABOUT) for name in names)
    return replace(Evaluation(sites, dataset={"name": "made up"}), **changes)


@pytest.fixture(scope="module")
def document():
    return make_evaluation(failures=(Failure("Gate", "no truth", 8),)).to_dict()


@pytest.fixture(scope="module")
def page(document):
    return evaluation_html(document)


def test_the_page_loads_nothing(page):
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert all(url.startswith("data:") for url in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "://" not in re.sub(r"data:[^\"]*", "", page)


def test_names_from_outside_are_text(page):
    assert "Hall &lt;b&gt;" in page
    assert "Hall <b>" not in page


def test_macro_and_pooled_and_their_caution_are_shown(page, document):
    for word in ("Method, macro", "Method, pooled", "Change vectors, macro", "Change vectors, pooled"):
        assert word in page
    assert CAUTIONS[1] in page
    assert finding(document) in page
    assert "2 site(s), macro and pooled: F1 0.577 and 0.577" in finding(document)
    assert all(label in page for _, label, _ in RATES)


def test_sites_without_figures_are_said_first(page):
    assert page.index("1 site(s) could not be evaluated") < page.index("All sites together")
    assert "no truth" in page


def test_curves_and_calibration_are_pictures_of_their_own(page):
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert len(pictures) == 2
    curves, calibration = (base64.b64decode(picture).decode() for picture in pictures)
    assert "pooled, change vectors" in curves
    assert "of 2" in calibration  # counts stand beside the shares


def test_the_same_document_gives_the_same_page(page, document):
    assert evaluation_html(json.loads(json.dumps(document))) == page


def test_provenance_is_shown(page, document):
    assert "ab" * 32 in page
    assert "threshold.seed_mads" in page
    assert document["created_utc"] in page
    assert "clouds were looked for by spectral tests alone" in page


def test_an_evaluation_without_comparison_says_so():
    sites = make_evaluation(("Pier",)).sites
    blind = replace(sites[0], measures=replace(sites[0].measures, cva=None))
    page = evaluation_html(Evaluation((blind,)).to_dict())
    assert "Not every site could be compared with change vector analysis" in page
    assert "at equal flagged area</caption>" not in page


def test_an_evaluation_in_which_all_failed_is_still_a_page():
    page = evaluation_html(Evaluation((), (Failure("Gate", "no truth", 8),)).to_dict())
    assert "No site could be evaluated." in page
    assert "no truth" in page


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("f1", None, "-"), ("f1", 0.48712, "0.487"), ("not_judged_share", 0.0003, "under 0.1 %"),
     ("object_recall", 0.516, "0.52"), ("false_objects_per_km2", float("nan"), "-")],
)  # fmt: skip
def test_rates_are_written_for_a_reader(name, value, text):
    assert rate_text(name, value) == text


def test_both_files_are_written(document, tmp_path):
    path = write_evaluation(document, tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / "evaluation.html"
    assert json.loads((path.parent / "evaluation.json").read_text(encoding="utf-8")) == document
    assert sorted(p.name for p in path.parent.iterdir()) == ["evaluation.html", "evaluation.json"]


def test_a_folder_that_cannot_be_made_is_said(document, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written .*choose another folder"):
        write_evaluation(document, tmp_path / "file" / "out")


def test_only_an_earlier_evaluation_may_be_replaced(document, tmp_path):
    out = tmp_path / "out"
    check_evaluation_folder(out, overwrite=False)
    write_evaluation(document, out)
    (out / "runs").mkdir()
    with pytest.raises(OutputExistsError, match=r"exists and is not empty; .*--overwrite"):
        check_evaluation_folder(out, overwrite=False)
    check_evaluation_folder(out, overwrite=True)
    (out / "thesis.doc").touch()
    with pytest.raises(OutputExistsError, match=r"what no evaluation wrote \(thesis.doc\)"):
        check_evaluation_folder(out, overwrite=True)
    with pytest.raises(OutputExistsError, match="a file of this name exists"):
        check_evaluation_folder(out / "thesis.doc", overwrite=True)
