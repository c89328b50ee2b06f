"""``changedet train``: a table of the sites that were left out, and a file."""

import json

import pytest
from tests.models.test_training import SETTINGS, folders

from changedet.hashing import sha256_file
from changedet.models.growing import grow_trees
from changedet.models.trained import open_model

__all__ = ["folders"]  # a fixture


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Grow few trees, which is quick."""
    monkeypatch.setattr(
        "changedet.models.training.grow_trees", lambda samples, _: grow_trees(samples, SETTINGS)
    )


def test_a_model_is_written_with_its_figures(cli, folders, workplace):
    arguments = ["--runs", folders / "runs", "--truth", folders / "truth", "--site", "Pier", "--site", "Gate"]
    assert cli("train", *arguments, "--out", "m.json", "--json") == 0
    said = json.loads(cli.out)
    assert said["model"] == "m.json"
    assert said["sha256"] == sha256_file(workplace / "m.json")
    assert set(said["provenance"]["cross_validation"]["sites"]) == {"Pier", "Gate"}
    model = open_model(workplace / "m.json")
    assert model.provenance["dataset"]["kind"] == "runs"
    assert model.provenance["dataset"]["command"][0] == "changedet"
    assert cli("train", *arguments, "--out", "m.json") == 2
    assert "is there already" in cli.error


def test_the_table_sets_it_beside_the_method_without_training(cli, folders):
    arguments = ["--runs", folders / "runs", "--truth", folders / "truth", "--site", "Pier", "--site", "Hall"]
    assert cli("train", *arguments, "--out", "m.json") == 0
    lines = cli.out.splitlines()
    assert lines[0].startswith("left out ")
    assert lines[0].endswith("untrained AP  untrained F1")
    assert [line.split()[0] for line in lines[1:5]] == ["Hall", "Pier", "macro", "pooled"]
    assert "trained on 2 labelled site(s) (Hall, Pier)" in cli.out
    assert lines[-1] == "model: m.json"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--out", "m.json"], 2, "nothing to evaluate on was given"),
        (["--pairs", "missing", "--out", "m.json"], 8, "missing: no such folder"),
        (["--pairs", ".", "--out", "nowhere/m.json"], 73, "its folder is not there"),
    ],
)
def test_what_cannot_be_trained_is_one_line(cli, arguments, code, text):
    assert cli("train", *arguments) == code
    assert text in cli.error


def test_terms_of_the_labels_are_said(cli, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train_labels" / name / "cm").mkdir(parents=True)
        (tmp_path / "train_labels" / name / "cm" / f"{name}-cm.tif").touch()
    assert cli("train", "--dataset", "oscd", tmp_path, "--out", "m.json") == 8
    assert "non-commercial" in cli.err
    assert "2 of 2 site(s) have no examples" in cli.err
