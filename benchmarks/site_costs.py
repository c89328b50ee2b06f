"""What a site takes of a processor and of the disk, from which `changedet plan` says what a list will take.

    python benchmarks/site_costs.py --out benchmarks/site_costs_results.json      a minute

Ground as simulated, repeated to squares of several sizes, is compared and saved; lines through them are the
costs of a site and of each million pixels. What fetching takes is measured by the command over
sockets on this machine, decoding and the cache included. Processor time of all threads counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.scene import Image


def enlarged(image: Image, times: int) -> Image:
    """An image repeated, every other time mirrored."""
    from odc.geo.geobox import GeoBox

    def _repeat(planes: Any) -> Any:
        row = np.concatenate([planes if n % 2 == 0 else planes[..., ::-1] for n in range(times)], axis=-1)
        return np.concatenate([row if n % 2 == 0 else row[..., ::-1, :] for n in range(times)], axis=-2)

    rows, columns = image.grid.shape
    grid = GeoBox((rows * times, columns * times), image.grid.affine, image.grid.crs)
    classes = None if image.classes is None else _repeat(image.classes)
    return replace(image, data=_repeat(image.data), valid=_repeat(image.valid), classes=classes, grid=grid)


def compared(times: int, folder: Path) -> dict[str, float]:
    """What comparing and saving a square takes."""
    from changedet.pipeline import detect
    from changedet.samples import simulate_pair
    from changedet.simulator.scene import SceneSettings

    pair = simulate_pair(SceneSettings(clouds=False))
    before, after = (enlarged(scene.to_image(), times) for scene in (pair.before, pair.after))
    started = time.process_time()
    result = detect(before, after)
    half = time.process_time()
    result.save(folder / f"run-{times}")
    return {
        "mpx": before.data[0].size / 1e6, "compare_s": half - started,
        "save_s": time.process_time() - half, "folder_mb": size_mb(folder / f"run-{times}"),
    }  # fmt: skip


def size_mb(folder: Path) -> float:
    """What the files of a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def fetched(folder: Path) -> dict[str, float]:
    """What fetching takes for each million pixels of a scene in ten bands, and what is kept of it."""
    from tests.world.world import World

    from changedet import frame
    from changedet.investigation import AccessOptions, Investigation
    from changedet.progress import Silent
    from changedet.samples import simulate_pair
    from changedet.simulator.scene import SceneSettings
    from changedet.site import Site

    # a frame that lies within the simulated scene
    frame.CONTEXT_WIDTH_M, frame.CONTEXT_MARGIN_M = 2200.0, 60.0
    pair = simulate_pair(SceneSettings(clouds=False))
    site = Site.at("38.2700, 126.4998", radius_m=500, name="Pier")
    asked = Investigation("2021-05", "2023-05", access=AccessOptions(cache=folder / "cache"))
    with World([pair.before, pair.after]) as world:
        os.environ["CHANGEDET_PROVIDERS__EARTH_SEARCH__URL"] = world.earth_search
        opened = asked.open(Silent())
        planned = asked.plan(site, opened)
        started = time.process_time()
        scenes = planned.plan.optical_scenes
        for scene in scenes:
            opened.each[0].load(scene, planned.plan.grid)
        took = time.process_time() - started
    mpx = len(scenes) * np.prod(planned.plan.grid.shape) / 1e6
    return {
        "scene_mpx": float(mpx),
        "fetch_s_per_mpx": took / mpx,
        "cache_mb_per_mpx": size_mb(folder / "cache") / mpx,
    }


def measure(sizes: Sequence[int], folder: Path) -> dict[str, Any]:
    """Fit the costs of a site to what was measured."""
    # the first one imports
    compared(1, folder / "warm")
    rows = []
    for times in sizes:
        rows.append(compared(times, folder))
        print(rows[-1], file=sys.stderr)
    found = fetched(folder)
    return {"rows": rows, "fetch": found, "costs": costs_of(rows, found)}


def costs_of(rows: Sequence[dict[str, float]], found: dict[str, float]) -> dict[str, float]:
    """The costs of a site, of its pixels, of those of its frame and of its scenes."""
    mpx = np.array([row["mpx"] for row in rows])
    lines = {
        name: _line(mpx, np.array([row[name] for row in rows]))
        for name in ("compare_s", "save_s", "folder_mb")
    }
    return {
        "site_s": lines["compare_s"][0] + lines["save_s"][0],
        "compare_s_per_mpx": lines["compare_s"][1], "save_s_per_mpx": lines["save_s"][1],
        "fetch_s_per_mpx": found["fetch_s_per_mpx"], "folder_mb": lines["folder_mb"][0],
        "folder_mb_per_mpx": lines["folder_mb"][1], "cache_mb_per_mpx": found["cache_mb_per_mpx"],
    }  # fmt: skip


def _line(mpx: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    slope, offset = np.polyfit(mpx, values, 1)
    return max(0.0, float(offset)), float(slope)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 6], help="times 256 pixels")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    with tempfile.TemporaryDirectory(prefix="costs-") as folder:
        report = measure(options.sizes, Path(folder))
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
