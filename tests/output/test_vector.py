import csv
import json
import math
import resource
from dataclasses import replace
from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthetic import GRID, make_result

from changedet.errors import InputFileError, MissingInputError, OutputError
from changedet.objects import COLUMNS
from changedet.output.vector import (
    LAYER,
    WKT_COLUMN,
    object_table,
    read_gpkg,
    write_csv,
    write_geojson,
    write_gpkg,
    write_vectors,
)

EMPTY = {"boxes": [], "kinds": []}


def with_cell(column, value, **changes):
    result = make_result(**changes)
    objects = result.objects.copy()
    objects.loc[0, column] = value
    return replace(result, objects=objects)


def with_geometry(geometry):
    result = make_result()
    objects = result.objects.copy()
    objects.loc[0, "geometry"] = geometry
    return replace(result, objects=objects)


def ring_with_hole():
    x, y = 246500, 4276000
    return shapely.box(x, y, x + 100, y + 100).difference(shapely.box(x + 30, y + 30, x + 60, y + 60))


def rows(path):
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def test_geopackage_round_trip(tmp_path):
    result = make_result()
    write_gpkg(tmp_path / "changes.gpkg", result)
    back = read_gpkg(tmp_path / "changes.gpkg")
    assert_geodataframe_equal(back, object_table(result))
    assert back.crs == result.objects.crs
    assert list(back.columns) == [*COLUMNS, "geometry"]
    assert [tuple(layer) for layer in pyogrio.list_layers(tmp_path / "changes.gpkg")] == [(LAYER, "Polygon")]


def test_geopackage_keeps_parts_and_holes(tmp_path):
    far = shapely.box(246900, 4275600, 246950, 4275650)
    shape = shapely.MultiPolygon([ring_with_hole(), far])
    write_gpkg(tmp_path / "changes.gpkg", with_geometry(shape))
    back = read_gpkg(tmp_path / "changes.gpkg")
    assert back.geometry.iloc[0].equals(shape)
    assert len(back.geometry.iloc[0].geoms[0].interiors) == 1


def test_geopackage_bytes_repeat_and_the_time_stamp_is_that_of_the_image(tmp_path):
    for name in ("a.gpkg", "b.gpkg"):
        write_gpkg(tmp_path / name, make_result())
    first, second = ((tmp_path / n).read_bytes() for n in ("a.gpkg", "b.gpkg"))
    assert first == second
    assert b"2025-05-14T02:07:01" in first


def test_geopackage_without_a_known_time_is_dated_1970(tmp_path):
    result = make_result()
    after = replace(result.after, scene=replace(result.after.scene, time=None))
    write_gpkg(tmp_path / "a.gpkg", replace(result, after=after))
    assert b"1970-01-01T00:00:00" in (tmp_path / "a.gpkg").read_bytes()


def test_the_date_setting_is_given_back(tmp_path):
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2001-02-03T04:05:06.000Z"})
    try:
        write_gpkg(tmp_path / "a.gpkg", make_result())
        with pytest.raises(OutputError):
            write_gpkg(tmp_path / "no" / "a.gpkg", make_result())
        assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == "2001-02-03T04:05:06.000Z"
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    write_gpkg(tmp_path / "a.gpkg", make_result())
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_no_objects_still_have_columns_and_a_reference_system(tmp_path):
    write_vectors(make_result(**EMPTY), tmp_path)
    back = read_gpkg(tmp_path / "changes.gpkg")
    assert len(back) == 0
    assert list(back.columns) == [*COLUMNS, "geometry"]
    assert back.crs.to_epsg() == 32652
    assert dict(back.dtypes) == dict(object_table(make_result()).dtypes)
    document = json.loads((tmp_path / "changes.geojson").read_text())
    assert document["features"] == []
    assert all(name in document["description"] for name in COLUMNS)
    lines = (tmp_path / "changes.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines == [",".join([*COLUMNS, WKT_COLUMN])]


def test_geojson_follows_rfc_7946(tmp_path):
    result = with_geometry(ring_with_hole())
    write_geojson(tmp_path / "c.geojson", result)
    document = json.loads((tmp_path / "c.geojson").read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    assert "crs" not in document
    assert "Copernicus" in document["description"]
    wanted = result.objects.to_crs(4326)
    for feature, row in zip(document["features"], wanted.itertuples(), strict=True):
        assert tuple(feature["properties"]) == COLUMNS
        outer, *holes = feature["geometry"]["coordinates"]
        assert shapely.LinearRing(outer).is_ccw
        assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)
        numbers = np.array(outer)
        assert (
            (numbers[:, 0] > 126) & (numbers[:, 0] < 127) & (numbers[:, 1] > 38) & (numbers[:, 1] < 39)
        ).all()
        assert np.abs(np.round(numbers, 7) - numbers).max() == 0
        np.testing.assert_allclose(shapely.Polygon(outer, holes).area, row.geometry.area, rtol=1e-4)
    assert len(document["features"][0]["geometry"]["coordinates"]) == 2


def test_csv_holds_positions_and_an_outline_in_degrees(tmp_path):
    result = make_result()
    write_csv(tmp_path / "c.csv", result)
    found = rows(tmp_path / "c.csv")
    for row, (_, wanted) in zip(found, result.objects.iterrows(), strict=True):
        assert int(row["id"]) == wanted["id"]
        assert float(row["lat"]) == wanted["lat"]
        assert row["dms"] == wanted["dms"]
        outline = shapely.from_wkt(row[WKT_COLUMN])
        assert outline.contains(shapely.Point(wanted["lon"], wanted["lat"]))


def test_csv_leaves_negative_numbers_and_empties_nan(tmp_path):
    result = with_cell("lat", -38.5)
    result = replace(result, objects=result.objects.assign(score_mads=math.nan))
    write_csv(tmp_path / "c.csv", result)
    assert rows(tmp_path / "c.csv")[0]["lat"] == "-38.5"
    assert rows(tmp_path / "c.csv")[0]["score_mads"] == ""


@settings(max_examples=25, deadline=None)
@given(
    start=st.sampled_from("=+-@\t\r\n"), rest=st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
)
def test_a_spreadsheet_never_sees_a_formula(tmp_path_factory, start, rest):
    path = tmp_path_factory.getbasetemp() / "formula.csv"
    write_csv(path, with_cell("evidence", start + rest))
    assert rows(path)[0]["evidence"] == f"'{start}{rest}"


@pytest.mark.parametrize("text", ["NDVI = 0.3", 'a, "b"; c', "два", ""])
def test_harmless_text_is_unchanged_in_every_file(tmp_path, text):
    result = with_cell("evidence", text)
    write_vectors(result, tmp_path)
    assert rows(tmp_path / "changes.csv")[0]["evidence"] == text
    assert read_gpkg(tmp_path / "changes.gpkg")["evidence"][0] == text
    document = json.loads((tmp_path / "changes.geojson").read_text(encoding="utf-8"))
    assert document["features"][0]["properties"]["evidence"] == text


def test_missing_text_becomes_empty_not_a_word(tmp_path):
    write_vectors(with_cell("warnings", None), tmp_path)
    assert read_gpkg(tmp_path / "changes.gpkg")["warnings"][0] == ""
    assert rows(tmp_path / "changes.csv")[0]["warnings"] == ""


def test_extra_columns_stay_out_of_the_files(tmp_path):
    result = make_result()
    write_vectors(replace(result, objects=result.objects.assign(secret="x")), tmp_path)
    assert "secret" not in (tmp_path / "changes.geojson").read_text()
    assert "secret" not in read_gpkg(tmp_path / "changes.gpkg")


def test_files_that_are_there_are_replaced(tmp_path):
    write_vectors(make_result(), tmp_path)
    write_vectors(make_result(**EMPTY), tmp_path)
    assert len(read_gpkg(tmp_path / "changes.gpkg")) == 0
    assert rows(tmp_path / "changes.csv") == []


@pytest.mark.parametrize(
    ("write", "suffix"), [(write_gpkg, "gpkg"), (write_geojson, "geojson"), (write_csv, "csv")]
)
def test_a_folder_that_is_not_there_is_one_line(tmp_path, write, suffix):
    with pytest.raises(OutputError, match=r"objects cannot be written .*; check the free space") as caught:
        write(tmp_path / "no" / f"file.{suffix}", make_result())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("write", "suffix"), [(write_gpkg, "gpkg"), (write_geojson, "geojson"), (write_csv, "csv")]
)
def test_a_file_that_cannot_grow_is_an_output_error(tmp_path, write, suffix):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    result = with_cell("evidence", "x" * 40_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write(tmp_path / f"file.{suffix}", result)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(MissingInputError, match="no such file"):
        read_gpkg(tmp_path / "none.gpkg")
    (tmp_path / "bad.gpkg").write_bytes(b"SQLite format 3\x00 and nothing else")
    with pytest.raises(InputFileError, match="not a table of objects"):
        read_gpkg(tmp_path / "bad.gpkg")
    other = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)], crs=4326)
    pyogrio.write_dataframe(other, tmp_path / "other.gpkg", layer=LAYER, driver="GPKG")
    with pytest.raises(InputFileError, match="not a table of objects"):
        read_gpkg(tmp_path / "other.gpkg")


def test_an_object_table_without_a_reference_system_takes_that_of_the_grid():
    result = make_result()
    bare = gpd.GeoDataFrame(result.objects.to_wkb().assign(geometry=result.objects.geometry.to_numpy()))
    assert object_table(replace(result, objects=bare)).crs.to_epsg() == GRID.crs.epsg


def test_a_table_of_an_earlier_version_has_no_construction(tmp_path):
    result = make_result()
    with_all = tmp_path / "all.gpkg"
    write_gpkg(with_all, result)
    table = pyogrio.read_dataframe(with_all, layer="changes").drop(columns=["construction", "before_dates"])
    pyogrio.write_dataframe(table, tmp_path / "old.gpkg", layer="changes", driver="GPKG")
    back = read_gpkg(tmp_path / "old.gpkg")
    assert back["construction"].isna().all()
    assert (back["before_dates"] == "").all()
    assert list(back["score"]) == list(result.objects["score"])


def test_times_before_1970_or_in_other_zones_are_written_in_utc(tmp_path):
    result = make_result()
    zoned = datetime.fromisoformat("2025-05-14T11:07:01+09:00")
    scene = replace(result.after.scene, time=zoned)
    write_gpkg(tmp_path / "a.gpkg", replace(result, after=replace(result.after, scene=scene)))
    assert zoned.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").encode() in (tmp_path / "a.gpkg").read_bytes()
