"""Searches of many sites: sites near each other are asked for together, and several questions at one time."""

from __future__ import annotations

import math
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from changedet.errors import ChangedetError
from changedet.providers.stopping import StopGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from changedet.providers.base import Searcher, SearchQuery, Sensor
    from changedet.scene import Scene
    from changedet.site import Site

#: Sites of one square of so many degrees are near each other: it is about as large as a tile.
NEAR_DEG = 1.0
#: So many sites are asked for together at most, so many questions are out at one time at most, and answers
#: to so many more are kept until somebody wants them.
MOST_TOGETHER, MOST_AT_A_TIME, KEPT_AHEAD = 64, 4, 8

#: What came of a search.
Found: TypeAlias = "list[Scene] | ChangedetError"
_Key: TypeAlias = "tuple[Site, datetime, datetime, Sensor]"


@runtime_checkable
class SearchesTogether(Protocol):
    """A provider that finds the scenes of several sites by one question."""

    def search_together(self, queries: Sequence[SearchQuery]) -> list[Found]:
        """Return for each query what `search` returns or raises."""


def query_for_all(queries: Sequence[SearchQuery]) -> SearchQuery:
    """Return a query that finds everything that any of some queries does.

    Parameters
    ----------
    queries : sequence of SearchQuery
        At least one; sensor and level are those of the first.

    Returns
    -------
    SearchQuery
        Over the boxes round the sites, from the first moment to the last.
    """
    import shapely

    from changedet.antimeridian import within_globe
    from changedet.site import Site

    boxes = [within_globe(shapely.box(*one.site.geometry.bounds)) for one in queries]
    start, end = min(one.start for one in queries), max(one.end for one in queries)
    return replace(queries[0], site=Site("", shapely.union_all(boxes)), start=start, end=end)


def groups_of(queries: Sequence[SearchQuery]) -> list[list[SearchQuery]]:
    """Put queries together whose sites lie near each other and that ask for the same kind of scenes.

    Parameters
    ----------
    queries : sequence of SearchQuery
        Of any sites.

    Returns
    -------
    list of list of SearchQuery
        In the order of their first ones, with at most `MOST_TOGETHER` each.
    """
    found: dict[tuple[object, ...], list[list[SearchQuery]]] = defaultdict(lambda: [[]])
    order = []
    for one in queries:
        west, south, east, north = one.site.geometry.bounds
        square = (math.floor((west + east) / 2 / NEAR_DEG), math.floor((south + north) / 2 / NEAR_DEG))
        groups = found[(*square, one.sensor, one.level, one.max_tile_cloud, one.limit)]
        if len(groups[-1]) == MOST_TOGETHER:
            groups.append([])
        if not groups[-1]:
            order.append(groups[-1])
        groups[-1].append(one)
    return order


@dataclass(eq=False)
class SearchAhead:
    """Answers searches that were foreseen out of what was asked for several sites at one time.

    What was not foreseen, or could not be found together, is searched for by itself. Use `looking_ahead`.
    """

    provider: Searcher
    groups: Sequence[Sequence[SearchQuery]]
    pool: ThreadPoolExecutor
    group: StopGroup = field(default_factory=StopGroup)
    _place: dict[_Key, tuple[int, int]] = field(default_factory=dict)
    _asked: dict[int, Future[list[Found]]] = field(default_factory=dict)
    _wanted: dict[int, int] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        for number, group in enumerate(self.groups):
            self._wanted[number] = len(group)
            self._place |= {_key(one): (number, place) for place, one in enumerate(group)}

    def search(self, query: SearchQuery) -> list[Scene]:
        """Return the scenes that fit, as the provider finds them.

        Raises
        ------
        ChangedetError
            What the provider raises at a search.
        """
        number, place = self._place.get(_key(query), (-1, 0))
        if number < 0:
            return self.provider.search(query)
        found = self._answer(number)[place]
        if isinstance(found, ChangedetError):
            raise found
        return found

    def forget(self, site: Site) -> None:
        """Let go of what was found for a site: nobody asks for it again."""
        for key in [one for one in self._place if one[0] is site]:
            number, _ = self._place.pop(key)
            self._wanted[number] -= 1
            if not self._wanted[number]:
                self._asked.pop(number, None)

    def _answer(self, number: int) -> list[Found]:
        # sites are worked on in the order of the groups, or nearly
        while self._next < len(self.groups) and self._next <= number + KEPT_AHEAD:
            self._asked[self._next] = self.pool.submit(self._find, self.groups[self._next])
            self._next += 1
        return self._asked[number].result()

    def _find(self, group: Sequence[SearchQuery]) -> list[Found]:
        with self.group.member():
            return self._found(group)

    def _found(self, group: Sequence[SearchQuery]) -> list[Found]:
        if len(group) > 1 and isinstance(self.provider, SearchesTogether):
            try:
                return self.provider.search_together(group)
            except ChangedetError:
                pass  # what is wrong with one of them must not be the fault of the others
        return [self._alone(one) for one in group]

    def _alone(self, query: SearchQuery) -> Found:
        try:
            return self.provider.search(query)
        except ChangedetError as error:
            return error


@contextmanager
def looking_ahead(
    provider: Searcher, queries: Sequence[SearchQuery], at_a_time: int = MOST_AT_A_TIME
) -> Iterator[SearchAhead]:
    """Search for what is going to be asked, ahead of whoever asks it.

    Parameters
    ----------
    provider : Searcher
        Asked by several threads at one time.
    queries : sequence of SearchQuery
        What is going to be asked, in this order or nearly; one for each site and span.
    at_a_time : int
        Questions that are out at one time.

    Yields
    ------
    SearchAhead
        Its answers are those of the provider.
    """
    pool = ThreadPoolExecutor(max(1, at_a_time))
    ahead = SearchAhead(provider, groups_of(queries), pool)
    try:
        yield ahead
    finally:
        # after an error that ends the run, or an interruption, nobody waits for the other answers
        ahead.group.stop()
        pool.shutdown(cancel_futures=True)


def _key(query: SearchQuery) -> _Key:
    return query.site, query.start, query.end, query.sensor
