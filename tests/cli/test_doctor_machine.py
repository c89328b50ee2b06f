"""What is looked at of folders, memory and fonts, and what a reader is told to do."""

from collections import namedtuple

import pytest

from changedet.cli import doctor_machine

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def found(workplace):
    def look(cache=None):
        return {one.check: one for one in doctor_machine.machine(cache)}

    return look


def test_a_machine_that_will_do(found, workplace):
    assert {one.status for one in found().values()} <= {"ok", "missing"}
    assert str(workplace) in found()["current folder"].detail
    assert "0 scene(s), 0.0 of at most 20.0 GB" in found()["cache"].detail


@pytest.mark.parametrize("check", ["current folder", "temporary folder"])
def test_a_folder_that_cannot_be_written(found, monkeypatch, check):
    def refuse(**_keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    one = found()[check]
    assert one.status == "failed"
    assert "Permission denied; " in one.detail
    assert ("--out" in one.detail) == (check == "current folder")
    assert ("CHANGEDET_SCRATCH" in one.detail) == (check == "temporary folder")


def test_a_full_disk_says_how_much_is_left_and_what_frees_it(found, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: Usage(10**9, 9 * 10**8, 10**8))
    assert found()["current folder"].detail.endswith(
        "only 100 MB free; make room, or go to a folder of your own, or give --out"
    )
    assert found()["cache"].status == "failed"
    assert "changedet cache prune" in found()["cache"].detail


def test_a_scratch_folder_that_is_not_there(found, monkeypatch, tmp_path):
    monkeypatch.setenv("CHANGEDET_SCRATCH", str(tmp_path / "gone"))
    one = found()["temporary folder"]
    assert one.status == "failed"
    assert "gone" in one.detail
    assert "CHANGEDET_SCRATCH" in one.detail


def test_a_cache_that_is_a_file(found, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    one = found(tmp_path / "cache")["cache"]
    assert one.status == "failed"
    assert one.detail.endswith("is a file, no folder; name another folder with --cache or CHANGEDET_CACHE")


@pytest.mark.parametrize(
    ("whole", "status", "said"),
    [
        (2e9, "missing", "2.0 GB, of which a run takes 0.5"),
        (16e9, "ok", "16.0 GB, of which a run takes 4.0"),
        (float("inf"), "ok", "the system does not say how much there is"),
    ],
)
def test_memory(found, monkeypatch, whole, status, said):
    monkeypatch.setattr("changedet.scale.resources.memory_of_machine_bytes", lambda: whole)
    one = found()["memory"]
    assert (one.status, said in one.detail) == (status, True)
    assert ("--radius" in one.detail) == (status == "missing")


def test_a_font_that_is_not_there(found, monkeypatch):
    def nothing(*_names, **_keywords):
        raise ValueError("Failed to find font")

    monkeypatch.setattr("matplotlib.font_manager.findfont", nothing)
    assert found()["fonts"].status == "failed"
    assert "pip install" in found()["fonts"].detail
