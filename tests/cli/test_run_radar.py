"""``changedet run --sensor s1`` and ``both``: from archives on this machine to run folders, and again."""

import json
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.radar_world import AFTER, BUILT, both_periods, clouded, radar_passes
from tests.world.world import Options, World, without_proxies

from changedet.investigation import AccessOptions, Investigation
from changedet.output.folder import open_run
from changedet.radar.types import RadarSettings, SensorChoice
from changedet.result import State
from changedet.samples import simulate_pair
from changedet.simulator.scene import SceneSettings
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

PLACE = ("--at", "38.2700, 126.4998", "--radius", "700m", "--name", "Pier", "--min-clear", "0.5")
PERIODS = ("2021-05/2021-07", "2023-05/2023-07")
WHEN = ("--before", PERIODS[0], "--after", PERIODS[1])
SITE = Site.at("38.2700, 126.4998", radius_m=700, name="Pier")
#: Cloud over what is built, with room round it: rows and columns of 20 m.
OVER_IT = np.s_[38:58, 34:54]


@pytest.fixture(scope="module")
def pair():
    return simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0), clouds=False))


def passes_of(optical):
    """Two tracks, another satellite that lies apart, and a track of one period only."""
    return [
        *both_periods(optical, (4, 2)),
        *radar_passes(optical, AFTER + timedelta(days=6), 2, built=BUILT, unit="C", shift_px=(1, 2)),
        *both_periods(optical, (3, 3), minutes=700, orbit=54, orbit_state="ascending", seed=3),
        *radar_passes(optical, AFTER + timedelta(minutes=90), 2, orbit=31),
    ]


def environment(patch, world):
    without_proxies(patch)
    service = world.sentinel_hub_service
    said = {
        "CHANGEDET_PROVIDERS__EARTH_SEARCH__URL": world.earth_search,
        "CHANGEDET_PROVIDERS__PLANETARY_COMPUTER__URL": world.planetary_computer,
        "CHANGEDET_PROVIDERS__PLANETARY_COMPUTER__SIGNING_URL": world.signing,
        "CHANGEDET_PROVIDERS__SENTINELHUB__URL": world.sentinel_hub,
        "CHANGEDET_PROVIDERS__SENTINELHUB__TOKEN_URL": f"{world.sentinel_hub}/oauth/token",
        "SH_CLIENT_ID": service.client_id,
        "SH_CLIENT_SECRET": service.client_secret,
    }
    for name, value in said.items():
        patch.setenv(name, value)


@pytest.fixture(scope="module")
def running(pair):
    """What is built lies under cloud on the optical date after."""
    scenes = [pair.before, clouded(pair.after, OVER_IT), *passes_of(pair.before)]
    with World(scenes, options=Options(granule_px=256)) as found:
        yield found


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("radar")


@pytest.fixture
def world(running, workplace, shelf, monkeypatch, no_plates):
    environment(monkeypatch, running)
    monkeypatch.setenv("XDG_CACHE_HOME", str(shelf / "cache"))
    monkeypatch.setattr("changedet.frame.CONTEXT_WIDTH_M", 2200.0)
    monkeypatch.setattr("changedet.frame.CONTEXT_MARGIN_M", 300.0)
    yield running
    running.clear_faults()


@pytest.fixture
def run(cli, world, shelf):
    """Run the command once for the module; the folder and what was said on stderr."""

    def _run(name, *arguments):
        folder, said = shelf / name, shelf / f"{name}.txt"
        if not folder.exists():
            assert cli("run", *PLACE, *WHEN, *arguments, "--out", str(folder)) == 0, cli.err
            said.write_text(cli.err)
        return folder, said.read_text()

    return _run


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def state_of_built(result, pair):
    """State at the middle of what was built, by its true place."""
    rows, columns = BUILT
    x, y = pair.before.grid.transform * ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
    column, row = (int(v) for v in ~result.grid.transform * (x, y))
    return result.state[row, column]


def test_radar_alone_finds_what_was_built(run, pair):
    folder, said = run("s1", "--sensor", "s1", "--explain")
    result = open_run(folder)
    assert state_of_built(result, pair) == State.CHANGED
    assert set(result.objects["sensor"]) == {"radar"}
    assert len(result.objects) == 1
    assert result.objects["area_m2"].iloc[0] == pytest.approx(14400, rel=0.4)
    assert result.before.bands == ("VV", "VH")
    assert "Radar comes from planetary-computer, since earth-search has none that can be compared." in said
    assert "Radar left out: descending 31, with 0 pass(es) before and 2 after" in said
    assert re.search(r"^14 scenes: \d+ fetched, \d+ kept from before$", said, re.MULTILINE)


def test_the_record_holds_passes_tracks_provider_and_settings(run):
    record = record_of(run("s1", "--sensor", "s1", "--explain")[0])
    asked = record["inputs"]["radar"]
    assert asked["provider"] == "planetary-computer"
    assert [(one["relative_orbit"], len(one["before"]), len(one["after"])) for one in asked["tracks"]] == [
        (127, 4, 4), (54, 3, 3),
    ]  # fmt: skip
    assert asked["settings"]["most_dates"] == 12
    assert asked["tracks"][0]["before"][0]["granules"][0]["id"].startswith("S1A_IW_GRDH_1SDV_20210502T212304")
    assert "sig=" not in json.dumps(record)
    assert len(record["radar"]["tracks"]) == 2
    assert record["pair"]["reason"].startswith("Radar comes from")


def test_a_satellite_that_lies_apart_is_brought_back(run):
    first = open_run(run("s1", "--sensor", "s1", "--explain")[0]).radar.tracks[0]
    assert first.platform_offsets_px["Sentinel-1C"] == pytest.approx((1, 2), abs=0.35)


@pytest.mark.parametrize("sensor", ["s1", "both"])
def test_a_run_with_radar_can_be_made_again_from_its_record(run, cli, world, sensor):
    folder, _ = run(sensor, "--sensor", sensor, "--explain")
    world.reset_log()
    assert cli("verify", "--rerun", str(folder)) == 0, cli.err
    assert not world.requests("*.tif*")


def test_under_cloud_radar_alone_flags_and_says_so(run, pair):
    folder, said = run("both", "--sensor", "both", "--explain")
    result = open_run(folder)
    assert state_of_built(result, pair) == State.CHANGED
    (row,) = result.objects[result.objects["sensor"] == "radar only"].itertuples()
    assert row.radar_db > 4
    assert set(result.objects["sensor"]) >= {"optical only", "radar only"}
    assert result.before.bands[0] == "B02"
    assert re.search(r"earth-search: 2 scenes: .*; planetary-computer: 14 scenes: ", said)
    assert said.index("Before: 2021-05-21") < said.index("Radar comes from") < said.index("Radar, ")


def test_what_was_fetched_and_chosen_for_one_sensor_serves_the_next_run(run, cli, world, workplace):
    run("both", "--sensor", "both", "--explain")
    world.reset_log()
    assert cli("run", *PLACE, *WHEN, "--sensor", "both", "--out", "again") == 0
    assert not world.requests()
    assert "the dates were chosen on" in cli.err


def test_with_nothing_but_cloud_radar_stands_alone_and_says_why(cli, world, pair, shelf, monkeypatch):
    scenes = [pair.before, clouded(pair.after), *passes_of(pair.before)]
    with World(scenes, options=Options(granule_px=256)) as other:
        environment(monkeypatch, other)
        assert cli("run", *PLACE, *WHEN, "--sensor", "both", "--out", "run", "--exit-code") == 1, cli.err
        result = open_run("run")
        stands_alone = "optical images could not be used, radar stands alone: all 1 scene(s)"
        assert result.warnings[0].startswith(stands_alone)
        assert state_of_built(result, pair) == State.CHANGED
        assert result.before.bands == ("VV", "VH")
        assert cli("verify", "--rerun", "run") == 0, cli.err
        assert cli("run", *PLACE, *WHEN, "--sensor", "both", "--dry-run") == 0
        assert "Optical images could not be used, radar stands alone: all 1 scene(s)" in cli.out
        assert "Would fetch 14 radar passes of" in cli.out
        assert cli("run", *PLACE, *WHEN, "--out", "optical") == 3


def test_without_radar_optical_stands_alone_and_says_why(cli, world):
    periods = ("--before", "2021-05-18/2021-05-24", "--after", PERIODS[1])
    assert cli("run", *PLACE, *periods, "--sensor", "both", "--out", "run") == 0, cli.err
    result = open_run("run")
    assert result.radar is None
    stands_alone = "radar could not be used, optical images stand alone: no radar pass covers any of the site"
    what_next = "widen --before, or try another --radar-provider"
    assert result.warnings[0] == f"{stands_alone} in the before period; {what_next}"
    assert cli("run", *PLACE, *periods, "--sensor", "s1", "--out", "none") == 3
    assert "no radar pass covers any of the site in the before period; widen --before" in cli.error


def test_both_providers_lead_to_the_same_objects(run):
    ours = open_run(run("s1", "--sensor", "s1", "--explain")[0])
    folder, said = run("hub", "--sensor", "s1", "--provider", "sentinelhub")
    other = open_run(folder)
    np.testing.assert_array_equal(ours.state, other.state)
    np.testing.assert_allclose(ours.radar.change_db, other.radar.change_db, atol=0.01)
    assert len(ours.objects) == len(other.objects) == 1
    assert "Radar comes from" not in said


LIST = """name,at,radius
Pier,"38.2700, 126.4998",700m
Gate,"38.2735, 126.4960",300m
Far,"10.0, 20.0",300m
"""


def test_several_sites_go_on_where_they_stopped(cli, world, workplace, monkeypatch):
    Path("sites.csv").write_text(LIST)
    arguments = ("run", "--sites", "sites.csv", *WHEN, "--sensor", "s1", "--out", "runs")
    compare = Investigation.compare

    def _stop(self, planned, *more):
        if planned.plan.site.name == "Gate":
            raise KeyboardInterrupt
        return compare(self, planned, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Investigation, "compare", _stop)
        assert cli(*arguments) == 130
    assert (workplace / "runs" / "Pier" / "run.json").is_file()
    world.reset_log()
    assert cli(*arguments, "--json") == 7
    assert json.loads(cli.out)["counts"] == {"complete": 2, "failed": 1}
    # the dates for the second site were chosen before
    assert len(world.requests("*/search")) == 2
    assert "no radar pass covers any of the site" in cli.err
    assert cli(*arguments[:-2], "--sensor", "both", "--out", "runs") == 2
    assert "the folder holds another batch (other sensor" in cli.error
    assert cli(*arguments[:-2], "--site", "Pier", "--dry-run") == 0
    assert re.search(r"Pier +7 radar passes +7 radar passes +nothing, everything is kept", cli.out)


def test_running_in_python(world, tmp_path):
    asked = Investigation(
        *PERIODS, access=AccessOptions(cache=tmp_path), sensor="s1", radar=RadarSettings(most_dates=4),
    )  # fmt: skip
    assert asked.sensor is SensorChoice.S1
    archives = asked.open()
    planned = asked.plan(SITE, archives)
    assert planned.plan.optical is None
    assert planned.estimate.requests == 3 * 2 * 14
    result = asked.compare(planned, archives)
    assert list(result.objects["sensor"]) == ["radar"]


def test_a_dry_run_lists_passes_and_what_they_take(cli, world, workplace):
    arguments = ("run", *PLACE, *WHEN, "--sensor", "both", "--dry-run", "--cache", "empty")
    world.reset_log()
    assert cli(*arguments) == 0
    assert not world.requests("*.tif*")
    assert "* after   2023-05-09  radar descending 127, Sentinel-1C " in cli.out
    assert re.search(
        r"Would fetch 2 dates and 14 radar passes of \d+ x \d+ pixels: about \d+ request", cli.out
    )
    assert cli(*arguments, "--json") == 0
    found = json.loads(cli.out)
    assert [len(track["before"]) for track in found["radar"]["tracks"]] == [4, 3]
    assert found["provisional"]
    assert cli(*arguments, "--radar-dates", "3", "--json") == 0
    assert [len(track["after"]) for track in json.loads(cli.out)["radar"]["tracks"]] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--sensor", "s3"), 2, "there is no sensor 's3'; take s2 (optical), s1 (radar) or both"),
        (("--radar-provider", "sentinelhub"), 2, "--radar-provider says nothing without radar; add"),
        (
            ("--sensor", "s1", "--radar-provider", "earth-search"),
            2,
            "earth-search has no radar; name another",
        ),
        (("--sensor", "s1", "--before", "2019-05"), 3, "no radar pass covers any of the site in the before"),
        (("--sensor", "both", "--before", "2019-05"), 3, "neither optical imagery (no scene covers"),
    ],
)
def test_refusals_are_one_line(cli, world, workplace, arguments, code, said):
    assert cli("run", *PLACE, *WHEN, *arguments, "--out", "run") == code
    assert said in cli.error
    assert not (workplace / "run").exists()


def test_one_pass_in_each_period_ranks_and_flags_nothing(cli, world, workplace):
    few = ("--before", "2021-05-02", "--after", "2023-05-03/2023-05-04")
    assert cli("run", *PLACE, *few, "--sensor", "s1", "--out", "run") == 6
    assert "not comparable: too few passes of radar to tell change from weather and speckle" in cli.err
    assert len(open_run(workplace / "run").objects) == 0
