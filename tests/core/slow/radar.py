"""Radar methods, one pixel after the other in plain Python, from the papers' formulas."""

import math

import numpy as np
from scipy import stats


def seen_dates(series):
    """Dates of a series of shape (time, pol) on which every polarisation is finite, with their places."""
    kept = [(i, [float(v) for v in date]) for i, date in enumerate(series) if np.isfinite(date).all()]
    return [i for i, _ in kept], [date for _, date in kept]


def multilook(plane, size):
    rows, columns, reach = *plane.shape, size // 2
    out = np.full(plane.shape, np.nan)
    for r in range(rows):
        for c in range(columns):
            window = plane[max(r - reach, 0) : r + reach + 1, max(c - reach, 0) : c + reach + 1]
            if np.isfinite(plane[r, c]):
                out[r, c] = np.mean([float(v) for v in window.ravel() if np.isfinite(v)])
    return out


def t_test(before, after, pol, variance):
    """t and degrees of freedom of one pixel, by SciPy's tests on its logarithms."""
    (_, one), (_, two) = seen_dates(before), seen_dates(after)
    first, second = (np.log([date[pol] for date in dates]) for dates in (one, two))
    found = stats.ttest_ind(second, first, equal_var=variance == "pooled")
    return found.statistic, found.df


def likelihood_ratio(before, after, looks):
    """The corrected ratio, from the log-likelihoods of gamma distributions with known shape, and its sign."""
    (_, one), (_, two) = seen_dates(before), seen_dates(after)
    m, n = len(one), len(two)
    total, signed = 0.0, 0.0
    for pol in range(len(one[0])):
        x, y = [d[pol] for d in one], [d[pol] for d in two]
        apart = loglikelihood(x, looks) + loglikelihood(y, looks)
        part = 2 * (apart - loglikelihood(x + y, looks))
        total += part
        signed += math.copysign(part, np.mean(y) - np.mean(x))
    rho = 1 - (1 / m + 1 / n - 1 / (m + n)) / (6 * looks)
    return math.copysign(rho * total, signed)


def loglikelihood(values, looks):
    """The largest log-likelihood of gamma distributed values of one mean."""
    return float(sum(stats.gamma.logpdf(v, looks, scale=np.mean(values) / looks) for v in values))


def leave_one_out(series, looks):
    _, dates = seen_dates(series)
    ratios = [
        abs(likelihood_ratio(np.array(dates[:i] + dates[i + 1 :]), np.array([dates[i]]), looks))
        for i in range(len(dates))
    ]
    return np.mean(ratios) / len(dates[0])


def box_tail(statistic, degrees, rho, omega):
    plain, wide = (stats.chi2.sf(rho * statistic, f) for f in (degrees, degrees + 4))
    return plain + omega * (wide - plain)


def series_test(dates, looks):
    """-2 ln Q of Conradsen and others in its own form, and its p-value."""
    k, pols = len(dates), len(dates[0])
    logs = pols * k * math.log(k) + sum(math.log(v) for date in dates for v in date)
    logs -= k * sum(math.log(sum(date[p] for date in dates)) for p in range(pols))
    statistic, degrees = -2 * looks * logs, pols * (k - 1)
    rho = 1 - (k / looks - 1 / (looks * k)) / (6 * (k - 1))
    omega = -degrees / 4 * (1 - 1 / rho) ** 2
    return rho * statistic, box_tail(statistic, degrees, rho, omega)


def date_test(dates, looks):
    """P-value of -2 ln R_j in its own form, j being the number of dates."""
    j, pols = len(dates), len(dates[0])
    before = sum(math.log(sum(date[p] for date in dates[:-1])) for p in range(pols))
    upto = sum(math.log(sum(date[p] for date in dates)) for p in range(pols))
    last = sum(math.log(v) for v in dates[-1])
    constant = pols * (j * math.log(j) - (j - 1) * math.log(j - 1))
    statistic = -2 * looks * (constant + (j - 1) * before + last - j * upto)
    rho = 1 - (1 + 1 / (j * (j - 1))) / (6 * looks)
    return box_tail(statistic, pols, rho, -pols / 4 * (1 - 1 / rho) ** 2)


def omnibus(series, looks, share):
    """Changes as (place, direction), the last unchanged place before the first, and the test of the whole."""
    places, dates = seen_dates(series)
    if len(dates) < 2:
        return [], None, (math.nan, math.nan)
    found, start = [], 0
    while start < len(dates) - 1 and series_test(dates[start:], looks)[1] < share:
        later = range(start + 2, len(dates) + 1)
        hit = next((stop for stop in later if date_test(dates[start:stop], looks) < share), None)
        if hit is None:
            break
        step = np.array(dates[hit - 1]) - np.mean(dates[start : hit - 1], axis=0)
        direction = 1 if (step > 0).all() else 2 if (step < 0).all() else 3
        found.append((places[hit - 1], direction))
        start = hit - 1
    until = places[places.index(found[0][0]) - 1] if found else None
    return found, until, series_test(dates, looks)


def benjamini(values, rate, *, yekutieli):
    ordered = sorted(float(v) for v in values if np.isfinite(v))
    penalty = sum(1 / i for i in range(1, len(ordered) + 1)) if yekutieli else 1
    passed = [p for k, p in enumerate(ordered, 1) if p <= k / len(ordered) * rate / penalty]
    return max(passed, default=0.0)


def stouffer(deviations, weights):
    kept = [(z, w) for z, w in zip(deviations, weights, strict=True) if np.isfinite(z)]
    if not kept:
        return math.nan
    return sum(math.sqrt(w) * z for z, w in kept) / math.sqrt(sum(w for _, w in kept))


def variation(series):
    amplitudes = [math.sqrt(v) for v in series if np.isfinite(v)]
    if len(amplitudes) < 2:
        return math.nan
    return float(np.std(amplitudes, ddof=1) / np.mean(amplitudes))
