"""Recorded answers of the real services, searched as the providers search them."""

from dataclasses import fields
from datetime import UTC, date, datetime

import pytest
from tests.providers.test_items import RECORDED, recorded

from changedet.errors import NoUsableImageryError
from changedet.providers.base import SearchQuery
from changedet.providers.catalog import _fits
from changedet.providers.catalog import stac as open_catalogue
from changedet.providers.earth_search import earth_search
from changedet.providers.planetary_computer import planetary_computer
from changedet.providers.settings import ProviderSettings
from changedet.providers.stac import StacProvider
from changedet.resample import crs_of
from changedet.scene import Scene
from changedet.site import Site

ALWAYS = datetime(2015, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


class Recorded(StacProvider):
    """A provider whose server answers with what was recorded, as far as it fits place and time."""

    def _items(self, query):
        asked = self.__dict__["features"]
        return [item for item in asked if item["collection"] in self.rules and _fits(item, query)]


def replaying(provider, features):
    made = Recorded(**{one.name: getattr(provider, one.name) for one in fields(StacProvider)})
    made.__dict__["features"] = features
    return made


def middle_of(item):
    west, south, east, north = item["bbox"]
    return Site.at(f"{(south + north) / 2}, {(west + east) / 2}", radius_m=1000)


def search(provider, site, **more):
    return provider.search(SearchQuery(site, *ALWAYS, **({"max_tile_cloud": 1.0} | more)))


def test_one_product_in_two_collections_is_one_scene_of_the_first():
    features = recorded("earth-search-v1-2025-07-31.json")
    sites = {"T20EPT": None, "T24MVV": None}
    for item in features:
        tile = str(item["properties"].get("grid:code", "")).replace("MGRS-", "T")
        if tile in sites and item["collection"] == "sentinel-2-c1-l2a":
            sites[tile] = middle_of(item)
    provider = replaying(earth_search(), features)
    for tile, site in sites.items():
        (scene,) = search(provider, site)
        assert scene.collection == "sentinel-2-c1-l2a"
        assert tile in scene.tile
        assert (scene.processing_baseline, scene.date_text) == ("05.11", "2025-07-31")
        assert {a.radiometry.offset for a in scene.assets.values() if a.radiometry.scale != 1} == {-0.1}
        assert Scene.from_dict(scene.to_dict()).to_dict() == scene.to_dict()
        # without the first collection the other has the same acquisition, with the offset applied
        older = [item for item in features if item["collection"] != "sentinel-2-c1-l2a"]
        (other,) = search(replaying(earth_search(), older), site)
        assert (other.time, other.tile, other.relative_orbit) == (
            scene.time,
            scene.tile,
            scene.relative_orbit,
        )
        assert {a.radiometry.offset for a in other.assets.values()} == {0.0}


def test_the_older_collection_has_what_the_first_lacks():
    provider = replaying(earth_search(), recorded("earth-search-v1-2025-07-31.json"))
    (scene,) = search(provider, Site.at("40.2, -105.6", radius_m=2000))
    assert (scene.collection, scene.date_text, scene.tile) == ("sentinel-2-l2a", "2023-10-08", "T13TDE")


def test_one_tile_in_two_products_is_mosaicked():
    provider = replaying(planetary_computer(), recorded("planetary-computer-13TDE-2024-05-30-split.json"))
    (scene,) = search(provider, Site.at("40.2, -105.6", radius_m=2000))
    assert [granule.datastrip_start for granule in scene.granules] in (
        ["20240530T180249", "20240530T175011"],
        ["20240530T175011", "20240530T180249"],
    )
    shares = [granule.nodata_share for granule in scene.granules]
    assert shares == sorted(shares)
    assert scene.tile == "T13TDE"
    assert 0 < scene.coverage <= 1


def test_a_site_between_two_zones_gets_granules_of_both_and_its_own_first():
    features = recorded("planetary-computer-s2-l2a-2019-01-01.json")
    provider = replaying(planetary_computer(), features)
    seen = {}
    for longitude, home in ((173.95, 32659), (174.05, 32660), (167.95, 32658), (168.05, 32659)):
        for latitude in (52.5, 55.5, 57.6, 58.5, 60.2):
            site = Site.at(f"{latitude}, {longitude}", radius_m=2000)
            assert crs_of(site.grid).epsg == home
            for scene in search(provider, site):
                zones = [granule.epsg for granule in scene.granules]
                own = [zone == home for zone in zones]
                assert own == sorted(own, reverse=True)
                assert scene.date_text == "2019-01-01"
                assert scene.granules[0].time.date() == date(2019, 1, 1)
                seen[(longitude, latitude)] = set(zones)
    assert any(len(zones) == 2 for zones in seen.values())


@pytest.mark.parametrize(
    ("name", "tile", "baseline"),
    [
        ("cdse-stac-s2-l2a-2020-03-22.json", "T36NYH", "05.00"),
        ("cdse-stac-s2-l2a-2026-05-27.json", "T55WFR", "05.12"),
    ],
)
def test_items_of_copernicus_become_scenes(name, tile, baseline):
    (item,) = recorded(name)
    (scene,) = search(open_catalogue(ProviderSettings(url=str(RECORDED / name))), middle_of(item))
    assert (scene.tile, scene.processing_baseline, scene.collection) == (tile, baseline, "sentinel-2-l2a")
    assert {a.radiometry.offset for key, a in scene.assets.items() if key != "SCL"} == {-0.1}
    assert 0 < scene.sun_elevation_deg < 90
    assert Scene.from_dict(scene.to_dict()).to_dict() == scene.to_dict()


def test_radar_on_an_invented_grid_is_refused_with_the_reason():
    features = recorded("earth-search-v1-2025-07-31.json")
    radar = next(item for item in features if item["collection"] == "sentinel-1-grd")
    catalogue = open_catalogue(ProviderSettings(url=str(RECORDED / "earth-search-v1-2025-07-31.json")))
    with pytest.raises(NoUsableImageryError, match="Sentinel-1 GRD is not georeferenced to a grid"):
        search(catalogue, middle_of(radar))
