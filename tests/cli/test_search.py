"""``changedet providers`` and ``changedet search`` against the loopback world."""

import json
from datetime import UTC, datetime

import pytest
from tests.providers.remote_world import small_world, three_days
from tests.world.faults import answers
from tests.world.world import without_proxies

from changedet.access.selection import Look
from changedet.cli.search import _lines, _Listed
from changedet.scene import Asset, Radiometry, Scene

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
PLACE = ("--at", "38.27, 126.5", "--radius", "300m")


@pytest.fixture(scope="module")
def days():
    return three_days()


@pytest.fixture
def world(days, workplace, monkeypatch):
    without_proxies(monkeypatch)
    with small_world(days, granule_px=256) as found:
        for name in ("earth-search", "planetary-computer", "stac"):
            prefix = f"CHANGEDET_PROVIDERS__{name.replace('-', '_').upper()}__"
            monkeypatch.setenv(f"{prefix}URL", getattr(found, name.replace("-", "_")))
            monkeypatch.setenv(f"{prefix}RETRY_DELAY_S", "0.01")
            monkeypatch.setenv(f"{prefix}MAX_RETRIES", "1")
        yield found


@pytest.fixture
def place(days):
    """The options for the ground that the world shows."""
    west, south, east, north = days[0].grid.extent.to_crs("EPSG:4326").boundingbox.bbox
    return ("--bbox", f"{west},{south},{east},{north}", "--name", "Harbour")


def test_providers_are_listed_with_what_they_need(cli):
    assert cli("providers") == 0
    assert cli.out.startswith("earth-search (default): Earth Search")
    assert "planetary-computer: " in cli.out
    assert cli("providers", "--json") == 0
    found = json.loads(cli.out)["providers"]
    assert found[0]["needs"] == "nothing"
    assert [one["name"] for one in found if one["default"]] == ["earth-search"]


def test_scenes_are_listed_in_a_table(cli, world, place):
    assert cli("search", *place, "--period", "2023-05") == 0
    head, first, second = cli.out.splitlines()
    heads = ["date", "sat", "orbit", "cloud", "cover", "baseline", "offset", "id"]
    assert head.split() == heads
    assert first.split()[:5] == ["2023-05-16T02:16Z", "S2A", "3", "6%", "100%"]
    assert first.split()[5:7] == ["05.09", "-0.1"]
    assert second.startswith("2023-05-21")
    assert "2 scene(s) of Harbour from earth-search, 2 of use" in cli.err
    assert world.requests("*.tif") == []


def test_where_the_offset_is_from_is_said_when_asked_for(cli, world, place):
    assert cli("search", *place, "--period", "2023-05", "-v") == 0
    first = cli.out.splitlines()[1]
    assert first.endswith("sentinel-2-c1-l2a, stated by the item: offset -0.1")


def listed_scene(identifier, **changes):
    time = datetime(2023, 5, 16, 9, 30, tzinfo=UTC)
    return Scene(identifier, "planetary-computer", time=time, coverage=1.0, **changes)


def test_no_line_is_too_long_for_a_terminal():
    scene = listed_scene(
        "S2A_MSIL2A_20230516T021611_R003_T52SBH_20230516T081503", level="L2A", platform="Sentinel-2A",
        relative_orbit=3, tile_cloud_share=0.06, sun_elevation_deg=67.0, processing_baseline="05.09",
        assets={"B04": Asset("https://host/B04.tif", radiometry=Radiometry(1e-4, -0.1))},
    )  # fmt: skip
    look = Look(scene, clear_share=0.9, cloud_share=0.1, snow_share=0.0, missing_share=0.0)
    head, plain = _lines([_Listed(scene, None, None, "")], verbose=False)
    assert plain.endswith(f"-0.1    {scene.id}")
    assert head.split()[-1] == "id"
    head, first, below = _lines([_Listed(scene, 44, look, "too cloudy over the site")], verbose=False)
    assert max(map(len, (head, plain, first, below))) < 120
    assert first.split()[-2:] == ["05.09", "-0.1"]
    assert below == f"  {scene.id}  too cloudy over the site"
    assert "id" not in head.split()
    assert "source of the offset" in _lines([_Listed(scene, 44, look, "")], verbose=True)[0]


def test_radar_has_no_columns_of_clouds():
    identifier = "S1A_IW_GRDH_1SDV_20230516T093012_20230516T093037_048555_05D6F9_rtc"
    scene = listed_scene(
        identifier, level="RTC", platform="Sentinel-1A", relative_orbit=61, orbit_state="descending",
        assets={"VV": Asset("https://host/vv.tif")},
    )  # fmt: skip
    head, row = _lines([_Listed(scene, None, None, "")], verbose=False)
    assert head.split() == ["date", "sat", "orbit", "cover", "id"]
    assert row.split() == ["2023-05-16T09:30Z", "S1A", "61", "100%", identifier]


def test_json_is_a_collection_of_features_that_can_be_read_again(cli, world, place):
    code = cli("search", *place, "--period", "2021/2023", "--provider", "planetary-computer", "--json")
    assert code == 0
    found = json.loads(cli.out)
    assert found["type"] == "FeatureCollection"
    assert found["site"]["name"] == "Harbour"
    assert [f["properties"]["processing_baseline"] for f in found["features"]] == ["03.00", "05.09", "05.09"]
    assert {f["geometry"]["type"] for f in found["features"]} == {"Polygon"}
    scene = Scene.from_dict(found["features"][1]["properties"])
    assert scene.granules[0].assets["B04"].radiometry.offset == -0.1
    assert "sig=" not in cli.out
    assert cli.err == ""


def test_a_limit_leaves_the_newest(cli, world, place):
    assert cli("search", *place, "--period", "..", "--provider", "stac") == 2
    assert cli("search", *place, "--period", "2021/..", "--provider", "stac", "--limit", "1") == 0
    assert cli.out.splitlines()[1].startswith("2023-05-21")


def test_nothing_found_is_said_with_what_to_try(cli, world, place):
    assert cli("search", *place, "--period", "2019") == 3
    assert "earth-search has no scene of Harbour in 2019; choose a longer period" in cli.error


def test_why_a_scene_is_of_no_use_is_said(cli, world, place):
    assert cli("search", *place, "--period", "2023-05", "--max-tile-cloud", "0.01", "--json") == 3
    found = json.loads(cli.out)
    assert found["error"]["exit_code"] == 3
    assert {f["properties"]["rejected"] for f in found["features"]} == {"too cloudy over the tile"}
    assert cli("search", *place, "--period", "2023-05", "--max-tile-cloud", "0.01") == 3
    assert cli.out.count("too cloudy over the tile") == 2
    assert "none of 2 scene(s) of Harbour from earth-search is of use (too cloudy over the tile)" in cli.err


def test_the_partner_date_shows_the_season_gap(cli, world, place):
    more = ("--near", "2022-07-10", "--max-season-gap", "52", "--json")
    assert cli("search", *place, "--period", "2023-05", *more) == 0
    features = [f["properties"] for f in json.loads(cli.out)["features"]]
    assert [f["season_gap_days"] for f in features] == [55, 50]
    assert [f["rejected"] for f in features] == ["season gap", None]
    assert cli("search", *place, "--period", "2023-05", "--near", "soon") == 2
    assert "not a period" in cli.error


def test_looking_at_the_site_reads_classifications_only(cli, world, place):
    assert cli("search", *place, "--period", "2023-05", "--look", "--min-clear", "0", "--json") == 0
    features = [f["properties"] for f in json.loads(cli.out)["features"]]
    assert all(0 <= f["over_the_site"]["clear_share"] <= 1 for f in features)
    asked = {entry.request.path.rsplit("/", 1)[-1].lower() for entry in world.requests("*.tif")}
    assert asked
    assert all("scl" in name for name in asked)
    assert cli("search", *place, "--period", "2023-05", "--look", "--min-clear", "1") in {0, 3}
    assert "clear" in cli.out.splitlines()[0].split()


def test_a_date_that_cannot_be_looked_at_is_listed_with_the_reason(cli, world, place):
    world.add_faults(answers("*20230516*/SCL.tif", 404))
    assert cli("search", *place, "--period", "2023-05", "--look", "--min-clear", "0", "--json") == 0
    gone, there = [f["properties"] for f in json.loads(cli.out)["features"]]
    assert gone["rejected"] == ("cannot be looked at: the catalogue lists a file that is not there (404)")
    assert gone["over_the_site"] is None
    assert there["rejected"] is None
    assert there["over_the_site"]["clear_share"] > 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--sensor", "s3"), "there is no sensor 's3'; use s2 or s1"),
        (("--level", "L3"), "there is no level 'L3'; use L2A or L1C"),
        (("--sensor", "s1"), "it has no Sentinel-1"),
    ],
)
def test_products_that_are_not_there_are_refused(cli, world, place, option, said):
    assert cli("search", *place, "--period", "2023-05", *option) == 2
    assert said in cli.error


def test_a_service_that_is_down_is_a_matter_of_the_provider(cli, world, place):
    world.add_faults(answers("*/search", 503))
    assert cli("search", *place, "--period", "2023-05") == 5
    assert "the search failed (HTTP 503); try again later" in cli.error
    assert "changedet doctor" in cli.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--period", "2023-05"), "no place was given"),
        ((*PLACE, "--period", "May"), "not a period"),
        ((*PLACE, "--period", "2023", "--provider", "nobody"), "there is no provider 'nobody'"),
        ((*PLACE, "--period", "2023", "--provider", "stac"), "the provider stac has no catalogue"),
        (PLACE, "Missing option '--period'"),
    ],
)
def test_what_was_meant_must_be_clear(cli, arguments, said):
    assert cli("search", *arguments) == 2
    assert said in cli.error
