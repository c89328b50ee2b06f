"""Precision from verdicts: counts, an interval that is honest for few, and unsure apart."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from tests.watch.folders import make_run

from changedet.errors import UsageError
from changedet.watch.precision import ALL_KINDS, precision_rows, wilson_interval
from changedet.watch.state import open_state
from changedet.watch.verdicts import Judgement, Verdict, record

ACCEPTED, REJECTED, UNSURE = Verdict


def test_the_interval_is_the_published_one():
    # both ends solve |share - p| = z sqrt(p (1 - p) / n), which is how the interval is defined
    z = norm.ppf(0.975)
    for successes, trials in ((1, 10), (5, 10), (81, 263), (15, 148)):
        for end in wilson_interval(successes, trials):
            assert abs(successes / trials - end) == pytest.approx(z * math.sqrt(end * (1 - end) / trials))


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_interval_holds_the_share_and_is_the_same_seen_from_the_other_side(accepted, rejected):
    trials = accepted + rejected
    low, high = wilson_interval(accepted, trials)
    assert 0 <= low <= (accepted / trials if trials else 0.5) <= high <= 1
    assert wilson_interval(rejected, trials) == pytest.approx((1 - high, 1 - low))
    if trials:
        wider = wilson_interval(accepted, trials, 0.99)
        assert wider[0] <= low
        assert wider[1] >= high
        assert low > 0 or accepted == 0


def test_what_is_no_share_is_refused():
    for successes, trials in ((3, 2), (-1, 2)):
        with pytest.raises(UsageError, match="is no share"):
            wilson_interval(successes, trials)
    assert wilson_interval(0, 0) == (0, 1)


def test_precision_is_counted_by_site_kind_and_period(tmp_path):
    file, run = tmp_path / "v.gpkg", make_run(tmp_path / "run")
    later = make_run(tmp_path / "later", years=3)
    record(file, run, 1, Judgement(REJECTED, "Ann"))
    record(file, run, 1, Judgement(ACCEPTED, "Bob", blind=True))
    record(file, run, 2, Judgement(REJECTED, "Ann"))
    record(file, run, 3, Judgement(UNSURE, "Ann"))
    record(file, later, 2, Judgement(REJECTED, "Ann"))
    with open_state(file) as state:
        rows = {(row["kind"], row["period"]): row for row in precision_rows(state)}
        whole = precision_rows(state, by="all")
        assert precision_rows(state, site="Quay") == []
        assert {row["period"] for row in precision_rows(state, by="month")} == {"2025-05", "2026-05"}
        with pytest.raises(UsageError, match="say year, month, all"):
            precision_rows(state, by="week")
    one = rows["new construction", "2025"]
    assert (one["flagged"], one["accepted"], one["rejected"], one["blind"], one["disputed"]) == (
        1,
        1,
        0,
        1,
        1,
    )
    assert one["precision"] == 1
    assert one["interval"] == list(wilson_interval(1, 1))
    assert rows["water change", "2025"]["unsure"] == 1
    assert rows["water change", "2025"]["precision"] is None
    total = rows[ALL_KINDS, "2025"]
    assert (total["flagged"], total["accepted"], total["rejected"], total["precision"]) == (3, 1, 1, 0.5)
    # what carries over is not counted again
    assert rows[ALL_KINDS, "2026"]["rejected"] == 1
    assert rows["new construction", "2026"]["interval"] is None
    assert [row["flagged"] for row in whole if row["kind"] == ALL_KINDS] == [6]
