"""One site, one pass: what a look found is brought into the state file.

Everything that one date changes counts in one transaction: the arrays, the scene, the objects and the
alerts. Whoever is killed has taken the dates before it, and the next pass takes the rest. What was looked at
elsewhere counts all at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import shapely

from changedet.batch import site_label
from changedet.errors import ChangedetError
from changedet.watch.arrays import PreparedArrays, add_arrays, newest_arrays, prepare_arrays, remove_orphans
from changedet.watch.candidates import Candidate, candidate_table
from changedet.watch.following import FollowRules, add_alert, follow_objects
from changedet.watch.geopackage import blob_to_outline, to_lonlat
from changedet.watch.looking import Recalled, SitePass, Step, WatchSpan, look_at_site, moment_of
from changedet.watch.masks import list_masks, masked_reasons
from changedet.watch.passes import add_scene, begin_pass, end_pass, seen_scenes
from changedet.watch.runs import add_objects, add_site
from changedet.watch.state import rows_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from changedet.site import Site
    from changedet.watch.following import Sighting
    from changedet.watch.gathering import Place
    from changedet.watch.state import StateFile

#: How a pass of a watch is called among the runs.
METHOD = "watch"
#: The chart of each pixel has seen it persist by then, so that one sighting is enough.
FOLLOW = FollowRules(persists_after=1)
#: A thing that goes on is noted again so often, whether it grows or not.
_AGAIN = timedelta(days=30)


def watch_site(state: StateFile, place: Place, span: WatchSpan) -> SitePass:
    """Look at a site once.

    Parameters
    ----------
    state : StateFile
        Open for writing, held by `changedet.watch.holding.hold`.
    place : Place
        The site and where its dates come from.
    span : WatchSpan
        Which days.

    Returns
    -------
    SitePass
        The same alerts come of many short passes as of a single long one.

    Raises
    ------
    NoUsableImageryError
        When the history holds too few dates to say what is usual.
    UsageError
        When the outline of the site is another one than before.
    ProviderError, CredentialsError, BudgetError
        When imagery cannot be had; the next pass goes on where this one ended.
    InputFileError
        When what is kept of the site is damaged.
    StateBusyError, OutputError
        When the state file cannot be changed.
    """
    with state.change() as change:
        taking = _Taking.begin(change, state, place.site)
    alerts = 0
    try:
        for one in look_at_site(place, span, recall(state, taking.name)):
            if isinstance(one, SitePass):
                found = one
                continue
            prepared = prepared_step(state, taking.name, one)
            with state.change() as change:
                alerts += taking.take(change, one, prepared)
            if one.generation:
                remove_orphans(state, site=taking.name)
    except ChangedetError as error:
        with state.change() as change:
            end_pass(change, taking.run_id, "failed", message=str(error))
        raise
    found = replace(found, alerts=alerts)
    with state.change() as change:
        end_pass(change, taking.run_id, "done", message=done_text(found))
    return found


def recall(state: StateFile, name: str) -> Recalled:
    """Return what the state file knows of a site.

    Parameters
    ----------
    state : StateFile
        Open.
    name : str
        Of the site.

    Returns
    -------
    Recalled

    Raises
    ------
    InputFileError
        When the file is damaged.
    """
    return Recalled(seen_scenes(state, name), newest_arrays(state, name))


def prepared_step(state: StateFile, name: str, step: Step) -> PreparedArrays | None:
    """Write the arrays of a step, of which nothing counts yet; None where it has none.

    Raises
    ------
    OutputError
        When they cannot be written.
    """
    return None if step.arrays is None else prepare_arrays(state.path, name, step.arrays)


def take_look(
    state: StateFile,
    site: Site,
    steps: Sequence[tuple[Step, PreparedArrays | None]],
    ended: SitePass | str,
) -> int:
    """Let everything that a look elsewhere found count at once, as if it had been taken here.

    Parameters
    ----------
    state : StateFile
        Open for writing, held by `changedet.watch.holding.hold`.
    site : Site
        That was looked at.
    steps : sequence of Step and PreparedArrays
        What it changes, in order; of generations that two later ones replace no arrays.
    ended : SitePass or str
        What was found; why the look failed after these steps.

    Returns
    -------
    int
        How many new alerts there are.

    Raises
    ------
    UsageError
        When somebody else has changed the site since.
    StateBusyError, OutputError
        When the state file cannot be changed; then nothing of the look counts.
    """
    with state.change() as change:
        taking = _Taking.begin(change, state, site)
        alerts = sum(taking.take(change, step, prepared) for step, prepared in steps)
        if isinstance(ended, SitePass):
            end_pass(change, taking.run_id, "done", message=done_text(replace(ended, alerts=alerts)))
        else:
            end_pass(change, taking.run_id, "failed", message=ended)
    if any(step.generation for step, _ in steps):
        remove_orphans(state, site=taking.name)
    return alerts


def close_abandoned(state: StateFile) -> int:
    """Note of passes that have begun and not ended that somebody was killed.

    Parameters
    ----------
    state : StateFile
        Open for writing, held by `changedet.watch.holding.hold`: nobody else can be at work.

    Returns
    -------
    int
        How many there were.
    """
    with state.change() as change:
        query = "SELECT fid FROM runs WHERE status = 'running' AND method = ?"
        found = rows_of(change, query, (METHOD,))
        for row in found:
            end_pass(change, row["fid"], "failed", message="was interrupted; the next pass went on")
    return len(found)


@dataclass(frozen=True, eq=False)
class _Taking:
    """A pass that has begun, into which steps are taken."""

    state: StateFile
    name: str
    site_id: int
    run_id: int

    @classmethod
    def begin(cls, change: sqlite3.Connection, state: StateFile, site: Site) -> _Taking:
        """Note that a site is being looked at."""
        name, outline = site_label(site), to_lonlat(site.geometry, "EPSG:4326")
        site_id = add_site(change, name, outline, site.folder)
        return cls(state, name, site_id, begin_pass(change, site_id, method=METHOD))

    def take(self, change: sqlite3.Connection, step: Step, prepared: PreparedArrays | None) -> int:
        """Let everything that a step changes count at once, and return the number of new alerts."""
        if step.generation:
            add_arrays(change, self.state.path, self.name, prepared, replaces=step.generation - 1)
        for one in step.scenes:
            add_scene(change, self.site_id, one)
        if not step.found:
            return 0
        seen = step.scenes[-1].time
        told = _to_follow(change, self.site_id, step.found, seen)
        return self._follow(change, told, seen) if told else 0

    def _follow(self, change: sqlite3.Connection, found: list[Candidate], seen: str) -> int:
        table = candidate_table(found, seen)
        count = rows_of(change, "SELECT count(*) AS n FROM objects WHERE run_id = ?", (self.run_id,))
        table = table.assign(id=table["id"] + count[0]["n"])
        rows = add_objects(change, (self.site_id, self.run_id), table, [{} for _ in found])
        masks = list_masks(self.state, site=self.name)
        reasons = dict(zip(rows, masked_reasons(table, masks), strict=True))
        by_row = dict(zip(rows, found, strict=True))
        alerts = 0
        for sighting in follow_objects(change, self.run_id, FOLLOW):
            if not sighting.is_new:
                continue
            row = _date_from_change(change, sighting, by_row)
            if not reasons[row]:
                text = alert_text(self.name, by_row[row])
                alerts += add_alert(change, sighting, text, run_id=self.run_id)
        return alerts


def done_text(found: SitePass) -> str:
    """Say in a line what came of a pass."""
    return f"{len(found.taken)} date(s) taken, {found.alerts} new alert(s)"


def alert_text(site: str, candidate: Candidate) -> str:
    """Say in a line what an alert is about.

    Parameters
    ----------
    site : str
        Name of the site.
    candidate : Candidate
        What persists there.

    Returns
    -------
    str
    """
    return (
        f"{site}: candidate of {candidate.kind}, {candidate.area_m2:,.0f} m2, first seen between "
        f"{candidate.after[:10]} and {candidate.by[:10]}, at {candidate.point.lat:.5f}, "
        f"{candidate.point.lon:.5f}; {candidate.evidence}"
    )


def _to_follow(
    change: sqlite3.Connection, site_id: int, found: Sequence[Candidate], seen: str
) -> list[Candidate]:
    """Return what this date adds to: what is new, what grew, and everything when some time has passed."""
    query = "SELECT geom, last_seen FROM followed WHERE site_id = ?"
    recent = [
        blob_to_outline(row["geom"])
        for row in rows_of(change, query, (site_id,))
        if moment_of(row["last_seen"]) + _AGAIN > moment_of(seen)
    ]

    def _known(one: Candidate) -> bool:
        return any(
            shapely.area(shapely.intersection(one.outline, other))
            >= FOLLOW.overlap * min(one.outline.area, other.area)
            for other in recent
        )

    return [one for one in found if one.is_new or not _known(one)]


def _date_from_change(change: sqlite3.Connection, sighting: Sighting, by_row: dict[int, Candidate]) -> int:
    """Let a new thing begin when its ground changed, not when that had been borne out; return its object."""
    query = "SELECT fid FROM objects WHERE followed_id = ?"
    rows = [row["fid"] for row in rows_of(change, query, (sighting.followed_id,)) if row["fid"] in by_row]
    by = min(by_row[row].by for row in rows)
    change.execute("UPDATE followed SET first_seen = ? WHERE fid = ?", (by, sighting.followed_id))
    change.executemany("UPDATE objects SET first_seen = ? WHERE fid = ?", [(by_row[r].by, r) for r in rows])
    return int(rows[0])
