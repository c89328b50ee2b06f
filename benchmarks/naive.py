"""The same results in plain NumPy: float64, whole arrays, nothing clever. The measure of our own kernels."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

REACH_PX = 60


def gaussian(image, sigma):
    """Separable Gaussian, cut at four standard deviations, mirrored at the border."""
    radius = round(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(image, pad, mode="symmetric")
        length = image.shape[axis]
        image = sum(
            weight * (padded[i : i + length] if axis == 0 else padded[:, i : i + length])
            for i, weight in enumerate(kernel)
        )
    return image


def edge_feature(band, valid):
    """Logarithm of the gradient magnitude."""
    smooth = gaussian(np.where(valid, band, np.median(band[valid])).astype(np.float64), 1.0)
    magnitude = np.hypot(*np.gradient(smooth))
    usable = sliding_window_view(np.pad(valid, 3, constant_values=True), (7, 7)).all(axis=(2, 3))
    feature = np.log1p(magnitude / np.median(magnitude[usable]))
    return np.where(usable, feature - feature[usable].mean(), 0)


def correlate(reference, moving, limit):
    """Shift of one stack of features against another: full complex transforms, then a fine raster."""
    window = np.outer(np.hanning(reference.shape[1] + 2)[1:-1], np.hanning(reference.shape[2] + 2)[1:-1])
    shape = tuple(length + limit for length in reference.shape[1:])
    cross = sum(
        np.fft.fft2(a * window, shape) * np.conj(np.fft.fft2(b * window, shape))
        for a, b in zip(reference, moving, strict=True)
    )
    surface = np.roll(np.fft.ifft2(cross).real, (limit, limit), axis=(0, 1))[: 2 * limit + 1, : 2 * limit + 1]
    row, column = (int(v) - limit for v in np.unravel_index(surface.argmax(), surface.shape))
    offsets = np.arange(-50, 51) / 50
    left = np.exp(2j * np.pi * np.outer(row + offsets, np.fft.fftfreq(shape[0])))
    right = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(shape[1]), column + offsets))
    fine = (left @ cross @ right).real
    best = np.unravel_index(fine.argmax(), fine.shape)
    return row + offsets[best[0]], column + offsets[best[1]]


def estimate_shift(reference, moving, reference_valid, moving_valid):
    """Global shift, as (row, column)."""
    features = [
        np.stack([edge_feature(band, valid) for band in bands])
        for bands, valid in ((reference, reference_valid), (moving, moving_valid))
    ]
    return np.array(correlate(*features, REACH_PX))


def measure_residual(reference, moving, reference_valid, moving_valid):
    """Median shift of overlapping windows, one after the other."""
    features = [
        np.stack([edge_feature(band, valid) for band in bands])
        for bands, valid in ((reference, reference_valid), (moving, moving_valid))
    ]
    valid = reference_valid & moving_valid
    starts = np.linspace(0, valid.shape[0] - 128, 8).round().astype(int)
    found = [
        correlate(*(f[:, r : r + 128, c : c + 128] for f in features), 4)
        for r in starts
        for c in starts
        if valid[r : r + 128, c : c + 128].mean() >= 0.6
    ]
    return np.median(found, axis=0)


def shift_image(image, row_px, column_px):
    """Cubic convolution over four rows and four columns (Keys 1981, doi:10.1109/TASSP.1981.1163711)."""
    for axis, shift in ((0, row_px), (1, column_px)):
        length = image.shape[axis]
        whole = int(np.floor(-shift))
        part = -shift - whole
        distance = np.abs(np.arange(-1, 3) - part)
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        weights = np.where(distance <= 1, near, far)
        margin = abs(whole) + 3
        pad = [(margin, margin) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(image, pad, constant_values=np.nan)
        starts = [margin + whole + i for i in range(-1, 3)]
        image = sum(
            np.float32(weight) * (padded[s : s + length] if axis == 0 else padded[:, s : s + length])
            for weight, s in zip(weights, starts, strict=True)
        )
    return image


def smooth_score(score, valid, sigmas):
    """Geometric mean of normalised Gaussians."""
    filled, weight = np.where(valid, score, 0).astype(np.float64), valid.astype(np.float64)
    blurred = [gaussian(filled, s) / np.maximum(gaussian(weight, s), 1e-6) for s in sigmas]
    return np.where(valid, np.prod(blurred, axis=0) ** (1 / len(sigmas)), np.nan)


def change_length(before, after, _, factors):
    """Length of the standardised change vector, whole arrays at a time."""
    of_before, of_after, added = (np.float32(factor)[:, None, None] for factor in factors)
    return np.sqrt(((before * of_before + after * of_after + added) ** 2).sum(axis=0))


def cva_score(before, after, valid, weights):
    """Length of the change vector, with the medians of every pixel."""
    total = np.zeros(valid.shape)
    for first, second, weight in zip(before, after, weights, strict=True):
        standard = []
        for band in (first, second):
            median = np.median(band[valid])
            standard.append((band - median) / (1.4826 * np.median(np.abs(band[valid] - median))))
        total += weight * (standard[1].astype(np.float64) - standard[0]) ** 2
    return smooth_score(np.sqrt(total / sum(weights)), valid, (1.0, 2.0, 4.0))


def objects(grow, seed, score):
    """Number of groups, their sizes and medians, with a loop over the groups."""
    labels, _ = ndimage.label(grow, np.ones((3, 3)))
    sizes, medians = [], []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == number
        if inside.sum() >= 5 and seed[box][inside].any():
            sizes.append(int(inside.sum()))
            medians.append(float(np.quantile(score[box][inside], 0.5, method="lower")))
    return np.array(sizes), np.array(medians)


def median_of_dates(stack):
    """Median of what is not NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(stack, axis=0)


def median(stack, valid):
    """Median of the usable dates of each band."""
    seen = np.where(valid[:, None], stack, np.nan).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(seen, axis=0)


def medoid(stack, valid):
    """The whole observation of the usable date that is nearest to the median."""
    distance = ((stack - median(stack, valid)) ** 2).sum(axis=1)
    date = np.where(valid, distance, np.inf).argmin(axis=0)
    taken = np.take_along_axis(stack, date[None, None], axis=0)[0]
    return np.where(valid.any(axis=0), taken, np.nan)


def normalise(before, after, valid):
    """Gain and offset fitted to every pixel, then applied."""
    x, y = (image[:, valid].astype(np.float64) for image in (after, before))

    def spread(values):
        return 1.4826 * np.median(np.abs(values), axis=1, keepdims=True)

    middle_x, middle_y = np.median(x, axis=1, keepdims=True), np.median(y, axis=1, keepdims=True)
    gain = np.clip(spread(y - middle_y) / spread(x - middle_x), 1 / 3, 3)
    offset = middle_y - gain * middle_x
    for _ in range(6):
        residual = y - gain * x - offset
        surprise = ((residual / spread(residual)) ** 2).sum(axis=0)
        keep = surprise <= np.quantile(surprise, 0.6)
        mean_x, mean_y = (v[:, keep].mean(axis=1, keepdims=True) for v in (x, y))
        dx, dy = x[:, keep] - mean_x, y[:, keep] - mean_y
        xx, yy, xy = ((v).mean(axis=1, keepdims=True) for v in (dx * dx, dy * dy, dx * dy))
        gain = (yy - xx + np.sqrt((yy - xx) ** 2 + 4 * xy**2)) / (2 * xy)
        gain = np.where((gain >= 1 / 3) & (gain <= 3), gain, 1.0)
        offset = mean_y - gain * mean_x
    return np.maximum(after * gain[:, :, None] + offset[:, :, None], 0)
