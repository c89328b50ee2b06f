"""Planes on disk: what they hold stays, the memory they take does not."""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from changedet.errors import OutputError, UsageError
from changedet.scale import scratch as module
from changedet.scale.scratch import Scratch, release, resident_bytes, scratch_folder

if TYPE_CHECKING:
    from pathlib import Path

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say what is resident")
MB = 1_000_000


def test_a_plane_is_a_memmap_of_zeros_without_a_file_that_could_be_left(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        plane = scratch.plane((3, 4, 5), np.float32)
        assert isinstance(plane, np.memmap)
        assert plane.shape == (3, 4, 5)
        assert plane.dtype == np.float32
        assert not plane.any()
        assert list(tmp_path.iterdir()) == []
        assert scratch.plane((0, 4), np.uint8).size == 0


def test_a_scratch_knows_its_planes(tmp_path: Path) -> None:
    first, second = Scratch(tmp_path), Scratch(tmp_path)
    plane = first.plane((4, 4), np.uint8)
    assert first.owns(plane)
    assert first.owns(np.asarray(plane)[1:, ::2].T)
    assert not second.owns(plane)
    assert not first.owns(plane.copy())


def test_a_plane_outlives_its_scratch_and_the_scratch_makes_no_more(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        plane = scratch.plane((4, 4), np.uint8)
    plane[:] = 7
    del scratch
    gc.collect()
    assert (plane == 7).all()
    closed = Scratch(tmp_path)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.plane((4, 4), np.uint8)


@linux
def test_release_gives_memory_back_and_keeps_what_was_written(tmp_path: Path) -> None:
    plane = Scratch(tmp_path).plane((8, 2_000_000), np.float32)
    before = resident_bytes()
    plane[:] = np.arange(8, dtype=np.float32)[:, None]
    grown = resident_bytes()
    assert grown - before > 40 * MB
    view = np.asarray(plane)[2:, ::3].T
    release(view, np.zeros(3))
    assert resident_bytes() < grown - 40 * MB
    assert plane[:, -1].tolist() == list(range(8))
    assert plane[:, 0].tolist() == list(range(8))


@linux
def test_pages_are_let_go_of_by_themselves_above_a_limit(tmp_path: Path) -> None:
    with Scratch(tmp_path, resident_bytes=resident_bytes() + 20 * MB) as scratch:
        plane = scratch.plane((40, 1_000_000), np.float32)
        most = 0
        for i, row in enumerate(plane):
            row[:] = i
            most = max(most, resident_bytes())
            time.sleep(0.01)
        assert plane[:, 5].tolist() == list(range(40))
        deadline = time.monotonic() + 5
        while resident_bytes() > scratch._limit and time.monotonic() < deadline:
            time.sleep(0.02)
        assert resident_bytes() <= scratch._limit
    del plane, row
    deadline = time.monotonic() + 5
    while any(t.name == "changedet-scratch" for t in threading.enumerate()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert not any(t.name == "changedet-scratch" for t in threading.enumerate())


def test_ordinary_arrays_and_private_mappings_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "plane.bin"
    np.arange(4096, dtype=np.float32).tofile(path)
    private = np.memmap(path, np.float32, "c")
    private[:] = 3
    release(private, np.ones(3), np.ones(3)[1:])
    assert (private == 3).all()


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"does not fit.*--scratch"):
        Scratch(tmp_path).plane((10**9, 10**6), np.float64)

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match="does not fit"):
        Scratch(tmp_path).plane((4, 4), np.float64)


def test_the_folder_is_the_one_asked_for_or_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHANGEDET_SCRATCH", raising=False)
    assert scratch_folder(tmp_path) == tmp_path
    assert scratch_folder().is_dir()
    monkeypatch.setenv("CHANGEDET_SCRATCH", str(tmp_path))
    assert Scratch().folder == tmp_path
    monkeypatch.setenv("CHANGEDET_SCRATCH", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="no such folder"):
        Scratch()
