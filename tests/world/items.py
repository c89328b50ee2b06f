"""What the STAC items of all dialects share: footprint, statistics, times, links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.affinity import translate

from changedet.bands import SCL

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from odc.geo.geobox import GeoBox
    from tests.world.granules import Granule
    from tests.world.pixels import Layer, Pixels

Item = dict[str, Any]

EXTENSIONS = "https://stac-extensions.github.io"
TITLES = {"B02": "Blue", "B03": "Green", "B04": "Red", "B08": "NIR", "B8A": "NIR 2", "B11": "SWIR 1.6μm",
          "B12": "SWIR 2.2μm", "B05": "Red Edge 1", "B06": "Red Edge 2", "B07": "Red Edge 3"}  # fmt: skip
_STATISTICS = {
    "cloud_shadow": 3, "vegetation": 4, "not_vegetated": 5, "water": 6, "unclassified": 7,
    "medium_proba_clouds": 8, "high_proba_clouds": 9, "thin_cirrus": 10, "snow_ice": 11,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shop:
    """What an item needs to be made: the pixels, a way to offer them, and a prefix nobody else uses."""

    pixels: Pixels
    link: Callable[[str, Layer | bytes], str]
    unique: str


def stamp(when: datetime, digits: int = 6) -> str:
    """A time as the archives write it, with so many digits after the second."""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06d}"[: 20 + digits] + "Z"


def footprint(granule: Granule, pixels: Pixels) -> shapely.Polygon:
    """Outline of the part with data in degrees; across the antimeridian it runs on past 180."""
    values = pixels.raster(granule, SCL, 20)
    usable = ~np.isnan(values.values)
    rows, columns = np.flatnonzero(usable.any(axis=1)), np.flatnonzero(usable.any(axis=0))
    window = values.grid[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    outline = shapely.force_2d(window.extent.to_crs("EPSG:4326").geom)
    corners = np.round(shapely.get_coordinates(outline), 7)
    if np.ptp(corners[:, 0]) > 180:
        corners[:, 0] %= 360
    return shapely.Polygon(corners)


def place(item_footprint: shapely.Polygon) -> dict[str, Any]:
    """The members ``geometry`` and ``bbox`` of an item, cut at the antimeridian as RFC 7946 wants it."""
    west, south, east, north = (round(v, 7) for v in item_footprint.bounds)
    if east <= 180:
        return {"geometry": _polygon(item_footprint), "bbox": [west, south, east, north]}
    parts = [item_footprint.intersection(shapely.box(-180, -90, 180, 90)),
             translate(item_footprint, -360).intersection(shapely.box(-180, -90, 180, 90))]  # fmt: skip
    rings = [_polygon(part)["coordinates"] for part in parts]
    return {
        "geometry": {"type": "MultiPolygon", "coordinates": rings},
        "bbox": [west, south, round(east - 360, 7), north],
    }


def _polygon(outline: shapely.Polygon) -> dict[str, Any]:
    geometry = shapely.geometry.mapping(shapely.orient_polygons(outline))
    rings = [[list(point) for point in ring] for ring in geometry["coordinates"]]
    return {"type": "Polygon", "coordinates": rings}


def cloud_cover(granule: Granule) -> float:
    """Per cent of the scene under cloud, or what the granule claims."""
    if granule.cloud_cover is not None:
        return granule.cloud_cover
    return round(100 * float(np.isin(granule.scene.classes, (8, 9, 10)).mean()), 6)


def statistics(granule: Granule, pixels: Pixels) -> dict[str, float]:
    """Shares of the classes in per cent, and of nodata, without any prefix."""
    values = pixels.raster(granule, SCL, 20).values
    shares = {name: 100 * float((granule.scene.classes == code).mean()) for name, code in _STATISTICS.items()}
    shares["nodata_pixel"] = 100 * float(np.isnan(values).mean())
    return {name: round(share, 6) for name, share in shares.items()}


def projection(grid: GeoBox) -> dict[str, Any]:
    """``proj:shape`` and ``proj:transform`` of an asset."""
    return {"proj:shape": list(grid.shape), "proj:transform": list(grid.transform)[:6]}


def links(root: str, collection: str, identifier: str) -> list[dict[str, str]]:
    """Links of an item to itself and its parents."""
    home = f"{root}/collections/{collection}"
    pairs = (("self", f"{home}/items/{identifier}"), ("parent", home), ("collection", home), ("root", root))
    kinds = {"self": "application/geo+json"}
    return [{"rel": rel, "type": kinds.get(rel, "application/json"), "href": href} for rel, href in pairs]


def collection(root: str, identifier: str, **more: Any) -> Item:
    """A minimal STAC collection."""
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": identifier, "description": identifier,
        "license": "proprietary", "stac_extensions": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]},
                   "temporal": {"interval": [["2015-06-27T00:00:00Z", None]]}},
        "links": [
            {"rel": "self", "type": "application/json", "href": f"{root}/collections/{identifier}"},
            {"rel": "root", "type": "application/json", "href": root},
            {"rel": "parent", "type": "application/json", "href": root},
        ],
    } | more  # fmt: skip
