"""Loaded scenes kept on disk: whole or not at all, checked before they are believed, shared by processes.

An entry is two files: a GeoTIFF named after its key and its own digest, and a sidecar ``<key>.json`` that
names it. The sidecar appears last: an entry exists when its sidecar does. Two processes that store the same
key each write files of their own and rename them; the later sidecar stays, and its data with it. There are no
locks.

`SceneCache.look` decides what there is (`Condition`) and changes nothing. The other methods act on it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.errors import OutputError
from changedet.hashing import sha256_file
from changedet.json_texts import parse_json
from changedet.providers.cache_files import (
    PART,
    digest_of,
    is_stale,
    read_raster,
    remove,
    temporary,
    to_disk,
    without_secrets,
    write_raster,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from changedet.providers.cache_files import Planes

#: Layout of the entries and rules by which pixels are read; another number makes every key another one.
SCHEMA_VERSION = 1
#: Space that entries may take when nothing else is said, in bytes.
DEFAULT_MAX_BYTES = 20_000_000_000
#: The folder is looked through again after so many new entries, or as large a share of the space.
_STORED_UNSEEN, _ADDED_UNSEEN = 64, 1 / 64
_DAMAGED = ".damaged"
_DATA_NAME = re.compile(r"(?P<key>[0-9a-f]{64})\.[0-9a-f]{16}\.tif")
_SIDECAR_NAME = re.compile(r"(?P<key>[0-9a-f]{64})\.json")
_TODO = "name another folder with --cache, or make room with changedet cache prune"


class Condition(StrEnum):
    """What was found under a key."""

    INTACT = "intact"
    DAMAGED = "damaged"
    ABSENT = "absent"


@dataclass(frozen=True)
class Found:
    """What stands under a key.

    Attributes
    ----------
    condition : Condition
        Whether it can be used.
    reason : str
        Why not; empty when it can.
    record : mapping
        The sidecar; empty when there is none that can be read.
    data : Path or None
        The GeoTIFF; None unless intact.
    """

    condition: Condition
    reason: str = ""
    record: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    data: Path | None = None


@dataclass(frozen=True)
class Entry:
    """One entry as the folder shows it, without reading its data.

    Attributes
    ----------
    key : str
        64 hexadecimal digits.
    size_bytes : int
        Sidecar and data together.
    used : datetime
        When it was last read or written, UTC.
    """

    key: str
    size_bytes: int
    used: datetime


def default_folder() -> Path:
    """Return where scenes are kept by default: ``$XDG_CACHE_HOME/changedet`` or ``~/.cache/changedet``."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(home) / "changedet"


@dataclass
class _Room:
    """What entries take, as far as it is known without looking at all of them again after each."""

    taken: int = 0
    added: int = 0
    stored: int = _STORED_UNSEEN

    def is_due(self) -> bool:
        """Whether the folder has to be looked through: by now others may have stored much."""
        return self.stored >= _STORED_UNSEEN

    def is_short_after(self, size: int, most: int) -> bool:
        """Count a new entry; say whether entries may take more than they may."""
        due = self.is_due()
        self.stored, self.added = self.stored + 1, self.added + size
        return due or self.added > most * _ADDED_UNSEEN or self.taken + self.added > most

    def counted(self, taken: int) -> None:
        """Note what all entries take."""
        self.taken, self.added, self.stored = taken, 0, 0


@dataclass(frozen=True)
class SceneCache:
    """Loaded scenes in one folder, which several processes may use at once.

    Attributes
    ----------
    folder : Path
        Made when the first entry is stored.
    max_bytes : int
        Those that were not used for longest go until all fit into this. What other processes have stored is
        counted now and then, not after each entry: listing thousands of files takes longer than writing one.

    Examples
    --------
    >>> cache = SceneCache(Path("a folder that is not there"))
    >>> cache.look("0" * 64).condition
    <Condition.ABSENT: 'absent'>
    """

    folder: Path
    max_bytes: int = DEFAULT_MAX_BYTES
    _room: _Room = field(default_factory=_Room, repr=False, compare=False)

    @property
    def scenes(self) -> Path:
        """The folder that holds the entries."""
        return self.folder / "scenes"

    def obstacle(self) -> str:
        """Say why nothing can be kept here, as far as that shows without writing; "" when nothing does."""
        nearest = next((path for path in (self.scenes, *self.scenes.parents) if path.exists()), Path())
        if not nearest.is_dir():
            return f"{nearest} is a file, no folder"
        return "" if os.access(nearest, os.W_OK | os.X_OK) else f"nothing may be written into {nearest}"

    def look(self, key: str) -> Found:
        """Say what stands under a key, after reading every byte of it; nothing is changed.

        Parameters
        ----------
        key : str
            64 hexadecimal digits, from `digest_of`.

        Returns
        -------
        Found
            Damaged when the sidecar or the data are not what was written.
        """
        try:
            text = self._sidecar(key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return Found(Condition.ABSENT, "not stored")
        except (OSError, UnicodeDecodeError) as error:
            return Found(Condition.DAMAGED, f"sidecar cannot be read ({type(error).__name__})")
        record = _understood(text, key)
        if record is None:
            return Found(Condition.DAMAGED, "sidecar is not what was written")
        path = self.scenes / str(record["data"]["name"])
        reason = _damage(path, record["data"])
        return (
            Found(Condition.DAMAGED, reason, record) if reason else Found(Condition.INTACT, "", record, path)
        )

    def describe(self, key: str) -> Mapping[str, Any]:
        """Return what was stored beside the planes of a key, without reading those.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.

        Returns
        -------
        mapping
            Empty when there is nothing, or nothing that can be believed.
        """
        record = self._record(key)
        return {} if record is None else dict(record["content"])

    def fetch(self, key: str) -> tuple[NDArray[Any], Mapping[str, Any]] | None:
        """Return what was stored under a key, and count it as used.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.

        Returns
        -------
        (ndarray of shape (plane, y, x), mapping) or None
            Planes and the content stored with them; None when nothing usable is there. What is damaged has
            been set aside then, so that it can be stored again.
        """
        found = self.look(key)
        if found.condition is Condition.DAMAGED:
            self.set_aside(key)
        if found.data is None:
            return None
        array = read_raster(found.data)
        if array is None:
            # whole by its digest, yet unreadable here: another process took it away, or GDAL lacks the codec
            return None
        with suppress(OSError):
            os.utime(self._sidecar(key))
        return array, found.record["content"]

    def store(self, key: str, planes: Planes, content: Mapping[str, Any]) -> None:
        """Keep planes under a key; what stood there before is replaced.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.
        planes : Planes
            Pixels.
        content : mapping
            JSON-serialisable description, returned by `fetch`; links lose what could be a secret.

        Raises
        ------
        OutputError
            When it cannot be written. Nothing stands under a final name then that was not there before.
        """
        try:
            self.scenes.mkdir(parents=True, exist_ok=True)
            if self._room.is_due():
                self.clean()
            size = self._write(key, planes, without_secrets(content))
        except OSError as error:
            raise OutputError(
                f"scene cannot be kept ({error.strerror or error})",
                where=str(self.scenes),
                todo=_TODO,
            ) from error
        if self._room.is_short_after(size, self.max_bytes):
            self._make_room(self.max_bytes, spared=key)

    def entries(self) -> list[Entry]:
        """List what is stored, most recently used first."""
        sizes: dict[str, int] = {}
        used: dict[str, float] = {}
        for path in self._files():
            with suppress(FileNotFoundError):
                facts = path.stat()
                if sidecar := _SIDECAR_NAME.fullmatch(path.name):
                    used[sidecar["key"]] = facts.st_mtime
                if own := sidecar or _DATA_NAME.fullmatch(path.name):
                    sizes[own["key"]] = sizes.get(own["key"], 0) + facts.st_size
        found = [Entry(key, sizes[key], datetime.fromtimestamp(t, UTC)) for key, t in used.items()]
        return sorted(found, key=lambda entry: (entry.used, entry.key), reverse=True)

    def set_aside(self, key: str) -> None:
        """Give what is damaged of an entry a name that ends in ``.damaged``, under which nobody looks for it.

        Parameters
        ----------
        key : str
            64 hexadecimal digits. What is intact stays, and so do data that another process has just written
            and whose sidecar is to follow.
        """
        if self.look(key).condition is not Condition.DAMAGED:
            return
        for path in [self._sidecar(key), *self._named_data(key)]:
            with suppress(OSError):
                path.replace(path.with_name(path.name + _DAMAGED))

    def prune(self, max_bytes: int | None = None) -> list[Entry]:
        """Remove the entries that were not used for longest, and what was set aside or left half-written.

        Parameters
        ----------
        max_bytes : int, optional
            Bytes that may stay; `max_bytes` of the cache by default.

        Returns
        -------
        list of Entry
            The entries removed.
        """
        self.clean()
        for path in self._files():
            if path.name.endswith(_DAMAGED):
                remove(path)
        return self._make_room(self.max_bytes if max_bytes is None else max_bytes)

    def clean(self) -> int:
        """Remove old files that no entry names: half-written ones and data whose sidecar has gone.

        Returns
        -------
        int
            How many files were removed. Younger ones than `STALE_AFTER_S` may be somebody's work and stay.
        """
        paths = list(self._files())
        there = {path.name.removesuffix(".json") for path in paths if _SIDECAR_NAME.fullmatch(path.name)}
        data = {path: found["key"] for path in paths if (found := _DATA_NAME.fullmatch(path.name))}
        count, removed = Counter(data.values()), 0
        for path in paths:
            key = data.get(path)
            orphan = key is not None and (
                key not in there or (count[key] > 1 and path not in self._named_data(key))
            )
            if (path.name.endswith(PART) or orphan) and is_stale(path):
                remove(path)
                removed += 1
        return removed

    def _files(self) -> Iterator[Path]:
        return self.scenes.iterdir() if self.scenes.is_dir() else iter(())

    def _sidecar(self, key: str) -> Path:
        return self.scenes / f"{key}.json"

    def _data_of(self, key: str) -> list[Path]:
        return [p for p in self._files() if (m := _DATA_NAME.fullmatch(p.name)) and m["key"] == key]

    def _write(self, key: str, planes: Planes, content: Any) -> int:  # noqa: ANN401  # whatever JSON can hold
        """Write an entry and return its size in bytes."""
        is_new = not self._sidecar(key).exists()
        with temporary(self.scenes, key) as part:
            write_raster(part, planes)
            to_disk(part)
            digest, size = sha256_file(part), part.stat().st_size
            name = f"{key}.{digest[:16]}.tif"
            part.replace(self.scenes / name)
        body = {
            "schema": f"changedet.cache/{SCHEMA_VERSION}",
            "key": key,
            "stored_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {"name": name, "bytes": size, "sha256": digest},
            "content": content,
        }
        with temporary(self.scenes, key) as part:
            text = json.dumps(body | {"sha256": digest_of(body)}, indent=1, ensure_ascii=False)
            part.write_text(text, encoding="utf-8")
            to_disk(part)
            size += part.stat().st_size
            part.replace(self._sidecar(key))
        # of a new one there is at most what somebody who was killed has left: `clean` finds that
        for other in () if is_new else self._data_of(key):
            # a young one may be that of a process that is about to write its sidecar
            if other.name != name and is_stale(other):
                remove(other)
        return size

    def _named_data(self, key: str) -> list[Path]:
        """Return the data that a sidecar names; what another process writes under this key is not its own."""
        record = self._record(key)
        return [] if record is None else [self.scenes / str(record["data"]["name"])]

    def _record(self, key: str) -> dict[str, Any] | None:
        try:
            return _understood(self._sidecar(key).read_text(encoding="utf-8"), key)
        except (OSError, UnicodeDecodeError):
            return None

    def _make_room(self, max_bytes: int, *, spared: str = "") -> list[Entry]:
        entries = self.entries()
        taken, removed = sum(entry.size_bytes for entry in entries), []
        for entry in reversed(entries):
            if taken <= max_bytes:
                break
            if entry.key == spared:
                continue
            # the sidecar goes first: without it there is no entry, whenever this stops
            for path in [self._sidecar(entry.key), *self._named_data(entry.key)]:
                remove(path)
            taken -= entry.size_bytes
            removed.append(entry)
        self._room.counted(taken)
        return removed


def _understood(text: str, key: str) -> dict[str, Any] | None:
    """Return the record of a sidecar, None unless every byte of its content is what was written."""
    try:
        record = parse_json(text)
        said = record.pop("sha256")
        whole = said == digest_of(record) and record["key"] == key
        whole = whole and _DATA_NAME.fullmatch(record["data"]["name"]) is not None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if whole else None


def _damage(path: Path, said: Mapping[str, Any]) -> str:
    """Say in what a file differs from what its sidecar says, nothing when in nothing."""
    try:
        size = path.stat().st_size
        if size != said["bytes"]:
            return f"{size} bytes instead of {said['bytes']}"
        return "" if sha256_file(path) == said["sha256"] else "SHA-256 differs"
    except OSError as error:
        return f"data cannot be read ({type(error).__name__})"
