"""Thresholds from the shape of a score's histogram: baselines, which fail where little changed.

Each assumes that the changed pixels are a class of their own in the histogram. Where one pixel in fifty
changed they are not, and all three flag far too much: `changedet.core.threshold` is what decides by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.planes import over_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bins of a histogram.
_BINS = 256


def otsu_threshold(score: NDArray[np.float32], bins: int = _BINS) -> float:
    """Return the threshold that sets the means of both classes farthest apart.

    Otsu 1979, doi:10.1109/TSMC.1979.4310076: the cut with the greatest ``P1 P2 (m1 - m2)^2``.

    Parameters
    ----------
    score : ndarray of float32, any shape
        NaN = not judged.
    bins : int
        Of the histogram, from the least to the greatest score.

    Returns
    -------
    float
        In units of the score, between two bins; infinite when nothing was judged or all scores are equal.

    Raises
    ------
    ValueError
        When there are fewer than two bins.

    Examples
    --------
    >>> otsu_threshold(np.repeat(np.float32([1, 2, 8, 9]), 5), bins=8)
    3.0
    """
    counts, edges = _histogram(score, bins, 1.0)
    if counts.sum() == 0:
        return float("inf")
    from skimage.filters import threshold_otsu

    # it names the middle of the last bin below the cut
    half = (edges[1] - edges[0]) / 2
    return float(threshold_otsu(hist=(counts, edges[:-1] + half)) + half)


def kittler_illingworth_threshold(
    score: NDArray[np.float32], bins: int = _BINS, quantile: float = 0.999
) -> float:
    """Return the threshold with the least error if both classes are Gaussian.

    Kittler and Illingworth 1986, doi:10.1016/0031-3203(86)90030-0: the cut with the least
    ``1 + 2 (P1 ln s1 + P2 ln s2) - 2 (P1 ln P1 + P2 ln P2)``. A standard deviation is never taken to be less
    than that of a bin.

    Parameters
    ----------
    score : ndarray of float32, any shape
        NaN = not judged.
    bins : int
        Of the histogram, from the least score to its quantile.
    quantile : float
        Scores above this quantile are counted in the last bin.

    Returns
    -------
    float
        In units of the score, between two bins; infinite when nothing was judged or all scores are equal.

    Raises
    ------
    ValueError
        When there are fewer than two bins or the quantile lies outside 0..1.
    """
    counts, edges = _histogram(score, bins, quantile)
    if counts.sum() == 0:
        return float("inf")
    least = (edges[1] - edges[0]) / np.sqrt(12)
    cost = np.ones(bins - 1)
    both = np.ones(bins - 1, bool)
    for share, _, deviation in _classes(counts, edges):
        both &= share > 0
        safe = np.where(share > 0, share, 1.0)
        cost += 2 * share * (np.log(np.maximum(deviation, least)) - np.log(safe))
    return float(edges[1:-1][np.argmin(np.where(both, cost, np.inf))])


def triangle_threshold(score: NDArray[np.float32], bins: int = _BINS) -> float:
    """Return the threshold at the corner of the histogram's longer slope.

    Zack, Rogers and Latt 1977, doi:10.1177/25.7.70454: a line is drawn from the highest bin to the last one
    on its longer side; the bin that lies farthest below it is the threshold.

    Parameters
    ----------
    score : ndarray of float32, any shape
        NaN = not judged.
    bins : int
        Of the histogram, from the least to the greatest score.

    Returns
    -------
    float
        The middle of a bin, in units of the score; infinite when nothing was judged or all scores are equal.

    Raises
    ------
    ValueError
        When there are fewer than two bins.
    """
    if _histogram(score, bins, 1.0)[0].sum() == 0:
        return float("inf")
    from skimage.filters import threshold_triangle

    return float(threshold_triangle(score[np.isfinite(score)], bins))


def _histogram(
    score: NDArray[np.float32], bins: int, quantile: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return counts and edges of the judged scores; all counts are 0 where they do not vary."""
    if bins < 2 or not 0 < quantile <= 1:
        message = f"there must be at least two bins and a quantile within 0..1, not {bins} and {quantile}"
        raise ValueError(message)
    rows = score.reshape(-1, score.shape[-1] if score.ndim > 1 else 1)
    ends = [found for found in over_rows(_ends, rows) if found is not None]
    least, most = min((low for low, _ in ends), default=0.0), max((high for _, high in ends), default=0.0)
    if quantile < 1 and ends:
        most = float(np.quantile(score[np.isfinite(score)], quantile))
    if not most > least:
        return np.zeros(bins), np.linspace(0, 1, bins + 1)

    def count(part: NDArray[np.float32]) -> NDArray[np.intp]:
        """Count the scores of some rows."""
        judged = part[np.isfinite(part)]
        return np.histogram(np.minimum(judged, np.float32(most)), bins, (least, most))[0]

    counts = np.stack(over_rows(count, rows)).sum(axis=0)
    return counts.astype(np.float64), np.histogram_bin_edges([], bins, (least, most))


def _ends(score: NDArray[np.float32]) -> tuple[float, float] | None:
    """Return the least and the greatest score that was judged, None where there is none."""
    judged = score[np.isfinite(score)]
    return (float(judged.min()), float(judged.max())) if judged.size else None


def _classes(
    counts: NDArray[np.float64], edges: NDArray[np.float64]
) -> tuple[tuple[NDArray[np.float64], ...], tuple[NDArray[np.float64], ...]]:
    """Return share, mean and standard deviation of what lies below and above every cut between two bins."""
    share = counts / counts.sum()
    # measured from the middle, so that squares do not lose digits
    middle = (edges[:-1] + edges[1:]) / 2 - edges.mean()
    found = []
    for order in (slice(None), slice(None, None, -1)):
        weight, first, second = (np.cumsum((share * middle**power)[order])[:-1] for power in (0, 1, 2))
        safe = np.where(weight > 0, weight, 1.0)
        mean = first / safe
        deviation = np.sqrt(np.maximum(second / safe - mean**2, 0))
        found.append(tuple(values[order] for values in (weight, mean, deviation)))
    return found[0], found[1]
