"""Settings files: ``./changedet.toml`` over the user's file. Read only; nothing is ever written."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_FILE = Path("changedet.toml")
#: Environment variable that overrules ``max_size`` in the table ``[cache]``.
CACHE_SIZE_VARIABLE = "CHANGEDET_CACHE_MAX_SIZE"
_UNITS = MappingProxyType(
    {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
     "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
)  # fmt: skip


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


def settings_file_of(*keys: str) -> str:
    """Name the settings file that decides a value.

    Parameters
    ----------
    *keys : str
        Names of the tables from the outermost, then that of the value; ``-`` and ``_`` are the same.

    Returns
    -------
    str
        The strongest file that has it; "" when none does.
    """
    return next((str(path) for path in reversed(settings_files()) if _has(_read(path), keys)), "")


def _has(table: object, keys: tuple[str, ...]) -> bool:
    if not keys:
        return True
    named = {k.replace("_", "-"): v for k, v in table.items()} if isinstance(table, dict) else {}
    key = keys[0].replace("_", "-")
    return key in named and _has(named[key], keys[1:])


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(
            f"cannot be read as TOML ({error})", where=str(path), todo="correct it"
        ) from error


def parse_size(text: str, *, where: str = "--max-size") -> int:
    """Read a size in bytes.

    Parameters
    ----------
    text : str
        A number with ``kB``, ``MB``, ``GB``, ``TB``, ``KiB`` and so on; bytes without a unit.
    where : str
        What said so, for the message.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    UsageError
        When it is not such a text.

    Examples
    --------
    >>> parse_size("1.5GB"), parse_size("2 MiB"), parse_size("0")
    (1500000000, 2097152, 0)
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)", text.strip(), re.ASCII)
    if match is None or match[2].lower() not in _UNITS:
        raise UsageError(f"{text!r} is not a size", where=where, todo="write it as 5GB or 500MB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def cache_max_bytes(environment: Mapping[str, str] | None = None) -> int | None:
    """Read how large the scene cache may become: ``max_size`` in ``[cache]``, or the environment.

    Parameters
    ----------
    environment : mapping of str to str, optional
        The environment of the process when not given; `CACHE_SIZE_VARIABLE` overrules the files.

    Returns
    -------
    int or None
        Bytes; None when nobody said so.

    Raises
    ------
    InputFileError
        When what was said is no size.
    """
    environment = os.environ if environment is None else environment
    said, where = environment.get(CACHE_SIZE_VARIABLE), CACHE_SIZE_VARIABLE
    if said is None:
        said, where = (
            read_settings().get("cache", {}).get("max-size"),
            f"{settings_file_of('cache', 'max-size')}, [cache] max_size",
        )
    if said is None:
        return None
    try:
        return parse_size(str(said), where=where)
    except UsageError as error:
        raise InputFileError(error.what, where=where, todo=error.todo) from error
