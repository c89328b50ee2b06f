"""Run folders for tests of the state file: objects and a record, without pictures, in a few milliseconds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.synthetic import make_result

from changedet.kinds import Kind
from changedet.output.geotiff import write_rasters
from changedet.output.vector import write_vectors
from changedet.provenance import run_record, write_record
from changedet.watch.runs import add_run, read_run
from changedet.watch.state import open_state

#: Boxes of many objects of equal size, apart from each other.
MANY = [
    (15 + 12 * row, 22 + 12 * row, 20 + 12 * column, 28 + 12 * column)
    for row in range(6)
    for column in range(8)
]
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def make_run(folder, *, name="Pier", years=2, number=0, images=False, boxes=None, kinds=None, before=None):
    """Write a run folder; `number` tells runs of the same place and dates apart."""
    if boxes is not None and kinds is None:
        kinds = [Kind.CONSTRUCTION] * len(boxes)
    result = make_result(name, boxes=boxes, kinds=kinds)
    time = result.before.scene.time + timedelta(days=365 * years)
    after = replace(result.after, scene=replace(result.after.scene, time=time))
    objects = result.objects.assign(first_seen=after.scene.time_text)
    if before is not None:
        objects = objects.assign(last_seen_before=before)
    result = replace(result, after=after, objects=objects)
    folder.mkdir(parents=True)
    write_vectors(result, folder)
    if images:
        write_rasters(result, folder, images=True)
    write_record(folder, run_record(result, started=STARTED + timedelta(seconds=number)))
    return folder


def known_run(file, folder):
    """Make a run known to a state file; returns the number of its row."""
    run = read_run(folder)
    with open_state(file, write=True) as state, state.change() as change:
        return add_run(change, run)
