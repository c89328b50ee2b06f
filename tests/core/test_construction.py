"""Construction-like change: the order of transitions, soft memberships, missing bands, gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.core import construction
from changedet.core.construction import (
    FLOOR,
    GREEN,
    NEEDED_BANDS,
    REDDISH,
    VEGETATED,
    Membership,
    construction_score,
    construction_weight,
)

BANDS = (*NEEDED_BANDS, "B11")
#: Surface reflectance of B02, B03, B04, B08 and B11, as of spectral libraries.
GROUND = {
    "meadow": (0.035, 0.070, 0.045, 0.38, 0.20),
    "forest": (0.020, 0.040, 0.025, 0.30, 0.12),
    "crop": (0.040, 0.080, 0.060, 0.42, 0.24),
    "ripe crop": (0.060, 0.100, 0.110, 0.30, 0.28),
    "stubble": (0.080, 0.120, 0.140, 0.26, 0.30),
    "soil": (0.090, 0.130, 0.180, 0.25, 0.34),
    "concrete": (0.240, 0.260, 0.280, 0.30, 0.31),
    "white roof": (0.450, 0.460, 0.470, 0.48, 0.40),
    "asphalt": (0.100, 0.105, 0.110, 0.12, 0.13),
    "clear water": (0.040, 0.035, 0.020, 0.01, 0.005),
    "turbid water": (0.090, 0.120, 0.100, 0.04, 0.01),
    "snow": (0.850, 0.850, 0.840, 0.75, 0.12),
    "old snow": (0.600, 0.610, 0.580, 0.50, 0.08),
    "shadow on concrete": (0.030, 0.0325, 0.035, 0.0375, 0.039),
}


def weight(before, after, bands=BANDS, haze=None):
    """Weight of one pixel of the ground of these names, with some of the bands."""
    chosen = [BANDS.index(name) for name in bands]
    first, second = (np.float32(GROUND[name])[chosen, None, None] for name in (before, after))
    return float(construction_weight(first, second, bands, haze)[0, 0])


def patches(*names):
    """A row of patches of 24 x 24 pixels."""
    columns = np.repeat(np.float32([GROUND[name] for name in names]).T, 24, axis=1)
    return np.repeat(columns[:, None], 24, axis=1)


class TestOrder:
    def test_transitions_come_out_in_the_order_that_an_analyst_wants(self):
        changes = (
            ("meadow", "white roof"),
            ("forest", "soil"),
            ("crop", "stubble"),
            ("asphalt", "meadow"),
            ("concrete", "shadow on concrete"),
            ("clear water", "turbid water"),
        )
        befores, afters = zip(*changes, strict=True)
        before, after = patches(*befores), patches(*afters)
        score = np.full(before.shape[1:], 5, np.float32)
        found = construction_score(score, construction_weight(before, after, BANDS))[12, 12::24]
        assert list(np.argsort(-found)) == list(range(len(changes)))
        assert np.diff(found).max() < -0.01
        assert found[0] > 0.95 * 5
        assert found[-1] < 0.05 * 5

    @pytest.mark.parametrize("before", ["meadow", "forest", "soil", "turbid water"])
    @pytest.mark.parametrize("after", ["concrete", "white roof", "asphalt"])
    def test_what_is_built_on_open_ground_keeps_nearly_all_of_its_score(self, before, after):
        assert weight(before, after) > 0.9

    @pytest.mark.parametrize("before", ["meadow", "concrete", "turbid water"])
    def test_open_soil_counts_less_than_what_is_built_and_more_than_half(self, before):
        assert 0.5 < weight(before, "soil") < weight("soil", "concrete")

    def test_one_roof_for_another_keeps_the_floor(self):
        assert FLOOR <= weight("asphalt", "white roof") < 0.5

    @pytest.mark.parametrize(
        ("before", "after"),
        [("meadow", "crop"), ("crop", "forest"), ("clear water", "turbid water"), ("snow", "old snow")],
    )
    def test_what_stays_what_it_is_keeps_less_than_one_roof_for_another(self, before, after):
        assert weight(before, after) < weight("asphalt", "white roof")

    def test_plants_that_came_weigh_less_than_plants_that_went(self):
        assert weight("asphalt", "meadow") < 0.5 < weight("meadow", "asphalt")

    def test_ripening_weighs_less_than_harvest_and_harvest_less_than_clearing(self):
        steps = [weight("crop", after) for after in ("ripe crop", "stubble", "soil")]
        assert steps == sorted(steps)


class TestDates:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("clear water", "turbid water"),
            ("concrete", "shadow on concrete"),
            ("asphalt", "white roof"),
            ("meadow", "forest"),
        ],
    )
    def test_some_changes_weigh_the_same_both_ways(self, before, after):
        assert weight(before, after) == pytest.approx(weight(after, before), abs=0.01)

    @pytest.mark.parametrize(
        ("before", "after"),
        [("meadow", "concrete"), ("soil", "concrete"), ("forest", "soil"), ("clear water", "concrete")],
    )
    def test_what_is_built_or_cleared_weighs_less_the_other_way(self, before, after):
        assert weight(after, before) < 0.96 * weight(before, after)


class TestBands:
    def test_the_four_finest_bands_are_enough_for_the_order(self):
        pairs = [
            ("meadow", "white roof"),
            ("forest", "soil"),
            ("meadow", "forest"),
            ("clear water", "turbid water"),
        ]
        weights = [weight(*pair, bands=NEEDED_BANDS) for pair in pairs]
        assert weights == sorted(weights, reverse=True)

    def test_snow_is_told_by_the_shortwave_infrared_only(self):
        assert weight("snow", "old snow") < 0.01
        assert weight("snow", "old snow", bands=NEEDED_BANDS) > 0.1

    def test_the_order_of_the_bands_does_not_matter(self):
        turned = tuple(reversed(BANDS))
        assert weight("meadow", "soil", turned) == weight("meadow", "soil")

    @pytest.mark.parametrize("bands", [("VV", "VH"), ("B02", "B03", "B04"), ("1", "2", "3", "4")])
    def test_bands_that_say_nothing_leave_every_score_as_it_is(self, bands):
        image = np.random.default_rng(3).random((len(bands), 9, 8), np.float32)
        found = construction_weight(image, image[:, ::-1], bands)
        np.testing.assert_array_equal(found, np.ones((9, 8), np.float32))
        score = image[0].copy()
        score[2, 3] = np.nan
        np.testing.assert_allclose(construction_score(score, found), score, rtol=1e-6)

    def test_haze_is_taken_off(self):
        air = np.float32([0.11, 0.07, 0.05, 0.03, 0.01])
        before, after = patches("meadow", "soil"), patches("concrete", "concrete")
        clear = construction_weight(before, after, BANDS)
        lifted = [image + air[:, None, None] for image in (before, after)]
        np.testing.assert_allclose(construction_weight(*lifted, BANDS, (air, air)), clear, atol=1e-4)
        assert np.abs(construction_weight(*lifted, BANDS) - clear).max() > 0.1

    def test_disagreeing_shapes_are_refused(self):
        image = np.zeros((5, 4, 4), np.float32)
        with pytest.raises(
            ValueError, match=r"before \(5, 4, 4\), after \(5, 4, 3\) and 5 band names disagree"
        ):
            construction_weight(image, image[..., :3], BANDS)
        with pytest.raises(ValueError, match="4 band names disagree"):
            construction_weight(image, image, NEEDED_BANDS)


class TestGaps:
    def test_what_is_unknown_on_either_date_has_no_weight(self):
        before, after = patches("meadow"), patches("concrete")
        before[0, 3, 4] = after[3, 5, 6] = np.nan
        found = construction_weight(before, after, BANDS)
        assert np.argwhere(np.isnan(found)).tolist() == [[3, 4], [5, 6]]

    def test_scores_that_are_not_judged_stay_so_and_lend_no_weight(self):
        weights = np.zeros((20, 20), np.float32)
        weights[:, 10:] = 1
        score = np.full((20, 20), 4, np.float32)
        score[:, :10] = np.nan
        found = construction_score(score, weights)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(score))
        np.testing.assert_allclose(found[:, 10:], 4, rtol=1e-6)

    def test_nothing_known_anywhere_gives_nothing(self):
        blank = np.full((6, 6), np.nan, np.float32)
        assert (construction_score(np.ones((6, 6), np.float32), blank) == 0).all()
        assert np.isnan(construction_score(blank, np.ones((6, 6), np.float32))).all()

    def test_arguments_stay_as_they_are(self):
        before, after = patches("meadow"), patches("concrete")
        score = np.ones(before.shape[1:], np.float32)
        copies = before.copy(), after.copy(), score.copy()
        construction_score(score, construction_weight(before, after, BANDS))
        for array, copy in zip((before, after, score), copies, strict=True):
            np.testing.assert_array_equal(array, copy)


class TestProperties:
    @given(st.integers(0, 2**32 - 1))
    def test_weights_lie_between_0_and_1_and_scores_never_rise(self, seed):
        rng = np.random.default_rng(seed)
        before, after = rng.random((2, 5, 12, 11), np.float32) * rng.choice([0.05, 0.5, 1.5])
        found = construction_weight(before, after, BANDS)
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1
        score = rng.gamma(2, 1, found.shape).astype(np.float32)
        weighed = construction_score(score, found)
        assert weighed.dtype == np.float32
        assert (weighed <= score).all()
        assert (weighed >= 0).all()

    @given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
    def test_more_weight_is_more_score(self, first, second):
        score = np.full((5, 5), 3, np.float32)
        low, high = (
            construction_score(score, np.full((5, 5), value, np.float32)) for value in sorted((first, second))
        )
        assert (low <= high + 1e-5).all()

    @given(st.floats(0.12, 0.6), st.floats(0.12, 0.6))
    def test_the_greener_the_soil_grew_the_less_it_weighs(self, first, second):
        def grown(infrared):
            image = np.float32([*GROUND["soil"][:3], infrared, 0.3])[:, None, None]
            return float(construction_weight(patches("soil")[:, :1, :1], image, BANDS)[0, 0])

        low, high = sorted((first, second))
        # below an NDVI of 0 near infrared no longer speaks of plants
        assert grown(max(low, 0.2)) >= grown(max(high, 0.2)) - 1e-5

    def test_blocks_of_rows_change_nothing(self, monkeypatch):
        rng = np.random.default_rng(5)
        before, after = rng.random((2, 5, 40, 30), np.float32)
        whole = construction_weight(before, after, BANDS)
        monkeypatch.setattr(construction, "row_blocks", lambda *_: (slice(0, 7), slice(7, 40)))
        np.testing.assert_array_equal(construction_weight(before, after, BANDS), whole)


class TestMembership:
    @given(st.floats(-2, 2), st.floats(-2, 2))
    def test_it_rises_with_the_value(self, first, second):
        low, high = sorted((first, second))
        found = VEGETATED.of(np.float32([low, high]))
        assert 0 <= found[0] <= found[1] <= 1

    def test_it_is_one_half_at_its_centre_and_nineteen_twentieths_three_widths_on(self):
        for one in (VEGETATED, GREEN, REDDISH, Membership(-3.0, 0.7)):
            values = np.float32([one.centre, one.centre + 3 * one.width, one.centre - 3 * one.width])
            np.testing.assert_allclose(one.of(values), [0.5, 0.9526, 0.0474], atol=1e-3)

    def test_far_values_saturate_without_overflow_and_gaps_stay(self):
        found = VEGETATED.of(np.float32([-1e30, 1e30, np.nan]))
        assert found[:2].tolist() == [0, 1]
        assert np.isnan(found[2])
