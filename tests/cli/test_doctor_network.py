"""What is said of a network that works, and of each way in which one does not."""

import http.server
import threading
from datetime import timedelta

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NameResolutionError

from changedet.cli import doctor_network
from changedet.cli.doctor_network import clock_of, network, provider_hosts, reach

DEFAULT = "https://earth-search.aws.element84.com"


@pytest.fixture(autouse=True)
def alone(workplace, monkeypatch):
    for name in (*doctor_network._PROXIES, *doctor_network._CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def answered(monkeypatch):
    """Have every host fail as told, or answer with a header."""

    def set_up(error=None, **headers):
        def head(_session, _url, **_limits):
            if error is not None:
                raise error
            answer = requests.Response()
            answer.status_code = 404
            answer.headers.update(headers)
            return answer

        monkeypatch.setattr("requests.Session.head", head)

    return set_up


def looked(**settings):
    return {one.check: one for one in network(**{"offline": False} | settings)}


def test_hosts_are_those_of_the_providers_and_one_is_needed():
    hosts = provider_hosts()
    assert [host for host, needed in hosts.items() if needed] == [DEFAULT]
    assert "https://planetarycomputer.microsoft.com" in hosts
    assert all(host.count("/") == 2 for host in hosts)


def test_a_provider_of_ones_own_is_asked_too(monkeypatch):
    monkeypatch.setenv("CHANGEDET_PROVIDERS__STAC__URL", "http://user:secret@127.0.0.1:8080/api?key=1")
    assert provider_hosts()["http://127.0.0.1:8080"] is False


def test_any_answer_is_a_sign_of_life(answered):
    answered()
    found = looked()
    assert found[f"network {DEFAULT}"].status == "ok"
    assert "answers after" in found[f"network {DEFAULT}"].detail
    assert found["clock"].status == "ok"


def name_unknown():
    reason = NameResolutionError("earth-search", None, OSError("no such name"))
    return requests.ConnectionError(MaxRetryError(None, "/", reason))


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (requests.exceptions.ProxyError("407 asked for"), "check HTTPS_PROXY"),
        (requests.exceptions.SSLError("self-signed certificate"), "REQUESTS_CA_BUNDLE"),
        (requests.ConnectTimeout("nothing came"), "port 443"),
        (name_unknown(), "its name is not known here"),
        (requests.ConnectionError("connection refused"), "check the connection"),
    ],
)
def test_each_failure_names_the_next_step(answered, error, todo):
    answered(error)
    found = looked()
    assert found[f"network {DEFAULT}"].status == "failed"
    assert todo in found[f"network {DEFAULT}"].detail
    # one archive that cannot be had is enough
    assert found["network https://planetarycomputer.microsoft.com"].status == "missing"


def test_offline_asks_nobody(answered):
    answered(AssertionError("asked"))
    assert set(looked(offline=True)) == {"proxy", "network"}


def test_proxies_are_named_without_their_passwords(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://someone:hunter2@proxy.example:8080")
    monkeypatch.setenv("no_proxy", "localhost")
    found = looked(offline=True)
    assert found["HTTPS_PROXY"].status == "ok"
    assert "proxy.example:8080" in found["HTTPS_PROXY"].detail
    assert "hunter2" not in found["HTTPS_PROXY"].detail
    assert found["NO_PROXY"].detail == "localhost"
    assert "proxy" not in found


def test_a_proxy_without_a_scheme_is_mended(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:8080")
    one = looked(offline=True)["HTTPS_PROXY"]
    assert one.status == "failed"
    assert "export HTTPS_PROXY=http://HOST:PORT" in one.detail


def test_certificates_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    found = looked(offline=True)
    assert found["REQUESTS_CA_BUNDLE"].detail.endswith("correct it or unset REQUESTS_CA_BUNDLE")
    assert found["SSL_CERT_FILE"].status == "ok"


@pytest.mark.parametrize(("days", "way"), [(400, "ahead of"), (-400, "behind")])
def test_a_wrong_clock_is_noticed(days, way):
    one = clock_of([timedelta(0), timedelta(days=days), timedelta(days=days)])
    assert one.status == "failed"
    assert way in one.detail
    assert "set it" in one.detail


def test_a_clock_is_compared_with_the_date_of_the_answers(answered):
    answered(Date="Mon, 01 Jan 2001 00:00:00 GMT")
    assert looked()["clock"].status == "failed"
    answered(Date="yesterday")
    assert "no service answered to compare it with" in looked()["clock"].detail


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_real_answer():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    finding, ahead = reach(f"http://127.0.0.1:{server.server_port}")
    thread.join()
    server.server_close()
    assert finding.status == "ok"
    assert abs(ahead) < timedelta(seconds=5)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_nobody_listens():
    finding, ahead = reach("http://127.0.0.1:1")
    assert finding.status == "failed"
    assert "refused" in finding.detail
    assert ahead is None
