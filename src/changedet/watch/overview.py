"""What is known of the watched sites: how each stands, and what happened at one of them, for reading only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from changedet.errors import UsageError
from changedet.watch.geopackage import day_of
from changedet.watch.ranking import count_runs

if TYPE_CHECKING:
    from datetime import date

    from changedet.watch.state import StateFile

_SITES = """
SELECT name AS site, folder,
  (SELECT count(*) FROM scenes WHERE site_id = sites.fid) AS scenes,
  (SELECT count(*) FROM scenes WHERE site_id = sites.fid AND status = 'used') AS used,
  (SELECT coalesce(max(time), '') FROM scenes WHERE site_id = sites.fid AND status = 'used') AS last_scene,
  (SELECT coalesce(max(started_utc), '') FROM runs WHERE site_id = sites.fid) AS last_run,
  (SELECT status FROM runs WHERE site_id = sites.fid ORDER BY fid DESC LIMIT 1) AS last_outcome,
  (SELECT count(*) FROM followed WHERE site_id = sites.fid AND status = 'provisional') AS provisional,
  (SELECT count(*) FROM followed WHERE site_id = sites.fid AND status = 'persisting') AS persisting,
  (SELECT count(*) FROM followed WHERE site_id = sites.fid AND growth = 'growing') AS growing,
  (SELECT count(*) FROM alerts WHERE site_id = sites.fid AND delivered_utc IS NULL) AS pending,
  (SELECT count(*) FROM masks WHERE site_id = sites.fid AND ended_utc IS NULL AND until >= ?) AS masks,
  (SELECT coalesce(max(generation), 0) FROM arrays WHERE site_id = sites.fid) AS generation
FROM sites ORDER BY name
"""
_EVENTS = """
SELECT substr(seen_utc, 1, 24) AS time_utc, 'scene' AS event,
       scene_id || ' of ' || substr(time, 1, 10) || ': ' || status
       || CASE reason WHEN '' THEN '' ELSE ' (' || reason || ')' END AS text
FROM scenes WHERE site_id = :site
UNION ALL
SELECT coalesce(finished_utc, started_utc), 'run', status
       || CASE folder WHEN '' THEN '' ELSE ', ' || folder END
       || CASE message WHEN '' THEN '' ELSE ': ' || message END
FROM runs WHERE site_id = :site
UNION ALL
SELECT made_utc, 'alert', status || ': ' || text
       || CASE WHEN delivered_utc IS NULL THEN ' (not delivered yet)' ELSE '' END
FROM alerts WHERE site_id = :site
UNION ALL
SELECT verdicts.time_utc, 'verdict', verdicts.verdict || ' by ' || verdicts.reviewer || ': candidate '
       || verdicts.number || ', ' || verdicts.kind
       || CASE verdicts.note WHEN '' THEN '' ELSE ' (' || verdicts.note || ')' END
FROM verdicts JOIN objects ON objects.fid = verdicts.object_id WHERE objects.site_id = :site
UNION ALL
SELECT made_utc, 'mask', reason || ' until ' || until || ', by ' || made_by FROM masks WHERE site_id = :site
UNION ALL
SELECT ended_utc, 'mask', 'ended: ' || reason FROM masks WHERE site_id = :site AND ended_utc IS NOT NULL
UNION ALL
SELECT created_utc, 'learning', 'the order was learnt from verdicts' FROM models WHERE site_id = :site
ORDER BY time_utc
"""


def watch_status(state: StateFile, *, today: date | None = None) -> list[dict[str, Any]]:
    """Say of each site how it stands.

    Parameters
    ----------
    state : StateFile
        Open.
    today : date, optional
        From which days are counted; today in UTC when not given.

    Returns
    -------
    list of dict
        By name of site: ``site``, ``folder``, ``scenes`` (seen) and ``used``, ``last_scene`` (UTC time of the
        latest that was used, "" when there is none) and ``silent_days`` since then (None), ``last_run`` and
        its ``last_outcome``, ``provisional`` and ``persisting`` things, ``growing`` ones of these, ``open``
        candidates, ``pending`` alerts, ``masks`` that nobody ended and that are not over, and ``generation``
        of the arrays (0).
    """
    now = today or datetime.now(UTC).date()
    left: dict[str, int] = {}
    for run in count_runs(state):
        left[run["site"]] = left.get(run["site"], 0) + run["open"]
    rows = state.rows(_SITES, (now.isoformat(),))
    return [
        row | {"open": left.get(row["site"], 0), "silent_days": _days(row["last_scene"], now)} for row in rows
    ]


def site_history(state: StateFile, site: str) -> list[dict[str, Any]]:
    """Say what happened at a site: scenes, runs, alerts, verdicts, masks and learning.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Name of the site.

    Returns
    -------
    list of dict
        ``time_utc``, ``event`` and ``text``, oldest first.

    Raises
    ------
    UsageError
        When there is no such site.
    """
    known = state.rows("SELECT fid, name FROM sites ORDER BY name")
    (number,) = [row["fid"] for row in known if row["name"] == site] or [None]
    if number is None:
        names = ", ".join(repr(row["name"][:40]) for row in known[:8]) or "none"
        raise UsageError(f"no site {site[:60]!r}; the state file knows {names}", todo="name one of these")
    return state.rows(_EVENTS.replace(":site", "?1"), (number,))


def _days(text: str, now: date) -> int | None:
    day = day_of(text) if text else None
    return None if day is None else (now - day).days
