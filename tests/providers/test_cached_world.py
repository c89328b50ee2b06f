"""The cache before real providers that talk to servers on 127.0.0.1."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from tests.world.granules import quick_scene
from tests.world.world import World, without_proxies

from changedet.providers.base import SearchQuery
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider
from changedet.providers.registry import open_provider
from changedet.providers.settings import ProviderSettings
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
BANDS = ("B04", "B8A")


@pytest.fixture(scope="module")
def day():
    return quick_scene(date(2023, 5, 16))


@pytest.fixture
def world(day, monkeypatch):
    without_proxies(monkeypatch)
    with World([day]) as found:
        yield found


def settings_for(world, name):
    url = {
        "earth-search": world.earth_search,
        "planetary-computer": world.planetary_computer,
        "stac": world.stac,
    }[name]
    return ProviderSettings(
        url=url, signing_url=world.signing if name == "planetary-computer" else None, retry_delay_s=0.01
    )


@pytest.mark.parametrize("name", ["earth-search", "planetary-computer", "stac"])
def test_a_second_load_sends_no_request_and_no_signature_is_kept(world, day, tmp_path, name):
    provider = CachedProvider(open_provider(name, settings_for(world, name)), SceneCache(tmp_path))
    centre = day.grid.extent.centroid.to_crs("EPSG:4326").geom
    site = Site.at(f"{centre.y}, {centre.x}", radius_m=200)
    query = SearchQuery(site, datetime(2023, 5, 1, tzinfo=UTC), datetime(2023, 5, 31, tzinfo=UTC))
    (scene,) = provider.search(query)
    first, classes = provider.load(scene, day.grid, BANDS), provider.classes(scene, day.grid)
    assert np.nanmax(np.abs(first.band("B04") - world.truth(day, "B04"))) < 0.0005
    # a mirror with other addresses: what GDAL keeps of the first ones cannot help
    with World([day]) as mirror:
        behind = open_provider(name, settings_for(mirror, name))
        provider = CachedProvider(behind, SceneCache(tmp_path))
        (again,) = provider.search(query)
        mirror.reset_log()
        if name == "stac":
            # of an archive that nobody knows, nobody knows that another one is its mirror
            assert not provider.holds(again, day.grid, BANDS)
            return
        second = provider.load(again, day.grid, BANDS)
        np.testing.assert_array_equal(provider.classes(again, day.grid), classes)
        assert mirror.requests() == []
        behind.classes(again, day.grid)
        assert mirror.requests(), "without the cache it asks"
    assert second.data.tobytes() == first.data.tobytes()
    np.testing.assert_array_equal(second.valid, first.valid)
    np.testing.assert_array_equal(second.classes, first.classes)
    assert second.scene == first.scene, "it says where the pixels were read, not where they could be now"
    for path in (tmp_path / "scenes").iterdir():
        assert b"sig=" not in path.read_bytes()


def test_the_same_address_gives_the_scene_that_was_asked_for(world, day, tmp_path):
    settings = settings_for(world, "earth-search")
    provider = CachedProvider(open_provider("earth-search", settings), SceneCache(tmp_path))
    site = Site.at("38.27, 126.5", radius_m=50_000)
    (scene,) = provider.search(
        SearchQuery(site, datetime(2023, 5, 1, tzinfo=UTC), datetime(2023, 5, 31, tzinfo=UTC))
    )
    first, second = (provider.load(scene, day.grid, BANDS) for _ in range(2))
    assert first.scene == second.scene
    assert len(provider.cache.entries()) == 1
