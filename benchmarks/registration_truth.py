"""How exact registration is where the truth is known, and how little it leaves on real pairs.

    python benchmarks/registration_truth.py            two minutes
    python benchmarks/registration_truth.py --large    also pairs of 5490 pixels square; 3 GB of memory

The pairs with known truth are those of the tests: no image is resampled to make them. The real ones are the
labelled cities (Daudt et al. 2018, doi:10.1109/IGARSS.2018.8518015, in the folder that CHANGEDET_DATA names):
the field is measured in B04 on every other tile, what is left on other tiles of other bands is measured by
scikit-image. The exit code is 1 when a known shift is missed by more than 0.02 px, a field by more than
0.04 px, or more than 0.1 px are left on the tiles of a city.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from changedet.core.alignment import align  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SMALL, LARGE, WHOLE = (400, 400), (1098, 1098), (5490, 5490)
LARGEST_SHIFT_PX = 30.0
#: Largest errors allowed, in pixels.
SHIFT_BAR_PX, FIELD_BAR_PX, LEFT_BAR_PX = 0.02, 0.04, 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables; return 1 when something is not as exact as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shifts", type=int, default=40, help="pairs with one shift")
    parser.add_argument("--fields", type=int, default=6, help="pairs with a field")
    parser.add_argument("--large", action="store_true", help="also pairs of 5490 pixels square")
    options = parser.parse_args(arguments)
    failed = False
    print("| displacement | image | ground | RMSE, px | largest, px |\n| --- | --- | --- | --: | --: |")
    for name, shape, ground, bar_px, errors in known(options):
        together, largest = np.sqrt(np.mean(np.square(errors))), max(errors)
        failed |= not largest <= bar_px
        print(f"| {name} | {shape[0]} | {ground} | {together:.4f} | {largest:.4f} |", flush=True)
    print("\n| city | model | tiles x bands | before, px | after, px |\n| --- | --- | --: | --: | --: |")
    for name, model, count, before_px, after_px in left():
        failed |= not after_px <= LEFT_BAR_PX
        print(f"| {name} | {model} | {count} | {before_px:.3f} | {after_px:.3f} |", flush=True)
    return int(failed)


def known(options: argparse.Namespace) -> Iterator[tuple[str, tuple[int, int], str, float, list[float]]]:
    """Yield what was displaced how, the error allowed, and the errors of all pairs."""
    from tests.core.pairs import cities, made_up, photographed

    grounds = {"made up": made_up} | ({"real chips": photographed} if cities() else {})
    for name, ground in grounds.items():
        yield (
            "one shift",
            SMALL,
            name,
            SHIFT_BAR_PX,
            [shift_px(ground, SMALL, n) for n in range(options.shifts)],
        )
        yield "field", LARGE, name, FIELD_BAR_PX, [field_px(ground, LARGE, n) for n in range(options.fields)]
    if options.large:
        name, ground = list(grounds.items())[-1]
        yield "one shift", WHOLE, name, SHIFT_BAR_PX, [shift_px(ground, WHOLE, 0)]
        yield "field", WHOLE, name, FIELD_BAR_PX, [field_px(ground, WHOLE, 0)]


def shift_px(ground, shape: tuple[int, int], number: int) -> float:
    """Return the error of one shift of 0 to 30 px in any direction."""
    from tests.core.pairs import uniform

    rng = np.random.default_rng([21, number])
    length, angle = rng.uniform(0, LARGEST_SHIFT_PX), rng.uniform(0, 2 * np.pi)
    return error_px(
        ground(shape, number), uniform(shape, length * np.sin(angle), length * np.cos(angle)), number
    )


def field_px(ground, shape: tuple[int, int], number: int) -> float:
    """Return the error of a smooth field with a jitter along the rows."""
    from tests.core.pairs import waves

    return error_px(ground(shape, number), waves(shape, number), number)


def error_px(ground, displacement: np.ndarray, number: int) -> float:
    """Return the root mean square error over the whole image; infinite when the pair is refused."""
    from tests.core.pairs import make_pair

    pair = make_pair(ground, displacement, number)
    found = align(list(pair.reference), list(pair.moving), pair.all_usable, pair.all_usable)
    return float(pair.rmse_px(found.field)) if found.trusted else float("inf")


def left() -> Iterator[tuple[str, str, int, float, float]]:
    """Yield for each city the model and the median lengths of what is left on other tiles and bands."""
    from tests.core import test_alignment_real as real

    for city in real.cities():
        first, second = real.dates(city, "B04")
        before, after, models = [], [], []
        for parity in (0, 1):
            used = first > 0
            for tile in real.tiles(first.shape, parity):
                used[tile] = False
            field = align([first], [second], used, second > 0).field
            models.append(field.model)
            for band in real.OTHER_BANDS:
                reference, moving = real.dates(city, band)
                for tile in real.tiles(first.shape, parity):
                    if min(reference[tile].min(), moving[tile].min()) > 0:
                        before.append(real.left_px(reference[tile], moving[tile]))
                        moved = real.resampled(real.spline(city, band), field, tile)
                        after.append(real.left_px(reference[tile], moved))
        medians = [float(np.median(np.hypot(*np.transpose(each)))) for each in (before, after)]
        yield city, " and ".join(dict.fromkeys(models)), len(after), medians[0], medians[1]


if __name__ == "__main__":
    sys.exit(main())
