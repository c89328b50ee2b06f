"""The file is a GeoPackage that other programs open, and outlines survive it."""

import re
import sqlite3
import struct
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, box
from tests.watch.folders import known_run, make_run

from changedet.errors import InputFileError
from changedet.watch.geopackage import (
    APPLICATION_ID,
    blob_to_outline,
    day_of,
    outline_to_blob,
    run_statements,
    to_lonlat,
    utc_text,
)
from changedet.watch.schema import TABLES
from changedet.watch.state import open_state


@given(st.floats(-179, 170), st.floats(-80, 80), st.floats(0.0001, 5), st.floats(0.0001, 5))
def test_an_outline_comes_back_as_it_went(west, south, width, height):
    outline = MultiPolygon([box(west, south, west + width, south + height)])
    assert blob_to_outline(outline_to_blob(outline)).equals_exact(outline, 0)


def test_a_blob_of_another_program_without_a_box_is_read():
    outline = box(1, 2, 3, 4)
    blob = struct.pack("<2sBBi", b"GP", 0, 0b1, 4326) + shapely.to_wkb(outline)
    assert blob_to_outline(blob).equals(outline)


@pytest.mark.parametrize(
    "blob", [b"", b"GP", b"XX" + bytes(60), b"GP\0\x03" + bytes(40), b"GP\0\x0f" + bytes(90)]
)
def test_what_is_no_outline_is_refused(blob):
    with pytest.raises(InputFileError, match=r"outline is .*; use an unaltered copy"):
        blob_to_outline(blob)


@pytest.mark.parametrize("place", [float("nan"), float("inf"), float("-inf")])
def test_an_outline_that_lies_nowhere_is_refused(place):
    line = struct.pack("<bIIdddd", 1, 2, 2, 1.0, 2.0, place, 4.0)
    with pytest.raises(InputFileError, match="lies nowhere; use an unaltered copy"):
        blob_to_outline(struct.pack("<2sBBi", b"GP", 0, 0b1, 4326) + line)


def test_an_outline_across_the_antimeridian_is_cut_there():
    ground = gpd.GeoSeries([box(179.99, -17, 180.01, -16.99)], crs=4326)
    moved = ground.to_crs(32760).iloc[0]
    outline = to_lonlat(moved, "EPSG:32760")
    west, _, east, _ = outline.bounds
    assert (west, east) == (-180, 180)
    assert len(outline.geoms) == 2
    assert outline.area == pytest.approx(0.02 * 0.01, rel=1e-2)


def test_what_has_no_area_has_no_parts():
    assert to_lonlat(Point(1, 2), "EPSG:4326").is_empty
    bow = shapely.from_wkt("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))")
    assert to_lonlat(bow, "EPSG:4326").area == pytest.approx(2)


def test_times_are_utc_to_the_millisecond():
    moment = datetime(2026, 5, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert utc_text(moment) == "2026-05-01T12:30:00.123Z"
    assert utc_text(moment.replace(tzinfo=None)) == "2026-05-01T14:30:00.123Z"
    assert datetime.fromisoformat(utc_text(moment)) == moment.replace(microsecond=123000)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025-05-26", date(2025, 5, 26)),
        ("2025-05-26T23:30:00-02:00", date(2025, 5, 27)),
        ("", None),
        ("soon", None),
    ],
)
def test_days_are_those_of_utc(text, day):
    assert day_of(text) == day


def test_statements_stay_in_the_transaction():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("BEGIN")
    run_statements(connection, "CREATE TABLE a (b);\nINSERT INTO a\n VALUES (1);\n")
    assert connection.in_transaction
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    connection.close()


def test_gdal_opens_every_layer_with_its_box_and_its_times(tmp_path):
    file = tmp_path / "verdicts.gpkg"
    known_run(file, make_run(tmp_path / "run"))
    layers = dict(pyogrio.list_layers(file).tolist())
    assert {t.name: "MultiPolygon" if t.layer else None for t in TABLES}.items() <= layers.items()
    objects = pyogrio.read_dataframe(file, layer="objects")
    assert len(objects) == 3
    assert objects.crs.to_epsg() == 4326
    about = pyogrio.read_info(file, layer="objects")
    assert about["total_bounds"] == pytest.approx(objects.total_bounds)
    assert about["fid_column"] == "fid"
    assert about["geometry_name"] == "geom"
    sites = pyogrio.read_dataframe(file, layer="sites")
    assert sites["added_utc"].dt.tz is not None
    assert abs(sites["added_utc"].iloc[0] - datetime.now(UTC)) < timedelta(minutes=5)
    assert sites.geometry.iloc[0].contains(objects.geometry.iloc[0])


def test_the_head_is_that_of_the_format(tmp_path):
    file = tmp_path / "v.gpkg"
    with open_state(file, write=True) as state:
        assert state.rows("PRAGMA application_id")[0]["application_id"] == APPLICATION_ID
        assert state.rows("PRAGMA user_version")[0]["user_version"] == 10300
        systems = {row["srs_id"] for row in state.rows("SELECT srs_id FROM gpkg_spatial_ref_sys")}
        listed = {row["table_name"] for row in state.rows("SELECT table_name FROM gpkg_contents")}
    assert systems == {-1, 0, 4326}
    assert listed == {table.name for table in TABLES}
    assert file.read_bytes()[:16] == b"SQLite format 3\0"
    assert file.read_bytes()[68:72] == b"GPKG"


def test_the_documents_name_every_table_and_column(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    part = text.split("### Tables of the state file\n")[1]
    told = {found[1]: found[0] for found in re.finditer(r"^\| `(\w+)`.*$", part, re.MULTILINE)}
    with open_state(tmp_path / "v.gpkg", write=True) as state:
        for table in TABLES:
            found = [row["name"] for row in state.rows(f"PRAGMA table_info({table.name})")]
            assert found[: 1 + table.layer] == ["fid", "geom"][: 1 + table.layer]
            missing = [
                name for name in found if name not in {"fid", "geom"} and f"`{name}`" not in told[table.name]
            ]
            assert missing == [], table.name
            assert ("(layer)" in told[table.name]) is table.layer
    assert set(told) == {table.name for table in TABLES}
