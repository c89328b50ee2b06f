"""An area cut into sites: covered whole, on a grid of its own, with neighbours that overlap."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from changedet.errors import OutputError, OutputExistsError, UsageError
from changedet.objects import area_m2
from changedet.site import Site
from changedet.site_cutting import cut_area, write_site_list
from changedet.site_lists import read_sites

if TYPE_CHECKING:
    from pathlib import Path

AREA = Site.from_bbox(30.1, 50.0, 30.6, 50.4, name="Area")


def covered_share(area: Site, sites: list[Site]) -> float:
    together = shapely.union_all([site.geometry for site in sites])
    return shapely.intersection(area.geometry, together).area / area.geometry.area


@settings(max_examples=25, deadline=None)
@given(
    west=st.floats(-180, 179.5),
    south=st.floats(-79, 82),
    wide=st.floats(0.05, 0.8),
    high=st.floats(0.05, 0.4),
    side_km=st.sampled_from([5, 12.5, 20, 100]),
)
def test_every_place_is_in_a_site(
    west: float, south: float, wide: float, high: float, side_km: float
) -> None:
    area = Site("Area", box(west, south, west + wide, south + high))
    sites = cut_area(area, side_m=1000 * side_km, overlap_m=300)
    # edges in degrees and in metres differ by less than a metre
    assert covered_share(area, sites) > 1 - 1e-3
    together = shapely.union_all([site.geometry for site in sites])
    assert shapely.difference(together, area.geometry.buffer(1e-4)).is_empty
    names = [site.name for site in sites]
    assert len(set(names)) == len(names)
    assert all(area_m2(site.geometry) <= ((side_km + 0.31) * 1000) ** 2 * 1.01 for site in sites)
    # whatever a run or a list asks of a site
    assert all(site.geometry.is_valid and site.epsg > 0 for site in sites)


def test_a_part_of_an_area_gives_the_squares_of_the_whole() -> None:
    whole = {site.name: site.geometry for site in cut_area(AREA)}
    part = Site.from_bbox(30.1, 50.0, 30.4, 50.2)
    found = cut_area(part)
    assert {site.name for site in found} < set(whole)
    for site in found:
        own = shapely.intersection(whole[site.name], part.geometry)
        assert shapely.symmetric_difference(own, site.geometry).area < 1e-4 * own.area + 1e-8


def test_what_is_narrower_than_the_overlap_lies_whole_in_one_site() -> None:
    sites = cut_area(AREA, side_m=5000, overlap_m=1000)
    for row in range(8):
        for column in range(8):
            centre = f"{50.03 + 0.0431 * row}, {30.15 + 0.0517 * column}"
            spot = Site.at(centre, radius_m=495).geometry
            assert any(site.geometry.covers(spot) for site in sites)


def test_without_an_overlap_no_ground_is_in_two_sites() -> None:
    sites = cut_area(AREA, overlap_m=0)
    # the area lies in one zone
    assert sum(site.geometry.area for site in sites) == pytest.approx(AREA.geometry.area, rel=1e-4)
    assert {site.folder for site in sites} == {"Area"}
    assert [site.name for site in sites[:2]] == ["36-E280-N5540", "36-E300-N5540"]


def test_areas_over_zones_the_equator_and_the_antimeridian() -> None:
    for area in (
        Site.from_bbox(29.8, -0.2, 30.2, 0.2, name="Equator"),
        Site.from_bbox(179.8, -17.2, -179.8, -16.9, name="Fiji"),
    ):
        sites = cut_area(area)
        zones = {site.name[:2] for site in sites}
        assert zones == ({"35", "36"} if area.name == "Equator" else {"60", "01"})
        assert covered_share(area, sites) > 0.9999
    assert any("-S20" in site.name for site in cut_area(Site.from_bbox(29.8, -0.2, 30.2, 0.2)))


def test_outlines_with_holes_and_islands_are_followed() -> None:
    ring = Polygon(box(30.1, 50.0, 30.9, 50.5).exterior, [box(30.2, 50.05, 30.8, 50.45).exterior])
    area = Site("Ring", MultiPolygon([ring, box(31.5, 50.0, 31.51, 50.01)]))
    sites = cut_area(area, side_m=5000)
    assert covered_share(area, sites) > 0.9999
    assert sum(area_m2(site.geometry) for site in sites) < 1.5 * area_m2(area.geometry)
    assert all(site.geometry.geom_type in ("Polygon", "MultiPolygon") for site in sites)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"side_m": 500.0}, "between 1 and 110 km"),
        ({"side_m": math.nan}, "between 1 and 110 km"),
        ({"side_m": 200_000.0}, "between 1 and 110 km"),
        ({"overlap_m": 11_000.0}, "more than half the side"),
        ({"overlap_m": math.nan}, "more than half the side"),
    ],
)
def test_numbers_out_of_range_are_refused(asked: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cut_area(AREA, **asked)


def test_areas_that_are_too_large_or_beyond_utm_are_refused() -> None:
    with pytest.raises(UsageError, match="100000 are the most"):
        cut_area(Site.from_bbox(-10, 0, 40, 40), side_m=1000)
    islands = MultiPolygon([box(30.1, -60, 30.2, -59.9), box(35.8, 60, 35.9, 60.1)])
    with pytest.raises(UsageError, match="too far spread for sites of 1 km; choose a larger side"):
        cut_area(Site("Islands", islands), side_m=1000)
    with pytest.raises(UsageError, match="beyond UTM"):
        cut_area(Site("North", box(0, 83, 1, 85)))


def test_a_list_is_written_whole_and_read_back(tmp_path: Path) -> None:
    sites = cut_area(AREA)
    path = write_site_list(sites, tmp_path / "sites.geojson")
    again = read_sites(path)
    assert [(one.name, one.folder) for one in again] == [(one.name, one.folder) for one in sites]
    for one, other in zip(again, sites, strict=True):
        assert one.geometry.equals(other.geometry)
    with pytest.raises(OutputExistsError, match="is there already"):
        write_site_list(sites[:1], path)
    assert len(read_sites(write_site_list(sites[:1], path, overwrite=True))) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["sites.geojson"]


def test_lists_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GeoJSON"):
        write_site_list([AREA], tmp_path / "sites.kml")
    with pytest.raises(OutputError, match="cannot be written"):
        write_site_list([AREA], tmp_path / "none" / "sites.geojson")


def test_the_command_says_what_it_wrote_and_what_to_do_next(cli, workplace) -> None:
    asked = ["sites", "cut", "--bbox", "30.1,50.0,30.6,50.4", "--name", "My area"]
    assert cli(*asked, "--out", "my sites.geojson") == 0
    assert "9 site(s) cover the 1,5" in cli.out
    assert "changedet plan --sites 'my sites.geojson'" in cli.out
    assert len(read_sites(workplace / "my sites.geojson")) == 9
    assert cli(*asked, "--out", "small.geojson", "--side", "10km", "--overlap", "0", "--json") == 0
    found = json.loads(cli.out)
    assert found["sites"] == 20
    assert found["area"] == "My area"
    assert cli(*asked, "--out", "small.geojson") == 2
    assert cli("sites", "cut", "--out", "none.geojson") == 2
