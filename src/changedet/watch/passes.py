"""Passes of a watch: which scenes a site has seen, and what came of each time it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from changedet.errors import UsageError
from changedet.watch.geopackage import note_change, now_text
from changedet.watch.signature import own_signature
from changedet.watch.state import insert, update

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from changedet.watch.runs import RunFolder
    from changedet.watch.state import StateFile

#: How a pass can end.
OUTCOMES = ("done", "failed", "refused")


@dataclass(frozen=True)
class SeenScene:
    """An acquisition that was looked at.

    Attributes
    ----------
    id : str
        As the catalogue calls it.
    sensor : str
        Such as ``s2`` or ``s1``.
    time : str
        UTC time of the acquisition, ISO 8601.
    usable : bool
        Whether it was used; else the reason says why not.
    reason : str
        Why it was not used.
    """

    id: str
    sensor: str
    time: str
    usable: bool = True
    reason: str = ""


def begin_pass(change: sqlite3.Connection, site_id: int, *, method: str = "") -> int:
    """Note that a site is being looked at, by whom, and since when.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    site_id : int
        ``fid`` of the site.
    method : str
        How it is looked at.

    Returns
    -------
    int
        ``fid`` of the run.
    """
    by = own_signature()
    note_change(change, "runs")
    return insert(change, "runs", {
        "site_id": site_id, "digest": f"pass-{uuid4().hex}", "status": "running", "method": method,
        "started_utc": by.since_utc, "host": by.host, "pid": by.pid,
    })  # fmt: skip


def end_pass(
    change: sqlite3.Connection, run_id: int, outcome: str, *, message: str = "", run: RunFolder | None = None
) -> None:
    """Note how a pass ended.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    run_id : int
        From `begin_pass`.
    outcome : str
        One of `OUTCOMES`.
    message : str
        Why it failed or was refused.
    run : RunFolder, optional
        The run folder that it left, by whose digest it is known from then on.

    Raises
    ------
    UsageError
        When the outcome is none of these, or the pass has ended or never began.
    """
    if outcome not in OUTCOMES:
        raise UsageError(f"{outcome[:40]!r} is no outcome", todo=f"say {', '.join(OUTCOMES)}")
    row: dict[str, Any] = {"status": outcome, "message": message[:400], "finished_utc": now_text()}
    if run is not None:
        row |= {"digest": run.digest, "folder": str(run.folder)}
        row |= {name: run.record[name] for name in ("before_time", "after_time")}
    if update(change, "runs", row, {"fid": run_id, "status": "running"}) != 1:
        raise UsageError(f"pass {run_id} is not running", todo="begin one first")
    note_change(change, "runs")


def add_scene(change: sqlite3.Connection, site_id: int, scene: SeenScene) -> bool:
    """Note that a scene was looked at; one that was of no use may be of use later, never the other way round.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    site_id : int
        ``fid`` of the site.
    scene : SeenScene
        The scene.

    Returns
    -------
    bool
        True when it was not known before.
    """
    known = change.execute(
        "SELECT 1 FROM scenes WHERE site_id = ? AND scene_id = ?", (site_id, scene.id)
    ).fetchone()
    status = "used" if scene.usable else "unusable"
    change.execute(
        "INSERT INTO scenes (site_id, scene_id, sensor, time, status, reason, seen_utc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site_id, scene_id) DO UPDATE"
        " SET status = excluded.status, reason = excluded.reason WHERE scenes.status = 'unusable'",
        (site_id, scene.id, scene.sensor, scene.time, status, scene.reason[:400],
         now_text()),
    )  # fmt: skip
    note_change(change, "scenes")
    return known is None


def seen_scenes(state: StateFile, site: str) -> frozenset[str]:
    """Return the scenes that a site has seen.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Name of the site.

    Returns
    -------
    frozenset of str
        As the catalogue calls them.
    """
    query = "SELECT scene_id FROM scenes JOIN sites ON sites.fid = scenes.site_id WHERE sites.name = ?"
    return frozenset(row["scene_id"] for row in state.rows(query, (site,)))


def unseen_of(seen: frozenset[str], scene_ids: Iterable[str]) -> list[str]:
    """Return the scenes that are not among those that were seen.

    Parameters
    ----------
    seen : frozenset of str
        From `seen_scenes`.
    scene_ids : iterable of str
        As the catalogue calls them.

    Returns
    -------
    list of str
        In their order, each once.

    Examples
    --------
    >>> unseen_of(frozenset({"a"}), ["b", "a", "b", "c"])
    ['b', 'c']
    """
    return [one for one in dict.fromkeys(scene_ids) if one not in seen]
