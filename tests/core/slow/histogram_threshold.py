"""Thresholds of histograms, one cut after the other, from the papers' equations."""

import math

import numpy as np


def bins_of(scores, bins, most):
    """Middles of the bins, and which bin each score is in."""
    least = min(scores)
    width = (most - least) / bins
    middles = [least + (i + 0.5) * width for i in range(bins)]
    held = [middles[min(int((min(s, most) - least) / width), bins - 1)] for s in scores]
    return middles, [least + i * width for i in range(1, bins)], held


def otsu(scores, bins):
    _, cuts, held = bins_of(scores, bins, max(scores))
    best, found = -1.0, None
    for cut in cuts:
        low, high = [s for s in held if s < cut], [s for s in held if s > cut]
        if low and high:
            between = len(low) * len(high) / len(held) ** 2 * (np.mean(low) - np.mean(high)) ** 2
            if between > best + 1e-12:
                best, found = between, cut
    return found


def kittler_illingworth(scores, bins, quantile):
    middles, cuts, held = bins_of(scores, bins, np.quantile(scores, quantile))
    floor = (middles[1] - middles[0]) / math.sqrt(12)
    best, found = math.inf, None
    for cut in cuts:
        criterion = 1.0
        for part in ([s for s in held if s < cut], [s for s in held if s > cut]):
            share = len(part) / len(held)
            if not part:
                criterion = math.inf
                break
            criterion += 2 * share * math.log(max(np.std(part), floor)) - 2 * share * math.log(share)
        if criterion < best - 1e-12:
            best, found = criterion, cut
    return found


def triangle(scores, bins):
    """The perpendicular distance to the line from the peak to the far end."""
    middles, _, held = bins_of(scores, bins, max(scores))
    counts = [held.count(middle) for middle in middles]
    peak = counts.index(max(counts))
    last = max(i for i in range(bins) if counts[i])
    first = min(i for i in range(bins) if counts[i])
    end = last if last - peak >= peak - first else first
    start, stop = np.array([peak, counts[peak]], float), np.array([end, counts[end]], float)
    along = (stop - start) / np.linalg.norm(stop - start)
    best, found = -1.0, None
    for i in range(min(peak, end), max(peak, end) + 1):
        to = np.array([i, counts[i]]) - start
        below = abs(along[0] * to[1] - along[1] * to[0])
        under = counts[i] <= start[1] + (stop[1] - start[1]) * (i - peak) / (end - peak)
        if under and below > best + 1e-12:
            best, found = below, middles[i]
    return found
