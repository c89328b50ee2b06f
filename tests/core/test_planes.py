"""Planes: made where it is said, and worked on block by block with the same result as in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from changedet.core import planes as module
from changedet.core.planes import (
    all_finite,
    any_rows,
    by_rows,
    by_tiles,
    chosen_bands,
    count_where,
    new_plane,
    over_rows,
    planes_made_by,
    values_where,
    with_nan,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * 4 * 3 * 70)
    monkeypatch.setattr(module, "_TILE_BYTES", 4 * 4 * 11 * 11)


def test_planes_are_made_by_whom_one_says_and_only_as_long_as_one_says() -> None:
    class Elsewhere:
        def __init__(self) -> None:
            self.made: list[tuple[int, ...]] = []
            self.relieved = 0

        def plane(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
            self.made.append(shape)
            return np.zeros(shape, dtype)

        def relieve(self) -> None:
            self.relieved += 1

    maker = Elsewhere()
    with planes_made_by(maker):
        assert np.isnan(new_plane((2, 9, 70), np.float32, np.nan)).all()
        assert not new_plane((9, 70), np.uint8, 0).any()
        assert by_rows(np.negative, np.ones((9, 70)), dtype=np.float64).sum() == -630
        with planes_made_by(None):
            new_plane((5, 5), np.uint8)
    assert (new_plane((9, 70), np.uint8, 3) == 3).all()
    assert maker.made == [(2, 9, 70), (9, 70), (9, 70)]
    assert maker.relieved >= 1  # after each block


def test_blocks_of_rows_give_what_the_whole_plane_gives() -> None:
    rng = np.random.default_rng(0)
    plane, other = rng.random((2, 31, 70))
    stack, mask = rng.random((3, 31, 70)), rng.random((31, 70)) > 0.6
    assert len(over_rows(np.sum, plane)) > 5
    np.testing.assert_array_equal(by_rows(np.add, plane, other, dtype=float), plane + other)
    np.testing.assert_array_equal(by_rows(lambda s: s.max(axis=0), stack, dtype=float), stack.max(axis=0))
    assert count_where(lambda a, b: a > b, plane, other) == (plane > other).sum()
    np.testing.assert_array_equal(values_where(mask, plane), plane[mask])
    np.testing.assert_array_equal(values_where(mask, stack), stack[:, mask])
    assert over_rows(lambda p: p[0, 0], plane)[0] == plane[0, 0]


def test_a_plane_may_be_written_over() -> None:
    plane = np.ones((31, 70), np.float32)
    assert by_rows(lambda p: p * 2, plane, dtype=np.float32, out=plane) is plane
    assert (plane == 2).all()


def test_an_error_in_a_block_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        over_rows(lambda _: 1 / 0, np.ones((31, 70)))


def test_tiles_with_neighbours_give_what_the_whole_plane_gives() -> None:
    plane, other = np.random.default_rng(1).random((2, 31, 70)).astype(np.float32)

    def work(one: NDArray[np.float32], two: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.dilate(one, np.ones((5, 5), np.uint8)) - cv2.erode(two, np.ones((3, 3), np.uint8))

    tiled = by_tiles(work, plane, other, halo_px=2, dtype=np.float32)
    np.testing.assert_array_equal(tiled, work(plane, other))
    assert (by_tiles(work, plane, other, halo_px=1, dtype=np.float32) != tiled).any()


def test_a_pixel_is_finite_where_every_plane_is() -> None:
    planes = np.ones((3, 31, 70))
    planes[0, 3, 4], planes[2, 9, 9] = np.nan, np.inf
    np.testing.assert_array_equal(all_finite(*planes), np.isfinite(planes).all(axis=0))


@pytest.mark.parametrize("index", [[0, 1, 2, 3, 4], [1, 3], [4, 2, 0], [3], [0, 1, 3], [2, 0, 1], [1, 1], []])
def test_bands_that_lie_evenly_are_not_copied(index: list[int]) -> None:
    image = np.random.default_rng(2).random((5, 13, 7), dtype=np.float32)
    found = chosen_bands(image, index)
    np.testing.assert_array_equal(found, image[index])
    even = len(index) > 0 and len(set(np.diff(index))) < 2 and index != [1, 1]
    assert np.shares_memory(found, image) == even
    assert (found is image) == (index == [0, 1, 2, 3, 4])


def test_nan_stands_where_a_mask_is_false() -> None:
    plane, mask = np.ones((9, 70), np.float32), np.random.default_rng(3).random((9, 70)) > 0.5
    found = with_nan(plane, mask)
    np.testing.assert_array_equal(np.isnan(found), ~mask)
    assert plane.all()
    assert with_nan(plane, mask, out=plane) is plane
    np.testing.assert_array_equal(plane, found)


def test_rows_are_looked_at_until_one_says_yes():
    plane = np.zeros((1500, 1000), np.float32)
    looked = []

    def says(part):
        looked.append(len(part))
        return bool(part.any())

    assert not any_rows(says, plane)
    assert sum(looked) == 1500
    assert len(looked) > 2
    plane[0, 5] = 1
    looked.clear()
    assert any_rows(says, plane)
    assert len(looked) == 1
