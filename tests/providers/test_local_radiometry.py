"""Radiometry: who is believed first, and that nothing is assumed silently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.errors import InputFileError
from changedet.providers.facts import LocalOptions, Stated
from changedet.providers.local_radiometry import Stored, Witnesses, decide_radiometry, to_reflectance
from changedet.scene import Radiometry

BASELINE_5 = Stated("05.09", "tag PROCESSING_BASELINE")
BASELINE_2 = Stated("N0214", "product name S2A_x")
PRODUCT = {"B04": Radiometry(1e-4, -0.1, nodata=0, source="product metadata")}


def stored(dtype="uint16", values=(0, 3000), **more):
    array = np.array(values, dtype)
    return Stored("B04", dtype, sample=lambda: array, **more)


@pytest.mark.parametrize(
    ("band", "witnesses", "scale", "offset", "words"),
    [
        (stored(), Witnesses(LocalOptions(2e-4, 0.5), PRODUCT, BASELINE_5), 2e-4, 0.5, "given by the user"),
        (stored(), Witnesses(product=PRODUCT, baseline=BASELINE_2), 1e-4, -0.1, "product metadata"),
        (stored(scale=2e-5, offset=-0.2), Witnesses(baseline=BASELINE_5), 2e-5, -0.2, "stated in the file"),
        (stored(), Witnesses(baseline=BASELINE_5), 1e-4, -0.1, "processing baseline 05.09 (tag"),
        (stored(), Witnesses(baseline=BASELINE_2), 1e-4, 0.0, "processing baseline 02.14 (product name"),
        (stored(), Witnesses(LocalOptions(offset=0.0), baseline=BASELINE_5), 1e-4, 0.0, "offset 0 given by"),
        (
            stored(),
            Witnesses(LocalOptions(scale=1e-3), baseline=BASELINE_5),
            1e-3,
            -0.1,
            "otherwise processing",
        ),
    ],
)
def test_who_is_believed_first(band, witnesses, scale, offset, words):
    chosen = decide_radiometry(band, witnesses)
    assert (chosen.scale, chosen.offset, chosen.assumed) == (scale, offset, False)
    assert words in chosen.source


@pytest.mark.parametrize(
    ("band", "scale", "nodata"),
    [
        (stored(), 1e-4, 0),
        (stored("int16", (-9999, 3000), nodata=-9999.0), 1e-4, -9999),
        (stored("uint8", (0, 200)), 1 / 255, 0),
        (stored("uint16", (0, 1)), 1.0, 0),
        (stored("float32", (0.1, 0.3, np.nan)), 1.0, None),
        (stored("float32", (0.0, 1500.0, 2500.0)), 1e-4, 0),
        (stored("float32", (-9999.0, 1500.0, 2500.0), nodata=-9999.0), 1e-4, -9999),
    ],
)
def test_conventions_are_marked_as_assumed(band, scale, nodata):
    chosen = decide_radiometry(band, Witnesses())
    assert (chosen.scale, chosen.offset, chosen.nodata) == (scale, 0.0, nodata)
    assert chosen.assumed
    assert chosen.source.startswith("assumed: ")


def test_a_baseline_says_nothing_about_floats_or_other_sensors():
    unknown = Stated("99.99", "tag")
    assert decide_radiometry(stored("float32", (0.1,)), Witnesses(baseline=BASELINE_5)).offset == 0
    other = Stored("band_1", "uint16", sample=lambda: np.array([9000], np.uint16))
    assert decide_radiometry(other, Witnesses(baseline=unknown)).assumed


def test_an_unknown_baseline_is_refused_unless_the_user_says_more():
    unknown = Stated("99.99", "tag")
    with pytest.raises(InputFileError, match=r"scene: .* baseline 99.99 is not known; give scale and offset"):
        decide_radiometry(stored(), Witnesses(baseline=unknown, where="scene"))
    chosen = decide_radiometry(stored(), Witnesses(LocalOptions(1e-4, 0.0), baseline=unknown))
    assert chosen.source == "scale 0.0001, offset 0 given by the user"


def test_numbers_that_were_decoded_are_left_alone():
    chosen = decide_radiometry(stored("float32", (0.1,), decoded=True), Witnesses(baseline=BASELINE_5))
    assert (chosen.scale, chosen.offset, chosen.assumed) == (1.0, 0.0, False)


def test_no_data_is_removed_before_the_offset_is_applied():
    radiometry = Radiometry(1e-4, -0.1, nodata=0, saturated=65535)
    values = to_reflectance(np.array([0, 500, 1000, 3000, 65535], np.uint16), radiometry, clip=True)
    np.testing.assert_allclose(values, [np.nan, 0, 0, 0.2, np.nan], atol=1e-7)
    assert values.dtype == np.float32


def test_infinities_and_float_codes_are_missing_and_the_input_stays():
    array = np.array([np.inf, -np.inf, np.nan, -3.4028235e38, 0.25], np.float32)
    copy = array.copy()
    values = to_reflectance(array, Radiometry(nodata=-3.4028234663852886e38), clip=False)
    np.testing.assert_array_equal(values, [np.nan, np.nan, np.nan, np.nan, 0.25])
    np.testing.assert_array_equal(array, copy)


def test_a_no_data_code_too_large_for_a_float_is_missing():
    lowest = np.finfo(np.float64).min
    values = to_reflectance(np.array([lowest, 0.5]), Radiometry(nodata=lowest), clip=False)
    np.testing.assert_array_equal(values, [np.nan, 0.5])
    single = to_reflectance(np.array([0.5], np.float32), Radiometry(nodata=lowest), clip=False)
    assert single[0] == 0.5


def test_negative_numbers_stay_where_clipping_is_not_asked_for():
    assert to_reflectance(np.array([-12.5], np.float32), Radiometry(), clip=False)[0] == -12.5


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=20), st.sampled_from([0.0, -0.1]))
def test_reflectance_is_never_negative_and_missing_exactly_where_coded(codes, offset):
    numbers = np.array(codes, np.uint16)
    values = to_reflectance(numbers, Radiometry(1e-4, offset, nodata=0, saturated=65535), clip=True)
    np.testing.assert_array_equal(np.isnan(values), (numbers == 0) | (numbers == 65535))
    assert not (values < 0).any()
