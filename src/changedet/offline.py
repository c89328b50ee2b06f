"""Reading local files without touching the network, whatever the files ask for.

A raster or a list of sites may name sources elsewhere (a virtual raster, a tile service, a reference system
behind a link), and the library that reads it would fetch them and so tell a stranger where somebody looks.
"""

from __future__ import annotations

import html
import json
import os
import re
from contextlib import contextmanager, suppress
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

#: How GeoPackage begins.
GEOPACKAGE_BEGINNINGS = VECTOR_BEGINNINGS[2:3]

#: What files begin with before their content: a byte order mark and white space.
_BLANK = b"\xef\xbb\xbf \t\r\n"
#: Descriptions of virtual imagery are texts; beyond this nobody writes one.
_LARGEST_TEXT_BYTES = 16 * 2**20
_HEAD_BYTES = 65536
#: Pixels of a raw image may begin like a text; within this many bytes they give themselves away.
_PROBE_BYTES = 1024
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
#: Environment variable: "1" lets virtual rasters name files outside of their own folder.
OUTSIDE_VARIABLE = "CHANGEDET_OUTSIDE_FILES"
#: What lies beside a raster and is read with it.
_BESIDE = (".aux.xml", ".ovr", ".msk")
# the reader of the format does not tell capitals from small letters, and skips comments
_SOURCE = re.compile(
    r"<\s*(Source(?:Filename|Dataset)|OverviewFile|GDALWarpOptionsFile)\b[^>]*>([^<]*)<", re.IGNORECASE
)
#: Kinds of virtual rasters whose instructions name files in ways of their own, or are programs.
_COMPUTED = re.compile(r"VRTProcessedDataset|PixelFunctionCode|PixelFunctionLanguage", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ELSEWHERE = re.compile(r"OVERVIEW_FILE|<\s*VRT", re.IGNORECASE)
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
        A file; it and what lies beside it and is read with it are looked into where they are texts.

    Raises
    ------
    InputFileError
        When it is such a text other than a virtual raster (VRT), or a VRT with a source on the network, with
        one that is no file, or with one outside of the folder of the given file, unless the environment
        variable `OUTSIDE_VARIABLE` is ``1``; also through VRTs of VRTs.
    """
    home = _plain(path).parent
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        _require_company(current)
        for source in _local_sources(current):
            if not _plain(source).is_relative_to(home) and os.environ.get(OUTSIDE_VARIABLE) != "1":
                raise InputFileError(
                    "this virtual raster names a file outside of its folder",
                    where=str(path),
                    todo=f"build it beside its sources, or set {OUTSIDE_VARIABLE}=1 if you made it yourself",
                )
            if source not in seen:
                waiting.append(source)
        waiting += [one for one in _overviews_of(current) if one not in seen]


def require_own_overviews(tags: Mapping[str, str], path: Path) -> None:
    """Refuse an open raster whose tags (domain OVERVIEWS) have its reduced pixels read from elsewhere."""
    if any(name.upper() == "OVERVIEW_FILE" for name in tags):
        raise InputFileError(
            "has its overviews read from another file",
            where=str(path),
            todo="make a copy with gdal_translate",
        )


def _plain(path: Path) -> Path:
    """Return an absolute path without ``..``; links are not followed: who made them may read both ends."""
    return Path(os.path.normpath(path.absolute()))


def _beside(path: Path, suffix: str) -> list[Path]:
    places = (path.with_name(path.name + suffix), path.with_suffix(suffix))
    return [place for place in dict.fromkeys(places) if place.is_file()]


def _overviews_of(path: Path) -> list[Path]:
    """Return the rasters that the reader takes for overviews or the mask of a raster."""
    if path.suffix.lower() in _BESIDE:
        return []
    return [place for suffix in _BESIDE[1:] for place in _beside(path, suffix)]


def _require_company(path: Path) -> None:
    """Refuse notes beside a raster by which its pixels are read from elsewhere."""
    for notes in _beside(path, _BESIDE[0]):
        text = _text_of(notes)
        if _REMOTE_SOURCE.search(text) or _ELSEWHERE.search(text) or not text:
            raise InputFileError(
                f"the notes beside it ({notes.name}) point to pixels elsewhere",
                where=str(path),
                todo=f"delete {notes.name}",
            )


def _text_of(path: Path) -> str:
    """Return a text as the reader of the format understands it; empty when it is larger than any such."""
    stored = path.read_bytes() if path.stat().st_size <= _LARGEST_TEXT_BYTES else b""
    plain = re.sub(r"<!\[CDATA\[|\]\]>", "", html.unescape(stored.decode("utf-8", "replace")))
    return _COMMENT.sub("", plain)


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
    text = _text_of(path)
    if _COMPUTED.search(text):
        raise InputFileError(
            "this virtual raster computes its pixels", where=str(path), todo="give the image file itself"
        )
    if not text or _REMOTE_SOURCE.search(text):
        raise InputFileError(
            "this virtual raster names addresses on the network, which is never used here",
            where=str(path),
            todo="download the sources, and build the VRT of the local files",
        )
    return [_source(path, str(name).strip()) for _, name in _SOURCE.findall(text)]


def _source(path: Path, name: str) -> Path:
    """Return the file that a virtual raster names, relative to itself or to the working directory."""
    with suppress(OSError, ValueError):  # too long, or with a zero in it
        for place in (path.parent / name, Path(name)):
            if name and place.is_file():
                return place
    raise InputFileError(
        f"this virtual raster names {name[:60]!r}, which is no file here",
        where=str(path),
        todo="give the image files themselves, or build it again",
    )


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
        # numbers do not matter here: one of more digits than Python reads must hide no link
        crs = json.loads(content, parse_int=len).get("crs")
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
