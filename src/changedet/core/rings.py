"""Change as what the ground round a pixel does not predict of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import run_blocks, tiles
from changedet.core.box_sums import RingSums, check_radii, with_margin
from changedet.core.parameters import Described
from changedet.core.planes import by_rows, new_plane, relieve, with_nan
from changedet.core.sampling import last_axis_median, sample_index, values_at
from changedet.core.scaling import check_pair
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Half-widths of the squares between which the rings lie, in pixels; the first square is left out.
RADII_PX = (0, 8, 24, 48, 80, 120, 170)
#: A tile's sums are computed at one time, in 80 MB; larger tiles share more of the ground round them.
_TILE_PX = (1024, 2048)
#: A ring with fewer usable pixels says nothing.
_LEAST_PIXELS = 4
#: Pixels from which the typical residual of a band is taken.
_SAMPLE = 50_000
#: A sum of squares below this share of the mean square of one pixel is rounding.
_ROUNDING = 1e-8
#: A typical residual below this share of the band's root mean square is rounding.
_LEAST_RESIDUAL = 1e-4


@dataclass(frozen=True)
class RingParameters(Described):
    """Parameters of `ring_score`.

    Attributes
    ----------
    radii_px : tuple of int
        Half-widths of squares in pixels, increasing: each ring lies between two that follow each other. What
        lies in the first square, 0 for the pixel alone, predicts nothing.
    smoothing_px : tuple of float
        Standard deviations of the Gaussians whose smoothed scores are combined by geometric mean.
    """

    radii_px: tuple[int, ...] = RADII_PX
    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        check_radii(self.radii_px)


def ring_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: RingParameters = RingParameters(),
) -> NDArray[np.float32]:
    """Score change as what the ground round a pixel does not predict of it, smoothed.

    It is `ring_surprise` with the smoothing of the other detectors.

    Parameters
    ----------
    before, after, valid, weights
        As in `ring_surprise`.
    parameters : RingParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    surprise = ring_surprise(before, after, valid, weights, parameters.radii_px)
    return smooth_score(surprise, valid, parameters.smoothing_px)


def ring_surprise(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    radii_px: tuple[int, ...] = RADII_PX,
) -> NDArray[np.float32]:
    """Return what rings of ground round a pixel do not predict of it, in either direction.

    In each ring and band the one gain ``g = sum(x y) / sum(x x)`` brings a date to the other; the residual at
    the pixel is ``|g x - y|``. Residuals are averaged over the rings, divided by their median over the scene,
    and averaged over the bands by weight. The same is done from after to before, and the smaller one counts:
    a change surprises both ways. After SiROC (Kondmann et al. 2022, doi:10.1109/TGRS.2021.3130842), with
    closed rings, the mean in place of votes, and no threshold. A gain on a date leaves the result as it is,
    an offset does not.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Reflectance, registered to each other, the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there. Other pixels neither give nor take.
    weights : tuple of float
        One for each band; a band of no weight is left out.
    radii_px : tuple of int
        As in `RingParameters`.

    Returns
    -------
    ndarray of float32, shape (y, x)
        In typical residuals: about 1 where nothing stands out. Not smoothed. NaN where `valid` is False; 0
        where every ring holds fewer than four usable pixels.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree, or the radii do not increase.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.uniform(0.1, 0.2, (2, 64, 64)).astype(np.float32)
    >>> after = 0.5 * before + rng.normal(0, 0.001, before.shape).astype(np.float32)
    >>> after[:, 30:34, 30:34] = 0.3
    >>> surprise = ring_surprise(before, after, np.ones((64, 64), bool), (1.0, 1.0))
    >>> bool(surprise[31, 31] > 20 * np.median(surprise))
    True
    """
    check_pair(before, after, valid, weights)
    check_radii(radii_px)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    places = _places(valid, radii_px)
    sample = sample_index(valid, _SAMPLE, 0)
    total, residual = (new_plane((2, *valid.shape), np.float32, 0) for _ in range(2))
    for x, y, weight in zip(before, after, weights, strict=True):
        if weight == 0:
            continue
        squares = [_mean_square(values_at(plane, sample)) for plane in (x, y)]
        band = _Band(x, y, valid, radii_px, (squares[0], squares[1]))
        run_blocks(partial(_residual_of_tile, band, residual), places)
        for part, whole, square in zip(residual, total, reversed(squares), strict=True):
            typical = float(last_axis_median(values_at(part, sample)))
            share = weight / sum(weights) / max(typical, _LEAST_RESIDUAL * square**0.5)
            run_blocks(partial(_add_share, whole, part, np.float32(share)), places)
    by_rows(np.minimum, *total, dtype=np.float32, out=total[0])
    return with_nan(total[0], valid, out=total[0])


@dataclass(frozen=True)
class _Place:
    """A tile; `complete` when every ring round each of its usable pixels holds enough usable pixels."""

    tile: tuple[slice, slice]
    complete: bool


@dataclass(frozen=True, eq=False)
class _Band:
    """One band of two dates; `squares` are the mean squares of a usable pixel."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    valid: NDArray[np.bool_]
    radii_px: tuple[int, ...]
    squares: tuple[float, float]


def _mean_square(sample: NDArray[np.float32]) -> float:
    return max(float(np.square(sample, dtype=np.float64).mean()), 1e-20)


def _add_share(
    whole: NDArray[np.float32], part: NDArray[np.float32], share: np.float32, place: _Place
) -> None:
    """Add a share of a plane to another one; the plane itself is used up."""
    part[place.tile] *= share
    whole[place.tile] += part[place.tile]
    relieve()


def _places(valid: NDArray[np.bool_], radii_px: tuple[int, ...]) -> tuple[_Place, ...]:
    """Cut the scene into tiles, and count the usable pixels in the rings of each."""
    found: dict[int, _Place] = {}
    cut = tiles(valid.shape, _TILE_PX)

    def count(number: int) -> None:
        """Look at one tile."""
        found[number] = _Place(cut[number], _rings_hold_enough(valid, cut[number], radii_px))

    run_blocks(count, range(len(cut)))
    return tuple(found[number] for number in range(len(cut)))


def _rings_hold_enough(
    valid: NDArray[np.bool_], tile: tuple[slice, slice], radii_px: tuple[int, ...]
) -> bool:
    # where all is usable, a quarter of each ring lies inside the image even at its corners
    around = tuple(slice(max(part.start - radii_px[-1], 0), part.stop + radii_px[-1]) for part in tile)
    if min(valid.shape) > radii_px[-1] and valid[around].all():
        return True
    usable = _usable_with_margin(valid, tile, radii_px[-1])
    here = valid[tile]
    return all(
        bool((ring[0] >= _LEAST_PIXELS)[here[rows]].all())
        for rows, rings in RingSums([usable], radii_px).groups()
        for ring in rings
    )


def _usable_with_margin(
    valid: NDArray[np.bool_], tile: tuple[slice, slice], margin_px: int
) -> NDArray[np.float32]:
    return with_margin(np.broadcast_to(np.float32(1), valid.shape), valid, tile, margin_px)


def _residual_of_tile(band: _Band, out: NDArray[np.float32], place: _Place) -> None:
    """Write the mean residual over the rings into a tile of both directions, ``out[0]`` and ``out[1]``."""
    margin = band.radii_px[-1]
    x, y = (with_margin(plane, band.valid, place.tile, margin) for plane in (band.before, band.after))
    planes = [x * x, x * y, y * y]
    if not place.complete:
        planes.append(_usable_with_margin(band.valid, place.tile, margin))
    here = out[(slice(None), *place.tile)]
    floors = (np.float32(_ROUNDING * band.squares[0]), np.float32(_ROUNDING * band.squares[1]))
    for rows, rings in RingSums(planes, band.radii_px).groups():
        inner = (slice(rows.start + margin, rows.stop + margin), slice(margin, -margin))
        _residual_of_rows(rings, (x[inner], y[inner]), floors, here[:, rows])
    relieve()


def _residual_of_rows(
    rings: Iterator[NDArray[np.float32]],
    centre: tuple[NDArray[np.float32], NDArray[np.float32]],
    floors: tuple[np.float32, np.float32],
    out: NDArray[np.float32],
) -> None:
    """Average the residuals of both directions over the rings that hold enough."""
    x, y = centre
    work, counted = np.empty(x.shape, np.float32), np.zeros(x.shape, np.float32)
    total = np.zeros((2, *x.shape), np.float32)
    for ring in rings:
        enough = (ring[3] >= _LEAST_PIXELS).astype(np.float32) if len(ring) > 3 else None
        counted += np.float32(1) if enough is None else enough
        for square, given, target, direction in ((0, x, y, 0), (2, y, x, 1)):
            ring[square] += floors[direction]
            np.divide(ring[1], ring[square], out=work)
            work *= given
            cv2.absdiff(work, target, work)
            if enough is not None:
                work *= enough
            total[direction] += work
    np.divide(total, np.maximum(counted, np.float32(1)), out=out)
