"""From coordinates to a run folder, through a real catalogue and real pixels on this machine."""

import json
from datetime import date

import numpy as np
import pytest
from tests.world.faults import answers
from tests.world.granules import quick_scene
from tests.world.world import World

from changedet.access import MOST_LOOKS, make_plan, surroundings
from changedet.cli import run as command_line
from changedet.errors import NoUsableImageryError
from changedet.output.folder import open_run
from changedet.periods import parse_period
from changedet.progress import Silent
from changedet.providers.registry import open_provider
from changedet.providers.settings import ProviderSettings
from changedet.samples import simulate_pair
from changedet.samples_scene import SceneSettings
from changedet.selection import SelectionRules
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

PLACE = ("--at", "38.2700, 126.4998", "--radius", "700m", "--min-clear", "0.5")
PERIODS = ("--before", "2021-05", "--after", "2023-05")


@pytest.fixture(scope="module")
def scenes():
    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0)))
    return pair.before, pair.after


@pytest.fixture
def world(workplace, scenes, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with World(scenes) as found:
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", found.earth_search)
        yield found


@pytest.fixture
def asked(workplace, no_plates, monkeypatch):
    """Run the command with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))

    def _run(*arguments):
        return command_line(["run", *PLACE, *PERIODS, *map(str, arguments)])

    return _run


def test_from_coordinates_to_a_run_folder(world, asked, workplace):
    assert asked("--out", "run", "--name", "North pier") == 0
    result = open_run(workplace / "run")
    assert result.name == "North pier"
    assert result.registration.passed
    assert np.hypot(*result.registration.shift_px) < 0.1
    assert len(result.objects) > 3
    record = json.loads((workplace / "run" / "run.json").read_text())
    scene = record["inputs"]["before"]["scenes"][0]
    assert scene["provider"] == "earth-search"
    assert scene["bands"]["B04"]["offset"] in (0.0, -0.1)
    assert scene["granules"][0]["id"].startswith("S2")
    assert record["pair"]["reason"].startswith("Before: 2021-05-21")
    assert str(result.grid.crs) == "EPSG:32652"


def test_a_second_run_only_searches_and_gives_the_same(world, asked, workplace):
    assert asked("--out", "first") == 0
    world.reset_log()
    assert asked("--out", "second") == 0
    assert not world.requests("*.tif")
    assert (workplace / "first" / "score.tif").read_bytes() == (
        workplace / "second" / "score.tif"
    ).read_bytes()


def test_the_run_can_be_made_again_from_its_record(world, asked, workplace):
    assert asked("--out", "run") == 0
    assert command_line(["verify", "--rerun", "run"]) == 0


def test_a_dry_run_fetches_no_reflectance_and_writes_nothing(world, asked, workplace, capsys):
    assert asked("--dry-run") == 0
    assert "Would fetch 2 dates" in capsys.readouterr().out
    fetched = {entry.request.path.rsplit("/", 1)[-1] for entry in world.requests("*.tif")}
    assert {name for name in fetched if "scl" not in name.lower()} == set()
    assert not (workplace / "changedet-runs").exists()


def test_the_plan_is_json_on_request(world, asked, capsys):
    assert asked("--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["before"][0]["clear_share"] > 0.5
    assert plan["chosen"]["after"][0]["time_utc"].startswith("2023-05-21")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--before", "2019-01"), 3, "no scene covers the site in the before period; widen --before"),
        (("--min-clear", "1.0"), 3, "too cloudy"),
        (("--provider", "nobody"), 2, "there is no provider 'nobody'"),
        (("--before", "last year"), 2, "write it like 2024"),
    ],
)
def test_refusals_are_one_line(world, asked, workplace, capsys, arguments, code, words):
    assert asked(*arguments, "--out", "run") == code
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error
    assert not (workplace / "run").exists()


def test_a_place_is_needed(world, capsys):
    assert command_line(["run", *PERIODS]) == 2
    assert "no place was given; give --at and --radius, --bbox or --aoi" in capsys.readouterr().err


def test_a_service_that_fails_is_exit_five_and_leaves_nothing(world, asked, workplace, capsys):
    world.add_faults(answers("*/search", 404))
    assert asked("--out", "run") == 5
    assert not (workplace / "run").exists()


def test_no_more_dates_are_looked_at_than_needed(monkeypatch):
    days = [quick_scene(date(2023, 5, day), size_px=64) for day in range(1, 2 + MOST_LOOKS)]
    with World(days) as world:
        provider = open_provider("earth-search", ProviderSettings(url=world.earth_search))
        outline = days[0].grid.extent.to_crs("EPSG:4326").boundingbox
        middle = f"{(outline.bottom + outline.top) / 2}, {(outline.left + outline.right) / 2}"
        period = parse_period("2023-05")
        plan = make_plan(
            Site.at(middle, radius_m=150), (period, period), provider, Silent(),
            rules=SelectionRules(min_clear_share=0.0),
        )  # fmt: skip
        assert len(plan.before) == MOST_LOOKS
        with pytest.raises(NoUsableImageryError, match="no scene covers"):
            make_plan(Site.at(middle, radius_m=150), (parse_period("2019"), period), provider, Silent())


def test_surroundings_are_the_same_pixels_and_more():
    grid = Site.at("38.27, 126.4998", radius_m=500).grid
    wide = surroundings(grid)
    column, row = ~wide.transform * (grid.transform * (0, 0))
    assert column == pytest.approx(round(column), abs=1e-6)
    assert row == pytest.approx(round(row), abs=1e-6)
    assert min(wide.shape) * 10 >= 5000
    assert wide.transform.c % 20 == 0
    assert wide.transform.f % 20 == 0


def test_a_large_site_gets_a_margin_only():
    grid = Site.at("38.27, 126.4998", radius_m=4000).grid
    assert surroundings(grid).shape[0] - grid.shape[0] == 100
