"""A remote raster as a file of which only the needed bytes are fetched, each by one request of our own.

GDAL can read over HTTP itself. It asks for the size of a file first, repeats failures by rules of its own,
and remembers them for the life of the process. Here every request follows the one policy of
`changedet.providers.http`, and GDAL never sees a link, nor a signature in it.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import requests

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Asked for at first: the header of a cloud-optimised raster fits into it.
HEADER_BYTES = 32_768
#: What is asked for at least where nobody said beforehand what is needed.
_LEAST_BYTES = 65_536
#: Pieces that lie no further apart than this are asked for together: that is faster than another request.
_SMALL_GAP_BYTES = 262_144
#: Of more pieces than this the nearest are joined across wider gaps, which together are not more than this.
_MOST_PIECES, _MOST_WASTE_BYTES = 2, 2_097_152
#: Cloud-optimised rasters have the length of a tile before it and its last bytes after it.
_LEADER_BYTES = 4
_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file.

    Attributes
    ----------
    start : int
        Position of the first one.
    content : bytes
        The bytes.
    size : int
        Size of the whole file.
    """

    start: int
    content: bytes
    size: int


class Fetch(Protocol):
    """Gets bytes of one file."""

    def __call__(self, start: int, stop: int) -> Piece:
        """Return at least the bytes from `start` up to `stop`, or up to the end of the file."""


def fetch_range(
    session: requests.Session, url: str, start: int, stop: int, timeout: tuple[float, float]
) -> Piece:
    """Ask for some bytes of a file.

    Parameters
    ----------
    session : requests.Session
        From `changedet.providers.http.make_session`.
    url : str
        The link, signed where it must be.
    start, stop : int
        First byte, and the one after the last.
    timeout : tuple of float
        Seconds to wait for a connection, and for the next bytes.

    Returns
    -------
    Piece
        The whole file where a server knows no ranges and the file is small.

    Raises
    ------
    requests.RequestException
        When the server refuses, cannot be reached, or answers with other bytes than it was asked for, with
        fewer of them, or with the whole of a large file.
    """
    headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    answer = session.get(url, headers=headers, timeout=timeout)
    answer.raise_for_status()
    if answer.status_code != requests.codes.partial_content:
        return Piece(0, answer.content, len(answer.content))
    said = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if said is None or int(said[1]) != start or len(answer.content) != int(said[2]) - start + 1:
        raise requests.exceptions.ContentDecodingError("the server sent other bytes than it was asked for")
    size = int(said[3])
    if len(answer.content) < min(stop, size) - start:
        raise requests.exceptions.ContentDecodingError("the server sent fewer bytes than it was asked for")
    return Piece(start, answer.content, size)


class RemoteFile:
    """The bytes of a remote file that were fetched; what lacks is fetched when it is read.

    Parameters
    ----------
    fetch : Fetch
        Gets bytes.

    Notes
    -----
    GDAL swallows what goes wrong within a read. The error is kept in `failure`, for the caller to raise.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.failure: requests.RequestException | None = None
        first = fetch(0, HEADER_BYTES)
        self.size = first.size
        self._pieces = [first]

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch what is going to be read, in few requests.

        Parameters
        ----------
        ranges : iterable of (int, int)
            First byte, and the one after the last, of each part.
        """
        needed = [(max(start, 0), min(stop, self.size)) for start, stop in ranges]
        for start, stop in merged(pair for pair in needed if self._holder(*pair) is None):
            self._add(start, stop)

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes from `start` up to `stop` or the end of the file; none after a failure."""
        stop = min(stop, self.size)
        if start >= stop or self.failure is not None:
            return b""
        holder = self._holder(start, stop)
        if holder is None:
            try:
                holder = self._add(start, max(stop, min(start + _LEAST_BYTES, self.size)))
            except requests.RequestException as error:
                self.failure = error
                return b""
        return holder.content[start - holder.start : stop - holder.start]

    def _add(self, start: int, stop: int) -> Piece:
        piece = self._fetch(start, stop)
        if piece.size != self.size:
            raise requests.exceptions.ContentDecodingError("the file changed while it was read")
        self._pieces.append(piece)
        return piece

    def _holder(self, start: int, stop: int) -> Piece | None:
        holding = (p for p in self._pieces if p.start <= start and stop <= p.start + len(p.content))
        return next(holding, None)


class Cursor(io.RawIOBase):
    """One view of a `RemoteFile` with a position of its own, as GDAL wants it.

    Parameters
    ----------
    file : RemoteFile
        What is read.
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file = file
        self._position = 0

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position, counted from the start (0), from here (1) or from the end (2)."""
        self._position = offset + (0, self._position, self._file.size)[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read from the position on; fewer bytes at the end of the file."""
        stop = self._file.size if size < 0 else self._position + size
        found = self._file.read(self._position, stop)
        self._position += len(found)
        return found


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that lie close together, and more of them where that saves requests at little cost.

    Parameters
    ----------
    ranges : iterable of (int, int)
        First byte, and the one after the last.

    Returns
    -------
    list of (int, int)
        In order; they cover everything that was given.

    Examples
    --------
    >>> merged([(0, 100), (200, 300), (5_000_000, 5_000_100)])
    [(0, 300), (5000000, 5000100)]
    """
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start - joined[-1][1] <= _SMALL_GAP_BYTES:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    waste = 0
    while len(joined) > _MOST_PIECES:
        gaps = [after[0] - before[1] for before, after in pairwise(joined)]
        smallest = min(gaps)
        waste += smallest
        if waste > _MOST_WASTE_BYTES:
            break
        at = gaps.index(smallest)
        joined[at : at + 2] = [(joined[at][0], joined[at + 1][1])]
    return joined


def block_ranges(dataset: Any, index: int, window: tuple[slice, slice]) -> list[tuple[int, int]]:  # noqa: ANN401  # rasterio has no types
    """Return where the blocks of a window stand in a GeoTIFF.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Open.
    index : int
        Band, from 1.
    window : (slice, slice)
        Rows and columns.

    Returns
    -------
    list of (int, int)
        First byte, and the one after the last; nothing for blocks that are not stored, and for other formats.
    """
    steps = dataset.block_shapes[index - 1]
    rows, columns = (
        range(part.start // step, -(-part.stop // step)) for part, step in zip(window, steps, strict=True)
    )
    found = []
    for row in rows:
        for column in columns:
            offset, size = (
                dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=index)
                for what in ("OFFSET", "SIZE")
            )
            if offset is not None and size is not None:
                start = int(offset)
                found.append((start - _LEADER_BYTES, start + int(size) + _LEADER_BYTES))
    return found
