"""Surprise by the ground round each pixel, in plain loops and float64, from its definition."""

from itertools import pairwise

import numpy as np

LEAST_PIXELS = 4


def gain_residual(given, target, near, row, column):
    """``|g x - y|`` at a pixel, with the gain of the pixels that `near` holds."""
    squares = sum(given[r, c] ** 2 for r, c in near)
    gain = sum(given[r, c] * target[r, c] for r, c in near) / squares if squares > 0 else 0.0
    return abs(gain * given[row, column] - target[row, column])


def pixels_of_ring(valid, row, column, inner, outer):
    """Usable pixels outside the inner square and inside the outer one."""
    found = []
    for r in range(max(row - outer, 0), min(row + outer + 1, valid.shape[0])):
        for c in range(max(column - outer, 0), min(column + outer + 1, valid.shape[1])):
            if valid[r, c] and max(abs(r - row), abs(c - column)) > inner:
                found.append((r, c))
    return found


def mean_residual(given, target, valid, radii):
    """Residuals averaged over the rings that hold enough."""
    out = np.full(valid.shape, np.nan)
    for row, column in zip(*np.nonzero(valid), strict=True):
        residuals = []
        for inner, outer in pairwise(radii):
            near = pixels_of_ring(valid, row, column, inner, outer)
            if len(near) >= LEAST_PIXELS:
                residuals.append(gain_residual(given, target, near, row, column))
        out[row, column] = np.mean(residuals) if residuals else 0.0
    return out


def ring_surprise(before, after, valid, weights, radii):
    """The smaller one of both directions."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    both = []
    for given, target in ((before, after), (after, before)):
        total = np.zeros(valid.shape)
        for x, y, weight in zip(given, target, weights, strict=True):
            residual = mean_residual(x, y, valid, radii)
            total += weight / sum(weights) * residual / np.median(residual[valid])
        both.append(total)
    return np.where(valid, np.minimum(*both), np.nan)
