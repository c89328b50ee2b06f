"""Run folders become rows once, with their site, their objects and what objects are compared by."""

import json
import math

import geopandas as gpd
import pytest
from shapely.geometry import MultiPolygon, box
from tests.synthetic import make_result
from tests.watch.folders import known_run, make_run
from tests.watch.queries import list_sites

from changedet.errors import InputFileError, MissingInputError, UsageError, VerificationError
from changedet.output.vector import read_gpkg
from changedet.site import Site
from changedet.watch.geopackage import to_lonlat
from changedet.watch.object_features import FEATURES, object_features
from changedet.watch.runs import KEPT_COLUMNS, add_site, objects_of, read_run, run_row, site_row
from changedet.watch.state import open_state


@pytest.fixture
def file(tmp_path):
    return tmp_path / "verdicts.gpkg"


def test_a_run_is_kept_as_it_is(tmp_path, file):
    folder = make_run(tmp_path / "run")
    run_id = known_run(file, folder)
    told = read_gpkg(folder / "changes.gpkg")
    with open_state(file) as state:
        kept = objects_of(state, run_id=run_id)
        (row,) = state.rows("SELECT * FROM runs")
        assert run_row(state, read_run(folder)) == row
    assert kept["number"].tolist() == told["id"].tolist()
    for name in KEPT_COLUMNS:
        assert kept[name].tolist() == told[name].tolist(), name
    lonlat = [to_lonlat(outline, told.crs) for outline in told.geometry]
    assert all(a.equals_exact(b, 1e-12) for a, b in zip(kept.geometry, lonlat, strict=True))
    assert (row["status"], row["folder"], row["method"]) == ("done", str(folder), "predict")
    assert row["before_time"] == "2023-05-14T02:07:01Z"
    assert row["software"].startswith("changedet ")
    assert row["started_utc"] == "2026-01-01T00:00:00.000Z"


def test_a_run_known_twice_is_one_run(tmp_path, file):
    folder = make_run(tmp_path / "run")
    assert known_run(file, folder) == known_run(file, folder)
    with open_state(file) as state:
        (site,) = list_sites(state)
    assert (site["site"], site["runs"], site["objects"]) == ("Pier", 1, 3)


def test_a_run_without_candidates_is_a_run(tmp_path, file):
    run_id = known_run(file, make_run(tmp_path / "run", boxes=[]))
    with open_state(file) as state:
        kept = objects_of(state, run_id=run_id)
    assert len(kept) == 0
    assert {"number", "kind", "features"} <= set(kept.columns)


def test_two_places_of_one_name_are_not_one_site(tmp_path, file):
    known_run(file, make_run(tmp_path / "run"))
    elsewhere = MultiPolygon([box(10, 50, 10.1, 50.1)])
    with open_state(file, write=True) as state, state.change() as change:
        with pytest.raises(UsageError, match="a site 'Pier' elsewhere; call this one otherwise with --site"):
            add_site(change, "Pier", elsewhere)
        add_site(change, "Other pier", elsewhere, "harbours")
    with open_state(file) as state:
        assert [row["site"] for row in list_sites(state)] == ["Other pier", "Pier"]


def test_the_site_is_the_outline_of_the_run_else_its_grid(tmp_path):
    folder = make_run(tmp_path / "run")
    grid = make_result().grid.extent.to_crs("EPSG:4326").geom
    assert read_run(folder).site_outline.centroid.distance(grid.centroid) < 1e-4
    record = json.loads((folder / "run.json").read_text())
    site = Site("Inner", box(126.10, 38.58, 126.11, 38.59))
    record["inputs"]["site"] = site.to_dict()
    (folder / "run.json").write_text(json.dumps(record))
    assert read_run(folder).site_outline.equals(site.geometry)
    assert read_run(folder, site_name="Mine").site_name == "Mine"


def test_a_site_is_found_by_name_or_because_it_is_the_only_one(tmp_path, file):
    known_run(file, make_run(tmp_path / "run"))
    with open_state(file, write=True) as state, state.change() as change:
        assert site_row(change, "")["name"] == "Pier"
        with pytest.raises(
            UsageError, match="no site 'Quay'; the state file knows 'Pier'; name one with --site"
        ):
            site_row(change, "Quay")
        add_site(change, "Quay", MultiPolygon([box(10, 50, 10.1, 50.1)]))
        with pytest.raises(UsageError, match="no site is named; the state file knows 'Pier', 'Quay'"):
            site_row(change, "")


def test_what_is_no_run_folder_is_said(tmp_path):
    with pytest.raises(MissingInputError, match=r"run\.json: no such file"):
        read_run(tmp_path)
    folder = make_run(tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    for key in ("grid", "scenes", "name"):
        (folder / "run.json").write_text(json.dumps({k: v for k, v in record.items() if k != key}))
        with pytest.raises(InputFileError, match="does not say where it was"):
            read_run(folder)
    (folder / "run.json").write_text("{")
    with pytest.raises(VerificationError, match="damaged"):
        read_run(folder)


def test_features_are_numbers_with_known_names_and_true(tmp_path):
    folder = make_run(tmp_path / "run", images=True)
    objects = read_gpkg(folder / "changes.gpkg")
    told = object_features(objects, folder)
    assert all(set(row) <= set(FEATURES) and all(map(math.isfinite, row.values())) for row in told)
    first = told[0]  # 12 x 15 pixels of 10 m, new construction
    assert first["area"] == pytest.approx(math.log10(18000))
    assert first["elongation"] == pytest.approx(math.log2(15 / 12), abs=1e-6)
    assert first["fill"] == pytest.approx(1)
    assert first["kind: new construction"] == 1
    assert sum(value for name, value in first.items() if name.startswith("kind: ")) == 1
    assert first["season_sin"] ** 2 + first["season_cos"] ** 2 == pytest.approx(1)
    # 0.2 more in every band: brighter, and the relative difference of the bands is smaller
    assert first["brightness after"] - first["brightness before"] == pytest.approx(0.2, abs=0.01)
    assert first["NDVI after"] < first["NDVI before"]


def test_features_of_a_run_without_images_do_without_them(tmp_path):
    folder = make_run(tmp_path / "run")
    told = object_features(read_gpkg(folder / "changes.gpkg"), folder)
    assert not any(name.endswith((" before", " after")) for row in told for name in row)
    (folder / "before.tif").write_text("damaged")
    assert object_features(read_gpkg(folder / "changes.gpkg"), folder) == told


def test_unknown_dates_and_numbers_are_left_out(tmp_path):
    folder = make_run(tmp_path / "run")
    objects = read_gpkg(folder / "changes.gpkg").assign(first_seen="not known", construction=float("nan"))
    (first, *_) = object_features(objects, folder)
    assert not {"season_sin", "construction"} & set(first)
    assert isinstance(objects, gpd.GeoDataFrame)


def test_features_of_a_strangers_file_are_numbers_or_nothing(tmp_path, file):
    known_run(file, make_run(tmp_path / "run"))
    with open_state(file, write=True) as state, state.change() as change:
        change.execute("UPDATE objects SET features = '[1' WHERE number = 1")
        change.execute("""UPDATE objects SET features = '{"area": "x"}' WHERE number = 2""")
        change.execute("UPDATE objects SET geom = x'00' WHERE number = 3")
    with open_state(file) as state, pytest.raises(InputFileError, match="outline is not in the form"):
        objects_of(state)
    with open_state(file, write=True) as state, state.change() as change:
        change.execute(
            "UPDATE objects SET geom = (SELECT geom FROM objects WHERE number = 1) WHERE number = 3"
        )
    with open_state(file) as state:
        kept = objects_of(state)
    assert kept["features"].tolist()[:2] == [{}, {}]
    assert kept["features"].tolist()[2]["area"] > 0
