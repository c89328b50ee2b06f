"""How much memory and time a comparison of large images takes, beside reading and decoding them.

    python -m benchmarks.large [--sizes 2745 5490 10980] [--memory 1500MB] [--scratch DIR]

makes pairs of simulated images, compares each pair in a process of its own and writes
``benchmarks/large_results.json``. Beside each stands how long rasterio takes to read and decode the same
bands once with all processors, and, where they fit into the memory, the same comparison held there and a
plain NumPy chain. A full pair takes about 3 GB on disk, and 20 GB more while it is compared.

    python -m benchmarks.large --methods predict irmad rings --sizes 2745 --memory 600MB

compares each pair by each of these methods, and writes ``benchmarks/large_methods.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
SIZES = (2745, 5490, 10980)
BANDS_10M, BANDS_20M = ("B02", "B03", "B04", "B08"), ("B11", "B12")
SCENES = {"before": "T52SBH_20210521T021601", "after": "T52SBH_20230521T021601"}
#: How far the after image lies off, in pixels of 10 m.
SHIFT_PX = (0.4, -0.3)
#: One chip in so many has something built on it, of this reflectance.
BUILT_EVERY, ROOF = 16, {"B02": 3100, "B03": 3200, "B04": 3300, "B08": 3500, "B11": 3600, "B12": 3400}
NOISE = 15.0
RESULTS = Path(__file__).parent / "large_results.json"
#: A chain that holds everything in memory is not tried above this share of it.
MEMORY_SHARE = 0.6


def make_pair(folder: Path, size: int, seed: int = 0) -> Path:
    """Write a before and an after image of `size` pixels of 10 m: many times the same ground, with noise."""
    for date, name in SCENES.items():
        (folder / date).mkdir(parents=True, exist_ok=True)
        for band in (*BANDS_10M, *BANDS_20M, "SCL"):
            source = ROOT / "samples" / "pair" / "before" / f"{SCENES['before']}_{band}.tif"
            _write(source, folder / date / f"{name}_{band}.tif", size, (date, band, seed))
    return folder


def _write(source: Path, target: Path, size: int, what: tuple[str, str, int]) -> None:
    import rasterio

    date, band, seed = what
    with rasterio.open(source) as dataset:
        chip, profile, tags = dataset.read(1), dataset.profile, dataset.tags()
    step = 1 if band in BANDS_10M else 2
    pixels = -(-size // step)
    tags |= {"ACQUISITION_TIME_UTC": "2021-05-21T02:16:01Z" if date == "before" else "2023-05-21T02:16:01Z"}
    tags |= {"SCENE_ID": f"SIMULATED_{date}"}
    profile |= {"width": pixels, "height": pixels, "tiled": True, "blockxsize": 512, "blockysize": 512}
    profile |= {"compress": "deflate", "predictor": 2, "num_threads": "all_cpus", "BIGTIFF": "YES"}
    if date == "after" and band != "SCL":
        chip = _moved(chip, step)
    rng = np.random.default_rng([seed, *date.encode(), *band.encode()])
    with rasterio.open(target, "w", **profile) as out:
        out.update_tags(**{k: v for k, v in tags.items() if k != "AREA_OR_POINT"})
        for row in range(0, pixels, 512):
            rows = min(512, pixels - row)
            block = _rows(chip, row, (rows, pixels), band, rng)
            if date == "after" and band != "SCL":
                _build(block, row, (band, step))
            out.write(block, 1, window=((row, row + rows), (0, pixels)))


def _moved(chip: NDArray[Any], step: int) -> NDArray[np.float32]:
    from scipy import ndimage

    shift = [one / step for one in SHIFT_PX]
    return np.asarray(ndimage.shift(chip.astype(np.float32), shift, order=3, mode="grid-wrap"), np.float32)


def _rows(
    chip: NDArray[Any], row: int, shape: tuple[int, int], band: str, rng: np.random.Generator
) -> NDArray[Any]:
    """Lay the chip side by side over some rows."""
    side = len(chip)
    lines = np.take(chip, np.arange(row, row + shape[0]) % side, axis=0)
    block = np.tile(lines, (1, -(-shape[1] // side)))[:, : shape[1]]
    if band == "SCL":
        return block
    noise = rng.standard_normal(block.shape, np.float32) * np.float32(NOISE)
    return np.clip(block + noise, 1, 65535).astype(np.uint16)


def _build(block: NDArray[np.uint16], row: int, what: tuple[str, int]) -> None:
    """Put a roof on one chip of `BUILT_EVERY`, of a size that differs from place to place."""
    band, step = what
    side, (rows, columns) = 256 // step, block.shape
    for line in range(row // side, (row + rows) // side + 1):
        for column in range(columns // side):
            number = line * 43 + column
            if number % BUILT_EVERY == 0:
                wide = (8 + 4 * (number % 5)) // step
                top = line * side + 100 // step - row
                part = block[max(top, 0) : max(top + wide, 0), column * side + 80 // step :][:, :wide]
                part[:] = ROOF[band]


def decode(folder: Path, processors: int) -> None:
    """Read and decode every band of both dates once."""
    import rasterio

    for path in sorted(folder.glob("*/*.tif")):
        with rasterio.open(path, num_threads=processors) as dataset:
            for row in range(0, dataset.height, 2048):
                dataset.read(1, window=((row, min(row + 2048, dataset.height)), (0, dataset.width)))


def naive(folder: Path) -> int:
    """Compare two images as a short script would: read, normalise, difference, smooth, threshold, label."""
    import rasterio
    from scipy import ndimage

    stacks = []
    for date in SCENES:
        planes = []
        for band in (*BANDS_10M, *BANDS_20M):
            (path,) = (folder / date).glob(f"*_{band}.tif")
            with rasterio.open(path) as dataset:
                plane = dataset.read(1).astype(np.float32) / 10000
            planes.append(plane if band in BANDS_10M else np.kron(plane, np.ones((2, 2), np.float32)))
        least = min(len(plane) for plane in planes)
        stack = np.stack([plane[:least, :least] for plane in planes])
        stacks.append((stack - stack.mean((1, 2), keepdims=True)) / stack.std((1, 2), keepdims=True))
    score = np.sqrt(((stacks[1] - stacks[0]) ** 2).sum(axis=0))
    score = ndimage.gaussian_filter(score, 2.0)
    median = np.median(score)
    spread = 1.4826 * np.median(np.abs(score - median))
    return int(ndimage.label(score > median + 10 * spread)[1])


def compare(folder: Path, memory: str, scratch: Path | None, method: str = "predict") -> dict[str, Any]:
    """Compare the pair and tell when each step began."""
    from changedet.comparison import DetectSettings
    from changedet.pipeline import detect
    from changedet.scale.resources import Resources

    steps = _Steps()
    with Resources.of(memory, None, scratch).in_use():
        settings = DetectSettings(method=method)
        result = detect(folder / "before", folder / "after", settings=settings, progress=steps)
    return {"objects": len(result.objects), "seasonal": len(result.seasonal), "steps": steps.seconds()}


class _Steps:
    """Takes down when each step began, by the clock and by the time of the processors."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float, float]] = []

    def step(self, name: str) -> None:
        """Note a step."""
        self.begun.append((name, time.perf_counter(), time.process_time()))

    def advance(self, share: float) -> None:
        """Pass over the progress inside a step."""

    def seconds(self) -> dict[str, dict[str, float]]:
        """Return how long each step took, the last until now."""
        self.step("end")
        return {
            name: {"seconds": round(after[1] - wall, 2), "cpu_seconds": round(after[2] - busy, 2)}
            for (name, wall, busy), after in zip(self.begun, self.begun[1:], strict=False)
        }


def child(what: str, folder: Path, memory: str, scratch: Path | None) -> dict[str, Any]:
    """Do one thing and tell what it took: what the parent process asks for."""
    found: dict[str, Any] = {}
    start, busy = time.perf_counter(), time.process_time()
    if what == "decode":
        decode(folder, len(os.sched_getaffinity(0)))
    elif what == "naive":
        found["objects"] = naive(folder)
    else:
        found = compare(folder, memory, scratch, what.partition(":")[2] or "predict")
    return found | {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - busy, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
    }


def measured(what: str, folder: Path, memory: str = "1500MB", scratch: Path | None = None) -> dict[str, Any]:
    """Do one thing in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large", "--child", what, str(folder), "--memory", memory]
    command += ["--scratch", str(scratch)] if scratch else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def at_size(size: int, memory: str, scratch: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything at one size."""
    machine = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    folder = Path(tempfile.mkdtemp(prefix="changedet-large-", dir=scratch))
    try:
        make_pair(folder, size)
        entry: dict[str, Any] = {"size": size, "megapixels": size**2 / 1e6}
        entry["decode"] = measured("decode", folder)
        entry["streamed"] = measured("compare", folder, memory, scratch)
        if size**2 * 6 * 36 < MEMORY_SHARE * machine:
            entry["in_memory"] = measured("compare", folder, f"{machine / 1e9:.0f}GB")
        if size**2 * 6 * 16 < MEMORY_SHARE * machine:
            entry["naive"] = measured("naive", folder)
        entry["decode_again"] = measured("decode", folder)
    finally:
        shutil.rmtree(folder)
    say(json.dumps(entry))
    return entry


def by_methods(methods: list[str], size: int, memory: str, scratch: Path | None) -> dict[str, dict[str, Any]]:
    """Compare one pair by several methods, each in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="changedet-large-", dir=scratch))
    try:
        make_pair(folder, size)
        return {name: measured(f"compare:{name}", folder, memory, scratch) for name in methods}
    finally:
        shutil.rmtree(folder)


def summary_of_methods(found: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Return the lines of the table of methods."""
    lines = ["| pixels | method | peak MB | processor s | s |", "|---|---|---|---|---|"]
    lines += [
        f"| {size} x {size} | {name} | {one['peak_mb']} | {one['cpu_seconds']:.1f} | {one['seconds']:.1f} |"
        for size, methods in found.items()
        for name, one in methods.items()
    ]
    return lines


def summary(entries: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| pixels | peak MB | s | times decoding | s per Mpx | in memory: s, MB | plain NumPy: s, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        streamed = entry["streamed"]
        once = min(entry["decode"]["seconds"], entry["decode_again"]["seconds"])
        beside = [
            f"{entry[name]['seconds']:.1f}, {entry[name]['peak_mb']}" if name in entry else "does not fit"
            for name in ("in_memory", "naive")
        ]
        lines.append(
            f"| {entry['size']} x {entry['size']} | {streamed['peak_mb']} | {streamed['seconds']:.1f} "
            f"| {streamed['seconds'] / once:.1f} | {streamed['seconds'] / entry['megapixels']:.2f} "
            f"| {beside[0]} | {beside[1]} |"
        )
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--memory", default="1500MB")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--methods", nargs="+", metavar="NAME")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FOLDER"))
    asked = parser.parse_args(arguments)
    if asked.child:
        sys.stdout.write(json.dumps(child(asked.child[0], Path(asked.child[1]), asked.memory, asked.scratch)))
        return
    if asked.methods:
        found = {f"{n}": by_methods(asked.methods, n, asked.memory, asked.scratch) for n in asked.sizes}
        text = json.dumps({"memory": asked.memory, "sizes": found}, indent=1)
        (asked.out or RESULTS.with_name("large_methods.json")).write_text(text + "\n")
        print("\n".join(summary_of_methods(found)))
        return
    entries = [
        at_size(size, asked.memory, asked.scratch, lambda text: print(text, flush=True))
        for size in asked.sizes
    ]
    (asked.out or RESULTS).write_text(json.dumps({"memory": asked.memory, "sizes": entries}, indent=1) + "\n")
    print("\n".join(summary(entries)))


if __name__ == "__main__":
    main()
