"""Change of one index, or of texture: what many do by hand, as baselines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.indices import baei, bsi, mndwi, nbr, ndbi, ndvi
from changedet.core.parameters import Described
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import centre_and_spread, check_pair, robust_standardisation
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from changedet.core.indices import Planes

#: Pixels on which medians are taken.
_SAMPLE = 50_000
#: A spread below this, or below this share of the largest number, is rounding.
_ALIKE = 1e-6


@dataclass(frozen=True)
class SpectralIndex:
    """An index whose difference is a detector.

    Attributes
    ----------
    function : callable
        From planes by band name to the index.
    bands : tuple of str
        Canonical names of the bands it needs.
    source : str
        Where it was published.
    """

    function: Callable[[Planes], NDArray[np.float32]]
    bands: tuple[str, ...]
    source: str


#: Indices whose difference is a detector, by the name of the index in small letters.
DIFFERENCE_INDICES: Mapping[str, SpectralIndex] = MappingProxyType(
    {
        "ndvi": SpectralIndex(ndvi, ("B04", "B08"), "Rouse et al. 1974"),
        "ndbi": SpectralIndex(ndbi, ("B08", "B11"), "Zha, Gao and Ni 2003, doi:10.1080/01431160304987"),
        "bsi": SpectralIndex(bsi, ("B02", "B04", "B08", "B11"), "Rikimaru, Roy and Miyatake 2002"),
        "mndwi": SpectralIndex(mndwi, ("B03", "B11"), "Xu 2006, doi:10.1080/01431160600589179"),
        "nbr": SpectralIndex(nbr, ("B08", "B12"), "Key and Benson 2006"),
        "baei": SpectralIndex(
            baei, ("B03", "B04", "B11"), "Bouzekri, Lasbet and Lachehab 2015, doi:10.1007/s12524-015-0460-6"
        ),
    }
)


@dataclass(frozen=True)
class IndexParameters(Described):
    """Parameters of `index_score`.

    Attributes
    ----------
    smoothing_px : tuple of float
        Standard deviations of the Gaussians whose smoothed scores are combined by geometric mean.
    """

    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class TextureParameters(Described):
    """Parameters of `texture_score`.

    Attributes
    ----------
    window_px : int
        Side of the square in which the standard deviation is taken, an odd number.
    smoothing_px : tuple of float
        As in `IndexParameters`.
    """

    window_px: int = 7
    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        if self.window_px < 3 or self.window_px % 2 == 0:
            message = f"window_px must be an odd number from 3 on, not {self.window_px}"
            raise ValueError(message)


def index_score(
    name: str,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: IndexParameters = IndexParameters(),
) -> NDArray[np.float32]:
    """Score change as the difference of an index, less its median, over its median absolute deviation.

    Image differencing: Singh 1989, doi:10.1080/01431168908903939.

    Parameters
    ----------
    name : str
        One of `DIFFERENCE_INDICES`.
    before, after : ndarray of float32, shape (band, y, x)
        Reflectance, registered to each other; the bands of the index in the order of its table.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band; they have no say in an index.
    parameters : IndexParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative, in robust standard deviations of the difference: the sign is not told. NaN
        where `valid` is False.

    Raises
    ------
    ValueError
        When shapes disagree, or the number of bands is not that of the index.
    KeyError
        When there is no such index.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.uniform(0.2, 0.3, (2, 64, 64)).astype(np.float32)
    >>> after = rng.uniform(0.2, 0.3, (2, 64, 64)).astype(np.float32)
    >>> after[0, 30:40, 30:40] = 0.05
    >>> score = index_score("ndvi", before, after, np.ones((64, 64), bool), (1.0, 1.0))
    >>> bool(score[35, 35] > 4 * np.median(score))
    True
    """
    check_pair(before, after, valid, weights)
    index = DIFFERENCE_INDICES[name]
    if len(before) != len(index.bands):
        message = f"{name} takes the bands {', '.join(index.bands)}, not {len(before)} of them"
        raise ValueError(message)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    change = _index_where_valid(index, after, valid)
    change -= _index_where_valid(index, before, valid)
    (sample,) = sample_pixels((change[None],), valid, _SAMPLE, 0)
    centre, scale = robust_standardisation(sample)
    change -= np.float32(centre[0])
    np.abs(change, out=change)
    change /= np.float32(scale[0] if scale[0] > _ALIKE else max(float(sample.std()), _ALIKE))
    return smooth_score(change, valid, parameters.smoothing_px)


def index_detector(name: str) -> Callable[..., NDArray[np.float32]]:
    """Return `index_score` of one index, as a detector's function.

    Parameters
    ----------
    name : str
        One of `DIFFERENCE_INDICES`.

    Returns
    -------
    callable
        ``(before, after, valid, weights, parameters) -> score``.
    """
    return partial(index_score, name)


def _index_where_valid(
    index: SpectralIndex, image: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    planes = [np.where(valid, plane, np.float32(0)) for plane in image]
    return np.array(index.function(dict(zip(index.bands, planes, strict=True))), np.float32)


def gradient_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: IndexParameters = IndexParameters(),
) -> NDArray[np.float32]:
    """Score change as the difference of the lengths of the gradients: edges that came or went.

    Gradients are those of Scharr's kernels on standardised bands, so a gain or an offset on a date leaves the
    score as it is. Next to pixels that are not usable there is no gradient, and the score is 0.

    Parameters
    ----------
    before, after, valid, weights
        As in `changedet.core.change_vectors.cva_score`.
    parameters : IndexParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    inner = np.asarray(cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8)), bool)

    def length(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the lengths of the gradients of a band."""
        total = np.zeros(plane.shape, np.float32)
        for way in ((1, 0), (0, 1)):
            slope = cv2.Scharr(plane, cv2.CV_32F, *way, scale=1 / 32, borderType=cv2.BORDER_REPLICATE)
            cv2.accumulateSquare(slope, total)
        # not cv2.magnitude, whose last digit depends on where the memory lies
        return np.where(inner, np.sqrt(total), np.float32(0))

    return _difference_of(length, (before, after), valid, weights, parameters.smoothing_px)


def texture_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: TextureParameters = TextureParameters(),
) -> NDArray[np.float32]:
    """Score change as the difference of the standard deviations in a window.

    It is ground that became rough or smooth. Bands are standardised, so a gain or an offset on a date leaves
    the score as it is. Pixels that are not usable are left out of the window.

    Parameters
    ----------
    before, after, valid, weights
        As in `changedet.core.change_vectors.cva_score`.
    parameters : TextureParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    side = (parameters.window_px, parameters.window_px)

    def mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the means in the window, with 0 beyond the image."""
        return np.asarray(cv2.boxFilter(plane, cv2.CV_32F, side, borderType=cv2.BORDER_CONSTANT), np.float32)

    share = np.maximum(mean(valid.astype(np.float32)), np.float32(1e-6))

    def deviation(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the standard deviations of what is usable in the window."""
        middle = mean(plane) / share
        return np.sqrt(np.maximum(mean(plane * plane) / share - middle * middle, np.float32(0)))

    return _difference_of(deviation, (before, after), valid, weights, parameters.smoothing_px)


def _difference_of(
    feature: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    smoothing_px: tuple[float, ...],
) -> NDArray[np.float32]:
    """Return the weighted length of the differences of a feature of standardised bands, smoothed."""
    check_pair(*images, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    total = np.zeros(valid.shape, np.float32)
    for before, after, weight in zip(*images, weights, strict=True):
        if weight > 0:
            change = feature(_standardised(after, valid)) - feature(_standardised(before, valid))
            total += np.float32(weight / sum(weights)) * change * change
    return smooth_score(np.sqrt(total), valid, smoothing_px)


def _standardised(plane: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bring a band to median 0 and robust standard deviation 1; 0 where it is not usable or of one value."""
    (sample,) = sample_pixels((plane[None],), valid, _SAMPLE, 0)
    centre, spread = (np.float32(found[0]) for found in centre_and_spread(sample))
    if spread == 0:
        return np.zeros(plane.shape, np.float32)
    return np.where(valid, (plane - centre) / spread, np.float32(0))
