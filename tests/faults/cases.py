"""What is killed: commands that write below a folder, what must hold after they died, what they make."""

import hashlib
import json
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from tests.runs import SAMPLES, write_no_plates
from tests.watch import test_watch_world as watched
from tests.world.world import World

from changedet.cli import run as command
from changedet.errors import ChangedetError, exit_code
from changedet.provenance import verify
from changedet.providers.cache import Condition, SceneCache
from changedet.providers.cache_files import Planes, digest_of

SMALL = ("--at", "38.2703, 126.4980", "--radius", "300m")
_TIMES = re.compile(r'"(created|ended)_utc": "[^"]*"')
#: Records of a cache say when they were stored and hold a digest of that; the data beside them count.
_NOT_COUNTED = re.compile(r"(^|/)\.|(^|/)cache/.*\.json$|(^|/)status\.jsonl$")


#: A home that a test has set and that stays.
UNUSABLE = "/dev/null/home"
GRID = GeoBox.from_bbox((300000, 4899000, 300640, 4899480), "EPSG:32633", resolution=10, tight=True)


@dataclass(frozen=True)
class Case:
    """Something that writes.

    Attributes
    ----------
    folder : Path
        It works in here, and writes nowhere else.
    work : callable
        Does everything; an exit code.
    """

    folder: Path
    work: object

    def products(self):
        """Digests of what stands under names that readers see, without the times of writing."""
        return digests(self.folder)

    def problems(self):
        """What is wrong with what stands there now."""
        return half_runs(self.folder) + half_entries(self.folder)


def digests(folder):
    """Digests by path of what readers see; times of writing do not count."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _NOT_COUNTED.search(name):
            content = path.read_bytes()
            if path.suffix == ".json":
                content = _TIMES.sub("", content.decode()).encode()
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def half_runs(folder):
    """Run folders under a name that readers see which are not whole."""
    found = []
    for path in folder.rglob("report.html"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and not ((path.parent / "run.json").is_file() and verify(path.parent).passed):
            found.append(f"{path.parent} is not whole")
    return found


def half_entries(folder):
    """Entries of a cache that are not whole, and records that are not JSON."""
    found = []
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found.append(f"{path} is torn")
        if path.parent.name == "scenes":
            condition = SceneCache(path.parent.parent).look(path.stem).condition
            if condition is not Condition.INTACT:
                found.append(f"{path} is {condition}")
    return found


def detecting(folder, *, scenes=SAMPLES):
    """Compare a small part of a pair into a run folder, which may be there already."""
    folder.mkdir()
    dates = ("--before", f"{scenes / 'before'}", "--after", f"{scenes / 'after'}")

    def work():
        _settle(folder)
        return command(["detect", *dates, *SMALL, "--out", f"{folder / 'run'}", "--overwrite", "--quiet"])

    return Case(folder, work)


def saving(folder, *, make=True):
    """Write a result that is there already as a run folder, which may be there already too."""
    from tests.synthetic import make_result

    if make:
        folder.mkdir()
    result = make_result()

    def work():
        from changedet.cli.console import Outcome
        from changedet.output.folder import save

        _settle(folder)
        with Outcome([]) as outcome:
            save(result, folder / "run", overwrite=True, started=datetime(2026, 1, 1, tzinfo=UTC))
        return outcome.code

    return Case(folder, work)


@contextmanager
def running(folder):
    """Run a list of two sites against an archive on this machine, with a cache."""
    from changedet.samples import simulate_pair
    from changedet.simulator.scene import SceneSettings

    folder.mkdir()
    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0)))
    sites = Path(f"{folder}.csv")
    sites.write_text('name,at,radius\nPier,"38.2700, 126.4998",300m\nHall,"38.2725, 126.4998",300m\n')
    line = ["run", "--sites", f"{sites}", "--before", "2021-05", "--after", "2023-05", "--min-clear", "0.5",
            "--out", f"{folder / 'runs'}", "--cache", f"{folder / 'cache'}", "--quiet"]  # fmt: skip
    with World((pair.before, pair.after)) as world:

        def work():
            from changedet import frame

            _settle(folder, url=world.earth_search)
            frame.CONTEXT_WIDTH_M, frame.CONTEXT_MARGIN_M = 800.0, 60.0
            return command(line)

        yield Case(folder, work)


@dataclass(frozen=True)
class WatchCase(Case):
    """A watch writes one file that is another every time; what counts is what it says."""

    def products(self):
        from benchmarks.watch import facts

        return facts(self.folder / "watch.gpkg")

    def problems(self):
        from changedet.watch.state import open_state

        state = self.folder / "watch.gpkg"
        if not state.exists():
            return []
        with open_state(state) as opened:
            return list(opened.check().damage)


@contextmanager
def watching(folder):
    """Watch one site over two years of simulated dates."""
    from pyproj import Transformer

    folder.mkdir()
    made = watched.scenes()
    grid, middle = made[0].grid, (watched.ROOF.start + watched.ROOF.stop) / 2
    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(
        *(grid.affine * (middle, middle))
    )
    sites = Path(f"{folder}.csv")
    sites.write_text(f'name,at,radius\nPier,"{lat:.6f}, {lon:.6f}",150m\n')
    since, until = (watched.FIRST + timedelta(days=watched.STEP_DAYS * n) for n in (13, watched.DATES - 1))
    line = ["watch", "--sites", f"{sites}", "--no-register", "--cache", f"{folder / 'cache'}", "--state",
            f"{folder / 'watch.gpkg'}", "--since", f"{since}", "--until", f"{until}", "--quiet"]  # fmt: skip
    with World(made) as world:

        def work():
            _settle(folder, url=world.earth_search)
            return command(line)

        yield WatchCase(folder, work)


def keeping(folder):
    """Store twenty entries of a cache, one after the other."""
    folder.mkdir()

    def work():
        cache = SceneCache(folder / "cache")
        for number in range(20):
            array = np.random.default_rng(number).random((3, *GRID.shape), np.float32)
            try:
                cache.store(digest_of(number % 5), Planes(array, ("a", "b", "c"), GRID), {"number": number})
            except ChangedetError as error:
                # as the command line ends with what could not be kept
                sys.stderr.write(f"{error}\n")
                return exit_code(error)
        return 0

    return Case(folder, work)


def _settle(folder, *, url=""):
    """Make a forked process one of its own: working directory, settings, archive."""
    from changedet.output import plate

    os.chdir(folder.parent)
    plate.write_plates = write_no_plates
    home = folder.with_name("home")
    for name, path in (("HOME", home), ("XDG_CONFIG_HOME", home), ("XDG_CACHE_HOME", home / "cache")):
        if os.environ.get(name) != UNUSABLE:
            os.environ[name] = str(path)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)
    if url:
        os.environ["CHANGEDET_PROVIDERS__EARTH_SEARCH__URL"] = url
