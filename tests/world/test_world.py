"""The stand-in servers are checked with the clients that will be used against the real ones."""

import json
from datetime import date

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import requests
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pystac_client import Client
from pystac_client.exceptions import APIError
from tests.world import cql2
from tests.world.asking import ALL, BBOX, QUICKLY, found, item_of, post, read, signed
from tests.world.granules import across_zones, quick_scene, reprocessed, split, whole
from tests.world.planetary import CONTAINERS, OPTICAL, RADAR
from tests.world.plumbing import Refusal
from tests.world.world import Options, World

# ---------------------------------------------------------------------------------------------- catalogues


@pytest.mark.parametrize(
    ("api", "collection", "count"),
    [
        ("earth_search", "sentinel-2-c1-l2a", 3),
        ("earth_search", "sentinel-2-l2a", 3),
        ("planetary_computer", OPTICAL, 3),
        ("planetary_computer", RADAR, 3),
        ("stac", "sentinel-2-l2a", 3),
    ],
)
def test_pystac_client_finds_the_items_page_by_page(world, api, collection, count):
    root = getattr(world, api)
    items = found(root, collections=[collection], bbox=BBOX, limit=2)
    assert len({item.id for item in items}) == count
    assert [item.datetime for item in items] == sorted((item.datetime for item in items), reverse=True)
    assert len(world.requests("*/search", "POST")) == 2
    assert all(item.bbox[0] < 126.5 < item.bbox[2] or item.bbox[0] < 126.51 for item in items)


def test_paging_repeats_the_whole_body(world):
    body = {"collections": [ALL], "bbox": BBOX, "limit": 1, "query": {"eo:cloud_cover": {"lte": 100}}}
    first = post(world, **body).json()
    (link,) = [one for one in first["links"] if one["rel"] == "next"]
    assert (link["merge"], link["method"]) == (False, "POST")
    assert {key: value for key, value in link["body"].items() if key != "next"} == body
    assert first["context"] == {"limit": 1, "matched": 3, "returned": 1}
    second = requests.post(link["href"], json=link["body"], timeout=10).json()
    assert second["features"][0]["id"] != first["features"][0]["id"]
    assert post(world, collections=[ALL], next="no,such,place").status_code == 400


@pytest.mark.parametrize("api", ["earth_search", "planetary_computer", "stac"])
def test_the_last_page_may_lead_to_an_empty_one(days, api):
    with World(days, options=Options(empty_last_page=True)) as world:
        collection = ALL if api == "earth_search" else OPTICAL
        assert len(found(getattr(world, api), collections=[collection], limit=3)) == 3
        assert len(world.requests("*/search", "POST")) == 2


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"ids": ["S2A_T52SBH_20230516T022108_L2A"]}, {"2023-05-16"}),
        ({"datetime": "2023-05-20T00:00:00Z/.."}, {"2023-05-21"}),
        ({"datetime": "../2022-01-01T00:00:00Z"}, {"2021-05-21"}),
        ({"bbox": [10, 50, 11, 51]}, set()),
        ({"bbox": [170, -10, -170, 10]}, set()),
        (
            {"intersects": {"type": "Point", "coordinates": [126.5, 38.28]}},
            {"2021-05-21", "2023-05-16", "2023-05-21"},
        ),
        ({"query": {"s2:processing_baseline": {"eq": "05.00"}}}, {"2021-05-21"}),
        ({"query": {"platform": {"in": ["sentinel-2a"]}}}, {"2023-05-16"}),
        ({"filter": {"op": "<", "args": [{"property": "datetime"}, "2022-01-01"]}}, {"2021-05-21"}),
        (
            {"filter": {"op": "and", "args": [
                {"op": "between", "args": [{"property": "eo:cloud_cover"}, 0, 100]},
                {"op": "not", "args": [{"op": "=", "args": [{"property": "platform"}, "sentinel-2b"]}]},
            ]}, "filter-lang": "cql2-json"},
            {"2023-05-16"},
        ),
    ],
)  # fmt: skip
def test_searches_select_what_they_say(world, search, expected):
    answer = post(world, collections=[ALL], **search)
    assert answer.status_code == 200, answer.text
    assert {item["properties"]["datetime"][:10] for item in answer.json()["features"]} == expected


def test_sorting_and_fields(world):
    ascending = [{"field": "properties.datetime", "direction": "asc"}]
    fields = {"include": ["properties.datetime", "assets.red"], "exclude": ["links"]}
    items = post(world, collections=[ALL], sortby=ascending, fields=fields).json()["features"]
    assert [item["properties"] for item in items] == sorted(
        (item["properties"] for item in items), key=lambda p: p["datetime"]
    )
    assert set(items[0]) == {"type", "stac_version", "id", "collection", "properties", "assets"}
    assert set(items[0]["properties"]) == {"datetime"}
    assert set(items[0]["assets"]) == {"red"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"colections": [ALL]}, "unknown key in the body: colections"),
        ({"collections": ["sentinel-2"]}, "unknown collection: sentinel-2"),
        ({"collections": ALL}, "collections is a list"),
        ({"limit": 0}, "limit is 1 to 10000"),
        ({"limit": "5"}, "limit is 1 to 10000"),
        ({"bbox": [126, 38, 127]}, "bbox is four or six numbers"),
        ({"bbox": [126, 100, 127, 101]}, "bbox is not in degrees"),
        ({"bbox": BBOX, "intersects": {"type": "Point", "coordinates": [1, 2]}}, "exclude each other"),
        ({"intersects": {"type": "Pont", "coordinates": [1, 2]}}, "not a GeoJSON geometry"),
        ({"datetime": "2023-05"}, "neither a time nor an interval"),
        ({"datetime": "2023-05-16/2023-05-17"}, "neither a time nor an interval"),
        ({"datetime": "../.."}, "open on both sides"),
        ({"datetime": "2023-05-16T00:00:00Z/2023-05-15T00:00:00Z"}, "ends before it starts"),
        ({"query": {"eo:cloud_cover": {"lower": 5}}}, "operator 'lower' is unknown"),
        ({"query": {"eo:clouds": {"lt": 5}}}, "property 'eo:clouds' is unknown"),
        ({"query": {"eo:cloud_cover": 5}}, "is an object of operators"),
        ({"query": {"eo:cloud_cover": {"lt": "5"}}}, "cannot be compared"),
        ({"filter": {"op": "~", "args": [{"property": "platform"}, 1]}}, "operator '~' is unknown"),
        ({"filter": "eo:cloud_cover < 5", "filter-lang": "cql2-text"}, "'cql2-text' is not supported"),
        ({"filter": "eo:cloud_cover < 5"}, "a filter is an object"),
        ({"sortby": [{"field": "datetime"}]}, "list of field and direction"),
        ({"sortby": [{"field": "time", "direction": "asc"}]}, "cannot sort by 'time'"),
        ({"fields": {"included": []}}, "object of include and exclude"),
        ({"token": "next:a:b"}, "unknown key in the body: token"),
    ],
)
def test_a_slip_in_a_search_is_refused(world, body, text):
    answer = post(world, **body)
    assert answer.status_code == 400
    assert text in answer.json()["description"]


def test_refusals_reach_pystac_client(world):
    with pytest.raises(APIError, match="property 'eo:clouds' is unknown"):
        found(world.earth_search, collections=[ALL], query={"eo:clouds": {"lt": 5}})
    assert requests.get(f"{world.earth_search}/search", timeout=10).status_code == 405
    assert requests.get(f"{world.earth_search}/collections/nothing", timeout=10).status_code == 404
    assert requests.get(f"{world.url}/elsewhere", timeout=10).status_code == 404
    assert requests.post(f"{world.earth_search}/search", data="{", timeout=10).status_code == 400


def test_collections_and_single_items_can_be_fetched(world):
    client = Client.open(world.planetary_computer)
    about = client.get_collection(RADAR).to_dict()
    assert f"{about['msft:storage_account']}/{about['msft:container']}" == CONTAINERS[RADAR]
    (link,) = [one for one in world.items("stac")[0]["links"] if one["rel"] == "self"]
    assert requests.get(link["href"], timeout=10).json()["id"] == world.items("stac")[0]["id"]


@given(low=st.integers(0, 100), high=st.integers(0, 100), cloud=st.floats(0, 100))
def test_filters_in_text_json_and_query_agree(low, high, cloud):
    item, known = {"properties": {"eo:cloud_cover": cloud}}, frozenset({"eo:cloud_cover"})
    name = {"property": "eo:cloud_cover"}
    as_json = {"op": "and", "args": [{"op": ">=", "args": [name, low]}, {"op": "<", "args": [name, high]}]}
    tests = (
        cql2.from_json(as_json, known),
        cql2.from_text(f"eo:cloud_cover >= {low} AND eo:cloud_cover < {high}", known),
        cql2.from_query({"eo:cloud_cover": {"gte": low, "lt": high}}, known),
    )
    assert [test(item) for test in tests] == [low <= cloud < high] * 3


def test_text_that_is_no_filter_is_refused():
    with pytest.raises(Refusal, match="'eo:cloud_cover below 5' is not understood"):
        cql2.from_text("eo:cloud_cover below 5", frozenset({"eo:cloud_cover"}))


# -------------------------------------------------------------------------------------------------- dialects


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_dialect_stores_the_same_truth_in_its_own_way(world, days, index):
    scene = days[index]
    truth = world.truth(scene, "B04") * 1e4
    rows = (
        ("earth-search", "sentinel-2-c1-l2a", "red", 1000, -0.1),
        ("earth-search", "sentinel-2-l2a", "red", 0, -0.1 if index else 0.0),
        ("planetary-computer", OPTICAL, "B04", 1000 if index else 0, None),
        ("stac", "sentinel-2-l2a", "B04_10m", 1000 if index else 0, -0.1 if index else 0.0),
    )
    for api, collection, name, added, stated in rows:
        asset = item_of(world, api, collection, scene)["assets"][name]
        with rasterio.open(world.store.path_of(asset["href"])) as source:
            assert list(source.shape) == asset["proj:shape"]
            assert list(source.transform)[:6] == asset["proj:transform"]
            assert (source.dtypes[0], source.nodata, source.block_shapes[0]) == ("uint16", 0, (256, 256))
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            margin = (source.width - truth.shape[1]) // 2
            numbers = source.read(1)[margin:-margin, margin:-margin].astype(float)
        np.testing.assert_allclose(numbers - added, truth, atol=1)
        bands = asset.get("raster:bands", [{"offset": asset.get("raster:offset")}])
        assert bands[0]["offset"] == stated


def test_earth_search_says_two_things_about_its_older_collection(world, days):
    late = item_of(world, "earth-search", "sentinel-2-l2a", days[1])
    assert late["properties"]["earthsearch:boa_offset_applied"] is True
    assert late["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
    assert late["assets"]["red-jp2"]["href"].startswith("s3://sentinel-s2-l2a/")
    assert late["assets"]["cloud"]["type"] == "image/jp2"
    early = item_of(world, "earth-search", "sentinel-2-l2a", days[0])
    assert early["properties"]["earthsearch:boa_offset_applied"] is False
    with World([whole(days[1], offset_flag=False, lacks=("B08",))]) as other:
        lying = item_of(other, "earth-search", "sentinel-2-l2a", days[1])
        assert lying["properties"]["earthsearch:boa_offset_applied"] is False
        assert "nir" not in lying["assets"]
        assert "B08_10m" not in other.items("stac")[0]["assets"]


def test_copernicus_speaks_stac_1_1(world, days):
    item = item_of(world, "stac", "sentinel-2-l2a", days[1])
    assert item["stac_version"] == "1.1.0"
    assert {"B04_10m", "B04_20m", "B11_20m", "SCL_20m", "CLD_20m"} <= set(item["assets"])
    assert not {"B11_10m", "B08_20m"} & set(item["assets"])
    assert item["assets"]["B04_10m"]["proj:code"] == "EPSG:32652"
    assert "raster:bands" not in item["assets"]["B04_10m"]
    assert "raster:offset" not in item["assets"]["SCL_20m"]
    assert item["properties"]["processing:version"] == "05.09"
    fine, coarse = (read(item["assets"][name]["href"]).astype(float) for name in ("B04_10m", "B04_20m"))
    blocks = fine.reshape(coarse.shape[0], 2, coarse.shape[1], 2).mean(axis=(1, 3))
    assert np.abs(coarse - blocks).max() <= 1


def test_planetary_computer_items_carry_no_radiometry(world):
    text = json.dumps([i for i in world.items("planetary-computer") if i["collection"] == OPTICAL])
    assert "raster" not in text
    assert "offset" not in text


def test_radar_lies_off_the_grid_by_another_fraction_each_time(world, days):
    shifts = set()
    for scene in days:
        granule = next(g for g in world.granules if g.scene is scene)
        grid = world.pixels.radar_grid(granule)
        remainder = (grid.transform.c % 10, grid.transform.f % 10)
        assert all(0.4 < v < 9.6 for v in remainder)
        shifts.add(remainder)
    assert len(shifts) == 3
    item = next(i for i in world.items("planetary-computer") if i["collection"] == RADAR)
    href = signed(world, item["assets"]["vv"]["href"])
    with rasterio.Env(**QUICKLY), rasterio.open(href) as source:
        assert (source.dtypes[0], source.nodata) == ("float32", -32768)
        assert list(source.transform)[:6] == item["properties"]["proj:transform"]
        middle = source.read(1)[300:400, 300:400]
    assert (middle > 0.01).all()
    assert (middle < 0.5).all()


def test_static_files_open_with_pystac(world, days, tmp_path):
    catalog = pystac.Catalog.from_file(str(world.write_catalog(tmp_path / "catalog", local=True)))
    items = list(catalog.get_items(recursive=True))
    assert {item.id for item in items} == {item["id"] for item in world.items("stac")}
    one = next(item for item in items if item.datetime.date() == days[1].time.date())
    with rasterio.open(one.assets["B04_10m"].href) as source:
        assert source.read(1).max() > 1000
    listed = pystac.ItemCollection.from_file(str(world.write_item_collection(tmp_path / "items.json")))
    assert all(item.assets["B04_10m"].href.startswith(world.url) for item in listed)
    assert world.requests() == []


# ---------------------------------------------------------------------------------------------------- pixels


def test_odc_stac_recovers_the_truth(world, days):
    items = found(world.earth_search, collections=[ALL], bbox=BBOX)
    cube = odc.stac.load(items, bands=["red", "swir16", "scl"], geobox=days[0].grid, groupby="solar_day")
    for scene in days:
        layer = cube.sel(time=f"{scene.time:%Y-%m-%d}").squeeze("time")
        for name, band in (("red", "B04"), ("swir16", "B11")):
            reflectance = layer[name].values / 1e4 - 0.1
            assert np.abs(reflectance - world.truth(scene, band)).max() <= 1.01e-4
        assert (layer["scl"].values == world.truth(scene, "SCL")).all()


def test_odc_stac_reads_signed_pixels(world, days):
    items = found(world.planetary_computer, collections=[OPTICAL], ids=[item_of(
        world, "planetary-computer", OPTICAL, days[1])["id"]])  # fmt: skip
    configuration = {OPTICAL: {"assets": {"*": {"data_type": "uint16", "nodata": 0}}}}
    cube = odc.stac.load(items, bands=["B04"], geobox=days[1].grid, stac_cfg=configuration,
                         patch_url=lambda href: signed(world, href))  # fmt: skip
    assert np.abs(cube["B04"].values[0] - 1000 - world.truth(days[1], "B04") * 1e4).max() <= 1


def test_odc_stac_understands_the_stac_1_1_items(world, days):
    items = found(world.stac, bbox=BBOX, datetime="2023-05-16/2023-05-16")
    cube = odc.stac.load(items, bands=["B04_10m", "SCL_20m"], geobox=days[1].grid)
    assert np.abs(cube["B04_10m"].values[0] - 1000 - world.truth(days[1], "B04") * 1e4).max() <= 1
    assert (cube["SCL_20m"].values[0] == world.truth(days[1], "SCL")).all()


def test_a_simulated_scene_comes_back_whole(unshifted):
    scene = unshifted.after
    with World([scene]) as world:
        items = found(world.earth_search, collections=["sentinel-2-l2a"])
        cube = odc.stac.load(items, bands=["blue", "nir", "swir22"], geobox=scene.grid)
        for name, band in (("blue", "B02"), ("nir", "B08")):
            assert np.abs(cube[name].values[0] / 1e4 - scene.reflectance(band)).max() <= 1.01e-4
        np.testing.assert_allclose(world.truth(scene, "B02"), scene.reflectance("B02"), atol=1e-6)


def test_a_split_acquisition_must_be_mosaicked(days):
    with World(split(days[1])) as world:
        for api, collection in (("earth-search", ALL), ("planetary-computer", OPTICAL), ("stac", OPTICAL)):
            north, south = (i for i in world.items(api) if i["collection"] == collection)
            assert north["id"] != south["id"]
            assert north["properties"]["datetime"] == south["properties"]["datetime"]
            key = "eopf:datastrip_id" if api == "stac" else "s2:datastrip_id"
            assert north["properties"][key] != south["properties"][key]
        items = found(world.earth_search, collections=[ALL])
        assert all(30 < item.properties["s2:nodata_pixel_percentage"] < 60 for item in items)
        alone = [odc.stac.load([i], bands=["red"], geobox=days[1].grid).red.values[0] for i in items]
        assert all((one == 0).any() for one in alone)
        cube = odc.stac.load(items, bands=["red"], geobox=days[1].grid, groupby="solar_day")
        assert np.abs(cube.red.values[0] / 1e4 - 0.1 - world.truth(days[1], "B04")).max() <= 1.01e-4


def test_a_reprocessed_acquisition_comes_twice_where_it_would(days):
    first, second = reprocessed(days[0])
    with World([first, second]) as world:
        older = [i for i in world.items("earth-search") if i["collection"] == "sentinel-2-l2a"]
        assert [i["id"][-5] for i in older] == ["0", "1"]
        assert [i["properties"]["s2:processing_baseline"] for i in older] == ["03.00", "05.10"]
        assert len({i["properties"]["s2:datastrip_id"].split("_")[-2] for i in older}) == 1
        (kept,) = (i for i in world.items("earth-search") if i["collection"] == ALL)
        assert kept["properties"]["s2:processing_baseline"] == "05.10"
        raw = [read(i["assets"]["B04_10m"]["href"]).astype(int) for i in world.items("stac")]
        assert (raw[1] - raw[0] == 1000).all()


def test_the_neighbour_in_the_next_zone_has_the_rest(days):
    east, west = across_zones(days[1])
    with World([east, west]) as world:
        items = found(world.earth_search, collections=[ALL])
        assert {i["properties"]["proj:epsg"] for i in world.items("earth-search")} == {32651, 32652}
        assert {item.id.split("_")[1] for item in items} == {"T51SZC", "T52SBH"}
        for item in items:
            assert item.assets["red"].to_dict()["proj:transform"][2] % 20 == 0
        site = shapely.box(*days[1].grid.extent.to_crs("EPSG:4326").boundingbox.bbox)
        shapes = [shapely.geometry.shape(item.geometry) for item in items]
        assert not any(shape.contains(site) for shape in shapes)
        assert shapely.union_all(shapes).contains(site)
        cube = odc.stac.load(
            items, bands=["red"], geobox=days[1].grid, groupby="solar_day", resampling="bilinear"
        )
        off = cube.red.values[0] / 1e4 - 0.1 - world.truth(days[1], "B04")
        assert (cube.red.values[0] > 0).all()
        assert np.abs(off).mean() < 0.006


def test_truth_can_be_had_on_any_grid(world, days):
    coarse = days[1].grid.zoom_out(2)
    assert world.truth(days[1], "B04", coarse, "average").shape == (32, 32)
    assert np.isnan(world.truth(days[1], "B04", days[1].grid.translate_pix(5000, 0))).all()
    vertical, cross = (world.truth(days[1], name) for name in ("VV", "VH"))
    np.testing.assert_allclose(vertical, 0.02 + 0.5 * world.truth(days[1], "B04"))
    assert (cross < vertical).all()


@pytest.mark.parametrize("size_px", [32, 64])
def test_quick_scenes_look_like_simulated_ones(size_px):
    scene = quick_scene(date(2023, 6, 5), size_px=size_px)
    assert scene.numbers["B04"].shape == (size_px, size_px)
    assert scene.numbers["B11"].shape == scene.classes.shape == (size_px // 2, size_px // 2)
    assert 0 < scene.reflectance("B02").min() < scene.reflectance("B12").max() < 1
