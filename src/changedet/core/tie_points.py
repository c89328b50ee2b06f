"""Tie points: how far small windows of one image lie from the same ground in another, many at one time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from scipy import fft

from changedet.core.blocks import thread_count
from changedet.core.planes import by_tiles, relieve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray


#: Peak over the deviation of the correlation surface below which a window says nothing.
LEAST_QUALITY = 5.0
#: Share of a window that must be usable in both images.
LEAST_VALID = 0.6

#: Windows matched together: a few of these fit into the cache of one core.
_BATCH_PX = 2**18
#: The peak is widened to this standard deviation, in pixels, so that three samples across it describe it.
_PEAK_SIGMA_PX = 1.0
#: Amplitudes below this share of a window's mean are noise and are not raised to 1.
_WHITENING_FLOOR = 1e-3
#: The autocorrelation of a Hann window of n pixels falls as exp(-x^2 / 2 v^2) with v^2 = n^2 * this.
_HANN_SPREAD = 3 / (4 * np.pi**2)
#: Edges of masks are softened over this many pixels: a sharp one would be matched itself.
_SOFT_PX = 5
#: A peak reaches so far; another one stands beyond.
_PEAK_FOOT_PX = 4


class Windowed(Protocol):
    """A band that is never whole in memory: it is asked for its windows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its numbers."""

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[Any]:
        """Return the numbers of a window."""

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of it."""


if TYPE_CHECKING:
    Plane = NDArray[np.float32] | NDArray[np.uint16] | Windowed


@dataclass(frozen=True, eq=False)
class TiePoints:
    """Windows and what they say of the shift.

    Sign and axis order are those of `changedet.registration.Registration`: (row, column) in pixels, to
    be added to the position of the moving image's content.

    Attributes
    ----------
    row, column : ndarray of float64, shape (n,)
        Centres of the windows on the reference, in pixels; (0, 0) is the centre of the first pixel.
    row_px, column_px : ndarray of float64, shape (n,)
        Measured shifts; NaN where nothing was measured.
    quality : ndarray of float64, shape (n,)
        Height of the correlation peak in standard deviations of its surface; 0 where nothing was measured.
    """

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    row_px: NDArray[np.float64]
    column_px: NDArray[np.float64]
    quality: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.row)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """True where a window says something, shape (n,)."""
        return np.asarray(np.isfinite(self.row_px) & (self.quality >= LEAST_QUALITY))


def match_windows(
    reference: Sequence[Plane],
    moving: Sequence[Plane],
    corners: NDArray[np.intp],
    offsets: NDArray[np.intp],
    window_px: int,
    *,
    reference_valid: NDArray[np.bool_] | None = None,
    moving_valid: NDArray[np.bool_] | None = None,
) -> TiePoints:
    """Measure the shift in many square windows by phase-only correlation.

    Each window is centred, tapered (Hann) and transformed; the phases of the cross spectrum, summed over the
    bands and given a Gaussian shape, have their peak at the shift. A parabola through the logarithm of three
    samples on each axis is exact for a Gaussian peak (Foroosh, Zerubia and Berthod 2002,
    doi:10.1109/83.988953, for the method; Takita et al. 2003, IEICE E86-A, for the fit). The taper pulls a
    peak towards zero by the ratio of its squared width to that of the taper's autocorrelation; the measured
    width takes this out.

    Parameters
    ----------
    reference, moving : sequence of ndarray, shape (y, x)
        Bands of the two images, of one shape each; float32 or uint16, finite where usable.
    corners : ndarray of int, shape (n, 2)
        First row and column of each window on the reference.
    offsets : ndarray of int, shape (n, 2)
        What is known of the shift, in whole pixels: the window is taken from the moving image at
        ``corners - offsets``, and what is measured there is added.
    window_px : int
        Side of the windows.
    reference_valid, moving_valid : ndarray of bool, shape (y, x), optional
        True where usable; everything when not given.

    Returns
    -------
    TiePoints
        One for each corner, in that order. A window that leaves an image, or with less than 60 % usable on
        either, has NaN and quality 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = cv2.GaussianBlur(rng.random((96, 96)).astype(np.float32), (0, 0), 1.5)
    >>> lower, here = np.roll(scene, 2, axis=0), np.array([[16, 16]])
    >>> found = match_windows([scene], [lower], here, 0 * here, 64)
    >>> round(float(found.row_px[0]), 1), round(float(found.column_px[0]), 1)
    (-2.0, 0.0)
    """
    pair = _Pair(tuple(reference), tuple(moving), _soft(reference_valid), _soft(moving_valid), window_px)
    inside = pair.inside(corners, offsets)
    found = np.full((len(corners), 3), np.nan)
    found[:, 2] = 0.0
    todo = np.flatnonzero(inside)
    count = max(1, _BATCH_PX // window_px**2)
    parts = [todo[start : start + count] for start in range(0, len(todo), count)]
    with ThreadPoolExecutor(thread_count()) as pool:
        for part, measured in zip(
            parts, pool.map(lambda p: pair.match(corners[p], offsets[p]), parts), strict=True
        ):
            found[part] = measured
            relieve()
    found[:, :2] += offsets
    centres = corners.astype(np.float64) + (window_px - 1) / 2
    return TiePoints(centres[:, 0], centres[:, 1], *found.T)


def window_corners(
    shape: tuple[int, int], window_px: int, spacing_px: float, margin_px: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where windows start so that they cover an image evenly: rows and columns of a regular raster.

    Parameters
    ----------
    shape : tuple of int
        (y, x) of the image.
    window_px : int
        Side of the windows.
    spacing_px : float
        Wanted distance of their centres.
    margin_px : int
        Pixels at each edge that are left free.

    Returns
    -------
    rows, columns : ndarray of int
        First pixels on each axis; empty when not a single window fits.

    Examples
    --------
    >>> [axis.tolist() for axis in window_corners((64, 96), 32, 32)]
    [[0, 32], [0, 32, 64]]
    """
    axes = []
    for length in shape:
        room = length - window_px - 2 * margin_px
        count = 0 if room < 0 else max(1, round(room / spacing_px) + 1)
        axes.append(margin_px + np.linspace(0, max(room, 0), count).round().astype(np.intp))
    return axes[0], axes[1]


def repetition(
    plane: Plane, corners: NDArray[np.intp], window_px: int, valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Measure how much windows look like themselves when they are displaced.

    Parameters
    ----------
    plane : ndarray, shape (y, x)
        One band, finite where usable.
    corners : ndarray of int, shape (n, 2)
        First row and column of each window.
    window_px : int
        Side of the windows.
    valid : ndarray of bool, shape (y, x), optional
        True where usable; everything when not given.

    Returns
    -------
    ndarray of float64, shape (n,)
        Highest autocorrelation of fine detail beyond 4 pixels, freed of the taper: near 1 where a pattern
        repeats itself (rows of greenhouses, a lone straight edge), so that a shift by its period fits as
        well; 0.2 to 0.4 on common ground.
    """
    taper = _hann(window_px)
    size = fft.next_fast_len(3 * window_px // 2, real=True)
    rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    square = (2 * np.pi) ** 2 * (rows**2 + columns**2)
    # a Laplacian of a Gaussian with a standard deviation of one pixel, in power
    detail = (square * np.exp(-square / 2)).astype(np.float32) ** 2
    lag = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size, 1 / size)] * 2, indexing="ij"))
    away = (lag > _PEAK_FOOT_PX) & (lag < 3 * window_px / 8)
    own = _autocorrelation(taper[None], size, np.ones_like(detail))[0, away]
    found = np.empty(len(corners))
    count = max(1, _BATCH_PX // size**2)
    for start in range(0, len(corners), count):
        part = slice(start, start + count)
        windows = _windows(plane, corners[part], window_px)
        if valid is not None:
            windows = np.where(_windows(valid, corners[part], window_px), windows, np.float32(0))
        centred = (windows - windows.mean(axis=(1, 2), keepdims=True)) * taper
        found[part] = (_autocorrelation(centred, size, detail)[:, away] / own).max(axis=1)
    return np.clip(found, 0, 1)


def _autocorrelation(
    windows: NDArray[np.float32], size: int, weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Autocorrelation by lag, 1 at no lag, of windows padded to (n, size, size); the power is weighted."""
    power = np.abs(fft.rfft2(windows, s=(size, size), workers=1)) ** 2 * weight
    alike = fft.irfft2(power, s=(size, size), workers=1)
    return np.asarray(alike / np.maximum(alike[:, :1, :1], 1e-30), np.float32)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two images and the size of the windows that are matched in them."""

    reference: tuple[Plane, ...]
    moving: tuple[Plane, ...]
    reference_weight: NDArray[np.uint8] | None
    moving_weight: NDArray[np.uint8] | None
    window_px: int

    def inside(self, corners: NDArray[np.intp], offsets: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which windows lie in both images."""
        whole = np.ones(len(corners), np.bool_)
        for starts, plane in ((corners, self.reference[0]), (corners - offsets, self.moving[0])):
            room = np.array(plane.shape) - self.window_px
            whole &= ((starts >= 0) & (starts <= room)).all(axis=1)
        return whole

    def match(self, corners: NDArray[np.intp], offsets: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return row, column and quality of each window, shape (n, 3)."""
        size = self.window_px
        first, usable = self._weights(self.reference_weight, corners)
        second, also = self._weights(self.moving_weight, corners - offsets)
        cross = np.zeros((len(corners), size, size // 2 + 1), np.complex64)
        for reference, moving in zip(self.reference, self.moving, strict=True):
            spectrum = _spectrum(self._read(reference, self.reference_weight, corners), first)
            spectrum *= np.conj(_spectrum(self._read(moving, self.moving_weight, corners - offsets), second))
            amplitude = np.abs(spectrum)
            amplitude += _WHITENING_FLOOR * amplitude.mean(axis=(1, 2), keepdims=True) + np.float32(1e-30)
            cross += spectrum / amplitude
        surface = fft.irfft2(cross * _gaussian(size), s=(size, size), workers=1)
        found = _peaks(np.asarray(surface, np.float32))
        found[~(usable & also)] = np.nan, np.nan, 0.0
        return found

    def _read(
        self, plane: Plane, weight: NDArray[np.uint8] | None, corners: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        windows = _windows(plane, corners, self.window_px)
        if weight is None:
            return windows
        # what is not finite has no weight, and would still spoil a sum
        return np.where(_windows(weight, corners, self.window_px) > 0, windows, np.float32(0))

    def _weights(
        self, weight: NDArray[np.uint8] | None, corners: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        taper = _hann(self.window_px)
        if weight is None:
            return taper[None], np.ones(len(corners), np.bool_)
        own = _windows(weight, corners, self.window_px)
        return own * (taper / np.float32(_SOFT_PX**2)), np.asarray((own > 0).mean(axis=(1, 2)) >= LEAST_VALID)


def _windows(plane: Plane | NDArray[Any], corners: NDArray[np.intp], size: int) -> NDArray[np.float32]:
    if not isinstance(plane, np.ndarray):
        parts = (plane[row : row + size, column : column + size] for row, column in corners.tolist())
        return np.stack(list(parts)).astype(np.float32, copy=False)
    every = np.lib.stride_tricks.sliding_window_view(plane, (size, size))
    return every[corners[:, 0], corners[:, 1]].astype(np.float32, copy=False)


def _spectrum(windows: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.complex64]:
    total = weights.sum(axis=(1, 2), keepdims=True)
    mean = (windows * weights).sum(axis=(1, 2), keepdims=True) / np.maximum(total, 1e-6)
    centred = (windows - mean) * weights
    return np.asarray(fft.rfft2(centred, workers=1), np.complex64)


def _soft(valid: NDArray[np.bool_] | None) -> NDArray[np.uint8] | None:
    """Return weights, 0..25, that fall to 0 before a pixel that is not usable; None when all are."""
    if valid is None or valid.all():
        return None
    kernel = np.ones((2 * _SOFT_PX + 1, 2 * _SOFT_PX + 1), np.uint8)

    def _tile(wide: NDArray[np.bool_]) -> NDArray[np.uint8]:
        core = cv2.erode(wide.view(np.uint8), kernel, borderValue=1)
        soft = cv2.boxFilter(core, -1, (_SOFT_PX, _SOFT_PX), normalize=False, borderType=cv2.BORDER_REPLICATE)
        soft *= wide
        return np.asarray(soft)

    # what the mask shrinks by, and half of what its edge is softened by
    return by_tiles(_tile, valid, halo_px=2 * _SOFT_PX, dtype=np.uint8)


def _hann(size: int) -> NDArray[np.float32]:
    axis = np.hanning(size + 2)[1:-1]
    return np.outer(axis, axis).astype(np.float32)


def _gaussian(size: int) -> NDArray[np.float32]:
    """Return the transform of a Gaussian peak, for a real transform of (size, size)."""
    rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    return np.exp(-2 * (np.pi * _PEAK_SIGMA_PX) ** 2 * (rows**2 + columns**2)).astype(np.float32)


def _peaks(surface: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return row, column and height of the highest peak of each periodic surface, shape (n, 3)."""
    count, size = len(surface), surface.shape[1]
    every = np.arange(count)
    flat = surface.reshape(count, -1)
    rows, columns = np.divmod(flat.argmax(axis=1), size)
    top = surface[every, rows, columns].astype(np.float64)
    deviation = flat.std(axis=1)
    measured = []
    for axis, position in enumerate((rows, columns)):
        step = np.array([[1, 0], [0, 1]])[axis]
        low, high = (
            surface[every, (rows + side * step[0]) % size, (columns + side * step[1]) % size]
            for side in (-1, 1)
        )
        measured.append(_vertex((low, top, high), position, size))
    quality = np.where(deviation > 0, top / np.where(deviation > 0, deviation, 1), 0.0)
    return np.stack([*measured, quality], axis=1)


def _vertex(
    samples: tuple[NDArray[np.floating], ...], position: NDArray[np.intp], size: int
) -> NDArray[np.float64]:
    """Return where a Gaussian through three samples round a peak has its top, corrected for the taper."""
    least = np.maximum(1e-6 * samples[1], 1e-30)
    low, middle, high = (np.log(np.maximum(sample, least)) for sample in samples)
    bend = np.minimum(low - 2 * middle + high, -1e-6)
    whole = np.where(position > size // 2, position - size, position)
    shift = whole + np.clip(0.5 * (low - high) / bend, -1, 1)
    squared_width = np.clip(-1 / bend, 0, 4)
    return np.asarray(shift * (1 + squared_width / (_HANN_SPREAD * size**2)))
