"""Warnings and notices become one line each on stderr."""

import logging
import warnings

import pytest
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.response import HTTPResponse

from changedet.cli.notices import Notices
from changedet.errors import CacheWarning
from changedet.providers.cache import SceneCache
from changedet.providers.http import retry_policy
from changedet.providers.settings import ProviderSettings


@pytest.fixture
def said():
    return []


def test_a_warning_of_ours_is_said_once_in_one_line(said):
    with Notices(said.append, quiet=False):
        for scene in range(5):
            warnings.warn(f"scene {scene} cannot be kept", CacheWarning, stacklevel=1)
    assert said == ["changedet: warning: scene 0 cannot be kept"]


def test_quiet_says_nothing(said):
    with Notices(said.append, quiet=True):
        warnings.warn("cannot be kept", CacheWarning, stacklevel=1)
        logging.getLogger("changedet.providers.http").info("no answer")
    assert said == []


def test_warnings_of_others_and_the_filters_stay_as_they_were(said):
    before = warnings.showwarning, list(warnings.filters), logging.getLogger("changedet.providers").level
    with Notices(said.append, quiet=False), pytest.raises(UserWarning, match="else"):
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert before == (
        warnings.showwarning, list(warnings.filters), logging.getLogger("changedet.providers").level
    )  # fmt: skip
    assert said == []
    assert not logging.getLogger("changedet.providers").handlers


def test_a_service_that_is_dead_is_named_while_it_is_waited_for(said):
    settings = ProviderSettings(max_retries=2, retry_delay_s=0.001)
    link = "https://me:word@dead.example/a.tif?sig=secret"
    with Notices(said.append, quiet=False):
        left = retry_policy(settings)
        for _ in range(2):
            left = left.increment("GET", link, error=ProtocolError("gone"))
        with pytest.raises(MaxRetryError):
            left.increment("GET", link, error=ProtocolError("gone"))
    assert said == [
        "changedet: no answer from dead.example, trying again (2 of 3)",
        "changedet: no answer from dead.example, trying again (3 of 3)",
    ]


def test_reads_that_wait_together_say_it_once(said):
    answer = HTTPResponse(status=503)
    with Notices(said.append, quiet=False):
        for _ in range(8):
            retry_policy(ProviderSettings()).increment("GET", "https://busy.example/a", response=answer)
    assert said == ["changedet: status 503 from busy.example, trying again (2 of 6)"]


def test_what_urllib3_knows_of_the_host_is_enough(said):
    from urllib3 import HTTPSConnectionPool

    pool = HTTPSConnectionPool("dead.example")
    with Notices(said.append, quiet=False):
        retry_policy(ProviderSettings()).increment("GET", "/a?sig=secret", error=ProtocolError(), _pool=pool)
        retry_policy(ProviderSettings()).increment("GET", "/a?sig=secret", error=ProtocolError())
    assert said == [
        "changedet: no answer from dead.example, trying again (2 of 6)",
        "changedet: no answer from the service, trying again (2 of 6)",
    ]


def test_a_cache_that_cannot_be_used_is_noticed_before_anything_is_fetched(cli, workplace, monkeypatch):
    (workplace / "cache").write_text("a file")
    assert SceneCache(workplace / "cache").obstacle() == f"{workplace / 'cache'} is a file, no folder"
    assert SceneCache(workplace / "new" / "cache").obstacle() == ""
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "nothing may be written into" in SceneCache(workplace / "new").obstacle()
    monkeypatch.undo()

    def stop(*_arguments, **_more):
        raise KeyboardInterrupt

    monkeypatch.chdir(workplace)
    monkeypatch.setattr("changedet.providers.stac.StacProvider.search", stop, raising=False)
    code = cli("search", "--at", "38.5, 126.1", "--period", "2024-05", "--cache", workplace / "cache")
    lines = cli.err.splitlines()
    assert code == 130
    assert lines[0].startswith("changedet: warning: scenes cannot be kept (")
    assert lines[0].endswith("cache is a file, no folder); name another folder with --cache")
    assert sum("warning" in line for line in lines) == 1
