"""Scenes and images: what they say of themselves, and that it survives a file and another library."""

import json
import time as clock
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers the accessor)
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from tests.synthetic import BEFORE_TIME, GRID, make_image, make_scene

from changedet.core.masking import SceneClass
from changedet.scene import Asset, Granule, Radiometry, Scene

LONLAT = GeoBox.from_bbox((12.5, 60.0, 12.6, 60.05), "EPSG:4326", resolution=0.001, tight=True)


# --- scene ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "credit"),
    [
        ({}, "Contains modified Copernicus Sentinel data [2023]"),
        ({"platform": "unknown"}, "Contains modified Copernicus Sentinel data [2023]"),
        ({"level": "unknown"}, "Contains modified Copernicus Sentinel data [2023]"),
        ({"time": None}, "Contains modified Copernicus Sentinel data [year unknown]"),
        ({"platform": "Landsat-9", "level": "unknown"}, "Imagery supplied by the user"),
        ({"simulated": True}, "Simulated imagery (changedet.samples); not real ground"),
        (
            {"simulated": True, "platform": "unknown"},
            "Simulated imagery (changedet.samples); not real ground",
        ),
    ],
)
def test_the_credit_line(changes, credit):
    assert replace(make_scene(), **changes).credit == credit


def test_the_year_of_the_credit_is_that_of_utc():
    new_year = datetime(2024, 1, 1, 3, 0, tzinfo=timezone(timedelta(hours=9)))
    assert make_scene(new_year).credit.endswith("[2023]")


@pytest.mark.parametrize(
    ("time", "text", "date"),
    [
        (BEFORE_TIME, "2023-05-14T02:07:01Z", "2023-05-14"),
        (
            datetime(2023, 5, 14, 1, 0, tzinfo=timezone(timedelta(hours=9))),
            "2023-05-13T16:00:00Z",
            "2023-05-13",
        ),
        (datetime(2023, 5, 14, 2, 7, 1, 999_999, tzinfo=UTC), "2023-05-14T02:07:01Z", "2023-05-14"),
        (None, "unknown", "unknown date"),
    ],
)
def test_times_are_told_in_utc(time, text, date):
    scene = Scene("x", "local", time=time)
    assert (scene.time_text, scene.date_text) == (text, date)


times = st.none() | st.datetimes(datetime(2015, 6, 23), datetime(2040, 1, 1), timezones=st.just(UTC)).map(
    lambda t: t.replace(microsecond=0)
)
numbers = st.none() | st.floats(-1e6, 1e6)
radiometries = st.builds(
    Radiometry, st.floats(-1, 1), st.floats(-1, 1), numbers, numbers, st.text(max_size=9), st.booleans()
)
scenes = st.builds(
    Scene,
    id=st.text(max_size=20),
    provider=st.text(max_size=9),
    level=st.sampled_from(["L1C", "L2A", "unknown"]),
    time=times,
    processing_baseline=st.none() | st.text(max_size=5),
    relative_orbit=st.none() | st.integers(1, 143),
    sun_elevation_deg=numbers,
    simulated=st.booleans(),
    assets=st.dictionaries(
        st.sampled_from(["B02", "B8A"]),
        st.builds(
            Asset, st.text(max_size=20), st.integers(1, 13), st.none() | st.text(max_size=5), radiometries
        ),
    ),
    notes=st.lists(st.text(max_size=9), max_size=3).map(tuple),
)


@given(scenes)
def test_a_scene_survives_json(scene):
    again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
    assert replace(again, assets=dict(again.assets)) == replace(scene, assets=dict(scene.assets))


def test_the_description_says_where_scale_and_offset_came_from():
    band = make_scene().to_dict()["bands"]["B04"]
    assert (band["scale"], band["offset"], band["nodata"]) == (1e-4, -0.1, 0)
    assert "offset -1000" in band["source"]


@pytest.mark.parametrize("missing", ["time_utc", "id", "bands", "notes"])
def test_a_damaged_description_is_refused(missing):
    data = make_scene().to_dict()
    del data[missing]
    with pytest.raises(KeyError, match=missing):
        Scene.from_dict(data)


def test_a_scene_cannot_be_changed():
    scene = Scene("x", "local")
    with pytest.raises(FrozenInstanceError):
        scene.id = "y"
    with pytest.raises(TypeError):
        scene.assets["B04"] = Asset("y")


@pytest.fixture
def tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    clock.tzset()
    yield
    monkeypatch.undo()
    clock.tzset()


@pytest.mark.skipif(not hasattr(clock, "tzset"), reason="this system does not change its time zone")
@pytest.mark.usefixtures("tokyo")
def test_a_naive_time_is_utc_wherever_the_computer_stands():
    naive = datetime(2023, 5, 14, 2, 7)
    assert naive.astimezone(UTC).hour == 17  # the computer stands in Tokyo
    scene = replace(make_scene(), time=naive)
    assert scene.time == naive.replace(tzinfo=UTC)
    assert scene.time_text == "2023-05-14T02:07:00Z"
    assert Scene.from_dict(scene.to_dict()).time == scene.time


# --- image ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"bands": ("B02",)},
        {"valid": np.ones((5, 5), bool)},
        {"classes": np.ones((5, 5), np.uint8)},
        {"data": np.zeros((2, 5, 5), np.float32)},
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(changes):
    with pytest.raises(ValueError, match="disagree"):
        replace(make_image(), **changes)


def test_a_grid_of_another_size_is_refused():
    image = make_image()
    with pytest.raises(ValueError, match=r"a grid of \(\d+, \d+\) pixels does not carry an image of"):
        replace(image, grid=image.grid[1:, :])


def test_selecting_the_bands_it_has_copies_nothing():
    image = make_image()
    assert image.select(image.bands) is image


def test_bands_are_selected_in_the_order_asked_for():
    image = make_image()
    chosen = image.select(("B08", "B02"))
    assert chosen.bands == ("B08", "B02")
    np.testing.assert_array_equal(chosen.data, [image.band("B08"), image.band("B02")])
    np.testing.assert_array_equal(chosen.band("B02"), image.data[image.bands.index("B02")])
    assert chosen.scene is image.scene
    assert len(image.bands) == len(image.data) > 2
    for ask in (lambda: image.select(("B99",)), lambda: image.band("B99")):
        with pytest.raises(ValueError, match="not in tuple"):
            ask()


def test_snow_is_read_from_the_classes():
    image = make_image()
    classes = image.classes.copy()
    classes[50, 60] = SceneClass.SNOW
    assert np.argwhere(replace(image, classes=classes).snow).tolist() == [[50, 60]]


@pytest.mark.parametrize("grid", [GRID, LONLAT], ids=["utm", "degrees"])
def test_rioxarray_opens_the_image_where_it_lies(grid):
    image = make_image(grid=grid)
    image.data[0, 3, 4] = np.nan
    dataset = image.to_xarray()
    assert list(dataset) == [*image.bands, "valid", "classes"]
    plane = dataset["B04"]
    assert plane.rio.crs.to_epsg() == grid.crs.to_epsg()
    assert plane.rio.transform().almost_equals(grid.transform, 1e-9)
    np.testing.assert_array_equal(plane.values, image.band("B04"))
    assert np.isnan(dataset[image.bands[0]].values[3, 4])
    assert np.isnan(plane.rio.nodata)
    np.testing.assert_array_equal(dataset["valid"].values.astype(bool), image.valid)
    assert dataset["classes"].dtype == np.uint8
    assert dataset.attrs == {"scene_id": image.scene.id, "time_utc": image.scene.time_text}


def test_a_composite_is_known_by_all_its_dates():
    late = make_scene(datetime(2024, 1, 3, 2, 7, 1, tzinfo=UTC))
    early = make_scene(datetime(2023, 12, 29, 2, 7, 1, tzinfo=UTC))
    scene = replace(late, members=(late, early))
    assert scene.date_text == "a composite of 2 dates (2023-12-29 to 2024-01-03)"
    assert scene.acquisitions == (early, late)
    assert late.acquisitions == (late,)
    assert scene.credit == "Contains modified Copernicus Sentinel data [2023, 2024]"
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene
    earlier_record = scene.to_dict()
    del earlier_record["members"]
    assert Scene.from_dict(earlier_record).members == ()


def test_what_a_link_holds_of_secrets_does_not_show():
    link = Asset("https://me:SECRET@archive/B04.tif?sig=SECRET#SECRET", 2, radiometry=Radiometry(offset=-0.1))
    granule = Granule("one", None, None, datetime(2023, 5, 16, tzinfo=UTC), assets={"B04": link})
    scene = Scene("one", "test", assets={"B04": link}, granules=(granule,))
    for shown in (repr(link), repr(granule), repr(scene), str(scene), repr(replace(scene, members=(scene,)))):
        assert "SECRET" not in shown
    assert "Asset('https://archive/B04.tif', 2, None, Radiometry(" in repr(granule)
    assert "SECRET" in link.href
    assert repr(Asset("/data/B04.tif")).startswith("Asset('/data/B04.tif', 1, None, ")
