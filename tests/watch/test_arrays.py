"""Arrays beside the state file: whole, of the right generation, never executed, and cleared away."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from changedet.errors import InputFileError, UsageError
from changedet.watch.arrays import (
    KEPT_GENERATIONS,
    add_arrays,
    array_folder,
    prepare_arrays,
    read_arrays,
    remove_orphans,
)
from changedet.watch.runs import add_site
from changedet.watch.state import open_state

SITE = "North pier / 2"


@pytest.fixture
def state(tmp_path):
    with open_state(tmp_path / "watch.gpkg", write=True) as opened:
        with opened.change() as change:
            add_site(change, SITE, MultiPolygon([box(10, 50, 10.1, 50.1)]))
        yield opened


def store(state, replaces, **arrays):
    prepared = prepare_arrays(state.path, SITE, arrays)
    with state.change() as change:
        return add_arrays(change, state.path, SITE, prepared, replaces=replaces)


def files(state):
    return sorted(path.name for path in array_folder(state.path, SITE).glob("*"))


def test_arrays_come_back_as_they_went(state):
    assert read_arrays(state, SITE) is None
    mean = np.random.default_rng(0).random((3, 40, 50)).astype(np.float16)
    assert store(state, 0, mean=mean, count=np.uint8(7), seen=mean > 0.5) == 1
    stored = read_arrays(state, SITE)
    assert stored.generation == 1
    assert set(stored.arrays) == {"mean", "count", "seen"}
    assert stored.arrays["mean"].dtype == np.float16
    assert (stored.arrays["mean"] == mean).all()
    with pytest.raises(TypeError):
        stored.arrays["mean"] = mean


def test_what_was_computed_from_an_older_generation_is_refused(state):
    store(state, 0, a=np.zeros(3))
    with pytest.raises(
        UsageError, match="generation 1 of 'North pier / 2' is there, not 0; read it and compute"
    ):
        store(state, 0, a=np.ones(3))
    assert files(state) == ["1.npz"]
    assert (read_arrays(state, SITE).arrays["a"] == 0).all()


def test_a_change_that_is_undone_leaves_the_generation_before(state):
    store(state, 0, a=np.zeros(3))
    prepared = prepare_arrays(state.path, SITE, {"a": np.ones(3)})
    with pytest.raises(ZeroDivisionError), state.change() as change:
        add_arrays(change, state.path, SITE, prepared, replaces=1)
        1 / 0  # noqa: B018
    assert read_arrays(state, SITE).generation == 1
    assert files(state) == ["1.npz", "2.npz"]
    # the next one takes the name that was left behind
    assert store(state, 1, a=np.full(3, 2.0)) == 2
    assert (read_arrays(state, SITE).arrays["a"] == 2).all()


def test_orphans_go_and_what_counts_or_is_being_written_stays(state):
    for number in range(4):
        store(state, number, a=np.full(3, number))
    prepared = prepare_arrays(state.path, SITE, {"a": np.ones(3)})
    assert KEPT_GENERATIONS == 2
    assert [path.name for path in remove_orphans(state)] == ["1.npz", "2.npz"]
    assert files(state) == [prepared.path.name, "3.npz", "4.npz"]
    later = prepared.path.stat().st_mtime + 4000
    assert remove_orphans(state, now=later) == [prepared.path]
    assert read_arrays(state, SITE).generation == 4


def test_orphans_of_one_site_go_by_themselves(state):
    for number in range(3):
        store(state, number, a=np.zeros(3))
    elsewhere = array_folder(state.path, "Quay") / "1.npz"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"left behind")
    assert [path.name for path in remove_orphans(state, site=SITE)] == ["1.npz"]
    assert elsewhere.exists() and files(state) == ["2.npz", "3.npz"]
    assert remove_orphans(state) == [elsewhere]


def test_python_objects_are_neither_written_nor_read(state, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(UsageError, match="'a' holds Python objects"):
        prepare_arrays(state.path, SITE, {"a": np.array([Trap()], object)})
    store(state, 0, a=np.zeros(3))
    path = array_folder(state.path, SITE) / "1.npz"
    head = np.lib.format.magic(1, 0) + np.uint16(118).tobytes()
    head += b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", head + pickle.dumps(Trap()))
    with state.change() as change:
        import hashlib

        change.execute("UPDATE arrays SET sha256 = ?", (hashlib.sha256(path.read_bytes()).hexdigest(),))
    with pytest.raises(InputFileError, match="allow_pickle"):
        read_arrays(state, SITE)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("spoil", ["change", "remove", "elsewhere"])
def test_another_file_than_was_stored_is_refused(state, spoil):
    store(state, 0, a=np.zeros(3))
    path = array_folder(state.path, SITE) / "1.npz"
    if spoil == "change":
        path.write_bytes(path.read_bytes()[:-1])
    elif spoil == "remove":
        path.unlink()
    else:
        with state.change() as change:
            change.execute("UPDATE arrays SET file = '../../../etc/passwd'")
    with pytest.raises(InputFileError, match=r"arrays cannot be used .*; let the baseline be made anew"):
        read_arrays(state, SITE)


def test_folders_of_different_names_differ_and_are_safe(tmp_path):
    names = ["Pier", "pier", "Pier ", "../..", "", "\N{SNOWMAN}", "a/b", "a-b", json.dumps("\0")]
    folders = [array_folder(tmp_path / "w.gpkg", name) for name in names]
    assert len({str(folder).lower() for folder in folders}) == len(names)
    assert all(folder.parent == tmp_path / "w.gpkg.arrays" for folder in folders)
    assert all(folder.resolve().parent == folder.parent.resolve() for folder in folders)
