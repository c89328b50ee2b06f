"""Verdicts of reviewers: never altered, the last one counts, and later runs of the same thing know it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import UsageError
from changedet.watch.geopackage import day_of, note_change, utc_text
from changedet.watch.runs import add_run, frame_of, objects_of, read_run
from changedet.watch.state import insert, open_state, rows_of

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    import geopandas as gpd

    from changedet.watch.state import StateFile

#: Share of their union that two outlines must have in common to be the same object. Below one half
#: an object has more than doubled or halved, and somebody should look again.
MATCH_IOU = 0.5
_LONGEST_NAME = 80
_LONGEST_NOTE = 2000
_COLUMNS = (
    "fid", "object_id", "site", "run_digest", "number", "kind", "verdict", "reviewer", "time_utc", "note",
    "blind",
)  # fmt: skip
#: Columns that `standing` adds to the objects.
STANDING_COLUMNS = ("verdict", "reviewer", "time_utc", "note", "blind", "carried_from", "overlap", "hint")


class Verdict(StrEnum):
    """What a reviewer says of a candidate."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Judgement:
    """A verdict with who gave it.

    Attributes
    ----------
    verdict : Verdict
        Accepted, rejected or unsure.
    reviewer : str
        Who says so; never empty.
    note : str
        Why.
    blind : bool
        True when the reviewer had not been shown the kind, the score and the confidence of the tool.
    time : datetime, optional
        When; now when not given.

    Raises
    ------
    UsageError
        When the reviewer is missing, or a text is too long.
    """

    verdict: Verdict
    reviewer: str
    note: str = ""
    blind: bool = False
    time: datetime | None = None

    def __post_init__(self) -> None:
        if not self.reviewer.strip():
            raise UsageError("nobody is named", todo="say who judges: --reviewer NAME or CHANGEDET_REVIEWER")
        if len(self.reviewer) > _LONGEST_NAME or len(self.note) > _LONGEST_NOTE:
            raise UsageError(
                f"a name has at most {_LONGEST_NAME} letters, a note {_LONGEST_NOTE}", todo="shorten it"
            )


def parse_verdict(text: str) -> Verdict:
    """Read a verdict.

    Parameters
    ----------
    text : str
        A word, or its first letter.

    Returns
    -------
    Verdict

    Raises
    ------
    UsageError
        When it is another word.

    Examples
    --------
    >>> parse_verdict("r"), parse_verdict("Accepted")
    (<Verdict.REJECTED: 'rejected'>, <Verdict.ACCEPTED: 'accepted'>)
    """
    word = text.strip().lower()
    for verdict in Verdict:
        if word in {verdict.value, verdict.value[0]}:
            return verdict
    raise UsageError("no verdict", where=repr(text[:40]), todo="say accepted, rejected or unsure")


def record(
    file: str | Path, run: str | Path, number: int, judgement: Judgement, *, site_name: str = ""
) -> gpd.GeoDataFrame:
    """Record a verdict on a candidate of a run folder.

    Parameters
    ----------
    file : str or Path
        The state file; made when it is not there.
    run : str or Path
        The run folder.
    number : int
        ``id`` of the candidate.
    judgement : Judgement
        The verdict and who gives it.
    site_name : str
        What to call the site; the name of the run when not given.

    Returns
    -------
    GeoDataFrame
        All verdicts on this candidate, oldest first.

    Raises
    ------
    UsageError
        When there is no such candidate, or a blind verdict is not blind.
    InputFileError
        When the run folder or the file cannot be used.
    StateBusyError
        When somebody else is writing.

    Examples
    --------
    >>> said = Judgement(Verdict.REJECTED, "A. Reader", note="harvest")
    >>> record("runs/verdicts.gpkg", "runs/pier", 3, said)  # doctest: +SKIP
    """
    folder = read_run(run, site_name=site_name)
    with open_state(file, write=True) as state:
        with state.change() as change:
            run_id = add_run(change, folder)
            add_verdict(change, (run_id, number), judgement)
        told = history(state)
        mine = (told["run_digest"] == folder.digest) & (told["number"] == number)
        return told[mine].reset_index(drop=True)


def add_verdict(change: sqlite3.Connection, which: tuple[int, int], judgement: Judgement) -> int:
    """Add a verdict on an object of a run that the state file knows.

    Parameters
    ----------
    change : sqlite3.Connection
        Of `StateFile.change`.
    which : tuple of two int
        ``fid`` of the run, ``id`` of the candidate.
    judgement : Judgement
        The verdict and who gives it.

    Returns
    -------
    int
        ``fid`` of the row.

    Raises
    ------
    UsageError
        When there is no such candidate, or the reviewer of a blind verdict has judged it before and has been
        shown since what the tool says.
    """
    found = rows_of(
        change,
        "SELECT objects.fid, objects.geom, objects.kind, objects.number, sites.name AS site, runs.digest"
        " FROM objects JOIN runs ON runs.fid = objects.run_id JOIN sites ON sites.fid = objects.site_id"
        " WHERE objects.run_id = ? AND objects.number = ?",
        which,
    )
    if not found:
        count = rows_of(change, "SELECT count(*) AS n FROM objects WHERE run_id = ?", which[:1])[0]["n"]
        raise UsageError(
            f"the run has no candidate {which[1]}", todo=f"give a number from 1 to {count}" if count else
            "it flagged nothing",
        )  # fmt: skip
    one = found[0]
    if judgement.blind:
        _require_unseen(change, one["fid"], judgement.reviewer)
    row = {
        "geom": one["geom"], "object_id": one["fid"], "site": one["site"], "run_digest": one["digest"],
        "number": one["number"], "kind": one["kind"], "verdict": judgement.verdict.value,
        "reviewer": judgement.reviewer.strip(), "time_utc": utc_text(judgement.time or datetime.now(UTC)),
        "note": judgement.note.strip(), "blind": int(judgement.blind),
    }  # fmt: skip
    note_change(change, "verdicts", frame_of([one]).geometry.iloc[0])
    return insert(change, "verdicts", row)


def history(state: StateFile, *, site: str = "") -> gpd.GeoDataFrame:
    """Return every verdict that was ever recorded, oldest first.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Of this site only.

    Returns
    -------
    GeoDataFrame
        Columns of the table ``verdicts`` and ``first_seen`` of the candidate; ``blind`` is bool; outlines in
        longitude and latitude.
    """
    where, values = ("WHERE verdicts.site = ?", (site,)) if site else ("", ())
    rows = state.rows(
        "SELECT verdicts.*, objects.first_seen, objects.last_seen_before FROM verdicts"
        f" JOIN objects ON objects.fid = verdicts.object_id {where} ORDER BY verdicts.fid",
        values,
    )
    table = frame_of(rows, empty=(*_COLUMNS, "first_seen", "last_seen_before"))
    return table.assign(blind=table["blind"].astype(bool))


def standing(state: StateFile, run_id: int) -> gpd.GeoDataFrame:
    """Return the objects of a run with the verdict that counts for each.

    A verdict on an object of another run at the same site carries over when both outlines have at least
    `MATCH_IOU` of their union in common, the kinds are the same and the compared periods overlap. What fits
    in place only is a ``hint``. Of all verdicts that count for an object the last one stands.

    Parameters
    ----------
    state : StateFile
        Open.
    run_id : int
        ``fid`` of the run.

    Returns
    -------
    GeoDataFrame
        The columns of `changedet.watch.runs.objects_of` and `STANDING_COLUMNS`: ``verdict`` is "" while it is
        open; ``carried_from`` is "" for a verdict on this very object, else the digest of the run and the
        number there; ``overlap`` is the share in common.
    """
    objects = objects_of(state, run_id=run_id)
    site = str(objects["site"].iloc[0]) if len(objects) else ""
    told = history(state, site=site)
    pairs = zip(objects.to_dict("records"), overlaps(objects, told), strict=True)
    rows = [_stands(one, told, shares) for one, shares in pairs]
    return objects.assign(**{name: [row[name] for row in rows] for name in STANDING_COLUMNS})


def latest(told: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the last verdict on each object.

    Parameters
    ----------
    told : GeoDataFrame
        From `history`.

    Returns
    -------
    GeoDataFrame
        At most one row for each ``object_id``.
    """
    return told.drop_duplicates("object_id", keep="last").reset_index(drop=True)


def _require_unseen(change: sqlite3.Connection, object_id: int, reviewer: str) -> None:
    seen = rows_of(
        change,
        "SELECT number FROM verdicts WHERE object_id = ? AND reviewer = ?",
        (object_id, reviewer.strip()),
    )
    if seen:
        raise UsageError(
            f"{reviewer.strip()} has judged candidate {seen[0]['number']} before and has seen its kind",
            todo="record a changed mind without --blind",
        )


def overlaps(objects: gpd.GeoDataFrame, others: gpd.GeoDataFrame) -> list[dict[int, float]]:
    """Return, for each object, the share in common with every other one that it meets.

    Parameters
    ----------
    objects, others : GeoDataFrame
        In longitude and latitude.

    Returns
    -------
    list of dict of int to float
        For each object, intersection over union by place in `others`.
    """
    import shapely

    found: list[dict[int, float]] = [{} for _ in range(len(objects))]
    if not (len(objects) and len(others)):
        return found
    ours, theirs = objects.geometry.to_numpy(), others.geometry.to_numpy()
    left, right = shapely.STRtree(theirs).query(ours, predicate="intersects")
    common = shapely.area(shapely.intersection(ours[left], theirs[right]))
    # degrees of longitude are shorter than those of latitude by the same factor in both: the ratio stays
    share = common / np.maximum(shapely.area(ours[left]) + shapely.area(theirs[right]) - common, 1e-30)
    for place, other, value in zip(left.tolist(), right.tolist(), share.tolist(), strict=True):
        found[place][other] = value
    return found


def _stands(one: dict[str, Any], told: gpd.GeoDataFrame, shares: dict[int, float]) -> dict[str, Any]:
    """Return what stands for an object: the last verdict that counts, else a hint at one that does not."""
    stands = dict.fromkeys(STANDING_COLUMNS, "") | {"blind": False, "overlap": 0.0}
    for other in sorted(shares):
        said, share = told.iloc[other], shares[other]
        own = said["object_id"] == one["fid"]
        if not own and share < MATCH_IOU:
            continue
        if not own and not (said["kind"] == one["kind"] and _periods_meet(one, said)):
            stands["hint"] = f"earlier {said['verdict']} as {said['kind']}, {said['first_seen'][:10]}"
            continue
        stands |= {name: said[name] for name in ("verdict", "reviewer", "time_utc", "note")}
        stands |= {"blind": bool(said["blind"]), "overlap": 1.0 if own else round(share, 3)}
        stands["carried_from"] = "" if own else f"{said['run_digest'][:12]} object {said['number']}"
    return stands


def _periods_meet(one: dict[str, Any], other: Any) -> bool:  # noqa: ANN401  # a row of pandas
    """Tell whether two comparisons can show the same event; unknown dates do not speak against it."""
    starts = [day_of(str(row["last_seen_before"])) for row in (one, other)]
    ends = [day_of(str(row["first_seen"])) for row in (one, other)]
    days = [*starts, *ends]
    if any(day is None for day in days):
        return True
    return max(day for day in starts if day) < min(day for day in ends if day)
