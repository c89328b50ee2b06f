"""Change by the look of the small window round a pixel, parted in two without examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.parameters import Described
from changedet.core.sampling import sample_index
from changedet.core.scaling import check_pair
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rounds after which the two clusters are taken as they are.
_MOST_ROUNDS = 100


@dataclass(frozen=True)
class PcaKmeansParameters(Described):
    """Parameters of `pca_kmeans_score`.

    Attributes
    ----------
    block_px : int
        Side of the windows in pixels.
    components : int
        How many principal components describe a window.
    smoothing_px : tuple of float
        Standard deviations of the Gaussians that smooth the score; the method has none.
    sample : int
        Largest number of windows from which components, and of pixels from which clusters, are found.
    seed : int
        Seed of both samples.
    """

    block_px: int = 4
    components: int = 3
    smoothing_px: tuple[float, ...] = ()
    sample: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.block_px < 1 or not 1 <= self.components <= self.block_px**2 or self.sample < 2:
            message = "block_px must be positive, components at most its square, and sample at least two"
            raise ValueError(message)


def pca_kmeans_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: PcaKmeansParameters = PcaKmeansParameters(),
) -> NDArray[np.float32]:
    """Score change by how far a window lies from the cluster of the windows with little difference.

    Celik 2009, doi:10.1109/LGRS.2009.2025059. The length of the change vector (`cva_score`) is cut into
    windows side by side, whose principal components describe the window round every pixel; two clusters are
    found among these descriptions, and the one with more difference is called changed. The score is the
    position on the line from the centre of the other cluster to that of the changed one, twice, so that
    the method's own decision is a score above 1. It is linear in the length: one small filter.

    Parameters
    ----------
    before, after, valid, weights
        As in `cva_score`.
    parameters : PcaKmeansParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Never negative; NaN where `valid` is False. Pixels that are not usable count as average ones.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.random((2, 64, 64), dtype=np.float32)
    >>> after = before + rng.normal(0, 0.1, before.shape).astype(np.float32)
    >>> after[:, 30:40, 30:40] += 2
    >>> score = pca_kmeans_score(before, after, np.ones((64, 64), bool), (1.0, 1.0))
    >>> bool(score[35, 35] > 1), bool(score[10, 10] > 1)
    (True, False)
    """
    check_pair(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    length = cva_score(before, after, valid, weights, CvaParameters(()))
    average, components = _components(length, valid, parameters)
    index = sample_index(valid, parameters.sample, parameters.seed)
    described = np.einsum("nw,cw->nc", _windows_round(length, average, index), components)
    quiet, changed = _two_clusters(described, length.reshape(-1)[index].astype(np.float64))
    apart = changed - quiet
    if float(apart @ apart) < 1e-12:
        return np.where(valid, np.float32(0), np.float32(np.nan))
    kernel = np.round(2 * (apart @ components) / (apart @ apart), 9)
    constant = round(float(2 * (apart @ quiet) / (apart @ apart)), 9)
    score = np.maximum(_filtered(length, valid, kernel, average) - np.float32(constant), np.float32(0))
    return smooth_score(score, valid, parameters.smoothing_px)


def _components(
    length: NDArray[np.float32], valid: NDArray[np.bool_], parameters: PcaKmeansParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the average window, and the strongest components (component, pixel of the window)."""
    side = parameters.block_px
    rows, columns = (size - size % side for size in length.shape)
    cut = length[:rows, :columns].reshape(rows // side, side, columns // side, side)
    blocks = cut.transpose(0, 2, 1, 3).reshape(-1, side * side)
    whole = np.flatnonzero(np.isfinite(blocks).all(axis=1))
    if len(whole) < 2:
        # too few windows for components: their mean describes them
        return np.full(side * side, float(length[valid].mean())), np.full((1, side * side), 1.0 / side)
    if len(whole) > parameters.sample:
        whole = whole[sample_index(np.ones((1, len(whole)), bool), parameters.sample, parameters.seed)]
    chosen = blocks[whole].astype(np.float64)
    average = chosen.mean(axis=0)
    chosen -= average
    _, vectors = np.linalg.eigh(np.einsum("ni,nj->ij", chosen, chosen))
    return average, vectors[:, ::-1][:, : parameters.components].T


def _windows_round(
    length: NDArray[np.float32], average: NDArray[np.float64], index: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the windows round pixels less the average window, 0 where there is nothing (pixel, window)."""
    side = int(np.sqrt(len(average)))
    before, behind = side // 2, side - side // 2 - 1
    padded = np.pad(length, (before, behind), constant_values=np.nan)
    row, column = np.unravel_index(index, length.shape)
    across = np.arange(side)
    windows = padded[(row[:, None] + across)[:, :, None], (column[:, None] + across)[:, None, :]]
    less: NDArray[np.float64] = windows.reshape(len(index), -1) - average
    return np.nan_to_num(less)


def _two_clusters(
    described: NDArray[np.float64], length: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres of two clusters by k-means, the one with the smaller mean length first."""
    member = length > length.mean()
    for _ in range(_MOST_ROUNDS):
        if member.all() or not member.any():
            return described.mean(axis=0), described.mean(axis=0)
        centres = [described[chosen].mean(axis=0) for chosen in (~member, member)]
        distance = [np.einsum("ij,ij->i", described - centre, described - centre) for centre in centres]
        now = distance[1] < distance[0]
        if (now == member).all():
            break
        member = now
    quiet, changed = centres
    return (quiet, changed) if length[member].mean() >= length[~member].mean() else (changed, quiet)


def _filtered(
    length: NDArray[np.float32],
    valid: NDArray[np.bool_],
    kernel: NDArray[np.float64],
    average: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the sum of the kernel times the window less the average window, of what is usable in it."""
    side = int(np.sqrt(len(kernel)))
    total = np.zeros(length.shape, np.float32)
    for plane, weights in ((length, kernel), (valid, -kernel * average)):
        total += cv2.filter2D(
            np.where(valid, plane, 0).astype(np.float32),
            cv2.CV_32F,
            weights.reshape(side, side).astype(np.float32),
            anchor=(side // 2, side // 2),
            borderType=cv2.BORDER_CONSTANT,
        )
    return total
