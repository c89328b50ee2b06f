"""What Sentinel-1 adds to an optical comparison: labelled cities, and pairs on which nothing was built.

    python benchmarks/radar_fusion.py                everything; some two minutes
    python benchmarks/radar_fusion.py --only cities, null or alone

`cities` needs the folder CHANGEDET_DATA names, with ``oscd`` (Daudt et al. 2018,
doi:10.1109/IGARSS.2018.8518015) and ``oscd_s1``, Sentinel-1 means over three months in VV for six of its
cities: one image for each orbit and period, so that radar can rank, not test. The exponent with which radar
weighs the score is chosen on five cities and reported on the sixth. `null` adds simulated radar of unaltered
ground to pairs on which nothing was built. `alone` is what radar alone flags as objects where hardly anything
changed: OPERA RTC-S1 over California, each winter against the one before (``opera_rtc_s1``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.comparison import DetectSettings
from changedet.core.masking import unclassified
from changedet.pipeline import compare_radar_passes, detect, detect_with_radar
from changedet.providers.local import LocalOptions
from changedet.radar.comparison import compare_radar
from changedet.radar.files import RadarNumbers, open_radar_files
from changedet.radar.fusion import fused_score
from changedet.radar.types import RadarInput, RadarPasses, RadarSettings, Track
from changedet.scene import Image, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from changedet.result import ChangeResult

CITIES = ("aguasclaras", "beihai", "bercy", "bordeaux", "nantes", "pisa")
EXPONENTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
#: Of an object this share must be labelled as changed, or it counts as wrong.
LEAST_LABELLED = 0.25
#: The files hold ``dB = 30 v - 25``.
NUMBERS = RadarNumbers("db", 30, -25)


def radar_folders(data: Path, city: str, scratch: Path) -> tuple[Path, Path]:
    """Lay the radar of a city out as folders: a period, and in it a folder for each orbit."""
    for path in sorted((data / "oscd_s1").glob(f"sentinel1_{city}_*.tif")):
        orbit, period = path.stem.split("_")[-2:]
        folder = scratch / city / {"t1": "before", "t2": "after"}[period] / orbit
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path)
    return scratch / city / "before", scratch / city / "after"


def read_truth(data: Path, city: str) -> np.ndarray:
    """Labelled change of a city, shape (y, x)."""
    import rasterio

    with rasterio.open(data / "oscd" / "train_labels" / city / "cm" / f"{city}-cm.tif") as source:
        return source.read(1) == 2


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Average precision, with what was not judged last."""
    from sklearn.metrics import average_precision_score

    filled = np.where(np.isfinite(score), score, np.nanmin(score) - 1)
    return float(average_precision_score(truth.ravel(), filled.ravel()))


def f1_of(result: ChangeResult, truth: np.ndarray) -> float:
    """F1 of what is flagged."""
    flagged = result.state == 1
    hit = (flagged & truth).sum()
    return float(2 * hit / max(flagged.sum() + truth.sum(), 1))


def chosen_exponent(table: dict[str, dict[float, float]], left_out: str) -> float:
    """The exponent of highest mean average precision on the other cities; of equals the smallest."""
    others = [rows for city, rows in table.items() if city != left_out]
    return max(EXPONENTS, key=lambda k: (round(float(np.mean([row[k] for row in others])), 4), -k))


def objects_right(result: ChangeResult, truth: np.ndarray) -> dict[str, tuple[int, int]]:
    """For each answer of the sensors, how many objects are labelled as changed, and how many there are."""
    from rasterio.features import rasterize

    found: dict[str, tuple[int, int]] = {}
    for sensor, outline in zip(result.objects["sensor"], result.objects.geometry, strict=True):
        inside = rasterize([outline], truth.shape, transform=result.grid.transform) > 0
        right, count = found.get(sensor, (0, 0))
        found[sensor] = right + int(truth[inside].mean() >= LEAST_LABELLED), count + 1
    return found


def cities(data: Path) -> Iterator[str]:
    """Lines of a report on the labelled cities."""
    table: dict[str, dict[float, float]] = {}
    decisions, objects = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for city in CITIES:
            images = tuple((data / "oscd" / "images" / city / f"imgs_{k}", LocalOptions()) for k in (1, 2))
            truth = read_truth(data, city)
            radar = open_radar_files(*radar_folders(data, city, Path(scratch)), NUMBERS)
            alone = detect(images[0][0], images[1][0])
            both = detect_with_radar(images, radar.task())
            evidence = compare_radar(radar.load(alone.grid), np.ones(truth.shape, bool))
            weighed = {
                k: fused_score(alone.score, replace(evidence, settings=RadarSettings(fusion_exponent=k)))
                for k in EXPONENTS
            }
            table[city] = {k: average_precision(score, truth) for k, score in weighed.items()}
            decisions.append((average_precision(both.score, truth), f1_of(alone, truth), f1_of(both, truth)))
            objects[city] = objects_right(both, truth)
    yield from exponent_lines(table, decisions)
    yield from object_lines(objects)


def exponent_lines(
    table: dict[str, dict[float, float]], decisions: Sequence[tuple[float, float, float]]
) -> Iterator[str]:
    """A table of average precision by exponent, and what the decision then is."""
    heads = [f"{k:g}" for k in EXPONENTS]
    yield f"| city | {' | '.join([*heads, 'chosen', 'there', '`both`', 'F1', 'F1 of `both`'])} |"
    yield "| --- " * (len(EXPONENTS) + 6) + "|"
    held = []
    for (city, row), decision in zip(table.items(), decisions, strict=True):
        chosen = chosen_exponent(table, city)
        held.append(row[chosen])
        said = [f"{row[k]:.3f}" for k in EXPONENTS] + [f"{chosen:g}", f"{row[chosen]:.3f}"]
        yield f"| {city} | {' | '.join([*said, *(f'{v:.3f}' for v in decision)])} |"
    means = [float(np.mean([row[k] for row in table.values()])) for k in EXPONENTS]
    last = [f"{v:.3f}" for v in np.mean(decisions, axis=0)]
    yield f"| mean | {' | '.join(f'{v:.3f}' for v in means)} | | {np.mean(held):.3f} | {' | '.join(last)} |"


def object_lines(objects: dict[str, dict[str, tuple[int, int]]]) -> Iterator[str]:
    """A table of how many objects are right, by what the sensors say."""
    names = sorted({name for row in objects.values() for name in row})
    yield ""
    yield f"| city | {' | '.join(names)} |"
    yield "| --- " * (len(names) + 1) + "|"
    for city, row in objects.items():
        said = [f"{row[name][0]} of {row[name][1]}" if name in row else "none" for name in names]
        yield f"| {city} | {' | '.join(said)} |"


def unaltered_radar(grid: Any, seed: int) -> RadarInput:
    """Two periods of speckle over the same textured ground: 8 passes before, 4 after, of 4.4 looks."""
    import cv2

    rng = np.random.default_rng(seed)
    shape = tuple(grid.shape)
    ground = np.exp(4 * cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 3)).astype(np.float32)
    valid = np.ones(shape, bool)
    track = Track("ascending", 44)

    def image(name: str) -> Image:
        power = 0.1 * ground * rng.gamma(4.4, 1 / 4.4, (2, *shape)).astype(np.float32)
        scene = Scene(name, "local", level="RTC", platform="Sentinel-1A", simulated=True)
        return Image(power.astype(np.float32), ("VV", "VH"), valid, unclassified(valid), grid, scene)

    passes = RadarPasses(
        track, tuple(image(f"before {k}") for k in range(8)), tuple(image(f"after {k}") for k in range(4))
    )
    return RadarInput(lambda _: (passes,))


def null(data: Path) -> Iterator[str]:
    """Lines of a report on pairs on which nothing was built: dates of one summer, two by two."""
    import itertools

    from odc.geo.geobox import GeoBox

    stack = np.load(data / "eolearn_scenes" / "REFERENCE_SCENES.npy").astype(np.float32)
    names = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
    keep = [names.index(b) for b in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")]
    size = stack.shape[1:3]
    corner = (500_000, 5_100_000)
    box = (*corner, corner[0] + 10 * size[1], corner[1] + 10 * size[0])
    grid = GeoBox.from_bbox(box, "EPSG:32633", shape=size, tight=True)
    valid = np.ones(size, bool)
    bands = tuple(names[i] for i in keep)
    classes = np.full(size, 5, np.uint8)
    dates = [
        Image(
            np.ascontiguousarray(date[..., keep].transpose(2, 0, 1)), bands, valid, classes, grid,
            Scene(f"date {k}", "local", level="L1C", platform="Sentinel-2A"), "SCL",
        )
        for k, date in enumerate(stack)
    ]  # fmt: skip
    yield "| pair | flagged by optical images | with radar |"
    yield "| --- | --- | --- |"
    settings = DetectSettings()
    for one, other in itertools.combinations(range(len(dates)), 2):
        images = (dates[one], LocalOptions()), (dates[other], LocalOptions())
        alone = detect(dates[one], dates[other], settings=settings)
        both = detect_with_radar(images, unaltered_radar(grid, one), settings=settings)
        shares = [f"{(result.state == 1).mean():.3%}" for result in (alone, both)]
        yield f"| {one} and {other} | {' | '.join(shares)} |"


def alone(data: Path) -> Iterator[str]:
    """Lines of a report on ground where hardly anything changed, by radar alone."""
    from odc.geo.geobox import GeoBox

    import radar

    yield "| burst, year | passes | km2 | flagged pixels | objects | in objects |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for case in radar.null_cases(data / "opera_rtc_s1"):
        rows, columns = case.before.shape[2:]
        box = (300_000, 4_000_000, 300_000 + 30 * columns, 4_000_000 + 30 * rows)
        grid = GeoBox.from_bbox(box, "EPSG:32611", resolution=30, tight=True)
        sides = [
            tuple(_opera_image(planes, grid, f"{word} {k}") for k, planes in enumerate(stack))
            for word, stack in (("before", case.before), ("after", case.after))
        ]
        passes = (RadarPasses(Track("ascending", 137), *sides),)
        settings = RadarSettings(least_before=2)
        found = compare_radar_passes(RadarInput(_always(passes), settings), {}, grid=grid)
        evidence = compare_radar(passes, np.ones((rows, columns), bool), settings)
        area = f"{rows * columns * 9e-4:.0f}"
        yield (
            f"| {case.burst}, {case.year} | {len(sides[0])} and {len(sides[1])} | {area} "
            f"| {evidence.flagged.mean():.3%} | {len(found.objects)} | {(found.state == 1).mean():.3%} |"
        )


def _always(passes: tuple[RadarPasses, ...]) -> Callable[[Any], tuple[RadarPasses, ...]]:
    return lambda _: passes


def _opera_image(planes: np.ndarray, grid: Any, name: str) -> Image:
    valid = np.isfinite(planes).all(axis=0)
    scene = Scene(name, "local", level="RTC", platform="Sentinel-1A")
    return Image(planes, ("VV", "VH"), valid, unclassified(valid), grid, scene)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("cities", "null", "alone"))
    only = parser.parse_args(arguments).only
    from tests.data import data_folder

    data = data_folder()
    if not data.exists():
        print(f"no imagery at {data}")
        return 0
    for name, work in (("cities", cities), ("null", null), ("alone", alone)):
        if only in (None, name):
            print(f"{name}\n", flush=True)
            print("\n".join(work(data)) + "\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
