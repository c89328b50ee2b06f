import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runs import SAMPLES, write_no_plates

from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.output.folder import save
from changedet.pipeline import detect
from changedet.provenance import read_record
from changedet.rerun import repeat, rerun
from changedet.site import Site


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a small site without pictures and images, and the folder of its scenes."""
    folder = tmp_path_factory.mktemp("finished")
    for date in ("before", "after"):
        shutil.copytree(SAMPLES / date, folder / "scenes" / date)
    site = Site.at("38.2707, 126.4994", radius_m=400, name="Crossing")
    result = detect(folder / "scenes" / "before", folder / "scenes" / "after", site=site)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        save(replace(result, name="Crossing at noon"), folder / "run", keep_images=False)
    return folder


@pytest.fixture
def small_run(finished, tmp_path, no_plates):
    """A copy of the run folder that a test may spoil; its scenes are where they were."""
    return shutil.copytree(finished / "run", tmp_path / "run")


@pytest.fixture
def borrowed(finished):
    """Gives files of the scenes to a test and puts them back."""
    kept = {}

    def lend(name):
        path = next((finished / "scenes").glob(name))
        kept[path] = path.read_bytes()
        return path

    yield lend
    for path, content in kept.items():
        path.write_bytes(content)


def change_record(folder, change):
    record = read_record(folder)
    change(record)
    (folder / "run.json").write_text(json.dumps(record))


def test_every_byte_comes_out_again(small_run, monkeypatch, tmp_path):
    # the inputs are absolute: where the repetition is started does not matter
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = rerun(small_run)
    assert found.passed, found
    assert "report.html" in found.ok
    assert "before.tif" not in found.ok
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_day_in_the_record_is_still_a_day(small_run):
    change_record(small_run, lambda record: record["inputs"]["after"]["options"].update(time="2024-06-01"))
    scene = repeat(read_record(small_run), where=small_run).pair.after.scene
    assert (scene.day_only, scene.time_text) == (True, "2024-06-01")


def test_a_changed_product_is_named(small_run):
    path = small_run / "changes.csv"
    path.write_text(path.read_text() + "\n")
    (small_run / "kind.tif").unlink()
    found = rerun(small_run)
    assert found.changed == ("changes.csv",)
    assert found.unexpected == ("kind.tif",)
    assert not found.passed


def test_another_setting_gives_other_products(small_run):
    def stricter(record):
        record["inputs"]["settings"]["min_area_m2"] = 8000.0

    change_record(small_run, stricter)
    assert {"changes.csv", "state.tif"} <= set(rerun(small_run).changed)


def test_the_result_keeps_its_name_and_its_site(small_run):
    result = repeat(read_record(small_run), where=small_run)
    assert result.name == "Crossing at noon"
    assert result.inputs["site"]["name"] == "Crossing"


def test_a_missing_input_is_named(small_run, borrowed):
    borrowed("after/*B04.tif").unlink()
    with pytest.raises(InputFileError, match=r"B04\.tif: input file of the run is missing; put it back"):
        rerun(small_run)


def test_a_changed_input_is_named(small_run, borrowed):
    path = borrowed("before/*B03.tif")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputFileError, match=r"B03\.tif: input file has changed since the run; restore"):
        rerun(small_run)


def test_images_in_memory_cannot_be_read_again(unshifted, tmp_path, no_plates):
    result = detect(unshifted.before.to_image(), unshifted.after.to_image())
    folder = save(result, tmp_path / "run", keep_images=False)
    with pytest.raises(
        InputFileError, match=r"given in memory, so the run cannot be repeated from run\.json"
    ):
        rerun(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record.pop("inputs"),
        lambda record: record["inputs"].pop("settings"),
        lambda record: record["inputs"]["before"].pop("files"),
        lambda record: record["inputs"].update(after=3),
        lambda record: record.update(created_utc="yesterday"),
    ],
)
def test_an_incomplete_record_is_one_line(small_run, spoil):
    change_record(small_run, spoil)
    with pytest.raises(
        InputFileError, match=r"does not say how the run was made .*run changedet detect again"
    ):
        rerun(small_run)


@pytest.mark.parametrize("scenes", [[], [{}], None], ids=["none", "damaged", "null"])
def test_a_record_without_its_fetched_scenes_is_one_line(small_run, scenes):
    def fetched(record):
        record["inputs"].update(
            {word: {"provider": "earth-search", "scenes": scenes} for word in ("before", "after")}
        )
        record["inputs"]["reason"] = "they match"

    change_record(small_run, fetched)
    with pytest.raises(InputFileError, match="does not say how the run was made"):
        rerun(small_run)


def test_settings_of_another_kind_are_refused(small_run):
    change_record(small_run, lambda record: record["inputs"]["settings"].update(method="magic"))
    with pytest.raises(UsageError, match="unknown method 'magic'"):
        rerun(small_run)


def test_no_run_folder(tmp_path):
    with pytest.raises(MissingInputError, match="name a folder that changedet wrote"):
        rerun(tmp_path / "nowhere")


def test_the_scratch_folder_is_removed(small_run, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    rerun(small_run)
    assert not list(scratch.iterdir())
    assert {p.name for p in Path(small_run).parent.iterdir()} == {"run", "scratch"}
