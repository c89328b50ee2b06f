"""Granules anywhere on the globe, and every provider that can look at them."""

from dataclasses import replace

from odc.geo.geobox import GeoBox
from odc.geo.geom import point
from tests.providers.remote_world import QUICK, provider_of
from tests.world.granules import quick_scene

from changedet.providers.sentinel_hub import SentinelHubOptions, SentinelHubProvider
from changedet.providers.sentinel_hub_client import Credentials
from changedet.providers.settings import ProviderSettings

DIALECTS = ("earth-search", "planetary-computer", "stac")
EVERYONE = (*DIALECTS, "sentinelhub")


def scene_at(site, epsg, *, east_m=0, north_m=0, day=None, **changes):
    """A scene of 640 m whose middle lies at a site, or some way from it, in any zone."""
    lon = site.geometry.centroid.x
    middle = point(lon, site.geometry.centroid.y, "EPSG:4326").to_crs(f"EPSG:{epsg}")
    scene = quick_scene(*(() if day is None else (day,)), **changes)
    x, y = (round((v + by) / 20) * 20 for v, by in zip(middle.coords[0], (east_m, north_m), strict=True))
    half = 5 * scene.grid.shape[0]
    grid = GeoBox.from_bbox(
        (x - half, y - half, x + half, y + half), f"EPSG:{epsg}", resolution=10, tight=True
    )
    return replace(scene, grid=grid)


def open_any(world, name, **settings):
    """A provider by name, Sentinel Hub too, with the addresses of a world."""
    if name != "sentinelhub":
        return provider_of(world, name, **settings)
    service = world.sentinel_hub_service
    credentials = Credentials(service.client_id, service.client_secret)
    return SentinelHubProvider(
        ProviderSettings(url=world.sentinel_hub, **(QUICK | settings)),
        SentinelHubOptions(credentials=credentials),
    )
