"""Differences of indices and of texture, one pixel at a time in float64, from their formulas."""

import math

import numpy as np
from tests.core.slow.change_vectors import standardised

FORMULAS = {
    "ndvi": lambda b04, b08: (b08 - b04) / (b08 + b04),
    "ndbi": lambda b08, b11: (b11 - b08) / (b11 + b08),
    "bsi": lambda b02, b04, b08, b11: ((b11 + b04) - (b08 + b02)) / ((b11 + b04) + (b08 + b02)),
    "mndwi": lambda b03, b11: (b03 - b11) / (b03 + b11),
    "nbr": lambda b08, b12: (b08 - b12) / (b08 + b12),
    "baei": lambda b03, b04, b11: (b04 + 0.3) / (b03 + b11),
}


def index_difference(name, before, after, valid):
    change = {}
    for place in zip(*np.nonzero(valid), strict=True):
        old, new = ([float(plane[place]) for plane in image] for image in (before, after))
        change[place] = FORMULAS[name](*new) - FORMULAS[name](*old)
    values = sorted(change.values())
    centre = np.median(values)
    spread = 1.4826 * np.median([abs(value - centre) for value in values])
    out = np.full(valid.shape, np.nan)
    for place, value in change.items():
        out[place] = abs(value - centre) / spread
    return out


def gradient_length(plane, valid, row, column):
    """By the kernels 3 10 3, where the window is whole; the border pixel is repeated beyond the image."""
    rows, columns = plane.shape
    at = {}
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            r, c = min(max(row + i, 0), rows - 1), min(max(column + j, 0), columns - 1)
            if not valid[r, c]:
                return 0.0
            at[i, j] = plane[r, c]
    weights = {-1: 3 / 32, 0: 10 / 32, 1: 3 / 32}
    across = sum(weights[i] * (at[i, 1] - at[i, -1]) for i in (-1, 0, 1))
    down = sum(weights[j] * (at[1, j] - at[-1, j]) for j in (-1, 0, 1))
    return math.hypot(across, down)


def window_deviation(plane, valid, row, column, reach):
    rows, columns = (
        slice(max(row - reach, 0), row + reach + 1),
        slice(max(column - reach, 0), column + reach + 1),
    )
    return float(np.std(plane[rows, columns][valid[rows, columns]]))


def feature_difference(feature, before, after, valid, weights):
    """Weighted length of the differences of a feature of standardised bands."""
    old, new = standardised(before, valid), standardised(after, valid)
    out = np.full(valid.shape, np.nan)
    for row, column in zip(*np.nonzero(valid), strict=True):
        squares = [
            weight * (feature(b, valid, row, column) - feature(a, valid, row, column)) ** 2
            for a, b, weight in zip(old, new, weights, strict=True)
        ]
        out[row, column] = math.sqrt(sum(squares) / sum(weights))
    return out
