"""Blocks cover every row once, and whatever a block raises is heard."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.core.blocks import (
    THREADS,
    Buffers,
    even_tiles,
    limited_threads,
    row_blocks,
    run_blocks,
    thread_count,
    tile_with_halo,
    tiles,
)


@given(st.integers(0, 500), st.integers(0, 3000), st.integers(0, 40), st.integers(1, 1_000_000))
def test_every_row_is_in_one_block(rows, columns, planes, block_bytes):
    found = np.zeros(rows, int)
    for block in row_blocks((rows, columns), planes, block_bytes):
        found[block] += 1
    assert (found == 1).all()


@given(st.integers(1, 500), st.integers(1, 3000), st.integers(1, 40), st.integers(1, 1_000_000))
def test_a_block_fits_unless_a_single_row_does_not(rows, columns, planes, block_bytes):
    for block in row_blocks((rows, columns), planes, block_bytes):
        height = block.stop - block.start
        assert height == 1 or 4 * planes * columns * height <= block_bytes


@given(st.integers(0, 90), st.integers(0, 90), st.integers(1, 40), st.integers(1, 100_000))
def test_every_pixel_is_in_one_even_tile_that_fits(rows, columns, planes, tile_bytes):
    found = np.zeros((rows, columns), int)
    for tile in even_tiles((rows, columns), planes, tile_bytes):
        found[tile] += 1
        height, width = found[tile].shape
        assert height == width == 1 or 4 * planes * height * width <= tile_bytes
    assert (found == 1).all()


@given(st.integers(1, 20), st.integers(1, 5000))
def test_the_tiles_of_wide_images_are_not_strips(planes, columns):
    found = even_tiles((5000, columns), planes, 1_000_000)
    heights, widths = zip(*((r.stop - r.start, c.stop - c.start) for r, c in found), strict=True)
    assert max(heights) >= min(max(widths), 5000) / 2


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5), st.integers(4, 400))
def test_a_tile_and_its_neighbours_are_found_again(rows, columns, halo, tile_bytes):
    grid = np.arange(rows * columns).reshape(rows, columns)
    for tile in even_tiles(grid.shape, 1, tile_bytes):
        wide, inner = tile_with_halo(tile, grid.shape, halo)
        assert (grid[wide][inner] == grid[tile]).all()
        for part, block, length in zip(wide, tile, grid.shape, strict=True):
            assert part.start == max(0, block.start - halo)
            assert part.stop == min(length, block.stop + halo)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_all_work_is_done(threads):
    out = np.zeros((37, 5))

    def work(block):
        out[block] += np.arange(37)[block, None]

    run_blocks(work, row_blocks(out.shape, 1, 100), threads)
    assert (out == np.arange(37)[:, None]).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_block_is_raised(threads):
    def work(block):
        if block.start:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocks(work, row_blocks((10, 10), 1, 40), threads)


def test_no_block_is_begun_after_an_error():
    begun = []

    def work(block):
        begun.append(block)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocks(work, range(1000), 2)
    assert len(begun) <= 2


def test_buffers_are_used_again_and_never_shared():
    buffers = Buffers()
    first = buffers.planes(3, (4, 5))
    assert first.shape == (3, 4, 5)
    assert np.shares_memory(first, buffers.planes(2, (30,)))
    assert not np.shares_memory(first, buffers.planes(1, (61,)))
    with ThreadPoolExecutor(1) as pool:
        assert not np.shares_memory(buffers.planes(1, (8,)), pool.submit(buffers.planes, 1, (8,)).result())


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    side=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_tiles_hold_every_pixel_once(rows, columns, side):
    seen = np.zeros((rows, columns), int)
    for tile in tiles((rows, columns), side):
        assert all(length <= most for length, most in zip(seen[tile].shape, side, strict=True))
        seen[tile] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("count", [1, 3])
def test_a_run_says_how_many_threads_also_to_kernels_within_kernels(count):
    seen, inner = set(), []
    met = threading.Barrier(count, timeout=10)

    def work(block):
        seen.add(threading.get_ident())
        inner.append(thread_count())
        met.wait()

    with limited_threads(count):
        run_blocks(work, range(count), threads=2)
    assert len(seen) == count
    assert inner == [count] * count
    assert thread_count() == THREADS
