"""Seasons and episodes one pixel and one window at a time, in float64, from their definitions."""

import numpy as np
from scipy import optimize


def season_residual(series, design, limit, shrink):
    """What a Huber fit with a ridge on all but the level leaves of one pixel; NaN where not seen."""
    seen = np.isfinite(series)

    def loss(terms):
        size = np.abs(series[seen] - design[seen] @ terms)
        rho = np.where(size <= limit, size**2 / 2, limit * size - limit**2 / 2)
        return rho.sum() + shrink / 2 * np.sum(terms[1:] ** 2)

    start = np.zeros(design.shape[1])
    start[0] = np.median(series[seen])
    fit = optimize.minimize(loss, start, method="Powell", options={"xtol": 1e-10, "ftol": 1e-14})
    return series - design @ fit.x


def episode_score(series, covariance, between_dates, start, stop):
    """Mahalanobis length of a window's sum less its share of the mean, over what noise makes of that."""
    contrast = np.zeros(len(series))
    contrast[start:stop] = 1
    contrast -= contrast.mean()
    length = contrast @ series
    return np.sqrt(length @ np.linalg.solve(covariance, length) / (contrast @ between_dates @ contrast))


def strongest_episode(series, covariance, between_dates, least=(2, 3, 3)):
    """Score, start and stop of the strongest window of a series (time, pol) without gaps."""
    inside, before, outside = least
    dates = len(series)
    windows = [
        (start, stop)
        for start in range(before, dates)
        for stop in range(start + inside, dates + 1)
        if dates - (stop - start) >= outside
    ]
    squares = [
        episode_score(series, covariance, between_dates, *window) ** 2 - np.log(dates) * (window[1] < dates)
        for window in windows
    ]
    best = int(np.argmax(squares))
    start, stop = windows[best]
    score = np.sqrt(max(squares[best], 0))
    none_in_common = np.eye(dates)
    if stop <= dates - inside and stop < dates and stop >= outside:
        either = [
            episode_score(series, covariance, none_in_common, *window)
            for window in ((stop, dates), (start, stop))
        ]
        if either[0] ** 2 > either[1] ** 2 - np.log(dates):
            stop = dates
    if stop == dates:
        lasting = [window for window in windows if window[1] == dates]
        lengths = [episode_score(series, covariance, none_in_common, *window) for window in lasting]
        start = lasting[int(np.argmax(lengths))][0]
    return score, start, stop
