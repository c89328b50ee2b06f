"""Alignments: known truth everywhere, the same answer from every side, and a reason where there is none."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.pairs import CALM, Weather, made_up, make_pair, uniform, waves
from tests.core.verdict_pairs import ACCEPTED, REFUSED, make_case

from changedet.core.alignment import AlignmentSettings, align, coarse_shifts

CLEAR = Weather(change=0.05, cloud=0)


DEFAULTS = AlignmentSettings()


def measure(pair, limits=DEFAULTS, *, masked=False):
    usable = pair.all_usable, pair.all_usable
    if masked:
        usable = pair.reference_clear, pair.moving_clear
    return align(list(pair.reference), list(pair.moving), *usable, limits)


def plain(shape=(256, 256), shift=(2.3, -4.6), seed=1, weather=CLEAR, **options):
    return make_pair(
        made_up(shape, seed, options.pop("bands", 1)), uniform(shape, *shift), seed, weather, **options
    )


@cache
def large(seed=2):
    shape = 1098, 1098
    return make_pair(made_up(shape, seed), waves(shape, seed), seed)


@cache
def bent(seed=3):
    shape = 400, 400
    mean, amplitudes = (-1.3, 2.2), (0.3, 0.15)
    return make_pair(made_up(shape, seed), waves(shape, seed, mean, amplitudes, jitter_px=0), seed, CALM)


def raster(pair):
    return tuple(np.arange(30.0, length - 30, 10) for length in pair.reference.shape[1:])


@settings(max_examples=10, deadline=None)
@given(
    shift=st.tuples(st.floats(-30, 30), st.floats(-30, 30)).filter(lambda one: np.hypot(*one) <= 30),
    seed=st.integers(0, 6),
    change=st.floats(0.05, 0.10),
)
def test_one_shift_is_found_whatever_changed_or_is_cloudy(shift, seed, change):
    pair = plain((320, 320), shift, seed, Weather(change=change))
    found = measure(pair)
    assert found.trusted
    # a field was sought as well
    assert pair.rmse_px(found.field) <= 0.02
    only = measure(pair, AlignmentSettings(local=False))
    assert pair.rmse_px(only.field) <= 0.02


@pytest.mark.parametrize("masked", [False, True])
def test_a_smooth_field_is_found_over_the_whole_image(masked):
    pair = large()
    assert np.hypot(pair.row_px, pair.column_px).max() > 2
    found = measure(pair, masked=masked)
    assert found.trusted
    assert found.field.model.startswith("spline")
    assert pair.rmse_px(found.field) <= 0.04
    assert found.held_out_rmse_px < 0.15
    assert 0.5 < found.agreement <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
@pytest.mark.parametrize("bands", [1, 3])
def test_any_bands_of_any_numbers_will_do(dtype, bands):
    pair = plain(bands=bands, dtype=dtype)
    found = measure(pair)
    assert found.trusted
    assert pair.reference.dtype == dtype
    assert pair.rmse_px(found.field) <= 0.02


@pytest.mark.parametrize("shape", [(130, 520), (520, 130), (97, 301)])
def test_images_need_not_be_square(shape):
    pair = plain(shape, (-3.4, 5.2), 4, CALM)
    found = measure(pair)
    assert found.trusted
    assert pair.rmse_px(found.field) <= 0.03


@pytest.mark.parametrize("size", [96, 128, 160])
def test_small_images_are_aligned(size):
    pair = plain((size, size), (1.3, -2.4), 5, CALM)
    found = measure(pair)
    assert found.trusted
    assert pair.rmse_px(found.field) <= 0.04


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (5, 40), (8, 8), (8, 3000), (16, 16), (32, 32)])
def test_tiny_images_are_refused_for_a_reason(shape):
    found = measure(plain(shape, (0.0, 0.0), 6, replace(CALM, noise=8)))
    assert found.obstacle in {"no texture", "no tie points", "no agreement"}
    assert not found.trusted


@pytest.mark.parametrize("usable", [(False, True), (True, False), (False, False)])
def test_without_usable_pixels_there_is_no_field(usable):
    pair = plain()
    found = align(list(pair.reference), list(pair.moving), *(np.full((256, 256), one) for one in usable))
    assert found.obstacle == "no texture"
    assert found.field is None
    assert found.ties is None
    assert len(found.agreeing) == len(found.residual_px) == 0
    assert np.isnan(found.held_out_rmse_px)
    assert np.isnan(found.coarse.row_px)


def test_numbers_that_are_masked_do_not_matter():
    pair = plain((320, 320), weather=Weather())
    usable = pair.reference_clear, pair.moving_clear
    zeros = [
        np.where(mask, image, np.float32(0))
        for mask, image in zip(usable, (pair.reference, pair.moving), strict=True)
    ]
    gaps = [np.where(mask, image, np.float32(np.nan)) for mask, image in zip(usable, zeros, strict=True)]
    found, other = (align(list(one), list(two), *usable) for one, two in (zeros, gaps))
    np.testing.assert_array_equal(found.field.on(*raster(pair)), other.field.on(*raster(pair)))
    assert pair.rmse_px(found.field) <= 0.02


def test_arguments_stay_as_they_are():
    pair = plain(weather=Weather())
    copies = [part.copy() for part in (pair.reference, pair.moving, pair.reference_clear, pair.moving_clear)]
    measure(pair, masked=True)
    for part, copy in zip(
        (pair.reference, pair.moving, pair.reference_clear, pair.moving_clear), copies, strict=True
    ):
        np.testing.assert_array_equal(part, copy)


def test_the_same_images_give_the_same_field():
    one, other = (measure(bent()) for _ in range(2))
    np.testing.assert_array_equal(one.field.on(*raster(bent())), other.field.on(*raster(bent())))


@pytest.mark.parametrize("seed", [1, 6])
def test_a_pure_shift_stays_one(seed):
    assert measure(plain((320, 320), (-18.1, 6.5), seed, Weather())).field.model == "translation"


def test_images_without_displacement_are_left_where_they_are():
    pair = plain(shift=(0.0, 0.0))
    found = measure(pair)
    assert found.trusted
    assert np.hypot(*found.field.median_px) < 0.01


@pytest.mark.parametrize("make", [plain, bent])
def test_swapped_images_give_the_opposite_field(make):
    pair = make()
    there, back = measure(pair), measure(replace(pair, reference=pair.moving, moving=pair.reference))
    # what the moving image shows at p lies at p + there(p + there) of the reference, and back again
    rows, columns = raster(pair)
    forth = there.field.on(rows, columns)
    for i in range(0, len(rows), 7):
        for j in range(0, len(columns), 7):
            row_px, column_px = forth[:, i, j]
            opposite = back.field.on(rows[i : i + 1] - row_px, columns[j : j + 1] - column_px)[:, 0, 0]
            np.testing.assert_allclose(opposite, -forth[:, i, j], atol=0.08)


TURNS = {
    "upside down": (lambda image: image[..., ::-1, :], lambda d: np.stack([-d[0, ::-1], d[1, ::-1]])),
    "mirrored": (lambda image: image[..., ::-1], lambda d: np.stack([d[0, :, ::-1], -d[1, :, ::-1]])),
    "transposed": (lambda image: image.swapaxes(-2, -1), lambda d: np.stack([d[1].T, d[0].T])),
    "turned": (
        lambda image: np.rot90(image, axes=(-2, -1)),
        lambda d: np.stack([-np.rot90(d[1]), np.rot90(d[0])]),
    ),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_images_give_the_turned_field(turn):
    pair = bent()
    of_image, of_field = TURNS[turn]
    turned = replace(
        pair,
        reference=np.ascontiguousarray(of_image(pair.reference)),
        moving=np.ascontiguousarray(of_image(pair.moving)),
    )
    found, plainly = measure(turned), measure(pair)
    rows = np.linspace(30, 369, 20)
    expected = of_field(plainly.field.on(rows, rows))
    assert np.sqrt(((found.field.on(rows, rows) - expected) ** 2).mean()) < 0.03


@pytest.mark.parametrize("more", [(3, 0), (-4, 7)])
@pytest.mark.parametrize("make", [plain, bent])
def test_a_shift_on_top_adds_to_the_field(make, more):
    """The moving image is cut out some whole pixels further on."""
    pair, margin = make(), 8
    height, width = pair.reference.shape[1:]

    def cut(image, row, column):
        return image[:, margin + row : height - margin + row, margin + column : width - margin + column]

    moved = replace(pair, reference=cut(pair.reference, 0, 0), moving=cut(pair.moving, *more))
    still = replace(moved, moving=cut(pair.moving, 0, 0))
    with_shift, without = (measure(one).field.on(*raster(still)) for one in (moved, still))
    added = with_shift - without - np.array(more)[:, None, None]
    assert np.sqrt((added**2).mean()) < 0.03


def test_real_change_and_clouds_are_among_those_that_do_not_agree():
    pair = plain((400, 400), weather=Weather(change=0, cloud=0.2), seed=7)
    found = measure(pair)
    rows, columns = (np.rint(axis).astype(int) for axis in (found.ties.row, found.ties.column))
    clouded = ~(pair.moving_clear & pair.reference_clear)[rows, columns]
    assert found.agreeing[~clouded].mean() > 0.85
    assert found.agreeing[clouded].mean() < 0.4
    np.testing.assert_array_equal(found.agreeing, found.residual_px <= DEFAULTS.agreement_px)
    assert found.agreement == pytest.approx(found.agreeing.sum() / np.isfinite(found.ties.row_px).sum())


def test_reversed_contrast_is_matched_by_its_edges():
    case = make_case("reversed contrast", 0, (256, 256))
    usable = np.ones((256, 256), bool)
    found = align([case.reference], [case.moving], usable, usable)
    assert found.trusted
    assert found.feature == "edges"
    np.testing.assert_allclose(found.field.median_px, case.shift_px, atol=0.1)
    assert measure(plain()).feature == "reflectance"


def test_shifts_far_beyond_the_limit_are_not_found():
    pair = plain((320, 320), (45.0, -20.0))
    assert measure(pair, AlignmentSettings(max_shift_px=60)).trusted
    assert not measure(pair, AlignmentSettings(max_shift_px=10)).trusted


@pytest.mark.parametrize(
    ("limits", "obstacle"),
    [
        ({"least_agreement": 1.1}, "no agreement"),
        ({"least_agreeing": 10**6}, "no agreement"),
        ({"most_ambiguous": 0.0}, "ambiguous"),
        ({"most_turn": -1.0}, "turned or stretched"),
        ({"most_bend_px": -1.0}, "distorted"),
        ({}, ""),
    ],
)
def test_each_limit_refuses_for_its_own_reason(limits, obstacle):
    found = measure(bent(), AlignmentSettings(**limits))
    assert found.obstacle == obstacle
    assert found.trusted == (not obstacle)
    assert found.field is not None


@settings(max_examples=10, deadline=None)
@given(row=st.integers(-40, 40), column=st.integers(-40, 40), seed=st.integers(0, 3))
def test_the_coarse_search_finds_whole_pixels(row, column, seed):
    pair = plain((200, 200), (row, column), seed, CALM)
    best, *others = coarse_shifts(pair.reference, pair.moving, pair.all_usable, pair.all_usable, 50)
    assert (best.row_px, best.column_px) == (row, column)
    assert len(others) <= 2


def test_the_coarse_search_of_a_large_image_is_decimated():
    pair = large()
    best = coarse_shifts(pair.reference, pair.moving, pair.all_usable, pair.all_usable, 50)[0]
    assert (best.row_px % 2, best.column_px % 2) == (0, 0)
    assert np.hypot(best.row_px + 1.3, best.column_px - 1.8) < 3


def verdict(kind, number):
    case = make_case(kind, number, (208, 208))
    usable = np.ones(case.reference.shape, bool)
    return case, align([case.reference], [case.moving], usable, usable)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_aligned_is_refused(kind, number):
    _, found = verdict(kind, number)
    assert not found.trusted


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_can_be_aligned_is_accepted_and_right(kind, number):
    case, found = verdict(kind, number)
    assert found.obstacle == ""
    assert np.hypot(*np.subtract(found.field.median_px, case.shift_px)) < 0.2
