"""Change as a vector in the space of the bands: its length, its direction, its principal part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import Buffers, row_blocks, run_blocks
from changedet.core.parameters import Described
from changedet.core.planes import new_plane, relieve
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import centre_and_spread, check_pair
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

#: Pixels on which the scale of each band, and the principal components, are taken.
_SAMPLE = 50_000
#: Differences below this many standard deviations are rounding.
_ROUNDING = 1e-4
#: What the buffers of a block take: half the second-level cache of a core. A call on a smaller block takes
#: about as long as handing the interpreter from thread to thread.
_BLOCK_BYTES = 524_288


@dataclass(frozen=True)
class CvaParameters(Described):
    """Parameters of `cva_score`.

    Attributes
    ----------
    smoothing_px : tuple of float
        Standard deviations of the Gaussians whose smoothed scores are combined by geometric mean.
    """

    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class PcaDifferenceParameters(Described):
    """Parameters of `pca_difference_score`.

    Attributes
    ----------
    energy : float
        Share of the variance of the difference that the components which are kept hold together.
    smoothing_px : tuple of float
        As in `CvaParameters`.
    """

    energy: float = 0.95
    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        if not 0 < self.energy <= 1:
            message = f"energy must lie above 0 and not above 1, not {self.energy}"
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class ChangeVectors:
    """Change vectors in polar form.

    Attributes
    ----------
    magnitude : ndarray of float32, shape (y, x)
        Length, in robust standard deviations of the bands; NaN where not usable.
    direction_deg : ndarray of float32, shape (y, x)
        Angle to the vector that rises alike in all bands: 0 where all bands brighten alike, 180 where all
        darken alike, about 90 where some rise and others fall. NaN where not usable or where nothing differs.
    """

    magnitude: NDArray[np.float32]
    direction_deg: NDArray[np.float32]


def cva_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: CvaParameters = CvaParameters(),
) -> NDArray[np.float32]:
    """Score change as the length of the change vector of standardised bands.

    Change vector analysis: Bovolo and Bruzzone 2007, doi:10.1109/TGRS.2006.885408. Each band of each date is
    centred on its median and divided by its median absolute deviation first, so a gain or an offset on a date
    leaves the score as it is.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Any linear radiometric unit, registered to each other, the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band.
    parameters : CvaParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.random((3, 64, 64), dtype=np.float32)
    >>> after = before + rng.normal(0, 0.1, before.shape).astype(np.float32)
    >>> after[:, 30:36, 30:36] += 2
    >>> score = cva_score(before, after, np.ones((64, 64), bool), (1.0, 1.0, 1.0))
    >>> bool(score[32, 32] > 4 * np.median(score))
    True
    """
    check_pair(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    difference = _difference(before, after, valid, weights)
    out, buffers = new_plane(valid.shape, np.float32), Buffers()

    def length(rows: slice) -> None:
        """Write the lengths of some rows."""
        total, change = buffers.planes(2, out[rows].shape)
        _squares((plane for _, plane in difference.planes(rows, change)), total)
        cv2.sqrt(total, out[rows])

    return _finished(length, out, valid, parameters.smoothing_px)


def change_vectors(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
) -> ChangeVectors:
    """Return length and direction of the change vectors of standardised bands.

    Compressed change vector analysis: Bovolo, Marchesi and Bruzzone 2012, doi:10.1109/TGRS.2011.2171493. The
    direction says what kind of change it is, whatever the number of bands. With D the standardised difference
    it is ``acos(sum(D) / (sqrt(bands) |D|))``; here with the weights of the bands.

    Parameters
    ----------
    before, after, valid, weights
        As in `cva_score`.

    Returns
    -------
    ChangeVectors
        Of every usable pixel, not smoothed. The magnitude is that of `cva_score`.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.

    Examples
    --------
    >>> before = np.random.default_rng(1).random((2, 32, 32), dtype=np.float32)
    >>> after = before.copy()
    >>> after[:, 3, 4] += 5
    >>> after[:, 6, 7] -= 5
    >>> vectors = change_vectors(before, after, np.ones((32, 32), bool), (1.0, 1.0))
    >>> [round(float(vectors.direction_deg[at]) / 10) * 10 for at in ((3, 4), (6, 7))]
    [0, 180]
    """
    check_pair(before, after, valid, weights)
    magnitude, direction = np.full((2, *valid.shape), np.nan, np.float32)
    if not valid.any():
        return ChangeVectors(magnitude, direction)
    difference, buffers = _difference(before, after, valid, weights), Buffers()

    def polar(rows: slice) -> None:
        """Write lengths and angles of some rows."""
        total, along, change = buffers.planes(3, magnitude[rows].shape)
        total[:], along[:] = 0, 0
        for axis, _ in difference.planes(rows, change):
            cv2.accumulateSquare(change, total)
            cv2.scaleAdd(change, axis, along, along)
        length = np.sqrt(total, out=total)
        differs = valid[rows] & (length > _ROUNDING)
        cosine = np.divide(along, length, out=along, where=differs)
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1, out=cosine)))
        np.copyto(magnitude[rows], length, where=valid[rows])
        np.copyto(direction[rows], angle, where=differs)

    run_blocks(polar, row_blocks(valid.shape, 3, _BLOCK_BYTES))
    return ChangeVectors(magnitude, direction)


def pca_difference_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: PcaDifferenceParameters = PcaDifferenceParameters(),
) -> NDArray[np.float32]:
    """Score change as the length of the principal part of the change vector.

    The principal components of the standardised difference are found on a sample; the strongest, which hold
    ``energy`` of its variance together, are kept, and the rest, mostly noise that bands do not share, is left
    out. Components are not brought to one variance: that would give the noise the say.

    Parameters
    ----------
    before, after, valid, weights
        As in `cva_score`.
    parameters : PcaDifferenceParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never above `cva_score` before smoothing; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    check_pair(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    difference = _difference(before, after, valid, weights)
    kept = _components(difference.sample, parameters.energy).astype(np.float32)
    out, buffers = new_plane(valid.shape, np.float32), Buffers()

    def length(rows: slice) -> None:
        """Write the lengths of the principal part of some rows."""
        total, change, *scores = buffers.planes(2 + len(kept), out[rows].shape)
        for number, _ in enumerate(difference.planes(rows, change)):
            for score, component in zip(scores, kept, strict=True):
                if number:
                    cv2.scaleAdd(change, float(component[number]), score, score)
                else:
                    np.multiply(change, component[0], out=score)
        _squares(iter(scores), total)
        cv2.sqrt(total, out[rows])

    return _finished(length, out, valid, parameters.smoothing_px)


def _finished(
    work: Callable[[slice], None],
    out: NDArray[np.float32],
    valid: NDArray[np.bool_],
    smoothing_px: tuple[float, ...],
) -> NDArray[np.float32]:
    """Do the work of every block, take out what is not usable, and smooth."""

    def masked(rows: slice) -> None:
        """Do the work and take out what is not usable."""
        work(rows)
        if not valid[rows].all():
            np.copyto(out[rows], np.float32(np.nan), where=~valid[rows])
        relieve()

    run_blocks(masked, row_blocks(valid.shape, 2, _BLOCK_BYTES))
    return smooth_score(out, valid, smoothing_px) if smoothing_px else out


@dataclass(frozen=True, eq=False)
class _Difference:
    """The standardised difference, times the root of the share of each band's weight, plane by plane.

    ``bands`` holds of each band that has a weight: before, after, their two factors, what is added, and the
    root of the share of its weight. `sample` is the difference at sampled pixels, of shape (band, pixel).
    """

    bands: tuple[tuple[NDArray[np.float32], NDArray[np.float32], float, float, float, float], ...]
    sample: NDArray[np.float64]

    def planes(self, rows: slice, change: NDArray[np.float32]) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Go through the bands; the difference in each is laid into `change`, which is given back."""
        for before, after, factor_before, factor_after, added, root in self.bands:
            one, other = np.ascontiguousarray(after[rows]), np.ascontiguousarray(before[rows])
            cv2.addWeighted(one, factor_after, other, factor_before, added, change)
            yield root, change


def _squares(planes: Iterator[NDArray[np.float32]], total: NDArray[np.float32]) -> None:
    """Sum the squares of planes, which may be one and the same memory."""
    for number, plane in enumerate(planes):
        if number:
            cv2.accumulateSquare(plane, total)
        else:
            np.multiply(plane, plane, out=total)


def _difference(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
) -> _Difference:
    used = [number for number, weight in enumerate(weights) if weight > 0]
    samples = sample_pixels((before, after), valid, _SAMPLE, 0)
    (centre_b, inverse_b), (centre_a, inverse_a) = (_centre_and_inverse_scale(sample) for sample in samples)
    root = np.sqrt(np.array(weights) / sum(weights))
    factor_b, factor_a = -root * inverse_b, root * inverse_a
    added = -(factor_b * centre_b + factor_a * centre_a)
    sample = factor_a[:, None] * samples[1] + factor_b[:, None] * samples[0] + added[:, None]
    numbers = zip(*(values[used].tolist() for values in (factor_b, factor_a, added, root)), strict=True)
    planes = tuple((before[i], after[i], *found) for i, found in zip(used, numbers, strict=True))
    return _Difference(planes, sample[used])


def _centre_and_inverse_scale(
    sample: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the inverse as 0 for a band of one value, which then has no say."""
    centre, spread = centre_and_spread(sample)
    return centre, np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)


def _components(sample: NDArray[np.float64], energy: float) -> NDArray[np.float64]:
    """Return the strongest principal components that hold a share of the variance, (component, band)."""
    centred = sample - sample.mean(axis=1, keepdims=True)
    variances, vectors = np.linalg.eigh(np.einsum("ip,jp->ij", centred, centred))
    held = np.cumsum(variances[::-1]) / max(variances.sum(), 1e-30)
    kept = 1 + int(np.count_nonzero(np.round(held[:-1], 9) < energy))
    # the last digits depend on the processor; results must not
    return np.round(vectors[:, ::-1][:, :kept].T, 9)
