"""Every method, and a trained model, on planes on disk: the same scores, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from changedet.comparison import DetectSettings
from changedet.core import (
    change_features,
    change_vectors,
    covariance,
    index_change,
    planes,
    prediction,
    rings,
    sampling,
    siroc,
)
from changedet.core.blocks import limited_threads
from changedet.core.mad import IrMadParameters, irmad
from changedet.core.optical import DETECTORS
from changedet.core.slow_features import IsfaParameters
from changedet.core.trees import Trees
from changedet.deciders import _ModelDecider, open_deciders
from changedet.models.trained import TrainedModel
from changedet.scale.scratch import Scratch, _mapping_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from changedet.deciders import Decider, Evidence

    Pair = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
WEIGHTS = (1.0, 1.0, 1.0, 0.5, 0.0, 0.25)
RADII_PX = (0, 3, 9, 17)
# every pixel is looked at instead of a sample, which is something that only programs ask for
ALL_PIXELS = {"irmad, all pixels": IrMadParameters(sample=0), "isfa, all pixels": IsfaParameters(sample=0)}
WAYS = [*DETECTORS, *ALL_PIXELS, "model"]


def made_up(shape: tuple[int, int]) -> Pair:
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.random(shape).astype(np.float32), (0, 0), 3.0)
    tone = np.linspace(0.4, 0.8, len(BANDS), dtype=np.float32)[:, None, None]
    noise = 0.01 * rng.standard_normal((2, len(BANDS), *shape), dtype=np.float32)
    before, after = ground * tone + noise[0], 1.1 * ground * tone + 0.02 + noise[1]
    for y, x in rng.integers(0, (shape[0] - 20, shape[1] - 20), (12, 2)):
        after[:, y : y + 9, x : x + 14] += rng.uniform(-0.2, 0.3) * tone[:: rng.choice([-1, 1])]
    valid = cv2.GaussianBlur(rng.random(shape).astype(np.float32), (0, 0), 9.0) > 0.47
    after[:, ~valid] = np.nan
    return before, after, valid


def small_model() -> TrainedModel:
    ask = [[feature, -1, -1] for feature in (1, 5, 9, 15, 19)]
    trees = Trees(
        np.array(ask, np.int16),
        np.tile(np.float32([[0.1, 0, 0]]), (5, 1)),
        np.tile(np.int16([[1, 0, 0]]), (5, 1)),
        np.tile(np.int16([[2, 0, 0]]), (5, 1)),
        np.tile(np.float32([[0, -1, 2]]), (5, 1)),
        0.5,
    )
    return TrainedModel(trees, ("B02", "B04", "B08"), (1.0, 1.0, 0.5), (1.0,), 4.0, 2.0, ())


def decider_of(way: str) -> Decider:
    if way == "model":
        return _ModelDecider(small_model())
    found: Any = open_deciders(DetectSettings(method=way.partition(",")[0])).first
    if hasattr(found.parameters, "radii_px"):
        return replace(found, parameters=replace(found.parameters, radii_px=RADII_PX))
    return replace(found, parameters=ALL_PIXELS.get(way, found.parameters))


def evidence_of(way: str, pair: Pair) -> Evidence:
    images = [SimpleNamespace(data=data, bands=BANDS) for data in pair[:2]]
    predicted = prediction.predict_change(*pair, WEIGHTS) if way == "predict" else None
    given: Any = SimpleNamespace(
        before=images[0], after=images[1], usable=pair[2], weights=WEIGHTS, prediction=predicted
    )
    return given


def scores_of(way: str, pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    decider = decider_of(way)
    fine, score = decider.scores(evidence_of(way, pair))
    assert decider.thresholds(score).median >= 0
    return fine, score, decider.outline(score)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Cut everything into small pieces, and look at few pixels."""

    def cut() -> None:
        monkeypatch.setattr(planes, "_TILE_BYTES", 4 * 4 * 100 * 100)
        monkeypatch.setattr(planes, "_BLOCK_BYTES", 4 * 4 * 250 * 9)
        monkeypatch.setattr(prediction, "_TILE_BYTES", 4 * 24 * 64 * 64)
        monkeypatch.setattr(change_features, "_TILE_BYTES", 4 * 33 * 64 * 64)
        monkeypatch.setattr(change_vectors, "_BLOCK_BYTES", 4 * 4 * 250 * 7)
        monkeypatch.setattr(covariance, "_TASK_PIXELS", 4096)
        monkeypatch.setattr(covariance, "_BLOCK_PIXELS", 2048)
        monkeypatch.setattr(sampling, "_BLOCK_PIXELS", 4096)
        monkeypatch.setattr(sampling, "_BRACKETED_FROM", 1000)
        monkeypatch.setattr(sampling, "_BRACKET_SAMPLE", 16_000)
        monkeypatch.setattr(sampling, "_BRACKETS", (0.02, 0.05))
        for module in (rings, siroc):
            monkeypatch.setattr(module, "_TILE_PX", (64, 100))

    return cut


@pytest.fixture(scope="module")
def pair() -> Pair:
    return made_up((230, 310))


@pytest.mark.parametrize("way", WAYS)
def test_scores_on_disk_are_those_in_memory(way: str, pair: Pair) -> None:
    expected = scores_of(way, pair)
    with Scratch() as scratch, planes.planes_made_by(scratch):
        found = scores_of(way, pair)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert _mapping_of(one) is not None
        assert _mapping_of(other) is None


@pytest.mark.parametrize("way", WAYS)
def test_small_pieces_give_the_same(way: str, pair: Pair, pieces: Callable[[], None]) -> None:
    expected = scores_of(way, pair)
    pieces()
    with Scratch() as scratch, planes.planes_made_by(scratch):
        found = scores_of(way, pair)
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_memory_does_not_grow_with_the_area(
    way: str, pieces: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces()
    for module in (change_vectors, index_change, rings):
        monkeypatch.setattr(module, "_SAMPLE", 500)
    few: Any = decider_of(way)
    if getattr(few, "parameters", None) is not None and getattr(few.parameters, "sample", 0):
        few = replace(few, parameters=replace(few.parameters, sample=500))
    peaks, large = [], made_up((1600, 160))
    for rows in (400, 1600):
        with Scratch() as scratch, planes.planes_made_by(scratch), limited_threads(1):
            evidence = evidence_of(way, on_disk(large, rows))
            tracemalloc.start()
            _, score = few.scores(evidence)
            few.thresholds(score)
            few.outline(score)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    added_pixels = 1200 * 160
    # one plane of scores in memory would add four bytes for each pixel
    assert peaks[1] - peaks[0] < 0.8 * added_pixels


def on_disk(pair: Pair, rows: int) -> Pair:
    """Put the first rows of a pair on disk."""
    found = [planes.new_plane((*plane.shape[:-2], rows, plane.shape[-1]), plane.dtype) for plane in pair]
    for one, plane in zip(found, pair, strict=True):
        one[:] = plane[..., :rows, :]
    return found[0], found[1], found[2]


def test_the_transform_itself_is_made_on_disk_too(pair: Pair, pieces: Callable[[], None]) -> None:
    expected = irmad(*pair)
    pieces()
    with Scratch() as scratch, planes.planes_made_by(scratch):
        found = irmad(*pair)
    for name in ("variates", "chi_square", "invariance"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-5)
    assert _mapping_of(found.variates) is not None
