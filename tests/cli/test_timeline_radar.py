"""``changedet timeline --sensor s1`` and ``both``: from archives on this machine, and from local files."""

import csv
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.radar.test_files import write
from tests.radar_passes import FALLING
from tests.radar_series_passes import WIDE, radar_images
from tests.radar_world import radar_pass
from tests.timeline.test_world import CHANGED, FIRST, ROOF, STEP_DAYS, place, scenes  # noqa: F401  # a fixture
from tests.timelines import HALL_PLACE
from tests.world.world import World, without_proxies

from changedet.output.radar_series_table import RADAR_COLUMNS
from changedet.output.timeline_folder import save_timeline
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
COUNT = 23
SPAN = ("--during", "2021/2023", "--no-register", "--quiet")
#: The roof appears for radar on the day on which it does for optical images.
ROOF_DAY = datetime.combine(FIRST + timedelta(days=STEP_DAYS * CHANGED), datetime.min.time(), UTC)


def passes(optical):
    """Two years of one track, and two passes of another."""
    start = datetime(2021, 5, 2, 21, 23, 4, tzinfo=UTC)
    times = [start + timedelta(days=34 * number) for number in range(COUNT)]
    roof = np.s_[ROOF.start : ROOF.stop, ROOF.start : ROOF.stop]
    made = [radar_pass(optical, when, built=roof if when >= ROOF_DAY else None) for when in times]
    others = (radar_pass(optical, when + timedelta(hours=9), orbit=31) for when in times[:2])
    return [*made, *others]


@pytest.fixture(scope="module")
def made():
    return scenes()


@pytest.fixture(scope="module")
def running(made):
    with World([*made, *passes(made[0])]) as found:
        yield found


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def world(running, workplace, monkeypatch):
    without_proxies(monkeypatch)
    monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", running.earth_search)
    monkeypatch.setenv("CHANGEDET_PROVIDERS__PLANETARY_COMPUTER__URL", running.planetary_computer)
    monkeypatch.setenv("CHANGEDET_PROVIDERS__PLANETARY_COMPUTER__SIGNING_URL", running.signing)
    return running


@pytest.fixture
def asked(world, place, kept):  # noqa: F811
    where = ("--at", place, "--radius", "150", "--name", "Pier", "--point", place)
    return ("timeline", *where, *SPAN, "--cache", str(kept))


def test_both_sensors_see_the_roof(cli, asked, tmp_path):
    out = tmp_path / "out"
    assert cli(*asked, "--sensor", "both", "--json", "--out", out) == 0, cli.err
    document = json.loads(cli.out)
    assert document["parameters"]["sensor"] == "both"
    (track,) = document["radar"]["tracks"]
    assert (track["track"], len(track["dates"])) == ("descending 127", COUNT)
    point = document["radar"]["zones"][-1]
    (found,) = point["breaks"]
    assert (
        found["seen_by"] == "both"
        and found["radar"][0]["after"] < f"{ROOF_DAY:%Y-%m-%d}" <= found["radar"][0]["by"]
    )
    assert document["warnings"][0].startswith(
        "Radar comes from planetary-computer, since earth-search has none"
    )
    assert {one["reason"] for one in document["radar"]["left_out"]} == {"only 2 pass(es) of descending 31"}
    assert {"radar.csv", "timeline.csv", "timeline.html"} <= document["files"].keys()
    with (out / "radar.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == RADAR_COLUMNS and len(rows) == COUNT * 2 * len(document["radar"]["zones"]) + 2
    mine = [row for row in rows if row["zone"].startswith("point") and row["polarisation"] == "VV"]
    assert [row["outside"] for row in mine[-8:]] == ["yes"] * 8
    assert any(row["in_optical_gap"] == "yes" for row in mine) and rows[-1]["counts"] == "no"
    page = (out / "timeline.html").read_text(encoding="utf-8")
    assert "radar from planetary-computer" in page and "descending 127" in page and 'class="gap"' in page
    assert "sig=" not in (out / "timeline.json").read_text(encoding="utf-8")


def test_radar_alone_asks_for_no_optical_image(cli, world, asked, tmp_path):
    world.reset_log()
    assert cli(*asked, "--sensor", "s1", "--out", tmp_path / "out") == 0, cli.err
    assert f"Radar alone, {COUNT} passes of descending 127" in cli.out and "Brighter by" in cli.out
    assert not world.requests("*B04*")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "radar.csv", "timeline.json", "timeline.png", "timeline.html",
    }  # fmt: skip


def test_where_clouds_leave_nothing_radar_stands_alone(cli, asked, tmp_path):
    assert cli(*asked, "--sensor", "both", "--max-tile-cloud", "0", "--out", tmp_path / "out") == 0, cli.err
    assert "optical images could not be used, radar stands alone: none of" in " ".join(cli.out.split())
    assert "Radar alone" in cli.out


def test_where_radar_has_nothing_optical_images_stand_alone(cli, asked, tmp_path):
    line = [one if one != "2021/2023" else "2021-05/2021-05" for one in asked]
    assert cli(*line, "--sensor", "both", "--out", tmp_path / "out") == 0, cli.err
    said = " ".join(cli.out.split())
    assert (
        "radar could not be used, optical images stand alone: planetary-computer has no track of radar"
        in said
    )
    assert cli(*line, "--sensor", "s1") == 3
    assert "with 3 passes or more (only 1 pass(es) of descending 127" in cli.err


def test_a_dry_run_lists_dates_and_passes(cli, world, asked, kept, tmp_path):
    world.reset_log()
    asked = [one if one != str(kept) else str(tmp_path) for one in asked]
    assert cli(*asked, "--sensor", "both", "--dry-run") == 0, cli.err
    assert cli.out.count("radar descending 127") == COUNT
    assert f"{COUNT} radar pass(es) of descending 127" in cli.out and "MB" in cli.out
    assert not world.requests("*.tif")
    assert cli(*asked, "--sensor", "s1", "--dry-run", "--json") == 0
    document = json.loads(cli.out)
    assert document["dates"] == [] and len(document["radar"]["tracks"][0]["passes"]) == COUNT
    assert document["estimate"]["requests"] > 0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder for the track, one file for each polarisation, in decibels; one file without a date."""
    folder = tmp_path_factory.mktemp("local")
    images = radar_images(FALLING, 66, built_on=datetime(2022, 3, 1, tzinfo=UTC))
    for image in images:
        for name, plane in zip(image.bands, image.data, strict=True):
            stem = f"{image.scene.time:%Y%m%dT%H%M%S}_{name}.tif"
            write(folder / "descending-124" / stem, [10 * np.log10(plane)], grid=WIDE)
    write(folder / "descending-124" / "mean_VV.tif", [np.full(tuple(WIDE.shape), -9.0)], grid=WIDE)
    return folder


def test_local_radar_needs_no_network(cli, files, tmp_path):
    files = ("--radar-images", files, "--radar-unit", "db")
    line = ("timeline", "--sensor", "s1", *files, "--point", HALL_PLACE)
    assert cli(*line, "--json", "--out", tmp_path / "out") == 0, cli.err
    document = json.loads(cli.out)
    (track,) = document["radar"]["tracks"]
    (found,) = track["zones"][-1]["breaks"]
    assert found["after"] < "2022-03-01" <= found["by"] and found["direction"] == "brighter"
    assert document["radar"]["left_out"] == [
        {"date": "unknown date", "scene": "mean_VV.tif", "reason": "nothing says when it was taken"}
    ]
    assert cli(*line, "--during", "2021-03/2021-06", "--dry-run") == 0
    assert "Would read 11 radar pass(es) of descending 124" in cli.out
    assert cli(*line, "--during", "1999", "--dry-run") == 3


def test_in_python_a_site_is_followed_in_local_radar(files, tmp_path):
    site = Site.at(HALL_PLACE, radius_m=150, name="Hall")
    found = site.timeline("2021/2022", radar_images=files, radar_unit="db", sensor="s1", point=HALL_PLACE)
    assert found.radar.breaks_of(found.zones[-1].zone.name) and found.name == "Hall"
    assert "Hall" in save_timeline(found, tmp_path / "out").joinpath("timeline.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--sensor", "s3"], "there is no sensor 's3'; take s2 (optical), s1 (radar) or both"),
        (
            ["--radar-images", "x"],
            "where radar comes from is said, and none is followed; add",
        ),
        (["--sensor", "s1", "--radar-unit", "db"], "radar has a unit, and no file of it is read"),
        (
            ["--sensor", "s1", "--radar-provider", "earth-search", "--at", HALL_PLACE],
            "earth-search has no radar",
        ),
    ],
)
def test_contradictions_are_refused_in_words(cli, more, text):
    assert cli("timeline", "--during", "2022", *more) == 2
    assert text in " ".join(cli.err.split())
