"""Two single dates by their ratio."""

import numpy as np
import pytest
from tests.core.radar_scenes import close, decibels, speckle, with_gaps
from tests.core.slow import histogram_threshold as slow_threshold
from tests.core.slow import radar as slow

from changedet.core.log_ratio import LogRatioParameters, like_power_deviations, log_ratio

SINGLE = LogRatioParameters(1, 22)


def changed(size=60):
    before, after = speckle((2, size, size), 22, 1), speckle((2, size, size), 22, 2)
    after[:, : size // 5] *= decibels(8)
    after[:, -size // 5 :] *= decibels(-10)
    return before, after


def test_the_ratio_is_that_of_multilooked_power():
    before, after = (with_gaps(speckle((2, 7, 8), 4, seed), 0.1, seed) for seed in (1, 2))
    found = log_ratio(before, after).change_db
    seen = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    for pol in range(2):
        expected = 10 * np.log10(slow.multilook(after[pol], 3) / slow.multilook(before[pol], 3))
        close(found[pol], np.where(seen, expected, np.nan), 1e-4)


def test_unaltered_speckle_is_flagged_as_often_as_promised():
    found = log_ratio(speckle((2, 700, 700), 22, 3), speckle((2, 700, 700), 22, 4), SINGLE)
    for share, tolerance in ((0.05, 0.05), (0.01, 0.1), (0.001, 0.15)):
        assert (found.p_value < share).mean() == pytest.approx(share, rel=tolerance)


def test_each_direction_has_a_threshold_of_its_own():
    before, after = changed()
    found = log_ratio(before, after)
    assert 1 < found.brighter_db < 7
    assert 1 < found.darker_db < 9
    assert found.flagged[:11].mean() > 0.95
    assert found.flagged[-11:].mean() > 0.95
    assert found.flagged[14:-14].mean() < 0.01
    mean = found.change_db.mean(axis=0).ravel()
    apart = mean - np.median(mean)
    brighter = mean[apart >= -3 * 1.4826 * np.median(np.abs(apart))].tolist()
    assert found.brighter_db == pytest.approx(
        slow_threshold.kittler_illingworth(brighter, 256, 0.999), rel=1e-3
    )


def test_swapping_dates_flips_the_sign_and_swaps_the_thresholds():
    before, after = changed()
    forth, back = log_ratio(before, after), log_ratio(after, before)
    close(back.change_db, -forth.change_db, 1e-4)
    assert (back.brighter_db, back.darker_db) == pytest.approx((forth.darker_db, forth.brighter_db), rel=0.02)


def test_dates_that_are_equal_or_empty_have_nothing_to_divide():
    flat = np.ones((1, 5, 5), np.float32)
    same = log_ratio(flat, flat)
    assert np.isinf(same.brighter_db)
    assert (same.p_value == 1).all()
    assert not same.flagged.any()
    nothing = log_ratio(flat, flat * np.nan)
    assert np.isnan(nothing.p_value).all()
    assert not nothing.flagged.any()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"are not two of .pol, y, x."):
        log_ratio(np.ones((1, 5, 5), np.float32), np.ones((2, 5, 5), np.float32))
    for arguments in ((2, 22), (3, 0), (-1, 22)):
        with pytest.raises(ValueError, match="give an odd side and positive looks"):
            LogRatioParameters(*arguments)


class TestLikePower:
    EVERYWHERE = np.ones((80, 80), bool)

    def change(self, spread, seed=4):
        return (spread * np.random.default_rng(seed).standard_normal((80, 80))).astype(np.float32)

    def test_water_and_roofs_each_by_their_own(self):
        power = np.where(np.arange(80) < 40, 0.01, 1.0).astype(np.float32) * np.ones((80, 1), np.float32)
        change = self.change(np.where(power < 0.1, 4.0, 0.5))
        found = like_power_deviations(change, power, self.EVERYWHERE)
        assert found[:, :40].std() == pytest.approx(1, abs=0.15)
        assert found[:, 40:].std() == pytest.approx(1, abs=0.15)

    def test_what_all_do_alike_is_no_deviation(self):
        power = np.ones((80, 80), np.float32)
        dry, wet = (like_power_deviations(self.change(1) + rain, power, self.EVERYWHERE) for rain in (0, 3))
        np.testing.assert_allclose(wet, dry, atol=1e-4)

    def test_the_ground_that_teaches_is_the_measure(self):
        change = self.change(1)
        change[:40] += 10
        teaches = np.arange(80)[:, None] * np.ones(80) >= 40
        found = like_power_deviations(change, np.ones((80, 80), np.float32), teaches)
        assert np.median(found[:40]) > 8

    def test_gaps_and_ground_without_variation(self):
        change = np.zeros((80, 80), np.float32)
        change[0, 0] = np.nan
        found = like_power_deviations(change, np.ones((80, 80), np.float32), self.EVERYWHERE)
        assert np.isnan(found[0, 0])
        assert (found.ravel()[1:] == 0).all()
        nowhere = like_power_deviations(change, np.ones((80, 80), np.float32), ~self.EVERYWHERE)
        assert (nowhere.ravel()[1:] == 0).all()
