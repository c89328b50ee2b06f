"""``changedet methods`` says of every detector what the register says."""

import json

import pytest

from changedet.cli import run
from changedet.comparison import DetectSettings
from changedet.core.optical import DETECTORS


@pytest.fixture
def listed(capsys):
    assert run(["methods", "--json"]) == 0
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)["methods"]}


def test_every_detector_is_there_with_what_it_is(listed):
    assert set(listed) == set(DETECTORS)
    for name, one in listed.items():
        assert one["title"] == DETECTORS[name].title
        assert one["parameters"] == json.loads(json.dumps(DETECTORS[name].parameters().to_dict()))
        assert one["doi"] is None or one["doi"].startswith("10.")
        assert (one["doi"] or "") in one["source"]
    assert listed["cva"]["doi"] == "10.1109/TGRS.2006.885408"
    assert listed["ndvi-difference"]["bands"] == ["B04", "B08"]
    assert listed["cva"]["bands"] == []
    assert listed["siroc"]["decides_at"] == 0.5
    assert listed["cva"]["decides_at"] is None


def test_one_is_the_default_and_comes_first(listed):
    assert [name for name, one in listed.items() if one["default"]] == [DetectSettings().method]
    assert next(iter(listed)) == DetectSettings().method


def test_a_reader_gets_the_same_in_words(capsys):
    assert run(["methods"]) == 0
    said = capsys.readouterr().out
    assert f"{DetectSettings().method} (default): " in said
    for detector in DETECTORS.values():
        assert f"{detector.name}" in said
        assert f"  source: {detector.source}\n" in said
    assert "  family: index; bands: B02, B04, B08, B11\n" in said
    assert "  by itself it calls a pixel changed above 0.5\n" in said
    in_one_line = " ".join(said.split())
    assert "parameters: energy = 0.95, smoothing_px = [1.0 2.0 4.0]" in in_one_line
    assert "radii_px = [0 7 14 ... 189], corners = False" in in_one_line
    assert max(map(len, said.splitlines())) <= 110


def test_it_takes_nothing_else(capsys):
    assert run(["methods", "cva"]) == 2
    assert "changedet: error:" in capsys.readouterr().err
