"""Catalogues on disk, with pixels on disk and in the loopback world."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.providers.remote_world import query_of, small_world, three_days
from tests.world.world import without_proxies

from changedet.errors import InputFileError, MissingInputError, NoUsableImageryError, UsageError
from changedet.providers.catalog import contents_digest, read_catalog, stac
from changedet.providers.settings import ProviderSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture(scope="module")
def days():
    return three_days()


@pytest.fixture(scope="module")
def world(days):
    with small_world(days) as found:
        yield found


def opened(path, **more):
    return stac(ProviderSettings(url=str(path), retry_delay_s=0.01, max_retries=1, **more))


@pytest.mark.parametrize("kind", ["catalog", "folder", "items"])
def test_files_on_disk_give_the_truth_without_any_request(world, days, tmp_path, kind):
    if kind == "items":
        path = world.write_item_collection(tmp_path / "items.json", local=True)
    else:
        path = world.write_catalog(tmp_path / "catalog", local=True)
        path = path.parent if kind == "folder" else path
    world.reset_log()
    provider = opened(path)
    scenes = provider.search(query_of(days[0]))
    assert [scene.date_text for scene in scenes] == ["2021-05-21", "2023-05-16", "2023-05-21"]
    image = provider.load(scenes[1], days[1].grid, ("B04",))
    assert np.abs(image.band("B04") - world.truth(days[1], "B04", days[1].grid)).max() < 5e-4
    assert world.requests() == []


def test_links_to_the_network_are_followed_for_pixels(world, days, tmp_path, monkeypatch):
    without_proxies(monkeypatch)
    provider = opened(world.write_item_collection(tmp_path / "items.json"))
    scene = provider.search(query_of(days[0]))[0]
    assert provider.load(scene, days[0].grid, ("B04",)).valid.any()


def test_a_catalogue_that_was_edited_has_another_digest(world, tmp_path):
    path = world.write_catalog(tmp_path / "catalog", local=True)
    info = opened(path).info
    first = contents_digest(info)
    assert first == contents_digest(info) != ""
    item = next(p for p in path.parent.rglob("*.json") if "S2" in p.name)
    item.write_text(item.read_text().replace('"datetime": "2', '"datetime": "1'))
    assert contents_digest(info) != first
    assert contents_digest(opened("https://host/stac").info) == ""
    assert contents_digest(replace(info, name="another", endpoints=("here",))) == ""


def test_relative_links_start_at_the_file(world, days, tmp_path):
    path = world.write_item_collection(tmp_path / "items.json", local=True)
    document = json.loads(path.read_text())
    feature = document["features"][0]
    feature["assets"]["B04_10m"]["href"] = "./red.tif"
    path.write_text(json.dumps(document))
    (found, *_) = read_catalog(path)
    assert found["assets"]["B04_10m"]["href"] == str(tmp_path / "red.tif")


def test_a_server_cannot_name_files_of_this_computer(world, days, tmp_path):
    path = world.write_item_collection(tmp_path / "items.json", local=True)
    scene = opened(path).search(query_of(days[0]))[0]
    with pytest.raises(InputFileError, match="cannot be followed; links start with https"):
        opened(world.stac).load(scene, days[0].grid, ("B04",))


@pytest.mark.parametrize("href", ["/vsicurl/http://127.0.0.1:1/a.tif", "ftp://host/a.tif", "missing.tif"])
def test_other_links_are_refused(world, days, tmp_path, href):
    path = world.write_item_collection(tmp_path / "items.json", local=True)
    document = json.loads(path.read_text())
    for feature in document["features"]:
        feature["assets"]["B04_10m"]["href"] = href
    path.write_text(json.dumps(document))
    provider = opened(path)
    scene = provider.search(query_of(days[0]))[0]
    with pytest.raises(InputFileError, match="cannot be followed"):
        provider.load(scene, days[0].grid, ("B04",))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (None, MissingInputError, "no such file"),
        ("{", InputFileError, "cannot be read as JSON"),
        ("[]", InputFileError, "is no STAC"),
        ('{"type": "Sonnet"}', InputFileError, "is no STAC"),
        ('{"type": "FeatureCollection", "features": [{"id": "a"}]}', InputFileError, "no time or place"),
    ],
)
def test_files_that_are_no_catalogue(days, tmp_path, text, error, said):
    path = tmp_path / "items.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=said):
        opened(path).search(query_of(days[0]))


def test_a_file_too_large_for_a_list_of_items_is_not_read(tmp_path):
    path = tmp_path / "items.json"
    with path.open("wb") as file:
        file.truncate(200 * 1024**2)
    with pytest.raises(InputFileError, match="is larger than 64 MB"):
        read_catalog(path)


def test_a_catalogue_that_leads_back_to_itself_ends(tmp_path):
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"type": "Catalog", "links": [{"rel": "child", "href": "./catalog.json"},
                                {"rel": "item", "href": "https://example.com/item.json"}]}))  # fmt: skip
    assert read_catalog(path) == []


def test_items_of_an_interval_and_of_no_known_cloud_are_found(world, days, tmp_path):
    path = world.write_item_collection(tmp_path / "items.json", local=True)
    document = json.loads(path.read_text())
    for feature in document["features"]:
        said = feature["properties"]
        said["start_datetime"], said["datetime"] = said["datetime"], None
        said["eo:cloud_cover"] = float("nan")
    path.write_text(json.dumps(document))
    scenes = opened(path).search(query_of(days[0], max_tile_cloud=0.01))
    assert [scene.date_text for scene in scenes] == ["2021-05-21", "2023-05-16", "2023-05-21"]
    assert {scene.tile_cloud_share for scene in scenes} == {None}
    assert len(opened(path).search(query_of(days[0], start=days[1].time))) == 2


def test_radar_alone_is_refused_with_the_reason(world, days, tmp_path):
    path = world.write_item_collection(tmp_path / "items.json", local=True)
    document = json.loads(path.read_text())
    for feature in document["features"]:
        feature["id"], feature["properties"]["constellation"] = "S1A_IW_GRDH_1SDV", "sentinel-1"
    path.write_text(json.dumps(document))
    with pytest.raises(NoUsableImageryError, match="3 x Sentinel-1 GRD is not georeferenced"):
        opened(path).search(query_of(days[0]))


def test_without_a_catalogue_nothing_can_be_searched(days):
    with pytest.raises(UsageError, match="the provider stac has no catalogue; set url"):
        stac().search(query_of(days[0]))


def test_a_footprint_drawn_round_the_globe_promises_nothing(world, days, tmp_path):
    from changedet.providers.remote import _promises

    path = world.write_item_collection(tmp_path / "items.json", local=True)
    granule = opened(path).search(query_of(days[0]))[0].granules[0]
    assert _promises(granule, days[0].grid)
    ring = [[-179, 30], [179, 30], [179, 45], [-179, 45], [-179, 30]]
    around = replace(granule, footprint={"type": "Polygon", "coordinates": [ring]})
    assert not _promises(around, days[0].grid)
    assert not _promises(replace(granule, footprint={}), days[0].grid)
