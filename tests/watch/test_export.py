"""Verdicts as files for others."""

import csv

import geopandas as gpd
import pyogrio
import pytest
import shapely
from tests.watch.folders import make_run

from changedet.errors import OutputError, OutputExistsError, UsageError
from changedet.watch.export import COLUMNS, write_verdicts
from changedet.watch.state import open_state
from changedet.watch.verdicts import Judgement, Verdict, history, record


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    run = make_run(folder / "run")
    record(folder / "v.gpkg", run, 1, Judgement(Verdict.ACCEPTED, "Ann", "=cmd()", blind=True))
    record(folder / "v.gpkg", run, 2, Judgement(Verdict.UNSURE, "Bob", 'so, "perhaps"'))
    with open_state(folder / "v.gpkg") as state:
        return history(state)


@pytest.mark.parametrize("ending", [".gpkg", ".geojson"])
def test_geographic_files_hold_every_verdict_with_its_outline(told, tmp_path, ending):
    path = write_verdicts(told, tmp_path / f"verdicts{ending}")
    read = pyogrio.read_dataframe(path)
    assert tuple(read.columns) == (*COLUMNS, "geometry")
    assert read["verdict"].tolist() == ["accepted", "unsure"]
    assert read["note"].tolist() == ["=cmd()", 'so, "perhaps"']
    assert read["blind"].astype(bool).tolist() == [True, False]
    # of a single part GDAL before 3.10 makes a polygon
    distances = shapely.hausdorff_distance(read.geometry.to_numpy(), told.geometry.to_numpy())
    assert distances.max() <= 1e-7
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_a_table_holds_outlines_as_text_and_no_formulas(told, tmp_path):
    path = write_verdicts(told, tmp_path / "verdicts.csv")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [*COLUMNS, "wkt"]
    assert [row["note"] for row in rows] == ["'=cmd()", 'so, "perhaps"']
    assert shapely.from_wkt(rows[0]["wkt"]).equals_exact(told.geometry.iloc[0], 1e-7)


def test_a_file_without_verdicts_has_its_columns(told, tmp_path):
    path = write_verdicts(told.iloc[:0], tmp_path / "none.gpkg")
    assert isinstance(read := pyogrio.read_dataframe(path), gpd.GeoDataFrame)
    assert (len(read), tuple(read.columns)) == (0, (*COLUMNS, "geometry"))


def test_nothing_is_overwritten_unasked(told, tmp_path):
    path = tmp_path / "verdicts.csv"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="is there already"):
        write_verdicts(told, path)
    assert path.read_text() == "mine"
    write_verdicts(told, path, overwrite=True)
    assert path.read_text() != "mine"


def test_endings_and_places_that_cannot_be_are_said(told, tmp_path):
    with pytest.raises(UsageError, match=r"end it in \.gpkg, \.geojson, \.csv"):
        write_verdicts(told, tmp_path / "verdicts.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_verdicts(told, tmp_path / "file" / "verdicts.csv")
