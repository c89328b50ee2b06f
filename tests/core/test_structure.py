"""Shifts across sensors: recovered from unlike images, with an error that holds, and refused elsewhere."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import Resampling, reproject
from tests.core import pairs, unlike
from tests.core.scenery import real

from changedet.core.alignment import align
from changedet.core.structure import StructureSettings, measure_structure, oriented_gradients

SHAPE = 288, 288
DEFAULTS = StructureSettings()


@cache
def ground(seed=0, shape=SHAPE):
    return pairs.made_up(shape, seed)


def sides(shift_px, seed=0, other=None):
    rng = np.random.default_rng(seed)
    shown = ground(seed) if other is None else ground(other)
    return unlike.reference_of(ground(seed), rng), unlike.radar(shown, shift_px, rng)


def measure(reference, moving, valid=None, limits=DEFAULTS):
    usable = np.ones(reference.shape, bool) if valid is None else valid
    return measure_structure(reference, moving, np.ones(moving.shape, bool), usable, limits)


@settings(max_examples=5, deadline=None)
@given(row_px=st.floats(-5, 5), column_px=st.floats(-5, 5), seed=st.integers(0, 2))
def test_a_shift_between_light_and_radar_is_found(row_px, column_px, seed):
    found = measure(*sides((row_px, column_px), seed))
    assert found.trusted
    error = np.hypot(found.row_px - row_px, found.column_px - column_px)
    assert error < 0.3
    assert error < 5 * np.hypot(found.row_error_px, found.column_error_px)


def test_sides_exchanged_give_the_opposite_shift():
    light, dark = sides((1.4, -2.6))
    there, back = measure(light, dark), measure(dark, light)
    assert (there.row_px, there.column_px) == pytest.approx((-back.row_px, -back.column_px), abs=0.15)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 300.0])
def test_the_unit_does_not_matter(factor):
    light, dark = sides((0.7, 1.2))
    plain, scaled = measure(light, dark), measure(light, np.float32(factor) * dark)
    assert (scaled.row_px, scaled.column_px) == pytest.approx((plain.row_px, plain.column_px), abs=1e-3)


def test_what_is_not_usable_does_not_matter():
    light, dark = sides((1.5, -0.5))
    clear = ~pairs.blobs(SHAPE, 0.15, 60, np.random.default_rng(1))
    plain = measure(light, dark, clear)
    spoilt = measure(light, np.where(clear, dark, np.float32(50.0)), clear)
    assert plain.trusted
    assert (spoilt.row_px, spoilt.column_px) == (plain.row_px, plain.column_px)
    assert (plain.row_px, plain.column_px) == pytest.approx((1.5, -0.5), abs=0.35)


@pytest.mark.parametrize("seed", range(3))
def test_another_place_is_refused(seed):
    found = measure(*sides((0, 0), seed, other=seed + 10))
    assert found.obstacle == "no agreement"
    assert not found.trusted


def test_a_shift_at_the_limit_of_the_search_is_refused():
    found = measure(*sides((6.0, 0.0)), limits=replace(DEFAULTS, search_px=6))
    assert found.obstacle == "beyond the search"


@pytest.mark.parametrize("shape", [(8, 8), (80, 300)])
def test_too_little_ground_is_told(shape):
    image = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    found = measure(image, image)
    assert (found.obstacle, np.isnan(found.row_px)) == ("too small", True)


def test_clouds_over_almost_everything_are_told():
    light, dark = sides((0, 0))
    clear = np.zeros(SHAPE, bool)
    clear[:120, :120] = True
    assert measure(light, dark, clear).obstacle == "too small"


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_no_texture_is_told(value):
    light, _ = sides((0, 0))
    assert measure(light, np.full(SHAPE, value, np.float32)).obstacle == "no texture"
    assert measure(light, light, np.zeros(SHAPE, bool)).obstacle == "no texture"


def test_directions_of_edges_ignore_their_sign_and_strength():
    step = np.zeros((40, 40), np.float32)
    step[:, 20:] = 1
    parts = oriented_gradients(step)
    assert parts.shape == (8, 40, 40)
    # brightness changes along the rows: most in the first direction, least across it
    assert parts[:, 20, 20].argmax() == 0
    assert parts[:, 20, 20].argmin() == 4
    np.testing.assert_allclose(oriented_gradients(7 - 3 * step), parts, atol=1e-5)
    assert not oriented_gradients(np.ones((16, 16), np.float32)).any()


def test_an_edge_turned_by_a_right_angle_turns_its_directions():
    image = ground().seen(*unlike.positions((64, 64)))[0]
    parts, turned = oriented_gradients(image), oriented_gradients(np.ascontiguousarray(image.T))
    for direction in range(8):
        np.testing.assert_allclose(turned[(4 - direction) % 8], parts[direction].T, atol=1e-3)


# --- real imagery ------------------------------------------------------------------------------------

CITIES = ["aguasclaras_24", "bordeaux_81", "nantes_30"]


def onto(path, like, shift_px=(0.0, 0.0), scale=None):
    with rasterio.open(like) as file:
        transform, shape, crs = file.transform, file.shape, file.crs
    with rasterio.open(path) as file:
        values, out = file.read(1).astype(np.float32), np.zeros(shape, np.float32)
        if scale:
            values = scale(values)
        a, b, c, d, e, f = tuple(transform)[:6]
        moved = rasterio.Affine(a, b, c + a * shift_px[1], d, e, f + e * shift_px[0])
        reproject(
            values, out, src_transform=file.transform, src_crs=file.crs, dst_transform=moved, dst_crs=crs,
            resampling=Resampling.cubic, dst_nodata=0, tolerance=0.01,
        )  # fmt: skip
    return out


def power(stored):
    return 10 ** ((30 * stored - 25) / 10)


def band(city, date):
    return next(real("oscd", "images", city, f"imgs_{date}").glob("*_B04.tif"))


@pytest.mark.real
@pytest.mark.parametrize("name", CITIES)
def test_shifts_of_real_radar_are_found_again(name):
    like = band(name.split("_")[0], 1)
    light, path = onto(like, like), real("oscd_s1", f"sentinel1_{name}_t1.tif")
    found = []
    for shift_px in ((0, 0), (1.3, 2.7), (-4.6, 3.2)):
        dark = onto(path, like, shift_px, power)
        one = measure_structure(light, dark, light > 0, dark > 0)
        assert one.trusted
        found.append(np.array([one.row_px, one.column_px]) - shift_px)
    assert np.hypot(*found[0]) < 2.5
    assert np.abs(found - found[0]).max() < 0.08


@pytest.mark.real
@pytest.mark.parametrize("name", CITIES)
def test_two_dates_lie_as_far_from_the_radar_as_from_each_other(name):
    city = name.split("_")[0]
    like = band(city, 1)
    first, second = onto(like, like), onto(band(city, 2), like)
    dark = onto(real("oscd_s1", f"sentinel1_{name}_t1.tif"), like, scale=power)
    direct = align([first], [second], first > 0, second > 0)
    one, other = (measure_structure(image, dark, image > 0, dark > 0) for image in (first, second))
    round_trip = np.array([one.row_px - other.row_px, one.column_px - other.column_px])
    assert np.hypot(*(round_trip - direct.field.median_px)) < 0.5


@pytest.mark.real
@pytest.mark.parametrize(("one", "other"), [("pisa", "nantes_30"), ("nantes", "bordeaux_8")])
def test_radar_of_another_city_is_refused(one, other):
    like = band(one, 1)
    light = onto(like, like)
    with rasterio.open(real("oscd_s1", f"sentinel1_{other}_t1.tif")) as file:
        dark = power(file.read(1))
    height, width = np.minimum(light.shape, dark.shape)
    light, dark = light[:height, :width], dark[:height, :width]
    found = measure_structure(light, dark, light > 0, dark > 0)
    assert found.obstacle == "no agreement"
