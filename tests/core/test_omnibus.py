"""The sequential omnibus test: slow formulas, rates, dates and directions, gaps."""

import numpy as np
import pytest
from scipy import stats
from tests.core.radar_scenes import close, decibels, speckle, with_gaps
from tests.core.slow import radar as slow

from changedet.core import omnibus as omnibus_module
from changedet.core.expansion import Expansion
from changedet.core.omnibus import NO_DATE, OmnibusParameters, omnibus
from changedet.core.radar_stack import Direction


def stepped(seed, gaps=0.0):
    """Series of all sorts: none, one and two steps, in one or both polarisations."""
    stack = speckle((11, 2, 12, 9), 5, seed)
    stack[4:, :, :4] *= decibels(8)
    stack[8:, :, 2:8] *= decibels(-9)
    stack[5:, 1, 8:10] *= decibels(9)
    return with_gaps(stack, gaps, seed)


@pytest.mark.parametrize(("gaps", "seed"), [(0.0, 1), (0.0, 2), (0.08, 3)])
def test_every_pixel_has_the_changes_of_a_slow_implementation(gaps, seed):
    stack = stepped(seed, gaps)
    found = omnibus(stack, OmnibusParameters(5, 0.01))
    assert (found.count > 1).any()
    for row, column in np.ndindex(stack.shape[2:]):
        changes, until, (statistic, p_value) = slow.omnibus(stack[..., row, column], 5, 0.01)
        line = found.changes[:, row, column]
        assert [(i + 1, line[i]) for i in np.flatnonzero(line)] == changes
        close(found.statistic[row, column], statistic)
        close(found.p_value[row, column], p_value)
        places = [place for place, _ in changes] or [NO_DATE]
        assert (found.first[row, column], found.last[row, column]) == (places[0], places[-1])
        assert found.unchanged_until[row, column] == (NO_DATE if until is None else until)
        assert found.count[row, column] == len(changes)


@pytest.mark.parametrize("looks", [4.4, 22])
@pytest.mark.parametrize("dates", [2, 9])
def test_unaltered_speckle_is_flagged_as_often_as_promised(looks, dates):
    found = omnibus(
        speckle((dates, 2, 1000, 1000 if dates == 2 else 600), looks, dates), OmnibusParameters(looks)
    )
    for share in (0.05, 0.01, 0.001):
        assert (found.p_value < share).mean() == pytest.approx(share, rel=0.1)
    assert (found.count > 0).mean() <= 0.0101


def test_without_the_correction_more_is_flagged():
    found = omnibus(speckle((16, 2, 300, 300), 4.4, 1), OmnibusParameters(4.4))
    rho = Expansion.of_series(16, 2, 4.4).rho
    plain = stats.chi2.sf(found.statistic / rho, 30)
    assert (plain < 0.01).mean() > 1.35 * (found.p_value < 0.01).mean()


def test_one_polarisation_follows_the_formulas_of_one():
    found = omnibus(speckle((8, 1, 500, 500), 4.4, 3), OmnibusParameters(4.4))
    assert (found.p_value < 0.01).mean() == pytest.approx(0.01, rel=0.1)


def test_a_step_is_dated_and_has_a_direction():
    stack = speckle((20, 2, 80, 80), 22, 1)
    for rows, steps in ((slice(20, 40), (5, 5)), (slice(40, 60), (-5, -5)), (slice(60, 80), (5, -5))):
        stack[12:, :, rows] *= decibels(np.float32(steps)).reshape(2, 1, 1)
    found = omnibus(stack)
    expected = (Direction.BRIGHTER, Direction.DARKER, Direction.MIXED)
    for block, direction in zip((slice(20, 40), slice(40, 60), slice(60, 80)), expected, strict=True):
        assert (found.changes[11, block] == direction).mean() > 0.95
        assert (found.first[block] == 12).mean() > 0.85
    assert (found.count[:20] > 0).mean() < 0.02


def test_a_change_after_a_gap_is_named_after_the_date_that_shows_it():
    stack = np.ones((8, 2, 1, 2), np.float32)
    stack[4:] *= 4
    stack[3:6, 0, 0, 1] = np.nan
    found = omnibus(stack)
    assert found.first.tolist() == [[4, 6]]
    assert found.unchanged_until.tolist() == [[3, 2]]


def test_constant_series_single_dates_and_nothing():
    flat = omnibus(np.full((6, 2, 3, 3), 0.1, np.float32))
    assert (flat.statistic == 0).all()
    assert (flat.p_value == 1).all()
    single = omnibus(speckle((1, 2, 3, 3), 5, 1))
    assert single.changes.shape == (0, 3, 3)
    assert np.isnan(single.p_value).all()
    nothing = omnibus(np.full((4, 2, 3, 3), np.nan, np.float32))
    assert np.isnan(nothing.statistic).all()
    assert (nothing.count == 0).all()
    assert (nothing.first == NO_DATE).all()


def test_power_of_zero_does_not_break_the_series():
    stack = speckle((6, 2, 2, 2), 5, 1)
    stack[3, :, 0, 0] = 0
    found = omnibus(stack)
    assert np.isfinite(found.statistic).all()
    assert found.changes[2, 0, 0] == Direction.DARKER


def test_the_order_of_time_does_not_matter_to_the_whole_and_reverses_directions():
    stack = speckle((6, 2, 30, 30), 22, 1)
    stack[3:] *= decibels(6)
    forth, back = omnibus(stack), omnibus(stack[::-1])
    close(back.statistic, forth.statistic)
    assert (forth.changes[2] == Direction.BRIGHTER).mean() > 0.9
    assert (back.changes[2] == Direction.DARKER).mean() > 0.9


def test_threads_do_not_matter():
    stack = with_gaps(speckle((6, 2, 90, 500), 5, 1), 0.01, 1)
    kept = stack.copy()
    one, two = (omnibus(stack, OmnibusParameters(5, 0.2), threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.changes, two.changes)
    np.testing.assert_array_equal(one.p_value, two.p_value)
    np.testing.assert_array_equal(stack, kept)


@pytest.mark.parametrize("arguments", [(0,), (np.nan,), (22, 0), (22, 1)])
def test_impossible_parameters_are_refused(arguments):
    with pytest.raises(ValueError, match="give positive looks and a share between 0 and 1"):
        OmnibusParameters(*arguments)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one date and one polarisation"):
        omnibus(np.ones((3, 4, 4), np.float32))


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_how_a_series_is_cut_does_not_matter(monkeypatch, share):
    stack = with_gaps(speckle((9, 2, 12, 50), 8, 1), share, 1)
    stack[4:, :, :, 20:] *= 3
    whole = omnibus(stack)
    for name, value in (("_TILE_BYTES", 0), ("_LEAST_PIXELS", 70), ("_SEARCHED_PIXELS", 11)):
        monkeypatch.setattr(omnibus_module, name, value)
    cut = omnibus(stack)
    np.testing.assert_array_equal(cut.changes, whole.changes)
    np.testing.assert_array_equal(cut.unchanged_until, whole.unchanged_until)
    close(cut.statistic, whole.statistic, 1e-5)
    assert (whole.count > 0).any()
