"""Things on the ground that several passes flag: when first, when last, growing or not, and their alerts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.watch.geopackage import blob_to_outline, note_change, now_text, outline_to_blob, to_lonlat
from changedet.watch.runs import layer_of
from changedet.watch.state import insert, rows_of, update

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    import geopandas as gpd
    from shapely.geometry.base import BaseGeometry

    from changedet.watch.state import StateFile


@dataclass(frozen=True)
class FollowRules:
    """When objects are the same thing, and what is said of it.

    Attributes
    ----------
    overlap : float
        Share of the smaller outline that two must have in common. A site that grows keeps its oldest part
        inside, so that the share of their union would lose it.
    growth : float
        A thing is growing when its area is at least so many times what it was.
    persists_after : int
        On how many dates a thing must be seen to count as persisting; until then it is provisional.
    """

    overlap: float = 0.5
    growth: float = 1.2
    persists_after: int = 3


@dataclass(frozen=True)
class Sighting:
    """What a pass said of a thing.

    Attributes
    ----------
    followed_id : int
        ``fid`` of the thing.
    status : str
        ``provisional`` or ``persisting``.
    growth : str
        ``new``, ``growing`` or ``stopped``.
    is_new : bool
        True when it was seen for the first time.
    turned : bool
        True when it became persisting with this sighting.
    """

    followed_id: int
    status: str
    growth: str
    is_new: bool
    turned: bool


_DEFAULT = FollowRules()


def follow_objects(change: sqlite3.Connection, run_id: int, rules: FollowRules = _DEFAULT) -> list[Sighting]:
    """Connect the objects of a run with the things of its site; done twice, the second time does nothing.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    run_id : int
        ``fid`` of the run.
    rules : FollowRules
        When objects are the same thing.

    Returns
    -------
    list of Sighting
        One for each thing that the run saw.

    Notes
    -----
    That a thing counts as persisting only when later dates show it again follows the alerts of forest
    monitoring (Reiche et al. 2021, doi:10.1088/1748-9326/abd0a8).
    """
    objects = rows_of(change, "SELECT * FROM objects WHERE run_id = ? AND followed_id IS NULL", (run_id,))
    if not objects:
        return []
    site_id = objects[0]["site_id"]
    things = rows_of(change, "SELECT * FROM followed WHERE site_id = ? ORDER BY fid", (site_id,))
    seen: dict[int, list[dict[str, Any]]] = defaultdict(list)
    sightings = []
    for one, found in zip(objects, _same_things(objects, things, rules), strict=True):
        if found is None:
            sightings.append(_begin(change, one, rules))
        else:
            seen[found["fid"]].append(one)
    by_number = {thing["fid"]: thing for thing in things}
    sightings += [_again(change, by_number[number], parts, rules) for number, parts in seen.items()]
    return sightings


def followed_things(state: StateFile, *, site: str = "") -> gpd.GeoDataFrame:
    """Return the things that are followed.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Of this site only.

    Returns
    -------
    GeoDataFrame
        Columns of the table ``followed`` and ``site``; outlines in longitude and latitude.
    """
    columns = ("fid", "site_id", "kind", "status", "growth", "first_seen", "last_seen", "sightings",
               "area_m2", "site")  # fmt: skip
    return layer_of(state, "followed", columns, site=site)


def add_alert(
    change: sqlite3.Connection, sighting: Sighting, text: str, *, run_id: int | None = None, event: str = ""
) -> bool:
    """Make an alert on a thing, unless there is one of the same event already.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    sighting : Sighting
        What is told of.
    text : str
        What is told.
    run_id : int, optional
        The run that saw it.
    event : str
        What happened to it; its status when not given. A thing has one alert for each.

    Returns
    -------
    bool
        True when it is new.
    """
    thing = rows_of(change, "SELECT * FROM followed WHERE fid = ?", (sighting.followed_id,))[0]
    key = f"thing {sighting.followed_id}: {event or sighting.status}"
    done = change.execute(
        "INSERT INTO alerts (geom, site_id, followed_id, run_id, alert_key, status, text, made_utc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alert_key) DO NOTHING",
        (thing["geom"], thing["site_id"], thing["fid"], run_id, key, sighting.status, text[:400], now_text()),
    )
    if done.rowcount == 1:
        note_change(change, "alerts", blob_to_outline(thing["geom"]))
    return done.rowcount == 1


def mark_delivered(change: sqlite3.Connection, keys: Iterable[str]) -> int:
    """Note that alerts were given to somebody.

    Mark before telling, and whoever is killed in between tells nothing twice; mark after, and nothing is
    lost.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    keys : iterable of str
        Their ``alert_key``.

    Returns
    -------
    int
        How many were not marked before.
    """
    statement = "UPDATE alerts SET delivered_utc = ? WHERE alert_key = ? AND delivered_utc IS NULL"
    return sum(change.execute(statement, (now_text(), key)).rowcount for key in keys)


def _same_things(
    objects: list[dict[str, Any]], things: list[dict[str, Any]], rules: FollowRules
) -> list[dict[str, Any] | None]:
    """Return, for each object, the thing with which it has most ground in common, None where it is new."""
    import shapely

    ours = np.array([blob_to_outline(one["geom"]) for one in objects], object)
    theirs = np.array([blob_to_outline(thing["geom"]) for thing in things], object)
    best: list[dict[str, Any] | None] = [None] * len(objects)
    most = np.zeros(len(objects))
    left, right = shapely.STRtree(theirs).query(ours, predicate="intersects")
    common = shapely.area(shapely.intersection(ours[left], theirs[right]))
    smaller = np.minimum(shapely.area(ours[left]), shapely.area(theirs[right]))
    for i, j, area, least in zip(left, right, common, rules.overlap * smaller, strict=True):
        if area >= least and area > most[i]:
            best[i], most[i] = things[j], area
    return best


def _begin(change: sqlite3.Connection, one: dict[str, Any], rules: FollowRules) -> Sighting:
    status = "persisting" if rules.persists_after <= 1 else "provisional"
    number = insert(change, "followed", {
        "geom": one["geom"], "site_id": one["site_id"], "kind": one["kind"], "status": status,
        "growth": "new", "first_seen": one["first_seen"], "last_seen": one["first_seen"], "sightings": 1,
        "area_m2": one["area_m2"],
    })  # fmt: skip
    note_change(change, "followed", blob_to_outline(one["geom"]))
    _connect(change, number, [one])
    return Sighting(number, status, "new", is_new=True, turned=status == "persisting")


def _again(
    change: sqlite3.Connection, thing: dict[str, Any], parts: list[dict[str, Any]], rules: FollowRules
) -> Sighting:
    """Note that a thing was seen again; the same date, or an earlier one, is no further sighting."""
    dates = [part["first_seen"] for part in parts]
    is_later = max(dates) > thing["last_seen"]
    area = sum(part["area_m2"] for part in parts)
    row = {"first_seen": min(thing["first_seen"], *dates)}
    growth, status = thing["growth"], thing["status"]
    if is_later:
        sightings = thing["sightings"] + 1
        growth = "growing" if area >= rules.growth * thing["area_m2"] else "stopped"
        status = "persisting" if sightings >= rules.persists_after else status
        outline = _together(parts)
        row |= {
            "geom": outline_to_blob(outline), "kind": max(parts, key=lambda part: part["area_m2"])["kind"],
            "status": status, "growth": growth, "last_seen": max(dates), "sightings": sightings,
            "area_m2": area,
        }  # fmt: skip
        note_change(change, "followed", outline)
    update(change, "followed", row, {"fid": thing["fid"]})
    _connect(change, thing["fid"], parts)
    turned = status == "persisting" and thing["status"] != "persisting"
    return Sighting(thing["fid"], status, growth, is_new=False, turned=turned)


def _together(parts: list[dict[str, Any]]) -> BaseGeometry:
    import shapely

    return to_lonlat(shapely.union_all([blob_to_outline(part["geom"]) for part in parts]), "EPSG:4326")


def _connect(change: sqlite3.Connection, number: int, parts: list[dict[str, Any]]) -> None:
    change.executemany(
        "UPDATE objects SET followed_id = ? WHERE fid = ?", [(number, part["fid"]) for part in parts]
    )
    note_change(change, "objects")
