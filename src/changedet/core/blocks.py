"""How arrays are cut into blocks that stay in the cache, and how many threads work on them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Block = TypeVar("Block")

#: Threads of a kernel. NumPy and OpenCV let go of the interpreter while they compute.
THREADS = 2
#: What one block's buffers may take together: well below the second-level cache of one core.
_BLOCK_BYTES = 350_000


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


def run_blocks(work: Callable[[Block], None], blocks: Sequence[Block], threads: int = THREADS) -> None:
    """Do the work of every block, several at a time.

    Parameters
    ----------
    work : callable
        Given a block; writes its own part of an output and nothing else, so that the order does not matter.
    blocks : sequence
        As from `row_blocks` or `tiles`.
    threads : int
        How many at a time.

    Raises
    ------
    Exception
        The first that a block raised.
    """
    if threads < 2 or len(blocks) < 2:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):
            pass
