"""Stacks with known shifts: found for every date, consistent round triangles, strangers told apart."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.core import unlike

from changedet.core import stack as module
from changedet.core.stack import StackSettings, align_stack

SIZE = 192
DEFAULTS = StackSettings()


@cache
def series(count=6, seed=0, odd=(), cloud=0.25):
    return unlike.series(count, SIZE, seed, odd=odd, cloud=cloud)


@cache
def aligned(count=6, seed=0, odd=(), masked=True, cloud=0.25):
    images, clear, shifts = series(count, seed, odd, cloud)
    valid = clear if masked else [np.ones((SIZE, SIZE), bool)] * count
    return align_stack([[image] for image in images], valid), shifts


@pytest.mark.parametrize("masked", [True, False])
def test_every_date_is_found(masked):
    found, shifts = aligned(masked=masked)
    assert found.aligned.all()
    assert unlike.spread_px(found.shifts_px, shifts) < 0.03
    assert found.closure.triangles >= 10
    assert found.closure.rmse_px < 0.05
    assert (found.closure.each_px < 0.1).all()
    assert (found.errors_px < 0.05).all()


def test_a_date_of_another_place_is_told_and_the_others_are_as_without_it():
    found, shifts = aligned(5, 1, (2,), masked=False)
    kept = np.array([0, 1, 3, 4])
    assert np.flatnonzero(~found.aligned).tolist() == [2]
    assert found.alignments[2].obstacle == "no agreement"
    assert np.isnan(found.closure.each_px[2])
    assert unlike.spread_px(found.shifts_px[kept], shifts[kept]) < 0.03
    assert all(2 not in (link.reference, link.moving) for link in found.links)


def test_the_clearest_date_may_be_the_odd_one():
    images, clear, _ = series(4, 3, (1,), 0.3)
    clear = [np.ones((SIZE, SIZE), bool) if date == 1 else one for date, one in enumerate(clear)]
    found = align_stack([[image] for image in images], clear)
    assert found.anchor != 1
    assert found.aligned.tolist() == [True, False, True, True]


def test_the_composite_lies_on_the_common_frame_and_is_clear():
    found, _ = aligned()
    images, _, _ = series()
    assert found.composite.shape == (1, SIZE, SIZE)
    inner = found.composite[0, 4:-4, 4:-4]
    assert np.isfinite(inner).mean() > 0.99
    # clouds have 2600 or more
    assert np.nanmax(inner) < 2600 < max(image.max() for image in images)


def test_a_date_that_is_all_cloud_is_left_out():
    images, clear, _ = series()
    clear = [*clear[:2], np.zeros((SIZE, SIZE), bool)]
    found = align_stack([[image] for image in images[:3]], clear)
    assert found.alignments[-1] is None
    assert found.aligned.tolist() == [True, True, False]


def test_two_dates_make_no_triangle_and_one_no_shift():
    images, clear, shifts = series()
    found = align_stack([[image] for image in images[:2]], clear[:2])
    assert unlike.spread_px(found.shifts_px, shifts[:2]) < 0.03
    assert (found.closure.triangles, np.isnan(found.closure.rmse_px)) == (0, True)
    alone = align_stack([[images[0]]], clear[:1])
    assert np.hypot(*alone.shifts_px[0]) < 0.01


def test_nothing_to_match_leaves_all_dates_out():
    flat = [[np.ones((64, 64), np.float32)] for _ in range(3)]
    found = align_stack(flat, [np.ones((64, 64), bool)] * 3)
    assert not found.aligned.any()
    assert [one.obstacle for one in found.alignments] == ["no texture"] * 3


def test_integers_are_aligned_like_floats():
    images, clear, _ = series()
    plain, whole = (
        align_stack([[image.astype(dtype)] for image in images[:3]], clear[:3])
        for dtype in (np.float32, np.uint16)
    )
    np.testing.assert_allclose(whole.shifts_px, plain.shifts_px, atol=0.01)


def test_few_dates_at_a_time_give_the_same_composite(monkeypatch):
    images, clear, shifts = series()
    whole = module._Stack([[image] for image in images], clear, DEFAULTS)
    expected = whole.composite(shifts, 0)
    monkeypatch.setattr(module, "_STRIP_VALUES", 7 * 6 * SIZE)
    np.testing.assert_allclose(whole.composite(shifts, 0), expected, atol=0.05)


def test_a_composite_is_made_of_the_clearest_dates_only():
    images, clear, shifts = series()
    some = module._Stack([[image] for image in images], clear, replace(DEFAULTS, most_in_composite=1))
    best = int(np.argmax([one.mean() for one in clear]))
    found = some.composite(np.zeros_like(shifts), 0)[0]
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], images[best][known], rtol=1e-6)
    assert not known[~clear[best]].any()
    # the kernel needs its neighbours
    assert known[clear[best]].mean() > 0.9


@pytest.mark.parametrize(("neighbours", "count"), [(1, 3), (5, 15)])
def test_each_date_is_paired_with_its_neighbours(neighbours, count):
    images, _, _ = series()
    everything = [np.ones((SIZE, SIZE), bool)] * 6
    some = module._Stack([[image] for image in images], everything, replace(DEFAULTS, neighbours=neighbours))
    pairs = some.pairs(list(range(6)))
    assert all(one < other for one, other in pairs)
    assert len(pairs) >= count
    assert {date for pair in pairs for date in pair} == set(range(6))
