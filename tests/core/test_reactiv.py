"""The coefficient of variation over time, and its picture."""

import colorsys

import numpy as np
import pytest
from tests.core.radar_scenes import close, decibels, speckle, with_gaps
from tests.core.slow import radar as slow

from changedet.core.reactiv import ReactivParameters, reactiv, speckle_variation


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_every_pixel_has_the_variation_of_a_slow_implementation(share):
    stack = with_gaps(speckle((5, 6, 7), 3, 1), share, 1)
    found = reactiv(stack)
    for row, column in np.ndindex(6, 7):
        series = stack[:, row, column]
        close(found.variation[row, column], slow.variation(series))
        if np.isfinite(series).any():
            assert found.date[row, column] == np.nanargmax(series)
            close(found.amplitude[row, column], np.sqrt(np.nanmax(series)))


@pytest.mark.parametrize("looks", [1, 4.4, 22])
def test_speckle_varies_as_much_as_expected(looks):
    found = reactiv(speckle((60, 150, 150), looks, 1)).variation
    mean, deviation = speckle_variation(looks, 60)
    assert found.mean() == pytest.approx(mean, rel=0.02)
    assert found.std() == pytest.approx(deviation, rel=0.07)


def test_what_came_or_went_has_a_score_and_a_date():
    stack = speckle((20, 60, 60), 4.4, 1)
    stack[7, 10:20, 10:20] *= decibels(12)
    found = reactiv(stack)
    assert (found.score[10:20, 10:20] > 0.99).mean() > 0.9
    assert (found.date[10:20, 10:20] == 7).mean() > 0.9
    assert found.score[30:].mean() < 0.3
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_colours_are_date_score_and_amplitude():
    stack = np.ones((3, 1, 4), np.float32)
    for date in range(3):
        stack[date, 0, date] = 100
    days = [0, 5, 10]
    parameters = ReactivParameters(hue_span=0.8, brightest=1)
    picture = reactiv(stack, parameters, days=days).picture[0]
    for date in range(3):
        expected = colorsys.hsv_to_rgb(0.8 * days[date] / 10, 1, 1)
        assert picture[date].tolist() == pytest.approx(np.multiply(expected, 255), abs=1)
    assert picture[3].tolist() == [26, 26, 26]


def test_times_move_the_hue():
    stack = np.ones((3, 1, 1), np.float32)
    stack[1] = 100
    early, late = (reactiv(stack, days=[0, t, 100]).picture.ravel() for t in (1, 99))
    assert early[0] > 250
    assert late[2] > 250


def test_constant_series_are_grey_and_nothing_is_black():
    stack = np.full((4, 1, 2), 0.3, np.float32)
    stack[:, 0, 1] = np.nan
    stack[0, 0, 1] = 1
    found = reactiv(stack)
    assert found.score[0, 0] == 0
    assert found.picture[0, 0].tolist() == [255, 255, 255]
    assert np.isnan(found.score[0, 1])
    assert found.picture[0, 1].tolist() == [0, 0, 0]
    empty = reactiv(np.full((2, 1, 1), np.nan, np.float32))
    assert empty.date.item() == -1
    assert np.isnan(empty.amplitude).all()
    assert (reactiv(np.zeros((3, 1, 1), np.float32)).score == 0).all()


def test_threads_do_not_matter():
    stack = with_gaps(speckle((5, 300, 500), 5, 1), 0.1, 1)
    one, two = (reactiv(stack, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.picture, two.picture)


@pytest.mark.parametrize("arguments", [(0,), (4.4, 0), (4.4, 1.1), (4.4, 0.5, 0)])
def test_impossible_parameters_are_refused(arguments):
    with pytest.raises(ValueError, match="give positive looks, and shares above 0"):
        ReactivParameters(*arguments)


def test_other_shapes_and_times_are_refused():
    with pytest.raises(ValueError, match=r"is not .time, y, x. with a date at least"):
        reactiv(np.ones((3, 3), np.float32))
    for days in ([0, 1], [0, 2, 1], [0, 0, 1]):
        with pytest.raises(ValueError, match="give one for each, increasing"):
            reactiv(np.ones((3, 2, 2), np.float32), days=days)
