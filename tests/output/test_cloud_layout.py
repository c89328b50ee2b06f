"""Files put together from encoded tiles: what they hold, where it stands, and parts that are refused."""

import math
import struct

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from changedet.output import cloud_layout
from changedet.output.cloud_layout import assemble

TILE = 64


def write_part(path, data, *, step=1, **options):
    part = data[:, ::step, ::step]
    settled = {
        "driver": "GTiff", "count": len(part), "height": part.shape[1], "width": part.shape[2],
        "dtype": part.dtype, "crs": "EPSG:32633", "transform": from_origin(3e5, 4e6, 10, 10), "tiled": True,
        "blockxsize": TILE, "blockysize": TILE, "interleave": "band", "bigtiff": "YES",
        "endianness": "LITTLE", "compress": "ZSTD", "predictor": 3 if part.dtype.kind == "f" else 2,
        "nodata": 0,
    }  # fmt: skip
    with rasterio.open(path, "w", **(settled | options)) as file:
        file.write(part)
        if step == 1:
            file.descriptions = tuple(f"band {number}" for number in range(len(part)))
            file.scales = (0.5,) * len(part)
    return path


def made(folder, shape=(2, 300, 260), steps=(1, 2, 4), dtype="uint16", **options):
    data = np.random.default_rng(0).integers(1, 90, shape).astype(dtype)
    parts = [write_part(folder / f"{step}.tif", data, step=step, **options) for step in steps]
    assemble(parts, folder / "whole.tif")
    return data, folder / "whole.tif"


def positions(path, band, overview=None):
    """Where the tiles of a band stand in the file, row by row, and the directory."""
    with rasterio.open(path) as file:
        factor = 1 if overview is None else file.overviews(band)[overview]
        rows, columns = (math.ceil(math.ceil(size / factor) / TILE) for size in file.shape)
        tiles = [
            int(file.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", band, ovr=overview))
            for row in range(rows)
            for column in range(columns)
        ]
        return int(file.get_tag_item("IFD_OFFSET", "TIFF", band, ovr=overview)), tiles


class TestWhatItHolds:
    def test_pixels_place_and_names_are_those_of_the_parts(self, tmp_path):
        data, path = made(tmp_path)
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), data)
            assert file.descriptions == ("band 0", "band 1")
            assert file.scales == (0.5, 0.5)
            assert file.crs.to_epsg() == 32633
            assert file.transform == from_origin(3e5, 4e6, 10, 10)
            assert file.nodata == 0
            assert file.overviews(1) == [2, 4]
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"

    @pytest.mark.parametrize("level", [0, 1])
    def test_overviews_are_overviews(self, tmp_path, level):
        data, path = made(tmp_path)
        step = 2 ** (level + 1)
        with rasterio.open(path, overview_level=level) as file:
            np.testing.assert_array_equal(file.read(), data[:, ::step, ::step])
            assert file.nodata == 0

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
    def test_types(self, tmp_path, dtype):
        data, path = made(tmp_path, (1, 70, 65), (1,), dtype)
        with rasterio.open(path) as file:
            assert file.dtypes == (dtype,)
            np.testing.assert_array_equal(file.read(), data)

    @settings(max_examples=12, deadline=None)
    @given(height=st.integers(1, 200), width=st.integers(1, 200), bands=st.integers(1, 3))
    def test_any_size(self, tmp_path_factory, height, width, bands):
        data, path = made(tmp_path_factory.mktemp("any"), (bands, height, width), (1, 2))
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), data)

    def test_threads_leave_no_trace(self, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        one = made(tmp_path / "one", num_threads=1)[1].read_bytes()
        assert one == made(tmp_path / "two", num_threads=2)[1].read_bytes()

    def test_it_can_be_edited(self, tmp_path):
        data, path = made(tmp_path)
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(data[1], 1)
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(1), data[1])


class TestWhereItStands:
    def test_directories_come_first_then_small_overviews_then_the_image(self, tmp_path):
        _, path = made(tmp_path)
        found = [positions(path, 1, level) for level in (None, 0, 1)]
        directories = [directory for directory, _ in found]
        assert directories[0] < 300
        assert directories == sorted(directories)
        assert max(directories) < min(found[2][1])
        assert max(found[2][1]) < min(found[1][1])
        assert max(found[1][1]) < min(found[0][1])

    def test_tiles_follow_each_other_by_row_then_by_band(self, tmp_path):
        _, path = made(tmp_path)
        every = positions(path, 1)[1] + positions(path, 2)[1]
        assert every == sorted(every)

    def test_tiles_stand_between_their_size_and_their_last_bytes(self, tmp_path):
        _, path = made(tmp_path)
        raw, starts = path.read_bytes(), positions(path, 1)[1]
        size = struct.unpack("<I", raw[starts[0] - 4 : starts[0]])[0]
        assert raw[starts[0] + size - 4 : starts[0] + size] == raw[starts[0] + size : starts[0] + size + 4]
        assert starts[1] == starts[0] + size + 8

    def test_the_file_ends_with_the_last_tile(self, tmp_path):
        _, path = made(tmp_path)
        raw, start = path.read_bytes(), positions(path, 2)[1][-1]
        assert len(raw) == start + struct.unpack("<I", raw[start - 4 : start])[0] + 4

    def test_long_files_have_positions_of_64_bits(self, tmp_path, monkeypatch):
        small = made(tmp_path)[1].read_bytes()
        assert small[:4] == b"II*\0"
        monkeypatch.setattr(cloud_layout, "_CLASSIC_BELOW", 1000)
        data, path = made(tmp_path)
        assert path.read_bytes()[:4] == b"II+\0"
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), data)
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert positions(path, 1)[0] < 300


class TestRefusals:
    def test_a_classic_tiff(self, tmp_path):
        part = write_part(tmp_path / "a.tif", np.ones((1, 70, 70), np.uint8), bigtiff="NO")
        with pytest.raises(ValueError, match=r"a\.tif is not a little-endian BigTIFF"):
            assemble([part], tmp_path / "b.tif")

    def test_strips(self, tmp_path):
        options = {"tiled": False, "blockxsize": None, "blockysize": 7}
        part = write_part(tmp_path / "a.tif", np.ones((1, 70, 70), np.uint8), **options)
        with pytest.raises(ValueError, match=r"a\.tif has no tiles"):
            assemble([part], tmp_path / "b.tif")

    def test_overviews_of_its_own(self, tmp_path):
        part = write_part(tmp_path / "a.tif", np.ones((1, 170, 170), np.uint8))
        with rasterio.open(part, "r+") as file:
            file.build_overviews([2])
        with pytest.raises(ValueError, match=r"a\.tif has more than one directory"):
            assemble([part], tmp_path / "b.tif")

    @pytest.mark.parametrize(
        ("place", "message"), [(-10, "ends within a tile"), (None, "lacks tiles")], ids=["cut off", "missing"]
    )
    def test_tiles_that_are_not_there(self, tmp_path, place, message):
        part = write_part(
            tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (1, 64, 64), np.uint8)
        )
        raw = bytearray(part.read_bytes())
        start = struct.unpack("<Q", raw[8:16])[0]
        count = struct.unpack("<Q", raw[start : start + 8])[0]
        for entry in range(start + 8, start + 8 + 20 * count, 20):
            if struct.unpack("<H", raw[entry : entry + 2])[0] == 324:
                raw[entry + 12 : entry + 20] = struct.pack("<Q", len(raw) + place if place else 0)
        part.write_bytes(raw)
        with pytest.raises(OSError, match=rf"a\.tif {message}"):
            assemble([part], tmp_path / "b.tif")

    @pytest.mark.parametrize("start", [0, 8, 16])
    def test_a_file_that_was_never_closed(self, tmp_path, start):
        part = tmp_path / "a.tif"
        part.write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, start))
        with pytest.raises(OSError, match=r"a\.tif ends within its directory"):
            assemble([part], tmp_path / "b.tif")
