"""Names: which bands they mean, and which times they can be trusted with."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.bands import SENTINEL2_BANDS, canonical_name
from changedet.errors import InputFileError
from changedet.providers.facts import (
    Facts,
    Stated,
    baseline_pair,
    facts_from_tags,
    facts_of_saving,
    level_name,
    read_time,
    stated_time,
    time_from_dates_file,
)
from changedet.providers.local_names import band_of_file, common_stem, facts_from_names

PRODUCT = "S2B_MSIL1C_20180311T102021_N0206_R065_T32TPP_20180311T140000"


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("T49QCD_20161209T031122_B02.tif", "B02"),
        ("T49QCD_20161209T031122_b8a.JP2", "B8A"),
        ("B02_10m.jp2", "B02"),
        ("L2A_T32TQM_20170216T102101_SCL_20m.jp2", "SCL"),
        ("HLS.S30.T17SNB.2021.B11.tif", "B11"),
        ("scene_B4.tiff", "B04"),
        ("T31TCJ_20200101T000000_TCI_10m.jp2", None),
        ("MSK_DETFOO_B02.jp2", None),
        ("._scene_B02.tif", None),
        ("scene_B02.tif.aux.xml", None),
        ("scene_B13.tif", None),
        ("scene_AB02.tif", None),
        ("PUB02.tif", None),
        ("B02.txt", None),
    ],
)
def test_bands_are_known_by_the_end_of_the_name(name, band):
    assert band_of_file(Path(name)) == band


@pytest.mark.parametrize(
    "name", ["LC08_L2SP_192029_20200101_20200113_02_T1_SR_B4.TIF", "HLS.L30.T17SNB.2021.B05.tif"]
)
def test_other_sensors_are_not_taken_for_sentinel_2(name):
    with pytest.raises(InputFileError, match="Landsat band file"):
        band_of_file(Path(name))


@given(st.sampled_from(SENTINEL2_BANDS), st.sampled_from(["", "_10m", "_20m", "_60m"]), st.booleans())
def test_every_band_is_found_in_every_usual_form(band, suffix, upper):
    name = f"T33TUN_20230514T100601_{band.name}{suffix}.jp2"
    assert band_of_file(Path(name.upper() if upper else name.lower())) == band.name


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("red edge", None),
        ("Red-Edge 1", "B05"),
        ("nir narrow", None),
        ("coastal aerosol", "B01"),
        ("nir", "B08"),
    ],
)
def test_descriptions_that_begin_alike_are_told_apart(text, band):
    assert canonical_name(text) == band


def test_a_product_name_says_everything():
    facts = facts_from_names(Path("/data") / f"{PRODUCT}.SAFE" / "clip", [])
    assert facts.id == PRODUCT
    assert (facts.level, facts.platform, facts.tile, facts.relative_orbit) == (
        "L1C",
        "Sentinel-2B",
        "T32TPP",
        65,
    )
    assert facts.time.value.isoformat() == "2018-03-11T10:20:21+00:00"
    assert facts.baseline.value == "N0206"


def test_tile_files_say_time_and_tile():
    facts = facts_from_names(Path("/data/a"), [Path("T49QCD_20161209T031122_B02.tif")])
    assert facts.time.value.isoformat() == "2016-12-09T03:11:22+00:00"
    assert facts.time.source == "names of the band files"
    assert facts.tile == "T49QCD"
    assert facts.level is None


def test_the_processing_time_of_old_names_is_never_trusted():
    name = "S2A_OPER_MSI_L1C_TL_EPA__20160809T015434_A000162_T32TPP_B08.tif"
    facts = facts_from_names(Path("/data/imgs_1"), [Path(name)])
    assert facts.time is None
    assert (facts.level, facts.platform, facts.tile) == ("L1C", "Sentinel-2A", "T32TPP")


def test_two_acquisitions_in_one_folder_are_refused():
    files = [Path("T49QCD_20161209T031122_B02.tif"), Path("T49QCD_20180309T030539_B03.tif")]
    with pytest.raises(InputFileError, match="give each acquisition a folder of its own"):
        facts_from_names(Path("/data/a"), files)


def test_the_common_stem_leaves_the_bands_out():
    assert common_stem([Path("scene-1_B02_10m.jp2"), Path("scene-1_SCL_20m.jp2")]) == "scene-1"
    assert common_stem([Path("B02.tif"), Path("B8A.tif")]) == ""


@pytest.mark.parametrize(
    ("text", "pair"), [("05.09", (5, 9)), ("N0204", (2, 4)), ("0400", (4, 0)), ("5.11", (5, 11))]
)
def test_baselines_are_pairs_of_numbers(text, pair):
    assert baseline_pair(text, where="scene") == pair


@pytest.mark.parametrize("text", ["99.99", "01.05", "06.00", "new", "", "5"])
def test_unknown_baselines_are_refused(text):
    with pytest.raises(InputFileError, match="scene: the radiometric offset of processing baseline"):
        baseline_pair(text, where="scene")


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2023-05-14T02:07:01Z", "2023-05-14T02:07:01+00:00"),
        ("2023-05-14T04:07:01+02:00", "2023-05-14T02:07:01+00:00"),
        ("2023:05:14 02:07:01", "2023-05-14T02:07:01+00:00"),
        ("20161209", "2016-12-09"),
        ("2023:05:14", "2023-05-14"),
        ("2023-05-14T00:00:00", "2023-05-14T00:00:00+00:00"),
    ],
)
def test_times_are_utc(text, iso):
    assert read_time(text).isoformat() == iso


@given(st.text(max_size=20))
def test_any_text_is_a_time_in_utc_or_none(text):
    time = read_time(text)
    assert time is None or type(time) is date or time.utcoffset().total_seconds() == 0


def test_a_time_before_all_times_in_utc_is_none():
    assert read_time("0001-01-01T00:00:00+05:00") is None


MAY_14 = datetime(2023, 5, 14)


@pytest.mark.parametrize(
    ("said", "day_only"),
    [("2023-05-14", True), ("2023-05-14T00:00Z", False), (MAY_14.date(), True), (MAY_14, False)],
)
def test_a_date_alone_is_a_day(said, day_only):
    assert stated_time(said, "x") == Stated(MAY_14.replace(tzinfo=UTC), "x", day_only=day_only)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("L2A", "L2A"), ("Level-2A", "L2A"), ("MSIL2A", "L2A"), ("l2a", "L2A"), ("S2MSI1C", "L1C"),
        ("LEVEL_1C", "L1C"), ("Level-2Ap", "L2A"), ("L3A", None), ("", None), ("HLS2A3", None),
    ],
)  # fmt: skip
def test_levels_have_one_name_however_written(text, level):
    assert level_name(text) == level
    assert facts_from_tags({"LEVEL": text}).level == level


def test_tags_that_make_no_sense_count_as_absent():
    facts = facts_from_tags({"SUN_ELEVATION_DEG": "high", "ACQUISITION_TIME_UTC": "noon", "LEVEL": ""})
    assert facts == Facts()


def test_the_acquisition_tag_goes_before_the_tiff_tag():
    tags = {"TIFFTAG_DATETIME": "2020:01:01 00:00:00", "acquisition_time_utc": "2019-06-01T10:00:00Z"}
    assert "some programs write the time of saving" in facts_of_saving(tags).time.note
    facts = facts_from_tags(tags).otherwise(facts_of_saving(tags))
    assert (facts.time.value.year, facts.time.source) == (2019, "tag ACQUISITION_TIME_UTC")


@pytest.mark.parametrize(("folder", "date"), [("imgs_1", "2016-12-09"), ("2", "2018-03-09"), ("other", None)])
def test_dates_beside_the_folders_of_a_pair(tmp_path, folder, date):
    (tmp_path / "dates.txt").write_text("date_1: 20161209\ndate_2: 20180309\n")
    (tmp_path / folder).mkdir()
    stated = time_from_dates_file(tmp_path / folder)
    assert (stated and stated.value.date().isoformat()) == date
