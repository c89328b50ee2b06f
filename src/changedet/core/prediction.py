"""Change as what neither date predicts of the other, where the structure of the ground changed too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import even_tiles, run_blocks, tile_with_halo
from changedet.core.parameters import Described
from changedet.core.piecewise import PiecewiseFit, fit_piecewise
from changedet.core.planes import by_rows, new_plane, over_rows, plane_blocks, relieve
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import check_pair, standardisation
from changedet.core.smoothing import Blur, smooth_score
from changedet.core.structure_change import structure_change

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The prediction error is smoothed this much, in pixels, before its size is read: noise and the edges of
#: ground that lies a tenth of a pixel off have both signs and cancel.
CONTRAST_SMOOTHING_PX = 1.5
#: How far registered images may still lie apart, in pixels: what an edge shows then is not change.
RESIDUAL_PX = 0.1
# A tile holds its halo several times over, and the tiles of two threads stay far below the images.
_TILE_BYTES = 24_000_000
_TILE_PLANES = 24
_HALO_PX = 8
# Caps are not drawn tighter than this, so that two images that are nearly equal do not saturate.
_LEAST_SURPRISE_CAP, _LEAST_STRUCTURE_CAP = 1.0, 0.2
# Ground without any pattern counts like this share of the usual change of structure.
_PLAIN_GROUND = 0.5


@dataclass(frozen=True)
class PredictParameters(Described):
    """Parameters of `predict_score`.

    Attributes
    ----------
    knots : tuple of float
        Quantiles of each band at which the slope of a prediction may change; empty for straight lines.
    trim : float
        Share of the sampled pixels, those predicted best, that the second and third fit keep.
    ridge : float
        Ridge penalty per sampled pixel, on standardised predictors.
    surprise_cap, structure_cap : float
        Larger values than this many medians count as so many: one glinting roof is not more of a change
        than a building site.
    structure_weight : float
        Power to which the change of structure enters; 0 leaves it out.
    smoothing_px : tuple of float
        Standard deviations of the Gaussians whose smoothed scores are combined by geometric mean.
    sample : int
        Largest number of pixels in the fit.
    seed : int
        Seed of that sample.
    """

    knots: tuple[float, ...] = (0.25, 0.5, 0.75)
    trim: float = 0.85
    ridge: float = 0.001
    surprise_cap: float = 10.0
    structure_cap: float = 5.0
    structure_weight: float = 0.5
    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    sample: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 <= self.trim <= 1 or self.ridge < 0 or self.sample < 1:
            message = "trim must lie in 0.5..1, ridge must not be negative, sample must be positive"
            raise ValueError(message)
        if any(not 0 < knot < 1 for knot in self.knots):
            message = "knots are quantiles and must lie between 0 and 1"
            raise ValueError(message)
        if min(self.surprise_cap, self.structure_cap) < 1 or self.structure_weight < 0:
            message = "caps must be at least 1 and structure_weight must not be negative"
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the prediction of each date from the other left over.

    Attributes
    ----------
    surprise : ndarray of float32, shape (y, x)
        How far each pixel is from what the other date predicts, in standard deviations, capped; 0 where not
        usable.
    raw : ndarray of float32, shape (y, x)
        The score before it is smoothed: the surprise, more where the structure changed; 0 where not usable.
    contrast : ndarray of float32, shape (y, x)
        How far the ground differs from what was expected, in the unit of the images, after the sign of the
        error was smoothed and less than what a registration residual of a tenth of a pixel explains; 0 where
        not usable. Small where the score is raised only by noise or by edges that do not lie exactly on
        each other.
    explained : float
        Share of the variance of one date, in the bands that score, that the other predicts; of the two
        directions the smaller, over the share `trim` of the ground that is predicted best. Below 0 when the
        prediction is worse than none; NaN when there was nothing to learn from.
    spread : float
        Standard deviation of the less varied date over that ground, in the unit of the images: the scoring
        bands together, weighted.
    peaks : tuple of ndarray of intp and ndarray of float32, shape (n,)
        Which pixels were capped, as places in the flattened plane, and how many times as large as the cap
        their surprise was.
    """

    surprise: NDArray[np.float32]
    raw: NDArray[np.float32]
    contrast: NDArray[np.float32]
    explained: float
    spread: float
    peaks: tuple[NDArray[np.intp], NDArray[np.float32]]

    def uncapped(self) -> NDArray[np.float32]:
        """Return the score before it is smoothed as it would be without the cap of the surprise.

        A few capped pixels cannot lift a score that is smoothed far above a lively background, however much
        they stand out. This one they can.

        Returns
        -------
        ndarray of float32, shape (y, x)
            Never below `raw`.
        """
        out = by_rows(np.copy, self.raw, dtype=np.float32)
        places, factors = self.peaks
        out.ravel()[places] *= factors
        return out


def predict_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: PredictParameters = PredictParameters(),
) -> NDArray[np.float32]:
    """Score change as the part of each date that the other date does not predict.

    From the scene itself a piecewise linear map is learnt that says what the after image normally looks like
    where the before image looked like this, and the reverse. What neither direction expects is change: a
    seasonal shift that is the same everywhere, haze, a gain or an offset on one date leave the score as it
    is. The fit is repeated without the pixels it predicts worst. The surprise of both directions (their
    geometric mean) counts more where the local pattern of light and dark changed as well
    (`changedet.core.structure_change`), is capped, and is smoothed at several scales: changes on the ground
    have an extent. Ancestors: the chronochrome of Schaum and Stocker (1997), Theiler and Perkins (2006) for
    the symmetric view, and Carlotto 2005, doi:10.1109/TGRS.2004.841481, for fits that differ with the cover.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Any linear radiometric unit, registered to each other, the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band: all bands predict, the weighted ones score.
    parameters : PredictParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative: surprise in standard deviations of the bands, times the root of a local
        decorrelation, smoothed. NaN where `valid` is False. Swapping before and after leaves it unchanged.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.random((3, 64, 64), dtype=np.float32)
    >>> after = 0.5 * before + 0.1
    >>> after[:, 30:36, 30:36] = 2.0
    >>> score = predict_score(before, after, np.ones((64, 64), bool), (1.0, 1.0, 1.0))
    >>> bool(score[32, 32] > 20 * np.median(score))
    True
    """
    prediction = predict_change(before, after, valid, weights, parameters)
    return smooth_score(prediction.raw, valid, parameters.smoothing_px)


def predict_change(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: PredictParameters = PredictParameters(),
    learn: NDArray[np.bool_] | None = None,
) -> Prediction:
    """Predict each date from the other; give what is left and how large it is in the unit of the images.

    Parameters
    ----------
    before, after, valid, weights, parameters
        As in `predict_score`.
    learn : ndarray of bool, shape (y, x), optional
        Ground that teaches what is normal; all valid ground when left out. Change that fills most of the
        ground it is learnt from would pass for normal.

    Returns
    -------
    Prediction
        Raw score, contrast, and how much of one date follows from the other.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    check_pair(before, after, valid, weights)
    taught = valid if learn is None or learn is valid else by_rows(np.logical_and, valid, learn, dtype=bool)
    surprise, structure, contrast = (new_plane(valid.shape, np.float32, 0) for _ in range(3))
    if not taught.any():
        return Prediction(surprise, surprise, contrast, float("nan"), 0.0, _cap(surprise, np.float32(1)))
    images = _Images.of((before, after), taught, weights, parameters)

    def _work(tile: tuple[slice, slice]) -> None:
        _tile(images, valid, tile, (surprise, structure, contrast))
        relieve()

    run_blocks(_work, even_tiles(valid.shape, _TILE_PLANES, _TILE_BYTES))
    median = _median(surprise, taught, _LEAST_SURPRISE_CAP / parameters.surprise_cap)
    peaks = _cap(surprise, np.float32(parameters.surprise_cap) * median)
    median = _median(structure, taught, _LEAST_STRUCTURE_CAP / parameters.structure_cap)
    cap, plain = np.float32(parameters.structure_cap) * median, np.float32(_PLAIN_GROUND) * median

    def _raised(changed: NDArray[np.float32], surprised: NDArray[np.float32]) -> NDArray[np.float32]:
        # inside a large uniform change there is no pattern on either date
        total = np.minimum(changed, cap) + plain
        return np.asarray(np.power(total, np.float32(parameters.structure_weight)) * surprised)

    by_rows(_raised, structure, surprise, dtype=np.float32, out=structure)
    return Prediction(surprise, structure, contrast, images.explained, images.spread, peaks)


@dataclass(frozen=True, eq=False)
class _Images:
    """Both dates, how to bring their scoring bands to one scale, and the fits of both directions."""

    data: tuple[NDArray[np.float32], NDArray[np.float32]]
    scoring: tuple[int, ...]
    weights: NDArray[np.float32]
    centre: tuple[NDArray[np.float64], NDArray[np.float64]]
    scale: tuple[NDArray[np.float64], NDArray[np.float64]]
    fits: tuple[PiecewiseFit, PiecewiseFit]
    explained: float

    @property
    def spread(self) -> float:
        """Weighted standard deviation of the less varied date, in the unit of the images."""
        return float(min(np.sqrt(self.weights @ scale**2) for scale in self.scale))

    @classmethod
    def of(
        cls,
        data: tuple[NDArray[np.float32], NDArray[np.float32]],
        taught: NDArray[np.bool_],
        weights: tuple[float, ...],
        parameters: PredictParameters,
    ) -> _Images:
        """Fit the prediction of either date from the other on a sample of the ground that teaches."""
        samples = sample_pixels(data, taught, parameters.sample, parameters.seed)
        centre, scale = zip(*(standardisation(sample) for sample in samples), strict=True)
        scoring = [i for i, weight in enumerate(weights) if weight > 0]
        scaled = [
            (sample - c[:, None]) / s[:, None] for sample, c, s in zip(samples, centre, scale, strict=True)
        ]
        fits = [
            fit_piecewise(samples[i], scaled[1 - i][scoring], parameters.knots, parameters) for i in (0, 1)
        ]
        share = np.array([weights[i] for i in scoring], np.float64) / sum(weights)
        explained = [
            _explained(fits[i], samples[i], scaled[1 - i][scoring], (share, parameters.trim)) for i in (0, 1)
        ]
        return cls(
            data,
            tuple(scoring),
            share.astype(np.float32),
            (centre[0][scoring], centre[1][scoring]),
            (scale[0][scoring], scale[1][scoring]),
            (fits[0], fits[1]),
            min(explained),
        )


def _explained(
    fit: PiecewiseFit,
    pixels: NDArray[np.float64],
    target: NDArray[np.float64],
    how: tuple[NDArray[np.float64], float],
) -> float:
    """Share of the weighted variance of the targets that a fit explains where it predicts best."""
    share, trim = how
    error = target - fit.predict(pixels[:, None].astype(np.float32))[:, 0]
    squared = share @ error**2
    kept = squared <= np.quantile(squared, trim)
    variance = float(share @ target[:, kept].var(axis=1))
    return 1 - float(squared[kept].mean()) / max(variance, 1e-12)


def _tile(
    images: _Images, valid: NDArray[np.bool_], tile: tuple[slice, slice], out: tuple[NDArray[np.float32], ...]
) -> None:
    """Compute surprise, change of structure and contrast of a tile; neighbours lend their edge."""
    wide, inner = tile_with_halo(tile, valid.shape, _HALO_PX)
    usable = valid[wide]
    planes = [_standard_planes(images, date, wide, usable) for date in (0, 1)]
    errors = [_errors(images, given, wide, planes[1 - given], usable) for given in (0, 1)]
    surprise, structure, contrast = out
    squares = [np.einsum("byx,byx,b->yx", error, error, images.weights) for error in errors]
    surprise[tile] = np.sqrt(np.sqrt(squares[0] * squares[1]))[inner]
    changed = structure_change(planes[0], planes[1], usable, images.weights)
    structure[tile] = changed[inner]
    smooth = Blur(usable, CONTRAST_SMOOTHING_PX)
    sizes = [
        _size(error, images.scale[1 - given], images.weights, smooth) for given, error in enumerate(errors)
    ]
    slope = np.where(usable, _gradient(images, planes), np.float32(0))
    least = np.sqrt(sizes[0] * sizes[1]) - np.float32(RESIDUAL_PX) * smooth(slope)
    contrast[tile] = np.where(usable, np.maximum(least, np.float32(0)), np.float32(0))[inner]


def _standard_planes(
    images: _Images, date: int, tile: tuple[slice, slice], usable: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Scoring bands of a date in standard deviations from their mean; 0 where not usable."""
    planes = np.empty((len(images.scoring), *usable.shape), np.float32)
    for i, band in enumerate(images.scoring):
        centre, scale = images.centre[date][i], images.scale[date][i]
        np.multiply(images.data[date][band][tile], np.float32(1 / scale), out=planes[i])
        planes[i] -= np.float32(centre / scale)
    if not usable.all():
        planes[:, ~usable] = 0
    return planes


def _errors(
    images: _Images,
    given: int,
    tile: tuple[slice, slice],
    target: NDArray[np.float32],
    usable: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return what one date does not predict of the other's scoring bands, in their standard deviations."""
    error = target - images.fits[given].predict(images.data[given][:, *tile])
    if not usable.all():
        error[:, ~usable] = 0
    return error


def _size(
    error: NDArray[np.float32], scale: NDArray[np.float64], weights: NDArray[np.float32], smooth: Blur
) -> NDArray[np.float32]:
    """Weighted length of the smoothed error, in the unit of the images."""
    total = np.zeros(error.shape[1:], np.float32)
    for plane, unit, weight in zip(error, scale, weights, strict=True):
        blurred = smooth(plane)
        total += np.float32(weight * unit**2) * blurred * blurred
    return np.asarray(np.sqrt(total))


def _gradient(images: _Images, planes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Weighted slope of edges that are there on both dates, in the unit of the images per pixel."""
    total = np.zeros(planes[0].shape[1:], np.float32)
    for i, weight in enumerate(images.weights):
        squares = []
        for plane, scale in zip(planes, images.scale, strict=True):
            across = cv2.Sobel(plane[i], cv2.CV_32F, 1, 0, scale=0.125)
            down = cv2.Sobel(plane[i], cv2.CV_32F, 0, 1, scale=0.125)
            squares.append((across * across + down * down) * np.float32(scale[i] ** 2))
        total += weight * np.minimum(*squares)
    return np.asarray(np.sqrt(total))


def _median(plane: NDArray[np.float32], taught: NDArray[np.bool_], least: float) -> np.float32:
    """Median over the ground that teaches, never so small that two images which are nearly equal saturate."""
    step = max(1, plane.size // 4_000_000)
    values = plane.ravel()[::step][taught.ravel()[::step]]
    return np.float32(max(float(np.median(values)) if values.size else 0.0, least))


def _cap(plane: NDArray[np.float32], limit: np.float32) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Cap a plane in place; return which pixels were above the limit, and how many times as large."""
    flat, found = plane.reshape(-1), [np.empty(0, np.intp)]
    in_blocks = over_rows(lambda part: np.flatnonzero(part > limit), plane)
    for rows, places in zip(plane_blocks(plane), in_blocks, strict=True):
        found.append(rows.start * plane.shape[1] + places)
    places = np.concatenate(found)
    factors = flat[places] / limit
    flat[places] = limit
    return places, factors
