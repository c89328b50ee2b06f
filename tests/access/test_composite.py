"""Several dates as one source: each moved and matched to the anchor, and moved again as one."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from tests.core.scenery import fine_ground, sample
from tests.synthetic import BEFORE_TIME, make_scene

from changedet.access.composite import CompositeSource, MatchSettings, ProviderSource, compose, open_scenes
from changedet.core.composite import NO_DATE
from changedet.core.displacement import DisplacementField
from changedet.core.masking import SceneClass, usable_from_classes
from changedet.errors import InputFileError, ProviderError, UsageError
from changedet.frame import displaced
from changedet.providers.base import ProviderInfo
from changedet.providers.local import open_source
from changedet.scene import Image, Scene

BANDS = ("B02", "B03", "B04", "B08")
SIZE = 160
GRID = GeoBox((SIZE, SIZE), Affine(10, 0, 281000, 0, -10, 4239000), "EPSG:32652")
#: Where the content of each date lies too far, its gain, and the columns that are under cloud.
DATES = (
    ((0.0, 0.0), 1.0, slice(0, 60)),
    ((0.5, -0.25), 1.15, slice(60, 110)),
    ((-0.25, 0.5), 0.85, slice(110, 160)),
)


def take(number, *cloudy, **scene):
    """One date of the same ground, under its own clouds or under those given."""
    shift, gain, own = DATES[number]
    rng = np.random.default_rng(number)
    planes = [gain * sample(fine_ground(SIZE, 100 * band), SIZE, *shift) for band in range(len(BANDS))]
    data = (np.stack(planes) + rng.normal(0, 0.002, (len(BANDS), SIZE, SIZE))).astype(np.float32)
    classes = np.full((SIZE, SIZE), SceneClass.BARE, np.uint8)
    for columns in cloudy or (own,):
        data[:, :, columns] += 0.4
        classes[:, columns] = SceneClass.CLOUD_HIGH
    scene = make_scene(BEFORE_TIME + timedelta(days=5 * number), **scene)
    valid = usable_from_classes(classes, dilation_px=3)
    return Image(data, BANDS, valid, classes, GRID, scene, "SCL")


@dataclass
class Shelf:
    """A provider of images that are there already; it notes what it was asked for."""

    images: dict[str, Image]
    asked: list[tuple[str, GeoBox]] = field(default_factory=list)
    name: str = "shelf"
    info = ProviderInfo("shelf", "Images that are there already", ("s2",), "nothing", ())

    def load(self, scene, grid, bands=None):
        self.asked.append((scene.id, grid))
        image = self.images[scene.id]
        if not isinstance(image, Image):
            raise image
        return replace(open_source(image).load(grid), scene=image.scene)


def shelf_of(*images):
    return Shelf({image.scene.id: image for image in images}), [image.scene for image in images]


@pytest.fixture(scope="module")
def images():
    return tuple(take(number) for number in range(len(DATES)))


@pytest.fixture(scope="module")
def composite(images):
    provider, scenes = shelf_of(*images)
    return open_scenes(provider, scenes, GRID)


def truth(row_px=0.0, column_px=0.0):
    return np.stack([sample(fine_ground(SIZE, 100 * band), SIZE, row_px, column_px) for band in range(4)])


def worst(image, wanted):
    """The largest difference away from the edges of the image, for 99 of 100 usable pixels."""
    inner = image.valid.copy()
    inner[:8] = inner[-8:] = inner[:, :8] = inner[:, -8:] = False
    return np.percentile(np.abs(image.data - wanted)[:, inner], 99)


def test_one_scene_is_fetched_when_it_is_loaded(images):
    provider, scenes = shelf_of(images[0])
    source = open_scenes(provider, scenes, GRID)
    assert isinstance(source, ProviderSource)
    assert provider.asked == []
    assert source.files() == ()
    np.testing.assert_array_equal(source.load().data, images[0].data)


def test_every_date_is_brought_to_the_anchor(composite, images):
    assert isinstance(composite, CompositeSource)
    for member, (shift, gain, _) in zip(composite.members, DATES, strict=True):
        assert member.shift_px == pytest.approx((-shift[0], -shift[1]), abs=0.06)
        gains = member.normalization.gain if member.normalization else (1.0,) * 4
        assert gains == pytest.approx((1 / gain,) * 4, rel=0.03)
    image = composite.load()
    assert image.valid.all()
    assert worst(image, truth()) < 0.012
    # without that, half a pixel and fifteen per cent would show
    assert worst(compose(images)[0], truth()) > 0.03


def test_every_pixel_is_the_observation_of_one_date(composite):
    loaded = [member.load(GRID, GRID) for member in composite.members]
    for index, image in enumerate(loaded):
        here = composite.date == index
        np.testing.assert_array_equal(composite.image.data[:, here], image.data[:, here])
        assert image.valid[here].all()
    clear = np.stack([image.valid for image in loaded]).sum(axis=0)
    # of two dates that are clear, the anchor
    assert (composite.date[(clear == 2) & loaded[0].valid] == 0).all()


def test_a_composite_that_is_registered_moves_and_keeps_its_dates(composite):
    moved = replace(composite.load(displaced(GRID, 0.5, -0.75)), grid=GRID)
    assert worst(moved, truth(0.5, -0.75)) < 0.012
    whole = composite.load(displaced(GRID, 3, -2))
    np.testing.assert_array_equal(whole.data[:, 10:-10, 10:-10], composite.image.data[:, 7:-13, 12:-8])
    assert whole.scene == composite.scene


def test_a_window_of_its_own_pixels_is_cut_without_reading(images):
    provider, scenes = shelf_of(*images)
    source = open_scenes(provider, scenes, GRID)
    provider.asked.clear()
    window = GRID[20:80, 100:150]
    cut = source.load(window)
    np.testing.assert_array_equal(cut.data, source.image.data[:, 20:80, 100:150])
    assert cut.grid == window
    assert source.load(GRID) is source.load()
    assert provider.asked == []
    assert source.band_count == 4


def test_another_resolution_is_read_in_the_right_place(composite):
    coarse = GRID.zoom_out(2)
    mean = truth().reshape(4, SIZE // 2, 2, SIZE // 2, 2).mean(axis=(2, 4))
    image = composite.load(coarse)
    inner = np.s_[:, 8:-8, 8:-8]
    assert np.percentile(np.abs(image.data - mean)[inner], 99) < 0.02


def test_another_reference_system_is_composed_afresh(composite):
    east = GRID.to_crs("EPSG:32653", resolution=10)
    image = composite.load(east)
    assert image.valid.mean() > 0.8
    assert image.scene.members == composite.scene.members


def test_the_scene_names_every_date_and_reads_back(composite):
    scene = composite.scene
    assert scene.id.endswith(" and 2 more")
    assert scene.date_text == "a composite of 3 dates (2023-05-14 to 2023-05-24)"
    assert scene.time == BEFORE_TIME
    assert [member.date_text for member in scene.members] == ["2023-05-14", "2023-05-19", "2023-05-24"]
    assert "composite of 3 dates: each pixel shows one of 2023-05-14 (6" in scene.notes[0]
    assert "registered and matched in reflectance to 2023-05-14" in scene.notes[0]
    again = Scene.from_dict(scene.to_dict())
    assert [member.id for member in again.members] == [member.id for member in scene.members]
    assert composite.image.scene is scene


def test_what_differs_between_dates_is_not_stated(images):
    other = take(1, relative_orbit=61, platform="Sentinel-2B", processing_baseline="05.10", notes=("hazy",))
    provider, scenes = shelf_of(
        images[0], replace(other, scene=replace(other.scene, time=other.scene.time + timedelta(days=300)))
    )
    scene = open_scenes(provider, scenes, GRID).scene
    assert (scene.relative_orbit, scene.processing_baseline) == (None, None)
    assert scene.platform == "Sentinel-2A, Sentinel-2B"
    assert scene.sensor == "s2"
    assert scene.notes[-1] == "2024-03-14: hazy"
    assert scene.credit == "Contains modified Copernicus Sentinel data [2023, 2024]"


def spoiled(image, kind):
    rng = np.random.default_rng(9)
    if kind == "noise":
        data = rng.uniform(0.1, 0.3, image.data.shape).astype(np.float32)
        return replace(image, data=data)
    if kind == "cloud":
        return replace(image, valid=np.zeros_like(image.valid), classes=np.full_like(image.classes, 9))
    return image.select(BANDS[:3])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("noise", "it could not be registered (the windows of the images agree on no common shift)"),
        ("cloud", "it shares too little clear ground with the others"),
        ("band", "it lacks B08"),
    ],
)
def test_a_date_that_does_not_fit_is_left_out_and_named(images, kind, words):
    provider, scenes = shelf_of(images[0], spoiled(images[1], kind), images[2])
    source = open_scenes(provider, scenes, GRID)
    assert len(source.members) == len(source.scene.members) == 2
    (note,) = (note for note in source.scene.notes if "left out" in note)
    assert note.startswith("2023-05-19 was left out of the composite: ")
    assert words in note


def test_when_no_date_fits_the_anchor_stays_alone(images):
    provider, scenes = shelf_of(images[0], spoiled(images[1], "noise"))
    source = open_scenes(provider, scenes, GRID)
    assert source.scene.members == ()
    assert (source.scene.id, len(source.scene.notes)) == (scenes[0].id, 1)
    np.testing.assert_array_equal(source.load().data, images[0].data)
    np.testing.assert_array_equal(source.load().valid, images[0].valid)


def test_a_residual_beyond_the_limit_leaves_a_date_out(images):
    provider, scenes = shelf_of(*images[:2])
    source = open_scenes(provider, scenes, GRID, match=MatchSettings(residual_limit_px=1e-6))
    assert "is above the limit of" in source.scene.notes[0]


def test_a_service_that_fails_is_not_a_date_that_does_not_fit(images):
    provider, scenes = shelf_of(*images[:2])
    provider.images[scenes[1].id] = ProviderError("it is down")
    with pytest.raises(ProviderError, match="it is down"):
        open_scenes(provider, scenes, GRID)
    provider.images[scenes[1].id] = InputFileError("it is not an image")
    assert "it is not an image" in open_scenes(provider, scenes, GRID).scene.notes[0]


def test_dates_that_do_not_fit_into_memory_are_not_fetched(images, monkeypatch):
    monkeypatch.setattr("changedet.scale.memory.memory_of_machine_bytes", lambda: 1e6)
    provider, scenes = shelf_of(*images)
    with pytest.raises(UsageError, match="GB of memory"):
        open_scenes(provider, scenes, GRID)
    assert provider.asked == []


def test_where_nothing_is_clear_the_anchor_shows_through(images):
    dark = [replace(image, valid=image.valid & (np.arange(SIZE) > 5)) for image in images]
    holed = replace(dark[0], data=np.where(np.arange(SIZE) < 2, np.float32(np.nan), dark[0].data))
    image, composite = compose([holed, *dark[1:]])
    assert not image.valid[:, :6].any()
    assert (composite.date[:, :6] == NO_DATE).all()
    np.testing.assert_array_equal(image.data[:, :, 2:6], holed.data[:, :, 2:6])
    np.testing.assert_array_equal(image.data[:, :, :2], dark[1].data[:, :, :2])
    np.testing.assert_array_equal(image.classes[:, 2:6], holed.classes[:, 2:6])


def test_the_least_trusted_clouds_speak_for_all(images):
    tested = replace(images[1], classes_source="spectral tests")
    assert compose([images[0], tested])[0].classes_source == "spectral tests"
    assert compose([tested, replace(images[0], classes_source="none")])[0].classes_source == "none"
    assert compose(images)[0].classes_source == "SCL"


def test_dates_that_share_little_clear_ground_are_measured_as_a_whole():
    provider, scenes = shelf_of(take(0, slice(95, SIZE)), take(1, slice(0, 55)))
    source = open_scenes(provider, scenes, GRID)
    row_px, column_px = DATES[1][0]
    assert source.members[1].shift_px == pytest.approx((-row_px, -column_px), abs=0.2)
    assert source.load().valid.mean() > 0.97
    assert worst(source.load(), truth()) < 0.02


def test_a_date_may_be_matched_through_another_one():
    dates = take(0, slice(82, SIZE)), take(1, slice(0, 78)), take(2, slice(0, 15), slice(145, SIZE))
    provider, scenes = shelf_of(*dates[:2])
    assert "2023-05-19 was left out" in open_scenes(provider, scenes, GRID).scene.notes[0]
    provider, scenes = shelf_of(*dates)
    source = open_scenes(provider, scenes, GRID)
    assert [member.date_text for member in source.scene.members] == ["2023-05-14", "2023-05-24", "2023-05-19"]
    assert worst(source.load(), truth()) < 0.02


def test_a_date_moves_by_a_field_and_loses_nothing_at_the_edges(images):
    provider, scenes = shelf_of(images[0])
    source = open_scenes(provider, scenes, GRID)
    part = GRID[20:140, 20:140]
    moved = source.load(part, DisplacementField("affine", (120, 120), (3.0, -2.0)))
    assert np.isfinite(moved.data).all()
    np.testing.assert_allclose(moved.data, images[0].data[:, 17:137, 22:142], atol=1e-6)
    np.testing.assert_array_equal(moved.classes, images[0].classes[17:137, 22:142])


def test_a_composite_moves_by_a_field_and_keeps_its_dates(composite):
    still = DisplacementField("affine", (SIZE, SIZE), (0.0, 0.0))
    same = composite.load(GRID, still)
    inner = np.s_[:, 4:-4, 4:-4]
    assert np.percentile(np.abs(same.data - composite.image.data)[inner], 99) < 5e-3
    moved = composite.load(GRID, DisplacementField("affine", (SIZE, SIZE), (4.0, -3.0)))
    np.testing.assert_array_equal(moved.classes[10:-10, 10:-10], same.classes[6:-14, 13:-7])
    np.testing.assert_allclose(moved.data[:, 10:-10, 10:-10], same.data[:, 6:-14, 13:-7], atol=1e-5)
