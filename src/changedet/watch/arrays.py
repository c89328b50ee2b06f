"""Baselines and other large arrays: files beside the state file, which count when a row of it names them.

An array is written whole under a temporary name, without holding anybody up. Then, in the transaction in
which everything else of the same pass counts, it gets its name and its row. Whoever is killed in between
leaves a file that no row names, and that is removed later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from changedet.batch import safe_name
from changedet.errors import InputFileError, OutputError, UsageError
from changedet.hashing import sha256_file
from changedet.watch.geopackage import note_change, now_text
from changedet.watch.state import insert, rows_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from changedet.watch.state import StateFile

#: Ending of the folder beside the state file.
FOLDER_SUFFIX = ".arrays"
#: How many generations of a site are kept: somebody may still be reading the last but one.
KEPT_GENERATIONS = 2
#: What is being written is younger than this, in seconds.
_UNFINISHED_S = 3600.0
_ANOTHER = "is not the file that was stored"


@dataclass(frozen=True)
class PreparedArrays:
    """A file that is written and not yet named.

    Attributes
    ----------
    path : Path
        Where it lies for now.
    sha256 : str
        Its digest.
    size_bytes : int
        Its size.
    """

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, eq=False)
class StoredArrays:
    """What is kept of a site.

    Attributes
    ----------
    generation : int
        1 for the first; each change makes the next one.
    arrays : mapping of str to ndarray
        By name.
    """

    generation: int
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ArrayFile:
    """Where arrays of a site lie; whoever sees the file can read it without the state file.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Its digest.
    generation : int
        Which generation it holds.
    """

    path: Path
    sha256: str
    generation: int

    def read(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays by name.

        Raises
        ------
        InputFileError
            When the file is not there, is not the one that was stored, or holds Python objects, which are
            never loaded.
        """
        try:
            if sha256_file(self.path) != self.sha256:
                raise ValueError(_ANOTHER)
            with np.load(self.path, allow_pickle=False) as file:
                return MappingProxyType({name: file[name] for name in file.files})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise _unusable(self.path, str(error)) from error


def array_folder(state_path: Path, site: str) -> Path:
    """Return where the arrays of a site lie.

    Parameters
    ----------
    state_path : Path
        The state file.
    site : str
        Name of the site, whatever letters it has.

    Returns
    -------
    Path
        Different for different names, also where capitals and small letters are the same.

    Examples
    --------
    >>> from pathlib import Path
    >>> array_folder(Path("watch.gpkg"), "North pier / 2").as_posix()
    'watch.gpkg.arrays/North-pier---2-00487187'
    """
    digest = hashlib.sha256(site.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    name = "-".join(filter(None, (safe_name(site), digest)))
    return state_path.with_name(state_path.name + FOLDER_SUFFIX) / name


def prepare_arrays(state_path: Path, site: str, arrays: Mapping[str, NDArray[Any]]) -> PreparedArrays:
    """Write arrays under a temporary name, for `add_arrays`. Nothing counts yet.

    Parameters
    ----------
    state_path : Path
        The state file.
    site : str
        Name of the site.
    arrays : mapping of str to ndarray
        Numbers and truth values; no Python objects.

    Returns
    -------
    PreparedArrays

    Raises
    ------
    UsageError
        When an array holds Python objects.
    OutputError
        When the file cannot be written; nothing half-written is left.
    """
    if wrong := [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]:
        raise UsageError(f"{wrong[0][:60]!r} holds Python objects", todo="give arrays of numbers")
    folder = array_folder(state_path, site)
    path = folder / f".part-{secrets.token_hex(8)}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            # before NumPy 2.2 a keyword to forbid pickles becomes an array; whoever reads takes none
            numbers: dict[str, Any] = {name: np.asarray(a) for name, a in arrays.items()}
            np.savez(stream, **numbers)
            stream.flush()
            os.fsync(stream.fileno())
        return PreparedArrays(path, sha256_file(path), path.stat().st_size)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise OutputError(
            f"arrays cannot be written ({error.strerror or error})", where=str(folder), todo="free some space"
        ) from error


def add_arrays(
    change: sqlite3.Connection, state_path: Path, site: str, prepared: PreparedArrays | None, *, replaces: int
) -> int:
    """Name arrays that are written, as the next generation of a site.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`: the arrays count when, and only when, its transaction does.
    state_path : Path
        The state file.
    site : str
        Name of a site of the file.
    prepared : PreparedArrays or None
        From `prepare_arrays`; None for what two later generations of the same change replace.
    replaces : int
        The generation that they were computed from, 0 when there was none.

    Returns
    -------
    int
        The generation that they are.

    Raises
    ------
    UsageError
        When somebody else has stored a generation since; what was prepared is removed.
    OutputError
        When the file cannot get its name.
    """
    site_id = rows_of(change, "SELECT fid FROM sites WHERE name = ?", (site,))[0]["fid"]
    newest = rows_of(
        change, "SELECT coalesce(max(generation), 0) AS n FROM arrays WHERE site_id = ?", (site_id,)
    )[0]["n"]
    if newest != replaces:
        if prepared is not None:
            prepared.path.unlink(missing_ok=True)
        raise UsageError(
            f"generation {newest} of {site[:60]!r} is there, not {replaces}", todo="read it and compute again"
        )
    generation = replaces + 1
    target = array_folder(state_path, site) / f"{generation}.npz"
    if prepared is not None:
        _name(prepared.path, target)
    change.execute(
        "DELETE FROM arrays WHERE site_id = ? AND generation <= ?", (site_id, generation - KEPT_GENERATIONS)
    )
    note_change(change, "arrays")
    row = {
        "site_id": site_id, "generation": generation, "file": f"{target.parent.name}/{target.name}",
        "sha256": prepared.sha256 if prepared else "", "bytes": prepared.size_bytes if prepared else 0,
        "made_utc": now_text(),
    }  # fmt: skip
    insert(change, "arrays", row)
    return generation


def newest_arrays(state: StateFile, site: str) -> ArrayFile | None:
    """Return where the newest arrays of a site lie.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Name of the site.

    Returns
    -------
    ArrayFile or None
        None when nothing was stored.

    Raises
    ------
    InputFileError
        When they are said to lie where no arrays of this site do.
    """
    rows = state.rows(
        "SELECT arrays.* FROM arrays JOIN sites ON sites.fid = arrays.site_id WHERE sites.name = ?"
        " ORDER BY generation DESC LIMIT 1",
        (site,),
    )
    if not rows:
        return None
    path = array_folder(state.path, site) / f"{rows[0]['generation']}.npz"
    # the name is made here and not taken from the row: it could lead anywhere
    if rows[0]["file"] != f"{path.parent.name}/{path.name}":
        raise _unusable(path, _ANOTHER)
    return ArrayFile(path, rows[0]["sha256"], int(rows[0]["generation"]))


def read_arrays(state: StateFile, site: str) -> StoredArrays | None:
    """Read the newest arrays of a site.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Name of the site.

    Returns
    -------
    StoredArrays or None
        None when nothing was stored.

    Raises
    ------
    InputFileError
        When the file is not there, is not the one that was stored, or holds Python objects, which are never
        loaded.
    """
    found = newest_arrays(state, site)
    return None if found is None else StoredArrays(found.generation, found.read())


def remove_orphans(state: StateFile, *, site: str = "", now: float | None = None) -> list[Path]:
    """Remove the files that no row names; what may still be in the making is left for an hour.

    Parameters
    ----------
    state : StateFile
        Open for writing.
    site : str
        Of this site alone, which takes as long whatever the number of sites; of all when not given.
    now : float, optional
        The time in seconds since 1970; that of the clock when not given.

    Returns
    -------
    list of Path
        What was removed.
    """
    root = state.path.with_name(state.path.name + FOLDER_SUFFIX)
    removed = []
    with state.change() as change:  # so that nobody is between naming a file and its row
        own = ("WHERE site_id = (SELECT fid FROM sites WHERE name = ?)", (site,)) if site else ("", ())
        named = {row["file"] for row in rows_of(change, f"SELECT file FROM arrays {own[0]}", own[1])}
        for path in sorted(array_folder(state.path, site).glob("*.npz") if site else root.glob("*/*.npz")):
            unfinished = path.name.startswith(".part-")
            if f"{path.parent.name}/{path.name}" in named or (unfinished and not _is_old(path, now)):
                continue
            with contextlib.suppress(OSError):  # somebody has it open: next time
                path.unlink()
                removed.append(path)
    return removed


def _unusable(path: Path, said: str) -> InputFileError:
    what = f"arrays cannot be used ({' '.join(said.split())[:120]})"
    return InputFileError(what, where=str(path), todo="let the baseline be made anew")


def _is_old(path: Path, now: float | None) -> bool:
    try:
        return (time.time() if now is None else now) - path.stat().st_mtime > _UNFINISHED_S
    except OSError:
        return False


def _name(path: Path, target: Path) -> None:
    try:
        # only one can be here at a time, and what stands there without a row was left by somebody killed
        path.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        what = f"arrays cannot be named ({error.strerror or error})"
        raise OutputError(what, where=str(target), todo="check the folder") from error


def _sync_folder(folder: Path) -> None:
    """Bring a new name onto the disk, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
