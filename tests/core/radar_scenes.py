"""Simulated radar for tests: speckle of known looks, steps, texture and gaps."""

import numpy as np


def speckle(shape, looks, seed, mean=0.1):
    """Power of gamma speckle, float32, of any shape."""
    power = np.random.default_rng(seed).standard_gamma(looks, shape, np.float32)
    power *= np.float32(mean / looks)
    return power


def decibels(power):
    return np.float32(10 ** (power / 10))


def with_gaps(stack, share, seed):
    """Take dates away from pixels, sometimes in one polarisation only."""
    rng = np.random.default_rng(seed)
    holes = rng.random(stack.shape) < share
    return np.where(holes, np.float32(np.nan), stack)


def close(found, expected, tolerance=1e-5):
    """Agree to a tolerance, relative to the value or to 1, whichever is larger; gaps in the same places."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
