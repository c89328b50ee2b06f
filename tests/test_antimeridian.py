"""Outlines across the antimeridian, in every form that programs write, are one piece inside."""

import json
import math

import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from changedet.antimeridian import (
    box_outline,
    continuous,
    footprint_on,
    footprint_outline,
    near,
    promised_share,
    unwrapped,
    within_globe,
)
from changedet.errors import CoordinateError, UsageError
from changedet.site import Site, utm_grid
from changedet.site_lists import read_sites

ACROSS = box(179.6, -17.0, 180.4, -16.0)
SPLIT = MultiPolygon([box(179.6, -17, 180, -16), box(-180, -17, -179.6, -16)])
LEAPS = Polygon([(179.6, -17), (-179.6, -17), (-179.6, -16), (179.6, -16)])


def same(one, other):
    return one.symmetric_difference(other).area < 1e-9


@pytest.mark.parametrize("written", [ACROSS, SPLIT, LEAPS, LEAPS.reverse(), SPLIT.reverse()])
def test_every_form_becomes_one_piece(written):
    found = continuous(written)
    assert found.geom_type == "Polygon"
    assert same(found, ACROSS)


@pytest.mark.parametrize("plain", [box(10, 50, 11, 51), box(-180, 0, -179, 1), box(-89, 0, 90, 10)])
def test_what_does_not_cross_stays_as_it_is(plain):
    assert continuous(plain) is plain
    assert within_globe(plain) is plain


@given(west=st.floats(175, 180, exclude_max=True), width=st.floats(0.01, 9), south=st.floats(-80, 80))
def test_cutting_in_two_and_joining_lose_nothing(west, width, south):
    whole = box(west, south, west + width, south + 1)
    cut = within_globe(whole)
    assert -180 <= cut.bounds[0] <= cut.bounds[2] <= 180
    assert cut.area == pytest.approx(whole.area)
    assert same(continuous(cut), whole) or west + width <= 180


@given(centre=st.floats(-180, 180), turns=st.integers(-1, 1))
def test_outlines_are_turned_to_where_they_are_looked_at(centre, turns):
    place = box(centre - 0.5, 10, centre + 0.5, 11)
    turned = translate(place, 360 * turns)
    assert near(turned, centre).bounds == pytest.approx(place.bounds)
    assert unwrapped(turned, centre).bounds == pytest.approx(place.bounds)


@pytest.mark.parametrize("drawn", [SPLIT, LEAPS, LEAPS.reverse(), ACROSS])
def test_footprints_are_understood_either_way_round(drawn):
    found = footprint_outline(mapping(drawn))
    assert found.is_valid
    assert same(found, ACROSS)


def test_footprints_that_say_nothing():
    assert footprint_outline({}) is None
    assert footprint_outline(mapping(box(-60, 0, 60, 10))) is None


def test_a_damaged_footprint_is_mended():
    bow = Polygon([(10, 50), (11, 51), (11, 50), (10, 51)])
    assert not bow.is_valid
    assert footprint_outline(mapping(bow)).is_valid


FIJI = GeoBox.from_bbox((179.9, -16.6, 180.1, -16.4), "EPSG:4326", resolution=0.01)
GRIDS = {
    "zone 60": utm_grid(FIJI),
    "beyond 180": FIJI,
    "beyond -180": GeoBox(FIJI.shape, Affine.translation(-360, 0) * FIJI.transform, FIJI.crs),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("drawn", [SPLIT, LEAPS, LEAPS.reverse(), ACROSS, translate(ACROSS, -360)])
def test_a_footprint_promises_the_same_however_it_and_the_grid_are_drawn(drawn, grid):
    assert footprint_on(mapping(drawn), grid).is_valid
    assert promised_share([mapping(drawn)], grid) == pytest.approx(1, abs=1e-6)


def test_a_part_of_a_grid_is_promised_once_by_several_footprints():
    grid = GRIDS["zone 60"]
    west, east = box(179, -17, 180, -16), box(-180, -17, -179, -16)
    shares = [promised_share([mapping(one)], grid) for one in (west, east)]
    assert all(0.4 < share < 0.6 for share in shares)
    assert promised_share([mapping(west), {}, mapping(west)], grid) == pytest.approx(shares[0])
    assert promised_share([mapping(west), mapping(east)], grid) == pytest.approx(1, abs=1e-6)


def test_what_says_nothing_or_lies_elsewhere_promises_nothing():
    grid = GRIDS["zone 60"]
    assert footprint_on({}, grid) is None
    assert promised_share([], grid) == promised_share([{}], grid) == 0.0
    assert promised_share([mapping(box(178, -17, 179, -16))], grid) == 0.0


# -------------------------------------------------------------------------------------------- boxes and sites


@pytest.mark.parametrize(
    ("given_box", "bounds"),
    [
        ((179.9, -17.0, -179.9, -16.9), (179.9, -17.0, 180.1, -16.9)),
        ((180.0, -17.0, -179.9, -16.9), (180.0, -17.0, 180.1, -16.9)),
        ((179.9, -17.0, 180.0, -16.9), (179.9, -17.0, 180.0, -16.9)),
        ((175.0, 0.0, -175.0, 1.0), (175.0, 0.0, 185.0, 1.0)),
        ((10.0, 50.0, 40.0, 51.0), (10.0, 50.0, 40.0, 51.0)),
    ],
)
def test_a_box_with_west_above_east_crosses(given_box, bounds):
    assert box_outline(*given_box).bounds == pytest.approx(bounds)


@pytest.mark.parametrize(
    ("given_box", "said"),
    [
        ((174.9, 0, -175.0, 1), "is empty, and across the antimeridian 10.1 degrees wide; give W,S,E,N with"),
        ((11, 50, 10, 51), r"359 degrees wide; .*only a box across the antimeridian has west > east"),
        ((179.9, 1, -179.9, 0), r"box 179.9,1,-179.9,0 is empty"),
        ((10, 50, 10, 51), "is empty; give"),
    ],
)
def test_slips_in_a_box_are_told_from_crossings(given_box, said):
    with pytest.raises(UsageError, match=said):
        box_outline(*given_box)


def test_a_box_out_of_range_is_refused():
    with pytest.raises(CoordinateError, match="longitude 181 is outside"):
        box_outline(181, 0, -178, 1)


def test_sites_of_both_notations_are_one_site():
    square = Site.at("-17, 179.995", radius_m=2000)
    west, south, east, north = square.geometry.bounds
    boxed = Site.from_bbox(west, south, east - 360, north)
    assert boxed.grid.crs == square.grid.crs
    assert 0 <= boxed.grid.shape[0] - square.grid.shape[0] <= 16
    assert boxed.centroid.lon == pytest.approx(179.995, abs=1e-4)


@pytest.mark.parametrize(("south", "north"), [(84.5, 85.0), (-81.0, -80.5)])
def test_boxes_beyond_utm_are_refused_at_once(south, north):
    with pytest.raises(UsageError, match="is outside UTM; choose a site between 80 S and 84 N"):
        Site.from_bbox(10, south, 11, north)


@pytest.mark.parametrize("drawn", [SPLIT, LEAPS, ACROSS])
def test_outlines_in_files_may_be_drawn_in_any_form(tmp_path, drawn):
    path = tmp_path / "sites.geojson"
    feature = {"type": "Feature", "properties": {"name": "Atoll"}, "geometry": mapping(drawn)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (site,) = read_sites(path)
    assert same(site.geometry, ACROSS)
    assert site.centroid.lon == pytest.approx(-180)
    assert site.grid.shape[1] < 9000


def test_kml_outlines_may_leap(tmp_path):
    ring = " ".join(f"{x},{y}" for x, y in shapely.get_coordinates(LEAPS))
    path = tmp_path / "sites.kml"
    path.write_text(
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><name>Atoll</name><Polygon><outerBoundaryIs>'
        f"<LinearRing><coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></kml>"
    )
    (site,) = read_sites(path)
    assert same(site.geometry, ACROSS)


@pytest.mark.parametrize("place", [math.nan, math.inf, 1e308, -1e12, 541.0])
def test_a_footprint_off_the_globe_says_nothing(place):
    ring = [[126.0, 38.0], [place, 38.0], [127.0, 39.0], [126.0, 38.0]]
    assert footprint_outline({"type": "Polygon", "coordinates": [ring]}) is None
