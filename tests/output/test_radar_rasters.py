"""Radar in a run folder: what is written comes back, and folders without radar stay as they were."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from tests.synthetic import make_both, make_radar_alone, make_result

from changedet.errors import MissingInputError, VerificationError
from changedet.output import folder as run_folder
from changedet.output.folder import open_run, save
from changedet.output.radar_rasters import radar_section, seen_codes, write_radar_rasters
from changedet.provenance import compare_folders, read_record, verify
from changedet.radar.types import SEEN_LABELS, Seen
from changedet.result import State

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OF_RADAR = {"radar_score.tif", "radar_change_db.tif", "radar_state.tif", "sensor.tif"}
PICTURES = {"radar_before.tif", "radar_after.tif"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Run folders of both sensors and of radar alone, without plates and report."""
    results = {"both": make_both(), "alone": make_radar_alone(), "grey": make_radar_alone(("VV",))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "_write_plates", lambda result, folder: None)
        patch.setattr(run_folder, "_write_report", lambda result, path, record: path.write_text(""))
        folder = tmp_path_factory.mktemp("runs")
        paths = {name: save(result, folder / name, started=STARTED) for name, result in results.items()}
    return results, paths


def names(path):
    return {one.name for one in path.glob("*.tif")}


def same(one, other):
    """The evidence of one result is that of another."""
    for name in ("deviations", "change_db", "flagged", "observed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    for name in ("before", "after"):
        wanted, found = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(found.data, wanted.data)
        np.testing.assert_array_equal(found.valid, wanted.valid)
        assert (found.bands, found.scene, found.classes_source) == (
            wanted.bands, wanted.scene, wanted.classes_source,
        )  # fmt: skip
    assert (one.grid, one.settings, one.warnings) == (other.grid, other.settings, other.warnings)
    assert [track.to_dict() for track in one.tracks] == [track.to_dict() for track in other.tracks]


@pytest.mark.parametrize("which", ["both", "alone", "grey"])
def test_evidence_opens_as_it_was_saved(saved, which):
    results, paths = saved
    back = open_run(paths[which])
    same(results[which].radar, back.radar)
    assert back.radar.tracks[0] == results[which].radar.tracks[0]
    assert back.radar_alone == (which != "both")
    np.testing.assert_array_equal(back.radar.seen, seen_codes(results[which]))
    np.testing.assert_array_equal(seen_codes(back), seen_codes(results[which]))
    assert verify(paths[which]).passed


def test_the_files_are_those_of_the_sensors(saved):
    _, paths = saved
    usual = {"score.tif", "state.tif", "kind.tif", "before.tif", "after.tif"}
    assert names(paths["both"]) == usual | OF_RADAR | PICTURES | {"construction.tif"}
    assert names(paths["alone"]) == usual | OF_RADAR
    assert set(read_record(paths["both"])["files"]) >= OF_RADAR | PICTURES


def test_rasters_say_what_they_hold(saved):
    _, paths = saved
    with rasterio.open(paths["both"] / "radar_score.tif") as file:
        assert file.dtypes == ("float32",)
        assert "standard deviations of unaltered ground; positive = brighter" in file.descriptions[0]
    with rasterio.open(paths["both"] / "radar_change_db.tif") as file:
        assert file.descriptions[0].startswith("decibels")
    with rasterio.open(paths["both"] / "sensor.tif") as file:
        assert file.nodata == Seen.OUTSIDE
        assert "2 = observed by radar alone; 3 = observed by both" in file.descriptions[0]
        assert file.colormap(1)[255][3] == 0
    with rasterio.open(paths["alone"] / "before.tif") as file:
        assert file.descriptions == ("VV", "VH", "SCL", "valid")
        assert file.tags()["UNITS"].startswith("linear gamma nought")


def test_ground_that_radar_did_not_judge_is_not_called_unflagged(tmp_path):
    result = make_both()
    result.state[-5:] = State.OUTSIDE
    deviations = result.radar.deviations.copy()
    deviations[50:55, 50:55] = np.nan
    (_, _, path, _) = write_radar_rasters(
        replace(result, radar=replace(result.radar, deviations=deviations)), tmp_path, images=False
    )
    with rasterio.open(path) as file:
        state = file.read(1)
        assert "3 = observed and not judged by radar" in file.descriptions[0]
    assert (state[-5:, 10:] == State.NOT_COMPARABLE).all()
    assert (state[50:55, 50:55] == State.NOT_COMPARABLE).all()
    assert (state[:, :6] == State.NOT_OBSERVED).all()
    assert state[70, 70] == State.NOT_FLAGGED
    np.testing.assert_array_equal(state == State.CHANGED, result.radar.flagged)


def test_what_was_only_ranked_is_not_called_unflagged(tmp_path):
    result = make_both()
    tracks = tuple(replace(one, method="log-ratio") for one in result.radar.tracks)
    radar = replace(result.radar, tracks=tracks, flagged=np.zeros_like(result.radar.flagged))
    (_, _, path, _) = write_radar_rasters(replace(result, radar=radar), tmp_path, images=False)
    with rasterio.open(path) as file:
        assert set(np.unique(file.read(1))) == {State.NOT_OBSERVED, State.NOT_COMPARABLE}


def test_sensors_are_told_apart_pixel_by_pixel():
    result = make_both()
    result.state[-5:] = State.OUTSIDE
    codes = seen_codes(result)
    assert codes[2, 2] == Seen.NEITHER  # a cloud, and no pass
    assert codes[2, 10] == Seen.RADAR
    assert codes[50, 2] == Seen.OPTICAL
    assert codes[50, 50] == Seen.BOTH
    assert (codes[-5:] == Seen.OUTSIDE).all()
    assert set(np.unique(seen_codes(make_radar_alone()))) == {Seen.NEITHER, Seen.RADAR}
    assert set(np.unique(seen_codes(make_result()))) == {Seen.NEITHER, Seen.OPTICAL}


def test_what_the_evidence_says_itself_of_sensors_is_believed():
    result = make_both()
    stated = np.full(result.state.shape, Seen.RADAR, np.uint8)
    assert (seen_codes(replace(result, radar=replace(result.radar, seen=stated))) == Seen.RADAR).all()


def test_the_record_counts_what_the_sensors_saw_and_flagged():
    result = make_both()
    counts = radar_section(result)["counts"]
    assert sum(counts["pixels_by_sensor"].values()) == result.state.size
    assert sum(counts["share_by_sensor"].values()) == pytest.approx(1)
    assert counts["objects_by_sensor"] == {"both": 1, "conflicting": 1, "optical only": 1, "radar only": 1}
    assert counts["pixels_flagged_by_radar"] == int(result.radar.flagged.sum()) > 0
    section = radar_section(result)
    assert [track["method"] for track in section["tracks"]] == ["likelihood ratio", "log-ratio"]
    assert section["tracks"][1]["looks"] is None
    assert section["settings"]["least_change_db"] == 3.5
    assert radar_section(make_result()) == {}


def test_a_run_opened_without_images_keeps_its_evidence(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_write_plates", lambda result, folder: None)
    monkeypatch.setattr(run_folder, "_write_report", lambda result, path, record: path.write_text(""))
    results, _ = saved
    path = save(results["both"], tmp_path / "run", started=STARTED, keep_images=False)
    assert not PICTURES & names(path)
    back = open_run(path)
    assert np.isnan(back.radar.after.data).all()
    np.testing.assert_array_equal(back.radar.deviations, results["both"].radar.deviations)
    save(back, tmp_path / "again", started=STARTED, keep_images=False)
    assert set(compare_folders(path, tmp_path / "again").changed) == {"changes.kmz"}  # its pictures are gone


def test_an_opened_run_saves_the_same_bytes(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_write_plates", lambda result, folder: None)
    monkeypatch.setattr(run_folder, "_write_report", lambda result, path, record: path.write_text(""))
    _, paths = saved
    for which in ("both", "alone"):
        save(open_run(paths[which]), tmp_path / which, started=STARTED)
        assert compare_folders(paths[which], tmp_path / which).passed
        assert (paths[which] / "run.json").read_bytes() == (tmp_path / which / "run.json").read_bytes()


def test_folders_without_radar_stay_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_write_plates", lambda result, folder: None)
    monkeypatch.setattr(run_folder, "_write_report", lambda result, path, record: path.write_text(""))
    path = save(make_result(), tmp_path / "run", started=STARTED)
    assert not (OF_RADAR | PICTURES) & names(path)
    assert "radar" not in read_record(path)
    assert open_run(path).radar is None


def test_a_missing_or_foreign_raster_of_radar_is_one_line(saved, tmp_path):
    _, paths = saved
    folder = shutil.copytree(paths["both"], tmp_path / "run")
    (folder / "radar_state.tif").unlink()
    with pytest.raises(MissingInputError, match=r"radar_state\.tif: no such file; make the run again"):
        open_run(folder)
    shutil.copy(folder / "radar_before.tif", folder / "radar_state.tif")
    with pytest.raises(VerificationError, match="does not fit the other files"):
        open_run(folder)


@pytest.mark.parametrize("part", ["tracks", "settings", "pictures"])
def test_a_record_without_a_part_of_radar_is_one_line(saved, tmp_path, part):
    _, paths = saved
    folder = shutil.copytree(paths["both"], tmp_path / "run")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    del record["radar"][part]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(VerificationError, match="incomplete, or does not fit"):
        open_run(folder)


def test_the_documents_describe_the_files_and_the_codes(saved):
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    part = text[text.index("### Files of radar") : text.index("### Codes of `state.tif`")]
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
        for name in re.findall(r"`(.*?)`", row)
    }
    assert {name for name in listed if name.endswith(".tif")} == OF_RADAR | PICTURES
    assert "plates/radar.png" in listed
    for code, label in SEEN_LABELS.items():
        assert f"| {int(code)} | {label} |" in part
    described = text[text.index("With radar there is the key `radar`") :]
    assert all(f"`{key}`" in described for key in radar_section(saved[0]["both"]) if key != "pictures")
