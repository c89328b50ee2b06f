"""Steps that a few clear dates show, date by date."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from changedet.core.cusum import AlarmStatus
from changedet.watch.baselines import SiteBaseline, kept_step
from changedet.watch.early import STANDS_OUT, gather_alarms
from changedet.watch.rules import WatchRules

SINCE = datetime(2023, 1, 1, tzinfo=UTC)
FIRST_DAY = SINCE.timestamp() / 86400
#: A date every ten days; None is hidden.
HIDDEN = None
RULES = WatchRules()


class Base(SimpleNamespace):
    """What is asked of a site, for a row of pixels."""

    units_of = SiteBaseline.units_of


def base_of(*series, monitored=True, history=3, strays=0.0):
    """A site of one row of pixels and one index, with dates of the history before."""
    dates = [[strays] * len(series)] * history + [list(row) for row in zip(*series, strict=True)]
    kept = [[-128 if one is HIDDEN else kept_step(one) for one in row] for row in dates]
    shape = (1, len(series))
    days = FIRST_DAY + 10.0 * (np.arange(len(dates)) - history)
    chart = SimpleNamespace(side=np.zeros(shape, np.int8))
    state = SimpleNamespace(
        chart=chart, baseline=SimpleNamespace(monitored=np.full(shape, monitored), scale=np.ones(shape))
    )
    return Base(
        names=("NDVI",), states=(state,), days=days, since=SINCE.isoformat(),
        units=np.array(kept, np.int8)[None, :, None, :], inside=np.ones(shape, bool),
    )  # fmt: skip


def quiet_charts(pixels):
    shape = (1, pixels)
    return SimpleNamespace(
        status=np.full(shape, AlarmStatus.NONE, np.uint8), leading=np.full(shape, -1, np.int8),
        size=np.full(shape, np.nan, np.float32), by_day=np.full(shape, np.nan, np.float32),
        said_by=np.zeros(shape, np.uint32),
    )  # fmt: skip


def alarms_of(*series, rules=RULES, **more):
    base = base_of(*series, **more)
    return base, gather_alarms(base, quiet_charts(len(series)), rules)


@pytest.mark.parametrize(
    ("series", "shown"),
    [
        ((6, 6, 6, 6), True),
        ((-6, -6, -6, -6), True),
        # twenty days are too short
        ((0, 6, 6, 6), False),
        ((6, HIDDEN, 6, HIDDEN, 6), True),
        ((6, HIDDEN, HIDDEN, 6), False),
        # neither as usual nor far off: a shadow, or thin cloud
        ((6, 3, 6, 6), True),
        ((6, -9, 6, 6), False),
        ((9, -9, 9, 9, 9, 9, 9), True),
        # one date as usual, and what was before it does not count
        ((6, 0.5, 6, 6, 6), False),
        ((6, 0.5, 6, 6, 6, 6), True),
        # the last date has to show it
        ((6, 6, 6, 6, 3), False),
        ((6, 6, 6, 6, 0), False),
        ((3, 3, 3, 3, 3, 3), False),
        ((6, -6, 6, -6, 6, -6), False),
        ((HIDDEN,) * 5, False),
    ],
)
def test_enough_dates_of_three_weeks_have_to_stand_out_and_none_may_be_as_usual(series, shown):
    _, found = alarms_of(series)
    assert found.early[0, 0] == shown and not found.persisting.any()


def test_what_shows_for_less_time_is_listed_already():
    assert alarms_of((0, 6, 6, 6))[1].alarmed.all() and not alarms_of((0, 6, 6, 6))[1].early.any()
    assert not alarms_of((0, 0, 6, 6))[1].alarmed.any() and not alarms_of((6, 0.5, 6, 6))[1].alarmed.any()


def test_a_step_has_its_side_its_size_and_its_first_day():
    base, found = alarms_of((0, 0, -8, -8, -8, -8), (0, 0, 0, 0, 0, 0))
    assert found.early.tolist() == [[True, False]]
    assert (found.side[0, 0], found.leading[0, 0], found.said_by[0, 0]) == (-1, 0, 1)
    assert found.size[0, 0] == pytest.approx(-8, abs=0.3)
    assert found.by_day[0, 0] == pytest.approx(base.days[5], abs=0.01)
    assert found.leading[0, 1] == -1


def test_dates_before_the_watch_do_not_count():
    series = (6, 6)
    assert not alarms_of(series, history=0)[1].early.any()
    base = base_of((6,) * 8, history=0)
    base.since = datetime(2023, 3, 1, tzinfo=UTC).isoformat()
    assert not gather_alarms(base, quiet_charts(1), WatchRules()).early.any()


def test_a_history_that_strayed_itself_asks_for_a_larger_step():
    """Its charts are not watched; what is far beyond all that it showed is told all the same."""
    assert alarms_of((6,) * 6, monitored=False, strays=1.0)[1].early.all()
    assert not alarms_of((6,) * 6, monitored=False, strays=4.0)[1].alarmed.any()
    assert alarms_of((10,) * 6, monitored=False, strays=4.0)[1].early.all()
    assert alarms_of((6,) * 6, strays=4.0)[1].early.all()


def test_more_dates_when_more_are_asked_for():
    rules = WatchRules(least_later=4, of_later=5)
    assert not alarms_of((6,) * 4, rules=rules)[1].early.any()
    assert alarms_of((6,) * 5, rules=rules)[1].early.all()


def test_just_at_the_limit_counts_and_just_below_does_not():
    assert alarms_of((STANDS_OUT + 0.3,) * 4)[1].early.all()
    assert not alarms_of((STANDS_OUT - 0.3,) * 4)[1].early.any()


def test_what_a_chart_says_goes_before():
    charts = quiet_charts(1)
    charts.status[:] = AlarmStatus.PERSISTING
    charts.leading[:], charts.size[:], charts.by_day[:] = 0, 2.5, FIRST_DAY
    base = base_of((6,) * 6)
    base.states[0].chart.side[:] = 1
    found = gather_alarms(base, charts, WatchRules())
    assert found.persisting.all() and found.early.all()
    assert (found.size[0, 0], found.by_day[0, 0], found.side[0, 0]) == (2.5, np.float32(FIRST_DAY), 1)
