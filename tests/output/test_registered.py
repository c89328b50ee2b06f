"""Registered images as files: bands written as they come, overviews, bytes, and failures."""

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from changedet.core.blocks import limited_threads
from changedet.errors import OutputError
from changedet.output import levels
from changedet.output.registered import write_registered
from changedet.progress import Silent
from changedet.registering import Raster

SHAPE = (1100, 700)
GRID = GeoBox.from_bbox((300000, 4000000, 307000, 4011000), "EPSG:32633", resolution=10)


def raster(dtype="uint16", bands=2, nodata=None, **options):
    return Raster(
        "made", GRID, tuple(f"B0{n}" for n in range(2, 2 + bands)), dtype, nodata, lambda *_: None, **options
    )


def planes(dtype="uint16", bands=2):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 4000, SHAPE).astype(dtype) for _ in range(bands)]


def write(path, moving=None, data=None, progress=None):
    data = planes() if data is None else data
    write_registered(path, GRID, moving or raster(), iter(data), progress or Silent())
    return data


def test_it_is_cloud_optimized_and_holds_every_band(tmp_path):
    data = write(tmp_path / "a.tif", raster(scales=(1e-4, 1e-4), offsets=(-0.1, -0.1)))
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), data)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.compression.name, file.block_shapes[0]) == ("zstd", (512, 512))
        assert file.descriptions == ("B02", "B03")
        assert (file.scales, file.offsets) == ((1e-4, 1e-4), (-0.1, -0.1))
        assert (file.crs.to_epsg(), file.transform) == (32633, GRID.transform)
        assert file.nodata == 0
        # the smallest one fits into one tile
        assert file.overviews(1) == [2, 4]


@pytest.mark.parametrize("level", [0, 1])
def test_overviews_show_measured_values(tmp_path, level):
    data = write(tmp_path / "a.tif")
    step = 2 ** (level + 1)
    with rasterio.open(tmp_path / "a.tif", overview_level=level) as file:
        np.testing.assert_array_equal(file.read(2), data[1][::step, ::step])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64"])
def test_types_are_kept(tmp_path, dtype):
    data = planes(dtype, 1)
    if dtype.startswith("float"):
        data[0][5, 7] = np.nan
    write(tmp_path / "a.tif", raster(dtype, 1), data)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.dtypes == (dtype,)
        assert np.isnan(file.nodata) == dtype.startswith("float")
        np.testing.assert_array_equal(file.read(1), data[0])


def test_threads_do_not_show(tmp_path):
    write(tmp_path / "two.tif")
    with limited_threads(1):
        write(tmp_path / "one.tif")
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "two.tif").read_bytes()


def test_bands_are_asked_for_one_after_the_other(tmp_path):
    told = []

    class Told(Silent):
        def advance(self, share):
            told.append(share)

    def bands():
        for number, plane in enumerate(planes(bands=3)):
            # all that came before is in the hands of the writer
            assert len(told) == number
            yield plane

    write(tmp_path / "a.tif", raster(bands=3), bands(), Told())
    assert told == pytest.approx([0.25, 0.5, 0.75])


def test_a_band_that_fails_leaves_nothing(tmp_path):
    def bands():
        yield planes()[0]
        raise MemoryError

    with pytest.raises(MemoryError):
        write(tmp_path / "a.tif", data=bands())
    assert list(tmp_path.iterdir()) == []


def test_a_band_too_few_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="1 of 2 bands"):
        write(tmp_path / "a.tif", data=planes(bands=1))
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_is_kept_until_the_file_is_whole(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("before")

    def bands():
        for plane in planes():
            assert path.read_text() == "before"
            yield plane

    write(path, data=bands())
    with rasterio.open(path) as file:
        assert file.count == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ValueError("1.tif has no tiles")])
def test_a_full_disk_is_said(tmp_path, monkeypatch, error):
    def full(parts, path):
        raise error

    monkeypatch.setattr(levels, "assemble", full)
    with pytest.raises(OutputError, match=r"raster cannot be written .*(No space left|not complete)") as told:
        write(tmp_path / "a.tif")
    assert told.value.where == str(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []
