"""Sites that are asked for together find what each finds alone; failures stay with whom they belong to."""

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.providers.remote_world import provider_of, query_of
from tests.providers.searching import BEYOND, FAR, HOME, SOUTH_OF_IT, search_world

from changedet.errors import NoUsableImageryError, ProviderError, UsageError
from changedet.providers.base import SearchQuery
from changedet.providers.search_ahead import (
    KEPT_AHEAD,
    MOST_AT_A_TIME,
    MOST_TOGETHER,
    groups_of,
    looking_ahead,
    query_for_all,
)
from changedet.providers.stopping import stop_event
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SPAN = datetime(2021, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
APIS = ("earth-search", "planetary-computer", "stac")


@pytest.fixture(scope="module")
def world():
    with search_world() as found:
        yield found


def near_home(count):
    """Sites round the scenes: some inside, some across their edges, some beside them."""
    lat, lon = 38.27, 126.5
    return [Site.at(f"{lat + 0.004 * (n - count // 2)}, {lon}", radius_m=120, name=f"{n}")
            for n in range(count)]  # fmt: skip


def spoken(scenes):
    return [one.to_dict() for one in scenes]


@pytest.mark.parametrize("name", APIS)
def test_together_is_as_alone(world, name):
    provider = provider_of(world, name)
    spans = [(start, SPAN[1]) for start in (SPAN[0], datetime(2023, 5, 16, tzinfo=UTC), SPAN[0])]
    sites = [query_of(HOME).site, *near_home(9), SOUTH_OF_IT, FAR, BEYOND]
    queries = [SearchQuery(site, *spans[n % 3], max_tile_cloud=1.0) for n, site in enumerate(sites)]
    alone = [spoken(provider.search(one)) for one in queries]
    assert len({len(one) for one in alone}) > 2  # they differ
    assert [spoken(one) for one in provider.search_together(queries)] == alone
    with looking_ahead(provider, queries) as ahead:
        assert [spoken(ahead.search(one)) for one in queries] == alone


def test_one_question_for_sites_near_each_other(world):
    provider = provider_of(world, "earth-search")
    queries = [SearchQuery(site, *SPAN) for site in (*near_home(9), FAR)]
    world.reset_log()
    with looking_ahead(provider, queries) as ahead:
        for query in queries:
            ahead.search(query)
    assert len(world.requests("*/search", "POST")) == 2
    other = replace(queries[0], start=SPAN[0] + timedelta(days=1))
    with looking_ahead(provider, []) as ahead:
        assert spoken(ahead.search(other)) == spoken(provider.search(other))


def test_a_catalogue_on_disk_is_read_once_for_all(world, tmp_path):
    from changedet.providers.catalog import stac
    from changedet.providers.settings import ProviderSettings

    world.write_catalog(tmp_path)
    provider = stac(ProviderSettings(url=str(tmp_path)))
    queries = [SearchQuery(site, *SPAN) for site in (*near_home(3), FAR)]
    alone = [spoken(provider.search(one)) for one in queries]
    assert [spoken(one) for one in provider.search_together(queries)] == alone


def test_items_that_nobody_can_use_are_said_where_they_lie(world):
    provider = provider_of(world, "earth-search")

    def _useless(*_, **__):
        return [item | {"assets": {}} for item in world.items("earth-search")]

    object.__setattr__(provider, "_items", _useless)
    home, away = (SearchQuery(site, *SPAN) for site in (query_of(HOME).site, SOUTH_OF_IT))
    found, none = provider.search_together([home, away])
    assert isinstance(found, NoUsableImageryError) and none == []


@pytest.mark.parametrize("spoilt", [{"geometry": {"type": "Polygon"}}, {"properties": {"datetime": None}}])
def test_items_without_time_or_place_are_left_to_single_searches(world, spoilt):
    provider = provider_of(world, "earth-search")
    object.__setattr__(provider, "_items", lambda *_, **__: [spoilt])
    with pytest.raises(ProviderError, match="does not say when or where"):
        provider.search_together([query_of(HOME)])


def test_queries_of_one_kind_and_square_are_put_together():
    sites = near_home(3)
    optical = [SearchQuery(site, *SPAN) for site in (*sites, FAR)]
    radar = [SearchQuery(sites[0], *SPAN, "s1")]
    groups = groups_of([*optical, *radar])
    assert [len(one) for one in groups] == [3, 1, 1] and groups[1][0].site is FAR
    many = [SearchQuery(sites[0], *SPAN) for _ in range(2 * MOST_TOGETHER + 1)]
    assert [len(one) for one in groups_of(many)] == [MOST_TOGETHER, MOST_TOGETHER, 1]
    assert groups_of([]) == []


def test_one_query_reaches_all_sites_also_across_the_antimeridian():
    later = SPAN[1] + timedelta(days=3)
    queries = [SearchQuery(BEYOND, *SPAN), SearchQuery(FAR, SPAN[0], later)]
    found = query_for_all(queries)
    west, _, east, _ = found.site.geometry.bounds
    assert (west, east) == (-180, 180) and (found.start, found.end) == (SPAN[0], later)
    assert found.site.geometry.covers(FAR.geometry)


@dataclass
class Told:
    """Finds nothing, and remembers what it was asked; fails where it is told to."""

    failing: tuple = ()
    together: bool = True
    asked: list = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def search(self, query):
        with self.lock:
            self.asked.append(query.site.name)
        if query.site.name in self.failing:
            raise ProviderError(f"{query.site.name} is down", todo="try later")
        return [query.site.name]

    def search_together(self, queries):
        with self.lock:
            self.asked.append("all")
        if not self.together:
            raise ProviderError("too much at a time", todo="ask for less")
        return [[one.site.name] for one in queries]


def test_a_question_for_all_that_fails_is_asked_for_each():
    queries = [SearchQuery(site, *SPAN) for site in near_home(3)]
    provider = Told(failing=("1",), together=False)
    with looking_ahead(provider, queries) as ahead:
        assert ahead.search(queries[0]) == ["0"] and ahead.search(queries[2]) == ["2"]
        for _ in range(2):
            with pytest.raises(ProviderError, match="1 is down"):
                ahead.search(queries[1])
    assert sorted(provider.asked) == ["0", "1", "2", "all"]  # nothing is asked twice


def test_it_does_not_run_far_ahead_and_lets_go_of_what_was_used():
    sites = [Site.at(f"{n}.5, 10.5", radius_m=100, name=str(n)) for n in range(2 * KEPT_AHEAD + 2)]
    queries, provider = [SearchQuery(site, *SPAN) for site in sites], Told()
    with looking_ahead(provider, queries) as ahead:
        assert ahead.search(queries[0]) == ["0"]
        assert len(ahead._asked) == KEPT_AHEAD + 1
        ahead.forget(sites[0])
        assert len(ahead._asked) == KEPT_AHEAD
        # what was let go of, or never foreseen, is asked for again
        assert ahead.search(queries[0]) == ["0"] and provider.asked.count("0") == 2
    assert len(provider.asked) <= KEPT_AHEAD + 2


def test_no_more_questions_are_out_than_allowed():
    inside, most = [0], [0]
    lock, several = threading.Lock(), threading.Barrier(MOST_AT_A_TIME)

    class Slow(Told):
        def search(self, query):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            several.wait(10)
            with lock:
                inside[0] -= 1
            return []

    sites = [Site.at(f"{n}.5, 10.5", radius_m=100, name=str(n)) for n in range(MOST_AT_A_TIME)]
    queries = [SearchQuery(site, *SPAN) for site in sites]
    with looking_ahead(Slow(), queries) as ahead:
        assert all(ahead.search(one) == [] for one in queries)
    assert most == [MOST_AT_A_TIME]


def test_when_the_user_stops_it_nobody_waits_for_other_answers():
    waits, ended = threading.Event(), []

    class Waiting(Told):
        def search(self, query):
            if query.site.name != "0":
                with stop_event() as stop:
                    waits.set()
                    ended.append(stop.wait(30))
            return [query.site.name]

    sites = [Site.at(f"{n}.5, 10.5", radius_m=100, name=str(n)) for n in range(2)]
    queries = [SearchQuery(site, *SPAN) for site in sites]
    with pytest.raises(KeyboardInterrupt), looking_ahead(Waiting(), queries) as ahead:
        assert ahead.search(queries[0]) == ["0"] and waits.wait(30)
        raise KeyboardInterrupt
    assert ended == [True]


def test_bugs_are_not_hidden():
    class Broken(Told):
        def search(self, query):
            raise UsageError("no such sensor")

    query = SearchQuery(FAR, *SPAN)
    with looking_ahead(Broken(), [query]) as ahead, pytest.raises(UsageError, match="no such sensor"):
        ahead.search(query)
