"""``changedet run --sites`` and keeping the choice of dates, against the loopback world."""

import json
import re
from pathlib import Path

import pytest
from tests.faults.cases import digests
from tests.runs import made
from tests.world.faults import answers
from tests.world.world import World, without_proxies

from changedet.kml import read_placemarks
from changedet.progress import Silent
from changedet.samples import simulate_pair
from changedet.simulator.scene import SceneSettings
from changedet.site_lists import kml_tree

# Dask asks the system which way it would go to 8.8.8.8, and sends nothing there
pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "8.8.8.8"])
PERIODS = ("--before", "2021-05", "--after", "2023-05", "--min-clear", "0.5")
LIST = """name,folder,at,radius
Pier,North,"38.2700, 126.4998",300m
Hall,North,"38.2725, 126.4998",300m
Far,South,"10.0, 20.0",300m
"""


@pytest.fixture(scope="module")
def scenes():
    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0)))
    return pair.before, pair.after


@pytest.fixture
def world(workplace, scenes, monkeypatch, no_plates):
    without_proxies(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    # a narrow frame: here it matters what is done, not what is found
    monkeypatch.setattr("changedet.frame.CONTEXT_WIDTH_M", 800.0)
    monkeypatch.setattr("changedet.frame.CONTEXT_MARGIN_M", 60.0)
    (workplace / "sites.csv").write_text(LIST)
    with World(scenes) as found:
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", found.earth_search)
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__RETRY_DELAY_S", "0.01")
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__MAX_RETRIES", "1")
        yield found


@pytest.fixture
def sites(cli, world):
    return lambda *more: cli("run", "--sites", "sites.csv", *PERIODS, *more)


def test_a_limit_holds_for_the_whole_list_before_its_first_site_is_paid_for(cli, sites, world, monkeypatch):
    for name, value in (("URL", world.sentinel_hub), ("TOKEN_URL", f"{world.sentinel_hub}/oauth/token")):
        monkeypatch.setenv(f"CHANGEDET_PROVIDERS__SENTINELHUB__{name}", value)
    monkeypatch.setenv("SH_CLIENT_ID", world.sentinel_hub_service.client_id)
    monkeypatch.setenv("SH_CLIENT_SECRET", world.sentinel_hub_service.client_secret)
    one = ("--provider", "sentinelhub", "--site", "Pier")
    assert sites(*one, "--dry-run", "--json") == 0
    units = json.loads(cli.out)["estimate"]["processing_units"]
    # enough for the first site, not for both
    limit = ("--provider", "sentinelhub", "--max-pu", f"{1.5 * units:.4f}")
    assert sites(*limit, "--out", "runs") == 2
    assert "processing units in all, and the limit is" in cli.error
    assert not world.requests("*/process")


def test_each_site_has_a_folder_and_one_that_fails_is_named(cli, sites, workplace):
    assert sites("--out", "runs", "--json") == 7
    found = json.loads(cli.out)
    assert found["counts"] == {"complete": 2, "failed": 1}
    assert [(one["site"], one["fate"]) for one in found["sites"]] == [
        ("North/Pier", "complete"), ("North/Hall", "complete"), ("South/Far", "failed"),
    ]  # fmt: skip
    assert found["sites"][2]["exit_code"] == 3
    assert found["error"]["type"] == "SomeSitesFailedError"
    assert (workplace / "runs" / "North" / "Hall" / "report.html").is_file()
    assert json.loads((workplace / "runs" / "batch.json").read_text())["request"]["before"] == "2021-05"
    listed = read_placemarks(kml_tree(workplace / "runs" / "sites.kmz"))[:3]
    assert [(one.folder, one.name) for one in listed] == [
        ("North", "Pier"), ("North", "Hall"), ("South", "Far"),
    ]  # fmt: skip
    assert re.search(r"South/Far +failed +- +- +no scene covers the site", cli.err)


def test_going_on_runs_only_what_is_not_complete(cli, sites, world):
    sites("--out", "runs")
    world.reset_log()
    assert sites("--out", "runs") == 7
    assert "2 of 3 sites were complete already and were not run again" in cli.err
    assert not world.requests("*.tif")
    assert sites("--out", "runs", "--site", "Pier") == 2
    assert "the folder holds another batch (other sites)" in cli.error


def test_chosen_sites_that_all_succeed_end_with_zero(cli, sites, workplace):
    assert sites("--site", "North/Pier", "--site", "Hall", "--quiet", "--exit-code") in {0, 1}
    (folder,) = (workplace / "changedet-runs").iterdir()
    assert re.fullmatch(r"sites-[0-9a-f]{8}", folder.name)
    assert cli.out.strip() == str(folder.relative_to(workplace))
    assert cli.err == ""


def test_when_all_fail_for_one_reason_the_exit_code_says_it(cli, sites, world):
    world.add_faults(answers("*/search", 503))
    assert sites("--site", "Pier", "--site", "Hall", "--out", "runs") == 5
    assert "2 of 2 site(s) have no result, North/Pier first: " in cli.err
    world.clear_faults()
    assert sites("--site", "Pier", "--site", "Hall", "--out", "runs") == 0


def test_an_interruption_keeps_what_is_complete(cli, sites, monkeypatch, workplace):
    from changedet.investigation import Investigation

    compare = Investigation.compare

    def _stop_at_the_second(self, planned, *more):
        if planned.plan.site.name == "Hall":
            raise KeyboardInterrupt
        return compare(self, planned, *more)

    monkeypatch.setattr(Investigation, "compare", _stop_at_the_second)
    assert sites("--out", "runs", "--json") == 130
    found = json.loads(cli.out)
    assert [one["fate"] for one in found["sites"]] == ["complete", "interrupted", "not tried"]
    assert "1 of 3 sites are complete; the same command again goes on" in found["error"]["message"]
    assert not [path for path in (workplace / "runs" / "North").iterdir() if path.name.startswith(".")]


def test_a_dry_run_sums_up_and_writes_no_run(cli, sites, world, workplace):
    assert sites("--dry-run", "--json") == 7
    found = json.loads(cli.out)
    takes = [one["estimate"]["requests"] for one in found["sites"] if "estimate" in one]
    assert len(takes) == 2
    assert found["estimate"]["requests"] == sum(takes) > 0
    assert found["estimate"]["processing_units"] == 0
    assert not (workplace / "changedet-runs").exists()
    assert not world.requests("*.tif")
    assert sites("--dry-run", "--site", "Pier") == 0
    assert re.search(r"North/Pier +2021-05-21\? +2023-05-21\? +about \d+ request", cli.out)
    assert "Dates with a question mark are provisional: the run first looks at the site" in cli.out


def test_a_list_goes_on_on_the_next_day_and_not_with_another_archive(
    cli, sites, world, workplace, monkeypatch
):
    few = ("--site", "Pier", "--quiet")
    assert sites(*few) == 0
    folder = cli.out
    world.reset_log()
    assert sites(*few) == 0
    assert cli.out == folder
    assert not world.requests()
    batch = (workplace / folder.strip() / "batch.json").read_text()
    assert "127.0.0.1" not in batch
    monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", world.earth_search + "/")
    assert sites(*few, "--out", folder.strip(), "--keep-images") == 2
    assert "another batch (other keep_images)" in cli.error
    monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", world.stac)
    assert sites(*few, "--out", folder.strip()) == 2
    assert "another batch (other archive)" in cli.error


def test_a_dry_run_ends_early_and_survives_bugs(cli, sites, monkeypatch):
    from changedet.errors import CredentialsError
    from changedet.investigation import Investigation

    asked = []

    def _fail(self, site, *more, **options):
        asked.append(site.name)
        raise errors[len(asked) - 1]

    monkeypatch.setattr(Investigation, "plan", _fail)
    errors = [ZeroDivisionError("by zero"), CredentialsError("refused")]
    assert sites("--dry-run", "--json") == 7
    assert asked == ["Pier", "Hall"]
    reasons = [row["reason"] for row in json.loads(cli.out)["sites"]]
    assert reasons == ["ZeroDivisionError: by zero", "refused", "not tried after North/Hall: refused"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sites", "sites.csv", "--site", "Peer"), "there is no site 'Peer'; take one such as Pier"),
        (("--site", "Pier"), "--site says nothing without --sites"),
        (("--sites", "sites.csv", "--at", "38, 126"), "--sites contradicts --at; give"),
        (("--sites", "sites.csv", "--before", "soon"), "not a period"),
    ],
)
def test_what_was_meant_must_be_clear(cli, world, arguments, said):
    assert cli("run", *PERIODS, *arguments) == 2
    assert said in cli.error


def test_a_list_that_is_not_there_is_an_input_error(cli, world):
    assert cli("run", *PERIODS, "--sites", "nobody.kml") == 8
    assert "no such file" in cli.error


class TestOneSite:
    PLACE = ("--at", "38.2700, 126.4998", "--radius", "300m", "--name", "Pier")

    def run(self, cli, *more):
        return cli("run", *self.PLACE, *PERIODS, *more)

    def test_what_was_kept_is_told_and_the_choice_with_it(self, cli, world):
        assert self.run(cli, "--out", "first") == 0
        assert "2 scenes: 2 fetched, 0 kept from before" in cli.err
        assert "the dates were chosen" not in cli.err
        world.reset_log()
        assert self.run(cli, "--out", "second") == 0
        assert "2 scenes: 0 fetched, 2 kept from before" in cli.err
        assert re.search(r"the dates were chosen on \d{4}-\d\d-\d\d \d\d:\d\d UTC; --replan choo", cli.err)
        assert world.requests() == []
        assert self.run(cli, "--out", "third", "--replan", "--quiet") == 0
        assert world.requests("*/search")
        assert cli.err == ""

    def test_an_interrupted_run_goes_on_with_the_same_choice(self, cli, world, monkeypatch):
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__MAX_RETRIES", "0")
        world.add_faults(answers("*2023*nir*.tif", 503), answers("*2023*B08*.tif", 503))
        assert self.run(cli, "--out", "run") == 5
        world.clear_faults()
        world.reset_log()
        assert self.run(cli, "--out", "run") == 0
        assert "2 scenes: 1 fetched, 1 kept from before" in cli.err
        assert not world.requests("*/search")

    def test_making_it_again_takes_the_cache_of_the_run(self, cli, world, workplace):
        assert self.run(cli, "--out", "run", "--cache", "kept") == 0
        world.reset_log()
        assert cli("verify", "--rerun", "run", "--cache", "kept") == 0, cli.err
        assert world.requests() == []
        assert not (workplace / "cache" / "changedet").exists()

    def test_progress_is_told_for_all_bands_together(self, cli, world):
        assert self.run(cli, "--out", "run", "-v") == 0
        told = re.findall(r"fetching, (\d) of (\d) scene\(s\), ([\d.]+) MB received", cli.err)
        assert [(done, of) for done, of, _ in told] == [("1", "2"), ("2", "2")]
        assert float(told[1][2]) > float(told[0][2]) > 0

    def test_the_dry_run_says_what_it_takes(self, cli, world):
        assert self.run(cli, "--dry-run", "--json") == 0
        found = json.loads(cli.out)
        # two images of ten bands and their classifications, and before them two looks
        assert found["estimate"]["requests"] == 66 + 6
        assert found["estimate"]["megabytes"] > 0
        assert found["plan_kept_since_utc"] is None
        assert self.run(cli, "--out", "run") == 0
        assert self.run(cli, "--dry-run") == 0
        assert "nothing, everything is kept from before" in cli.out
        assert "provisional" not in cli.out

    def test_a_limit_that_is_too_low_spends_nothing(self, cli, world, monkeypatch):
        for name, value in (("URL", world.sentinel_hub), ("TOKEN_URL", f"{world.sentinel_hub}/oauth/token")):
            monkeypatch.setenv(f"CHANGEDET_PROVIDERS__SENTINELHUB__{name}", value)
        monkeypatch.setenv("SH_CLIENT_ID", world.sentinel_hub_service.client_id)
        monkeypatch.setenv("SH_CLIENT_SECRET", world.sentinel_hub_service.client_secret)
        assert self.run(cli, "--provider", "sentinelhub", "--max-pu", "0.01", "--out", "run") == 2
        assert re.search(r"would take [\d.]+ processing units in all, and the limit is 0.01", cli.error)
        assert not world.requests("*/process")
        assert self.run(cli, "--provider", "sentinelhub", "--max-pu", "50", "--dry-run", "--json") == 0
        assert json.loads(cli.out)["estimate"]["processing_units"] > 0


class TestSeveralAtOneTime:
    FEW = ("--site", "Pier", "--site", "Hall", "--json")

    def test_threads_and_workers_make_the_same(self, cli, sites, world, workplace):
        distributed = pytest.importorskip("distributed")
        assert sites(*self.FEW, "--out", "serial") == 0
        serial = made(workplace / "serial")
        assert set(serial) == {"North/Pier", "North/Hall"}
        assert sites(*self.FEW, "--out", "threads", "--scheduler", "threads", "--jobs", "2", "-v") == 0
        assert made(workplace / "threads") == serial
        assert "1 of 2  North/Pier: choosing dates" in cli.err
        assert re.search(r"2 of 2  North/Hall: (?!choosing)", cli.err)
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="inproc://", dashboard_address=":0",
            memory_limit=0, silence_logs="CRITICAL",
        ) as cluster:  # fmt: skip
            address = cluster.scheduler_address
            assert sites(*self.FEW, "--out", "workers", "--scheduler", address, "-v") == 0
            assert "North/Hall: " in cli.err
            assert made(workplace / "workers") == serial
            world.reset_log()
            assert sites(*self.FEW, "--out", "workers", "--scheduler", address) == 0
            assert "2 of 2 sites were complete already" in cli.err
            assert not world.requests()

    def test_one_that_fails_is_named_and_the_table_keeps_the_order_of_the_list(self, cli, sites):
        assert sites("--out", "runs", "--json", "--scheduler", "threads", "--jobs", "3") == 7
        found = json.loads(cli.out)
        assert [(one["site"], one["fate"]) for one in found["sites"]] == [
            ("North/Pier", "complete"), ("North/Hall", "complete"), ("South/Far", "failed"),
        ]  # fmt: skip
        assert found["sites"][2]["exit_code"] == 3

    def test_a_limit_on_costs_and_several_at_one_time_exclude_each_other(self, cli, sites, world):
        assert sites(*self.FEW, "--max-pu", "1000", "--scheduler", "threads") == 2
        assert "a limit on processing units cannot be held where several sites" in cli.err

    def test_of_one_site_it_says_nothing(self, cli, world):
        place = ("--at", "38.27, 126.4998", "--scheduler", "threads")
        assert cli("run", *place, *PERIODS) == 2
        assert "--scheduler says nothing of one site; give a list with --sites" in cli.error


def test_no_secret_travels_to_workers(workplace, monkeypatch):
    cloudpickle = pytest.importorskip("cloudpickle")
    from changedet.access.archives import Archives
    from changedet.batch_running import Trial
    from changedet.cli.run_one import Output
    from changedet.cli.run_sites import _site_work
    from changedet.investigation import AccessOptions, Investigation
    from changedet.providers.tracked import open_tracked
    from changedet.site import Site

    secrets = {
        "SH_CLIENT_ID": "the-client", "SH_CLIENT_SECRET": "the-secret",
        "CHANGEDET_PROVIDERS__EARTH_SEARCH__URL": "https://me:the-password@127.0.0.1/api",
    }  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    asked = Investigation("2021-05", "2023-05", access=AccessOptions(cache=Path("kept")))
    archives = Archives(open_tracked("earth-search", None, None, Silent()))
    assert "the-password" in archives.endpoints[0]
    site = Site.at("38.27, 126.4998", radius_m=300, name="Pier")
    work = _site_work(asked, Output(Path("runs"), False, None, False, False, False), archives, alone=False)
    packed = cloudpickle.dumps((work, Trial("Pier", "Pier", site, workplace / "runs" / "Pier", False, 1)))
    for secret in ("the-client", "the-secret", "the-password"):
        assert secret.encode() not in packed
    again, trial = cloudpickle.loads(packed)
    assert again == work
    assert again.asked.access.cache == workplace / "kept"
    assert trial.site.geometry.equals(site.geometry)


class TestPlan:
    def plan(self, cli, *more):
        return cli("plan", *PERIODS, *more)

    def test_a_plan_of_a_list_says_what_it_takes_and_fetches_no_pixel(self, cli, world, workplace):
        lines = [f'P{n},,"38.27{n:02d}, 126.4998",300m' for n in range(30)]
        (workplace / "many.csv").write_text("\n".join(["name,folder,at,radius", *lines]) + "\n")
        assert self.plan(cli, "--sites", "many.csv", "--sample", "5", "--json") == 0
        found = json.loads(cli.out)
        assert (found["sites"], found["searched"]) == (30, 5)
        assert found["totals"]["scenes"]["value"] == 60
        assert found["totals"]["gigabytes"]["value"] > 0
        assert found["totals"]["core_hours"]["value"] > 0
        assert found["measured_costs"]["site_s"] > 0
        assert len(world.requests("*/search")) == 10
        assert not world.requests("*.tif")
        assert not (workplace / "changedet-runs").exists()
        assert self.plan(cli, "--sites", "many.csv", "--all") == 0
        assert re.search(r"scenes +60 +- +chosen by the cloud of their tiles", cli.out)
        assert "from a search at all site(s)" in cli.out

    def test_sites_that_have_nothing_are_counted(self, cli, world):
        assert self.plan(cli, "--sites", "sites.csv") == 0
        assert "1 of 3 site(s) have nothing to compare:" in cli.out
        assert "  1 x no scene covers the site" in cli.out

    def test_one_place_and_what_it_costs_above_any_limit(self, cli, world, monkeypatch):
        for name, value in (("URL", world.sentinel_hub), ("TOKEN_URL", f"{world.sentinel_hub}/oauth/token")):
            monkeypatch.setenv(f"CHANGEDET_PROVIDERS__SENTINELHUB__{name}", value)
        monkeypatch.setenv("CHANGEDET_PROVIDERS__SENTINELHUB__MAX_PROCESSING_UNITS", "0.01")
        monkeypatch.setenv("SH_CLIENT_ID", world.sentinel_hub_service.client_id)
        monkeypatch.setenv("SH_CLIENT_SECRET", world.sentinel_hub_service.client_secret)
        place = ("--at", "38.27, 126.4998", "--radius", "300m", "--provider", "sentinelhub")
        assert self.plan(cli, *place, "--json") == 0
        assert json.loads(cli.out)["totals"]["processing_units"]["value"] > 0.01

    def test_a_service_that_fails_is_an_error(self, cli, world):
        world.add_faults(answers("*/search", 503))
        assert self.plan(cli, "--sites", "sites.csv") == 5


def test_another_order_of_the_list_makes_the_same_runs(sites, workplace):
    head, *rows = LIST.splitlines()[:3]
    for out, listed in (("usual", rows), ("backwards", rows[::-1])):
        (workplace / "sites.csv").write_text("\n".join([head, *listed]))
        assert sites("--out", out) == 0
    north = [workplace / out / "North" for out in ("usual", "backwards")]
    usual, backwards = map(digests, north)
    assert len(usual) > 10 and usual.keys() == backwards.keys()
    assert {name for name in usual if usual[name] != backwards[name]} <= {"Pier/run.json", "Hall/run.json"}
    for name in ("Pier", "Hall"):
        one, other = (json.loads((folder / name / "run.json").read_text()) for folder in north)
        assert {key for key in one if one[key] != other[key]} <= {"created_utc", "command"}
