"""The benchmarks of many sites: what they compare and what they print, on made-up figures."""

import json
from dataclasses import fields

import numpy as np
import pytest
from benchmarks import dask_sites, site_costs

from changedet.samples import simulate_pair
from changedet.scale.planning import SiteCosts
from changedet.simulator.scene import SceneSettings
from changedet.site_lists import read_sites
from changedet.watch.state import open_state


@pytest.fixture
def report():
    return {
        "sites": 16, "processors": 2, "serial_s": 61.0, "one_worker_s": [100.0, 104.0],
        "two_workers_s": [55.0, 47.0], "ratio": 0.5, "bar": 0.6, "killed_s": 66.0, "problems": [],
    }  # fmt: skip


def test_the_table_says_what_was_measured(report):
    lines = dask_sites.table(report).splitlines()
    assert lines[0] == "| 16 sites, 2 processors | |"
    assert "| one worker of one thread | 102.0 s |" in lines
    assert "| two by one; at most 0.6 | 0.50 |" in lines
    assert lines[-1].endswith("| 0 |")


def test_the_sites_lie_in_the_scene(tmp_path):
    (tmp_path / "sites.csv").write_text(dask_sites.sites_csv(16))
    sites = read_sites(tmp_path / "sites.csv")
    extent = simulate_pair(SceneSettings()).before.grid.extent
    assert len({site.name for site in sites}) == 16
    assert all(extent.geom.contains(site.grid.extent.to_crs(extent.crs).geom) for site in sites)


def test_what_differs_from_the_serial_run_is_named():
    serial = dask_sites.Made(1.0, 0, {"a": 1, "b": 2})
    assert dask_sites._differing("two", serial, serial) == []
    other = dask_sites.Made(1.0, 0, {"a": 1, "b": 3, "c": 4})
    assert dask_sites._differing("two", serial, other) == ["two: b differs", "two: c differs"]
    assert dask_sites._differing("two", serial, dask_sites.Made(1.0, 7, {})) == ["two: ended with 7"]


def test_watched_sites_lie_in_their_scenes(tmp_path):
    (tmp_path / "sites.csv").write_text(dask_sites.WATCH.sites_csv(16))
    sites = read_sites(tmp_path / "sites.csv")
    granules = dask_sites.many_dates().granules
    extent = granules[0].scene.grid.extent
    assert len({site.name for site in sites}) == 16 and len(granules) == 43
    assert all(extent.geom.contains(site.grid.extent.to_crs(extent.crs).geom) for site in sites)


def test_a_watch_is_compared_row_by_row_and_file_by_file(tmp_path):
    folder = tmp_path / "empty"
    dask_sites.begin_watch(folder)
    (folder / "out").mkdir()
    empty = dask_sites.watch_made(folder)
    assert {"alerts", "arrays", "followed", "scenes", "sites"} <= set(empty)
    assert dask_sites.watch_made(folder) == empty
    with open_state(folder / "w.gpkg", write=True) as state, state.change() as change:
        change.execute("UPDATE gpkg_contents SET description = 'other' WHERE table_name = 'alerts'")
    (folder / "out" / "digest.json").write_text("{}")
    found = dask_sites.watch_made(folder)
    assert {name for name in found if found[name] != empty.get(name)} == {"gpkg_contents", "digest.json"}


def test_a_scene_is_enlarged_by_mirrors():
    image = simulate_pair(SceneSettings(size_px=128)).before.to_image()
    found = site_costs.enlarged(image, 3)
    assert found.data.shape == (len(image.bands), 384, 384)
    np.testing.assert_array_equal(found.data[:, :128, :128], image.data)
    np.testing.assert_array_equal(found.data[:, 127], found.data[:, 128])


def test_costs_are_a_line_through_what_was_measured():
    offset, slope = site_costs._line(np.array([1.0, 2.0, 4.0]), np.array([5.0, 7.0, 11.0]))
    assert (round(offset, 6), round(slope, 6)) == (3.0, 2.0)


def test_the_costs_of_a_plan_are_those_that_were_measured():
    path = site_costs.Path(site_costs.__file__).with_name("site_costs_results.json")
    measured = json.loads(path.read_text(encoding="utf-8"))["costs"]
    usual = SiteCosts()
    assert measured.keys() == {field.name for field in fields(SiteCosts)}
    assert vars(usual) == pytest.approx(measured, rel=0.1)
