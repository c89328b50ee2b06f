"""Pictures: one stretch for two dates, what is drawn where, and stable encoding."""

import base64
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import GRID, make_image, make_objects, make_radar, make_result

from changedet.errors import UsageError
from changedet.kinds import KIND_COLOURS, Kind
from changedet.output import picture, radar_picture, stretch
from changedet.result import State


def limits_of(before, after):
    return stretch.stretch_limits(before, after, before.valid & after.valid)


def decode(url):
    header, data = url.split(",", 1)
    array = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return header, array[:, :, ::-1]


def test_limits_are_the_percentiles_of_the_pooled_pair():
    before, after = make_image(0), make_image(1)
    brighter = replace(after, data=after.data + np.float32(0.3))
    limits = limits_of(before, brighter)
    usable = before.valid & brighter.valid
    pooled = np.concatenate([before.band("B04")[usable], brighter.band("B04")[usable]])
    assert limits.bands == ("B04", "B03", "B02")
    assert (limits.low[0], limits.high[0]) == pytest.approx(tuple(np.percentile(pooled, (2, 98))))
    assert "2 to 98 percentile of the pooled pair" in limits.text
    assert f"{limits.low[0]:.3f}" in limits.text


def test_limits_do_not_look_at_clouds():
    before = make_image(0)
    data = before.data.copy()
    data[:, ~before.valid] = 5.0
    assert limits_of(before, before) == limits_of(replace(before, data=data), before)


def test_limits_of_a_constant_or_empty_pair_can_still_be_drawn():
    image = make_image(0)
    constant = replace(image, data=np.full_like(image.data, 0.2))
    empty = replace(image, data=np.full_like(image.data, np.nan), valid=np.zeros_like(image.valid))
    for pair in ((constant, constant), (empty, empty)):
        limits = limits_of(*pair)
        assert all(high > low for low, high in zip(limits.low, limits.high, strict=True))
        assert picture.draw_image(pair[0], limits).shape == (*image.valid.shape, 3)


def test_the_same_reflectance_has_the_same_colour_on_both_dates():
    before = make_image(0)
    after = replace(before, data=before.data.copy())
    after.data[:, 50:, 50:] += 0.3
    limits = limits_of(before, after)
    first, second = (picture.draw_image(image, limits) for image in (before, after))
    np.testing.assert_array_equal(first[:50, :50], second[:50, :50])
    assert (second[60:, 60:].astype(int) >= first[60:, 60:]).all()


def test_red_comes_first():
    image = make_image(0)
    data = np.zeros_like(image.data)
    data[image.bands.index("B04")] = 1.0
    limits = stretch.Limits(("B04", "B03", "B02"), (0.0,) * 3, (1.0,) * 3)
    assert picture.draw_image(replace(image, data=data), limits)[5, 5].tolist() == [255, 0, 0]


def test_missing_data_is_hatched_and_clouds_are_not():
    image = make_image(0)
    image.data[0, 40:60, 40:60] = np.nan  # B02 alone is enough
    drawn = picture.draw_image(image, limits_of(image, image))
    hatched = picture.hatch(image.valid.shape)
    np.testing.assert_array_equal(drawn[40:60, 40:60], hatched[40:60, 40:60])
    assert len(np.unique(hatched)) == 2
    assert not image.valid[:12, :16].any()
    assert (drawn[:12, :16] != hatched[:12, :16]).any()


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (("VV", "VH", "ratio", "X"), ("VV", "VH", "ratio")),
        (("X", "Y"), ("X",)),
        (("B02", "B03", "B04"), ("B04", "B03", "B02")),
    ],
)
def test_other_bands_are_drawn_as_the_first_three_or_as_grey(bands, expected):
    image = make_image(0, bands=bands)
    limits = limits_of(image, image)
    drawn = picture.draw_image(image, limits)
    assert limits.bands == expected
    assert drawn.shape == (*image.valid.shape, 3)
    if len(expected) == 1:
        np.testing.assert_array_equal(drawn[..., 0], drawn[..., 2])


def test_score_picture_brightens_with_the_score_and_tells_the_states_apart():
    result = make_result()
    result.state[90:, 100:] = State.NOT_COMPARABLE
    result.state[90:, :20] = State.OUTSIDE
    drawn = picture.score_colour(result, 3)
    assert drawn.shape == (300, 360, 3)
    assert drawn[3 * 35, 3 * 47].mean() > drawn[3 * 50, 3 * 10].mean() + 50
    np.testing.assert_array_equal(drawn[:36, :48], picture.hatch((300, 360))[:36, :48])
    assert (drawn[270:, 300:] != picture.hatch((300, 360))[270:, 300:]).any()
    assert (drawn[270:, :60] == 238).all()


def test_score_colours_grow_brighter_all_the_way():
    colours = picture.score_colours().astype(float)
    luminance = colours @ (0.2126, 0.7152, 0.0722)
    assert colours.shape == (256, 3)
    assert (np.diff(luminance) > -1.0).all()
    assert luminance[-1] > luminance[0] + 150


def test_score_range_without_a_single_score():
    result = make_result()
    assert picture.score_range(replace(result, score=np.full_like(result.score, np.nan))) == (0.0, 1.0)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_score_range_passes_over_thresholds_that_are_not_finite(value):
    result = make_result()
    wanted = picture.score_range(replace(result, thresholds={}))
    thresholds = dict.fromkeys(("median", "seed", "grow", "mad"), value)
    assert picture.score_range(replace(result, thresholds=thresholds)) == wanted
    assert np.isfinite(wanted).all()
    nothing = replace(result, score=np.full_like(result.score, np.nan), thresholds=thresholds)
    assert picture.score_range(nothing) == (0.0, 1.0)


@given(st.integers(1, 80), st.integers(1, 80), st.floats(-5, 90), st.floats(-5, 90), st.integers(1, 120))
def test_a_window_lies_inside_and_is_as_large_as_it_can(height, width, row, column, size):
    rows, columns = picture.window((height, width), row, column, size)
    for part, length, position in ((rows, height, row), (columns, width, column)):
        assert 0 <= part.start < part.stop <= length
        assert part.stop - part.start == min(size, length)
        if 0 <= position < length:
            assert part.start <= int(position) < part.stop


def test_a_chip_is_a_copy():
    array = np.zeros((20, 20, 3), np.uint8)
    cut = picture.chip(array, 10, 10, 6)
    cut[:] = 9
    assert cut.shape == (6, 6, 3)
    assert not array.any()


def test_enlarge_repeats_and_shrink_averages():
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = picture.enlarge(array, 4)
    assert large.shape == (8, 8, 3)
    np.testing.assert_array_equal(picture.shrink(large, 2), array)
    assert picture.shrink(array, 10) is array


def test_outlines_are_in_pixels_with_holes():
    objects = make_objects(GRID, [(30, 42, 40, 55)], [Kind.WATER], make_image(), make_image())
    box = objects.geometry.iloc[0]
    hole = shapely.box(*box.buffer(-30).bounds)
    rings = picture.outlines(objects.set_geometry([box.difference(hole)], crs=objects.crs), GRID)[0]
    assert len(rings) == 2
    assert rings[0].min(axis=0).tolist() == pytest.approx([40, 30])
    assert rings[0].max(axis=0).tolist() == pytest.approx([55, 42])
    assert rings[1].min(axis=0).tolist() == pytest.approx([43, 33])


def test_overlay_draws_the_colour_of_the_kind_and_leaves_its_argument_alone():
    result = make_result()
    canvas = np.full((200, 240, 3), 90, np.uint8)
    drawn = picture.overlay(canvas, result.objects, result.grid)
    assert (canvas == 90).all()
    row = drawn[2 * 30, 2 * 45 : 2 * 50].astype(int)
    wanted = np.array(picture.rgb(KIND_COLOURS[Kind.CONSTRUCTION]))
    assert np.abs(row - wanted).sum(axis=1).min() < 120
    assert (drawn[150:, 150:] == 90).all()


def test_encoding_is_stable_and_decodes_to_the_same_picture():
    image = make_image(0)
    drawn = picture.draw_image(image, limits_of(image, image))
    url = picture.to_jpeg_data_url(drawn)
    assert url == picture.to_jpeg_data_url(drawn.copy())
    header, back = decode(url)
    assert header == "data:image/jpeg;base64"
    assert np.abs(back.astype(int) - drawn).mean() < 6


def test_a_byte_budget_lowers_the_quality():
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    free, tight = picture.to_jpeg_data_url(noise), picture.to_jpeg_data_url(noise, most_bytes=30_000)
    assert len(tight) < 40_100 < len(free)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 3), (4, 4, 4)])
def test_what_is_not_a_picture_is_refused(shape):
    with pytest.raises(UsageError, match=r"cannot be encoded; give uint8 of shape \(y, x, 3\)"):
        picture.to_jpeg_data_url(np.zeros(shape, np.uint8))


def radar_image(power, bands=("VV", "VH")):
    """An image whose every pixel has the power of its band."""
    image = make_image(0, bands=bands)
    data = np.broadcast_to(np.array(power, np.float32)[:, None, None], image.data.shape).copy()
    return replace(image, data=data)


def test_radar_is_drawn_in_decibels_with_one_stretch_for_all_reports():
    low, high = radar_image((10**-2.0, 10**-2.7)), radar_image((10**0.2, 10**-0.5))
    limits = limits_of(low, high)
    assert limits == limits_of(high, high)
    assert limits.radar
    text = "red VV -20 to 2 dB, green VH -27 to -5 dB, blue VV/VH 2 to 14 dB"
    assert limits.text == f"Same stretch on both dates and in every report: {text}"
    blue = round(255 * (7 - 2) / 12)
    assert picture.draw_image(low, limits)[50, 50].tolist() == [0, 0, blue]
    assert picture.draw_image(high, limits)[50, 50].tolist() == [255, 255, blue]


def test_one_polarisation_is_drawn_grey_and_what_has_no_data_is_hatched():
    image = radar_image((10**-0.9,), ("VH",))
    image.data[0, :4] = np.nan
    image.data[0, 5, 5] = 0.0
    drawn = picture.draw_image(image, limits_of(image, image))
    assert drawn[50, 50].tolist() == [round(255 * 18 / 22)] * 3
    assert drawn[5, 5].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(drawn[:4], picture.hatch(image.valid.shape)[:4])


def test_the_change_composite_is_red_where_brighter_and_cyan_where_darker():
    before, after = radar_image((0.1, 0.02)), radar_image((0.1, 0.02))
    after.data[0, :10] *= 10
    after.data[0, 10:20] /= 10
    after.data[0, 20:30] = np.nan
    drawn = radar_picture.change_composite(before, after).astype(int)
    assert (drawn[5, 5] - drawn[5, 5, 1]).tolist() == [round(255 * 10 / 22), 0, 0]
    assert drawn[15, 5, 0] < drawn[15, 5, 1] == drawn[15, 5, 2]
    assert len(set(drawn[50, 50].tolist())) == 1
    np.testing.assert_array_equal(drawn[20:30], picture.hatch((100, 120))[20:30])
    assert radar_picture.change_band(radar_image((0.1,), ("VH",))) == "VH"


def test_evidence_without_pixels_has_no_pictures():
    radar = make_radar()
    assert radar_picture.radar_pictures(radar).change.shape == (100, 120, 3)
    empty = replace(radar.before, data=np.full_like(radar.before.data, np.nan))
    assert radar_picture.radar_pictures(replace(radar, before=empty)) is None


@pytest.fixture
def large(monkeypatch):
    """Grids of a few thousand pixels count as large, and are drawn at a quarter of their sides."""
    monkeypatch.setattr(stretch, "LARGE_PX", 5_000)
    monkeypatch.setattr(stretch, "_LARGE_SIDE_PX", 30)


def test_a_large_image_is_drawn_as_the_mean_of_its_pixels(monkeypatch):
    image = make_image()
    limits = limits_of(image, image)
    whole = picture.draw_image(image, limits)
    monkeypatch.setattr(stretch, "LARGE_PX", 5_000)
    monkeypatch.setattr(stretch, "_LARGE_SIDE_PX", 30)
    drawn = picture.draw_image(image, limits)
    height, width = image.valid.shape
    assert drawn.shape == (height // 4, width // 4, 3)
    means = whole.reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
    assert np.abs(drawn - means).max() <= 0.5


@pytest.mark.parametrize("part", [(slice(3, 40), slice(7, 61)), (slice(0, 100), slice(0, 120))])
def test_a_part_is_what_is_cut_out_of_the_whole(part):
    image = make_image()
    data = image.data.copy()
    data[:, :20, :30] = np.nan
    image = replace(image, data=data)
    limits = limits_of(image, image)
    assert (picture.draw_image(image, limits, part) == picture.draw_image(image, limits)[part]).all()


def test_a_part_of_a_large_image_is_drawn_in_full(large):
    image = make_image()
    limits = limits_of(image, image)
    part = (slice(3, 40), slice(7, 61))
    assert picture.draw_image(image, limits, part).shape == (37, 54, 3)


@pytest.mark.parametrize("shape", [(100, 119), (99, 120), (97, 117)])
def test_sides_that_do_not_divide_are_drawn_to_their_end(large, shape):
    image = make_image(grid=GRID[: shape[0], : shape[1]])
    drawn = picture.draw_image(image, limits_of(image, image))
    assert drawn.shape == (-(-shape[0] // 4), -(-shape[1] // 4), 3)
    assert drawn[-1, -1].min() > 0


def test_ground_without_data_is_hatched_where_it_is_half_of_a_large_picture(large):
    image = make_image()
    data = image.data.copy()
    data[:, 40:63, 40:80] = np.nan
    image = replace(image, data=data)
    drawn = picture.draw_image(image, limits_of(image, image))
    hatched = (drawn == picture.hatch(drawn.shape[:2])).all(axis=-1)
    assert hatched[10:16, 10:20].all()
    assert hatched[9:17, 9:21].sum() == 60
    assert (picture.pictured(image)[10:15, 10:20] == 0).all()


def test_the_states_of_a_large_result_are_seen_in_its_score(large):
    result = make_result()
    state = result.state.copy()
    state[48:72, 4:40], state[80:] = State.NOT_COMPARABLE, State.OUTSIDE
    drawn = picture.score_colour(replace(result, state=state), 3)
    size = drawn.shape[:2]
    assert size == (25, 30)
    crossed = picture.hatch(size, crossed=True)
    assert (drawn[12:18, 1:10] == crossed[12:18, 1:10]).all()
    assert (drawn[20:] == 238).all()
    assert (drawn[:3, :4] == picture.hatch(size)[:3, :4]).all()


def test_the_stretch_of_a_large_pair_is_about_that_of_all_its_pixels(monkeypatch):
    before, after = make_image(0), make_image(1)
    exact = stretch.stretch_limits(before, after)
    monkeypatch.setattr(stretch, "LARGE_PX", 5_000)
    monkeypatch.setattr(stretch, "_LARGE_SIDE_PX", 60)
    found = stretch.stretch_limits(before, after)
    assert found.low == pytest.approx(exact.low, abs=0.01)
    assert found.high == pytest.approx(exact.high, abs=0.01)
    assert found != exact
