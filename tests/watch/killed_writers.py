"""Kill writers of a state file at random moments and look at what they leave: run by test_state.py.

    python killed_writers.py FOLDER KILLS

The processes are forked from one that has imported everything, so that each takes milliseconds.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
from shapely.geometry import MultiPolygon, box

from changedet.watch.arrays import add_arrays, prepare_arrays, read_arrays, remove_orphans
from changedet.watch.following import Sighting, add_alert
from changedet.watch.geopackage import outline_to_blob
from changedet.watch.passes import SeenScene, add_scene, begin_pass, end_pass
from changedet.watch.runs import add_site
from changedet.watch.state import WRITER_SUFFIX, insert, open_state

OUTLINE = MultiPolygon([box(10, 50, 10.01, 50.01)])


def write_for_ever(file, tell):
    """Make changes that each add one row to every table, and tell of each that counts."""
    with open_state(file, write=True) as state:
        with state.change() as change:
            site_id = add_site(change, "Pier", OUTLINE)
        while True:
            stored = read_arrays(state, "Pier")
            number = 0 if stored is None else stored.generation
            prepared = prepare_arrays(file, "Pier", {"n": np.full(2000, number + 1)})
            with state.change() as change:
                run_id = begin_pass(change, site_id)
                add_scene(change, site_id, SeenScene(f"scene {number + 1}", "s2", "2026-01-01"))
                thing = insert(change, "followed", {
                    "geom": outline_to_blob(OUTLINE), "site_id": site_id, "kind": "new construction",
                    "status": "provisional", "growth": "new", "first_seen": "2026-01-01",
                    "last_seen": "2026-01-01",
                    "sightings": 1, "area_m2": 1.0,
                })  # fmt: skip
                add_alert(change, Sighting(thing, "provisional", "new", is_new=True, turned=False), "new")
                add_arrays(change, file, "Pier", prepared, replaces=number)
                end_pass(change, run_id, "done")
            tell()


def look(file):
    """Return how many changes a file holds; fails when it is not whole."""
    with open_state(file, write=True, wait_s=1) as state:
        check = state.check()
        assert check.passed, check.damage
        counts = {
            table: state.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]
            for table in ("runs", "scenes", "followed", "alerts")
        }
        assert len(set(counts.values())) == 1, counts
        assert state.rows("SELECT count(DISTINCT alert_key) AS n FROM alerts")[0]["n"] == counts["alerts"]
        assert state.rows("SELECT fid FROM runs WHERE status <> 'done'") == []
        assert state.rows("SELECT count(*) AS n FROM sites")[0]["n"] <= 1
        stored = read_arrays(state, "Pier")
        assert (0 if stored is None else stored.generation) == counts["runs"]
        if stored is not None:
            assert (stored.arrays["n"] == stored.generation).all()
    return counts["runs"]


def killed(file, changes, after_s):
    """Fork a writer, kill it some time after it told of so many changes, and wait until it is gone."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_for_ever(file, lambda: os.write(writing, b"."))
        finally:
            os._exit(1)
    os.close(writing)
    for _ in range(changes):
        assert os.read(reading, 1), "the writer failed by itself"
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(reading)
    assert os.WIFSIGNALED(status), "the writer failed by itself"


def main(folder, kills):
    rng = random.Random(1)
    file = folder / "watch.gpkg"
    changes, middle, longest_s = 0, 0, 0.02
    for number in range(kills):
        # some are killed while the file is being made
        target = folder / f"new-{number}.gpkg" if number % 5 == 4 else file
        told = rng.randint(0, 2) if target == file else 0
        started = time.monotonic()
        killed(target, told, rng.uniform(0, longest_s))
        if told:  # about as long as a change takes here, so that every part of one is hit
            longest_s = min(max((time.monotonic() - started) / (told + 1), 0.005), 0.5)
        middle += target.with_name(target.name + WRITER_SUFFIX).exists()
        found = look(target)
        if target == file:
            assert found >= changes + told, "what counted once is gone"
            changes = found
    with open_state(file, write=True) as state:
        remove_orphans(state, now=time.time() + 7200)
    left = sorted(path.name for path in folder.glob("watch.gpkg.arrays/*/*"))
    assert left == sorted(f"{n}.npz" for n in (changes, changes - 1) if n > 0), left
    sys.stdout.write(json.dumps({"kills": kills, "changes": changes, "in_the_middle": middle}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
