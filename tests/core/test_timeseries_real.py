"""The default on real series: forest with dates of clearing, and fields on which nothing was built."""

import pytest
from benchmarks import timeseries
from tests.core.scenery import real

pytestmark = pytest.mark.real


def test_cleared_forest_is_found_and_dated():
    rows = {row["series"]: row for row in timeseries.disturbance(real("s1_disturbance"))}
    cleared, quiet = rows["forest, cleared while monitored"], rows["forest, not cleared"]
    assert float(cleared["alarms"]) > 0.5
    assert float(quiet["alarms"]) < 0.15
    assert float(cleared["days off"]) <= 40


def test_fields_raise_no_persisting_alarm():
    whole, forced = timeseries.fields(real("s2_l2a_timeseries"))
    # a single year does not say what is season
    assert float(whole["monitored"]) == 0
    assert float(forced["monitored"]) > 0.5
    assert float(forced["persisting"]) <= 0.002
