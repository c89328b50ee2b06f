"""Since when has each pixel been different, and what is new: the entry to everything that works on series.

A history tells what is usual (`harmonic_baseline`), a chart adds up what is not (`cusum`, `monitoring`),
indices are taken together (`index_alarms`), objects are series like pixels (`object_series`), and what came
after a break is put in numbers (`series_behaviour`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import THREADS
from changedet.core.cusum import AlarmStatus, Chart, MonitorParameters
from changedet.core.harmonic_baseline import (
    Baseline,
    BaselineCode,
    BaselineParameters,
    fit_baseline,
)
from changedet.core.index_alarms import (
    IndexAlarms,
    SeriesParameters,
    combine_alarms,
    monitor_indices,
    update_indices,
)
from changedet.core.monitoring import MonitorState, monitor, start_monitoring, update
from changedet.core.object_series import ObjectSeries, object_series
from changedet.core.series_behaviour import Behaviour, BehaviourParameters, Pattern, behaviour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "AlarmStatus",
    "Baseline",
    "BaselineCode",
    "BaselineParameters",
    "Behaviour",
    "BehaviourParameters",
    "Chart",
    "IndexAlarms",
    "MonitorParameters",
    "MonitorState",
    "ObjectSeries",
    "Pattern",
    "SeriesParameters",
    "Timeline",
    "behaviour",
    "combine_alarms",
    "fit_baseline",
    "monitor",
    "monitor_indices",
    "object_series",
    "start_monitoring",
    "timeline",
    "update",
    "update_indices",
]


_DEFAULTS = SeriesParameters()


@dataclass(frozen=True, eq=False)
class Timeline:
    """The outcome of `timeline`.

    Attributes
    ----------
    states : tuple of MonitorState
        One for each index, from which tomorrow's date goes on (`update_indices`).
    alarms : IndexAlarms
        What they say together.
    units : ndarray of float32, shape (index, time, ...)
        Every date in standard deviations from what is usual; NaN where it cannot be judged.
    described : ndarray of int8, shape (...)
        The index whose first alarm had the largest step, over or not; -1 where none ever was in alarm.
    behaviour : Behaviour
        Of that index, after that alarm's change.
    """

    states: tuple[MonitorState, ...]
    alarms: IndexAlarms
    units: NDArray[np.float32]
    described: NDArray[np.int8]
    behaviour: Behaviour


def timeline(
    values: NDArray[np.float32],
    days: NDArray[np.float64],
    history_until: float,
    names: Sequence[str],
    seen: NDArray[np.bool_] | None = None,
    parameters: SeriesParameters = _DEFAULTS,
    threads: int = THREADS,
) -> Timeline:
    """Say since when pixels or objects have been different, and how they went on.

    Keeps every date of every index in memory; for whole scenes use `monitor_indices`, which does not.

    Parameters
    ----------
    values : ndarray of float32, shape (index, time, ...)
        Of pixels (y, x) or of objects; NaN where a date does not see.
    days : ndarray of float64, shape (time,)
        Ascending.
    history_until : float
        The first day that is monitored.
    names : sequence of str
        Of the indices.
    seen : ndarray of bool, shape (time, ...), optional
        Where a date sees a pixel, for all indices.
    parameters : SeriesParameters
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    Timeline

    Raises
    ------
    ValueError
        When shapes do not fit, or there is no date before `history_until`.

    Examples
    --------
    >>> days = np.arange(0.0, 1096.0, 10.0)
    >>> rng = np.random.default_rng(0)
    >>> ndvi = (0.6 + rng.normal(0, 0.03, (1, len(days), 1))).astype(np.float32)
    >>> ndvi[:, days >= 900] -= np.float32(0.4)
    >>> found = timeline(ndvi, days, 731.0, ["ndvi"])
    >>> AlarmStatus(found.alarms.status[0]).name, found.alarms.by_day[0].item()
    ('PERSISTING', 900.0)
    """
    states = monitor_indices(values, days, history_until, seen, parameters, threads)
    alarms = combine_alarms(states, names, parameters.least_indices)
    units = np.stack(
        [state.baseline.standardise(series, days, seen) for state, series in zip(states, values, strict=True)]
    )
    sizes = np.stack([state.chart.first_size for state in states])
    largest = np.abs(sizes).argmax(axis=0)[None]
    size = np.take_along_axis(sizes, largest, axis=0)[0]
    by_day = np.take_along_axis(np.stack([state.chart.first_by_day for state in states]), largest, axis=0)[0]
    places = np.broadcast_to(largest[:, None], (1, *units.shape[1:]))
    series = np.take_along_axis(units, places, axis=0)[0]
    described = np.where(size != 0, largest[0], -1).astype(np.int8)
    return Timeline(
        states, alarms, units, described, behaviour(series, days, by_day, np.sign(size).astype(np.int8))
    )
