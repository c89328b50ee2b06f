"""Folders that appear whole or not at all: made beside their place, renamed, and undone when that fails."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from changedet.errors import ChangedetError, OutputError, OutputExistsError, UsageError
from changedet.providers.cache_files import is_stale, to_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: Below this many free bytes a failure to write is put down to the full disk.
_FULL_BELOW_BYTES = 1_000_000
#: What to do about a folder that cannot be used.
_ELSEWHERE = "choose another folder (--out)"


@contextmanager
def temporary_sibling(target: Path) -> Iterator[Path]:
    """Give an empty folder beside a target, so that it can be renamed to it.

    At the end it is removed unless it was renamed, and so are folders above it that were made for it and
    hold nothing. What others left here who were killed goes too, once it is older than any work in progress.

    Parameters
    ----------
    target : Path
        What the folder is to become; folders above it that are missing are made.

    Yields
    ------
    Path
        The folder, on the same file system as the target.

    Raises
    ------
    OSError
        When it cannot be made.
    """
    clear_away(target)
    missing = [parent for parent in target.parents if not parent.exists()]
    temporary = _sibling(target, "part")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # the first one that holds something ends it
            for parent in missing:
                parent.rmdir()


@contextmanager
def set_aside(target: Path) -> Iterator[None]:
    """Move a folder out of the way; what was there goes only when something else is in its place.

    Parameters
    ----------
    target : Path
        A folder, or a place where nothing is.

    Raises
    ------
    OSError
        When it cannot be moved.
    """
    if not target.exists():
        yield
        return
    old = _sibling(target, "old")
    target.rename(old)
    try:
        yield
    finally:
        if not target.exists():
            old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def put_back(target: Path) -> None:
    """Give a folder its name again that a killed process had set aside and not yet replaced.

    Parameters
    ----------
    target : Path
        Where it stood. Nothing happens when something stands there, or nothing was set aside.
    """
    if os.path.lexists(target):
        return
    with suppress(OSError):
        aside = sorted(_left(target.parent, {target.name}, "old"), key=lambda path: path.stat().st_mtime)
        if aside:
            aside[-1].rename(target)


def clear_away(*targets: Path) -> None:
    """Remove what writers of folders left beside them who were killed.

    Only what is older than any work in progress goes, and what was set aside only where something has its
    place. A folder that somebody else made whole in the meantime is no longer written by anybody who would
    clear it away.

    Parameters
    ----------
    *targets : Path
        What the folders were to become.
    """
    for parent in {target.parent for target in targets}:
        names = {target.name for target in targets if target.parent == parent}
        replaced = {name for name in names if (parent / name).exists()}
        for folder in _left(parent, names, "part") + _left(parent, replaced, "old"):
            if all(is_stale(path) for path in (folder, *folder.rglob("*"))):
                shutil.rmtree(folder, ignore_errors=True)


def require_writable_name(target: Path) -> None:
    """Refuse a place under whose name the libraries cannot write, before any work is done.

    Parameters
    ----------
    target : Path
        Absolute.

    Raises
    ------
    UsageError
        When the path holds a line break or another control character, or is not UTF-8.
    """
    text = str(target)
    if text.isprintable():
        return
    # a letter that the terminal cannot show is no obstacle, half a character is
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        shown = text.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")
        raise UsageError(
            "a path with a control character, or none in UTF-8, cannot be written to",
            where=shown,
            todo="choose a folder with another name",
        )


def check_folder(folder: str | Path, foreign: Callable[[Path], str], *, overwrite: bool, kind: str) -> None:
    """Refuse a folder that may not be made or replaced, before any work is done.

    One that a killed process had set aside, to be replaced, is given its name again first.

    Parameters
    ----------
    folder : str or Path
        The folder that is to be made.
    foreign : callable
        Returns the first file of a folder that nobody of this kind wrote, "" when there is none.
    overwrite : bool
        Whether one of the same kind that is there may be replaced.
    kind : str
        What writes such folders, such as "run".

    Raises
    ------
    OutputExistsError
        When it is a file, or a folder that is not empty and may not be replaced: without `overwrite` any,
        with it one that holds something foreign.
    UsageError
        When it is the working directory, or its path cannot be written to.
    OutputError
        When the nearest folder above that is there is a file, or may not be written.
    """
    where, target, elsewhere = str(folder), Path(folder).resolve(), _ELSEWHERE
    if Path(folder).is_symlink() and target.is_dir() and any(target.iterdir()):
        todo = "name the folder itself, or another one"
        raise OutputExistsError("is a link to a folder elsewhere that is not empty", where=where, todo=todo)
    if target == Path.cwd() or not target.name:
        raise UsageError(f"a {kind} needs a folder of its own", where=where, todo="name a new folder")
    require_writable_name(target)
    put_back(target)
    if not target.exists():
        _check_parent(target, where)
        return
    if not target.is_dir():
        raise OutputExistsError("a file of this name exists", where=where, todo=elsewhere)
    if not any(target.iterdir()):
        return
    if not overwrite:
        todo = "choose another folder or allow overwriting (--overwrite)"
        raise OutputExistsError("the folder exists and is not empty", where=where, todo=todo)
    if found := foreign(target):
        raise OutputExistsError(
            f"the folder holds what no {kind} wrote ({found})", where=where, todo=elsewhere
        )


def _check_parent(target: Path, where: str) -> None:
    parent = next(p for p in target.parents if p.exists())
    if not parent.is_dir():
        raise OutputError(f"nothing was written: {parent} is a file", where=where, todo=_ELSEWHERE)
    if not os.access(parent, os.W_OK):
        raise OutputError(f"nothing was written: Permission denied in {parent}", where=where, todo=_ELSEWHERE)


@contextmanager
def one_line_errors(target: Path) -> Iterator[None]:
    """Turn the failures of the file system and of the writers of a folder into one line about it.

    Parameters
    ----------
    target : Path
        The folder that is being made.

    Raises
    ------
    OutputError
        With what went wrong; a full disk is called that, whatever the writers call it.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ChangedetError) and not isinstance(error, OutputError):
            raise
        what = error.what if isinstance(error, OutputError) else (error.strerror or str(error))
        todo = "check the permission and the free space, or choose another folder"
        if _is_full(error, target):
            what, todo = "the disk is full", "free some space or choose a folder on another disk"
        raise OutputError(f"nothing was written: {what}", where=str(target), todo=todo) from error


def _is_full(error: BaseException | None, target: Path) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno in {errno.ENOSPC, errno.EDQUOT}
        error = error.__cause__
    parent = next((p for p in target.parents if p.is_dir()), None)
    return (
        parent is not None
        and os.access(parent, os.W_OK)
        and shutil.disk_usage(parent).free < _FULL_BELOW_BYTES
    )


def keep(folder: Path) -> None:
    """Wait until every file of a folder is on the disk: a rename may survive a crash that they do not.

    Parameters
    ----------
    folder : Path
        Whole by now.

    Raises
    ------
    OSError
        When the disk refuses them.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            to_disk(path)


def _sibling(target: Path, word: str) -> Path:
    return target.with_name(f".{target.name}.{word}-{secrets.token_hex(4)}")


def _left(parent: Path, names: Collection[str], word: str) -> list[Path]:
    """Return the folders that were made beside targets under such names; none where nothing can be seen."""
    with suppress(OSError):
        found = [path for path in parent.iterdir() if _target_of(path.name, word) in names]
        return [path for path in found if path.is_dir() and not path.is_symlink()]
    return []


def _target_of(name: str, word: str) -> str | None:
    found = re.fullmatch(rf"\.(.+)\.{word}-[0-9a-f]{{8}}", name, re.DOTALL)
    return found and found[1]
