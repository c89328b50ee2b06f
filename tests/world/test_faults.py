"""The file server, signed access and every fault, as real clients meet them."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import rasterio
import requests
from hypothesis import given
from hypothesis import strategies as st
from pystac_client.exceptions import APIError
from rasterio.errors import RasterioIOError
from tests.world.asking import ALL, QUICKLY, found, item_of, post, read, signed
from tests.world.faults import FaultBook, answers, breaks, delays, drops, trickles, truncates
from tests.world.planetary import CONTAINERS, OPTICAL, RADAR
from tests.world.world import Options, World

# -------------------------------------------------------------------------------------------- file server


def test_rasterio_fetches_ranges(world, days):
    href = item_of(world, "earth-search", ALL, days[1])["assets"]["red"]["href"]
    whole_bytes = int(requests.head(href, timeout=10).headers["content-length"])
    world.reset_log()
    with rasterio.Env(**QUICKLY), rasterio.open(href) as source:
        window = source.read(1, window=((300, 340), (300, 340)))
    assert window.min() > 0
    gets = world.requests("*/B04.tif", "GET")
    assert len(world.requests(method="HEAD")) == 1
    assert 1 <= len(gets) <= 3
    assert {entry.status for entry in gets} == {206}
    assert sum(entry.sent_bytes for entry in gets) < whole_bytes / 2


def test_ranges_as_the_standard_has_them(world, days):
    href = item_of(world, "earth-search", ALL, days[1])["assets"]["scl"]["href"]
    everything = requests.get(href, timeout=10)
    size = len(everything.content)
    for asked, part in (("0-9", slice(0, 10)), (f"{size - 5}-", slice(-5, None)), ("-7", slice(-7, None)),
                        (f"{size - 3}-{size + 50}", slice(-3, None))):  # fmt: skip
        answer = requests.get(href, headers={"range": f"bytes={asked}"}, timeout=10)
        assert (answer.status_code, answer.content) == (206, everything.content[part])
        assert answer.headers["etag"] == everything.headers["etag"]
    assert requests.get(href, headers={"range": f"bytes={size}-"}, timeout=10).status_code == 416
    assert requests.get(href, headers={"range": "bytes=-"}, timeout=10).status_code == 400
    assert requests.get(f"{href}x", timeout=10).status_code == 404
    assert requests.post(href, timeout=10).status_code == 405


def test_nothing_but_this_machine_can_be_reached():
    with pytest.raises((RuntimeError, UserWarning), match=r"192\.0\.2\.1"), socket.socket() as line:
        line.connect(("192.0.2.1", 80))


def test_no_two_worlds_share_a_path(days):
    with World(days) as one, World(days) as other:
        paths = [
            {a["href"].split("/", 3)[3] for i in w.items("earth-search") for a in i["assets"].values()}
            for w in (one, other)
        ]
    hosted = [{p for p in found_paths if not p.startswith("tiles/")} for found_paths in paths]
    assert hosted[0]
    assert not hosted[0] & hosted[1]


def test_pixels_are_signed_or_refused(world):
    item = next(i for i in world.items("planetary-computer") if i["collection"] == OPTICAL)
    href = item["assets"]["SCL"]["href"]
    assert requests.head(href, timeout=10).status_code == 403
    assert requests.get(f"{href}?sig=made-up", timeout=10).status_code == 403
    good = signed(world, href)
    assert requests.head(good, timeout=10).status_code == 200
    radar = requests.get(f"{world.signing}/{CONTAINERS[RADAR]}", timeout=10).json()
    assert set(radar) == {"msft:expiry", "token"}
    assert requests.head(f"{href}?{radar['token']}", timeout=10).status_code == 403
    world.signatures.expire()
    assert requests.head(good, timeout=10).status_code == 403
    assert requests.get(f"{world.signing}/sentinel2l2a01/other", timeout=10).status_code == 404


def test_signatures_end_by_themselves(days):
    with World(days, options=Options(signature_life_s=0.6)) as world:
        href = signed(world, world.items("planetary-computer")[0]["assets"]["SCL"]["href"])
        assert requests.head(href, timeout=10).status_code == 200
        time.sleep(0.65)
        assert requests.head(href, timeout=10).status_code == 403


# ---------------------------------------------------------------------------------------------------- faults


def test_a_status_for_the_first_requests_only(world):
    world.add_faults(answers("*/search", 503).first(2))
    codes = [post(world, collections=[ALL]).status_code for _ in range(4)]
    assert codes == [503, 503, 200, 200]
    assert [entry.fault for entry in world.requests("*/search")] == ["status", "status", "", ""]


def test_a_status_after_some_requests(days):
    fault = answers("*/search", 429, {"retry-after": "2"}).after(1)
    with World(days, [fault]) as world:
        replies = [post(world, collections=[ALL]) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 429, 429]
        assert replies[-1].headers["retry-after"] == "2"
        world.clear_faults()
        assert post(world, collections=[ALL]).status_code == 200


def test_a_dropped_connection(world):
    world.add_faults(drops("*/search"))
    with pytest.raises(requests.ConnectionError, match="closed connection without response"):
        post(world, collections=[ALL])
    with pytest.raises(APIError, match="closed connection"):
        found(world.earth_search, collections=[ALL])


def test_a_truncated_body(world, days):
    href = item_of(world, "earth-search", ALL, days[1])["assets"]["red"]["href"]
    world.add_faults(truncates("*/B04.tif", keep_bytes=50))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        requests.get(href, timeout=10)
    assert requests.head(href, timeout=10).status_code == 200
    with pytest.raises(RasterioIOError):
        read(href)


def test_slow_and_late_answers(world):
    world.add_faults(trickles("*/collections", 0.3), delays("*/conformance", 0.2))
    started = time.monotonic()
    reply = requests.get(f"{world.earth_search}/collections", timeout=10)
    assert time.monotonic() - started >= 0.25
    assert len(reply.json()["collections"]) == 2
    with pytest.raises(requests.Timeout):
        requests.get(f"{world.earth_search}/conformance", timeout=0.05)


def test_gdal_meets_the_fault_of_this_world(days):
    for status in (404, 403, 500):
        with World(days, [answers("*/B04.tif", status)]) as world:
            href = item_of(world, "earth-search", ALL, days[1])["assets"]["red"]["href"]
            with pytest.raises(RasterioIOError):
                read(href)
            assert {entry.status for entry in world.requests("*/B04.tif")} == {status}
            assert (read(href.replace("B04", "B03")) > 0).any()


def test_in_flight_is_counted(days):
    with World(days, options=Options(latency_s=0.15)) as world:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: post(world, collections=[ALL]), range(8)))
        assert 2 <= world.max_in_flight <= 4
        assert len(world.requests("*/search")) == 8
        assert all(entry.finished_s - entry.started_s >= 0.14 for entry in world.requests())
        world.reset_log()
        assert (world.requests(), world.max_in_flight) == ([], 0)
        post(world, collections=[ALL])
        assert world.max_in_flight == 1


def test_requests_from_before_a_reset_are_never_logged(world):
    world.add_faults(delays("*/search", 0.3).first(1))
    with pytest.raises(requests.Timeout):
        requests.post(f"{world.earth_search}/search", json={}, timeout=0.05)
    world.reset_log()
    started = time.monotonic()
    post(world, collections=[ALL])
    assert len(world.requests()) == 1
    assert time.monotonic() - started < 0.25, "nobody waited for it"
    time.sleep(0.3)
    assert len(world.requests()) == 1


@given(skip=st.integers(0, 5), times=st.integers(0, 5))
def test_faults_hit_exactly_the_requests_they_name(skip, times):
    book = FaultBook()
    book.add(answers("/a/*", 500).after(skip).first(times).only("GET"))
    for _ in range(3):
        assert book.take("POST", "/a/x") is None
        assert book.take("GET", "/b/x") is None
    hits = [book.take("GET", "/a/x") is not None for _ in range(12)]
    assert hits == [skip <= number < skip + times for number in range(12)]


def test_a_world_leaves_nothing_behind(days):
    before = threading.active_count()
    world = World(days, [delays("*/search", 60)])
    folder = world.store.folder
    assert folder.exists()
    waiting = threading.Thread(target=_ignore_failure, args=(world,))
    waiting.start()
    while world.max_in_flight == 0:
        time.sleep(0.005)
    started = time.monotonic()
    world.close()
    waiting.join()
    assert time.monotonic() - started < 2
    assert threading.active_count() == before
    assert not folder.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(world.url, timeout=10)


def _ignore_failure(world):
    try:
        post(world, collections=[ALL])
    except requests.RequestException:
        return


def test_a_bug_in_the_stand_in_is_not_taken_for_a_fault(days):
    with pytest.raises(ZeroDivisionError, match="/somewhere"):
        _break(days)


def _break(days):
    with World(days, [breaks("/somewhere")]) as world, pytest.raises(requests.ConnectionError):
        requests.get(f"{world.url}/somewhere", timeout=10)
