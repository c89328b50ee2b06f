"""Images of different sensors: each kind measured in its own way, on the coarser grid, with an error."""

from functools import cache

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from tests.core import pairs, unlike
from tests.core.scenery import real

from changedet.cross_sensor import CrossSettings, averaged, common_grid, measure
from changedet.errors import MissingBandError, NoOverlapError, UsageError
from changedet.registering import open_raster

SHAPE = 288, 288
LEFT, TOP = 300000.0, 4000000.0
SHIFT = 1.6, -2.3


@cache
def ground(seed=0, shape=SHAPE):
    return pairs.made_up(shape, seed)


def write(path, data, names, *, step=10.0, corner=(LEFT, TOP), crs="EPSG:32633"):
    data = np.atleast_3d(np.asarray(data).T).T
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2],
        dtype=data.dtype, crs=crs, transform=rasterio.transform.from_origin(*corner, step, step),
    ) as file:  # fmt: skip
        file.write(data)
        for band, name in enumerate(names, start=1):
            file.set_band_description(band, name)
    return path


@pytest.fixture
def optical(tmp_path):
    rng = np.random.default_rng(0)
    return write(tmp_path / "reference.tif", unlike.reference_of(ground(), rng), ["B04"])


def moving(tmp_path, image, names=("B04",), **options):
    return write(tmp_path / "moving.tif", image, names, **options)


def miss_px(found, shift=SHIFT):
    return float(np.hypot(*np.subtract(found.shift_px, shift)))


@pytest.mark.parametrize("make", [unlike.other_orbit, unlike.hazy])
def test_other_orbits_and_levels_are_measured_to_a_fiftieth_of_a_pixel(tmp_path, optical, make):
    found = measure(optical, moving(tmp_path, make(ground(), SHIFT, np.random.default_rng(1))))
    assert (found.kind, found.trusted, found.correctable) == ("optical", True, True)
    assert miss_px(found) < 0.02
    assert found.shift_m == pytest.approx((-10 * found.shift_px[0], 10 * found.shift_px[1]), rel=0.01)
    assert max(found.error_px) < 0.05


def test_landsat_is_compared_in_its_own_pixels(tmp_path, optical):
    coarse = unlike.landsat(ground(), SHIFT, np.random.default_rng(1))
    found = measure(optical, moving(tmp_path, coarse, step=30.0))
    assert found.grid.resolution.x == pytest.approx(30)
    assert tuple(found.grid.shape) == (96, 96)
    assert found.correctable
    assert miss_px(found, np.divide(SHIFT, 3)) < 0.03


def test_a_finer_image_of_the_user_is_averaged(tmp_path):
    """Made at 2.5 m, compared at 10 m; it may be larger and lie anywhere over the reference."""
    fine, rng = ground(1, (640, 640)), np.random.default_rng(1)
    plain = fine.seen(*unlike.positions(fine.shape))[0]
    reference = write(tmp_path / "reference.tif", unlike.noisy(unlike.averaged(plain, 4), rng), ["B04"])
    image = unlike.high_resolution(fine, (4 * SHIFT[0], 4 * SHIFT[1]), rng)[7:, 9:]
    corner = LEFT + 9 * 2.5, TOP - 7 * 2.5
    found = measure(reference, moving(tmp_path, image, names=("red",), step=2.5, corner=corner))
    assert found.grid.resolution.x == pytest.approx(10)
    assert found.correctable
    assert miss_px(found) < 0.05


@pytest.mark.parametrize("decibels", [False, True])
def test_radar_is_measured_and_never_applied(tmp_path, optical, decibels):
    dark = unlike.radar(ground(), SHIFT, np.random.default_rng(2))
    dark = 10 * np.log10(dark) if decibels else dark
    found = measure(optical, moving(tmp_path, dark.astype(np.float32), names=["VV"]))
    assert (found.kind, found.trusted, found.correctable) == ("radar", True, False)
    assert found.alignment is None
    assert miss_px(found) < 0.3
    assert not found.within(1.0)
    assert found.within(4.0)


def test_the_kind_can_be_said(tmp_path, optical):
    dark = moving(tmp_path, unlike.radar(ground(), SHIFT, np.random.default_rng(2)), names=["backscatter"])
    assert measure(optical, dark).kind == "optical"
    found = measure(optical, dark, kind="radar")
    assert (found.kind, miss_px(found) < 0.3) == ("radar", True)


@pytest.mark.parametrize("kind", ["optical", "radar"])
def test_another_place_is_refused_with_the_reason(tmp_path, optical, kind):
    other = unlike.reference_of(ground(9), np.random.default_rng(3))
    found = measure(optical, moving(tmp_path, other), kind=kind)
    assert found.reason == "the windows of the images agree on no common shift"
    assert not (found.trusted or found.correctable or found.within(100))


def test_an_image_without_texture_is_refused(tmp_path, optical):
    flat = moving(tmp_path, np.full(SHAPE, 7, np.float32), names=["VV"])
    found = measure(optical, flat)
    assert "could be matched" in found.reason
    assert np.isnan(found.shift_px).all()
    assert np.isnan(found.error_m).all()


def test_bands_that_belong_together_can_be_named(tmp_path, optical):
    rng = np.random.default_rng(1)
    planes = np.stack([rng.uniform(1, 9, SHAPE).astype(np.float32), unlike.hazy(ground(), SHIFT, rng)])
    given = moving(tmp_path, planes, names=["B1", "B3"])
    found = measure(optical, given, settings=CrossSettings(bands=(("B04", "B03"),)))
    assert miss_px(found) < 0.02
    with pytest.raises(MissingBandError, match=r"no band B99.*choose among"):
        measure(optical, given, settings=CrossSettings(bands=(("B04", "B99"),)))


def test_images_that_share_no_ground_are_an_error(tmp_path, optical):
    far = moving(tmp_path, np.ones((20, 20), np.float32), corner=(LEFT + 1e5, TOP))
    with pytest.raises(NoOverlapError, match="do not overlap"):
        measure(optical, far)


@pytest.mark.parametrize("limits", [{"max_shift_m": 0}, {"radar_shift_m": -1}, {"max_shift_m": float("nan")}])
def test_limits_must_be_positive(limits):
    with pytest.raises(UsageError, match="not positive"):
        CrossSettings(**limits)


# --- averaging ---------------------------------------------------------------------------------------


def test_averages_are_those_of_the_pixels_inside(tmp_path):
    values = np.random.default_rng(0).uniform(0, 9, (80, 120)).astype(np.float32)
    raster = open_raster(write(tmp_path / "fine.tif", values, ["B04"], step=2.5))
    grid = GeoBox.from_bbox((LEFT, TOP - 200, LEFT + 300, TOP), "EPSG:32633", resolution=10, tight=True)
    np.testing.assert_allclose(averaged(raster, 0, grid), unlike.averaged(values, 4), rtol=1e-4)


def test_averaging_in_blocks_makes_no_seam(tmp_path, monkeypatch):
    values = np.random.default_rng(0).uniform(0, 9, (90, 130)).astype(np.float32)
    values[30:40, 50:70] = np.nan
    raster = open_raster(write(tmp_path / "fine.tif", values, ["B04"], step=3.0))
    grid = GeoBox.from_bbox(
        (LEFT - 44, TOP - 254, LEFT + 356, TOP + 26), "EPSG:32633", resolution=10, tight=True
    )
    whole = averaged(raster, 0, grid)
    assert 0.5 < np.isfinite(whole).mean() < 0.9
    monkeypatch.setattr("changedet.cross_sensor._BLOCK_PX", 1)
    np.testing.assert_allclose(averaged(raster, 0, grid), whole, rtol=1e-4)


def test_the_common_grid_is_the_part_that_both_show(tmp_path, optical):
    part = moving(tmp_path, np.ones((50, 60), np.float32), corner=(LEFT + 500, TOP - 800), step=20.0)
    grid = common_grid(open_raster(optical), open_raster(part))
    assert grid.resolution.x == pytest.approx(20)
    box = grid.boundingbox
    assert box.left <= LEFT + 500 and box.right >= LEFT + 1700
    assert box.left > LEFT and box.bottom > TOP - 2880


# --- real imagery ------------------------------------------------------------------------------------


@pytest.mark.real
def test_real_radar_lies_within_three_pixels_of_the_city():
    light = next(real("oscd", "images", "nantes", "imgs_1").glob("*_B04.tif"))
    found = measure(light, real("oscd_s1", "sentinel1_nantes_30_t1.tif"), kind="radar")
    assert found.within(3.0)
    assert max(found.error_px) < 0.3


@pytest.mark.real
def test_two_real_landsat_dates_agree():
    first = real("landsat_taizhou", "2000TM")
    found = measure(first, first.with_name("2003TM"))
    assert found.correctable
    assert np.hypot(*found.shift_px) < 0.5
    assert max(found.error_px) < 0.05
