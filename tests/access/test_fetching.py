"""Which scenes are meant, and what a fetched scene is as a file."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from tests.synthetic import GRID, make_image, make_scene

from changedet.access.fetching import SceneFile, SceneQuery, clearest, find_scenes
from changedet.errors import NoUsableImageryError, OutputError, OutputExistsError, UsageError
from changedet.progress import Silent
from changedet.providers.local import open_source
from changedet.scene import Granule
from changedet.site import Site

SITE = Site.at("38.58, 126.11", radius_m=300, name="Pier")
TIME = datetime(2023, 5, 14, 2, 7, 1, tzinfo=UTC)


class Shelf:
    """A provider with scenes whose site is the less clear the higher their number."""

    name = "shelf"

    def __init__(self, scenes):
        self.scenes, self.queries = scenes, []

    def search(self, query):
        self.queries.append(query)
        return self.scenes

    def classes(self, scene, grid):
        classes = np.full(tuple(grid.shape), 4, np.uint8)
        classes[: 10 * int(scene.id[-1])] = 9
        return classes


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        (SceneQuery("2023-05"), "2023-05-01", "2023-05-31"),
        (SceneQuery(ids=("S2B_T52SBH_20210521T022108_L2A",)), "2021-05-20", "2021-05-23"),
        (
            SceneQuery(ids=("S2A_52SCG_20230516_0_L2A", "S2A_52SCG_20230501_0_L2A")),
            "2023-04-30",
            "2023-05-18",
        ),
    ],
)
def test_when_to_look(query, start, end):
    span = query.span()
    assert (f"{span.start:%Y-%m-%d}", f"{span.end:%Y-%m-%d}") == (start, end)


@pytest.mark.parametrize("ids", [(), ("nameless",), ("S2_20239999_x",), ("S2A_20230516_x", "nameless")])
def test_without_a_time_nobody_is_asked(ids):
    with pytest.raises(UsageError, match="no period was given; give --period, or --scene with a date"):
        SceneQuery(ids=ids).span()


def test_scenes_are_named_by_their_own_or_a_granules_name():
    scenes = [
        make_scene(id=f"scene-{n}", granules=(Granule(f"part-{n}", None, None, TIME),)) for n in range(3)
    ]
    shelf = Shelf(scenes)
    found = find_scenes(SITE, SceneQuery("2023-05", ids=("scene-2", "part-0")), shelf)
    assert [scene.id for scene in found] == ["scene-2", "scene-0"]
    assert shelf.queries[0].max_tile_cloud == 1.0
    with pytest.raises(NoUsableImageryError, match="there is no scene 'scene-9' of this place; take one"):
        find_scenes(SITE, SceneQuery("2023-05", ids=("scene-9",)), shelf)


def test_what_is_asked_for_reaches_the_provider():
    shelf = Shelf([make_scene()])
    find_scenes(SITE, SceneQuery("2023-05", "s2", "L1C", 0.3, 7), shelf)
    asked = shelf.queries[0]
    assert (asked.sensor, asked.level, asked.max_tile_cloud, asked.limit) == ("s2", "L1C", 0.3, 7)


@pytest.mark.parametrize(
    ("cloud", "said"),
    [(1.0, "in 2023-05; choose a longer period, another --provider"), (0.2, "at most 20% cloud")],
)
def test_nothing_found_says_what_to_try(cloud, said):
    with pytest.raises(NoUsableImageryError, match=said):
        find_scenes(SITE, SceneQuery("2023-05", max_tile_cloud=cloud), Shelf([]))


def test_the_clearest_come_first():
    shelf = Shelf([make_scene(id=f"scene-{n}") for n in (2, 0, 1)])
    looks = clearest(SITE, shelf.scenes, 2, shelf, Silent())
    assert [look.scene.id for look in looks] == ["scene-0", "scene-1"]
    assert looks[0].clear_share == 1.0


@pytest.fixture
def image():
    found = make_image(2, TIME, GRID)
    data = found.data.copy()
    data[:, :3, :4] = np.nan
    classes = found.classes.copy()
    classes[:3, :4] = 0
    return replace(found, data=data, classes=classes, valid=found.valid & np.isfinite(data[0]))


@pytest.fixture
def file(image, tmp_path):
    return SceneFile(image.scene, GRID, None, tmp_path / "out")


def test_detect_reads_the_file_as_it_was(file, image):
    file.write(image, SITE)
    again = open_source(file.path).load()
    np.testing.assert_array_equal(again.data, image.data)
    assert again.bands == image.bands
    np.testing.assert_array_equal(again.classes, image.classes)
    scene = again.scene
    assert (scene.time, scene.id, scene.level) == (TIME, image.scene.id, "L2A")
    assert (scene.relative_orbit, scene.sun_elevation_deg) == (3, 67.1)


def test_bands_are_named_and_the_record_says_where_it_is_from(file, image):
    file.write(image, SITE)
    with rasterio.open(file.path) as dataset:
        assert dataset.descriptions == (*image.bands, "SCL", "valid")
        assert set(dataset.dtypes) == {"float32"}
        np.testing.assert_array_equal(dataset.read()[-1] == 1, image.valid)
    said = json.loads(file.description.read_text())
    assert said["schema"] == "changedet.scene/1"
    assert said["site"]["name"] == "Pier"
    assert said["scene"]["bands"]["B04"]["offset"] == -0.1
    assert said["credit"].startswith("Contains modified Copernicus")
    assert [path.suffix for path in sorted(file.folder.iterdir())] == [".json", ".tif"]


def test_what_is_there_whole_is_known_again(file, image):
    assert file.check(overwrite=False) is False
    file.write(image, SITE)
    assert file.check(overwrite=False) is True
    assert replace(file, bands=("B04",)).key != file.key
    with pytest.raises(OutputExistsError, match="is not this scene of this place"):
        replace(file, bands=("B04",)).check(overwrite=False)
    file.path.write_bytes(file.path.read_bytes()[:-1])
    with pytest.raises(OutputExistsError):
        file.check(overwrite=False)
    assert file.check(overwrite=True) is False


def test_a_description_of_something_else_is_not_taken_away(file, image):
    file.folder.mkdir()
    file.description.write_text('{"recipe": "soup"}')
    with pytest.raises(OutputExistsError, match=r"\.json: is there already and is not this scene"):
        file.check(overwrite=False)
    assert file.check(overwrite=True) is False
    file.write(image, SITE)
    assert file.check(overwrite=False) is True


def test_names_are_safe(image, tmp_path):
    strange = SceneFile(replace(image.scene, id="../a b/ü:*"), GRID, None, tmp_path)
    assert strange.path.parent == tmp_path
    assert strange.path.name.startswith("..-a-b--")
    others = [replace(strange, scene=replace(image.scene, id=name)) for name in ("a/b", "a:b", "a-b")]
    assert len({one.path for one in others}) == 3
    assert others[2].path.name == "a-b.tif"


def test_a_folder_that_cannot_be_made_is_said(image, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"check the permission and the free space"):
        SceneFile(image.scene, GRID, None, tmp_path / "file" / "out").write(image, SITE)
