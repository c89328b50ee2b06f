"""Results: shares that add up, text a person can read, and rasters other libraries open in place."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rioxarray
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox
from tests.synthetic import GRID, make_image, make_result

from changedet.errors import OutputExistsError
from changedet.result import STATE_LABELS, ChangeResult, State

LONLAT = GeoBox.from_bbox((12.5, 60.0, 12.62, 60.1), "EPSG:4326", resolution=0.001, tight=True)


def on_grid(grid):
    """A made-up result on another grid of the same shape."""
    assert tuple(grid.shape) == tuple(GRID.shape)
    result = make_result()
    images = {name: replace(getattr(result, name), grid=grid) for name in ("before", "after")}
    return replace(result, grid=grid, **images)


def test_the_codes_of_the_states_never_move():
    assert {s.name: int(s) for s in State} == {
        "NOT_FLAGGED": 0, "CHANGED": 1, "NOT_OBSERVED": 2, "NOT_COMPARABLE": 3, "OUTSIDE": 255,
    }  # fmt: skip
    assert set(STATE_LABELS) == set(State)
    assert not any("no change" in label for label in STATE_LABELS.values())


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (7, 9), elements=st.sampled_from([int(s) for s in State])))
def test_the_shares_of_the_site_add_up_to_one(state):
    shares = make_result(state=state).state_shares
    assert set(shares) == {STATE_LABELS[s] for s in State if s != State.OUTSIDE}
    inside = (state != State.OUTSIDE).sum()
    assert sum(shares.values()) == pytest.approx(1 if inside else 0)
    for code in (s for s in State if s != State.OUTSIDE):
        assert shares[STATE_LABELS[code]] * inside == pytest.approx((state == code).sum())


@pytest.mark.parametrize("grid", [GRID, LONLAT], ids=["utm", "degrees"])
def test_rioxarray_opens_every_raster_where_it_lies(grid):
    result = on_grid(grid)
    dataset = result.to_xarray()
    for name in ("score", "construction", "state", "kind", "before", "after"):
        layer = dataset[name]
        assert layer.rio.crs.to_epsg() == grid.crs.to_epsg(), name
        assert layer.rio.transform().almost_equals(grid.transform, 1e-9), name
        assert layer.rio.shape == tuple(grid.shape)
        assert layer.odc.geobox == grid
    np.testing.assert_array_equal(dataset["score"].values, result.score)
    np.testing.assert_array_equal(dataset["construction"].values, result.construction)
    np.testing.assert_array_equal(dataset["state"].values, result.state)
    np.testing.assert_array_equal(dataset["kind"].values, result.kind)
    np.testing.assert_array_equal(dataset["after"].sel(band="B08").values, result.after.band("B08"))
    assert dataset["before"].dims[0] == "band"
    assert np.isnan(dataset["score"].values).any()


def test_what_is_missing_is_declared_missing():
    dataset = make_result().to_xarray()
    assert np.isnan(dataset["score"].rio.nodata)
    assert dataset["state"].rio.nodata == State.OUTSIDE
    assert dataset["kind"].rio.nodata == 0
    assert dataset["state"].dtype == dataset["kind"].dtype == np.uint8


@pytest.mark.parametrize("grid", [GRID, LONLAT], ids=["utm", "degrees"])
@pytest.mark.parametrize("name", ["score", "before"])
def test_a_layer_survives_a_geotiff(tmp_path, grid, name):
    dataset = on_grid(grid).to_xarray()
    dataset[name].rio.to_raster(tmp_path / "layer.tif")
    with rioxarray.open_rasterio(tmp_path / "layer.tif") as opened:
        assert opened.rio.crs.to_epsg() == grid.crs.to_epsg()
        assert opened.rio.transform().almost_equals(grid.transform, 1e-9)
        np.testing.assert_array_equal(np.squeeze(opened.values), dataset[name].values)


def test_the_dataset_names_its_dates():
    result = make_result(name="Pier 7")
    attributes = result.to_xarray().attrs
    assert attributes["title"] == "Pier 7"
    assert attributes["before_time_utc"] == "2023-05-14T02:07:01Z"
    assert attributes["after_scene_id"] == result.after.scene.id


def test_a_site_of_one_row_is_a_dataset_too():
    result = make_result()
    thin = GRID[:1, :]
    images = {n: replace(make_image(grid=thin), scene=getattr(result, n).scene) for n in ("before", "after")}
    planes = {n: getattr(result, n)[:1] for n in ("score", "construction", "state", "kind")}
    assert replace(result, grid=thin, **images, **planes).to_xarray()["score"].shape == (1, 120)


def test_the_text_of_a_result_is_text():
    text = repr(make_result(name="Pier <7> & quay"))
    assert "Pier <7> & quay" in text
    assert "<div" not in text
    assert "&lt;" not in text
    assert not any(word in text.lower() for word in ("confirmed", "no change", "probability"))


def test_notebooks_get_markup_with_names_escaped():
    html = make_result(name="<script>alert(1)</script>")._repr_html_()
    assert html.lstrip().startswith("<")
    assert "<script>alert" not in html


def test_a_result_plots_saves_and_opens(tmp_path):
    result = make_result()
    figure = result.plot()
    assert isinstance(figure, Figure)
    folder = result.save(tmp_path / "run")
    again = ChangeResult.open(folder)
    assert again.name == result.name
    assert again.folder == folder.resolve()
    np.testing.assert_array_equal(again.state, result.state)
    assert again.objects.id.tolist() == result.objects.id.tolist()
    assert again.state_shares == result.state_shares


def test_saving_can_leave_the_images_out(tmp_path, no_plates):
    folder = make_result().save(tmp_path / "run", keep_images=False)
    assert not (folder / "before.tif").exists()
    make_result().save(folder, keep_images=True, overwrite=True)
    assert (folder / "before.tif").exists()


def test_the_report_of_an_opened_run_names_the_versions_of_the_run(tmp_path, no_plates):
    folder = make_result().save(tmp_path / "run")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    record["software"]["libraries"]["numpy"] = "0.0.77"
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    report = ChangeResult.open(folder).report(tmp_path / "again.html")
    assert "0.0.77" in report.read_text(encoding="utf-8")
    assert "0.0.77" not in (folder / "report.html").read_text(encoding="utf-8")


def test_the_report_of_an_opened_run_is_the_one_in_its_folder(tmp_path, no_plates):
    folder = make_result().save(tmp_path / "run")
    report = ChangeResult.open(str(folder)).report(tmp_path / "again.html")
    assert report.read_bytes() == (folder / "report.html").read_bytes()


def test_a_report_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"report\.html: is there already; .*overwriting"):
        make_result().report(path)
    assert path.read_text() == "mine"
    make_result().report(path, overwrite=True)
    assert "<html" in path.read_text(encoding="utf-8")


def test_a_report_is_one_file(tmp_path):
    path = make_result().report(str(tmp_path / "report.html"))
    assert path == tmp_path / "report.html"
    assert "<html" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
