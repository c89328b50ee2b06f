"""Checks of searches that hold for every STAC API with the items of `search_world`, ours or a real one."""

from datetime import UTC, date, datetime

import pytest
from tests.providers.places import scene_at
from tests.providers.remote_world import query_of, small_world
from tests.world.granules import across_zones, quick_scene, reprocessed, split, whole

from changedet.providers.base import SearchQuery
from changedet.site import Site

HOME = quick_scene(date(2023, 5, 16))
FAR = Site.at("-33.9, 18.5", radius_m=300)
BEYOND = Site.at("-17, 179.999", radius_m=600)
SOUTH_OF_IT = Site.at("37.0, 126.5", radius_m=300)
#: What stands where, by day; each is one scene, whatever it consists of.
DAYS = {
    date(2021, 5, 21): "one product from before the change of the offset",
    date(2023, 5, 11): "two parts of one acquisition",
    date(2023, 5, 16): "one product",
    date(2023, 5, 21): "two processings of one acquisition",
    date(2023, 5, 26): "tiles of two zones",
    date(2023, 5, 31): "95 % cloud over the tile",
}


def search_world():
    """Eleven products of eight scenes in three places, among them one across the antimeridian."""
    made = {day: quick_scene(day, baseline="05.09" if day.year > 2022 else "03.00") for day in DAYS}
    days = list(made.values())
    return small_world(
        [
            whole(days[0]),
            *split(days[1]),
            whole(days[2]),
            *reprocessed(days[3]),
            *across_zones(days[4]),
            whole(days[5], cloud_cover=95.0),
            whole(scene_at(FAR, 32734, day=date(2023, 5, 13)), tile="34HBH"),
            whole(scene_at(BEYOND, 32760, day=date(2023, 5, 14)), tile="60KXF"),
        ]
    )


def days_of(scenes):
    return [scene.time.date() for scene in scenes]


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def everything(provider):
    scenes = provider.search(query_of(HOME, max_tile_cloud=1.0))
    assert days_of(scenes) == list(DAYS)
    # parts and zones are kept, processings are not; radar and the other places are left out
    assert [len(scene.granules) for scene in scenes] == [1, 2, 1, 1, 2, 1]
    assert all(scene.coverage == pytest.approx(1, abs=0.01) for scene in scenes)


def cloud_limit(provider):
    assert days_of(provider.search(query_of(HOME, max_tile_cloud=0.9))) == list(DAYS)[:-1]


def bounds_of_time_are_both_included(provider):
    (scene,) = provider.search(query_of(HOME, start=utc(2023, 5, 16), end=utc(2023, 5, 16, 23, 59)))
    assert days_of([scene]) == [date(2023, 5, 16)]
    at = scene.time
    assert len(provider.search(query_of(HOME, start=at, end=at))) == 1
    assert provider.search(query_of(HOME, start=utc(2023, 5, 17), end=utc(2023, 5, 20))) == []


def newest_of_more_than_the_limit(provider):
    scenes = provider.search(query_of(HOME, limit=2, max_tile_cloud=1.0))
    assert days_of(scenes) == list(DAYS)[-2:]


def every_page_is_turned(provider, monkeypatch):
    once = provider.search(query_of(HOME, max_tile_cloud=1.0))
    for size in (1, 2, 5):
        monkeypatch.setattr("changedet.providers.item_search.PAGE_SIZE", size)
        paged = provider.search(query_of(HOME, max_tile_cloud=1.0))
        assert [s.to_dict() for s in paged] == [s.to_dict() for s in once]


def other_places_have_their_own(provider):
    span = utc(2023, 1, 1), utc(2024, 1, 1)
    assert days_of(provider.search(SearchQuery(FAR, *span))) == [date(2023, 5, 13)]
    assert provider.search(SearchQuery(SOUTH_OF_IT, *span)) == []
    (scene,) = provider.search(SearchQuery(BEYOND, *span))
    assert scene.granules[0].epsg == 32760
    assert scene.granules[0].footprint["type"] == "MultiPolygon"
    assert scene.coverage > 0.9


def a_corner_is_enough(provider):
    west, south, _, _ = query_of(HOME).site.geometry.bounds
    corner = Site.from_bbox(west - 0.02, south - 0.02, west + 0.001, south + 0.001)
    found = provider.search(SearchQuery(corner, utc(2023, 5, 16), utc(2023, 5, 17)))
    assert days_of(found) == [date(2023, 5, 16)]
    assert 0 < found[0].coverage < 0.5


CHECKS = (
    everything,
    cloud_limit,
    bounds_of_time_are_both_included,
    newest_of_more_than_the_limit,
    other_places_have_their_own,
    a_corner_is_enough,
)
