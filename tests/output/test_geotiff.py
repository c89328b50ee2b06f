import hashlib
import resource
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rioxarray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate
from tests.synthetic import GRID, make_image, make_result

from changedet.core.blocks import limited_threads
from changedet.errors import OutputError
from changedet.kinds import KIND_LABELS, Kind
from changedet.output import geotiff
from changedet.output.geotiff import common_tags, legend, write_cog, write_rasters
from changedet.result import State


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rasters")
    result = make_result(name="Pier <7> & \x00quay")
    return result, folder, write_rasters(result, folder, images=True)


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file


def test_the_run_folder_gets_its_six_rasters(written):
    _, folder, paths = written
    names = {"score.tif", "construction.tif", "state.tif", "kind.tif", "before.tif", "after.tif"}
    assert {p.name for p in paths} == names == {p.name for p in folder.iterdir()}


def test_images_are_left_out_on_request(tmp_path):
    write_rasters(make_result(), tmp_path, images=False)
    assert {p.name for p in tmp_path.iterdir()} == {"score.tif", "construction.tif", "state.tif", "kind.tif"}


def test_a_result_without_a_construction_score_writes_none(tmp_path):
    paths = write_rasters(make_result(construction=None), tmp_path, images=False)
    assert (
        {p.name for p in paths}
        == {"score.tif", "state.tif", "kind.tif"}
        == {p.name for p in tmp_path.iterdir()}
    )


@pytest.mark.parametrize("name", ["score", "construction", "state", "kind", "before", "after"])
def test_every_raster_is_a_valid_cog_on_the_grid(written, name):
    _, folder, _ = written
    valid, errors, warnings = cog_validate(folder / f"{name}.tif", quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(folder / f"{name}.tif") as file:
        assert GeoBox.from_rio(file) == GRID
        assert file.crs.to_epsg() == 32652


@pytest.mark.parametrize("name", ["score", "construction", "state", "kind"])
def test_values_come_back(written, name):
    result, folder, _ = written
    values, file = read(folder / f"{name}.tif")
    wanted = getattr(result, name)
    assert values.dtype == wanted.dtype
    np.testing.assert_array_equal(values[0], wanted)
    assert file.count == 1


def test_codes_carry_legend_colours_and_nodata(written):
    _, folder, _ = written
    with rasterio.open(folder / "kind.tif") as file:
        assert file.descriptions == (legend({int(k): KIND_LABELS[k] for k in Kind}),)
        assert file.tags()["LEGEND"].startswith("0 = no object; 1 = new construction; 2 =")
        assert file.nodata == Kind.NONE
        assert file.colormap(1)[Kind.CONSTRUCTION] == (0xD5, 0x5E, 0x00, 255)
    with rasterio.open(folder / "state.tif") as file:
        assert file.nodata == State.OUTSIDE
        assert "0 = not flagged; 1 = flagged as changed; 2 = not observed" in file.descriptions[0]
        assert file.colormap(1)[State.NOT_OBSERVED] == (0x7F, 0x7F, 0x7F, 255)


def test_tags_name_scenes_times_credit_and_software_without_a_date(written):
    result, folder, _ = written
    with rasterio.open(folder / "score.tif") as file:
        tags = file.tags()
        assert np.isnan(file.nodata)
    assert tags["BEFORE_SCENE"] == result.before.scene.id
    assert tags["AFTER_TIME_UTC"] == "2025-05-14T02:07:01Z"
    assert "Copernicus Sentinel data [2023]" in tags["CREDIT"]
    assert tags["SITE"] == "Pier <7> & quay"
    assert tags["TIFFTAG_SOFTWARE"].startswith("changedet ")
    assert "TIFFTAG_DATETIME" not in tags
    assert "rank" in tags["UNITS"]


def test_images_keep_bands_classes_and_valid(written):
    result, folder, _ = written
    planes, _ = read(folder / "after.tif")
    with rasterio.open(folder / "after.tif") as file:
        assert file.descriptions == (*result.after.bands, "SCL", "valid")
        red, green, blue = (result.after.bands.index(b) for b in ("B04", "B03", "B02"))
        assert file.colorinterp[red] == ColorInterp.red
        assert file.colorinterp[green] == ColorInterp.green
        assert file.colorinterp[blue] == ColorInterp.blue
        assert file.tags()["TIME_UTC"] == "2025-05-14T02:07:01Z"
    np.testing.assert_array_equal(planes[:-2], result.after.data)
    np.testing.assert_array_equal(planes[-2], result.after.classes)
    np.testing.assert_array_equal(planes[-1] == 1, result.after.valid)


def test_rioxarray_finds_the_reference_system(written):
    _, folder, _ = written
    with rioxarray.open_rasterio(folder / "score.tif", masked=True) as score:
        assert score.rio.crs.to_epsg() == 32652
        assert score.dtype == np.float32
        assert bool(np.isnan(score.values[0, 0, 0]))


def test_the_same_array_gives_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a.tif", "b.tif"):
        write_cog(tmp_path / name, make_result().score, GRID, descriptions=["score"], nodata=np.nan)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_overviews_of_large_rasters_hold_only_values_that_were_there(tmp_path, dtype):
    grid = GeoBox.from_bbox((300000, 4000000, 311000, 4012000), "EPSG:32652", resolution=10, tight=True)
    values = np.random.default_rng(0).choice(np.array([0, 1, 7], dtype), tuple(grid.shape))
    write_cog(tmp_path / "large.tif", values, grid, descriptions=["codes"])
    assert cog_validate(tmp_path / "large.tif", quiet=True) == (True, [], [])
    with rasterio.open(tmp_path / "large.tif") as file:
        assert file.overviews(1)[0] == 2
        assert file.block_shapes == [(512, 512)]
    with rasterio.open(tmp_path / "large.tif", overview_level=0) as overview:
        assert set(np.unique(overview.read())) == {0, 1, 7}


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="disagree"):
        write_cog(tmp_path / "x.tif", np.zeros((3, 3), np.uint8), GRID, descriptions=["x"])
    with pytest.raises(ValueError, match="2 descriptions"):
        write_cog(tmp_path / "x.tif", make_result().score, GRID, descriptions=["x", "y"])
    assert not (tmp_path / "x.tif").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(OutputError, match=r"x\.tif: raster cannot be written .*; check the free space"):
        write_cog(tmp_path / "no" / "x.tif", make_result().score, GRID, descriptions=["x"])


def test_a_file_that_cannot_grow_is_an_output_error(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).normal(size=tuple(GRID.shape))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_cog(tmp_path / "x.tif", noise, GRID, descriptions=["x"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_simulated_imagery_is_said_in_the_tags():
    result = make_result()
    scene = replace(result.before.scene, simulated=True)
    tags = common_tags(replace(result, before=replace(result.before, scene=scene)))
    assert "Simulated imagery" in tags["CREDIT"]


@pytest.fixture
def streamed(monkeypatch):
    """Every raster is written tile by tile."""
    monkeypatch.setattr(geotiff, "_DEFLATE_BELOW_BYTES", 0)


def large_result():
    """A result whose rasters have more than one tile and two overviews, on sides that do not divide."""
    grid = GeoBox((530, 1101), GRID.affine, GRID.crs)
    score = np.random.default_rng(2).gamma(2.0, 0.4, tuple(grid.shape)).astype(np.float32)
    score[:100, :700] = np.nan
    state = np.where(np.isnan(score), np.uint8(State.NOT_OBSERVED), np.uint8(State.NOT_FLAGGED))
    state[300:310, 600:640] = State.CHANGED
    state[-8:] = State.OUTSIDE
    before, after = (make_image(seed, grid=grid).select(("B04", "B03", "B02")) for seed in (0, 1))
    kind = (state == State.CHANGED).astype(np.uint8)
    return replace(
        make_result(), grid=grid, score=score, construction=score * np.float32(0.5), state=state, kind=kind,
        before=before, after=after,
    )  # fmt: skip


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """The rasters of one result, written as a whole and tile by tile."""
    parent = tmp_path_factory.mktemp("ways")
    for folder, limit in (("whole", 10**12), ("tiles", 0)):
        (parent / folder).mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(geotiff, "_DEFLATE_BELOW_BYTES", limit)
            write_rasters(large_result(), parent / folder, images=True)
    return parent


@pytest.mark.parametrize("name", ["score.tif", "construction.tif", "state.tif", "kind.tif", "after.tif"])
def test_rasters_written_tile_by_tile_say_the_same(both_ways, name):
    made = both_ways / "tiles" / name
    assert cog_validate(made, strict=True) == (True, [], [])
    with rasterio.open(both_ways / "whole" / name) as whole, rasterio.open(made) as tiles:
        np.testing.assert_array_equal(whole.read(), tiles.read())
        for said in ("descriptions", "colorinterp", "nodatavals", "dtypes", "transform", "crs"):
            assert str(getattr(whole, said)) == str(getattr(tiles, said)), said
        assert whole.tags() == tiles.tags()
        assert (whole.interleaving, tiles.overviews(1)) == (tiles.interleaving, [2, 4])
        if name in {"state.tif", "kind.tif"}:
            assert whole.colormap(1) == tiles.colormap(1)
        full = tiles.read()
    for level, step in enumerate((2, 4)):
        with rasterio.open(made, overview_level=level) as tiles:
            np.testing.assert_array_equal(tiles.read(), full[:, ::step, ::step])


def test_nothing_is_left_beside_rasters_written_tile_by_tile(both_ways):
    names = {path.name for path in (both_ways / "tiles").iterdir()}
    assert names == {path.name for path in (both_ways / "whole").iterdir()}


def test_threads_leave_no_trace_in_rasters_written_tile_by_tile(tmp_path, streamed):
    for count in (1, 3):
        (tmp_path / str(count)).mkdir()
        with limited_threads(count):
            write_rasters(large_result(), tmp_path / str(count), images=False)
    for name in ("score.tif", "state.tif"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_a_large_file_that_cannot_grow_is_an_output_error(tmp_path, streamed):
    noise = np.random.default_rng(0).integers(0, 255, (600, 600), np.uint8)
    grid = GeoBox(noise.shape, GRID.affine, GRID.crs)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutputError, match=r"x\.tif: raster cannot be written"):
            write_cog(tmp_path / "x.tif", noise, grid, descriptions=["x"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
