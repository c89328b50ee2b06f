"""What benchmarks/watch.py says of a year is true of a small one, and what is wrong is seen."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from benchmarks import watch as benchmark
from tests.watch.many_sites import SITE_PX, square, story
from tests.watch.test_running import look

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_a_small_year_is_the_same_however_it_is_watched(tmp_path):
    line = [sys.executable, "-m", "tests.watch.small_year", str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["problems"] == [] and report["kills"] == 3
    found = [report[name] for name in ("sites", "events", "told_once", "told_more_often", "interval_holds")]
    assert found == [2, 1, 1, 0, 1] and report["alerts_without_event"] == 0
    assert "| differs from one go, lost or doubled | 0 |" in report["table"]


def test_what_differs_is_seen(tmp_path):
    look(tmp_path)
    found = benchmark.facts(tmp_path / "w.gpkg")
    assert benchmark.differing(found, found) == []
    for part in found["Pier"]:
        assert found["Pier"][part]
        other = {"Pier": found["Pier"] | {part: "another"}}
        assert benchmark.differing(found, other) == [f"Pier: {part}"]
    assert benchmark.differing({}, {"Pier": {"alerts": []}}) == ["Pier: alerts"]


def test_alerts_are_held_against_what_happened():
    stories = [story(number, benchmark.SINCE) for number in range(4)]
    stays, gone = [one for one in stories if one.gone is None], [one for one in stories if one.gone]
    before, after = (stays[0].built + timedelta(days=days) for days in (-3, 3))
    lon, lat = stays[0].place
    right = ("text", before.isoformat(), after.isoformat(), lat, lon)
    twice = ("text", before.isoformat(), after.isoformat(), *stays[1].place[::-1])
    told = {stays[0].name: {"alerts": [right, (*right[:3], lat + 0.001, lon)]},
            stays[1].name: {"alerts": [twice, twice]}, gone[0].name: {"alerts": [right]}}  # fmt: skip
    found = benchmark.judge(stories, told)
    assert (found["told_once"], found["told_more_often"], found["interval_holds"]) == (1, 1, 1)
    assert (found["alerts_without_event"], found["not_told"]) == (2, [])


def test_days_end_with_the_year():
    for every in (1, 7, 28, 73, 500):
        days = benchmark.steps(every)
        assert days[-1] == benchmark.UNTIL == max(days) and days == sorted(set(days))


def test_stories_keep_to_their_ground():
    for number in range(40):
        one = story(number, date(2023, 1, 1))
        assert 0 < one.area_m2 <= 100 * SITE_PX**2 and one == story(number, date(2023, 1, 1))
        assert one.stands(one.built) and not one.stands(one.built - timedelta(seconds=1))
        rows, columns = square(one)
        assert rows.start % 32 == columns.start % 32 == 0 and np.all(
            [part.stop <= 256 for part in (rows, columns)]
        )
