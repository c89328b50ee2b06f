"""The same ground as different sensors, processors and seasons show it, displaced by a known shift."""

import cv2
import numpy as np
from scipy import ndimage
from tests.core import pairs

NOISE = 8.0


def positions(shape, shift_px=(0.0, 0.0)):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return rows + np.float32(shift_px[0]), columns + np.float32(shift_px[1])


def noisy(image, rng, deviation=NOISE):
    return (image + rng.normal(0, deviation, image.shape)).clip(1, 65535).astype(np.float32)


def averaged(image, factor):
    height, width = image.shape
    return image.reshape(height // factor, factor, width // factor, factor).mean(
        axis=(1, 3), dtype=np.float32
    )


def reference_of(ground, rng):
    return noisy(ground.seen(*positions(ground.shape))[0], rng)


def other_orbit(ground, shift_px, rng):
    """Another view: brightness slopes across the swath, and one pixel in sixteen stands higher."""
    shape = ground.shape
    seen = ground.seen(*positions(shape, shift_px))[0]
    leaning = ground.seen(*positions(shape, (shift_px[0], shift_px[1] + 1)))[0]
    seen = np.where(pairs.blobs(shape, 0.06, 12, rng), leaning, seen)
    return noisy(seen * (1 + 0.1 * np.linspace(-1, 1, shape[1])), rng)


def hazy(ground, shift_px, rng):
    """As before atmospheric correction: path radiance, and light scattered in from the surroundings."""
    seen = ground.seen(*positions(ground.shape, shift_px))[0]
    return noisy(0.75 * seen + 0.15 * cv2.GaussianBlur(seen, (0, 0), 40) + 500, rng)


def landsat(ground, shift_px, rng, factor=3):
    """Pixels three times as large, a soft lens, another response, coarse steps."""
    seen = ground.seen(*positions(ground.shape, shift_px))
    mixed = 0.75 * seen[0] + 0.3 * seen[-1]
    coarse = averaged(cv2.GaussianBlur(mixed, (0, 0), 0.45 * factor), factor)
    return np.rint(noisy(coarse, rng, 10) / 12).astype(np.float32) * 12


def high_resolution(ground, shift_px, rng, shadow=0.0):
    """An image as a camera delivers it: tone curve, eight bits, and shadows of what is bright."""
    image = ground.seen(*positions(ground.shape, shift_px))[0]
    middle = float(np.median(image))
    image = middle * np.clip(image / middle, 0.01, None) ** rng.uniform(0.5, 0.8)
    if shadow:
        tall = (image > np.quantile(image, 1 - shadow)).astype(np.float32)
        shaded = (ndimage.shift(tall, (5, 4), order=0) > 0) & (tall == 0)
        image = np.where(shaded, 0.5 * image, image)
    image = noisy(image, rng)
    return np.clip(255 * image / np.quantile(image, 0.995), 0, 255).astype(np.uint8)


def radar(ground, shift_px, rng, looks=20):
    """Backscatter that has nothing to do with brightness: every tone its own power, and speckle."""
    seen = ground.seen(*positions(ground.shape, shift_px))[0]
    tones = np.quantile(seen, np.linspace(0, 1, 24))
    decibels = np.interp(seen, tones, np.random.default_rng(3).permutation(np.linspace(-16, -2, 24)))
    return (10 ** (decibels / 10) * rng.gamma(looks, 1 / looks, seen.shape)).astype(np.float32)


def series(count, size, seed, *, odd=(), cloud=0.25, spread_px=2.0):
    """Dates of one ground: images, what is clear, and the shift of each; the odd ones show other ground.

    Fields grow and are cut, haze comes and goes, clouds have their own texture.
    """
    rng = np.random.default_rng([5, seed])
    shape = size, size
    ground, shifts = pairs.made_up(shape, seed), rng.uniform(-spread_px, spread_px, (count, 2))
    images, clear = [], []
    for date, shift in enumerate(shifts):
        rows, columns = positions(shape, shift)
        shown = pairs.made_up(shape, seed + 50 + date) if date in odd else ground
        tone = pairs.smooth_noise(shape, size // 8, np.random.default_rng([6, seed, date]))
        season = cv2.remap(tone, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        image = shown.seen(rows, columns)[0] * (1 + 0.25 * season)
        image = image * (1 + 0.15 * pairs.smooth_noise(shape, 5, rng)) + 40
        cover = pairs.blobs(shape, rng.uniform(0.01, cloud), 60, rng)
        image = np.where(cover, 3500 + 900 * pairs.smooth_noise(shape, size // 12, rng), image)
        images.append(noisy(image, rng))
        clear.append(~cover)
    return images, clear, shifts


def spread_px(found, truth):
    """Root mean square error of shifts that may all be off by one and the same shift."""
    error = np.asarray(found) - np.asarray(truth)
    return float(np.sqrt(((error - error.mean(axis=0)) ** 2).sum(axis=1).mean()))
