"""Defaults of options from settings files, in the form that Typer takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from changedet.configuration import (
    PROJECT_FILE,
    read_settings,
    settings_file_of,
    settings_files,
    user_file,
)
from changedet.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PROJECT_FILE", "default_map", "read_settings", "settings_files", "user_file"]


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
    tables = read_settings()
    # a table of its own below this one speaks of a provider, not of the command
    listed = {key: value for key, value in tables.pop("providers", {}).items() if not isinstance(value, dict)}
    # how large the cache may become holds for every command that fills it
    kept = {key: value for key, value in tables.pop("cache", {}).items() if key != "max-size"}
    own = {name: table for name, table in (("providers", listed), ("cache", kept)) if table}
    return _renamed(tables | own, command, "changedet")


def _renamed(table: Mapping[str, Any], command: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    parts = getattr(command, "commands", {})
    options = {option.lstrip("-"): p for p in command.params for option in p.opts + p.secondary_opts}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in parts and isinstance(value, dict):
            found[key] = _renamed(value, parts[key], f"{path} {key}")
        elif (option := options.get(key.replace("_", "-"))) is not None:
            takes_many = getattr(option, "multiple", False) or option.nargs != 1
            # what Typer says of a list in the place of a number hangs on its version
            if isinstance(value, list | dict) and not takes_many:
                raise _misfit(key.replace("_", "-"), "it takes one value", path.split()[1:])
            found[option.name] = value
        else:
            raise InputFileError(
                f"{path} has no option {key!r}" if not parts else f"{path} has no command {key!r}",
                where=" and ".join(map(str, settings_files())),
                todo=f"see {path} --help",
            )
    return found


def error_of_settings(error: BaseException) -> InputFileError | None:
    """Say of a value that an option does not take where it stands, when that is a settings file.

    Parameters
    ----------
    error : exception
        Anything that Typer raises.

    Returns
    -------
    InputFileError or None
        None when the value was given on the command line or in the environment.
    """
    context, option = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or option is None:
        return None
    source = context.get_parameter_source(option.name)
    if source is None or source.name != "DEFAULT_MAP":
        return None
    command = context.command_path.split()[1:]
    long = next((k for k in option.opts if settings_file_of(*command, k.lstrip("-"))), option.opts[0])
    key = long.lstrip("-")
    why = str(getattr(error, "message", error)).rstrip(".")
    return _misfit(key, why, command)


def _misfit(key: str, why: str, command: Sequence[str]) -> InputFileError:
    return InputFileError(
        f"{key} does not fit ({why})",
        where=f"{settings_file_of(*command, key)}, [{'.'.join(command)}]",
        todo=f"see changedet {' '.join(command)} --help",
    )
