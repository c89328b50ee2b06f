from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.errors import UsageError
from changedet.periods import FIRST_IMAGERY, Period, parse_period, parse_searched_period

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def day(*numbers):
    return datetime(*numbers, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "after_end"),
    [
        ("2024", day(2024, 1, 1), day(2025, 1, 1)),
        ("2024-02", day(2024, 2, 1), day(2024, 3, 1)),
        ("2023-12", day(2023, 12, 1), day(2024, 1, 1)),
        ("2024-05-12", day(2024, 5, 12), day(2024, 5, 13)),
        ("2024-05/2024-07", day(2024, 5, 1), day(2024, 8, 1)),
        (" 2023 / 2024-02 ", day(2023, 1, 1), day(2024, 3, 1)),
        ("../2016", FIRST_IMAGERY, day(2017, 1, 1)),
    ],
)
def test_a_date_means_the_whole_of_what_it_names(text, start, after_end):
    assert parse_period(text, now=NOW) == Period(start, after_end - timedelta(microseconds=1))


@pytest.mark.parametrize("text", ["2024-05/..", "2024-05/"])
def test_an_open_end_is_now(text):
    assert parse_period(text, now=NOW) == Period(day(2024, 5, 1), NOW)
    assert parse_period(text).end > NOW - timedelta(days=3650)


def test_times_of_day_are_taken_as_they_are_and_in_utc():
    found = parse_period("2024-05-01T10:00:00/2024-05-01T12:00:00+02:00")
    assert (found.start, found.end) == (day(2024, 5, 1, 10), day(2024, 5, 1, 10))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a period"),
        ("../..", "not a period"),
        ("2024-13", "not a period"),
        ("2024-02-30", "not a period; write it like 2024"),
        ("May 2024", "not a period"),
        ("1/2/3", "not a period"),
        ("0000", "not a period"),
        ("9999", "not a period"),
        ("2024-07/2024-05", "the period ends before it starts; put the earlier first"),
    ],
)
def test_what_is_no_period_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse_period(text, now=NOW)


@given(st.dates(datetime(2015, 7, 1).date(), datetime(2030, 1, 1).date()))
def test_a_day_lies_in_its_month_and_its_year(date):
    one, month, year = (parse_period(date.isoformat()[:n], now=NOW) for n in (10, 7, 4))
    assert year.start <= month.start <= one.start < one.end <= month.end <= year.end
    assert timedelta(days=1) - (one.end - one.start) == timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "2026-04",
            "'2026-04': the period lies in the future; choose one that has begun; today is 2026-03-04",
        ),
        ("2027/..", "ends before it starts"),
        ("2012-05", "'2012-05': the period ends before there were Sentinel images; choose a later one"),
        ("May 2024", "not a period"),
    ],
)
def test_nothing_is_searched_where_no_image_can_be(text, said):
    with pytest.raises(UsageError, match=said):
        parse_searched_period(text, now=NOW)


@pytest.mark.parametrize("text", ["2024-05", "2026", "2026-03/2026-05", "../2016", "2014"])
def test_a_period_that_has_begun_is_searched_as_it_was_read(text):
    assert parse_searched_period(text, now=NOW) == parse_period(text, now=NOW)
