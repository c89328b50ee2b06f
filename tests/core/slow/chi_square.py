"""The upper tail of the chi-square distribution as the area under its density."""

import math

import numpy as np


def tail(statistic, degrees, steps=20_000):
    """Simpson's rule from 0 to the root of the statistic, with t squared in place of x.

    The density x**(k/2 - 1) exp(-x/2) is not bounded at 0 for one degree of freedom; in t it is smooth.
    """
    t = np.linspace(0.0, math.sqrt(statistic), 2 * steps + 1)
    density = 2 * t ** (degrees - 1) * np.exp(-(t**2) / 2) / (2 ** (degrees / 2) * math.gamma(degrees / 2))
    width = t[1] - t[0]
    area = width / 3 * (density[0] + 4 * density[1::2].sum() + 2 * density[2:-1:2].sum() + density[-1])
    return 1 - area
