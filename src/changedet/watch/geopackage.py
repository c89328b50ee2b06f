"""What makes an SQLite file a GeoPackage: its head, its lists of layers, and how an outline is a blob.

OGC 12-128r18 (GeoPackage 1.3.1). The file is read and written with the SQLite of Python alone. GDAL brings
an SQLite of its own, and two of them in one process take each other's locks away when either closes the file.
"""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, time
from functools import partial
from typing import TYPE_CHECKING

from changedet.antimeridian import continuous, within_globe
from changedet.errors import InputFileError

if TYPE_CHECKING:
    import sqlite3

    from pyproj import CRS
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

#: "GPKG", by which programs know the file whatever it is called.
APPLICATION_ID = 0x47504B47
#: GeoPackage 1.3.0, in the form that the format asks for.
USER_VERSION = 10300
#: Every layer is in longitude and latitude, WGS 84.
SRS_ID = 4326

_LITTLE_ENDIAN_WITH_BOX = 0b0000_0011
_HEAD = struct.Struct("<2sBBi4d")
#: Bytes of the box by its code in the flags.
_BOX_BYTES = (0, 32, 48, 48, 64)

_TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '', last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE, max_x DOUBLE,
  max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL,
  srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
"""


def create_head(connection: sqlite3.Connection) -> None:
    """Make the tables that every GeoPackage has, inside a transaction that is open.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of a file without tables.
    """
    from pyproj import CRS

    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {USER_VERSION}")
    run_statements(connection, _TABLES)
    wgs84 = CRS.from_epsg(SRS_ID).to_wkt("WKT1_GDAL")
    rows = [
        ("Undefined cartesian SRS", -1, "NONE", -1, "undefined", "undefined cartesian coordinates"),
        ("Undefined geographic SRS", 0, "NONE", 0, "undefined", "undefined geographic coordinates"),
        ("WGS 84 geodetic", SRS_ID, "EPSG", SRS_ID, wgs84, "longitude and latitude in degrees"),
    ]
    connection.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", rows)


def run_statements(connection: sqlite3.Connection, script: str) -> None:
    """Run statements one by one: `executescript` would commit the transaction that is open.

    Parameters
    ----------
    connection : sqlite3.Connection
        With an open transaction.
    script : str
        Statements, each ending in ";"; one with a body in several lines ends in "END;".
    """
    import sqlite3

    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def add_functions(connection: sqlite3.Connection) -> None:
    """Let a connection keep the spatial indices up to date that other programs have made in the file.

    Their triggers call functions that the format defines (GeoPackage 1.3.1, annex F.3) and SQLite lacks.

    Parameters
    ----------
    connection : sqlite3.Connection
        On which rows are added.
    """
    for place, name in enumerate(("ST_MinX", "ST_MinY", "ST_MaxX", "ST_MaxY")):
        connection.create_function(name, 1, partial(_side, place), deterministic=True)
    connection.create_function("ST_IsEmpty", 1, _is_empty, deterministic=True)


def _side(place: int, blob: bytes) -> float | None:
    outline = blob_to_outline(blob)
    return None if outline.is_empty else float(outline.bounds[place])


def _is_empty(blob: bytes) -> int:
    return int(blob_to_outline(blob).is_empty)


def list_table(connection: sqlite3.Connection, table: str, description: str, *, layer: bool) -> None:
    """Put a table on the list that programs show, as a layer of outlines or as a plain table.

    Parameters
    ----------
    connection : sqlite3.Connection
        With an open transaction.
    table : str
        Its name.
    description : str
        What a reader finds in it.
    layer : bool
        True when it has outlines, in the column ``geom``.
    """
    kind, srs_id = ("features", SRS_ID) if layer else ("attributes", None)
    connection.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (table, kind, table, description, now_text(), srs_id),
    )
    if layer:
        connection.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'MULTIPOLYGON', ?, 0, 0)", (table, SRS_ID)
        )


def note_change(connection: sqlite3.Connection, table: str, outline: BaseGeometry | None = None) -> None:
    """Say in the list of layers that a table changed, and widen its box by an outline.

    Parameters
    ----------
    connection : sqlite3.Connection
        With an open transaction.
    table : str
        Its name.
    outline : shapely geometry, optional
        What was added, in longitude and latitude.
    """
    now = now_text()
    if outline is None or outline.is_empty:
        connection.execute("UPDATE gpkg_contents SET last_change = ? WHERE table_name = ?", (now, table))
        return
    west, south, east, north = outline.bounds
    connection.execute(
        "UPDATE gpkg_contents SET last_change = :now,"
        " min_x = min(coalesce(min_x, :west), :west), min_y = min(coalesce(min_y, :south), :south),"
        " max_x = max(coalesce(max_x, :east), :east), max_y = max(coalesce(max_y, :north), :north)"
        " WHERE table_name = :table",
        {"now": now, "west": west, "south": south, "east": east, "north": north, "table": table},
    )


def to_lonlat(outline: BaseGeometry, crs: CRS | str) -> MultiPolygon:
    """Bring an outline into the form of the file: longitude, latitude, cut at the antimeridian.

    Parameters
    ----------
    outline : shapely geometry
        With an area.
    crs : pyproj.CRS or str
        Of the outline.

    Returns
    -------
    shapely MultiPolygon
        Within -180 and 180 degrees, valid; without parts when the outline has no area.
    """
    import geopandas as gpd

    return in_form(gpd.GeoSeries([outline], crs=crs).to_crs("EPSG:4326").iloc[0])


def in_form(outline: BaseGeometry) -> MultiPolygon:
    """Return an outline in longitude and latitude as a layer holds it, see `to_lonlat`.

    Parameters
    ----------
    outline : shapely geometry
        In longitude and latitude; across the antimeridian in any notation.

    Returns
    -------
    shapely MultiPolygon
        Within -180 and 180 degrees, valid; without parts when the outline has no area.

    Raises
    ------
    ValueError
        When it lies nowhere: a coordinate is not finite.
    """
    import shapely
    from shapely.geometry import MultiPolygon

    if not all(map(math.isfinite, shapely.get_coordinates(outline).ravel())):
        raise ValueError("an outline that lies nowhere")
    valid = shapely.make_valid(within_globe(continuous(outline)))
    parts = shapely.get_parts(shapely.get_parts(valid))
    return MultiPolygon([part for part in parts if part.geom_type == "Polygon" and part.area > 0])


def outline_to_blob(outline: BaseGeometry) -> bytes:
    """Return an outline as a GeoPackage stores it.

    Parameters
    ----------
    outline : shapely geometry
        In longitude and latitude, not empty.

    Returns
    -------
    bytes
        The head with the box, then well-known binary.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> blob_to_outline(outline_to_blob(box(1, 2, 3, 4))).bounds
    (1.0, 2.0, 3.0, 4.0)
    """
    import shapely

    west, south, east, north = outline.bounds
    head = _HEAD.pack(b"GP", 0, _LITTLE_ENDIAN_WITH_BOX, SRS_ID, west, east, south, north)
    return head + bytes(shapely.to_wkb(outline, byte_order=1))


def blob_to_outline(blob: bytes) -> BaseGeometry:
    """Return the outline that a GeoPackage stores, whatever program wrote it.

    Parameters
    ----------
    blob : bytes
        Head, an optional box, well-known binary.

    Returns
    -------
    shapely geometry
        In the reference system of its layer.

    Raises
    ------
    InputFileError
        When it is no GeoPackage blob, or damaged.
    """
    import numpy as np
    import shapely

    box_code = (blob[3] >> 1) & 0b111 if len(blob) > 8 else len(_BOX_BYTES)
    if blob[:2] != b"GP" or box_code >= len(_BOX_BYTES):
        raise InputFileError("an outline is not in the form of a GeoPackage", todo="use an unaltered copy")
    try:
        with np.errstate(invalid="ignore"):
            outline = shapely.from_wkb(bytes(blob[8 + _BOX_BYTES[box_code] :]))
    except shapely.errors.ShapelyError as error:
        raise InputFileError("an outline is damaged", todo="use an unaltered copy") from error
    if not np.isfinite(shapely.get_coordinates(outline)).all():
        raise InputFileError("an outline lies nowhere", todo="use an unaltered copy")
    return outline


def utc_text(moment: datetime) -> str:
    """Return a time as GeoPackages and this package write it.

    Parameters
    ----------
    moment : datetime
        Time-zone aware; without a zone it is taken for UTC.

    Returns
    -------
    str
        To the millisecond, ending in "Z".

    Examples
    --------
    >>> utc_text(datetime(2026, 5, 1, 12, 30, tzinfo=UTC))
    '2026-05-01T12:30:00.000Z'
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{aware.microsecond // 1000:03d}Z"


def now_text() -> str:
    """Return the time of this moment as `utc_text` writes it.

    Returns
    -------
    str

    Examples
    --------
    >>> len(now_text())
    24
    """
    return utc_text(datetime.now(UTC))


def day_of(text: str) -> date | None:
    """Return the UTC day that a time of a run folder names, None when it names none.

    Parameters
    ----------
    text : str
        Such as ``2025-05-26T02:07:01Z``, or a day alone.

    Returns
    -------
    date or None

    Examples
    --------
    >>> day_of("2025-05-26T02:07:01Z"), day_of("not known")
    (datetime.date(2025, 5, 26), None)
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    aware = moment if moment.tzinfo else datetime.combine(moment.date(), time(), UTC)
    return aware.astimezone(UTC).date()
