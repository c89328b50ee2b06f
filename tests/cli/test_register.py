"""``changedet register``: what it prints, what it writes, and when it refuses."""

import json

import geopandas as gpd
import pytest
import rasterio
from tests.test_registering import ground, seen, write

from changedet.cli import run


@pytest.fixture
def pair(tmp_path):
    return ["--reference", str(write(tmp_path / "a.tif", seen())), "--moving",
            str(write(tmp_path / "b.tif", seen(1.5, -2.5, seed=2)))]  # fmt: skip


def test_it_tells_the_verdict_and_writes_what_was_asked_for(pair, tmp_path, capsys):
    out, ties = tmp_path / "c.tif", tmp_path / "t.gpkg"
    assert run(["register", *pair, "--out", str(out), "--tie-points", str(ties)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "registration: corrected"
    assert "shift 2.8" in said.out
    assert "tie points agree" in said.out
    assert f"written: {out}" in said.out
    assert f"tie points: {ties}" in said.err
    assert len(gpd.read_file(ties)) > 50
    with rasterio.open(out) as file:
        assert file.count == 3


def test_json_is_one_document(pair, capsys):
    assert run(["register", *pair, "--json", "--quiet", "--global"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] is None
    assert said["registration"]["verdict"] == "corrected"
    assert said["registration"]["model"] == "translation"
    assert said["registration"]["shift_px"] == pytest.approx([1.5, -2.5], abs=0.05)


@pytest.mark.parametrize("with_file", [True, False])
def test_another_place_ends_with_6_and_writes_nothing(pair, tmp_path, capsys, with_file):
    write(tmp_path / "b.tif", seen(scene=ground(7)))
    out = tmp_path / "c.tif"
    assert run(["register", *pair, "--json", *(["--out", str(out)] if with_file else [])]) == 6
    said = capsys.readouterr()
    assert not out.exists()
    assert len(said.err.splitlines()) == 1
    assert "give images of the same ground" in said.err
    document = json.loads(said.out)
    assert document["error"]["exit_code"] == 6
    assert document["registration"]["verdict"] == "not comparable"
    assert document["registration"]["reason"]


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["--max-shift", "far"], 2, "not a length"),
        (["--max-residual", "0"], 2, "max-residual"),
        (["--out", "OUT"], 2, "is there already"),
        (["--tie-points", "OUT"], 2, "is there already"),
        (["--moving", "nothing.tif"], 8, "no such file"),
    ],
)
def test_slips_are_told_in_one_line(pair, tmp_path, capsys, more, code, text):
    there = tmp_path / "there.tif"
    there.write_text("mine")
    words = [str(there) if word == "OUT" else word for word in more]
    assert run(["register", *pair, *words]) == code
    said = capsys.readouterr()
    assert text in said.err
    assert len(said.err.splitlines()) == 1
    assert there.read_text() == "mine"


def test_a_short_search_does_not_find_a_long_shift(tmp_path, pair, capsys):
    write(tmp_path / "b.tif", seen(20.0, 25.0))
    assert run(["register", *pair]) == 0
    assert "corrected" in capsys.readouterr().out
    assert run(["register", *pair, "--max-shift", "50m"]) == 6


def test_overwrite_replaces(pair, tmp_path):
    out = tmp_path / "c.tif"
    out.write_text("old")
    assert run(["register", *pair, "--out", str(out), "--overwrite", "-q"]) == 0
    with rasterio.open(out) as file:
        assert file.crs.to_epsg() == 32633
