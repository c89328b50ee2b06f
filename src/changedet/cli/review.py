"""``changedet review``: verdicts on candidates, what is open, masks, precision, learning."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit
from changedet.cli.sections import PlainGroup
from changedet.cli.tables import table
from changedet.errors import UsageError

if TYPE_CHECKING:
    from changedet.watch.state import StateFile
    from changedet.watch.verdicts import Judgement

_HELP = "Record verdicts on candidates: changedet review RUN; and what follows from them."
#: Settings stand in the command that they belong to, so that ``review RUN`` reads those of this one.
DEFAULT_COMMAND = "run"


class ReviewGroup(PlainGroup):
    """A group whose first word may be a run folder, or nothing: then `DEFAULT_COMMAND` is meant."""

    #: For whoever looks up what a command line means.
    default_command = DEFAULT_COMMAND

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's, or Typer's own copy
        """Put the name of the command before what is no name of a command."""
        if not args or (args[0] not in self.commands and args[0] not in {"-h", "--help"}):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(help=_HELP, cls=ReviewGroup, rich_markup_mode=None)

Number = Annotated[
    Optional[int], typer.Option("--object", help="Number of the candidate.", min=1, metavar="N")  # noqa: UP045
]  # fmt: skip
VerdictWord = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--verdict", help="accepted, rejected or unsure.", metavar="WORD"),
]
Note = Annotated[str, typer.Option("--note", help="Why, in a sentence.", metavar="TEXT")]
Blind = Annotated[
    bool, typer.Option("--blind", help="Judge before the tool's kind and confidence are shown.")
]  # fmt: skip
OutFile = Annotated[
    Path, typer.Option("--out", "-o", help="File to write: .gpkg, .geojson or .csv.", metavar="FILE")
]
VerdictsFile = Annotated[Path, typer.Argument(help="File that the report saved.", metavar="FILE")]
Reason = Annotated[str, typer.Option("--reason", help="Why change there is benign.", metavar="TEXT")]
Until = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--until", help="Last day of images that the mask holds for; none past.", metavar="DATE"),
]
End = Annotated[
    Optional[int], typer.Option("--end", help="End the mask of this number.", min=1, metavar="N")  # noqa: UP045
]  # fmt: skip
By = Annotated[
    str, typer.Option("--by", help="year, month or all: periods of the after image.", metavar="NAME")
]


@app.callback()
def _root() -> None:
    """Record verdicts on candidates: changedet review RUN; and what follows from them."""


@app.command("run")
def run(
    folder: options.RunFolder,
    *,
    number: Number = None,
    verdict: VerdictWord = None,
    note: Note = "",
    reviewer: options.Reviewer = "",
    blind: Blind = False,
    site: options.ReviewedSite = "",
    state: options.State = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge candidates of a run: one with --object and --verdict, or each in turn in a terminal."""
    from changedet.watch.verdicts import Judgement, parse_verdict

    file = state or _beside(folder)
    if verdict is None:
        if note:
            raise UsageError("a note without a verdict", todo="add --verdict accepted, rejected or unsure")
        if number is None and not as_json and sys.stdin.isatty() and sys.stderr.isatty():
            from changedet.cli.review_loop import start_loop

            start_loop(file, folder, reviewer, blind=blind, site_name=site)
            return
        _show(file, folder, number, blind=blind, site=site, as_json=as_json)
        return
    if number is None:
        raise UsageError("a verdict on nothing", todo="name the candidate with --object N")
    said = Judgement(parse_verdict(verdict), reviewer, note, blind)
    _record(file, folder, number, said, site=site, as_json=as_json)


@app.command("status")
def status(
    site: options.ReviewedSite = "", state: options.State = None, as_json: options.AsJson = False
) -> None:
    """Say for each run what is open, accepted, rejected, unsure and masked."""
    from changedet.watch.ranking import count_runs
    from changedet.watch.state import open_state

    with open_state(_found(state)) as opened:
        rows = count_runs(opened, site=site)
    heads = ("site", "folder", "after", "candidates", "open", "accepted", "rejected", "unsure", "masked")
    left, flagged = (sum(row[name] for row in rows) for name in ("open", "candidates"))
    lines = [f"{left} open of {flagged} candidate(s) in {len(rows)} run(s)"]
    lines += table([heads, *([str(row[name]) for name in heads] for row in rows)])
    emit({"state": str(_found(state)), "runs": rows}, lines, as_json=as_json)


@app.command("export")
def export(
    out: OutFile,
    site: options.ReviewedSite = "",
    state: options.State = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Write every verdict that was ever recorded as a file for others, oldest first."""
    from changedet.watch.export import write_verdicts
    from changedet.watch.state import open_state
    from changedet.watch.verdicts import history

    with open_state(_found(state)) as opened:
        told = history(opened, site=site)
    write_verdicts(told, out, overwrite=overwrite)
    emit({"file": str(out), "verdicts": len(told)}, [f"{len(told)} verdict(s) in {out}"], as_json=as_json)


@app.command("import")
def import_file(
    folder: options.RunFolder,
    file: VerdictsFile,
    site: options.ReviewedSite = "",
    state: options.State = None,
    as_json: options.AsJson = False,
) -> None:
    """Record the verdicts that a reader gave in the report of a run and saved as a file."""
    from changedet.watch.verdict_files import import_verdicts

    target = state or _beside(folder)
    done = import_verdicts(target, folder, file, site_name=site)
    lines = [f"{done.added} verdict(s) recorded, {done.known} known before", f"state: {target}"]
    document = {"state": str(target), "run": str(folder), "added": done.added, "known": done.known}
    emit(document, lines, as_json=as_json)


@app.command("mask")
def mask(
    *,
    site: options.ReviewedSite = "",
    aoi: options.Aoi = None,
    reason: Reason = "",
    until: Until = None,
    end: End = None,
    reviewer: options.Reviewer = "",
    state: options.State = None,
    as_json: options.AsJson = False,
) -> None:
    """List the masks; with --aoi draw one for known benign change, with --end end one."""
    from changedet.watch.masks import add_mask, end_mask, list_masks
    from changedet.watch.runs import site_row
    from changedet.watch.state import open_state

    file = _found(state)
    if aoi is not None or end is not None:
        with open_state(file, write=True) as opened, opened.change() as change:
            if end is not None:
                end_mask(change, end)
            if aoi is not None:
                known = site_row(change, site)
                add_mask(
                    change, known["fid"], _outline(aoi), reason=reason, until=_day(until), made_by=reviewer
                )
    with open_state(file) as opened:
        rows = [_mask_row(row) for row in list_masks(opened, site=site).to_dict("records")]
    heads = ("number", "site", "until", "ended", "made by", "reason")
    lines = [f"{len(rows)} mask(s) in {file}"]
    lines += table([heads, *([str(row[name]) for name in heads] for row in rows)]) if rows else []
    emit({"state": str(file), "masks": rows}, lines, as_json=as_json)


@app.command("precision")
def precision(
    site: options.ReviewedSite = "",
    by: By = "year",
    state: options.State = None,
    as_json: options.AsJson = False,
) -> None:
    """Say which share of the judged candidates was accepted, by site, kind and period, with an interval."""
    from changedet.watch.precision import precision_rows
    from changedet.watch.state import open_state

    with open_state(_found(state)) as opened:
        rows = precision_rows(opened, site=site, by=by)
    heads = ("site", "kind", "period", "flagged", "accepted", "rejected", "unsure", "precision", "interval")
    lines = table([heads, *(_precision_cells(row) for row in rows)])
    lines.append(
        "precision: accepted / (accepted + rejected); interval: 95 %, Wilson 1927; unsure stands apart"
    )
    emit({"state": str(_found(state)), "rows": rows}, lines, as_json=as_json)


@app.command("learn")
def learn(site: options.ReviewedSite, state: options.State = None, as_json: options.AsJson = False) -> None:
    """Learn from the verdicts at a site which candidates resemble rejected ones, so that they come later."""
    from changedet.watch.learning import learn_site
    from changedet.watch.state import open_state

    with open_state(_found(state), write=True) as opened:
        _check_site(opened, site)
        model = learn_site(opened, site)
    emit(
        {"state": str(_found(state)), "site": site, "model": model.to_dict()},
        model.sentences(),
        as_json=as_json,
    )


def _check_site(opened: StateFile, site: str) -> None:
    """Refuse a name that the file does not know, before it is said that there are too few verdicts at it."""
    known = [str(row["name"]) for row in opened.rows("SELECT name FROM sites ORDER BY name")]
    if site not in known:
        names = ", ".join(repr(name[:40]) for name in known[:8]) or "none"
        raise UsageError(
            f"no site {site[:60]!r}; the state file knows {names}", todo="name one of them with --site"
        )


def _record(file: Path, folder: Path, number: int, said: Judgement, *, site: str, as_json: bool) -> None:
    from changedet.watch.verdicts import record

    told = record(file, folder, number, said, site_name=site)
    rows = [object_document(row) for row in told.drop(columns="geometry").to_dict("records")]
    last = rows[-1]
    line = f"candidate {number} ({last['kind']}): {last['verdict']} by {last['reviewer']}, {last['time_utc']}"
    emit(
        {"state": str(file), "run": str(folder), "verdicts": rows}, [line, f"state: {file}"], as_json=as_json
    )


def _show(file: Path, folder: Path, number: int | None, *, blind: bool, site: str, as_json: bool) -> None:
    """List the candidates of a run, or tell all of one."""
    from changedet.cli.review_loop import describe, open_run_for_review
    from changedet.watch.ranking import ranked_objects
    from changedet.watch.runs import read_run
    from changedet.watch.state import open_state

    read = read_run(folder, site_name=site)  # what is no run folder leaves no state file behind
    with open_state(file, write=True) as opened:
        run_id = open_run_for_review(opened, read)
        objects = ranked_objects(opened, run_id)
    if number is not None:
        objects = objects[objects["number"] == number]
        if objects.empty:
            raise UsageError(f"the run has no candidate {number}", todo="see changedet review RUN")
    rows = [object_document(row, blind=blind) for row in objects.drop(columns="geometry").to_dict("records")]
    if number is None:
        lines = _listing(rows, blind=blind)
    else:
        lines = [line for row in objects.to_dict("records") for line in describe(row, blind=blind)]
    emit({"state": str(file), "run": str(folder), "objects": rows}, lines, as_json=as_json)


def object_document(row: dict[str, Any], *, blind: bool = False) -> dict[str, Any]:
    """Return a row of a table of objects or verdicts for a program.

    Parameters
    ----------
    row : dict
        Without its outline.
    blind : bool
        Leave out what the tool says of the candidate.

    Returns
    -------
    dict
        JSON-serialisable, without numbers of rows that mean nothing outside the file.
    """
    from changedet.provenance import to_json_types

    hidden = {"fid", "site_id", "run_id", "followed_id", "object_id"}
    if blind:
        hidden |= {"kind", "score", "score_mads", "construction", "context_share", "confidence", "evidence",
                   "warnings", "features", "sensor", "mask", "learnt", "hint", "rank"}  # fmt: skip
    return {name: to_json_types(value) for name, value in row.items() if name not in hidden}


def _listing(rows: list[dict[str, Any]], *, blind: bool) -> list[str]:
    if not rows:
        return [
            "no candidate was flagged in this run: there is nothing to judge; its report says what was seen"
        ]
    if blind:
        rows = sorted(rows, key=lambda row: str(row["mgrs"]))
        heads: tuple[str, ...] = ("number", "mgrs", "area_m2", "verdict")
    else:
        heads = ("rank", "number", "kind", "confidence", "area_m2", "mgrs", "verdict")
    cells = [
        [str(row[name] or "open") if name == "verdict" else str(row[name]) for name in heads] for row in rows
    ]
    why = [" ".join(filter(None, (row.get("mask"), row.get("learnt"), row.get("hint")))) for row in rows]
    lines = table([heads, *cells])
    return [lines[0], *(f"{line}  {text}".rstrip() for line, text in zip(lines[1:], why, strict=True))]


def _beside(folder: Path) -> Path:
    from changedet.watch.state import DEFAULT_NAME

    return folder.resolve().parent / DEFAULT_NAME


def _found(state: Path | None) -> Path:
    """Return the state file that is meant: the one that is named, else the one beside the runs."""
    from changedet.watch.state import DEFAULT_NAME

    if state is not None:
        return state
    places = [Path(DEFAULT_NAME), Path("changedet-runs") / DEFAULT_NAME]
    return next((place for place in places if place.is_file()), places[0])


def _outline(file: Path) -> Any:  # noqa: ANN401  # shapely ships no precise type for "any polygon"
    from changedet.site_lists import read_sites

    sites = read_sites(file, radius_m=0.0)
    if len(sites) != 1:
        raise UsageError(f"holds {len(sites)} outlines", where=str(file), todo="give one mask at a time")
    return sites[0].geometry


def _day(text: str | None) -> date:
    """Read the last day of a mask: one that is over would hide nothing that is still to come."""
    today = datetime.now(UTC).date()
    todo = f"give a day to come, such as --until {today.year + 1}-12-31"
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        what = f"{text[:40]!r} is no last day" if text else "a mask needs an end"
        raise UsageError(what, todo=todo) from None
    if day < today:
        raise UsageError(f"the last day {day} is past: the mask would hold for no image to come", todo=todo)
    return day


def _mask_row(row: dict[str, Any]) -> dict[str, Any]:
    ended = row["ended_utc"] if isinstance(row["ended_utc"], str) else ""  # not a number where none has ended
    return {
        "number": row["fid"], "site": row["site"], "until": row["until"], "ended": ended,
        "made by": row["made_by"], "reason": row["reason"], "made_utc": row["made_utc"],
    }  # fmt: skip


def _precision_cells(row: dict[str, Any]) -> list[str]:
    names = ("site", "kind", "period", "flagged", "accepted", "rejected", "unsure")
    if row["precision"] is None:
        return [*(str(row[name]) for name in names), "not judged", ""]
    return [
        *(str(row[name]) for name in names),
        f"{row['precision']:.2f}",
        "{:.2f} to {:.2f}".format(*row["interval"]),
    ]
