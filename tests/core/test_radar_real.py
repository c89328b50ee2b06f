"""Radar methods on four years of real ground on which hardly anything changed."""

import numpy as np
import pytest
from benchmarks import radar
from tests.core.scenery import real

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cases():
    return list(radar.null_cases(real("opera_rtc_s1")))


@pytest.mark.parametrize("method", ["likelihood_ratio", "t_test"])
def test_one_pixel_in_a_thousand_is_flagged_a_year_at_most(cases, method):
    shares = [radar.flagged(case.before, case.after, method=method).mean() for case in cases]
    assert len(shares) == 9
    assert np.mean(shares) <= 0.001
    # two dates after say little of a year
    assert max(shares) <= 0.0025


@pytest.mark.parametrize("method", ["likelihood_ratio", "t_test"])
def test_steps_of_six_decibels_in_three_by_three_pixels_are_found(cases, method):
    found = [radar.found_steps(case, method) for case in cases]
    assert min(found) >= 0.9
    assert np.mean(found) >= 0.98


def test_dates_as_they_are_raise_more_alarms(cases):
    """Rain and season move whole dates by up to 2 dB."""
    matched, plain = (
        np.mean([radar.flagged(c.before, c.after, matched=m).mean() for c in cases]) for m in (True, False)
    )
    assert plain > 3 * matched
