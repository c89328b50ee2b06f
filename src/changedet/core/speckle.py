"""Speckle: averaging it, and how many independent looks an image amounts to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import run_blocks
from changedet.core.radar_stack import LEAST_POWER, check_stack
from changedet.errors import NoUsableImageryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Bounds between which the number of looks is sought.
_LEAST_LOOKS, _MOST_LOOKS = 0.2, 1e5
#: Windows, at least, from which a mode is taken.
_LEAST_WINDOWS = 30
#: Windows at most: the mode of more is hardly steadier.
_MOST_WINDOWS = 200_000


def multilook(stack: NDArray[np.float32], size_px: int = 3) -> NDArray[np.float32]:
    """Average power over squares.

    A mean of linear power keeps the power that it averages and reduces speckle; 3 x 3 pixels of Sentinel-1
    GRD at 10 m, with some 4.4 looks each, have some 22. Windows are cut off at the border.

    Parameters
    ----------
    stack : ndarray of float32, shape (..., y, x)
        Linear gamma nought; NaN where not seen.
    size_px : int
        Side of the square, odd.

    Returns
    -------
    ndarray of float32, same shape
        The mean of what is seen in the square. NaN where the pixel itself is not seen.

    Raises
    ------
    ValueError
        When the side is not odd and positive, or the stack is no image.

    Examples
    --------
    >>> plane = np.arange(9, dtype=np.float32).reshape(3, 3)
    >>> plane[0, 0] = np.nan
    >>> multilook(plane)[0].tolist()
    [nan, 3.0, 3.0]
    """
    if size_px < 1 or size_px % 2 == 0 or stack.ndim < 2:
        message = (
            f"a square of {size_px} pixels on a stack of shape {stack.shape}: give an odd side and an image"
        )
        raise ValueError(message)
    planes = stack.reshape(-1, *stack.shape[-2:])
    out = np.empty_like(planes)
    full = _box(np.ones(planes.shape[1:], np.float32), size_px)

    def _work(index: int) -> None:
        plane = planes[index]
        seen = np.isfinite(plane)
        if seen.all():
            np.divide(_box(plane, size_px), full, out=out[index])
            return
        count = _box(seen.astype(np.float32), size_px)
        total = _box(np.where(seen, plane, np.float32(0)), size_px)
        np.divide(total, np.maximum(count, np.float32(1)), out=out[index])
        out[index][~seen] = np.nan

    run_blocks(_work, range(len(planes)))
    return out.reshape(stack.shape)


@dataclass(frozen=True)
class LooksParameters:
    """Parameters of `equivalent_looks`.

    Attributes
    ----------
    window_px : int
        Side of the windows, in samples.
    spacing_px : int
        Distance between the samples of a window, in pixels: the side of a multilooking before, or more where
        neighbours share speckle. Samples that share speckle vary too little, and looks come out too many.
    """

    window_px: int = 7
    spacing_px: int = 1

    def __post_init__(self) -> None:
        if self.window_px < 3 or self.spacing_px < 1:
            message = (
                f"windows of {self.window_px} samples, {self.spacing_px} px apart: give at least 3 and 1"
            )
            raise ValueError(message)


def equivalent_looks(
    stack: NDArray[np.float32], parameters: LooksParameters = LooksParameters()
) -> NDArray[np.float64]:
    """Estimate the equivalent number of looks of each polarisation from the data.

    Speckle of L looks gives the logarithm of power the variance ``psi1(L)``, whatever the brightness (psi1:
    trigamma). Where there are several dates, each is divided by the mean of the others, so that what the
    ground itself looks like drops out and ``psi1(L) + psi1((n - 1) L)`` is left. The variance is taken in
    many small windows; homogeneous ones agree, others exceed them. So it is the mode of their distribution
    that is solved for L, with the mode of a chi-square variable taken into account: the unsupervised
    estimate of Anfinsen, Doulgeris and Eltoft 2009 (doi:10.1109/TGRS.2009.2019269), with a variance of
    logarithms in place of the trace moments of matrices.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one relative orbit; NaN where a date does not see a pixel.
    parameters : LooksParameters

    Returns
    -------
    ndarray of float64, shape (pol,)
        Looks. What fluctuates from date to date besides speckle makes them fewer, and rightly so: it is what
        a change has to exceed.

    Raises
    ------
    ValueError
        As in `check_stack`.
    NoUsableImageryError
        When fewer than 30 windows can be used.
    """
    check_stack(stack)
    usual = _date_sums(stack) if len(stack) > 1 else None
    return np.array([_looks_of(stack[:, pol], usual, pol, parameters) for pol in range(stack.shape[1])])


def looks_of_log_variance(variance: float, others: int = 0) -> float:
    """Return the looks whose speckle gives logarithms of power this variance.

    Parameters
    ----------
    variance : float
        Of natural logarithms.
    others : int
        Number of dates whose mean the power was divided by; 0 for none.

    Returns
    -------
    float
        Between 0.2 and 100 000.

    Examples
    --------
    >>> round(looks_of_log_variance(np.pi**2 / 6), 6)
    1.0
    """
    from scipy.optimize import brentq
    from scipy.special import polygamma

    def excess(log_looks: float) -> float:
        """Return by how much the expectation exceeds what was measured."""
        looks = np.exp(log_looks)
        return float(polygamma(1, looks) + (polygamma(1, others * looks) if others else 0.0)) - variance

    least, most = float(np.log(_LEAST_LOOKS)), float(np.log(_MOST_LOOKS))
    if excess(least) <= 0:
        return _LEAST_LOOKS
    return _MOST_LOOKS if excess(most) >= 0 else float(np.exp(brentq(excess, least, most)))


def _box(plane: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Return sums over squares; what lies outside counts as 0."""
    sums = cv2.boxFilter(
        plane, cv2.CV_32F, (size_px, size_px), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(sums, np.float32)


def _date_sums(stack: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return sums over time, and the number of dates that see each pixel, both of shape (pol, y, x)."""
    total, count = np.zeros(stack.shape[1:], np.float32), np.zeros(stack.shape[1:], np.float32)
    for date in stack:
        seen = np.isfinite(date)
        np.add(total, date, out=total, where=seen)
        count += seen
    return total, count


def _looks_of(
    dates: NDArray[np.float32],
    usual: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    pol: int,
    parameters: LooksParameters,
) -> float:
    variances = []
    for date in dates:
        plane = np.maximum(date, np.float32(LEAST_POWER))
        if usual is not None:
            total, count = usual[0][pol], usual[1][pol]
            complete = count == len(dates)
            others = np.maximum(total - plane, np.float32(LEAST_POWER))
            plane = np.where(complete, plane * np.float32(len(dates) - 1) / others, np.float32(np.nan))
        variances += [_window_variances(part, parameters.window_px) for part in _samples(plane, parameters)]
    found = np.concatenate(variances)
    found = found[np.isfinite(found) & (found > 0)]
    if found.size < _LEAST_WINDOWS:
        raise NoUsableImageryError(
            f"{found.size} windows without gaps are too few to estimate looks from",
            todo=f"give at least {_LEAST_WINDOWS} windows of {parameters.window_px} samples",
        )
    degrees = parameters.window_px**2 - 1
    # of the logarithm of a chi-square variable the mode lies at its degrees of freedom
    logs = np.log(found[:: 1 + found.size // _MOST_WINDOWS])
    return looks_of_log_variance(float(np.exp(_mode(logs, degrees))), len(dates) - 1)


def _samples(plane: NDArray[np.float32], parameters: LooksParameters) -> Iterator[NDArray[np.float32]]:
    step = parameters.spacing_px
    for row in range(step):
        for column in range(step):
            yield plane[row::step, column::step]


def _window_variances(plane: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Return the variance of logarithms in windows that do not overlap; NaN where one has a gap."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    logs = np.log(plane[: rows * side, : columns * side])
    windows = logs.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side)
    return np.asarray(windows.var(axis=1, ddof=1, dtype=np.float64))


def _mode(values: NDArray[np.float64], degrees: int) -> float:
    """Return the mode of a density estimated with a kernel half as wide as the spread of equal windows."""
    width = 0.5 * np.sqrt(2 / degrees)
    edges = np.arange(values.min() - 4 * width, values.max() + 4 * width + width / 20, width / 20)
    counts, _ = np.histogram(values, edges)
    kernel = np.exp(-0.5 * (np.arange(-80, 81) / 20) ** 2)
    density = np.convolve(counts, kernel, mode="same")
    peak = int(np.argmax(density))
    return float((edges[peak] + edges[peak + 1]) / 2)
