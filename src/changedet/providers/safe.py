"""Sentinel-2 product folders (.SAFE): metadata of Level-1C and Level-2A, read safely.

Format: ESA, Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from changedet.bands import SENTINEL2_BANDS, canonical_name
from changedet.errors import InputFileError, MissingInputError
from changedet.providers.facts import Facts, Stated, level_name, stated_time
from changedet.scene import Radiometry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Metadata larger than this is not a Sentinel-2 product's.
MAX_METADATA_BYTES = 64 * 1024 * 1024

_PRODUCT_METADATA = re.compile(
    r"(MTD_MSIL(1C|2A)|S2[A-D]_(OPER|USER)_MTD_SAFL(1C|2A)_.*)\.xml", re.IGNORECASE
)
_GRANULE_METADATA = re.compile(r"(MTD_TL|S2[A-D]_(OPER|USER)_MTD_L(1C|2A)_TL_.*)\.xml", re.IGNORECASE)
#: Numbers of orbits and bands; other digits than these ten, or thousands of them, are none.
_WHOLE = re.compile(r"[0-9]{1,6}")
_TILE = re.compile(r"_(T\d{2}[A-Z]{3})(?:_|$)")


@dataclass(frozen=True)
class SafeProduct:
    """What the metadata of one product say.

    Attributes
    ----------
    facts : Facts
        Time, platform, orbit, baseline, sun, tile, level.
    radiometry : mapping of str to Radiometry
        By canonical band name.
    files : tuple of Path
        Everything under ``IMG_DATA``.
    metadata : tuple of Path
        The metadata files that were read.
    """

    facts: Facts
    radiometry: Mapping[str, Radiometry]
    files: tuple[Path, ...]
    metadata: tuple[Path, ...] = ()


def is_safe(folder: Path) -> bool:
    """Return whether a folder is a Sentinel-2 product."""
    return folder.suffix.upper() == ".SAFE" or _find(folder, _PRODUCT_METADATA) is not None


def read_safe(folder: Path) -> SafeProduct:
    """Read the metadata of a Sentinel-2 product folder, Level-1C or Level-2A, old or new layout.

    Parameters
    ----------
    folder : Path
        The folder that holds ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``.

    Raises
    ------
    MissingInputError
        When metadata or image data are not there.
    InputFileError
        When the metadata cannot be read, or the product holds several granules.
    """
    main = _find(folder, _PRODUCT_METADATA)
    if main is None:
        raise MissingInputError(
            "there is no MTD_MSIL1C.xml or MTD_MSIL2A.xml in this product",
            where=str(folder),
            todo="download the product again, or give the folder of its band files",
        )
    granule = _granule(folder)
    tile_file = _find(granule, _GRANULE_METADATA)
    product = read_xml(main)
    tile = read_xml(tile_file) if tile_file else None
    files = tuple(sorted(p for p in (granule / "IMG_DATA").rglob("*") if p.is_file()))
    facts = _facts(product, tile, main).otherwise(
        Facts(id=folder.name.removesuffix(".SAFE"), tile=_tile_id(granule.name))
    )
    metadata = (main, tile_file) if tile_file else (main,)
    return SafeProduct(facts, _radiometry(product, main), files, metadata)


def read_xml(path: Path) -> ET.Element:
    """Parse a metadata file that may come from anywhere.

    A document type or entity declaration is refused before parsing: with it a small file could unfold into
    gigabytes or read other files.

    Raises
    ------
    InputFileError
        When the file is too large, not UTF-8, declares a document type, or is not XML.
    """
    again = "download the product again from its provider"
    if path.stat().st_size > MAX_METADATA_BYTES:
        raise InputFileError("the metadata are too large to be a product's", where=str(path), todo=again)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
            raise InputFileError(
                "the metadata declare a document type, which no Sentinel-2 product does",
                where=str(path),
                todo=again,
            )
        return ET.fromstring(text)
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise InputFileError(
            f"the metadata are damaged ({' '.join(str(error).split())[:120]})", where=str(path), todo=again
        ) from error


def _find(folder: Path, pattern: re.Pattern[str]) -> Path | None:
    return next((p for p in sorted(folder.iterdir()) if pattern.fullmatch(p.name) and p.is_file()), None)


def _granule(folder: Path) -> Path:
    parent = folder / "GRANULE"
    found = sorted(p for p in parent.iterdir() if (p / "IMG_DATA").is_dir()) if parent.is_dir() else []
    if not found:
        raise MissingInputError(
            "there is no GRANULE/*/IMG_DATA folder in this product",
            where=str(folder),
            todo="download the product again",
        )
    if len(found) > 1:
        raise InputFileError(
            f"this product holds {len(found)} granules",
            where=str(folder),
            todo=f"give the band folder of one, such as {found[0] / 'IMG_DATA'}",
        )
    return found[0]


def _all(root: ET.Element | None, *tags: str) -> list[ET.Element]:
    """Every element of the first of these tags that occurs, whatever its namespace."""
    for tag in tags:
        found = [] if root is None else list(root.iter(f"{{*}}{tag}"))
        if found := found or ([] if root is None else list(root.iter(tag))):
            return found
    return []


def _text(root: ET.Element | None, *tags: str) -> str | None:
    texts = ((element.text or "").strip() for element in _all(root, *tags))
    return next((text for text in texts if text and text.upper() != "NULL"), None)


def _facts(product: ET.Element, tile: ET.Element | None, where: Path) -> Facts:
    time_text = _text(product, "PRODUCT_START_TIME", "DATATAKE_SENSING_START")
    baseline = _text(product, "PROCESSING_BASELINE")
    orbit = _text(product, "SENSING_ORBIT_NUMBER")
    name = (_text(product, "PRODUCT_URI", "PRODUCT_URI_2A", "PRODUCT_URI_1C") or "").removesuffix(".SAFE")
    sun = _all(tile, "Mean_Sun_Angle")
    zenith = _text(sun[0], "ZENITH_ANGLE") if sun else None
    azimuth = _text(sun[0], "AZIMUTH_ANGLE") if sun else None
    return Facts(
        id=name or None,
        level=level_name(_text(product, "PROCESSING_LEVEL") or ""),
        platform=_text(product, "SPACECRAFT_NAME"),
        tile=_tile_id(_text(tile, "TILE_ID") or ""),
        time=stated_time(time_text or "", f"product metadata ({where.name})"),
        baseline=Stated(baseline, f"product metadata ({where.name})") if baseline else None,
        relative_orbit=int(orbit) if orbit and _WHOLE.fullmatch(orbit) else None,
        sun_elevation_deg=None if zenith is None else 90.0 - _float(zenith, where),
        sun_azimuth_deg=None if azimuth is None else _float(azimuth, where),
        simulated=False,
    )


def _radiometry(product: ET.Element, where: Path) -> dict[str, Radiometry]:
    quantification = _text(
        product, "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE"
    )
    if quantification is None or not (divisor := _float(quantification, where)) > 0:
        raise InputFileError(
            "the metadata do not say how numbers become reflectance (no QUANTIFICATION_VALUE)",
            where=str(where),
            todo="download the product again",
        )
    shifts = {
        _band_of_id(product, element.get("band_id", "")): _float(element.text or "", where)
        for element in _all(product, "BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
    }
    codes = {
        (_text(element, "SPECIAL_VALUE_TEXT") or "").upper(): _text(element, "SPECIAL_VALUE_INDEX")
        for element in _all(product, "Special_Values")
    }
    nodata, saturated = (
        _float(code, where) if (code := codes.get(key)) else default
        for key, default in (("NODATA", 0.0), ("SATURATED", 65535.0))
    )
    said = f"product metadata ({where.name}): divisor {divisor:g}, offset"
    return {
        band.name: Radiometry(
            scale=1.0 / divisor,
            offset=shifts.get(band.name, 0.0) / divisor,
            nodata=nodata,
            saturated=saturated,
            source=f"{said} {shifts.get(band.name, 0.0):g}",
        )
        for band in SENTINEL2_BANDS
    }


def _band_of_id(product: ET.Element, band_id: str) -> str | None:
    for element in _all(product, "Spectral_Information"):
        if element.get("bandId") == band_id:
            return canonical_name(element.get("physicalBand", ""))
    number = int(band_id) if _WHOLE.fullmatch(band_id) else len(SENTINEL2_BANDS)
    return SENTINEL2_BANDS[number].name if number < len(SENTINEL2_BANDS) else None


def _tile_id(text: str) -> str | None:
    found = _TILE.search(text)
    return found[1] if found else None


def _float(text: str, where: Path) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputFileError(
            f"the metadata hold {text[:40]!r} where a number belongs",
            where=str(where),
            todo="download the product again",
        ) from error
