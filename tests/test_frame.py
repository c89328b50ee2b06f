"""A site is compared where it was fetched: on the same pixels."""

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.frame import choose_frame, surroundings
from changedet.site import Site


@settings(max_examples=25, deadline=None)
@given(st.floats(-75, 75), st.floats(-179, 179), st.integers(150, 6000))
def test_what_is_fetched_for_a_site_is_what_is_compared(lat, lon, radius_m):
    site = Site.at(f"{lat:.5f}, {lon:.5f}", radius_m=radius_m)
    source = SimpleNamespace(grid=surroundings(site.grid), scene=SimpleNamespace(id="a"))
    assert choose_frame(source, source, "before", site).context == source.grid
