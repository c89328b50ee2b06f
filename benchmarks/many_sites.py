"""Many watched sites on a day on which nothing is new: how long `changedet watch` takes, in how much memory.

    python benchmarks/many_sites.py                         100, 300 and 1,000 sites
    python benchmarks/many_sites.py --on-a-tile 1           no two sites near each other
    python benchmarks/many_sites.py --out benchmarks/many_sites_results.json

The sites lie on tiles round the globe, 64 on each. A catalogue on this machine (`tests.world`, in a process
of its own) lists an image of each tile every ten days. What is usual is learnt by the program itself, from
images that come over no socket; that is not measured. Then the command runs as it does from cron, in a
process that begins with Python itself, on a day on which the catalogue has only what every site has seen.
The exit code is 1 when that fails, a date is taken, or an alert is made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from tests.world.granules import Granule

    from changedet.providers.base import Provider, SearchQuery
    from changedet.scene import Image, Scene

ROOT = Path(__file__).resolve().parents[1]
SINCE, TODAY = date(2023, 6, 1), date(2023, 6, 25)
#: Images of so many days before the first watched one are learnt from, one every so many days.
HISTORY_DAYS, STEP_DAYS = 180, 10
#: Tiles of one zone lie so many times their width apart; there are so many zones, visited in this order.
APART, ZONES, STRIDE = 100, 60, 7
SIZES = (100, 300, 1000)


def shown() -> list[Granule]:
    """What a tile shows, date by date."""
    from tests.watch.many_sites import scenes, story

    first = SINCE - timedelta(days=HISTORY_DAYS)
    days = [first + timedelta(days=one) for one in range(0, (TODAY - first).days, STEP_DAYS)]
    return scenes([story(number, SINCE) for number in range(64)], days)


def corner(tile: int) -> tuple[int, float, float]:
    """EPSG code of the zone of a tile, and its corner; all corners are whole tiles apart."""
    from tests.watch.many_sites import CELL_PX, IN_A_ROW
    from tests.world.granules import QUICK_CORNER_M

    east, north = QUICK_CORNER_M
    row, turn = divmod(tile, ZONES)
    return 32601 + turn * STRIDE % ZONES, east, north - row * APART * 10 * CELL_PX * IN_A_ROW


def published(images: Sequence[Granule], tiles: int) -> list[Granule]:
    """What the catalogue lists: the same images on every tile."""
    from odc.geo.geobox import GeoBox
    from tests.world.granules import whole

    found = []
    for tile in range(tiles):
        epsg, east, north = corner(tile)
        name = f"{epsg - 32600:02d}S{chr(65 + tile // ZONES % 26)}A"
        for one in images:
            rows, columns = one.scene.grid.shape
            box = (east, north - 10 * rows, east + 10 * columns, north)
            grid = GeoBox.from_bbox(box, f"EPSG:{epsg}", resolution=10, tight=True)
            found.append(whole(replace(one.scene, grid=grid), cloud_cover=one.cloud_cover, tile=name))
    return found


def sites_csv(sites: int, on_a_tile: int) -> str:
    """The list of the sites, tile after tile."""
    from pyproj import Transformer
    from tests.watch.many_sites import CELL_PX, IN_A_ROW, RADIUS_M

    lines = ["name,at,radius"]
    for number in range(sites):
        tile, place = divmod(number, on_a_tile)
        epsg, east, north = corner(tile)
        row, column = (10 * CELL_PX * (one + 0.5) for one in divmod(place, IN_A_ROW))
        to_lonlat = Transformer.from_crs(f"EPSG:{epsg}", "EPSG:4326", always_xy=True).transform
        lon, lat = to_lonlat(east + column, north - row)
        lines.append(f'Site {number:04d},"{lat:.6f}, {lon:.6f}",{RADIUS_M}m')
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, eq=False)
class Learning:
    """Scenes as the catalogue has them, whose pixels come over no socket."""

    provider: Provider
    images: Sequence[Granule]

    @property
    def name(self) -> str:
        """Of the catalogue."""
        return self.provider.name

    @property
    def info(self) -> Any:
        """Of the catalogue."""
        return self.provider.info

    def search(self, query: SearchQuery) -> list[Scene]:
        """What the catalogue finds."""
        return self.provider.search(query)

    def estimate(self, scene: Scene, grid: GeoBox, bands: Any = None) -> Any:
        """Nothing is fetched."""
        from changedet.providers.base import Estimate

        return Estimate()

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """The classes on a grid of 10 or 20 m; tiles are the same all over."""
        classes = self._of(scene).scene.classes
        return np.asarray(classes[np.ix_(*self._places(grid, 20.0, classes.shape[0]))])

    def load(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None, **_more: Any) -> Image:
        """An image on a grid."""
        from changedet.scene import Image
        from changedet.timeline.access import SERIES_BANDS

        taken, names, planes = self._of(scene).scene, bands or SERIES_BANDS, []
        for name in names:
            values = taken.reflectance(name)
            side = values.shape[0]
            planes.append(values[np.ix_(*self._places(grid, 2560.0 / side, side))])
        classes = self.classes(scene, grid)
        return Image(np.stack(planes).astype(np.float32), names, (classes > 3) & (classes < 8), classes, grid,
                     scene, "SCL")  # fmt: skip

    def _of(self, scene: Scene) -> Granule:
        return next(one for one in self.images if one.scene.time.date() == scene.time.date())

    def _places(self, grid: GeoBox, step_m: float, side: int) -> tuple[NDArray[np.int64], ...]:
        """Rows and columns of a tile that a grid shows."""
        _, east, north = corner(0)
        step = grid.transform
        rows = (north - step.f - step.e * (np.arange(grid.shape[0]) + 0.5)) // step_m
        columns = (step.c - east + step.a * (np.arange(grid.shape[1]) + 0.5)) // step_m
        return rows.astype(np.int64) % side, columns.astype(np.int64) % side


def learn(sites: Path, state: Path, images: Sequence[Granule]) -> None:
    """Watch every site up to the day before, without sockets for pixels."""
    from changedet.progress import Silent
    from changedet.providers.registry import open_provider
    from changedet.providers.tracked import TrackedProvider
    from changedet.site_lists import read_sites
    from changedet.watch.looking import WatchSpan
    from changedet.watch.rules import WatchRules
    from changedet.watch.running import WatchRequest, run_watch

    since, until = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (SINCE, TODAY))
    request = WatchRequest(state, state.with_name("learnt"), WatchSpan(since, until - timedelta(days=1)),
                           WatchRules(register=False, history_days=float(HISTORY_DAYS)))  # fmt: skip
    provider = TrackedProvider(Learning(open_provider("earth-search"), images), Silent())
    report = run_watch(read_sites(sites), request, provider, Silent())
    if report.failures:
        raise SystemExit(f"{len(report.failures)} sites were not learnt: {report.failures[0]}")


@dataclass(frozen=True)
class Day:
    """What a day with nothing new took: one process from its beginning to its end."""

    sites: int
    seconds: float
    cpu_s: float
    megabytes: float
    requests: int
    problems: tuple[str, ...] = ()


def quiet_day(sites: Path, state: Path, count: int, *, profile: Path | None = None) -> Day:
    """Run the command once."""
    line = [sys.executable, *(["-m", "cProfile", "-o", str(profile)] if profile else []), "-m", "changedet",
            "watch", "--sites", str(sites), "--state", str(state), "--since", str(SINCE), "--until",
            str(TODAY), "--no-register", "--cache", str(state.with_name("cache")), "--history",
            f"{HISTORY_DAYS}d", "--quiet", "--json"]  # fmt: skip
    started = time.monotonic()
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # a pipe was asked for
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, problems = time.monotonic() - started, []
    document = json.loads(said) if said else {}
    found = document.get("sites", [])
    if process.returncode or len(found) != count:
        problems.append(f"ended with {process.returncode}, {len(found)} of {count} sites")
    if any(one["taken_utc"] for one in found) or document.get("alerts"):
        problems.append("something was new")
    return Day(count, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 0, tuple(problems))


def measure(sizes: Sequence[int], on_a_tile: int, folder: Path, profile: Path | None = None) -> list[Day]:
    """Learn the sites, and let one quiet day pass for each number of them."""
    from tests.watch.many_sites import CELL_PX, IN_A_ROW
    from tests.world.world import Options, World

    images, days = shown(), []
    tiles = -(-max(sizes) // on_a_tile)
    with World(published(images, tiles), options=Options(granule_px=CELL_PX * IN_A_ROW)) as world:
        os.environ["CHANGEDET_PROVIDERS__EARTH_SEARCH__URL"] = world.earth_search
        for count in sorted(sizes):
            sites, state = folder / f"{count}.csv", folder / "watch.gpkg"
            sites.write_text(sites_csv(count, on_a_tile), encoding="utf-8")
            started = time.monotonic()
            learn(sites, state, images)
            print(f"{count} sites learnt in {time.monotonic() - started:.0f} s", file=sys.stderr)
            world.reset_log()
            day = quiet_day(sites, state, count, profile=profile)
            days.append(replace(day, requests=len(world.requests())))
    return days


def table(days: Sequence[Day]) -> str:
    """What was measured, in lines."""
    head = "| sites | seconds | of a processor | requests | peak memory, MB |"
    rows = [f"| {one.sites:,} | {one.seconds:.1f} | {one.cpu_s:.1f} | {one.requests} | {one.megabytes:.0f} |"
            for one in days]  # fmt: skip
    return "\n".join([head, "| --: | --: | --: | --: | --: |", *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, return 1 when a day was not quiet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sites", type=int, nargs="+", default=list(SIZES), help="how many, each in turn")
    parser.add_argument("--on-a-tile", type=int, default=64, help="how many lie near each other, 1 to 64")
    parser.add_argument("--profile", type=Path, help="also write where the time of the last day went")
    parser.add_argument("--out", type=Path, help="also write everything here, as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="many-sites-") as folder:
        days = measure(options.sites, options.on_a_tile, Path(folder), options.profile)
    print(table(days))
    if options.out:
        rows = [vars(one) for one in days]
        document = {"on_a_tile": options.on_a_tile, "days": rows}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    problems = [text for one in days for text in one.problems]
    print(*problems, sep="\n", end="" if not problems else "\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
