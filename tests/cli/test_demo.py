import json
import shutil

import pytest
from tests.runs import SAMPLES

from changedet.cli.demo import compare_with_truth
from changedet.objects import COLUMNS
from changedet.provenance import read_record, verify

pytestmark = pytest.mark.usefixtures("no_plates")


def fail(*_arguments, **_keywords):
    raise KeyboardInterrupt


def test_the_bundled_samples_give_the_truth_and_what_was_found(cli, workplace):
    assert cli("demo", "--samples", SAMPLES.parent, "--out", "run", "--json") == 0
    document = json.loads(cli.out)
    assert document["folder"] == "run"
    found = [event["found"] for event in document["events"]]
    assert len(found) == 5
    assert sum(found) >= 4
    assert {"wheat cut early", "late snow on the hill top"} <= {d["name"] for d in document["decoys"]}
    assert isinstance(document["other_objects"], list)
    assert read_record(workplace / "run")["name"] == "Simulated demo site"
    assert verify(workplace / "run").passed
    assert [p.name for p in workplace.iterdir()] == ["run"]


def test_without_samples_the_scenes_are_made_beside_the_run(cli, workplace):
    assert cli("demo", "--out", "run") == 0
    lines = cli.out.splitlines()
    assert lines[0].startswith("Simulated scenes, known truth: ")
    assert lines[-1] == "Check it with: changedet verify --rerun run"
    assert "Things that look like change and are not:" in lines
    assert {p.name for p in workplace.iterdir()} == {"run", "run-sample"}
    for path in sorted((workplace / "run-sample" / "before").iterdir()):
        assert path.read_bytes() == (SAMPLES / "before" / path.name).read_bytes()
    assert cli("verify", "run", "--rerun") == 0


def test_scenes_of_an_earlier_demo_are_not_overwritten_unasked(cli, workplace):
    (workplace / "run-sample").mkdir()
    (workplace / "run-sample" / "truth.json").write_text("mine")
    assert cli("demo", "--out", "run") == 2
    assert "run-sample: is there already; pass --overwrite to replace it" in cli.error
    assert (workplace / "run-sample" / "truth.json").read_text() == "mine"


def test_an_existing_run_is_refused_before_any_work(cli, workplace, monkeypatch):
    (workplace / "run").mkdir()
    (workplace / "run" / "mine.txt").write_text("mine")
    monkeypatch.setattr("changedet.samples.make_pair", fail)
    assert cli("demo", "--out", "run") == 2
    assert "run: the folder exists and is not empty" in cli.error


def test_an_interrupted_demo_leaves_nothing(cli, workplace, monkeypatch):
    monkeypatch.setattr("changedet.output.folder.write_vectors", fail)
    monkeypatch.setattr("changedet.samples.make_pair", lambda folder: shutil.copytree(SAMPLES, folder))
    assert cli("demo", "--out", "run") == 130
    assert "stopped by the user" in cli.error
    assert not list(workplace.iterdir())


def test_samples_that_are_not_there(cli, workplace):
    assert cli("demo", "--samples", "nowhere", "--out", "run") == 8
    assert "nowhere/pair/before: no such file or folder" in cli.error
    assert not list(workplace.iterdir())


def test_the_comparison_with_the_truth_counts_areas(tmp_path):
    import geopandas as gpd
    from shapely import box

    events = gpd.GeoDataFrame(
        {"name": ["half", "none"], "kind": ["new construction", "demolition"]},
        geometry=[box(0, 0, 100, 100), box(500, 0, 600, 100)], crs="EPSG:32652",
    )  # fmt: skip
    for name, table in (("truth", events.iloc[[0]]), ("decoys", events.iloc[[1]])):
        table.to_file(tmp_path / f"{name}.gpkg")
    objects = gpd.GeoDataFrame(
        {"id": [1, 2], "kind": ["new construction", "water change"]},
        geometry=[box(50, 0, 150, 100), box(2000, 0, 2100, 100)], crs="EPSG:32652",
    )  # fmt: skip
    assert {"id", "kind"} <= set(COLUMNS)
    found = compare_with_truth(objects, tmp_path / "truth.gpkg", tmp_path / "decoys.gpkg")
    assert found[0] == [
        {"name": "half", "kind": "new construction", "area_m2": 10000.0, "flagged_share": 0.5, "found": True,
         "objects": [1], "given_kinds": ["new construction"]}
    ]  # fmt: skip
    assert found[1][0]["found"] is False
    assert found[1][0]["given_kinds"] == []
    assert found[2] == [2]
