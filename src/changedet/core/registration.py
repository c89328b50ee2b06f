"""Co-registration: how far one image lies from another, measured and measured again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy import fft

from changedet.core.sampling import last_axis_median

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Height of the correlation peak, in standard deviations of the surface, below which a shift is not trusted.
RELIABILITY_LIMIT = 7.0
#: The same for one tie-point window, which holds fewer pixels.
TIE_POINT_RELIABILITY = 5.0

_UPSAMPLING = 50
_TILE_PX = 128
_MIN_TILE_PX = 32
_MAX_TILES_PER_AXIS = 8
_TILE_SEARCH_PX = 4
_MIN_TILE_VALID = 0.6
_PEAK_EXCLUSION_PX = 4
#: Amplitudes below this share of the mean are noise and are not raised to that of the others.
_WHITENING_FLOOR = 1e-3


@dataclass(frozen=True)
class Shift:
    """A measured shift.

    Attributes
    ----------
    row_px, column_px : float
        To be added to the position of the moving image's content to bring it onto the reference.
    reliability : float
        Peak of the correlation surface minus its mean, in its standard deviations; the peak's own
        neighbourhood is left out of both.
    """

    row_px: float
    column_px: float
    reliability: float

    @property
    def length_px(self) -> float:
        """Length of the shift in pixels."""
        return float(np.hypot(self.row_px, self.column_px))


@dataclass(frozen=True)
class Residual:
    """What is left of a shift, measured in windows spread over the image.

    Attributes
    ----------
    row_px, column_px : float
        Median over the tie points, same sign as `Shift`.
    spread_px : float
        Inter-quartile range over the tie points, the larger of both axes.
    tie_points : int
        Number of windows that gave a trustworthy measurement.
    """

    row_px: float
    column_px: float
    spread_px: float
    tie_points: int

    @property
    def length_px(self) -> float:
        """Length of the median residual in pixels."""
        return float(np.hypot(self.row_px, self.column_px))


def edge_feature(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Turn a band into what both dates share: the logarithm of its gradient magnitude.

    Edges survive a reversal of contrast between seasons (green field, then bare), which the reflectance
    itself does not.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        Any unit; NaN only where `valid` is False.
    valid : ndarray of bool, shape (y, x)
        True where usable.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Zero mean over the usable pixels, zero within 3 pixels of unusable ones. All zero for an image
        without any texture.
    """
    if not valid.any():
        return np.zeros(image.shape, np.float32)
    filled = np.where(valid, image, last_axis_median(image[valid]))
    smooth = cv2.GaussianBlur(filled, (0, 0), 1.0)
    rows, columns = np.gradient(smooth)
    # not cv2.magnitude, whose last digit depends on where the memory lies
    magnitude = np.sqrt(np.square(rows, out=rows) + np.square(columns, out=columns))
    usable = cv2.erode(valid.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=1) > 0
    typical = float(last_axis_median(magnitude[usable])) if usable.any() else 0.0
    if typical <= 0:
        return np.zeros(image.shape, np.float32)
    feature = np.log1p(magnitude / np.float32(typical))
    return np.where(usable, feature - feature[usable].mean(), 0).astype(np.float32)


def estimate_shift(
    reference: NDArray[np.float32],
    moving: NDArray[np.float32],
    reference_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
    *,
    max_shift_px: float = 60.0,
) -> Shift:
    """Measure the global shift between two images on the same grid.

    The cross-correlations of the edge features of all bands are added; the peak is refined by evaluating
    the Fourier series on a fine raster round it (Guizar-Sicairos, Thurman and Fienup 2008,
    doi:10.1364/OL.33.000156).

    Parameters
    ----------
    reference, moving : ndarray of float32, shape (band, y, x)
        The same bands on the same grid.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable.
    max_shift_px : float
        Shifts up to this, and up to 40 % of the image, are searched for.

    Returns
    -------
    Shift
        (row, column) in pixels to add to the position of the moving image's content.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = cv2.GaussianBlur(rng.random((1, 96, 96))[0], (0, 0), 2)[None].astype(np.float32)
    >>> usable = np.ones((96, 96), bool)
    >>> found = estimate_shift(scene, np.roll(scene, (3, -2), axis=(1, 2)), usable, usable)
    >>> round(found.row_px), round(found.column_px)
    (-3, 2)
    """
    features = _features(reference, reference_valid), _features(moving, moving_valid)
    limit = int(min(max_shift_px, 0.4 * min(reference.shape[1:])))
    rows, columns, reliability = _correlate(features[0][None], features[1][None], limit)
    return Shift(float(rows[0]), float(columns[0]), float(reliability[0]))


def measure_residual(
    reference: NDArray[np.float32],
    moving: NDArray[np.float32],
    reference_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
) -> Residual:
    """Measure what is left of the shift in windows spread over two images that should already fit.

    Parameters
    ----------
    reference, moving : ndarray of float32, shape (band, y, x)
        The same bands on the same grid.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable.

    Returns
    -------
    Residual
        Medians and spread over the windows; no tie point and NaN when no window could be measured.
    """
    height, width = reference.shape[1:]
    size = int(min(_TILE_PX, max(_MIN_TILE_PX, min(height, width) // 3), height, width))
    corners = [(r, c) for r in _starts(height, size) for c in _starts(width, size)]
    share = [(reference_valid & moving_valid)[r : r + size, c : c + size].mean() for r, c in corners]
    corners = [corner for corner, s in zip(corners, share, strict=True) if s >= _MIN_TILE_VALID]
    if not corners:
        return Residual(np.nan, np.nan, np.nan, 0)
    features = _features(reference, reference_valid), _features(moving, moving_valid)
    tiles = [np.stack([f[:, r : r + size, c : c + size] for r, c in corners]) for f in features]
    rows, columns, reliability = _correlate(tiles[0], tiles[1], _TILE_SEARCH_PX)
    inside = np.maximum(abs(rows), abs(columns)) < _TILE_SEARCH_PX
    good = (reliability >= TIE_POINT_RELIABILITY) & inside
    if not good.any():
        return Residual(np.nan, np.nan, np.nan, 0)
    spread = max(float(np.subtract(*np.percentile(v[good], [75, 25]))) for v in (rows, columns))
    return Residual(float(np.median(rows[good])), float(np.median(columns[good])), spread, int(good.sum()))


def correlate_features(
    reference: NDArray[np.float32], moving: NDArray[np.float32], limit_px: int, *, most: int = 3
) -> tuple[NDArray[np.intp], NDArray[np.float64], float]:
    """Correlate the features of all bands and return the shifts, in whole pixels, that fit best.

    All frequencies count alike (phase correlation, Kuglin and Hines 1975), softened to a peak one pixel wide:
    otherwise clouds and snow, the largest and brightest things there are, correlate with whatever lies below.

    Parameters
    ----------
    reference, moving : ndarray of float32, shape (band, y, x)
        From `edge_feature`.
    limit_px : int
        Largest shift on each axis that is sought.
    most : int
        Most shifts that are returned.

    Returns
    -------
    shifts : ndarray of int, shape (n, 2)
        (row, column) to be added to the position of the moving image's content; the best first, at least one.
    heights : ndarray of float64, shape (n,)
        Heights of their peaks over the median of the surface, as a share of the first.
    reliability : float
        Height of the first peak, as in `Shift`.
    """
    cross, shape = _cross_spectrum(reference[None], moving[None], limit_px)
    surface = _surface((_whitened(cross, shape), shape), limit_px)[0]
    top = np.array(np.unravel_index(int(surface.argmax()), surface.shape))
    reliability = float(_peak_heights(surface[None], top[:1], top[1:])[0])
    above = surface - np.median(surface)
    crests = above >= cv2.dilate(above, np.ones((2 * _PEAK_EXCLUSION_PX + 1,) * 2))
    crests &= above > 0
    crests[tuple(top)] = True
    places = np.argwhere(crests)
    heights = above[crests].astype(np.float64)
    order = np.argsort(-heights, kind="stable")[:most]
    highest = max(float(heights[order[0]]), 1e-12)
    return places[order] - limit_px, heights[order] / highest, reliability


def _features(bands: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.stack([edge_feature(band, valid) for band in bands])


def _starts(length: int, size: int) -> NDArray[np.int_]:
    """Return where windows of `size` start that cover `length`, overlapping by half, but not too many."""
    count = min(max(1, round((length - size) / (size / 2)) + 1), _MAX_TILES_PER_AXIS)
    return np.linspace(0, length - size, count).round().astype(int)


def _correlate(
    reference: NDArray[np.float32], moving: NDArray[np.float32], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Correlate stacks of windows (n, band, y, x); return rows, columns and reliabilities, each (n,)."""
    cross, shape = _cross_spectrum(reference, moving, limit)
    surface = _surface((cross, shape), limit)
    flat = surface.reshape(len(surface), -1).argmax(axis=1)
    rows, columns = flat // surface.shape[2] - limit, flat % surface.shape[2] - limit
    reliability = _peak_heights(surface, rows + limit, columns + limit)
    return *_refine(cross, shape, rows, columns), reliability


def _cross_spectrum(
    reference: NDArray[np.float32], moving: NDArray[np.float32], limit: int
) -> tuple[NDArray[np.complex64], tuple[int, int]]:
    """Cross spectrum of windows (n, band, y, x), summed over the bands, and the padded shape."""
    height, width = reference.shape[2:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    shape = fft.next_fast_len(height + limit, real=True), fft.next_fast_len(width + limit, real=True)
    spectra = [fft.rfft2(part * window, s=shape, workers=-1) for part in (reference, moving)]
    return (spectra[0] * np.conj(spectra[1])).sum(axis=1), shape


def _whitened(cross: NDArray[np.complex64], shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Give all frequencies of a spectrum one amplitude, and the peak that makes a Gaussian shape."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    soft = np.exp(-2 * np.pi**2 * (rows**2 + columns**2)).astype(np.float32)
    amplitude = np.abs(cross)
    amplitude += np.float32(_WHITENING_FLOOR) * amplitude.mean() + np.float32(1e-30)
    return np.asarray(cross / amplitude * soft, np.complex64)


def _surface(cross: tuple[NDArray[np.complex64], tuple[int, int]], limit: int) -> NDArray[np.float32]:
    """Correlation surfaces of shifts up to a limit, shape (n, 2 limit + 1, 2 limit + 1)."""
    spectrum, shape = cross
    surface = np.roll(fft.irfft2(spectrum, s=shape, workers=-1), (limit, limit), axis=(1, 2))
    return np.asarray(surface[:, : 2 * limit + 1, : 2 * limit + 1], np.float32)


def _peak_heights(
    surface: NDArray[np.float32], rows: NDArray[np.int_], columns: NDArray[np.int_]
) -> NDArray[np.float64]:
    """Height of each peak over the rest of its surface, in standard deviations of the rest."""
    y, x = np.ogrid[: surface.shape[1], : surface.shape[2]]
    reach = min(_PEAK_EXCLUSION_PX, max(surface.shape[1] // 4, 1))
    near = (abs(y - rows[:, None, None]) <= reach) & (abs(x - columns[:, None, None]) <= reach)
    rest = np.ma.masked_array(surface.astype(np.float64), near)
    peaks = surface[np.arange(len(surface)), rows, columns]
    mean, deviation = rest.mean(axis=(1, 2)).filled(0), rest.std(axis=(1, 2)).filled(0)
    return np.where(deviation > 0, (peaks - mean) / np.where(deviation > 0, deviation, 1), 0.0)


def _refine(
    cross: NDArray[np.complex64],
    shape: tuple[int, int],
    rows: NDArray[np.int_],
    columns: NDArray[np.int_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate each correlation on a raster of 1/50 px round its integer peak and take the maximum.

    Turning the phase of each spectrum puts its peak at the origin; then all windows share two matrices and
    two products do the work.
    """
    offsets = np.arange(-_UPSAMPLING, _UPSAMPLING + 1) / _UPSAMPLING
    frequency_rows, frequency_columns = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    # every column but the first (and the Nyquist one) of a real transform stands for two
    weight = np.full(len(frequency_columns), 2.0)
    weight[0] = 1.0
    if shape[1] % 2 == 0:
        weight[-1] = 1.0
    turn_rows = np.exp(2j * np.pi * np.outer(rows, frequency_rows)).astype(np.complex64)
    turn_columns = np.exp(2j * np.pi * np.outer(columns, frequency_columns)).astype(np.complex64)
    centred = cross * turn_rows[:, :, None] * turn_columns[:, None, :]
    left = np.exp(2j * np.pi * np.outer(offsets, frequency_rows)).astype(np.complex64)
    right = (np.exp(2j * np.pi * np.outer(frequency_columns, offsets)) * weight[:, None]).astype(np.complex64)
    surface = (np.tensordot(left, centred, axes=(1, 1)) @ right).real
    flat = surface.transpose(1, 0, 2).reshape(len(cross), -1).argmax(axis=1)
    return rows + offsets[flat // len(offsets)], columns + offsets[flat % len(offsets)]
