"""What the radar methods share: gaps, directions, levels of dates."""

import numpy as np
import pytest
from tests.core.radar_scenes import close, decibels, speckle, with_gaps

from changedet.core.radar_stack import (
    Direction,
    all_ordinary,
    check_stack,
    direction_of,
    filled_date,
    match_levels,
    scene_levels,
    temporal_reference,
    usable_dates,
)


def test_a_date_is_usable_where_every_polarisation_is_finite():
    stack = np.ones((2, 2, 1, 3), np.float32)
    stack[0, 1, 0, 0], stack[1, 0, 0, 1], stack[1, 1, 0, 2] = np.nan, np.inf, -np.inf
    assert usable_dates(stack)[:, 0].tolist() == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -1, 0, -0.0, 1e-9])
def test_what_has_no_logarithm_is_not_ordinary(value):
    plane = np.ones((3, 40), np.float32)
    assert all_ordinary(plane)
    plane[1, 7] = value
    assert not all_ordinary(plane)


def test_an_empty_plane_is_ordinary():
    assert all_ordinary(np.ones((0, 4), np.float32))


def test_the_reference_is_the_median_of_what_was_seen():
    stack = with_gaps(speckle((6, 2, 9, 8), 4, 1), 0.2, 1)
    close(temporal_reference(stack), np.nanmedian(stack, axis=0))


def test_wet_dates_are_brought_to_the_level_of_the_others_and_change_stays():
    before, after = speckle((6, 2, 80, 80), 22, 1), speckle((4, 2, 80, 80), 22, 2)
    after[1] *= decibels(2)
    after[2, 1] *= decibels(-1)
    after[:, :, :20] *= decibels(6)
    reference = temporal_reference(before)
    levels = 10 * np.log10(scene_levels(after, reference))
    assert levels[1] == pytest.approx([2.4, 2.4], abs=0.4)
    assert levels[2, 1] - levels[2, 0] == pytest.approx(-1, abs=0.15)
    matched = match_levels(after, reference)
    spread = 10 * np.log10(np.median(matched, axis=(2, 3)))
    assert np.ptp(spread, axis=0).max() < 0.15
    changed = np.log10(matched[:, :, :20].mean() / matched[:, :, 20:].mean()) * 10
    assert changed == pytest.approx(6, abs=0.1)


def test_levels_of_large_scenes_come_from_a_part_and_agree():
    stack = speckle((2, 1, 600, 600), 8, 1)
    reference = speckle((1, 600, 600), 8, 2)
    whole = np.median(stack / reference, axis=(2, 3))
    assert scene_levels(stack, reference) == pytest.approx(whole, rel=0.02)


def test_a_date_without_anything_in_common_keeps_its_level():
    stack = np.full((2, 1, 5, 5), 2, np.float32)
    stack[0] = np.nan
    levels = scene_levels(stack, np.ones((1, 5, 5), np.float32))
    assert levels.ravel().tolist() == [1, 2]
    assert np.isnan(match_levels(stack, np.ones((1, 5, 5), np.float32))[0]).all()


def test_gaps_are_filled_and_darkness_has_a_floor():
    date = np.float32([[[0, np.nan, 2]], [[1, 1, 1]]])
    filled = filled_date(date, np.array([[True, False, True]]), np.float32(7))
    assert filled.ravel().tolist() == pytest.approx([1e-6, 7, 2, 1, 7, 1])
    assert np.isnan(date[0, 0, 1])


def test_directions_ask_all_polarisations():
    change = np.float32([[1, -1, 1, 0, 0, np.nan], [2, -2, -1, 0, 1, 1]])
    expected = [Direction.BRIGHTER, Direction.DARKER, Direction.MIXED, 0, Direction.MIXED, 0]
    assert direction_of(change).tolist() == expected


@pytest.mark.parametrize("shape", [(0, 2, 3, 3), (2, 0, 3, 3), (2, 3, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="give at least one date and one polarisation"):
        check_stack(np.ones(shape, np.float32))


def test_a_reference_of_another_grid_is_refused():
    with pytest.raises(ValueError, match="does not fit a stack"):
        match_levels(np.ones((2, 2, 3, 3), np.float32), np.ones((2, 3, 4), np.float32))
