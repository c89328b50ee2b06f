"""The map of where on Earth a site lies: land is where it is, everywhere on the globe."""

import numpy as np
import pytest

from changedet.coordinates import GeoPoint
from changedet.output import locator
from changedet.output.sheet import Box, Sheet, plate_style


@pytest.mark.parametrize(
    ("lat", "lon", "land"),
    [
        (38.6, 116.0, True),
        (38.0, 123.0, False),
        (-85.0, 40.0, True),
        (-25.0, 134.0, True),
        (67.5, -178.0, True),
        (67.5, 178.0, True),
        (0.0, -150.0, False),
        (42.0, 50.5, False),
        (89.0, 0.0, False),
        (-17.7, -150.0, False),
    ],
)
def test_land_and_sea_are_told_apart(lat, lon, land):
    seen = locator._land_seen(GeoPoint(lat, lon), np.sin(np.radians(0.5)), 9)
    assert (seen[4, 4] > 0.5) == land


def test_the_share_of_land_is_that_of_the_earth():
    rows = locator._land_mask().astype(float).mean(axis=1) / 255
    weights = np.cos(np.radians(np.linspace(89.95, -89.95, rows.size)))
    assert np.average(rows, weights=weights) == pytest.approx(0.29, abs=0.01)


def test_positions_seen_from_above_are_those_of_the_projection():
    point = GeoPoint(40.0, 170.0)
    east, north = np.array([0.0, 0.1, 0.0]), np.array([0.0, 0.0, 0.5])
    longitude, latitude = locator._from_above(point, east, north)
    assert longitude[0] == 170
    assert latitude[0] == pytest.approx(40)
    assert longitude[1] > 170
    # straight north by the angle whose sine is one half
    assert (longitude[2], latitude[2]) == pytest.approx((170, 70))
    assert np.isnan(locator._from_above(point, np.array([1.1]), np.array([0.0]))[1]).all()


@pytest.mark.parametrize(
    "place", [(38.6, 126.1), (-17.8, 179.9), (89.9, 10.0), (-89.9, 0.0), (0.0, -140.0), (48.0, 88.0)]
)
def test_it_is_drawn_anywhere_with_the_site_in_the_middle(place):
    with plate_style():
        sheet = Sheet.new(2, 2)
        axes = locator.draw_locator(sheet, Box(0.4, 0.2, 1.2, 1.2), GeoPoint(*place))
    assert [list(line.get_xdata()) for line in axes.lines] == [[0], [0]]
    assert axes.get_xlim()[0] == -axes.get_xlim()[1]
    picture = np.asarray(axes.images[0].get_array())
    assert picture.std() > 3


def test_the_view_is_the_smallest_with_a_coast():
    assert locator.locator_view(GeoPoint(31.2, 34.3))[0] == 12
    assert locator.locator_view(GeoPoint(0.0, -140.0))[0] == 90
