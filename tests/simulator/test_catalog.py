"""Simulated scenes as a catalogue on disk: found, loaded as they were written, and called simulated."""

import json
from datetime import UTC, date, datetime

import numpy as np
import pytest

from changedet.errors import OutputError
from changedet.providers.base import SearchQuery
from changedet.providers.catalog import stac
from changedet.providers.settings import ProviderSettings
from changedet.samples import SceneSettings, simulate_series
from changedet.simulator.catalog import write_catalog
from changedet.site import Site

SITE = Site.at("38.27015, 126.49831", radius_m=300, name="Yard")
SETTINGS = SceneSettings(
    size_px=128, bands=("B02", "B03", "B04", "B08"), before=date(2021, 5, 21), after=date(2022, 4, 1)
)


@pytest.fixture(scope="module")
def series():
    return simulate_series(SETTINGS, dates=3)


@pytest.fixture(scope="module")
def path(series, tmp_path_factory):
    return write_catalog(series.scenes, tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def found(path):
    start, end = datetime(2021, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    provider = stac(ProviderSettings(url=str(path)))
    return provider, sorted(provider.search(SearchQuery(SITE, start, end)), key=lambda scene: scene.time)


def test_every_scene_is_found_with_its_time_and_is_called_simulated(series, found):
    _, scenes = found
    assert [scene.time for scene in scenes] == [scene.time for scene in series.scenes]
    assert [scene.processing_baseline for scene in scenes] == [scene.baseline for scene in series.scenes]
    assert all(scene.simulated for scene in scenes)


def test_reflectance_is_the_one_that_was_simulated(series, found):
    provider, scenes = found
    for written, scene in zip(series.scenes, scenes, strict=True):
        image = provider.load(scene, written.grid, ("B04", "B08"))
        for name in ("B04", "B08"):
            truth = np.maximum(written.reflectance(name), 0)
            clear = image.valid & np.isfinite(truth)
            assert clear.any()
            np.testing.assert_allclose(image.band(name)[clear], truth[clear], atol=1e-6)


def test_links_are_relative_so_that_the_folder_can_be_moved(path):
    for item in json.loads(path.read_text(encoding="utf-8"))["features"]:
        assert set(item["assets"]) == {*SETTINGS.bands, "SCL"}
        for asset in item["assets"].values():
            assert (path.parent / asset["href"]).is_file()
            assert not asset["href"].startswith("/")


def test_a_folder_that_cannot_be_written_is_named(series, tmp_path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="taken"):
        write_catalog(series.scenes, tmp_path / "taken")
