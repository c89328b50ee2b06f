"""Passes of Sentinel-1 for worlds on this machine: ground under speckle, seen from several tracks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.ndimage import gaussian_filter
from tests.world.granules import Pass

from changedet.core.masking import SceneClass

#: Looks of one pass at 10 m.
LOOKS = 4.4
#: Where something is built: rows and columns of the scene in pixels of 10 m.
BUILT = np.s_[90:102, 84:96]
#: First passes of both periods.
BEFORE, AFTER = datetime(2021, 5, 2, 21, 23, 4, tzinfo=UTC), datetime(2023, 5, 3, 21, 23, 4, tzinfo=UTC)


def clouded(scene, place=np.s_[:, :]):
    """An optical scene with thick cloud over (rows, columns) of its pixels of 20 m."""
    numbers = {}
    for name, clear in scene.numbers.items():
        times = clear.shape[0] // scene.classes.shape[0]
        inside = tuple(slice(s.start and s.start * times, s.stop and s.stop * times) for s in place)
        numbers[name] = clear.copy()
        numbers[name][inside] = np.minimum(numbers[name][inside].astype(np.int64) + 5000, 65534)
    classes = scene.classes.copy()
    classes[place] = SceneClass.CLOUD_HIGH
    return replace(scene, numbers=numbers, classes=classes)


def radar_pass(optical, when, *, built=None, seed=0, shift_px=(0, 0), gain=1.0, **track):
    """One pass over the ground of an optical scene: brighter by 8 dB where something is built.

    Speckle is drawn anew for each time; `shift_px` (row, column) is added to the position of all content, in
    whole pixels.
    """
    shape = tuple(optical.grid.shape)
    fields = gaussian_filter(np.random.default_rng(5).standard_normal(shape), 2.5, mode="wrap")
    # fields with edges, and no pattern that repeats: satellites are brought together by it
    ground = 0.05 + 0.04 * (fields > 0) + 0.08 * (fields > 0.12)
    if built is not None:
        ground[built] *= 10**0.8
    rng = np.random.default_rng([seed, int(when.timestamp())])
    power = {}
    for name, share in (("VV", 1.0), ("VH", 0.2)):
        speckle = rng.gamma(LOOKS, 1 / LOOKS, shape)
        power[name] = np.roll(gain * share * ground * speckle, shift_px, (0, 1)).astype(np.float32)
    return Pass(
        when, {}, np.full((shape[0] // 2, shape[1] // 2), 4, np.uint8), optical.grid, optical.sun,
        "05.09", (0.0, 0.0), power, **track,
    )  # fmt: skip


def radar_passes(optical, start, count, *, built=None, **more):
    """Passes every twelve days from `start`."""
    times = [start + number * timedelta(days=12) for number in range(count)]
    return [radar_pass(optical, when, built=built, **more) for when in times]


def both_periods(optical, counts=(4, 4), *, built=BUILT, minutes=0, **track):
    """Passes of one track before and after; `minutes` keeps several tracks apart."""
    later = timedelta(minutes=minutes)
    return [
        *radar_passes(optical, BEFORE + later, counts[0], **track),
        *radar_passes(optical, AFTER + later, counts[1], built=built, **track),
    ]
