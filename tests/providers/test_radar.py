"""Sentinel-1 over real sockets: the same power through every provider, whole passes, reasons for refusals."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from tests.core.scenery import DATA
from tests.providers.remote_world import provider_of, query_of, small_world
from tests.world import static
from tests.world.granules import quick_scene, radar_slices, split, whole
from tests.world.world import without_proxies

from changedet.bands import RADAR_BANDS
from changedet.core.masking import SceneClass
from changedet.errors import MissingBandError, NoOverlapError, NoUsableImageryError, UsageError
from changedet.providers.base import SearchQuery
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider
from changedet.providers.catalog import stac
from changedet.providers.items import Unusable, is_corrected, offset_of_baseline, read_item
from changedet.providers.layers import Layer
from changedet.providers.radar import (
    SHADOW_NOT_MARKED,
    fuse_radar,
    fuse_radar_classes,
    gamma_nought,
    load_power,
    read_radar_item,
    relative_orbit,
)
from changedet.providers.registry import open_provider, provider_names
from changedet.providers.scenes import assemble_scenes
from changedet.providers.sentinel_hub import (
    SentinelHubOptions,
    SentinelHubProvider,
    estimate_processing_units,
)
from changedet.providers.sentinel_hub_client import Credentials
from changedet.providers.settings import ProviderSettings
from changedet.scene import Asset, Scene
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def smooth_scene(day=date(2023, 5, 16)):
    """Ground whose power changes little from pixel to pixel, so that half a pixel hardly matters."""
    scene = quick_scene(day)
    y, x = (np.mgrid[:64, :64] + 0.5) * 10
    wave = 1800 + 350 * np.sin(x / 95) * np.cos(y / 70) + round(scene.offset * -1e4)
    return replace(scene, numbers=scene.numbers | {"B04": np.rint(wave).astype(np.uint16)})


RECORDED = DATA / "stac_items"
SMOOTH, ROUGH = smooth_scene(), quick_scene(date(2023, 5, 21), seed=3)
GRID = SMOOTH.grid
#: Far from the edge of the scene, beyond which the truth is mirrored.
INNER = GRID[4:-4, 4:-4]


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    without_proxies(monkeypatch)
    monkeypatch.delenv("SH_PROFILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def world():
    with small_world((SMOOTH, ROUGH)) as found:
        yield found


def hub(world):
    service = world.sentinel_hub_service
    return SentinelHubProvider(
        ProviderSettings(url=world.sentinel_hub, retry_delay_s=0.002, max_retries=2),
        SentinelHubOptions(credentials=Credentials(service.client_id, service.client_secret)),
    )


def radar(scene=SMOOTH, **changes):
    return query_of(scene, sensor="s1", **changes)


def planetary(world):
    return provider_of(world, "planetary-computer")


def of_rough(provider):
    return provider.search(radar())[1]


# --- search ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [planetary, hub], ids=["planetary-computer", "sentinelhub"])
def test_a_pass_is_described(world, provider):
    first, second = provider(world).search(radar())
    assert (first.sensor, first.level, first.platform) == ("s1", "RTC", "Sentinel-1A")
    assert (first.relative_orbit, first.orbit_state, first.tile) == (127, "descending", None)
    assert first.time.replace(microsecond=0) == datetime(2023, 5, 15, 21, 34, 1, tzinfo=UTC)
    assert [second.date_text, first.date_text] == ["2023-05-20", "2023-05-15"]
    assert set(first.assets) == {"VV", "VH"}
    assert first.coverage == pytest.approx(1)
    assert first.credit == "Contains modified Copernicus Sentinel data [2023]"
    assert (first.tile_cloud_share, first.sun_elevation_deg) == (None, None)
    again = Scene.from_dict(first.to_dict())
    assert replace(again, time=first.time) == first


def test_an_archive_without_a_map_of_shadows_says_so(world):
    assert SHADOW_NOT_MARKED in planetary(world).search(radar())[0].notes
    assert hub(world).search(radar())[0].notes == ()


def test_only_the_collection_of_the_sensor_is_searched(world):
    world.reset_log()
    planetary(world).search(radar())
    (asked,) = world.requests("*/stac/v1/search", "POST")
    assert asked.request.json()["collections"] == ["sentinel-1-rtc"]
    world.reset_log()
    hub(world).search(radar())
    (asked,) = world.requests("*/catalog/*/search", "POST")
    assert asked.request.json()["collections"] == ["sentinel-1-grd"]
    words = asked.request.json()["filter"]
    for word in ("instrument_mode", "'IW'", "polarization", "'DV'", "resolution", "'HIGH'"):
        assert word in words
    assert "cloud" not in words


def test_who_has_no_radar_names_those_who_do(world):
    with pytest.raises(UsageError, match="no Sentinel-1; choose planetary-computer or sentinelhub or stac"):
        provider_of(world, "earth-search").search(radar())
    offered = {name: open_provider(name, ProviderSettings()).info for name in provider_names()}
    assert {name for name, info in offered.items() if "s1" in info.sensors} == {
        name for name, info in offered.items() if "RTC" in info.levels
    }


def test_radar_has_no_other_level():
    with pytest.raises(UsageError, match="radar has no level L1C"):
        radar(level="L1C")


# --- pixels ------------------------------------------------------------------------------------------


def test_what_is_stored_comes_back_after_one_interpolation(world):
    ask = planetary(world)
    image = ask.load(of_rough(ask), INNER)
    assert (image.bands, image.data.dtype, image.classes_source) == (RADAR_BANDS, np.float32, "none")
    (part,) = radar_slices([whole(ROUGH)])
    for name in RADAR_BANDS:
        stored = world.pixels.raster(part, name, 10)
        assert stored.grid.transform.c % 10 != 0
        np.testing.assert_allclose(image.band(name), stored.on(INNER, "bilinear"), atol=1e-6)
    assert image.valid.all()
    assert (image.classes == SceneClass.UNCLASSIFIED).all()


def test_sentinel_hub_renders_the_truth_on_the_grid(world):
    ask = hub(world)
    image = ask.load(of_rough(ask), GRID)
    for name in RADAR_BANDS:
        np.testing.assert_allclose(image.band(name), world.truth(ROUGH, name), atol=1e-6)
    assert image.valid.all()


def test_both_services_give_the_same_power(world):
    """Within 0.0002, which is 0.01 dB here, on ground that is smooth over 100 m: one grid is displaced."""
    images = [ask.load(ask.search(radar())[0], INNER) for ask in (planetary(world), hub(world))]
    first, second = (image.data for image in images)
    assert np.abs(first - second).max() < 0.0002
    assert np.abs(10 * np.log10(first / second)).max() < 0.01
    np.testing.assert_array_equal(images[0].valid, images[1].valid)
    np.testing.assert_array_equal(images[0].classes, images[1].classes)


def test_a_displaced_grid_costs_one_interpolation_and_no_second_request(world):
    ask = hub(world)
    scene = of_rough(ask)
    ask.load(scene, INNER)
    world.reset_log()
    moved = ask.load(scene, INNER.translate_pix(0.4, -0.3), ("VH",))
    assert moved.bands == ("VH",)
    assert world.requests("*/process") == []
    truth = world.truth(ROUGH, "VH")
    assert truth.min() - 1e-6 <= moved.data.min() <= moved.data.max() <= truth.max() + 1e-6


def test_the_service_is_told_to_correct_for_the_terrain(world):
    ask = hub(world)
    scene = of_rough(ask)
    world.reset_log()
    expected = ask.estimate(scene, GRID)
    ask.load(scene, GRID)
    (entry,) = world.requests("*/process")
    (data,) = entry.request.json()["input"]["data"]
    assert data["type"] == "sentinel-1-grd"
    assert data["processing"] == {
        "backCoeff": "GAMMA0_TERRAIN", "orthorectify": True, "demInstance": "COPERNICUS_30",
        "upsampling": "BILINEAR", "downsampling": "BILINEAR",
    }  # fmt: skip
    assert {"acquisitionMode": "IW", "polarization": "DV", "resolution": "HIGH"}.items() <= data[
        "dataFilter"
    ].items()
    script = entry.request.json()["evalscript"]
    assert '["VV", "VH", "shadowMask", "localIncidenceAngle", "dataMask"]' in script
    assert "FLOAT32" in script
    # twice for 32 bits, two and a half times for the correction
    assert expected.processing_units == pytest.approx(
        estimate_processing_units(76, 76, 4, float32=True, s1=True)
    )
    assert ask.processing_units == pytest.approx(expected.processing_units)
    assert expected.megabytes == pytest.approx(76 * 76 * 5 * 4 / 1e6)


def test_shadow_and_layover_are_not_observed():
    hills = (0.25, 0.75, 0.25, 0.75)
    with small_world([whole(SMOOTH, hills=hills)]) as world:
        ask = hub(world)
        (scene,) = ask.search(radar())
        image = ask.load(scene, GRID)
        look = ask.classes(scene, GRID)
    inside = np.zeros((64, 64), bool)
    inside[16:48, 16:48] = True
    np.testing.assert_array_equal(image.valid, ~inside)
    assert np.isnan(image.data[:, inside]).all()
    assert (image.classes[inside] == SceneClass.NO_DATA).all()
    (note,) = image.scene.notes
    assert note.endswith("of the ground lies in radar shadow or layover")
    # a cheap look tells where there is data, and no more
    assert (look == SceneClass.UNCLASSIFIED).all()


def test_a_look_is_cheap(world):
    ask = hub(world)
    scene = of_rough(ask)
    world.reset_log()
    assert (ask.classes(scene, GRID) == SceneClass.UNCLASSIFIED).all()
    assert ask.processing_units <= 0.005
    (entry,) = world.requests("*/process")
    assert '[{bands: ["dataMask"]}]' in entry.request.json()["evalscript"]
    assert ask.estimate(scene, GRID, ("SCL",)).processing_units == ask.processing_units


def test_at_the_planetary_computer_a_look_reads_one_polarisation(world):
    ask = planetary(world)
    scene = of_rough(ask)
    world.reset_log()
    assert (ask.classes(scene, INNER) == SceneClass.UNCLASSIFIED).all()
    assert {entry.request.path.rsplit("-", 1)[1] for entry in world.requests("*.tiff")} == {"vv.rtc.tiff"}
    assert ask.estimate(scene, INNER, ("SCL",)).megabytes < ask.estimate(scene, INNER).megabytes


def test_a_cache_keeps_power_exactly(world, tmp_path):
    cache = SceneCache(tmp_path)
    scene = of_rough(hub(world))
    first, again = (CachedProvider(hub(world), cache).load(scene, GRID) for _ in range(2))
    np.testing.assert_array_equal(first.data, again.data)
    np.testing.assert_array_equal(first.classes, again.classes)


# --- passes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [planetary, hub], ids=["planetary-computer", "sentinelhub"])
def test_slices_of_one_pass_are_one_scene(provider):
    with small_world(split(SMOOTH)) as world:
        ask = provider(world)
        (scene,) = ask.search(radar())
        image = ask.load(scene, INNER)
        truth = world.truth(SMOOTH, "VV", INNER)
    assert len(scene.granules) == 2
    assert scene.coverage == pytest.approx(1, abs=1e-3)
    assert image.valid.all()
    # at the seam a slice is interpolated from one side
    np.testing.assert_allclose(image.band("VV"), truth, atol=0.001)


@pytest.mark.parametrize("provider", [planetary, hub], ids=["planetary-computer", "sentinelhub"])
def test_half_a_pass_has_data_in_one_half(provider):
    with small_world([split(SMOOTH)[0]]) as world:
        ask = provider(world)
        (scene,) = ask.search(radar())
        image, look = ask.load(scene, GRID), ask.classes(scene, GRID)
    assert 0.5 < scene.coverage < 0.6
    assert image.valid[2:32, 2:-2].all()
    assert not image.valid[-20:].any()
    assert np.isnan(image.data[:, -20:]).all()
    assert (look[-20:] == SceneClass.NO_DATA).all()
    assert (look[2:32, 2:-2] == SceneClass.UNCLASSIFIED).all()


def item(world):
    found = (i for i in world.items("planetary-computer") if i["collection"] == "sentinel-1-rtc")
    return deepcopy(next(found))


def another(one, minutes, **said):
    """The same item some minutes later."""
    found = deepcopy(one)
    for key in ("datetime", "start_datetime", "end_datetime"):
        moved = datetime.fromisoformat(one["properties"][key]) + timedelta(minutes=minutes)
        found["properties"][key] = moved.isoformat()
    start = datetime.fromisoformat(found["properties"]["start_datetime"])
    parts = one["id"].split("_")
    parts[4] = f"{start:%Y%m%dT%H%M%S}"
    found["id"] = "_".join(parts)
    found["properties"] |= said
    return found


def scenes_of(*items):
    site = Site("here", GRID.extent.to_crs("EPSG:4326").geom)
    return assemble_scenes([read_radar_item(one) for one in items], site, "somewhere")


def test_passes_are_told_apart_by_revolution_and_direction(world):
    one = item(world)
    revolution = one["properties"]["sat:absolute_orbit"]
    assert len(scenes_of(one, another(one, 1))) == 1
    assert len(scenes_of(one, another(one, 40, **{"sat:orbit_state": "ascending"}))) == 2
    assert len(scenes_of(one, another(one, 90, **{"sat:absolute_orbit": revolution + 1}))) == 2
    assert len(scenes_of(one, another(one, 1, platform="SENTINEL-1C"))) == 1
    other = another(one, 1)
    other["id"] = other["id"].replace("S1A_", "S1C_")
    assert {scene.platform for scene in scenes_of(one, other)} == {"Sentinel-1A", "Sentinel-1C"}


def test_a_slice_that_was_processed_twice_comes_once(world):
    first, second = item(world), item(world)
    first["properties"]["created"], second["properties"]["created"] = "2023-05-16", "2023-08-01"
    second["id"] += "2"
    (scene,) = scenes_of(second, first)
    assert [granule.id for granule in scene.granules] == [second["id"]]


def test_a_revolution_that_is_not_stated_is_read_from_the_name(world):
    one = item(world)
    for key in ("sat:absolute_orbit", "sat:relative_orbit"):
        del one["properties"][key]
    (scene,) = scenes_of(one, another(one, 1))
    assert scene.relative_orbit == 127


@given(st.sampled_from("ABD"), st.integers(0, 99_999))
def test_tracks_repeat(unit, absolute):
    when = datetime(2026, 1, 1, tzinfo=UTC)
    found = relative_orbit(unit, absolute, when)
    assert 1 <= found <= 175
    assert relative_orbit(unit, absolute + 175, when) == found
    assert relative_orbit(unit, absolute + 1, when) == found % 175 + 1


def test_no_track_is_guessed_after_a_satellite_was_moved():
    assert relative_orbit("C", 2000, datetime(2026, 6, 1, tzinfo=UTC)) == (2000 - 172) % 175 + 1
    assert relative_orbit("C", 9000, datetime(2026, 8, 1, tzinfo=UTC)) is None
    assert relative_orbit("X", 9000, datetime(2026, 8, 1, tzinfo=UTC)) is None


# --- refusals ----------------------------------------------------------------------------------------


def without(*names):
    def spoil(one):
        for name in names:
            del one["assets"][name]

    return spoil


def only(*names):
    def spoil(one):
        one["assets"] = dict.fromkeys(names, one["assets"]["vv"])

    return spoil


def said(**properties):
    def spoil(one):
        one["properties"] |= {key.replace("__", ":"): value for key, value in properties.items()}

    return spoil


def called(identifier, collection, constellation="Sentinel-1"):
    def spoil(one):
        one["id"], one["collection"] = identifier, collection
        one["properties"] |= {"constellation": constellation, "platform": constellation}

    return spoil


def unit(value, **place):
    def spoil(one):
        one["assets"]["vh"] |= place or {"raster:bands": [{"unit": value}]}

    return spoil


def without_grid(one):
    del one["properties"]["proj:transform"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without("vv"), "it has VH only, and VV is needed"),
        (only("hh", "hv"), "it has HH, HV only, and VV is needed"),
        (without("vv", "vh"), "it has no polarisation, and VV is needed"),
        (said(sar__instrument_mode="EW"), "its mode is EW; IW is compared"),
        (called("S1A_IW_GRDH_1SDV", "sentinel-1-grd"), "Sentinel-1 GRD is not georeferenced to a grid"),
        (called("S1A_IW_SLC__1SDV", "sentinel-1-slc"), "not said to be corrected for the terrain"),
        (called("Sentinel-1_IW_mosaic_2026_M04", "rtc"), "a Sentinel-1 mosaic of many passes"),
        (called("LC09_rtc", "landsat-rtc", "Landsat"), "it is not Sentinel-1"),
        (unit("dB"), "its numbers are in decibels"),
        (unit("", bands=[{"unit": "decibel"}]), "its numbers are in decibels"),
        (without_grid, "its grid is not stated"),
        (lambda one: one["properties"].pop("datetime") and one["properties"].pop("start_datetime"),
         r"cannot be understood \(KeyError"),
        (said(start_datetime="yesterday"), r"cannot be understood \(ValueError"),
    ],
)  # fmt: skip
def test_an_item_that_cannot_be_compared_is_refused_with_the_reason(world, spoil, reason):
    one = item(world)
    spoil(one)
    with pytest.raises(Unusable, match=reason):
        read_radar_item(one)


def test_a_search_for_one_sensor_refuses_items_of_the_other(world):
    optical, one = world.items("planetary-computer")[0], item(world)
    with pytest.raises(Unusable, match="it is not Sentinel-1"):
        read_radar_item(optical)
    with pytest.raises(Unusable, match="it is Sentinel-1, and the search is for Sentinel-2"):
        read_item(one, offset_of_baseline)


def test_other_names_of_corrected_products_and_bands_are_known(world):
    one = item(world)
    one["assets"] = {
        "vv-g-lin": one["assets"]["vv"] | {"raster:bands": [], "nodata": -9999.0},
        "VH_gamma0": one["assets"]["vh"] | {"raster:bands": [], "bands": [{"nodata": "nan"}]},
        "vv-g-log": {"href": "https://host/vv-log.vrt"},
    }
    called("S1A_IW_NRB__1SDV_20230515T213401_20230515T213426_048555_05D6E5_F80D", "sentinel-1-nrb")(one)
    assets = read_radar_item(one).granule.assets
    assert assets["VV"].radiometry.nodata == -9999.0
    assert np.isnan(assets["VH"].radiometry.nodata)
    assert assets["VV"].href.endswith("vv.rtc.tiff")


@pytest.mark.parametrize(
    ("properties", "corrected"),
    [
        ({"product:type": "S1_NRB"}, True),
        ({"sar:product_type": "RTC"}, True),
        ({"sar:product_type": "GRD"}, False),
        ({"product:type": "IW_GRDH_1S-COG"}, False),
    ],
)
def test_a_correction_counts_only_when_it_is_said(properties, corrected):
    assert is_corrected({"id": "S1A_x", "collection": "radar", "properties": properties}) is corrected


# --- catalogues --------------------------------------------------------------------------------------


def written(world, path, items):
    return stac(ProviderSettings(url=str(static.write_item_collection(items, path, world.store.path_of))))


def test_a_catalogue_on_disk_may_hold_both_sensors(world, tmp_path):
    ask = written(world, tmp_path / "items.json", world.items("planetary-computer"))
    radar_scenes, optical_scenes = ask.search(radar()), ask.search(query_of(SMOOTH))
    assert [scene.sensor for scene in (*radar_scenes, *optical_scenes)] == ["s1", "s1", "s2", "s2"]
    image, same = (one.load(of_rough(one), INNER) for one in (ask, planetary(world)))
    np.testing.assert_array_equal(image.data, same.data)
    assert (ask.classes(radar_scenes[0], INNER) == SceneClass.UNCLASSIFIED).all()


def test_one_polarisation_is_better_than_none(world, tmp_path):
    one = item(world)
    del one["assets"]["vh"]
    ask = written(world, tmp_path / "items.json", [one])
    (scene,) = ask.search(radar())
    assert ask.load(scene, INNER).bands == ("VV",)
    with pytest.raises(MissingBandError, match="the catalogue has no VH"):
        ask.load(scene, INNER, RADAR_BANDS)


def test_a_catalogue_of_raw_radar_says_why_nothing_can_be_used(world, tmp_path):
    one, other = item(world), item(world)
    called("S1A_IW_GRDH_1SDV_raw", "sentinel-1-grd")(one)
    only("hh")(other)
    ask = written(world, tmp_path / "items.json", [one, other])
    with pytest.raises(NoUsableImageryError, match=r"1 x Sentinel-1 GRD .*; 1 x it has HH only"):
        ask.search(radar())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("earth-search-v1-2025-07-31.json", "Sentinel-1 GRD is not georeferenced"),
        ("cdse-stac-s1-mosaic-2026-04.json", "mosaic of many passes"),
    ],
)
def test_recorded_radar_is_refused(name, reason):
    path = RECORDED / name
    if not path.is_file():
        pytest.skip(f"no recorded items at {path}: set CHANGEDET_DATA")
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    found = [one for one in features if one["properties"].get("constellation") == "sentinel-1"]
    assert found
    for one in found:
        with pytest.raises(Unusable, match=reason):
            read_radar_item(one)


# --- power on a grid ---------------------------------------------------------------------------------


def layer(values, nodata=None, name="VV", grid=None):
    values = np.asarray(values, np.float32)
    grid = grid or GeoBox.from_bbox(
        (500000, 4000000, 500000 + 10 * values.shape[1], 4000000 + 10 * values.shape[0]),
        "EPSG:32652", resolution=10, tight=True,
    )  # fmt: skip
    asset = Asset("", radiometry=gamma_nought(nodata, "a test"))
    return Layer(name, grid, asset, lambda window: values[window])


@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_ring_appears_round_a_corner_reflector(east, south, seed):
    power = np.random.default_rng(seed).gamma(4, 0.02, (24, 24)).astype(np.float32)
    power[12, 12] = 90.0
    one = layer(power)
    out = load_power(one, one.grid.translate_pix(east, south)[2:-2, 2:-2])
    assert np.isfinite(out).all()
    assert power.min() * 0.999 <= out.min() <= out.max() <= 90.0 * 1.001


def test_power_is_averaged_and_not_decibels():
    power = np.full((16, 16), 0.01)
    power[::2, ::2] = 1.0
    one = layer(power)
    coarse = load_power(one, one.grid.zoom_to(resolution=20))
    assert coarse[2:-2, 2:-2].mean() == pytest.approx(power.mean(), rel=0.02)


@pytest.mark.parametrize("missing", [-32768.0, -9999.0, -0.001, np.nan, np.inf])
def test_what_is_no_power_is_no_data(missing):
    power = np.full((12, 12), 0.2)
    power[5, 5], power[2, 2] = missing, 0.0
    one = layer(power, nodata=-32768.0)
    out = load_power(one, one.grid)
    assert np.isnan(out[5, 5])
    assert out[2, 2] == 0.0
    assert np.isnan(out).sum() == 1
    moved = load_power(one, one.grid.translate_pix(0.4, 0.4)[2:-2, 2:-2])
    assert np.isnan(moved).sum() == 1
    assert np.nanmin(moved) >= 0.0


def test_a_pixel_comes_whole_from_the_first_slice_that_has_it():
    first, second = np.full((2, 8, 8), 0.1), np.full((2, 8, 8), 0.4)
    first[1, :4] = np.nan
    second[0, :2] = np.nan
    slices = [
        {name: layer(plane, name=name) for name, plane in zip(RADAR_BANDS, planes, strict=True)}
        for planes in (first, second)
    ]
    grid = slices[0]["VV"].grid
    scene = Scene("pass", "here", level="RTC")
    image = fuse_radar([*slices, {"VV": slices[0]["VV"]}], RADAR_BANDS, scene, grid)
    assert not image.valid[:2].any()
    assert (image.data[:, 2:4] == np.float32(0.4)).all()
    assert (image.data[:, 4:] == np.float32(0.1)).all()
    np.testing.assert_array_equal(image.classes == SceneClass.NO_DATA, ~image.valid)
    assert (fuse_radar_classes(slices, grid) == SceneClass.UNCLASSIFIED).all()
    assert (fuse_radar_classes([], grid) == SceneClass.NO_DATA).all()


def test_a_pass_that_does_not_reach_the_grid_is_an_error():
    one = layer(np.ones((8, 8)))
    with pytest.raises(NoOverlapError, match="pass: the scene does not cover any of the ground"):
        fuse_radar([{}], RADAR_BANDS, Scene("pass", "here"), one.grid)
    assert np.isnan(load_power(one, one.grid.translate_pix(500, 0))).all()


def test_the_sensor_of_a_scene_is_known_by_platform_or_level():
    assert Scene("a", "local", platform="Sentinel-1C").sensor == "s1"
    assert Scene("a", "local", level="RTC").sensor == "s1"
    assert Scene("a", "local", level="L1C").sensor == "s2"
    assert Scene("a", "local", platform="Landsat-9", level="RTC").sensor == "other"
    assert Scene("a", "local", platform="Sentinel-1C").credit.startswith("Contains modified Copernicus")


def test_a_query_is_for_surface_reflectance_unless_it_says_otherwise():
    site = Site.at("38.27, 126.5", radius_m=300)
    assert (
        SearchQuery(site, datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 2, 1, tzinfo=UTC)).level == "L2A"
    )
