"""Outlines that are drawn window by window are those of the whole image, corner by corner."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import MultiPolygon, shape

from changedet.core import extents
from changedet.core.components import label_components
from changedet.outlines import object_outlines

TRANSFORMS = {
    "EPSG:32632": Affine(10, 0, 399_960, 0, -10, 4_800_000),
    "EPSG:4326": Affine(0.00013, 0, 11.37, 0, -0.00009, 43.717),
}


@pytest.fixture(scope="module")
def labels():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((140, 170)), 1.2)
    mask = noise > 0.1
    mask[:, 60] = True
    return label_components(mask, mask)


def drawn_at_once(labels, grid):
    parts = [[] for _ in range(labels.max())]
    for geometry, value in shapes(labels, mask=labels > 0, connectivity=4, transform=grid.transform):
        parts[int(value) - 1].append(shape(geometry))
    return [p[0] if len(p) == 1 else MultiPolygon(p) for p in parts]


@pytest.mark.parametrize("crs", TRANSFORMS)
@pytest.mark.parametrize("window_px", [2**22, 4000, 1])
def test_windows_change_no_corner(monkeypatch, labels, crs, window_px):
    monkeypatch.setattr(extents, "_WINDOW_PX", window_px)
    grid = GeoBox(labels.shape, TRANSFORMS[crs], crs)
    found = object_outlines(labels, grid, int(labels.max()))
    expected = drawn_at_once(labels, grid)
    assert any(isinstance(one, MultiPolygon) for one in expected)
    assert any(len(one.interiors) for one in expected if not isinstance(one, MultiPolygon))
    assert [one.wkb for one in found] == [one.wkb for one in expected]


def test_areas_are_those_of_the_pixels(labels):
    grid = GeoBox(labels.shape, TRANSFORMS["EPSG:32632"], "EPSG:32632")
    found = object_outlines(labels, grid, int(labels.max()))
    assert [one.area for one in found] == [100 * n for n in np.bincount(labels.ravel())[1:]]
    assert all(one.is_valid for one in found)
