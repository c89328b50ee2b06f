"""Sentinel Hub over the stand-in: the truth comes back, little is asked for, and refusals are understood."""

import logging
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from tests.world.faults import Fault, answers, drops, truncates
from tests.world.granules import across_zones, quick_scene, reprocessed, split, whole
from tests.world.sentinel_hub import quota_used_up, rate_limited
from tests.world.world import World, without_proxies

from changedet.bands import COMPARED_BANDS
from changedet.core.displacement import DisplacementField
from changedet.core.masking import usable_from_classes
from changedet.errors import (
    ChangedetError,
    CredentialsError,
    NoOverlapError,
    ProviderError,
    UsageError,
    exit_code,
)
from changedet.frame import displaced
from changedet.providers import sentinel_hub_requests
from changedet.providers.base import SearchQuery
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider
from changedet.providers.registry import open_provider
from changedet.providers.sentinel_hub import (
    DEPLOYMENTS,
    SentinelHubOptions,
    SentinelHubProvider,
    estimate_processing_units,
)
from changedet.providers.sentinel_hub_client import Credentials, find_credentials, retry_after_s
from changedet.providers.sentinel_hub_images import Fetch, KeptFetches
from changedet.providers.sentinel_hub_products import LEVEL_2A
from changedet.providers.sentinel_hub_requests import degree_boxes, fetch_grid, tiles
from changedet.providers.settings import ProviderSettings, read_provider_settings
from changedet.resample import resample
from changedet.scene import Scene
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
DAYS = (
    quick_scene(date(2021, 5, 21), baseline="03.00"),
    quick_scene(date(2023, 5, 16)),
    quick_scene(date(2023, 5, 21), seed=3),
)
START, END = datetime(2021, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
GRID = DAYS[0].grid


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    without_proxies(monkeypatch)
    for name in ("SH_PROFILE", "SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    # older versions of the library know the home alone
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    yield
    assert not (tmp_path / ".config" / "sentinelhub" / "config.toml").exists() or (tmp_path / "mine").exists()


@pytest.fixture
def world():
    with World(DAYS) as found:
        yield found


def provider(world, *, secret=None, most=None, **changes):
    service = world.sentinel_hub_service
    patience = {"retry_delay_s": 0.002, "max_retries": 2, "total_deadline_s": 20.0} | changes
    return SentinelHubProvider(
        ProviderSettings(url=world.sentinel_hub, **patience),
        SentinelHubOptions(
            max_processing_units=most,
            credentials=Credentials(service.client_id, secret or service.client_secret),
        ),
    )


def site(grid=GRID):
    west, south, east, north = grid.extent.to_crs("EPSG:4326").boundingbox.bbox
    return Site.from_bbox(west + 1e-5, south + 1e-5, east - 1e-5, north - 1e-5, name="here")


def query(**changes):
    return SearchQuery(**({"site": site(), "start": START, "end": END} | changes))


def scene_of(world, number=1):
    return next(s for s in provider(world).search(query()) if s.date_text == f"{DAYS[number].time:%Y-%m-%d}")


# --- search -----------------------------------------------------------------------------------------


def test_the_catalogue_gives_one_scene_for_each_acquisition(world):
    scenes = provider(world).search(query())
    assert [s.date_text for s in scenes] == ["2021-05-21", "2023-05-16", "2023-05-21"]
    first = scenes[0]
    assert (first.provider, first.level, first.tile) == ("sentinelhub", "L2A", "T52SBH")
    assert (first.processing_baseline, first.relative_orbit) == ("03.00", 3)
    assert first.platform in {"Sentinel-2A", "Sentinel-2B"}
    assert first.collection == "sentinel-2-l2a"
    assert first.coverage == pytest.approx(1)
    assert 0 < first.tile_cloud_share < 0.1
    assert set(first.assets) == {*COMPARED_BANDS, "SCL"}
    assert Scene.from_dict(first.to_dict()) == replace(first, time=first.time.replace(microsecond=0))


def test_pages_limits_clouds_and_periods_are_kept(world, monkeypatch):
    monkeypatch.setattr("changedet.providers.sentinel_hub._PAGE", 2)
    ask = provider(world)
    assert len(ask.search(query())) == 3
    assert len(world.requests("*/search")) == 2
    assert [s.date_text for s in ask.search(query(limit=1))] == ["2023-05-21"]
    assert ask.search(query(max_tile_cloud=0.01)) == []
    assert len(ask.search(query(start=DAYS[1].time, end=DAYS[1].time))) == 1
    assert ask.search(query(start=END, end=END + timedelta(days=9))) == []
    far = Site.at("12.0, 20.0", radius_m=300)
    assert ask.search(query(site=far)) == []


def test_a_split_pass_is_one_scene_and_a_reprocessed_one_comes_once():
    with World([*split(DAYS[1]), *reprocessed(DAYS[0])]) as world:
        ask = provider(world)
        old, both = ask.search(query())
        assert (old.processing_baseline, len(old.granules)) == ("05.10", 1)
        assert len(both.granules) == 2
        assert both.coverage == pytest.approx(1, abs=1e-3)
        assert ask.load(both, GRID, ("B04",)).valid.any()
        assert len(world.requests("*/process")) == 1


def test_half_a_pass_covers_half_the_site():
    with World([split(DAYS[1])[0]]) as world:
        ask = provider(world)
        (north,) = ask.search(query())
        assert north.coverage == pytest.approx(0.55, abs=0.04)
        image = ask.load(north, GRID)
    assert np.isfinite(image.data[:, :32]).all()
    assert np.isnan(image.data[:, -20:]).all()
    assert not image.valid[-20:].any()
    assert (image.classes[-20:] == 0).all()


@pytest.mark.parametrize(
    ("bounds", "boxes"),
    [
        ((10, 1, 12, 2), [(10, 1, 12, 2)]),
        ((179, 1, 181, 2), [(179, 1, 180, 2), (-180, 1, -179, 2)]),
        ((-181, 1, -179, 2), [(179, 1, 180, 2), (-180, 1, -179, 2)]),
        ((-180, 1, -179, 2), [(-180, 1, -179, 2)]),
    ],
)
def test_no_box_crosses_the_antimeridian(bounds, boxes):
    assert degree_boxes(bounds) == boxes


def test_a_site_across_the_antimeridian_is_searched_on_both_sides(world):
    assert provider(world).search(query(site=Site.at("10.0, 179.999", radius_m=900))) == []
    boxes = [entry.request.json()["bbox"] for entry in world.requests("*/search")]
    assert len(boxes) == 2
    assert all(box[0] < box[2] for box in boxes)


# --- pixels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_truth_comes_back(world, number):
    image = provider(world).load(scene_of(world, number), GRID)
    assert image.bands == COMPARED_BANDS
    for name in ("B02", "B03", "B04", "B08"):
        truth = np.maximum(world.truth(DAYS[number], name), 0)
        assert np.abs(image.band(name) - truth).max() <= 0.0005, name
    for name in ("B05", "B8A", "B12"):
        raster = world.pixels.truth(DAYS[number], name)
        truth = np.maximum(resample(raster.values.astype(np.float32), raster.grid, GRID), 0)
        assert np.abs(image.band(name) - truth).max() <= 0.0005, name
        assert np.abs(image.band(name) - world.truth(DAYS[number], name, GRID, "cubic")).max() < 0.03
    classes = world.truth(DAYS[number], "SCL").astype(np.uint8)
    assert (image.classes == classes).all()
    assert (image.valid == usable_from_classes(classes, dilation_px=6)).all()
    assert image.valid.any()
    assert not image.valid.all()
    assert image.classes_source == "SCL"


@pytest.mark.parametrize("number", [0, 1])
def test_other_providers_give_the_same_pixels(world, number):
    other = open_provider("earth-search", ProviderSettings(url=world.earth_search, retry_delay_s=0.002))
    mine = provider(world)
    moved = GRID.translate_pix(0.37, -0.61)
    for grid in (GRID, moved):
        first, second = (ask.load(ask.search(query())[number], grid, COMPARED_BANDS) for ask in (mine, other))
        assert first.bands == second.bands
        assert np.abs(first.data - second.data).max() <= 0.0005
        assert (first.valid == second.valid).all()
        assert (first.classes == second.classes).all()


def test_a_cache_keeps_what_was_rendered(world, tmp_path):
    cache = SceneCache(tmp_path / "cache")
    ask = CachedProvider(provider(world), cache)
    first = ask.load(ask.search(query())[1], GRID)
    again = CachedProvider(provider(world), cache)
    scene = again.search(query())[1]
    second = again.load(scene, GRID)
    np.testing.assert_array_equal(first.data, second.data)
    assert len(world.requests("*/process")) == 1
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    service = world.sentinel_hub_service
    for secret in (service.client_secret, service.client_id, *service._until):
        assert secret.encode() not in kept


def test_negative_reflectance_is_zero_and_observed():
    numbers = {name: plane.copy() for name, plane in DAYS[1].numbers.items()}
    numbers["B04"][40:, 40:] = 900
    with World([whole(replace(DAYS[1], numbers=numbers))]) as world:
        image = provider(world).load(scene_of(world), GRID)
    assert (image.band("B04")[42:, 42:] == 0).all()
    assert image.valid[42:, 42:].all()


def test_one_request_renders_an_acquisition_and_a_displaced_grid_asks_again_for_nothing(world):
    ask, scene = provider(world), scene_of(world)
    world.reset_log()
    image = ask.load(scene, GRID)
    (entry,) = world.requests("*/process")
    body = entry.request.json()
    span = body["input"]["data"][0]["dataFilter"]["timeRange"]
    assert datetime.fromisoformat(span["to"]) - datetime.fromisoformat(span["from"]) < timedelta(hours=1)
    assert body["input"]["data"][0]["processing"] == {"harmonizeValues": True}
    assert (body["output"]["width"], body["output"]["height"]) == (76, 76)
    assert all(value % 20 == 0 for value in body["input"]["bounds"]["bbox"])
    moved = ask.load(scene, GRID.translate_pix(0.4, -0.7), ("B04", "B08"))
    assert moved.bands == ("B04", "B08")
    assert np.isfinite(moved.data).all()
    assert np.abs(moved.data - image.select(("B04", "B08")).data).max() > 0
    assert (ask.classes(scene, GRID) == image.classes).all()
    assert len(world.requests("*/process")) == 1
    assert len(world.requests("*/token")) == 1


def test_a_composite_on_a_displaced_grid_is_not_paid_for_again(world):
    ask, scene = provider(world), scene_of(world)
    dates = [replace(scene, id=f"{scene.id}-{number}") for number in range(6)]
    for date_ in dates:
        ask.load(date_, GRID)
    spent = ask.processing_units
    for date_ in dates:
        ask.load(date_, GRID.translate_pix(0.3, 0.2))
    assert ask.processing_units == spent
    assert len(world.requests("*/process")) == 6


def fetch_of(scene_id, size_px=10):
    grid = GRID[:size_px, :size_px]
    planes = np.zeros((2, size_px, size_px), np.uint16)
    return Fetch(LEVEL_2A, scene_id, ("B04", "dataMask"), grid, planes)


def test_what_was_used_longest_ago_goes_first():
    kept, (first, second, third) = KeptFetches(1200), (fetch_of(name) for name in "abc")
    for fetch in (first, second, third):
        kept.keep(fetch)
        assert kept.find("a", ("B04",), GRID[:5, :5]) is first
    assert kept.find("c", ("B04",), GRID[:5, :5]) is third
    kept.keep(fetch_of("d"))
    assert kept.find("b", ("B04",), GRID[:5, :5]) is None
    assert kept.find("a", ("B04",), GRID[:5, :5]) is first
    assert kept.find("a", ("B08",), GRID[:5, :5]) is None
    assert kept.find("a", ("B04",), GRID) is None


def test_two_dates_are_kept_however_large():
    kept = KeptFetches(100)
    for name in "abc":
        kept.keep(fetch_of(name))
    assert [kept.find(name, ("B04",), GRID[:5, :5]) is not None for name in "abc"] == [False, True, True]


def test_classes_alone_are_cheap(world):
    ask, scene = provider(world), scene_of(world)
    found = ask.classes(scene, GRID.zoom_to(resolution=20))
    assert (found == DAYS[1].classes).all()
    assert ask.processing_units < 0.01
    (entry,) = world.requests("*/process")
    assert '"SCL", "dataMask"' in entry.request.json()["evalscript"]
    assert entry.request.json()["output"]["width"] == 34


def test_a_pass_across_two_zones_is_whole():
    with World(across_zones(DAYS[1])) as world:
        ask = provider(world)
        scenes = ask.search(query())
        image = ask.load(scenes[0], GRID)
        truth = world.truth(DAYS[1], "B04")
    assert {g.epsg for g in scenes[0].granules} == {32651, 32652}
    assert np.isfinite(image.data).all()
    assert np.abs(image.band("B04") - truth).mean() < 0.01


def test_large_sites_come_in_pieces(world, monkeypatch):
    ask, scene = provider(world), scene_of(world)
    once = ask.load(scene, GRID)
    monkeypatch.setattr(sentinel_hub_requests, "LARGEST_PX", 50)
    world.reset_log()
    again = provider(world).load(scene, GRID)
    # a set: on a busy machine a piece may be asked for twice
    outputs = [entry.request.json()["output"] for entry in world.requests("*/process")]
    assert {(o["width"], o["height"]) for o in outputs} == {(26, 26), (26, 50), (50, 26), (50, 50)}
    np.testing.assert_array_equal(once.data, again.data)


@given(st.integers(1, 6000), st.integers(1, 6000))
@settings(max_examples=30, deadline=None)
def test_pieces_are_small_enough_and_cover_all_once(height, width):
    box = (0, 0, width * 10, height * 10)
    pieces = list(tiles(GeoBox.from_bbox(box, "EPSG:32652", resolution=10, tight=True)))
    assert sum(tile.shape[0] * tile.shape[1] for _, tile in pieces) == height * width
    assert max(max(tile.shape) for _, tile in pieces) <= 2500
    for (rows, columns), tile in pieces:
        assert tile.boundingbox.left == columns.start * 10
        assert tile.boundingbox.top == (height - rows.start) * 10


def test_any_grid_is_covered_on_the_common_lattice():
    degrees = GeoBox.from_bbox((126.45, 38.25, 126.46, 38.26), "EPSG:4326", resolution=1e-4)
    for grid in (GRID, GRID.translate_pix(0.3, 0.9), degrees):
        box, inner = fetch_grid(grid, 40).boundingbox, grid.extent.to_crs("EPSG:32652").boundingbox
        assert all(value % 20 == 0 for value in box.bbox)
        assert box.left <= inner.left - 39
        assert box.top >= inner.top + 39
        assert box.right < inner.right + 80


def test_a_band_that_is_not_there_is_refused(world):
    with pytest.raises(UsageError, match="band B10 is not offered"):
        provider(world).load(scene_of(world), GRID, ("B04", "B10"))


def test_ground_without_data_is_no_overlap_and_a_broken_promise_is_an_error(world):
    scene = scene_of(world)
    elsewhere = GRID.translate_pix(2000, 0)
    with pytest.raises(NoOverlapError, match="does not cover"):
        provider(world).load(scene, elsewhere)
    later = tuple(replace(g, time=g.time + timedelta(days=1)) for g in scene.granules)
    with pytest.raises(ProviderError, match="no data where the footprint promises it"):
        provider(world).load(replace(scene, granules=later), GRID)


def test_the_other_cloud_layer_speaks_up_where_the_classes_see_nothing(world, monkeypatch):
    image = provider(world).load(scene_of(world), GRID)
    assert image.scene.notes == ()
    monkeypatch.setattr("tests.world.pixels._CLOUD_PERCENT", {4: 90})
    with World(DAYS) as other:
        noted = provider(other).load(scene_of(other), GRID)
    assert noted.scene.notes == (
        "100% of what the scene classification calls clear is cloud by the layer CLD",
    )
    assert (noted.valid == image.valid).all()


def test_a_field_moves_what_was_rendered_without_asking_again(world):
    ask, scene = provider(world), scene_of(world)
    still = ask.load(scene, GRID)
    world.reset_log()
    field = DisplacementField("affine", tuple(GRID.shape), (1.0, -1.0))
    moved = ask.load(scene, GRID, displacement=field)
    assert ask.info.displaces
    assert world.requests("*/process") == []
    # each resolution from its own pixels: those of 10 m land on others, those of 20 m between them
    fine, coarse = still.bands.index("B04"), still.bands.index("B12")
    np.testing.assert_allclose(moved.data[fine, 3:-3, 3:-3], still.data[fine, 2:-4, 4:-2], atol=1e-5)
    plain = ask.load(scene, displaced(GRID, 1.0, -1.0))
    assert np.abs(moved.data - plain.data)[coarse, 4:-4, 4:-4].max() < 0.02
    np.testing.assert_array_equal(moved.classes, plain.classes)


# --- cost -------------------------------------------------------------------------------------------


def test_estimates_agree_with_the_worked_examples():
    assert estimate_processing_units(500, 500, 8) == pytest.approx(2.54, abs=0.005)
    assert estimate_processing_units(500, 500, 2, float32=True, s1=True) == pytest.approx(3.18, abs=0.005)
    assert estimate_processing_units(2500, 2500, 8) == pytest.approx(63.6, abs=0.05)
    assert estimate_processing_units(1, 1, 1) == 0.005


def test_the_estimate_is_what_the_service_charges(world):
    ask, scene = provider(world), scene_of(world)
    expected = ask.estimate(scene, GRID)
    pieces = []
    ask.load(scene, GRID, on_received=pieces.append)
    assert ask.processing_units == pytest.approx(expected.processing_units)
    assert expected.processing_units == pytest.approx(76 * 76 / 512**2 * 12 / 3)
    assert expected.requests == 1
    assert sum(pieces) == round(expected.megabytes * 1e6)


def test_the_estimate_of_a_look_is_what_it_costs(world):
    ask, scene = provider(world), scene_of(world)
    ask.classes(scene, GRID)
    assert ask.processing_units == pytest.approx(ask.estimate(scene, GRID, ("SCL",)).processing_units)


def test_a_limit_holds_before_anything_is_sent(world):
    scene = scene_of(world)
    world.reset_log()
    ask = provider(world, most=0.1)
    ask.load(scene, GRID)
    with pytest.raises(
        UsageError, match=r"would take 0.176 processing units in all, and the limit is 0.1"
    ) as caught:
        ask.load(scene, GRID.translate_pix(30, 0))
    assert caught.value.details["max_processing_units"] == 0.1
    assert exit_code(caught.value) == 2
    assert len(world.requests("*/process")) == 1
    ask.load(scene, GRID)  # what is here already costs nothing


def test_the_limit_may_stand_in_the_environment(world):
    scene = scene_of(world)
    name = "CHANGEDET_PROVIDERS__SENTINELHUB__MAX_PROCESSING_UNITS"
    found = read_provider_settings("sentinelhub", {name: "0.01"})
    ask = provider(world, max_processing_units=found.max_processing_units)
    with pytest.raises(UsageError, match=r"the limit is 0.01; raise the limit"):
        ask.load(scene, GRID)
    assert world.requests("*/process") == []


# --- faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [answers("*/process", 503), answers("*/process", 429), drops("*/process"), truncates("*/process")],
)
def test_what_passes_is_asked_again(world, fault):
    scene = scene_of(world)
    fault = replace(fault, method=None)
    world.add_faults(fault.first(2))
    assert provider(world).load(scene, GRID).valid.any()
    assert len(world.requests("*/process")) == 3


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (answers("*/search", 502), r"/search: the service failed \(502\)"),
        (rate_limited("/sentinel-hub", "3"), r"limits the rate \(429\)"),
        (rate_limited("/sentinel-hub", None), r"limits the rate \(429\)"),
        (rate_limited("/sentinel-hub", "Wed, 21 Oct 2015 07:28:00 GMT"), r"limits the rate \(429\)"),
        (drops("*/search"), "the connection failed"),
        (answers("*/oauth/token", 500), r"/oauth/token: the service failed \(500\)"),
    ],
)
def test_what_does_not_pass_ends_as_an_error_of_the_provider(world, fault, text):
    world.add_faults(fault)
    with pytest.raises(ProviderError, match=text) as caught:
        provider(world).search(query())
    assert exit_code(caught.value) == 5
    assert len([e for e in world.requests() if e.fault]) == 3


def test_rate_limits_count_in_milliseconds_and_end_with_the_deadline(world):
    scene = scene_of(world)
    world.add_faults(rate_limited("/sentinel-hub", "60", "*/process").first(1))
    provider(world).load(scene, GRID, ("B04",))
    first, second = world.requests("*/process")
    assert 0.05 <= second.started_s - first.finished_s < 2
    world.clear_faults()
    world.reset_log()
    world.add_faults(rate_limited("/sentinel-hub", "3600000", "*/process"))
    with pytest.raises(ProviderError, match="asks to wait 3600 s"):
        provider(world).load(scene, GRID, ("B04",))
    assert len(world.requests("*/process")) == 1


def test_a_used_up_quota_is_told_and_not_asked_again(world):
    scene = scene_of(world)
    world.reset_log()
    world.add_faults(quota_used_up("/sentinel-hub"))
    with pytest.raises(CredentialsError, match="quota of the account is used up") as caught:
        provider(world).load(scene, GRID)
    assert exit_code(caught.value) == 4
    assert len(world.requests("*/process")) == 1


@pytest.mark.parametrize("status", [400, 404])
def test_other_refusals_are_errors_of_the_provider_at_once(world, status):
    scene = scene_of(world)
    world.reset_log()
    world.add_faults(answers("*/process", status))
    with pytest.raises(ProviderError, match=rf"refused the request \({status}: injected {status}\)"):
        provider(world).load(scene, GRID)
    assert len(world.requests("*/process")) == 1


def test_a_forbidden_door_is_not_called_a_quota(world):
    world.add_faults(answers("*/search", 403))
    with pytest.raises(CredentialsError, match=r"may not do this \(403"):
        provider(world).search(query())


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"context": {}, "features": [{}]}',
        b'{"context": {}, "features": [{"id": 1, "properties": {"datetime": "x"}}]}',
    ],
)
def test_an_odd_catalogue_is_an_error_of_the_provider(world, body):
    world.add_faults(Fault("*/search", "status", 200, body=body))
    with pytest.raises(ProviderError, match="not understood"):
        provider(world).search(query())


@pytest.mark.parametrize("body", [b"", b"II*\x00garbage", b"x" * 500])
def test_a_damaged_image_is_an_error_of_the_provider(world, body):
    scene = scene_of(world)
    world.add_faults(Fault("*/process", "status", 200, body=body))
    with pytest.raises(ProviderError, match="the image is damaged"):
        provider(world).load(scene, GRID)


# --- tokens and credentials -------------------------------------------------------------------------


def test_a_wrong_secret_is_a_matter_of_credentials(world):
    with pytest.raises(CredentialsError, match=r"id or its secret was refused \(401\)") as caught:
        provider(world, secret="a-wrong-secret").search(query())
    assert exit_code(caught.value) == 4
    assert len(world.requests("*/token")) == 1


def test_a_token_that_becomes_worthless_is_renewed(world):
    ask = provider(world)
    ask.search(query())
    world.sentinel_hub_service.revoke()
    assert len(ask.search(query())) == 3
    assert len(world.requests("*/token")) == 2


def test_tokens_that_live_shortly_are_used_for_half_their_life(world):
    world.sentinel_hub_service.token_life_s = 60
    ask = provider(world)
    for _ in range(3):
        assert len(ask.search(query())) == 3
    assert len(world.requests("*/token")) == 1


def test_a_token_that_never_works_ends(world):
    world.add_faults(answers("*/search", 401))
    with pytest.raises(CredentialsError, match=r"may not do this \(401"):
        provider(world).search(query())
    assert len(world.requests("*/search")) == 2


@pytest.mark.parametrize("body", [b"{}", b"no json", b"[1]"])
def test_a_token_service_without_tokens(world, body):
    world.add_faults(Fault("*/token", "status", 200, body=body))
    with pytest.raises(ProviderError, match="gave no token"):
        provider(world).search(query())


def test_the_secret_is_not_sent_over_an_open_connection(world):
    ask = provider(world, token_url="http://example.org/token")
    with pytest.raises(CredentialsError, match="open connection"):
        ask.search(query())
    assert world.requests() == []


def test_without_an_account_the_error_says_what_to_set(world):
    ask = SentinelHubProvider(ProviderSettings(url=world.sentinel_hub))
    assert "SH_CLIENT_ID" in ask.info.needs
    with pytest.raises(CredentialsError, match="set SH_CLIENT_ID and SH_CLIENT_SECRET"):
        ask.search(query())


def test_credentials_come_from_the_environment_or_a_profile(tmp_path, monkeypatch):
    found = find_credentials({"SH_CLIENT_ID": "me", "SH_CLIENT_SECRET": "quiet"})
    assert (found.client_id, found.client_secret) == ("me", "quiet")
    assert "quiet" not in repr(found)
    with pytest.raises(CredentialsError, match="set SH_CLIENT_SECRET too"):
        find_credentials({"SH_CLIENT_ID": "me"})
    with pytest.raises(CredentialsError, match="there is no profile work"):
        find_credentials({"SH_PROFILE": "work"})
    folder = tmp_path / ".config" / "sentinelhub"
    folder.mkdir(parents=True)
    (tmp_path / "mine").touch()
    (folder / "config.toml").write_text(
        '[work]\nsh_client_id = "id"\nsh_client_secret = "quiet"\nsh_base_url = "https://hub.example.org"\n'
    )
    found = find_credentials({"SH_PROFILE": "work"})
    assert (found.client_id, found.base_url) == ("id", "https://hub.example.org")
    with pytest.raises(CredentialsError, match="profile default-profile holds no credentials"):
        find_credentials({})
    (folder / "config.toml").write_text("sh_client_secret = quiet")
    with pytest.raises(CredentialsError, match="cannot be read") as caught:
        find_credentials({})
    assert "quiet" not in str(caught.value)


def test_whom_to_ask_is_settled_by_settings_then_deployment_then_profile(monkeypatch):
    def endpoints(given=None, **options):
        ask = SentinelHubProvider(given or ProviderSettings(), SentinelHubOptions(**options))
        return ask._addresses(options.get("credentials"))

    assert endpoints().base == DEPLOYMENTS["cdse"][0]
    assert endpoints().token == DEPLOYMENTS["cdse"][1]
    assert endpoints(deployment="commercial").token == DEPLOYMENTS["commercial"][1]
    profile = Credentials("a", "b", "https://hub.example.org/")
    assert endpoints(credentials=profile).process == "https://hub.example.org/api/v1/process"
    assert endpoints(credentials=profile).token == DEPLOYMENTS["commercial"][1]
    assert endpoints(credentials=profile, deployment="cdse").base == DEPLOYMENTS["cdse"][0]
    own = ProviderSettings(url="https://mirror.example.org", process_url="https://p.example.org/process")
    assert endpoints(own, credentials=profile).token == "https://mirror.example.org/oauth/token"
    assert endpoints(own).process == "https://p.example.org/process"
    assert endpoints(own).catalog == "https://mirror.example.org/api/v1/catalog/1.0.0"


def test_both_deployments_have_a_collection_of_their_own():
    for base, _ in DEPLOYMENTS.values():
        found = sentinel_hub_requests.collection(base)
        assert found.service_url == base
        assert found.api_id == "sentinel-2-l2a"
        assert sentinel_hub_requests.collection(base) is found


@given(
    st.sampled_from([400, 401, 403, 404, 409, 418, 429, 500, 503]),
    st.sampled_from(["*/token", "*/search"]),
    st.sampled_from(["message", "description", "code", "error"]),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_no_error_and_no_log_ever_holds_a_secret(status, path, key, nested):
    with World(DAYS[:1]) as world:
        service = world.sentinel_hub_service
        ask = provider(world, max_retries=0)
        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        root, level = logging.getLogger(), logging.getLogger().level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            ask.search(query())
            tokens = list(service._until)
            service.revoke()
            secrets = [service.client_secret, *tokens]
            text = f"client_secret={service.client_secret} Bearer {tokens[0]} id {service.client_id}"
            inner = f'{{"{key}": "{text}"}}'
            body = f'{{"error": {inner}}}' if nested else inner
            world.add_faults(Fault(path, "status", status, body=body.encode()))
            with pytest.raises(ChangedetError) as caught:
                ask.search(query())
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
    told = [str(caught.value), repr(caught.value.details), repr(ask), *records]
    cause = caught.value.__cause__ or caught.value.__context__
    told += [str(cause), repr(cause)]
    assert not [line for line in told for secret in secrets if secret in line]
    assert service.client_id not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "seconds"), [("1500", 1.5), ("0", 0), ("-5", 0), ("", 0), (None, 0), ("x", 0)]
)
def test_retry_after_is_read_in_milliseconds(header, seconds):
    assert retry_after_s(header) == seconds


def test_retry_after_may_be_a_date():
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after_s(f"{later:%a, %d %b %Y %H:%M:%S} GMT") == pytest.approx(90, abs=3)


@given(st.text())
def test_no_header_is_too_odd(text):
    assert retry_after_s(text) >= 0


def test_it_stands_among_the_providers_and_asks_nobody_before_it_is_used():
    found = open_provider("sentinelhub", ProviderSettings())
    assert isinstance(found, SentinelHubProvider)
    assert found.info.name == found.name == "sentinelhub"
    assert DEPLOYMENTS["cdse"][1] in found.info.endpoints


def test_a_collection_that_somebody_else_defined_is_taken():
    from sentinelhub import DataCollection

    base = "https://another.example.org"
    theirs = DataCollection.SENTINEL2_L2A.define_from("THEIR_OWN_NAME", service_url=base)
    assert sentinel_hub_requests.collection(base) is theirs
