"""Items in the dialect of the Planetary Computer: no word about offsets, pixels behind signatures, radar."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.world.granules import (
    RADAR_SLICE,
    optical_granules,
    radar_product,
    radar_slices,
    radar_start,
    radar_track,
    revolution,
)
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
from tests.world.pixels import GAMMA0_NODATA, Layer
from tests.world.store import COG_TYPE

from changedet.bands import SCL, band

if TYPE_CHECKING:
    from tests.world.granules import Granule

OPTICAL, RADAR = "sentinel-2-l2a", "sentinel-1-rtc"
#: Storage account and container, by collection.
CONTAINERS = {OPTICAL: "sentinel2l2a01/sentinel2-l2", RADAR: "sentinel1euwestrtc/sentinel1-grd-rtc"}


def optical(granules: tuple[Granule, ...], shop: Shop, root: str) -> list[Item]:
    """Items of ``sentinel-2-l2a``: assets ``B02`` ... ``SCL``, no raster extension."""
    return [_optical_item(granule, shop, root) for granule in optical_granules(granules)]


def radar(granules: tuple[Granule, ...], shop: Shop, root: str) -> list[Item]:
    """Items of ``sentinel-1-rtc``: slices of a pass hours before the optical one, off the usual grid."""
    return [_radar_item(part, shop, root) for part in radar_slices(granules)]


def _optical_item(granule: Granule, shop: Shop, root: str) -> Item:
    scene = granule.scene
    identifier = granule.product.replace(f"_N{granule.baseline.replace('.', '')}", "")
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": identifier, "collection": OPTICAL,
        "stac_extensions": [f"{EXTENSIONS}/{n}/v1.0.0/schema.json" for n in ("eo", "sat", "projection")],
        **place(footprint(granule, shop.pixels)),
        "properties": {
            # the start of the datatake: equal for all granules of a pass
            "datetime": stamp(scene.time + timedelta(seconds=0.024)),
            "platform": f"Sentinel-{granule.platform[1:]}",
            "constellation": "Sentinel 2", "instruments": ["msi"], "proj:epsg": granule.epsg,
            "s2:mgrs_tile": granule.tile, "eo:cloud_cover": cloud_cover(granule),
            "s2:granule_id": f"{granule.platform}_OPER_MSI_L2A_TL_MSFT_{granule.generated:%Y%m%dT%H%M%S}"
                             f"_A030001_T{granule.tile}_N{granule.baseline}",
            "s2:datatake_id": f"G{granule.platform}_{scene.time:%Y%m%dT%H%M%S}_030001_N{granule.baseline}",
            "s2:product_uri": f"{granule.product}.SAFE", "s2:datastrip_id": granule.datastrip,
            "s2:product_type": "S2MSI2A", "s2:datatake_type": "INS-NOBS", "sat:orbit_state": "descending",
            "sat:relative_orbit": 3, "s2:generation_time": stamp(granule.generated),
            "s2:processing_baseline": granule.baseline, "s2:mean_solar_zenith": 90 - scene.sun.elevation_deg,
            "s2:mean_solar_azimuth": scene.sun.azimuth_deg,
            **{f"s2:{name}_percentage": v for name, v in statistics(granule, shop.pixels).items()},
        },
        "links": links(root, OPTICAL, identifier), "assets": _optical_assets(granule, shop),
    }  # fmt: skip


def _optical_assets(granule: Granule, shop: Shop) -> dict[str, Any]:
    when, tile = granule.scene.time, granule.tile
    inner = f"L2A_T{tile}_A030001_{granule.datastrip_start:%Y%m%dT%H%M%S}/IMG_DATA"
    home = (f"{CONTAINERS[OPTICAL]}/{shop.unique}/{tile[:2]}/{tile[2]}/{tile[3:]}/{when:%Y/%m/%d}"
            f"/{granule.product}.SAFE/GRANULE/{inner}")  # fmt: skip
    assets: dict[str, Any] = {}
    for name in (*(n for n in granule.scene.numbers if n not in granule.lacks), SCL):
        step = 20 if name == SCL else band(name).resolution_m
        layer = Layer(granule, name, step, "codes" if name == SCL else "baseline")
        grid = shop.pixels.grid(granule, step)
        href = shop.link(f"{home}/R{step}m/T{tile}_{when:%Y%m%dT%H%M%S}_{name}_{step}m.tif", layer)
        title = f"Band {name[1:].lstrip('0')} - {TITLES.get(name)} - {step}m"
        assets[name] = {"href": href, "title": title, "type": COG_TYPE, "roles": ["data"],
                        "proj:bbox": list(grid.boundingbox.bbox), **projection(grid),
                        "gsd": float(step)}  # fmt: skip
        if name == SCL:
            assets[name]["title"] = "Scene classification map (SCL)"
            continue
        row = band(name)
        assets[name]["eo:bands"] = [{"name": name, "common_name": row.common_name, "description": title,
                                     "center_wavelength": row.wavelength_nm / 1000}]  # fmt: skip
    return assets


def _radar_item(granule: Granule, shop: Shop, root: str) -> Item:
    when, identifier = radar_start(granule), f"{radar_product(granule)}_rtc"
    orbit, state, unit = radar_track(granule)
    grid = shop.pixels.radar_grid(granule)
    names = ("sar/v1.0.0", "sat/v1.0.0", "projection/v1.0.0", "raster/v1.1.0")
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": identifier, "collection": RADAR,
        "stac_extensions": [f"{EXTENSIONS}/{n}/schema.json" for n in names],
        **place(footprint(granule, shop.pixels)),
        "properties": {
            "datetime": stamp(when + RADAR_SLICE / 2), "start_datetime": stamp(when),
            "end_datetime": stamp(when + RADAR_SLICE), "platform": f"SENTINEL-1{unit}",
            "constellation": "Sentinel-1", "sar:frequency_band": "C", "sar:center_frequency": 5.405,
            "sar:observation_direction": "right", "sar:instrument_mode": "IW",
            "sar:polarizations": ["VV", "VH"],
            "sar:product_type": "GRD", "sar:pixel_spacing_range": 10, "sar:pixel_spacing_azimuth": 10,
            "sat:orbit_state": state, "sat:relative_orbit": orbit,
            "sat:absolute_orbit": revolution(granule),
            "s1:processing_level": "1", "proj:epsg": granule.epsg,
            "proj:bbox": list(grid.boundingbox.bbox), **projection(grid),
        },
        "links": links(root, RADAR, identifier), "assets": _radar_assets(granule, shop, identifier),
    }  # fmt: skip


def _radar_assets(granule: Granule, shop: Shop, identifier: str) -> dict[str, Any]:
    day = f"{radar_start(granule):%Y/%m/%d}"
    home = f"{CONTAINERS[RADAR]}/{shop.unique}/GRD/{day}/IW/DV/{identifier}/measurement"
    return {
        name.lower(): {
            "href": shop.link(f"{home}/iw-{name.lower()}.rtc.tiff", Layer(granule, name, 10, "gamma0")),
            "type": COG_TYPE, "title": name, "roles": ["data"],
            "raster:bands": [{"nodata": GAMMA0_NODATA, "data_type": "float32", "spatial_resolution": 10.0}],
        }
        for name in ("VV", "VH")
    }  # fmt: skip
