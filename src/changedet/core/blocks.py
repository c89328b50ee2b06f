"""How arrays are cut into blocks that stay in the cache, and how many threads work on them."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

Block = TypeVar("Block")

#: Threads of a kernel where no run says how many. NumPy and OpenCV let go of the interpreter while they
#: compute.
THREADS = 2
_LIMIT: ContextVar[int | None] = ContextVar("threads", default=None)
#: What one block's buffers may take together: well below the second-level cache of one core.
_BLOCK_BYTES = 350_000


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let every kernel use so many threads while this lasts, whatever it would use by itself.

    Parameters
    ----------
    count : int
        At least 1. Results do not depend on it.

    Returns
    -------
    context manager
        Also for the threads that `run_blocks` starts.

    Examples
    --------
    >>> with limited_threads(1):
    ...     thread_count()
    1
    """
    token = _LIMIT.set(count)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def thread_count(asked: int = THREADS) -> int:
    """Return how many threads a kernel uses.

    Parameters
    ----------
    asked : int
        What it would use where nobody says how many.

    Returns
    -------
    int
        What `limited_threads` says, else `asked`.
    """
    limit = _LIMIT.get()
    return asked if limit is None else limit


def row_blocks(shape: tuple[int, int], planes: int, block_bytes: int = _BLOCK_BYTES) -> tuple[slice, ...]:
    """Cut a grid into blocks of whole rows whose buffers fit the cache.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    planes : int
        How many float32 numbers a pixel has in the buffers of a block.
    block_bytes : int
        What the buffers may take.

    Returns
    -------
    tuple of slice
        Of rows, in order; together every row once.

    Examples
    --------
    >>> row_blocks((5, 1000), 10, 80_000)
    (slice(0, 2, None), slice(2, 4, None), slice(4, 5, None))
    """
    rows, columns = shape
    step = max(1, block_bytes // max(4 * planes * columns, 1))
    return spans(rows, step)


def spans(length: int, step: int) -> tuple[slice, ...]:
    """Cut a length into pieces, a smaller one at its end.

    Parameters
    ----------
    length, step : int
        Of the whole, and of a piece.

    Returns
    -------
    tuple of slice
        In order; together everything once.
    """
    return tuple(slice(start, min(start + step, length)) for start in range(0, length, step))


def with_halo(rows: slice, length: int, halo_px: int) -> tuple[slice, slice]:
    """Widen a block by the neighbours that its result depends on.

    Parameters
    ----------
    rows : slice
        Of a grid, as from `row_blocks`.
    length : int
        How many rows the grid has.
    halo_px : int
        How many neighbours are needed on either side.

    Returns
    -------
    wide : slice
        Of the grid: the block and its neighbours, as far as there are any.
    inner : slice
        Of what is computed from these: the block itself.

    Examples
    --------
    >>> with_halo(slice(4, 8), 9, 3)
    (slice(1, 9, None), slice(3, 7, None))
    """
    start, stop = max(0, rows.start - halo_px), min(length, rows.stop + halo_px)
    return slice(start, stop), slice(rows.start - start, rows.stop - start)


def tiles(shape: tuple[int, int], tile_px: tuple[int, int]) -> tuple[tuple[slice, slice], ...]:
    """Cut a grid into tiles, smaller ones at its end.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    tile_px : tuple of int
        Rows and columns of a tile.

    Returns
    -------
    tuple of pairs of slice
        Rows and columns of each tile, in raster order; together every pixel once.

    Examples
    --------
    >>> tiles((2, 5), (4, 4))
    ((slice(0, 2, None), slice(0, 4, None)), (slice(0, 2, None), slice(4, 5, None)))
    """
    rows, columns = (spans(length, side) for length, side in zip(shape, tile_px, strict=True))
    return tuple((row, column) for row in rows for column in columns)


def wide_tiles(shape: tuple[int, int], pixels: int) -> tuple[tuple[slice, slice], ...]:
    """Cut a grid into tiles of so many pixels, as wide as they can be: for work on each pixel alone.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    pixels : int
        The most that a tile holds, at least 1.

    Returns
    -------
    tuple of pairs of slice
        As from `tiles`.

    Examples
    --------
    >>> wide_tiles((4, 5), 11)
    ((slice(0, 2, None), slice(0, 5, None)), (slice(2, 4, None), slice(0, 5, None)))
    """
    columns = max(1, min(pixels, shape[1]))
    return tiles(shape, (pixels // columns, columns))


def even_tiles(shape: tuple[int, int], planes: int, tile_bytes: int) -> tuple[tuple[slice, slice], ...]:
    """Cut a grid into tiles about as high as wide whose buffers take no more than so much.

    Work that needs neighbours costs least on tiles: whole rows of a wide image leave room for few of them,
    and the neighbours of few rows are nearly as many as the rows.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    planes : int
        How many float32 numbers a pixel has in the buffers of a tile.
    tile_bytes : int
        What the buffers may take.

    Returns
    -------
    tuple of pairs of slice
        Rows and columns of each tile, as from `tiles`; no tile is much smaller than the others.

    Examples
    --------
    >>> even_tiles((6, 5), 1, 4 * 4 * 4)
    ((slice(0, 3, None), slice(0, 3, None)), (slice(0, 3, None), slice(3, 5, None)), \
(slice(3, 6, None), slice(0, 3, None)), (slice(3, 6, None), slice(3, 5, None)))
    """
    largest = max(1, math.isqrt(tile_bytes // (4 * planes)))
    rows, columns = (math.ceil(length / max(1, math.ceil(length / largest))) or 1 for length in shape)
    return tiles(shape, (rows, columns))


def tile_with_halo(
    tile: tuple[slice, slice], shape: tuple[int, int], halo_px: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Widen a tile by the neighbours that its result depends on, as `with_halo` does a block of rows.

    Parameters
    ----------
    tile : pair of slice
        Rows and columns of a grid, as from `even_tiles`.
    shape : tuple of int
        Rows and columns of the grid.
    halo_px : int
        How many neighbours are needed on each side.

    Returns
    -------
    wide : pair of slice
        Of the grid: the tile and its neighbours, as far as there are any.
    inner : pair of slice
        Of what is computed from these: the tile itself.
    """
    rows, columns = (with_halo(part, length, halo_px) for part, length in zip(tile, shape, strict=True))
    return (rows[0], columns[0]), (rows[1], columns[1])


def run_blocks(work: Callable[[Block], None], blocks: Sequence[Block], threads: int = THREADS) -> None:
    """Do the work of every block, several at a time.

    Parameters
    ----------
    work : callable
        Given a block; writes its own part of an output and nothing else, so that the order does not matter.
    blocks : sequence
        As from `row_blocks` or `tiles`.
    threads : int
        How many at a time, where `limited_threads` does not say.

    Raises
    ------
    Exception
        The first that a block raised.
    """
    left = _Left(blocks)

    def drain() -> None:
        """Work on what is left until nothing is."""
        # a future for each block would cost more than a block does
        try:
            for block in left:
                work(block)
        finally:
            left.stop()

    helpers = min(thread_count(threads), len(blocks)) - 1
    if helpers < 1:
        drain()
        return
    with ThreadPoolExecutor(helpers) as pool:
        working = [pool.submit(copy_context().run, drain) for _ in range(helpers)]
        drain()
        for one in working:
            one.result()


class _Left(Generic[Block]):
    """Blocks that nobody has taken yet; threads take turns."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks, self._turn = iter(blocks), threading.Lock()

    def __iter__(self) -> Iterator[Block]:
        return self

    def __next__(self) -> Block:
        with self._turn:
            return next(self._blocks)

    def stop(self) -> None:
        """Leave nothing to take."""
        with self._turn:
            self._blocks = iter(())


class Buffers(threading.local):
    """Memory that each thread asks for once and uses for one block after the other.

    To ask for it at every block can cost more than to fill it.

    Examples
    --------
    >>> buffers = Buffers()
    >>> [plane.shape for plane in buffers.planes(2, (3, 4))]
    [(3, 4), (3, 4)]
    """

    def __init__(self) -> None:
        self._space = np.empty(0, np.float32)

    def planes(self, count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return planes of any content, overwritten by whoever asks next.

        Parameters
        ----------
        count : int
            How many.
        shape : tuple of int
            Of each.

        Returns
        -------
        ndarray of float32, shape (count, ...)
            Of this thread alone.
        """
        size = count * math.prod(shape)
        if self._space.size < size:
            self._space = np.empty(size, np.float32)
        return self._space[:size].reshape(count, *shape)
