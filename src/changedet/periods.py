"""How people write periods of time: days, months, years, and intervals of them."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from changedet.errors import UsageError
from changedet.scene import as_utc

#: The first Sentinel-2 was launched on 2015-06-23; a period that is open to the past begins here.
FIRST_IMAGERY = datetime(2015, 6, 23, tzinfo=UTC)
#: The first Sentinel-1, and so the first of the Sentinels, was launched on 2014-04-03.
_FIRST_SENTINEL = datetime(2014, 4, 3, tzinfo=UTC)
_CALENDAR = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_OPEN = frozenset({"", ".."})
_INSTANT = timedelta(microseconds=1)
_TODO = "write it like 2024, 2024-05, 2024-05-12, 2024-05/2024-07 or 2024-05/.."


@dataclass(frozen=True)
class Period:
    """A stretch of time, both ends included.

    Attributes
    ----------
    start, end : datetime
        Aware, in UTC.
    """

    start: datetime
    end: datetime


def parse_period(text: str, *, now: datetime | None = None) -> Period:
    """Read a period as STAC writes them.

    Parameters
    ----------
    text : str
        ``2024``, ``2024-05``, ``2024-05-12``, a time of day in ISO 8601 (UTC when it has no zone), or two of
        these with ``/`` between them, of which one may be ``..`` (open). Each means the whole of what it
        names, so that ``2024-05/2024-07`` ends with the last instant of July.
    now : datetime, optional
        Where a period that is open to the future ends; the current time when not given.

    Returns
    -------
    Period
        Start and end in UTC.

    Raises
    ------
    UsageError
        When it is no period, is open on both sides, or ends before it starts.

    Examples
    --------
    >>> found = parse_period("2024-02")
    >>> found.start.isoformat(), found.end.isoformat(timespec="seconds")
    ('2024-02-01T00:00:00+00:00', '2024-02-29T23:59:59+00:00')
    """
    parts = [part.strip() for part in text.split("/")]
    if len(parts) > 2 or set(parts) <= _OPEN:
        raise UsageError("not a period", where=repr(text), todo=_TODO)
    first, last = parts[0], parts[-1]
    start = FIRST_IMAGERY if first in _OPEN else _whole(first, text).start
    present = datetime.now(UTC) if now is None else as_utc(now)
    end = present if last in _OPEN else _whole(last, text).end
    if end < start:
        raise UsageError("the period ends before it starts", where=repr(text), todo="put the earlier first")
    return Period(start, end)


def parse_searched_period(text: str, *, now: datetime | None = None) -> Period:
    """Read a period in which imagery is searched: one that has begun, and not ended before there was any.

    Parameters
    ----------
    text : str
        As for `parse_period`.
    now : datetime, optional
        The current time when not given.

    Returns
    -------
    Period
        Start and end in UTC; the end may lie in the future.

    Raises
    ------
    UsageError
        When it is no period, lies in the future, or ends before the first of the Sentinels flew.

    Examples
    --------
    >>> parse_searched_period("2024").end.year
    2024
    """
    period = parse_period(text, now=now)
    present = datetime.now(UTC) if now is None else as_utc(now)
    if period.start > present:
        raise UsageError(
            "the period lies in the future",
            where=repr(text),
            todo=f"choose one that has begun; today is {present:%Y-%m-%d}",
        )
    if period.end < _FIRST_SENTINEL:
        raise UsageError(
            "the period ends before there were Sentinel images",
            where=repr(text),
            todo="choose a later one: optical images begin in 2015, radar in 2014",
        )
    return period


def _whole(part: str, text: str) -> Period:
    """Return everything that one date or time names."""
    found = _CALENDAR.fullmatch(part)
    try:
        if not found:
            moment = as_utc(datetime.fromisoformat(part))
            return Period(moment, moment)
        year, month, day = int(found[1]), found[2], found[3]
        last_month = int(month or 12)
        last_day = int(day or calendar.monthrange(year, last_month)[1])
        start = datetime(year, int(month or 1), int(day or 1), tzinfo=UTC)
        end = datetime(year, last_month, last_day, tzinfo=UTC) + timedelta(days=1) - _INSTANT
    except (ValueError, OverflowError) as error:
        raise UsageError("not a period", where=repr(text), todo=_TODO) from error
    return Period(start, end)


def day_of(date: str) -> float:
    """Return the days since 1970-01-01 of a date written ``YYYY-MM-DD``."""
    return datetime.strptime(date[:10], "%Y-%m-%d").replace(tzinfo=UTC).timestamp() / 86400
