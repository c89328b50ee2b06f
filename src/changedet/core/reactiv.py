"""A series of radar as one picture that shows where and when something came or went: REACTIV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import THREADS, row_blocks, run_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Buffers of a block; dates are read one at a time.
_BLOCK_BYTES = 1_500_000
#: Dates that a coefficient of variation is taken of, at least.
_LEAST_DATES = 2


@dataclass(frozen=True)
class ReactivParameters:
    """Parameters of `reactiv`.

    Attributes
    ----------
    looks : float
        Equivalent number of looks of one date.
    hue_span : float
        Share of the circle of hues that the series takes, from red; below 1, so that its last date does not
        look like its first.
    brightest : float
        Quantile of the maximum amplitude that is drawn at full brightness.
    """

    looks: float = 4.4
    hue_span: float = 0.83
    brightest: float = 0.98

    def __post_init__(self) -> None:
        if not 0 < self.looks < np.inf or not 0 < self.hue_span <= 1 or not 0 < self.brightest <= 1:
            message = (
                f"looks of {self.looks}, a span of {self.hue_span} and a quantile of {self.brightest}: "
                "give positive looks, and shares above 0 and up to 1"
            )
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Reactiv:
    """The outcome of `reactiv`.

    Attributes
    ----------
    variation : ndarray of float32, shape (y, x)
        Coefficient of variation of the amplitude over time; NaN where fewer than two dates see the pixel.
    score : ndarray of float32, shape (y, x)
        By how many standard deviations the variation exceeds that of speckle, within 0 and 1.
    date : ndarray of int16, shape (y, x)
        Index of the date of largest amplitude, the first of equals; -1 where there is none.
    amplitude : ndarray of float32, shape (y, x)
        The largest amplitude, the square root of power.
    picture : ndarray of uint8, shape (y, x, 3)
        Red, green, blue: hue is the date, saturation the score, brightness the amplitude. Black where not
        observed.
    """

    variation: NDArray[np.float32]
    score: NDArray[np.float32]
    date: NDArray[np.int16]
    amplitude: NDArray[np.float32]
    picture: NDArray[np.uint8]


def reactiv(
    stack: NDArray[np.float32],
    parameters: ReactivParameters = ReactivParameters(),
    *,
    days: Sequence[float] | None = None,
    threads: int = THREADS,
) -> Reactiv:
    """Draw what came and went in a series of one polarisation.

    Colin Koeniguer and Nicolas 2020 (doi:10.3390/rs12132089): the coefficient of variation of the amplitude
    does not depend on how bright the ground is. Ground without change is grey, what came or went has colour,
    and the hue says when it was brightest. It is for looking; as a detector it finds less than
    `changedet.core.omnibus` and much less than `changedet.core.likelihood_ratio`.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, y, x)
        Linear gamma nought of one polarisation and relative orbit; not negative; NaN where a date does not
        see a pixel.
    parameters : ReactivParameters
    days : sequence of float, optional
        Times of the dates in any unit, increasing, for the hue; else dates count as equally far apart.
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    Reactiv

    Raises
    ------
    ValueError
        When the stack has another shape, or `days` do not fit it.

    Examples
    --------
    >>> stack = np.ones((5, 1, 1), np.float32)
    >>> stack[3] = 25
    >>> found = reactiv(stack)
    >>> found.date.item(), found.amplitude.item(), found.score.item()
    (3, 5.0, 1.0)
    """
    times = _times(stack, days)
    shape = stack.shape[1:]
    variation, amplitude = np.empty(shape, np.float32), np.empty(shape, np.float32)
    score, date = np.empty(shape, np.float32), np.empty(shape, np.int16)

    def _work(rows: slice) -> None:
        count, variation[rows], date[rows], amplitude[rows] = _block(stack[:, rows])
        usual, deviation = speckle_variation(parameters.looks, np.maximum(count, _LEAST_DATES))
        score[rows] = np.clip((variation[rows] - usual) / deviation, 0, 1)

    run_blocks(_work, row_blocks((shape[0], shape[1]), 12, _BLOCK_BYTES), threads)
    hue = times[np.maximum(date, 0)] * np.float32(parameters.hue_span)
    return Reactiv(variation, score, date, amplitude, _picture(hue, score, amplitude, parameters.brightest))


def speckle_variation(looks: float, dates: NDArray[np.float64] | int) -> tuple[float, NDArray[np.float64]]:
    """Return mean and standard deviation of the coefficient of variation of speckled amplitudes.

    Amplitudes of L looks are Nakagami distributed, with the moments ``Gamma(L + k/2) / Gamma(L) L^(-k/2)``.
    The mean is ``sqrt(L Gamma(L)^2 / Gamma(L + 1/2)^2 - 1)``, the variance of n dates that of the first order
    in 1/n.

    Parameters
    ----------
    looks : float
        Equivalent number of looks.
    dates : int or ndarray
        Number of dates.

    Returns
    -------
    mean : float
    deviation : ndarray of float64
        For each number of dates.

    Examples
    --------
    >>> mean, deviation = speckle_variation(1.0, 100)
    >>> round(mean, 4), round(float(deviation), 4)
    (0.5227, 0.0371)
    """
    from scipy.special import gammaln

    first, second, third, fourth = (
        float(np.exp(gammaln(looks + k / 2) - gammaln(looks) - k / 2 * np.log(looks))) for k in (1, 2, 3, 4)
    )
    mean = np.sqrt(second / first**2 - 1)
    # of second / first^2, by the delta method
    variance = (fourth - second**2) / first**4 + 4 * second**2 * (second - first**2) / first**6
    variance -= 4 * second * (third - first * second) / first**5
    return float(mean), np.sqrt(variance / np.asarray(dates, np.float64)) / (2 * mean)


def _times(stack: NDArray[np.float32], days: Sequence[float] | None) -> NDArray[np.float32]:
    """Return the place of each date in the series, 0 to 1."""
    if stack.ndim != 3 or len(stack) == 0:
        message = f"a stack of shape {stack.shape} is not (time, y, x) with a date at least"
        raise ValueError(message)
    times = np.asarray(range(len(stack)) if days is None else days, np.float64)
    if times.shape != (len(stack),) or (np.diff(times) <= 0).any():
        message = f"{times.size} times for {len(stack)} dates: give one for each, increasing"
        raise ValueError(message)
    return np.asarray((times - times[0]) / max(times[-1] - times[0], 1e-9), np.float32)


def _block(
    stack: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int16], NDArray[np.float32]]:
    """Return number of dates, variation, date of the maximum, and the maximum."""
    shape = stack.shape[1:]
    count, first, second = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    largest, date = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int16)
    for index, power in enumerate(stack):
        seen = np.isfinite(power)
        amplitude = np.sqrt(np.where(seen, np.maximum(power, np.float32(0)), np.float32(0)))
        count += seen
        first += amplitude
        second += np.square(amplitude, dtype=np.float64)
        larger = seen & (amplitude > largest)
        np.copyto(largest, amplitude, where=larger)
        np.copyto(date, np.int16(index), where=larger)
    number = np.maximum(count, _LEAST_DATES)
    mean = first / number
    variance = np.maximum(second - number * mean * mean, 0) / (number - 1)
    variation = np.where(mean > 0, np.sqrt(variance) / np.maximum(mean, 1e-30), 0.0)
    variation[count < _LEAST_DATES] = np.nan
    largest[count == 0] = np.nan
    return count, variation, date, largest


def _picture(
    hue: NDArray[np.float32], score: NDArray[np.float32], amplitude: NDArray[np.float32], brightest: float
) -> NDArray[np.uint8]:
    seen = np.isfinite(score) & np.isfinite(amplitude)
    full = float(np.quantile(amplitude[seen], brightest)) if seen.any() else 1.0
    value = np.where(seen, np.clip(amplitude / max(full, 1e-30), 0, 1), np.float32(0))
    saturation = np.where(seen, score, np.float32(0))
    hsv = np.dstack([hue * np.float32(360), saturation, value]).astype(np.float32)
    rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.asarray(np.rint(rgb * 255), np.uint8)
