"""From coordinates to a run folder, through a real catalogue and real pixels on this machine."""

import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from tests.world.faults import answers, delays
from tests.world.granules import quick_scene
from tests.world.world import World, without_proxies

from changedet.access.candidates import MOST_LOOKS
from changedet.access.choosing import compare_plan, make_plan
from changedet.access.selection import SelectionRules
from changedet.bands import COMPARED_BANDS
from changedet.cli import run as command_line
from changedet.core.masking import SceneClass
from changedet.errors import NoUsableImageryError, UsageError
from changedet.frame import surroundings
from changedet.output.folder import open_run
from changedet.periods import parse_period
from changedet.progress import Silent
from changedet.providers.base import ProviderInfo
from changedet.providers.registry import open_provider
from changedet.providers.settings import ProviderSettings
from changedet.result import State
from changedet.samples import simulate_pair
from changedet.simulator.scene import SceneSettings
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

PLACE = ("--at", "38.2700, 126.4998", "--radius", "700m", "--min-clear", "0.5")
PERIODS = ("--before", "2021-05", "--after", "2023-05")


def under(scene, *clouds, days=0, light=1.0):
    """A clear scene some days later in another light, with clouds over (rows, columns) of 20 m pixels."""
    rng = np.random.default_rng(days)
    numbers = {}
    for name, clear in scene.numbers.items():
        reflectance = light * (clear / 1e4 + scene.offset) + rng.normal(0, 0.002, clear.shape)
        times = clear.shape[0] // scene.classes.shape[0]
        for place in clouds:
            reflectance[tuple(slice(part.start * times, part.stop * times) for part in place)] += 0.5
        numbers[name] = np.clip(np.rint((reflectance - scene.offset) * 1e4), 1, 65534).astype(np.uint16)
    classes = scene.classes.copy()
    for place in clouds:
        classes[place] = SceneClass.CLOUD_HIGH
    return replace(scene, time=scene.time + timedelta(days=days), numbers=numbers, classes=classes)


@pytest.fixture(scope="module")
def clear():
    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0), clouds=False))
    return pair.before, pair.after


@pytest.fixture(scope="module")
def scenes(clear):
    return under(clear[0], np.s_[30:40, 30:40]), under(clear[1], np.s_[80:90, 30:40])


@contextmanager
def served(scenes, patch):
    without_proxies(patch)
    with World(scenes) as found:
        patch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", found.earth_search)
        yield found


@pytest.fixture
def world(workplace, scenes, monkeypatch):
    with served(scenes, monkeypatch) as found:
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


def test_a_dry_run_fetches_no_pixel_writes_nothing_and_says_that_it_is_provisional(
    world, asked, workplace, capsys
):
    assert asked("--dry-run") == 0
    told = capsys.readouterr().out
    assert "Would fetch 2 dates" in told
    assert "* before  2021-05-21  tile cloud" in told
    assert "of the whole tile under cloud, the site not looked at yet" in told
    assert "The choice is provisional: on 2 date(s) only the cloud of the whole tile is known" in told
    assert not world.requests("*.tif")
    assert not (workplace / "changedet-runs").exists()
    assert not list(workplace.rglob("plans"))


def test_the_provisional_plan_is_json_on_request(world, asked, capsys):
    assert asked("--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["provisional"] is True
    assert [plan["before"][0][name] for name in ("measured", "rejected")] == [False, None]
    assert plan["chosen"]["after"][0]["time_utc"].startswith("2023-05-21")
    images = sum(len(plan["chosen"][word]) for word in ("before", "after")) * (len(COMPARED_BANDS) + 1)
    looks = len(plan["before"]) + len(plan["after"])
    assert plan["estimate"]["requests"] == 3 * (images + looks)


def test_a_dry_run_by_the_cloud_of_the_tile_does_not_refuse_what_a_run_may_take(world, asked, capsys):
    assert asked("--dry-run", "--min-clear", "0.999") == 0
    assert "provisional" in capsys.readouterr().out


def test_a_target_that_is_there_is_refused_before_anybody_looks(world, asked, workplace, capsys):
    (workplace / "run").mkdir()
    (workplace / "run" / "notes.txt").write_text("mine")
    for more in ((), ("--dry-run",)):
        assert asked("--out", "run", *more) == 2
        assert "--overwrite" in capsys.readouterr().err
    assert world.requests() == []


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


def test_a_file_that_is_not_there_costs_its_date_only(clear, workplace, monkeypatch):
    ghost = under(clear[1], days=5)
    with served((*clear, ghost), monkeypatch) as world:
        world.add_faults(answers(f"*{ghost.time:%Y%m%d}*/SCL.tif", 404))
        plan = make_plan(SITE, MAYS, open_provider("earth-search"), Silent())
        assert [look.rejected != "" for look in plan.after] == [False, True]
        assert "is not there (404)" in plan.after[1].rejected
        assert [scene.date_text for scene in plan.scenes[1]] == ["2023-05-21"]


def test_a_choice_that_cannot_be_fetched_is_not_kept(world, asked, workplace, capsys):
    world.add_faults(answers("*B04*", 404))
    assert asked("--out", "run") == 5
    assert "the next run chooses the dates anew (as with --replan)" in capsys.readouterr().err
    assert list((workplace / "cache").rglob("plans/*.json")) == []
    world.clear_faults()
    assert asked("--out", "run") == 0
    assert len(list((workplace / "cache").rglob("plans/*.json"))) == 1


def test_a_choice_is_kept_while_the_service_is_away(world, asked, workplace, monkeypatch, capsys):
    monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__MAX_RETRIES", "0")
    world.add_faults(answers("*/B04.tif", 503))
    assert asked("--out", "run") == 5
    assert "ask changedet doctor what stands in the way; --replan chooses the dates anew" in (
        capsys.readouterr().err
    )
    assert len(list((workplace / "cache").rglob("plans/*.json"))) == 1


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


def test_looks_overlap():
    days = [quick_scene(date(2023, 5, day), size_px=64) for day in range(1, 7)]
    with World(days) as world:
        provider = open_provider("earth-search", ProviderSettings(url=world.earth_search))
        outline = days[0].grid.extent.to_crs("EPSG:4326").boundingbox
        middle = f"{(outline.bottom + outline.top) / 2}, {(outline.left + outline.right) / 2}"
        world.add_faults(delays("*/SCL.tif", 0.3))
        site, period = Site.at(middle, radius_m=150), parse_period("2023-05")
        make_plan(site, (period, period), provider, Silent(), rules=SelectionRules(min_clear_share=0.0))
        reads = [entry for entry in world.requests("*/SCL.tif") if entry.fault]
    together = [sum(one.started_s <= read.started_s < one.finished_s for one in reads) for read in reads]
    assert max(together) >= 3


def test_a_provider_without_the_sensor_is_refused_at_once(scenes):
    class Radar:
        info = ProviderInfo("radar-only", "Radar", ("s1",), "nothing", ())

    with pytest.raises(
        UsageError, match=r"radar-only: it has no Sentinel-2 of level L2A; choose earth-search"
    ):
        make_plan(SITE, MAYS, Radar(), Silent())


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


#: Where the clouds of two days lie, in 20 m pixels of a scene that is 128 wide: west, and east.
WEST, EAST = np.s_[0:128, 0:56], np.s_[0:128, 80:128]
SITE = Site.at("38.2700, 126.4998", radius_m=700)
MAYS = parse_period("2021-05"), parse_period("2023-05")


@pytest.fixture(scope="module")
def cloudy(clear):
    """A clear day before, and after it two days that show one half of the site each."""
    first, second = clear
    return first, under(second, WEST, light=0.9), under(second, EAST, days=5)


def compared(scenes, **rules):
    with pytest.MonkeyPatch.context() as patch, served(scenes, patch):
        provider = open_provider("earth-search")
        plan = make_plan(SITE, MAYS, provider, Silent(), rules=SelectionRules(**rules))
        return plan, compare_plan(plan, provider, progress=Silent())


@pytest.fixture(scope="module")
def of_two_days(cloudy):
    return compared(cloudy)


def test_two_cloudy_days_show_what_a_clear_day_shows(clear, of_two_days):
    plan, result = of_two_days
    assert [len(side) for side in plan.scenes] == [1, 2]
    assert [scene.date_text for scene in plan.scenes[1]] == ["2023-05-26", "2023-05-21"]
    _, wanted = compared((clear[0], under(clear[1], days=5)))
    assert result.pair.clear_share > 0.95
    both = np.isin(result.state, (State.CHANGED, State.NOT_FLAGGED)) & (wanted.state != State.NOT_OBSERVED)
    changed = [(one.state == State.CHANGED) & both for one in (result, wanted)]
    overlap = (changed[0] & changed[1]).sum() / (changed[0] | changed[1]).sum()
    assert overlap > 0.8
    # the leading objects are the same, in both directions; the weakest ones may miss the threshold
    for one, other in ((result, wanted), (wanted, result)):
        outlines = other.objects.geometry.union_all()
        assert len(one.objects) >= 8
        assert one.objects.head(8).geometry.intersects(outlines).all()


def test_nobody_reads_a_composite_as_one_date(of_two_days, tmp_path, no_plates):
    _, result = of_two_days
    assert "a composite of 2 dates (2023-05-21 to 2023-05-26)" in repr(result)
    assert "every pixel shows one of 2023-05-21, 2023-05-26" in repr(result)
    (warning,) = (text for text in result.warnings if "composite of 2 dates" in text)
    assert "2023-05-21 (" in warning
    folder = result.save(tmp_path / "run")
    report = (folder / "report.html").read_text()
    assert "Dates of the composite" in report
    assert all(scene.id in report for scene in result.after.scene.members)
    record = json.loads((folder / "run.json").read_text())
    assert len(record["scenes"]["after"]["members"]) == len(record["inputs"]["after"]["scenes"]) == 2
    assert {"2023-05-26T02:16:13Z"} == set(result.objects["first_seen"])
    again = open_run(folder)
    assert [scene.id for scene in again.after.scene.members] == [
        scene.id for scene in result.after.scene.members
    ]


def test_a_run_of_a_composite_can_be_made_again(workplace, cloudy, asked, monkeypatch, capsys):
    with served(cloudy, monkeypatch):
        assert asked("--min-clear", "0.8", "--out", "run", "--explain") == 0
        assert "After: a composite of 2 dates, 2023-05-21 and 2023-05-26" in capsys.readouterr().err
        assert command_line(["verify", "--rerun", "run"]) == 0


def test_when_all_days_together_show_too_little_it_is_said(clear):
    scenes = clear[0], under(clear[1], WEST), under(clear[1], np.s_[0:128, 45:128], days=5)
    with pytest.raises(NoUsableImageryError) as caught:
        compared(scenes)
    assert "too cloudy: the clearest of 2 scene(s) in the after period, 2023-05-21, shows" in str(
        caught.value
    )
    assert "and even 2 dates together show only 7" in str(caught.value)


def test_radar_is_looked_at_by_its_footprint_alone(clear):
    with World(clear) as world:
        settings = ProviderSettings(url=world.planetary_computer, signing_url=world.signing)
        provider = open_provider("planetary-computer", settings)
        plan = make_plan(SITE, MAYS, provider, Silent(), sensor="s1")
        assert [look.clear_share for look in (*plan.choice.before, *plan.choice.after)] == [1.0, 1.0]
        assert plan.choice.sentences[-1] == "Both radar dates come from the same relative orbit."
        assert not world.requests("*.tif*")
