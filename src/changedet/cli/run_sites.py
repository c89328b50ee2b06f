"""A run at every site of a list, as the command line carries it out and tells of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from changedet.batch import Batch, Fate, Outcome, require_all, run_sites, safe_name, site_label
from changedet.cli.console import emit, say
from changedet.cli.run_one import cost_text, work
from changedet.cli.tables import table
from changedet.errors import ChangedetError, InterruptedRunError, SomeSitesFailedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.cli.run_one import Display, Output
    from changedet.investigation import Investigation
    from changedet.result import ChangeResult
    from changedet.site import Site

_HEAD = ("site", "outcome", "candidates", "folder", "reason")
_LONGEST_REASON = 100
_PROVISIONAL = (
    "Dates with a question mark are provisional: the run first looks at the site, which is counted above, "
    "and may then choose others."
)


def chosen_sites(
    path: Path | None, names: Sequence[str], *, alone: Sequence[object]
) -> tuple[Path, tuple[Site, ...]]:
    """Read the sites that the options name.

    Parameters
    ----------
    path : Path or None
        List of sites.
    names : sequence of str
        Names, or ``group/name``; all sites when empty.
    alone : sequence
        What the options for a single place say; nothing of it may be said.

    Returns
    -------
    Path, tuple of Site
        The list, and its sites in its order.

    Raises
    ------
    UsageError
        When the options contradict each other, or the list has no site of a name.
    InputFileError
        When the list cannot be read.
    """
    from changedet.site import read_sites

    if path is None:
        raise UsageError("--site says nothing without --sites", todo="name the list of sites with --sites")
    if any(value is not None for value in alone):
        raise UsageError(
            "--sites contradicts --at, --radius, --bbox, --aoi and --name",
            todo="give a list of sites or one place",
        )
    sites = read_sites(path)
    known = {label: None for site in sites for label in (site.name, site_label(site))}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 3) or list(known)[:3]
            raise UsageError(
                f"there is no site {name!r}", where=str(path), todo=f"take one such as {', '.join(near)}"
            )
    found = tuple(s for s in sites if not names or s.name in names or site_label(s) in names)
    return path, found


def run_list(
    chosen: tuple[Path, tuple[Site, ...]], asked: Investigation, output: Output, display: Display
) -> None:
    """Run at every site, print the summary, and end with the exit code that stands for all."""
    path, sites = chosen
    folder = output.out or _default_folder(path)
    batch = Batch(folder, sites, asked.to_dict())
    continued = batch.begin(overwrite=output.overwrite)
    outcomes: list[Outcome] = []
    stopped = False
    with display.bar() as bar:
        provider = asked.open(bar)

        def _work(site: Site, target: Path, replaceable: bool) -> ChangeResult:
            bar.step(f"{site_label(site)}: choosing dates")
            started = datetime.now(UTC)
            planned = asked.plan(site, provider, bar)
            own = replace(output, overwrite=replaceable)
            return work(planned, asked, provider, target, own, bar, started)

        try:
            for outcome in run_sites(batch, _work, overwrite=output.overwrite):
                outcomes.append(outcome)
                say(_line(outcome, len(outcomes), len(sites)), quiet=display.quiet)
        except KeyboardInterrupt:
            stopped = True
    outcomes += [_not_reached(site) for site in sites[len(outcomes) :]]
    document = _document(folder, outcomes)
    earlier = sum(one.earlier for one in outcomes)
    if continued or earlier:
        say(f"{earlier} of {len(sites)} sites were complete already and were not run again",
            quiet=display.quiet)  # fmt: skip
    _finish(outcomes, document, stopped=stopped, output=output, quiet=display.quiet)


def _finish(
    outcomes: Sequence[Outcome], document: dict[str, Any], *, stopped: bool, output: Output, quiet: bool
) -> None:
    for line in _summary(outcomes):
        say(line, quiet=quiet)
    if stopped:
        done = sum(one.whole for one in outcomes)
        raise InterruptedRunError(
            f"stopped by the user; {done} of {len(outcomes)} sites are complete",
            todo="the same command again goes on with the others",
            details=document,
        )
    require_all(outcomes, document)
    emit(document, [document["folder"]], as_json=output.as_json)
    found = any(one.candidates for one in outcomes)
    raise typer.Exit(int(output.exit_code and found))


def dry_run_sites(
    chosen: tuple[Path, tuple[Site, ...]], asked: Investigation, output: Output, display: Display
) -> None:
    """Print what would be fetched for each site and in all."""
    from changedet.providers.base import Estimate

    rows: list[dict[str, Any]] = []
    total = Estimate()
    errors: list[ChangedetError] = []
    with display.bar() as bar:
        provider = asked.open(bar)
        for site in chosen[1]:
            bar.step(f"{site_label(site)}: choosing dates")
            try:
                planned = asked.plan(site, provider, bar, looking=False)
            except ChangedetError as error:
                errors.append(error)
                rows.append({"label": site_label(site), "reason": str(error)})
                continue
            total += planned.estimate
            rows.append({"label": site_label(site)} | planned.to_dict())
    document = {"sites": rows, "estimate": total.to_dict()}
    planned_count = f"{len(rows) - len(errors)} of {len(rows)} site(s)"
    lines = [
        *table([("site", "before", "after", "takes"), *map(_plan_row, rows)]),
        "",
        f"Would fetch for {planned_count}: {cost_text(total)}.",
    ]
    if any(row.get("provisional") for row in rows):
        lines.append(_PROVISIONAL)
    if not errors:
        emit(document, lines, as_json=output.as_json)
        return
    if not output.as_json:
        emit(document, lines, as_json=False)
    raise (SomeSitesFailedError if len(errors) < len(rows) else type(errors[0]))(
        f"{len(errors)} of {len(rows)} site(s) have no plan: {errors[0]}", details=document
    )


def _plan_row(row: dict[str, Any]) -> tuple[str, ...]:
    if "chosen" not in row:
        return row["label"], "-", "-", _short(row["reason"])
    from changedet.providers.base import Estimate

    mark = "?" if row["provisional"] else ""
    dates = [" ".join(s["time_utc"][:10] + mark for s in row["chosen"][word]) for word in ("before", "after")]
    return row["label"], *dates, cost_text(Estimate(**row["estimate"]))


def _default_folder(path: Path) -> Path:
    return Path("changedet-runs") / f"{safe_name(path.stem) or 'sites'}-{datetime.now(UTC):%Y-%m-%d}"


def _not_reached(site: Site) -> Outcome:
    return Outcome(site_label(site), Fate.NOT_TRIED, "", reason="stopped by the user before it")


def _line(outcome: Outcome, number: int, count: int) -> str:
    candidates = "" if outcome.candidates is None else f", {outcome.candidates} candidate(s)"
    earlier = " already" if outcome.earlier else ""
    return f"{number} of {count}  {outcome.site}: {outcome.fate}{earlier}{candidates}"


def _document(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    fates = [outcome.fate for outcome in outcomes]
    return {
        "folder": str(folder),
        "counts": {str(fate): fates.count(fate) for fate in Fate if fate in fates},
        "sites": [outcome.to_dict() for outcome in outcomes],
    }


def _summary(outcomes: Sequence[Outcome]) -> list[str]:
    rows = [
        (
            one.site,
            str(one.fate),
            "-" if one.candidates is None else str(one.candidates),
            one.folder if one.whole else "-",
            _short(one.reason) or "-",
        )
        for one in outcomes
    ]
    return table([_HEAD, *rows])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."
