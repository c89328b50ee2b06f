"""Looks at watched sites by workers: what travels to them, what comes back, and in which order it counts.

A worker looks at a site and writes nothing but its cache. What it found is brought into the state file here,
by the one process that holds it, in the order of the list and one site at a time: so the state is the same
whoever looked, and whoever was killed meanwhile.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from changedet.attempts import Attempt, Failure
from changedet.batch import site_label
from changedet.errors import EXIT_BUG, ChangedetError, UsageError
from changedet.progress import Several, begin_site
from changedet.scale.executors import Lost, in_order
from changedet.watch.arrays import KEPT_GENERATIONS
from changedet.watch.gathering import Place
from changedet.watch.looking import SitePass, look_at_site
from changedet.watch.monitor import prepared_step, recall, take_look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from changedet.progress import Progress
    from changedet.providers.tracked import TrackedProvider
    from changedet.scale.executors import Executor
    from changedet.site import Site
    from changedet.watch.arrays import PreparedArrays
    from changedet.watch.looking import Recalled, Step, WatchSpan
    from changedet.watch.quiet import QuietSites
    from changedet.watch.rules import WatchRules
    from changedet.watch.state import StateFile


@dataclass(frozen=True)
class Crew:
    """Who looks at the sites of a watch, several at one time.

    Attributes
    ----------
    executor : Executor
        Who does the work.
    open_source : callable
        Takes whom to tell of what comes in, and returns where imagery comes from. It is called where a site
        is looked at, and has to be pickled for workers elsewhere: nothing secret may stand in it.
    """

    executor: Executor
    open_source: Callable[[Progress], TrackedProvider]


@dataclass(frozen=True)
class Turn:
    """A site whose turn has come, with what is known of it.

    Attributes
    ----------
    site : Site
        The site.
    number : int
        Which of the list it is, from 1.
    recalled : Recalled
        What the state file knows of it; its arrays are read where it is looked at.
    """

    site: Site
    number: int
    recalled: Recalled


@dataclass(frozen=True, eq=False)
class Looked:
    """What a look found.

    Attributes
    ----------
    steps : tuple of Step
        What it changes, in order; arrays that later steps replace are left out.
    ended : SitePass, ChangedetError or Failure
        What was found in the end; why it ended after these steps; of a bug what is said of it.
    """

    steps: tuple[Step, ...]
    ended: SitePass | ChangedetError | Failure


@dataclass(frozen=True)
class SiteLook:
    """What is done at a site, wherever there is somebody to do it.

    Attributes
    ----------
    open_source : callable
        See `Crew`.
    span : WatchSpan
        Which days.
    rules : WatchRules
        What is asked of dates.
    """

    open_source: Callable[[Progress], TrackedProvider]
    span: WatchSpan
    rules: WatchRules

    def __call__(self, turn: Turn, progress: Progress) -> Looked:
        """Look at the site; whatever fails is part of what is returned."""
        steps: list[Step] = []
        label = site_label(turn.site)
        attempt: Attempt[SitePass | ChangedetError] = Attempt(label)
        with attempt:
            try:
                _require_seen(turn.recalled)
                place = Place(turn.site, self.open_source(progress), self.rules, progress)
                for one in look_at_site(place, self.span, turn.recalled):
                    if isinstance(one, SitePass):
                        attempt.result = one
                    else:
                        steps = [*_without_replaced(steps, one), one]
            except ChangedetError as error:
                attempt.result = error.with_traceback(None)
        failure = attempt.failure or Failure(label, "the look came to no end", EXIT_BUG)
        # a plain mapping travels
        return Looked(tuple(steps), attempt.result or replace(failure, details={}))


def _require_seen(recalled: Recalled) -> None:
    if recalled.stored is not None and not recalled.stored.path.is_file():
        raise UsageError(
            "its worker does not see what is kept of the site", where=str(recalled.stored.path),
            todo="put the state file on a file system that all workers share, by the same path",
        )  # fmt: skip


def _without_replaced(steps: Sequence[Step], new: Step) -> list[Step]:
    """Leave out arrays that nobody is going to read: two generations are kept of a site."""
    oldest = new.generation - KEPT_GENERATIONS
    return [replace(one, arrays=None) if new.generation and one.generation <= oldest else one
            for one in steps]  # fmt: skip


@contextmanager
def watched_elsewhere(
    sites: Sequence[Site], quiet: QuietSites, crew: Crew
) -> Iterator[Callable[[tuple[int, Site]], SitePass | Failure]]:
    """Have the sites of a list looked at by workers.

    Parameters
    ----------
    sites : sequence of Site
        Each with a name of its own.
    quiet : QuietSites
        Of which there is nothing new is said here.
    crew : Crew
        Who looks at the others.

    Yields
    ------
    callable
        Takes the number of a site, from 1, and the site; brings into the state file what was found there and
        returns it. It has to be asked for the sites in their order. At the end of the block what is under way
        is called off, and counts for nothing.
    """
    watching = quiet.watching
    known: dict[int, SitePass] = {}
    for number, site in enumerate(sites, 1):
        if (label := site_label(site)) not in quiet.stood:
            continue
        begin_site(watching.progress, label, number, len(sites))
        attempt: Attempt[SitePass] = Attempt(label)
        with attempt:
            attempt.result = quiet.look(site)
        quiet.ahead.forget(site)
        if attempt.result is not None:
            known[number] = attempt.result
    several = Several(watching.progress, len(sites))
    arrivals = _Arrivals(watching.state)
    looks = in_order(
        crew.executor,
        SiteLook(crew.open_source, watching.span, watching.rules),
        (_turn(watching.state, site, number) for number, site in enumerate(sites, 1) if number not in known),
        lambda turn: several.of(site_label(turn.site), turn.number),
        arrivals.keep,
    )

    def _take(numbered: tuple[int, Site]) -> SitePass | Failure:
        number, site = numbered
        if number in known:
            quiet.count(known[number])
            return known[number]
        turn, arrived = next(looks)
        found = arrivals.take(turn, arrived)
        if isinstance(found, SitePass):
            quiet.keep(site, found)
        return found

    with closing(looks), closing(arrivals):
        yield _take


def _turn(state: StateFile, site: Site, number: int) -> Turn:
    known = recall(state, site_label(site))
    if known.stored is not None:
        # whoever reads it may work somewhere else
        known = replace(known, stored=replace(known.stored, path=known.stored.path.absolute()))
    return Turn(site, number, known)


@dataclass(frozen=True)
class _Arrived:
    """What came of a site, with its arrays on the disk."""

    steps: tuple[tuple[Step, PreparedArrays | None], ...]
    ended: SitePass | ChangedetError | Failure


class _Arrivals:
    """Keeps what has arrived until its turn, and none of it longer: arrays lie on the disk meanwhile."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._parts: set[Path] = set()

    def keep(self, turn: Turn, looked: Looked | Lost) -> _Arrived:
        """Write the arrays of a look, of which nothing counts yet."""
        name = site_label(turn.site)
        if isinstance(looked, Lost):
            return _Arrived((), Failure(name, looked.reason, EXIT_BUG))
        steps: list[tuple[Step, PreparedArrays | None]] = []
        try:
            for step in looked.steps:
                prepared = prepared_step(self._state, name, step)
                if prepared is not None:
                    self._parts.add(prepared.path)
                steps.append((replace(step, arrays=None), prepared))
        except ChangedetError as error:
            return _Arrived((), error)
        return _Arrived(tuple(steps), looked.ended)

    def take(self, turn: Turn, arrived: _Arrived) -> SitePass | Failure:
        """Let what came of a site count.

        Raises
        ------
        ChangedetError
            Why its look ended, after what it found by then counts; why that cannot be.
        """
        ended = arrived.ended
        if isinstance(ended, Failure):
            take_look(self._state, turn.site, arrived.steps, ended.reason)
            return ended
        if isinstance(ended, ChangedetError):
            take_look(self._state, turn.site, arrived.steps, str(ended))
            raise ended
        return replace(ended, alerts=take_look(self._state, turn.site, arrived.steps, ended))

    def close(self) -> None:
        """Remove what arrived and did not get its turn."""
        for path in self._parts:
            with suppress(OSError):
                path.unlink(missing_ok=True)
