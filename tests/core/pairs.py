"""Pairs of images whose displacement is known exactly, everywhere.

The ground is made twice as fine as the pixels and softened by a lens. Both dates are sampled from its
B-spline at the positions that the truth names: no image is ever resampled, and both alias on their own.
"""

from dataclasses import dataclass, field
from functools import cache
from itertools import product

import cv2
import numpy as np
import rasterio
from scipy import ndimage
from tests.core.scenery import DATA

FINE = 2  # samples of the ground per pixel, on each axis
MARGIN_PX = 48
OSCD = DATA / "oscd" / "images"
_CHIP = 256
_TYPICAL = 1000.0


@dataclass(frozen=True, eq=False)
class Ground:
    """B-spline coefficients of bands, and the size in pixels of images of its middle."""

    bands: tuple[np.ndarray, ...]
    shape: tuple[int, int]

    def seen(self, rows, columns):
        """What an image shows at positions in pixels, float32 (band, *positions)."""
        return np.stack(
            [
                ndimage.map_coordinates(
                    band,
                    [FINE * (rows + MARGIN_PX), FINE * (columns + MARGIN_PX)],
                    output=np.float32,
                    prefilter=False,
                    mode="reflect",
                )
                for band in self.bands
            ]
        )


@dataclass(frozen=True)
class Weather:
    """What makes the second date another one; shares of the image."""

    change: float = 0.08
    cloud: float = 0.10
    gain: float = 0.15
    curve: float = 0.2
    haze: float = 40.0
    noise: float = _TYPICAL / 120


CALM = Weather(change=0, cloud=0, gain=0, curve=0, haze=0)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images, what is usable of them, and the truth.

    `row_px` and `column_px` are what has to be added to the position of each pixel of the moving image.
    """

    reference: np.ndarray
    moving: np.ndarray
    row_px: np.ndarray
    column_px: np.ndarray
    reference_clear: np.ndarray
    moving_clear: np.ndarray
    step: int = field(default=4)

    @property
    def all_usable(self):
        return np.ones(self.reference.shape[1:], bool)

    def truth(self):
        """Row and column shift at every fourth pixel of the reference, and where both images show it."""
        height, width = self.reference.shape[1:]
        rows, columns = np.mgrid[0 : height : self.step, 0 : width : self.step].astype(np.float32)
        row_px, column_px = np.zeros_like(rows), np.zeros_like(rows)
        # the truth is known at p of the moving image, which shows q = p + d(p) of the reference
        for _ in range(8):
            at = columns - column_px, rows - row_px
            row_px, column_px = (
                cv2.remap(one, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for one in (self.row_px, self.column_px)
            )
        y, x = rows - row_px, columns - column_px
        return np.stack([row_px, column_px]), (y >= 0) & (x >= 0) & (y <= height - 1) & (x <= width - 1)

    def error_px(self, found):
        """Length of the error of a field at every fourth pixel that both images show."""
        truth, inside = self.truth()
        axes = (np.arange(0, length, float(self.step)) for length in self.reference.shape[1:])
        return np.hypot(*(found.on(*axes) - truth))[inside]

    def rmse_px(self, found):
        return float(np.sqrt((self.error_px(found) ** 2).mean()))


def made_up(shape, seed, bands=1):
    """Fields with sharp borders, roads and roughness of every size: ground that nobody has photographed."""
    rng = np.random.default_rng([7, seed])
    size = tuple(FINE * (length + 2 * MARGIN_PX) for length in shape)
    rough = [_rough(size, rng) for _ in range(2)]
    cover = _fields(size, rng)
    out = []
    for _ in range(bands):
        shares = rng.uniform(0.6, 1.0), rng.uniform(-0.4, 0.4)
        one = _TYPICAL + 45 * shares[0] * rough[0] + 45 * shares[1] * rough[1] + cover * rng.uniform(0.7, 1.3)
        out.append(_coefficients(one.astype(np.float32)))
    return Ground(tuple(out), shape)


def photographed(shape, seed, bands=(2,)):
    """A patchwork of real chips, each turned and mirrored at random; of B02, B03, B04."""
    rng = np.random.default_rng([8, seed])
    chips = real_chips()
    size = tuple(FINE * (length + 2 * MARGIN_PX) for length in shape)
    places = list(product(*(range(0, length, _CHIP) for length in size)))
    layout = [(int(rng.integers(len(chips))), int(rng.integers(4)), int(rng.integers(2))) for _ in places]
    out = []
    for band in bands:
        whole = np.empty(size, np.float32)
        for (row, column), (chip, turns, flipped) in zip(places, layout, strict=True):
            tile = np.rot90(chips[chip][band], turns)[:, :: -1 if flipped else 1]
            part = whole[row : row + _CHIP, column : column + _CHIP]
            part[:] = tile[: part.shape[0], : part.shape[1]]
        out.append(_coefficients(whole))
    return Ground(tuple(out), shape)


@cache
def real_chips():
    """Textured chips of the earlier dates of the labelled cities, uint16 (3, 256, 256) each; maybe none."""
    found = []
    for city in cities():
        image = np.stack([read_city(city, 1, name) for name in ("B02", "B03", "B04")])
        for row, column in product(*(range(0, n - _CHIP + 1, _CHIP // 2) for n in image.shape[1:])):
            chip = image[:, row : row + _CHIP, column : column + _CHIP]
            if (chip[2] > 0).all() and chip[2].std() > 40:
                found.append(chip)
    return found


def cities():
    """Names of the labelled cities that are there."""
    return sorted(path.parent.name for path in OSCD.glob("*/imgs_1"))


def read_city(name, date, band):
    with rasterio.open(next((OSCD / name / f"imgs_{date}").glob(f"*_{band}.tif"))) as file:
        return file.read(1)


def uniform(shape, row_px, column_px):
    """The same displacement everywhere."""
    return np.broadcast_to(np.array([row_px, column_px], np.float32)[:, None, None], (2, *shape))


def waves(shape, seed, mean_px=(-1.3, 1.8), amplitudes_px=(0.45, 0.3, 0.18), jitter_px=0.1):
    """A smooth field, and a jitter along the rows as a scanner has it; (2, y, x) on the moving image."""
    rng = np.random.default_rng([9, seed])
    y, x = (np.arange(n, dtype=np.float32) / max(shape) for n in shape)
    out = np.empty((2, *shape), np.float32)
    for axis in range(2):
        out[axis] = mean_px[axis]
        for amplitude in amplitudes_px:
            length, angle, phase = rng.uniform((0.45, 0, 0), (1.4, 2 * np.pi, 2 * np.pi))
            way = y[:, None] * np.sin(angle) + x * np.cos(angle)
            out[axis] += np.float32(amplitude) * np.sin(2 * np.pi * way / length + phase).astype(np.float32)
    out[1] += jitter_px * np.sin(2 * np.pi * y / 0.15 + 1)[:, None]
    return out


def make_pair(ground, displacement, seed=0, weather=Weather(), *, other=None, dtype=np.float32):
    """Both dates of a ground; `other` is the ground that lies where something really changed."""
    rng = np.random.default_rng([10, seed])
    shape = ground.shape
    rows, columns = (axis.astype(np.float32) for axis in np.ogrid[: shape[0], : shape[1]])
    rows, columns = np.broadcast_arrays(rows, columns)
    there = rows + displacement[0], columns + displacement[1]
    reference, moving = ground.seen(rows, columns), ground.seen(*there)
    if weather.change:
        moved = blobs(shape, weather.change, 40, rng)
        # turned over, the same ground is another one
        new = other.seen(*there) if other else ground.seen(shape[0] - there[0], shape[1] - there[1])
        moving = np.where(moved, new, moving)
    middle = float(np.median(moving))
    curve = 1 + weather.curve * smooth_noise(shape, 6, rng)
    gain = 1 + weather.gain * smooth_noise(shape, 5, rng)
    moving = middle * np.power(np.maximum(moving, 1) / middle, curve) * gain + weather.haze
    clear = np.ones(shape, bool), np.ones(shape, bool)
    if weather.cloud:
        cloud = [blobs(shape, share, 90, rng) for share in (weather.cloud / 3, weather.cloud)]
        shadow = np.roll(cloud[1], (25, 18), (0, 1)) & ~cloud[1]
        top = 3500 + 900 * smooth_noise(shape, max(shape) // 12 + 2, rng)
        reference = np.where(cloud[0], top[::-1], reference)
        moving = np.where(cloud[1], top, np.where(shadow, 0.45 * moving, moving))
        clear = ~cloud[0], ~(cloud[1] | shadow)
    images = [
        (image + rng.normal(0, weather.noise, image.shape)).clip(1, 65535).astype(dtype)
        for image in (reference, moving)
    ]
    truth = np.ascontiguousarray(np.broadcast_to(displacement, (2, *shape)), np.float32)
    return Pair(*images, *truth, *clear)


def blobs(shape, share, scale_px, rng):
    """A mask of round patches that covers a share of an image."""
    coarse = rng.standard_normal([max(4, length // scale_px) for length in shape]).astype(np.float32)
    field = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return field > np.quantile(field[::2, ::2], 1 - share)


def smooth_noise(shape, knots, rng):
    """Values of about -1 to 1 that change slowly."""
    coarse = rng.uniform(-1, 1, (knots, knots)).astype(np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _rough(size, rng):
    """Noise whose amplitude falls with its frequency, deviation 1."""
    spectrum = np.fft.rfft2(rng.standard_normal(size, np.float32))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum / frequency, s=size)
    return noise / noise.std()


def _fields(size, rng):
    """Rectangles of many sizes, as fields and roofs are, at angles of their own."""
    out = np.zeros(size, np.float32)
    count = size[0] * size[1] // 900
    places = rng.uniform((0, 0), size[::-1], (count, 2))
    sides = rng.uniform(4, 45, (count, 2)) * rng.choice([0.4, 1.0, 2.0], (count, 1))
    angles = np.rad2deg(rng.choice([0.0, 0.3, 1.1], count) + rng.normal(0, 0.05, count))
    for place, side, angle, step in zip(places, sides, angles, rng.normal(0, 130, count), strict=True):
        corners = cv2.boxPoints((tuple(place), tuple(side), float(angle)))
        cv2.fillConvexPoly(out, np.rint(corners).astype(np.int32), float(step))
    return out


def _coefficients(fine):
    return ndimage.spline_filter(
        cv2.GaussianBlur(fine, (0, 0), 0.5 * FINE), 3, output=np.float32, mode="reflect"
    )
