"""Baselines, charts and behaviour of one pixel at a time, in float64, from their definitions."""

import math

import numpy as np

YEAR = 365.25


def terms(day, harmonics, trend, origin):
    row = [1.0]
    for wave in range(1, harmonics + 1):
        angle = 2 * math.pi * wave * day / YEAR
        row += [math.cos(angle), math.sin(angle)]
    return [*row, (day - origin) / YEAR] if trend else row


def mad(residual, p):
    n = len(residual)
    return np.median(np.abs(residual)) / 0.6745 * math.sqrt(n / max(n - p, 1))


def biweight(residual, p):
    n = len(residual)
    u = residual / (9 * np.median(np.abs(residual)))
    inside = np.abs(u) < 1
    r, u = residual[inside], u[inside]
    scale = math.sqrt(n * np.sum(r**2 * (1 - u**2) ** 4)) / abs(np.sum((1 - u**2) * (1 - 5 * u**2)))
    return scale * math.sqrt(n / max(n - p, 1))


def weighted(x, y, weight):
    root = np.sqrt(weight)
    return np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]


def robust_fit(x, y, rounds=50, tuning=4.685):
    """Coefficients and scale of the dates that are finite, and the inverse of the weighted normal matrix."""
    seen = np.isfinite(y)
    x, y = x[seen], y[seen].astype(float)
    p = x.shape[1]
    if not rounds:
        fitted = weighted(x, y, np.ones(len(y)))
        residual = y - x @ fitted
        return fitted, math.sqrt(np.sum(residual**2) / (len(y) - p)), np.linalg.inv(x.T @ x)
    level = y - np.median(y)
    limit = 3 * mad(level, p)
    weight = np.minimum(1, limit / np.maximum(np.abs(level), 1e-300))
    fitted = weighted(x, y, weight)
    for _ in range(rounds):
        residual = y - x @ fitted
        u = residual / (tuning * mad(residual, p))
        weight = np.where(np.abs(u) < 1, (1 - u**2) ** 2, 0)
        fitted = weighted(x, y, weight)
    return fitted, biweight(y - x @ fitted, p), np.linalg.inv((x * weight[:, None]).T @ x)


def strays(residual_units):
    """How far the cumulated clipped residuals of seen dates stray, and after which of them they do most."""
    clipped = np.clip(residual_units, -3, 3)
    clipped = clipped - clipped.mean()
    path = np.abs(np.cumsum(clipped)) / math.sqrt(np.sum(clipped**2))
    return path.max(), int(path.argmax())


def season_level(values, days, day, window, least):
    """Median of the dates within a window of the day of the year, and how many there are."""
    inside = []
    for value, other in zip(values, days, strict=True):
        apart = abs(other - day) % YEAR
        if np.isfinite(value) and min(apart, YEAR - apart) <= window:
            inside.append(value)
    return (np.median(inside) if len(inside) >= least else math.nan), len(inside)


class Chart:
    """Page's chart of one pixel, told as a story."""

    def __init__(self, last_day, allowance=1.0, limit=8.0, clip=3.0, persistence=2.5, least=2, of=3):
        self.rules = allowance, limit, clip, persistence, least, of
        self.last_day = last_day
        self.sums = {1: 0.0, -1: 0.0}
        self.after = {1: math.nan, -1: math.nan}
        self.by = {1: math.nan, -1: math.nan}
        self.dates = {1: 0, -1: 0}
        self.status, self.side, self.alarms = 0, 0, 0
        self.alarm_day = self.persisting_day = self.return_day = math.nan
        self.after_day = self.by_day = math.nan
        self.first_alarm_day = self.first_after_day = self.first_by_day = math.nan
        self.size = self.first_size = 0.0
        self.later = []

    def take(self, day, unit):
        allowance, limit, clip, persistence, least, of = self.rules
        if not math.isfinite(unit):
            return
        active = self.status in (1, 2)
        clipped = max(-clip, min(clip, unit))
        for side in (1, -1):
            new = max(0.0, self.sums[side] + (side * clipped - allowance))
            if self.sums[side] == 0 and new > 0:
                self.after[side], self.by[side] = self.last_day, day
            self.dates[side] = self.dates[side] + 1 if new > 0 else 0
            self.sums[side] = new
        if active:
            self.later = [*self.later, self.side * unit > persistence][-of:]
            if self.status == 1 and sum(self.later) >= least:
                self.status, self.persisting_day = 2, day
            if self.sums[self.side] == 0:
                self.status, self.return_day = 3, day
            self.sums[self.side] = min(self.sums[self.side], limit)
        elif max(self.sums.values()) > limit:
            self.side = 1 if self.sums[1] >= self.sums[-1] else -1
            self.status, self.alarm_day, self.alarms = 1, day, self.alarms + 1
            self.after_day, self.by_day = self.after[self.side], self.by[self.side]
            if self.alarms == 1:
                self.first_alarm_day, self.first_after_day, self.first_by_day = (
                    day,
                    self.after_day,
                    self.by_day,
                )
            self.size = self.side * (self.sums[self.side] / self.dates[self.side] + allowance)
            self.first_size = self.size if self.alarms == 1 else self.first_size
            self.persisting_day = self.return_day = math.nan
            self.later = []
            self.sums = {side: min(total, limit) for side, total in self.sums.items()}
        self.last_day = day


def first_run(units, length, threshold, one_side):
    """Place of the date that completes a run of clear dates beyond a threshold, -1 without one."""
    seen = [(place, u) for place, u in enumerate(units) if np.isfinite(u)]
    sides = [(place, int(u > threshold) - int(u < -threshold)) for place, u in seen]
    for end in range(length, len(sides) + 1):
        run = [side for _, side in sides[end - length : end]]
        if all(run) and (not one_side or len(set(run)) == 1):
            return sides[end - 1][0]
    return -1


def first_ewma(units, history, weight, limit, clip, ignore):
    mean, boundary = 0.0, limit * math.sqrt(weight / (2 - weight))
    for u in history:
        if np.isfinite(u) and abs(u) <= ignore:
            mean = (1 - weight) * mean + weight * max(-clip, min(clip, u))
    for place, u in enumerate(units):
        if np.isfinite(u) and abs(u) <= ignore:
            mean = (1 - weight) * mean + weight * max(-clip, min(clip, u))
        if abs(mean) > boundary:
            return place
    return -1


def first_cusum(units, history, squared_limit):
    before, total, dates = sum(np.isfinite(history)), 0.0, 0
    for place, u in enumerate(units):
        if not np.isfinite(u):
            continue
        total, dates = total + u, dates + 1
        time = 1 + dates / before
        if abs(total) / math.sqrt(before) > math.sqrt(
            time * (time - 1) * (squared_limit + math.log(time / (time - 1)))
        ):
            return place
    return -1


def first_mosum(units, history, share, critical):
    past = [u for u in history if np.isfinite(u)]
    before, window = len(past), max(1, int(share * len(past)))
    for place, u in enumerate(units):
        if not np.isfinite(u):
            continue
        past.append(u)
        boundary = critical * math.sqrt(2 * math.log(max(len(past) / before, math.e)))
        if abs(sum(past[-window:])) / math.sqrt(before) > boundary:
            return place
    return -1
