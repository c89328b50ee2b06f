"""From items of a catalogue to granules: names of bands, times, orbits, and who is believed on offsets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from changedet.bands import REQUIRED_BANDS, SCL, SENTINEL2_BANDS, canonical_name
from changedet.errors import InputFileError
from changedet.json_texts import OTHER_SHAPE
from changedet.providers.facts import baseline_pair
from changedet.providers.local_radiometry import SATURATED_NUMBER, SENTINEL2_OFFSET, SENTINEL2_SCALE
from changedet.scene import Asset, Granule, Radiometry

Item = Mapping[str, Any]
#: Decides scale and offset of one asset; may raise `Unusable`.
OffsetRule = Callable[[Item, Mapping[str, Any]], Radiometry]

#: What a radiometry says of itself when only the pixels can tell whether the offset was applied.
UNDECIDED = "undecided: the catalogue says that the offset was not applied, and is known to err"
#: What it says once they have told.
DECIDED = "inferred from numbers below 1000: the offset was applied already"
#: Why raw radar is refused.
NOT_ON_A_GRID = "Sentinel-1 GRD is not georeferenced to a grid: use a terrain-corrected product"
CLASS_CODES = Radiometry(nodata=0.0, source="class codes")
_SPECTRAL = frozenset(band.name for band in SENTINEL2_BANDS)
_DATASTRIP = re.compile(r"_S(\d{8}T\d{6})_")
_ORBIT = re.compile(r"_R(\d{3})_")
_TILE = re.compile(r"T?(\d{1,2}[A-Z]{3})")


class Unusable(Exception):  # noqa: N818  # it is a verdict on an item, not an error of the program
    """An item is none that can be compared; the text says why."""


@dataclass(frozen=True)
class Found:
    """A granule, and what its item says of the acquisition as a whole.

    Attributes
    ----------
    granule : Granule
        The product.
    platform : str
        ``"Sentinel-2A"``, ...
    relative_orbit : int or None
        Relative orbit number.
    orbit_state : str or None
        ``"ascending"`` or ``"descending"``.
    cloud_share : float or None
        Cloud over the tile, 0..1.
    generated : str
        When it was processed, as written; "" when not said.
    sun_elevation_deg, sun_azimuth_deg : float or None
        Sun position.
    level : str
        Processing level, as `changedet.scene.Scene.level` has it.
    pass_key : str or None
        Equal for all granules of one pass; None when platform, solar day and relative orbit tell it.
    notes : tuple of str
        What a reader should know of the scene.
    """

    granule: Granule
    platform: str
    relative_orbit: int | None = None
    orbit_state: str | None = None
    cloud_share: float | None = None
    generated: str = ""
    sun_elevation_deg: float | None = None
    sun_azimuth_deg: float | None = None
    level: str = "L2A"
    pass_key: str | None = None
    notes: tuple[str, ...] = ()


def read_item(item: Item, rule: OffsetRule) -> Found:
    """Read one item of any dialect.

    Parameters
    ----------
    item : mapping
        A STAC item as JSON.
    rule : callable
        Decides scale and offset, see `OffsetRule`.

    Returns
    -------
    Found
        With an asset for each Sentinel-2 band and for the scene classification, at the finest resolution.

    Raises
    ------
    Unusable
        When it is not Sentinel-2 Level-2A, lacks a needed band, or its offset cannot be known.
    """
    try:
        said = item["properties"]
        _require_level2a(item, said)
        assets = _assets(item, rule)
        return _found(item, said, assets)
    except OTHER_SHAPE as error:
        if isinstance(error, InputFileError):
            raise Unusable(error.what) from error
        reason = f"its description cannot be understood ({type(error).__name__}: {str(error)[:80]})"
        raise Unusable(reason) from error


def stated_offset(item: Item, asset: Mapping[str, Any]) -> Radiometry | None:
    """Return scale and offset as the item states them for an asset, None when it does not.

    Parameters
    ----------
    item : mapping
        Only its assets matter; STAC 1.1 has the numbers on the asset or its bands, STAC 1.0 in
        ``raster:bands``.
    asset : mapping
        One of its assets.
    """
    del item  # the form is that of every rule
    places = (asset, *(asset.get("bands") or ())[:1])
    for place in places:
        if "raster:scale" in place:
            return reflectance(place["raster:scale"], place.get("raster:offset", 0.0), "stated by the item")
    stated = (asset.get("raster:bands") or [{}])[0]
    if "scale" not in stated:
        return None
    return reflectance(stated["scale"], stated.get("offset", 0.0), "stated by the item")


def offset_of_baseline(item: Item, asset: Mapping[str, Any]) -> Radiometry:
    """Return what the processing baseline says: -0.1 since 04.00, nothing before.

    Raises
    ------
    Unusable
        When the item names no baseline, or one that nobody has described.
    """
    del asset  # it holds for all bands
    pair = _baseline(item)
    if pair is None:
        raise Unusable("neither offset nor processing baseline is stated")
    offset = SENTINEL2_OFFSET if pair >= (4, 0) else 0.0
    return reflectance(SENTINEL2_SCALE, offset, f"processing baseline {pair[0]:02d}.{pair[1]:02d}")


def offset_by_flag(item: Item, asset: Mapping[str, Any]) -> Radiometry:
    """Return what the flag of Earth Search's older collection says, and never what its assets say.

    The assets state an offset of -0.1 also where it has been applied already. The flag is right where it says
    "applied"; where it says "not applied" for a baseline of 04.00 or later, pixels have been seen shifted, so
    that only the pixels can tell.
    """
    del asset  # its offset is the trap
    pair = _baseline(item)
    if item["properties"].get("earthsearch:boa_offset_applied"):
        return reflectance(SENTINEL2_SCALE, 0.0, "offset applied already, as the item's flag says")
    if pair is None:
        raise Unusable("neither an offset flag nor a processing baseline is stated")
    if pair < (4, 0):
        return reflectance(SENTINEL2_SCALE, 0.0, f"processing baseline {pair[0]:02d}.{pair[1]:02d}")
    return Radiometry(SENTINEL2_SCALE, SENTINEL2_OFFSET, 0.0, SATURATED_NUMBER, UNDECIDED, assumed=True)


def any_offset(item: Item, asset: Mapping[str, Any]) -> Radiometry:
    """Return scale and offset of an item of an unknown catalogue: flag, statement, then baseline."""
    if "earthsearch:boa_offset_applied" in item["properties"]:
        return offset_by_flag(item, asset)
    return stated_offset(item, asset) or offset_of_baseline(item, asset)


def reflectance(scale: float, offset: float, source: str) -> Radiometry:
    """Return a radiometry of 16-bit Sentinel-2 numbers; 0 is no data."""
    return Radiometry(float(scale), float(offset), 0.0, SATURATED_NUMBER, f"{source}: offset {offset:g}")


def _baseline(item: Item) -> tuple[int, int] | None:
    said = item["properties"]
    text = said.get("s2:processing_baseline") or said.get("processing:version")
    return None if text is None else baseline_pair(str(text), where=str(item.get("id", "")))


def words_of(item: Item) -> str:
    """Return what an item says of who made it and what it is called, in lower case."""
    said = item["properties"]
    texts = (said.get("constellation"), said.get("platform"), item.get("collection"), item.get("id"))
    return " ".join(str(text).lower() for text in texts if text).replace(" ", "-")


def is_sentinel1(words: str) -> bool:
    """Tell whether the words of an item speak of Sentinel-1."""
    return "sentinel-1" in words or re.search(r"\bs1[a-d]_", words) is not None


def is_corrected(item: Item) -> bool:
    """Tell whether an item of radar is said to be corrected for the terrain: RTC, or normalised (NRB)."""
    said = item["properties"]
    texts = (item.get("collection"), item.get("id"), said.get("product:type"), said.get("sar:product_type"))
    words = re.split(r"[^a-z0-9]+", " ".join(str(text).lower() for text in texts if text))
    return any(word.startswith(("rtc", "nrb")) for word in words)


def _require_level2a(item: Item, said: Mapping[str, Any]) -> None:
    names = words_of(item)
    if is_sentinel1(names):
        if "grd" in names and not is_corrected(item):
            raise Unusable(NOT_ON_A_GRID)
        raise Unusable("it is Sentinel-1, and the search is for Sentinel-2")
    if not ("sentinel-2" in names or re.search(r"\bs2[a-d]_", names)):
        raise Unusable("it is not Sentinel-2")
    kind = str(said.get("s2:product_type") or said.get("product:type") or "").upper()
    if kind.endswith("1C") or "l1c" in names:
        raise Unusable("it is Level-1C: no scene classification, so choose Level-2A")


def _assets(item: Item, rule: OffsetRule) -> dict[str, Asset]:
    finest: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for key, asset in item["assets"].items():
        name = None if key.endswith("-jp2") else canonical_name(key)
        if name is None or "href" not in asset:
            continue
        step_m = _step_m(key, asset)
        if name not in finest or step_m < finest[name][0]:
            finest[name] = (step_m, asset)
    missing = [name for name in (*REQUIRED_BANDS, SCL) if name not in finest]
    if missing:
        raise Unusable(f"it lacks {', '.join(missing)}")
    order = [name for name in (*(b.name for b in SENTINEL2_BANDS), SCL) if name in finest]
    return {
        name: Asset(
            str(finest[name][1]["href"]),
            radiometry=rule(item, finest[name][1]) if name in _SPECTRAL else CLASS_CODES,
        )
        for name in order
    }


def _step_m(key: str, asset: Mapping[str, Any]) -> float:
    if found := re.search(r"_(\d+)m$", key):
        return float(found[1])
    return float(asset.get("gsd") or (asset.get("proj:transform") or [0.0])[0])


def _found(item: Item, said: Mapping[str, Any], assets: dict[str, Asset]) -> Found:
    identifier = str(item["id"])
    uri = f"{said.get('s2:product_uri', '')} {identifier}"
    orbit = said.get("sat:relative_orbit") or ((m := _ORBIT.search(uri)) and m[1])
    baseline = _baseline(item)
    strip = _DATASTRIP.search(str(said.get("s2:datastrip_id") or said.get("eopf:datastrip_id") or ""))
    generated = said.get("s2:generation_time") or said.get("processing:datetime") or ""
    nodata = said.get("s2:nodata_pixel_percentage", (said.get("statistics") or {}).get("nodata"))
    granule = Granule(
        id=identifier,
        collection=text_of(item.get("collection")),
        tile=_tile(said, identifier),
        time=time_of(item),
        baseline=None if baseline is None else f"{baseline[0]:02d}.{baseline[1]:02d}",
        datastrip_start=strip[1] if strip else None,
        updated=str(said["updated"]) if said.get("updated") else str(generated) or None,
        nodata_share=share_of(nodata),
        epsg=epsg_of(item, said),
        footprint=MappingProxyType(dict(item["geometry"])),
        assets=MappingProxyType(assets),
    )
    zenith = _number(said.get("s2:mean_solar_zenith"))
    elevation = _number(said.get("view:sun_elevation"))
    return Found(
        granule=granule,
        platform=_platform(said, identifier),
        relative_orbit=None if orbit is None else int(orbit),
        orbit_state=text_of(said.get("sat:orbit_state")),
        cloud_share=share_of(said.get("eo:cloud_cover")),
        generated=str(generated),
        sun_elevation_deg=90 - zenith if elevation is None and zenith is not None else elevation,
        sun_azimuth_deg=_number(said.get("view:sun_azimuth", said.get("s2:mean_solar_azimuth"))),
    )


def time_of(item: Item) -> datetime:
    """Return when an item was acquired; of one that states an interval alone, when that begins.

    Raises
    ------
    KeyError, ValueError
        When it states neither.
    """
    said = item["properties"]
    stated = said.get("datetime")
    return datetime.fromisoformat(str(said["start_datetime"] if stated is None else stated))


def share_of(percent: Any) -> float | None:  # noqa: ANN401  # whatever JSON can hold
    """Return a percentage as a share of 0..1; None when it is not stated, or is not a number."""
    number = _number(percent)
    return None if number is None else number / 100


def _number(value: Any) -> float | None:  # noqa: ANN401  # whatever JSON can hold
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


def text_of(value: Any) -> str | None:  # noqa: ANN401  # whatever JSON can hold
    """Return what an item says as a text; None where it says nothing."""
    return None if value is None else str(value)


def _platform(said: Mapping[str, Any], identifier: str) -> str:
    letter = re.fullmatch(r"sentinel-2([a-d])", str(said.get("platform", "")).lower()) or re.match(
        r"s2([a-d])_", identifier.lower()
    )
    return f"Sentinel-2{letter[1].upper()}" if letter else "unknown"


def _tile(said: Mapping[str, Any], identifier: str) -> str | None:
    stated = str(said.get("grid:code") or said.get("s2:mgrs_tile") or "").removeprefix("MGRS-")
    found = _TILE.fullmatch(stated) or re.search(r"_T(\d{2}[A-Z]{3})_", f"_{identifier}_")
    return f"T{int(found[1][:-3]):02d}{found[1][-3:]}" if found else None


def epsg_of(item: Item, said: Mapping[str, Any]) -> int | None:
    """Return the reference system that an item states, for itself or for an asset; None when it does not."""
    places = [said, *item.get("assets", {}).values()]
    for place in places:
        code = place.get("proj:epsg") or str(place.get("proj:code") or "").removeprefix("EPSG:")
        if code:
            return int(code)
    return None


@dataclass
class Refusals:
    """Why items were left out, with how often.

    Attributes
    ----------
    reasons : dict of str to int
        In the order in which they were met.
    """

    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        """Count one more item."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def __str__(self) -> str:
        return "; ".join(f"{count} x {reason}" for reason, count in self.reasons.items())
