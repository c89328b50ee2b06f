"""What is left after a correction: measured, robust against change, and nothing where nothing can be seen."""

import numpy as np
import pytest
from tests.core.scenery import pair, usable

from changedet.core.residual import measure_remainder

SIZE = 200


def remainder(reference, moving, valid=None, **options):
    mask = usable(reference) if valid is None else valid
    return measure_remainder([*reference], [*moving], usable(reference), mask, **options)


@pytest.mark.parametrize("left", [(0.0, 0.0), (0.25, 0.0), (-0.5, 0.75)])
def test_what_is_left_is_measured_with_its_sign(left):
    found = remainder(*pair(SIZE, *left))
    assert (found.row_px, found.column_px) == pytest.approx((-left[0], -left[1]), abs=0.02)
    assert found.rmse_px == pytest.approx(np.hypot(*left), abs=0.06)
    assert found.spread_px < 0.06
    assert found.kept > 12


def test_pasted_change_is_dropped_and_does_not_count():
    reference, moving = pair(SIZE, 0.0, 0.0)
    other, _ = pair(SIZE, 0.0, 0.0, seed=40)
    moving = moving.copy()
    moving[:, 60:140, 60:140] = other[:, 60:140, 60:140]
    found = remainder(reference, moving)
    assert found.rmse_px < 0.06
    assert found.dropped >= 1


def test_two_places_leave_much_or_nothing():
    reference, _ = pair(SIZE, 0.0, 0.0)
    _, moving = pair(SIZE, 0.0, 0.0, seed=40)
    found = remainder(reference, moving)
    assert found.kept == 0 or found.rmse_px > 0.5


def test_reversed_contrast_is_measured_by_edges():
    reference, moving = pair(SIZE, 0.0, 0.25)
    found = remainder(reference, 1 - moving, feature="edges")
    assert found.column_px == pytest.approx(-0.25, abs=0.06)


def test_clouds_leave_smaller_windows():
    reference, moving = pair(SIZE, 0.0, 0.25)
    clear = usable(reference)
    clear[:, ::48] = clear[::48] = False
    clear[np.indices(clear.shape).sum(axis=0) % 97 < 20] = False
    found = remainder(reference, np.where(clear, moving, np.float32(np.nan)), clear)
    assert found.kept > 0
    assert found.column_px == pytest.approx(-0.25, abs=0.1)


def test_nothing_usable_is_nothing():
    reference, moving = pair(64, 0.0, 0.0)
    found = remainder(reference, moving, np.zeros((64, 64), bool))
    assert (found.kept, found.dropped) == (0, 0)
    assert np.isnan(found.rmse_px)


@pytest.mark.parametrize("size", [7, 30, 41])
def test_small_images_are_no_error(size):
    reference, moving = (image[:, :size, :size] for image in pair(64, 0.0, 0.0))
    assert remainder(reference, moving).kept >= 0
