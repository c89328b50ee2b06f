"""Both ways from grid to grid give the same numbers: by phases where that is possible, and by GDAL."""

import threading

import numpy as np
import pytest
from affine import Affine
from odc.geo.crs import CRS

from changedet import resample_warp as module
from changedet.resample_warp import interpolated

WKT = CRS("EPSG:32652").to_wkt()
SOURCE = Affine(20, 0, 399_960, 0, -20, 4_200_000)
RNG = np.random.default_rng


def target_at(east_px, south_px, finer):
    """Return a grid whose corner lies so many pixels of the source off."""
    return SOURCE * Affine.translation(east_px, south_px) * Affine.scale(1 / finer)


def both_ways(monkeypatch, array, target, shape, method):
    fill = 0 if array.dtype == np.uint8 else np.nan
    blanks = [np.full(shape, fill, array.dtype) for _ in range(2)]
    fast = interpolated(array, (SOURCE, WKT), (target, WKT), blanks[0], method)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_side_by_side", lambda *_: None)
        slow = interpolated(array, (SOURCE, WKT), (target, WKT), blanks[1], method)
    return fast, slow


@pytest.mark.parametrize("gaps", [0.0, 0.0005, 0.5])
@pytest.mark.parametrize(("east", "south", "finer"), [(10.0, -4.0, 2), (-3.37, 5.181, 1), (7.3, -2.9, 4)])
def test_the_numbers_are_those_of_gdal(monkeypatch, gaps, east, south, finer):
    plane = RNG(3).random((160, 210), dtype=np.float32)
    if gaps > 0.1:
        plane[:, :60] = np.nan
    plane[RNG(4).random(plane.shape) < min(gaps, 0.01)] = np.nan
    fast, slow = both_ways(
        monkeypatch, plane, target_at(east, south, finer), (150 * finer, 200 * finer), "cubic"
    )
    assert np.isfinite(slow).mean() > 0.2
    assert (np.isnan(fast) == np.isnan(slow)).all()
    seen = np.isfinite(slow)
    assert np.abs(fast - slow)[seen].max() <= 2e-7
    assert (fast == slow)[seen].mean() > 0.999


@pytest.mark.parametrize(("east", "south", "finer"), [(0.0, 0.0, 2), (-3.37, 5.181, 1), (7.3, -2.9, 3)])
def test_classes_are_those_of_gdal(monkeypatch, east, south, finer):
    classes = RNG(5).integers(0, 12, (90, 80), np.uint8)
    fast, slow = both_ways(monkeypatch, classes, target_at(east, south, finer), (170, 150), "nearest")
    assert slow.any()
    assert (fast == slow).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_edges_are_those_of_gdal(monkeypatch, rows):
    plane = RNG(7).random((rows, 40), dtype=np.float32)
    fast, slow = both_ways(monkeypatch, plane, target_at(-3.17, -2.81, 2), (30, 100), "cubic")
    assert np.isfinite(slow).any()
    assert (np.isnan(fast) == np.isnan(slow)).all()
    assert np.nanmax(np.abs(fast - slow)) <= 2e-7


def test_a_target_beside_the_source_stays_without_data(monkeypatch):
    plane = np.ones((30, 30), np.float32)
    fast, slow = both_ways(monkeypatch, plane, target_at(100.0, 0.0, 2), (20, 20), "cubic")
    assert np.isnan(fast).all()
    assert np.isnan(slow).all()


@pytest.mark.parametrize(
    "target",
    [
        SOURCE * Affine.scale(1 / 2.1),
        SOURCE * Affine.scale(1 / 9),
        SOURCE * Affine.scale(2),
        SOURCE * Affine.rotation(0.5),
        SOURCE * Affine.scale(1, -1),
    ],
)
def test_other_grids_have_no_phases(target):
    assert module._side_by_side((SOURCE, WKT), (target, WKT), (100, 100)) is None
    assert module._side_by_side((SOURCE, WKT), (SOURCE, "EPSG:32653"), (100, 100)) is None


def test_threads_do_not_spoil_each_others_warnings():
    # with `error` as the filter, a warning in a thread would end it
    plane = RNG(6).random((40, 40), dtype=np.float32)
    plane[10:20] = np.nan
    done = []

    def work():
        for _ in range(30):
            blank = np.full((60, 60), np.nan, np.float32)
            done.append(interpolated(plane, (SOURCE, WKT), (target_at(1.3, 1.3, 2), WKT), blank, "cubic"))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 90
