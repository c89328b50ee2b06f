"""The objects as GeoPackage, GeoJSON and CSV: the same rows and the same columns in each."""

from __future__ import annotations

import csv
import math
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from changedet.errors import InputFileError, MissingInputError, OutputError
from changedet.objects import COLUMNS
from changedet.offline import GEOPACKAGE_BEGINNINGS, begins_with, offline_vectors, require_plain_vectors
from changedet.output.facts import credit_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import geopandas as gpd

    from changedet.result import ChangeResult

#: Name of the layer in every vector file.
LAYER = "changes"

#: Columns that hold numbers, with their types; every other column holds text.
NUMBER_TYPES: dict[str, type[np.generic]] = {
    "id": np.int64,
    "score": np.float64,
    "score_mads": np.float64,
    "construction": np.float64,
    "context_share": np.float64,
    "radar_db": np.float64,
    "radar_deviations": np.float64,
    "area_m2": np.float64,
    "lat": np.float64,
    "lon": np.float64,
}

#: Name of the column of ``changes.csv`` that holds the outline.
WKT_COLUMN = "wkt"

#: Columns that files of earlier versions do not have; empty there.
_LATER_COLUMNS = (
    "before_dates",
    "after_dates",
    "before_scenes",
    "after_scenes",
    "construction",
    "context_share",
    "sensor",
    "radar_db",
    "radar_deviations",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONLAT = "EPSG:4326"
#: Decimals of a degree: about one centimetre.
_DECIMALS = 7
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def object_table(result: ChangeResult) -> gpd.GeoDataFrame:
    """Return the objects with exactly the columns and types of the files.

    Parameters
    ----------
    result : ChangeResult
        Its `objects` may have no rows.

    Returns
    -------
    GeoDataFrame
        `COLUMNS` and ``geometry``, in the CRS of the objects: ``id`` int64, other numbers float64, text never
        null.
    """
    table = _typed(result.objects)
    return table.set_crs(result.grid.crs.to_wkt()) if table.crs is None and result.grid.crs else table


def write_gpkg(path: Path, result: ChangeResult) -> None:
    """Write the objects as a GeoPackage with one layer, ``changes``, in the CRS of the grid.

    The same objects give the same bytes: the time stamp that the format asks for is the time of the after
    image, or the first second of 1970 when that is not known. Not thread-safe: GDAL takes the time from an
    option of the whole process.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    table = object_table(result)
    options = {"DESCRIPTION": _description(result), "IDENTIFIER": LAYER}
    with _fixed_date(result.after.scene.time or _EPOCH):
        _write(table, path, driver="GPKG", layer_options=options)


def write_geojson(path: Path, result: ChangeResult) -> None:
    """Write the objects as GeoJSON (RFC 7946): longitude, latitude, 7 decimals, counter-clockwise outlines.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    table = object_table(result)
    options = {
        "RFC7946": "YES",
        "COORDINATE_PRECISION": str(_DECIMALS),
        "DESCRIPTION": f"{_description(result)}; columns: {', '.join(COLUMNS)}",
    }
    _write(table, path, driver="GeoJSON", layer_options=options)


def write_csv(path: Path, result: ChangeResult) -> None:
    """Write the objects as a table for a spreadsheet, with the outline as WKT in longitude, latitude.

    The text is UTF-8 with a byte order mark, by which spreadsheets recognise it. A text that a spreadsheet
    would run as a formula gets an apostrophe in front.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    import shapely

    table = object_table(result)
    outlines = table.geometry if table.crs is None else table.geometry.to_crs(_LONLAT)
    texts = shapely.to_wkt(outlines.to_numpy(), rounding_precision=_DECIMALS)
    cells = [[_cell(value) for value in row] for row in table[list(COLUMNS)].itertuples(index=False)]
    try:
        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.writer(stream)
            writer.writerow([*COLUMNS, WKT_COLUMN])
            writer.writerows([*row, text] for row, text in zip(cells, texts, strict=True))
    except OSError as error:
        raise _output_error(path, error) from error


def write_vectors(result: ChangeResult, folder: Path) -> list[Path]:
    """Write ``changes.gpkg``, ``changes.geojson`` and ``changes.csv`` into an existing folder.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    writers = {"changes.gpkg": write_gpkg, "changes.geojson": write_geojson, "changes.csv": write_csv}
    for name, write in writers.items():
        write(folder / name, result)
    return [folder / name for name in writers]


def write_seasonal(result: ChangeResult, folder: Path) -> None:
    """Write what stands out and is not flagged as ``seasonal.gpkg`` and ``.geojson``, if there is any.

    Parameters
    ----------
    result : ChangeResult
        Its `seasonal` may be None.
    folder : Path
        An existing folder.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    if result.seasonal is not None and len(result.seasonal):
        listed = replace(result, objects=result.seasonal)
        write_gpkg(folder / "seasonal.gpkg", listed)
        write_geojson(folder / "seasonal.geojson", listed)


def read_seasonal(folder: Path) -> gpd.GeoDataFrame | None:
    """Read what stands out and is not flagged back from a run folder.

    Parameters
    ----------
    folder : Path
        A run folder.

    Returns
    -------
    GeoDataFrame or None
        As `read_gpkg` returns it; None where nothing was listed.

    Raises
    ------
    InputFileError
        When the file is damaged.
    """
    path = folder / "seasonal.gpkg"
    return read_gpkg(path) if path.is_file() else None


def read_gpkg(path: Path) -> gpd.GeoDataFrame:
    """Read the objects back from ``changes.gpkg``.

    Parameters
    ----------
    path : Path
        A file that `write_gpkg` made.

    Returns
    -------
    GeoDataFrame
        `COLUMNS` and ``geometry``, in the CRS of the file; it may have no rows.

    Raises
    ------
    MissingInputError
        When the file is not there.
    InputFileError
        When it is damaged, or is not a table of objects.
    """
    import pyogrio

    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo="make the run again")
    try:
        # of another format it could name data anywhere
        require_plain_vectors(begins_with(path), GEOPACKAGE_BEGINNINGS, where=str(path))
        with offline_vectors():
            table = pyogrio.read_dataframe(path, layer=LAYER)
        return _typed(table)
    except InputFileError:
        raise
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputFileError(
            f"not a table of objects ({str(error)[:160]})", where=str(path), todo="make the run again"
        ) from error


def _typed(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    # files of earlier versions do not have these
    later = {name: np.nan if name in NUMBER_TYPES else "" for name in _LATER_COLUMNS}
    table = table.assign(**{name: empty for name, empty in later.items() if name not in table})
    table = table[[*COLUMNS, "geometry"]].reset_index(drop=True)
    text = {name: table[name].fillna("").astype("str") for name in COLUMNS if name not in NUMBER_TYPES}
    return table.assign(**text).astype(NUMBER_TYPES)


def _write(table: gpd.GeoDataFrame, path: Path, *, driver: str, layer_options: dict[str, str]) -> None:
    import pyogrio

    several = bool((table.geometry.geom_type == "MultiPolygon").any())
    try:
        path.unlink(missing_ok=True)
        pyogrio.write_dataframe(
            table,
            path,
            layer=LAYER,
            driver=driver,
            geometry_type="MultiPolygon" if several else "Polygon",
            promote_to_multi=several,
            layer_options=layer_options,
        )
    except (RuntimeError, OSError) as error:
        raise _output_error(path, error) from error


def _output_error(path: Path, error: Exception) -> OutputError:
    todo = "check the free space and the permission"
    return OutputError(f"objects cannot be written ({error})", where=str(path), todo=todo)


def _description(result: ChangeResult) -> str:
    return f"candidate changes; {'; '.join(credit_lines(result))}"


@contextmanager
def _fixed_date(time: datetime) -> Iterator[None]:
    """Let GDAL write this time where it would write the time of day.

    The option belongs to the whole process, so that writing GeoPackages is not thread-safe: two threads that
    write at once may get each other's time.
    """
    import pyogrio

    key = "OGR_CURRENT_DATE"
    before = pyogrio.get_gdal_config_option(key)
    pyogrio.set_gdal_config_options({key: time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({key: before})


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else repr(float(value))
