"""Defaults from files: ``./changedet.toml`` over the user's file. Read only; nothing is ever written."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from changedet.errors import InputFileError

PROJECT_FILE = Path("changedet.toml")


def user_file() -> Path:
    """Return where the user's own settings may be: ``$XDG_CONFIG_HOME/changedet/config.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(home) / "changedet" / "config.toml"


def settings_files() -> list[Path]:
    """Return the settings files that exist, weakest first."""
    return [path for path in (user_file(), PROJECT_FILE) if path.is_file()]


def default_map() -> dict[str, Any]:
    """Merge the settings files into click's map of defaults, one table for each command.

    A key is the long option without dashes, ``min-area`` or ``min_area``.

    Raises
    ------
    InputFileError
        When a settings file is not TOML.
    """
    merged: dict[str, Any] = {}
    for path in settings_files():
        for command, table in _read(path).items():
            if isinstance(table, dict):
                known = merged.setdefault(command, {})
                known.update({key.replace("-", "_"): value for key, value in table.items()})
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(f"cannot be read as TOML ({error})", where=str(path), todo="correct it") from error
