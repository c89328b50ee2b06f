"""Layouts of labelled pairs: what is found, what each truth says, and what is said of what is missing."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from tests.synthetic import GRID

from changedet.errors import CrsMismatchError, InputFileError, MissingInputError, UsageError
from changedet.evaluation.sets import (
    LabelledSite,
    TruthFile,
    only_sites,
    read_oscd,
    read_pairs,
    read_runs,
)
from changedet.hashing import sha256_file

SHAPE = tuple(GRID.shape)


def write(path, labels, grid=GRID, **more):
    """Write labels with a grid, or without any when it is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {} if grid is None else {"crs": grid.crs.to_wkt(), "transform": grid.transform}
    profile = {"driver": "GTiff", "dtype": labels.dtype.name, "count": 1, "height": labels.shape[0],
               "width": labels.shape[1]}  # fmt: skip
    quiet = pytest.warns(NotGeoreferencedWarning) if grid is None else rasterio.Env()
    with quiet, rasterio.open(path, "w", **profile, **place, **more) as file:
        file.write(labels, 1)
    return path


def block(rows=slice(10, 20), columns=slice(30, 45), shape=SHAPE):
    labels = np.zeros(shape, np.uint8)
    labels[rows, columns] = 1
    return labels


# --- truth ------------------------------------------------------------------------------------------


def test_every_number_but_0_is_change(tmp_path):
    labels = block() * np.uint8(7)
    truth = TruthFile(write(tmp_path / "t.tif", labels)).read(GRID)
    assert np.array_equal(truth.changed, labels > 0)
    assert truth.known.all()


def test_what_is_no_data_is_not_known(tmp_path):
    labels = block()
    labels[:5] = 255
    truth = TruthFile(write(tmp_path / "t.tif", labels, nodata=255)).read(GRID)
    assert not truth.known[:5].any()
    assert truth.known[5:].all()
    assert not truth.changed[:5].any()


def test_labels_of_the_onera_set_are_1_and_2(tmp_path):
    labels = block() + np.uint8(1)
    labels[0] = 0
    truth = TruthFile(write(tmp_path / "t.tif", labels, None), "oscd").read(GRID)
    assert np.array_equal(truth.changed, block() > 0)
    assert not truth.known[0].any()
    assert truth.known[1:].all()


def test_labels_without_a_place_must_have_the_size_of_the_image(tmp_path):
    file = TruthFile(write(tmp_path / "t.tif", np.zeros((7, 9), np.uint8), None))
    with pytest.raises(InputFileError, match=r"9 x 7 labels without a reference system .* 120 x 100 pixels"):
        file.read(GRID)


def test_labels_without_a_place_lie_on_the_grid_of_the_image(tmp_path):
    part = GRID[20:60, 10:70]
    labels = write(tmp_path / "t.tif", block(), None)
    truth = TruthFile(labels).read(part, own=GRID)
    assert np.array_equal(truth.changed, block()[20:60, 10:70] > 0)


def test_a_truth_on_another_grid_gives_the_nearest_label(tmp_path):
    coarse = GeoBox.from_bbox(GRID.boundingbox, resolution=20, tight=True)
    labels = block(slice(5, 10), slice(15, 25), tuple(coarse.shape))
    truth = TruthFile(write(tmp_path / "t.tif", labels, coarse)).read(GRID)
    assert np.array_equal(truth.changed, block(slice(10, 20), slice(30, 50)) > 0)


def test_ground_beyond_a_truth_is_not_known(tmp_path):
    truth = TruthFile(write(tmp_path / "t.tif", block()[:50], GRID[:50])).read(GRID)
    assert truth.known[:50].all()
    assert not truth.known[50:].any()


@pytest.mark.parametrize(("name", "crs"), [("t.geojson", 4326), ("t.gpkg", 32652), ("t.gpkg", 4326)])
def test_outlines_are_change_and_the_rest_is_known(tmp_path, name, crs):
    west, north = GRID.transform * (30, 10)
    outline = shapely.box(west, north - 100, west + 150, north)
    gpd.GeoDataFrame(geometry=[outline], crs=32652).to_crs(crs).to_file(tmp_path / name)
    truth = TruthFile(tmp_path / name).read(GRID)
    assert np.array_equal(truth.changed, block() > 0)
    assert truth.known.all()


def test_outlines_may_be_none(tmp_path):
    (tmp_path / "t.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    truth = TruthFile(tmp_path / "t.geojson").read(GRID)
    assert not truth.changed.any()
    assert truth.known.all()


def test_several_layers_are_refused_by_name(tmp_path):
    table = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    for layer in ("roads", "halls"):
        table.to_file(tmp_path / "t.gpkg", layer=layer)
    with pytest.raises(InputFileError, match=r"several layers .*roads and halls"):
        TruthFile(tmp_path / "t.gpkg").read(GRID)


def test_outlines_need_a_reference_system(tmp_path):
    with pytest.warns(UserWarning, match="crs"):
        gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]).to_file(tmp_path / "t.gpkg")
    with pytest.raises(CrsMismatchError, match="no reference system"):
        TruthFile(tmp_path / "t.gpkg").read(GRID)


@pytest.mark.parametrize("name", ["t.tif", "t.geojson"])
def test_a_damaged_truth_is_named(tmp_path, name):
    (tmp_path / name).write_text("nothing of the sort")
    said = r"(this is not imagery that can be read|is not what its name says)"
    with pytest.raises(InputFileError, match=f"{name}: {said}"):
        TruthFile(tmp_path / name).read(GRID)
    with pytest.raises(MissingInputError, match=r"other.tif: no such file"):
        TruthFile(tmp_path / "other.tif").read(GRID)


# --- layouts ----------------------------------------------------------------------------------------


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_the_onera_layout(tmp_path):
    make(tmp_path, "images/b/imgs_1/x.tif", "images/b/imgs_2/x.tif", "images/c/imgs_1/x.tif",
         "test_labels/b/cm/b-cm.tif", "train_labels/a/cm/a-cm.tif", "train_labels/a/cm/cm.png")  # fmt: skip
    first, second = read_oscd(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert second.find() == LabelledSite(
        "b",
        TruthFile(tmp_path / "test_labels/b/cm/b-cm.tif", "oscd"),
        tmp_path / "images/b/imgs_1",
        tmp_path / "images/b/imgs_2",
    )
    with pytest.raises(MissingInputError, match=r"images.a.imgs_1: no such folder"):
        first.find()
    with pytest.raises(MissingInputError, match="no labels such as"):
        read_oscd(tmp_path / "images")


def test_pairs_may_be_files_or_folders(tmp_path):
    make(tmp_path, "Pier/before-2020/B04.tif", "Pier/after.tif", "Pier/after.tif.aux.xml", "Pier/truth.gpkg",
         "Hall/before.tif", "Hall/after.tif", "Hall/truth.geojson", "Hall/truth.tif", "notes/readme.txt",
         ".git/before.tif")  # fmt: skip
    hall, pier = (place.find() for place in read_pairs(tmp_path))
    assert (hall.name, pier.name) == ("Hall", "Pier")
    assert hall.truth.path.name == "truth.tif"
    assert pier.before == tmp_path / "Pier/before-2020"
    assert pier.after == tmp_path / "Pier/after.tif"
    assert pier.truth == TruthFile(tmp_path / "Pier/truth.gpkg")


def test_the_folder_of_one_pair_is_understood(tmp_path):
    make(tmp_path / "Pier", "before.tif", "after.tif", "truth.tif")
    (place,) = read_pairs(tmp_path / "Pier")
    assert place.name == place.find().name == "Pier"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("before.tif", "truth.tif"), "nothing is called after; give one file or folder named after"),
        (("before.tif", "before2.tif", "after.tif"), "before.tif and before2.tif are both called before"),
        (("before.tif", "after.tif"), "no truth: truth.tif, .geojson or .gpkg is missing"),
    ],
)
def test_what_a_pair_lacks_is_said_when_it_has_its_turn(tmp_path, names, text):
    make(tmp_path / "s", *names)
    (place,) = read_pairs(tmp_path)
    with pytest.raises(MissingInputError, match=text):
        place.find()


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="no pairs such as SITE/before"):
        read_pairs(tmp_path)
    with pytest.raises(MissingInputError, match="no such folder"):
        read_pairs(tmp_path / "missing")


def test_runs_find_their_truth_by_name(tmp_path):
    runs = make(tmp_path / "runs", "A/run.json", "north/B/run.json", "C/run.json", "D/run.json")
    truth = make(tmp_path / "truth", "A.geojson", "north/B/truth.tif", "C/cm/C-cm.tif")
    places = read_runs(runs, truth)
    assert [place.name for place in places] == ["A", "C", "D", "north/B"]
    assert places[0].find() == LabelledSite("A", TruthFile(truth / "A.geojson"), run=runs / "A")
    assert places[1].find().truth == TruthFile(truth / "C/cm/C-cm.tif", "oscd")
    assert places[3].find().truth == TruthFile(truth / "north/B/truth.tif")
    with pytest.raises(MissingInputError, match=r"no truth: D.tif, .geojson or .gpkg or D/truth.tif"):
        places[2].find()


def test_a_single_run_takes_a_single_file(tmp_path):
    make(tmp_path, "A/run.json", "labels.tif", "x-cm.tif")
    (place,) = read_runs(tmp_path / "A", tmp_path / "labels.tif")
    assert place.find() == LabelledSite("A", TruthFile(tmp_path / "labels.tif"), run=tmp_path / "A")
    (place,) = read_runs(tmp_path / "A", tmp_path / "x-cm.tif")
    assert place.find().truth.coding == "oscd"
    with pytest.raises(MissingInputError, match="no run folders"):
        read_runs(tmp_path / "nowhere", tmp_path)


def test_sites_are_chosen_by_name(tmp_path):
    make(tmp_path, "A/before.tif", "B/before.tif", "C/before.tif")
    places = read_pairs(tmp_path)
    assert [one.name for one in only_sites(places, ["C", "A"])] == ["A", "C"]
    assert only_sites(places, []) == places
    with pytest.raises(UsageError, match="there is no site 'X'; take one such as A, B, C"):
        only_sites(places, ["X"])


def test_inputs_are_known_by_their_digests(tmp_path, sample):
    truth = TruthFile(sample / "truth.tif")
    found = LabelledSite("s", truth, sample / "before", sample / "after").inputs()
    assert set(found) == {"truth", "before", "after"}
    assert found["truth"] == {str(truth.path): sha256_file(truth.path)}
    assert len(found["before"]) == len(found["after"]) > 5
    make(tmp_path, "run.json")
    of_run = LabelledSite("s", truth, run=tmp_path).inputs()
    assert of_run["run"] == {str(tmp_path / "run.json"): sha256_file(tmp_path / "run.json")}
    assert "before" not in of_run
