"""A registered image as a Cloud Optimized GeoTIFF, band by band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import OutputError
from changedet.output.whole import temporary_sibling

if TYPE_CHECKING:
    from collections.abc import Iterable
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
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.shutil import copy

    try:
        with temporary_sibling(path) as folder:
            plain, made = folder / "bands.tif", folder / "registered.tif"
            with rasterio.open(plain, "w", **_plain_options(grid, moving)) as file:
                for number, (name, values) in enumerate(zip(moving.bands, bands, strict=True), start=1):
                    file.write(values, number)
                    file.set_band_description(number, name)
                    progress.advance(number / (len(moving.bands) + 1))
                if moving.scales:
                    file.scales, file.offsets = moving.scales, moving.offsets
            _add_overviews(plain)
            copy(plain, made, driver="COG", **_cog_options(moving))
            made.replace(path)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        todo = "check the free space and the permission"
        raise OutputError(f"raster cannot be written ({error})", where=str(path), todo=todo) from error


def _add_overviews(path: Path) -> None:
    """Add smaller versions by taking every other pixel; the COG driver would compress them twice."""
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.open(path, "r+") as file:
        longest = max(file.shape)
        factors = [2**n for n in range(1, 16) if longest > _TILE_PX * 2 ** (n - 1)]
        if factors:
            file.build_overviews(factors, Resampling.nearest)


def _plain_options(grid: GeoBox, moving: Raster) -> dict[str, Any]:
    height, width = grid.shape
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
        "bigtiff": "IF_SAFER",
    }


def _cog_options(moving: Raster) -> dict[str, Any]:
    floating = np.issubdtype(moving.dtype, np.floating)
    return {
        "compress": "ZSTD",
        "level": 1,
        "predictor": "FLOATING_POINT" if floating else "STANDARD",
        "blocksize": _TILE_PX,
        "overview_resampling": "NEAREST",
        "num_threads": _THREADS,
        "bigtiff": "IF_SAFER",
    }
