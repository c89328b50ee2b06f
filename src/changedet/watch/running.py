"""All sites of a list, one after the other, and what is told of them in the end."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003  # part of a dataclass that others inspect
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from changedet.attempts import Failure, attempt_all
from changedet.batch import site_label
from changedet.errors import OutputError
from changedet.progress import begin_site
from changedet.providers.cache_files import write_text
from changedet.watch.alerts import append_alerts, feed_xml, read_alerts
from changedet.watch.arrays import remove_orphans
from changedet.watch.elsewhere import watched_elsewhere
from changedet.watch.holding import hold
from changedet.watch.looking import SitePass
from changedet.watch.monitor import close_abandoned, watch_site
from changedet.watch.quiet import Watching, quiet_sites
from changedet.watch.rules import WatchRules  # noqa: TC001
from changedet.watch.state import open_state
from changedet.watch.telling import Enclosed, Receivers, Untold, tell_receivers

if TYPE_CHECKING:
    from pathlib import Path

    from changedet.progress import Progress
    from changedet.providers.tracked import TrackedProvider
    from changedet.site import Site
    from changedet.watch.alerts import Alert
    from changedet.watch.elsewhere import Crew
    from changedet.watch.looking import WatchSpan
    from changedet.watch.quiet import QuietSites
    from changedet.watch.state import StateFile

#: Form of the summary.
SCHEMA = "changedet.watch/1"
#: Files in the folder of a watch.
ALERTS, DIGEST_PAGE, DIGEST, FEED = "alerts.jsonl", "digest.html", "digest.json", "feed.xml"


_NOBODY, _ALL_TOLD = Receivers(), Untold()


@dataclass(frozen=True)
class WatchRequest:
    """What is asked of a watch.

    Attributes
    ----------
    state : Path
        The state file.
    out : Path
        Folder for `ALERTS`, `DIGEST_PAGE`, `DIGEST` and `FEED`.
    span : WatchSpan
        Which days.
    rules : WatchRules
        What is asked of dates and pixels.
    receivers : Receivers
        Who else is told of alerts.
    wait_s : float
        How long to wait for another watch of the same state file, in seconds.
    """

    state: Path
    out: Path
    span: WatchSpan
    rules: WatchRules
    receivers: Receivers = _NOBODY
    wait_s: float = 60.0


@dataclass(frozen=True)
class WatchReport:
    """What a watch found.

    Attributes
    ----------
    passes : sequence of SitePass or Failure
        One for each site, in the order of the list.
    alerts : sequence of Alert
        Told for the first time.
    earlier : sequence of Alert
        Told before.
    made_utc, until_utc : str
        When it was made; to when sites were watched.
    silent_after_days : float
        So long without a usable image is said.
    untold : Untold
        Why the webhook or somebody by mail was not told.
    """

    passes: Sequence[SitePass | Failure]
    alerts: Sequence[Alert]
    earlier: Sequence[Alert]
    made_utc: str
    until_utc: str
    silent_after_days: float
    untold: Untold = _ALL_TOLD

    @property
    def problem(self) -> str:
        """Why somebody was not told, in a line; empty when all were."""
        return "; ".join(filter(None, (self.untold.webhook, self.untold.mail)))

    @property
    def failures(self) -> list[Failure]:
        """Sites of which nothing could be said."""
        return [one for one in self.passes if isinstance(one, Failure)]

    @property
    def silent(self) -> list[SitePass]:
        """Sites that no usable image has shown for too long."""
        known = [one for one in self.passes if isinstance(one, SitePass)]
        return [one for one in known if one.silent_days >= self.silent_after_days]

    def lines(self) -> list[str]:
        """Return what is new in lines for a reader; nothing when nothing is."""
        return [*(one.text for one in self.alerts), *self.silence()]

    def silence(self) -> list[str]:
        """Return the sites that no usable image has shown for too long in lines for a reader."""
        return [
            f"{one.site}: no usable image for {one.silent_days:.0f} days, since {one.last[:10]}"
            for one in self.silent
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "schema": SCHEMA,
            "made_utc": self.made_utc,
            "until_utc": self.until_utc,
            "alerts": [one.to_dict() for one in self.alerts],
            "silent": [one.site for one in self.silent],
            "sites": [one.to_dict() for one in self.passes if isinstance(one, SitePass)],
            "failed": [
                {"site": one.site, "reason": one.reason, "exit_code": one.exit_code} for one in self.failures
            ],
            "webhook_problem": self.untold.webhook,
            "mail_problem": self.untold.mail,
        }


def run_watch(
    sites: Sequence[Site],
    request: WatchRequest,
    provider: TrackedProvider,
    progress: Progress,
    crew: Crew | None = None,
) -> WatchReport:
    """Look at every site of a list once, whatever becomes of the others, and tell what is new.

    Parameters
    ----------
    sites : sequence of Site
        In any order.
    request : WatchRequest
        What is asked.
    provider : TrackedProvider
        Where imagery comes from.
    progress : Progress
        Told about each step.
    crew : Crew, optional
        Who looks at the sites, several at one time; this process, one after the other, when not given. What
        is found and kept is the same.

    Returns
    -------
    WatchReport
        After an account is refused, a limit is used up or nothing can be written, the remaining sites are
        not tried.

    Raises
    ------
    StateBusyError
        When another watch of the same state file has not finished in time.
    OutputError
        When the folder cannot be written.
    KeyboardInterrupt
        When the user stops it; what was taken by then counts, and is told of by the next run.
    """
    request.state.parent.mkdir(parents=True, exist_ok=True)
    with hold(request.state, wait_s=request.wait_s), open_state(request.state, write=True) as state:
        close_abandoned(state)
        # what somebody who was killed left behind; after that each date clears up at its own site
        remove_orphans(state)
        places = [(site_label(site), (number, site)) for number, site in enumerate(sites, 1)]
        watching = Watching(state, request.span, request.rules, provider, progress)
        with ExitStack() as stack:
            quiet = stack.enter_context(quiet_sites(sites, watching))
            look = (
                partial(_look, quiet, len(sites))
                if crew is None
                else stack.enter_context(watched_elsewhere(sites, quiet, crew))
            )
            passes = list(attempt_all(places, look))
        return _tell(state, request, passes)


def _look(quiet: QuietSites, count: int, numbered: tuple[int, Site]) -> SitePass:
    """Look at a site here."""
    number, site = numbered
    watching = quiet.watching
    begin_site(watching.progress, site_label(site), number, count)
    found = quiet.look(site)
    if found is None:
        found = watch_site(watching.state, quiet.place(site), watching.span)
        quiet.keep(site, found)
    else:
        quiet.count(found)
    quiet.ahead.forget(site)
    return found


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced when it is there; its folder is made.
    text : str
        What it is to hold.

    Raises
    ------
    OutputError
        When it cannot be written; what was there stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise OutputError(
            error.strerror or "cannot be written", where=str(path), todo="check the permission and the space"
        ) from error


def _tell(state: StateFile, request: WatchRequest, passes: Sequence[SitePass | Failure]) -> WatchReport:
    """Write what is new, then tell receivers, and mark what was told: nothing is lost in between."""
    from changedet.watch.digest import closing_lines, digest_html, digest_pictures

    every = read_alerts(state)
    new = [one for one in every if not one.told]
    report = WatchReport(
        passes, new, [one for one in every if one.told],
        datetime.now(UTC).isoformat(timespec="seconds"), request.span.until.isoformat(timespec="seconds"),
        request.rules.silent_days,
    )  # fmt: skip
    append_alerts(request.out / ALERTS, every)
    write_whole(request.out / FEED, feed_xml(every, report.made_utc))
    page = digest_html(report, digest_pictures(state, new))
    write_whole(request.out / DIGEST_PAGE, page)
    untold = tell_receivers(state, request.receivers, new, Enclosed(closing_lines(report), page))
    report = replace(report, untold=untold)
    write_whole(request.out / DIGEST, _json(report.to_dict()))
    return report


def _json(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
