"""Change by the look of the small window round a pixel, parted in two without examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import row_blocks
from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.parameters import Described
from changedet.core.planes import by_tiles, new_plane, over_rows, relieve
from changedet.core.sampling import sample_index, values_at
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
    quiet, changed = _two_clusters(described, values_at(length, index).astype(np.float64))
    apart = changed - quiet
    if float(apart @ apart) < 1e-12:
        return smooth_score(new_plane(valid.shape, np.float32, 0), valid, ())
    kernel = np.round(2 * (apart @ components) / (apart @ apart), 9)
    constant = round(float(2 * (apart @ quiet) / (apart @ apart)), 9)
    score = _filtered(length, valid, (kernel, -kernel * average), constant)
    return smooth_score(score, valid, parameters.smoothing_px)


def _components(
    length: NDArray[np.float32], valid: NDArray[np.bool_], parameters: PcaKmeansParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the average window, and the strongest components (component, pixel of the window)."""
    side = parameters.block_px
    corners = _whole_windows(length, side)
    if len(corners) < 2:
        # too few windows for components: their mean describes them
        sums = over_rows(lambda part, usable: part[usable].sum(dtype=np.float64), length, valid)
        mean = float(sum(sums)) / int(np.count_nonzero(valid))
        return np.full(side * side, mean), np.full((1, side * side), 1.0 / side)
    if len(corners) > parameters.sample:
        everything = np.ones((1, len(corners)), bool)
        corners = corners[sample_index(everything, parameters.sample, parameters.seed)]
    within = np.arange(side)[:, None] * length.shape[1] + np.arange(side)
    chosen = values_at(length, corners[:, None] + within.reshape(-1)).astype(np.float64)
    average = chosen.mean(axis=0)
    chosen -= average
    _, vectors = np.linalg.eigh(np.einsum("ni,nj->ij", chosen, chosen))
    return average, vectors[:, ::-1][:, : parameters.components].T


def _whole_windows(length: NDArray[np.float32], side: int) -> NDArray[np.intp]:
    """Return where windows side by side begin of which everything is usable, as places in the plane."""
    rows, columns = (size - size % side for size in length.shape)
    found = [np.zeros(0, np.intp)]
    for some in row_blocks((rows // side, columns), side):
        part = length[some.start * side : some.stop * side, :columns]
        windows = np.isfinite(part).reshape(some.stop - some.start, side, columns // side, side)
        row, column = np.nonzero(windows.all(axis=(1, 3)))
        found.append((some.start + row) * side * length.shape[1] + column * side)
        relieve()
    return np.concatenate(found)


def _windows_round(
    length: NDArray[np.float32], average: NDArray[np.float64], index: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the windows round pixels less the average window, 0 where there is nothing (pixel, window)."""
    side = int(np.sqrt(len(average)))
    across = np.arange(side) - side // 2
    row, column = (places[:, None] + across for places in np.unravel_index(index, length.shape))
    there = [
        (places >= 0) & (places < size) for places, size in zip((row, column), length.shape, strict=True)
    ]
    inside = (there[0][:, :, None] & there[1][:, None, :]).reshape(len(index), -1)
    places = (row[:, :, None] * length.shape[1] + column[:, None, :]).reshape(len(index), -1)
    windows = values_at(length, np.where(inside, places, 0))
    less: NDArray[np.float64] = np.where(inside, windows, np.float32(np.nan)) - average
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
    kernels: tuple[NDArray[np.float64], NDArray[np.float64]],
    constant: float,
) -> NDArray[np.float32]:
    """Return the sum of the first kernel times what is usable of a window, and the second, less a constant.

    It is 0 where that would be negative.
    """
    side = int(np.sqrt(len(kernels[0])))
    squares = [kernel.reshape(side, side).astype(np.float32) for kernel in kernels]

    def filtered(wide: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Filter a tile."""
        total = np.zeros(usable.shape, np.float32)
        for plane, square in zip((wide, usable), squares, strict=True):
            total += cv2.filter2D(
                np.where(usable, plane, 0).astype(np.float32),
                cv2.CV_32F,
                square,
                anchor=(side // 2, side // 2),
                borderType=cv2.BORDER_CONSTANT,
            )
        return np.asarray(np.maximum(total - np.float32(constant), np.float32(0)))

    return by_tiles(filtered, length, valid, halo_px=side, dtype=np.float32)
