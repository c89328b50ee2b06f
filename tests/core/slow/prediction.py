"""The default detector in double precision, from its description: plain formulas, no blocks."""

import numpy as np
from scipy import ndimage


def gaussian(plane, sigma):
    """A kernel cut at four standard deviations, the edge mirrored with its last pixel."""
    size = int(np.rint(sigma * 8 + 1)) | 1
    x = np.arange(size) - size // 2
    kernel = np.exp(-(x**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    rows = ndimage.correlate1d(plane, kernel, axis=0, mode="reflect")
    return ndimage.correlate1d(rows, kernel, axis=1, mode="reflect")


def masked_gaussian(plane, valid, sigma):
    share = gaussian(valid.astype(float), sigma)
    return gaussian(np.where(valid, plane, 0.0), sigma) / np.maximum(share, 1e-6)


def predictors(image, quantiles, taught):
    """Each band, and what of it lies above each of its knots."""
    columns = []
    for plane in image:
        columns.append(plane.ravel())
        columns += [np.clip(plane.ravel() - knot, 0, None) for knot in np.quantile(plane[taught], quantiles)]
    return np.array(columns)


def unexplained(given, target, valid, parameters):
    """Error of the third fit: standardised predictors, ridge, 85 % kept twice. By stacked least squares."""
    columns = predictors(given, parameters.knots, valid)
    inside = valid.ravel()
    columns = (columns - columns[:, inside].mean(1)[:, None]) / columns[:, inside].std(1)[:, None]
    design = np.vstack([columns, np.ones(columns.shape[1])]).T
    answers = target.reshape(len(target), -1).T
    keep = inside.copy()
    for _ in range(3):
        penalty = np.sqrt(parameters.ridge * keep.sum()) * np.eye(design.shape[1])
        penalty[-1, -1] = 0
        stacked = np.vstack([design[keep], penalty])
        zeros = np.zeros((design.shape[1], answers.shape[1]))
        solution = np.linalg.lstsq(stacked, np.vstack([answers[keep], zeros]), rcond=None)[0]
        error = answers - design @ solution
        squared = (error**2).sum(1)
        keep = inside & (squared <= np.quantile(squared[inside], parameters.trim))
    return error.T.reshape(target.shape)


def decorrelation(u, v, valid, weights):
    total = 0.0
    for x, y, weight in zip(u, v, weights, strict=True):
        mx, my = masked_gaussian(x, valid, 1.0), masked_gaussian(y, valid, 1.0)
        vx = np.maximum(masked_gaussian(x * x, valid, 1.0) - mx**2, 0) + 0.2
        vy = np.maximum(masked_gaussian(y * y, valid, 1.0) - my**2, 0) + 0.2
        total = total + weight * (1 - (masked_gaussian(x * y, valid, 1.0) - mx * my + 0.2) / np.sqrt(vx * vy))
    return np.maximum(total, 0)


def capped(plane, valid, medians, least):
    median = max(np.median(plane[valid]), least / medians)
    return np.minimum(plane, medians * median), median


def score(before, after, valid, weights, parameters):
    """The smoothed score; NaN where not valid."""
    weights = np.array(weights, float)
    scoring, share = weights > 0, weights[weights > 0] / weights.sum()
    dates = [image.astype(float) for image in (before, after)]
    standard = [
        (image - image[:, valid].mean(1)[:, None, None]) / image[:, valid].std(1)[:, None, None]
        for image in dates
    ]
    standard = [np.where(valid, image[scoring], 0.0) for image in standard]
    dates = [np.where(valid, image, 0.0) for image in dates]
    sizes = []
    for given in (0, 1):
        error = unexplained(dates[given], standard[1 - given], valid, parameters)
        sizes.append(np.sqrt((share[:, None, None] * error**2).sum(0)))
    surprise, _ = capped(np.sqrt(sizes[0] * sizes[1]), valid, parameters.surprise_cap, 1.0)
    pattern = decorrelation(*standard, valid, share)
    pattern, median = capped(pattern, valid, parameters.structure_cap, 0.2)
    raw = surprise * (pattern + 0.5 * median) ** parameters.structure_weight
    smooth = [masked_gaussian(raw, valid, sigma) for sigma in parameters.smoothing_px]
    mean = np.exp(np.mean([np.log(np.maximum(plane, 1e-300)) for plane in smooth], axis=0))
    return np.where(valid, mean, np.nan)
