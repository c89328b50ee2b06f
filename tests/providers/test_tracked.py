"""Counting what comes in and what it costs, before and while it does; estimates of files."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.providers.remote_world import provider_of, query_of, small_world, three_days
from tests.synthetic import BEFORE_TIME, make_image, make_scene

from changedet.errors import BudgetError, ProviderError
from changedet.progress import Received, Silent
from changedet.providers.base import Estimate, ProviderInfo
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider
from changedet.providers.estimates import estimate_files, window_bytes
from changedet.providers.tracked import TrackedProvider, open_tracked
from changedet.scene import Asset, Granule

GRID = GeoBox.from_bbox((246080, 4275460, 247080, 4276460), "EPSG:32652", resolution=10, tight=True)


class Paid:
    """A provider that charges ten units for an image, one for a look, and gives an image in two pieces."""

    name = "paid"
    info = ProviderInfo("paid", "One that charges", ("s2",), "money", ())

    def search(self, query):
        return []

    def load(self, scene, grid, bands=None, *, on_received=None):
        for _ in range(2):
            if on_received is not None:
                on_received(500_000)
        return replace(make_image(3, BEFORE_TIME, grid), scene=scene)

    def classes(self, scene, grid):
        return np.zeros(tuple(grid.shape), np.uint8)

    def estimate(self, scene, grid, bands=None):
        return Estimate(1, 0.1, 1.0) if bands == ("SCL",) else Estimate(2, 1.0, 10.0)


class Heard(Silent):
    def __init__(self):
        self.states = []

    def received(self, state):
        self.states.append(state)


def scenes(count):
    return [make_scene(id=f"scene-{number}") for number in range(count)]


def test_estimates_add_up():
    total = Estimate(1, 0.25, 2.0) + Estimate(2, 0.5)
    assert total == Estimate(3, 0.75, 2.0)
    assert total.to_dict() == {"requests": 3, "megabytes": 0.75, "processing_units": 2.0}


def test_one_state_for_all_scenes_and_bands():
    heard = Heard()
    tracked = TrackedProvider(Paid(), heard)
    both = scenes(2)
    assert tracked.expect(both, GRID) == Estimate(4, 2.0, 20.0)
    for scene in both:
        tracked.load(scene, GRID)
    assert [(s.scenes_done, s.scenes, s.bytes_done) for s in heard.states] == [
        (0, 2, 500_000), (0, 2, 1_000_000), (1, 2, 1_000_000),
        (1, 2, 1_500_000), (1, 2, 2_000_000), (2, 2, 2_000_000),
    ]  # fmt: skip
    shares = [state.share for state in heard.states]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert str(heard.states[-1]) == "2 of 2 scene(s), 2.0 MB received"


def test_more_than_was_expected_is_still_all():
    assert Received(1, 1, 20, 10).share == 1.0
    assert Received(1, 1, 0, 0).share == 1.0


def test_what_was_kept_and_what_was_fetched_is_told(tmp_path):
    cached = CachedProvider(Paid(), SceneCache(tmp_path))
    cached.load(scenes(1)[0], GRID)
    heard = Heard()
    tracked = TrackedProvider(cached, heard)
    assert tracked.expect(scenes(2), GRID) == Estimate(2, 1.0, 10.0)
    for scene in scenes(2):
        tracked.load(scene, GRID)
    assert tracked.kept_text == "2 scenes: 1 fetched, 1 kept from before"
    assert heard.states[-1].bytes_done == 1_000_000
    tracked.begin(GRID)
    tracked.load(scenes(1)[0], GRID)
    assert tracked.kept_text == "1 scene: 0 fetched, 1 kept from before"


def test_a_scene_that_is_loaded_again_counts_once():
    tracked = TrackedProvider(Paid(), Silent())
    for _ in range(2):
        tracked.load(scenes(1)[0], GRID)
    assert tracked.kept_text == "1 scene: 1 fetched, 0 kept from before"


def test_a_further_listener_hears_too():
    pieces = []
    TrackedProvider(Paid(), Silent()).load(scenes(1)[0], GRID, on_received=pieces.append)
    assert pieces == [500_000, 500_000]


@pytest.mark.parametrize(("limit", "looks"), [(20.9, 0), (21.0, 1), (22.5, 2)])
def test_no_look_is_paid_for_when_the_images_would_not_be_affordable(limit, looks):
    tracked = TrackedProvider(Paid(), Silent(), limit)
    tracked.begin(GRID)
    done = 0
    with pytest.raises(BudgetError, match="the limit is"):
        for _ in range(9):
            tracked.classes(scenes(1)[0], GRID)
            done += 1
    assert done == looks


def test_looks_at_one_time_keep_the_limit_together():
    """Every look waits until two are under way: none of them may overlook what another will cost."""
    together = threading.Barrier(2, timeout=10)

    class Slow(Paid):
        def classes(self, scene, grid):
            together.wait()
            return super().classes(scene, grid)

    tracked = TrackedProvider(Slow(), Silent(), 22.0)
    tracked.begin(GRID)
    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(tracked.classes, scenes(1)[0], GRID) for _ in range(2)]
    assert [look.exception() for look in looks] == [None, None]
    with pytest.raises(BudgetError, match="take 23 processing units in all"):
        tracked.classes(scenes(1)[0], GRID)


def test_a_look_that_failed_costs_nothing():
    class Broken(Paid):
        def classes(self, scene, grid):
            raise ProviderError("not now")

    tracked = TrackedProvider(Broken(), Silent(), 21.0)
    tracked.begin(GRID)
    for _ in range(3):
        with pytest.raises(ProviderError):
            tracked.classes(scenes(1)[0], GRID)
    assert tracked.expect(scenes(2), GRID, before=Estimate(1, 0.1, 1.0)).processing_units == 21.0
    with pytest.raises(BudgetError, match="take 22 processing"):
        tracked.expect(scenes(2), GRID, before=Estimate(1, 0.1, 2.0))


def test_the_limit_holds_for_all_sites_together():
    tracked = TrackedProvider(Paid(), Silent(), 25.0)
    tracked.begin(GRID)
    tracked.expect(scenes(2), GRID)
    for scene in scenes(2):
        tracked.load(scene, GRID)
    tracked.begin(GRID)
    with pytest.raises(BudgetError, match=r"take 40 processing units in all, and the limit is 25; raise"):
        tracked.expect(scenes(2), GRID)


def test_what_is_kept_costs_nothing(tmp_path):
    cached = CachedProvider(Paid(), SceneCache(tmp_path))
    cached.load(scenes(1)[0], GRID)
    cached.classes(scenes(1)[0], GRID)
    assert cached.holds(scenes(1)[0], GRID, ("SCL",))
    assert not cached.holds(scenes(2)[1], GRID)
    tracked = TrackedProvider(cached, Silent(), 0.0)
    tracked.begin(GRID)
    tracked.classes(scenes(1)[0], GRID)
    assert tracked.expect(scenes(1), GRID) == Estimate()


def test_the_limit_of_the_settings_counts_unless_one_is_given(workplace, monkeypatch):
    monkeypatch.setenv("CHANGEDET_PROVIDERS__SENTINELHUB__MAX_PROCESSING_UNITS", "0.001")
    scene = make_scene()
    with pytest.raises(BudgetError):
        open_tracked("sentinelhub", None, None, Silent()).expect([scene], GRID)
    assert open_tracked("sentinelhub", None, 50.0, Silent()).expect([scene], GRID).processing_units > 0.1


@pytest.mark.parametrize("href", ["B04.tif", "/data/B04.tif"])
def test_files_of_this_computer_take_nothing(href):
    granule = Granule("one", None, None, make_scene().time, assets={"B04": Asset(href)})
    assert estimate_files([granule], ("B04",), GRID) == Estimate()


def test_a_granule_that_does_not_reach_the_grid_takes_nothing():
    far = {"type": "Polygon", "coordinates": [[[10, 10], [11, 10], [11, 11], [10, 10]]]}
    here = Granule("one", None, None, make_scene().time, assets={"B04": Asset("https://host/B04.tif")})
    assert estimate_files([here, replace(here, footprint=far)], ("B04", "B08"), GRID).requests == 3


def test_bands_weigh_by_their_pixels():
    assert window_bytes("B04", GRID) > 2.5 * window_bytes("B11", GRID) == 5 * window_bytes("SCL", GRID)
    assert window_bytes("VV", GRID) == 2 * window_bytes("B04", GRID)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_estimate_is_near_what_comes_in():
    days = three_days()
    with small_world(days, granule_px=256) as world:
        provider = provider_of(world, "earth-search")
        scene = provider.search(query_of(days[0]))[-1]
        grid = days[0].grid.pad(-12, -12)
        pieces = []
        world.reset_log()
        provider.load(scene, grid, on_received=pieces.append)
        estimate = provider.estimate(scene, grid)
        assert sum(pieces) / 1e6 == pytest.approx(estimate.megabytes, rel=0.15)
        assert len(world.requests("*.tif", "GET")) <= estimate.requests
        assert provider.estimate(scene, grid, ("SCL",)).requests == 3
