"""Bands: facts of the table, and the many names of a band."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.bands import (
    COMPARED_BANDS,
    NATURAL_COLOUR,
    REQUIRED_BANDS,
    SENTINEL2_BANDS,
    band,
    canonical_name,
    change_weights,
)

NAMES = [b.name for b in SENTINEL2_BANDS]


def test_the_table_is_that_of_the_instrument():
    assert NAMES == [
        "B01",
        "B02",
        "B03",
        "B04",
        "B05",
        "B06",
        "B07",
        "B08",
        "B8A",
        "B09",
        "B10",
        "B11",
        "B12",
    ]
    by_resolution = {r: {b.name for b in SENTINEL2_BANDS if b.resolution_m == r} for r in (10, 20, 60)}
    assert by_resolution[10] == {"B02", "B03", "B04", "B08"}
    assert by_resolution[20] == {"B05", "B06", "B07", "B8A", "B11", "B12"}
    assert by_resolution[60] == {"B01", "B09", "B10"}


def test_bands_stand_in_order_of_wavelength_and_every_name_is_used_once():
    wavelengths = [b.wavelength_nm for b in SENTINEL2_BANDS]
    assert wavelengths == sorted(wavelengths)
    assert 400 < wavelengths[0] < wavelengths[-1] < 2400
    assert len({b.common_name for b in SENTINEL2_BANDS}) == len(SENTINEL2_BANDS)


def test_what_is_compared_is_the_surface():
    assert set(REQUIRED_BANDS) | set(NATURAL_COLOUR) <= set(COMPARED_BANDS)
    assert not {"B01", "B09", "B10"} & set(COMPARED_BANDS)
    assert [n for n in NAMES if n in COMPARED_BANDS] == list(COMPARED_BANDS)
    assert tuple(name for c in ("red", "green", "blue") for name in [canonical_name(c)]) == NATURAL_COLOUR


def test_a_band_is_found_by_its_canonical_name_only():
    assert band("B8A").common_name == "nir08"
    with pytest.raises(KeyError):
        band("b8a")


@pytest.mark.parametrize("row", SENTINEL2_BANDS, ids=NAMES)
def test_every_name_of_a_band_leads_to_it(row):
    name = row.name
    for text in (name, name.lower(), f" {name} ", f"{name}_10m", f"{name} ({row.wavelength_nm} nm)",
                 f"{name}, {row.common_name}", row.common_name, row.common_name.upper()):  # fmt: skip
        assert canonical_name(text) == name, text
    if name != "B8A":
        assert canonical_name(f"B{int(name[1:])}") == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("scl", "SCL"), ("SCL_20m", "SCL"), ("b08a", "B8A"), ("B13", None), ("B0", None), ("B00", None),
        ("B080", None), ("mask", None), ("", None), ("   ", None), ("4", None), ("VV", None), ("TCI", None),
        ("redish", None), ("B04.tif", None),
    ],
)  # fmt: skip
def test_other_names(text, name):
    assert canonical_name(text) == name


@pytest.mark.parametrize("text", ["red edge", "red-edge", "Red Edge", "nir narrow", "rededge"])
def test_a_name_that_only_begins_like_a_colour_is_not_that_colour(text):
    assert canonical_name(text) is None


@pytest.mark.parametrize(("text", "name"), [("red edge 1", "B05"), ("red_edge_3", "B07"), ("NIR 08", "B8A")])
def test_common_names_may_be_spaced(text, name):
    assert canonical_name(text) == name


@given(st.text(max_size=20))
def test_any_text_names_a_band_of_the_table_or_none(text):
    assert canonical_name(text) in {None, "SCL", *NAMES}


def test_weights_follow_the_names_and_trust_strangers():
    assert change_weights(("B12", "B02", "thermal")) == (band("B12").change_weight, 1.0, 1.0)
    assert change_weights(()) == ()
    assert all(0 <= b.change_weight <= 1 for b in SENTINEL2_BANDS)
