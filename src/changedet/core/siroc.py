"""SiROC as it was published: votes of many neighbourhoods on what each does not predict of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import run_blocks, tiles
from changedet.core.box_sums import RingSums, check_radii, with_margin
from changedet.core.histogram_threshold import otsu_threshold
from changedet.core.parameters import Described
from changedet.core.planes import any_rows, by_rows, by_tiles, new_plane, over_rows, relieve, with_nan
from changedet.core.scaling import check_pair
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Tile = tuple[slice, slice]

#: Sums of a tile are computed at one time.
_TILE_PX = (1024, 2048)
#: Neighbourhoods whose residuals are held at one time.
_AT_ONE_TIME = 4
#: A sum of squares below this share of the mean square of one pixel is rounding.
_ROUNDING = 1e-8


@dataclass(frozen=True)
class SirocParameters(Described):
    """Parameters of `siroc_score`.

    Attributes
    ----------
    radii_px : tuple of int
        Half-widths of squares in pixels, increasing: each neighbourhood lies between two that follow each
        other. What lies in the first one, 0 for the pixel alone, is never asked.
    corners : bool
        Ask only the four squares at the corners of a neighbourhood, as the authors' program does, in place of
        the closed ring of their text.
    otsu_factor : float
        By what the threshold of Otsu is multiplied.
    opening_px : int
        Side of the square by which the pixels that a neighbourhood votes for are closed and then opened; 1
        for neither.
    smoothing_px : tuple of float
        Standard deviations of the Gaussians that smooth the share of votes; the method has none.
    """

    radii_px: tuple[int, ...] = tuple(range(0, 190, 7))
    corners: bool = False
    otsu_factor: float = 1.0
    opening_px: int = 5
    smoothing_px: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_radii(self.radii_px)
        if not self.otsu_factor > 0 or self.opening_px < 1 or self.opening_px % 2 == 0:
            message = "otsu_factor must be positive, and opening_px an odd number of pixels"
            raise ValueError(message)


def siroc_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: SirocParameters = SirocParameters(),
) -> NDArray[np.float32]:
    """Score change as the share of neighbourhoods that vote for it.

    Kondmann et al. 2022, doi:10.1109/TGRS.2021.3130842. In each neighbourhood and band the gain
    ``g = sum(x y) / sum(x x)`` predicts the pixel after from the pixel before; the residuals ``|g x - y|``,
    in shares of the largest number of the band, are averaged over the bands. Each neighbourhood votes for the
    pixels above its own Otsu threshold, after closing and opening. The authors call a pixel changed at half
    of the votes. `changedet.core.rings` holds the variant that this package prefers.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Reflectance, registered to each other, the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there. Other pixels neither predict nor vote.
    weights : tuple of float
        One for each band; alike in the original.
    parameters : SirocParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        0 to 1; NaN where `valid` is False. Not the same when before and after are swapped. Neighbourhoods
        that lie beyond the image, or leave no residual anywhere, are not counted.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.uniform(0.1, 0.2, (2, 64, 64)).astype(np.float32)
    >>> after = before.copy()
    >>> after[:, 30:40, 30:40] = 0.6
    >>> score = siroc_score(before, after, np.ones((64, 64), bool), (1.0, 1.0))
    >>> bool(score[35, 35] >= 0.5), bool(score[5, 5] >= 0.5)
    (True, False)
    """
    check_pair(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    votes, own = new_plane(valid.shape, np.float32, 0), new_plane(valid.shape, np.uint8)
    asked = 0
    for residual in _residuals(before, after, valid, weights, parameters):
        asked += any_rows(lambda part: bool(part.any()), residual)
        with_nan(residual, valid, out=residual)
        threshold = parameters.otsu_factor * otsu_threshold(residual)
        _vote(residual, threshold, parameters.opening_px, own)
        by_rows(np.add, votes, own, dtype=np.float32, out=votes)
    most = np.float32(max(asked, 1))
    by_rows(lambda part: part / most, votes, dtype=np.float32, out=votes)
    return smooth_score(votes, valid, parameters.smoothing_px)


def _vote(residual: NDArray[np.float32], threshold: float, side_px: int, out: NDArray[np.uint8]) -> None:
    """Write 1 for the pixels above a threshold, closed and opened by a square, and 0 for the others."""
    square = np.ones((side_px, side_px), np.uint8)

    def voted(wide: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the votes of a tile."""
        closed = cv2.morphologyEx((wide > threshold).astype(np.uint8), cv2.MORPH_CLOSE, square)
        return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, square), np.uint8)

    # each of the four passes looks half a side further
    by_tiles(voted, residual, halo_px=4 * (side_px // 2), dtype=np.uint8, out=out)


def _residuals(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: SirocParameters,
) -> Iterator[NDArray[np.float32]]:
    """Give the mean residual of each neighbourhood, the innermost first; a few are held at one time."""
    pairs = tuple(pairwise(parameters.radii_px))
    places = tiles(valid.shape, _TILE_PX)
    for first in range(0, len(pairs), _AT_ONE_TIME):
        some = pairs[first : first + _AT_ONE_TIME]
        radii = (some[0][0], *(outer for _, outer in some))
        held = new_plane((len(some), *valid.shape), np.float32, 0)
        for x, y, weight in zip(before, after, weights, strict=True):
            if weight > 0:
                square, largest = _mean_square(x, valid), max(_largest(y, valid), 1e-20)
                band = _Band(x, y, valid, weight / sum(weights) / largest, max(square, 1e-20))
                run_blocks(partial(_add_residuals, band, radii, parameters.corners, held), places)
        yield from held


def _mean_square(plane: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    def squares(part: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
        """Sum up some rows."""
        return float(np.square(part[usable], dtype=np.float64).sum())

    return sum(over_rows(squares, plane, valid)) / int(np.count_nonzero(valid))


def _largest(plane: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    return max(over_rows(lambda part, usable: float(np.abs(part[usable]).max(initial=0)), plane, valid))


@dataclass(frozen=True, eq=False)
class _Band:
    """One band of two dates, the factor of its residuals, and the mean square of a usable pixel before."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    valid: NDArray[np.bool_]
    factor: float
    square: float


def _add_residuals(
    band: _Band, radii_px: tuple[int, ...], corners: bool, held: NDArray[np.float32], tile: Tile
) -> None:
    """Add the residuals of a band in a tile to those of each neighbourhood."""
    margin = radii_px[-1]
    x, y = (with_margin(plane, band.valid, tile, margin) for plane in (band.before, band.after))
    here, factor = held[(slice(None), *tile)], np.float32(band.factor)
    for rows, rings in RingSums([x * x, x * y], radii_px, corners=corners).groups():
        inner = (slice(rows.start + margin, rows.stop + margin), slice(margin, -margin))
        for ring, out in zip(rings, here, strict=True):
            out[rows] += _residual(ring, x[inner], y[inner], np.float32(_ROUNDING * band.square)) * factor
    relieve()


def _residual(
    ring: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], rounding: np.float32
) -> NDArray[np.float32]:
    """Return ``|g x - y|``, and 0 where the ring holds nothing that could predict."""
    squares, products = ring
    residual = np.abs(products / (squares + rounding) * x - y)
    return np.where(squares > rounding, residual, np.float32(0))
