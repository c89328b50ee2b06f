"""Verdicts that were given in a report: the file that the page saves, recorded like any other verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.json_texts import OTHER_SHAPE, read_json
from changedet.watch.geopackage import utc_text
from changedet.watch.runs import add_run, read_run
from changedet.watch.state import open_state, rows_of
from changedet.watch.verdicts import Judgement, add_verdict, parse_verdict

if TYPE_CHECKING:
    import sqlite3

    from changedet.watch.runs import RunFolder

#: Name and version of the layout of the file.
SCHEMA = "changedet.verdicts/1"
#: A file of verdicts is small; a larger one is none.
_MOST_BYTES = 10_000_000
_TODO = "save it again from the report"


@dataclass(frozen=True)
class VerdictFile:
    """What a file of verdicts says.

    Attributes
    ----------
    path : Path
        Where it lies.
    objects_sha256 : str
        SHA-256 of ``changes.gpkg`` of the run that the report showed.
    judgements : tuple of (int, Judgement)
        Number of the candidate and what is said of it, in the order of the file; each has a time.
    """

    path: Path
    objects_sha256: str
    judgements: tuple[tuple[int, Judgement], ...]


@dataclass(frozen=True)
class Imported:
    """What came of a file of verdicts.

    Attributes
    ----------
    added : int
        How many were recorded.
    known : int
        How many had been recorded before.
    """

    added: int
    known: int


def read_verdict_file(path: str | Path) -> VerdictFile:
    """Read a file that a report saved.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    VerdictFile

    Raises
    ------
    MissingInputError
        When it is not there.
    InputFileError
        When it is no such file, or damaged.
    UsageError
        When a verdict is another word, or nobody is named.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo=_TODO)
    try:
        said = read_json(path, _MOST_BYTES)
        if said["schema"] != SCHEMA:
            message = f"layout {str(said['schema'])[:60]!r} is not {SCHEMA!r}"
            raise ValueError(message)
        judgements = tuple(_judgement(one) for one in said["verdicts"])
        return VerdictFile(path, str(said["objects_sha256"]), judgements)
    except (*OTHER_SHAPE, OSError) as error:
        if isinstance(error, UsageError):
            raise
        raise InputFileError(
            f"no file of verdicts ({str(error)[:120]})", where=str(path), todo=_TODO
        ) from error


def import_verdicts(file: str | Path, run: str | Path, path: str | Path, *, site_name: str = "") -> Imported:
    """Record the verdicts of a file, all of them or none; what was recorded before is not recorded again.

    Parameters
    ----------
    file : str or Path
        The state file; made when it is not there.
    run : str or Path
        The run folder whose report they were given in.
    path : str or Path
        The file that the report saved.
    site_name : str
        What to call the site; the name of the run when not given.

    Returns
    -------
    Imported

    Raises
    ------
    UsageError
        When the report showed other candidates than those of the run, there is no candidate of a number, or a
        blind verdict is not blind.
    InputFileError
        When the run, the file or the state file is damaged.
    StateLockedError
        When somebody else is writing.

    Examples
    --------
    >>> import_verdicts("runs/verdicts.gpkg", "runs/pier", "verdicts-3fa91c02.json")  # doctest: +SKIP
    Imported(added=4, known=0)
    """
    said, folder = read_verdict_file(path), read_run(run, site_name=site_name)
    _require_same(said, folder)
    added = 0
    with open_state(file, write=True) as state, state.change() as change:
        run_id = add_run(change, folder)
        for number, judgement in said.judgements:
            if not _is_known(change, (run_id, number), judgement):
                add_verdict(change, (run_id, number), judgement)
                added += 1
    return Imported(added, len(said.judgements) - added)


def _judgement(one: dict[str, Any]) -> tuple[int, Judgement]:
    time = datetime.fromisoformat(str(one["time_utc"]))
    if time.tzinfo is None:
        message = "a time without a time zone"
        raise ValueError(message)
    blind = one["blind"]
    if not isinstance(blind, bool):
        raise TypeError("blind is neither true nor false")
    verdict = parse_verdict(str(one["verdict"]))
    return int(one["number"]), Judgement(verdict, str(one["reviewer"]), str(one["note"]), blind, time)


def _require_same(said: VerdictFile, folder: RunFolder) -> None:
    ours = folder.record.get("files", {}).get("changes.gpkg", {}).get("sha256", "")
    if not ours or said.objects_sha256 != ours:
        raise UsageError(
            f"the verdicts are on other candidates than those of {folder.folder}",
            where=str(said.path),
            todo="name the run folder whose report they were given in",
        )


def _is_known(change: sqlite3.Connection, which: tuple[int, int], judgement: Judgement) -> bool:
    found = rows_of(
        change,
        "SELECT verdicts.fid FROM verdicts JOIN objects ON objects.fid = verdicts.object_id"
        " WHERE objects.run_id = ? AND objects.number = ? AND verdicts.reviewer = ?"
        " AND verdicts.verdict = ? AND verdicts.time_utc = ?",
        (*which, judgement.reviewer.strip(), judgement.verdict.value, _time_text(judgement)),
    )
    return bool(found)


def _time_text(judgement: Judgement) -> str:
    return "" if judgement.time is None else utc_text(judgement.time)
