"""Items in the dialect of Earth Search: the honest collection and the older one with the wrong offset."""

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
from tests.world.pixels import Flavour, Layer, native_resolution
from tests.world.store import COG_TYPE

from changedet.bands import SCL, band

if TYPE_CHECKING:
    from tests.world.granules import Granule

COLLECTION_1, OLDER = "sentinel-2-c1-l2a", "sentinel-2-l2a"


def collection_1(granules: tuple[Granule, ...], shop: Shop, root: str) -> list[Item]:
    """Items of ``sentinel-2-c1-l2a``: everything in baseline 05.00 or later, offset -0.1 and meant.

    One id per tile and datastrip, so that a reprocessing replaces what was there.
    """
    found: dict[str, Item] = {}
    for granule in sorted(granules, key=lambda g: g.baseline):
        identifier = f"{granule.platform}_T{granule.tile}_{granule.datastrip_start:%Y%m%dT%H%M%S}_L2A"
        item = _item(granule, shop, root, (COLLECTION_1, identifier))
        item["properties"]["s2:processing_baseline"] = max(granule.baseline, "05.00")
        item["properties"] |= {
            "storage:platform": "AWS",
            "storage:region": "us-west-2",
            "storage:requester_pays": False,
        }
        home = _folder(granule, COLLECTION_1, identifier, "e84-earth-search-sentinel-data", shop)
        item["assets"] = _assets(granule, shop, home, ("collection-1", -0.1))
        item["assets"]["cloud"] = _classes(granule, shop, f"{home}/CLD_20m.tif", "CLD")
        found[identifier] = item
    return list(found.values())


def older(granules: tuple[Granule, ...], shop: Shop, root: str) -> list[Item]:
    """Items of ``sentinel-2-l2a``: pixels already shifted, and still ``raster:bands`` with offset -0.1."""
    found = []
    for granule in granules:
        identifier = f"{granule.platform}_{granule.tile}_{granule.scene.time:%Y%m%d}_{granule.sequence}_L2A"
        item = _item(granule, shop, root, (OLDER, identifier))
        applied = granule.stored_offset != 0 if granule.offset_flag is None else granule.offset_flag
        item["properties"] |= {
            "s2:sequence": f"{granule.sequence}",
            "earthsearch:boa_offset_applied": applied,
        }
        home = _folder(granule, "sentinel-s2-l2a-cogs", identifier, "sentinel-cogs", shop)
        item["properties"]["earthsearch:s3_path"] = f"s3://{home}"
        stated = -0.1 if granule.stored_offset else 0.0
        item["assets"] = _assets(granule, shop, home, ("shifted", stated))
        item["assets"] |= _twins(granule, item["assets"])
        found.append(item)
    return found


def _folder(granule: Granule, collection: str, identifier: str, bucket: str, shop: Shop) -> str:
    zone, row, square = granule.tile[:2], granule.tile[2], granule.tile[3:]
    when = granule.scene.time
    return f"{shop.unique}/{bucket}/{collection}/{zone}/{row}/{square}/{when.year}/{when.month}/{identifier}"


def _item(granule: Granule, shop: Shop, root: str, name: tuple[str, str]) -> Item:
    collection, identifier = name
    outline = footprint(granule, shop.pixels)
    names = ("eo/v1.1.0", "grid/v1.1.0", "mgrs/v1.0.0", "processing/v1.1.0", "projection/v1.1.0",
             "raster/v1.1.0", "sentinel-2/v1.0.0", "view/v1.0.0")  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": identifier, "collection": collection,
        "stac_extensions": [f"{EXTENSIONS}/{n}/schema.json" for n in names],
        **place(outline), "properties": _properties(granule, shop, outline),
        "links": links(root, collection, identifier), "assets": {},
    }  # fmt: skip


def _properties(granule: Granule, shop: Shop, outline: Any) -> dict[str, Any]:
    scene, tile = granule.scene, granule.tile
    centre = {"lat": round(outline.centroid.y, 5), "lon": round((outline.centroid.x + 180) % 360 - 180, 5)}
    shares = {f"s2:{name}_percentage": v for name, v in statistics(granule, shop.pixels).items()}
    created = stamp(granule.generated + timedelta(minutes=21), 3)
    generated = f"{granule.generated:%Y%m%dT%H%M%S}"
    return {
        # the time of the tile, some seconds after the time in the product's name
        "datetime": stamp(scene.time + timedelta(seconds=12.48)),
        "created": created, "updated": created,
        "platform": f"sentinel-{granule.platform[1:].lower()}", "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": cloud_cover(granule), "proj:epsg": granule.epsg, "proj:centroid": centre,
        "mgrs:utm_zone": int(tile[:2]), "mgrs:latitude_band": tile[2], "mgrs:grid_square": tile[3:],
        "grid:code": f"MGRS-{tile}", "view:sun_azimuth": scene.sun.azimuth_deg,
        "view:sun_elevation": scene.sun.elevation_deg,
        "s2:tile_id": f"{granule.platform}_OPER_MSI_L2A_TL_2BPS_{generated}_A030001_T{tile}"
                      f"_N{granule.baseline}",
        "s2:product_type": "S2MSI2A", "s2:processing_baseline": granule.baseline,
        "s2:product_uri": f"{granule.product}.SAFE", "s2:generation_time": stamp(granule.generated),
        "s2:datatake_id": f"G{granule.platform}_{scene.time:%Y%m%dT%H%M%S}_030001_N{granule.baseline}",
        "s2:datatake_type": "INS-NOBS", "s2:datastrip_id": granule.datastrip,
        "s2:degraded_msi_data_percentage": 0, "s2:saturated_defective_pixel_percentage": 0, **shares,
    }  # fmt: skip


def _assets(granule: Granule, shop: Shop, home: str, stored: tuple[Flavour, float]) -> dict[str, Any]:
    flavour, offset = stored
    assets: dict[str, Any] = {}
    for name in granule.scene.numbers:
        if name in granule.lacks:
            continue
        row = band(name)
        grid = shop.pixels.grid(granule, row.resolution_m)
        layer = Layer(granule, name, row.resolution_m, flavour)
        assets[row.common_name] = {
            "href": shop.link(f"{home}/{name}.tif", layer), "type": COG_TYPE,
            "title": f"{TITLES[name]} - {row.resolution_m}m",
            "eo:bands": [{"name": name, "common_name": row.common_name,
                          "center_wavelength": row.wavelength_nm / 1000}],
            "gsd": row.resolution_m, **projection(grid),
            "raster:bands": [{"nodata": 0, "data_type": "uint16", "spatial_resolution": row.resolution_m,
                              "scale": 0.0001, "offset": offset}],
            "roles": ["data", "reflectance"],
        }  # fmt: skip
    assets["scl"] = _classes(granule, shop, f"{home}/SCL.tif", SCL)
    about = shop.link(f"{home}/granule_metadata.xml", b"<metadata/>")
    assets["granule_metadata"] = {"href": about, "type": "application/xml", "roles": ["metadata"]}
    return assets


def _classes(granule: Granule, shop: Shop, path: str, name: str) -> dict[str, Any]:
    grid = shop.pixels.grid(granule, native_resolution(name))
    title, roles = ("Scene classification map (SCL)", ["data"])
    if name == "CLD":
        title, roles = ("Cloud Probabilities", ["data", "cloud"])
    return {
        "href": shop.link(path, Layer(granule, name, 20, "codes")), "type": COG_TYPE,
        "title": title, "gsd": 20,
        **projection(grid), "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}],
        "roles": roles,
    }  # fmt: skip


def _twins(granule: Granule, assets: dict[str, Any]) -> dict[str, Any]:
    when, tile = granule.scene.time, granule.tile
    home = (
        f"s3://sentinel-s2-l2a/tiles/{int(tile[:2])}/{tile[2]}/{tile[3:]}/{when.year}/{when.month}/{when.day}"
    )
    twins = {}
    for name, asset in assets.items():
        if name == "granule_metadata":
            continue
        stem = asset["href"].rsplit("/", 1)[1].removesuffix(".tif")
        href = f"{home}/{granule.sequence}/R{asset['gsd']}m/{stem}.jp2"
        twins[f"{name}-jp2"] = asset | {"href": href, "type": "image/jp2"}
    qi = f"{home}/{granule.sequence}/qi/CLD_20m.jp2"
    return twins | {
        "cloud": twins["scl-jp2"] | {"href": qi, "title": "Cloud Probabilities", "roles": ["data", "cloud"]}
    }
