"""What the names of band files, products and folders say, and which of them can be trusted."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from changedet.bands import canonical_name
from changedet.errors import InputFileError
from changedet.providers.facts import Facts, Stated, stated_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Endings of raster files that are looked at in a folder of band files.
BAND_FILE_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".img"})
#: How band files are named, for error texts.
NAMES_UNDERSTOOD = "*_B02.tif, *_B8A.jp2, *_B02_10m.jp2, *_SCL_20m.jp2, *_SCL.tif"

_BAND = re.compile(r"(?:^|[_.\- ])(B0?[1-9]|B1[0-2]|B8A|SCL)(?:[_.\-]\d\dm)?$", re.IGNORECASE)
_PRODUCT = re.compile(
    r"(?P<id>(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<time>\d{8}T\d{6})_(?P<baseline>N\d{4})"
    r"_R(?P<orbit>\d{3})_(?P<tile>T\d{2}[A-Z]{3})_\d{8}T\d{6})"
)
_TILE_FILE = re.compile(r"(?<![A-Za-z0-9])(?P<tile>T\d{2}[A-Z]{3})_(?P<time>\d{8}T\d{6})(?!\d)")
_TILE = re.compile(r"(?<![A-Za-z0-9])T\d{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V](?![A-Za-z0-9])")
_PLATFORM = re.compile(r"(?<![A-Za-z0-9])S2([A-D])_")
_LEVELS = (
    (re.compile(r"MSIL1C|_OPER_MSI_L1C|(?<![A-Za-z0-9])L1C_T\d{2}"), "L1C"),
    (re.compile(r"MSIL2A|_OPER_MSI_L2A|(?<![A-Za-z0-9])L2A_T\d{2}"), "L2A"),
)
_OTHER_SENSORS = re.compile(r"^(L[COTEM]0?[4-9]_|L[COTEM][4-9]\d{6}|HLS\.L30\.)", re.IGNORECASE)
#: Names made by the first ground segment hold the time of processing, not of acquisition.
_PROCESSING_TIME = re.compile(r"S2[A-D]_OPER_")


def band_of_file(path: Path) -> str | None:
    """Return the canonical band name that a file name ends in, or None.

    Quality masks (``MSK_...``) and hidden files are never bands.

    Raises
    ------
    InputFileError
        When the name is that of a Landsat band: its numbers mean other wavelengths.

    Examples
    --------
    >>> from pathlib import Path
    >>> band_of_file(Path("T49QCD_20161209T031122_B8A.jp2")), band_of_file(Path("T31TCJ_TCI_10m.jp2"))
    ('B8A', None)
    """
    if path.suffix.lower() not in BAND_FILE_SUFFIXES or path.name.startswith((".", "MSK_")):
        return None
    found = _BAND.search(path.stem)
    if found is None:
        return None
    if _OTHER_SENSORS.match(path.name):
        raise InputFileError(
            "this is a Landsat band file: its numbers mean other wavelengths than those of Sentinel-2",
            where=str(path),
            todo="stack the bands into one raster and describe them as blue, green, red, nir, swir16, swir22",
        )
    return canonical_name(found[1])


def facts_from_names(folder: Path, files: Sequence[Path]) -> Facts:
    """Read what the names of a product say.

    Parameters
    ----------
    folder : Path
        The folder or file given; the names of the folders around it are read as well.
    files : sequence of Path
        Band files in it; may be empty.

    Returns
    -------
    Facts
        The time is believed only in the compact names of products and tiles.

    Raises
    ------
    InputFileError
        When the names of the band files give different acquisition times.
    """
    parts = tuple(reversed(folder.absolute().parts))
    names = [file.stem for file in files] or [folder.stem]
    product = next((found for part in (*names[:1], *parts) if (found := _PRODUCT.search(part))), None)
    context = " ".join((*names[:1], *parts))
    return Facts(
        id=product["id"] if product else None,
        level=_level(context),
        platform=f"Sentinel-2{found[1]}" if (found := _PLATFORM.search(context)) else None,
        tile=found[0] if (found := _TILE.search(context)) else None,
        time=_time_of_files(folder, names) or _time_of_product(product),
        baseline=Stated(product["baseline"], f"product name {product['id']}") if product else None,
        relative_orbit=int(product["orbit"]) if product else None,
    )


def common_stem(files: Sequence[Path]) -> str:
    """Return what the names of band files have in common, without the band; "" when that is nothing.

    Examples
    --------
    >>> from pathlib import Path
    >>> common_stem([Path("T49QCD_20161209T031122_B02.tif"), Path("T49QCD_20161209T031122_B8A.tif")])
    'T49QCD_20161209T031122'
    """
    columns = zip(*(_BAND.sub("", file.stem) for file in files), strict=False)
    same = takewhile(lambda letters: len(set(letters)) == 1, columns)
    return "".join(letters[0] for letters in same).strip("_.- ")


def _time_of_product(product: re.Match[str] | None) -> Stated | None:
    return stated_time(product["time"], f"product name {product['id']}") if product else None


def _time_of_files(folder: Path, names: Sequence[str]) -> Stated | None:
    texts = {
        found["time"]
        for name in names
        if not _PROCESSING_TIME.match(name) and (found := _TILE_FILE.search(name))
    }
    if len(texts) > 1:
        raise InputFileError(
            f"band files of different acquisitions lie together ({', '.join(sorted(texts)[:3])})",
            where=str(folder),
            todo="give each acquisition a folder of its own",
        )
    return stated_time(texts.pop(), "names of the band files") if texts else None


def _level(context: str) -> str | None:
    return next((level for pattern, level in _LEVELS if pattern.search(context)), None)
