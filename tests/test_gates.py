"""Gates: what refuses a pair, and the words for it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import BEFORE_TIME, make_image

from changedet.core.normalization import Normalization
from changedet.core.registration import Residual, Shift, judge
from changedet.gates import gain_warnings, offset_jump, refusals
from changedet.pairing import make_pair

GOOD = judge(Shift(0.1, 0.0, 20.0), Residual(0.0, 0.0, 0.05, 30), (10.0, 10.0))


def pair_with(jump):
    before, after = make_image(0), make_image(1, BEFORE_TIME.replace(year=2025))
    data = np.maximum(after.data + np.float32(jump), 0) if np.isscalar(jump) else after.data + jump
    return make_pair(before, replace(after, data=data), np.ones((100, 120), bool))


def test_a_good_pair_passes():
    assert refusals(GOOD, pair_with(0.0)) == ()


@pytest.mark.parametrize(("jump", "date", "word"), [(0.1, "after", "brighter"), (-0.1, "before", "darker")])
def test_a_missed_offset_names_date_and_option(jump, date, word):
    before, after = make_image(0), make_image(1, BEFORE_TIME.replace(year=2025))
    raised = replace(before, data=before.data + np.float32(0.2))
    moved = replace(after, data=after.data + np.float32(0.2 + jump))
    (text,) = refusals(GOOD, make_pair(raised, moved, np.ones((100, 120), bool)))
    assert word in text
    assert text.endswith(f"--{date}-offset -0.1")


def test_a_jump_of_some_bands_is_the_ground_or_the_air():
    jump = np.zeros((10, 1, 1), np.float32)
    jump[:3] = 0.1
    assert offset_jump(pair_with(jump)) is None


def test_a_residual_above_the_limit_is_told_with_both_numbers():
    bad = judge(Shift(0.1, 0.0, 20.0), Residual(0.8, 0.0, 0.05, 30), (10.0, 10.0))
    (text,) = refusals(bad, pair_with(0.0))
    assert "residual 0.80 px is above the limit of 0.5 px" in text


def test_a_shift_lost_in_noise_is_told():
    lost = judge(Shift(12.0, 3.0, 3.2), Residual(np.nan, np.nan, np.nan, 0), (10.0, 10.0))
    (text,) = refusals(lost, pair_with(0.0))
    assert "no reliable shift" in text
    assert "0 tie points" in text


def test_usual_gains_are_not_worth_a_word_and_odd_ones_are():
    bands = ("B02", "B03")
    usual = Normalization(bands, (0.9, 1.3), (0.0, 0.0), (0.01, 0.01), 0.6)
    odd = replace(usual, gain=(1.7, 1.0))
    assert gain_warnings(usual) == ()
    assert gain_warnings(odd) == (
        "the after image was scaled strongly to match (B02 by 1.70): light, haze or season differ",
    )
