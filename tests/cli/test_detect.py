import json
import re
import shutil

import geopandas as gpd
import pytest
import rasterio

from changedet.provenance import compare_folders, verify
from changedet.result import ChangeResult, State

PRODUCTS = {
    "report.html", "run.json", "score.tif", "construction.tif", "state.tif", "kind.tif", "before.tif",
    "after.tif", "changes.gpkg", "changes.geojson", "changes.kmz", "changes.csv", "plates",
    "seasonal.gpkg", "seasonal.geojson",
}  # fmt: skip
SMALL = ("--at", "38.2707, 126.4994", "--radius", "400m")


@pytest.fixture
def pair(sample):
    return ("detect", "--before", sample / "before", "--after", sample / "after")


@pytest.fixture
def quick(pair, no_plates):
    """A comparison of a small site without pictures."""
    return (*pair, *SMALL, "--no-keep-images")


class TestTheRunFolder:
    def test_it_holds_everything_and_is_whole(self, sample_run):
        assert {p.name for p in sample_run.iterdir()} == PRODUCTS
        assert verify(sample_run).passed
        assert [p.name for p in sample_run.parent.iterdir() if p.name != "home"] == ["run"]
        assert len(list((sample_run / "plates").glob("*.png"))) > 3

    def test_rasters_lie_on_the_grid_of_the_before_image(self, sample_run, sample):
        with rasterio.open(next((sample / "before").glob("*B02.tif"))) as file:
            expected = file.shape, file.transform, file.crs
        for name in ("score", "construction", "state", "kind", "before", "after"):
            with rasterio.open(sample_run / f"{name}.tif") as file:
                assert (file.shape, file.transform, file.crs) == expected

    def test_the_events_are_in_the_vector_file(self, sample_run, sample):
        objects = gpd.read_file(sample_run / "changes.gpkg")
        events = gpd.read_file(sample / "truth.geojson").to_crs(objects.crs)
        found = sum(objects.intersection(g).area.sum() >= 0.3 * g.area for g in events.geometry)
        assert found >= 4

    def test_it_opens_as_it_was(self, sample_run, sample_result):
        opened = ChangeResult.open(sample_run)
        assert opened.name == "Sample pair"
        assert (opened.state == sample_result.state).all()
        assert opened.refusals == ()
        assert len(opened.objects) == len(sample_result.objects)
        assert len(opened.seasonal) == len(sample_result.seasonal) > 0

    def test_two_runs_differ_in_nothing_but_the_record(self, cli, quick, workplace):
        for folder in ("one/run", "two/run"):
            assert cli(*quick, "--out", folder) == 0
        found = compare_folders(workplace / "one" / "run", workplace / "two" / "run")
        assert found.passed
        assert "run.json" not in found.ok


class TestStreams:
    def test_stdout_is_the_result_and_stderr_is_silent_without_a_terminal(self, cli, quick):
        assert cli(*quick, "--out", "run") == 0
        assert cli.err == ""
        assert "candidate" in cli.out
        assert cli.out.splitlines()[0] == "SIMULATED IMAGERY: not real ground"
        assert cli.out.splitlines()[-1] == "report: run/report.html"

    def test_no_escape_codes(self, cli, quick):
        cli(*quick, "--out", "run", "-v")
        assert "\x1b" not in cli.out + cli.err
        cli("detect", "--before", "nowhere", "--after", "nowhere")
        assert "\x1b" not in cli.out + cli.err

    def test_verbose_tells_the_steps(self, cli, quick):
        cli(*quick, "--out", "run", "-v")
        steps = [re.fullmatch(r" *\d+\.\d s  (.+)", line)[1] for line in cli.err.splitlines()]
        assert steps[:2] == ["reading the images", "registering"]
        assert "report" in steps[-1]

    def test_quiet_wins_over_verbose_and_silences_warnings(self, cli, quick, sample):
        swapped = ("detect", "--before", sample / "after", "--after", sample / "before", *quick[5:])
        assert cli(*swapped, "--out", "loud") == 0
        assert "  warning: the before image is the later one" in cli.out
        assert cli.err == ""
        assert cli(*swapped, "--out", "document", "--json") == 0
        assert "changedet: warning: the before image is the later one" in cli.err
        assert cli(*swapped, "--out", "calm", "--json", "-q", "-v") == 0
        assert cli.err == ""

    def test_the_document_is_the_record_and_the_folder(self, cli, quick, workplace):
        assert cli(*quick, "--out", "run", "--json") == 0
        document = json.loads(cli.out)
        assert document.pop("folder") == "run"
        assert document == json.loads((workplace / "run" / "run.json").read_text())
        assert document["counts"]["objects"] > 0

    def test_a_progress_bar_can_be_asked_for(self, cli, quick, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        assert cli(*quick, "--out", "run", "--progress") == 0
        assert "\x1b[3" not in cli.err
        assert "candidate" in cli.out


class TestOptions:
    def test_something_flagged_with_exit_code_is_one(self, cli, quick, sample):
        assert cli(*quick, "--out", "run", "--exit-code") == 1
        same = ("detect", "--before", sample / "before", "--after", sample / "before", *quick[5:])
        assert cli(*same, "--out", "same", "--exit-code") == 0
        assert "both images are the same scene" in cli.out

    def test_strict_turns_a_warning_into_a_refusal_that_writes_nothing(self, cli, quick, sample, workplace):
        assert cli(*quick, "--out", "run", "--strict") == 0
        swapped = ("detect", "--before", sample / "after", "--after", sample / "before", *quick[5:])
        assert cli(*swapped, "--out", "strict", "--strict") == 6
        assert "later one" in cli.error
        assert cli.error.endswith("or run without --strict")
        assert {p.name for p in workplace.iterdir()} == {"run"}

    @pytest.mark.parametrize(
        "place",
        [
            ("--at", "38.2707, 126.4994", "--radius", "500m"),
            ("--at", """38°16'14.5"N 126°29'57.8"E""", "--radius", "0.5km"),
            ("--bbox", "126.4940,38.2665,126.5050,38.2750"),
            ("--aoi", "site.geojson"),
        ],
    )
    def test_places_restrict_the_comparison(self, cli, pair, no_plates, workplace, place):
        outline = gpd.GeoSeries.from_wkt(
            ["POLYGON((126.495 38.267, 126.504 38.267, 126.4995 38.275, 126.495 38.267))"], crs=4326
        )
        outline.to_file(workplace / "site.geojson", driver="GeoJSON")
        assert cli(*pair, *place, "--name", "Here", "--out", "run") == 0
        with rasterio.open(workplace / "run" / "state.tif") as file:
            state = file.read(1)
            assert file.nodata == State.OUTSIDE
        assert max(state.shape) < 140
        inside = (state != State.OUTSIDE).mean()
        assert (0.4 < inside < 0.6) if "--aoi" in place else inside > 0.9
        assert json.loads((workplace / "run" / "run.json").read_text())["name"] == "Here"

    def test_the_utm_grid(self, cli, quick, workplace):
        assert cli(*quick, "--grid", "utm", "--out", "run") == 0
        assert json.loads((workplace / "run" / "run.json").read_text())["grid"]["crs"] == "EPSG:32652"

    def test_a_time_the_files_do_not_say(self, cli, quick, workplace):
        assert cli(*quick, "--after-time", "2023-07-20T02:16", "--out", "run", "--json") == 0
        scene = json.loads(cli.out)["scenes"]["after"]
        assert scene["time_utc"] == "2023-07-20T02:16:00Z"
        assert "60 days of the year apart" in cli.err

    def test_a_day_without_a_time_stays_a_day(self, cli, quick, workplace):
        assert cli(*quick, "--after-time", "2023-07-20", "--out", "run", "--json") == 0
        document = json.loads(cli.out)
        assert document["scenes"]["after"]["time_utc"] == "2023-07-20"
        assert document["inputs"]["after"]["options"]["time"] == "2023-07-20"

    def test_what_is_said_of_one_date_wins_over_both(self, cli, quick, workplace):
        code = cli(*quick, "--scale", "0.0001", "--offset", "0", "--after-offset", "-0.1", "--out", "run")
        assert code == 0
        said = json.loads((workplace / "run" / "run.json").read_text())["inputs"]
        assert [said[d]["options"]["offset"] for d in ("before", "after")] == [0.0, -0.1]

    def test_without_out_the_folder_is_named_after_tile_and_date(self, cli, pair, no_plates, workplace):
        assert cli(*pair, "--no-keep-images") == 0
        assert (workplace / "changedet-runs" / "T52SBH-2023-05-21" / "run.json").is_file()
        assert cli(*pair) == 2
        assert "T52SBH-2023-05-21: the folder exists and is not empty" in cli.error

    def test_overwrite_replaces_a_run_whole(self, cli, quick, workplace):
        assert cli(*quick, "--out", "run") == 0
        old = (workplace / "run" / "changes.csv").read_bytes()
        assert cli(*quick, "--out", "run", "--overwrite", "--min-area", "5000") == 0
        assert (workplace / "run" / "changes.csv").read_bytes() != old
        assert verify(workplace / "run").passed
        assert [p.name for p in workplace.iterdir()] == ["run"]

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("--grid", "wgs84"), "unknown grid 'wgs84'; choose before or utm"),
            (("--method", "magic"), "unknown method 'magic'; choose one of"),
            (("--min-area", "big"), "'big': not an area; write it like 400m2 or 2ha"),
            (("--at", "nowhere"), "nowhere"),
            (("--at", "126.5, 38.3"), "latitude 126.5 is outside -90..90 .is longitude first.*"),
            (("--at", "1, 2", "--radius", "-3"), "-3"),
            (("--at", "1, 2", "--bbox", "1,2,3,4"), "--at and --bbox contradict each other; give one"),
            (("--bbox", "1,2,3"), "'1,2,3': not a box; write it as W,S,E,N in degrees"),
            (("--bbox", "3,2,1,4"), "is empty"),
            (("--aoi", "gone.kml"), "gone.kml: no such file"),
            (("--before-time", "noon"), "'noon': not a time; write it like 2023-05-14T02:07:01Z"),
            (("--threshold", "0"), "--threshold"),
            (("--threshold", "many"), "--threshold"),
            (("--max-residual", "0"), "--max-residual"),
            (("--befor", "x"), "No such option:? '?--befor.*see changedet detect --help"),
            (("stray",), "stray"),
        ],
    )
    def test_wrong_options_are_one_line_and_read_nothing(self, cli, pair, workplace, arguments, text):
        wanted = 8 if "--aoi" in arguments else 2
        assert cli(*pair, *arguments, "--out", "run") == wanted
        assert re.search(text, cli.error), cli.error
        assert cli.out == ""
        assert not list(workplace.iterdir())

    def test_a_missing_option_is_named(self, cli):
        assert cli("detect", "--before", "x") == 2
        assert "Missing option '--after'; see changedet detect --help" in cli.error

    def test_an_outline_file_with_several_is_refused(self, cli, pair, workplace):
        points = gpd.GeoSeries.from_wkt(
            ["POLYGON((0 0,1 0,1 1,0 0))", "POLYGON((2 2,3 2,3 3,2 2))"], crs=4326
        )
        points.to_file(workplace / "two.geojson", driver="GeoJSON")
        assert cli(*pair, "--aoi", "two.geojson") == 2
        assert "two.geojson: holds 2 outlines; give a file with one" in cli.error


def test_a_name_becomes_a_safe_folder():
    from changedet.cli.detect import default_folder

    assert default_folder("../../x </y>\x00\x1b[31m", "2024-01-02").as_posix() == (
        "changedet-runs/x---y----31m-2024-01-02"
    )
    assert default_folder("///", "unknown date").as_posix() == "changedet-runs/run-unknown-date"
    assert default_folder("Пхеньян 평양", "2024-01-02").name == "Пхеньян-평양-2024-01-02"
    assert len(default_folder("\U00020000" * 300, "2024-01-02").name.encode()) < 230


def test_paths_with_spaces_and_other_letters(cli, sample, no_plates, tmp_path):
    scenes = tmp_path / "сцены и 画像 é"
    for date in ("before", "after"):
        shutil.copytree(sample / date, scenes / date)
    out = tmp_path / "выход 1" / "résultat '2'"
    code = cli("detect", "--before", scenes / "before", "--after", scenes / "after", *SMALL, "--out", out)
    assert code == 0
    assert verify(out).passed
    assert str(out) in cli.out


def test_a_radius_without_a_centre_is_refused(cli, sample):
    given = ("detect", "--before", sample / "before", "--after", sample / "after", "--radius", "300m")
    assert cli(*given) == 2
    assert "--radius says nothing without --at; give the centre of the site" in cli.error
