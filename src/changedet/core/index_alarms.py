"""Several indices of the same pixels as one alarm, and which of them said so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import THREADS
from changedet.core.cusum import AlarmStatus, MonitorParameters
from changedet.core.harmonic_baseline import BaselineParameters, fit_baseline
from changedet.core.monitoring import MonitorState, monitor, start_monitoring, update
from changedet.core.parameters import Described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Bits in which indices say so.
_MOST_INDICES = 32


@dataclass(frozen=True)
class SeriesParameters(Described):
    """Parameters of a baseline and of its chart.

    Attributes
    ----------
    baseline : BaselineParameters
    monitor : MonitorParameters
    least_indices : int
        Indices that must be in alarm at the same time for a combined one.
    """

    baseline: BaselineParameters = field(default_factory=BaselineParameters)
    monitor: MonitorParameters = field(default_factory=MonitorParameters)
    least_indices: int = 1


@dataclass(frozen=True, eq=False)
class IndexAlarms:
    """What several indices say together; arrays have the shape of a date.

    Attributes
    ----------
    names : tuple of str
        Of the indices.
    status : ndarray of uint8
        An `AlarmStatus`: persisting when at least one index persists among enough that are in alarm; returned
        when an index was in alarm and too few are now.
    said_by : ndarray of uint32
        A bit for each index that is in alarm: 1 for the first, 2 for the second, 4 for the third.
    leading : ndarray of int8
        The index with the largest step among these, or -1.
    alarm_day : ndarray of float32
        When enough of them were in alarm for the first time; NaN where there is no combined alarm.
    after_day, by_day : ndarray of float32
        Between which the change of the leading index lies.
    size : ndarray of float32
        Of the leading index, in standard deviations, with its sign (`Chart.size`).
    """

    names: tuple[str, ...]
    status: NDArray[np.uint8]
    said_by: NDArray[np.uint32]
    leading: NDArray[np.int8]
    alarm_day: NDArray[np.float32]
    after_day: NDArray[np.float32]
    by_day: NDArray[np.float32]
    size: NDArray[np.float32]

    def said(self, name: str) -> NDArray[np.bool_]:
        """Return where an index is in alarm.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray of bool
        """
        return np.asarray((self.said_by >> np.uint32(self.names.index(name))) & np.uint32(1), np.bool_)


def monitor_indices(
    values: NDArray[np.float32],
    days: NDArray[np.float64],
    history_until: float,
    seen: NDArray[np.bool_] | None = None,
    parameters: SeriesParameters = SeriesParameters(),
    threads: int = THREADS,
) -> tuple[MonitorState, ...]:
    """Learn what is usual for each index, and watch the dates after that.

    Parameters
    ----------
    values : ndarray of float32, shape (index, time, ...)
        NaN where a date does not see a pixel.
    days : ndarray of float64, shape (time,)
        Ascending.
    history_until : float
        The first day that is monitored; earlier ones are the history.
    seen : ndarray of bool, shape (time, ...), optional
        Where a date sees a pixel, for all indices.
    parameters : SeriesParameters
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    tuple of MonitorState
        One for each index, for `combine_alarms` and `update_indices`.

    Raises
    ------
    ValueError
        When shapes do not fit, or there is no date before `history_until`.
    """
    history = days < history_until
    if not history.any():
        message = f"no date lies before day {history_until:g}; begin monitoring later, or fetch earlier dates"
        raise ValueError(message)
    states = []
    for series in values:
        mask = None if seen is None else seen[history]
        baseline = fit_baseline(series[history], days[history], mask, parameters.baseline, threads)
        state = start_monitoring(baseline, parameters.monitor)
        if not history.all():
            mask = None if seen is None else seen[~history]
            state = monitor(state, days[~history], series[~history], mask, threads)
        states.append(state)
    return tuple(states)


def update_indices(
    states: Sequence[MonitorState],
    day: float,
    values: NDArray[np.float32],
    seen: NDArray[np.bool_] | None = None,
    threads: int = THREADS,
) -> tuple[MonitorState, ...]:
    """Take one more date of every index.

    Parameters
    ----------
    states : sequence of MonitorState
        Stay as they are.
    day : float
    values : ndarray of float32, shape (index, ...)
    seen : ndarray of bool, shape (...), optional
    threads : int

    Returns
    -------
    tuple of MonitorState

    Raises
    ------
    ValueError
        When the number of indices or a shape does not fit.
    """
    if len(values) != len(states):
        message = f"{len(values)} indices for {len(states)} states; give one of each"
        raise ValueError(message)
    return tuple(
        update(state, day, index, seen, threads) for state, index in zip(states, values, strict=True)
    )


def combine_alarms(
    states: Sequence[MonitorState], names: Sequence[str], least_indices: int = 1
) -> IndexAlarms:
    """Make one alarm of those of several indices.

    Parameters
    ----------
    states : sequence of MonitorState
        Of the same pixels.
    names : sequence of str
        Of the indices.
    least_indices : int
        How many must be in alarm at the same time.

    Returns
    -------
    IndexAlarms

    Raises
    ------
    ValueError
        When names and states do not match, or more indices are asked for than there are.
    """
    if len(names) != len(states) or not 1 <= least_indices <= len(states) <= _MOST_INDICES:
        message = (
            f"{len(states)} states, {len(names)} names, {least_indices} indices needed; give a name for each "
            f"of up to {_MOST_INDICES}, and need between 1 and all of them"
        )
        raise ValueError(message)
    alarmed = np.stack([state.alarmed for state in states])
    together = alarmed.sum(axis=0) >= least_indices
    persisting = np.stack([state.status == AlarmStatus.PERSISTING for state in states]).any(axis=0)
    ever = np.stack([state.status != AlarmStatus.NONE for state in states]).any(axis=0)
    alarm_days = np.stack([state.chart.alarm_day for state in states])
    sizes = np.stack([state.chart.size for state in states])
    leading = np.where(alarmed, np.abs(sizes), np.float32(-1)).argmax(axis=0)
    ordered = np.sort(np.where(alarmed, alarm_days, np.float32(np.inf)), axis=0)
    nan = np.float32(np.nan)

    def _of_leading(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(together, np.take_along_axis(array, leading[None], axis=0)[0], nan)

    status = np.where(ever, AlarmStatus.RETURNED, AlarmStatus.NONE).astype(np.uint8)
    status[~together & alarmed.any(axis=0)] = AlarmStatus.NONE
    status[together] = AlarmStatus.PROVISIONAL
    status[together & persisting] = AlarmStatus.PERSISTING
    bits = np.uint32(1) << np.arange(len(states), dtype=np.uint32)
    return IndexAlarms(
        tuple(names),
        status,
        np.tensordot(bits, alarmed.astype(np.uint32), axes=1).astype(np.uint32),
        np.where(together, leading, -1).astype(np.int8),
        np.where(together, ordered[least_indices - 1], nan).astype(np.float32),
        _of_leading(np.stack([state.chart.after_day for state in states])),
        _of_leading(np.stack([state.chart.by_day for state in states])),
        _of_leading(sizes),
    )
