"""Radar of a timeline in files: the same numbers everywhere, marks inside their charts, tracks told apart."""

import csv
import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.radar_passes import FALLING
from tests.radar_series_passes import make_both, radar_images
from tests.timelines import make_images

from changedet.output.radar_series_facts import radar_sentences, step_text
from changedet.output.radar_series_page import mark_path, radar_charts, radar_context, radar_rows
from changedet.output.radar_series_plot import TRACK_MARKS, outside_band, radar_bands
from changedet.output.radar_series_table import RADAR_COLUMNS, radar_csv
from changedet.output.timeline_folder import save_timeline
from changedet.output.timeline_plot import plot_timeline

BUILT, STARTED = datetime(2022, 7, 14, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def both():
    rising = radar_images(built_on=BUILT)
    falling = radar_images(
        FALLING, hours=12, built_on=BUILT, over_on=datetime(2023, 3, 1, tzinfo=UTC), seed=4
    )
    return make_both(make_images(hidden=frozenset(range(18, 24))), rising, falling)


@pytest.fixture(scope="module")
def folder(both, tmp_path_factory):
    return save_timeline(both, tmp_path_factory.mktemp("radar") / "out", started=STARTED)


def test_the_table_has_every_pass_zone_and_polarisation(both, folder):
    with (folder / "radar.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == RADAR_COLUMNS and len(rows) == 150 * 2 * 2
    assert [row["time_utc"] for row in rows] == sorted(row["time_utc"] for row in rows)
    for track, own in both.radar.zones_of(both.zones[-1].zone.name):
        mine = [row for row in rows if (row["zone"], row["track"]) == (own.name, track.track.label)]
        for column, band in enumerate(track.bands):
            line = [row for row in mine if row["polarisation"] == band]
            np.testing.assert_allclose(
                [float(r["value_db"]) for r in line], own.value_db[:, column], atol=1e-4
            )
            for row in line:
                value, level, levelled = (float(row[f"{n}_db"]) for n in ("value", "level", "levelled"))
                assert value - level == pytest.approx(levelled, abs=3e-4)
                assert float(row["band_low_db"]) < float(row["expected_db"]) < float(row["band_high_db"])
    hidden = {row["date"] for row in rows if row["in_optical_gap"] == "yes"}
    assert min(hidden) > "2022-04-30" and max(hidden) < "2022-10-22" and len(hidden) == 14


def test_the_record_says_who_saw_what(both, folder):
    record = json.loads((folder / "timeline.json").read_text(encoding="utf-8"))
    radar = record["radar"]
    assert [one["track"] for one in radar["tracks"]] == ["ascending 44", "descending 124"]
    assert radar["zones"][-1]["breaks"][0]["seen_by"] == "both"
    assert radar["zones"][-1]["optical_gaps"][0]["radar_passes"] == 28
    assert "radar.csv" in record["files"] and record["parameters"]["sensor"] == "both"
    found = radar["tracks"][0]["zones"][-1]["breaks"][0]
    assert found["direction"] == "brighter" and found["steps_db"]["VV"] == pytest.approx(6, abs=0.7)


def test_the_same_radar_gives_the_same_bytes(both, folder):
    assert radar_csv(both) == (folder / "radar.csv").read_text(encoding="utf-8")


def test_charts_hold_their_marks_gaps_and_breaks(both):
    zone = both.zones[-1]
    charts = radar_charts(both, zone)
    assert [one["name"] for one in charts] == ["VV, dB", "VH, dB"]
    assert [one["dated"] for one in charts] == [False, True]
    for chart in charts:
        assert [one["css"] for one in chart["tracks"]] == ["track-0", "track-1"]
        for track in chart["tracks"]:
            assert len(track["marks"]) == 75
            for mark in track["marks"]:
                x, y = map(float, re.match(r"M([\d.]+) ([\d.]+)", mark["d"]).groups())
                assert chart["left"] - 5 <= x <= chart["right"] + 5
                assert chart["top"] - 9 <= y <= chart["bottom"] + 9
        kinds = [one["css"] for one in chart["strips"]]
        assert kinds == ["gap", "began", "began", "ended"]
    assert not radar_charts(both, both.zones[1])


def test_hollow_marks_are_those_outside_the_band(both):
    zone = both.zones[-1]
    chart = radar_charts(both, zone)[0]
    for (_, own), track in zip(both.radar.zones_of(zone.zone.name), chart["tracks"], strict=True):
        away = outside_band(both, own)[:, 0]
        assert ["away" in mark["css"] for mark in track["marks"]] == away.tolist()
    assert len({mark_path(number, 1, 1) for number in range(len(TRACK_MARKS))}) == len(TRACK_MARKS)


def test_the_page_says_it_in_the_same_words_and_loads_nothing(both, folder):
    page = (folder / "timeline.html").read_text(encoding="utf-8")
    for sentence in radar_sentences(both, both.zones[-1]):
        assert sentence in page
    for _, _, track, step, *_ in radar_rows(both, both.zones[-1]):
        assert track in page and step in page
    assert page.count('class="pass track-') > 600 and len(page) < 2_000_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert radar_context(both)["radar"]["gaps"]
    plain = make_both(make_images(12, 60, built_at=9))
    assert radar_context(plain) == {"radar": None} and radar_bands(plain, plain.zones[0]) == ()


def test_the_plot_has_a_panel_for_each_polarisation(both):
    panels = plot_timeline(both).axes
    labels = [axes.get_ylabel() for axes in panels]
    assert labels.count("VV, dB") == labels.count("VH, dB") == 2
    legend = next(axes.get_legend() for axes in panels if axes.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["ascending 44", "descending 124"]


def test_steps_are_said_with_their_sign(both):
    first, second = both.radar.breaks_of(both.zones[-1].zone.name)
    assert re.fullmatch(r"brighter by [56]\.\d dB \(VV \+\d\.\d, VH \+\d\.\d\)", step_text(first))
    assert second.state == "over"
