"""Tiles that are encoded already, put in the order of a Cloud Optimized GeoTIFF without being decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate
from os import SEEK_END
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: What GDAL reads to learn that the order can be relied on (its COG driver writes the same).
_STRUCTURE = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_STRUCTURE) + _STRUCTURE
#: Bytes of one value by its type in TIFF 6.0 and BigTIFF.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_CODES = {3: "H", 4: "I", 16: "Q"}
_SUBFILE, _TILE_OFFSETS, _TILE_SIZES = 254, 324, 325
#: Tags that stand with the full image only: where it lies, and what is said of it.
_OF_THE_IMAGE = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112})
_LONG, _LONG8 = 4, 16
#: A file that is shorter needs no positions of 64 bits.
_CLASSIC_BELOW = 2**32 - 2**20
#: Each tile stands between its size and its last four bytes.
_LEADER = _TRAILER = 4


@dataclass(frozen=True)
class _Flavour:
    """Sizes and codes of the numbers of a TIFF."""

    header: bytes
    count: str
    entry: str
    room: int
    position: str
    integer: int


_CLASSIC = _Flavour(struct.pack("<2sH", b"II", 42), "<H", "<HHI", 4, "<I", _LONG)
_BIG = _Flavour(struct.pack("<2sHHH", b"II", 43, 8, 0), "<Q", "<HHQ", 8, "<Q", _LONG8)


@dataclass(frozen=True)
class _Level:
    """One directory of a TIFF and where its tiles stand."""

    path: Path
    #: (type, number of values, their bytes) by tag.
    entries: dict[int, tuple[int, int, bytes]]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


def assemble(parts: Sequence[Path], path: Path) -> None:
    """Make one Cloud Optimized GeoTIFF of an image and its overviews, each in a file of its own.

    Directories come first, then the tiles of the smallest overview, up to those of the image. Tiles are
    copied as they are: nothing is decoded, and the order in which threads wrote them leaves no trace.

    Parameters
    ----------
    parts : sequence of Path
        BigTIFF files, little-endian, with one directory and all tiles each: the image, then its overviews,
        each smaller than the one before. They must share type, compression and bands.
    path : Path
        File to write; one that is there is replaced. BigTIFF only where it has to be.

    Raises
    ------
    ValueError
        When a part is not such a file.
    OSError
        When a part cannot be read or is not complete, or the file not written.

    Notes
    -----
    OGC 21-026, Cloud Optimized GeoTIFF standard, and the structural metadata of GDAL's COG driver.
    """
    levels = [_read(part, overview=number > 0) for number, part in enumerate(parts)]
    sizes = [size for level in levels for size in level.sizes]
    length = sum(sizes) + len(sizes) * (_LEADER + _TRAILER) + len(_head(levels, _BIG, 0))
    flavour = _CLASSIC if length < _CLASSIC_BELOW else _BIG
    with path.open("wb") as file:
        file.write(_head(levels, flavour, len(_head(levels, flavour, 0))))
        for level in reversed(levels):
            _copy_tiles(level, file)


def _read(path: Path, *, overview: bool) -> _Level:
    """Read the only directory of a BigTIFF file."""
    with path.open("rb") as file:
        if file.read(8) != _BIG.header:
            message = f"{path.name} is not a little-endian BigTIFF"
            raise ValueError(message)
        try:
            entries, following = _entries(file)
        except struct.error:
            message = f"{path.name} ends within its directory"
            raise OSError(message) from None
    if following:
        message = f"{path.name} has more than one directory"
        raise ValueError(message)
    if not {_TILE_OFFSETS, _TILE_SIZES} <= entries.keys():
        message = f"{path.name} has no tiles"
        raise ValueError(message)
    offsets, sizes = (_integers(*entries.pop(tag)) for tag in (_TILE_OFFSETS, _TILE_SIZES))
    if not all(offsets):
        message = f"{path.name} lacks tiles"
        raise OSError(message)
    if overview:
        entries = {tag: entry for tag, entry in entries.items() if tag not in _OF_THE_IMAGE}
        entries[_SUBFILE] = _LONG, 1, struct.pack("<I", 1)
    return _Level(path, entries, offsets, sizes)


def _entries(file: BinaryIO) -> tuple[dict[int, tuple[int, int, bytes]], int]:
    """Return the entries of the first directory, and where the next one stands: 0 for nowhere."""
    (start,) = struct.unpack("<Q", file.read(8))
    # a file that was never closed says 0; then there is nothing to read
    file.seek(start, 0 if start else SEEK_END)
    (count,) = struct.unpack("<Q", file.read(8))
    stored = [(*struct.unpack("<HHQ", file.read(12)), file.read(8)) for _ in range(count)]
    (following,) = struct.unpack("<Q", file.read(8))
    return {
        tag: (kind, number, _value(file, kind, number, raw)) for tag, kind, number, raw in stored
    }, following


def _value(file: BinaryIO, kind: int, count: int, raw: bytes) -> bytes:
    """Return the bytes of the values of an entry, which stand in it or elsewhere in the file."""
    size = _SIZES[kind] * count
    if size <= len(raw):
        return raw[:size]
    file.seek(*struct.unpack("<Q", raw))
    return file.read(size)


def _integers(kind: int, count: int, raw: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{count}{_CODES[kind]}", raw)


def _head(levels: Sequence[_Level], flavour: _Flavour, first_tile: int) -> bytes:
    """Return everything that stands before the tiles, the first of which stands at a position."""
    first = len(flavour.header) + flavour.room + len(_GHOST)
    padding = first % 2
    head = flavour.header + struct.pack(flavour.position, first + padding) + _GHOST + b"\0" * padding
    for number, (level, offsets) in enumerate(zip(levels, _places(levels, first_tile), strict=True), start=1):
        count = len(offsets)
        places = struct.pack(f"<{count}{_CODES[flavour.integer]}", *offsets)
        sizes = struct.pack(f"<{count}{_CODES[_LONG]}", *level.sizes)
        entries = level.entries | {
            _TILE_OFFSETS: (flavour.integer, count, places),
            _TILE_SIZES: (_LONG, count, sizes),
        }
        head += _directory(entries, flavour, len(head), last=number == len(levels))
    return head


def _places(levels: Sequence[_Level], first_tile: int) -> list[list[int]]:
    """Return where the tiles of each level will stand; the smallest level is the first in the file."""
    found = []
    at = first_tile
    for level in reversed(levels):
        ends = list(accumulate((size + _LEADER + _TRAILER for size in level.sizes), initial=at))
        found.append([start + _LEADER for start in ends[:-1]])
        at = ends[-1]
    return found[::-1]


def _directory(
    entries: Mapping[int, tuple[int, int, bytes]], flavour: _Flavour, start: int, *, last: bool
) -> bytes:
    """Return a directory that starts at a position, and the values that do not fit into its entries."""
    width = struct.calcsize(flavour.entry) + flavour.room
    end = start + struct.calcsize(flavour.count) + len(entries) * width + flavour.room
    body, beyond = b"", b""
    for tag, (kind, number, value) in sorted(entries.items()):
        field = value.ljust(flavour.room, b"\0")
        if len(value) > flavour.room:
            field = struct.pack(flavour.position, end + len(beyond))
            beyond += value + b"\0" * (len(value) % 2)
        body += struct.pack(flavour.entry, tag, kind, number) + field
    following = 0 if last else end + len(beyond)
    return struct.pack(flavour.count, len(entries)) + body + struct.pack(flavour.position, following) + beyond


def _copy_tiles(level: _Level, into: BinaryIO) -> None:
    # one piece of memory for all: asking for it anew takes longer than the copy
    room = memoryview(bytearray(max(level.sizes)))
    with level.path.open("rb", buffering=0) as file:
        for offset, size in zip(level.offsets, level.sizes, strict=True):
            tile = room[:size]
            file.seek(offset)
            if file.readinto(tile) != size:
                message = f"{level.path.name} ends within a tile"
                raise OSError(message)
            into.write(struct.pack("<I", size))
            into.write(tile)
            into.write(tile[-_TRAILER:])
