"""The searches of every dialect, against the stand-ins; `make test-pgstac` asks a real server the same."""

import pytest
from tests.providers import searching
from tests.providers.places import DIALECTS
from tests.providers.remote_world import provider_of
from tests.world.world import without_proxies

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture(scope="module")
def world():
    with searching.search_world() as found:
        yield found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("check", searching.CHECKS, ids=lambda check: check.__name__)
def test_a_search_of_the_stand_in(world, dialect, check):
    check(provider_of(world, dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_pages_of_the_stand_in(world, dialect, monkeypatch):
    searching.every_page_is_turned(provider_of(world, dialect), monkeypatch)
