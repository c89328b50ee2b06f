"""Folders that appear whole or not at all: made beside their place, renamed, and undone when that fails."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def temporary_sibling(target: Path) -> Iterator[Path]:
    """Give an empty folder beside a target, so that it can be renamed to it.

    At the end it is removed unless it was renamed, and so are folders above it that were made for it and
    hold nothing.

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


def _sibling(target: Path, word: str) -> Path:
    return target.with_name(f".{target.name}.{word}-{secrets.token_hex(4)}")
