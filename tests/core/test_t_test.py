"""Student's t of two periods: against SciPy pixel by pixel, rates on speckle, gaps, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.core.radar_scenes import close, decibels, speckle, with_gaps
from tests.core.slow import radar as slow

from changedet.core import t_test as t_test_module
from changedet.core.t_test import TTestParameters, t_test

WELCH = TTestParameters("welch")


@pytest.mark.parametrize("variance", ["pooled", "welch"])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_every_pixel_has_the_t_of_a_slow_implementation(variance, share):
    before, after = (with_gaps(speckle((n, 2, 7, 9), 8, n), share, n) for n in (9, 5))
    found = t_test(before, after, TTestParameters(variance))
    for pol, row, column in np.ndindex(2, 7, 9):
        t, degrees = slow.t_test(before[..., row, column], after[..., row, column], pol, variance)
        close(found.statistic[pol, row, column], t, 3e-5)
        close(found.degrees[pol, row, column], degrees, 3e-5)


@pytest.mark.parametrize("looks", [4.4, 22])
def test_unaltered_speckle_is_flagged_as_often_as_promised(looks):
    found = t_test(speckle((12, 2, 1000, 1000), looks, 15), speckle((4, 2, 1000, 1000), looks, 16))
    assert (found.degrees == 14).all()
    # logarithms of few looks are skewed, which the far tail shows: 1.08 in 1000 instead of 1
    for share, tolerance in ((0.05, 0.1), (0.01, 0.1), (0.001, 0.1 if looks > 5 else 0.15)):
        beyond = np.abs(found.statistic) > stats.t.isf(share / 2, 14)
        assert beyond.mean() == pytest.approx(share, rel=tolerance)


def test_welch_with_few_dates_flags_more_than_promised_and_with_many_does_not():
    few = t_test(speckle((12, 1, 500, 400), 22, 1), speckle((4, 1, 500, 400), 22, 2), WELCH)
    many = t_test(speckle((15, 1, 500, 400), 22, 3), speckle((15, 1, 500, 400), 22, 4), WELCH)
    shares = [(2 * stats.t.sf(np.abs(f.statistic), f.degrees) < 0.01).mean() for f in (few, many)]
    assert shares[0] > 0.013
    assert shares[1] == pytest.approx(0.01, rel=0.1)


def test_steps_are_found_and_measured_in_decibels():
    before, after = speckle((12, 1, 60, 60), 22, 1), speckle((6, 1, 60, 60), 22, 2) * decibels(3)
    found = t_test(before, after)
    assert found.change_db.mean() == pytest.approx(3, abs=0.05)
    assert np.median(found.statistic) > 5


@pytest.mark.parametrize("variance", ["pooled", "welch"])
def test_swapping_periods_flips_the_sign(variance):
    one, two = (with_gaps(speckle((6, 2, 20, 20), 5, seed), 0.05, seed) for seed in (1, 2))
    parameters = TTestParameters(variance, 2, 2)
    forth, back = t_test(one, two, parameters), t_test(two, one, parameters)
    close(back.statistic, -forth.statistic, 1e-4)
    close(back.change_db, -forth.change_db, 1e-4)
    close(back.degrees, forth.degrees, 1e-4)


@given(st.floats(1e-4, 1e3))
def test_brightness_does_not_matter(factor):
    before, after = speckle((4, 1, 3, 3), 5, 1), speckle((3, 1, 3, 3), 5, 2)
    plain, scaled = t_test(before, after), t_test(before * np.float32(factor), after * np.float32(factor))
    close(scaled.statistic, plain.statistic, 2e-4)


def test_constant_dates_have_no_change_and_a_step_of_constants_a_large_one():
    flat = np.full((5, 2, 4, 4), 0.2, np.float32)
    same = t_test(flat, flat[:3])
    assert (same.statistic == 0).all()
    assert (same.change_db == 0).all()
    stepped = t_test(flat, 2 * flat[:3])
    assert (stepped.statistic > 100).all()
    assert np.isfinite(stepped.statistic).all()


def test_what_has_too_few_dates_is_not_judged():
    before, after = speckle((4, 2, 5, 5), 5, 1), speckle((3, 2, 5, 5), 5, 2)
    before[:2, 0, 1, 1] = np.nan
    after[:2, 1, 2, 2] = np.nan
    found = t_test(before, after)
    gaps = np.isnan(found.statistic)
    assert gaps[:, 1, 1].all()
    assert gaps[:, 2, 2].all()
    assert gaps.sum() == 4
    assert (np.isnan(found.degrees) == gaps).all()
    assert (np.isnan(found.change_db) == gaps).all()


def test_dates_without_anything_give_nothing():
    nothing = np.full((4, 2, 3, 3), np.nan, np.float32)
    assert np.isnan(t_test(nothing, nothing).statistic).all()
    seen = speckle((4, 2, 3, 3), 5, 1)
    assert np.isnan(t_test(seen, nothing).statistic).all()
    assert np.isnan(t_test(seen, seen[:1]).statistic).all()
    one = t_test(seen, seen[:1], TTestParameters(least_after=1))
    assert np.isfinite(one.statistic).all()


def test_power_of_zero_counts_as_very_dark_and_infinity_as_a_gap():
    before, after = speckle((5, 1, 2, 2), 5, 1), speckle((5, 1, 2, 2), 5, 2)
    after[:, 0, 0, 0] = 0
    after[0, 0, 1, 1] = np.inf
    found = t_test(before, after)
    assert found.change_db[0, 0, 0] < -40
    assert found.degrees[0, 1, 1] == 7
    assert found.degrees[0, 0, 1] == 8


def test_a_place_of_infinite_power_is_a_gap_on_every_date():
    before, after = speckle((5, 1, 2, 2), 5, 1), speckle((5, 1, 2, 2), 5, 2)
    before[:, 0, 1, 1] = after[:, 0, 1, 1] = np.inf
    found = t_test(before, after)
    assert np.isnan(found.statistic[0]).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize("pixels", [1, 7, 40, 100])
def test_how_a_scene_is_cut_does_not_matter(monkeypatch, pixels):
    before, after = with_gaps(speckle((5, 2, 9, 30), 5, 1), 0.01, 1), speckle((4, 2, 9, 30), 5, 2)
    whole = t_test(before, after)
    monkeypatch.setattr(t_test_module, "_TILE_BYTES", 0)
    monkeypatch.setattr(t_test_module, "_LEAST_PIXELS", pixels)
    np.testing.assert_allclose(t_test(before, after).statistic, whole.statistic, rtol=1e-5, atol=1e-5)


def test_threads_and_layout_do_not_matter_and_arguments_are_left_alone():
    before, after = with_gaps(speckle((5, 2, 90, 400), 5, 1), 0.01, 1), speckle((4, 2, 90, 400), 5, 2)
    kept = before.copy()
    found = t_test(before, after, threads=2)
    np.testing.assert_array_equal(t_test(before, after, threads=1).statistic, found.statistic)
    turned = t_test(np.asfortranarray(before), after)
    np.testing.assert_array_equal(turned.statistic, found.statistic)
    np.testing.assert_array_equal(before, kept)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("student",), "variance must be"),
        (("welch", 3, 1), "no variance to estimate; ask for more"),
        (("pooled", 1, 1), "no variance to estimate"),
        (("pooled", 0, 5), "no variance to estimate"),
    ],
)
def test_impossible_parameters_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        TTestParameters(*arguments)


def test_stacks_that_do_not_fit_are_refused():
    stack = speckle((4, 2, 5, 5), 5, 1)
    with pytest.raises(ValueError, match="differ in more than the number of dates"):
        t_test(stack, stack[:, :1])
    with pytest.raises(ValueError, match=r"is not .time, pol, y, x. of float32"):
        t_test(stack, stack.astype(np.float64))
    with pytest.raises(ValueError, match="at least one date"):
        t_test(stack[:0], stack)
