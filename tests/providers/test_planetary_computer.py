"""Signatures: for whom they are, how long they live, and to whom they are never shown."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tests.world.faults import answers
from tests.world.plumbing import Server, json_response
from tests.world.world import without_proxies

from changedet.errors import ProviderError
from changedet.providers.planetary_computer import Signatures
from changedet.providers.settings import ProviderSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
ARCHIVE = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/33/a.tif"


@pytest.fixture
def service(monkeypatch):
    without_proxies(monkeypatch)
    life, issued = {"minutes": 45.0}, count()

    def issue(_request):
        ends = datetime.now(UTC) + timedelta(minutes=life["minutes"])
        return json_response({"msft:expiry": f"{ends:%Y-%m-%dT%H:%M:%SZ}", "token": f"sig={next(issued)}"})

    found = Server(issue)
    found.life = life
    yield found
    found.close()


@pytest.fixture
def signatures(service):
    settings = ProviderSettings(signing_url=f"{service.url}/token", max_retries=0, retry_delay_s=0.01)
    return Signatures(settings)


def test_one_token_serves_a_container_until_little_is_left(service, signatures):
    first = signatures.sign(ARCHIVE)
    assert first == f"{ARCHIVE}?sig=0"
    assert signatures.sign(ARCHIVE.replace("/a.tif", "/b.tif")).endswith("b.tif?sig=0")
    assert [entry.request.path for entry in service.log] == ["/token/sentinel2l2a01/sentinel2-l2"]
    signatures.sign(ARCHIVE.replace("sentinel2-l2/", "other/"))
    assert len(service.log) == 2
    service.life["minutes"] = 4.0
    assert signatures.forget(ARCHIVE)
    before = len(service.log)
    assert signatures.sign(ARCHIVE) != signatures.sign(ARCHIVE)
    assert len(service.log) == before + 2


def test_a_token_can_be_dropped_once(signatures):
    assert not signatures.forget(ARCHIVE)
    signatures.sign(ARCHIVE)
    assert signatures.forget(ARCHIVE)
    assert not signatures.forget(ARCHIVE)


@pytest.mark.parametrize(
    "href",
    [
        "https://elsewhere.example/sentinel2l2a01/sentinel2-l2/a.tif",
        "https://blob.core.windows.net.elsewhere.example/sentinel2-l2/a.tif",
        "http://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/a.tif",
    ],
)
def test_nobody_else_is_shown_a_token(service, signatures, href):
    assert signatures.sign(href) == href
    assert not signatures.forget(href)
    assert service.log == ()


def test_what_is_printed_of_it_holds_no_token(signatures):
    signatures.sign(ARCHIVE)
    assert "sig=" not in repr(signatures)


def test_failures_of_the_service_are_said(service, signatures):
    service.faults.add(answers("/token/*", 429).first(1))
    with pytest.raises(ProviderError, match=r"a signature could not be had \(429 "):
        signatures.sign(ARCHIVE)
    service.faults.add(answers("/token/*", 200).first(1))
    with pytest.raises(ProviderError, match="the signing service answers in an unknown form"):
        signatures.sign(ARCHIVE)
