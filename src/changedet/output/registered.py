"""A registered image as a Cloud Optimized GeoTIFF, band by band."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import OutputError
from changedet.output.levels import finish, level_options, level_steps
from changedet.output.whole import temporary_sibling

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.progress import Progress
    from changedet.registering import Raster


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
            finish(_write_levels(folder, grid, moving, bands, progress), made)
            made.replace(path)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        todo = "check the free space and the permission"
        raise OutputError(f"raster cannot be written ({error})", where=str(path), todo=todo) from error


def _write_levels(
    folder: Path, grid: GeoBox, moving: Raster, bands: Iterable[NDArray[Any]], progress: Progress
) -> list[Path]:
    """Write the image and its overviews, which take every other pixel, each to a file of its own."""
    import rasterio

    steps = level_steps((grid.shape[0], grid.shape[1]))
    kind = np.dtype(moving.dtype)
    # differences of whole numbers of eight bytes are beyond the TIFF library of older GDAL
    predictor = 3 if kind.kind == "f" else 2 if kind.itemsize < 8 else 1
    more = {"nodata": moving.fill, "interleave": "band", "predictor": predictor}
    options = [level_options(grid, step, (len(moving.bands), moving.dtype), more) for step in steps]
    paths = [folder / f"{step}.tif" for step in steps]
    with ExitStack() as stack:
        files = [
            stack.enter_context(rasterio.open(path, "w", **how))
            for path, how in zip(paths, options, strict=True)
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
