"""SiROC pixel by pixel and vote by vote, in float64, from its definition."""

from itertools import pairwise

import numpy as np
from tests.core.slow.histogram_threshold import otsu


def neighbours(valid, row, column, inner, outer, corners):
    found = []
    for r in range(max(row - outer, 0), min(row + outer + 1, valid.shape[0])):
        for c in range(max(column - outer, 0), min(column + outer + 1, valid.shape[1])):
            up, aside = abs(r - row), abs(c - column)
            beyond = (up > inner and aside > inner) if corners else (up > inner or aside > inner)
            if valid[r, c] and beyond:
                found.append((r, c))
    return found


def residual(before, after, valid, weights, ring, corners):
    """Mean over the bands of ``|g x - y|``, in shares of the largest number of the band."""
    out = np.zeros(valid.shape)
    for x, y, weight in zip(before.astype(float), after.astype(float), weights, strict=True):
        largest = np.abs(y[valid]).max()
        for row, column in zip(*np.nonzero(valid), strict=True):
            near = neighbours(valid, row, column, *ring, corners)
            squares = sum(x[p] ** 2 for p in near)
            if squares > 0:
                gain = sum(x[p] * y[p] for p in near) / squares
                out[row, column] += (
                    weight / sum(weights) * abs(gain * x[row, column] - y[row, column]) / largest
                )
    return out


def extreme(flags, side, of):
    """Greatest or least flag within a square, of what lies inside the image."""
    reach = side // 2
    rows, columns = flags.shape
    return np.array(
        [
            [
                of(flags[max(r - reach, 0) : r + reach + 1, max(c - reach, 0) : c + reach + 1])
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


def votes(before, after, valid, weights, radii, *, corners, factor, side):
    """Share of the neighbourhoods that vote for each pixel."""
    total, asked = np.zeros(valid.shape), 0
    for ring in pairwise(radii):
        left = residual(before, after, valid, weights, ring, corners)
        if not left.any():
            continue
        asked += 1
        flags = (left > factor * otsu(left[valid].tolist(), 256)) & valid
        closed = extreme(extreme(flags, side, np.max), side, np.min)
        total += extreme(extreme(closed, side, np.min), side, np.max)
    return np.where(valid, total / max(asked, 1), np.nan)
