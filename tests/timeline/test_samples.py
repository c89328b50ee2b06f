"""The simulated series, whose truth is known: every event in its interval, no decoy taken for building."""

import json
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from changedet.progress import Silent
from changedet.timeline.access import plan_local_series
from changedet.timeline.activity import built_up_pixels, measure_activity
from changedet.timeline.reading import read_series
from changedet.timeline.types import TimelineSettings, zone_timeline
from changedet.timeline.zones import polygon_zone, site_zone

SERIES = Path(__file__).resolve().parents[2] / "samples" / "series"


def zones_of(name, grid):
    table = gpd.read_file(SERIES / f"{name}.geojson").to_crs(str(grid.crs))
    return [(row, polygon_zone(row["name"], row.geometry, grid)) for _, row in table.iterrows()]


@pytest.fixture(scope="module")
def read():
    plan = plan_local_series(SERIES)
    grid = plan.frame.grid
    rows = {name: zones_of(name, grid) for name in ("truth", "decoys")}
    zones = [site_zone(None, grid), *(zone for name in rows for _, zone in rows[name])]
    reading = read_series(plan, zones, Silent())
    found = {
        zone.name: zone_timeline(zone, one, reading, TimelineSettings())
        for zone, one in zip(zones, reading.zones, strict=True)
    }
    return reading, found, {name: [row for row, _ in rows[name]] for name in rows}


def day(text):
    return date.fromisoformat(str(text)[:10])


def test_every_event_is_dated_between_two_clear_dates(read):
    _, found, rows = read
    for row in rows["truth"]:
        breaks = found[row["name"]].breaks
        dated = [one for one in breaks if day(one.after) < day(row["date"]) <= day(one.by)]
        assert dated, (row["name"], str(row["date"]), [one.to_dict() for one in breaks])


def test_lasting_events_persist_and_are_of_the_built_kind(read):
    _, found, rows = read
    for row in rows["truth"]:
        built = [one for one in found[row["name"]].breaks if one.built]
        lasting = str(row["end_date"]) in {"None", "NaT", "nan"}
        assert bool(built) == lasting, row["name"]


def test_what_was_filled_again_is_over_by_the_date_on_which_it_was(read):
    _, found, rows = read
    (row,) = (row for row in rows["truth"] if str(row["end_date"])[:1].isdigit())
    (one,) = found[row["name"]].breaks
    assert one.state == "over"
    assert day(one.last_seen) < day(row["end_date"]) <= day(one.over_by)


def test_decoys_give_no_persisting_break(read):
    _, found, rows = read
    for row in rows["decoys"]:
        assert not [one for one in found[row["name"]].breaks if one.state == "persisting"], row["name"]


def test_dates_are_registered_to_a_tenth_of_a_pixel_or_left_out(read):
    reading, _, _ = read
    truth = json.loads((SERIES / "truth.json").read_text())["scenes"]
    true = {scene["time_utc"][:10]: scene["shift_px"] for scene in truth}
    off = {one.date: np.hypot(*np.subtract(one.shift_px, true[one.date])) for one in reading.dates}
    assert max(off.values()) < 0.1, off
    assert len(reading.dates) + len(reading.left_out) == 24
    assert all("could not be registered" in one.reason for one in reading.left_out)


def test_built_up_ground_is_the_apron_and_its_buildings_and_hardly_moves(read):
    reading, _, _ = read
    built = built_up_pixels(reading)
    assert 500 < built.sum() < 2000
    activity = measure_activity(reading, built, TimelineSettings())
    known = activity.built_share[np.isfinite(activity.built_share)]
    assert len(known) >= 14 and known.max() < 0.12
