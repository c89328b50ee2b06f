"""A provider with a cache before it: asked once, equal afterwards, and what makes two requests the same."""

import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from tests.synthetic import make_image, make_scene

from changedet.bands import SCL
from changedet.core import masking
from changedet.errors import CacheWarning, ProviderError
from changedet.providers.base import ProviderInfo, SearchQuery
from changedet.providers.cache import SCHEMA_VERSION, SceneCache
from changedet.providers.cached import CachedProvider, Wanted
from changedet.providers.layers import Layer, LayerSource
from changedet.scene import Asset, Granule, Radiometry
from changedet.site import Site

GRID = GeoBox.from_bbox((246080, 4275460, 246680, 4275960), "EPSG:32652", resolution=10, tight=True)
BANDS = ("B04", "B03", "B8A")
TIME = datetime(2023, 5, 14, 2, 7, 1, 250_000, tzinfo=UTC)
SECRET = "sv=2026&sig=TheSignature"


def granule(number=0, **changes):
    assets = {b: Asset(f"https://host/{number}/{b}.tif", radiometry=Radiometry(1e-4, -0.1)) for b in BANDS}
    footprint = {"type": "Polygon", "coordinates": (((126.0, 38.5), (126.2, 38.5), (126.1, 38.6)),)}
    made = Granule(
        id=f"granule-{number}",
        collection="sentinel-2-l2a",
        tile="T52SBH",
        time=TIME,
        baseline="05.09",
        updated="2023-05-15T00:00:00Z",
        footprint=MappingProxyType(footprint),
        assets=MappingProxyType(assets),
    )
    return replace(made, **changes)


def scene(**changes):
    return make_scene(TIME, collection="sentinel-2-l2a", granules=(granule(0), granule(1)), **changes)


class Counting:
    """A provider of made-up pixels that counts what it is asked."""

    name = "counting"
    info = ProviderInfo("counting", "A provider that counts", ("s2",), "nothing", ("https://host",))

    def __init__(self, *, notes=(), failing=False):
        self.asked = []
        self._notes, self._failing = notes, failing

    def search(self, query):
        self.asked.append("search")
        return [scene()]

    def load(self, wanted, grid, bands=None):
        self.asked.append("load")
        if self._failing:
            raise ProviderError("the service is down", where=self.name, todo="try again later")
        image = make_image(5, TIME, grid, bands or BANDS)
        data = image.data.copy()
        data[:, -3:, -4:] = np.nan
        valid = image.valid & np.isfinite(data[0])
        return replace(image, data=data, valid=valid, scene=replace(wanted, notes=wanted.notes + self._notes))

    def classes(self, wanted, grid):
        self.asked.append("classes")
        return make_image(5, TIME, grid).classes


@pytest.fixture
def behind():
    return Counting()


@pytest.fixture
def provider(behind, tmp_path):
    return CachedProvider(behind, SceneCache(tmp_path))


def assert_same(one, other):
    assert one.data.tobytes() == other.data.tobytes()
    assert one.data.dtype == other.data.dtype == np.float32
    assert one.bands == other.bands
    np.testing.assert_array_equal(one.valid, other.valid)
    assert one.valid.dtype == np.bool_
    np.testing.assert_array_equal(one.classes, other.classes)
    assert one.classes.dtype == np.uint8
    assert (one.grid, one.scene, one.classes_source) == (other.grid, other.scene, other.classes_source)


def test_a_second_load_asks_nobody_and_is_equal(provider, behind):
    first = provider.load(scene(), GRID, BANDS)
    second = provider.load(scene(), GRID, BANDS)
    assert behind.asked == ["load"]
    assert not first.valid.all()
    assert np.isnan(second.data[:, -1, -1]).all()
    assert_same(first, second)


def test_another_process_finds_it_too(provider, tmp_path):
    first = provider.load(scene(), GRID, BANDS)
    later = CachedProvider(Counting(failing=True), SceneCache(tmp_path))
    assert_same(first, later.load(scene(), GRID, BANDS))


def test_what_loading_added_to_the_scene_is_kept(tmp_path):
    provider = CachedProvider(Counting(notes=("one tile is missing",)), SceneCache(tmp_path))
    first = provider.load(scene(), GRID)
    second = provider.load(scene(), GRID)
    assert second.scene.notes == ("one tile is missing",)
    assert second.scene.time == first.scene.time == TIME
    assert second.scene.granules[1].assets == first.scene.granules[1].assets
    assert second.bands == first.bands == BANDS


def test_classes_are_kept_by_themselves(provider, behind):
    first = provider.classes(scene(), GRID)
    second = provider.classes(scene(), GRID)
    assert behind.asked == ["classes"]
    np.testing.assert_array_equal(first, second)
    assert second.dtype == np.uint8
    provider.load(scene(), GRID)
    assert behind.asked == ["classes", "load"]


def test_searches_pass_through(provider, behind):
    query = SearchQuery(Site.at("38.58, 126.11", radius_m=2000), TIME, TIME + timedelta(days=30))
    assert provider.search(query) == provider.search(query) == [scene()]
    assert behind.asked == ["search", "search"]
    assert (provider.name, provider.info) == (behind.name, behind.info)


def test_what_is_damaged_is_fetched_again(provider, behind, tmp_path):
    first = provider.load(scene(), GRID)
    (path,) = (tmp_path / "scenes").glob("*.tif")
    path.write_bytes(path.read_bytes()[:-1])
    assert_same(first, provider.load(scene(), GRID))
    assert_same(first, provider.load(scene(), GRID))
    assert behind.asked == ["load", "load"]
    assert len([*(tmp_path / "scenes").glob("*.damaged")]) == 2


@pytest.mark.parametrize("content", [{}, {"bands": ["B04"]}, {"bands": [*BANDS], "scene": {}}])
def test_content_that_is_no_image_is_fetched_again(provider, behind, content):
    image = provider.load(scene(), GRID, BANDS)
    key = Wanted("counting", scene(), GRID, BANDS).key
    array, whole = provider.cache.fetch(key)
    from changedet.providers.cache_files import Planes

    provider.cache.store(key, Planes(array, ("",) * len(array), GRID), content)
    assert_same(image, provider.load(scene(), GRID, BANDS))
    provider.cache.store(key, Planes(array[1:], ("",) * len(array[1:]), GRID), whole)
    assert_same(image, provider.load(scene(), GRID, BANDS))
    assert behind.asked == ["load"] * 3


def test_a_failure_is_not_kept(tmp_path):
    provider = CachedProvider(Counting(failing=True), SceneCache(tmp_path))
    with pytest.raises(ProviderError, match="the service is down"):
        provider.load(scene(), GRID)
    assert provider.cache.entries() == []


def test_a_cache_that_cannot_be_written_is_a_warning(behind, tmp_path):
    (tmp_path / "file").write_text("")
    provider = CachedProvider(behind, SceneCache(tmp_path / "file"))
    with pytest.warns(CacheWarning, match="scene cannot be kept") as caught:
        assert provider.load(scene(), GRID).bands == BANDS
    assert caught[0].filename == __file__
    with pytest.warns(CacheWarning, match="name another folder with --cache"):
        assert provider.classes(scene(), GRID).shape == tuple(GRID.shape)


def test_a_link_that_was_signed_by_mistake_stays_off_the_disk(provider, tmp_path):
    signed = {b: Asset(f"https://host/{b}.tif?{SECRET}") for b in BANDS}
    asked = scene(assets=MappingProxyType(signed))
    asked = replace(asked, granules=(granule(assets=MappingProxyType(signed)),))
    first = provider.load(asked, GRID)
    provider.classes(asked, GRID)
    for path in (tmp_path / "scenes").iterdir():
        assert b"TheSignature" not in path.read_bytes()
    # who asked with a signed link still holds it
    assert provider.load(asked, GRID).scene == first.scene == asked
    resigned = {b: Asset(f"https://host/{b}.tif?sig=Another") for b in BANDS}
    again = replace(asked, assets=resigned, granules=(granule(assets=resigned),))
    assert Wanted("counting", again, GRID).key == Wanted("counting", asked, GRID).key


# --- keys ------------------------------------------------------------------------------------------------

WANTED = Wanted("counting", scene(), GRID, BANDS)


def with_granule(**changes):
    return replace(WANTED, scene=replace(scene(), granules=(granule(0, **changes), granule(1))))


OTHERS = {
    "provider": replace(WANTED, provider="another"),
    "bands": replace(WANTED, bands=BANDS[:2]),
    "order of bands": replace(WANTED, bands=BANDS[::-1]),
    "bands of the provider": replace(WANTED, bands=None),
    "product": replace(WANTED, product="classes"),
    "resampling": replace(WANTED, resampling="nearest"),
    "scene": replace(WANTED, scene=scene(id="another")),
    "collection": replace(WANTED, scene=replace(scene(), collection="sentinel-2-c1-l2a")),
    "baseline": replace(WANTED, scene=scene(processing_baseline="05.10")),
    "level": replace(WANTED, scene=scene(level="L1C")),
    "one granule less": replace(WANTED, scene=replace(scene(), granules=(granule(0),))),
    "granule": with_granule(id="another"),
    "granule's collection": with_granule(collection="another"),
    "granule's baseline": with_granule(baseline="05.10"),
    "granule's update": with_granule(updated="2024-01-01T00:00:00Z"),
    "granule's offset": with_granule(assets={"B04": Asset("a", radiometry=Radiometry(1e-4, 0.0))}),
    "reference system": replace(WANTED, grid=GeoBox(GRID.shape, GRID.affine, "EPSG:32651")),
    "shape": replace(WANTED, grid=GRID.pad(1)),
    "position": replace(WANTED, grid=GRID.translate_pix(0.25, 0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_decides_the_pixels_makes_another_key(name):
    assert OTHERS[name].key != WANTED.key


def test_all_those_keys_differ_from_each_other():
    assert len({one.key for one in OTHERS.values()}) == len(OTHERS)


SAME = {
    "links": with_granule(
        assets={b: Asset("s3://mirror/x", radiometry=Radiometry(1e-4, -0.1)) for b in BANDS}
    ),
    "clouds over the tile": replace(WANTED, scene=replace(scene(), tile_cloud_share=0.3)),
    "coverage of the site": replace(WANTED, scene=replace(scene(), coverage=0.5)),
    "order of assets": with_granule(assets=dict(reversed(granule().assets.items()))),
    "the same grid made anew": replace(WANTED, grid=GeoBox(GRID.shape, GRID.affine, GRID.crs.to_wkt())),
    "a scene that was written and read": replace(
        WANTED, scene=type(scene()).from_dict(json.loads(json.dumps(scene().to_dict())))
    ),
}


def test_files_on_disk_are_told_from_others_of_the_same_name(tmp_path):
    def _wanted(path):
        return with_granule(assets={"B04": Asset(str(path), radiometry=Radiometry(1e-4, -0.1))})

    first, second = tmp_path / "first.tif", tmp_path / "second.tif"
    first.write_bytes(b"old")
    second.write_bytes(b"old")
    key = _wanted(first).key
    assert key == _wanted(first).key != _wanted(second).key
    first.write_bytes(b"newer")
    newer = _wanted(first).key
    assert newer != key
    os.utime(first, ns=(0, 10**18))
    assert _wanted(first).key != newer
    first.unlink()
    assert _wanted(first).key not in {key, newer}


def test_links_of_an_unknown_catalogue_count_without_their_signatures():
    def _key(link):
        wanted = with_granule(assets={"B04": Asset(link, radiometry=Radiometry(1e-4, -0.1))})
        return replace(wanted, provider="stac").key

    assert _key("https://host/a.tif") != _key("https://other/a.tif")
    assert _key("https://host/a.tif?sig=1") == _key("https://me:pw@host/a.tif?sig=2")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CLOUD_BUFFER_M", 80.0), ("UNUSABLE_CLASSES", (0, 1)), ("SOFT_EDGED_CLASSES", (9,))],
)
def test_what_decides_which_pixels_are_usable_makes_another_key(monkeypatch, name, value):
    before = WANTED.key
    monkeypatch.setattr(masking, name, value)
    assert WANTED.key != before


def test_pixels_are_read_in_the_way_that_the_version_stands_for():
    # another digest: raise SCHEMA_VERSION, since what is kept was read in another way
    numbers = {"B04": np.arange(0, 2400, dtype=np.uint16).reshape(40, 60)}
    numbers[SCL] = np.repeat(np.arange(12, dtype=np.uint8), 200).reshape(40, 60)
    grid = GeoBox(GRID.shape, GRID.affine, GRID.crs)[:40, :60]
    assets = {"B04": Asset("a", radiometry=Radiometry(1e-4, -0.1, 0.0, 65535.0)), SCL: Asset("b")}
    layers = tuple(Layer(n, grid, assets[n], lambda w, n=n: numbers[n][w]) for n in numbers)
    image = LayerSource(scene(), grid, layers).load(grid)
    assert image.data[np.isfinite(image.data)].min() == 0.0
    shown = np.rint(np.nan_to_num(image.data, nan=-1.0) * 1e4).astype("<i4")
    found = hashlib.sha256(shown.tobytes() + image.valid.tobytes() + image.classes.tobytes()).hexdigest()
    assert (SCHEMA_VERSION, found[:16]) == (1, "02a36e2ea4865e12")


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_decide_them_does_not(name):
    assert SAME[name].key == WANTED.key


@settings(max_examples=50)
@given(st.floats(-500, 500), st.floats(-500, 500), st.permutations(BANDS))
def test_a_key_follows_grid_and_order_of_bands_alone(x_px, y_px, bands):
    moved = replace(WANTED, grid=GRID.translate_pix(x_px, y_px), bands=tuple(bands))
    same = moved.grid == GRID and moved.bands == BANDS
    assert (moved.key == WANTED.key) is same
    assert moved.key == replace(moved).key
    assert moved.key == Wanted(**{f: getattr(moved, f) for f in Wanted.__dataclass_fields__}).key


def test_what_makes_a_key_is_strict_json_without_links():
    text = json.dumps(WANTED.to_dict(), allow_nan=False)
    assert "://" not in text
    assert "granule-1" in text
