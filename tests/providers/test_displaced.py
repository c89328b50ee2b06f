"""Scenes of providers that are moved by a field: every band is interpolated once, from its own pixels."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from tests.providers.remote_world import provider_of, query_of, small_world
from tests.providers.test_cached import GRID as PLACE
from tests.providers.test_cached import Counting, assert_same, scene
from tests.world.granules import across_zones, quick_scene
from tests.world.world import without_proxies

from changedet.access.composite import ProviderSource
from changedet.bands import COMPARED_BANDS, SCL
from changedet.core.displacement import DisplacementField
from changedet.errors import UsageError
from changedet.frame import displaced
from changedet.progress import Silent
from changedet.providers.base import Estimate, ProviderInfo
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider, Wanted
from changedet.providers.fusion import fuse
from changedet.providers.layers import Layer
from changedet.providers.tracked import TrackedProvider
from changedet.resample import reached, source_window
from changedet.scene import Asset, Radiometry, Scene

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SIDE = 120
GRID = GeoBox((SIDE, SIDE), Affine(10, 0, 300000, 0, -10, 4801200), "EPSG:32633")
#: How coarse the pixels of each band are, in pixels of the grid; all hold the same ground.
NAMES = MappingProxyType({"B04": 1, "B11": 2})
PERIOD_M = 170.0


def field_on(grid, largest_px=0.8, seed=0):
    """A smooth field without any shift in the mean."""
    surface = np.random.default_rng(seed).uniform(-largest_px, largest_px, (2, 5, 5))
    return DisplacementField("spline", tuple(grid.shape), (0.0, 0.0), surface=surface)


def ground(x, y):
    waves = np.sin(2 * np.pi * x / PERIOD_M) * np.cos(2 * np.pi * y / PERIOD_M + 0.4)
    return 0.3 + 0.1 * waves


def shown(grid, field=None):
    """The truth: what the ground is where each pixel looks, in the middle of it."""
    axes = [np.arange(size, dtype=float) for size in grid.shape]
    rows, columns = np.meshgrid(*axes, indexing="ij")
    if field is not None:
        row_px, column_px = field.on(*axes)
        rows, columns = rows - row_px, columns - column_px
    step = grid.transform
    return ground(step.a * (columns + 0.5) + step.c, step.e * (rows + 0.5) + step.f)


def layers_of():
    """Two bands of one granule and its classes, each on pixels of its own."""
    wide = GRID.pad(20)
    made = {}
    for name, factor in (*NAMES.items(), (SCL, 2)):
        grid = wide.zoom_out(factor)
        values = np.full(tuple(grid.shape), 5.0) if name == SCL else shown(grid)
        asset = Asset("", radiometry=Radiometry(1.0, 0.0, None))
        made[name] = Layer(name, grid, asset, values.astype(np.float32).__getitem__)
    return made


class Archive:
    """A provider of those bands, as the ones on the network put them together."""

    name = "archive"

    def __init__(self, *, displaces):
        self.info = ProviderInfo("archive", "An archive", ("s2",), "nothing", (), displaces=displaces)

    def load(self, scene, grid, bands=None, *, on_received=None, displacement=None):
        return fuse([layers_of()], tuple(NAMES), scene, grid, displacement)


def errors(image, field):
    """Root mean square difference to the truth, by band, away from the edges."""
    off = (image.data - shown(GRID, field))[:, 8:-8, 8:-8]
    assert np.isfinite(off).all()
    return dict(zip(NAMES, np.sqrt((off**2).mean(axis=(1, 2))), strict=True))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 99))
def test_one_interpolation_is_closer_to_the_truth_than_two(seed):
    field = field_on(GRID, seed=seed)
    one, two = (
        errors(ProviderSource(Archive(displaces=able), Scene("s", "archive"), GRID).load(GRID, field), field)
        for able in (True, False)
    )
    # pixels that lie on the grid already are interpolated once either way
    assert one["B04"] == pytest.approx(two["B04"], rel=1e-3)
    assert one["B11"] < 0.8 * two["B11"]
    assert one["B11"] < 0.005


def test_the_field_of_a_displaced_grid_is_taken_in_the_same_step():
    field, elsewhere = field_on(GRID), displaced(GRID, 0.4, -0.3)
    image = Archive(displaces=True).load(Scene("s", "archive"), elsewhere, displacement=field)
    step = elsewhere.transform
    rows, columns = (np.arange(SIDE, dtype=float) for _ in range(2))
    row_px, column_px = field.on(rows, columns)
    x = step.a * (columns[None] - column_px + 0.5) + step.c
    y = step.e * (rows[:, None] - row_px + 0.5) + step.f
    off = (image.data - ground(x, y))[:, 8:-8, 8:-8]
    assert np.abs(off[0]).max() < 0.004
    assert np.sqrt((off[1] ** 2).mean()) < 0.005


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 6.0), st.integers(0, 99))
def test_what_a_field_reaches_is_read(largest_px, seed):
    target = GRID[40:80, 30:70]
    field = field_on(target, largest_px, seed)
    shifts = field.on(*(np.arange(size, dtype=float) for size in field.shape))
    window = source_window(GRID, target, field)
    at = np.arange(40)[:, None] + 40 - shifts[0], np.arange(40)[None] + 30 - shifts[1]
    for part, positions in zip(window, at, strict=True):
        # the kernel looks one pixel back and two ahead
        assert part.start <= positions.min() - 1
        assert part.stop >= positions.max() + 2
    assert reached(target, None) is target


# -------------------------------------------------------------------------------- over the simulated services


@pytest.fixture
def world(monkeypatch):
    without_proxies(monkeypatch)
    with small_world([quick_scene()]) as found:
        yield found


def shifted(grid, row_px, column_px):
    """A field that is one shift in truth, but goes the way of fields."""
    return DisplacementField("affine", tuple(grid.shape), (row_px, column_px))


@pytest.mark.parametrize("name", ["earth-search", "planetary-computer", "stac"])
def test_providers_that_read_files_take_the_field(world, name):
    provider, day = provider_of(world, name), quick_scene()
    assert provider.info.displaces
    found = provider.search(query_of(day))[0]
    provider.load(found, day.grid)
    world.reset_log()
    moved = provider.load(found, day.grid, displacement=shifted(day.grid, 1.0, -2.0))
    assert [entry for entry in world.requests() if entry.path.endswith(".tif")] == []
    plain = provider.load(found, displaced(day.grid, 1.0, -2.0))
    assert moved.bands == plain.bands == COMPARED_BANDS
    fine = [moved.bands.index(band) for band in ("B02", "B03", "B04", "B08")]
    np.testing.assert_allclose(moved.data[fine], plain.data[fine], atol=1e-5)
    np.testing.assert_array_equal(moved.classes, plain.classes)
    # GDAL and our own kernel differ a little where pixels of 20 m are interpolated
    assert np.abs(moved.data - plain.data)[:, 4:-4, 4:-4].max() < 0.02
    assert moved.grid == day.grid


def test_a_scene_of_the_next_zone_takes_the_field():
    with small_world(across_zones(quick_scene())) as world:
        provider, day = provider_of(world, "earth-search"), quick_scene()
        found = provider.search(query_of(day))[0]
        still = provider.load(found, day.grid, ("B04",))
        moved = provider.load(found, day.grid, ("B04",), displacement=shifted(day.grid, 2.0, 0.0))
    both = moved.valid[2:] & still.valid[:-2]
    assert both.mean() > 0.5
    assert np.median(np.abs(moved.data[0, 2:] - still.data[0, :-2])[both]) < 0.002


def test_radar_is_not_moved(world):
    provider = provider_of(world, "planetary-computer")
    radar = Scene("r", "planetary-computer", level="RTC", granules=scene().granules)
    with pytest.raises(UsageError, match="radar is not moved by a field"):
        provider.load(radar, PLACE, ("B04",), displacement=shifted(PLACE, 1.0, 0.0))


# ----------------------------------------------------------------------------------------- kept, and counted


class Displacing(Counting):
    """One that notes the fields that it was given."""

    info = replace(Counting.info, displaces=True)

    def load(self, wanted, grid, bands=None, *, on_received=None, displacement=None):
        image = super().load(wanted, grid, bands)
        self.asked[-1] = displacement
        return image


def test_a_displaced_scene_is_an_entry_of_its_own(tmp_path):
    behind = Displacing()
    provider = CachedProvider(behind, SceneCache(tmp_path))
    one, other = field_on(PLACE), field_on(PLACE, seed=1)
    first = provider.load(scene(), PLACE, displacement=one)
    again = provider.load(scene(), PLACE, displacement=replace(one))
    provider.load(scene(), PLACE, displacement=other)
    provider.load(scene(), PLACE)
    assert behind.asked == [one, other, None]
    assert_same(first, again)


def test_requests_without_a_field_are_what_they_were():
    plain = Wanted("p", scene(), PLACE)
    assert "displacement" not in plain.to_dict()
    moved = [Wanted("p", scene(), PLACE, displacement=shifted(PLACE, *by)) for by in ((0.0, 0.0), (0.0, 0.1))]
    assert len({plain.key, *(one.key for one in moved)}) == 3
    # less than any registration can tell
    nearly = Wanted("p", scene(), PLACE, displacement=shifted(PLACE, 1e-6, -1e-6))
    assert nearly.key == moved[0].key


def test_a_tracked_provider_hands_the_field_on():
    behind, field = Displacing(), field_on(PLACE)
    behind.estimate = lambda *_: Estimate()
    TrackedProvider(behind, Silent()).load(scene(), PLACE, displacement=field)
    assert behind.asked == [field]
