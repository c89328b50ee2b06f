"""``changedet fetch``, and searching and fetching in Python, against the loopback world."""

import json
import re

import numpy as np
import pytest
from tests.providers.remote_world import small_world, three_days
from tests.world.faults import answers
from tests.world.world import without_proxies

import changedet as cd

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture(scope="module")
def days():
    return three_days()


@pytest.fixture
def world(days, workplace, monkeypatch):
    without_proxies(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    monkeypatch.setattr("changedet.frame.CONTEXT_WIDTH_M", 0.0)
    monkeypatch.setattr("changedet.frame.CONTEXT_MARGIN_M", 20.0)
    with small_world(days, granule_px=256) as found:
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", found.earth_search)
        yield found


@pytest.fixture
def box(days):
    west, south, east, north = days[0].grid.pad(-8, -8).extent.to_crs("EPSG:4326").boundingbox.bbox
    return west, south, east, north


@pytest.fixture
def fetch(cli, world, box):
    place = ("--bbox", ",".join(map(str, box)), "--name", "Harbour")
    return lambda *more: cli("fetch", *place, *more)


def test_scenes_come_into_the_cache_once(cli, fetch, world):
    assert fetch("--period", "2023-05") == 0
    assert cli.out.splitlines()[0] == "Harbour: 2 scene(s)"
    assert "Harbour: 2 scenes: 2 fetched, 0 kept from before" in cli.err
    world.reset_log()
    assert fetch("--period", "2023-05") == 0
    assert "2 scenes: 0 fetched, 2 kept from before" in cli.err
    assert not world.requests("*.tif")


def test_files_are_written_and_not_again(cli, fetch, workplace):
    assert fetch("--period", "2023-05", "--out", "scenes", "--bands", "B02,B03,B04,B08", "--json") == 0
    rows = json.loads(cli.out)["sites"][0]["scenes"]
    assert [row["written_before"] for row in rows] == [False, False]
    assert all((workplace / row["file"]).is_file() for row in rows)
    assert fetch("--period", "2023-05", "--out", "scenes", "--bands", "B02,B03,B04,B08") == 0
    assert "0 scenes, 2 file(s) were there already" in cli.err
    assert fetch("--period", "2023-05", "--out", "scenes", "--bands", "B04") == 2
    assert "is there already and is not this scene of this place" in cli.error


def test_the_clearest_one_by_name_or_by_look(cli, fetch):
    assert fetch("--period", "2023-05", "--clearest", "1", "--json") == 0
    (row,) = json.loads(cli.out)["sites"][0]["scenes"]
    assert fetch("--scene", row["id"], "--dry-run") == 0
    assert "Harbour: 1 scene(s), would take nothing, everything is kept from before" in cli.out


def test_a_dry_run_fetches_nothing(cli, fetch, world, workplace):
    assert fetch("--period", "2023-05", "--dry-run", "--out", "scenes", "--json") == 0
    found = json.loads(cli.out)
    assert found["dry_run"] is True
    assert found["sites"][0]["estimate"]["requests"] > 0
    assert not world.requests("*.tif")
    assert not (workplace / "scenes").exists()


def test_one_scene_that_fails_does_not_hold_up_the_others(cli, fetch, world, workplace):
    world.add_faults(answers("*20230516*/B04.tif", 404))
    fetched = ("--period", "2023-05", "--out", "scenes", "--bands", "B04")
    assert fetch(*fetched, "--json") == 5
    found = json.loads(cli.out)
    gone, there = found["scenes"]
    assert "1 of 2 scene(s) could not be fetched, the first: the catalogue lists" in found["error"]["message"]
    assert "the same command again goes on with those that are missing" in found["error"]["message"]
    assert "is not there (404)" in gone["reason"]
    assert (gone["file"], there["reason"]) == (None, "")
    assert (workplace / there["file"]).is_file()
    world.clear_faults()
    assert fetch(*fetched) == 0
    assert "1 scene: 1 fetched, 0 kept from before, 1 file(s) were there already" in cli.err


def test_after_three_in_a_row_it_is_the_service(cli, world, box, workplace, days, monkeypatch):
    monkeypatch.setattr("changedet.cli.fetch._MOST_FAILED", 1)
    world.add_faults(answers("*/B04.tif", 404))
    place = ("--bbox", ",".join(map(str, box)))
    assert cli("fetch", *place, "--period", "2021/2023", "--bands", "B04", "--json") == 5
    reasons = [row["reason"] for row in json.loads(cli.out)["scenes"]]
    assert "(404)" in reasons[0]
    assert reasons[1:] == ["not tried after 1 in a row failed"] * 2


def test_a_dry_run_does_not_look_for_the_clearest(cli, fetch, world):
    assert fetch("--period", "2023-05", "--clearest", "1", "--dry-run") == 0
    assert "these dates are provisional, since the run first looks at the site" in cli.out
    assert "about 39 request(s)" in cli.out
    assert not world.requests("*.tif")


def test_the_clearest_are_those_that_can_be_looked_at(cli, fetch, world):
    world.add_faults(answers("*20230516*/SCL.tif", 404))
    assert fetch("--period", "2023-05", "--clearest", "2", "--json") == 0
    (row,) = json.loads(cli.out)["sites"][0]["scenes"]
    assert row["time_utc"].startswith("2023-05-21")


def test_of_several_sites_one_may_fail(cli, world, box, workplace):
    middle = f"{(box[1] + box[3]) / 2}, {(box[0] + box[2]) / 2}"
    (workplace / "sites.csv").write_text(
        f'name,folder,at,radius\nPier,N,"{middle}",150m\nFar,,"10, 20",150m\n'
    )
    assert cli("fetch", "--sites", "sites.csv", "--period", "2023-05", "--out", "scenes") == 7
    assert len(list((workplace / "scenes" / "N" / "Pier").glob("*.tif"))) == 2
    assert re.search(r"^Far: earth-search has no scene of Far", cli.out, re.MULTILINE)
    assert "1 of 2 site(s) have no scenes" in cli.err
    assert cli("fetch", "--sites", "sites.csv", "--site", "Far", "--period", "2023-05") == 3


def test_a_bug_at_one_site_does_not_end_the_others(cli, world, box, workplace, monkeypatch):
    from changedet.access import fetching as fetching

    find = fetching.find_scenes

    def _find(site, *more):
        if site.name == "Odd":
            raise ZeroDivisionError("by zero")
        return find(site, *more)

    monkeypatch.setattr(fetching, "find_scenes", _find)
    middle = f"{(box[1] + box[3]) / 2}, {(box[0] + box[2]) / 2}"
    (workplace / "sites.csv").write_text(f'name,at,radius\nOdd,"10, 20",150m\nPier,"{middle}",150m\n')
    assert cli("fetch", "--sites", "sites.csv", "--period", "2023-05", "--json") == 7
    rows = json.loads(cli.out)["sites"]
    assert [(row["reason"], len(row["scenes"])) for row in rows] == [
        ("ZeroDivisionError: by zero", 0),
        ("", 2),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no period was given; give --period, or --scene"),
        (("--period", "2023-05", "--level", "L9"), "there is no level 'L9'"),
        (("--period", "2023-05", "--bands", "B99"), "B99"),
    ],
)
def test_what_was_meant_must_be_clear(cli, fetch, arguments, said):
    assert fetch(*arguments) in {2, 8}
    assert said in cli.error


def test_in_python_too(world, box, tmp_path):
    site = cd.Site.from_bbox(*box, name="Harbour")
    scenes = site.search("2023-05", max_tile_cloud=1.0)
    assert [scene.date_text for scene in scenes] == ["2023-05-16", "2023-05-21"]
    assert len(site.search("2023-05", max_tile_cloud=1.0, limit=1)) == 1
    pieces = []
    image = site.fetch(scenes[0], bands=("B04", "B08"), cache=tmp_path / "kept", on_received=pieces.append)
    assert image.bands == ("B04", "B08")
    assert image.grid == site.grid
    assert np.isfinite(image.data).all()
    assert len(pieces) == 3
    again = site.fetch(scenes[0], bands=("B04", "B08"), cache=tmp_path / "kept", on_received=pieces.append)
    assert len(pieces) == 3
    np.testing.assert_array_equal(again.data, image.data)


def test_nothing_found_in_python_is_an_error(world, box):
    with pytest.raises(cd.ChangedetError, match="has no scene of Harbour in 2019"):
        cd.Site.from_bbox(*box, name="Harbour").search("2019")
