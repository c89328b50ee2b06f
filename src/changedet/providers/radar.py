"""Sentinel-1: which items of a catalogue can be compared, and how power gets onto a grid.

What is compared is gamma nought, radiometrically corrected for the terrain, as linear power (Small 2011,
doi:10.1109/TGRS.2011.2120616). Raw GRD products lie on no grid; catalogues that state one have made it up
from the bounding box.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import RADAR_BANDS
from changedet.core.masking import unclassified
from changedet.errors import NoOverlapError
from changedet.json_texts import OTHER_SHAPE
from changedet.providers.items import (
    NOT_ON_A_GRID,
    Found,
    Item,
    Unusable,
    epsg_of,
    is_corrected,
    is_sentinel1,
    text_of,
    words_of,
)
from changedet.providers.local_radiometry import to_reflectance
from changedet.resample import resample, source_window
from changedet.scene import Asset, Granule, Image, Radiometry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.providers.layers import Layer
    from changedet.scene import Scene

#: Level of scenes that are radiometrically corrected for the terrain.
RADAR_LEVEL = "RTC"
#: Ground seen steeper than this lies over other ground, or is smeared over several pixels; flatter, it only
#: grazes the radar's beam. Degrees between line of sight and normal.
STEEPEST_DEG, FLATTEST_DEG = 10.0, 80.0
#: The share of unusable ground that is worth a note.
_SHADOW_NOTE_SHARE = 0.01
#: What a reader should know of archives without a map of the geometry.
SHADOW_NOT_MARKED = "radar shadow and layover are not marked in this archive"

_PRODUCT = re.compile(
    r"S1(?P<unit>[A-D])_(?P<mode>\w{2})_.*?_(?P<start>\d{8}T\d{6})_\d{8}T\d{6}_(?P<orbit>\d{6})_"
)
_POLARISATION = re.compile(r"(?:gamma0[-_])?(VV|VH|HH|HV)(?:[-_](?:RTC|G-LIN|GAMMA0))?", re.IGNORECASE)
_DECIBELS = re.compile(r"\bdb\b|decibel", re.IGNORECASE)
#: Absolute orbit of the first relative one; tracks repeat after 175 revolutions.
_FIRST_ORBIT = MappingProxyType({"A": 73, "B": 27, "C": 172, "D": 42})
_ORBITS_PER_CYCLE = 175
#: Sentinel-1C was moved to other tracks; what is not stated since then is not guessed.
_MOVED = MappingProxyType({"C": datetime(2026, 6, 16, tzinfo=UTC)})


def gamma_nought(nodata: float | None, source: str) -> Radiometry:
    """Return a radiometry of linear power that is stored as it is.

    Parameters
    ----------
    nodata : float or None
        Number that means "no data"; NaN and numbers below 0 always do.
    source : str
        Who made it, for the reader of a result.
    """
    return Radiometry(nodata=nodata, source=f"gamma nought as linear power: {source}")


def relative_orbit(unit: str, absolute: int, time: datetime) -> int | None:
    """Return the relative orbit of a revolution.

    Parameters
    ----------
    unit : str
        Letter of the satellite.
    absolute : int
        Number of the revolution since launch.
    time : datetime
        When; a satellite may be moved to other tracks.

    Returns
    -------
    int or None
        1 to 175; None when it cannot be known.

    Examples
    --------
    >>> relative_orbit("A", 60328, datetime(2025, 7, 31, tzinfo=UTC))
    56
    """
    if unit not in _FIRST_ORBIT or (unit in _MOVED and time >= _MOVED[unit]):
        return None
    return (absolute - _FIRST_ORBIT[unit]) % _ORBITS_PER_CYCLE + 1


def read_radar_item(item: Item) -> Found:
    """Read one item of Sentinel-1, of any dialect.

    Parameters
    ----------
    item : mapping
        A STAC item as JSON.

    Returns
    -------
    Found
        With an asset for VV, and for VH if it is there. Slices of one pass have the same `pass_key`.

    Raises
    ------
    Unusable
        When it is not Sentinel-1, not corrected for the terrain, of another mode than IW, without VV, in
        decibels, or without a stated grid.
    """
    try:
        said = item["properties"]
        _require_corrected(item, said)
        return radar_found(item, MappingProxyType(_assets(item, said)), (SHADOW_NOT_MARKED,))
    except OTHER_SHAPE as error:
        reason = f"its description cannot be understood ({type(error).__name__}: {str(error)[:80]})"
        raise Unusable(reason) from error


def radar_found(item: Item, assets: Mapping[str, Asset], notes: tuple[str, ...] = ()) -> Found:
    """Return what an item or feature of Sentinel-1 says of its pass.

    Parameters
    ----------
    item : mapping
        With id, properties and geometry.
    assets : mapping of str to Asset
        By polarisation.
    notes : tuple of str
        What a reader should know of the scene.

    Raises
    ------
    KeyError, TypeError, ValueError
        When it is not described as every item is.
    """
    said, identifier = item["properties"], str(item["id"])
    product = _PRODUCT.match(identifier)
    time = datetime.fromisoformat(str(said.get("start_datetime") or said["datetime"]))
    unit = product["unit"] if product else str(said.get("platform", "?"))[-1:].upper()
    absolute, relative = _orbits(said, product, unit, time)
    state = said.get("sat:orbit_state")
    turn = f"orbit {relative}, {time:%Y-%m-%d}" if absolute is None else f"revolution {absolute}"
    granule = Granule(
        id=identifier,
        collection=text_of(item.get("collection")),
        tile=None,
        time=time,
        datastrip_start=product["start"] if product else None,
        updated=text_of(said.get("updated")),
        epsg=epsg_of(item, said),
        footprint=MappingProxyType(dict(item["geometry"])),
        assets=assets,
    )
    return Found(
        granule=granule,
        platform=f"Sentinel-1{unit}" if unit in _FIRST_ORBIT else "Sentinel-1",
        relative_orbit=relative,
        orbit_state=None if state is None else str(state).lower(),
        generated=str(said.get("s1:processing_datetime") or said.get("created") or ""),
        level=RADAR_LEVEL,
        pass_key=f"{state} {turn}",
        notes=notes,
    )


def _orbits(
    said: Mapping[str, Any], product: re.Match[str] | None, unit: str, time: datetime
) -> tuple[int | None, int | None]:
    """Return absolute and relative orbit: as stated, else by the name of the product, else None."""
    absolute = said.get("sat:absolute_orbit") or (product and product["orbit"])
    relative = said.get("sat:relative_orbit")
    if absolute is None:
        return None, None if relative is None else int(relative)
    if relative is None:
        relative = relative_orbit(unit, int(absolute), time)
    return int(absolute), None if relative is None else int(relative)


def _require_corrected(item: Item, said: Mapping[str, Any]) -> None:
    words = words_of(item)
    if not is_sentinel1(words):
        raise Unusable("it is not Sentinel-1")
    if "mosaic" in words or "mcm" in words:
        raise Unusable("it is a Sentinel-1 mosaic of many passes, without one date")
    if not is_corrected(item):
        raise Unusable(NOT_ON_A_GRID if "grd" in words else "it is not said to be corrected for the terrain")
    mode = str(said.get("sar:instrument_mode") or "IW")
    if mode != "IW":
        raise Unusable(f"its mode is {mode}; IW is compared")


def _assets(item: Item, said: Mapping[str, Any]) -> dict[str, Asset]:
    found: dict[str, Mapping[str, Any]] = {}
    for key, asset in item["assets"].items():
        if (name := _POLARISATION.fullmatch(key)) and "href" in asset:
            found.setdefault(name[1].upper(), asset)
    if "VV" not in found:
        has = f"it has {', '.join(found)} only" if found else "it has no polarisation"
        raise Unusable(f"{has}, and VV is needed")
    if epsg_of(item, said) is None or not any("proj:transform" in one for one in (said, *found.values())):
        raise Unusable("its grid is not stated, so that it may not have one")
    if any(_DECIBELS.search(unit) for asset in found.values() for unit in _units(asset)):
        raise Unusable("its numbers are in decibels; linear power is needed")
    names = [name for name in RADAR_BANDS if name in found]
    return {name: Asset(str(found[name]["href"]), radiometry=_radiometry(found[name])) for name in names}


def _stated(asset: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401  # out of JSON
    """Return what an asset says of its one band, in the form of STAC 1.1 or of the raster extension."""
    places = (asset, *(asset.get("bands") or ())[:1], *(asset.get("raster:bands") or ())[:1])
    return next((place[key] for place in places if key in place), None)


def _units(asset: Mapping[str, Any]) -> tuple[str, ...]:
    return str(_stated(asset, "unit") or ""), str(_stated(asset, "raster:unit") or "")


def _radiometry(asset: Mapping[str, Any]) -> Radiometry:
    nodata = _stated(asset, "nodata")
    # "nan" is a text in JSON
    return gamma_nought(None if nodata is None else float(nodata), "as stored, corrected for the terrain")


def seen_at_angle(angle_deg: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where radar sees ground neither too steeply nor at a graze.

    Parameters
    ----------
    angle_deg : ndarray of float32, shape (y, x)
        Between line of sight and normal of the ground; NaN where it is not known.

    Returns
    -------
    ndarray of bool, shape (y, x)
        True also where the angle is not known.
    """
    return np.asarray(~((angle_deg < STEEPEST_DEG) | (angle_deg > FLATTEST_DEG)))


def geometry_note(hidden: NDArray[np.bool_], observed: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say how much of what a pass observed lies in radar shadow or layover, where it is worth a note.

    Parameters
    ----------
    hidden, observed : ndarray of bool, shape (y, x)
        Where it cannot be used, and where there is power at all.

    Returns
    -------
    tuple of str
        One note, or none.
    """
    share = float(hidden[observed].mean()) if observed.any() else 0.0
    if share < _SHADOW_NOTE_SHARE:
        return ()
    return (f"{share:.0%} of the ground lies in radar shadow or layover",)


def load_power(layer: Layer, wanted: GeoBox) -> NDArray[np.float32]:
    """Put linear power onto a grid.

    Parameters
    ----------
    layer : Layer
        One polarisation.
    wanted : GeoBox
        Any grid.

    Returns
    -------
    ndarray of float32, shape (y, x)
        At least 0; NaN = no data.

    Notes
    -----
    There is one rule for radar: power, never decibels, is averaged with bilinear weights (GDAL widens the
    kernel where the wanted pixels are larger). A kernel that swings, such as the cubic one, would put dark
    and even negative rings round bright corners.
    """
    window = source_window(layer.grid, wanted)
    if window is None:
        return np.full(tuple(wanted.shape), np.nan, np.float32)
    power = to_reflectance(layer.read(window), layer.asset.radiometry, clip=False)
    power[power < 0] = np.nan
    return resample(power, layer.grid[window], wanted, method="bilinear").astype(np.float32, copy=False)


def fuse_radar(
    layers: Sequence[Mapping[str, Layer]], names: tuple[str, ...], scene: Scene, grid: GeoBox
) -> Image:
    """Put the slices of a pass onto one grid.

    Parameters
    ----------
    layers : sequence of mapping
        For each slice, best first, its layers by polarisation.
    names : tuple of str
        Polarisations of the image.
    scene : Scene
        What the image is of.
    grid : GeoBox
        Where its pixels lie.

    Returns
    -------
    Image
        Linear gamma nought. At each pixel everything comes from the first slice that has all polarisations
        there; it is valid where one has, and its class is then `SceneClass.UNCLASSIFIED`, else
        `SceneClass.NO_DATA`.

    Raises
    ------
    NoOverlapError
        When no slice reaches the grid.
    """
    whole = [found for found in layers if set(names) <= set(found)]
    if not whole:
        raise NoOverlapError(
            "the scene does not cover any of the ground asked for",
            where=scene.id,
            todo="choose a scene of this place",
        )
    data = np.full((len(names), *grid.shape), np.nan, np.float32)
    for found in whole:
        own = np.stack([load_power(found[name], grid) for name in names])
        take = np.isfinite(own).all(axis=0) & np.isnan(data[0])
        data[:, take] = own[:, take]
    valid = np.asarray(np.isfinite(data).all(axis=0))
    return Image(data, names, valid, unclassified(valid), grid, scene)


def fuse_radar_classes(layers: Sequence[Mapping[str, Layer]], grid: GeoBox) -> NDArray[np.uint8]:
    """Return `unclassified` of what slices hold, in any polarisation, shape (y, x)."""
    observed = np.zeros(tuple(grid.shape), np.bool_)
    for layer in (layer for found in layers for layer in found.values()):
        observed |= np.isfinite(load_power(layer, grid))
    return unclassified(observed)
