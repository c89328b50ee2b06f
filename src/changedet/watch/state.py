"""The state file: one SQLite file that one writer changes at a time, whole after every change.

Every change is one transaction in write-ahead mode, on the disk before it counts. Whoever is killed leaves
the last whole state behind. Who writes stands in a small file beside it for as long as that takes, so that
somebody who waits in vain is told whom to ask; the lock itself is SQLite's and ends with its process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import (
    ChangedetError,
    InputFileError,
    MissingInputError,
    OutputError,
    StateBusyError,
    UsageError,
)
from changedet.watch import schema
from changedet.watch.geopackage import add_functions
from changedet.watch.signature import own_signature, read_signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What the state file is called beside run folders.
DEFAULT_NAME = "verdicts.gpkg"
#: How long somebody waits for another writer, in seconds.
WAIT_S = 10.0
#: Ending of the file that says who is writing.
WRITER_SUFFIX = ".writer"
_ERROR_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
_ERROR_NO_ENTRY = sqlite3.SQLITE_CANTOPEN
_ERROR_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@dataclass(frozen=True)
class StateCheck:
    """What a thorough look at a state file found.

    Attributes
    ----------
    damage : tuple of str
        What SQLite says of its pages and of rows that refer to nothing; empty when the file is whole.
    """

    damage: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True when nothing is damaged."""
        return not self.damage


@dataclass(frozen=True, eq=False)
class StateFile:
    """An open state file. Use it from the thread that opened it.

    Attributes
    ----------
    path : Path
        The GeoPackage.
    writable : bool
        Whether it may be changed.
    """

    path: Path
    writable: bool
    _connection: sqlite3.Connection = field(repr=False)

    def rows(self, query: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return what a query finds.

        Parameters
        ----------
        query : str
            A ``SELECT``, with ``?`` for values.
        values : sequence
            The values.

        Returns
        -------
        list of dict
            By name of column.

        Raises
        ------
        InputFileError
            When the file is damaged.
        """
        with _own_errors(self.path):
            return rows_of(self._connection, query, values)

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Give a connection on which everything that is done counts together or not at all.

        Yields
        ------
        sqlite3.Connection
            With an open transaction; it is committed at the end of the block, and undone when that raises.

        Raises
        ------
        StateBusyError
            When another writer has not finished in time; it is named.
        OutputError
            When the disk is full or the file may not be written.
        UsageError
            When the file was opened for reading.
        """
        if not self.writable:
            raise UsageError("was opened for reading", where=str(self.path), todo="open it with write=True")
        with _own_errors(self.path), _transaction(self._connection, self.path):
            yield self._connection

    def check(self) -> StateCheck:
        """Look at every page and every reference.

        Returns
        -------
        StateCheck
            What is damaged.
        """
        with _own_errors(self.path):
            pages = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
            lost = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        return StateCheck(tuple(text for text in pages if text != "ok") + tuple(
            f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in lost
        ))  # fmt: skip


@contextmanager
def open_state(path: str | Path, *, write: bool = False, wait_s: float = WAIT_S) -> Iterator[StateFile]:
    """Open a state file; for writing it is made when it is not there, and brought up to date.

    Parameters
    ----------
    path : str or Path
        A GeoPackage that this package made, or is to make. It should lie on a disk of this machine: on a
        network share locks do not hold everywhere.
    write : bool
        Whether it is to be changed. Several may read while one writes.
    wait_s : float
        How long to wait for another writer, in seconds.

    Yields
    ------
    StateFile
        Closed at the end of the block.

    Raises
    ------
    MissingInputError
        When it is to be read and is not there.
    InputFileError
        When it is damaged, not a state file, or written by a later version.
    StateBusyError
        When another writer has not finished in time.
    OutputError
        When it cannot be written.
    """
    path = Path(path)
    if not write and not path.is_file():
        raise MissingInputError(
            "no such file",
            where=str(path),
            todo="name it with --state: changedet watch makes one, and changedet review one beside the run",
        )
    with _own_errors(path), contextlib.closing(_connect(path, write=write, wait_s=wait_s)) as connection:
        _prepare(connection, path, write=write)
        yield StateFile(path, write, connection)


def rows_of(
    connection: sqlite3.Connection, query: str, values: Sequence[object] = ()
) -> list[dict[str, Any]]:
    """Return what a query finds, by name of column.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of a state file.
    query : str
        A ``SELECT``, with ``?`` for values.
    values : sequence
        The values.

    Returns
    -------
    list of dict
    """
    cursor = connection.execute(query, tuple(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    """Add a row.

    Parameters
    ----------
    connection : sqlite3.Connection
        With an open transaction.
    table : str
        Name of a table of `changedet.watch.schema.TABLES`.
    row : dict
        Values by name of column.

    Returns
    -------
    int
        Its ``fid``.
    """
    marks = ", ".join("?" * len(row))
    cursor = connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )
    return int(cursor.lastrowid or 0)


def update(connection: sqlite3.Connection, table: str, row: dict[str, Any], where: dict[str, Any]) -> int:
    """Change rows.

    Parameters
    ----------
    connection : sqlite3.Connection
        With an open transaction.
    table : str
        Name of a table of `changedet.watch.schema.TABLES`.
    row : dict
        New values by name of column.
    where : dict
        Values by name of column of the rows that are meant.

    Returns
    -------
    int
        How many were changed.
    """
    fields = ", ".join(f"{name} = ?" for name in row)
    meant = " AND ".join(f"{name} = ?" for name in where)
    cursor = connection.execute(
        f"UPDATE {table} SET {fields} WHERE {meant}", (*row.values(), *where.values())
    )
    return cursor.rowcount


def _connect(path: Path, *, write: bool, wait_s: float) -> sqlite3.Connection:
    if write:
        connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
        add_functions(connection)
    else:
        # a reader that may not write leaves files behind; without the right to write nobody else does either
        free = os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)
        uri = f"{path.absolute().as_uri()}?{'mode=rw' if free else 'mode=ro&immutable=1'}"
        connection = sqlite3.connect(uri, uri=True, timeout=wait_s, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
    # triggers may call what `add_functions` adds, and nothing is there that could do harm
    for pragma in ("foreign_keys = ON", f"trusted_schema = {int(write)}", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, *, write: bool) -> None:
    """Make, migrate or refuse the file."""
    found = schema.stored_version(connection)
    if write and found is not None and found < schema.SCHEMA_VERSION:
        with _transaction(connection, path):
            found = schema.stored_version(connection)  # again: somebody else may have been quicker
            if found == 0:
                schema.create_tables(connection)
            elif found is not None and found < schema.SCHEMA_VERSION:
                schema.migrate(connection, found)
        found = schema.SCHEMA_VERSION
    where = str(path)
    if not found:
        todo = "name a file that changedet review made, or one that is not there yet"
        raise InputFileError("is no state file of changedet", where=where, todo=todo)
    if found > schema.SCHEMA_VERSION:
        todo = "use the version that wrote it"
        what = f"has layout {found}, later than {schema.SCHEMA_VERSION}"
        raise InputFileError(what, where=where, todo=todo)
    if found < schema.SCHEMA_VERSION:
        todo = "open it once for writing, which brings it up to date"
        raise InputFileError(f"has the earlier layout {found}", where=where, todo=todo)
    if lacking := schema.lacking_columns(connection):
        raise InputFileError(
            f"has no {lacking[0]}, so it is damaged", where=where, todo="use an unaltered copy"
        )
    if write:
        _use_write_ahead(connection)


def _use_write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers go on while somebody writes; where that cannot be, a change is just as whole without."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with contextlib.suppress(sqlite3.OperationalError):  # somebody is using it in the other mode just now
            connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if _code(error) in _ERROR_BUSY:
            raise _busy(path) from error
        raise
    writer = _writer_file(path)
    try:
        _sign(writer)
        yield
        # while the lock is still ours: afterwards it may be the signature of the next one
        _unsign(writer)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            _unsign(writer)
            connection.execute("ROLLBACK")


def _writer_file(path: Path) -> Path:
    return path.with_name(path.name + WRITER_SUFFIX)


def _sign(writer: Path) -> None:
    with contextlib.suppress(OSError):  # who cannot sign can still write
        writer.unlink(missing_ok=True)  # a link of this name could lead to any file
        writer.write_text(own_signature().to_text(), encoding="utf-8")


def _unsign(writer: Path) -> None:
    with contextlib.suppress(OSError):
        writer.unlink(missing_ok=True)


def _busy(path: Path) -> StateBusyError:
    """Say who is writing; a signature whose process has ended is that of nobody."""
    by = read_signature(_writer_file(path))
    if by is not None and by.is_gone:
        by = None
    who = "another program (is it open in QGIS?)" if by is None else by
    return StateBusyError(
        f"is being written by {who}", where=str(path), todo="try again when it has finished",
        details={} if by is None else by.to_dict(),
    )  # fmt: skip


def _code(error: sqlite3.Error) -> int:
    """Return the primary code of an error; the rest of the number says more than is needed."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


@contextmanager
def _own_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says into one line about the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except UnicodeDecodeError as error:  # what SQLite says of a damaged page repeats its bytes
        todo = "use an unaltered copy"
        raise InputFileError("cannot be used (damaged text)", where=str(path), todo=todo) from error


def _translate(error: sqlite3.Error, path: Path) -> ChangedetError:
    code, said, where = _code(error), str(error)[:160], str(path)
    if code in _ERROR_BUSY:
        return _busy(path)
    if code in _ERROR_NO_ROOM:
        return OutputError(
            f"cannot be written ({said})", where=where, todo="check the free space and the permission"
        )
    if code == _ERROR_NO_ENTRY:
        todo = "check the folder and the permission, or name a file elsewhere with --state"
        return OutputError(f"cannot be opened ({said})", where=where, todo=todo)
    return InputFileError(f"cannot be used ({said})", where=where, todo="use an unaltered copy")
