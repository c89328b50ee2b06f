"""Kinds: the rules read real surfaces rightly, and the table answers every pair of them."""

import math
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.core.indices import compute_indices
from changedet.kinds import (
    KIND_CAVEATS,
    KIND_COLOURS,
    KIND_LABELS,
    KIND_TABLE,
    NEEDED_INDICES,
    SURFACE_RULES,
    Kind,
    Surface,
    choose_kind,
    map_kinds,
    read_surface,
)

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
#: Typical surface reflectance (Level-2A) in the bands above.
SPECTRA = {
    "grass": (0.035, 0.075, 0.045, 0.40, 0.22, 0.11),
    "forest": (0.020, 0.035, 0.022, 0.26, 0.12, 0.05),
    "wheat stubble": (0.075, 0.110, 0.140, 0.260, 0.310, 0.220),
    "dry bare soil": (0.090, 0.130, 0.180, 0.250, 0.340, 0.300),
    "moist bare soil": (0.050, 0.070, 0.095, 0.140, 0.200, 0.170),
    "red desert": (0.110, 0.180, 0.290, 0.370, 0.460, 0.410),
    "concrete": (0.220, 0.250, 0.270, 0.300, 0.330, 0.300),
    "asphalt": (0.090, 0.100, 0.110, 0.130, 0.150, 0.140),
    "white roof": (0.450, 0.460, 0.470, 0.480, 0.450, 0.400),
    "blue steel roof": (0.220, 0.180, 0.130, 0.320, 0.260, 0.220),
    "red tiles": (0.060, 0.080, 0.150, 0.280, 0.340, 0.320),
    "dry grass on red soil": (0.060, 0.090, 0.140, 0.250, 0.320, 0.250),
    "clear water": (0.050, 0.035, 0.020, 0.010, 0.005, 0.003),
    "muddy water": (0.080, 0.110, 0.100, 0.060, 0.015, 0.010),
    "deep shadow": (0.022, 0.020, 0.018, 0.035, 0.030, 0.020),
}
SURFACES = {
    "grass": Surface.VEGETATION,
    "forest": Surface.VEGETATION,
    "wheat stubble": Surface.SPARSE,
    "dry bare soil": Surface.SOIL,
    "moist bare soil": Surface.SOIL,
    "red desert": Surface.SOIL,
    "concrete": Surface.BUILT,
    "asphalt": Surface.BUILT,
    "white roof": Surface.BUILT,
    "blue steel roof": Surface.BUILT,
    "red tiles": Surface.BUILT,
    "dry grass on red soil": Surface.SPARSE,
    "clear water": Surface.WATER,
    "muddy water": Surface.WATER,
    "deep shadow": Surface.DARK,
}
BUILT = [name for name, surface in SURFACES.items() if surface is Surface.BUILT]


def indices(name, bands=BANDS):
    planes = np.array(SPECTRA[name], np.float32)[[BANDS.index(b) for b in bands], None, None]
    return {index: float(plane[0, 0]) for index, plane in compute_indices(planes, bands).items()}


def kind_of(before, after):
    return choose_kind(indices(before), indices(after))[0]


@pytest.mark.parametrize(("name", "surface"), SURFACES.items())
def test_a_surface_is_read_from_its_spectrum(name, surface):
    assert read_surface(indices(name)) is surface


@pytest.mark.parametrize(("name", "surface"), SURFACES.items())
def test_ten_metre_bands_are_enough_to_read_a_surface(name, surface):
    # red tiles are told from dry plants by the short-wave infrared alone
    expected = Surface.SPARSE if name == "red tiles" else surface
    assert read_surface(indices(name, BANDS[:4])) is expected


@pytest.mark.parametrize("rule", SURFACE_RULES, ids=[r.text for r in SURFACE_RULES])
def test_every_rule_decides_for_some_real_surface(rule):
    first = [next(r for r in SURFACE_RULES if r.holds(indices(name))) for name in SPECTRA]
    assert rule in first
    assert rule.text
    assert rule.source


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("grass", "concrete", Kind.CONSTRUCTION),
        ("wheat stubble", "white roof", Kind.CONSTRUCTION),
        ("dry bare soil", "asphalt", Kind.CONSTRUCTION),
        ("forest", "blue steel roof", Kind.CONSTRUCTION),
        ("dry bare soil", "red tiles", Kind.CONSTRUCTION),
        ("grass", "dry grass on red soil", Kind.VEGETATION),
        ("grass", "dry bare soil", Kind.EARTHWORKS),
        ("forest", "red desert", Kind.EARTHWORKS),
        ("concrete", "grass", Kind.DEMOLITION),
        ("white roof", "dry bare soil", Kind.DEMOLITION),
        ("grass", "wheat stubble", Kind.VEGETATION),
        ("dry bare soil", "grass", Kind.VEGETATION),
        ("muddy water", "concrete", Kind.WATER),
        ("grass", "clear water", Kind.WATER),
        ("deep shadow", "clear water", Kind.WATER),
        ("concrete", "asphalt", Kind.SURFACE),
        ("dry bare soil", "red desert", Kind.SURFACE),
        ("concrete", "deep shadow", Kind.UNCLASSIFIED),
        ("deep shadow", "grass", Kind.UNCLASSIFIED),
    ],
)
def test_what_happened_between_two_surfaces(before, after, kind):
    assert kind_of(before, after) is kind


def test_every_kind_but_none_is_reachable():
    found = {kind_of(a, b) for a, b in product(SPECTRA, SPECTRA)}
    assert found == set(Kind) - {Kind.NONE}


@pytest.mark.parametrize(("ground", "roof"), list(product(SPECTRA, BUILT)))
def test_exchanging_the_dates_exchanges_construction_and_demolition(ground, roof):
    mirror = {Kind.CONSTRUCTION: Kind.DEMOLITION, Kind.DEMOLITION: Kind.CONSTRUCTION}
    there, back = kind_of(ground, roof), kind_of(roof, ground)
    assert back is mirror.get(there, there)


def test_the_table_names_surfaces_and_kinds_and_leaves_the_rest_unclassified():
    for surfaces in product(Surface, Surface):
        kind = KIND_TABLE.get(surfaces, Kind.UNCLASSIFIED)
        assert kind in set(Kind) - {Kind.NONE}
        if Surface.UNKNOWN in surfaces:
            assert kind is Kind.UNCLASSIFIED
        elif (Surface.WATER in surfaces) and len(set(surfaces)) == 2:
            assert kind is Kind.WATER
    assert set(KIND_TABLE) <= set(product(Surface, Surface))


def test_every_kind_has_a_name_and_a_colour_of_its_own():
    assert set(KIND_LABELS) == set(KIND_COLOURS) == set(Kind)
    assert len(set(KIND_LABELS.values())) == len(set(KIND_COLOURS.values())) == len(Kind)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in KIND_COLOURS.values())
    assert set(KIND_CAVEATS) < set(Kind)


def test_the_codes_of_the_raster_never_move():
    assert {kind.name: int(kind) for kind in Kind} == {
        "NONE": 0, "CONSTRUCTION": 1, "EARTHWORKS": 2, "DEMOLITION": 3, "VEGETATION": 4, "WATER": 5,
        "SURFACE": 6, "UNCLASSIFIED": 7,
    }  # fmt: skip


@pytest.mark.parametrize("name", NEEDED_INDICES)
def test_a_missing_or_empty_index_leaves_the_surface_unknown(name):
    values = indices("grass")
    assert read_surface(values | {name: math.nan}) is Surface.UNKNOWN
    del values[name]
    assert read_surface(values) is Surface.UNKNOWN
    kind, evidence = choose_kind(values, indices("concrete"))
    assert kind is Kind.UNCLASSIFIED
    assert evidence.startswith("unknown to built or paved")


def test_the_evidence_gives_the_numbers_of_both_dates_and_never_nan():
    _, evidence = choose_kind(indices("grass"), indices("concrete"))
    assert evidence.startswith("vegetation to built or paved (NDVI 0.80 to 0.05, BSI ")
    _, evidence = choose_kind(indices("grass") | {"BSI": math.nan}, indices("concrete"))
    assert "BSI" not in evidence
    assert "nan" not in evidence
    assert choose_kind({}, {}) == (Kind.UNCLASSIFIED, "unknown to unknown")


any_indices = st.dictionaries(
    st.sampled_from([*NEEDED_INDICES, "BSI", "MNDWI"]), st.floats(allow_nan=True, allow_infinity=True)
)


@given(any_indices, any_indices)
def test_hostile_numbers_still_give_a_kind_and_a_text(before, after):
    kind, evidence = choose_kind(before, after)
    assert kind in Kind
    assert " to " in evidence


def test_pixels_are_read_by_the_same_rules_as_objects():
    names = list(SPECTRA)
    data = np.array([SPECTRA[name] for name in names], np.float32).T[:, :, None]
    grid = [np.broadcast_to(data, (len(BANDS), len(names), len(names)))]
    grid.append(grid[0].transpose(0, 2, 1))
    before, after = (compute_indices(np.ascontiguousarray(side), BANDS) for side in grid)
    expected = [[kind_of(a, b) for b in names] for a in names]
    np.testing.assert_array_equal(map_kinds(before, after), expected)
    after["NDVI"][0, 0] = np.nan
    assert map_kinds(before, after)[0, 0] == Kind.UNCLASSIFIED
    del after["NDVI"]
    assert set(np.unique(map_kinds(before, after))) == {Kind.UNCLASSIFIED}
