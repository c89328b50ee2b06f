"""Items in the STAC 1.1 dialect of the Copernicus Data Space: scale and offset on the asset, `proj:code`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.world.items import (
    EXTENSIONS,
    TITLES,
    Item,
    Shop,
    cloud_cover,
    footprint,
    links,
    place,
    projection,
    stamp,
    statistics,
)
from tests.world.pixels import Layer, native_resolution
from tests.world.store import COG_TYPE

from changedet.bands import SCL, band

if TYPE_CHECKING:
    from tests.world.granules import Granule

COLLECTION = "sentinel-2-l2a"
_EXTENSIONS = ("eo/v2.0.0", "grid/v1.1.0", "processing/v1.2.0", "product/v1.0.0", "projection/v2.0.0",
               "raster/v2.0.0", "sat/v1.1.0", "view/v1.0.0")  # fmt: skip


def items(granules: tuple[Granule, ...], shop: Shop, root: str) -> list[Item]:
    """Items of ``sentinel-2-l2a``: assets such as ``B04_10m``, ``B04_20m``, ``SCL_20m``, ``CLD_20m``."""
    return [_item(granule, shop, root) for granule in granules]


def _item(granule: Granule, shop: Shop, root: str) -> Item:
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": granule.product, "collection": COLLECTION,
        "stac_extensions": [f"{EXTENSIONS}/{n}/schema.json" for n in _EXTENSIONS],
        **place(footprint(granule, shop.pixels)), "properties": _properties(granule, shop),
        "links": links(root, COLLECTION, granule.product), "assets": _assets(granule, shop),
    }  # fmt: skip


def _properties(granule: Granule, shop: Shop) -> dict[str, Any]:
    scene, when = granule.scene, stamp(granule.scene.time + timedelta(seconds=0.025))
    shares = statistics(granule, shop.pixels)
    return {
        "gsd": 10, "datetime": when, "start_datetime": when, "end_datetime": when,
        "created": stamp(granule.generated), "updated": stamp(granule.generated + timedelta(minutes=7)),
        "platform": f"sentinel-{granule.platform[1:].lower()}", "constellation": "sentinel-2",
        "instruments": ["msi"],
        "grid:code": f"MGRS-{granule.tile}", "product:type": "S2MSI2A",
        "eo:cloud_cover": cloud_cover(granule),
        "eo:snow_cover": shares.pop("snow_ice"), "sat:orbit_state": "descending", "sat:relative_orbit": 3,
        "sat:absolute_orbit": 30001, "processing:level": "L2", "processing:version": granule.baseline,
        "processing:datetime": stamp(granule.generated), "processing:facility": "ESA",
        "eopf:datatake_id": f"G{granule.platform}_{scene.time:%Y%m%dT%H%M%S}_030001_N{granule.baseline}",
        "eopf:datastrip_id": granule.datastrip, "eopf:instrument_mode": "INS-NOBS",
        "view:sun_azimuth": scene.sun.azimuth_deg, "view:sun_elevation": scene.sun.elevation_deg,
        "statistics": {name.removesuffix("_pixel"): share for name, share in shares.items()},
    }  # fmt: skip


def _assets(granule: Granule, shop: Shop) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    for name in (*(n for n in granule.scene.numbers if n not in granule.lacks), SCL, "CLD"):
        finest = native_resolution(name)
        # the products hold no near infrared at 20 m
        for step in (10, 20) if finest == 10 and name != "B08" else (finest,):
            assets[f"{name}_{step}m"] = _asset(granule, shop, name, step)
    return assets


def _asset(granule: Granule, shop: Shop, name: str, step: int) -> dict[str, Any]:
    codes = name in {SCL, "CLD"}
    when = granule.scene.time
    stem = f"T{granule.tile}_{when:%Y%m%dT%H%M%S}_{name}_{step}m.tif"
    home = f"{shop.unique}/eodata/Sentinel-2/MSI/L2A/{when:%Y/%m/%d}/{granule.product}.SAFE/IMG_DATA/R{step}m"
    grid = shop.pixels.grid(granule, step)
    sampling = "original" if step == native_resolution(name) else "downsampled"
    asset: dict[str, Any] = {
        "href": shop.link(f"{home}/{stem}", Layer(granule, name, step, "codes" if codes else "baseline")),
        "type": COG_TYPE, "gsd": step, "proj:code": f"EPSG:{granule.epsg}",
        "proj:bbox": list(grid.boundingbox.bbox), **projection(grid), "nodata": 0,
        "data_type": "uint8" if codes else "uint16",
        "roles": ["data", f"sampling:{sampling}", f"gsd:{step}m"],
    }  # fmt: skip
    if codes:
        title = "Scene classification map" if name == SCL else "Cloud probability"
        return asset | {"title": f"{title} ({name}) - {step}m"}
    row = band(name)
    described = {
        "name": name,
        "eo:common_name": row.common_name,
        "eo:center_wavelength": row.wavelength_nm / 1000,
    }
    asset["roles"].insert(1, "reflectance")
    return asset | {
        "title": f"{TITLES[name]} - {step}m", "bands": [described],
        "raster:scale": 0.0001, "raster:offset": -granule.stored_offset / 10000,
    }  # fmt: skip
