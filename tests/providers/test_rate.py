"""How many requests a site costs, and how many of them wait at the same time."""

from collections import Counter
from datetime import date

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from tests.providers.remote_world import provider_of, query_of, small_world
from tests.world.granules import quick_scene
from tests.world.world import without_proxies

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
        without_proxies(patch)
        yield


@pytest.fixture(scope="module")
def scenes():
    return tuple(quick_scene(date(2023, 5, day), size_px=512, bands=BANDS) for day in (16, 21))


@pytest.fixture(scope="module")
def world(scenes):
    with small_world(scenes, granule_px=GRANULE_PX, block_px=BLOCK_PX, latency_s=LATENCY_S) as found:
        yield found


def waited_s(entries):
    """How long the client waited: the time in which at least one request was under way."""
    total, until = 0.0, 0.0
    for entry in sorted(entries, key=lambda e: e.started_s):
        total += max(0.0, entry.finished_s - max(until, entry.started_s))
        until = max(until, entry.finished_s)
    return total


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
    asked = Counter(entry.request.path for entry in pixels)
    assert len(asked) == 2 * (len(BANDS) + 1)
    # the header, and each row of tiles
    assert max(asked.values()) <= 3, asked
    assert world.max_in_flight >= 4
    serial_s = sum(entry.finished_s - entry.started_s for entry in pixels)
    assert serial_s >= LATENCY_S * len(pixels)
    assert waited_s(pixels) <= serial_s / 3
    world.reset_log()
    again = [provider.load(scene, grid, BANDS) for scene in found]
    assert world.requests() == []
    for one, other in zip(images, again, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_a_grid_that_registration_moved_a_little_asks_for_nothing(world, scenes, grid):
    provider = provider_of(world, "earth-search")
    scene = provider.search(query_of(scenes[0]))[0]
    first = provider.load(scene, grid, BANDS)
    world.reset_log()
    moved = GeoBox(grid.shape, grid.transform * Affine.translation(-0.7, 1.3), grid.crs)
    near = provider.load(scene, moved, BANDS)
    assert world.requests() == []
    far = GeoBox(grid.shape, grid.transform * Affine.translation(-40, 0), grid.crs)
    provider.load(scene, far, BANDS)
    assert len(world.requests("*.tif")) > 0
    fresh = provider_of(world, "earth-search").load(scene, moved, BANDS)
    np.testing.assert_array_equal(near.data, fresh.data)
    assert np.nanmax(np.abs(near.data - first.data)) > 0.01
