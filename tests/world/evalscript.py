"""Reads the few evalscripts that the Sentinel Hub stand-in can answer; refuses all others with 400."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.world.plumbing import Refusal

_WORD = re.compile(r"""["']([\w-]+)["']""")


@dataclass(frozen=True)
class Output:
    """One declared output: which band goes where, and the type of its samples."""

    identifier: str
    bands: tuple[str, ...]
    sample_type: str


@dataclass(frozen=True)
class Evalscript:
    """What a script declares: input bands with their units, and its outputs."""

    units: dict[str, str]
    outputs: tuple[Output, ...]


def read(text: str, allowed: frozenset[str]) -> Evalscript:
    """Read a script that returns input bands as they are; `allowed` are the collection's bands."""
    if not text.lstrip().startswith("//VERSION=3"):
        raise Refusal(400, "the evalscript does not begin with //VERSION=3")
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    _ = _one(r"function\s+(setup)\s*\(", code, "a function setup")
    mosaicking = re.search(r"mosaicking\s*:\s*[\"']?(\w+)", code)
    if mosaicking and mosaicking.group(1) != "SIMPLE":
        raise Refusal(400, f"mosaicking {mosaicking.group(1)} is not rendered here")
    units = _units(code, allowed)
    returned = _returned(code)
    declared = _declared(code)
    if set(returned) != set(declared):
        raise Refusal(400, f"outputs {sorted(declared)} are declared and {sorted(returned)} returned")
    outputs = []
    for name, (count, sample_type) in declared.items():
        if len(returned[name]) != count:
            raise Refusal(400, f"output {name} has {count} bands declared and {len(returned[name])} returned")
        if strange := [one for one in returned[name] if one not in units]:
            raise Refusal(400, f"bands are returned but not in the input: {', '.join(strange)}")
        outputs.append(Output(name, returned[name], sample_type))
    return Evalscript(units, tuple(outputs))


def _one(pattern: str, code: str, what: str) -> str:
    found = re.search(pattern, code, re.DOTALL)
    if not found:
        raise Refusal(400, f"the evalscript lacks {what}")
    return found.group(1)


def _units(code: str, allowed: frozenset[str]) -> dict[str, str]:
    after = _one(r"input\s*:\s*\[(.*)", code, "an input")
    inner = after.split("output", 1)[0]
    listed = re.search(r"bands\s*:\s*\[([^\]]*)\]", inner)
    bands = _WORD.findall(listed.group(1) if listed else after.split("]", 1)[0])
    if strange := sorted(set(bands) - allowed):
        raise Refusal(400, f"band {', '.join(strange)} is not in the collection")
    if not bands:
        raise Refusal(400, "the evalscript has no input bands")
    stated = re.search(r"units\s*:\s*(\[[^\]]*\]|[\"']\w+[\"'])", inner)
    units = _WORD.findall(stated.group(1)) if stated else []
    if len(units) not in {0, 1, len(bands)}:
        raise Refusal(400, f"{len(units)} units for {len(bands)} bands")
    every = units * len(bands) if len(units) == 1 else units or ["default"] * len(bands)
    return dict(zip(bands, every, strict=True))


def _declared(code: str) -> dict[str, tuple[int, str]]:
    listed = re.search(r"output\s*:\s*(\[[^\]]*\]|\{[^}]*\})", code)
    if not listed:
        raise Refusal(400, "the evalscript lacks an output")
    found = {}
    for block in re.findall(r"\{([^}]*)\}", listed.group(1)):
        named = re.search(r"\bid\s*:\s*[\"'](\w+)[\"']", block)
        count = _one(r"\bbands\s*:\s*(\d+)", block, "the number of bands of an output")
        kind = re.search(r"\bsampleType\s*:\s*[\"']?(?:SampleType\.)?(\w+)", block)
        found[named.group(1) if named else "default"] = (int(count), kind.group(1) if kind else "AUTO")
    for output, (_, sample_type) in found.items():
        if sample_type not in {"UINT8", "UINT16", "FLOAT32"}:
            raise Refusal(400, f"sample type {sample_type} of output {output} is not rendered here")
    return found


def _returned(code: str) -> dict[str, tuple[str, ...]]:
    body = _one(r"function\s+evaluatePixel\s*\(\s*\w+\s*\)\s*\{(.*)", code, "a function evaluatePixel")
    plain = re.search(r"return\s*\[([^\]]*)\]", body)
    if plain:
        return {"default": _samples(plain.group(1))}
    inner = _one(r"return\s*\{(.*?)\}", body, "a return of a list or of named lists")
    return {name: _samples(text) for name, text in re.findall(r"(\w+)\s*:\s*\[([^\]]*)\]", inner)}


def _samples(text: str) -> tuple[str, ...]:
    names = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*\w+\.(\w+)\s*", part)
        if not found:
            raise Refusal(400, f"only bands as they are can be returned here, not {part.strip()!r}")
        names.append(found.group(1))
    return tuple(names)
