"""Bringing rasters onto each other: known shifts, other grids, types kept, and refusals."""

import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from odc.geo.geobox import GeoBox
from scipy import ndimage
from tests.synthetic import make_scene

import changedet as cd
from changedet.errors import (
    CrsMismatchError,
    InputFileError,
    MissingInputError,
    NoOverlapError,
    OutputExistsError,
    QualityGateError,
    UsageError,
)
from changedet.registering import RegisterSettings, open_raster, register
from changedet.scene import Image

SIZE = 180
LEFT, TOP = 300000.0, 4000000.0


def ground(seed=0, size=600, bands=3):
    """Fields with borders, at half a pixel, so that shifts of half pixels are exact."""
    rng = np.random.default_rng(seed)
    planes = []
    patches = [(*rng.integers(0, size, 2), *rng.integers(8, 60, 2)) for _ in range(700)]
    for _ in range(bands):
        plane = np.zeros((size, size))
        for row, column, height, width in patches:
            plane[row : row + height, column : column + width] += rng.uniform(-300, 300)
        planes.append(ndimage.gaussian_filter(plane, 1.5) + 3000)
    return np.stack(planes)


GROUND = ground()


def seen(row=0.0, column=0.0, size=SIZE, scene=GROUND, seed=1):
    """Pixels that see the ground from (row, column) pixels further down and right on."""
    top, left = round(2 * (60 + row)), round(2 * (60 + column))
    part = scene[:, top : top + 2 * size, left : left + 2 * size]
    noise = np.random.default_rng(seed).normal(0, 4, (len(scene), size, size))
    return part.reshape(len(scene), size, 2, size, 2).mean(axis=(2, 4)) + noise


def write(
    path, data, *, dtype="uint16", nodata=None, crs="EPSG:32633", step=10.0, corner=(LEFT, TOP), **options
):
    transform = rasterio.transform.from_origin(*corner, step, step)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2], dtype=dtype,
        crs=crs, transform=transform, nodata=nodata, **options,
    ) as file:  # fmt: skip
        file.write(np.asarray(data).astype(dtype))
        for band, name in enumerate(("B04", "B03", "B02")[: len(data)], start=1):
            file.set_band_description(band, name)
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.profile, file.descriptions


@pytest.fixture
def reference(tmp_path):
    return write(tmp_path / "reference.tif", seen())


@pytest.mark.parametrize("shift", [(1.5, -2.5), (-20.0, 11.5)])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_known_shift_is_found_and_written_away(tmp_path, reference, shift, dtype):
    moving = write(tmp_path / "moving.tif", seen(*shift, seed=2), dtype=dtype)
    found = register(reference, moving, out=tmp_path / "out.tif")
    # what is seen further down appears further up, and has to go down again
    assert found.shift_px == pytest.approx(shift, abs=0.03)
    assert found.shift_m == pytest.approx((-10 * shift[0], 10 * shift[1]), abs=0.4)
    assert found.verdict == "corrected"
    data, profile, names = read(tmp_path / "out.tif")
    assert profile["dtype"] == dtype
    assert names == ("B04", "B03", "B02")
    there = (data != profile["nodata"]).all(axis=0) if dtype == "uint16" else np.isfinite(data).all(axis=0)
    assert 0.7 < there.mean() < 1
    error = (data - seen(seed=5))[:, there]
    before = (seen(*shift, seed=2) - seen(seed=5))[:, there]
    assert np.sqrt((error**2).mean()) < 0.35 * np.sqrt((before**2).mean())


def test_the_file_is_tiled_and_has_overviews_and_leaves_nothing_beside_it(tmp_path, reference):
    moving = write(tmp_path / "moving.tif", seen(1.5, 0.5))
    folder = tmp_path / "new"
    register(reference, moving, out=folder / "out.tif")
    assert [path.name for path in folder.iterdir()] == ["out.tif"]
    with rasterio.open(folder / "out.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.compression.name == "zstd"
        assert file.crs.to_epsg() == 32633
        assert file.shape == (SIZE, SIZE)


def test_no_data_stays_no_data(tmp_path, reference):
    data = seen(1.5, -2.5)
    data[:, 40:60, 70:90] = 9
    moving = write(tmp_path / "moving.tif", data, nodata=9)
    register(reference, moving, out=tmp_path / "out.tif")
    got, profile, _ = read(tmp_path / "out.tif")
    assert profile["nodata"] == 9
    assert (got[:, 43:60, 69:86] == 9).all()
    rest = got[:, 70:-8, 8:-8]
    assert (rest > 1000).all()


@pytest.mark.parametrize("scales", [(1e-4, 1e-4, 1e-4)])
def test_scales_are_handed_on(tmp_path, reference, scales):
    moving = write(tmp_path / "moving.tif", seen(1.5, 0.5))
    with rasterio.open(moving, "r+") as file:
        file.scales, file.offsets = scales, (-0.1,) * 3
    register(reference, moving, out=tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.scales == scales
        assert file.offsets == (-0.1,) * 3


def test_images_that_fit_are_copied_exactly(tmp_path, reference):
    found = register(reference, reference, out=tmp_path / "out.tif")
    assert found.verdict == "good"
    assert found.shift_px == (0.0, 0.0)
    np.testing.assert_array_equal(read(tmp_path / "out.tif")[0], read(reference)[0])


class TestOtherGrids:
    def test_a_part_of_the_reference_is_brought_to_its_place(self, tmp_path, reference):
        # 20 pixels further down and right, and another two and a half too far
        moving = write(tmp_path / "moving.tif", seen(21.5, 22.0, 120), corner=(LEFT + 200, TOP - 200))
        found = register(reference, moving, out=tmp_path / "out.tif")
        assert found.shift_px == pytest.approx((1.5, 2.0), abs=0.04)
        data = read(tmp_path / "out.tif")[0]
        assert data.shape == (3, SIZE, SIZE)
        assert (data[:, :18] == 0).all()
        inner = data[:, 30:130, 30:130]
        assert np.sqrt(((inner - seen(seed=5)[:, 30:130, 30:130]) ** 2).mean()) < 30

    def test_coarser_pixels_are_matched_in_their_own(self, tmp_path, reference):
        coarse = seen(2.0, -4.0).reshape(3, 90, 2, 90, 2).mean(axis=(2, 4))
        moving = write(tmp_path / "moving.tif", coarse, step=20.0)
        found = register(reference, moving, out=tmp_path / "out.tif")
        assert found.shift_m == pytest.approx((-20.0, -40.0), abs=1.0)
        assert found.shift_px == pytest.approx((1.0, -2.0), abs=0.05)
        data = read(tmp_path / "out.tif")[0][:, 20:-20, 20:-20]
        wanted = ndimage.uniform_filter(seen(seed=5), (0, 2, 2))[:, 20:-20, 20:-20]
        assert np.sqrt(((data - wanted) ** 2).mean()) < 60

    def test_finer_pixels_are_smoothed(self, tmp_path):
        coarse = seen().reshape(3, 90, 2, 90, 2).mean(axis=(2, 4))
        reference = write(tmp_path / "reference.tif", coarse, step=20.0)
        moving = write(tmp_path / "moving.tif", seen(2.0, -4.0))
        found = register(reference, moving, out=tmp_path / "out.tif")
        assert found.shift_px == pytest.approx((1.0, -2.0), abs=0.05)
        data = read(tmp_path / "out.tif")[0]
        assert data.shape == (3, 90, 90)
        assert np.sqrt(((data - coarse)[:, 8:-8, 8:-8] ** 2).mean()) < 40

    def test_another_reference_system_is_no_obstacle(self, tmp_path, reference):
        grid = GeoBox((SIZE, SIZE), rasterio.transform.from_origin(LEFT, TOP, 10, 10), "EPSG:32633")
        box = grid.extent.to_crs("EPSG:32634").boundingbox
        elsewhere = GeoBox.from_bbox(box, "EPSG:32634", resolution=10)
        data = np.full((3, *elsewhere.shape), np.nan, np.float32)
        for plane, out in zip(seen(seed=3), data, strict=True):
            rasterio.warp.reproject(
                plane.astype(np.float32), out, src_transform=grid.transform, src_crs="EPSG:32633",
                dst_transform=elsewhere.transform, dst_crs="EPSG:32634",
                resampling=rasterio.enums.Resampling.cubic,
                src_nodata=np.nan, dst_nodata=np.nan, tolerance=0.001,
            )  # fmt: skip
        moving = write(
            tmp_path / "moving.tif", data, dtype="float32", crs="EPSG:32634",
            corner=(elsewhere.transform.c + 30, elsewhere.transform.f),
        )  # fmt: skip
        found = register(reference, moving, out=tmp_path / "out.tif")
        assert np.hypot(*found.shift_px) == pytest.approx(3.0, abs=0.06)
        assert found.shift_px[1] < -2.8
        got, profile, _ = read(tmp_path / "out.tif")
        assert profile["crs"].to_epsg() == 32633
        inside = np.isfinite(got).all(axis=0)
        assert inside.mean() > 0.8
        assert np.sqrt(((got - seen(seed=5))[:, inside] ** 2).mean()) < 40

    def test_places_apart_do_not_overlap(self, tmp_path, reference):
        moving = write(tmp_path / "moving.tif", seen(), corner=(LEFT + 90000, TOP))
        with pytest.raises(NoOverlapError, match="do not overlap; give two images of the same place"):
            register(reference, moving)


def test_a_stretch_is_taken_out_locally_and_not_globally(tmp_path, reference):
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    stretched = np.stack([
        ndimage.map_coordinates(plane, [rows, columns * 1.006 - 0.5], order=3, mode="reflect")
        for plane in seen()
    ])  # fmt: skip
    moving = write(tmp_path / "moving.tif", stretched)
    local = register(reference, moving, out=tmp_path / "out.tif")
    assert local.model != "translation"
    assert local.extent_px[1] == pytest.approx(0.006 * SIZE / 2, abs=0.08)
    once = register(reference, moving, settings=RegisterSettings(local=False))
    assert once.model == "translation"
    assert local.residual_px < 0.6 * once.residual_px
    data = read(tmp_path / "out.tif")[0][:, 10:-10, 10:-10]
    assert np.sqrt(((data - seen()[:, 10:-10, 10:-10]) ** 2).mean()) < 25


class TestRefusals:
    def test_another_place_is_not_written(self, tmp_path, reference):
        moving = write(tmp_path / "moving.tif", seen(scene=ground(7)))
        out = tmp_path / "out.tif"
        with pytest.raises(
            QualityGateError, match=r"not registered: .*; give images of the same ground"
        ) as told:
            register(reference, moving, out=out)
        assert not out.exists()
        assert told.value.details["registration"]["verdict"] == "not comparable"
        assert register(reference, moving).verdict == "not comparable"

    def test_the_gate_can_be_set(self, tmp_path, reference):
        moving = write(tmp_path / "moving.tif", seen(1.5, 0.5))
        found = register(reference, moving, settings=RegisterSettings(residual_limit_px=0.001))
        assert "above the limit of 0.001 px" in found.reason

    def test_what_is_there_is_not_overwritten(self, tmp_path, reference):
        out = write(tmp_path / "out.tif", seen())
        kept = out.read_bytes()
        with pytest.raises(OutputExistsError, match="pass --overwrite"):
            register(reference, reference, out=out)
        assert out.read_bytes() == kept
        register(reference, reference, out=out, overwrite=True)
        assert out.read_bytes() != kept

    def test_files_that_are_no_imagery(self, tmp_path, reference):
        text = tmp_path / "notes.tif"
        text.write_text("no raster")
        with pytest.raises(InputFileError):
            register(reference, text)
        with pytest.raises(MissingInputError, match="no such file"):
            register(reference, tmp_path / "nothing.tif")

    @pytest.mark.parametrize("wrong", [{"max_shift_m": 0.0}, {"residual_limit_px": -1.0}])
    def test_settings_that_make_no_sense(self, wrong):
        with pytest.raises(UsageError, match="is not positive"):
            RegisterSettings(**wrong)


class TestInputs:
    def test_images_in_memory_are_registered_with_their_clouds(self):
        grid = GeoBox((SIZE, SIZE), rasterio.transform.from_origin(LEFT, TOP, 10, 10), "EPSG:32633")
        images = []
        for shift, cloud in (((0.0, 0.0), slice(20, 50)), ((1.5, -2.5), slice(90, 130))):
            data = (seen(*shift) / 10000).astype(np.float32)
            valid = np.ones((SIZE, SIZE), bool)
            valid[cloud, cloud] = False
            data[:, ~valid] = 0.8
            classes = np.where(valid, 5, 9).astype(np.uint8)
            images.append(Image(data, ("B04", "B03", "B02"), valid, classes, grid, make_scene(), "SCL"))
        found = cd.register(*images)
        assert found.shift_px == pytest.approx((1.5, -2.5), abs=0.06)
        cubes = [image.to_xarray() for image in images]
        assert cd.register(*cubes).shift_px == found.shift_px
        assert cd.register(cubes[0]["B04"], cubes[1]["B04"]).shift_px == pytest.approx((1.5, -2.5), abs=0.1)
        with pytest.raises(CrsMismatchError, match="the array does not say where it lies"):
            cd.register(cubes[0], xr.DataArray(np.ones((20, 20)), dims=("y", "x")))

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float64"])
    def test_every_type_is_kept(self, tmp_path, reference, dtype):
        scale = 1 / 25 if dtype == "uint8" else 1
        moving = write(tmp_path / "moving.tif", seen(1.5, 0.5) * scale, dtype=dtype)
        register(reference, moving, out=tmp_path / "out.tif")
        data, profile, _ = read(tmp_path / "out.tif")
        assert profile["dtype"] == dtype
        assert np.abs(data[:, 10:-10, 10:-10] / scale - seen(seed=5)[:, 10:-10, 10:-10]).mean() < 40

    def test_bands_of_other_names_are_matched_by_place(self, tmp_path, reference):
        moving = write(tmp_path / "moving.tif", seen(1.5, 0.5)[:1])
        with rasterio.open(moving, "r+") as file:
            file.set_band_description(1, "panchromatic")
        assert register(reference, moving).shift_px == pytest.approx((1.5, 0.5), abs=0.1)

    def test_a_mask_of_the_file_counts(self, tmp_path):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            path = write(tmp_path / "masked.tif", seen())
            with rasterio.open(path, "r+") as file:
                mask = np.full((SIZE, SIZE), 255, np.uint8)
                mask[:30] = 0
                file.write_mask(mask)
        raster = open_raster(path)
        plane = raster.onto(0, raster.grid)
        assert plane.dtype == np.uint16
        assert (plane[:30] == 0).all()
        assert (plane[30:] > 0).all()
