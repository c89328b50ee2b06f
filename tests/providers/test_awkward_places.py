"""Sites where the globe is cut: borders of zones and tiles, the antimeridian, the equator, the poles."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, mapping, shape
from tests.providers.places import DIALECTS, EVERYONE, open_any, scene_at
from tests.providers.remote_world import provider_of, small_world
from tests.world.granules import whole
from tests.world.world import without_proxies

from changedet.access.choosing import make_plan
from changedet.antimeridian import continuous
from changedet.errors import NoUsableImageryError, ProviderError, UsageError, exit_code
from changedet.periods import parse_period
from changedet.progress import Silent
from changedet.providers.base import SearchQuery
from changedet.providers.catalog import stac as open_catalogue
from changedet.providers.settings import ProviderSettings
from changedet.resample import crs_of
from changedet.site import Site, utm_epsg

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SPAN = datetime(2020, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC)
#: What is left of half a digital number.
EXACT = 1e-6
#: Pixels of the zone next door were resampled once by whoever cut the tile and once by us.
RESAMPLED = 0.02


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


def found(provider, site):
    return provider.search(SearchQuery(site, *SPAN))


def only(provider, site):
    (scene,) = found(provider, site)
    return scene


def catalogue(path):
    return open_catalogue(ProviderSettings(url=str(path)))


def error_of(world, scene, image, band="B04", resampling="cubic"):
    return np.abs(image.band(band) - world.truth(scene, band, image.grid, resampling))


# ------------------------------------------------------------------------------------------- borders of zones


BORDER = Site.at("38.27, 126.0005", radius_m=200, name="border")


def border_tiles(covers_home, covers_other):
    """One acquisition as a tile of the site's own zone, and one of the zone to the west."""
    scene = scene_at(BORDER, 32652)
    home = whole(scene, covers=covers_home)
    return scene, home, replace(home, covers=covers_other, epsg=32651, tile="51SZC")


@pytest.mark.parametrize("name", EVERYONE)
def test_the_own_zone_gives_what_it_has_and_the_other_the_rest(name):
    scene, home, other = border_tiles((0.0, 1.0, 0.5, 1.0), (0.0, 1.0, 0.0, 0.7))
    with small_world([other, home]) as world:
        provider = open_any(world, name)
        one = only(provider, BORDER)
        assert [granule.epsg for granule in one.granules] == [32652, 32651]
        assert one.coverage == pytest.approx(1, abs=1e-3)
        image = provider.load(one, BORDER.grid, ("B02", "B04", "B08"))
        difference = error_of(world, scene, image)
        with small_world([replace(home, covers=(0.0, 1.0, 0.0, 1.0))]) as uncut:
            alone = open_any(uncut, name)
            unbroken = alone.load(only(alone, BORDER), BORDER.grid, ("B02", "B04", "B08"))
    assert np.isfinite(image.data).all()
    # the nearest 20 m class of the other zone may be the neighbour of ours
    assert (image.valid == unbroken.valid).mean() > 0.99
    assert difference.max() < RESAMPLED
    assert np.median(difference) < RESAMPLED / 4
    if name == "sentinelhub":
        # which tile lies on top is for the service to say
        return
    # a cubic kernel reaches two pixels of 20 m across the seam
    seam = round((scene.grid.boundingbox.left + 320 - BORDER.grid.boundingbox.left) / 10)
    assert 10 < seam < BORDER.grid.shape[1] - 10
    assert difference[:, seam + 4 :].max() < EXACT
    assert difference[:, : seam - 4].max() > EXACT


@pytest.mark.parametrize("name", DIALECTS)
def test_the_other_zone_is_used_only_where_the_own_one_has_nothing(name):
    everywhere = (0.0, 1.0, 0.0, 1.0)
    scene, home, other = border_tiles(everywhere, everywhere)
    with small_world([other, home]) as world:
        provider = provider_of(world, name)
        image = provider.load(only(provider, BORDER), BORDER.grid, ("B04",))
        assert error_of(world, scene, image).max() < EXACT


@pytest.mark.parametrize(
    ("place", "home", "tile_zone", "tile"),
    [
        ("60.4, 4.9", 32631, 32632, "32VKM"),  # southern Norway belongs to zone 32
        ("78.2, 11.0", 32632, 32633, "33XVG"),  # Svalbard has no zone 32
        ("0.0005, 30.2", 32636, 32736, "36MRV"),  # the tile south of the equator
        ("-17.0, 179.9995", 32760, 32701, "01KAB"),  # the zone beyond the antimeridian
    ],
)
@pytest.mark.parametrize("name", ["earth-search", "sentinelhub"])
def test_tiles_of_a_zone_that_is_not_ours(place, home, tile_zone, tile, name):
    site = Site.at(place, radius_m=200)
    scene = scene_at(site, tile_zone)
    with small_world([whole(scene, tile=tile)]) as world:
        provider = open_any(world, name)
        one = only(provider, site)
        assert (crs_of(site.grid).epsg, one.granules[0].epsg) == (home, tile_zone)
        image = provider.load(one, site.grid, ("B02", "B04"))
        # the service renders on our grid by itself, from the nearest pixel
        assert (
            error_of(world, scene, image, resampling="nearest" if name == "sentinelhub" else "cubic").max()
            < EXACT
        )
        assert 0.9 < image.valid.mean() < 1


# ------------------------------------------------------------------------------------------ the antimeridian


FIJI = Site.at("-17, 179.999", radius_m=400, name="islet")


def fiji_world():
    scene = scene_at(FIJI, 32760, size_px=96)
    return scene, small_world([whole(scene, tile="60KXF")])


@pytest.mark.parametrize("name", EVERYONE)
@pytest.mark.parametrize("given", ["point", "box", "outline in two parts"])
def test_a_site_across_180_degrees(name, given):
    west, south, east, north = FIJI.geometry.bounds
    parts = MultiPolygon([Polygon([(w, south), (e, south), (e, north), (w, north)])
                          for w, e in ((west, 180), (-180, east - 360))])  # fmt: skip
    site = {
        "point": FIJI,
        "box": Site.from_bbox(west, south, east - 360, north),
        "outline in two parts": Site("parts", continuous(parts)),
    }[given]
    assert max(site.grid.shape) < 100
    scene, opened = fiji_world()
    with opened as world:
        provider = open_any(world, name)
        one = only(provider, site)
        assert one.coverage == pytest.approx(1, abs=1e-3)
        image = provider.load(one, site.grid, ("B04", "B08"))
        assert error_of(world, scene, image).max() < EXACT
        assert image.valid.any()


def test_the_command_line_takes_a_box_across_180_degrees(cli, monkeypatch):
    _, opened = fiji_world()
    west, south, east, north = FIJI.geometry.bounds
    with opened as world:
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", world.earth_search)
        box = f"{west},{south},{east - 360},{north}"
        assert cli("search", "--bbox", box, "--period", "2023-05", "--json") == 0
    (feature,) = json.loads(cli.out)["features"]
    assert feature["id"].startswith("S2A_T60KXF_20230516")


def test_the_search_asks_for_two_parts_and_never_for_the_whole_globe():
    _, opened = fiji_world()
    with opened as world:
        for name in DIALECTS:
            found(provider_of(world, name), FIJI)
        bodies = [entry.request.json() for entry in world.requests("*/search", "POST")]
    assert len(bodies) >= len(DIALECTS)
    for body in bodies:
        asked = shape(body["intersects"])
        assert asked.geom_type == "MultiPolygon"
        assert asked.area < 1e-3
        assert {-180.0, 180.0} <= {part.bounds[i] for part in asked.geoms for i in (0, 2)}


def leaping(outline):
    """One ring that leaps from 180 to -180 degrees, as it comes of projecting corner by corner."""
    corners = [(x - 360 if x > 180 else x, y) for x, y in continuous(outline).exterior.coords]
    return Polygon(corners)


DRAWN = {
    "in two parts": lambda outline: outline,
    "two parts the other way round": lambda outline: outline.reverse(),
    "past 180": continuous,
    "before -180": lambda outline: Polygon([(x - 360, y) for x, y in continuous(outline).exterior.coords]),
    "leaping": leaping,
    "leaping the other way round": lambda outline: leaping(outline).reverse(),
}


@pytest.mark.parametrize("drawn", DRAWN)
def test_footprints_are_read_however_they_are_drawn(drawn, tmp_path):
    scene, opened = fiji_world()
    with opened as world:
        path = world.write_item_collection(tmp_path / "items.json", local=True)
        document = json.loads(path.read_text())
        for item in document["features"]:
            item["geometry"] = mapping(DRAWN[drawn](shape(item["geometry"])))
        path.write_text(json.dumps(document))
        provider = catalogue(path)
        one = only(provider, FIJI)
        assert one.coverage == pytest.approx(1, abs=1e-3)
        image = provider.load(one, FIJI.grid, ("B04",))
        assert error_of(world, scene, image).max() < EXACT
        # a ring that leaps is no band round the globe
        assert found(provider, Site.at("-17, 20", radius_m=400)) == []


def test_a_file_without_data_is_noticed_beyond_180_degrees_too(tmp_path):
    scene = scene_at(FIJI, 32760)
    with small_world([whole(scene, tile="60KXF", covers=(0.0, 0.3, 0.0, 1.0))]) as world:
        path = world.write_item_collection(tmp_path / "items.json", local=True)
        document = json.loads(path.read_text())
        outline = leaping(continuous(shape(mapping(FIJI.geometry))))
        document["features"][0]["geometry"] = mapping(outline)
        path.write_text(json.dumps(document))
        provider = catalogue(path)
        one = only(provider, FIJI)
        with pytest.raises(ProviderError, match="no data where its footprint promises some"):
            provider.load(one, FIJI.grid[60:, :], ("B04",))


# ---------------------------------------------------------------------------------- hemispheres and the poles


@pytest.mark.parametrize(
    ("place", "epsg", "tile"),
    [
        ("-33.9, 18.5", 32734, "34HBH"),
        ("-0.003, 30.2", 32736, "36MRV"),
        ("-54.8, -68.3", 32719, "19FDV"),
        ("83.9, 10", 32632, "32XNR"),
        ("-79.9, 10", 32732, "32CNU"),
    ],
)
@pytest.mark.parametrize("name", ["stac", "sentinelhub"])
def test_both_hemispheres_up_to_where_utm_ends(place, epsg, tile, name):
    site = Site.at(place, radius_m=200)
    scene = scene_at(site, epsg)
    assert crs_of(site.grid).epsg == epsg == utm_epsg(site.centroid)
    with small_world([whole(scene, tile=tile)]) as world:
        provider = open_any(world, name)
        image = provider.load(only(provider, site), site.grid, ("B02", "B04"))
        assert error_of(world, scene, image).max() < EXACT
        assert 0.9 < image.valid.mean() < 1


@pytest.mark.parametrize(
    "place",
    [
        ("--at", "84.5, 10"),
        ("--at", "-80.5, 10"),
        ("--bbox", "10,84.4,10.1,84.5"),
        ("--bbox", "10,-80.5,10.1,-80.4"),
    ],
)
@pytest.mark.parametrize(
    "command", [("search", "--period", "2023-05"), ("run", "--before", "2021-05", "--after", "2023-05")]
)
def test_the_poles_are_refused_in_one_line(cli, place, command):
    assert cli(*command, *place) == 2
    assert "is outside UTM; choose a site between 80 S and 84 N" in cli.error


@pytest.mark.parametrize("box", ["11,38,10,39", "100,-17,-100,-16"])
def test_a_box_with_its_sides_swapped_is_refused_in_one_line(cli, box):
    assert cli("search", "--period", "2023-05", "--bbox", box) == 2
    assert "is empty, and across the antimeridian " in cli.error
    assert "only a box across the antimeridian has west > east" in cli.error


def test_the_poles_are_a_mistake_of_usage():
    with pytest.raises(UsageError, match=r"latitude 84\.5 is outside UTM") as caught:
        Site.from_bbox(10, 84.45, 11, 84.55)
    assert exit_code(caught.value) == 2


# ------------------------------------------------------------------------------------------- borders of tiles


HERE = Site.at("38.27, 126.5", radius_m=300, name="here")


def tiles_of(scene, *cuts):
    """One acquisition in several tiles of one zone, each with data in its own part."""
    return [
        whole(scene, covers=cut, tile=f"52S{letters}")
        for cut, letters in zip(cuts, ("BH", "CH", "BG", "CG"), strict=False)
    ]


@pytest.mark.parametrize("name", EVERYONE)
def test_a_site_in_the_overlap_of_two_tiles_is_one_scene(name):
    scene = scene_at(HERE, 32652)
    with small_world(tiles_of(scene, (0.0, 1.0, 0.0, 0.8), (0.0, 1.0, 0.2, 1.0))) as world:
        provider = open_any(world, name)
        one = only(provider, HERE)
        assert one.coverage == pytest.approx(1, abs=1e-3)
        image = provider.load(one, HERE.grid, ("B04", "B08"))
        assert error_of(world, scene, image).max() < EXACT
        assert np.isfinite(image.data).all()


@pytest.mark.parametrize("name", EVERYONE)
def test_a_site_larger_than_a_tile_is_put_together(name):
    scene = scene_at(HERE, 32652)
    quarters = ((0.0, 0.5, 0.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.5, 1.0, 0.0, 0.5), (0.5, 1.0, 0.5, 1.0))
    with small_world(tiles_of(scene, *quarters)) as world:
        provider = open_any(world, name)
        one = only(provider, HERE)
        assert len(one.granules) == 4
        assert one.tile.split() == sorted(one.tile.split()) or name == "sentinelhub"
        assert one.coverage == pytest.approx(1, abs=1e-3)
        image = provider.load(one, HERE.grid, ("B04",))
        # 10 m pixels meet without a gap and without a seam
        assert error_of(world, scene, image).max() < EXACT
        assert (provider.classes(one, HERE.grid) > 0).all()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_granule_that_is_nearly_empty_comes_last(name):
    scene = scene_at(HERE, 32652, size_px=96)
    # of another making, so that it shows who gave a pixel
    other = scene_at(HERE, 32652, size_px=96, seed=5)
    sliver = whole(other, covers=(0.0, 1.0, 0.48, 0.52), tile="52SAH")
    full = whole(scene, tile="52SBH")
    with small_world([sliver, full]) as world:
        provider = provider_of(world, name)
        one = only(provider, HERE)
        assert [granule.tile for granule in one.granules] == ["T52SBH", "T52SAH"]
        assert one.granules[1].nodata_share > 0.95
        image = provider.load(one, HERE.grid, ("B04",))
        assert error_of(world, scene, image).max() < EXACT


@pytest.mark.parametrize("name", EVERYONE)
def test_a_site_partly_outside_every_granule(name):
    first = scene_at(HERE, 32652, east_m=640, day=date(2021, 5, 21))
    second = scene_at(HERE, 32652, east_m=640, day=date(2023, 5, 21))
    with small_world([whole(first, covers=(0.0, 1.0, 0.0, 1.0)), whole(second)]) as world:
        provider = open_any(world, name)
        scenes = found(provider, HERE)
        assert [scene.coverage for scene in scenes] == pytest.approx([0.5, 0.5], abs=0.05)
        image = provider.load(scenes[0], HERE.grid, ("B04",))
        seen = np.isfinite(image.band("B04"))
        assert not seen[:, :20].any()
        assert seen[:, -20:].all()
        assert not image.valid[~seen].any()
        periods = parse_period("2021-05"), parse_period("2023-05")
        with pytest.raises(NoUsableImageryError, match="whole site"):
            make_plan(HERE, periods, provider, Silent())


@pytest.mark.parametrize("name", EVERYONE)
def test_a_site_outside_every_granule_has_no_scene(name):
    scene = scene_at(HERE, 32652)
    with small_world([whole(scene)]) as world:
        provider = open_any(world, name)
        assert found(provider, Site.at("38.4, 126.5", radius_m=300)) == []
