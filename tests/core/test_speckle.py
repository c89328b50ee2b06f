"""Multilooking with gaps, and looks from data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma
from tests.core.radar_scenes import close, decibels, speckle, with_gaps
from tests.core.slow import radar as slow

from changedet.core.speckle import LooksParameters, equivalent_looks, looks_of_log_variance, multilook
from changedet.errors import NoUsableImageryError


@pytest.mark.parametrize(("size", "share"), [(1, 0.1), (3, 0.0), (3, 0.3), (5, 0.9)])
def test_every_pixel_is_the_mean_of_what_is_seen_round_it(size, share):
    stack = with_gaps(speckle((2, 1, 9, 11), 3, 1), share, 1)
    found = multilook(stack, size)
    assert found.dtype == np.float32
    for index in range(2):
        close(found[index, 0], slow.multilook(stack[index, 0], size))


def test_bright_targets_do_not_disturb_what_lies_beyond_them():
    plane = np.full((9, 40), 1e-3, np.float32)
    plane[4, 3] = 1e6
    assert multilook(plane)[:, 6:] == pytest.approx(1e-3, rel=1e-6)


def test_nine_looks_of_speckle_are_nine_times_as_many():
    found = multilook(speckle((1, 300, 300), 4.4, 1))[0, 1::3, 1::3]
    assert found.mean() ** 2 / found.var() == pytest.approx(9 * 4.4, rel=0.05)


@pytest.mark.parametrize(("shape", "size"), [((5, 5), 2), ((5, 5), 0), ((5, 5), -3), ((5,), 3)])
def test_other_squares_are_refused(shape, size):
    with pytest.raises(ValueError, match="give an odd side and an image"):
        multilook(np.ones(shape, np.float32), size)


@pytest.mark.parametrize("looks", [1, 4.4, 22])
@pytest.mark.parametrize("dates", [1, 8])
def test_looks_of_speckle_are_found(looks, dates):
    found = equivalent_looks(speckle((dates, 2, 300, 300), looks, dates))
    assert found == pytest.approx([looks, looks], rel=0.06)


def test_fields_towns_and_borders_do_not_make_looks_fewer():
    """A third of the ground is textured, and fields differ by 10 dB."""
    stack = speckle((1, 1, 420, 420), 4.4, 1)
    rng = np.random.default_rng(1)
    stack *= decibels(rng.uniform(-10, 0, (1, 1, 14, 14)).astype(np.float32)).repeat(30, 2).repeat(30, 3)
    stack[:, :, :140] *= decibels(rng.normal(0, 4, (1, 1, 140, 420)).astype(np.float32))
    assert equivalent_looks(stack)[0] == pytest.approx(4.4, rel=0.15)


def test_what_the_ground_looks_like_drops_out_of_several_dates():
    stack = speckle((6, 1, 200, 200), 4.4, 1)
    stack *= decibels(np.random.default_rng(1).normal(0, 4, (200, 200)).astype(np.float32))
    assert equivalent_looks(stack[:1])[0] < 1.5
    assert equivalent_looks(stack)[0] == pytest.approx(4.4, rel=0.06)


def test_samples_that_share_speckle_are_set_apart():
    stack = multilook(speckle((1, 1, 600, 600), 4.4, 1))
    assert equivalent_looks(stack)[0] > 44
    assert equivalent_looks(stack, LooksParameters(spacing_px=3))[0] == pytest.approx(39.6, rel=0.06)


def test_gaps_leave_windows_out():
    stack = speckle((3, 1, 200, 200), 4.4, 1)
    stack[1, :, :100] = np.nan
    assert equivalent_looks(stack)[0] == pytest.approx(4.4, rel=0.08)


def test_too_few_windows_are_said():
    with pytest.raises(NoUsableImageryError, match=r"16 windows without gaps are too few.*give at least 30"):
        equivalent_looks(speckle((1, 1, 28, 28), 4, 1))
    with pytest.raises(NoUsableImageryError, match="0 windows"):
        equivalent_looks(np.full((2, 1, 90, 90), np.nan, np.float32))
    with pytest.raises(NoUsableImageryError, match="0 windows"):
        equivalent_looks(np.ones((2, 1, 90, 90), np.float32))


@given(st.floats(0.3, 1000), st.integers(0, 30))
def test_looks_follow_from_the_variance_of_logarithms(looks, others):
    variance = polygamma(1, looks) + (polygamma(1, others * looks) if others else 0)
    assert looks_of_log_variance(float(variance), others) == pytest.approx(looks, rel=1e-6)


def test_looks_stay_within_bounds():
    assert looks_of_log_variance(1e3) == 0.2
    assert looks_of_log_variance(1e-9) == 1e5


@pytest.mark.parametrize("arguments", [(2, 1), (7, 0)])
def test_impossible_windows_are_refused(arguments):
    with pytest.raises(ValueError, match="give at least 3 and 1"):
        LooksParameters(*arguments)
