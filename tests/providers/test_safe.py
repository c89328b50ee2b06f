"""Product folders: metadata decide time, radiometry and geometry, and hostile metadata are refused."""

import numpy as np
import pytest
from tests.providers.files import BANDS_10M, numbers, write_safe

from changedet.errors import InputFileError, MissingInputError
from changedet.providers.facts import LocalOptions
from changedet.providers.local import open_source
from changedet.providers.safe import is_safe, read_safe, read_xml


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    return {
        "new": write_safe(folder),
        "old": write_safe(folder, baseline="02.14", shift=None),
        "toa": write_safe(folder, level="1C"),
    }


def test_level_2a_since_baseline_4_has_an_offset(products):
    source = open_source(products["new"])
    image = source.load()
    expected = numbers("B04", 10) * 1e-4 - 0.1
    np.testing.assert_allclose(image.band("B04"), expected, atol=1e-6)
    radiometry = source.scene.assets["B04"].radiometry
    assert radiometry.source == "product metadata (MTD_MSIL2A.xml): divisor 10000, offset -1000"
    assert not radiometry.assumed
    assert source.scene.notes == ()


def test_level_2a_before_baseline_4_has_none(products):
    image = open_source(products["old"]).load()
    np.testing.assert_allclose(image.band("B04"), numbers("B04", 10) * 1e-4, atol=1e-6)


def test_offsets_belong_to_the_bands_that_the_metadata_number(tmp_path):
    folder = write_safe(tmp_path, level="1C", shift=None)
    path = folder / "MTD_MSIL1C.xml"
    extra = "".join(
        (
            '<Spectral_Information bandId="3" physicalBand="B8"/>',
            '<Spectral_Information bandId="7" physicalBand="B4"/>',
            '<RADIO_ADD_OFFSET band_id="7">-500</RADIO_ADD_OFFSET>',
            '<RADIO_ADD_OFFSET band_id="99">-9</RADIO_ADD_OFFSET>',
        )
    )
    end = "</Product_Image_Characteristics>"
    path.write_text(path.read_text().replace(end, extra + end))
    radiometry = read_safe(folder).radiometry
    assert {name for name, band in radiometry.items() if band.offset} == {"B04"}
    assert radiometry["B04"].offset == -0.05


def test_metadata_of_absurd_size_are_refused(tmp_path):
    path = tmp_path / "MTD_MSIL2A.xml"
    with path.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(InputFileError, match="too large to be a product's"):
        read_xml(path)


def test_level_1c_brings_cirrus_and_no_classification(products):
    source = open_source(products["toa"])
    image = source.load()
    assert "B10" in image.bands  # the cloud test looks at it
    assert not {"B01", "B09"} & set(image.bands)  # nothing does
    assert image.classes_source == "spectral tests"
    assert source.scene.level == "L1C"
    np.testing.assert_allclose(image.band("B02"), numbers("B02", 10) * 1e-4 - 0.1, atol=1e-6)


def test_the_scene_says_what_the_metadata_say(products):
    scene = open_source(products["new"]).scene
    assert scene.id == "S2A_MSIL2A_20230514T100601_N0509_R022_T33TUN_20230514T150000"
    assert scene.time_text == "2023-05-14T10:06:01Z"
    assert scene.time_source == "product metadata (MTD_MSIL2A.xml)"
    assert (scene.level, scene.platform, scene.tile) == ("L2A", "Sentinel-2A", "T33TUN")
    assert (scene.processing_baseline, scene.relative_orbit) == ("05.09", 22)
    assert (scene.sun_elevation_deg, scene.sun_azimuth_deg) == (62.5, 151.25)
    assert not scene.simulated


def test_the_finest_file_of_each_band_is_taken_and_the_path_kept(products):
    source = open_source(str(products["new"]))
    hrefs = {name: asset.href for name, asset in source.scene.assets.items()}
    assert all(hrefs[name].endswith(f"R10m/T33TUN_20230514T100601_{name}_10m.jp2") for name in BANDS_10M)
    assert hrefs["SCL"].startswith(str(products["new"]))
    assert source.scene.resolution_m == 10.0
    assert source.grid.shape == (96, 96)
    assert source.load().bands == tuple(sorted(set(hrefs) - {"SCL"}, key=lambda b: b.replace("B8A", "B08a")))


def test_the_user_wins_over_the_metadata(products):
    source = open_source(products["new"], LocalOptions(offset=0.0))
    radiometry = source.scene.assets["B04"].radiometry
    assert (radiometry.scale, radiometry.offset) == (1e-4, 0.0)
    assert radiometry.source.startswith("offset 0 given by the user; otherwise product metadata")


def test_the_classification_decides_what_is_usable(tmp_path):
    codes = np.full((48, 48), 5, np.uint8)
    codes[20:24, 20:24] = 9
    codes[40, 40] = 1
    codes[0, :] = 0
    image = open_source(write_safe(tmp_path, scl=codes)).load()
    assert image.classes_source == "SCL"
    np.testing.assert_array_equal(image.classes, codes.repeat(2, 0).repeat(2, 1))
    assert not image.valid[40:48, 40:48].any()  # the cloud itself
    assert not image.valid[44, 34:54].any()  # 60 m around it
    assert image.valid[44, 32] and image.valid[44, 55]
    assert not image.valid[80:82, 80:82].any()  # saturated
    assert image.valid[82, 82]  # saturation is not widened
    assert not image.valid[:2].any()  # no data


def test_several_granules_are_refused_with_one_to_choose(products, tmp_path):
    folder = write_safe(tmp_path)
    (folder / "GRANULE" / "L2A_T33TUM_A041212_20230514T100559" / "IMG_DATA").mkdir(parents=True)
    with pytest.raises(
        InputFileError, match=r"holds 2 granules; give the band folder of one, such as .*T33TUM"
    ):
        open_source(folder)


def test_the_band_folder_of_a_product_can_be_given(products):
    folder = next(products["new"].glob("GRANULE/*/IMG_DATA"))
    scene = open_source(folder).scene
    assert scene.assets["B04"].radiometry.offset == -0.1
    assert "processing baseline 05.09 (product name S2A_MSIL2A" in scene.assets["B04"].radiometry.source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declare a document type"),
        ("<a>", "the metadata are damaged"),
        ("<a>\udcff</a>", "the metadata are damaged"),
    ],
)
def test_unfit_metadata_are_refused(tmp_path, text, words):
    path = tmp_path / "MTD_MSIL2A.xml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputFileError, match=words) as caught:
        read_xml(path)
    assert str(caught.value).endswith("; download the product again from its provider")
    assert "\n" not in str(caught.value)


def test_metadata_without_a_divisor_are_refused(tmp_path):
    folder = write_safe(tmp_path)
    path = folder / "MTD_MSIL2A.xml"
    text = path.read_text()
    path.write_text(text.replace("BOA_QUANTIFICATION_VALUE", "OTHER"))
    with pytest.raises(InputFileError, match="no QUANTIFICATION_VALUE"):
        read_safe(folder)
    path.write_text(text.replace(">10000<", ">many<"))
    with pytest.raises(InputFileError, match="'many' where a number belongs"):
        read_safe(folder)


def test_a_product_without_metadata_or_pixels_is_refused(tmp_path):
    folder = tmp_path / "S2A_MSIL2A_x.SAFE"
    folder.mkdir()
    assert is_safe(folder)
    with pytest.raises(MissingInputError, match=r"no MTD_MSIL1C.xml or MTD_MSIL2A.xml"):
        open_source(folder)
    (folder / "MTD_MSIL2A.xml").write_text("<a/>")
    with pytest.raises(MissingInputError, match=r"no GRANULE/\*/IMG_DATA folder"):
        open_source(folder)


def test_the_layout_of_2016_is_read(tmp_path):
    folder = write_safe(tmp_path, level="1C", baseline="02.04", shift=None)
    (folder / "MTD_MSIL1C.xml").rename(folder / "S2A_OPER_MTD_SAFL1C_PDMC_20160809T015434_R022_V2016.xml")
    granule = next((folder / "GRANULE").iterdir())
    old = "S2A_OPER_MSI_L1C_TL_EPA__20160809T015434_A000162_T33TUN"
    (granule / "MTD_TL.xml").rename(granule / f"{old.replace('MSI', 'MTD')}.xml")
    for path in list((granule / "IMG_DATA").iterdir()):
        path.rename(path.with_name(f"{old}_{path.stem[-3:]}.jp2"))
    source = open_source(granule.rename(granule.with_name(f"{old}_N02.04")).parents[1])
    assert source.scene.time_text == "2023-05-14T10:06:01Z"
    assert source.scene.sun_elevation_deg == 62.5
    assert len(source.load().bands) == source.band_count == 11
