import hashlib
import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from tests.synthetic import make_result

from changedet.errors import InputFileError, MissingInputError, OutputError, VerificationError
from changedet.hashing import sha256_file
from changedet.kinds import Kind
from changedet.provenance import (
    SCHEMA,
    Verification,
    compare_folders,
    file_names,
    file_records,
    library_versions,
    limits,
    read_record,
    run_record,
    to_json_types,
    verify,
    write_record,
)

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    (run / "plates").mkdir(parents=True)
    (run / "score.tif").write_bytes(b"score")
    (run / "plates" / "overview.png").write_bytes(b"picture")
    write_record(run, run_record(make_result(), run, started=STARTED, command=["changedet", "demo"]))
    return run


def rewrite(folder, **changes):
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps(record | changes), encoding="utf-8")


def test_the_record_says_what_was_done_with_what(folder):
    result, record = make_result(), read_record(folder)
    assert record["schema"] == SCHEMA == "changedet.run/1"
    assert record["software"]["name"] == "changedet"
    assert {"python", "numpy", "gdal (rasters)", "gdal (vectors)", "proj"} <= set(
        record["software"]["libraries"]
    )
    assert record["created_utc"] == "2026-01-02T03:04:05Z"
    assert record["command"] == ["changedet", "demo"]
    assert record["scenes"]["before"]["id"] == result.before.scene.id
    assert record["scenes"]["after"]["time_utc"] == "2025-05-14T02:07:01Z"
    assert record["registration"]["residual_px"] == 0.04
    assert record["grid"] == {
        "crs": "EPSG:32652",
        "transform": [10.0, 0.0, 246080.0, 0.0, -10.0, 4276460.0],
        "shape": [100, 120],
        "pixel_size": [10.0, 10.0],
    }
    assert record["counts"]["objects_by_kind"]["new construction"] == 1
    assert sum(record["counts"]["pixels_by_state"].values()) == 12000
    assert record["counts"]["valid_share"] == 0.98
    assert record["credit"] == list(dict.fromkeys([result.before.scene.credit, result.after.scene.credit]))


def test_every_file_but_the_record_is_listed_with_its_digest(folder):
    files = read_record(folder)["files"]
    assert set(files) == {"score.tif", "plates/overview.png"}
    assert files["score.tif"] == {"sha256": hashlib.sha256(b"score").hexdigest(), "bytes": 5}


def test_a_record_without_a_folder_lists_no_files():
    before = datetime.now(UTC) - timedelta(seconds=1)
    record = run_record(make_result())
    assert record["files"] == {}
    assert before <= datetime.fromisoformat(record["created_utc"]) <= datetime.now(UTC)


def test_the_start_is_written_in_utc():
    started = STARTED.astimezone(timezone(timedelta(hours=9)))
    assert run_record(make_result(), started=started)["created_utc"] == "2026-01-02T03:04:05Z"


def test_the_record_repeats():
    assert run_record(make_result(), started=STARTED) == run_record(make_result(), started=STARTED)


def test_the_file_is_strict_readable_json(tmp_path):
    result = make_result(
        name="Käf \ud800", thresholds={"seed": math.nan, "grow": np.float32("inf"), "mad": np.float64(1)}
    )
    write_record(tmp_path, run_record(result))

    def refuse(text):
        raise AssertionError(text)

    raw = (tmp_path / "run.json").read_text(encoding="utf-8")
    record = json.loads(raw, parse_constant=refuse)
    assert record["thresholds"] == {"seed": None, "grow": None, "mad": 1.0}
    assert "Käf" in raw
    assert raw.endswith("}\n")
    assert next(iter(record)) == "schema"


def test_a_refused_pair_has_no_normalisation():
    assert run_record(make_result(normalization=None))["normalization"] is None


def test_limits_are_sentences_that_promise_nothing():
    sentences = limits(make_result())
    assert all(s.endswith(".") for s in sentences)
    text = " ".join(sentences)
    assert "10 m wide" in text
    assert "does not mean that nothing happened" in text
    assert "500 m²" in text
    assert "0.031" in text
    assert "not observed" in text
    for word in ("confirmed", "no change", "probability"):
        assert word not in text.lower()


def test_limits_say_simulated_and_leave_out_what_is_not_known():
    result = make_result(detection_floor={}, state=np.zeros((100, 120), np.uint8))
    scene = replace(result.after.scene, simulated=True, resolution_m=20.0)
    text = " ".join(limits(replace(result, after=replace(result.after, scene=scene))))
    assert "SIMULATED" in text
    assert "20 m wide" in text
    assert "floor" not in text
    assert "not observed" not in text


@pytest.mark.parametrize(
    ("resolution_m", "scene_m", "text"), [(30, 10, "30 m"), (10, 20, "20 m"), (10, 10, "10 m")]
)
def test_limits_name_the_coarser_of_scene_and_grid(resolution_m, scene_m, text):
    result = make_result()
    grid = GeoBox((100, 120), Affine(resolution_m, 0, 246080, 0, -resolution_m, 4276460), "EPSG:32652")
    after = replace(result.after, scene=replace(result.after.scene, resolution_m=float(scene_m)))
    assert limits(replace(result, grid=grid, after=after))[0].startswith(f"Pixels are {text} wide:")


def test_an_untouched_folder_passes(folder):
    assert verify(folder) == Verification(("plates/overview.png", "score.tif"), (), (), ())
    assert verify(folder).passed


def test_every_kind_of_tampering_is_named(folder):
    (folder / "score.tif").write_bytes(b"scorf")
    (folder / "plates" / "overview.png").unlink()
    (folder / "plates" / "extra.png").write_bytes(b"")
    found = verify(folder)
    assert found == Verification((), ("score.tif",), ("plates/overview.png",), ("plates/extra.png",))
    assert not found.passed


@pytest.mark.parametrize("group", ["changed", "missing", "unexpected"])
def test_one_difference_is_enough_to_fail(group):
    groups = {"ok": ("a",), "changed": (), "missing": (), "unexpected": ()} | {group: ("b",)}
    assert not Verification(**groups).passed


@given(position=st.integers(0, 4), byte=st.integers(1, 255))
def test_any_changed_byte_is_found(tmp_path_factory, position, byte):
    run = tmp_path_factory.mktemp("run")
    (run / "a").write_bytes(b"score")
    write_record(run, {"schema": SCHEMA, "files": {"a": {"sha256": sha256_file(run / "a")}}})
    data = bytearray(b"score")
    data[position] ^= byte
    (run / "a").write_bytes(bytes(data))
    assert verify(run).changed == ("a",)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/hostname", "plates/../../x", "..", "C:\\x", "C:x", "a\\..\\b", "", "a\0b", "~/../../x"],
)
def test_paths_that_leave_the_folder_are_refused(folder, name):
    rewrite(folder, files={name: {"sha256": "0" * 64}})
    with pytest.raises(VerificationError, match="names a file outside the folder"):
        verify(folder)


def test_links_that_leave_the_folder_are_refused(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"score")
    (folder / "score.tif").unlink()
    (folder / "score.tif").symlink_to(secret)
    with pytest.raises(VerificationError, match="outside the folder"):
        verify(folder)


def test_links_to_folders_are_not_followed(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(b"")
    (folder / "plates" / "more").symlink_to(tmp_path / "elsewhere")
    assert file_names(folder) == ["plates/more", "plates/overview.png", "score.tif"]
    assert verify(folder).unexpected == ("plates/more",)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[" * 200_000, "damaged"),
        (b"[]", "layout 'None' is not"),
        (b"{}", "layout 'None' is not"),
        (b'{"schema": "changedet.run/99"}', "use the version that wrote it"),
        (b'{"schema": ["x"]}', "layout"),
        (b'{"schema": "changedet.run/1"}', "lists no files"),
        (b'{"schema": "changedet.run/1", "files": {"a": null}}', "no digest for 'a'"),
        (b'{"schema": "changedet.run/1", "files": {"a": {"sha256": 3}}}', "no digest for 'a'"),
    ],
)
def test_a_damaged_record_is_one_line(folder, content, text):
    (folder / "run.json").write_bytes(content)
    with pytest.raises(VerificationError, match=text) as caught:
        verify(folder)
    assert "\n" not in str(caught.value)
    assert str(folder / "run.json") in str(caught.value)


def test_a_folder_without_a_record_is_missing_input(tmp_path):
    with pytest.raises(
        MissingInputError, match=r"run\.json: no such file; name a folder that changedet wrote"
    ):
        verify(tmp_path)
    with pytest.raises(InputFileError):
        verify(tmp_path / "none")
    (tmp_path / "timeline.json").touch()
    with pytest.raises(
        MissingInputError, match="the folder of a timeline, which holds no candidates; name one"
    ):
        verify(tmp_path)


def test_what_viewers_leave_is_listed_and_does_not_fail(folder, tmp_path):
    for name in ("score.tif.aux.xml", "plates/Thumbs.db"):
        (folder / name).write_text("")
    found = verify(folder)
    assert found.passed
    assert found.unexpected == ()
    assert found.left_by_viewers == ("plates/Thumbs.db", "score.tif.aux.xml")
    other = tmp_path / "other"
    (other / "plates").mkdir(parents=True)
    (other / "score.tif").write_bytes(b"score")
    (other / "plates" / "overview.png").write_bytes(b"picture")
    (other / "desktop.ini").write_text("")
    found = compare_folders(folder, other)
    assert found.passed
    assert found.left_by_viewers == ("desktop.ini", "plates/Thumbs.db", "score.tif.aux.xml")


def test_a_promised_file_is_checked_whatever_its_name(folder):
    rewrite(folder, files={"score.tif.aux.xml": {"sha256": "0" * 64}})
    (folder / "score.tif.aux.xml").write_text("")
    assert verify(folder).changed == ("score.tif.aux.xml",)


def test_folders_may_be_given_as_text(folder, tmp_path):
    text = str(folder)
    assert verify(text) == verify(folder)
    assert compare_folders(text, text).passed
    assert file_names(text) == file_names(folder)
    assert read_record(text) == read_record(folder)
    assert run_record(make_result(), text)["files"] == read_record(folder)["files"]
    assert file_records(text, ["score.tif"])["score.tif"]["bytes"] == 5
    assert write_record(str(tmp_path), {}) == tmp_path / "run.json"


def test_only_libraries_that_decide_numbers_are_named():
    names = set(library_versions())
    assert {"numpy", "scipy", "opencv-python-headless", "rasterio", "odc-geo"} <= names
    assert not names & {"scikit-image", "sentinelhub", "typer", "jinja2"}


def test_folders_are_compared_without_their_records(folder, tmp_path):
    other = tmp_path / "other"
    (other / "plates").mkdir(parents=True)
    (other / "score.tif").write_bytes(b"score")
    (other / "plates" / "overview.png").write_bytes(b"picture")
    assert compare_folders(folder, other).passed
    (other / "score.tif").write_bytes(b"other")
    (other / "plates" / "overview.png").unlink()
    (other / "new").write_bytes(b"")
    assert compare_folders(folder, other) == Verification(
        (), ("score.tif",), ("plates/overview.png",), ("new",)
    )


def test_comparing_needs_two_folders(folder, tmp_path):
    with pytest.raises(MissingInputError, match="no such folder"):
        compare_folders(folder, tmp_path / "none")


def test_files_that_cannot_be_read_back_are_an_output_error(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="cannot be read back"):
        run_record(make_result(), tmp_path)


def test_a_record_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="check the free space"):
        write_record(tmp_path / "none", {})


def test_values_become_json():
    value = {
        1: (np.int64(2), np.bool_(True), np.array([1.5, math.nan])),
        "path": Path("a/b"),
        "pure": PurePosixPath("c"),
        "kind": Kind.WATER,
        "time": STARTED,
        "set": {"b", "a"},
        "none": None,
    }
    assert to_json_types(value) == {
        "1": [2, True, [1.5, None]],
        "path": "a/b",
        "pure": "c",
        "kind": 5,
        "time": "2026-01-02T03:04:05+00:00",
        "set": ["a", "b"],
        "none": None,
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
        max_leaves=10,
    )
)
def test_any_value_is_strict_json_and_stays_so(value):
    plain = to_json_types(value)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert to_json_types(plain) == plain
