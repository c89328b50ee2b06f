"""Measure shifts across sensors, and of whole stacks, against known ones; print tables for the documents.

    python benchmarks/sensors.py                      16 pairs of a kind, 600 pixels square
    python benchmarks/sensors.py --pairs 4 --size 384

Ground is a patchwork of real chips where CHANGEDET_DATA (or the folder `shared/data` beside the project) has
the labelled cities; otherwise it is made up. Real radar of the same cities is measured where it is there.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHIFTS_PX = ((0.5, -0.3), (1.3, 2.7), (-4.6, 3.2), (2.2, -5.0))


def main() -> int:
    """Print one table for pairs, one for real radar, one for stacks."""
    options = _options()
    print("| pair | RMSE, px | largest error, px | refused |\n| --- | --- | --- | --- |")
    for name, pair in _kinds().items():
        misses = [pair(options.size, seed) for seed in range(options.pairs)]
        known = [one for one in misses if one is not None]
        refused = len(misses) - len(known)
        print(
            f"| {name} | {_rms(known):.3f} | {max(known, default=np.nan):.3f} | {refused} of {len(misses)} |"
        )
    _real_radar()
    print("\n| stack | RMSE, px | closure, px | left out |\n| --- | --- | --- | --- |")
    for count, masked, odd in ((6, True, ()), (9, False, ()), (12, False, (4,))):
        _stack(count, options.size, masked=masked, odd=odd)
    return 0


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--size", type=int, default=600, help="a multiple of 12")
    return parser.parse_args()


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values)))) if values else float("nan")


def _kinds():
    from tests.core import unlike

    shaded = partial(unlike.high_resolution, shadow=0.07)
    return {
        "Sentinel-2, other orbit": partial(_optical, unlike.other_orbit, 1, 1),
        "L1C and L2A": partial(_optical, unlike.hazy, 1, 1),
        "Sentinel-2 and Landsat, in pixels of 30 m": partial(_optical, unlike.landsat, 3, 1),
        "2.5 m image, other tones": partial(_optical, unlike.high_resolution, 4, 4),
        "2.5 m image, other tones and shadows": partial(_optical, shaded, 4, 4),
        "Sentinel-2 and radar": _radar,
    }


def _ground(size, seed):
    from tests.core import pairs

    return (pairs.photographed if pairs.cities() else pairs.made_up)((size, size), seed)


def _optical(make, reference_factor, moving_factor, size, seed):
    """Length of the error in coarse pixels, None when refused; the grounds are as fine as the finer image."""
    from tests.core import unlike

    from changedet.core.alignment import align

    rng = np.random.default_rng([seed, 1])
    ground = _ground(size * moving_factor, seed)
    factor = max(reference_factor, moving_factor)
    shift = rng.uniform(-5, 5, 2) * factor
    seen = unlike.averaged(ground.seen(*unlike.positions(ground.shape))[0], factor)
    moving = make(ground, shift, rng).astype(np.float32)
    if moving_factor > 1:
        moving = unlike.averaged(moving, moving_factor)
    usable = np.ones(seen.shape, bool)
    found = align([unlike.noisy(seen, rng)], [moving], usable, usable)
    return float(np.hypot(*(found.field.median_px - shift / factor))) if found.trusted else None


def _radar(size, seed):
    from tests.core import unlike

    from changedet.core.structure import measure_structure

    rng = np.random.default_rng([seed, 2])
    ground, shift = _ground(size, seed), rng.uniform(-5, 5, 2)
    usable = np.ones(ground.shape, bool)
    found = measure_structure(
        unlike.reference_of(ground, rng), unlike.radar(ground, shift, rng), usable, usable
    )
    return float(np.hypot(found.row_px - shift[0], found.column_px - shift[1])) if found.trusted else None


def _real_radar():
    """Measure real radar as it is, with shifts put into it, and two dates by way of it."""
    from tests.core.scenery import DATA
    from tests.core.test_structure import band, onto, power

    from changedet.core.alignment import align
    from changedet.core.structure import measure_structure

    print("\n| radar | shift, px | error, px | injected: RMSE, px | by way of two dates, px |")
    print("| --- | --- | --- | --- | --- |")
    for path in sorted((DATA / "oscd_s1").glob("*_t1.tif")):
        name = path.stem.removeprefix("sentinel1_").removesuffix("_t1")
        like = band(name.split("_")[0], 1)
        first, second = onto(like, like), onto(band(name.split("_")[0], 2), like)

        def radar(image, shift_px=(0.0, 0.0), path=path, like=like):
            dark = onto(path, like, shift_px, power)
            found = measure_structure(image, dark, image > 0, dark > 0)
            return np.array([found.row_px, found.column_px]), (found.row_error_px, found.column_error_px)

        still, error = radar(first)
        missed = [float(np.hypot(*(radar(first, shift)[0] - still - shift))) for shift in SHIFTS_PX]
        direct = align([first], [second], first > 0, second > 0).field.median_px
        way = float(np.hypot(*(still - radar(second)[0] - direct)))
        told = f"({still[0]:.2f}, {still[1]:.2f}) | ({error[0]:.2f}, {error[1]:.2f})"
        print(f"| {name} | {told} | {_rms(missed):.3f} | {way:.2f} |", flush=True)


def _stack(count, size, *, masked, odd):
    from tests.core import unlike

    from changedet.core.stack import align_stack

    images, clear, shifts = unlike.series(count, size, count, odd=odd)
    valid = clear if masked else [np.ones((size, size), bool)] * count
    found = align_stack([[image] for image in images], valid)
    kept = found.aligned
    miss = unlike.spread_px(found.shifts_px[kept], shifts[kept])
    name = f"{count} dates, clouds {'masked' if masked else 'not masked'}"
    name += f", {len(odd)} of another place" if odd else ""
    print(f"| {name} | {miss:.4f} | {found.closure.rmse_px:.4f} | {int((~kept).sum())} |", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
