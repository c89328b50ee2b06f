"""``changedet cache``: look at the loaded scenes that are kept on disk, check them, remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit
from changedet.cli.sections import PlainGroup
from changedet.configuration import parse_size
from changedet.errors import VerificationError

if TYPE_CHECKING:
    from pathlib import Path

    from changedet.providers.cache import Entry, Found, SceneCache

app = typer.Typer(
    help="Work with the loaded scenes that are kept on disk.", cls=PlainGroup, rich_markup_mode=None
)

MaxSize = Annotated[
    Optional[str],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option(
        "--max-size",
        help="What may stay, such as 5GB or 0 (default: what the cache may hold).",
        metavar="SIZE",
    ),
]


@app.callback()
def _root() -> None:
    """Work with the loaded scenes that are kept on disk."""


@app.command("ls")
def list_entries(cache: options.Cache = None, as_json: options.AsJson = False) -> None:
    """List the scenes that are kept, most recently used first."""
    opened = _open(cache)
    entries = opened.entries()
    rows = [_row(opened, entry) for entry in entries]
    lines = [_summary(opened, entries)]
    lines += [
        f"{r['key'][:12]}  {r['size_bytes'] / 1e6:9.2f} MB  {r['used_utc']}  {r['provider']:18}  {r['scene']}"
        f"  {' '.join(r['bands'])}".rstrip()
        for r in rows
    ]
    emit({"folder": str(opened.folder), "entries": rows}, lines, as_json=as_json)


@app.command("verify")
def verify(cache: options.Cache = None, as_json: options.AsJson = False) -> None:
    """Read every scene that is kept and compare its digest; set aside what is damaged."""
    from changedet.providers.cache import Condition

    opened = _open(cache)
    found = {entry.key: opened.look(entry.key) for entry in opened.entries()}
    damaged = {key: one for key, one in found.items() if one.condition is Condition.DAMAGED}
    for key in damaged:
        opened.set_aside(key)
    document = _verified(opened, found)
    if damaged:
        named = ", ".join(f"{key[:12]}: {one.reason}" for key, one in list(damaged.items())[:5])
        raise VerificationError(
            f"{len(damaged)} of {len(found)} scene(s) were damaged and are set aside ({named})",
            where=str(opened.folder),
            todo="they will be fetched again when needed; changedet cache prune removes them",
            details=document,
        )
    emit(document, [f"{len(found)} scene(s) in {opened.folder} are what was written"], as_json=as_json)


@app.command("prune")
def prune(cache: options.Cache = None, max_size: MaxSize = None, as_json: options.AsJson = False) -> None:
    """Remove the scenes that were not used for longest, and what was damaged or left half-written."""
    opened = _open(cache)
    removed = opened.prune(None if max_size is None else parse_size(max_size))
    kept = opened.entries()
    freed = sum(entry.size_bytes for entry in removed)
    document = {
        "folder": str(opened.folder),
        "removed": [entry.key for entry in removed],
        "freed_bytes": freed,
        "kept": len(kept),
    }
    lines = [f"{len(removed)} scene(s) removed, {freed / 1e6:.2f} MB freed", _summary(opened, kept)]
    emit(document, lines, as_json=as_json)


def _open(folder: Path | None) -> SceneCache:
    from changedet.providers.cached import open_cache

    return open_cache(folder)


def _row(cache: SceneCache, entry: Entry) -> dict[str, Any]:
    content = cache.describe(entry.key)
    scene = content.get("scene", {})
    return {
        "key": entry.key,
        "size_bytes": entry.size_bytes,
        "used_utc": f"{entry.used:%Y-%m-%dT%H:%M:%SZ}",
        "provider": content.get("provider", "unknown"),
        "scene": scene.get("id", "unknown"),
        "bands": content.get("bands", []),
    }


def _summary(cache: SceneCache, entries: list[Entry]) -> str:
    total = sum(entry.size_bytes for entry in entries)
    return f"{len(entries)} scene(s), {total / 1e6:.2f} MB in {cache.folder}"


def _verified(cache: SceneCache, found: dict[str, Found]) -> dict[str, Any]:
    return {
        "folder": str(cache.folder),
        "entries": {
            key: {"condition": one.condition.value, "reason": one.reason} for key, one in found.items()
        },
    }
