"""Cubes: bands as variables or along a dimension, decoded or not, from files and from memory."""

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from tests.providers.files import BANDS_10M, level, numbers

from changedet.errors import CrsMismatchError, InputFileError, MissingBandError
from changedet.providers import cube
from changedet.providers.facts import LocalOptions
from changedet.providers.local import open_source

GRID = GeoBox.from_bbox((300000, 4899060, 300960, 4900020), "EPSG:32633", resolution=10, tight=True)
TIME = np.datetime64("2023-05-14T10:06:01", "ns")


def dataset(dtype="uint16", *, time=True, **attributes):
    """Four bands as stored (uint16) or as reflectance (float32)."""
    planes = {}
    for band in BANDS_10M:
        array = numbers(band, 10) if dtype == "uint16" else (numbers(band, 10) * 1e-4).astype(dtype)
        planes[band] = wrap_xr(array, GRID, **attributes)
    cube_of_bands = xr.Dataset(planes)
    return cube_of_bands.assign_coords(time=TIME) if time else cube_of_bands


def expected(band, offset=0.0):
    return numbers(band, 10) * 1e-4 + offset


def test_bands_as_variables():
    source = open_source(dataset("float32"))
    image = source.load()
    assert image.bands == BANDS_10M
    assert image.grid == GRID
    np.testing.assert_allclose(image.band("B04"), expected("B04"), atol=1e-7)
    assert source.scene.time_text == "2023-05-14T10:06:01Z"
    assert source.scene.time_source == "coordinate time of the cube"
    assert source.scene.assets["B04"].variable == "B04"
    assert image.valid.all()


def test_a_cube_of_days_has_no_time_of_day():
    scene = open_source(dataset().assign_coords(time=np.datetime64("2023-05-14", "ns"))).scene
    assert (scene.time_text, scene.day_only) == ("2023-05-14", True)
    said = dataset(time=False).assign_attrs(TIFFTAG_DATETIME="2023:05:14 10:06:01")
    assert any("time of saving" in note for note in open_source(said).scene.notes)


def test_a_cube_in_memory_has_no_files():
    source = open_source(dataset())
    assert (source.files(), source.band_count) == ((), 4)


def test_common_names_and_other_variables():
    named = dataset("float32").rename(B02="blue", B03="green", B04="red", B08="nir")
    image = open_source(named.assign(ndvi=named.red * 0)).load()
    assert image.bands == BANDS_10M


def test_bands_along_a_dimension():
    array = dataset("float32").to_dataarray("band")
    image = open_source(array).load()
    assert image.bands == BANDS_10M
    np.testing.assert_allclose(image.band("B08"), expected("B08"), atol=1e-7)
    described = array.assign_coords(band=[1, 2, 3, 4]).assign_attrs(long_name=("B2", "B3", "B4", "B8"))
    assert open_source(described.to_dataset(name="reflectance")).load().bands == BANDS_10M
    bare = array.assign_coords(band=[1, 2, 3, 4])
    assert open_source(bare).load().bands == ("band_1", "band_2", "band_3", "band_4")


def test_scale_and_offset_that_were_not_applied():
    raw = dataset()
    for band in raw.data_vars:
        raw[band].attrs |= {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
    raw["B03"][5, 5] = 0
    source = open_source(raw)
    image = source.load()
    np.testing.assert_allclose(image.band("B04"), expected("B04", -0.1), atol=1e-6)
    assert np.isnan(image.band("B03")[5, 5])
    assert source.scene.assets["B04"].radiometry.source == "scale and offset stated in the file"


def test_scale_and_offset_that_were_applied_are_not_applied_twice():
    done = dataset("float32")
    for band in done.data_vars:
        done[band].encoding |= {"scale_factor": 1e-4, "add_offset": -0.1}
    radiometry = open_source(done).scene.assets["B04"].radiometry
    assert (radiometry.scale, radiometry.offset, radiometry.assumed) == (1.0, 0.0, False)
    for band in done.data_vars:
        done[band].attrs |= {"scale_factor": 1e-4, "add_offset": 0.0}
    np.testing.assert_allclose(open_source(done).load().band("B02"), expected("B02"), atol=1e-6)


def test_rows_from_south_to_north_are_turned():
    turned = dataset("float32").isel(y=slice(None, None, -1))
    image = open_source(turned).load()
    assert image.grid == GRID
    np.testing.assert_allclose(image.band("B04"), expected("B04"), atol=1e-7)


def test_classes_as_floats_with_gaps():
    scl = np.full((96, 96), 4.0, np.float32)
    scl[:10] = np.nan
    scl[20] = -9999
    scl[30] = 255
    image = open_source(dataset("float32").assign(SCL=wrap_xr(scl, GRID))).load()
    assert image.classes_source == "SCL"
    assert (image.classes[[0, 9, 20, 30]] == 0).all()
    np.testing.assert_array_equal(image.valid.all(axis=1), image.classes[:, 0] == 4)
    assert image.scene.level == "L2A"


def test_our_own_export_can_be_read_again():
    image = open_source(dataset("float32")).load()
    again = open_source(image.to_xarray()).load()
    assert again.bands == image.bands
    assert again.scene.time == image.scene.time
    assert again.scene.time_source == "attribute time_utc of the cube"
    np.testing.assert_array_equal(again.data, image.data)


def test_the_users_word_is_final():
    source = open_source(dataset(), LocalOptions(scale=1e-4, offset=-0.05))
    np.testing.assert_allclose(source.load().band("B04"), expected("B04", -0.05), atol=1e-6)


def test_a_grid_of_ones_own():
    image = open_source(dataset("float32")).load(GRID.translate_pix(0.5, 0)[10:30, 10:40])
    assert image.data.shape == (4, 20, 30)
    assert abs(float(image.band("B04").mean()) - level("B04") * 1e-4) < 0.03


@pytest.mark.parametrize("name", ["scene.nc", "scene.zarr"])
def test_files(tmp_path, name):
    path = tmp_path / name
    raw = dataset()
    for band in raw.data_vars:
        raw[band].encoding |= {"scale_factor": 1e-4, "add_offset": -0.1, "dtype": "uint16", "_FillValue": 0}
        raw[band] = raw[band] * 1e-4 - 0.1
        raw[band].encoding |= {"scale_factor": 1e-4, "add_offset": -0.1, "dtype": "uint16", "_FillValue": 0}
        raw[band].encoding["grid_mapping"] = "spatial_ref"
    raw.to_netcdf(path, engine="netcdf4") if name.endswith("nc") else raw.to_zarr(path, zarr_format=2)
    source = open_source(path)
    image = source.load()
    np.testing.assert_allclose(image.band("B04"), expected("B04", -0.1), atol=1e-6)
    assert (source.scene.id, source.scene.time_text) == ("scene", "2023-05-14T10:06:01Z")
    assert source.scene.assets["B04"].href == str(path)
    assert source.scene.assets["B04"].radiometry.nodata == 0
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    assert source.files() == tuple(files)


def test_a_cube_of_bands_in_a_file_has_no_time_when_none_is_stated(tmp_path):
    array = dataset("float32", time=False).to_dataarray("band").rename("reflectance")
    array.to_netcdf(tmp_path / "bands.nc", engine="netcdf4")
    source = open_source(tmp_path / "bands.nc")
    np.testing.assert_allclose(source.load().band("B08"), expected("B08"), atol=1e-6)
    assert (source.scene.time, source.scene.assets["B08"].variable) == (None, "reflectance")


def test_several_dates_are_refused():
    two = xr.concat([dataset(time=False).assign_coords(time=TIME + day) for day in (0, 86400)], "time")
    with pytest.raises(
        InputFileError, match=r"holds 2 dates.*select one, for example dataset.isel\(time=0\)"
    ):
        open_source(two)
    assert open_source(two.isel(time=[1])).load().bands == BANDS_10M


def test_other_dimensions_are_refused():
    deep = dataset().expand_dims(depth=3)
    with pytest.raises(InputFileError, match=r"more dimensions than a map \(depth\); select one position"):
        open_source(deep)


def test_cubes_without_a_place_or_bands_are_refused():
    pointing_nowhere = dataset().drop_vars("spatial_ref")
    assert open_source(pointing_nowhere).grid == GRID  # the coordinates know it as well
    bare = pointing_nowhere.assign_coords({d: pointing_nowhere[d].values for d in ("y", "x")})
    with pytest.raises(CrsMismatchError, match="variable B02 has no coordinate reference system; assign one"):
        open_source(bare)
    with pytest.raises(InputFileError, match="there is no variable on a map grid"):
        open_source(xr.Dataset({"a": ("z", [1, 2])}))
    with pytest.raises(MissingBandError, match="missing band B08"):
        open_source(dataset().drop_vars("B08"))
    with pytest.raises(InputFileError, match="two variables are band B04"):
        open_source(dataset().assign(red=dataset().B04))


def test_other_objects_are_refused():
    with pytest.raises(InputFileError, match="a ndarray cannot be read as imagery"):
        open_source(np.zeros((3, 3)))


def test_a_damaged_cube_is_explained(tmp_path):
    path = tmp_path / "scene.nc"
    path.write_bytes(b"CDF not really")
    with pytest.raises(InputFileError, match=r"scene.nc: the cube cannot be read"):
        open_source(path)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    (tmp_path / "scene.nc").touch()
    monkeypatch.setattr(cube, "find_spec", lambda name: None)
    with pytest.raises(
        InputFileError, match=r"needs the library netCDF4; install it with: pip install changedet\[cubes\]"
    ):
        open_source(tmp_path / "scene.nc")
