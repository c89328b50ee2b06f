"""Patience of requests, and secrets that stay out of logs and messages."""

import logging
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from tests.world.faults import answers, drops, trickles
from tests.world.plumbing import Response, Server, json_response
from tests.world.world import without_proxies
from urllib3.exceptions import MaxRetryError, ResponseError

from changedet.errors import ProviderError
from changedet.providers.http import (
    PASSING_STATUSES,
    NoRangesError,
    StoppedError,
    be_patient,
    discreet_logs,
    get_json,
    make_session,
    read_whole,
    reason_of,
    retry_policy,
    scrubbed,
)
from changedet.providers.settings import ProviderSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SETTINGS = ProviderSettings(max_retries=2, retry_delay_s=0.01, total_deadline_s=5)


@pytest.fixture
def server(monkeypatch):
    without_proxies(monkeypatch)
    found = Server(lambda request: json_response({"path": request.path}))
    yield found
    found.close()


def ask(server, settings=SETTINGS):
    with make_session(settings) as session:
        return get_json(session, f"{server.url}/thing", settings, what="a thing")


@pytest.mark.parametrize("fault", [*(answers("/*", s) for s in sorted(PASSING_STATUSES)), drops("/*")])
def test_what_may_pass_is_asked_again(server, fault):
    server.faults.add(fault.first(2))
    assert ask(server) == {"path": "/thing"}
    assert len(server.log) == 3


def test_a_name_that_nobody_knows_is_asked_for_twice(monkeypatch):
    asked = []

    def _unknown(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    without_proxies(monkeypatch)
    monkeypatch.setattr(socket, "getaddrinfo", _unknown)
    settings = replace(SETTINGS, max_retries=6)
    with make_session(settings) as session, pytest.raises(ProviderError, match="changedet doctor"):
        get_json(session, "http://nowhere.invalid/thing", settings, what="a thing")
    assert asked == ["nowhere.invalid"] * 2


def counted(server):
    """The requests from now on; the log holds only those that ended."""
    asked, route = [], server.route
    server.route = lambda request: asked.append(request) or route(request)
    return asked


def test_an_answer_that_stalls_once_is_asked_for_again(server):
    server.faults.add(trickles("/*", 30).first(1))
    asked = counted(server)
    assert ask(server, replace(SETTINGS, read_timeout_s=0.2)) == {"path": "/thing"}
    assert len(asked) == 2


def test_an_answer_that_always_stalls_ends_with_the_retries_or_the_deadline(server):
    server.faults.add(trickles("/*", 30))
    asked = counted(server)
    with pytest.raises(ProviderError, match=r"a thing could not be had \(the answer stopped coming\)"):
        ask(server, replace(SETTINGS, read_timeout_s=0.1))
    assert len(asked) == 3
    started_s = time.monotonic()
    with pytest.raises(ProviderError, match="a thing could not be had"):
        ask(server, replace(SETTINGS, read_timeout_s=0.2, max_retries=99, total_deadline_s=0.5))
    assert time.monotonic() - started_s < 2


def test_what_nobody_waits_for_any_more_is_neither_sent_nor_waited_for(server):
    server.faults.add(answers("/*", 503))
    stop = threading.Event()
    patient = ProviderSettings(max_retries=5, retry_delay_s=60.0)
    threading.Timer(0.3, stop.set).start()
    started_s = time.monotonic()
    with requests.Session() as session:
        be_patient(session, retry_policy(patient, stop=stop))
        with pytest.raises(requests.RequestException, match="stopped"):
            session.get(f"{server.url}/thing")
        assert time.monotonic() - started_s < 5
        asked = len(server.log)
        with pytest.raises(StoppedError):
            session.get(f"{server.url}/thing")
    assert len(server.log) == asked


class Body:
    """What `requests` has of an answer whose body comes in pieces, without end."""

    def __init__(self, headers):
        self.headers, self.closed, self.given = headers, False, 0
        self.raw = self

    def read1(self, size, decode_content):
        self.given += 1000
        return b"x" * 1000

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("headers", "most"), [({"Content-Length": "5001"}, 0), ({}, 6000), ({"Content-Length": "odd"}, 6000)]
)
def test_no_more_is_taken_than_there_is_room_for(headers, most):
    body = Body(headers)
    with pytest.raises(
        NoRangesError, match=r"knows no byte ranges, and the whole file has more than 0.005 MB"
    ):
        read_whole(body, time.monotonic() + 5, 5000)
    assert body.closed
    assert body.given == most


def test_a_body_is_not_read_on_when_nobody_waits_for_it():
    body, stop = Body({}), threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        read_whole(body, time.monotonic() + 5, None, stop)
    assert body.closed


@pytest.mark.parametrize(("status", "requests"), [(400, 1), (403, 1), (404, 1), (503, 3)])
def test_what_does_not_pass_is_an_error_in_one_line(server, status, requests):
    server.faults.add(answers("/*", status))
    with pytest.raises(ProviderError, match=f"a thing could not be had \\({status} ") as caught:
        ask(server)
    assert len(server.log) == requests
    assert str(caught.value).startswith(f"{server.url}/thing: ")


def test_what_is_no_json_is_an_error(server):
    server.route = lambda _request: Response(200, b"<html>maintenance</html>")
    with pytest.raises(ProviderError, match="a thing could not be had"):
        ask(server)


def test_a_wait_that_the_server_asks_for_is_kept_or_ends_it(server):
    server.faults.add(answers("/*", 429, {"retry-after": "1"}).first(1))
    assert ask(server) == {"path": "/thing"}
    first, second = server.log
    assert second.started_s - first.finished_s >= 0.9
    server.faults.add(answers("/*", 429, {"retry-after": "60"}))
    with pytest.raises(ProviderError, match="no answer within 5 s"):
        ask(server)


def test_the_deadline_counts_from_the_first_failure():
    policy = retry_policy(ProviderSettings(total_deadline_s=1e-6, retry_delay_s=1))
    assert policy.started_s is None
    after = policy.increment("POST", "/search", error=None, response=SimpleNamespace(
        status=503, get_redirect_location=lambda: None, headers={}))  # fmt: skip
    assert after.started_s is not None
    assert after.increment("POST", "/search").started_s == after.started_s
    with pytest.raises(MaxRetryError, match="no answer within 1e-06 s"):
        after.sleep()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            requests.exceptions.RetryError(MaxRetryError(None, "/a?sig=x", ResponseError("too late"))),
            "too late",
        ),
        (requests.ReadTimeout("the answer stopped coming"), "the answer stopped coming"),
        (
            requests.ConnectionError(
                "None: (Caused by NewConnectionError('HTTPSConnection(host='h'): no way'))"
            ),
            "no way",
        ),
        (
            requests.ConnectionError(
                "(Caused by NewConnectionError('<urllib3.HTTPConnection object at 0x7f28>: no way'))"
            ),
            "no way",
        ),
        (ValueError("http://host/a?sig=x is gone"), "http://host/a?... is gone"),
    ],
)
def test_reasons_are_told_without_their_wrappings(error, said):
    assert reason_of(error) == said


@given(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text("abc=&%", min_size=1))
def test_no_query_survives(path, query):
    text = scrubbed(f"cannot open /vsicurl/https://host/{path}.tif?{query}SECRET: 403", longest=10_000)
    assert "SECRET" not in text
    assert "\n" not in text
    assert text.endswith(".tif?... 403")


def test_logs_of_the_raster_library_hold_no_signature(caplog):
    caplog.set_level(logging.DEBUG)
    log = logging.getLogger("rasterio._io")
    with discreet_logs():
        log.warning("failed: %s", "https://host/a.tif?sig=SECRET")
    assert "SECRET" not in caplog.text
    assert "https://host/a.tif?..." in caplog.text
    log.warning("another %s", "line")
    assert "another line" in caplog.text
