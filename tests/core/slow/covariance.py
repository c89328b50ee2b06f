"""Weighted mean and covariance, one pixel at a time, in two passes."""

import numpy as np


def moments(pixels, weights):
    """Sum of weights, mean and covariance of pixels (pixel, band)."""
    total = 0.0
    mean = np.zeros(pixels.shape[1])
    for pixel, weight in zip(pixels, weights, strict=True):
        total += weight
        mean += weight * pixel
    mean /= total
    covariance = np.zeros((pixels.shape[1], pixels.shape[1]))
    for pixel, weight in zip(pixels, weights, strict=True):
        deviation = pixel - mean
        covariance += weight * np.outer(deviation, deviation)
    return total, mean, covariance / total
