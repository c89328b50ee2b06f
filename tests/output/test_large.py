"""What is written of a large result never copies a whole plane: its planes may lie on disk."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from tests.synthetic import make_image, make_objects, make_result

from changedet.kinds import Kind
from changedet.output import geotiff, kmz, levels, picture, stretch
from changedet.output.picture import draw_image, score_colour
from changedet.output.shown import shown_section
from changedet.result import State
from changedet.scale.scratch import Scratch

SIDE = 1800
#: Of one plane of scores.
PLANE_BYTES = 4 * SIDE**2


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A result of 18 km, on disk, with clouds, ground outside the site and two objects."""
    grid = GeoBox((SIDE, SIDE), Affine(10, 0, 300000, 0, -10, 4300020), "EPSG:32652")
    boxes, kinds = [(500, 540, 700, 760), (1600, 1603, 100, 102)], [Kind.CONSTRUCTION, Kind.WATER]
    small = make_image(bands=("B04", "B03", "B02"))
    with Scratch(tmp_path_factory.mktemp("scratch")) as scratch:
        score = scratch.plane((SIDE, SIDE), np.float32)
        state, kind = (scratch.plane((SIDE, SIDE), np.uint8) for _ in range(2))
        data = scratch.plane((3, SIDE, SIDE), np.float32)
    data[:] = np.tile(small.data, (1, 18, 15))
    score[:] = np.tile(np.random.default_rng(0).gamma(2.0, 0.4, (100, 100)), (18, 18))
    score[1000:1200], state[1000:1200], state[-50:] = np.nan, State.NOT_OBSERVED, State.OUTSIDE
    for (top, bottom, left, right), code in zip(boxes, kinds, strict=True):
        state[top:bottom, left:right], kind[top:bottom, left:right] = State.CHANGED, code
        score[top:bottom, left:right] = 7
    valid = np.broadcast_to(np.True_, (SIDE, SIDE))
    classes = np.broadcast_to(np.uint8(5), (SIDE, SIDE))
    before = replace(small, data=data, valid=valid, classes=classes, grid=grid)
    after = replace(before, scene=make_result().after.scene)
    return replace(
        make_result(), grid=grid, score=score, construction=score, state=state, kind=kind, before=before,
        after=after, objects=make_objects(grid, boxes, kinds, before, after),
    )  # fmt: skip


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(stretch, "LARGE_PX", 1_000_000)
    monkeypatch.setattr(stretch, "_LARGE_SIDE_PX", 300)
    monkeypatch.setattr(geotiff, "_DEFLATE_BELOW_BYTES", 0)
    monkeypatch.setattr(kmz, "_LARGEST_PX", 300)


@pytest.mark.parametrize(
    ("work", "planes"),
    [
        (lambda result, folder: geotiff.write_rasters(result, folder, images=False), 1),
        (lambda result, folder: geotiff.write_image(folder / "before.tif", result.before, {}), 3),
        (lambda result, _: stretch.stretch_limits(result.before, result.after), 0.5),
        (
            lambda result, _: draw_image(result.before, stretch.stretch_limits(result.before, result.after)),
            0.5,
        ),
        (lambda result, _: score_colour(result), 0.5),
        (lambda result, _: replace(result).state_shares, 0.5),
        (lambda result, _: kmz.make_overlays(result), 0.5),
        (lambda result, _: shown_section(result), 0.5),
    ],
    ids=["rasters", "image", "stretch", "picture", "score", "states", "overlays", "record"],
)
def test_little_is_held_at_a_time(result, tmp_path, large, work, planes):
    work(result, tmp_path)  # what is imported for it stays
    tracemalloc.start()
    try:
        work(result, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < planes * PLANE_BYTES


def test_states_are_counted_once_and_all(result):
    counts = result.state_counts
    assert counts[State.NOT_OBSERVED] == 200 * SIDE
    assert counts[State.OUTSIDE] == 50 * SIDE
    assert counts[State.CHANGED] == 40 * 60 + 3 * 2
    assert sum(counts.values()) == SIDE**2
    assert result.state_counts is counts
    assert sum(result.state_shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["before.tif", "score.tif", "picture"])
def test_memory_of_planes_on_disk_is_given_back_on_the_way(result, tmp_path, large, monkeypatch, name):
    given_back = []
    for module in (levels, picture):
        monkeypatch.setattr(module, "release", lambda *arrays: given_back.append(arrays))
    if name == "picture":
        draw_image(result.before, stretch.stretch_limits(result.before, result.after))
    elif name == "before.tif":
        geotiff.write_image(tmp_path / name, result.before, {})
    else:
        geotiff.write_cog(tmp_path / name, result.score, result.grid, descriptions=["score"])
    plane = result.score if name == "score.tif" else result.before.data
    assert len(given_back) >= 4
    assert all(any(np.shares_memory(one, plane) for one in arrays) for arrays in given_back)
