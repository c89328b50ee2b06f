"""Made-up ground for tests of the core, rendered finer than the pixels so that shifts are exact."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from tests.data import data_folder

DATA = data_folder()
FINE = 4  # sub-pixels per pixel: shifts come in quarters of a pixel


@cache
def fine_ground(size_px, seed=0, margin_px=12):
    """Fields with sharp borders over 1/f noise, at a quarter of a pixel, seen through a soft lens."""
    rng = np.random.default_rng(seed)
    size = (size_px + 2 * margin_px) * FINE
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum / frequency, s=(size, size))
    ground = 0.2 + 0.02 * noise / noise.std()
    for _ in range(max(12, size_px**2 // 120)):
        top, left = rng.integers(0, size, 2)
        height, width = rng.integers(3 * FINE, 16 * FINE, 2)
        ground[top : top + height, left : left + width] += rng.uniform(-0.06, 0.06)
    ground = ndimage.gaussian_filter(ground.astype(np.float32), 0.5 * FINE)
    ground.flags.writeable = False
    return ground


def sample(ground, size_px, row_px=0.0, column_px=0.0, margin_px=12):
    """What pixels see of the ground when its content lies too far down and too far right by so much."""
    top, left = (margin_px * FINE - round(shift * FINE) for shift in (row_px, column_px))
    window = ground[top : top + size_px * FINE, left : left + size_px * FINE]
    return window.reshape(size_px, FINE, size_px, FINE).mean(axis=(1, 3))


def pair(size_px, row_px, column_px, seed=0, bands=2, noise=0.002):
    """A reference and a moving image of the same ground, noisy on its own each, shape (band, y, x)."""
    rng = np.random.default_rng(seed + 1)
    grounds = [fine_ground(size_px, seed + 100 * band) for band in range(bands)]
    images = [
        np.stack([sample(ground, size_px, *shift) for ground in grounds])
        + rng.normal(0, noise, (bands, size_px, size_px)).astype(np.float32)
        for shift in ((0.0, 0.0), (row_px, column_px))
    ]
    return images[0], images[1]


def usable(image):
    return np.ones(image.shape[-2:], bool)


def real(*parts):
    """The path of real imagery; the test is skipped where there is none."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real imagery at {path}: set CHANGEDET_DATA")
    return path
