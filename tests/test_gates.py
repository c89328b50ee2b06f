"""Gates: what refuses a pair, and the words for it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import BEFORE_TIME, make_image

from changedet.core.normalization import Normalization
from changedet.gates import (
    LEAST_EXPLAINED,
    exchanged_bands,
    gain_warnings,
    offset_jump,
    refusals,
    unlikeness,
)
from changedet.pairing import make_pair
from changedet.registration import Registration

GOOD = Registration((0.1, 0.0), (-1.0, 0.0), 0.05, 0.5, 0.05, 300, 20.0, 0.5, applied=True, verdict="good")


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


@pytest.mark.parametrize("reason", ["the residual of 0.80 px is above the limit of 0.5 px", "no texture"])
def test_a_registration_that_is_not_comparable_is_told_with_its_reason(reason):
    bad = replace(GOOD, verdict="not comparable", reason=reason, tie_points=7)
    (text,) = refusals(bad, pair_with(0.0))
    assert text == f"not comparable: {reason} (registration: 7 tie points agree)"


def test_a_corrected_pair_passes():
    assert refusals(replace(GOOD, verdict="corrected"), pair_with(0.0)) == ()


def test_usual_gains_are_not_worth_a_word_and_odd_ones_are():
    bands = ("B02", "B03")
    usual = Normalization(bands, (0.9, 1.3), (0.0, 0.0), (0.01, 0.01), 0.6)
    odd = replace(usual, gain=(1.7, 1.0))
    assert gain_warnings(usual) == ()
    assert gain_warnings(odd) == (
        "the after image was scaled strongly to match (B02 by 1.70): light, haze or season differ",
    )


def looked_for_by(source):
    pair = pair_with(0.0)
    return replace(pair, after=replace(pair.after, classes_source=source))


def test_dates_with_little_in_common_are_refused_where_clouds_could_not_be_looked_for():
    text = unlikeness(looked_for_by("none"), 0.123)
    assert text.startswith("not comparable: one date predicts only 12% of the other, and clouds could not be")
    assert "only 0%" in unlikeness(looked_for_by("none"), -3.0)
    assert unlikeness(looked_for_by("none"), np.nextafter(LEAST_EXPLAINED, 0))


@pytest.mark.parametrize(
    ("source", "explained"),
    [("none", LEAST_EXPLAINED), ("none", float("nan")), ("spectral tests", 0.1), ("SCL", 0.0)],
)
def test_like_dates_and_dates_whose_clouds_are_known_pass(source, explained):
    assert unlikeness(looked_for_by(source), explained) == ""


def with_order(pair, order):
    """The pair with bands of the after image in another order than stated."""
    return replace(pair, after=replace(pair.after, data=pair.after.data[order]))


@pytest.fixture
def unlike_bands():
    """A pair whose infrared bands show something else than its visible ones, on both dates alike."""
    pair, rng = pair_with(0.0), np.random.default_rng(3)
    ground = rng.uniform(0.05, 0.4, (2, 100, 120)).astype(np.float32)
    shown = [0 if band in {"B02", "B03", "B04"} else 1 for band in pair.before.bands]
    sides = [
        replace(image, data=ground[shown] + rng.normal(0, 0.01, image.data.shape).astype(np.float32))
        for image in (pair.before, pair.after)
    ]
    return replace(pair, before=sides[0], after=sides[1])


def test_bands_in_their_order_pass(unlike_bands):
    assert exchanged_bands(unlike_bands) == ()
    assert refusals(GOOD, unlike_bands) == ()


def test_an_infrared_band_in_the_place_of_a_visible_one_is_told_with_both_names(unlike_bands):
    order = list(range(len(unlike_bands.before.bands)))
    green, infrared = (unlike_bands.before.bands.index(band) for band in ("B03", "B08"))
    order[green], order[infrared] = infrared, green
    found = with_order(unlike_bands, order)
    assert exchanged_bands(found) == (("B03", "B08"),)
    (text,) = refusals(GOOD, found)
    assert text.startswith("not comparable: bands of one date are exchanged (B03 with B08): ")


def test_bands_that_are_alike_are_not_told_apart(unlike_bands):
    order = list(range(len(unlike_bands.before.bands)))
    order[:2] = 1, 0
    assert exchanged_bands(with_order(unlike_bands, order)) == ()


def test_constant_bands_and_ground_without_pixels_say_nothing_of_an_order(unlike_bands):
    flat = replace(unlike_bands.after, data=np.full_like(unlike_bands.after.data, 0.2))
    assert exchanged_bands(replace(unlike_bands, after=flat)) == ()
    blind = replace(unlike_bands.after, valid=np.zeros_like(unlike_bands.after.valid))
    assert exchanged_bands(replace(unlike_bands, after=blind)) == ()


def test_gains_both_ways_may_be_another_order():
    odd = Normalization(("B02", "B04"), (0.4, 2.2), (0.0, 0.0), (0.01, 0.01), 0.6)
    assert gain_warnings(odd)[0].endswith("season differ, or its bands are in another order than stated")
