"""Made-up images of any size with what matters for speed: ten bands, gaps, patches of change."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

BANDS = 10
REGISTRATION_BANDS = 4
DATES = 5
#: (rows too far down, columns too far right) of the moving image's content, in half pixels.
SHIFT_HALF_PX = (5, -3)
_MARGIN_HALF_PX = 16


def _field(rng, size, sigma):
    field = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), sigma)
    return field / field.std()


@lru_cache(maxsize=1)
def dates(size):
    """Before, after (both float32, shape (10, size, size)), valid and one weight per band."""
    rng = np.random.default_rng(size)
    cover = np.stack([_field(rng, size, sigma) for sigma in (6, 3, 1.5)])
    mixing = rng.uniform(-0.02, 0.04, (2, BANDS, 3)).astype(np.float32)
    before, after = (
        np.float32(0.25)
        + np.einsum("bc,cyx->byx", mix, cover, optimize=True)
        + rng.normal(0, 0.004, (BANDS, size, size)).astype(np.float32)
        for mix in mixing
    )
    for _ in range(size // 32):
        row, column = rng.integers(0, size - 12, 2)
        after[:, row : row + 10, column : column + 12] += np.float32(0.2)
    valid = _field(rng, size, 20) < 1.3
    return before, after, valid, (1.0,) * BANDS


@lru_cache(maxsize=1)
def dimmed(size):
    """Before, and an after image of the same season in another light; valid."""
    before, _, valid, _ = dates(size)
    rng = np.random.default_rng(size)
    after = before * np.float32(0.8) + np.float32(0.02)
    after += rng.normal(0, 0.006, before.shape).astype(np.float32)
    after[:, : size // 8] += np.float32(0.1)
    return before, after, valid


@lru_cache(maxsize=1)
def cloudy(size):
    """Five dates of one ground (float32, shape (5, 10, size, size)), each usable on some 60 %."""
    before, *_ = dates(size)
    rng = np.random.default_rng(size)
    stack = np.stack([before + rng.normal(0, 0.01, before.shape).astype(np.float32) for _ in range(DATES)])
    valid = np.stack([_field(rng, size, 20) < 0.3 for _ in range(DATES)])
    return stack, valid


@lru_cache(maxsize=1)
def displaced(size):
    """Reference and moving images (float32, shape (4, size, size)) and their usable pixels."""
    rng = np.random.default_rng(size)
    fine = 2 * size + 2 * _MARGIN_HALF_PX
    pair = np.empty((2, REGISTRATION_BANDS, size, size), np.float32)
    for band in range(REGISTRATION_BANDS):
        ground = cv2.GaussianBlur((_field(rng, fine, 12) > 0.3).astype(np.float32), (0, 0), 1.2)
        ground = 0.2 + 0.1 * ground + 0.01 * _field(rng, fine, 3)
        for image, (rows, columns) in zip(pair, ((0, 0), SHIFT_HALF_PX), strict=True):
            top, left = _MARGIN_HALF_PX - rows, _MARGIN_HALF_PX - columns
            window = ground[top : top + 2 * size, left : left + 2 * size]
            image[band] = window.reshape(size, 2, size, 2).mean(axis=(1, 3))
    pair += rng.normal(0, 0.002, pair.shape).astype(np.float32)
    valid = [_field(rng, size, 20) < 1.5 for _ in range(2)]
    return pair[0], pair[1], valid[0], valid[1]


@lru_cache(maxsize=1)
def flags(size):
    """Candidate pixels, certain pixels and a score, for labelling."""
    rng = np.random.default_rng(size)
    score = (_field(rng, size, 2.5) + 4).astype(np.float32)
    return score > 5.5, score > 6.5, score
