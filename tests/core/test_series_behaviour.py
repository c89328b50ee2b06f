"""What comes after a break."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.series_behaviour import BehaviourParameters, Pattern, behaviour

DAYS = np.arange(0.0, 1096.0, 8.0)
BREAK = 800.0


def described(units, break_day=BREAK, side=1, **parameters):
    units = np.asarray(units, np.float32)[:, None]
    found = behaviour(
        units,
        DAYS,
        np.array([break_day], np.float32),
        np.array([side], np.int8),
        BehaviourParameters(**parameters),
    )
    return {name: getattr(found, name)[0] for name in found.__dataclass_fields__}


def quiet(seed=0):
    return np.random.default_rng(seed).normal(0, 0.6, len(DAYS))


def off(start, stop, size=4.0, seed=0):
    return quiet(seed) + size * ((start <= DAYS) & (stop > DAYS))


def test_a_step_stays():
    found = described(off(BREAK, 9999))
    assert found["pattern"] == Pattern.STEP
    assert found["step"] == pytest.approx(4, abs=0.4)
    assert found["share_beyond"] == 1
    assert np.isnan(found["return_day"])
    assert found["bursts"] == 1
    assert found["lasted_dates"] == found["later_dates"] == (DAYS >= BREAK).sum()
    assert found["last_step"] > 3


def test_snow_comes_back():
    found = described(off(BREAK, 850))
    assert found["pattern"] == Pattern.REVERSED
    assert found["return_day"] == 856
    assert found["lasted_dates"] == 7
    assert found["step"] > 3
    assert abs(found["last_step"]) < 1.5


def test_vehicles_come_and_go():
    units = quiet() + 4 * (((BREAK <= DAYS) & (DAYS < 1060)) & ((DAYS - BREAK) % 100 < 30))
    found = described(units)
    assert found["pattern"] == Pattern.BURSTS
    assert found["bursts"] == 3


def test_a_harvest_was_there_in_other_years():
    units = off(BREAK, 850) + 4 * ((BREAK - 730.5 <= DAYS) & (DAYS < 850 - 730.5))
    units += 4 * ((BREAK - 365.25 <= DAYS) & (DAYS < 850 - 365.25))
    found = described(units)
    assert found["pattern"] == Pattern.SEASONAL
    assert found["same_season"] == pytest.approx(4, abs=1)


def test_one_noisy_date_is_no_return_and_no_burst():
    units = off(BREAK, 9999)
    units[DAYS == 904] = 0.2
    back = off(BREAK, 850)
    back[DAYS == 904] = 2.5
    assert described(units)["bursts"] == described(back)["bursts"] == 1
    assert described(back)["pattern"] == Pattern.REVERSED
    assert described(back, off_dates=1)["bursts"] == 2


def test_a_small_step_returns_at_half_of_itself():
    units = np.where(DAYS >= BREAK, 2.0, 0.0) - 0.7 * ((DAYS > 900) & (DAYS < 940))
    assert np.isnan(described(units)["return_day"])
    assert described(units - 0.5 * ((DAYS > 900) & (DAYS < 940)))["return_day"] == 904


def test_few_dates_stay_open():
    assert described(off(1072, 9999), break_day=1072.0)["pattern"] == Pattern.OPEN
    assert described(off(1032, 9999), break_day=1032.0)["pattern"] == Pattern.STEP


def test_without_a_break_there_is_nothing():
    found = described(quiet(), break_day=np.nan, side=0)
    assert found["pattern"] == Pattern.OPEN
    assert (found["later_dates"], found["bursts"], found["lasted_dates"]) == (0, 0, 0)
    assert all(
        np.isnan(found[name]) for name in ("step", "share_beyond", "return_day", "last_step", "same_season")
    )


@given(seed=st.integers(0, 500), start=st.floats(400, 1090), stop=st.floats(500, 1200), size=st.floats(0, 6))
@settings(max_examples=80, deadline=None)
def test_both_sides_are_alike_and_gaps_do_nothing(seed, start, stop, size):
    units = off(start, stop, size, seed)
    up, down = described(units, start), described(-units, start, -1)
    for name, value in up.items():
        signed = name in ("step", "last_step", "same_season")
        np.testing.assert_allclose(-value if signed else value, down[name], rtol=1e-6, err_msg=name)
    assert 0 <= up["lasted_dates"] <= up["later_dates"]


def test_every_pixel_is_described_alone_whatever_the_shape():
    rng = np.random.default_rng(4)
    units = np.stack([off(500 + 20 * i, 500 + 45 * i, 4, i) for i in range(12)], axis=1).astype(np.float32)
    units[rng.random(units.shape) < 0.3] = np.nan
    breaks, side = (500 + 20.0 * np.arange(12)).astype(np.float32), np.ones(12, np.int8)
    whole = behaviour(units.reshape(-1, 3, 4), DAYS, breaks.reshape(3, 4), side.reshape(3, 4))
    for pixel in range(12):
        alone = behaviour(units[:, [pixel]], DAYS, breaks[[pixel]], side[[pixel]])
        for name in alone.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(whole, name).ravel()[pixel], getattr(alone, name)[0])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="give one of each for every pixel"):
        behaviour(np.zeros((3, 2), np.float32), np.arange(3.0), np.zeros(3, np.float32), np.zeros(2, np.int8))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"beyond": 0.0}, "give positive ones"),
        ({"back_dates": 0}, "give positive ones"),
        ({"step_share": 1.5}, "give numbers above 0, up to 1"),
        ({"seasonal_share": 0.0}, "give numbers above 0, up to 1"),
    ],
)
def test_parameters_out_of_range(wrong, text):
    with pytest.raises(ValueError, match=text):
        BehaviourParameters(**wrong)
