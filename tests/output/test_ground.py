"""Positions and lengths on the ground against independent computations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod
from tests.synthetic import GRID

from changedet.coordinates import GeoPoint
from changedet.errors import CrsMismatchError
from changedet.output.ground import (
    centre,
    edge_ticks,
    length_text,
    lonlat,
    north_deg,
    point_at,
    round_length_m,
)
from changedet.resample import pixel_size_m
from changedet.site import Site


def degree_grid(west, south, size=0.01, pixels=100):
    return GeoBox.from_bbox((west, south, west + size, south + size), "EPSG:4326", resolution=size / pixels)


def test_pixels_of_a_utm_grid_are_ten_true_metres():
    height, width = pixel_size_m(GRID)
    assert width == pytest.approx(10, rel=1e-3)
    assert height == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("latitude", [0.0, 45.0, -60.0, 75.0])
def test_pixels_of_a_degree_grid_shrink_with_latitude(latitude):
    height, width = pixel_size_m(degree_grid(10, latitude))
    expected = math.cos(math.radians(latitude)) * 111_320 * 1e-4
    assert width == pytest.approx(expected, rel=0.01)
    assert height == pytest.approx(11.1, rel=0.01)


def test_metres_of_web_mercator_are_not_metres():
    grid = GeoBox.from_bbox((0, 8_400_000, 1000, 8_401_000), "EPSG:3857", resolution=10, tight=True)
    latitude = centre(grid).lat
    assert pixel_size_m(grid)[1] == pytest.approx(10 * math.cos(math.radians(latitude)), rel=0.01)


def test_centre_of_a_site_grid_is_the_point_the_site_was_made_from():
    point = GeoPoint(-3.3, 122.2)
    found = centre(Site.at(point, radius_m=1000).grid)
    _, _, distance = Geod(ellps="WGS84").inv(found.lon, found.lat, point.lon, point.lat)
    assert distance < 15


def test_positions_broadcast_and_rows_go_south():
    longitude, latitude = lonlat(GRID, np.arange(3)[None], np.arange(2)[:, None])
    assert longitude.shape == latitude.shape == (2, 3)
    assert (np.diff(longitude, axis=1) > 0).all()
    assert (np.diff(latitude, axis=0) < 0).all()


def test_a_position_east_of_the_antimeridian_is_in_range():
    assert point_at(degree_grid(179.995, 10), 90, 50).lon == pytest.approx(-179.996, abs=1e-3)


def test_north_is_up_on_a_degree_grid_and_turned_at_the_edge_of_a_zone():
    assert north_deg(degree_grid(10, 50)) == pytest.approx(0, abs=0.01)
    # west of the central meridian (129 E) true north lies to the right of grid north
    convergence = -math.degrees(
        math.atan(math.tan(math.radians(126.0913 - 129)) * math.sin(math.radians(38.596)))
    )
    assert north_deg(GRID) == pytest.approx(convergence, abs=0.02)


@given(st.floats(1e-3, 1e7))
def test_round_lengths_are_round_and_fit(longest):
    length = round_length_m(longest)
    mantissa = length / 10 ** math.floor(math.log10(length) + 1e-9)
    assert any(mantissa == pytest.approx(m) for m in (1, 2, 5))
    assert longest / 2.51 < length <= longest * (1 + 1e-6)


@given(st.floats(-179, 170), st.floats(1e-4, 8))
def test_ticks_lie_where_their_labels_say(start, span):
    edge = np.linspace(start, start + span, 33)
    ticks = edge_ticks(edge, "EW")
    assert 1 <= len(ticks) <= 5
    for position, label in ticks:
        value = float(label.rstrip("EW").rstrip("°")) * (-1 if label.endswith("W") else 1)
        assert start + position * span == pytest.approx(value, abs=1e-3 * span)


def test_ticks_run_down_with_latitude_and_across_the_antimeridian():
    down = edge_ticks(np.linspace(0.02, -0.02, 9), "NS")
    assert [label[-1] for _, label in sorted(down)] == ["N", "°", "S"]
    across = edge_ticks(np.array([179.97, 179.985, -180.0, -179.985, -179.97]), "EW")
    assert [label for _, label in across] == ["179.98°E", "180.00°", "179.98°W"]


def test_an_edge_without_extent_has_no_ticks():
    assert edge_ticks(np.full(5, 10.0), "EW") == ()
    assert edge_ticks(np.full(5, np.nan), "EW") == ()


def test_lengths_are_written_in_the_fitting_unit():
    assert [length_text(v) for v in (0.5, 500, 1000, 2500)] == ["0.5 m", "500 m", "1 km", "2.5 km"]


def test_a_grid_without_reference_system_is_refused_with_advice():
    grid = GeoBox((4, 4), GRID.transform, None)
    with pytest.raises(CrsMismatchError, match="no coordinate reference system; "):
        centre(grid)
