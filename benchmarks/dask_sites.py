"""Sixteen sites by one worker of Dask and by two, beside one after the other, and with a worker killed.

    python benchmarks/dask_sites.py --out benchmarks/dask_sites_results.json    four minutes on two processors
    python benchmarks/dask_sites.py --sites 4 --rounds 1                           one minute
    python benchmarks/dask_sites.py --watch                                        the first day of a watch

The work is that of `changedet run --sites`; with --watch that of `changedet watch`, of which all rows of the
state file are compared, all files beside it, and all that is told. Imagery comes over sockets from a
catalogue and an archive on this machine (`tests.world`), anew in every run. Workers are processes with one
thread each; they have imported what they need when the clock starts. The exit code is 1 when a run makes
anything else than the serial one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import LocalCluster
    from tests.world.world import World

PERIODS = ("--before", "2021-05", "--after", "2023-05", "--min-clear", "0.1")
#: Two workers may take so much of the time of one.
BAR = 0.6
#: Sites in a row, and metres between them; the simulated scene is 2.56 km wide.
IN_A_ROW, STEP_M = 4, 550.0
#: Days of a watch: what is usual is learnt from so many before the first, from an image every so many.
SINCE, UNTIL, HISTORY_DAYS, STEP_DAYS = date(2023, 6, 1), date(2023, 8, 1), 360, 10
#: What a worker needs at its first site.
_PRELOADED = (
    "cv2", "geopandas", "jinja2", "matplotlib.figure", "pystac_client", "rasterio", "scipy.ndimage",
    "changedet.cli.run_sites", "changedet.output.plate", "changedet.pipeline", "changedet.watch.elsewhere",
    "changedet.watch.digest", "changedet.cli.watch",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """What a run took, of processors too, and digests of what it made: by run folder, by table of a state."""

    seconds: float
    code: int
    folders: dict[str, Any]
    cpu_s: float = 0.0


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


@dataclass(frozen=True)
class Work:
    """What is done at the sites.

    `sites_csv` lists so many of them, `options` are those of the command for a folder, `made` are digests of
    what it made there, `done` is a pattern of files of which each complete site has one; `world` shows the
    imagery, and `begin` lays out the folder that every run begins with.
    """

    sites_csv: Callable[[int], str]
    options: Callable[[Path], list[str]]
    made: Callable[[Path], dict[str, Any]]
    done: str
    world: Callable[[], World]
    begin: Callable[[Path], None] | None = None

    def once(self, folder: Path, name: str, *options: str) -> Made:
        """Run the command once, with an empty cache."""
        from changedet.cli import run as command

        if self.begin is not None:
            shutil.copytree(folder / "empty", folder / name)
        started, used = time.monotonic(), time.process_time()
        code = command([*self.options(folder / name), "--sites", str(folder / "sites.csv"),
                        "--cache", str(folder / f"{name}-cache"), "--quiet", "--json", *options])  # fmt: skip
        took, used = time.monotonic() - started, time.process_time() - used
        print(f"{name}: {took:.1f} s", file=sys.stderr)
        return Made(took, code, self.made(folder / name), used)


def run_options(folder: Path) -> list[str]:
    """The command that compares two dates at each site."""
    return ["run", *PERIODS, "--out", str(folder)]


def runs_made(folder: Path) -> dict[str, Any]:
    """Digests by run folder."""
    from tests.runs import made

    return dict(made(folder))


def two_dates() -> World:
    """A catalogue of one scene before and one after."""
    from tests.world.world import World

    from changedet.samples import simulate_pair
    from changedet.simulator.scene import SceneSettings

    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0), clouds=False))
    return World([pair.before, pair.after])


def watched_csv(count: int) -> str:
    """So many sites that are watched, each with a story of its own."""
    from tests.watch.many_sites import sites_csv, story

    return sites_csv([story(number, SINCE) for number in range(count)])


def watch_options(folder: Path) -> list[str]:
    """The command that learns what is usual at each site and takes what came since."""
    return ["watch", "--state", str(folder / "w.gpkg"), "--out", str(folder / "out"), "--no-register",
            "--history", f"{HISTORY_DAYS}d", "--since", str(SINCE), "--until", str(UNTIL)]  # fmt: skip


def watch_made(folder: Path) -> dict[str, Any]:
    """Digests by table of the state file, by file beside it, and by file of what is told."""
    from tests.watch.dump import dump, told

    held = dump(folder / "w.gpkg")
    files = held.pop("files") | told(folder / "out")
    return {name: sha256(repr(part).encode()).hexdigest() for name, part in (held | files).items()}


def many_dates() -> World:
    """A catalogue of the scenes of a watch, one every ten days."""
    from tests.watch.many_sites import CELL_PX, IN_A_ROW, scenes, story
    from tests.world.world import Options, World

    first = SINCE - timedelta(days=HISTORY_DAYS)
    days = [first + timedelta(days=one) for one in range(0, (UNTIL - first).days, STEP_DAYS)]
    stories = [story(number, SINCE) for number in range(IN_A_ROW**2)]
    return World(scenes(stories, days), options=Options(granule_px=CELL_PX * IN_A_ROW))


def begin_watch(folder: Path) -> None:
    """Make an empty state file: what is copied of it calls alerts by the same names."""
    from changedet.watch.state import open_state

    folder.mkdir()
    with open_state(folder / "w.gpkg", write=True):
        pass


RUNS = Work(sites_csv, run_options, runs_made, "*/run.json", two_dates)
WATCH = Work(watched_csv, watch_options, watch_made, "w.gpkg.arrays/*/standing.json", many_dates, begin_watch)


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


def by_workers(work: Work, folder: Path, name: str, count: int, *, kill_after: int | None = None) -> Made:
    """Run on so many workers; kill one of them once so many sites are complete."""
    from distributed import Client

    with workers(count) as (cluster, pids):
        ended = threading.Event()
        waiting = (folder / name, work.done, kill_after or 0, pids[0], ended)
        killer = threading.Thread(target=_kill_at, args=waiting)
        if kill_after is not None:
            killer.start()
        with Client(cluster, set_as_default=False) as client:
            before = client.run(time.process_time)
            found = work.once(folder, name, "--scheduler", cluster.scheduler_address)
            after = client.run(time.process_time)
        ended.set()
        if kill_after is not None:
            killer.join()
    used = sum(seconds - before.get(worker, 0.0) for worker, seconds in after.items())
    return replace(found, cpu_s=found.cpu_s + used)


def _kill_at(folder: Path, done: str, count: int, pid: int, ended: threading.Event) -> None:
    while not ended.wait(0.01):
        if len(list(folder.glob(done))) >= count:
            os.kill(pid, signal.SIGKILL)
            return


def measure(work: Work, folder: Path, sites: int, rounds: int) -> dict[str, Any]:
    """Run in every way and compare what was made; the ways take turns."""
    (folder / "sites.csv").write_text(work.sites_csv(sites), encoding="utf-8")
    if work.begin is not None:
        work.begin(folder / "empty")
    load = os.getloadavg()
    serial = work.once(folder, "serial")
    found: dict[int, list[Made]] = {1: [], 2: []}
    complete = len(list((folder / "serial").glob(work.done))) == sites
    problems = [f"serial: ended with {serial.code}"] if serial.code or not complete else []
    for number in range(rounds):
        for count, made in found.items():
            made.append(by_workers(work, folder, f"workers-{count}-{number}", count))
            problems += _differing(f"{count} worker(s)", serial, made[-1])
    killed = by_workers(work, folder, "killed", 2, kill_after=max(1, sites // 4))
    problems += _differing("with a worker killed", serial, killed)
    times = {count: [one.seconds for one in made] for count, made in found.items()}
    one, two = (statistics.median(took) for took in times.values())
    return {
        "sites": sites, "processors": len(os.sched_getaffinity(0)), "serial_s": serial.seconds,
        "one_worker_s": times[1], "two_workers_s": times[2], "ratio": two / one, "bar": BAR,
        "killed_s": killed.seconds, "problems": problems, "load": [load[0], os.getloadavg()[1]],
        "cpu_s": {"serial": serial.cpu_s, "one_worker": [made.cpu_s for made in found[1]],
                  "two_workers": [made.cpu_s for made in found[2]]},
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
        (
            "run folders, or tables and files of the state, that differ from the serial ones",
            f"{len(problems)}",
        ),
    ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    head = f"| {report['sites']} sites, {report['processors']} processors | |"
    return "\n".join([head, "| --- | --: |", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, return 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sites", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2, help="how often one and two workers take turns")
    parser.add_argument("--watch", action="store_true", help="the first day of a watch instead of runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    work = WATCH if options.watch else RUNS
    preload()
    with work.world() as world, tempfile.TemporaryDirectory(prefix="sites-") as folder:
        os.environ["CHANGEDET_PROVIDERS__EARTH_SEARCH__URL"] = world.earth_search
        kept, silent = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        try:
            report = measure(work, Path(folder), options.sites, options.rounds)
        finally:
            os.dup2(kept, 1)
    print(table(report), *report["problems"][:20], sep="\n")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(bool(report["problems"]))


if __name__ == "__main__":
    sys.exit(main())
