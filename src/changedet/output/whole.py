"""Folders that appear whole or not at all: made beside their place, renamed, and undone when that fails."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import unicodedata
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from changedet.errors import UsageError
from changedet.providers.cache_files import is_stale, to_disk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


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
