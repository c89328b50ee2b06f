"""A registered image as a Cloud Optimized GeoTIFF, band by band."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import OutputError
from changedet.output.cloud_layout import assemble
from changedet.output.whole import temporary_sibling

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.progress import Progress
    from changedet.registering import Raster

_TILE_PX = 512
_THREADS = 2


def write_registered(
    path: Path,
    grid: GeoBox,
    moving: Raster,
    bands: Iterable[NDArray[Any]],
    progress: Progress,
) -> None:
    """Write every band of a raster on the grid of another one.

    One band is held at a time. The file appears when it is whole.

    Parameters
    ----------
    path : Path
        File to write; one that is there is replaced.
    grid : GeoBox
        Where the pixels lie.
    moving : Raster
        What was moved: names, type and scales of the bands, and the number that means "no data".
    bands : iterable of ndarray, shape (y, x)
        Its bands on the grid; they are asked for one after the other.
    progress : Progress
        Told about each band.

    Raises
    ------
    OutputError
        When the file cannot be written.
    ValueError
        When there are fewer bands than names.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        with temporary_sibling(path) as folder:
            made = folder / "registered.tif"
            _assemble(_write_levels(folder, grid, moving, bands, progress), made)
            made.replace(path)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        todo = "check the free space and the permission"
        raise OutputError(f"raster cannot be written ({error})", where=str(path), todo=todo) from error


def _assemble(parts: list[Path], path: Path) -> None:
    """Put levels that were just written into one file."""
    try:
        assemble(parts, path)
    except ValueError as error:
        # GDAL does not always tell when it could not write
        message = f"what was written is not complete: {error}"
        raise OSError(message) from error


def _write_levels(
    folder: Path, grid: GeoBox, moving: Raster, bands: Iterable[NDArray[Any]], progress: Progress
) -> list[Path]:
    """Write the image and its overviews, which take every other pixel, each to a file of its own."""
    import rasterio

    height, width = grid.shape
    steps = [2**n for n in range(16) if n == 0 or max(height, width) > _TILE_PX * 2 ** (n - 1)]
    paths = [folder / f"{step}.tif" for step in steps]
    with ExitStack() as stack:
        files = [
            stack.enter_context(rasterio.open(path, "w", **_options(grid, moving, step)))
            for path, step in zip(paths, steps, strict=True)
        ]
        files[0].descriptions = moving.bands
        if moving.scales:
            files[0].scales, files[0].offsets = moving.scales, moving.offsets

        def _write(number: int, values: NDArray[Any]) -> None:
            for file, step in zip(files, steps, strict=True):
                file.write(values[::step, ::step], number)

        # a band is encoded while the next one is made
        writer = stack.enter_context(ThreadPoolExecutor(1))
        waiting: Future[None] | None = None
        number = 0
        for number, values in enumerate(bands, start=1):
            if waiting is not None:
                waiting.result()
            waiting = writer.submit(_write, number, values)
            progress.advance(number / (len(moving.bands) + 1))
        if waiting is not None:
            waiting.result()
        if number < len(moving.bands):
            message = f"{number} of {len(moving.bands)} bands came"
            raise ValueError(message)
    return paths


def _options(grid: GeoBox, moving: Raster, step: int) -> dict[str, Any]:
    """Return how the level that takes every so many pixels is written."""
    height, width = (-(-size // step) for size in grid.shape)
    return {
        "driver": "GTiff",
        "count": len(moving.bands),
        "height": height,
        "width": width,
        "dtype": moving.dtype,
        "crs": grid.crs.to_wkt() if grid.crs else None,
        "transform": grid.transform,
        "nodata": moving.fill,
        "tiled": True,
        "blockxsize": _TILE_PX,
        "blockysize": _TILE_PX,
        "interleave": "band",
        "bigtiff": "YES",
        "endianness": "LITTLE",
        "compress": "ZSTD",
        "zstd_level": 1,
        "predictor": 3 if np.issubdtype(moving.dtype, np.floating) else 2,
        "num_threads": _THREADS,
    }
