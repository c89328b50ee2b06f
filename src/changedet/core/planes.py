"""Planes of a whole image: where they are made, and work on them that never copies one."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from changedet.core.blocks import even_tiles, row_blocks, run_blocks, tile_with_halo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

Value = TypeVar("Value")

# A pixel of these planes is touched once; blocks need not fit the cache, but must not be many.
_BLOCK_BYTES = 2_000_000
_BLOCK_PLANES = 4
# A tile holds its halo several times over.
_TILE_BYTES, _TILE_PLANES = 16_000_000, 4


class Maker(Protocol):
    """Makes arrays of zeros elsewhere than in memory."""

    def plane(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Make an array.

        Parameters
        ----------
        shape : tuple of int
            (y, x), or (band, y, x).
        dtype : dtype
            Of its numbers.

        Returns
        -------
        ndarray
            Of zeros.
        """

    def relieve(self) -> None:
        """Give the memory back that its arrays hold, if that is too much by now."""


_MAKER: ContextVar[Maker | None] = ContextVar("planes", default=None)


@contextmanager
def planes_made_by(maker: Maker | None) -> Iterator[None]:
    """Let planes be made somewhere else than in memory while this lasts.

    Parameters
    ----------
    maker : Maker or None
        Such as `changedet.scale.scratch.Scratch`; in memory when None. No result depends on it.

    Returns
    -------
    context manager
    """
    token = _MAKER.set(maker)
    try:
        yield
    finally:
        _MAKER.reset(token)


def planes_in_memory() -> bool:
    """Tell whether arrays as large as an image are made in memory just now."""
    return _MAKER.get() is None


def relieve() -> None:
    """Give memory back where planes are not made in memory and hold too much of it.

    Whoever has looked at a part of a plane, or at pixels all over it, says so by this: a pixel brings its
    neighbours into the memory.
    """
    maker = _MAKER.get()
    if maker is not None:
        maker.relieve()


def new_plane(shape: tuple[int, ...], dtype: DTypeLike, fill: float | None = None) -> NDArray[Any]:
    """Make an array as large as an image.

    Parameters
    ----------
    shape : tuple of int
        (y, x), or (band, y, x).
    dtype : dtype
        Of its numbers.
    fill : float, optional
        What stands in it; anything when left out.

    Returns
    -------
    ndarray
        In memory, or where `planes_made_by` says.

    Examples
    --------
    >>> new_plane((1, 3), np.uint8, 7).tolist()
    [[7, 7, 7]]
    """
    maker = _MAKER.get()
    if maker is None:
        return np.empty(shape, dtype) if fill is None else np.full(shape, fill, dtype)
    plane = maker.plane(shape, dtype)
    if fill:  # what is made elsewhere holds zeros; NaN counts as true
        for rows in plane_blocks(plane):
            plane[..., rows, :] = fill
    return plane


def plane_blocks(plane: NDArray[Any]) -> tuple[slice, ...]:
    """Cut a plane, or several of one size, into blocks of rows.

    Parameters
    ----------
    plane : ndarray, shape (..., y, x)
        Any.

    Returns
    -------
    tuple of slice
        Of rows, in order; together every row once.
    """
    return row_blocks((plane.shape[-2], plane.shape[-1]), _BLOCK_PLANES, _BLOCK_BYTES)


def chosen_bands(image: NDArray[Any], index: Sequence[int]) -> NDArray[Any]:
    """Return some bands of an image, in the memory of the image where they lie evenly in it.

    Parameters
    ----------
    image : ndarray, shape (band, y, x)
        Any.
    index : sequence of int
        Which bands, in the order that is wanted.

    Returns
    -------
    ndarray, shape (len(index), y, x)
        The image itself when all of its bands are wanted, a view where they follow each other in even steps,
        else a new plane.

    Examples
    --------
    >>> image = np.arange(4)[:, None, None] * np.ones((1, 2, 2), int)
    >>> chosen_bands(image, [3, 1])[:, 0, 0].tolist(), chosen_bands(image, [0, 1, 3])[:, 0, 0].tolist()
    ([3, 1], [0, 1, 3])
    """
    wanted = [int(i) for i in index]
    if wanted == [*range(len(image))]:
        return image
    step = wanted[1] - wanted[0] if len(wanted) > 1 else 1
    if wanted and step and wanted == [*range(wanted[0], wanted[-1] + np.sign(step), step)]:
        stop = wanted[-1] + step
        return image[wanted[0] : stop if stop >= 0 else None : step]
    out = new_plane((len(wanted), *image.shape[1:]), image.dtype)

    def _copy(rows: slice) -> None:
        for plane, i in zip(out, wanted, strict=True):
            plane[rows] = image[i, rows]
        relieve()

    run_blocks(_copy, plane_blocks(image))
    return out


def by_rows(
    function: Callable[..., NDArray[Any]],
    *planes: NDArray[Any],
    dtype: DTypeLike,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute a plane pixel by pixel from others, some rows at a time.

    Parameters
    ----------
    function : callable
        Given the same rows of every plane, it returns those of the result.
    *planes : ndarray, shape (..., y, x)
        At least one.
    dtype : dtype
        Of the result.
    out : ndarray, shape (y, x), optional
        Where it is written, which may be one of the planes; a new plane when left out.

    Returns
    -------
    ndarray, shape (y, x)

    Examples
    --------
    >>> one = np.ones((2, 3), np.float32)
    >>> by_rows(lambda a, b: a + b > 1, one, one, dtype=bool).all().item()
    True
    """
    found = new_plane(planes[0].shape[-2:], dtype) if out is None else out

    def _work(rows: slice) -> None:
        found[rows] = function(*(plane[..., rows, :] for plane in planes))
        relieve()

    run_blocks(_work, plane_blocks(planes[0]))
    return found


def with_nan(
    plane: NDArray[np.float32], where: NDArray[np.bool_], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return a plane with NaN where a mask is false.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        Any.
    where : ndarray of bool, shape (y, x)
        True where its values stay.
    out : ndarray of float32, shape (y, x), optional
        Where it is written, such as the plane itself; a new plane when left out.

    Returns
    -------
    ndarray of float32, shape (y, x)

    Examples
    --------
    >>> with_nan(np.ones((1, 2), np.float32), np.array([[True, False]])).tolist()
    [[1.0, nan]]
    """
    nothing = np.float32(np.nan)
    return by_rows(lambda part, kept: np.where(kept, part, nothing), plane, where, dtype=np.float32, out=out)


def by_tiles(
    function: Callable[..., NDArray[Any]],
    *planes: NDArray[Any],
    halo_px: int,
    dtype: DTypeLike,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute a plane from others whose neighbouring pixels count as well, tile by tile.

    Parameters
    ----------
    function : callable
        Given the same tile of every plane with its neighbours, it returns as large a part of the result.
    *planes : ndarray, shape (..., y, x)
        At least one.
    halo_px : int
        From how far a neighbour counts. At the edge of the image there are none.
    dtype : dtype
        Of the result.
    out : ndarray, shape (y, x), optional
        Where it is written, none of the planes; a new plane when left out.

    Returns
    -------
    ndarray, shape (y, x)

    Examples
    --------
    >>> plane = np.arange(5.0)[None].repeat(2, 0)
    >>> by_tiles(lambda wide: np.gradient(wide, axis=1), plane, halo_px=1, dtype=float)[1].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    shape = planes[0].shape[-2], planes[0].shape[-1]
    found = new_plane(shape, dtype) if out is None else out

    def _work(tile: tuple[slice, slice]) -> None:
        wide, inner = tile_with_halo(tile, shape, halo_px)
        found[tile] = function(*(plane[..., *wide] for plane in planes))[inner]
        relieve()

    run_blocks(_work, even_tiles(shape, _TILE_PLANES, _TILE_BYTES))
    return found


def over_rows(function: Callable[..., Value], *planes: NDArray[Any]) -> list[Value]:
    """Return what a function says of each block of rows, from the first rows to the last.

    Parameters
    ----------
    function : callable
        Given the same rows of every plane.
    *planes : ndarray, shape (..., y, x)
        At least one.

    Returns
    -------
    list
        In the order of the rows.

    Examples
    --------
    >>> int(sum(over_rows(np.count_nonzero, np.ones((4, 5), bool))))
    20
    """
    blocks = plane_blocks(planes[0])
    found: dict[int, Value] = {}

    def _work(rows: slice) -> None:
        found[rows.start] = function(*(plane[..., rows, :] for plane in planes))
        relieve()

    run_blocks(_work, blocks)
    return [found[rows.start] for rows in blocks]


def any_rows(function: Callable[..., bool], *planes: NDArray[Any]) -> bool:
    """Tell whether a function says yes of any block of rows, looking at no more of them than it takes.

    Parameters
    ----------
    function : callable
        Given the same rows of every plane.
    *planes : ndarray, shape (..., y, x)
        At least one.

    Returns
    -------
    bool

    Examples
    --------
    >>> any_rows(lambda part: bool(part.any()), np.eye(3, dtype=bool))
    True
    """
    for rows in plane_blocks(planes[0]):
        if function(*(plane[..., rows, :] for plane in planes)):
            return True
        relieve()
    return False


def count_where(function: Callable[..., NDArray[np.bool_]], *planes: NDArray[Any]) -> int:
    """Count the pixels for which a condition on several planes holds.

    Parameters
    ----------
    function : callable
        Given the same rows of every plane, it returns where it holds.
    *planes : ndarray, shape (..., y, x)
        At least one.

    Returns
    -------
    int

    Examples
    --------
    >>> mask = np.eye(3, dtype=bool)
    >>> count_where(np.logical_and, mask, mask), count_where(np.logical_not, mask)
    (3, 6)
    """
    return sum(over_rows(lambda *parts: int(np.count_nonzero(function(*parts))), *planes))


def values_where(inside: NDArray[np.bool_], plane: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a plane where a mask is true, in raster order, without a list of their places.

    Parameters
    ----------
    inside : ndarray of bool, shape (y, x)
        Few pixels, or the result is as large as the plane.
    plane : ndarray, shape (..., y, x)
        Any.

    Returns
    -------
    ndarray, shape (..., n)

    Examples
    --------
    >>> values_where(np.eye(2, dtype=bool), np.arange(4).reshape(2, 2)).tolist()
    [0, 3]
    """
    return np.concatenate(over_rows(lambda mask, part: part[..., mask], inside, plane), axis=-1)


def placed_where(inside: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    """Put values where a mask is true, in raster order, and 0 elsewhere: the reverse of `values_where`.

    Parameters
    ----------
    inside : ndarray of bool, shape (y, x)
        Any.
    values : ndarray, shape (n,)
        One for each pixel that is true.

    Returns
    -------
    ndarray, shape (y, x)
        Of the type of the values.

    Examples
    --------
    >>> placed_where(np.eye(2, dtype=bool), np.array([4, 5])).tolist()
    [[4, 0], [0, 5]]
    """
    out, used = new_plane(inside.shape, values.dtype, 0), 0
    for rows in plane_blocks(inside):
        here = inside[rows]
        count = int(np.count_nonzero(here))
        if count:
            out[rows][here] = values[used : used + count]
            used += count
    return out


def all_finite(*planes: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where every plane has a number.

    Parameters
    ----------
    *planes : ndarray of float, shape (y, x)
        At least one.

    Returns
    -------
    ndarray of bool, shape (y, x)

    Examples
    --------
    >>> all_finite(np.array([[1.0, np.nan]]), np.array([[np.inf, 2.0]])).tolist()
    [[False, False]]
    """

    def _finite(*parts: NDArray[np.floating]) -> NDArray[np.bool_]:
        found = np.asarray(np.isfinite(parts[0]), np.bool_)
        for part in parts[1:]:
            found &= np.isfinite(part)
        return found

    return by_rows(_finite, *planes, dtype=bool)
