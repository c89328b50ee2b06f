"""Known benign patterns of a site: drawn, explained, with an end; what lies inside is ranked last."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from changedet.errors import UsageError
from changedet.watch.geopackage import day_of, note_change, now_text, outline_to_blob, to_lonlat
from changedet.watch.runs import frame_of, layer_of
from changedet.watch.state import insert, rows_of

if TYPE_CHECKING:
    import sqlite3

    import geopandas as gpd
    from shapely.geometry.base import BaseGeometry

    from changedet.watch.state import StateFile

#: Share of an object's area that must lie inside a mask.
INSIDE_SHARE = 0.5
_COLUMNS = ("fid", "site_id", "reason", "until", "made_by", "made_utc", "ended_utc", "site")


def add_mask(
    change: sqlite3.Connection,
    site_id: int,
    outline: BaseGeometry,
    *,
    reason: str,
    until: date,
    made_by: str,
) -> int:
    """Add a mask.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    site_id : int
        ``fid`` of the site.
    outline : shapely geometry
        Where, in longitude and latitude.
    reason : str
        Why change there is benign; readers see it with every object inside.
    until : date
        The last day of images it holds for.
    made_by : str
        Who says so.

    Returns
    -------
    int
        ``fid`` of the row.

    Raises
    ------
    UsageError
        When the reason or the name is missing, or the outline has no area or lies outside the site.
    """
    if not reason.strip() or not made_by.strip():
        raise UsageError("a mask needs a reason and a name", todo="give --reason and --reviewer")
    shape = to_lonlat(outline, "EPSG:4326")
    site = frame_of(rows_of(change, "SELECT fid, geom, name FROM sites WHERE fid = ?", (site_id,)))
    if shape.is_empty:
        raise UsageError("the outline of the mask has no area", todo="draw a polygon")
    if len(site) and not site.geometry.iloc[0].intersects(shape):
        raise UsageError(f"the mask lies outside the site {site['name'].iloc[0]!r}", todo="draw it inside")
    row = {
        "geom": outline_to_blob(shape), "site_id": site_id, "reason": reason.strip()[:400],
        "until": until.isoformat(), "made_by": made_by.strip()[:80], "made_utc": now_text(),
    }  # fmt: skip
    note_change(change, "masks", shape)
    return insert(change, "masks", row)


def end_mask(change: sqlite3.Connection, number: int) -> None:
    """End a mask now; its row stays, with the time.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    number : int
        ``fid`` of the mask.

    Raises
    ------
    UsageError
        When there is no such mask, or it has ended.
    """
    done = change.execute(
        "UPDATE masks SET ended_utc = ? WHERE fid = ? AND ended_utc IS NULL",
        (now_text(), number),
    )
    if done.rowcount != 1:
        raise UsageError(f"no mask {number} holds", todo="see changedet review mask")
    note_change(change, "masks")


def list_masks(state: StateFile, *, site: str = "") -> gpd.GeoDataFrame:
    """Return the masks, also those that have ended.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Of this site only.

    Returns
    -------
    GeoDataFrame
        Columns of the table ``masks`` and ``site``; outlines in longitude and latitude.
    """
    return layer_of(state, "masks", _COLUMNS, site=site)


def masked_reasons(
    objects: gpd.GeoDataFrame, masks: gpd.GeoDataFrame, *, today: date | None = None
) -> list[str]:
    """Return why each object is masked.

    A mask holds for an object of which at least `INSIDE_SHARE` lies inside, when the after image is not later
    than its last day, and nobody has ended it.

    Parameters
    ----------
    objects : GeoDataFrame
        Of one site, with ``first_seen``, in longitude and latitude.
    masks : GeoDataFrame
        From `list_masks`, of the same site.
    today : date, optional
        The day that counts for objects whose date is not known; today when not given.

    Returns
    -------
    list of str
        "masked: REASON" with the last day, or "" for what no mask holds for.
    """
    now = today or datetime.now(UTC).date()
    held = [row for row in masks.to_dict("records") if not isinstance(row["ended_utc"], str)]
    found = []
    for one in objects.to_dict("records"):
        day, outline = day_of(str(one["first_seen"])) or now, one["geometry"]
        inside = [
            row for row in held
            if day <= (day_of(row["until"]) or date.min)
            and outline.intersection(row["geometry"]).area >= INSIDE_SHARE * outline.area
        ]  # fmt: skip
        found.append(f"masked: {inside[-1]['reason']} (until {inside[-1]['until']})" if inside else "")
    return found
