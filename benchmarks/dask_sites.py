"""Sixteen sites by one worker of Dask and by two, beside one after the other, and with a worker killed.

    python benchmarks/dask_sites.py --out benchmarks/dask_sites_results.json    four minutes on two processors
    python benchmarks/dask_sites.py --sites 4 --rounds 1                           one minute

Imagery comes over sockets from a catalogue and an archive on this machine (`tests.world`), anew in every run.
Workers are processes with one thread each; they have imported what they need when the clock starts. The exit
code is 1 when a run makes anything else than the serial one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import LocalCluster

PERIODS = ("--before", "2021-05", "--after", "2023-05", "--min-clear", "0.1")
#: Two workers may take so much of the time of one.
BAR = 0.6
#: Sites in a row, and metres between them; the simulated scene is 2.56 km wide.
IN_A_ROW, STEP_M = 4, 550.0
#: What a worker needs at its first site.
_PRELOADED = (
    "cv2", "geopandas", "jinja2", "matplotlib.figure", "pystac_client", "rasterio", "scipy.ndimage",
    "changedet.cli.run_sites", "changedet.output.plate", "changedet.pipeline",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """What a run took, and what it made: digests by run folder."""

    seconds: float
    code: int
    folders: dict[str, Any]


def sites_csv(count: int) -> str:
    """So many sites in the simulated scene."""
    from pyproj import Transformer

    from changedet.simulator.scene import CORNER_M, EPSG

    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    lines = ["name,at,radius"]
    for number in range(count):
        row, column = divmod(number, IN_A_ROW)
        east, north = CORNER_M[0] + 450 + STEP_M * column, CORNER_M[1] - 450 - STEP_M * row
        lon, lat = to_lonlat(east, north)
        lines.append(f'Site {number:02d},"{lat:.5f}, {lon:.5f}",250m')
    return "\n".join(lines) + "\n"


def run(folder: Path, name: str, *options: str) -> Made:
    """Run the command once, with an empty cache."""
    from tests.runs import made

    from changedet.cli import run as command

    started = time.monotonic()
    code = command(["run", "--sites", str(folder / "sites.csv"), *PERIODS, "--out", str(folder / name),
                    "--cache", str(folder / f"{name}-cache"), "--quiet", "--json", *options])  # fmt: skip
    found = Made(time.monotonic() - started, code, made(folder / name))
    print(f"{name}: {found.seconds:.1f} s", file=sys.stderr)
    return found


def preload() -> int:
    """Import what the work needs; returns the number of the process."""
    from importlib import import_module

    for module in _PRELOADED:
        import_module(module)
    return os.getpid()


@contextmanager
def workers(count: int) -> Iterator[tuple[LocalCluster, list[int]]]:
    """Processes with one thread each, and their numbers."""
    from distributed import Client, LocalCluster

    with LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address=":0", memory_limit=0, silence_logs="CRITICAL"
    ) as cluster:
        with Client(cluster, set_as_default=False) as client:
            pids = list(client.run(preload).values())
        yield cluster, pids


def by_workers(folder: Path, name: str, count: int, *, kill_after: int | None = None) -> Made:
    """Run on so many workers; kill one of them once so many run folders are there."""
    with workers(count) as (cluster, pids):
        ended = threading.Event()
        killer = threading.Thread(target=_kill_at, args=(folder / name, kill_after or 0, pids[0], ended))
        if kill_after is not None:
            killer.start()
        found = run(folder, name, "--scheduler", cluster.scheduler_address)
        ended.set()
        if kill_after is not None:
            killer.join()
    return found


def _kill_at(folder: Path, count: int, pid: int, ended: threading.Event) -> None:
    while not ended.wait(0.01):
        if len(list(folder.glob("*/run.json"))) >= count:
            os.kill(pid, signal.SIGKILL)
            return


def measure(folder: Path, sites: int, rounds: int) -> dict[str, Any]:
    """Run in every way and compare what was made; the ways take turns."""
    (folder / "sites.csv").write_text(sites_csv(sites), encoding="utf-8")
    serial = run(folder, "serial")
    times: dict[int, list[float]] = {1: [], 2: []}
    problems = [f"serial: ended with {serial.code}"] if serial.code or len(serial.folders) != sites else []
    for number in range(rounds):
        for count, took in times.items():
            found = by_workers(folder, f"workers-{count}-{number}", count)
            took.append(found.seconds)
            problems += _differing(f"{count} worker(s)", serial, found)
    killed = by_workers(folder, "killed", 2, kill_after=max(1, sites // 4))
    problems += _differing("with a worker killed", serial, killed)
    one, two = (statistics.median(took) for took in times.values())
    return {
        "sites": sites, "processors": len(os.sched_getaffinity(0)), "serial_s": serial.seconds,
        "one_worker_s": times[1], "two_workers_s": times[2], "ratio": two / one, "bar": BAR,
        "killed_s": killed.seconds, "problems": problems,
    }  # fmt: skip


def _differing(name: str, serial: Made, found: Made) -> list[str]:
    if found.code != serial.code:
        return [f"{name}: ended with {found.code}"]
    names = sorted(serial.folders.keys() | found.folders.keys())
    return [f"{name}: {one} differs" for one in names if serial.folders.get(one) != found.folders.get(one)]


def table(report: dict[str, Any]) -> str:
    """What was found, in lines."""
    one, two = (statistics.median(report[name]) for name in ("one_worker_s", "two_workers_s"))
    problems = report["problems"]
    rows = [
        ("one after the other in one process, all its threads", f"{report['serial_s']:.1f} s"),
        ("one worker of one thread", f"{one:.1f} s"),
        ("two workers of one thread each", f"{two:.1f} s"),
        (f"two by one; at most {report['bar']}", f"{report['ratio']:.2f}"),
        ("two workers, one killed in mid-run", f"{report['killed_s']:.1f} s"),
        ("run folders that differ from the serial ones, of all four", f"{len(problems)}"),
    ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    head = f"| {report['sites']} sites, {report['processors']} processors | |"
    return "\n".join([head, "| --- | --: |", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, return 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sites", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2, help="how often one and two workers take turns")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.world.world import World

    from changedet.samples import simulate_pair
    from changedet.simulator.scene import SceneSettings

    preload()
    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0), clouds=False))
    with World([pair.before, pair.after]) as world, tempfile.TemporaryDirectory(prefix="sites-") as folder:
        os.environ["CHANGEDET_PROVIDERS__EARTH_SEARCH__URL"] = world.earth_search
        kept, silent = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        try:
            report = measure(Path(folder), options.sites, options.rounds)
        finally:
            os.dup2(kept, 1)
    print(table(report), *report["problems"][:20], sep="\n")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(bool(report["problems"]))


if __name__ == "__main__":
    sys.exit(main())
