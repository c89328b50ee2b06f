"""A registered image as a Cloud Optimized GeoTIFF, band by band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import OutputError
from changedet.output.whole import temporary_sibling

if TYPE_CHECKING:
    from pathlib import Path

    from changedet.core.displacement import DisplacementField
    from changedet.progress import Progress
    from changedet.registering import Raster

_TILE_PX = 512
_THREADS = 2


def write_registered(
    path: Path,
    reference: Raster,
    moving: Raster,
    displacement: DisplacementField | None,
    window: tuple[slice, slice],
    progress: Progress,
) -> None:
    """Write every band of a raster on the grid of another one.

    One band is held at a time. The file appears when it is whole.

    Parameters
    ----------
    path : Path
        File to write; one that is there is replaced.
    reference, moving : Raster
        The grid, and the bands.
    displacement : DisplacementField or None
        On the window: what is added to the position of the content.
    window : tuple of slice
        Rows and columns of the reference that the moving image can reach; there is no data elsewhere.
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
            with rasterio.open(plain, "w", **_plain_options(reference, moving)) as file:
                for band, name in enumerate(moving.bands):
                    file.write(_on_reference(reference, moving, band, displacement, window), band + 1)
                    file.set_band_description(band + 1, name)
                    progress.advance((band + 1) / (len(moving.bands) + 1))
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


def _on_reference(
    reference: Raster,
    moving: Raster,
    band: int,
    displacement: DisplacementField | None,
    window: tuple[slice, slice],
) -> np.ndarray[Any, Any]:
    part = moving.onto(band, reference.grid[window], displacement)
    if part.shape == tuple(reference.grid.shape):
        return part
    whole = np.full(tuple(reference.grid.shape), moving.fill, moving.dtype)
    whole[window] = part
    return whole


def _plain_options(reference: Raster, moving: Raster) -> dict[str, Any]:
    height, width = reference.grid.shape
    return {
        "driver": "GTiff",
        "count": len(moving.bands),
        "height": height,
        "width": width,
        "dtype": moving.dtype,
        "crs": reference.grid.crs.to_wkt() if reference.grid.crs else None,
        "transform": reference.grid.transform,
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
