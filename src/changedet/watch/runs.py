"""Run folders in the state file: which site they belong to, and their objects as rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError, UsageError
from changedet.hashing import sha256_file
from changedet.json_texts import OTHER_SHAPE, parse_grid, parse_json
from changedet.output.vector import read_gpkg
from changedet.provenance import RECORD_NAME, read_record
from changedet.resample import crs_of
from changedet.site import site_from_dict
from changedet.watch.geopackage import (
    blob_to_outline,
    in_form,
    note_change,
    now_text,
    outline_to_blob,
    to_lonlat,
    utc_text,
)
from changedet.watch.object_features import object_features
from changedet.watch.state import insert, rows_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    import geopandas as gpd
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

    from changedet.watch.state import StateFile

#: Columns of the candidates that the state file keeps as they are.
KEPT_COLUMNS = (
    "kind", "score", "score_mads", "construction", "context_share", "sensor", "confidence", "area_m2",
    "lat", "lon", "dms", "mgrs", "first_seen", "last_seen_before", "evidence", "warnings",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A run folder as it is read for the state file; nothing is written by reading it.

    Attributes
    ----------
    folder : Path
        Where it lies.
    digest : str
        SHA-256 of its ``run.json``, which holds the digests of everything else.
    site_name : str
        Of the run, or as the reader calls it.
    site_outline : shapely MultiPolygon
        In longitude and latitude; the grid of the run where it had no site.
    record : mapping
        What ``run.json`` says.
    objects : GeoDataFrame
        The candidates, in the CRS of the run.
    """

    folder: Path
    digest: str
    site_name: str
    site_outline: MultiPolygon
    record: Mapping[str, Any]
    objects: gpd.GeoDataFrame


def read_run(folder: str | Path, *, site_name: str = "") -> RunFolder:
    """Read what the state file needs of a run folder.

    Parameters
    ----------
    folder : str or Path
        A run folder.
    site_name : str
        What to call its site; the name of the run when not given.

    Returns
    -------
    RunFolder

    Raises
    ------
    MissingInputError
        When it is not there.
    InputFileError
        When it is damaged.
    """
    folder = Path(folder)
    record = read_record(folder)
    objects = read_gpkg(folder / "changes.gpkg")
    try:
        digest = sha256_file(folder / RECORD_NAME)
        outline = _site_outline(record)
        name = site_name or str(record["name"])
        before, after = (str(record["scenes"][side].get("time_utc") or "") for side in ("before", "after"))
    except (*OTHER_SHAPE, RuntimeError, OSError) as error:
        raise InputFileError(
            f"does not say where it was ({str(error)[:80]})", where=str(folder), todo="make the run again"
        ) from error
    said = {"before_time": before, "after_time": after}
    return RunFolder(folder, digest, name, outline, {**record, **said}, objects)


def add_site(change: sqlite3.Connection, name: str, outline: BaseGeometry, folder: str = "") -> int:
    """Return the row of a site, made when there is none of its name.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    name : str
        As the analyst calls it.
    outline : shapely geometry
        In longitude and latitude.
    folder : str
        Group it belongs to.

    Returns
    -------
    int
        Its ``fid``.

    Raises
    ------
    UsageError
        When the name is that of another place.
    """
    found = rows_of(change, "SELECT fid, geom FROM sites WHERE name = ?", (name,))
    if found:
        if not blob_to_outline(found[0]["geom"]).intersects(outline):
            raise UsageError(
                f"the state file knows a site {name[:60]!r} elsewhere",
                todo="call this one otherwise with --site, or keep it in another file with --state",
            )
        return int(found[0]["fid"])
    row = {"geom": outline_to_blob(outline), "name": name, "folder": folder, "added_utc": now_text()}
    note_change(change, "sites", outline)
    return insert(change, "sites", row)


def add_run(change: sqlite3.Connection, run: RunFolder) -> int:
    """Return the row of a run, made with its site and all its objects when it is not known yet.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    run : RunFolder
        From `read_run`.

    Returns
    -------
    int
        Its ``fid``.

    Raises
    ------
    UsageError
        When its site has the name of another place.
    """
    if known := rows_of(change, "SELECT fid FROM runs WHERE digest = ?", (run.digest,)):
        return int(known[0]["fid"])
    site_id = add_site(change, run.site_name, run.site_outline)
    software = run.record.get("software", {})
    run_id = insert(change, "runs", {
        "site_id": site_id, "digest": run.digest, "folder": str(run.folder),
        "status": "refused" if run.record.get("refusals") else "done",
        "before_time": run.record["before_time"], "after_time": run.record["after_time"],
        "method": str(run.record.get("parameters", {}).get("method", "")),
        "software": f"{software.get('name', '')} {software.get('version', '')}".strip(),
        "started_utc": _moment(str(run.record.get("created_utc", ""))), "finished_utc": now_text(),
    })  # fmt: skip
    note_change(change, "runs")
    add_objects(change, (site_id, run_id), run.objects, object_features(run.objects, run.folder))
    return run_id


def add_objects(
    change: sqlite3.Connection,
    ids: tuple[int, int],
    objects: gpd.GeoDataFrame,
    features: list[dict[str, float]],
) -> list[int]:
    """Add the objects of a run.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    ids : tuple of two int
        ``fid`` of the site and of the run.
    objects : GeoDataFrame
        With the columns of ``changes.gpkg``.
    features : list of dict
        From `changedet.watch.object_features`, one for each object.

    Returns
    -------
    list of int
        Their ``fid``, in order.
    """
    outlines = [in_form(outline) for outline in objects.geometry.to_crs("EPSG:4326")]
    numbers = []
    for row, outline, told in zip(objects.to_dict("records"), outlines, features, strict=True):
        values = {name: row[name] for name in KEPT_COLUMNS}
        numbers.append(insert(change, "objects", {
            "geom": outline_to_blob(outline), "site_id": ids[0], "run_id": ids[1],
            "number": int(row["id"]), **values, "features": json.dumps(told, allow_nan=False),
        }))  # fmt: skip
        note_change(change, "objects", outline)
    return numbers


def site_row(change: sqlite3.Connection, name: str) -> dict[str, Any]:
    """Return the row of a site by its name; of a file with one site also without it.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    name : str
        Of the site, or "".

    Returns
    -------
    dict
        By name of column.

    Raises
    ------
    UsageError
        When there is no such site, or none is named and there are several.
    """
    sites = rows_of(change, "SELECT * FROM sites ORDER BY name")
    found = [row for row in sites if name in {"", row["name"]}]
    if len(found) != 1:
        names = ", ".join(repr(row["name"][:40]) for row in sites[:8]) or "none"
        what = f"no site {name[:60]!r}" if name else "no site is named"
        raise UsageError(f"{what}; the state file knows {names}", todo="name one with --site")
    return found[0]


def run_row(state: StateFile, run: RunFolder) -> dict[str, Any]:
    """Return the row of a run that the state file knows.

    Parameters
    ----------
    state : StateFile
        Open.
    run : RunFolder
        From `read_run`.

    Returns
    -------
    dict
        By name of column; empty when the run is not known.
    """
    found = state.rows("SELECT * FROM runs WHERE digest = ?", (run.digest,))
    return found[0] if found else {}


def objects_of(state: StateFile, *, run_id: int | None = None, site: str = "") -> gpd.GeoDataFrame:
    """Return objects of the state file.

    Parameters
    ----------
    state : StateFile
        Open.
    run_id : int, optional
        Of this run only.
    site : str
        Of this site only.

    Returns
    -------
    GeoDataFrame
        Columns of the table ``objects`` with ``features`` as dict, and ``site`` and ``run_digest``; outlines
        in longitude and latitude; in the order in which they were added.
    """
    conditions: list[tuple[str, object]] = [("objects.run_id = ?", run_id)] if run_id is not None else []
    conditions += [("sites.name = ?", site)] if site else []
    where = " AND ".join(text for text, _ in conditions) or "1"
    rows = state.rows(
        "SELECT objects.*, sites.name AS site, runs.digest AS run_digest FROM objects"
        " JOIN sites ON sites.fid = objects.site_id JOIN runs ON runs.fid = objects.run_id"
        f" WHERE {where} ORDER BY objects.fid",
        [value for _, value in conditions],
    )
    table = frame_of(rows, empty=("fid", "site_id", "run_id", "number", *KEPT_COLUMNS, "features", "site",
                                  "run_digest"))  # fmt: skip
    return table.assign(features=[_features(text) for text in table["features"]])


def frame_of(rows: list[dict[str, Any]], *, empty: tuple[str, ...] = ()) -> gpd.GeoDataFrame:
    """Return rows of a layer as a table with outlines.

    Parameters
    ----------
    rows : list of dict
        With ``geom`` as the file stores it.
    empty : tuple of str
        Columns of a table without rows.

    Returns
    -------
    GeoDataFrame
        In longitude and latitude, ``geom`` as ``geometry``.

    Raises
    ------
    InputFileError
        When an outline is damaged.
    """
    import geopandas as gpd

    if not rows:
        return gpd.GeoDataFrame({name: [] for name in empty}, geometry=[], crs="EPSG:4326")
    outlines = [blob_to_outline(row["geom"]) for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "geom"}
    return gpd.GeoDataFrame(columns, geometry=outlines, crs="EPSG:4326")


def layer_of(state: StateFile, table: str, columns: tuple[str, ...], *, site: str = "") -> gpd.GeoDataFrame:
    """Return a layer whose rows belong to sites, with the name of the site.

    Parameters
    ----------
    state : StateFile
        Open.
    table : str
        Name of a layer of `changedet.watch.schema.TABLES`.
    columns : tuple of str
        Columns of a table without rows.
    site : str
        Of this site only.

    Returns
    -------
    GeoDataFrame
        Columns of the table and ``site``; outlines in longitude and latitude; in the order in which they
        were added.
    """
    where, values = ("WHERE sites.name = ?", (site,)) if site else ("", ())
    rows = state.rows(
        f"SELECT {table}.*, sites.name AS site FROM {table} JOIN sites ON sites.fid = {table}.site_id"
        f" {where} ORDER BY {table}.fid",
        values,
    )
    return frame_of(rows, empty=columns)


def _site_outline(record: Mapping[str, Any]) -> MultiPolygon:
    grid = parse_grid(record["grid"])
    if (site := record.get("inputs", {}).get("site")) is not None:
        return to_lonlat(site_from_dict(site).geometry, "EPSG:4326")
    return to_lonlat(grid.extent.geom, str(crs_of(grid).to_wkt()))


def _features(text: str) -> dict[str, float]:
    """Read features that may be those of a stranger's file: numbers by name, nothing else."""
    try:
        told = parse_json(text)
        return {str(name): float(value) for name, value in told.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _moment(text: str) -> str:
    """Return a time of a record in the form of the file; now where the record does not say one."""
    try:
        return utc_text(datetime.fromisoformat(text))
    except ValueError:
        return now_text()
