"""What goes wrong at Sentinel Hub: limits, quotas, tokens, and answers that are none."""

import json
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.providers.remote_world import query_of, small_world
from tests.world.faults import Fault, answers, delays, drops
from tests.world.granules import quick_scene
from tests.world.sentinel_hub import quota_used_up
from tests.world.world import without_proxies

from changedet.cli import run as command_line
from changedet.errors import CredentialsError, ProviderError, exit_code
from changedet.providers import sentinel_hub_requests
from changedet.providers.sentinel_hub import SentinelHubOptions, SentinelHubProvider
from changedet.providers.sentinel_hub_client import Credentials
from changedet.providers.settings import ProviderSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
DAY = quick_scene(date(2023, 5, 16))
GRID = DAY.grid
PROCESS, TOKEN, SEARCH = "*/process", "*/oauth/token", "*/search"
HTML = b"<!DOCTYPE html><html><body>Please sign in to the wireless network</body></html>"
PATIENCE = {"retry_delay_s": 0.01, "max_retries": 2, "total_deadline_s": 20.0}


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    without_proxies(monkeypatch)
    for name in ("SH_PROFILE", "SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def world():
    with small_world([DAY]) as found:
        yield found


@pytest.fixture
def pieces(monkeypatch):
    """Acquisitions come in four pieces, which are asked for at one time."""
    monkeypatch.setattr(sentinel_hub_requests, "LARGEST_PX", 50)
    return 4


def provider(world, **changes):
    service = world.sentinel_hub_service
    return SentinelHubProvider(
        ProviderSettings(url=world.sentinel_hub, **(PATIENCE | changes)),
        SentinelHubOptions(credentials=Credentials(service.client_id, service.client_secret)),
    )


def opened(world, **changes):
    found = provider(world, **changes)
    (scene,) = found.search(query_of(DAY))
    world.reset_log()
    return found, scene


def is_true(world, image):
    return np.abs(image.band("B04") - np.maximum(world.truth(DAY, "B04"), 0)).max() <= 5e-4


def refused(ask, kind=ProviderError, seconds=5.0):
    """Ask in vain; the error, after it was checked that it came in time and in one line."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        ask()
    assert time.monotonic() - started < seconds
    assert "\n" not in str(caught.value)
    assert caught.value.where.startswith("http")
    assert caught.value.todo
    return caught.value


# --------------------------------------------------------------------------------------- limits of the rate


@pytest.mark.parametrize(
    ("header", "least_s"),
    [("150", 0.15), ("2", 0.0), (None, 0.0), ("soon", 0.0), ("-5", 0.0), ("date", 0.05)],
)
def test_a_limit_of_the_rate_is_waited_out_by_milliseconds(world, header, least_s):
    ask, scene = opened(world)
    if header == "date":
        header = f"{datetime.now(UTC) + timedelta(seconds=1.9):%a, %d %b %Y %H:%M:%S} GMT"
    world.add_faults(answers(PROCESS, 429, {} if header is None else {"retry-after": header}).first(1))
    assert is_true(world, ask.load(scene, GRID, ("B04",)))
    first, second = world.requests(PROCESS)
    assert least_s <= second.started_s - first.finished_s < 2.5


def test_a_wait_of_two_is_not_taken_for_leave_to_hammer(world):
    ask, scene = opened(world, retry_delay_s=0.1)
    # two milliseconds by the book, two seconds by some servers: our own delay holds in between
    world.add_faults(answers(PROCESS, 429, {"retry-after": "2"}).first(2))
    ask.load(scene, GRID, ("B04",))
    first, second, third = world.requests(PROCESS)
    assert second.started_s - first.finished_s >= 0.07
    assert third.started_s - second.finished_s >= 0.14


@pytest.mark.parametrize("header", ["1", None, "soon"])
def test_a_limit_that_stays_ends_after_a_known_number_of_requests(world, header):
    ask, scene = opened(world)
    world.add_faults(answers(PROCESS, 429, {} if header is None else {"retry-after": header}))
    error = refused(lambda: ask.load(scene, GRID, ("B04",)))
    assert "limits the rate (429)" in error.what
    assert exit_code(error) == 5
    assert len(world.requests(PROCESS)) == 3


@pytest.mark.parametrize("fault", [answers(PROCESS, 429, {"retry-after": "20"}), answers(PROCESS, 503)])
def test_no_number_of_retries_outlives_the_deadline(world, fault):
    ask, scene = opened(world, max_retries=10_000, total_deadline_s=0.5)
    world.add_faults(fault)
    refused(lambda: ask.load(scene, GRID, ("B04",)), seconds=2)
    assert 2 <= len(world.requests(PROCESS)) < 60


# ------------------------------------------------------------------------------- slow and broken answers


@pytest.mark.parametrize("path", [PROCESS, SEARCH, TOKEN])
def test_a_service_that_hangs_is_given_up(world, path):
    ask, scene = opened(world)
    ask = provider(world, read_timeout_s=0.1, max_retries=1)
    world.add_faults(delays(path, 10))
    error = refused(lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)))
    assert "did not answer in time" in error.what
    assert exit_code(error) == 5


@pytest.mark.parametrize("path", [PROCESS, SEARCH, TOKEN])
def test_an_answer_that_trickles_ends_with_the_deadline(world, path):
    ask, scene = opened(world)
    ask = provider(world, total_deadline_s=0.6)
    world.add_faults(Fault(path, "slow", method="POST", seconds=30))
    error = refused(lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)))
    assert "did not answer in time" in error.what


@pytest.mark.parametrize("path", [SEARCH, TOKEN])
@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_an_answer_that_breaks_off_is_asked_for_again_and_ends(world, path, kind):
    fault = Fault(path, kind, method="POST", keep_bytes=20)
    world.add_faults(fault.first(2))
    assert len(provider(world).search(query_of(DAY))) == 1
    assert len(world.requests(path)) == 3
    world.clear_faults()
    world.reset_log()
    world.add_faults(fault)
    assert "the connection failed" in refused(lambda: provider(world).search(query_of(DAY))).what
    assert len(world.requests(path)) == 3


@pytest.mark.parametrize(
    ("path", "said"),
    [(PROCESS, "the image is damaged"), (SEARCH, "not understood"), (TOKEN, "gave no token")],
)
def test_a_page_for_people_is_no_answer(world, path, said):
    ask, scene = opened(world)
    ask = provider(world)
    world.add_faults(Fault(path, "status", 200, headers={"content-type": "text/html"}, body=HTML))
    error = refused(lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)))
    assert said in error.what
    assert exit_code(error) == 5
    assert len(world.requests(path)) == 1


@pytest.mark.parametrize("path", [PROCESS, SEARCH])
@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refusal_is_told_in_the_words_of_the_service_and_not_sent_again(world, path, status):
    ask, scene = opened(world)
    body = json.dumps({"error": {"status": status, "message": "Width must be\n<= 2500"}}).encode()
    world.add_faults(Fault(path, "status", status, body=body))
    error = refused(lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)))
    assert f"refused the request ({status}: Width must be <= 2500)" in error.what
    assert len(world.requests(path)) == 1


def test_a_damaged_piece_spoils_the_whole_and_nothing_is_kept(world, pieces):
    ask, scene = opened(world)
    world.add_faults(Fault(PROCESS, "status", 200, body=b"II*\0" + b"\0" * 200).after(2).first(1))
    assert "the image is damaged" in refused(lambda: ask.load(scene, GRID, ("B04",))).what
    world.clear_faults()
    assert is_true(world, ask.load(scene, GRID, ("B04",)))


def test_what_is_wider_than_the_service_allows_is_asked_for_in_pieces(world):
    ask, scene = opened(world)
    box = GRID.boundingbox
    wide = GeoBox.from_bbox(
        (box.left - 12_800, box.bottom, box.right + 12_800, box.top), GRID.crs, resolution=10, tight=True
    )
    image = ask.load(scene, wide, ("B04",))
    outputs = [entry.request.json()["output"] for entry in world.requests(PROCESS)]
    assert sorted(one["width"] for one in outputs)[-1] == 2500
    assert len(outputs) == 2
    assert {entry.status for entry in world.requests(PROCESS)} == {200}
    middle = image.band("B04")[:, 1280:-1280]
    assert np.abs(middle - np.maximum(world.truth(DAY, "B04"), 0)).max() <= 5e-4


# --------------------------------------------------------------------------------------- tokens


def test_a_token_of_short_life_is_not_asked_for_with_every_piece(world, pieces):
    world.sentinel_hub_service.token_life_s = 100.0
    ask = provider(world)
    (scene,) = ask.search(query_of(DAY))
    for shift in range(3):
        ask.load(scene, GRID.translate_pix(40 * shift, 0) if shift else GRID, ("B04",))
    assert len(world.requests(PROCESS)) >= 2 * pieces
    assert len(world.requests(TOKEN)) == 1


def test_a_token_without_a_life_is_renewed_and_works(world):
    token = {"access_token": "x", "token_type": "Bearer"}
    world.add_faults(Fault(TOKEN, "status", 200, body=json.dumps(token).encode()).first(1))
    assert len(provider(world).search(query_of(DAY))) == 1
    assert len(world.requests(TOKEN)) == 2


def test_a_token_that_ends_in_mid_run_is_renewed_once_for_all_pieces(world, pieces):
    ask, scene = opened(world)
    world.sentinel_hub_service.revoke()
    assert is_true(world, ask.load(scene, GRID, ("B04",)))
    assert len(world.requests(TOKEN)) == 1
    statuses = [entry.status for entry in world.requests(PROCESS)]
    assert statuses.count(200) == pieces
    assert 1 <= statuses.count(401) <= pieces


def test_a_new_token_that_is_refused_too_ends_it(world):
    ask, scene = opened(world)
    world.add_faults(answers(PROCESS, 401))
    error = refused(lambda: ask.load(scene, GRID), CredentialsError)
    assert "may not do this (401" in error.what
    assert exit_code(error) == 4
    assert len(world.requests(PROCESS)) == 2
    assert len(world.requests(TOKEN)) == 1


def test_a_secret_that_is_changed_in_mid_run_is_a_matter_of_credentials(world):
    ask, scene = opened(world)
    world.sentinel_hub_service.client_secret = "another"
    world.sentinel_hub_service.revoke()
    error = refused(lambda: ask.load(scene, GRID), CredentialsError)
    assert "the client id or its secret was refused (401)" in error.what
    assert "SH_CLIENT_SECRET" in error.todo
    assert len(world.requests(TOKEN)) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_secret_does_not_follow_a_redirection(world, status):
    with small_world([DAY]) as other:
        elsewhere = f"{other.sentinel_hub}/oauth/token"
        world.add_faults(Fault(TOKEN, "status", status, headers={"location": elsewhere}))
        error = refused(lambda: provider(world).search(query_of(DAY)))
        assert f"gave no token (status {status})" in error.what
        assert other.requests() == []


@pytest.mark.parametrize("path", [PROCESS, SEARCH])
def test_a_token_does_not_follow_a_redirection_to_another_server(world, path):
    ask, scene = opened(world)
    with small_world([DAY]) as other:
        world.add_faults(Fault(path, "status", 307, headers={"location": f"{other.url}/elsewhere"}))
        refused(lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)))
        assert not [entry for entry in other.requests() if "authorization" in entry.request.headers]


# --------------------------------------------------------------------------------------- the quota


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"status": 403, "code": "ACCESS_INSUFFICIENT_PROCESSING_UNITS"}}',
        b'{"error": {"message": "Insufficient processing units or requests available in your account."}}',
        b'{"code": 403, "description": "You have exceeded your monthly quota"}',
        b"Quota exceeded",
    ],
)
@pytest.mark.parametrize("path", [PROCESS, SEARCH])
def test_a_quota_that_is_gone_is_said_whatever_form_it_is_told_in(world, path, body):
    ask, scene = opened(world)
    world.add_faults(Fault(path, "status", 403, body=body))
    error = refused(
        lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)), CredentialsError
    )
    assert "the quota of the account is used up (403)" in error.what
    assert "wait for the next month" in error.todo
    assert exit_code(error) == 4
    assert len(world.requests(path)) == 1


def test_a_quota_that_ends_among_the_pieces_stops_the_others(world, pieces):
    ask, scene = opened(world, max_parallel=1)
    world.add_faults(quota_used_up("/sentinel-hub").after(1))
    assert "quota" in refused(lambda: ask.load(scene, GRID), CredentialsError).what
    assert len(world.requests(PROCESS)) <= pieces


def test_on_the_command_line_a_quota_that_is_gone_is_exit_four(world, workplace, monkeypatch, capsys):
    service = world.sentinel_hub_service
    monkeypatch.setenv("SH_CLIENT_ID", service.client_id)
    monkeypatch.setenv("SH_CLIENT_SECRET", service.client_secret)
    monkeypatch.setenv("CHANGEDET_PROVIDERS__SENTINELHUB__URL", world.sentinel_hub)
    world.add_faults(quota_used_up("/sentinel-hub"))
    centre = GRID.extent.centroid.to_crs("EPSG:4326").geom
    place = ("--at", f"{centre.y:.5f}, {centre.x:.5f}", "--radius", "150m", "--provider", "sentinelhub")
    asked = ["run", *place, "--before", "2021-05", "--after", "2023-05", "--out", "run"]
    assert command_line(asked) == 4
    said = capsys.readouterr()
    (line,) = said.err.strip().splitlines()
    assert "the quota of the account is used up (403)" in line
    assert service.client_secret not in line
    assert said.out == ""
    assert not (workplace / "run").exists()


@pytest.mark.parametrize("path", [PROCESS, SEARCH, TOKEN])
def test_nobody_there_is_an_error_in_time(world, path):
    ask, scene = opened(world)
    ask = provider(world)
    world.add_faults(drops(path))
    error = refused(lambda: ask.load(scene, GRID) if path == PROCESS else ask.search(query_of(DAY)))
    assert "the connection failed" in error.what
    assert len(world.requests(path)) == 3
