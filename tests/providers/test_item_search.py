"""A catalogue stays open from search to search, and is opened anew after a failure."""

from dataclasses import replace
from datetime import date

import pytest
from tests.providers.remote_world import provider_of, query_of, small_world
from tests.world.faults import answers
from tests.world.granules import quick_scene

from changedet.errors import ProviderError
from changedet.providers.item_search import OpenCatalogues, api_items

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
DAY = quick_scene(date(2023, 5, 16))
LANDING, SEARCH = ("/earth-search/v1", "GET"), ("/earth-search/v1/search", "POST")


@pytest.fixture
def world():
    with small_world([DAY]) as found:
        yield found


def counted(world):
    return [len(world.requests(*which)) for which in (LANDING, SEARCH)]


def test_a_provider_opens_its_catalogue_once(world):
    provider = provider_of(world, "earth-search")
    first, second = (provider.search(query_of(DAY)) for _ in range(2))
    assert [one.to_dict() for one in first] == [one.to_dict() for one in second] and len(first) == 1
    assert counted(world) == [1, 2]
    provider.catalogues.close()
    assert len(provider.search(query_of(DAY))) == 1 and counted(world) == [2, 3]


def test_after_a_failure_it_is_opened_anew(world):
    provider = provider_of(world, "earth-search", max_retries=0)
    provider.search(query_of(DAY))
    world.add_faults(answers("*/search", 500).first(1))
    with pytest.raises(ProviderError, match="HTTP 500"):
        provider.search(query_of(DAY))
    assert len(provider.search(query_of(DAY))) == 1
    assert counted(world) == [2, 3]


def test_the_time_of_each_search_begins_with_it_over_the_same_connections(world):
    kept, found = OpenCatalogues(), []
    settings = provider_of(world, "earth-search").settings
    for _ in range(2):
        with kept.client(world.earth_search, settings, frozenset()) as client:
            adapter = client._stac_io.session.adapters["http://"]
            found.append((adapter, adapter._policy.started_s, adapter.poolmanager))
    kept.close()
    (first, began, line), (second, later, same_line) = found
    assert first is second and line is same_line and began < later


def test_without_a_keeper_nothing_stays_open(world):
    settings = provider_of(world, "earth-search").settings
    kept = OpenCatalogues()
    for keeper in (None, None, kept, kept):
        assert len(api_items(world.earth_search, (), query_of(DAY), replace(settings), catalogues=keeper)) > 0
    assert counted(world) == [3, 4]
    kept.close()
