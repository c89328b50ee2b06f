"""Simulated passes of Sentinel-1 on the grid of the small made-up results: speckle over textured ground."""

from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from tests.synthetic import GRID

from changedet.core.masking import unclassified
from changedet.radar.types import RadarPasses, Track
from changedet.scene import Image, Scene

RISING, FALLING = Track("ascending", 44), Track("descending", 124)
BEFORE, AFTER = datetime(2023, 5, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)
LOOKS = 4.4


def ground(seed=0, shape=tuple(GRID.shape)):
    """Power of textured ground, and nothing in it that repeats."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return (0.08 * np.exp(4 * cv2.GaussianBlur(noise, (0, 0), 3))).astype(np.float32)


def factors(*boxes, shape=tuple(GRID.shape)):
    """By how much power changes: pairs of a box (rows, columns) and a factor."""
    plane = np.ones(shape, np.float32)
    for box, factor in boxes:
        plane[box] = factor
    return plane


def one_pass(when, track, power, rng, *, platform="Sentinel-1A", bands=("VV", "VH"), grid=GRID, moved=(0, 0)):
    """One pass with its own speckle; `moved` by whole pixels (row, column)."""
    mean = np.stack([power * (0.2 if band == "VH" else 1.0) for band in bands])
    data = (mean * rng.gamma(LOOKS, 1 / LOOKS, mean.shape)).astype(np.float32)
    data = np.roll(data, moved, (1, 2))
    valid = np.isfinite(data).all(axis=0)
    scene = Scene(
        id=f"{platform}-{when:%Y%m%d}",
        provider="local",
        level="RTC",
        platform=platform,
        time=when,
        relative_orbit=track.relative_orbit,
        orbit_state=track.orbit_state,
        simulated=True,
    )
    return Image(data, bands, valid, unclassified(valid), grid, scene)


def make_track_passes(track=RISING, counts=(6, 4), change=None, seed=0, rain=1.0, **more):
    """Passes of both periods every twelve days; `change` multiplies the power after, `rain` all of it."""
    rng, base = np.random.default_rng(seed), ground()
    after = base * rain if change is None else base * change * rain
    sides = []
    for start, count, power in ((BEFORE, counts[0], base), (AFTER, counts[1], after)):
        times = [start + number * timedelta(days=12) for number in range(count)]
        sides.append(tuple(one_pass(when, track, power, rng, **more) for when in times))
    return RadarPasses(track, *sides)
