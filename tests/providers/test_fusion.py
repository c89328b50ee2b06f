"""Offsets that only the pixels can tell: decided, stated in the scene, kept, and recorded by a run."""

import json
from dataclasses import replace
from datetime import date
from types import MappingProxyType

import numpy as np
import pytest
from tests.providers.remote_world import provider_of, query_of, site_of, small_world
from tests.world.granules import quick_scene, whole
from tests.world.world import without_proxies

from changedet.access.choosing import compare_scenes
from changedet.errors import ProviderError
from changedet.progress import Silent
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider, Wanted
from changedet.providers.items import DECIDED, UNDECIDED, offset_by_flag
from changedet.scene import Scene

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture(scope="module")
def days():
    return quick_scene(date(2023, 5, 16)), quick_scene(date(2023, 5, 21), seed=3)


@pytest.fixture
def world(days, monkeypatch):
    """A catalogue whose flag says that the offset was not applied, over pixels to which it was."""
    without_proxies(monkeypatch)
    with small_world([whole(day, offset_flag=False) for day in days]) as found:
        yield found


@pytest.fixture
def provider(world):
    only_the_older = MappingProxyType({"sentinel-2-l2a": offset_by_flag})
    return replace(provider_of(world, "earth-search"), rules=only_the_older)


def sources(scene):
    bands = [scene.assets, *(granule.assets for granule in scene.granules)]
    return {asset.radiometry.source for each in bands for name, asset in each.items() if name != "SCL"}


def test_the_loaded_scene_states_the_offset_that_was_used(provider, days, world):
    scene = provider.search(query_of(days[0]))[0]
    assert sources(scene) == {UNDECIDED}
    image = provider.load(scene, days[0].grid, BANDS)
    assert np.nanmax(np.abs(image.band("B04") - world.truth(days[0], "B04"))) < 0.002
    # the offset is one of the product: it is known of bands that were not asked for, too
    assert sources(image.scene) == {DECIDED}
    assert {a.radiometry.offset for a in image.scene.granules[0].assets.values()} == {0.0}
    assert all(a.radiometry.assumed for n, a in image.scene.assets.items() if n != "SCL")
    assert [note for note in image.scene.notes if "offset" in note] == [f"scale and offset {DECIDED}"]
    assert sources(scene) == {UNDECIDED}, "the argument stays what it was"


def test_a_decided_scene_loads_as_before_and_is_one_entry_of_the_cache(provider, days, tmp_path):
    cached = CachedProvider(provider, SceneCache(tmp_path))
    scene = provider.search(query_of(days[0]))[0]
    first = cached.load(scene, days[0].grid, BANDS)
    recorded = Scene.from_dict(json.loads(json.dumps(first.scene.to_dict())))
    assert provider.load(recorded, days[0].grid, BANDS).data.tobytes() == first.data.tobytes()
    assert cached.load(recorded, days[0].grid, BANDS).scene.granules == first.scene.granules
    assert len(cached.cache.entries()) == 1
    said = {n: replace(a, radiometry=replace(a.radiometry, source="x")) for n, a in scene.assets.items()}
    other = replace(scene, assets=MappingProxyType(said))
    assert Wanted("p", other, days[0].grid).key != Wanted("p", scene, days[0].grid).key


def test_bright_ground_alone_tells_nothing(days, monkeypatch):
    without_proxies(monkeypatch)
    bright = {name: np.maximum(numbers, 3500) for name, numbers in days[0].numbers.items()}
    with small_world([whole(replace(days[0], numbers=bright), offset_flag=False)]) as world:
        rules = MappingProxyType({"sentinel-2-l2a": offset_by_flag})
        provider = replace(provider_of(world, "earth-search"), rules=rules)
        scene = provider.search(query_of(days[0]))[0]
        with pytest.raises(ProviderError, match=r"do not tell whether .* applied; choose another date"):
            provider.load(scene, days[0].grid, BANDS)


def test_a_run_records_the_offset_that_was_used(provider, days, monkeypatch):
    monkeypatch.setattr("changedet.frame.CONTEXT_WIDTH_M", 0.0)
    monkeypatch.setattr("changedet.frame.CONTEXT_MARGIN_M", 20.0)
    first, second = provider.search(query_of(days[0]))
    site = replace(site_of(replace(days[0], grid=days[0].grid.pad(-8, -8))), name="Pier")
    result = compare_scenes(((first,), (second,)), provider, site, reason="they match", progress=Silent())
    for word in ("before", "after"):
        (recorded,) = result.inputs[word]["scenes"]
        bands = [recorded["bands"], recorded["granules"][0]["bands"]]
        assert {b["B04"]["offset"] for b in bands} == {0.0}
        assert {b["B04"]["source"] for b in bands} == {DECIDED}
        assert result.inputs[word]["provider"] == "earth-search"
    assert result.inputs["reason"] == "they match"
