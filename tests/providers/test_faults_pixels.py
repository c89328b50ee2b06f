"""What goes wrong with pixels: they come in the end, or an error does, and never a silent gap."""

import json
import re
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.providers.remote_world import provider_of, query_of, small_world, three_days
from tests.world.faults import Fault, answers, delays, drops, truncates
from tests.world.granules import split
from tests.world.world import without_proxies

from changedet.bands import COMPARED_BANDS
from changedet.errors import InputFileError, ProviderError, exit_code
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
NAMES = ("earth-search", "planetary-computer", "stac")
RED = {"earth-search": "*/B04.tif", "planetary-computer": "*_B04_10m.tif", "stac": "*_B04_10m.tif"}
TOKENS = "*/sas/v1/token/*"
DAYS = three_days()
DAY = DAYS[1]
GRID = DAY.grid


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture
def world():
    # every test has addresses of its own: GDAL remembers those it has seen
    with small_world([DAY]) as found:
        yield found


def opened(world, name="stac", **settings):
    provider = provider_of(world, name, **settings)
    (scene,) = provider.search(query_of(DAY))
    return provider, scene


def load(world, name="stac", bands=("B04",), **settings):
    provider, scene = opened(world, name, **settings)
    return provider.load(scene, GRID, bands)


def is_true(world, image, band="B04"):
    return np.abs(image.band(band) - world.truth(DAY, band, GRID)).max() < 5e-4


def refused(provider, scene, seconds, kind=ProviderError, bands=("B04",)):
    """Load in vain; the error, after it was checked that it came in time and in one line."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        provider.load(scene, GRID, bands)
    assert time.monotonic() - started < seconds
    assert "\n" not in str(caught.value)
    assert caught.value.where
    assert caught.value.todo
    return caught.value


# --------------------------------------------------------------------------- what passes, and what not


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "fault",
    [
        answers("{}", 503).first(1),
        answers("{}", 500).first(2),
        answers("{}", 429, {"retry-after": "1"}).first(1),
        answers("{}", 403).first(1),
        answers("{}", 404).first(1),
        drops("{}").first(1),
        truncates("{}", keep_bytes=60).first(1),
        truncates("{}", keep_bytes=0).first(1),
        answers("{}", 200).only("GET").first(1),
    ],
    ids=["503", "500", "429", "403", "404", "drop", "truncated", "empty", "no-tiff"],
)
def test_what_fails_once_comes_in_the_end_and_is_the_truth(world, name, fault):
    world.add_faults(replace(fault, pattern=RED[name]))
    image = load(world, name)
    assert is_true(world, image)
    assert [entry.fault for entry in world.requests(RED[name])].count(fault.kind) == fault.times


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answers("{}", 404), "a file that is not there"),
        (answers("{}", 500), "HTTP 500"),
        (drops("{}"), "could not be read"),
        (truncates("{}", keep_bytes=60), "could not be read"),
        (truncates("{}", keep_bytes=700), "could not be read"),
        (Fault("{}", "status", 200, body=b"<html>sign in</html>" * 100), "could not be read"),
        (Fault("{}", "status", 200, body=b"<VRTDataset></VRTDataset>"), "could not be read"),
    ],
    ids=["404", "500", "drop", "truncated", "truncated-pixels", "html", "virtual"],
)
def test_what_always_fails_is_an_error_and_never_a_gap(world, name, fault, said):
    provider, scene = opened(world, name)
    world.add_faults(replace(fault, pattern=RED[name]))
    error = refused(provider, scene, 5)
    assert said in error.what
    assert error.where == f"{scene.granules[0].id}, B04"
    assert exit_code(error) == 5
    # three attempts at a damaged file, or one request and its retries
    assert len(world.requests(RED[name])) <= 9


def test_a_file_that_is_not_there_is_looked_for_twice(world):
    provider, scene = opened(world, max_retries=5)
    world.add_faults(answers(RED["stac"], 404))
    assert "404" in refused(provider, scene, 3).what
    assert len(world.requests(RED["stac"])) == 2


def test_a_file_that_appears_later_is_seen_in_the_same_process(world):
    provider, scene = opened(world)
    # a band each: what was read once GDAL does not ask for again
    for status, band in ((404, "B02"), (403, "B03"), (503, "B04")):
        world.add_faults(answers(f"*_{band}_10m.tif", status))
        refused(provider, scene, 5, bands=(band,))
        world.clear_faults()
        assert is_true(world, provider.load(scene, GRID, (band,)), band)


def test_after_a_truncated_file_the_whole_one_is_read_in_the_same_process(world):
    provider, scene = opened(world)
    world.add_faults(truncates(RED["stac"], keep_bytes=700))
    refused(provider, scene, 5)
    world.clear_faults()
    assert is_true(world, provider.load(scene, GRID, ("B04",)))


def test_files_that_hang_end_with_the_deadline(world):
    provider, scene = opened(world, read_timeout_s=1.0, total_deadline_s=2.0, max_retries=50)
    world.add_faults(delays("*.tif", 30))
    error = refused(provider, scene, 6, bands=None)
    assert "no answer within 2 s" in error.what


def test_a_file_that_trickles_ends_with_the_time_out(world):
    provider, scene = opened(world, read_timeout_s=1.0, max_retries=0)
    world.add_faults(Fault(RED["stac"], "slow", method="GET", seconds=60))
    refused(provider, scene, 5)


def test_a_wait_without_end_is_not_waited(world):
    provider, scene = opened(world, retry_delay_s=100.0, total_deadline_s=3.0, max_retries=1)
    world.add_faults(answers(RED["stac"], 403))
    refused(provider, scene, 2)


def test_a_file_that_stalls_once_comes_in_the_end(world):
    world.add_faults(Fault(RED["stac"], "slow", method="GET", seconds=60).first(1))
    assert is_true(world, load(world, read_timeout_s=0.2))


@pytest.fixture
def interruptible():
    """A process that was started in the background ignores interruptions, and would so here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_waits_for_no_more_than_what_is_under_way(world):
    provider, scene = opened(world, max_retries=0, max_parallel=4)
    world.add_faults(delays("*.tif", 1.0))
    main = threading.main_thread().ident

    def _interrupt():
        while world.max_in_flight < 4:
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    world.reset_log()
    threading.Thread(target=_interrupt, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        provider.load(scene, GRID)
    assert time.monotonic() - started < 1.8
    # one request of each thread, although every file needs more
    assert len(world.requests("*.tif")) == 4


def test_a_server_without_ranges_is_asked_for_no_large_file(world, monkeypatch):
    provider, scene = opened(world, max_retries=3)
    monkeypatch.setattr("changedet.providers.http.MOST_WHOLE_BYTES", 3000)
    world.add_faults(Fault(RED["stac"], "status", 200, body=b"II*\0" * 1000))
    error = refused(provider, scene, 3)
    assert "the server knows no byte ranges, and the whole file has more than 0.003 MB" in error.what
    assert error.todo == "choose another provider, or download the file"
    assert len(world.requests(RED["stac"])) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(RED["stac"], "status", 206, headers={"content-range": "bytes 0-99/90000"}, body=b"I" * 100),
        Fault(RED["stac"], "status", 200, body=b"<html>sign in</html>" * 100),
    ],
    ids=["short", "html"],
)
def test_no_error_names_what_nobody_knows(world, fault):
    provider, scene = opened(world)
    world.add_faults(fault)
    error = refused(provider, scene, 5)
    said = (
        "the server sent fewer bytes than it was asked for" if fault.status == 206 else "the file not recog"
    )
    assert said in error.what
    assert not re.search(r"[0-9a-f]{32}", str(error))


def test_when_one_file_fails_no_more_are_begun(world):
    provider, scene = opened(world, max_parallel=1)
    world.add_faults(answers("*_B02_10m.tif", 404))
    refused(provider, scene, 3, bands=("B02", "B03", "B04", "B08"))
    assert {e.request.path.rsplit("_", 2)[1] for e in world.requests("*.tif")} == {"B02"}


@pytest.mark.parametrize("name", NAMES)
def test_a_promise_of_the_footprint_that_the_file_breaks_is_an_error(name):
    north, _ = split(DAY)
    with small_world([north]) as world:
        promised = json.loads(json.dumps(query_of(DAY).site.geometry.__geo_interface__))
        for item in world.items(name):
            item["geometry"] = promised
        world.publish(name)
        provider, scene = opened(world, name)
        for _ in range(2):
            # also the second time: "try again" is no advice when nobody is asked
            world.reset_log()
            with pytest.raises(ProviderError, match="no data where its footprint promises some") as caught:
                provider.load(scene, GRID[40:, :], ("B04",))
            assert exit_code(caught.value) == 5
            assert world.requests("*.tif")


@pytest.mark.parametrize(
    ("link", "kind", "said"),
    [
        ("s3://sentinel-cogs/a.tif?X-Amz-Signature=SECRET", ProviderError, "needs keys"),
        ("ftp://me:SECRET@host/a.tif", InputFileError, "ftp://host/a.tif"),
        ("/etc/passwd", InputFileError, "cannot be followed"),
        ("/vsizip//etc/passwd", InputFileError, "cannot be followed"),
        ("file:///etc/passwd", InputFileError, "cannot be followed"),
    ],
)
def test_links_that_lead_elsewhere_are_refused_without_a_request(world, link, kind, said):
    provider, scene = opened(world)
    granule = scene.granules[0]
    red = replace(granule.assets["B04"], href=link)
    scene = replace(scene, granules=(replace(granule, assets={**granule.assets, "B04": red}),))
    error = refused(provider, scene, 3, kind)
    assert said in str(error)
    assert "SECRET" not in str(error)
    assert world.requests(RED["stac"]) == []


# --------------------------------------------------------------------------- signatures


def test_a_signature_that_ends_in_mid_run_is_got_anew_once_for_all_threads():
    with small_world(DAYS) as world:
        provider = provider_of(world, "planetary-computer")
        first, second, _ = provider.search(query_of(DAY))
        provider.load(first, GRID)
        assert len(world.requests(TOKENS)) == 1
        world.signatures.expire()
        image = provider.load(second, GRID)
        assert is_true(world, image)
        assert image.bands == COMPARED_BANDS
        assert len(world.requests(TOKENS)) == 2
        assert 403 in {entry.status for entry in world.requests("*.tif")}


def test_a_new_signature_that_is_refused_too_is_a_matter_of_this_file(world):
    provider, scene = opened(world, "planetary-computer", max_retries=5)
    world.add_faults(answers(RED["planetary-computer"], 403))
    error = refused(provider, scene, 5)
    assert "refuses a new signature, too (403)" in error.what
    assert exit_code(error) == 5, "an error of the account would end a whole list"
    assert len(world.requests(TOKENS)) == 2
    shown = {entry.request.query["sig"] for entry in world.requests(RED["planetary-computer"])}
    assert len(shown) == 2


@pytest.mark.parametrize("wait", [{}, {"retry-after": "0"}, {"retry-after": "1"}, {"retry-after": "soon"}])
def test_a_signing_service_that_limits_the_rate_is_waited_for(world, wait):
    world.add_faults(answers(TOKENS, 429, wait).first(1))
    assert is_true(world, load(world, "planetary-computer"))
    first, second = world.requests(TOKENS)
    assert second.started_s - first.finished_s >= (0.95 if wait.get("retry-after") == "1" else 0)


def test_a_signing_service_that_keeps_limiting_is_not_asked_by_every_thread(world):
    provider, scene = opened(world, "planetary-computer")
    world.add_faults(answers(TOKENS, 429, {"retry-after": "0"}))
    error = refused(provider, scene, 5, bands=None)
    assert "a signature could not be had (429 " in error.what
    assert exit_code(error) == 5
    assert len(world.requests(TOKENS)) == 3
    assert world.requests("*.tif") == []


@pytest.mark.parametrize("wait", ["23", "3600"])
def test_a_wait_for_a_signature_beyond_the_deadline_is_not_begun(world, wait):
    provider, scene = opened(world, "planetary-computer", total_deadline_s=5.0)
    world.add_faults(answers(TOKENS, 429, {"retry-after": wait}))
    assert "no answer within 5 s" in refused(provider, scene, 3, bands=None).what
    assert len(world.requests(TOKENS)) == 1


@pytest.mark.parametrize(
    "body", [b"<html>sign in</html>", b"{}", b"[]", b'{"token": "a", "msft:expiry": "soon"}']
)
def test_a_signing_service_that_talks_of_something_else_is_said(world, body):
    provider, scene = opened(world, "planetary-computer")
    world.add_faults(Fault(TOKENS, "status", 200, body=body))
    refused(provider, scene, 3)
    assert len(world.requests(TOKENS)) == 1


def test_a_link_that_was_signed_by_another_gets_a_signature_of_ours(world):
    for item in world.items("planetary-computer"):
        for asset in item["assets"].values():
            asset["href"] += "?sig=theirs"
    world.publish("planetary-computer")
    assert is_true(world, load(world, "planetary-computer"))
    asked = [entry.request.query.get("sig") for entry in world.requests("*.tif")]
    assert asked
    assert "theirs" not in asked


# --------------------------------------------------------------------------- the cache


def test_a_file_of_the_cache_that_is_damaged_in_mid_run_is_set_aside_and_fetched_again(tmp_path):
    with small_world(DAYS[1:]) as world, small_world(DAYS[1:]) as mirror:
        kept = SceneCache(tmp_path)
        first = CachedProvider(provider_of(world, "earth-search"), kept)
        # other addresses: GDAL remembers what it has read of the first ones
        second = CachedProvider(provider_of(mirror, "earth-search"), kept)
        scenes = first.search(query_of(DAY))
        whole = [first.load(scene, GRID, ("B04", "B08")) for scene in scenes]
        damaged = sorted(tmp_path.rglob("*.tif"))[0]
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 0xFF
        damaged.write_bytes(content)
        scenes = second.search(query_of(DAY))
        again = [second.load(scene, GRID, ("B04", "B08")) for scene in scenes]
        assert len({entry.request.path.rsplit("/", 2)[1] for entry in mirror.requests("*.tif")}) == 1
        assert [path.name for path in tmp_path.rglob("*.tif.damaged")] == [f"{damaged.name}.damaged"]
        for one, other in zip(whole, again, strict=True):
            assert one.data.tobytes() == other.data.tobytes()
            np.testing.assert_array_equal(one.valid, other.valid)
        mirror.reset_log()
        for scene in scenes:
            second.load(scene, GRID, ("B04", "B08"))
        assert mirror.requests() == []


def test_a_damaged_file_of_the_cache_and_a_service_that_is_gone_is_an_error(tmp_path, world):
    provider = CachedProvider(provider_of(world, "earth-search"), SceneCache(tmp_path))
    (scene,) = provider.search(query_of(DAY))
    provider.load(scene, GRID, ("B04",))
    for path in tmp_path.rglob("*.tif"):
        path.write_bytes(path.read_bytes()[:-7])
    with small_world([DAY]) as mirror:
        provider = CachedProvider(provider_of(mirror, "earth-search"), SceneCache(tmp_path))
        (scene,) = provider.search(query_of(DAY))
        mirror.add_faults(answers("*.tif", 503))
        assert "HTTP 503" in refused(provider, scene, 5).what
    assert list(tmp_path.rglob("*.damaged"))
    assert SceneCache(tmp_path).entries() == []
