"""Pairs of images whose displacement is known exactly everywhere, of any size, as GeoTIFFs.

The ground is a patchwork of real chips (of made-up ones where there are none), each turned and mirrored at
random, taken to be twice as fine as the pixels and softened by a lens (Gaussian, 0.5 px). The reference is
every other sample of it. The moving image is sampled from its cubic B-spline at the positions that the truth
names, so that neither date is ever resampled, and both alias on their own. Then the later date gets its own
light (gain field, tone curves by region, haze), real change, clouds and shadows, and both get noise.

Everything is made in strips: an image of 10980 pixels square takes some hundred megabytes.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from scipy import ndimage

CASES = {
    "A": "one shift of (-2.61, +3.37) px, nothing else",
    "B": "the same; 8 % of the area changed, 12 % under clouds and as much under shadows, another light",
    "C": "a smooth distortion, (-1.30, +1.80) px in the mean and up to 4 px; the rest as in B",
    "D": "one shift of (+11.60, -18.25) px; the rest as in B",
}
BANDS = ("B02", "B03", "B04")
#: Pixels of ground round the images, more than any displacement.
MARGIN_PX = 40
#: About so many samples of the truth on each axis.
TRUTH_SAMPLES = 1100
_UNIFORM = {"A": (-2.61, 3.37), "B": (-2.61, 3.37), "D": (11.60, -18.25)}
_MEAN_PX, _AMPLITUDES_PX, _JITTER_PX = (-1.30, 1.80), (0.45, 0.30, 0.18), 0.10
_CHIP = 256
_STRIP = 512
#: Samples of the fine ground beside a strip, so that lens and spline do not see its edge.
_SPARE = 24
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Displacement:
    """A displacement as a formula: what is added to the position of each pixel of the moving image."""

    case: str
    size: int
    seed: int

    @cached_property
    def modes(self):
        """Wavelength in scene widths, direction and phase of each wave, shape (2, 3, 3)."""
        rng = np.random.default_rng([1, self.seed])
        return rng.uniform((0.45, 0, 0), (1.4, 2 * np.pi, 2 * np.pi), (2, len(_AMPLITUDES_PX), 3))

    def at(self, rows, columns):
        """Row and column displacement at positions of the moving image, float64, broadcast."""
        if self.case in _UNIFORM:
            shape = np.broadcast_shapes(np.shape(rows), np.shape(columns))
            return tuple(np.broadcast_to(shift, shape) for shift in _UNIFORM[self.case])
        y, x = rows / self.size, columns / self.size
        found = [_MEAN_PX[axis] + 0 * (y + x) for axis in range(2)]
        for axis, waves in enumerate(self.modes):
            for amplitude, (length, angle, phase) in zip(_AMPLITUDES_PX, waves, strict=True):
                way = y * np.sin(angle) + x * np.cos(angle)
                found[axis] += amplitude * np.sin(2 * np.pi * way / length + phase)
        found[1] += _JITTER_PX * np.sin(2 * np.pi * y / 0.15 + 1)
        return tuple(found)

    def on_reference(self, rows, columns):
        """Row and column displacement at positions of the reference.

        Pixel p of the moving image shows position p + d(p) of the reference; iterated, since d is flat.
        """
        found = np.zeros((2, *np.broadcast_shapes(rows.shape, columns.shape)))
        for _ in range(12):
            found = np.stack(self.at(rows - found[0], columns - found[1]))
        return found


@dataclass(frozen=True)
class Smooth:
    """Random values on a coarse raster over an image, and the cubic interpolation between them."""

    knots: np.ndarray
    size: int

    @cached_property
    def _weights(self):
        count = len(self.knots)
        unit = np.eye(count, dtype=np.float32)
        return cv2.resize(unit, (count, self.size), interpolation=cv2.INTER_CUBIC)

    def rows(self, rows):
        """Values on some rows (a slice or indices), all columns."""
        return self._weights[rows] @ self.knots @ self._weights.T

    def rows_and_columns(self, rows, columns):
        """Values on some rows and columns."""
        return self._weights[rows] @ self.knots @ self._weights[columns].T


@dataclass(frozen=True)
class Blobs:
    """Round patches that cover a share of an image."""

    field: Smooth
    above: float

    @classmethod
    def of(cls, size, share, scale_px, rng):
        count = max(4, size // scale_px)
        field = Smooth(rng.standard_normal((count, count)).astype(np.float32), size)
        some = np.arange(0, size, max(1, size // 512))
        return cls(field, float(np.quantile(field.rows_and_columns(some, some), 1 - share)))

    def rows(self, rows):
        return self.field.rows(rows) > self.above

    def rows_and_columns(self, rows, columns):
        return self.field.rows_and_columns(rows, columns) > self.above


@dataclass(frozen=True)
class Weather:
    """What makes the second date another one."""

    size: int
    seed: int
    calm: bool

    @cached_property
    def parts(self):
        rng = np.random.default_rng([2, self.seed])
        size = self.size

        def noise(count, low, high):
            return Smooth(rng.uniform(low, high, (count, count)).astype(np.float32), size)

        return {
            "change": Blobs.of(size, 0.08, 60, rng),
            "cloud": Blobs.of(size, 0.12, 150, rng),
            "cloud before": Blobs.of(size, 0.04, 150, rng),
            "gain": noise(5, 0.85, 1.15),
            "curve": noise(6, 0.8, 1.2),
            "top": noise(size // 12 + 2, 2600, 4400),
        }

    def shadow(self, rows, columns):
        """Shadows lie beside the clouds of the second date."""
        moved = [np.clip(axis - step, 0, self.size - 1) for axis, step in ((rows, 25), (columns, 18))]
        cloud = self.parts["cloud"]
        return cloud.rows_and_columns(*moved) & ~cloud.rows_and_columns(rows, columns)

    def clear(self, rows, columns, there):
        """Where both dates show ground, at a raster of the reference and where the moving image has it."""
        if self.calm:
            return np.ones((len(rows), len(columns)), bool)
        rough = np.arange(0, self.size, max(1, self.size // 2200))
        hidden = self.parts["cloud"].rows_and_columns(rough, rough) | self.shadow(rough, rough)
        step = float(rough[1] - rough[0])
        at = [(axis / step).astype(np.float32) for axis in there]
        covered = cv2.remap(hidden.astype(np.uint8), at[1], at[0], cv2.INTER_NEAREST)
        return (covered == 0) & ~self.parts["cloud before"].rows_and_columns(rows, columns)


@lru_cache(maxsize=1)
def chips():
    """Textured chips, uint16 (n, 3, 256, 256): real ones of the OSCD cities, else made-up ones."""
    from tests.core.pairs import real_chips

    found = real_chips()
    return np.stack(found) if found else _made_up_chips()


def ground_kind():
    """What the ground is made of, for the table."""
    return "made-up ground" if len(chips()) == _MADE_UP else "real Sentinel-2 chips"


_MADE_UP = 48


def _made_up_chips():
    rng = np.random.default_rng(3)
    frequency = np.hypot(np.fft.fftfreq(_CHIP)[:, None], np.fft.rfftfreq(_CHIP))
    frequency[0, 0] = np.inf
    found = np.empty((_MADE_UP, len(BANDS), _CHIP, _CHIP), np.uint16)
    for chip in found:
        noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_CHIP, _CHIP))) / frequency)
        fields = np.zeros((_CHIP, _CHIP), np.float32)
        for _ in range(90):
            box = (tuple(rng.uniform(0, _CHIP, 2)), tuple(rng.uniform(4, 45, 2)), float(rng.uniform(0, 90)))
            cv2.fillConvexPoly(fields, np.rint(cv2.boxPoints(box)).astype(np.int32), rng.normal(0, 130))
        for band in chip:
            shade = 1000 + 60 * rng.uniform(0.6, 1) * noise / noise.std() + rng.uniform(0.7, 1.3) * fields
            band[:] = np.clip(shade, 50, 10000)
    return found


@dataclass(frozen=True)
class Ground:
    """A patchwork of chips, twice as fine as the images."""

    size: int
    seed: int

    @cached_property
    def layout(self):
        """Chip, quarter turns and mirroring of each patch."""
        count = -(-2 * (self.size + 2 * MARGIN_PX) // _CHIP)
        rng = np.random.default_rng([4, self.seed])
        return rng.integers((len(chips()), 4, 2), size=(count, count, 3))

    def fine(self, band, start, stop):
        """Softened samples of some fine rows; those next to an end of the ground are repeated."""
        width = 2 * (self.size + 2 * MARGIN_PX)
        wanted = np.clip(np.arange(start - _SPARE, stop + _SPARE), 0, width - 1)
        out = np.empty((len(wanted), width), np.float32)
        for patch in range(wanted[0] // _CHIP, wanted[-1] // _CHIP + 1):
            rows = np.flatnonzero(wanted // _CHIP == patch)
            for position, (chip, turns, mirrored) in enumerate(self.layout[patch]):
                tile = np.rot90(chips()[chip, band], turns)[:, :: -1 if mirrored else 1]
                columns = slice(position * _CHIP, min((position + 1) * _CHIP, width))
                out[rows, columns] = tile[wanted[rows] % _CHIP, : columns.stop - columns.start]
        soft = cv2.GaussianBlur(out, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
        return soft, start - _SPARE

    def reference(self, band, rows):
        """What the first date shows: every other sample, no interpolation."""
        fine, first = self.fine(band, 2 * (rows.start + MARGIN_PX), 2 * (rows.stop + MARGIN_PX))
        return fine[2 * (rows.start + MARGIN_PX) - first :: 2][
            : rows.stop - rows.start, 2 * MARGIN_PX : 2 * (MARGIN_PX + self.size) : 2
        ]

    def sampled(self, band, rows, columns):
        """What stands at positions in pixels (arrays of one shape)."""
        low, high = (int(np.floor(f())) for f in (rows.min, rows.max))
        fine, first = self.fine(band, 2 * (low + MARGIN_PX) - 4, 2 * (high + MARGIN_PX) + 8)
        coefficients = ndimage.spline_filter(fine, 3, output=np.float32, mode="mirror")
        at = [2 * (rows + MARGIN_PX) - first, 2 * (columns + MARGIN_PX)]
        return ndimage.map_coordinates(
            coefficients, at, order=3, prefilter=False, mode="mirror", output=np.float32
        )


@dataclass(frozen=True)
class PairMaker:
    """One pair."""

    case: str
    size: int
    seed: int = 1

    @cached_property
    def displacement(self):
        return Displacement(self.case, self.size, self.seed)

    @cached_property
    def weather(self):
        return Weather(self.size, self.seed, self.case == "A")

    @cached_property
    def grounds(self):
        """What is there, and what is there after a change."""
        return Ground(self.size, self.seed), Ground(self.size, self.seed + 1000)

    def strip(self, rows):
        """Both dates of some rows, uint16 (2, band, rows, size)."""
        down, right = np.arange(rows.start, rows.stop), np.arange(self.size)
        shift = self.displacement.at(down[:, None].astype(float), right[None].astype(float))
        there = np.stack([down[:, None] + shift[0], right[None] + shift[1]])
        parts = {} if self.weather.calm else {name: p.rows(rows) for name, p in self.weather.parts.items()}
        shadow = None if self.weather.calm else self.weather.shadow(down, right)
        rng = np.random.default_rng([5, self.seed, rows.start])
        out = np.empty((2, len(BANDS), len(down), self.size), np.uint16)
        for band in range(len(BANDS)):
            before = self.grounds[0].reference(band, rows)
            after = self.grounds[0].sampled(band, *there)
            middle = np.float32(np.median(chips()[:, band, ::16, ::16]))
            if parts:
                changed = parts["change"]
                after[changed] = self.grounds[1].sampled(band, *there[:, changed])
                after = middle * (np.maximum(after, 1) / middle) ** parts["curve"] * parts["gain"] + 40
                after = np.where(parts["cloud"], parts["top"], np.where(shadow, 0.45 * after, after))
                before = np.where(parts["cloud before"], parts["top"][::-1], before)
            for date, image in enumerate((before, after)):
                noise = rng.standard_normal(image.shape, np.float32) * (middle / 120)
                out[date, band] = np.clip(image + noise, 1, 65535)
        return out

    def truth(self):
        """Displacement at a raster of the reference; where the moving image has it; where both are clear."""
        step = max(1, round(self.size / TRUTH_SAMPLES))
        axis = np.arange(0, self.size, step)
        shift = self.displacement.on_reference(axis[:, None].astype(float), axis[None].astype(float))
        there = np.stack([axis[:, None] - shift[0], axis[None] - shift[1]])
        inside = ((there >= 0) & (there <= self.size - 1)).all(axis=0)
        clear = self.weather.clear(axis, axis, there)
        return {"axis": axis, "shift_px": shift.astype(np.float32), "inside": inside, "clear": clear}


def make(folder, case, size, seed=1):
    """Write reference.tif, moving.tif and truth.npz into a folder of their own, unless they are there.

    Returns
    -------
    Path
        The folder.
    """
    made = Path(folder) / f"{case}{size}-{seed}"
    asked = {"version": _FORMAT_VERSION, "case": case, "size": size, "seed": seed, "chips": len(chips())}
    note = made / "made.json"
    if note.is_file() and json.loads(note.read_text()) == asked:
        return made
    made.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    maker = PairMaker(case, size, seed)
    options = {
        "driver": "GTiff", "width": size, "height": size, "count": len(BANDS), "dtype": "uint16",
        "crs": "EPSG:32633", "transform": Affine(10, 0, 400_000, 0, -10, 5_000_000), "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2, "interleave": "band",
        "num_threads": 2,
    }  # fmt: skip
    files = [rasterio.open(made / f"{name}.tif", "w", **options) for name in ("reference", "moving")]
    strips = [slice(start, min(start + _STRIP, size)) for start in range(0, size, _STRIP)]
    with files[0], files[1], ThreadPoolExecutor(2) as pool:
        for file in files:
            file.descriptions = BANDS
        # two at a time, so that what waits to be written stays small
        for first in range(0, len(strips), 2):
            some = strips[first : first + 2]
            for rows, both in zip(some, pool.map(maker.strip, some), strict=True):
                for file, image in zip(files, both, strict=True):
                    file.write(image, window=Window(0, rows.start, size, rows.stop - rows.start))
    np.savez_compressed(made / "truth.npz", **maker.truth())
    note.write_text(json.dumps(asked))
    return made
