"""What the tests of providers share: the three that speak STAC, pointed at a world on this machine."""

from datetime import UTC, date, datetime

from tests.world.granules import quick_scene
from tests.world.world import Options, World

from changedet.providers.base import SearchQuery
from changedet.providers.catalog import stac
from changedet.providers.earth_search import earth_search
from changedet.providers.planetary_computer import planetary_computer
from changedet.providers.settings import ProviderSettings
from changedet.site import Site

#: No test waits longer than it must.
QUICK = {"retry_delay_s": 0.01, "max_retries": 2}


def three_days():
    """Scenes on one grid, the first from before the change of the offset."""
    return (
        quick_scene(date(2021, 5, 21), baseline="03.00"),
        quick_scene(date(2023, 5, 16)),
        quick_scene(date(2023, 5, 21), seed=3),
    )


def small_world(granules, **options):
    """A world of small files, which are made in a moment."""
    return World(granules, options=Options(**({"granule_px": 128} | options)))


def site_of(scene):
    return Site("world", scene.grid.extent.to_crs("EPSG:4326").geom)


def query_of(scene, start=datetime(2020, 1, 1, tzinfo=UTC), end=datetime(2024, 12, 31, tzinfo=UTC), **more):
    return SearchQuery(site_of(scene), start, end, **more)


def provider_of(world, name, **settings):
    """One of the built-in providers with the addresses of a world."""
    settings = QUICK | settings
    if name == "earth-search":
        return earth_search(ProviderSettings(url=world.earth_search, **settings))
    if name == "planetary-computer":
        return planetary_computer(
            ProviderSettings(url=world.planetary_computer, signing_url=world.signing, **settings)
        )
    return stac(ProviderSettings(url=world.stac, **settings))
