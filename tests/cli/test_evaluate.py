"""``changedet evaluate``: what it prints and writes, and how it ends."""

import json
import shutil

import pytest

from changedet.provenance import verify

pytestmark = pytest.mark.usefixtures("no_plates")


@pytest.fixture
def runs(workplace, sample, sample_result):
    """A folder of one run, and a folder with its truth."""
    sample_result.save(workplace / "runs" / "Pier")
    (workplace / "truth").mkdir()
    shutil.copy(sample / "truth.geojson", workplace / "truth" / "Pier.geojson")
    return ["--runs", "runs", "--truth", "truth"]


def test_a_table_and_a_page(cli, runs, workplace):
    assert cli("evaluate", *runs) == 0
    head, site, *rest = cli.out.splitlines()
    assert head.split()[:3] == ["site", "AUC", "AP"]
    assert site.startswith("Pier ")
    names = [line.split("  ")[0] for line in rest]
    assert names[:4] == ["macro", "macro, change vectors", "pooled", "pooled, change vectors"]
    assert any("hides how rare change is" in line for line in rest)
    assert rest[-1] == "page: changedet-runs/evaluation-runs/evaluation.html"
    assert (workplace / "changedet-runs" / "evaluation-runs" / "evaluation.json").is_file()


def test_json_is_the_document_that_is_written(cli, runs, workplace):
    assert cli("evaluate", *runs, "--json", "--out", "e") == 0
    said = json.loads(cli.out)
    assert said.pop("folder") == "e"
    assert said == json.loads((workplace / "e" / "evaluation.json").read_text(encoding="utf-8"))
    assert said["dataset"] == {"kind": "runs", "name": "runs", "path": "runs"}
    assert said["command"][0] == "changedet"


def test_pairs_are_compared_and_their_runs_kept(cli, workplace, sample):
    assert cli("evaluate", "--pairs", sample, "--out", "e", "--keep-runs", "--method", "cva") == 0
    document = json.loads((workplace / "e" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["settings"]["method"] == "cva"
    assert document["dataset"]["kind"] == "pairs"
    assert verify(workplace / "e" / "runs" / "pair").passed
    # the runs that were kept are evaluated alike
    assert cli("evaluate", "--runs", "e/runs", "--truth", sample / "truth.tif", "--out", "g", "--json") == 0
    assert json.loads(cli.out)["macro"] == document["macro"]


def test_a_site_that_fails_ends_with_7_and_the_rest_is_written(cli, runs, workplace):
    shutil.copytree(workplace / "runs" / "Pier", workplace / "runs" / "Gate")
    assert cli("evaluate", *runs, "--out", "e", "--json") == 7
    assert "changedet: error: 1 of 2 site(s) have no figures, Gate first: " in cli.err
    said = json.loads(cli.out)
    assert said["error"]["exit_code"] == 7
    assert [one["site"] for one in said["failed"]] == ["Gate"]
    assert [one["site"] for one in said["sites"]] == ["Pier"]
    assert (workplace / "e" / "evaluation.html").is_file()


def test_sites_can_be_named(cli, runs, workplace):
    shutil.copytree(workplace / "runs" / "Pier", workplace / "runs" / "Gate")
    assert cli("evaluate", *runs, "--site", "Pier") == 0
    assert cli("evaluate", *runs, "--site", "Pear", "--overwrite") == 2
    assert "there is no site 'Pear'; take one such as Gate, Pier" in cli.error


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "nothing to evaluate on was given"),
        (["--pairs", "a", "--runs", "b"], 2, "--pairs and --runs contradict each other"),
        (["--runs", "b"], 2, "--runs and --truth belong together"),
        (["--pairs", "a", "--truth", "b"], 2, "--runs and --truth belong together"),
        (["--dataset", "levir", "x"], 2, "unknown data set 'levir'; choose oscd"),
        (["--dataset", "oscd", "x"], 8, "no labels such as train_labels/CITY"),
        (["--pairs", "missing"], 8, "missing: no such folder"),
        (["--runs", "missing", "--truth", "b"], 8, "no run folders"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(cli, arguments, code, text):
    assert cli("evaluate", *arguments) == code
    assert text in cli.error


def test_nothing_is_overwritten_unasked(cli, runs, workplace):
    assert cli("evaluate", *runs, "--out", "e") == 0
    assert cli("evaluate", *runs, "--out", "e") == 2
    assert "allow overwriting (--overwrite)" in cli.error
    assert cli("evaluate", *runs, "--out", "e", "--overwrite", "--quiet") == 0
    assert cli("evaluate", *runs, "--out", "runs", "--overwrite") == 2
    assert "what no evaluation wrote" in cli.error
