"""The folder of a timeline: whole or not at all, the same numbers everywhere, a page that loads nothing."""

import csv
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.timelines import make_images, make_synthetic

from changedet.errors import OutputError, OutputExistsError, UsageError
from changedet.output.timeline_charts import activity_chart, zone_charts
from changedet.output.timeline_chips import chip_names, draw_chips
from changedet.output.timeline_facts import zone_sentences, zones_to_show
from changedet.output.timeline_folder import (
    COLUMNS,
    SCHEMA,
    check_timeline_target,
    save_timeline,
    timeline_csv,
    timeline_record,
)
from changedet.output.timeline_page import timeline_html
from changedet.output.timeline_plot import day_of, month_starts
from changedet.timeline.access import LeftOut

STARTED = datetime(2024, 1, 2, tzinfo=UTC)
FILES = {"timeline.csv", "timeline.json", "timeline.png", "timeline.html", "contact_sheet.png",
         "animation.webp", "chips"}  # fmt: skip


@pytest.fixture(scope="module")
def timeline():
    found = make_synthetic(make_images(24, 30, built_at=14, hidden={5, 13}))
    left = (LeftOut("2022-02-02", "lost", "could not be registered: too little of it is clear"),)
    return replace(found, left_out=left, name="Pier <script>alert(1)</script>")


@pytest.fixture(scope="module")
def folder(timeline, tmp_path_factory):
    return save_timeline(
        timeline, tmp_path_factory.mktemp("t") / "out", command=["changedet"], started=STARTED
    )


def test_everything_is_there_with_its_digest(timeline, folder):
    assert {path.name for path in folder.iterdir()} == FILES
    record = json.loads((folder / "timeline.json").read_text())
    assert record["schema"] == SCHEMA and record["command"] == ["changedet"]
    for name, entry in record["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
    assert len(record["files"]) == len(timeline.dates) + len(FILES) - 2
    assert record["left_out"][0]["reason"].startswith("could not be registered")
    assert record["zones"][-1]["breaks"][0]["state"] == "persisting"


def test_the_same_timeline_gives_the_same_bytes(timeline, folder, tmp_path):
    again = save_timeline(timeline, tmp_path / "out", command=["changedet"], started=STARTED)
    one, other = (json.loads((path / "timeline.json").read_text()) for path in (folder, again))
    assert one["files"] == other["files"]


def test_the_table_says_every_value_and_every_date_that_was_left_out(timeline, folder):
    with (folder / "timeline.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 24 * len(timeline.zones) * 3 + 1
    zone = timeline.zones[-1]
    mine = [row for row in rows if row["zone"] == zone.zone.name and row["index"] == "NDVI"]
    for row, value, expected in zip(mine, zone.values[:, 0], zone.expected[:, 0], strict=True):
        assert (row["value"] == "") == np.isnan(value)
        if row["value"]:
            assert float(row["value"]) == pytest.approx(float(value), abs=1e-4)
            assert float(row["band_low"]) < float(row["expected"]) < float(row["band_high"])
            assert float(row["expected"]) == pytest.approx(float(expected), abs=1e-4)
    assert mine[5]["counts"] == "no" and mine[5]["reason"].startswith("cloud or shadow over it")
    assert {row["outside"] for row in mine[14:]} == {"yes"}
    assert rows[-1]["date"] == "2022-02-02" and rows[-1]["counts"] == "no"


def test_the_page_loads_nothing_and_escapes_names(timeline, folder):
    page = (folder / "timeline.html").read_text()
    assert "default-src 'none'" in page
    assert len(page) < 2_000_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<script>alert(1)" not in page
    for sentence in zone_sentences(timeline.zones[-1]):
        assert sentence.replace("'", "&#39;") in page
    assert "could not be registered" in page and "SIMULATED IMAGERY" in page
    assert page.count('class="chart"') == 3 * len(timeline.zones) + 1


def test_many_dates_keep_the_page_small():
    many = make_synthetic(make_images(130, 7, built_at=80))
    record = timeline_record(many, started=STARTED)
    assert len(timeline_html(many, draw_chips(many), record)) < 2_000_000


def test_what_lies_in_a_chart_lies_inside_it(timeline):
    for zone in timeline.zones:
        for chart in (*zone_charts(timeline, zone), activity_chart(timeline)):
            for point in chart["points"]:
                assert chart["left"] <= point["x"] <= chart["right"]
                assert chart["top"] - 5 <= point["y"] <= chart["bottom"] + 5
            assert 3 <= len(chart["y_ticks"]) <= 8
    (strip,) = zone_charts(timeline, timeline.zones[-1])[0]["strips"]
    assert strip["css"] == "began" and strip["width"] > 2


def test_chips_have_one_stretch_and_the_zone_in_their_middle(timeline):
    pictures = draw_chips(timeline)
    assert len(pictures) == 24 and len({picture.shape for picture in pictures}) == 1
    yellow = (pictures[0] == (255, 221, 0)).all(axis=2)
    rows, columns = np.nonzero(yellow)
    side = pictures[0].shape[0] // timeline.chips.planes.shape[2]
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (3 * side + 2, 3 * side + 2)
    middle = rows.mean().astype(int), columns.mean().astype(int)
    assert pictures[20][middle].mean() > pictures[2][middle].mean() + 60
    assert len(set(chip_names(timeline))) == 24


def test_zones_that_were_asked_for_come_first(timeline):
    assert [one.zone.kind for one in zones_to_show(timeline)] == ["point", "built-up", "site"]


def test_nothing_is_overwritten_unless_asked_and_never_what_is_not_ours(timeline, folder, tmp_path):
    with pytest.raises(OutputExistsError, match="not empty"):
        save_timeline(timeline, folder)
    target = tmp_path / "out"
    save_timeline(timeline, target, started=STARTED)
    save_timeline(timeline, target, overwrite=True, started=STARTED)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"holds what no timeline wrote \(notes.txt\)"):
        save_timeline(timeline, target, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text("{}")
    with pytest.raises(OutputExistsError, match="holds what no timeline wrote"):
        save_timeline(timeline, other, overwrite=True)
    assert (target / "notes.txt").read_text() == "mine"


def test_a_link_and_the_working_directory_are_no_target(timeline, tmp_path, monkeypatch):
    target = save_timeline(timeline, tmp_path / "out", started=STARTED)
    (tmp_path / "link").symlink_to(target, target_is_directory=True)
    with pytest.raises(OutputExistsError, match="is a link to a folder elsewhere"):
        check_timeline_target(tmp_path / "link", overwrite=True)
    monkeypatch.chdir(target)
    with pytest.raises(UsageError, match="a timeline needs a folder of its own; name a new folder"):
        check_timeline_target(target, overwrite=True)


def test_a_timeline_that_a_killed_process_had_set_aside_gets_its_name_again(timeline, tmp_path):
    target = save_timeline(timeline, tmp_path / "out", started=STARTED)
    target.rename(tmp_path / ".out.old-0123abcd")
    with pytest.raises(OutputExistsError, match="not empty"):
        check_timeline_target(target)
    assert (target / "timeline.json").is_file()


def test_a_failure_leaves_nothing_behind(timeline, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("changedet.output.timeline_folder.plot_timeline", fails)
    with pytest.raises(OutputError, match="nothing was written: the disk is full; free some space"):
        save_timeline(timeline, tmp_path / "deep" / "out")
    assert list(tmp_path.iterdir()) == []


def test_without_visible_bands_there_are_no_chips(tmp_path):
    images = [image.select(("B04", "B08")) for image in make_images(12, 60, built_at=9)]
    found = make_synthetic(images, indices=("NDVI",))
    folder = save_timeline(found, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == FILES - {
        "chips",
        "contact_sheet.png",
        "animation.webp",
    }
    assert timeline_csv(found).count("\n") == 12 * len(found.zones) + 1


def test_months_on_the_axis_are_few_and_round():
    labels = [text for _, text in month_starts(day_of("2017-01-15"), day_of("2024-12-31"))]
    assert len(labels) <= 15 and {label[-2:] for label in labels} <= {"01", "07"}
    assert month_starts(day_of("2024-03-02"), day_of("2024-03-20")) == []
