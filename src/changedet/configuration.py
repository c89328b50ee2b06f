"""Settings files: ``./changedet.toml`` over the user's file. Read only; nothing is ever written."""

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


def read_settings() -> dict[str, dict[str, Any]]:
    """Merge the settings files, one table for each command, and one for the providers.

    Returns
    -------
    dict
        By command, then by the long option without its dashes, such as ``min-area``.

    Raises
    ------
    InputFileError
        When a settings file cannot be read, is not TOML, or holds something else than tables.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in settings_files():
        for command, table in _read(path).items():
            if not isinstance(table, dict):
                raise InputFileError(
                    f"{command!r} stands outside a table", where=str(path), todo="put it below [detect], say"
                )
            named = {key.replace("_", "-"): value for key, value in table.items()}
            merged[command] = merged.get(command, {}) | named
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(
            f"cannot be read as TOML ({error})", where=str(path), todo="correct it"
        ) from error
