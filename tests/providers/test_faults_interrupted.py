"""Killed at a moment that is certain, and begun again: what is there is kept, and the result is the same."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.world.faults import delays
from tests.world.world import Options, World

from changedet.providers.cache import Condition, SceneCache
from changedet.samples import simulate_pair
from changedet.simulator.scene import SceneSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

#: The program as it is, but for the plates, which take most of its time; on request it stops for ever when it
#: makes sure for the n-th time that a file of the cache is on the disk, with half of that file written.
PROGRAM = """
import os, sys, time
from pathlib import Path
import changedet.output.plate
from tests.runs import write_no_plates
changedet.output.plate.write_plates = write_no_plates
moment, marker, sync, count = int(os.environ["STOP_AT"]), Path(os.environ["MARKER"]), os.fsync, 0
def stop(handle):
    global count
    sync(handle)
    if "/scenes/" in os.readlink(f"/proc/self/fd/{handle}"):
        count += 1
        if count == moment:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            marker.touch()
            time.sleep(600)
os.fsync = stop
from changedet.cli import main
main()
"""
#: Of the date that is fetched first after a kill, pixels are written before the record of them.
PIXELS, RECORD = 1, 2


@pytest.fixture(scope="module")
def pair():
    return simulate_pair(SceneSettings(size_px=160, clouds=False, after_shift_px=(0.0, 0.0)))


@pytest.fixture(scope="module")
def world(pair):
    with World([pair.before, pair.after], options=Options(granule_px=192)) as found:
        yield found


class Runs:
    """One place, asked for again and again in processes of their own."""

    def __init__(self, pair, world, folder):
        centre = pair.before.grid.extent.centroid.to_crs("EPSG:4326").geom
        self.world, self.folder = world, folder
        self.command = [
            sys.executable, "-c", PROGRAM, "run", "--at", f"{centre.y:.5f}, {centre.x:.5f}",
            "--radius", "400m", "--before", "2021-05", "--after", "2023-05",
            "--out", "run", "--cache", "cache",
        ]  # fmt: skip
        kept = {
            k: v for k, v in os.environ.items() if not re.search("proxy|CHANGEDET|^SH_", k, re.IGNORECASE)
        }
        self.environment = kept | {
            "HOME": f"{folder}",
            "XDG_CONFIG_HOME": f"{folder}",
            "MARKER": f"{folder / 'stopped'}",
            "PYTHONPATH": f"{Path(__file__).parents[2]}",
            "OPENBLAS_NUM_THREADS": "1",
            "CHANGEDET_PROVIDERS__EARTH_SEARCH__URL": world.earth_search,
        }

    def start(self, stop_at=0):
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment | {"STOP_AT": f"{stop_at}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def whole(self):
        """Run to the end; what was said on stderr."""
        process = self.start()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return said

    def killed(self, moment, stop_at=0):
        """Run until `moment` has come, and no further."""
        process = self.start(stop_at)
        try:
            until = time.monotonic() + 30
            while not moment():
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (self.folder / "run").exists()

    def result(self):
        """Every file of the run, by its bytes; of its record all that does not tell the time."""
        folder = self.folder / "run"
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        record = json.loads(files.pop("run.json").read_text())
        untimed = {
            key: record[key] for key in ("inputs", "pair", "registration", "parameters") if key in record
        }
        return {name: path.read_bytes() for name, path in files.items()}, untimed


@pytest.fixture(scope="module")
def undisturbed(pair, world, tmp_path_factory):
    runs = Runs(pair, world, tmp_path_factory.mktemp("undisturbed"))
    assert "2 scenes: 2 fetched, 0 kept from before" in runs.whole()
    return runs.result()


@pytest.fixture
def runs(pair, world, tmp_path):
    world.clear_faults()
    world.reset_log()
    yield Runs(pair, world, tmp_path)
    world.clear_faults()


def resumes(runs, undisturbed):
    """The same command goes on where it was, says so, asks for the second date alone, and gives the same."""
    runs.world.clear_faults()
    before = len(runs.world.requests("*.tif"))
    said = runs.whole()
    assert "2 scenes: 1 fetched, 1 kept from before" in said
    assert "the dates were chosen on" in said
    asked = [entry.request.path for entry in runs.world.requests("*.tif")][before:]
    assert asked
    assert [path for path in asked if "2023" not in path] == []
    files, record = runs.result()
    expected, expected_record = undisturbed
    assert sorted(files) == sorted(expected)
    assert [name for name in files if files[name] != expected[name]] == []
    assert record == expected_record
    assert {"inputs", "pair", "registration", "parameters"} <= set(record)
    cache = SceneCache(runs.folder / "cache")
    assert {cache.look(entry.key).condition for entry in cache.entries()} == {Condition.INTACT}
    # both dates, by their classes and by their pixels
    assert len(cache.entries()) >= 4


def test_killed_while_fetching_and_while_writing_and_while_recording(runs, undisturbed):
    world, cache = runs.world, SceneCache(runs.folder / "cache")
    # one band of the second date does not come, so that the date is not whole however long this waits
    world.add_faults(delays("*2023*/B8A.tif", 300))
    runs.killed(lambda: len(world.requests("*2023*/B04.tif", "GET")) > 0)
    assert len(cache.entries()) == 3
    world.clear_faults()
    for stop_at, complete in ((PIXELS, 3), (RECORD, 4)):
        runs.killed((runs.folder / "stopped").exists, stop_at)
        (runs.folder / "stopped").unlink()
        half = list(cache.scenes.glob(".*.part"))
        assert len(half) == stop_at
        assert min(path.stat().st_size for path in half) > 0
        assert len(list(cache.scenes.glob("*.tif"))) == complete
        assert len(cache.entries()) == 3
    resumes(runs, undisturbed)
