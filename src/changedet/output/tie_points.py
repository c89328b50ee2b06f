"""Registrations as maps: the displacement on a raster, and the tie points as a GeoPackage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from changedet.errors import OutputError, OutputExistsError, UsageError

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.registration import Registration

#: Name of the layer.
LAYER = "tie_points"


def field_dataset(registration: Registration, step_px: int) -> xr.Dataset:
    """Return the displacement on a raster; see `Registration.to_xarray`.

    Raises
    ------
    UsageError
        When there is no field, or no grid.
    """
    import xarray as xr
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import wrap_xr

    field, grid = _placed(registration)
    step = max(1, min(step_px, *field.shape))
    cells = -(-field.shape[0] // step), -(-field.shape[1] // step)
    rows, columns = ((np.arange(count, dtype=np.float64) + 0.5) * step - 0.5 for count in cells)
    shift = field.on(rows, columns)
    height_m, width_m = _pixel_sides_m(grid)
    planes = {
        "row_px": shift[0],
        "column_px": shift[1],
        "north_m": -shift[0] * np.float32(height_m),
        "east_m": shift[1] * np.float32(width_m),
    }
    coarse = GeoBox(cells, grid.affine * type(grid.affine).scale(step), grid.crs)
    notes = {"model": registration.model, "convention": "added to the position of the moving image's content"}
    return xr.Dataset(
        {name: wrap_xr(plane, coarse, nodata=np.nan) for name, plane in planes.items()}, attrs=notes
    )


def tie_point_table(registration: Registration) -> gpd.GeoDataFrame:
    """Return the tie points that were measured, as points on the reference.

    Parameters
    ----------
    registration : Registration
        Not one from a file, which keeps no tie points.

    Returns
    -------
    GeoDataFrame
        ``row``, ``column`` (of the reference), ``row_px``, ``column_px``, ``north_m``, ``east_m`` (what is to
        be added to the moving content there), ``quality``, ``residual_px`` (distance from what the others
        predict) and ``kept``.

    Raises
    ------
    UsageError
        When there are no tie points.
    """
    import geopandas as gpd

    grid, alignment = registration.grid, registration.alignment
    if grid is None or alignment is None or alignment.ties is None:
        raise UsageError("this registration has no tie points", todo="register the images again")
    ties = alignment.ties
    measured = np.isfinite(ties.row_px)
    height_m, width_m = _pixel_sides_m(grid)
    columns = {
        "row": ties.row, "column": ties.column, "row_px": ties.row_px, "column_px": ties.column_px,
        "north_m": -ties.row_px * height_m, "east_m": ties.column_px * width_m, "quality": ties.quality,
        "residual_px": alignment.residual_px, "kept": alignment.agreeing,
    }  # fmt: skip
    step, right, down = grid.transform, ties.column[measured] + 0.5, ties.row[measured] + 0.5
    x, y = step.a * right + step.b * down + step.c, step.d * right + step.e * down + step.f
    crs = grid.crs.to_wkt() if grid.crs else None
    table = {name: values[measured] for name, values in columns.items()}
    return gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(x, y), crs=crs)


def write_tie_points(registration: Registration, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the tie points as a GeoPackage; see `Registration.save_tie_points`.

    Raises
    ------
    OutputExistsError
        When the file is there already.
    OutputError
        When it cannot be written.
    UsageError
        When there are no tie points.
    """
    import pyogrio

    from changedet.output.whole import temporary_sibling

    target = Path(path)
    table = tie_point_table(registration)
    check_file(target, overwrite=overwrite)
    try:
        with temporary_sibling(target) as folder:
            made = folder / "tie_points.gpkg"
            pyogrio.write_dataframe(table, made, layer=LAYER, driver="GPKG", geometry_type="Point")
            made.replace(target)
    except (RuntimeError, OSError) as error:
        todo = "check the free space and the permission"
        raise OutputError(f"tie points cannot be written ({error})", where=str(path), todo=todo) from error


def check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that is there already.

    Parameters
    ----------
    path : Path
        To be written.
    overwrite : bool
        Whether it may be replaced.

    Raises
    ------
    OutputExistsError
        When it may not, or is a folder.
    """
    if path.is_dir():
        raise OutputExistsError("this is a folder", where=str(path), todo="give the name of a file")
    if path.exists() and not overwrite:
        raise OutputExistsError("is there already", where=str(path), todo="pass --overwrite to replace it")


def _placed(registration: Registration) -> tuple[DisplacementField, GeoBox]:
    if registration.field is None or registration.grid is None:
        raise UsageError("this registration has no field on a grid", todo="register the images again")
    return registration.field, registration.grid


def _pixel_sides_m(grid: GeoBox) -> tuple[float, float]:
    from changedet.resample import pixel_size_m

    return pixel_size_m(grid)
