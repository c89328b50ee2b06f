"""Time series on one frame: the shifts of scenes, the dates that do not fit, and what is said of them."""

import json
from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.core import unlike
from tests.synthetic import BEFORE_TIME, make_scene

from changedet.errors import MissingBandError, UsageError
from changedet.scene import Image
from changedet.stacking import align_stack

SIZE, COUNT, ODD = 192, 4, 2
GRID = GeoBox.from_bbox((300000, 4000000, 301920, 4001920), "EPSG:32633", resolution=10, tight=True)


@cache
def images():
    planes, clear, shifts = unlike.series(COUNT, SIZE, 2, odd=(ODD,))
    found = []
    for date, (plane, usable) in enumerate(zip(planes, clear, strict=True)):
        data = np.stack([np.full_like(plane, 0.1), plane / 10_000])
        scene = make_scene(BEFORE_TIME + timedelta(days=10 * date))
        found.append(Image(data, ("B02", "B04"), usable, np.zeros((SIZE, SIZE), np.uint8), GRID, scene))
    return found, shifts


@cache
def aligned():
    found, shifts = images()
    return align_stack(found), shifts


def test_shifts_and_errors_come_in_the_order_of_the_dates():
    found, shifts = aligned()
    kept = [date for date in range(COUNT) if date != ODD]
    assert found.dates[:2] == ("2023-05-14", "2023-05-24")
    assert unlike.spread_px(np.array(found.shifts_px)[kept], shifts[kept]) < 0.03
    assert found.closure_rmse_px < 0.05
    assert found.triangles == 1
    for (row_px, column_px), (north_m, east_m) in zip(found.shifts_px, found.shifts_m, strict=True):
        np.testing.assert_allclose((north_m, east_m), (-10 * row_px, 10 * column_px), rtol=0.01)


def test_a_date_that_does_not_fit_is_named_with_the_reason():
    found, _ = aligned()
    assert found.left_out == ((found.dates[ODD], "the windows of the images agree on no common shift"),)
    assert np.isnan(found.shifts_px[ODD]).all()
    with pytest.raises(UsageError, match=r"2023-06-03: not aligned: .*; leave this date out"):
        found.displacement(ODD)


def test_the_displacement_of_a_date_is_its_shift():
    found, _ = aligned()
    moved = next(date for date in range(COUNT) if date not in (ODD, found.stack.anchor))
    field = found.displacement(moved)
    assert (field.model, field.shape) == ("translation", (SIZE, SIZE))
    assert field.centre_px == pytest.approx(found.shifts_px[moved], abs=0.001)


def test_the_anchor_hardly_moves_and_is_left_where_it_is():
    found, _ = aligned()
    anchor = found.stack.anchor
    assert 0 < np.hypot(*found.shifts_px[anchor]) < 0.02
    assert found.displacement(anchor).centre_px == (0.0, 0.0)


def test_the_description_is_json():
    found, _ = aligned()
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [one["date"] for one in told["dates"]] == list(found.dates)
    assert told["dates"][0]["shift_px"] == pytest.approx(found.shifts_px[0])
    assert told["dates"][ODD]["shift_px"] is None
    assert told["dates"][ODD]["closure_px"] is None
    assert told["dates"][ODD]["reason"]
    assert told["closure_rmse_px"] == pytest.approx(found.closure_rmse_px)
    assert "added" in told["convention"] or "add to" in told["convention"]


def test_a_date_under_cloud_is_named():
    found, _ = images()
    cloudy = replace(found[1], valid=np.zeros((SIZE, SIZE), bool))
    stack = align_stack([found[0], cloudy])
    assert stack.left_out == ((stack.dates[1], "too little of it is clear"),)


@pytest.mark.parametrize("limit", [0.0, -5.0, float("nan")])
def test_the_limit_must_be_positive(limit):
    with pytest.raises(UsageError, match="not positive"):
        align_stack(images()[0], max_shift_m=limit)


def test_one_date_is_no_stack():
    with pytest.raises(UsageError, match="at least two dates; give more images"):
        align_stack(images()[0][:1])


def test_dates_on_other_grids_are_an_error():
    first, second = images()[0][:2]
    moved = replace(second, grid=GRID.translate_pix(0.5, 0))
    with pytest.raises(UsageError, match="do not lie on one grid; load all of them"):
        align_stack([first, moved])


def test_dates_without_a_common_band_are_an_error():
    first, second = images()[0][:2]
    with pytest.raises(MissingBandError, match="no band in common"):
        align_stack([first.select(("B02",)), second.select(("B04",))])


def test_the_red_band_is_matched_and_not_the_first():
    """The first band of these images is flat."""
    first, second = images()[0][:2]
    assert align_stack([first, second]).left_out == ()
    flat = align_stack([first.select(("B02",)), second.select(("B02",))])
    assert [reason for _, reason in flat.left_out] == [
        "there is nothing on the ground of one image that could be matched"
    ] * 2
