"""Defaults from files: ``./changedet.toml`` over the user's file. Read only; nothing is ever written."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_FILE = Path("changedet.toml")


def user_file() -> Path:
    """Return where the user's own settings may be: ``$XDG_CONFIG_HOME/changedet/config.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(home) / "changedet" / "config.toml"


def settings_files() -> list[Path]:
    """Return the settings files that exist, weakest first."""
    return [path for path in (user_file(), PROJECT_FILE) if path.is_file()]


def read_settings() -> dict[str, dict[str, Any]]:
    """Merge the settings files, one table for each command.

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


def default_map(command: Any) -> dict[str, Any]:  # noqa: ANN401  # Typer's own or click's, by its version
    """Turn the settings files into the map of defaults that Typer takes.

    Parameters
    ----------
    command : typer's Group
        The root command.

    Returns
    -------
    dict
        By command, then by parameter.

    Raises
    ------
    InputFileError
        When a settings file cannot be used, or names a command or an option that is not there.
    """
    return _renamed(read_settings(), command, "changedet")


def _renamed(table: Mapping[str, Any], command: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    parts = getattr(command, "commands", {})
    options = {option.lstrip("-"): p for p in command.params for option in p.opts + p.secondary_opts}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in parts and isinstance(value, dict):
            found[key] = _renamed(value, parts[key], f"{path} {key}")
        elif key.replace("_", "-") in options:
            found[options[key.replace("_", "-")].name] = value
        else:
            raise InputFileError(
                f"{path} has no option {key!r}" if not parts else f"{path} has no command {key!r}",
                where=" and ".join(map(str, settings_files())),
                todo=f"see {path} --help",
            )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(
            f"cannot be read as TOML ({error})", where=str(path), todo="correct it"
        ) from error
