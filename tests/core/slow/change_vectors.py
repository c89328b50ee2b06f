"""Change vectors one pixel at a time, in float64, from their definitions."""

import math

import numpy as np


def standardised(image, valid):
    """Each band less its median, over 1.4826 times its median absolute deviation.

    Where that is 0, over its standard deviation; nothing where that is 0, too.
    """
    out = np.full(image.shape, np.nan)
    for band, plane in enumerate(image.astype(np.float64)):
        usable = plane[valid]
        centre = np.median(usable)
        spread = 1.4826 * np.median(np.abs(usable - centre)) or np.std(usable)
        out[band][valid] = (usable - centre) / spread if spread else 0.0
    return out


def difference(before, after, valid):
    return standardised(after, valid) - standardised(before, valid)


def polar(before, after, valid, weights):
    """Length and angle in degrees to the vector that rises alike in all bands."""
    change = difference(before, after, valid)
    magnitude, direction = np.full(valid.shape, np.nan), np.full(valid.shape, np.nan)
    for row, column in zip(*np.nonzero(valid), strict=True):
        vector = [
            math.sqrt(w / sum(weights)) * d for w, d in zip(weights, change[:, row, column], strict=True)
        ]
        alike = [math.sqrt(w / sum(weights)) for w in weights]
        length = math.sqrt(sum(v * v for v in vector))
        magnitude[row, column] = length
        if length > 0:
            cosine = sum(v * a for v, a in zip(vector, alike, strict=True)) / length
            direction[row, column] = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
    return magnitude, direction


def principal_length(before, after, valid, weights, energy):
    """Length of the part that the strongest principal components hold."""
    shares = np.sqrt(np.array(weights) / sum(weights))
    pixels = (shares[:, None, None] * difference(before, after, valid))[:, valid]
    variances, vectors = np.linalg.eigh(np.cov(pixels))
    order = np.argsort(variances)[::-1]
    kept, held = [], 0.0
    for index in order:
        kept.append(vectors[:, index])
        held += variances[index]
        if held / variances.sum() >= energy:
            break
    out = np.full(valid.shape, np.nan)
    out[valid] = [math.sqrt(sum(float(k @ pixel) ** 2 for k in kept)) for pixel in pixels.T]
    return out
