"""What a trained model is told of a pixel: scores of detectors, differences of bands and indices, texture.

The list is fixed by the bands, its order is part of the version, and every feature is one plane of numbers
that can be looked at. `FEATURES_VERSION` changes when a feature does; that the detectors still give what they
gave when a model was trained is checked by `fingerprint`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import even_tiles, run_blocks, tile_with_halo
from changedet.core.indices import INDICES, compute_indices
from changedet.core.optical import DETECTORS
from changedet.core.planes import by_rows, new_plane, relieve
from changedet.core.smoothing import blur_reach_px, smooth_score
from changedet.core.threshold import robust_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Tile = tuple[slice, slice]

#: Version of the list of features: their definition and order.
FEATURES_VERSION = 1
#: Detectors whose scores are features.
SCORED_BY = ("predict", "cva")
#: Standard deviations, in pixels, at which their scores are smoothed; 0 = as they come.
SCORE_SCALES_PX = (0.0, 1.0, 2.0, 4.0)
#: Standard deviations, in pixels, at which differences and textures are taken.
DIFFERENCE_SCALE_PX, TEXTURE_SCALE_PX = 1.0, 2.0
#: A texture is smoothed twice, so that pixels count from so far.
_HALO_PX = 2 * blur_reach_px(TEXTURE_SCALE_PX)
#: What the features of a tile may take.
_TILE_BYTES = 48_000_000

_ABOVE = "robust standard deviations above the background of the scene"
_REFLECTANCE = "reflectance"
_VISIBLE = ("B02", "B03", "B04")


@dataclass(frozen=True)
class Feature:
    """One number that a model is told of every pixel.

    Attributes
    ----------
    name : str
        Short, the same in every version that has it.
    unit : str
        Of the number.
    text : str
        What it is, for a reader.
    """

    name: str
    unit: str
    text: str


def list_features(bands: tuple[str, ...]) -> tuple[Feature, ...]:
    """Name the features that images of these bands have, in their order.

    Parameters
    ----------
    bands : tuple of str
        Canonical band names, in the order of the images.

    Returns
    -------
    tuple of Feature
        As many as `change_features` gives planes.

    Examples
    --------
    >>> [feature.name for feature in list_features(("B02", "B03", "B04"))][-3:]
    ['texture_before', 'texture_after', 'texture_difference']
    """
    scale, fine = f"{DIFFERENCE_SCALE_PX:g} px", f"{TEXTURE_SCALE_PX:g} px"
    found = [
        Feature(f"{name}_{sigma:g}px", _ABOVE, f"score of {name}, smoothed over {sigma:g} px")
        for name in SCORED_BY
        for sigma in SCORE_SCALES_PX
    ]
    found += [
        Feature(f"difference_{band}", _REFLECTANCE, f"{band} after minus before, over {scale}")
        for band in bands
    ]
    for name in _index_names(bands):
        unit = _REFLECTANCE if name in ("brightness", "NIR") else "index"
        found.append(Feature(f"before_{name}", unit, f"{name} before, over {scale}"))
        found.append(Feature(f"difference_{name}", unit, f"{name} after minus before, over {scale}"))
    what = f"standard deviation of the mean visible band (of all bands without one) within {fine}"
    found += [
        Feature("texture_before", _REFLECTANCE, f"{what}, before"),
        Feature("texture_after", _REFLECTANCE, f"{what}, after"),
        Feature("texture_difference", _REFLECTANCE, f"{what}, of after minus before"),
    ]
    return tuple(found)


def change_features(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    bands: tuple[str, ...],
    weights: tuple[float, ...],
) -> NDArray[np.float32]:
    """Compute the features of every pixel of a registered and normalised pair.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Reflectance 0..1, the later image matched to the earlier one.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    bands : tuple of str
        Canonical names of the bands.
    weights : tuple of float
        One for each band, for the detectors.

    Returns
    -------
    ndarray of float32, shape (feature, y, x)
        In the order of `list_features`; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    features = _Features.of((before, after), valid, bands, weights)
    out = new_plane((len(list_features(bands)), *valid.shape), np.float32)

    def _work(tile: Tile) -> None:
        out[:, *tile] = np.where(valid[tile], features.of_tile(tile), np.float32(np.nan))
        relieve()

    run_blocks(_work, features.tiles)
    return out


def map_features(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: NDArray[np.bool_],
    bands: tuple[str, ...],
    weights: tuple[float, ...],
) -> NDArray[np.float32]:
    """Compute a plane from the features of every pixel, of which no more than those of some tiles are held.

    Parameters
    ----------
    function : callable
        From features, shape (feature, pixel), to a number for each pixel.
    images : tuple of two ndarrays of float32, shape (band, y, x)
        Before and after, as in `change_features`.
    valid, bands, weights
        As in `change_features`.

    Returns
    -------
    ndarray of float32, shape (y, x)
        NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    features = _Features.of(images, valid, bands, weights)
    out = new_plane(valid.shape, np.float32, np.nan)

    def _work(tile: Tile) -> None:
        usable = valid[tile]
        if usable.any():
            out[tile][usable] = function(features.of_tile(tile)[:, usable])
        relieve()

    run_blocks(_work, features.tiles)
    return out


@dataclass(frozen=True, eq=False)
class _Features:
    """Two dates and the scores of both together, from which the features of a tile are made."""

    images: tuple[NDArray[np.float32], NDArray[np.float32]]
    valid: NDArray[np.bool_]
    bands: tuple[str, ...]
    scores: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        images: tuple[NDArray[np.float32], NDArray[np.float32]],
        valid: NDArray[np.bool_],
        bands: tuple[str, ...],
        weights: tuple[float, ...],
    ) -> _Features:
        """Score the pair."""
        scores = new_plane((len(SCORED_BY) * len(SCORE_SCALES_PX), *valid.shape), np.float32)
        for plane, score in zip(scores, _scores(*images, valid, weights), strict=True):
            background = robust_thresholds(score)
            middle, spread = np.float32(background.median), np.float32(max(background.mad, 1e-6))
            by_rows(partial(_standing_out, middle, spread), score, dtype=np.float32, out=plane)
        return cls(images, valid, bands, scores)

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Tiles whose features are made at one time."""
        return even_tiles(self.valid.shape, len(list_features(self.bands)), _TILE_BYTES)

    def of_tile(self, tile: Tile) -> NDArray[np.float32]:
        """Return the features of a tile, shape (feature, y, x); anything where it is not valid."""
        wide, inner = tile_with_halo(tile, self.valid.shape, _HALO_PX)
        valid = self.valid[wide]
        before, after = (image[:, *wide] for image in self.images)
        local = (
            *_differences(before, after, valid, self.bands),
            *_textures(before, after, valid, self.bands),
        )
        return np.stack([*self.scores[:, *tile], *(plane[inner] for plane in local)])


def _standing_out(middle: np.float32, spread: np.float32, score: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((score - middle) / spread)


def _scores(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
) -> Iterator[NDArray[np.float32]]:
    for name in SCORED_BY:
        detector = DETECTORS[name]
        plain = replace(detector.parameters(), smoothing_px=())  # type: ignore[type-var]  # all are dataclasses
        raw = detector.function(before, after, valid, weights, plain)
        for sigma in SCORE_SCALES_PX:
            yield smooth_score(raw, valid, (sigma,) if sigma else ())


def _differences(
    before: NDArray[np.float32], after: NDArray[np.float32], valid: NDArray[np.bool_], bands: tuple[str, ...]
) -> Iterator[NDArray[np.float32]]:
    smoothed = [
        np.stack([_smoothed(p, valid, DIFFERENCE_SCALE_PX) for p in date]) for date in (before, after)
    ]
    yield from smoothed[1] - smoothed[0]
    indices = [compute_indices(date, bands) for date in smoothed]
    for name in _index_names(bands):
        yield indices[0][name]
        yield indices[1][name] - indices[0][name]


def _textures(
    before: NDArray[np.float32], after: NDArray[np.float32], valid: NDArray[np.bool_], bands: tuple[str, ...]
) -> Iterator[NDArray[np.float32]]:
    visible = [i for i, name in enumerate(bands) if name in _VISIBLE] or [*range(len(bands))]
    first, second = (date[visible].mean(axis=0) for date in (before, after))
    for plane in (first, second, second - first):
        mean = _smoothed(plane, valid, TEXTURE_SCALE_PX)
        centred = np.where(valid, plane - mean, np.float32(0))
        yield np.sqrt(np.maximum(_smoothed(centred * centred, valid, TEXTURE_SCALE_PX), 0))


def _index_names(bands: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name, (_, needs) in INDICES.items() if needs <= set(bands))


def _smoothed(plane: NDArray[np.float32], valid: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float32]:
    """Smooth by a Gaussian that unusable pixels neither give to nor take from."""
    filled, weight = np.where(valid, plane, np.float32(0)), valid.astype(np.float32)
    blurred, share = (
        cv2.GaussianBlur(one, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT) for one in (filled, weight)
    )
    return np.asarray(blurred / np.maximum(share, np.float32(1e-6)), np.float32)


def fingerprint(bands: tuple[str, ...], weights: tuple[float, ...]) -> tuple[float, ...]:
    """Return what the features are on a small made-up pair, by which other definitions are noticed.

    Parameters
    ----------
    bands : tuple of str
        Canonical band names.
    weights : tuple of float
        One for each band.

    Returns
    -------
    tuple of float
        Mean and standard deviation of every feature, one after the other.
    """
    rng = np.random.default_rng(0)
    shape = (len(bands), 48, 48)
    ground = cv2.GaussianBlur(rng.random((48, 48)).astype(np.float32), (0, 0), 2.0)
    tone = np.linspace(0.4, 0.8, len(bands), dtype=np.float32)[:, None, None]
    before = (ground * tone + 0.01 * rng.standard_normal(shape)).astype(np.float32)
    after = (ground * tone + 0.01 * rng.standard_normal(shape)).astype(np.float32)
    after[:, 20:28, 20:28] += 0.2 * tone
    features = change_features(before, after, np.ones((48, 48), bool), bands, weights).astype(np.float64)
    flat = features.reshape(len(features), -1)
    return tuple(
        round(float(v), 6) for pair in zip(flat.mean(axis=1), flat.std(axis=1), strict=True) for v in pair
    )
