"""Spectral indices: known values of known surfaces, whatever is missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.core.indices import INDICES, compute_indices, normalised_difference

BANDS = ("B02", "B03", "B04", "B08", "B11")
SURFACES = {
    "meadow": (0.03, 0.06, 0.04, 0.40, 0.18),
    "soil": (0.10, 0.14, 0.20, 0.28, 0.36),
    "lake": (0.05, 0.05, 0.03, 0.02, 0.01),
    "concrete": (0.24, 0.26, 0.28, 0.31, 0.34),
}


def of(surface):
    data = np.array(SURFACES[surface], np.float32).reshape(-1, 1, 1)
    return {name: float(value[0, 0]) for name, value in compute_indices(data, BANDS).items()}


def test_the_indices_of_a_meadow_are_their_formulas():
    found = of("meadow")
    blue, green, red, nir, swir = SURFACES["meadow"]
    assert found == pytest.approx(
        {
            "NDVI": (nir - red) / (nir + red),
            "NDBI": (swir - nir) / (swir + nir),
            "BSI": ((swir + red) - (nir + blue)) / (swir + red + nir + blue),
            "MNDWI": (green - swir) / (green + swir),
            "NDWI": (green - nir) / (green + nir),
            "redness": (red - blue) / (red + blue),
            "brightness": (blue + green + red) / 3,
            "NIR": nir,
        },
        rel=1e-5,
    )


@pytest.mark.parametrize(
    ("index", "highest"),
    [("NDVI", "meadow"), ("MNDWI", "lake"), ("NDWI", "lake"), ("BSI", "soil"), ("redness", "soil"),
     ("brightness", "concrete"), ("NIR", "meadow")],
)  # fmt: skip
def test_each_index_singles_out_its_surface(index, highest):
    values = {surface: of(surface)[index] for surface in SURFACES}
    assert max(values, key=values.get) == highest


def test_an_index_needs_its_bands_only():
    data = np.full((2, 3, 3), 0.2, np.float32)
    assert set(compute_indices(data, ("B04", "B08"))) == {"NDVI", "NIR"}
    assert compute_indices(data, ("B05", "B09")) == {}
    with pytest.raises(ValueError, match="zip"):
        compute_indices(data, ("B04",))


def test_missing_values_stay_missing_where_they_are_and_only_there():
    data = np.random.default_rng(0).random((5, 4, 4), np.float32)
    data[3, 1, 2] = np.nan
    for name, value in compute_indices(data, BANDS).items():
        uses_nir = "B08" in INDICES[name][1]
        assert np.argwhere(np.isnan(value)).tolist() == ([[1, 2]] if uses_nir else [])
        assert value.dtype == np.float32


reflectance = st.floats(0, 2, width=32)


@given(first=reflectance, second=reflectance)
def test_a_normalised_difference_is_bounded_and_antisymmetric(first, second):
    value, turned = (
        float(normalised_difference(np.float32([a]), np.float32([b]))[0])
        for a, b in ((first, second), (second, first))
    )
    assert -1 <= value <= 1
    assert value == -turned
    if first + second >= 1e-3:
        assert value == pytest.approx((first - second) / (first + second), abs=1e-6)
