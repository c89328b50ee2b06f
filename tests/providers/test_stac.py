"""Searching and loading over the simulated services: one truth, four dialects, and what can go wrong."""

import logging
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from tests.providers.remote_world import provider_of, query_of, site_of, small_world, three_days
from tests.world.faults import answers, delays, drops, trickles, truncates
from tests.world.granules import across_zones, quick_scene, reprocessed, split, whole
from tests.world.world import without_proxies

from changedet.bands import COMPARED_BANDS
from changedet.errors import (
    MissingBandError,
    NoUsableImageryError,
    ProviderError,
    UsageError,
)
from changedet.providers.base import SearchQuery
from changedet.scene import Scene

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
NAMES = ("earth-search", "planetary-computer", "stac")
SECRETS = ("sig=", "se=", "sv=")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture(scope="module")
def days():
    return three_days()


@pytest.fixture
def world(days):
    with small_world(days) as found:
        yield found


# ------------------------------------------------------------------------------------- what is found and read


@pytest.mark.parametrize("name", NAMES)
def test_every_dialect_gives_the_truth(world, days, name):
    provider = provider_of(world, name)
    scenes = provider.search(query_of(days[0]))
    assert [scene.time.date() for scene in scenes] == [day.time.date() for day in days]
    for scene, day in zip(scenes, days, strict=True):
        image = provider.load(scene, day.grid)
        assert image.bands == COMPARED_BANDS
        for band in ("B02", "B04", "B08", "B12"):
            truth = world.truth(day, band, day.grid)
            aligned = band not in {"B12"}
            if aligned:
                assert np.abs(image.band(band) - truth).max() < 5e-4
        assert image.classes_source == "SCL"
        assert 0.5 < image.valid.mean() < 1
        np.testing.assert_array_equal(provider.classes(scene, day.grid), image.classes)


def test_all_dialects_give_the_same_reflectance_and_the_same_valid(days):
    # the older collection of Earth Search is asked where the first lacks a band
    gaps = [whole(day) for day in days]
    with small_world(gaps) as world:
        images = {n: [] for n in (*NAMES, "older")}
        for name in NAMES:
            provider = provider_of(world, name)
            images[name] = [provider.load(s, days[0].grid) for s in provider.search(query_of(days[0]))]
        older = _only(provider_of(world, "earth-search"), "sentinel-2-l2a")
        images["older"] = [older.load(s, days[0].grid) for s in older.search(query_of(days[0]))]
    for others in zip(*images.values(), strict=True):
        for other in others[1:]:
            assert np.nanmax(np.abs(other.data - others[0].data)) < 5e-4
            np.testing.assert_array_equal(other.valid, others[0].valid)
    assert images["older"][1].scene.assets["B04"].radiometry.offset == 0.0
    assert images["earth-search"][1].scene.assets["B04"].radiometry.offset == -0.1


def _only(provider, collection):
    return replace(provider, rules={collection: provider.rules[collection]})


def test_what_a_scene_says_of_itself(world, days):
    for name in NAMES:
        first, second, _ = provider_of(world, name).search(query_of(days[0]))
        assert (first.platform, second.platform) == ("Sentinel-2B", "Sentinel-2A")
        assert (second.relative_orbit, second.tile, second.level) == (3, "T52SBH", "L2A")
        assert second.processing_baseline == "05.09"
        assert second.coverage == pytest.approx(1.0)
        assert second.tile_cloud_share == pytest.approx(0.0625)
        assert second.granules[0].datastrip_start == "20230516T022108"
        assert second.granules[0].epsg == 32652
        assert 50 < second.sun_elevation_deg < 80
        assert all("?" not in a.href for g in second.granules for a in g.assets.values())
        again = Scene.from_dict(second.to_dict())
        assert again.granules == second.granules
        assert (again.coverage, again.orbit_state) == (second.coverage, second.orbit_state)


def test_a_scene_that_was_written_down_can_be_loaded(world, days):
    provider = provider_of(world, "planetary-computer")
    scene = provider.search(query_of(days[0]))[1]
    image = provider.load(Scene.from_dict(scene.to_dict()), days[0].grid, ("B04", "B08"))
    assert image.bands == ("B04", "B08")
    assert np.abs(image.band("B04") - world.truth(days[1], "B04", days[0].grid)).max() < 5e-4


def test_period_cloud_limit_and_number_are_kept(world, days):
    provider = provider_of(world, "stac")
    spring = query_of(days[0], start=datetime(2023, 5, 16, tzinfo=UTC), end=datetime(2023, 5, 20, tzinfo=UTC))
    assert [s.date_text for s in provider.search(spring)] == ["2023-05-16"]
    assert provider.search(query_of(days[0], max_tile_cloud=0.05)) == []
    assert [s.date_text for s in provider.search(query_of(days[0], limit=1))] == ["2023-05-21"]
    with pytest.raises(UsageError, match="no Sentinel-1; choose planetary-computer or sentinelhub"):
        provider_of(world, "earth-search").search(query_of(days[0], sensor="s1"))


def test_reads_run_at_the_same_time_and_no_more_than_allowed(days):
    with small_world(days, latency_s=0.02) as world:
        provider = provider_of(world, "earth-search", max_parallel=5)
        scene = provider.search(query_of(days[0]))[0]
        world.reset_log()
        provider.load(scene, days[0].grid)
        # a client may have its answer a moment before the server counts the request out
        assert 4 <= world.max_in_flight < len(scene.assets)


# ------------------------------------------------------------------------------------------------- granules


@pytest.mark.parametrize("name", NAMES)
def test_a_split_acquisition_is_one_scene_of_two_granules(days, name):
    with small_world(split(days[1])) as world:
        provider = provider_of(world, name)
        (scene,) = provider.search(query_of(days[1]))
        assert len(scene.granules) == 2
        assert scene.coverage == pytest.approx(1, abs=1e-3)
        image = provider.load(scene, days[1].grid)
        assert np.isfinite(image.data).all()
        assert np.abs(image.band("B04") - world.truth(days[1], "B04", days[1].grid)).max() < 5e-4


@pytest.mark.parametrize("name", NAMES)
def test_of_two_processings_the_newer_is_kept(days, name):
    with small_world(reprocessed(days[0])) as world:
        provider = provider_of(world, name)
        (scene,) = provider.search(query_of(days[0]))
        assert [granule.baseline for granule in scene.granules] == ["05.10"]
        image = provider.load(scene, days[0].grid)
        assert np.abs(image.band("B03") - world.truth(days[0], "B03", days[0].grid)).max() < 5e-4


def test_the_zone_of_the_site_comes_first_and_the_neighbour_fills_up(days):
    with small_world(across_zones(days[1])) as world:
        provider = provider_of(world, "earth-search")
        (scene,) = provider.search(query_of(days[1]))
        assert [granule.epsg for granule in scene.granules] == [32652, 32651]
        image = provider.load(scene, days[1].grid)
        off = np.abs(image.band("B04") - world.truth(days[1], "B04", days[1].grid))
        assert np.isfinite(off).mean() > 0.97
        assert off[:, 32:].max() < 5e-4
        assert np.nanmean(off) < 0.006


def test_an_item_without_a_needed_band_is_left_to_the_older_collection_or_refused(days):
    lame = whole(days[1], lacks=("B08",))
    with small_world([lame, days[2]]) as world:
        for name in NAMES:
            assert [s.date_text for s in provider_of(world, name).search(query_of(days[1]))] == ["2023-05-21"]
    with small_world([lame]) as world, pytest.raises(NoUsableImageryError, match="it lacks B08"):
        provider_of(world, "stac").search(query_of(days[1]))


def test_the_older_collection_fills_the_gaps_of_the_first(days):
    with small_world(days) as world:
        gone = next(i for i in world.items("earth-search") if i["collection"] == "sentinel-2-c1-l2a")
        del gone["assets"]["nir"]
        world.publish("earth-search")
        provider = provider_of(world, "earth-search")
        scenes = provider.search(query_of(days[0]))
        collections = [scene.collection for scene in scenes]
        assert sorted(collections) == ["sentinel-2-c1-l2a", "sentinel-2-c1-l2a", "sentinel-2-l2a"]
        for scene, day in zip(scenes, days, strict=True):
            image = provider.load(scene, day.grid)
            assert np.abs(image.band("B04") - world.truth(day, "B04", day.grid)).max() < 5e-4


def test_a_flag_that_errs_is_decided_by_the_pixels(days):
    with small_world([whole(days[1], offset_flag=False)]) as world:
        provider = _only(provider_of(world, "earth-search"), "sentinel-2-l2a")
        (scene,) = provider.search(query_of(days[1]))
        assert any("undecided" in note for note in scene.notes)
        image = provider.load(scene, days[1].grid)
        assert np.abs(image.band("B04") - world.truth(days[1], "B04", days[1].grid)).max() < 5e-4


def test_bright_ground_leaves_it_undecided_and_is_refused():
    scene = quick_scene(date(2023, 5, 16))
    bright = replace(scene, numbers={k: v + np.uint16(1200) for k, v in scene.numbers.items()})
    with small_world([whole(bright, offset_flag=False)]) as world:
        provider = _only(provider_of(world, "earth-search"), "sentinel-2-l2a")
        (found,) = provider.search(query_of(bright))
        with pytest.raises(ProviderError, match="do not tell whether the radiometric offset was applied"):
            provider.load(found, bright.grid)


def test_bands_that_are_not_there_are_named(world, days):
    provider = provider_of(world, "stac")
    scene = provider.search(query_of(days[0]))[0]
    with pytest.raises(MissingBandError, match="the catalogue has no B10") as caught:
        provider.load(scene, days[0].grid, ("B04", "B10"))
    assert caught.value.todo.startswith("choose among B")
    assert {"B04", "B8A"} <= set(caught.value.todo.removeprefix("choose among ").split(", "))
    assert "SCL" not in caught.value.todo
    with pytest.raises(UsageError, match="names no granules"):
        provider.load(Scene("x", "stac"), days[0].grid)


# ----------------------------------------------------------------------------------------- search and faults


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", [answers("*/search", 503), answers("*/search", 429), drops("*/search")])
def test_a_search_that_fails_twice_is_asked_three_times(world, days, name, fault):
    world.add_faults(fault.first(2))
    assert len(provider_of(world, name).search(query_of(days[0]))) == 3
    assert len(world.requests("*/search", "POST")) == 3


@pytest.mark.parametrize("fault", [answers("*/search", 503), drops("*/search")])
def test_a_search_that_keeps_failing_is_given_up(world, days, fault):
    world.add_faults(fault)
    with pytest.raises(ProviderError, match=r"the search failed .*try again later"):
        provider_of(world, "stac").search(query_of(days[0]))
    assert len(world.requests("*/search", "POST")) == 3


def test_throttling_by_403_is_waited_out_at_earth_search_alone(world, days):
    world.add_faults(answers("*/search", 403).first(1))
    assert len(provider_of(world, "earth-search").search(query_of(days[0]))) == 3
    world.add_faults(answers("*/search", 403).first(1))
    with pytest.raises(ProviderError, match="HTTP 403"):
        provider_of(world, "stac").search(query_of(days[0]))


def test_a_server_that_asks_to_wait_too_long_is_given_up_at_once(world, days):
    world.add_faults(answers("*/search", 429, {"retry-after": "600"}))
    with pytest.raises(ProviderError, match="no answer within 2 s"):
        provider_of(world, "stac", total_deadline_s=2.0).search(query_of(days[0]))
    assert len(world.requests("*/search", "POST")) == 1


def test_a_next_page_without_anything_ends_the_search(days):
    with small_world(days, empty_last_page=True) as world:
        for name in NAMES:
            world.reset_log()
            assert len(provider_of(world, name).search(query_of(days[0]))) == 3
            assert len(world.requests("*/search", "POST")) == 2


def test_a_late_search_ends(world, days):
    world.add_faults(delays("*/search", 1.0))
    with pytest.raises(ProviderError, match="timed out"):
        provider_of(world, "stac", read_timeout_s=0.1, max_retries=0).search(query_of(days[0]))


def test_an_answer_that_is_no_stac_is_named(world, days):
    world.add_faults(answers("/stac", 200))
    with pytest.raises(ProviderError, match="the answer is not STAC"):
        provider_of(world, "stac").search(query_of(days[0]))


def test_across_the_antimeridian_the_site_is_asked_for_in_two_parts(world):
    from changedet.providers.item_search import _outline
    from changedet.site import Site

    site = Site.at("-17, 179.99", radius_m=5000)
    found = _outline(SearchQuery(site, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)))
    assert found["type"] == "MultiPolygon"
    longitudes = [x for part in found["coordinates"] for x, _ in part[0]]
    assert -180 <= min(longitudes) < -179 < 179 < max(longitudes) <= 180


# ------------------------------------------------------------------------------------------ pixels and faults


def loaded(world, days, name="stac", bands=("B04",), **settings):
    provider = provider_of(world, name, **settings)
    scene = provider.search(query_of(days[1], start=datetime(2023, 5, 15, tzinfo=UTC)))[0]
    return provider.load(scene, days[1].grid, bands)


def test_503_of_pixels_is_waited_out(world, days):
    world.add_faults(answers("*_B04_10m.tif", 503).first(4))
    image = loaded(world, days, max_retries=4, retry_delay_s=0.02)
    assert np.abs(image.band("B04") - world.truth(days[1], "B04", days[1].grid)).max() < 5e-4


def test_403_then_good(world, days):
    world.add_faults(answers("*_B04_10m.tif", 403).first(1))
    assert loaded(world, days).valid.any()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answers("*_B04_10m.tif", 404), "lists a file that is not there"),
        (answers("*_B04_10m.tif", 403), "could not be read \\(HTTP 403"),
        (truncates("*_B04_10m.tif", keep_bytes=60), "could not be read"),
    ],
)
def test_pixels_that_do_not_come_are_an_error_and_never_a_gap(world, days, fault, said):
    world.add_faults(fault)
    with pytest.raises(ProviderError, match=said):
        loaded(world, days)
    assert len(world.requests("*_B04_10m.tif")) >= 2


def test_slow_pixels_come_in_the_end(world, days):
    world.add_faults(trickles("*_B04_10m.tif", 0.3).first(1))
    assert loaded(world, days).valid.any()


def test_a_file_without_data_where_the_footprint_promises_some(days):
    north, _ = split(days[1])
    with small_world([north]) as world:
        for item in world.items("stac"):
            grid_north = site_of(days[1]).geometry
            item["geometry"] = grid_north.__geo_interface__
        world.publish("stac")
        provider = provider_of(world, "stac")
        (scene,) = provider.search(query_of(days[1]))
        south = days[1].grid[40:, :]
        with pytest.raises(ProviderError, match="no data where its footprint promises some"):
            provider.load(scene, south)


# ---------------------------------------------------------------------------------------------- signatures


def test_one_token_opens_all_files_of_a_container(world, days):
    loaded(world, days, "planetary-computer", None)
    assert len(world.requests("*/sas/v1/token/*")) == 1


def test_a_token_that_ends_in_mid_run_is_replaced(world, days):
    provider = provider_of(world, "planetary-computer")
    first, second, _ = provider.search(query_of(days[0]))
    provider.load(first, days[0].grid, ("B04",))
    world.signatures.expire()
    image = provider.load(second, days[0].grid, ("B04",))
    assert np.abs(image.band("B04") - world.truth(days[1], "B04", days[0].grid)).max() < 5e-4
    assert 2 <= len(world.requests("*/sas/v1/token/*")) <= 3


def test_a_token_with_little_left_is_renewed_before_use(days):
    with small_world(days, signature_life_s=120) as world:
        loaded(world, days, "planetary-computer")
        assert len(world.requests("*/sas/v1/token/*")) >= 2


def test_a_refused_signature_is_said_without_the_signature(world, days, caplog):
    caplog.set_level(logging.DEBUG)
    world.add_faults(answers("*_B04_10m.tif", 403))
    with pytest.raises(ProviderError, match="refuses a new signature") as caught:
        loaded(world, days, "planetary-computer")
    assert caught.value.__cause__ is None
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(("tests", "urllib3"))]
    for text in (str(caught.value), repr(caught.value), *ours):
        assert not any(secret in text for secret in SECRETS), text


def test_a_signing_service_that_fails(world, days):
    world.add_faults(answers("*/sas/v1/token/*", 503))
    with pytest.raises(ProviderError, match="a signature could not be had"):
        loaded(world, days, "planetary-computer")
