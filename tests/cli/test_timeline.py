"""``changedet timeline`` on the bundled series: what it prints, writes and refuses."""

import json
from pathlib import Path

import pytest

from changedet.cli import run as command

SERIES = Path(__file__).resolve().parents[2] / "samples" / "series"
PAD = "38.2742, 126.5036"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "out"
    # simulated scenes lie within a pixel, and the pad is eight pixels wide
    line = ["timeline", "--images", str(SERIES), "--point", PAD, "--no-register", "--index", "ndvi,bsi"]
    return [*line, "--out", str(folder)], folder


def test_it_writes_a_folder_and_says_what_it_found(made, capsys):
    line, folder = made
    assert command([*line, "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["folder"] == str(folder) and document["indices"] == ["NDVI", "BSI"]
    assert "changedet: warning: the dates were not registered to each other, as asked" in said.err
    assert document["command"][0] == "changedet"
    pad = document["zones"][-1]
    assert pad["kind"] == "point" and pad["breaks"][-1]["kind"] == "earthworks"
    assert pad["breaks"][-1]["after"] < "2021-09-20" <= pad["breaks"][-1]["by"]
    assert len(document["dates"]) == 24
    assert (folder / "timeline.html").is_file()
    assert command(line) == 2
    assert "the folder exists and is not empty" in capsys.readouterr().err


def test_a_dry_run_lists_the_dates_and_writes_nothing(capsys, workplace):
    assert command(["timeline", "--images", str(SERIES), "--during", "2022", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count("SIMULATED_MSIL2A_2022") == 11
    assert said.endswith("Would read 11 date(s) of 128 x 128 pixels.\n")
    assert not list(workplace.iterdir())


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ([], 2, "no span of time was given; give --during, such as 2022/2024; local scenes (--images)"),
        (["--during", "2022"], 2, "no place was given; give --at and --radius, --bbox, --aoi, or --images"),
        (["--images", "nowhere"], 8, "nowhere: no such folder"),
        (["--images", str(SERIES), "--index", "evi"], 2, "there is no index 'evi'"),
        (["--images", str(SERIES), "--during", "1999"], 3, "no date lies in 1999; choose another --during"),
        (["--images", str(SERIES), "--at", "38.9, 126.5"], 8, "lies outside"),
        (["--images", str(SERIES), "--point", "38.9, 126.5"], 8, "the point lies outside the site"),
        (["--images", str(SERIES), "--object", "x"], 2, "write it as RUNFOLDER:ID"),
        (["--images", str(SERIES), "--object", "x:1"], 8, "x: no such run folder; check the path before"),
    ],
)
def test_refusals_are_one_line(more, code, text, capsys, workplace):
    assert command(["timeline", *more]) == code
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1
    assert not list(workplace.iterdir())
