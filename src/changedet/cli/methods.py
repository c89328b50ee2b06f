"""``changedet methods``: how change can be scored, and what each way asks for."""

from __future__ import annotations

import re
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit

if TYPE_CHECKING:
    from changedet.core.optical import Detector

_WIDTH = 100
_DOI = re.compile(r"doi:(\S+)")


def methods(as_json: options.AsJson = False) -> None:
    """List the methods that --method knows: source, bands and parameters of each, the default first."""
    from changedet.comparison import DetectSettings
    from changedet.core.optical import DETECTORS

    default = DetectSettings().method
    found = [_described(detector, default) for detector in DETECTORS.values()]
    found.sort(key=lambda one: not one["default"])
    lines = [line for one in found for line in _lines(one)]
    emit({"methods": found}, lines, as_json=as_json)


def _described(detector: Detector, default: str) -> dict[str, Any]:
    doi = _DOI.search(detector.source)
    return {
        "name": detector.name,
        "title": detector.title,
        "family": detector.family,
        "source": detector.source,
        "doi": doi[1] if doi else None,
        "bands": list(detector.needs),
        "parameters": detector.parameters().to_dict(),
        "decides_at": detector.decides_at,
        "default": detector.name == default,
    }


def _lines(one: dict[str, Any]) -> list[str]:
    """Say the same for a reader."""
    said = [
        f"{one['name']}{' (default)' if one['default'] else ''}: {one['title']}",
        f"  family: {one['family']}; bands: {', '.join(one['bands']) or 'any'}",
        f"  source: {one['source']}",
    ]
    if one["decides_at"] is not None:
        said.append(f"  by itself it calls a pixel changed above {one['decides_at']:g}")
    given = (f"{key} = {_short(value)}" for key, value in one["parameters"].items())
    parameters = f"parameters: {', '.join(given)}"
    return [*said, *wrap(parameters, _WIDTH, initial_indent="  ", subsequent_indent="    ")]


def _short(value: object) -> str:
    """Return a value of a parameter; of a long list the ends only."""
    if isinstance(value, list):
        some = value if len(value) <= 8 else [*value[:3], "...", value[-1]]
        return f"[{' '.join(map(str, some))}]"
    return str(value)
