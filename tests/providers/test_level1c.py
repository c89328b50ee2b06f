"""Sentinel-2 Level-1C from Sentinel Hub: reflectance as it is, and classes that spectral tests make."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from tests.providers.remote_world import provider_of, query_of, small_world
from tests.world.granules import quick_scene, whole
from tests.world.world import without_proxies

from changedet.bands import COMPARED_BANDS
from changedet.core.masking import SceneClass, spectral_classes
from changedet.errors import UsageError
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider
from changedet.providers.registry import open_provider, provider_names
from changedet.providers.sentinel_hub import SentinelHubOptions, SentinelHubProvider
from changedet.providers.sentinel_hub_client import Credentials
from changedet.providers.sentinel_hub_products import LEVEL_1C, LEVEL_2A, RADAR, product_of
from changedet.providers.settings import ProviderSettings
from changedet.scene import Scene

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
#: By wavelength: the cirrus band lies between those that are compared.
LOADED = (*COMPARED_BANDS[:-2], "B10", *COMPARED_BANDS[-2:])
#: Top, left and side of the cloud, in pixels of 10 m.
CLOUD = (12, 20, 24)
_CLOUDY = {"B02": 0.45, "B03": 0.44, "B04": 0.43, "B08": 0.5, "B8A": 0.5, "B11": 0.4, "B12": 0.35}


def cloudy_scene(cirrus=0.001):
    """Low vegetation with one bright cloud, and as much cirrus everywhere as is said."""
    scene = quick_scene(date(2023, 5, 16), size_px=96)
    ground = {"B02": 0.06, "B03": 0.08, "B04": 0.07, "B08": 0.3, "B8A": 0.3, "B10": cirrus, "B11": 0.2}
    top, left, side = CLOUD
    numbers = {}
    for name in LOADED:
        step = 1 if name in {"B02", "B03", "B04", "B08"} else 2
        reflectance = np.full((96 // step, 96 // step), ground.get(name, 0.15))
        spot = (slice(top // step, (top + side) // step), slice(left // step, (left + side) // step))
        reflectance[spot] = _CLOUDY.get(name, cirrus if name == "B10" else 0.4)
        numbers[name] = np.rint(reflectance * 1e4 + round(scene.offset * -1e4)).astype(np.uint16)
    return replace(scene, numbers=numbers)


SCENE = cloudy_scene()
GRID = SCENE.grid
INSIDE = (slice(CLOUD[0] + 2, CLOUD[0] + CLOUD[2] - 2), slice(CLOUD[1] + 2, CLOUD[1] + CLOUD[2] - 2))


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    without_proxies(monkeypatch)
    monkeypatch.delenv("SH_PROFILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def world():
    with small_world([SCENE]) as found:
        yield found


def hub(world):
    service = world.sentinel_hub_service
    return SentinelHubProvider(
        ProviderSettings(url=world.sentinel_hub, retry_delay_s=0.002, max_retries=2),
        SentinelHubOptions(credentials=Credentials(service.client_id, service.client_secret)),
    )


def top_of_atmosphere(**changes):
    return query_of(SCENE, level="L1C", **changes)


def scene_of(world):
    (found,) = hub(world).search(top_of_atmosphere())
    return found


def test_a_scene_is_described(world):
    scene = scene_of(world)
    assert (scene.level, scene.sensor, scene.collection) == ("L1C", "s2", "sentinel-2-l1c")
    assert scene.id.startswith(("S2A_MSIL1C_2023", "S2B_MSIL1C_2023"))
    assert (scene.processing_baseline, scene.relative_orbit, scene.tile) == ("05.09", 3, "T52SBH")
    assert set(scene.assets) == set(LOADED)
    assert any("spectral tests" in note for note in scene.notes)
    assert Scene.from_dict(scene.to_dict()).level == "L1C"


def test_levels_are_not_mixed_up(world):
    (surface,) = hub(world).search(query_of(SCENE))
    assert (surface.level, surface.notes) == ("L2A", ())
    assert "MSIL2A" in surface.id
    assert hub(world).search(top_of_atmosphere(max_tile_cloud=0.001)) == []


def test_the_truth_comes_back_with_the_cirrus_band(world):
    image = hub(world).load(scene_of(world), GRID)
    assert image.bands == LOADED
    for name in ("B02", "B03", "B04", "B08"):
        np.testing.assert_allclose(image.band(name), world.truth(SCENE, name), atol=1e-6)
    assert image.band("B10").max() == pytest.approx(0.001, abs=1e-6)
    assert any("spectral tests" in note for note in image.scene.notes)


def test_classes_are_what_the_spectral_tests_say(world):
    image = hub(world).load(scene_of(world), GRID)
    expected = spectral_classes(image.data, image.bands, pixel_size_m=10.0)
    assert image.classes_source == "spectral tests"
    np.testing.assert_array_equal(image.classes, expected)
    assert (image.classes[INSIDE] == SceneClass.CLOUD_HIGH).all()
    assert not image.valid[INSIDE].any()
    assert image.valid[70:].all()
    # the classification of Level-2A has its cloud elsewhere, and plays no part
    assert (world.truth(SCENE, "SCL")[:12, :12] == SceneClass.CLOUD_HIGH).all()
    assert (image.classes[:6, :6] == SceneClass.UNCLASSIFIED).all()


def test_cirrus_is_seen_in_its_own_band():
    thin = cloudy_scene(cirrus=0.03)
    with small_world([thin]) as world:
        ask = hub(world)
        (scene,) = ask.search(query_of(thin, level="L1C"))
        image = ask.load(scene, GRID)
        assert (ask.classes(scene, GRID)[80:, 80:] == SceneClass.THIN_CIRRUS).all()
    assert (image.classes[80:, 80:] == SceneClass.THIN_CIRRUS).all()
    assert not image.valid.any()


def test_a_look_agrees_with_what_is_loaded_and_costs_less(world):
    ask, scene = hub(world), scene_of(world)
    look = ask.classes(scene, GRID)
    spent = ask.processing_units
    assert spent == pytest.approx(ask.estimate(scene, GRID, ("SCL",)).processing_units)
    image = ask.load(scene, GRID)
    assert spent < 0.2 * (ask.processing_units - spent)
    assert (look[INSIDE] == SceneClass.CLOUD_HIGH).all()
    assert (look == image.classes).mean() > 0.95
    # what was loaded answers the next look
    before = ask.processing_units
    assert (ask.classes(scene, GRID) == image.classes).all()
    assert ask.processing_units == before


def test_few_bands_are_judged_by_all_that_the_tests_need(world):
    ask, scene = hub(world), scene_of(world)
    world.reset_log()
    image = ask.load(scene, GRID, ("B04",))
    assert image.bands == ("B04",)
    assert image.data.shape == (1, *GRID.shape)
    assert not image.valid[INSIDE].any()
    (entry,) = world.requests("*/process")
    body = entry.request.json()
    assert body["input"]["data"][0]["type"] == "sentinel-2-l1c"
    assert '["B04", "B02", "B03", "B08", "B10", "B11", "dataMask"]' in body["evalscript"]
    assert ask.processing_units == pytest.approx(ask.estimate(scene, GRID, ("B04",)).processing_units)


def test_the_cirrus_band_is_not_offered_at_the_surface(world):
    ask = hub(world)
    (surface,) = ask.search(query_of(SCENE))
    with pytest.raises(UsageError, match="band B10 is not offered by this provider; choose among B01, B02"):
        ask.load(surface, GRID, ("B10",))


def test_half_a_scene_has_data_in_one_half():
    with small_world([whole(SCENE, covers=(0.0, 0.5, 0.0, 1.0))]) as world:
        ask = hub(world)
        (scene,) = ask.search(top_of_atmosphere())
        image, look = ask.load(scene, GRID), ask.classes(scene, GRID)
    assert np.isnan(image.data[:, 52:]).all()
    assert (image.classes[52:] == SceneClass.NO_DATA).all()
    assert not image.valid[52:].any()
    assert (look[52:] == SceneClass.NO_DATA).all()
    assert (look[40:46] != SceneClass.NO_DATA).all()


def test_a_cache_keeps_what_made_the_classes(world, tmp_path):
    cache, scene = SceneCache(tmp_path), scene_of(world)
    for _ in range(2):
        image = CachedProvider(hub(world), cache).load(scene, GRID)
        assert image.classes_source == "spectral tests"
    first, again = (CachedProvider(hub(world), cache).classes(scene, GRID) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert '"classes_source": "spectral tests"' in "".join(
        path.read_text() for path in tmp_path.rglob("*.json")
    )


@pytest.mark.parametrize("name", ["earth-search", "planetary-computer", "stac"])
def test_who_does_not_have_the_level_names_those_who_do(world, name):
    world.reset_log()
    with pytest.raises(UsageError, match=f"{name}: it has no Sentinel-2 of level L1C; choose sentinelhub"):
        provider_of(world, name).search(top_of_atmosphere())
    assert world.requests() == []


def test_levels_are_listed(cli):
    offered = {name: open_provider(name, ProviderSettings()).info.levels for name in provider_names()}
    assert offered["earth-search"] == ("L2A",)
    assert offered["sentinelhub"] == ("L2A", "L1C", "RTC")
    assert cli("providers") == 0
    assert "levels L2A, L1C, RTC" in cli.out
    assert cli("providers", "--json") == 0
    told = {one["name"]: one["levels"] for one in json.loads(cli.out)["providers"]}
    assert told["planetary-computer"] == ["L2A", "RTC"]


def test_a_scene_of_another_level_is_refused():
    assert [product_of(Scene("a", "b", level=one)) for one in ("L2A", "L1C", "RTC")] == [
        LEVEL_2A, LEVEL_1C, RADAR,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="a: Sentinel Hub has no imagery of level L3; search for it again"):
        product_of(Scene("a", "b", level="L3"))
