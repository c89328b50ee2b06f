"""Watching pixels date by date: what the next scene says, without fitting anything again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import THREADS, run_blocks, spans
from changedet.core.cusum import CHART_TYPES, AlarmStatus, Chart, MonitorParameters, advance
from changedet.core.few_dates import FewDates
from changedet.core.harmonic_baseline import Baseline, BaselineParameters, check_series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Pixels of a block: the arrays of a chart stay in the cache from date to date.
_BLOCK_PX = 8192
#: Form of the saved arrays.
STATE_VERSION = 1
_ARRAYS = ("coefficient", "scale", "inverse", "count", "code", "last_day", "break_day")
_DEFAULTS = MonitorParameters()
_FEW_ARRAYS = ("pixel", "value", "day", "scale")


@dataclass(frozen=True, eq=False)
class MonitorState:
    """All that the next date needs. Shapes (...) are those of a date.

    Attributes
    ----------
    baseline : Baseline
        What is usual.
    chart : Chart
        What added up, and the alarms.
    day : float
        The last date that was taken; minus infinity before the first.
    parameters : MonitorParameters
    """

    baseline: Baseline
    chart: Chart
    day: float
    parameters: MonitorParameters

    @property
    def status(self) -> NDArray[np.uint8]:
        """An `AlarmStatus` for each pixel."""
        return self.chart.status

    @property
    def alarmed(self) -> NDArray[np.bool_]:
        """Where an alarm holds, provisional or persisting."""
        return np.isin(self.chart.status, (AlarmStatus.PROVISIONAL, AlarmStatus.PERSISTING))

    @property
    def new_alarms(self) -> NDArray[np.bool_]:
        """Where the last date raised an alarm."""
        return np.asarray(self.chart.alarm_day == np.float32(self.day))

    @property
    def newly_persisting(self) -> NDArray[np.bool_]:
        """Where the last date bore an alarm out."""
        return np.asarray(self.chart.persisting_day == np.float32(self.day))

    @property
    def newly_returned(self) -> NDArray[np.bool_]:
        """Where the last date brought a pixel back to what was usual."""
        return np.asarray(self.chart.return_day == np.float32(self.day))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything as plain arrays, which `numpy.savez` takes and `numpy.load` gives without pickle.

        Returns
        -------
        dict of ndarray
            Names begin with ``baseline.``, ``few.`` and ``chart.``; ``about`` is a text of JSON.
        """
        about = {
            "version": STATE_VERSION,
            "day": self.day if math.isfinite(self.day) else None,
            "origin_day": self.baseline.origin_day,
            "baseline": self.baseline.parameters.to_dict(),
            "monitor": self.parameters.to_dict(),
        }
        few = self.baseline.few
        found: dict[str, NDArray[np.generic]] = {"about": np.array(json.dumps(about))}
        found |= {f"baseline.{name}": getattr(self.baseline, name) for name in _ARRAYS}
        found |= {f"few.{name}": getattr(few, name) for name in _FEW_ARRAYS}
        return found | {f"chart.{name}": array for name, array in self.chart.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> MonitorState:
        """Make the state that `to_arrays` described.

        Parameters
        ----------
        arrays : mapping of ndarray

        Returns
        -------
        MonitorState

        Raises
        ------
        ValueError
            When arrays are missing or do not fit together, or another version wrote them.
        """
        try:
            about = json.loads(str(arrays["about"]))
            if about["version"] != STATE_VERSION:
                message = f"a state of version {about['version']} is not read here; fit the history again"
                raise ValueError(message)
            rules = BaselineParameters(**about["baseline"])
            few = FewDates(
                **{name: np.asarray(arrays[f"few.{name}"]) for name in _FEW_ARRAYS},
                window_days=rules.window_days,
                least_dates=rules.least_level_dates,
            )
            learnt = {name: np.asarray(arrays[f"baseline.{name}"]) for name in _ARRAYS}
            chart = Chart(
                **{field.name: np.asarray(arrays[f"chart.{field.name}"]) for field in fields(Chart)}
            )
            baseline = Baseline(**learnt, origin_day=about["origin_day"], few=few, parameters=rules)
            day = -math.inf if about["day"] is None else float(about["day"])
            state = cls(baseline, chart, day, MonitorParameters(**about["monitor"]))
        except (KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
            message = f"this is no state of a monitor ({error}); fit the history again"
            raise ValueError(message) from error
        _check_state(state)
        return state


def _check_state(state: MonitorState) -> None:
    shape, terms = state.baseline.shape, state.baseline.parameters.terms
    for name, array in state.chart.arrays().items():
        if array.shape != shape or array.dtype != CHART_TYPES[name]:
            message = (
                f"{name} of the state is {array.dtype} of shape {array.shape}, not {shape}; "
                "fit the history again"
            )
            raise ValueError(message)
    if state.baseline.coefficient.shape != (terms, *shape):
        message = f"the state has no {terms} coefficients for each pixel; fit the history again"
        raise ValueError(message)


def start_monitoring(baseline: Baseline, parameters: MonitorParameters = _DEFAULTS) -> MonitorState:
    """Return the state before the first date.

    Parameters
    ----------
    baseline : Baseline
    parameters : MonitorParameters

    Returns
    -------
    MonitorState
    """
    return MonitorState(baseline, Chart.start(baseline.last_day), -math.inf, parameters)


def update(
    state: MonitorState,
    day: float,
    values: NDArray[np.float32],
    seen: NDArray[np.bool_] | None = None,
    threads: int = THREADS,
) -> MonitorState:
    """Take one more date.

    Parameters
    ----------
    state : MonitorState
        Stays as it is.
    day : float
        From the origin of the history's days; not before that of the state.
    values : ndarray of float32, shape (...)
        NaN where the date does not see a pixel.
    seen : ndarray of bool, shape (...), optional
        Where it does; where it is finite when not given.
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    MonitorState
        The same, bit by bit, whether dates are taken one by one or together by `monitor`.

    Raises
    ------
    ValueError
        When shapes do not fit, or the day comes before one that was taken.
    """
    whole = None if seen is None else seen[None]
    return monitor(state, np.array([day], np.float64), values[None], whole, threads)


def monitor(
    state: MonitorState,
    days: NDArray[np.float64],
    values: NDArray[np.float32],
    seen: NDArray[np.bool_] | None = None,
    threads: int = THREADS,
) -> MonitorState:
    """Take several dates.

    Parameters
    ----------
    state : MonitorState
        As from `start_monitoring` or an earlier call; stays as it is.
    days : ndarray of float64, shape (time,)
        Ascending, from the origin of the history's days.
    values : ndarray of float32, shape (time, ...)
        NaN where a date does not see a pixel.
    seen : ndarray of bool, shape (time, ...), optional
        Where it does; where it is finite when not given.
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    MonitorState

    Raises
    ------
    ValueError
        When shapes do not fit, or a day comes before one that was taken.
    """
    check_series(values, days, seen)
    if values.shape[1:] != state.baseline.shape:
        message = f"dates of shape {values.shape[1:]} for a state of {state.baseline.shape}; use one grid"
        raise ValueError(message)
    if days[0] < state.day:
        message = f"day {days[0]:g} comes before day {state.day:g}, which was taken; give later dates only"
        raise ValueError(message)
    chart = state.chart.copy()
    rows, flat = chart.flat(), values.reshape(len(values), -1)
    mask = None if seen is None else seen.reshape(flat.shape)

    def _work(pixels: slice) -> None:
        part = rows.part(pixels)
        for number, day in enumerate(days):
            expected, spread = state.baseline.expected_of(float(day), pixels)
            units = flat[number, pixels].astype(np.float32) - expected
            units /= spread
            if mask is not None:
                units[~mask[number, pixels]] = np.nan
            advance(part, float(day), units, state.parameters)

    run_blocks(_work, spans(flat.shape[1], _BLOCK_PX), threads)
    return MonitorState(state.baseline, chart, float(days[-1]), state.parameters)
