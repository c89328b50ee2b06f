"""What changes to a good pair should not change what is flagged: brightness, place, noise, orientation.

    python benchmarks/metamorphic.py [--out FILE] [--city NAME]

The pairs are labelled cities (Daudt et al. 2018, doi:10.1109/IGARSS.2018.8518015) from the folder that
CHANGEDET_DATA names. The later date is made brighter, moved or noisy as a file, or both dates are turned, and
the flagged area is compared with that of the pair as it was: the Jaccard index, intersection over union. The
exit code is 1 when a city falls below the bar.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from benchmarks import bad_images  # noqa: E402
from benchmarks.bad_pairs import CITIES, PAGE, replaced  # noqa: E402

from changedet.pipeline import detect  # noqa: E402
from changedet.result import State  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RESULTS = HERE / "metamorphic.json"
BAR = 0.8
#: Signal to noise ratios that the instrument was specified with, at reference radiance (ESA, Sentinel-2 user
#: handbook, 2015, table 1).
SNR = {"B01": 129, "B02": 154, "B03": 168, "B04": 142, "B05": 117, "B06": 89, "B07": 105, "B08": 172,
       "B8A": 72, "B09": 114, "B10": 50, "B11": 100, "B12": 100}  # fmt: skip


def brighter(date: bad_images.Date) -> dict[str, np.ndarray]:
    """A gain of 20 % in every band."""
    return date.each(lambda _name, plane: plane * np.float32(1.2))


def noisy(date: bad_images.Date, worse: float = 1.0) -> dict[str, np.ndarray]:
    """The noise of the instrument once more, or so many times that, at the mean signal of each band."""

    def add(name, plane):
        deviation = worse * np.nanmean(plane) / SNR[name]
        return plane + date.rng.normal(0, deviation, plane.shape).astype(np.float32)

    return date.each(add)


#: What is done to the later date; turning is done to both.
LATER: dict[str, Callable[[bad_images.Date], dict[str, np.ndarray]]] = {
    "gain": brighter,
    "shift": partial(bad_images.shifted, length_px=0.5),
    "noise": noisy,
    "noise-3": partial(noisy, worse=3.0),
}
TURNED = "turn"
TEXTS = {"gain": "20 % brighter", "shift": "half a pixel aside", "noise": "noise of the sensor once more",
         "noise-3": "three times that noise", TURNED: "turned by 90°"}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the Jaccard index of every city and change; return 1 when one is below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--docs", action="store_true", help=f"put {RESULTS.name} into {PAGE.name}")
    parser.add_argument("--city", action="append", help="city to take; all when not given")
    options = parser.parse_args(arguments)
    if options.docs:
        rows = json.loads(RESULTS.read_text(encoding="utf-8"))
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replaced(text, "metamorphic", table(rows)), encoding="utf-8")
        return 0
    found: dict[str, dict[str, float]] = {}
    for city in options.city or sorted(path.name for path in CITIES.glob("*/")):
        found[city] = dict(measure(CITIES / city))
        print(json.dumps({city: found[city]}), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(index < BAR for row in found.values() for index in row.values()))


def table(found: dict[str, dict[str, float]]) -> str:
    """One line for each city, and their mean."""
    rows = {**found, "**mean**": {n: float(np.mean([row[n] for row in found.values()])) for n in TEXTS}}
    lines = [f"| city | {' | '.join(TEXTS.values())} |", "| --- |" + " ---: |" * len(TEXTS)]
    return "\n".join(
        lines + [f"| {city} | {' | '.join(f'{row[n]:.3f}' for n in TEXTS)} |" for city, row in rows.items()]
    )


def measure(city: Path) -> Iterator[tuple[str, float]]:
    """Yield the Jaccard index of the flagged area for every change."""
    before, after = city / "imgs_1", city / "imgs_2"
    untouched = flagged(before, after)
    with tempfile.TemporaryDirectory() as folder:
        for name, change in LATER.items():
            target = Path(folder) / name / after.name
            bad_images.write_date(after, target, change(bad_images.read_date(after, 0)))
            yield name, jaccard(untouched, flagged(before, target))
            shutil.rmtree(target)
        turned = [write_turned(date, Path(folder) / TURNED / date.name) for date in (before, after)]
        shutil.copy(city / "dates.txt", Path(folder) / TURNED)
        yield TURNED, jaccard(untouched, np.rot90(flagged(*turned), -1))


def flagged(before: Path, after: Path) -> np.ndarray:
    """Which pixels are flagged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(detect(before, after).state == State.CHANGED)


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union, to three digits; 1 when both are empty."""
    union = (first | second).sum()
    return round(float((first & second).sum() / union), 3) if union else 1.0


def write_turned(source: Path, target: Path) -> Path:
    """Write copies of band files whose content is turned to the left by 90 degrees."""
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.tif")):
        with rasterio.open(path) as file:
            profile: dict[str, Any] = dict(file.profile)
            numbers = np.rot90(file.read(), axes=(1, 2))
        profile |= {"height": numbers.shape[1], "width": numbers.shape[2]}
        for name in ("blockxsize", "blockysize", "tiled"):
            profile.pop(name, None)
        with rasterio.open(target / path.name, "w", **profile) as file:
            file.write(numbers)
    return target


if __name__ == "__main__":
    sys.exit(main())
