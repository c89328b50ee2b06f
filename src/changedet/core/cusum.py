"""Page's chart of two sides: when the deviations of a pixel began to add up, for every pixel at one time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.parameters import Described

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Most dates among which persistence can be asked: bits of a byte.
_MOST_LATER = 8


class AlarmStatus(IntEnum):
    """What a chart says of a pixel."""

    #: No alarm yet.
    NONE = 0
    #: An alarm, which later clear dates have not borne out.
    PROVISIONAL = 1
    #: An alarm that enough of some clear dates in a row bear out.
    PERSISTING = 2
    #: The pixel went back to what was usual; the next alarm is another one.
    RETURNED = 3


@dataclass(frozen=True)
class MonitorParameters(Described):
    """Parameters of the chart.

    Attributes
    ----------
    allowance : float
        Deviation a date that does not count, in standard deviations.
    limit : float
        Sum of what exceeds it, above which there is an alarm.
    clip : float
        Deviations count no more than this: one missed cloud is no alarm.
    persistence : float
        Deviation, on the side of the alarm, of a later date that bears it out.
    least_later, of_later : int
        How many dates of how many clear ones in a row, after that of the alarm, have to.
    """

    allowance: float = 1.0
    limit: float = 8.0
    clip: float = 3.0
    persistence: float = 2.5
    least_later: int = 2
    of_later: int = 3

    def __post_init__(self) -> None:
        if not self.limit > 0 or not self.clip > self.allowance >= 0 or not self.persistence > 0:
            message = (
                f"allowance {self.allowance}, limit {self.limit}, clip {self.clip}, persistence "
                f"{self.persistence}: give positive numbers, and a clip above the allowance"
            )
            raise ValueError(message)
        if not 1 <= self.least_later <= self.of_later <= _MOST_LATER:
            message = (
                f"{self.least_later} of {self.of_later} later dates; give between 1 and {_MOST_LATER}, the "
                "first not above the second"
            )
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Chart:
    """The state of a chart; every array has the shape of a date. Days are NaN where there are none.

    Attributes
    ----------
    up, down : ndarray of float32
        What adds up on each side, in standard deviations; no more than the limit during an alarm.
    up_after, up_by, down_after, down_by : ndarray of float32
        The last clear day before it last began to, and the first one on which it did.
    up_dates, down_dates : ndarray of int16
        Clear dates since then.
    last_day : ndarray of float32
        Of the last date that was judged, or of the history.
    judged : ndarray of int16
        Dates that were.
    status : ndarray of uint8
        An `AlarmStatus`.
    side : ndarray of int8
        1 where the last alarm is above what is usual, -1 below, 0 where there is none.
    alarm_day, persisting_day, return_day : ndarray of float32
        On which the last alarm was raised, persisted, ended.
    after_day, by_day : ndarray of float32
        Between which the change of the last alarm lies.
    first_alarm_day, first_after_day, first_by_day : ndarray of float32
        The same of the first alarm, which stays when there are later ones.
    first_size : ndarray of float32
        Of the first alarm, as `size`; 0 where there was none.
    size : ndarray of float32
        Mean deviation from the change to the alarm, in standard deviations, clipped; with its sign.
    later : ndarray of uint8
        A bit for each of the last clear dates since the alarm, set where it bears it out.
    alarms : ndarray of uint8
        How many there were; 255 for more.
    """

    up: NDArray[np.float32]
    down: NDArray[np.float32]
    up_after: NDArray[np.float32]
    up_by: NDArray[np.float32]
    down_after: NDArray[np.float32]
    down_by: NDArray[np.float32]
    up_dates: NDArray[np.int16]
    down_dates: NDArray[np.int16]
    last_day: NDArray[np.float32]
    judged: NDArray[np.int16]
    status: NDArray[np.uint8]
    side: NDArray[np.int8]
    alarm_day: NDArray[np.float32]
    persisting_day: NDArray[np.float32]
    return_day: NDArray[np.float32]
    after_day: NDArray[np.float32]
    by_day: NDArray[np.float32]
    first_alarm_day: NDArray[np.float32]
    first_after_day: NDArray[np.float32]
    first_by_day: NDArray[np.float32]
    first_size: NDArray[np.float32]
    size: NDArray[np.float32]
    later: NDArray[np.uint8]
    alarms: NDArray[np.uint8]

    @classmethod
    def start(cls, last_day: NDArray[np.float32]) -> Chart:
        """Begin a chart at nought.

        Parameters
        ----------
        last_day : ndarray of float32, shape (...)
            The last day of each history.

        Returns
        -------
        Chart
        """
        made: dict[str, Any] = {}
        for field in fields(cls):
            kind = CHART_TYPES[field.name]
            made[field.name] = np.full(last_day.shape, np.nan if field.name in _DAYS else 0, kind)
        made["last_day"] = last_day.astype(np.float32)
        return cls(**made)

    def flat(self) -> Chart:
        """Return the same arrays, seen as pixels in a row."""
        return Chart(**{name: array.reshape(-1) for name, array in self.arrays().items()})

    def part(self, pixels: slice) -> Chart:
        """Return a run of the pixels of a flat chart, without copying.

        Parameters
        ----------
        pixels : slice

        Returns
        -------
        Chart
        """
        return Chart(**{name: array[pixels] for name, array in self.arrays().items()})

    def copy(self) -> Chart:
        """Return a chart that shares nothing with this one."""
        return Chart(**{name: array.copy() for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, without copying."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


#: Arrays that hold days.
_DAYS = frozenset(
    (
        *("up_after", "up_by", "down_after", "down_by", "last_day"),
        *("alarm_day", "persisting_day", "return_day", "after_day", "by_day"),
        *("first_alarm_day", "first_after_day", "first_by_day"),
    )
)
#: Types of the arrays of a chart.
CHART_TYPES: dict[str, type[np.generic]] = {field.name: np.float32 for field in fields(Chart)} | {
    "up_dates": np.int16,
    "down_dates": np.int16,
    "judged": np.int16,
    "status": np.uint8,
    "side": np.int8,
    "later": np.uint8,
    "alarms": np.uint8,
}


def advance(chart: Chart, day: float, units: NDArray[np.float32], parameters: MonitorParameters) -> None:
    """Take one more date into a chart, which is written to.

    On each side what exceeds the allowance adds up and never falls below nought (Page 1954,
    doi:10.1093/biomet/41.1-2.100). The change lies between the clear date of the last nought and the next. An
    alarm holds until its sum, which does not grow beyond the limit, is back at nought.

    Parameters
    ----------
    chart : Chart
        Of pixels in a row, or a part of them.
    day : float
        Of the date; none before it may be missing.
    units : ndarray of float32, shape (pixel,)
        Standard deviations from what is usual; NaN where the date cannot be judged.
    parameters : MonitorParameters
    """
    day32 = np.float32(day)
    seen = np.isfinite(units)
    clipped = np.where(seen, units, np.float32(0))
    np.clip(clipped, -np.float32(parameters.clip), np.float32(parameters.clip), out=clipped)
    active = (chart.status == AlarmStatus.PROVISIONAL) | (chart.status == AlarmStatus.PERSISTING)
    _add(
        _Side(chart.up, chart.up_after, chart.up_by, chart.up_dates),
        chart,
        clipped,
        (seen, day32),
        parameters,
    )
    np.negative(clipped, out=clipped)
    down = _Side(chart.down, chart.down_after, chart.down_by, chart.down_dates)
    _add(down, chart, clipped, (seen, day32), parameters)
    _follow(chart, units, seen & active, day32, parameters)
    _raise(chart, seen & ~active, day32, parameters)
    np.copyto(chart.last_day, day32, where=seen)
    chart.judged[...] += seen


@dataclass(frozen=True, eq=False)
class _Side:
    total: NDArray[np.float32]
    after: NDArray[np.float32]
    by: NDArray[np.float32]
    dates: NDArray[np.int16]


def _add(
    side: _Side,
    chart: Chart,
    clipped: NDArray[np.float32],
    date: tuple[NDArray[np.bool_], np.float32],
    parameters: MonitorParameters,
) -> None:
    """Take a date into one side."""
    seen, day = date
    grown = clipped - np.float32(parameters.allowance)
    grown += side.total
    np.maximum(grown, np.float32(0), out=grown)
    begins = seen & (side.total == 0) & (grown > 0)
    np.copyto(side.after, chart.last_day, where=begins)
    np.copyto(side.by, day, where=begins)
    np.copyto(side.total, grown, where=seen)
    side.dates[...] += seen
    side.dates[...] *= side.total > 0


def _follow(
    chart: Chart,
    units: NDArray[np.float32],
    here: NDArray[np.bool_],
    day: np.float32,
    parameters: MonitorParameters,
) -> None:
    """See whether alarms persist, or are over."""
    if not here.any():
        return
    above = chart.side > 0
    total = np.where(above, chart.up, chart.down)
    limit = np.float32(parameters.limit)
    np.copyto(chart.up, np.minimum(chart.up, limit), where=here & above)
    np.copyto(chart.down, np.minimum(chart.down, limit), where=here & ~above)
    with np.errstate(invalid="ignore"):
        borne_out = np.where(above, units, -units) > np.float32(parameters.persistence)
    window = np.uint8(2**parameters.of_later - 1)
    later = ((chart.later << np.uint8(1)) | borne_out.view(np.uint8)) & window
    np.copyto(chart.later, later, where=here)
    persists = here & (chart.status == AlarmStatus.PROVISIONAL)
    persists &= np.bitwise_count(chart.later) >= parameters.least_later
    np.copyto(chart.status, np.uint8(AlarmStatus.PERSISTING), where=persists)
    np.copyto(chart.persisting_day, day, where=persists)
    over = here & (total == 0)
    np.copyto(chart.status, np.uint8(AlarmStatus.RETURNED), where=over)
    np.copyto(chart.return_day, day, where=over)


def _raise(chart: Chart, here: NDArray[np.bool_], day: np.float32, parameters: MonitorParameters) -> None:
    """Raise the alarms of a date."""
    limit = np.float32(parameters.limit)
    above = chart.up >= chart.down
    new = here & (np.maximum(chart.up, chart.down) > limit)
    if not new.any():
        return
    nan = np.float32(np.nan)
    sign = np.where(above, np.int8(1), np.int8(-1))
    total = np.where(above, chart.up, chart.down)
    dates = np.maximum(np.where(above, chart.up_dates, chart.down_dates), 1).astype(np.float32)
    np.copyto(chart.size, (total / dates + np.float32(parameters.allowance)) * sign, where=new)
    np.copyto(chart.after_day, np.where(above, chart.up_after, chart.down_after), where=new)
    np.copyto(chart.by_day, np.where(above, chart.up_by, chart.down_by), where=new)
    np.copyto(chart.side, sign, where=new)
    np.copyto(chart.status, np.uint8(AlarmStatus.PROVISIONAL), where=new)
    np.copyto(chart.alarm_day, day, where=new)
    np.copyto(chart.persisting_day, nan, where=new)
    np.copyto(chart.return_day, nan, where=new)
    np.copyto(chart.later, np.uint8(0), where=new)
    first = new & (chart.alarms == 0)
    np.copyto(chart.first_alarm_day, day, where=first)
    np.copyto(chart.first_after_day, chart.after_day, where=first)
    np.copyto(chart.first_by_day, chart.by_day, where=first)
    np.copyto(chart.first_size, chart.size, where=first)
    np.copyto(chart.up, np.minimum(chart.up, limit), where=new)
    np.copyto(chart.down, np.minimum(chart.down, limit), where=new)
    chart.alarms[...] += new & (chart.alarms < np.iinfo(np.uint8).max)
