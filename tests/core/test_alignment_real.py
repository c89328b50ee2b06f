"""Alignments of real images without known truth, judged by another method on pixels that were not used."""

import re
import warnings
from functools import cache

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import from_bounds
from scipy import ndimage
from skimage.registration import phase_cross_correlation
from tests.core.pairs import cities, make_pair, photographed, read_city, uniform, waves
from tests.core.scenery import real
from tests.core.verdict_pairs import ACCEPTED, ACCEPTED_REAL, REFUSED, make_case

from changedet.core.alignment import align

TILE_PX = 128
#: Bands that no field is measured on.
OTHER_BANDS = ("B02", "B03", "B08")

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True, scope="module")
def imagery():
    real("oscd", "images")


@cache
def dates(city, band):
    first, second = (read_city(city, date, band) for date in (1, 2))
    height, width = np.minimum(first.shape, second.shape)
    return first[:height, :width], second[:height, :width]


@cache
def spline(city, band):
    return ndimage.spline_filter(dates(city, band)[1].astype(float), 3, mode="nearest")


def resampled(coefficients, field, tile):
    """A tile of the moving image on the grid of the reference, by an interpolation that is not ours."""
    rows, columns = (np.arange(part.start, part.stop, dtype=float) for part in tile)
    row_px, column_px = field.on(rows, columns)
    at = rows[:, None] - row_px, columns - column_px
    return ndimage.map_coordinates(coefficients, at, order=3, mode="nearest", prefilter=False)


def left_px(reference, moving):
    """Shift of a tile by phase correlation of 2 x 2 averages, in pixels.

    Where pixels were resampled by taking the nearest one, as in these images, the finest detail follows the
    grid and not the ground; the averages are free of it.
    """
    halves = [
        image.astype(float).reshape(TILE_PX // 2, 2, TILE_PX // 2, 2).mean(axis=(1, 3))
        for image in (reference, moving)
    ]
    return 2 * phase_cross_correlation(*halves, upsample_factor=100)[0]


def tiles(shape, parity):
    """Every other tile, like the fields of one colour of a chessboard."""
    for row in range(0, shape[0] - TILE_PX + 1, TILE_PX):
        for column in range(0, shape[1] - TILE_PX + 1, TILE_PX):
            if (row + column) // TILE_PX % 2 == parity:
                yield slice(row, row + TILE_PX), slice(column, column + TILE_PX)


@pytest.mark.parametrize("city", cities())
def test_little_is_left_on_bands_and_tiles_that_were_not_used(city):
    first, second = dates(city, "B04")
    before, after = [], []
    for parity in (0, 1):
        used = first > 0
        for tile in tiles(first.shape, parity):
            used[tile] = False
        found = align([first], [second], used, second > 0)
        assert found.trusted
        for band in OTHER_BANDS:
            reference, moving = dates(city, band)
            for tile in tiles(first.shape, parity):
                if min(reference[tile].min(), moving[tile].min()) > 0:
                    before.append(left_px(reference[tile], moving[tile]))
                    after.append(left_px(reference[tile], resampled(spline(city, band), found.field, tile)))
    assert len(after) >= 18
    assert np.median(np.hypot(*np.transpose(after))) <= 0.1
    assert np.median(np.hypot(*np.transpose(before))) > 1.5 * np.median(np.hypot(*np.transpose(after)))
    assert np.hypot(*np.median(after, axis=0)) < 0.06


def test_two_images_of_different_extents_are_aligned_on_their_common_ground():
    folder = real("arosics_s2_pair")
    paths = [next(folder.glob(f"{name}_*.jp2")) for name in ("ref", "tgt")]
    with rasterio.open(paths[0]) as first, rasterio.open(paths[1]) as second:
        assert first.shape != second.shape
        ends = list(zip(first.bounds, second.bounds, strict=True))
        common = *map(max, ends[:2]), *map(min, ends[2:])
        images = []
        for file in (first, second):
            # a quarter of it is enough, and these files are slow to read
            window = from_bounds(*common, file.transform).round_offsets().round_lengths()
            images.append(file.read(1, window=window)[:1152, :1152])
    assert images[0].shape == images[1].shape
    found = align(images[:1], images[1:], *(image > 0 for image in images))
    assert found.trusted
    np.testing.assert_allclose(found.field.median_px, (1.83, -0.64), atol=0.1)
    coefficients = ndimage.spline_filter(images[1].astype(float), 3, mode="nearest")
    full = [tile for parity in (0, 1) for tile in tiles(images[0].shape, parity)]
    full = [tile for tile in full if min(image[tile].min() for image in images) > 0]
    left = np.array([left_px(images[0][tile], resampled(coefficients, found.field, tile)) for tile in full])
    assert len(left) > 30
    assert np.median(np.hypot(*left.T)) <= 0.1


@pytest.mark.parametrize("name", ["r+0.00c+0.25", "r+0.00c+0.50", "r+0.00c-0.25", "r+0.25c+0.25"])
def test_known_shifts_are_found(name):
    folder = real("pandora2d", "T19KER", name)
    images = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for side in ("left", "right"):
            with rasterio.open(folder / f"{side}.tif") as file:
                images.append(file.read(1).astype(np.float32))
    usable = np.ones(images[0].shape, bool)
    found = align(images[:1], images[1:], usable, usable)
    assert found.trusted
    # the name tells how the content was moved, a field how to move it back
    known = [-float(part) for part in re.findall(r"[+-][\d.]+", name)]
    np.testing.assert_allclose(found.field.median_px, known, atol=0.01)


@pytest.mark.parametrize("make", [lambda shape: uniform(shape, -12.45, 23.1), lambda shape: waves(shape, 2)])
def test_real_texture_with_known_truth(make):
    shape = 1098, 1098
    pair = make_pair(photographed(shape, 3), make(shape), 1)
    found = align(list(pair.reference), list(pair.moving), pair.all_usable, pair.all_usable)
    assert found.trusted
    assert pair.rmse_px(found.field) <= 0.02


@pytest.mark.parametrize("kind", [*REFUSED, *ACCEPTED, *ACCEPTED_REAL])
def test_verdicts_on_real_ground(kind):
    case = make_case(kind, 1001, (256, 256), real=True)
    usable = np.ones(case.reference.shape, bool)
    found = align([case.reference], [case.moving], usable, usable)
    assert found.trusted == (case.shift_px is not None)
    if case.shift_px:
        assert np.hypot(*np.subtract(found.field.median_px, case.shift_px)) < 0.2
