"""``changedet watch``: a list of sites, run again and again, silent unless something new happened."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import emit, say
from changedet.cli.review import ReviewGroup
from changedet.cli.tables import table
from changedet.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.cli.run_sites import Workers
    from changedet.progress import Progress
    from changedet.providers.tracked import TrackedProvider
    from changedet.site import Site
    from changedet.watch.looking import WatchSpan
    from changedet.watch.mail import Mail
    from changedet.watch.running import WatchReport, WatchRequest
    from changedet.watch.telling import Receivers

_HELP = "Watch a list of sites: changedet watch --sites FILE; and how they stand."
_DAYS, _ALARMS, _MAIL = "Which days", "When an alert is made", "By mail"

#: A folder is looked through again for what came late, so that each file is either taken or said to be late.
_FILES_LATE_DAYS = 400.0

app = typer.Typer(help=_HELP, cls=ReviewGroup, rich_markup_mode=None)

WatchState = Annotated[
    Path,
    typer.Option("--state", help="State file: what is known of the sites; made when it is not there.",
                 envvar="CHANGEDET_WATCH_STATE", metavar="FILE"),
]  # fmt: skip
Since = Annotated[
    Optional[str],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--since", help="First day that is watched, such as 2023-01; today when not given. Sites "
                 "that are watched already go on.", rich_help_panel=_DAYS, metavar="DATE"),
]  # fmt: skip
Until = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--until", help="Last day that is watched; now when not given.", rich_help_panel=_DAYS,
                 metavar="DATE"),
]  # fmt: skip
Images = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--images", help="Local folder instead of a provider: one scene folder or raster for each "
                 "date, or below it a folder for each site by its name; no network.", metavar="DIR"),
]  # fmt: skip
History = Annotated[
    str,
    typer.Option("--history", help="Time before the first day that says what is usual, such as 2y or 18m.",
                 rich_help_panel=_DAYS, metavar="TIME"),
]  # fmt: skip
SilentAfter = Annotated[
    str,
    typer.Option("--silent-after", help="Say when there was no usable image for so long.",
                 rich_help_panel=_DAYS, metavar="TIME"),
]  # fmt: skip
MinSeen = Annotated[
    float,
    typer.Option("--min-clear", help="Share of the site that a date must show clear to be read, 0 to 1.",
                 rich_help_panel=_DAYS, min=0.0, max=1.0),
]  # fmt: skip
Persistence = Annotated[
    str,
    typer.Option("--persistence", help="How many of how many later clear dates must bear an alarm out.",
                 rich_help_panel=_ALARMS, metavar="N/M"),
]  # fmt: skip
Register = Annotated[
    bool,
    typer.Option("--register/--no-register", help="Register dates to the reference of the site, or not.",
                 rich_help_panel=_DAYS),
]  # fmt: skip
WebhookUrl = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--webhook", help="Address that is sent each alert as JSON; never written down.",
                 envvar="CHANGEDET_WEBHOOK", metavar="URL", show_envvar=True),
]  # fmt: skip
MailTo = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--mail-to", help="Address that is sent alerts by mail; may be repeated.",
                 envvar="CHANGEDET_MAIL_TO", rich_help_panel=_MAIL, metavar="ADDRESS"),
]  # fmt: skip
MailFrom = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--mail-from", help="Address of the sender; the first of --mail-to when not given.",
                 envvar="CHANGEDET_MAIL_FROM", rich_help_panel=_MAIL, metavar="ADDRESS"),
]  # fmt: skip
SmtpServer = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--smtp-server", help="Server that takes the mail; its account is read from "
                 "CHANGEDET_SMTP_USER and CHANGEDET_SMTP_PASSWORD.", envvar="CHANGEDET_SMTP_SERVER",
                 rich_help_panel=_MAIL, metavar="HOST:PORT"),
]  # fmt: skip
SmtpSecurity = Annotated[
    str,
    typer.Option("--smtp-security", help="starttls, tls (from the start; usual at port 465) or none; what "
                 "the port stands for when not given.", rich_help_panel=_MAIL, metavar="NAME"),
]  # fmt: skip
Wait = Annotated[
    float,
    typer.Option("--wait", help="Seconds to wait for another watch of the same state file.", min=0.0),
]
OutFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", "-o", help="Folder for the alerts, the digest and the feed; beside the state file "
                 "by default.", metavar="DIR"),
]  # fmt: skip
SiteName = Annotated[str, typer.Argument(help="Site by its name, as watch status shows it.", metavar="SITE")]


@app.callback()
def _root() -> None:
    """Watch a list of sites: changedet watch --sites FILE; and how they stand."""


@app.command("run")
def run(
    *,
    sites: options.Sites = None,
    site: options.SiteNames = None,
    radius: options.Radius = None,
    scheduler: options.Scheduler = "local",
    jobs: options.SiteJobs = None,
    state: WatchState = Path("watch.gpkg"),
    since: Since = None,
    until: Until = None,
    history: History = "2y",
    provider: options.ProviderName = "earth-search",
    images: Images = None,
    min_clear: MinSeen = 0.3,
    max_tile_cloud: options.MaxTileCloud = 0.9,
    max_pu: options.MaxUnits = None,
    cache: options.Cache = None,
    register: Register = True,
    min_area: options.MinArea = "500m2",
    persistence: Persistence = "2/3",
    silent_after: SilentAfter = "30d",
    out: OutFolder = None,
    webhook: WebhookUrl = None,
    mail_to: MailTo = None,
    mail_from: MailFrom = None,
    smtp_server: SmtpServer = None,
    smtp_security: SmtpSecurity = "",
    wait: Wait = 60.0,
    exit_code: options.ExitCode = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Look at each site of a list once; print nothing unless something is new."""
    from changedet.cli.run_sites import Workers, chosen_sites
    from changedet.site import parse_area_m2
    from changedet.watch.rules import WatchRules, parse_days, parse_persistence
    from changedet.watch.running import WatchRequest

    if sites is None:
        raise UsageError("no list of sites was given", todo="name one with --sites")
    least, of = parse_persistence(persistence)
    rules = WatchRules(
        history_days=parse_days(history), min_clear=min_clear, max_tile_cloud=max_tile_cloud,
        min_area_m2=parse_area_m2(min_area), least_later=least, of_later=of, register=register,
        silent_days=parse_days(silent_after),
        overlap_days=WatchRules.overlap_days if images is None else _FILES_LATE_DAYS,
    )  # fmt: skip
    receivers = _receivers(webhook, mail_to or [], mail_from, (smtp_server, smtp_security))
    out = out or state.with_name(f"{state.stem}-alerts")
    request = WatchRequest(state, out, _span(since, until), rules, receivers, wait)
    path, chosen = chosen_sites(sites, site or [], alone={}, radius=radius)
    _require_names(path, [one.folder + "/" + one.name for one in chosen])
    source = Source(provider, cache, max_pu, images)
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        report = _carry_out(chosen, request, source, Workers(scheduler, jobs), bar)
    _finish(report, request.out, as_json=as_json, quiet=quiet)
    raise typer.Exit(int(exit_code and bool(report.alerts)))


@app.command("status")
def status(*, state: WatchState = Path("watch.gpkg"), as_json: options.AsJson = False) -> None:
    """Say of each watched site how it stands."""
    from changedet.watch.overview import watch_status
    from changedet.watch.state import open_state

    with open_state(state) as file:
        rows = watch_status(file)
    heads = (
        "site",
        "last image",
        "days since",
        "used",
        "seen",
        "persisting",
        "growing",
        "not told",
        "last run",
    )
    cells = [
        (row["site"], row["last_scene"][:10] or "-", _number(row["silent_days"]), str(row["used"]),
         str(row["scenes"]), str(row["persisting"]), str(row["growing"]), str(row["pending"]),
         row["last_outcome"] or "-")
        for row in rows
    ]  # fmt: skip
    emit({"sites": rows}, table([heads, *cells]), as_json=as_json)


@app.command("history")
def history(
    site: SiteName, *, state: WatchState = Path("watch.gpkg"), as_json: options.AsJson = False
) -> None:
    """Say what happened at a watched site, oldest first."""
    from changedet.watch.overview import site_history
    from changedet.watch.state import open_state

    with open_state(state) as file:
        rows = site_history(file, site)
    lines = [f"{row['time_utc'][:19]}  {row['event']:8}  {row['text']}" for row in rows]
    emit({"site": site, "events": rows}, lines, as_json=as_json)


def _span(since: str | None, until: str | None) -> WatchSpan:
    from changedet.periods import parse_period
    from changedet.watch.looking import WatchSpan

    end = datetime.now(UTC) if until is None else parse_period(until).end
    today = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return WatchSpan(today if since is None else parse_period(since).start, end)


def _receivers(
    url: str | None, to: list[str], sender: str | None, server: tuple[str | None, str]
) -> Receivers:
    """Return who is told; the server is its address and how the line to it is encrypted."""
    from changedet.watch.notify import Webhook
    from changedet.watch.telling import Receivers

    return Receivers(Webhook(url) if url else None, _mail(to, sender, *server))


def _mail(to: list[str], sender: str | None, server: str | None, security: str) -> Mail | None:
    from changedet.watch.mail import Mail, parse_server

    if not (to or sender or server or security):
        return None
    if not (to and server):
        raise UsageError("mail needs an address and a server", todo="give both --mail-to and --smtp-server")
    return Mail(parse_server(server, security, os.environ), sender or to[0], tuple(dict.fromkeys(to)))


@dataclass(frozen=True)
class Source:
    """Where imagery comes from: the options of that name. Accounts stand in the settings of whoever opens it.

    Attributes
    ----------
    provider : str
        Name of a provider.
    cache : Path or None
        Folder that keeps what was fetched.
    max_pu : float or None
        Most processing units.
    images : Path or None
        A folder instead of a provider.
    """

    provider: str
    cache: Path | None
    max_pu: float | None
    images: Path | None

    def __call__(self, progress: Progress) -> TrackedProvider:
        """Open it; `progress` is told what comes in."""
        from changedet.providers import tracked

        if self.images is None:
            return tracked.open_tracked(self.provider, self.cache, self.max_pu, progress)
        from changedet.watch.folders import FolderProvider

        return tracked.TrackedProvider(FolderProvider(self.images), progress)

    def everywhere(self) -> Source:
        """Return it as whoever works somewhere else finds it."""
        cache, images = (None if one is None else one.absolute() for one in (self.cache, self.images))
        return replace(self, cache=cache, images=images)


def _carry_out(
    sites: Sequence[Site], request: WatchRequest, source: Source, asked: Workers, bar: Progress
) -> WatchReport:
    """Look at the sites, here or by the workers that are asked for."""
    from changedet.cli.run_sites import require_no_limit
    from changedet.scale.executors import Serial, open_executor
    from changedet.watch.elsewhere import Crew
    from changedet.watch.running import run_watch

    opened = source(bar)
    with open_executor(asked.scheduler, asked.jobs) as executor:
        if isinstance(executor, Serial):
            return run_watch(sites, request, opened, bar)
        require_no_limit(limited=opened.limited)
        return run_watch(sites, request, opened, bar, Crew(executor, source.everywhere()))


def _require_names(path: Path, names: list[str]) -> None:
    twice = sorted({name.lstrip("/") for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"several sites are called {twice[0][:60]!r}", where=str(path), todo="give each its own name"
        )


def _number(days: int | None) -> str:
    return "-" if days is None else str(days)


def _finish(report: WatchReport, out: Path, *, as_json: bool, quiet: bool) -> None:
    """Print what is new and nothing else, and raise what stands for what failed."""
    from changedet.attempts import error_for_all
    from changedet.watch.looking import SitePass
    from changedet.watch.running import DIGEST_PAGE

    document: dict[str, Any] = report.to_dict() | {"folder": str(out)}
    for one in report.passes:
        if isinstance(one, SitePass) and one.learned:
            say(f"{one.site}: learned what is usual from {one.learned} dates", quiet=quiet)
    lines = report.lines()
    failed = bool(report.failures or report.problem)
    if as_json and not failed:
        emit(document, (), as_json=True)
    elif lines and not as_json:
        emit({}, [*lines, f"digest: {out / DIGEST_PAGE}"], as_json=False)
    if report.failures:
        raise error_for_all(report.failures, len(report.passes), "pass", document)
    if report.problem:
        raise ProviderError(report.problem, details=document)
