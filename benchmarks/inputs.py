"""Made-up images of any size with what matters for speed: several bands, gaps, patches of change.

Large images are small ones side by side: speed does not depend on what a pixel shows, and memory and time go
into what is measured.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Bands of a pair; the four of Sentinel-2 that have pixels of 10 m, of which alone a whole tile has 120 Mpx.
BANDS = 6
REGISTRATION_BANDS = 4
DATES = 5
#: Dates of one band, and the share of their pixels that is missing.
MANY_DATES, MISSING = 10, 0.25
#: (rows too far down, columns too far right) of the moving image's content, in half pixels.
SHIFT_HALF_PX = (5, -3)
#: Pixels on a side up to which an image is made anew instead of from smaller ones.
WHOLE_PX = 1024
_MARGIN_HALF_PX = 16


def _field(rng, size, sigma):
    field = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), sigma)
    return field / field.std()


def tiled(array, size):
    """Lay an array of shape (..., y, x) side by side until it has `size` rows and columns."""
    length = array.shape[-1]
    if length == size:
        return np.ascontiguousarray(array)
    out = np.empty((*array.shape[:-2], size, size), array.dtype)
    for row in range(0, size, length):
        for column in range(0, size, length):
            part = out[..., row : row + length, column : column + length]
            part[...] = array[..., : part.shape[-2], : part.shape[-1]]
    return out


def dates(size, bands=BANDS):
    """Before, after (both float32, shape (band, size, size)), valid and one weight per band."""
    whole = min(size, WHOLE_PX)
    rng = np.random.default_rng(whole)
    cover = np.stack([_field(rng, whole, sigma) for sigma in (6, 3, 1.5)])
    mixing = rng.uniform(-0.02, 0.04, (2, bands, 3)).astype(np.float32)
    before, after = (
        np.float32(0.25)
        + np.einsum("bc,cyx->byx", mix, cover, optimize=True)
        + rng.normal(0, 0.004, (bands, whole, whole)).astype(np.float32)
        for mix in mixing
    )
    for _ in range(whole // 32):
        row, column = rng.integers(0, whole - 12, 2)
        after[:, row : row + 10, column : column + 12] += np.float32(0.2)
    valid = _field(rng, whole, 20) < 1.3
    return *(tiled(array, size) for array in (before, after, valid)), (1.0,) * bands


def dimmed(size):
    """Before, and an after image of the same season in another light; valid. Four bands."""
    whole = min(size, WHOLE_PX)
    before, _, valid, _ = dates(whole, 4)
    rng = np.random.default_rng(whole)
    after = before * np.float32(0.8) + np.float32(0.02)
    after += rng.normal(0, 0.006, before.shape).astype(np.float32)
    after[:, : whole // 8] += np.float32(0.1)
    return tuple(tiled(array, size) for array in (before, after, valid))


def cloudy(size):
    """Five dates of one ground in four bands (float32), each usable on some 60 %."""
    whole = min(size, WHOLE_PX)
    before, *_ = dates(whole, 4)
    rng = np.random.default_rng(whole)
    stack = np.stack([before + rng.normal(0, 0.01, before.shape).astype(np.float32) for _ in range(DATES)])
    valid = np.stack([_field(rng, whole, 20) < 0.3 for _ in range(DATES)])
    return tiled(stack, size), tiled(valid, size)


def many_dates(size):
    """Ten dates of one band (float32, shape (10, size, size)), a quarter of the pixels missing at random."""
    whole = min(size, WHOLE_PX)
    rng = np.random.default_rng(whole)
    stack = rng.random((MANY_DATES, whole, whole), dtype=np.float32)
    stack[rng.random(stack.shape, dtype=np.float32) < MISSING] = np.nan
    return (tiled(stack, size),)


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


def plane(size):
    """One band of ground without gaps and without seams: the tiles are mirrored."""
    whole = min(size, WHOLE_PX)
    ground = displaced(whole)[0][0]
    if whole == size:
        return ground
    across = np.concatenate([ground, ground[:, ::-1]], axis=1)
    return tiled(np.concatenate([across, across[::-1]]), size)


def flags(size):
    """Candidate pixels, certain pixels and a score, for labelling."""
    whole = min(size, WHOLE_PX)
    score = (_field(np.random.default_rng(whole), whole, 2.5) + 4).astype(np.float32)
    return tuple(tiled(array, size) for array in (score > 5.5, score > 6.5, score))
