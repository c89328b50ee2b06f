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
from changedet.core.planes import by_rows, by_tiles
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import centre_and_spread, check_pair, robust_standardisation
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from changedet.core.indices import Planes

    _Feature = Callable[[NDArray[np.float32]], NDArray[np.float32]]

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

    def difference(
        first: NDArray[np.float32], second: NDArray[np.float32], usable: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the difference of the index in some rows."""
        return _index_where_valid(index, second, usable) - _index_where_valid(index, first, usable)

    change = by_rows(difference, before, after, valid, dtype=np.float32)
    (sample,) = sample_pixels((change[None],), valid, _SAMPLE, 0)
    centre, scale = robust_standardisation(sample)
    middle = np.float32(centre[0])
    spread = np.float32(scale[0] if scale[0] > _ALIKE else max(float(sample.std()), _ALIKE))
    by_rows(lambda part: np.abs(part - middle) / spread, change, dtype=np.float32, out=change)
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

    def edges(usable: NDArray[np.bool_]) -> _Feature:
        """Return what gives the lengths of the gradients of the bands of a tile."""
        inner = np.asarray(cv2.erode(usable.astype(np.uint8), np.ones((3, 3), np.uint8)), bool)
        return partial(_gradient_lengths, inner)

    return _difference_of(_Local(edges, 1), (before, after), valid, weights, parameters.smoothing_px)


def _gradient_lengths(inner: NDArray[np.bool_], plane: NDArray[np.float32]) -> NDArray[np.float32]:
    total = np.zeros(plane.shape, np.float32)
    for way in ((1, 0), (0, 1)):
        slope = cv2.Scharr(plane, cv2.CV_32F, *way, scale=1 / 32, borderType=cv2.BORDER_REPLICATE)
        cv2.accumulateSquare(slope, total)
    # not cv2.magnitude, whose last digit depends on where the memory lies
    return np.where(inner, np.sqrt(total), np.float32(0))


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

    def roughness(usable: NDArray[np.bool_]) -> _Feature:
        """Return what gives the standard deviations of the bands of a tile."""
        share = np.maximum(mean(usable.astype(np.float32)), np.float32(1e-6))

        def deviation(plane: NDArray[np.float32]) -> NDArray[np.float32]:
            """Return the standard deviations of what is usable in the window."""
            middle = mean(plane) / share
            return np.sqrt(np.maximum(mean(plane * plane) / share - middle * middle, np.float32(0)))

        return deviation

    feature = _Local(roughness, parameters.window_px // 2)
    return _difference_of(feature, (before, after), valid, weights, parameters.smoothing_px)


@dataclass(frozen=True)
class _Local:
    """A feature of pixels: what makes it of the usable pixels of a tile, and from how far a pixel counts."""

    of: Callable[[NDArray[np.bool_]], _Feature]
    reach_px: int


def _difference_of(
    feature: _Local,
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    smoothing_px: tuple[float, ...],
) -> NDArray[np.float32]:
    """Return the weighted length of the differences of a feature of standardised bands, smoothed."""
    check_pair(*images, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    scales = [centre_and_spread(sample) for sample in sample_pixels(images, valid, _SAMPLE, 0)]
    used = [(band, np.float32(weight / sum(weights))) for band, weight in enumerate(weights) if weight > 0]

    def length(
        before: NDArray[np.float32], after: NDArray[np.float32], usable: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the lengths of a tile."""
        total, of = np.zeros(usable.shape, np.float32), feature.of(usable)
        for band, share in used:
            first, second = (
                of(_standardised(image[band], usable, centre[band], spread[band]))
                for image, (centre, spread) in zip((before, after), scales, strict=True)
            )
            change = second - first
            total += share * change * change
        return np.sqrt(total)

    found = by_tiles(length, *images, valid, halo_px=feature.reach_px, dtype=np.float32)
    return smooth_score(found, valid, smoothing_px)


def _standardised(
    plane: NDArray[np.float32], valid: NDArray[np.bool_], centre: float, spread: float
) -> NDArray[np.float32]:
    """Bring a band to median 0 and robust standard deviation 1; 0 where it is not usable or of one value."""
    if np.float32(spread) == 0:
        return np.zeros(plane.shape, np.float32)
    return np.where(valid, (plane - np.float32(centre)) / np.float32(spread), np.float32(0))
