"""The tables of the state file, their version, and how an older file is brought up to it."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

from changedet.watch.geopackage import create_head, list_table, now_text, run_statements

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Name of the layout; its version is a number of its own.
SCHEMA_NAME = "changedet.state"
#: Version of the layout that this version of the program reads and writes.
SCHEMA_VERSION = 2

#: Table of keys and values that says whose file it is.
META_TABLE = "changedet_meta"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes
    ----------
    name : str
        As programs show it.
    description : str
        What a reader finds in it.
    columns : str
        SQL between the brackets, after ``fid`` and ``geom``.
    layer : bool
        True when every row has an outline.
    """

    name: str
    description: str
    columns: str
    layer: bool = False

    @property
    def statement(self) -> str:
        """The statement that makes it."""
        geom = "geom MULTIPOLYGON NOT NULL, " if self.layer else ""
        columns = " ".join(self.columns.split())
        return f"CREATE TABLE {self.name} (fid INTEGER PRIMARY KEY AUTOINCREMENT, {geom}{columns});"


_SITE = "site_id INTEGER NOT NULL REFERENCES sites(fid)"

#: Every table, in an order in which each refers to earlier ones only.
TABLES: tuple[Table, ...] = (
    Table(
        "sites", "places that are watched or reviewed",
        "name TEXT NOT NULL UNIQUE, folder TEXT NOT NULL DEFAULT '', added_utc DATETIME NOT NULL", True,
    ),
    Table(
        "runs", "comparisons: run folders, by the digest of their record, and passes of a watch",
        f"""{_SITE}, digest TEXT UNIQUE, folder TEXT NOT NULL DEFAULT '', status TEXT NOT NULL
        CHECK (status IN ('running', 'done', 'failed', 'refused')), message TEXT NOT NULL DEFAULT '',
        before_time TEXT NOT NULL DEFAULT '', after_time TEXT NOT NULL DEFAULT '',
        method TEXT NOT NULL DEFAULT '', software TEXT NOT NULL DEFAULT '', started_utc DATETIME NOT NULL,
        finished_utc DATETIME, host TEXT NOT NULL DEFAULT '', pid INTEGER NOT NULL DEFAULT 0""",
    ),
    Table(
        "followed", "things on the ground that several runs flagged, each with its latest outline",
        f"""{_SITE}, kind TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('provisional', 'persisting')),
        growth TEXT NOT NULL CHECK (growth IN ('new', 'growing', 'stopped')), first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL, sightings INTEGER NOT NULL, area_m2 REAL NOT NULL""", True,
    ),
    Table(
        "objects", "candidates of the runs, with the columns of changes.gpkg",
        f"""{_SITE}, run_id INTEGER NOT NULL REFERENCES runs(fid), followed_id INTEGER REFERENCES
        followed(fid), number INTEGER NOT NULL, kind TEXT NOT NULL, score REAL, score_mads REAL,
        construction REAL, context_share REAL, sensor TEXT NOT NULL, confidence TEXT NOT NULL,
        area_m2 REAL NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL, dms TEXT NOT NULL, mgrs TEXT NOT NULL,
        first_seen TEXT NOT NULL, last_seen_before TEXT NOT NULL, evidence TEXT NOT NULL,
        warnings TEXT NOT NULL, features TEXT NOT NULL DEFAULT '{{}}', UNIQUE (run_id, number)""", True,
    ),
    Table(
        "verdicts", "what reviewers said of candidates; rows are only ever added, the last one counts",
        """object_id INTEGER NOT NULL REFERENCES objects(fid), site TEXT NOT NULL, run_digest TEXT NOT NULL,
        number INTEGER NOT NULL, kind TEXT NOT NULL, verdict TEXT NOT NULL
        CHECK (verdict IN ('accepted', 'rejected', 'unsure')), reviewer TEXT NOT NULL,
        time_utc DATETIME NOT NULL, note TEXT NOT NULL DEFAULT '', blind BOOLEAN NOT NULL DEFAULT 0""", True,
    ),
    Table(
        "masks", "known benign patterns: candidates inside are kept, marked and ranked last",
        f"""{_SITE}, reason TEXT NOT NULL, until DATE NOT NULL, made_by TEXT NOT NULL,
        made_utc DATETIME NOT NULL, ended_utc DATETIME""", True,
    ),
    Table(
        "models", "what was learnt from verdicts, as checked text; the last one of a site counts",
        f"{_SITE}, created_utc DATETIME NOT NULL, content TEXT NOT NULL, sha256 TEXT NOT NULL",
    ),
    Table(
        "scenes", "acquisitions that a watch has seen, so that none is looked at twice",
        f"""{_SITE}, scene_id TEXT NOT NULL, sensor TEXT NOT NULL, time TEXT NOT NULL, status TEXT NOT NULL
        CHECK (status IN ('used', 'unusable')), reason TEXT NOT NULL DEFAULT '',
        seen_utc DATETIME NOT NULL, UNIQUE (site_id, scene_id)""",
    ),
    Table(
        "alerts", "what was told, each with a key of its own, so that nothing is told twice",
        f"""{_SITE}, followed_id INTEGER REFERENCES followed(fid), run_id INTEGER REFERENCES runs(fid),
        alert_key TEXT NOT NULL UNIQUE, status TEXT NOT NULL CHECK (status IN ('provisional', 'persisting')),
        text TEXT NOT NULL, made_utc DATETIME NOT NULL, delivered_utc DATETIME""", True,
    ),
    Table(
        "deliveries", "who was given which alert, and in which letter, so that nobody is told twice",
        """alert_id INTEGER NOT NULL REFERENCES alerts(fid), receiver TEXT NOT NULL,
        letter TEXT NOT NULL DEFAULT '', given_utc DATETIME, UNIQUE (alert_id, receiver)""",
    ),
    Table(
        "arrays", "baselines and other large arrays, which are files beside this one",
        f"""{_SITE}, generation INTEGER NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL, made_utc DATETIME NOT NULL, UNIQUE (site_id, generation)""",
    ),
)  # fmt: skip

_FURTHER = f"""
CREATE TABLE {META_TABLE} (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX objects_by_site ON objects (site_id);
CREATE INDEX verdicts_by_object ON verdicts (object_id);
CREATE TRIGGER verdicts_are_not_altered BEFORE UPDATE ON verdicts
BEGIN
  SELECT RAISE(ABORT, 'verdicts are only ever added: record another one');
END;
CREATE TRIGGER verdicts_are_not_removed BEFORE DELETE ON verdicts
BEGIN
  SELECT RAISE(ABORT, 'verdicts are only ever added: record another one');
END;
"""


def _added(name: str) -> str:
    """Return the statements that add a plain table to a file which lacks it."""
    (table,) = (one for one in TABLES if one.name == name)
    listed = f"'{name}', 'attributes', '{name}', '{table.description}', strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    return (
        f"{table.statement}\nINSERT INTO gpkg_contents"
        f" (table_name, data_type, identifier, description, last_change) VALUES ({listed});\n"
    )


#: What leads from a version to the next: statements, each ending in ";".
MIGRATIONS: Mapping[int, str] = MappingProxyType({1: _added("deliveries")})


def create_tables(connection: sqlite3.Connection) -> None:
    """Make all tables of an empty file, inside a transaction that is open.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of a file without tables.
    """
    create_head(connection)
    for table in TABLES:
        connection.execute(table.statement)
        list_table(connection, table.name, table.description, layer=table.layer)
    run_statements(connection, _FURTHER)
    about = {
        "schema": SCHEMA_NAME,
        "schema_version": str(SCHEMA_VERSION),
        "created_utc": now_text(),
        "software": f"changedet {version('changedet')}",
    }
    connection.executemany(f"INSERT INTO {META_TABLE} VALUES (?, ?)", about.items())


def stored_version(connection: sqlite3.Connection) -> int | None:
    """Return the version of the layout of a file.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of any SQLite file.

    Returns
    -------
    int or None
        0 for a file without any table, None for one that is not ours.
    """
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names:
        return 0
    if META_TABLE not in names:
        return None
    about = dict(connection.execute(f"SELECT key, value FROM {META_TABLE}").fetchall())
    number = str(about.get("schema_version", ""))
    return int(number) if about.get("schema") == SCHEMA_NAME and number.isdecimal() else None


@cache
def _columns() -> Mapping[str, frozenset[str]]:
    """Return the columns of every table, as SQLite reads the statements."""
    with contextlib.closing(sqlite3.connect(":memory:")) as made:
        for table in TABLES:
            made.execute(table.statement)
        return MappingProxyType({table.name: _columns_of(made, table.name) for table in TABLES})


def _columns_of(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    query = "SELECT name FROM pragma_table_info(?)"
    return frozenset(str(row[0]) for row in connection.execute(query, (table,)))


def lacking_columns(connection: sqlite3.Connection) -> list[str]:
    """Return what a state file of this layout should have and has not: it was altered, or is damaged.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of a state file.

    Returns
    -------
    list of str
        Such as ``"objects.geom"``; columns that other programs added are no fault.
    """
    return [
        f"{table}.{column}"
        for table, columns in _columns().items()
        for column in sorted(columns - _columns_of(connection, table))
    ]


def migrate(connection: sqlite3.Connection, start: int) -> None:
    """Bring a file of an earlier layout up to `SCHEMA_VERSION`, inside a transaction that is open.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of a state file.
    start : int
        Its version.

    Raises
    ------
    KeyError
        When no way leads from there.
    """
    for number in range(start, SCHEMA_VERSION):
        run_statements(connection, MIGRATIONS[number])
    connection.execute(
        f"UPDATE {META_TABLE} SET value = ? WHERE key = 'schema_version'", (str(SCHEMA_VERSION),)
    )
