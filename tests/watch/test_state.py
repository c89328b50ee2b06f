"""The state file is whole after every change, whoever is killed, and says who is writing."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.watch.folders import known_run, make_run

from changedet.errors import (
    InputFileError,
    MissingInputError,
    OutputError,
    StateBusyError,
    UsageError,
    exit_code,
)
from changedet.watch import schema
from changedet.watch.runs import objects_of
from changedet.watch.state import WRITER_SUFFIX, insert, open_state

SITE = {"geom": b"", "name": "Pier", "added_utc": "2026-01-01T00:00:00.000Z"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "watch.gpkg"
    with open_state(path, write=True):
        pass
    return path


def names(file):
    with open_state(file) as state:
        return [row["name"] for row in state.rows("SELECT name FROM sites ORDER BY fid")]


def test_a_change_counts_together_or_not_at_all(file):
    with open_state(file, write=True) as state:
        with state.change() as change:
            insert(change, "sites", SITE)
        with pytest.raises(ZeroDivisionError), state.change() as change:
            insert(change, "sites", SITE | {"name": "Hall"})
            1 / 0  # noqa: B018
        with pytest.raises(InputFileError, match="UNIQUE"), state.change() as change:
            insert(change, "sites", SITE | {"name": "Gate"})
            insert(change, "sites", SITE)
    assert names(file) == ["Pier"]
    assert not file.with_name(file.name + WRITER_SUFFIX).exists()


def test_readers_go_on_while_somebody_writes(file):
    with open_state(file, write=True) as writer, writer.change() as change:
        insert(change, "sites", SITE)
        assert names(file) == []
    assert names(file) == ["Pier"]
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]


def test_what_others_raise_in_a_block_is_theirs(file):
    with pytest.raises(ValueError, match=r"^mine$"), open_state(file, write=True) as state, state.change():
        raise ValueError("mine")


def test_many_may_make_the_file_at_once(tmp_path):
    path = tmp_path / "new.gpkg"

    def work(number):
        with open_state(path, write=True, wait_s=30) as state, state.change() as change:
            insert(change, "sites", SITE | {"name": f"Pier {number}"})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert sorted(names(path)) == [f"Pier {number}" for number in range(8)]
    with open_state(path) as state:
        assert state.check().passed
        assert len(state.rows("SELECT * FROM changedet_meta")) == 4


def test_a_second_writer_is_told_who_the_first_is(file):
    with open_state(file, write=True) as first, open_state(file, write=True, wait_s=0.05) as second:
        with first.change(), pytest.raises(StateBusyError) as caught, second.change():
            pass
        assert f"process {os.getpid()} on {socket.gethostname()} since 20" in str(caught.value)
        assert caught.value.details["pid"] == os.getpid()
        assert exit_code(caught.value) == 73
        with second.change() as change:
            insert(change, "sites", SITE)
    assert names(file) == ["Pier"]


@pytest.mark.parametrize("said", ["", "{", '{"host": "x"}', "dead", None])
def test_a_signature_that_is_not_true_is_not_believed(file, said):
    if said == "dead":
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        said = json.dumps({"host": socket.gethostname(), "pid": gone.pid, "since_utc": "2020"})
    with open_state(file, write=True, wait_s=0.05) as state:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        if said is not None:
            file.with_name(file.name + WRITER_SUFFIX).write_text(said)
        with pytest.raises(StateBusyError, match="another program"), state.change():
            pass
        other.close()


def test_who_writes_on_another_machine_is_named(file):
    signature = {"host": "elsewhere", "pid": 1, "since_utc": "2026-01-01T00:00:00.000Z"}
    with open_state(file, write=True, wait_s=0.05) as state:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        file.with_name(file.name + WRITER_SUFFIX).write_text(json.dumps(signature))
        with pytest.raises(StateBusyError, match="process 1 on elsewhere since 2026-01-01"), state.change():
            pass
        other.close()


def test_what_was_opened_for_reading_is_not_changed(file):
    with open_state(file) as state:
        with pytest.raises(UsageError, match="opened for reading"), state.change():
            pass
        with pytest.raises(OutputError, match="cannot be written"):
            state.rows("INSERT INTO sites (geom, name, added_utc) VALUES ('', 'x', '') RETURNING fid")


def test_a_file_that_is_not_there_is_not_made_by_reading(tmp_path):
    with pytest.raises(MissingInputError, match="no such file"), open_state(tmp_path / "v.gpkg"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with (
        pytest.raises(OutputError, match="cannot be opened"),
        open_state(tmp_path / "no" / "v.gpkg", write=True),
    ):
        pass


@pytest.mark.parametrize("write", [False, True])
def test_other_files_are_refused_and_left_alone(tmp_path, write):
    text, other = tmp_path / "a.gpkg", tmp_path / "b.gpkg"
    text.write_text("not a database at all, but long enough to be looked at" * 50)
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE changes (fid)")
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with (
            pytest.raises(InputFileError, match=r"cannot be used|no state file"),
            open_state(path, write=write),
        ):
            pass
        assert path.read_bytes() == before


def test_a_later_layout_is_refused(file):
    connection = sqlite3.connect(file)
    connection.execute("UPDATE changedet_meta SET value = '99' WHERE key = 'schema_version'")
    connection.commit()
    connection.close()
    for write in (False, True):
        with pytest.raises(InputFileError, match="layout 99, later than 2"), open_state(file, write=write):
            pass


def test_a_file_that_lacks_a_column_is_refused_and_one_that_has_more_is_not(file):
    def alter(statement):
        connection = sqlite3.connect(file)
        connection.execute(statement)
        connection.commit()
        connection.close()

    alter("ALTER TABLE alerts ADD COLUMN seen_by TEXT")
    assert names(file) == []
    alter("ALTER TABLE alerts RENAME COLUMN text TO texts")
    for write in (False, True):
        refused = pytest.raises(
            InputFileError, match=r"has no alerts\.text, so it is damaged; use an unaltered"
        )
        with refused, open_state(file, write=write):
            pass


def test_an_earlier_layout_is_brought_up_to_date_once_and_keeps_what_it_holds(file, monkeypatch):
    with open_state(file, write=True) as state, state.change() as change:
        insert(change, "sites", SITE)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(
        schema, "MIGRATIONS", {2: "ALTER TABLE sites ADD COLUMN note TEXT NOT NULL DEFAULT '';\n"}
    )
    with pytest.raises(InputFileError, match="earlier layout 2; open it once for writing"), open_state(file):
        pass
    for _ in range(2):
        with open_state(file, write=True) as state:
            assert state.rows("SELECT name, note FROM sites") == [{"name": "Pier", "note": ""}]
    with open_state(file) as state:
        about = dict(tuple(row.values()) for row in state.rows("SELECT * FROM changedet_meta"))
    assert about["schema_version"] == "3"


def test_a_migration_that_fails_leaves_the_file_as_it_was(file, monkeypatch):
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(schema, "MIGRATIONS", {2: "CREATE TABLE extra (a);\nCREATE TABLE extra (a);\n"})
    with pytest.raises(InputFileError, match="extra already exists"), open_state(file, write=True):
        pass
    monkeypatch.undo()
    with open_state(file) as state:
        assert state.rows("SELECT name FROM sqlite_master WHERE name = 'extra'") == []


def test_damage_is_found(file):
    with open_state(file, write=True) as state, state.change() as change:
        insert(change, "sites", SITE)
        insert(change, "models", {"site_id": 1, "created_utc": "", "content": "", "sha256": ""})
    with open_state(file) as state:
        assert state.check().passed
    connection = sqlite3.connect(file)
    connection.execute("DELETE FROM sites")
    connection.commit()
    connection.close()
    with open_state(file) as state:
        found = state.check()
    assert not found.passed
    assert found.damage == ("row 1 of models refers to a row of sites that is not there",)


def test_a_file_that_may_only_be_read_is_read(file, monkeypatch):
    with open_state(file, write=True) as state, state.change() as change:
        insert(change, "sites", SITE)
    monkeypatch.setattr("changedet.watch.state.os.access", lambda path, mode: False)
    assert names(file) == ["Pier"]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_writers_killed_at_any_moment_leave_a_whole_file_and_nothing_doubled(tmp_path):
    script = Path(__file__).with_name("killed_writers.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "50"],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["kills"] == 50
    assert found["changes"] >= 20, found
    assert found["in_the_middle"] >= 3, found


def test_an_index_that_another_program_made_is_kept_up_to_date(tmp_path):
    file = tmp_path / "v.gpkg"
    first, second = (make_run(tmp_path / f"{n}", number=n) for n in range(2))
    known_run(file, first)
    other = sqlite3.connect(file)
    other.executescript(
        """
        CREATE VIRTUAL TABLE rtree_objects_geom USING rtree(id, minx, maxx, miny, maxy);
        CREATE TRIGGER rtree_objects_geom_insert AFTER INSERT ON objects
          WHEN (new.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom))
        BEGIN
          INSERT OR REPLACE INTO rtree_objects_geom VALUES (
            NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom));
        END;
        """
    )
    other.close()
    known_run(file, second)
    with open_state(file) as state:
        rows = state.rows("SELECT * FROM rtree_objects_geom ORDER BY id")
        outlines = objects_of(state).geometry
        assert state.check().passed
    assert [row["id"] for row in rows] == [4, 5, 6]
    west, south, east, north = outlines.iloc[3].bounds
    # the index holds numbers of 32 bits, rounded outward
    assert (rows[0]["minx"], rows[0]["maxy"]) == pytest.approx((west, north), abs=1e-4)
    assert rows[0]["minx"] <= west < east <= rows[0]["maxx"]
    assert rows[0]["miny"] <= south < north <= rows[0]["maxy"]
