"""Days on which nothing is new: what is known of a site is said again, without a grid and without arrays."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from changedet.batch import site_label
from changedet.errors import ChangedetError
from changedet.periods import Period
from changedet.providers.cached import CachedProvider
from changedet.providers.search_ahead import SearchesTogether, looking_ahead
from changedet.providers.tracked import TrackedProvider
from changedet.timeline.access import span_queries
from changedet.watch.gathering import Place, new_scenes, unread_files
from changedet.watch.looking import first_moment, silent_days
from changedet.watch.monitor import METHOD, done_text
from changedet.watch.passes import begin_pass, end_pass, seen_scenes, unseen_of
from changedet.watch.standing import KnownSite, keep_standing, known_sites, read_standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from changedet.progress import Progress
    from changedet.providers.base import Provider, SearchQuery
    from changedet.providers.search_ahead import SearchAhead
    from changedet.site import Site
    from changedet.watch.looking import SitePass, WatchSpan
    from changedet.watch.passes import SeenScene
    from changedet.watch.rules import WatchRules
    from changedet.watch.state import StateFile


@dataclass(frozen=True, eq=False)
class Watching:
    """What all sites of a watch share.

    Attributes
    ----------
    state : StateFile
        Open for writing.
    span : WatchSpan
        Which days.
    rules : WatchRules
        What is asked of dates.
    provider : TrackedProvider
        Where imagery comes from.
    progress : Progress
        Told about each step.
    """

    state: StateFile
    span: WatchSpan
    rules: WatchRules
    provider: TrackedProvider
    progress: Progress

    def place(self, site: Site, ahead: SearchAhead | None = None) -> Place:
        """Return a site with where its dates come from."""
        return Place(site, self.provider, self.rules, self.progress, ahead)


@dataclass(eq=False)
class QuietSites:
    """The sites that are known, and which of them have nothing new. Use `quiet_sites`."""

    watching: Watching
    known: Mapping[str, KnownSite]
    stood: Mapping[str, SitePass]
    ahead: SearchAhead
    _quiet: list[SitePass] = field(default_factory=list)

    def look(self, site: Site) -> SitePass | None:
        """Return what is said of a site that has nothing new.

        Parameters
        ----------
        site : Site
            Of the list.

        Returns
        -------
        SitePass or None
            None when it has to be looked at: there is a new scene, it is not known how it stood, or the
            search failed. It is no pass until `count` is told.
        """
        watching, place = self.watching, self.place(site)
        found = self.stood.get(site_label(site))
        if found is None:
            return None
        try:
            left = self._nothing_new(place, found)
        except ChangedetError:
            return None  # whoever looks at it meets the same error, and says so
        if left is None:
            return None
        return replace(found, left=left, silent_days=silent_days(found.last, watching.span.until))

    def count(self, found: SitePass) -> None:
        """Count what `look` returned among the passes."""
        self._quiet.append(found)

    def place(self, site: Site) -> Place:
        """Return a site with where its dates come from, which is asked ahead."""
        return self.watching.place(site, self.ahead)

    def keep(self, site: Site, found: SitePass) -> None:
        """Keep how a site stands that was looked at, for the next watch."""
        keep_standing(self.watching.state, self.place(site), found)

    def note(self) -> None:
        """Note the passes that found nothing new, all in one transaction."""
        quiet, self._quiet = self._quiet, []
        if quiet:
            with self.watching.state.change() as change:
                for one in quiet:
                    run_id = begin_pass(change, self.known[one.site].site_id, method=METHOD)
                    end_pass(change, run_id, "done", message=done_text(one))

    def _nothing_new(self, place: Place, found: SitePass) -> tuple[SeenScene, ...] | None:
        """Return files that cannot be opened; None when a scene is there that was not seen."""
        span = _span(found, self.watching)
        if span is None:
            return ()
        if new_scenes(place, span, partial(unseen_of, seen_scenes(self.watching.state, found.site))):
            return None
        return unread_files(place)


@contextmanager
def quiet_sites(sites: Sequence[Site], watching: Watching) -> Iterator[QuietSites]:
    """Ask for what is new at the sites of a list that are known, ahead of whoever looks at them.

    Parameters
    ----------
    sites : sequence of Site
        In the order in which they are going to be looked at.
    watching : Watching
        What they share.

    Yields
    ------
    QuietSites
        At the end of the block the passes that found nothing new are noted.
    """
    known = known_sites(watching.state)
    stood = {
        name: found
        for site in sites
        if (one := known.get(name := site_label(site))) is not None
        and (found := read_standing(watching.state, watching.place(site), one)) is not None
    }
    provider = _innermost(watching.provider)
    queries: list[SearchQuery] = []
    if isinstance(provider, SearchesTogether):
        for site in sites:
            queries += _foreseen(site, watching, stood)
    with looking_ahead(provider, queries) as ahead:
        quiet = QuietSites(watching, known, stood, ahead)
        try:
            yield quiet
        finally:
            quiet.note()


def _foreseen(site: Site, watching: Watching, stood: Mapping[str, SitePass]) -> list[SearchQuery]:
    """Return what is going to be asked of a site; a long time is not asked for ahead."""
    found = stood.get(site_label(site))
    span = None if found is None else _span(found, watching)
    queries = [] if span is None else list(span_queries(site, span))
    return queries if len(queries) == 1 else []


def _innermost(provider: Provider) -> Provider:
    """Return who is asked in the end: neither counting nor keeping what is loaded matters to a search."""
    while isinstance(provider, TrackedProvider | CachedProvider):
        provider = provider.provider
    return provider


def _span(found: SitePass, watching: Watching) -> Period | None:
    start = first_moment(found.since, found.last, watching.rules)
    return Period(start, watching.span.until) if start <= watching.span.until else None
