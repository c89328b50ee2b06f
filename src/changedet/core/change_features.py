"""What a trained model is told of a pixel: scores of detectors, differences of bands and indices, texture.

The list is fixed by the bands, its order is part of the version, and every feature is one plane of numbers
that can be looked at. `FEATURES_VERSION` changes when a feature does; that the detectors still give what they
gave when a model was trained is checked by `fingerprint`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.indices import INDICES, compute_indices
from changedet.core.optical import DETECTORS
from changedet.core.smoothing import smooth_score
from changedet.core.threshold import robust_thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Version of the list of features: their definition and order.
FEATURES_VERSION = 1
#: Detectors whose scores are features.
SCORED_BY = ("predict", "cva")
#: Standard deviations, in pixels, at which their scores are smoothed; 0 = as they come.
SCORE_SCALES_PX = (0.0, 1.0, 2.0, 4.0)
#: Standard deviations, in pixels, at which differences and textures are taken.
DIFFERENCE_SCALE_PX, TEXTURE_SCALE_PX = 1.0, 2.0

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
    planes = [
        *_scores(before, after, valid, weights),
        *_differences(before, after, valid, bands),
        *_textures(before, after, valid, bands),
    ]
    return np.where(valid, np.stack(planes), np.float32(np.nan)).astype(np.float32)


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
            score = smooth_score(raw, valid, (sigma,) if sigma else ())
            background = robust_thresholds(score)
            yield (score - np.float32(background.median)) / np.float32(max(background.mad, 1e-6))


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
