"""A run at every site of a list, as the command line carries it out and tells of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from changedet.attempts import Failure, attempt_all, error_for_all
from changedet.batch import Batch, Fate, Outcome, require_all, safe_name, site_folders, site_label
from changedet.batch_running import run_sites
from changedet.cli.console import command_line, emit, say
from changedet.cli.detect import radius_of
from changedet.cli.run_one import cost_text, work
from changedet.cli.tables import table
from changedet.errors import InterruptedRunError, NoUsableImageryError, ProviderError, UsageError
from changedet.progress import Several, begin_site
from changedet.providers.cache_files import digest_of, without_secrets
from changedet.scale.executors import Serial, open_executor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from changedet.access.archives import Archives
    from changedet.batch_running import Trial
    from changedet.cli.run_one import Display, Output
    from changedet.investigation import Investigation, Planned
    from changedet.progress import Progress
    from changedet.result import ChangeResult
    from changedet.site import Site


@dataclass(frozen=True)
class Workers:
    """Who works at the sites: the options of that name."""

    scheduler: str = "local"
    jobs: int | None = None


_ALONE = Workers()
_HEAD = ("site", "outcome", "candidates", "folder", "reason")
_LONGEST_REASON = 100
_PROVISIONAL = (
    "Dates with a question mark are provisional: the run first looks at the site, which is counted above, "
    "and may then choose others."
)


def chosen_sites(
    path: Path | None, names: Sequence[str], *, alone: Mapping[str, object], radius: str | None
) -> tuple[Path, tuple[Site, ...]]:
    """Read the sites that the options name.

    Parameters
    ----------
    path : Path or None
        List of sites.
    names : sequence of str
        Names, or ``group/name``; all sites when empty.
    alone : mapping
        What the options for a single place say, by option; nothing of it may be said.
    radius : str or None
        Size of the sites that are points, as `changedet.site.parse_length_m` reads it.

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
    from changedet.site_lists import read_sites

    if path is None:
        raise UsageError("--site says nothing without --sites", todo="name the list of sites with --sites")
    if given := [option for option, value in alone.items() if value is not None]:
        raise UsageError(
            f"--sites contradicts {' and '.join(given)}", todo="give a list of sites or one place"
        )
    sites = read_sites(path, radius_m=radius_of(radius))
    known = {label: None for site in sites for label in (site.name, site_label(site))}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 3) or list(known)[:3]
            raise UsageError(
                f"there is no site {name!r}", where=str(path), todo=f"take one such as {', '.join(near)}"
            )
    found = tuple(s for s in sites if not names or s.name in names or site_label(s) in names)
    return path, found


@dataclass(frozen=True)
class SiteWork:
    """What is done at each site; it and the sites travel to workers elsewhere, and nothing secret with them.

    Attributes
    ----------
    asked : Investigation
        What is asked of every site. Addresses and accounts stand in the settings of whoever does the work.
    output : Output
        What comes out.
    archives : Archives or None
        Of this process and thread alone; None: opened for each site.
    """

    asked: Investigation
    output: Output
    archives: Archives | None = None

    def __call__(self, trial: Trial, progress: Progress) -> ChangeResult:
        """Choose the dates of a site, fetch, compare and save them."""
        progress.step("choosing dates")
        archives = self.archives or self.asked.open(progress)
        started = datetime.now(UTC)
        planned = self.asked.plan(trial.site, archives, progress)
        own = replace(self.output, overwrite=trial.replaceable)
        return work(planned, self.asked, archives, trial.folder, own, progress, started)


def run_list(
    chosen: tuple[Path, tuple[Site, ...]],
    asked: Investigation,
    output: Output,
    display: Display,
    workers: Workers = _ALONE,
) -> None:
    """Run at every site, print the summary, and end with the exit code that stands for all."""
    from changedet.output.index_page import write_index
    from changedet.output.kmz_sites import write_sites_kmz

    path, sites = chosen
    ended: dict[str, Outcome] = {}
    stopped = False
    with display.bar() as bar:
        archives = asked.open(bar)
        _require_affordable(sites, asked, archives)
        batch = _batch(path, sites, _request(asked, archives, output), output.out)
        continued = batch.begin(overwrite=output.overwrite)
        several = Several(bar, len(sites))
        try:
            with open_executor(workers.scheduler, workers.jobs) as executor:
                for outcome in run_sites(
                    batch,
                    _site_work(asked, output, archives, alone=isinstance(executor, Serial)),
                    overwrite=output.overwrite,
                    executor=executor,
                    hear=lambda trial: several.of(trial.label, trial.number),
                ):
                    ended[outcome.folder] = outcome
                    say(_line(outcome, len(ended), len(sites)), quiet=display.quiet)
        except KeyboardInterrupt:
            stopped = True
    found = [(site, ended.get(name)) for site, name in zip(sites, site_folders(sites), strict=True)]
    outcomes = [outcome or _not_reached(site) for site, outcome in found]
    write_index(batch.folder, outcomes, name=path.stem)
    write_sites_kmz(batch.folder, sites, outcomes, name=path.stem)
    document = _document(batch.folder, outcomes)
    earlier = sum(one.earlier for one in outcomes)
    if continued or earlier:
        say(f"{earlier} of {len(sites)} sites were complete already and were not run again",
            quiet=display.quiet)  # fmt: skip
    _finish(outcomes, document, stopped=stopped, output=output, quiet=display.quiet)


def _site_work(asked: Investigation, output: Output, archives: Archives, *, alone: bool) -> SiteWork:
    """Return what is done at each site, by this thread alone or wherever there is somebody to do it."""
    if alone:
        return SiteWork(asked, output, archives)
    require_no_limit(limited=archives.limited)
    cache = asked.access.cache
    here = replace(asked.access, cache=None if cache is None else cache.absolute())
    return SiteWork(replace(asked, access=here), replace(output, command=tuple(command_line())))


def require_no_limit(*, limited: bool) -> None:
    """Refuse a limit on costs that nobody could hold: each worker counts for itself.

    Raises
    ------
    UsageError
        When there is one.
    """
    if limited:
        raise UsageError(
            "a limit on processing units cannot be held where several sites are worked on at one time",
            todo="leave out --scheduler, or the limit (changedet plan says what all of them cost)",
        )


def _require_affordable(sites: Sequence[Site], asked: Investigation, archives: Archives) -> None:
    """Refuse a list that would cost more than the limit, before anything is spent at its first site."""
    if not archives.limited:
        return
    units = 0.0
    for site in sites:
        # a site that fails for its own reasons costs nothing, and is told of when its turn comes
        with suppress(NoUsableImageryError, ProviderError):
            units += asked.plan(site, archives, looking=False).estimate.processing_units
    archives.require(units)


def _request(asked: Investigation, archives: Archives, output: Output) -> dict[str, Any]:
    """Return what decides what lies in the run folders; of addresses only a digest, without passwords."""
    archive = digest_of(without_secrets(list(archives.endpoints)))
    said = {"archive_sha256": archive, "keep_images": output.keep_images}
    return asked.to_dict() | said | ({"redact_coordinates": True} if output.redact else {})


def _batch(path: Path, sites: tuple[Site, ...], request: dict[str, Any], out: Path | None) -> Batch:
    """Return the batch in the folder that was named, else in one that the same request finds again."""
    batch = Batch(out or Path(), sites, request)
    name = f"{safe_name(path.stem) or 'sites'}-{batch.digest[:8]}"
    return batch if out else replace(batch, folder=Path("changedet-runs") / name)


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

    with display.bar() as bar:
        archives = asked.open(bar)
        numbers = count(1)

        def _plan(site: Site) -> Planned:
            begin_site(bar, site_label(site), next(numbers), len(chosen[1]))
            bar.step("choosing dates")
            return asked.plan(site, archives, bar, looking=False)

        found = list(attempt_all([(site_label(site), site) for site in chosen[1]], _plan))
    failures = [one for one in found if isinstance(one, Failure)]
    total = sum((one.estimate for one in found if not isinstance(one, Failure)), Estimate())
    rows = [_planned_row(site, one) for site, one in zip(chosen[1], found, strict=True)]
    document = {"sites": rows, "estimate": total.to_dict()}
    planned_count = f"{len(rows) - len(failures)} of {len(rows)} site(s)"
    lines = [
        *table([("site", "before", "after", "takes"), *map(_plan_row, rows)]),
        "",
        f"Would fetch for {planned_count}: {cost_text(total)}.",
    ]
    if any(row.get("provisional") for row in rows):
        lines.append(_PROVISIONAL)
    if not failures or not output.as_json:
        emit(document, lines, as_json=output.as_json)
    if failures:
        raise error_for_all(failures, len(rows), "plan", document)


def _planned_row(site: Site, found: Planned | Failure) -> dict[str, Any]:
    label = {"label": site_label(site)}
    return label | ({"reason": found.reason} if isinstance(found, Failure) else found.to_dict())


def _plan_row(row: dict[str, Any]) -> tuple[str, ...]:
    if "chosen" not in row:
        return row["label"], "-", "-", _short(row["reason"])
    from changedet.providers.base import Estimate

    mark = "?" if row["provisional"] else ""
    tracks = (row.get("radar") or {}).get("tracks", ())
    dates = []
    for word in ("before", "after"):
        named = [scene["time_utc"][:10] + mark for scene in row["chosen"][word]]
        passes = sum(len(track[word]) for track in tracks)
        dates.append(" ".join([*named, *([f"{passes} radar passes"] if passes else [])]))
    return row["label"], *dates, cost_text(Estimate(**row["estimate"]))


def _not_reached(site: Site) -> Outcome:
    return Outcome(site_label(site), Fate.NOT_TRIED, "", reason="stopped by the user before it")


def _line(outcome: Outcome, number: int, count: int) -> str:
    candidates = "" if outcome.candidates is None else f", {outcome.candidates} candidate(s)"
    earlier = " already" if outcome.earlier else ""
    reason = f": {_short(outcome.reason)}" if outcome.reason else ""
    return f"{number} of {count}  {outcome.site}: {outcome.fate}{earlier}{candidates}{reason}"


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
