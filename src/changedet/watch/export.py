"""Verdicts as a file for others: GeoPackage, GeoJSON or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from changedet.errors import OutputError, UsageError
from changedet.output.whole import temporary_sibling
from changedet.providers.cache_files import refuse_existing

if TYPE_CHECKING:
    import geopandas as gpd

#: Drivers by the ending of the file.
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".csv": "CSV"}
#: Columns of the file, in order, before the outline.
COLUMNS = (
    "site", "run_digest", "number", "kind", "first_seen", "last_seen_before", "verdict", "reviewer",
    "time_utc", "note", "blind",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_verdicts(told: gpd.GeoDataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write verdicts.

    Parameters
    ----------
    told : GeoDataFrame
        From `changedet.watch.verdicts.history`.
    path : str or Path
        Ends in ``.gpkg`` (layer ``verdicts``), ``.geojson``, or ``.csv`` with the outline as WKT, where what
        a spreadsheet would run as a formula gets an apostrophe in front.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        When the ending is another one.
    OutputExistsError
        When the file is there and `overwrite` is False.
    OutputError
        When it cannot be written; nothing half-written is left.
    """
    path = Path(path)
    if path.suffix.lower() not in DRIVERS:
        raise UsageError(
            "no format is known by this ending", where=str(path), todo=f"end it in {', '.join(DRIVERS)}"
        )
    refuse_existing(path, overwrite=overwrite)
    table = told[[*COLUMNS, "geometry"]]
    try:
        with temporary_sibling(path.absolute()) as folder:
            _write(table, folder / path.name)
            (folder / path.name).replace(path)
    except (RuntimeError, OSError) as error:
        raise OutputError(
            f"cannot be written ({str(error)[:160]})",
            where=str(path),
            todo="check the folder and the free space",
        ) from error
    return path


def _write(table: gpd.GeoDataFrame, path: Path) -> None:
    import pyogrio

    driver = DRIVERS[path.suffix.lower()]
    if driver == "CSV":
        import pandas as pd

        texts = (
            pd.DataFrame(table[list(COLUMNS)])
            .map(_cell)
            .assign(wkt=table.geometry.to_wkt(rounding_precision=7))
        )
        texts.to_csv(path, index=False, encoding="utf-8-sig")
        return
    options = {"RFC7946": "YES"} if driver == "GeoJSON" else {}
    pyogrio.write_dataframe(
        table, path, layer="verdicts", driver=driver, geometry_type="MultiPolygon", promote_to_multi=True,
        layer_options=options,
    )  # fmt: skip


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
