"""Local imagery: what is read, where it lands, and what is said when it cannot be."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from tests.data import data_folder
from tests.providers.files import (
    BANDS_10M,
    BANDS_20M,
    level,
    numbers,
    write,
    write_folder,
    write_safe,
    write_vrt,
)
from tests.synthetic import make_image

from changedet.errors import (
    CrsMismatchError,
    InputFileError,
    MissingBandError,
    MissingInputError,
    NoOverlapError,
    UsageError,
)
from changedet.providers import layers
from changedet.providers.facts import DAY_ONLY_NOTE
from changedet.providers.local import LocalOptions, open_source

SIMULATED = {
    "ACQUISITION_TIME_UTC": "2024-05-14T02:07:01Z", "PLATFORM": "simulated", "PROCESSING_BASELINE": "05.09",
    "LEVEL": "L2A", "SUN_ELEVATION_DEG": "66.5", "SUN_AZIMUTH_DEG": "140", "RELATIVE_ORBIT": "3",
    "TILE": "T52SBH", "SCENE_ID": "SIMULATED_after", "SIMULATED": "yes",
}  # fmt: skip


def stack(bands=4):
    return np.stack([numbers(name, 10) for name in BANDS_10M[:bands]])


def test_a_folder_of_band_files(tmp_path):
    folder = write_folder(tmp_path / "scene", (*BANDS_10M, *BANDS_20M))
    source = open_source(str(folder))
    image = source.load()
    assert image.bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    assert image.data.dtype == np.float32
    assert image.grid == source.grid
    np.testing.assert_allclose(image.band("B08"), numbers("B08", 10) * 1e-4, atol=1e-7)
    # the 20 m bands describe the same surface, sampled at 10 m
    np.testing.assert_allclose(
        image.band("B11")[4:-4, 4:-4], numbers("B11", 10)[4:-4, 4:-4] * 1e-4, atol=4e-4
    )
    assert image.valid.all()
    assert (source.scene.id, source.scene.tile) == ("T33TUN_20230514T100601", "T33TUN")
    assert source.scene.time == datetime(2023, 5, 14, 10, 6, 1, tzinfo=UTC)
    assert source.scene.assets["B02"].href == str(folder / "T33TUN_20230514T100601_B02.tif")
    assert source.scene.notes == (
        "scale and offset assumed: integers are reflectance times 10000 without offset",
    )


@pytest.mark.parametrize("shift", [(0.3, -0.4), (5.0, 7.0), (-0.25, 0.0)])
def test_a_displaced_grid_shows_the_displaced_surface(tmp_path, shift):
    source = open_source(write_folder(tmp_path, (*BANDS_10M, *BANDS_20M)))
    grid = source.grid.translate_pix(*shift)[8:-8, 8:-8]
    image = source.load(grid)
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 8.5
    y, x = (rows + shift[1]) * 10, (columns + shift[0]) * 10
    texture = 0.03 * np.sin(y / 90.0) * np.cos(x / 110.0)
    for band in ("B04", "B8A"):
        np.testing.assert_allclose(image.band(band), level(band) * 1e-4 + texture, atol=4e-4)


def test_every_band_is_resampled_at_most_once(tmp_path, monkeypatch):
    source = open_source(write_folder(tmp_path, (*BANDS_10M, *BANDS_20M)))
    calls = []
    real = layers.resample
    monkeypatch.setattr(layers, "resample", lambda *a, **k: calls.append(a[1].shape) or real(*a, **k))
    source.load(source.grid.translate_pix(0.5, 0.5)[10:20, 10:20])
    assert len(calls) == 10
    assert max(max(shape) for shape in calls) <= 20  # and only the window is read


def test_simulated_scenes_say_so(tmp_path):
    folder = write_folder(tmp_path / "after", stem="after", tags=SIMULATED, scaling=(1e-4, -0.1), nodata=0)
    scene = open_source(folder).scene
    assert scene.simulated
    assert (scene.id, scene.platform, scene.level) == ("SIMULATED_after", "simulated", "L2A")
    assert scene.time_text == "2024-05-14T02:07:01Z"
    assert scene.time_source == "tag ACQUISITION_TIME_UTC"
    assert (scene.sun_elevation_deg, scene.sun_azimuth_deg, scene.relative_orbit) == (66.5, 140.0, 3)
    assert scene.assets["B02"].radiometry.source == "scale and offset stated in the file"
    assert scene.notes == ()


def test_a_baseline_in_the_tags_brings_the_offset(tmp_path):
    folder = write_folder(tmp_path, tags={"PROCESSING_BASELINE": "05.09"})
    image = open_source(folder).load()
    np.testing.assert_allclose(image.band("B04"), numbers("B04", 10) * 1e-4 - 0.1, atol=1e-6)
    assert image.scene.processing_baseline == "05.09"
    other = write_folder(tmp_path / "other", tags={"PROCESSING_BASELINE": "99.99"})
    with pytest.raises(InputFileError, match=r"baseline 99.99 is not known; give scale and offset yourself"):
        open_source(other)


def test_the_users_word_is_final(tmp_path):
    folder = write_folder(tmp_path, tags=SIMULATED)
    options = LocalOptions(scale=2e-4, offset=0.01, nodata=1200, time=datetime(2020, 1, 2, 3, 4))
    source = open_source(folder, options)
    assert (source.scene.time_text, source.scene.time_source) == ("2020-01-02T03:04:00Z", "given by the user")
    image = source.load()
    stored = numbers("B04", 10)
    expected = np.where(stored == 1200, np.nan, stored * 2e-4 + 0.01)
    np.testing.assert_allclose(image.band("B04"), expected, atol=1e-6)
    assert (
        source.scene.assets["B04"].radiometry.source
        == "scale 0.0002, offset 0.01, nodata 1200 given by the user"
    )


def test_no_data_and_saturation_make_pixels_invalid(tmp_path):
    folder = write_folder(tmp_path)
    stored = numbers("B03", 10)
    stored[10:14, 20] = 0
    stored[50, 60] = 65535
    write(folder / "T33TUN_20230514T100601_B03.tif", stored)
    image = open_source(folder).load()
    missing = (stored == 0) | (stored == 65535)
    np.testing.assert_array_equal(np.isnan(image.band("B03")), missing)
    np.testing.assert_array_equal(~image.valid, missing)
    assert np.isfinite(image.band("B02")).all()


@pytest.mark.parametrize("layout", ["descriptions", "common names", "vrt"])
def test_one_raster_with_named_bands(tmp_path, layout):
    names = {"common names": ("blue", "green", "red", "nir")}.get(layout, ("B2", "B3", "B4", "B8"))
    path = write(tmp_path / "stack.tif", stack(), descriptions=names)
    if layout == "vrt":
        from rasterio.shutil import copy

        copy(path, tmp_path / "stack.vrt", driver="VRT")
        path = tmp_path / "stack.vrt"
    image = open_source(path).load()
    assert image.bands == BANDS_10M
    np.testing.assert_allclose(image.data, stack() * 1e-4, atol=1e-7)
    assert [image.scene.assets[name].index for name in image.bands] == [1, 2, 3, 4]
    assert image.scene.id == "stack"


def test_an_envi_file_without_extension(tmp_path):
    path = write(tmp_path / "2000TM", stack(3).astype(np.uint8), driver="ENVI")
    header = path.with_suffix(".hdr")
    texts = ", ".join(f"Resize (Meta (Band {n}):L7_2000_MTL.txt)" for n in (1, 2, 7))
    kept = [line for line in header.read_text().splitlines() if not line.lower().startswith("band ")]
    header.write_text("\n".join([*kept, f"band names = {{{texts}}}", ""]))
    image = open_source(path).load()
    assert image.bands == ("band_1", "band_2", "band_7")
    assert image.scene.assets["band_7"].radiometry.scale == 1 / 255
    assert image.classes_source == "none"
    assert image.scene.sensor == "other"
    with pytest.raises(InputFileError, match="describes imagery but holds none"):
        open_source(header)


def test_transparency_is_a_mask_and_not_a_band(tmp_path):
    alpha = np.full((96, 96), 255, np.uint16)
    alpha[:5] = 0
    planes = np.concatenate([stack(3), alpha[None]])
    path = write(tmp_path / "rgba.tif", planes, photometric="RGB", alpha="YES")
    image = open_source(path).load()
    assert len(image.bands) == 3
    assert not image.valid[:5].any()
    assert image.valid[5:].all()


def test_own_band_names_are_kept_and_negative_values_too(tmp_path):
    decibels = np.linspace(-25, 1, 2 * 96 * 96, dtype=np.float32).reshape(2, 96, 96)
    image = open_source(write(tmp_path / "sar.tif", decibels, descriptions=("VV", "VH"))).load()
    assert image.bands == ("VV", "VH")
    np.testing.assert_array_equal(image.data, decibels)


def test_the_date_beside_a_pair_of_folders(tmp_path):
    (tmp_path / "dates.txt").write_text("date_1: 20160806\ndate_2: 20180211\n")
    stem = "S2A_OPER_MSI_L1C_TL_EPA__20160809T015434_A000162_T32TPP"
    before = open_source(write_folder(tmp_path / "imgs_1", stem=stem)).scene
    assert (before.time_text, before.time_source) == ("2016-08-06", "dates.txt")
    assert "only the date of acquisition is known, not the time of day" in before.notes
    after = open_source(write_folder(tmp_path / "imgs_2", stem="T32TPP_20180211T102141")).scene
    assert after.time_text == "2018-02-11T10:21:41Z"
    assert after.time_source == "names of the band files, agreeing with dates.txt"


def test_the_time_of_saving_is_the_last_witness(tmp_path):
    saved = {"TIFFTAG_DATETIME": "2024:01:02 03:04:05"}
    named = open_source(write_folder(tmp_path / "named", tags=saved)).scene
    assert (named.time_text, named.time_source) == ("2023-05-14T10:06:01Z", "names of the band files")
    (tmp_path / "dates.txt").write_text("date_1: 20160806\n")
    dated = open_source(write_folder(tmp_path / "imgs_1", stem="scene", tags=saved)).scene
    assert (dated.time_text, dated.time_source) == ("2016-08-06", "dates.txt")
    tagged = write_folder(tmp_path / "a", tags=saved | {"ACQUISITION_TIME_UTC": "2019-06-01"})
    assert open_source(tagged).scene.time_text == "2019-06-01"
    alone = open_source(write_folder(tmp_path / "alone", stem="scene", tags=saved)).scene
    assert (alone.time_text, alone.time_source) == ("2024-01-02T03:04:05Z", "tag TIFFTAG_DATETIME")
    assert any("some programs write the time of saving" in note for note in alone.notes)
    assert not any("saving" in note for scene in (named, dated) for note in scene.notes)


@pytest.mark.parametrize("kind", ["folder", "image"])
def test_a_day_given_by_the_user_stays_a_day(tmp_path, kind):
    given = write_folder(tmp_path / "scene") if kind == "folder" else make_image()
    scene = open_source(given, LocalOptions(time=date(2020, 1, 2))).scene
    assert (scene.day_only, scene.time_text, scene.time_source) == (True, "2020-01-02", "given by the user")
    assert DAY_ONLY_NOTE in scene.notes


def test_a_full_time_given_for_an_image_of_a_day_is_full():
    image = open_source(make_image(), LocalOptions(time=date(2020, 1, 2))).load()
    scene = open_source(image, LocalOptions(time=datetime(2020, 1, 2, 3, 4))).scene
    assert (scene.day_only, scene.time_text) == (False, "2020-01-02T03:04:00Z")
    assert DAY_ONLY_NOTE not in scene.notes


def test_the_files_of_a_folder_of_bands(tmp_path):
    (tmp_path / "dates.txt").write_text("date_1: 20160806\n")
    folder = write_folder(tmp_path / "imgs_1", stem="scene")
    bands = sorted(folder.iterdir())
    (folder / "readme.md").write_text("nobody reads this")
    write(folder / "scene_B01.tif", numbers("B01", 60), resolution_m=60)
    source = open_source(folder)
    assert source.files() == tuple(sorted([*bands, tmp_path / "dates.txt"]))
    assert open_source(folder, LocalOptions(time=date(2016, 1, 1))).files() == tuple(bands)
    assert source.band_count == len(source.load().bands) == 4


def test_the_files_of_a_product_include_its_metadata(tmp_path):
    source = open_source(write_safe(tmp_path))
    files = source.files()
    names = [path.name for path in files]
    assert {"MTD_MSIL2A.xml", "MTD_TL.xml", "T33TUN_20230514T100601_SCL_20m.jp2"} <= set(names)
    assert len(files) == 13
    assert source.band_count == len(source.load().bands) == 10


def test_the_files_of_an_envi_raster_and_of_a_virtual_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("stack"), stack(), driver="ENVI", descriptions=BANDS_10M)
    image = open_source("stack")
    beside = (Path("stack"), Path("stack.aux.xml"), Path("stack.hdr"))
    assert image.files() == beside
    inner, outer = write_vrt(Path("inner.vrt"), "stack"), write_vrt(Path("outer.vrt"), "inner.vrt")
    source = open_source(outer)
    assert source.files() == (inner, outer, *beside)
    np.testing.assert_array_equal(source.load().data[0], numbers("B02", 10) * np.float32(1e-4))


def test_an_image_in_memory_has_no_files():
    source = open_source(make_image())
    assert (source.files(), source.band_count) == ((), len(make_image().bands))


@pytest.mark.parametrize("bands", [BANDS_10M, (*BANDS_10M, "B8A"), (*BANDS_10M, "B11")])
def test_clouds_are_tested_only_with_the_bands_that_the_test_needs(tmp_path, bands):
    image = open_source(write_folder(tmp_path, bands)).load()
    assert image.classes_source == ("spectral tests" if "B11" in bands else "none")


def test_a_gap_in_a_band_that_is_not_compared_hides_nothing(tmp_path):
    write_folder(tmp_path, stem="scene")
    write(tmp_path / "scene_B10.tif", np.zeros((16, 16), np.uint16), resolution_m=60, nodata=0)
    image = open_source(tmp_path).load()
    assert np.isnan(image.band("B10")).all()
    assert image.valid.all()
    assert (image.classes > 0).all()


def test_a_scene_without_a_name_is_called_by_its_folder(tmp_path):
    folder = tmp_path / "may"
    for band in BANDS_10M:
        write(folder / f"{band}.tif", numbers(band, 10))
    scene = open_source(folder).scene
    assert (scene.id, scene.time, scene.time_source, scene.level) == ("may", None, "unknown", "unknown")


def test_the_finest_of_several_files_of_a_band_wins(tmp_path):
    folder = write_folder(tmp_path)
    write(folder / "T33TUN_20230514T100601_B04_20m.tif", numbers("B04", 20), resolution_m=20)
    assert open_source(folder).scene.assets["B04"].href.endswith("_B04.tif")
    write(folder / "T33TUN_20230514T100601_B04_10m.tif", numbers("B04", 10))
    with pytest.raises(InputFileError, match="two files hold band B04 at the same resolution") as caught:
        open_source(folder)
    assert "_B04.tif and " in str(caught.value)
    assert "_B04_10m.tif: " in str(caught.value)


# --- errors: one line that says what, where, and what to do -------------------------------------------------


def placed(*transform):
    return lambda band: write(band, numbers("B04", 10), transform=Affine(*transform)) and None


def beside(name, content):
    def make(band):
        band.with_name(name).write_bytes(content)
        return band.with_name(name)

    return make


#: What goes wrong: each is given the path of band B04 and returns what to open, None = its folder.
ACCIDENTS = {
    "truncated": lambda band: band.write_bytes(band.read_bytes()[:6000]) and None,
    "empty file": lambda band: band.write_bytes(b"") or None,
    "missing band": lambda band: band.unlink() or band.with_name(band.name.replace("B04", "B08")).unlink(),
    "no crs": lambda band: write(band, numbers("B04", 10), crs=None) and None,
    "other crs": lambda band: write(band, numbers("B04", 10), crs="EPSG:32634") and None,
    "rotated": placed(10, 1, 300000, 1, -10, 4900020),
    "upside down": placed(10, 0, 300000, 0, 10, 4900020),
    "one band": lambda band: band,
    "text": beside("notes.md", b"# notes"),
    "archive": beside("scene.zip", b"PK"),
    "two descriptions": lambda band: write(
        band.with_name("stack.tif"), stack(), descriptions=("B2", "B02", "B4", "B8")
    ),
}


def broken(tmp_path, case):
    folder = write_folder(tmp_path / "scene")
    return ACCIDENTS[case](folder / "T33TUN_20230514T100601_B04.tif") or folder


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("truncated", InputFileError, r"_B04.tif: the file is damaged .*; download or copy it again"),
        ("empty file", InputFileError, r"_B04.tif: this is not imagery that can be read; give GeoTIFF"),
        (
            "missing band",
            MissingBandError,
            r"scene: missing bands B04, B08 \(found B02, B03\); add the missing",
        ),
        ("no crs", CrsMismatchError, r"_B04.tif: the image has no coordinate reference system.*assign one"),
        (
            "other crs",
            CrsMismatchError,
            r"B02.tif and .*B04.tif: bands have different reference systems \(EPSG",
        ),
        ("rotated", InputFileError, r"_B04.tif: the image is rotated or sheared.*; warp it north up first"),
        ("upside down", InputFileError, r"_B04.tif: the image is stored upside down"),
        ("one band", InputFileError, r"_B04.tif: this is one band \(B04\) of .*; give its folder: .*scene$"),
        ("text", InputFileError, r"notes.md: this is not imagery that can be read; give GeoTIFF"),
        ("archive", InputFileError, r"scene.zip: this is an archive; unpack it"),
        ("two descriptions", InputFileError, r"stack.tif: two bands are described as B02; keep one"),
    ],
)
def test_unusable_input_is_explained_in_one_line(tmp_path, capfd, case, kind, words):
    with pytest.raises(kind, match=words) as caught:
        open_source(broken(tmp_path, case)).load()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_jpeg_2000_is_noticed(tmp_path, capfd):
    folder = write_folder(tmp_path, suffix=".jp2")
    band = folder / "T33TUN_20230514T100601_B04.jp2"
    band.write_bytes(band.read_bytes()[: band.stat().st_size // 3])
    with pytest.raises(InputFileError, match=r"_B04.jp2: the file is damaged or incomplete"):
        open_source(folder).load()
    assert capfd.readouterr() == ("", "")


def test_a_product_without_pixels_or_with_classes_only_is_refused(tmp_path):
    folder = tmp_path / "scene"
    write(folder / "scene_SCL.tif", np.ones((96, 96), np.uint8))
    with pytest.raises(MissingBandError, match="there is no band in it; give imagery with bands"):
        open_source(folder)


def test_a_small_classification_leaves_the_rest_unseen(tmp_path):
    folder = write_folder(tmp_path)
    write(folder / "T33TUN_20230514T100601_SCL.tif", np.full((24, 48), 5, np.uint8), resolution_m=20)
    source = open_source(folder)
    image = source.load()
    assert image.valid[:48].all()
    assert not image.valid[48:].any()
    assert not source.load(source.grid[80:, :]).valid.any()


def test_folders_without_bands_say_what_to_give(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere: no such file or folder; check the path"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="the folder is empty"):
        open_source(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        MissingInputError, match=r"no file here has the name of a band; name files like \*_B02.tif"
    ):
        open_source(tmp_path)
    write(tmp_path / "stack.tif", stack())
    with pytest.raises(MissingInputError, match=r"or give one raster with all bands, such as .*stack.tif"):
        open_source(tmp_path)
    write(tmp_path / "radar" / "T44_20240506_VV.tif", stack())
    with pytest.raises(MissingInputError, match="compare files of radar with --sensor s1"):
        open_source(tmp_path / "radar")
    write_folder(tmp_path / "scene")
    with pytest.raises(MissingInputError, match=r"give one of the folders inside, such as .*scene"):
        open_source(tmp_path)


def test_a_scene_of_another_place_is_refused(tmp_path):
    source = open_source(write_folder(tmp_path))
    with pytest.raises(NoOverlapError, match="does not cover any of the ground asked for"):
        source.load(source.grid.translate_pix(5000, 0))


def test_missing_input_is_a_file_not_found_error():
    with pytest.raises(FileNotFoundError):
        open_source("nowhere/at/all")


# --- images in memory ---------------------------------------------------------------------------------------


def test_an_image_is_a_source():
    image = make_image()
    source = open_source(image)
    assert source.load() is image
    assert source.scene is image.scene
    moved = source.load(image.grid.translate_pix(3, 2))
    np.testing.assert_array_equal(moved.data[:, :-2, :-3], image.data[:, 2:, 3:])
    np.testing.assert_array_equal(moved.valid[:-2, :-3], image.valid[2:, 3:])
    assert not moved.valid[-2:].any()
    assert (moved.classes[-2:] == 0).all()


def test_an_image_takes_a_time_and_nothing_else():
    image = replace(make_image(), scene=replace(make_image().scene, time=None))
    source = open_source(image, LocalOptions(time=datetime(2020, 1, 1, tzinfo=UTC)))
    assert (source.scene.date_text, source.scene.time_source) == ("2020-01-01", "given by the user")
    assert image.scene.time is None
    with pytest.raises(UsageError, match="do not apply to an Image"):
        open_source(image, LocalOptions(scale=1e-4))


# --- real imagery -------------------------------------------------------------------------------------------

DATA = data_folder()


@pytest.mark.real
@pytest.mark.parametrize("folder", ["imgs_1", "imgs_2"])
def test_a_real_city(folder):
    path = DATA / "oscd" / "images" / "pisa" / folder
    if not path.is_dir():
        pytest.skip("no real imagery: set CHANGEDET_DATA")
    image = open_source(path).load()
    assert image.data.shape == (11, 776, 718)
    assert image.scene.level == "L1C"
    assert image.scene.time.year == {"imgs_1": 2015, "imgs_2": 2018}[folder]
    assert 0.02 < np.nanmedian(image.band("B04")) < 0.3
    with rasterio.open(next(path.glob("*_B04.tif"))) as dataset:
        np.testing.assert_allclose(image.band("B04"), dataset.read(1) * np.float32(1e-4), atol=1e-7)


@pytest.mark.real
def test_a_real_envi_pair_has_the_same_bands_on_both_dates():
    folder = DATA / "landsat_taizhou"
    if not folder.is_dir():
        pytest.skip("no real imagery: set CHANGEDET_DATA")
    before, after = (open_source(folder / name).load() for name in ("2000TM", "2003TM"))
    assert before.bands == after.bands == ("band_1", "band_2", "band_3", "band_4", "band_5", "band_7")
    assert before.grid == after.grid
    assert before.scene.resolution_m == 30.0
