import errno
import json
import math
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal
from tests.synthetic import make_result, make_scene

from changedet.core.normalization import Normalization
from changedet.errors import (
    InputFileError,
    MissingInputError,
    OutputError,
    OutputExistsError,
    UsageError,
    VerificationError,
)
from changedet.output import folder as run_folder
from changedet.output import whole
from changedet.output.folder import check_target, open_run, save
from changedet.provenance import compare_folders, read_record, verify
from changedet.registration import Registration
from changedet.scene import Asset, Radiometry, Scene

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHIFTED = {"crs": "EPSG:32652", "transform": [10.0, 0.0, 246090.0, 0.0, -10.0, 4276460.0]}
FILES = {
    "report.html", "run.json", "score.tif", "construction.tif", "state.tif", "kind.tif", "before.tif",
    "after.tif", "changes.gpkg", "changes.geojson", "changes.kmz", "changes.csv", "plates/overview.png",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Stand-ins for the pictures and the report, which have tests of their own."""

    def plates(result, folder):
        (folder / "overview.png").write_bytes(result.name.encode())

    def report(result, path, record):
        assert "report.html" not in record["files"]
        path.write_text(json.dumps(record))

    monkeypatch.setattr(run_folder, "_write_plates", plates)
    monkeypatch.setattr(run_folder, "_write_report", report)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    result = make_result()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "_write_plates", lambda result, folder: None)
        patch.setattr(run_folder, "_write_report", lambda result, path, record: path.write_text(""))
        path = save(result, tmp_path_factory.mktemp("runs") / "run", started=STARTED)
    return result, open_run(path), path


@pytest.fixture
def copy(opened, tmp_path):
    return shutil.copytree(opened[2], tmp_path / "run")


def tree(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def fail_with(error):
    def fail(*_args, **_keywords):
        raise error

    return fail


class Steps:
    def __init__(self):
        self.names = []

    def step(self, name):
        self.names.append(name)

    def advance(self, share):
        pass


def test_a_run_folder_holds_what_it_promises(tmp_path):
    steps = Steps()
    path = save(
        make_result(), tmp_path / "new" / "run", started=STARTED, command=["changedet"], progress=steps
    )
    assert path == tmp_path / "new" / "run"
    assert tree(path) == FILES
    assert verify(path).passed
    record = read_record(path)
    assert set(record["files"]) == FILES - {"run.json"}
    assert list(record["files"]) == sorted(record["files"])
    assert record["command"] == ["changedet"]
    assert [p.name for p in path.parent.iterdir()] == ["run"]
    assert steps.names == [
        "writing the rasters",
        "writing the objects",
        "drawing the plates",
        "writing the report",
    ]


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(make_result(), tmp_path / name, started=STARTED)
    assert compare_folders(tmp_path / "a", tmp_path / "b").passed
    assert (tmp_path / "a" / "run.json").read_bytes() == (tmp_path / "b" / "run.json").read_bytes()


def test_new_folders_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").mkdir()
    save(make_result(), tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_images_are_kept_for_small_grids_only(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "KEEP_IMAGES_BELOW_PX", 12000)
    assert "before.tif" not in tree(save(make_result(), tmp_path / "large"))
    assert "before.tif" in tree(save(make_result(), tmp_path / "asked", keep_images=True))
    monkeypatch.setattr(run_folder, "KEEP_IMAGES_BELOW_PX", 12001)
    assert "after.tif" in tree(save(make_result(), tmp_path / "small"))
    assert "after.tif" not in tree(save(make_result(), tmp_path / "refused", keep_images=False))


@pytest.mark.parametrize("step", ["write_rasters", "write_kmz", "_write_report", "write_record"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("odd"), OSError(errno.EIO, "input error")])
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, step, error):
    monkeypatch.setattr(run_folder, step, fail_with(error))
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        save(make_result(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "input error")])
def test_a_failure_removes_the_folders_it_made_and_no_others(tmp_path, monkeypatch, error):
    monkeypatch.setattr(run_folder, "write_kmz", fail_with(error))
    (tmp_path / "mine").mkdir()
    with pytest.raises((KeyboardInterrupt, OutputError)):
        save(make_result(), tmp_path / "mine" / "a" / "b" / "run")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failure_leaves_the_older_run_alone(tmp_path, monkeypatch, error):
    save(make_result("old"), tmp_path / "run")
    monkeypatch.setattr(run_folder, "write_kmz", fail_with(error))
    with pytest.raises((KeyboardInterrupt, OutputError)):
        save(make_result("new"), tmp_path / "run", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert verify(tmp_path / "run").passed
    assert open_run(tmp_path / "run").name == "old"


def test_a_failure_between_the_renames_brings_the_older_run_back(tmp_path, monkeypatch):
    save(make_result("old"), tmp_path / "run")
    rename = Path.rename

    def fail_on_new(self, target):
        if ".part-" in self.name:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(OutputError, match="Permission denied"):
        save(make_result("new"), tmp_path / "run", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert open_run(tmp_path / "run").name == "old"


def test_overwriting_replaces_the_whole_folder(tmp_path):
    save(make_result("old"), tmp_path / "run")
    (tmp_path / "run" / "score.tif.aux.xml").write_text("left by a viewer")
    save(make_result("new"), tmp_path / "run", overwrite=True, keep_images=False)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert tree(tmp_path / "run") == FILES - {"before.tif", "after.tif"}
    assert open_run(tmp_path / "run").name == "new"


def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "write_kmz", fail_with(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OutputError, match="nothing was written: the disk is full; free some space") as caught:
        save(make_result(), tmp_path / "run")
    assert str(caught.value).startswith(str(tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_recognised_when_a_writer_hides_it(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(whole.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(
        run_folder, "write_rasters", fail_with(OutputError("raster cannot be written", where="x"))
    )
    with pytest.raises(OutputError, match="the disk is full"):
        save(make_result(), tmp_path / "run")


def test_a_writer_that_fails_otherwise_keeps_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr(
        run_folder, "write_rasters", fail_with(OutputError("raster cannot be written", where="x"))
    )
    with pytest.raises(
        OutputError, match="run: nothing was written: raster cannot be written; check the perm"
    ):
        save(make_result(), tmp_path / "run")


def test_a_parent_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="nothing was written"):
        save(make_result(), tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_parent_that_may_not_be_written_is_one_line(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        save(make_result(), tmp_path / "locked" / "run")


def test_an_existing_folder_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    monkeypatch.setattr(run_folder, "write_rasters", fail_with(AssertionError("work was done")))
    with pytest.raises(OutputExistsError, match=r"exists and is not empty; .*--overwrite"):
        save(make_result(), tmp_path / "run")


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    check_target(tmp_path / "run")
    save(make_result(), tmp_path / "run")
    assert verify(tmp_path / "run").passed
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("mine.txt", "mine", r"no readable run\.json"),
        ("run.json", "{}", r"no readable run\.json"),
        ("run.json", '{"schema": "another/1"}', r"no readable run\.json"),
    ],
)
def test_a_folder_that_no_run_wrote_is_never_replaced(tmp_path, name, content, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(OutputExistsError, match=text):
        save(make_result(), tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / name).read_text() == content


def test_notes_in_a_run_folder_are_not_deleted(tmp_path):
    save(make_result(), tmp_path / "run")
    (tmp_path / "run" / "notes").mkdir()
    (tmp_path / "run" / "notes" / "mine.md").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"holds what no run wrote \(notes/mine\.md\)"):
        check_target(tmp_path / "run", overwrite=True)


def test_files_and_the_working_directory_are_no_targets(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExistsError, match="a file of this name exists"):
        check_target(tmp_path / "file", overwrite=True)
    monkeypatch.chdir(tmp_path)
    for here in (".", "", tmp_path, "/"):
        with pytest.raises(UsageError, match="a folder of its own"):
            check_target(here)
    check_target("new")


def test_a_run_that_is_reached_by_a_link_is_left(tmp_path):
    save(make_result("old"), tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OutputExistsError, match="is a link to a folder elsewhere"):
        save(make_result("new"), tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert open_run(tmp_path / "real").name == "old"


def test_a_result_opens_as_it_was_saved(opened):
    result, back, path = opened
    for name in ("score", "state", "kind"):
        np.testing.assert_array_equal(getattr(back, name), getattr(result, name))
        assert getattr(back, name).dtype == getattr(result, name).dtype
    assert_geodataframe_equal(back.objects, result.objects, check_dtype=False)
    for name in (
        "name", "grid", "registration", "normalization", "parameters", "thresholds", "detection_floor",
        "warnings", "inputs",
    ):  # fmt: skip
        assert getattr(back, name) == getattr(result, name)
    assert back.pair.to_dict() == result.pair.to_dict()
    assert back.folder == path
    assert str(back.grid.crs) == str(result.grid.crs) == "EPSG:32652"


@pytest.mark.parametrize("date", ["before", "after"])
def test_the_images_open_as_they_were_compared(opened, date):
    result, back, _ = opened
    wanted, found = getattr(result, date), getattr(back, date)
    for name in ("data", "valid", "classes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert (found.bands, found.scene, found.classes_source) == (
        wanted.bands,
        wanted.scene,
        wanted.classes_source,
    )


def test_an_opened_result_saves_the_same_products(opened, tmp_path):
    _, back, path = opened
    save(back, tmp_path / "again", started=STARTED)
    again = compare_folders(path, tmp_path / "again")
    assert set(again.unexpected + again.changed) <= {"report.html", "plates/overview.png"}
    assert again.missing == ()


def test_plates_and_report_are_the_same_when_made_again(tmp_path, monkeypatch):
    monkeypatch.undo()  # the real ones
    save(make_result(), tmp_path / "first", started=STARTED)
    save(open_run(tmp_path / "first"), tmp_path / "again", started=STARTED)
    again = compare_folders(tmp_path / "first", tmp_path / "again")
    assert again.passed
    assert {"report.html", "plates/overview.png"} <= set(again.ok)


@pytest.mark.parametrize("refused", [False, True])
def test_thresholds_that_nothing_reaches_are_drawn_and_come_back(tmp_path, monkeypatch, refused):
    monkeypatch.undo()  # the real plates and the real report
    changes = {"thresholds": {"median": math.nan, "mad": 0.0, "seed": math.inf, "grow": math.inf}}
    if refused:
        changes |= {
            "score": np.full((100, 120), np.nan, np.float32), "state": np.full((100, 120), 3, np.uint8),
            "normalization": None, "refusals": ("registration is not reliable",),
            "detection_floor": {"min_area_m2": 500.0, "contrast_reflectance": math.nan},
        }  # fmt: skip
    save(make_result(boxes=[], kinds=[], **changes), tmp_path / "first", started=STARTED)
    page = (tmp_path / "first" / "report.html").read_text(encoding="utf-8")
    assert "flagged from" not in page
    assert "fainter than" not in page or not refused
    back = open_run(tmp_path / "first")
    assert back.thresholds["seed"] == back.thresholds["grow"] == math.inf
    save(back, tmp_path / "again", started=STARTED)
    assert compare_folders(tmp_path / "first", tmp_path / "again").passed


def test_a_result_without_images_opens_with_nan(tmp_path):
    save(make_result(), tmp_path / "run", keep_images=False)
    back = open_run(tmp_path / "run")
    assert np.isnan(back.before.data).all()
    assert not back.after.valid.any()
    assert back.before.bands == make_result().before.bands
    save(back, tmp_path / "again", keep_images=False)


def test_an_empty_refused_result_round_trips(tmp_path):
    registration = replace(
        make_result().registration, residual_px=math.nan, verdict="not comparable", applied=False
    )
    result = make_result(
        boxes=[], kinds=[], registration=registration, normalization=None,
        thresholds={"seed": math.inf, "grow": math.inf, "median": math.nan, "mad": math.nan},
        warnings=("a", "b"),
    )  # fmt: skip
    save(result, tmp_path / "run")
    back = open_run(tmp_path / "run")
    assert len(back.objects) == 0
    assert back.normalization is None
    assert math.isnan(back.registration.residual_px)
    assert back.registration.verdict == "not comparable"
    assert back.thresholds["seed"] == back.thresholds["grow"] == math.inf
    assert math.isnan(back.thresholds["median"])
    assert math.isnan(back.thresholds["mad"])
    assert back.warnings == ("a", "b")


@pytest.mark.parametrize("name", ["run.json", "score.tif", "construction.tif", "kind.tif", "changes.gpkg"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(MissingInputError, match=f"{name}: no such file"):
        open_run(copy)


@pytest.mark.parametrize("name", ["state.tif", "before.tif"])
def test_a_damaged_raster_is_named(copy, name):
    (copy / name).write_bytes(b"II*\x00")
    with pytest.raises(InputFileError, match=f"{name}: damaged"):
        open_run(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"grid": {"crs": "EPSG:32651"}}, {"grid": {"crs": "nowhere"}}, {"grid": None}, {"grid": SHIFTED},
        {"scenes": None}, {"scenes": {"before": {}}}, {"pair": {}}, {"registration": {"shift_px": "x"}},
        {"thresholds": {"seed": "many"}}, {"warnings": None}, {"bands": ["B02"]}, {"normalization": 3},
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_is_one_line(copy, change):
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(record | change))
    with pytest.raises(VerificationError, match="make the run again") as caught:
        open_run(copy)
    assert "\n" not in str(caught.value)


def test_the_construction_score_comes_back(opened):
    result, back, _ = opened
    np.testing.assert_array_equal(back.construction, result.construction)
    assert back.construction.dtype == np.float32


def test_a_folder_of_an_earlier_version_opens_and_is_written_again_without_the_construction_score(tmp_path):
    old = save(make_result(construction=None), tmp_path / "old", started=STARTED)
    back = open_run(old)
    assert back.construction is None
    assert "construction" not in back.to_xarray()
    assert verify(old).passed
    again = save(back, tmp_path / "again", started=STARTED)
    assert tree(again) == FILES - {"construction.tif"}


@pytest.mark.parametrize("name", ["state.tif", "construction.tif"])
def test_rasters_of_different_size_are_refused(copy, name):
    (copy / name).write_bytes((copy / "before.tif").read_bytes())
    with pytest.raises(VerificationError, match="differ in size"):
        open_run(copy)


def test_scenes_come_back_from_their_description():
    radiometry = Radiometry(2.0, 0.5, nodata=None, saturated=65535, source="a file", assumed=True)
    for scene in (
        make_scene(),
        Scene("x", "local"),
        make_scene(assets={"B02": Asset("a.nc", 3, "red", radiometry)}, notes=("one",), simulated=True),
    ):
        described = json.loads(json.dumps(scene.to_dict()))
        assert Scene.from_dict(described) == scene
    with pytest.raises(KeyError):
        Scene.from_dict({"time_utc": None})


def test_registration_and_normalisation_come_back_from_their_descriptions():
    result = make_result()
    described = json.loads(json.dumps(result.registration.to_dict()))
    assert Registration.from_dict(described) == result.registration
    lost = Registration.from_dict(described | {"shift_px": [None, 1.0], "reliability": None})
    assert math.isnan(lost.shift_px[0])
    assert math.isnan(lost.reliability)
    described = json.loads(json.dumps(result.normalization.to_dict()))
    assert Normalization.from_dict(described) == result.normalization
    assert math.isnan(Normalization.from_dict(described | {"invariant_share": None}).invariant_share)
