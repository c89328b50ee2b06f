"""Connections stay open from file to file, and nothing else is carried from one to the next."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from tests.world.world import without_proxies

from changedet.providers.http import retry_policy
from changedet.providers.sessions import KeptSessions
from changedet.providers.settings import ProviderSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
POLICY = retry_policy(ProviderSettings(max_retries=1, retry_delay_s=0.01, total_deadline_s=5))


class Patient(BaseHTTPRequestHandler):
    """Answers, and leaves the connection open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@dataclass(frozen=True)
class Address:
    url: str


@pytest.fixture
def server(monkeypatch):
    without_proxies(monkeypatch)
    with ThreadingHTTPServer(("127.0.0.1", 0), Patient) as found:
        found.daemon_threads = True
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        yield Address(f"http://127.0.0.1:{found.server_port}")
        found.shutdown()


@pytest.fixture
def opened(monkeypatch):
    """Connections that were opened."""
    from urllib3.connection import HTTPConnection

    found, really = [], HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda own: found.append(own) or really(own))
    return found


def test_one_connection_serves_one_file_after_the_other(server, opened):
    kept = KeptSessions()
    for _ in range(4):
        with kept.session(POLICY) as session:
            assert session.get(f"{server.url}/a.tif", timeout=5).ok
            session.cookies.set("who", "me")
        assert not session.cookies
    assert len(opened) == 1
    kept.close()
    with kept.session(POLICY) as session:
        session.get(f"{server.url}/a.tif", timeout=5)
    assert len(opened) == 2
    kept.close()


def test_a_session_is_used_by_one_thread_at_a_time_and_closed_after_a_failure(server, opened):
    kept = KeptSessions()
    with kept.session(POLICY) as first:
        with kept.session(POLICY) as second:
            assert first is not second
        with pytest.raises(requests.RequestException), kept.session(POLICY) as again:
            assert again is second
            raise requests.ConnectionError("gone")
        with kept.session(POLICY) as third:
            assert third is not second
    kept.close()


def test_each_use_goes_by_its_own_policy(server):
    kept, stop = KeptSessions(), threading.Event()
    stopping = retry_policy(ProviderSettings(), stop=stop)
    stop.set()
    with kept.session(POLICY) as session:
        assert session.get(f"{server.url}/a.tif", timeout=5).ok
    with pytest.raises(requests.RequestException, match="stopped"), kept.session(stopping) as session:
        session.get(f"{server.url}/a.tif", timeout=5)
    with kept.session(POLICY) as session:
        assert session.get(f"{server.url}/a.tif", timeout=5).ok
    kept.close()


def test_proxies_and_certificates_of_the_environment_count_and_are_looked_for_once(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/a/bundle.pem")
    with KeptSessions().session(POLICY) as session:
        asked = "http://archive.test/a.tif", {}, None, None, None
        found = session.merge_environment_settings(*asked)
        assert found["proxies"]["http"] == "http://127.0.0.1:9" and found["verify"] == "/a/bundle.pem"
        monkeypatch.delenv("HTTP_PROXY")
        found["proxies"] = None
        assert session.merge_environment_settings(*asked)["proxies"]["http"] == "http://127.0.0.1:9"
        other = session.merge_environment_settings("http://other.test/a.tif", {}, None, None, None)
        assert "http" not in other["proxies"]
        own = session.merge_environment_settings(asked[0], {"http": "http://127.0.0.1:7"}, None, None, None)
        assert own["proxies"]["http"] == "http://127.0.0.1:7"
