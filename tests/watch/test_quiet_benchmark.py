"""The benchmark of many sites: its sites lie where its images do, and a day passes quietly."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from benchmarks import many_sites as benchmark
from tests.watch.many_sites import SITE_PX
from tests.world.world import without_proxies

from changedet.site_lists import read_sites

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def images():
    return benchmark.shown()[:2]


def test_sites_lie_on_their_tiles_and_tiles_apart(tmp_path, images):
    (tmp_path / "sites.csv").write_text(benchmark.sites_csv(70, 64), encoding="utf-8")
    sites, tiles = read_sites(tmp_path / "sites.csv"), benchmark.published(images, 2)
    grids = {one.tile: one.scene.grid for one in tiles}
    assert len(tiles) == 4 and len(grids) == 2 and len({one.product for one in tiles}) == 4
    held = Counter()
    for site in sites:
        ground = site.grid.extent.geom
        homes = [name for name, grid in grids.items()
                 if grid.crs == site.grid.crs and grid.extent.geom.contains(ground)]  # fmt: skip
        held.update(homes)
        assert len(homes) == 1
    assert sorted(held.values()) == [6, 64]
    places = {(str(site.grid.crs), *site.grid.boundingbox) for site in sites}
    assert len(places) == 70
    corners = {benchmark.corner(tile) for tile in range(200)}
    assert len(corners) == 200


def test_what_is_learnt_from_is_what_the_catalogue_lists(tmp_path, images):
    (tmp_path / "sites.csv").write_text(benchmark.sites_csv(1, 64), encoding="utf-8")
    (site,) = read_sites(tmp_path / "sites.csv")
    learning, taken = benchmark.Learning(None, images), images[0].scene
    image = learning.load(taken, site.grid)
    size = image.data.shape[1]
    assert SITE_PX <= size <= SITE_PX + 2
    row = round((taken.grid.transform.f - site.grid.transform.f) / 10)
    column = round((site.grid.transform.c - taken.grid.transform.c) / 10)
    expected = taken.reflectance("B04")[row : row + size, column : column + image.data.shape[2]]
    assert np.array_equal(image.data[image.bands.index("B04")], expected.astype(np.float32))
    looked = learning.classes(taken, site.grid.zoom_to(resolution=20))
    assert looked.shape == (size // 2, image.data.shape[2] // 2)


@pytest.mark.skipif(sys.platform == "win32", reason="what a process used is asked of POSIX")
def test_a_day_passes_quietly(tmp_path, monkeypatch):
    without_proxies(monkeypatch)
    out = tmp_path / "many.json"
    line = [sys.executable, "benchmarks/many_sites.py", "--sites", "3", "--out", str(out)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout
    (day,) = json.loads(out.read_text(encoding="utf-8"))["days"]
    # the front page of the catalogue, and one question for three sites
    assert (day["sites"], day["requests"], day["problems"]) == (3, 2, [])
    assert "| 3 | " in done.stdout
