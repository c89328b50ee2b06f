import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from tests.runs import SAMPLES

from changedet.cli.demo import compare_with_truth
from changedet.objects import COLUMNS
from changedet.provenance import read_record, verify

pytestmark = pytest.mark.usefixtures("no_plates")


def copy_samples(folder):
    """Stand in for `changedet.samples.make_pair`, which takes a few seconds."""
    shutil.copytree(SAMPLES, folder, dirs_exist_ok=True)


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
        # not by their bytes: another TIFF library packs the same pixels in another way
        with rasterio.open(path) as made, rasterio.open(SAMPLES / "before" / path.name) as kept:
            np.testing.assert_array_equal(made.read(), kept.read())
            assert made.profile == kept.profile and made.tags() == kept.tags()
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
    monkeypatch.setattr("changedet.samples.make_pair", copy_samples)
    assert cli("demo", "--out", "new/run") == 130
    assert "stopped by the user" in cli.error
    assert not list(workplace.iterdir())


class TestScenesOfAnEarlierDemo:
    @pytest.fixture(autouse=True)
    def earlier(self, workplace, monkeypatch):
        monkeypatch.setattr("changedet.samples.make_pair", copy_samples)
        shutil.copytree(SAMPLES, workplace / "run-sample")
        (workplace / "run-sample" / "truth.tif").write_bytes(b"old")
        return workplace / "run-sample"

    def test_they_are_replaced_whole(self, cli, workplace, earlier):
        (earlier / "truth.tif.aux.xml").write_text("left by a viewer")
        assert cli("demo", "--out", "run", "--overwrite") == 0
        assert {p.name for p in workplace.iterdir()} == {"run", "run-sample"}
        assert {p.name for p in earlier.iterdir()} == {p.name for p in SAMPLES.iterdir()}
        assert (earlier / "truth.tif").read_bytes() == (SAMPLES / "truth.tif").read_bytes()

    @pytest.mark.parametrize("name", ["notes.txt", "before/mine.tif"])
    def test_files_that_no_demo_wrote_are_kept(self, cli, workplace, earlier, name):
        (earlier / name).write_text("mine")
        assert cli("demo", "--out", "run", "--overwrite") == 2
        assert f"run-sample: the folder holds what no demo wrote ({name}); choose another" in cli.error
        assert (earlier / name).read_text() == "mine"
        assert (earlier / "truth.tif").read_bytes() == b"old"
        assert [p.name for p in workplace.iterdir()] == ["run-sample"]

    @pytest.mark.parametrize("content", [None, "mine", '{"notice": "mine"}', "[]"])
    def test_a_folder_of_another_kind_is_refused_before_any_work(
        self, cli, workplace, earlier, monkeypatch, content
    ):
        (earlier / "truth.json").unlink()
        if content is not None:
            (earlier / "truth.json").write_text(content)
        monkeypatch.setattr("changedet.samples.make_pair", fail)
        assert cli("demo", "--out", "run", "--overwrite") == 2
        assert "run-sample: is there already and holds no simulated scenes" in cli.error
        assert (earlier / "truth.tif").read_bytes() == b"old"

    @pytest.mark.parametrize("step", ["changedet.samples.make_pair", "changedet.output.folder.write_vectors"])
    def test_a_failure_brings_them_back(self, cli, workplace, earlier, monkeypatch, step):
        monkeypatch.setattr(step, fail)
        assert cli("demo", "--out", "run", "--overwrite") == 130
        assert [p.name for p in workplace.iterdir()] == ["run-sample"]
        assert (earlier / "truth.tif").read_bytes() == b"old"

    def test_a_link_is_not_followed(self, cli, workplace, earlier):
        earlier.rename(workplace / "elsewhere")
        earlier.symlink_to("elsewhere")
        assert cli("demo", "--out", "run", "--overwrite") == 2
        assert (workplace / "elsewhere" / "truth.tif").read_bytes() == b"old"


def test_warnings_are_told_once(cli, monkeypatch):
    from changedet.pipeline import detect

    def warn(*arguments, **keywords):
        return replace(detect(*arguments, **keywords), warnings=("mind the haze",))

    monkeypatch.setattr("changedet.pipeline.detect", warn)
    assert cli("demo", "--samples", SAMPLES.parent, "--out", "run") == 0
    assert "warning: mind the haze" in cli.out.splitlines()
    assert cli.err == ""
    assert cli("demo", "--samples", SAMPLES.parent, "--out", "more", "--json") == 0
    assert cli.err == "changedet: warning: mind the haze\n"


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
