"""How many requests a site costs, and how many of them wait at the same time."""

from collections import Counter
from datetime import date

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from tests.providers.remote_world import provider_of, query_of, small_world
from tests.world.granules import quick_scene

from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BANDS = ("B02", "B03", "B04", "B05", "B08", "B8A", "B11", "B12")
#: What the server waits before each answer.
LATENCY_S = 0.1
#: Tiles that are small enough to be made quickly, and of which the site needs some and not others.
GRANULE_PX, BLOCK_PX = 1536, 512


@pytest.fixture(autouse=True, scope="module")
def no_proxy():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def scenes():
    days = (date(2021, 5, 21), "03.00"), (date(2023, 5, 16), "05.09")
    return tuple(quick_scene(day, size_px=512, baseline=baseline, bands=BANDS) for day, baseline in days)


@pytest.fixture(scope="module")
def world(scenes):
    with small_world(scenes, granule_px=GRANULE_PX, block_px=BLOCK_PX, latency_s=LATENCY_S) as found:
        yield found


def serial_and_real_s(entries):
    """What the requests would take one after the other, and what they took together."""
    real_s = max(e.finished_s for e in entries) - min(e.started_s for e in entries)
    return sum(e.finished_s - e.started_s for e in entries), real_s


@pytest.fixture(scope="module")
def grid(scenes):
    """5 x 5 km on four tiles of nine: two pieces of each file that do not follow each other."""
    step = Affine.translation(-240, -240)
    return GeoBox((500, 500), scenes[0].grid.transform * step, scenes[0].grid.crs)


def make_files(world, scenes):
    """The files of this world are made when they are first asked for, which is not what is measured."""
    for scene in scenes:
        for asset in scene.granules[0].assets.values():
            world.store.path_of(asset.href)
    world.reset_log()


@pytest.mark.parametrize("name", ["earth-search", "planetary-computer", "stac"])
def test_a_site_of_5_km_is_fetched_side_by_side_and_once(world, scenes, grid, name, tmp_path):
    provider = CachedProvider(provider_of(world, name), SceneCache(tmp_path))
    found = provider.search(query_of(scenes[0]))
    assert len(found) == 2
    make_files(world, found)
    images = [provider.load(scene, grid, BANDS) for scene in found]
    pixels = world.requests("*.tif")
    asked = Counter((entry.request.method, entry.request.path) for entry in pixels)
    bytes_asked = {path: number for (method, path), number in asked.items() if method == "GET"}
    assert len(bytes_asked) == 2 * (len(BANDS) + 1)
    # the header and each row of tiles; GDAL asks for the size of a file first, without any of its bytes
    assert max(bytes_asked.values()) <= 3, bytes_asked
    assert all(number == 1 for (method, _), number in asked.items() if method == "HEAD")
    assert world.max_in_flight >= 4
    serial_s, real_s = serial_and_real_s(pixels)
    assert serial_s >= LATENCY_S * len(pixels)
    assert real_s <= serial_s / 3
    world.reset_log()
    again = [provider.load(scene, grid, BANDS) for scene in found]
    assert world.requests() == []
    for one, other in zip(images, again, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
