"""Large rasters as Cloud Optimized GeoTIFF, written once: the image and its overviews, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.blocks import spans, thread_count
from changedet.output.cloud_layout import assemble
from changedet.scale.scratch import release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray
    from odc.geo.geobox import GeoBox

#: Side of a tile.
TILE_PX = 512
#: Blocks that wait to be encoded; by default GDAL lets them take a share of the machine.
_CACHE_MB = 64


@dataclass(frozen=True)
class Planes:
    """Planes of a raster, read in pieces.

    Attributes
    ----------
    shape : tuple of int
        (band, y, x).
    dtype : dtype
        Of its numbers.
    read : callable
        Takes rows and a step; returns every so manyth pixel of these rows, shape (band, ...).
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[slice, int], NDArray[Any]]
    #: What is read; where it lies on disk its memory is given back after each piece.
    sources: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, array: NDArray[Any]) -> Planes:
        """Take the planes of an array of shape (band, y, x)."""
        count, rows, columns = array.shape
        shape = (count, rows, columns)
        return cls(shape, array.dtype, lambda part, step: array[:, part, ::step], (array,))

    @property
    def nbytes(self) -> int:
        """How much memory all of them would take."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def whole(self) -> NDArray[Any]:
        """Return all of them."""
        return self.read(slice(None), 1)


def level_steps(shape: tuple[int, int]) -> tuple[int, ...]:
    """Return which pixels the image and each of its overviews take: every one, every other, and so on.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    tuple of int
        Powers of two; the last level fits into one tile.

    Examples
    --------
    >>> level_steps((300, 2000))
    (1, 2, 4)
    """
    longest = max(shape)
    return tuple(2**n for n in range(16) if n == 0 or longest > TILE_PX * 2 ** (n - 1))


def level_options(
    grid: GeoBox, step: int, planes: tuple[int, DTypeLike], more: Mapping[str, object]
) -> dict[str, Any]:
    """Return how rasterio writes the level that takes every so many pixels.

    Parameters
    ----------
    grid : GeoBox
        Of the image.
    step : int
        From `level_steps`.
    planes : tuple of (int, dtype)
        How many bands, and the type of their numbers.
    more : mapping
        What is said besides, or otherwise: ``nodata``, ``predictor``, ``interleave``.

    Returns
    -------
    dict
        Arguments of ``rasterio.open``; each level is a file of its own, as `finish` wants it.
    """
    height, width = (-(-size // step) for size in grid.shape)
    return {
        "driver": "GTiff",
        "count": planes[0],
        "height": height,
        "width": width,
        "dtype": planes[1],
        "crs": grid.crs.to_wkt() if grid.crs else None,
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": TILE_PX,
        "blockysize": TILE_PX,
        "bigtiff": "YES",
        "endianness": "LITTLE",
        "compress": "ZSTD",
        "zstd_level": 1,
        "num_threads": thread_count(),
        **more,
    }


def finish(levels: list[Path], path: Path) -> None:
    """Put levels that were just written into one file.

    Parameters
    ----------
    levels : list of Path
        The image, then its overviews.
    path : Path
        File to write.

    Raises
    ------
    OSError
        When something is missing of what was written, or the file cannot be.
    """
    try:
        assemble(levels, path)
    except ValueError as error:
        # GDAL does not always tell when it could not write
        message = f"what was written is not complete: {error}"
        raise OSError(message) from error


def write_levels(
    path: Path,
    planes: Planes,
    grid: GeoBox,
    options: Mapping[str, object],
    describe: Callable[[Any, int], None],
) -> None:
    """Write planes and their overviews; some rows of tiles are held at a time.

    Parameters
    ----------
    path : Path
        File to write; one that is there is replaced.
    planes : Planes
        Read once for the image, and sparsely for the overviews.
    grid : GeoBox
        Where the pixels lie.
    options : mapping
        What `level_options` is told besides.
    describe : callable
        Given each level as an open file, and its step, before it is filled: says what stands in it.

    Raises
    ------
    OSError, RasterioError
        When it cannot be written.
    """
    from changedet.output.whole import temporary_sibling

    with temporary_sibling(path) as folder, little_cache():
        parts = []
        for step in level_steps((planes.shape[1], planes.shape[2])):
            parts.append(folder / f"{step}.tif")
            _write_level(parts[-1], planes, step, grid, options, describe)
        finish(parts, made := folder / "whole.tif")
        made.replace(path)


def _write_level(
    path: Path,
    planes: Planes,
    step: int,
    grid: GeoBox,
    options: Mapping[str, object],
    describe: Callable[[Any, int], None],
) -> None:
    import rasterio
    from rasterio.windows import Window

    written = level_options(grid, step, (planes.shape[0], planes.dtype), options)
    with rasterio.open(path, "w", **written) as file:
        describe(file, step)
        for rows in spans(file.height, TILE_PX):
            strip = planes.read(slice(rows.start * step, rows.stop * step, step), step)
            for columns in spans(file.width, TILE_PX):
                # whole tiles of all bands: nothing waits in memory for the rest of its tile
                tile = np.ascontiguousarray(strip[:, :, columns])
                file.write(tile, window=Window.from_slices(rows, columns))
            del strip  # before the next one is read
            release(*planes.sources)


def little_cache() -> AbstractContextManager[Any]:
    """Keep GDAL from holding many blocks, which are read or written once anyway.

    Returns
    -------
    context manager
    """
    import rasterio

    cache: AbstractContextManager[Any] = rasterio.Env(GDAL_CACHEMAX=_CACHE_MB)
    return cache
