"""What `changedet doctor` finds about the machine: folders that are written to, memory, fonts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from changedet.cli.findings import Finding
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A run of one site takes about so much of a disk.
_LEAST_FREE_BYTES = 1e9
#: Below this a site of 20 km is compared slowly, in parts.
_COMFORTABLE_BYTES = 4e9


def machine(cache: Path | None) -> Iterator[Finding]:
    """Look at what a run needs of the machine.

    Parameters
    ----------
    cache : Path or None
        Folder of the cache, None for the one that would be used.

    Yields
    ------
    Finding
        The current folder, the folder of scratch files, the cache, the memory, the fonts.
    """
    yield _writable("current folder", Path.cwd(), "go to a folder of your own, or give --out")
    yield _scratch()
    yield _cache(cache)
    yield _memory()
    yield _fonts()


def _writable(check: str, folder: Path, todo: str) -> Finding:
    """Try a file in a folder, and look how much room there is."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(check, "failed", f"{folder}: {error.strerror}; {todo}")
    if free < _LEAST_FREE_BYTES:
        return Finding(check, "failed", f"{folder}: only {free / 1e6:.0f} MB free; make room, or {todo}")
    return Finding(check, "ok", f"{folder}, {free / 1e9:.1f} GB free")


def _scratch() -> Finding:
    from changedet.scale.scratch import scratch_folder

    try:
        return _writable("temporary folder", scratch_folder(), "set TMPDIR or CHANGEDET_SCRATCH")
    except UsageError as error:
        return Finding("temporary folder", "failed", str(error))


def _cache(folder: Path | None) -> Finding:
    from changedet.providers.cached import open_cache

    opened = open_cache(folder)
    if obstacle := opened.obstacle():
        return Finding("cache", "failed", f"{obstacle}; name another folder with --cache or CHANGEDET_CACHE")
    nearest = next(path for path in (opened.folder, *opened.folder.absolute().parents) if path.exists())
    entries = opened.entries() if opened.scenes.exists() else []
    held, most = sum(one.size_bytes for one in entries) / 1e9, opened.max_bytes / 1e9
    detail = f"{opened.folder}, {len(entries)} scene(s), {held:.1f} of at most {most:.1f} GB"
    free = shutil.disk_usage(nearest).free
    if free < _LEAST_FREE_BYTES:
        todo = "make room, or changedet cache prune --max-size 0"
        return Finding("cache", "failed", f"{detail}, only {free / 1e6:.0f} MB free; {todo}")
    return Finding("cache", "ok", f"{detail}, {free / 1e9:.1f} GB free")


def _memory() -> Finding:
    from changedet.scale.resources import memory_of_machine_bytes, processors, usual_memory_bytes

    whole = memory_of_machine_bytes()
    if whole == float("inf"):
        return Finding("memory", "ok", "the system does not say how much there is")
    detail = (
        f"{whole / 1e9:.1f} GB, of which a run takes {usual_memory_bytes() / 1e9:.1f}; "
        f"{processors()} processor(s)"
    )
    if whole < _COMFORTABLE_BYTES:
        return Finding("memory", "missing", f"{detail}; choose sites of a few kilometres (--radius)")
    return Finding("memory", "ok", detail)


def _fonts() -> Finding:
    from matplotlib.font_manager import findfont

    try:
        path = findfont("DejaVu Sans", fallback_to_default=False)
    except ValueError:
        todo = "captions of plates will look different: pip install --force-reinstall matplotlib"
        return Finding("fonts", "failed", f"DejaVu Sans is not there; {todo}")
    return Finding("fonts", "ok", str(path))
