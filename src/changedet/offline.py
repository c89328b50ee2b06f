"""Reading local files without touching the network, whatever the files ask for.

A raster or a list of sites may name sources elsewhere (a virtual raster, a tile service, a reference system
behind a link), and the library that reads it would fetch them and so tell a stranger where somebody looks.
"""

from __future__ import annotations

import html
import json
import re
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from changedet.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: GDAL settings under which no request can leave: virtual network files are refused by their ending, and
#: everything else that speaks HTTP is sent to a proxy that does not exist. The netCDF library does not
#: ask GDAL, which is one reason for `require_local`.
OFFLINE_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".changedet-none",
        "GDAL_HTTP_PROXY": "http://127.0.0.1:1",
        "GDAL_HTTP_MAX_RETRY": "0",
    }
)

#: How GeoJSON, GeoPackage and Shapefile begin.
VECTOR_BEGINNINGS = (b"{", b"[", b"SQLite format 3\0", b"\x00\x00\x27\x0a")

#: What files begin with before their content: a byte order mark and white space.
_BLANK = b"\xef\xbb\xbf \t\r\n"
#: Descriptions of virtual imagery are texts; beyond this nobody writes one.
_LARGEST_TEXT_BYTES = 16 * 2**20
_HEAD_BYTES = 65536
#: Pixels of a raw image may begin like a text; within this many bytes they give themselves away.
_PROBE_BYTES = 1024
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_SOURCE = re.compile(r"<Source(?:Filename|Dataset)\b[^>]*>([^<]+)<")
_REMOTE_SOURCE = re.compile(
    r"\b(?:https?|ftp|dods)://|\bwms:|/vsi(?:curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)", re.IGNORECASE
)


def begins_with(path: Path) -> bytes:
    """Return the first bytes of a file after a byte order mark and all white space."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES).lstrip(_BLANK)
        while not head and (more := stream.read(_HEAD_BYTES)):
            head = more.lstrip(_BLANK)
    return head


def require_local(path: Path) -> None:
    """Refuse a raster that is a text about imagery elsewhere, by content and whatever its name.

    Parameters
    ----------
    path : Path
        A file; only texts in XML or JSON are looked into.

    Raises
    ------
    InputFileError
        When it is such a text other than a virtual raster (VRT), or a VRT with a source on the network, also
        through VRTs of VRTs.
    """
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting += [source for source in _local_sources(current) if source not in seen]


def _local_sources(path: Path) -> list[Path]:
    """Return the files that a virtual raster names, none for any other raster; refuse what is remote."""
    head = begins_with(path)
    if not head.startswith((b"<", b"{", b"[")) or _CONTROL.search(head[:_PROBE_BYTES]):
        return []
    if not head.startswith((b"<VRTDataset", b"<?xml")) or b"<VRTDataset" not in head:
        raise InputFileError(
            "this is a text that describes imagery, and holds none",
            where=str(path),
            todo="give the image file itself",
        )
    stored = path.read_bytes() if path.stat().st_size <= _LARGEST_TEXT_BYTES else b""
    # the reader of the format undoes this too
    text = re.sub(r"<!\[CDATA\[|\]\]>", "", html.unescape(stored.decode("utf-8", "replace")))
    if not text or _REMOTE_SOURCE.search(text):
        raise InputFileError(
            "this virtual raster names addresses on the network, which is never used here",
            where=str(path),
            todo="download the sources, and build the VRT of the local files",
        )
    names = [str(name).strip() for name in _SOURCE.findall(text)]
    candidates = [place for name in names for place in (path.parent / name, Path(name))]
    return [place for place in dict.fromkeys(candidates) if place.is_file()]


def require_plain_vectors(data: bytes, beginnings: tuple[bytes, ...] = (), *, where: str) -> None:
    """Refuse a list of sites that is not what its name says, or that points to data elsewhere.

    Parameters
    ----------
    data : bytes
        The whole file.
    beginnings : tuple of bytes
        How it may begin after a byte order mark and white space; anything when empty.
    where : str
        The file, for the error.

    Raises
    ------
    InputFileError
        When it begins otherwise, holds a virtual data source, or a reference system behind a link.
    """
    content = data.lstrip(_BLANK)
    if beginnings and not content.startswith(beginnings):
        raise InputFileError(
            "is not what its name says",
            where=where,
            todo="use GeoJSON, GPKG or Shapefile, with the ending that belongs to it",
        )
    # readers look for these words anywhere at the beginning, also inside another format
    if b"<ogr" in data.lower() or _linked_crs(content):
        raise InputFileError("points to data elsewhere", where=where, todo="give the data themselves")


def _linked_crs(content: bytes) -> bool:
    if not content.startswith(b"{"):
        return False
    try:
        crs = json.loads(content).get("crs")
    except (ValueError, RecursionError):
        return False  # the reader of the format says what is wrong with it
    return isinstance(crs, dict) and str(crs.get("type")).lower() not in {"name", "epsg"}


@contextmanager
def offline_vectors() -> Iterator[None]:
    """Keep the reader of vector files off the network; its settings are put back afterwards."""
    import pyogrio

    kept = {name: pyogrio.get_gdal_config_option(name) for name in OFFLINE_OPTIONS}
    pyogrio.set_gdal_config_options(dict(OFFLINE_OPTIONS))
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(kept)
