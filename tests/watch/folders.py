"""Run folders for tests of the state file: objects and a record, without pictures, in a few milliseconds."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tests.synthetic import make_result

from changedet.kinds import Kind
from changedet.output.geotiff import write_rasters
from changedet.output.vector import write_gpkg
from changedet.provenance import run_record, write_record
from changedet.watch.runs import add_run, read_run
from changedet.watch.state import open_state
from changedet.watch.verdicts import Judgement, Verdict, add_verdict

#: Boxes of many objects of equal size, apart from each other.
MANY = [
    (15 + 12 * row, 22 + 12 * row, 20 + 12 * column, 28 + 12 * column)
    for row in range(6)
    for column in range(8)
]
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def make_run(folder, *, boxes=None, kinds=None, **changes):
    """Write a run folder; `number` tells runs of the same place and dates apart."""
    if boxes is not None and kinds is None:
        kinds = [Kind.CONSTRUCTION] * len(boxes)
    files = _files(*(None if one is None else tuple(one) for one in (boxes, kinds)), **changes)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _files(boxes, kinds, *, name="Pier", years=2, number=0, images=False, before=None):
    """Return the files of a run folder, made once for all tests."""
    result = make_result(name, boxes=boxes, kinds=kinds)
    time = result.before.scene.time + timedelta(days=365 * years)
    after = replace(result.after, scene=replace(result.after.scene, time=time))
    objects = result.objects.assign(first_seen=after.scene.time_text)
    if before is not None:
        objects = objects.assign(last_seen_before=before)
    result = replace(result, after=after, objects=objects)
    with TemporaryDirectory() as text:
        folder = Path(text)
        write_gpkg(folder / "changes.gpkg", result)
        if images:
            write_rasters(result, folder, images=True)
        write_record(folder, run_record(result, started=STARTED + timedelta(seconds=number)))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def known_run(file, folder):
    """Make a run known to a state file; returns the number of its row."""
    run = read_run(folder)
    with open_state(file, write=True) as state, state.change() as change:
        return add_run(change, run)


def made(tmp_path, verdict_of, *, judged=24):
    """Judge the first objects of a run by their NDVI, which is high for every other one; returns the file."""
    file = tmp_path / "v.gpkg"
    run_id = known_run(file, make_run(tmp_path / "run", boxes=MANY[:40], kinds=[Kind.UNCLASSIFIED] * 40))
    rng = np.random.default_rng(3)
    with open_state(file, write=True) as state, state.change() as change:
        for number in range(1, 41):
            green = 0.6 * (number % 2) + 0.1 * rng.standard_normal()
            told = {"NDVI after": green, "area": rng.normal(3, 0.3), "rarity": rng.normal(2, 1)}
            change.execute("UPDATE objects SET features = ? WHERE number = ?", (json.dumps(told), number))
            if number <= judged:
                add_verdict(change, (run_id, number), Judgement(verdict_of(number), "Ann"))
    return file


def by_green(number):
    return Verdict.REJECTED if number % 2 else Verdict.ACCEPTED
