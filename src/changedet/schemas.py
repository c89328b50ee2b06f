"""The form of every JSON document that commands print and files hold, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from changedet.errors import UsageError


def schema_names() -> tuple[str, ...]:
    """Return the names under which forms are known: commands, files, and parts of both.

    Returns
    -------
    tuple of str
        A command's name is what follows ``changedet`` on the line, such as ``"cache ls"``.
    """
    return tuple(_bundle()["$defs"])


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a document.

    Parameters
    ----------
    name : str
        Of `schema_names`.

    Returns
    -------
    dict
        A schema by itself, to be given to any validator.

    Raises
    ------
    UsageError
        When nothing has this name.

    Examples
    --------
    >>> schema_of("report")["$ref"]
    '#/$defs/report'
    """
    bundle = _bundle()
    if name not in bundle["$defs"]:
        known = ", ".join(schema_names())
        raise UsageError(f"no document is called {name!r}", where="schema_of", todo=f"use one of {known}")
    return {
        "$schema": bundle["$schema"],
        "$ref": f"#/$defs/{name.replace(' ', '%20')}",
        "$defs": bundle["$defs"],
    }


@cache
def _bundle() -> dict[str, Any]:
    text = files("changedet").joinpath("schemas.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
