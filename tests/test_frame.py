"""A comparison that the machine cannot hold is refused before it starts."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from changedet.access.choosing import surroundings
from changedet.errors import UsageError
from changedet.frame import choose_frame, require_memory
from changedet.site import Site

FULL_TILE = GeoBox.from_bbox((300000, 0, 409800, 109800), "EPSG:32633", resolution=10, tight=True)
SITE = GeoBox.from_bbox((300000, 0, 305000, 5000), "EPSG:32633", resolution=10, tight=True)


def test_a_full_tile_is_too_much_for_sixteen_gigabytes():
    with pytest.raises(UsageError) as caught:
        require_memory(FULL_TILE, 13, 16e9)
    assert str(caught.value) == (
        "121 megapixels with 13 bands need about 56 GB of memory, this machine has 16 GB; "
        "restrict the comparison with --at and --radius, or with --bbox"
    )


def test_a_site_fits_a_laptop():
    require_memory(SITE, 13, 4e9)


def test_the_machine_is_asked_when_nothing_is_said():
    require_memory(SITE, 13)


def test_more_bands_need_more_memory():
    require_memory(FULL_TILE, 4, 64e9)
    with pytest.raises(UsageError):
        require_memory(FULL_TILE, 13, 64e9)


@settings(max_examples=25, deadline=None)
@given(st.floats(-75, 75), st.floats(-179, 179), st.integers(150, 6000))
def test_what_is_fetched_for_a_site_is_what_is_compared(lat, lon, radius_m):
    site = Site.at(f"{lat:.5f}, {lon:.5f}", radius_m=radius_m)
    source = SimpleNamespace(grid=surroundings(site.grid), scene=SimpleNamespace(id="a"))
    assert choose_frame(source, source, "before", site).context == source.grid
