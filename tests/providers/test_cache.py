"""Scenes kept on disk: what is stored comes back, what is damaged does not, and nothing is half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from changedet.errors import OutputError
from changedet.providers import cache as module
from changedet.providers.cache import (
    Condition,
    SceneCache,
    default_folder,
)
from changedet.providers.cache_files import Planes, digest_of, stack, without_secrets

GRID = GeoBox.from_bbox((300000, 4899000, 300640, 4899480), "EPSG:32633", resolution=10, tight=True)
KEY, OTHER, THIRD = (digest_of(name) for name in ("one", "other", "third"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4),
    max_leaves=12,
)
#: Stores one entry in a process of its own; the statement in between decides what happens to it.
CHILD = """
import os, sys, time
import numpy as np
from pathlib import Path
from odc.geo.geobox import GeoBox
from changedet.providers import cache as module
from changedet.providers.cache import SceneCache
from changedet.providers.cache_files import Planes
folder, key, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
grid = GeoBox.from_bbox((300000, 4899000, 300640, 4899480), "EPSG:32633", resolution=10, tight=True)
array = np.full((3, *grid.shape), seed, np.float32)
cache = SceneCache(folder)
"""


def planes(seed=0, count=3):
    rng = np.random.default_rng(seed)
    array = rng.uniform(0, 1, (count, *GRID.shape)).astype(np.float32)
    array[0, :5, :7] = np.nan
    return Planes(array, tuple(f"B{i:02}" for i in range(count)), GRID)


@pytest.fixture
def cache(tmp_path):
    return SceneCache(tmp_path / "cache")


def names(cache):
    return sorted(path.name for path in cache.scenes.iterdir()) if cache.scenes.is_dir() else []


def sidecar(cache, key=KEY):
    return cache.scenes / f"{key}.json"


def data(cache, key=KEY):
    (path,) = cache.scenes.glob(f"{key}.*.tif")
    return path


def used_at(cache, key, time_s):
    os.utime(sidecar(cache, key), (time_s, time_s))


def child(code, cache, seed=1):
    arguments = [sys.executable, "-c", CHILD + code, str(cache.folder), KEY, str(seed)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


# --- what is stored comes back ---------------------------------------------------------------------------


def test_what_is_stored_comes_back_to_the_bit(cache):
    given_planes = planes()
    cache.store(KEY, given_planes, {"bands": ["B00"], "text": "übung"})
    array, content = cache.fetch(KEY)
    assert array.dtype == np.float32
    assert array.tobytes() == given_planes.array.tobytes()
    assert content == {"bands": ["B00"], "text": "übung"}
    assert cache.describe(KEY) == content
    assert cache.look(KEY).condition is Condition.INTACT


def test_classes_stay_bytes(cache):
    array = np.arange(12, dtype=np.uint8)[None, :, None] * np.ones((1, 48, 64), np.uint8)[:, :12]
    grid = GeoBox.from_bbox((300000, 4899000, 300640, 4899120), "EPSG:32633", resolution=10, tight=True)
    cache.store(KEY, Planes(array, ("classes",), grid), {})
    found, _ = cache.fetch(KEY)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


def test_the_data_are_a_raster_that_other_programs_open(cache):
    cache.store(KEY, planes(), {})
    with rasterio.open(data(cache)) as file:
        assert file.descriptions == ("B00", "B01", "B02")
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == tuple(GRID.transform)[:6]
        assert file.compression.name.lower() == "zstd"
        assert np.isnan(file.nodata)


def test_nothing_is_made_by_looking(cache):
    assert cache.look(KEY).condition is Condition.ABSENT
    assert cache.fetch(KEY) is None
    assert cache.entries() == []
    assert cache.describe(KEY) == {}
    assert cache.prune(0) == []
    assert cache.clean() == 0
    assert not cache.folder.exists()


def test_storing_again_replaces(cache):
    cache.store(KEY, planes(1), {"n": 1})
    first = data(cache)
    cache.store(KEY, planes(2), {"n": 2})
    array, content = cache.fetch(KEY)
    assert content == {"n": 2}
    np.testing.assert_array_equal(array, planes(2).array)
    # young data might belong to a sidecar that is about to come
    assert first.exists()
    os.utime(first, (0, 0))
    cache.store(KEY, planes(2), {"n": 2})
    assert not first.exists()
    assert len(names(cache)) == 2


def test_stack_keeps_codes_and_order():
    bands = np.full((2, 3, 4), 0.25, np.float32)
    found = stack([bands, np.ones((3, 4), bool), np.full((3, 4), 255, np.uint8)])
    assert (found.shape, found.dtype) == ((4, 3, 4), np.float32)
    assert [plane[0, 0] for plane in found] == [0.25, 0.25, 1.0, 255.0]


# --- damage ----------------------------------------------------------------------------------------------


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped byte": (lambda c: flip(data(c)), "SHA-256 differs"),
    "cut short": (lambda c: data(c).write_bytes(data(c).read_bytes()[:-10]), "bytes instead of"),
    "empty": (lambda c: data(c).write_bytes(b""), "0 bytes instead of"),
    "data gone": (lambda c: data(c).unlink(), "data cannot be read (FileNotFoundError)"),
    "sidecar empty": (lambda c: sidecar(c).write_text(""), "sidecar is not what was written"),
    "sidecar no object": (lambda c: sidecar(c).write_text("[1]"), "sidecar is not what was written"),
    "sidecar binary": (lambda c: sidecar(c).write_bytes(b"\xff\xfe\xff"), "sidecar cannot be read"),
    "sidecar of another key": (lambda c: sidecar(c, OTHER).replace(sidecar(c)), "not what was written"),
    "sidecar altered": (
        lambda c: sidecar(c).write_text(sidecar(c).read_text().replace('"n": 1', '"n": 2')),
        "sidecar is not what was written",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_set_aside_and_counts_as_absent(cache, name):
    spoil, reason = DAMAGE[name]
    cache.store(OTHER, planes(3), {"n": 3})
    cache.store(KEY, planes(), {"n": 1})
    spoil(cache)
    before = names(cache)
    found = cache.look(KEY)
    assert found.condition is Condition.DAMAGED
    assert reason in found.reason
    assert found.data is None
    assert names(cache) == before, "looking changes nothing"
    assert cache.fetch(KEY) is None
    assert cache.look(KEY).condition is Condition.ABSENT
    assert f"{KEY}.json.damaged" in names(cache)
    cache.store(KEY, planes(), {"n": 1})
    assert cache.fetch(KEY)[1] == {"n": 1}


def test_a_sidecar_cannot_name_a_file_elsewhere(cache, tmp_path):
    cache.store(KEY, planes(), {})
    record = json.loads(sidecar(cache).read_text())
    del record["sha256"]
    record["data"]["name"] = "../../secret.tif"
    sidecar(cache).write_text(json.dumps(record | {"sha256": digest_of(record)}))
    assert cache.look(KEY).reason == "sidecar is not what was written"


def test_data_that_are_no_raster_are_no_hit(cache):
    cache.store(KEY, planes(), {})
    record = json.loads(sidecar(cache).read_text())
    del record["sha256"]
    data(cache).write_bytes(b"text")
    record["data"] |= {"bytes": 4, "sha256": module.sha256_file(data(cache))}
    sidecar(cache).write_text(json.dumps(record | {"sha256": digest_of(record)}))
    assert cache.look(KEY).condition is Condition.INTACT
    assert cache.fetch(KEY) is None


# --- room ------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(cache):
    now = time.time()
    for age, key in enumerate((KEY, OTHER, THIRD)):
        cache.store(key, planes(age), {})
        used_at(cache, key, now - 100 + age)
    assert [entry.key for entry in cache.entries()] == [THIRD, OTHER, KEY]
    cache.fetch(KEY)
    assert [entry.key for entry in cache.entries()] == [KEY, THIRD, OTHER]
    assert abs((cache.entries()[0].used - datetime.now(UTC)).total_seconds()) < 60
    one = cache.entries()[0].size_bytes
    assert [entry.key for entry in cache.prune(2 * one + 2000)] == [OTHER]
    assert [entry.key for entry in cache.prune(one + 1000)] == [THIRD]
    assert cache.prune(one) == []
    assert cache.fetch(KEY) is not None
    assert [entry.key for entry in cache.prune(0)] == [KEY]
    assert names(cache) == []


def test_size_is_that_of_the_files(cache):
    cache.store(KEY, planes(), {})
    (entry,) = cache.entries()
    assert entry.size_bytes == data(cache).stat().st_size + sidecar(cache).stat().st_size


def test_storing_makes_room_and_spares_the_newest(tmp_path):
    cache = SceneCache(tmp_path, max_bytes=10)
    cache.store(KEY, planes(), {})
    used_at(cache, KEY, time.time() - 10)
    cache.store(OTHER, planes(), {})
    assert [entry.key for entry in cache.entries()] == [OTHER]
    assert cache.prune()[0].key == OTHER


def test_the_folder_is_looked_through_now_and_then(tmp_path, monkeypatch):
    cache, listed, files = SceneCache(tmp_path), [], SceneCache._files
    monkeypatch.setattr(SceneCache, "_files", lambda own: listed.append(1) or files(own))
    keys = [f"{number:064x}" for number in range(70)]
    for number, key in enumerate(keys[:64]):
        cache.store(key, planes(number), {})
    assert len(listed) == 2  # with the first one
    for number, key in enumerate(keys[64:]):
        cache.store(key, planes(number), {})
    assert len(listed) == 4 and len(cache.entries()) == 70


def test_a_limit_holds_although_the_folder_is_not_looked_through_each_time(tmp_path):
    SceneCache(tmp_path).store(KEY, planes(), {})
    one = SceneCache(tmp_path).entries()[0].size_bytes
    cache = SceneCache(tmp_path, max_bytes=5 * one + one // 2)
    for number in range(20):
        cache.store(f"{number:064x}", planes(number), {})
        assert sum(entry.size_bytes for entry in cache.entries()) <= cache.max_bytes
    assert len(cache.entries()) >= 4


def test_what_a_killed_process_left_beside_an_entry_is_removed_once_it_is_old(cache):
    cache.store(KEY, planes(), {})
    left = data(cache).with_name(f"{KEY}.{'0' * 16}.tif")
    left.write_text("x")
    assert cache.clean() == 0
    for path in cache.scenes.glob("*.tif"):
        os.utime(path, (0, 0))
    assert cache.clean() == 1 and not left.exists()
    assert cache.look(KEY).condition is Condition.INTACT


def test_only_old_leftovers_are_removed(cache):
    cache.store(KEY, planes(), {})
    young, old = cache.scenes / f".{OTHER}.aa.part", cache.scenes / f".{OTHER}.bb.part"
    orphan, foreign = cache.scenes / f"{OTHER}.{'0' * 16}.tif", cache.scenes / "notes.txt"
    for path in (young, old, orphan, foreign):
        path.write_text("x")
    for path in (old, orphan, foreign, data(cache)):
        os.utime(path, (0, 0))
    assert cache.clean() == 2
    assert [p.exists() for p in (young, old, orphan, foreign)] == [True, False, False, True]
    assert cache.look(KEY).condition is Condition.INTACT


def test_only_what_is_damaged_is_set_aside(cache):
    cache.store(KEY, planes(), {})
    cache.set_aside(KEY)
    cache.set_aside(OTHER)
    assert cache.look(KEY).condition is Condition.INTACT
    # another process has written data under the same key, and will name them next
    data(cache).write_bytes(b"spoilt")
    fresh = data(cache).with_name(f"{KEY}.{'0' * 16}.tif")
    fresh.write_bytes(b"whole")
    assert cache.fetch(KEY) is None
    assert fresh.read_bytes() == b"whole"
    assert sum(name.endswith(".damaged") for name in names(cache)) == 2


def test_a_sidecar_that_nobody_understands_takes_no_data_with_it(cache):
    cache.store(KEY, planes(), {})
    (cache.scenes / f"{KEY}.json").write_text("{")
    assert cache.fetch(KEY) is None
    assert data(cache).exists()


def test_making_room_spares_what_another_process_has_just_written(cache):
    cache.store(KEY, planes(), {})
    fresh = data(cache).with_name(f"{KEY}.{'0' * 16}.tif")
    fresh.write_bytes(b"whole")
    assert [entry.key for entry in cache.prune(0)] == [KEY]
    assert names(cache) == [fresh.name]


def test_pruning_removes_what_was_set_aside(cache):
    cache.store(KEY, planes(), {})
    data(cache).write_bytes(b"spoilt")
    cache.set_aside(KEY)
    assert all(name.endswith(".damaged") for name in names(cache))
    assert len(names(cache)) == 2
    assert cache.prune() == []
    assert names(cache) == []


# --- failures and other processes ------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    cache = SceneCache(tmp_path / "file")
    with pytest.raises(OutputError, match=r"scene cannot be kept .*; name another folder with --cache"):
        cache.store(KEY, planes(), {})


@pytest.mark.parametrize("step", ["write_raster", "to_disk", "digest_of"])
def test_a_full_disk_leaves_no_entry_and_no_temporary_file(cache, monkeypatch, step):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, step, full)
    with pytest.raises(OutputError, match="No space left on device"):
        cache.store(KEY, planes(), {})
    assert cache.entries() == []
    assert not [name for name in names(cache) if name.endswith((".json", ".part"))]


def test_two_processes_write_and_read_the_same_key(cache):
    code = """
for turn in range(6):
    cache.store(key, Planes(array + turn, ("a", "b", "c"), grid), {"value": seed + turn})
    found = cache.fetch(key)
    if found is not None:
        values = set(np.unique(found[0]))
        print("read", values == {float(found[1]["value"])}, flush=True)
"""
    children = [child(code, cache, seed) for seed in (10, 50)]
    said = [one.communicate(timeout=60)[0].split("\n") for one in children]
    assert [one.returncode for one in children] == [0, 0]
    assert all(lines.count("read True") >= 1 and "read False" not in lines for lines in said)
    array, content = cache.fetch(KEY)
    assert set(np.unique(array)) == {content["value"]}
    assert not [name for name in names(cache) if name.endswith((".part", ".damaged"))]


def test_threads_of_one_process_may_share_it_too(cache):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(cache.store, KEY, planes(1), {"n": 1}) for _ in range(8)]:
            done.result()
    assert cache.fetch(KEY)[1] == {"n": 1}
    assert len(names(cache)) == 2


def test_a_writer_that_is_killed_leaves_nothing_under_a_final_name(cache):
    code = """
def wait(path):
    print("written", path.stat().st_size > 1000, flush=True)
    time.sleep(60)
module.to_disk = wait
cache.store(key, Planes(array, ("a", "b", "c"), grid), {})
"""
    writer = child(code, cache)
    assert writer.stdout.readline() == "written True\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    (left,) = names(cache)
    assert left.endswith(".part")
    assert cache.look(KEY).condition is Condition.ABSENT
    assert cache.entries() == []
    os.utime(cache.scenes / left, (0, 0))
    cache.store(OTHER, planes(), {})
    assert left not in names(cache)
    assert [entry.key for entry in cache.entries()] == [OTHER]


# --- keys, links, folders --------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=6))
def test_the_order_of_keys_does_not_matter(value):
    assert digest_of(value) == digest_of(dict(reversed(value.items())))
    assert digest_of(value) == digest_of(json.loads(json.dumps(value)))


@given(st.lists(JSON, min_size=2, max_size=5))
def test_the_order_of_lists_does(value):
    turned = value[::-1]
    same = json.dumps(value, sort_keys=True) == json.dumps(turned, sort_keys=True)
    assert (digest_of(value) == digest_of(turned)) is same


def test_a_number_that_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        digest_of({"a": float("nan")})


LINKS = {
    "https://host/a.tif?sig=abc&se=2026": "https://host/a.tif",
    "https://me:pass@host:8443/a/b.tif": "https://host:8443/a/b.tif",
    "s3://bucket/key.jp2": "s3://bucket/key.jp2",
    "/vsicurl/https://h/a.tif?token=1": "/vsicurl/https://h/a.tif",
    "see https://h/?k=1 and http://u@h/#f.": "see https://h/ and http://h/",
    "scenes/B04.tif": "scenes/B04.tif",
    "why? because": "why? because",
}


@pytest.mark.parametrize("link", LINKS)
def test_links_lose_what_could_be_a_secret(link):
    assert without_secrets(link) == LINKS[link]


@given(JSON, st.from_regex(r"[A-Za-z0-9%]{12,30}", fullmatch=True))
def test_no_signature_survives_wherever_it_stands(value, secret):
    inside = {"deep": [value, {"href": f"https://host/x?sig={secret}"}], "login": f"https://u:{secret}@h/x"}
    assert secret not in json.dumps(without_secrets(inside)["deep"][1])
    assert secret not in without_secrets(inside)["login"]


def test_no_signature_reaches_the_disk(cache):
    secret = "SignatureThatNobodyMaySee"
    cache.store(KEY, planes(), {"scene": {"bands": {"B04": {"href": f"https://h/a.tif?sig={secret}"}}}})
    for path in cache.scenes.iterdir():
        assert secret.encode() not in path.read_bytes()
    assert cache.describe(KEY)["scene"]["bands"]["B04"]["href"] == "https://h/a.tif"


def test_the_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_folder() == tmp_path / "x" / "changedet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "changedet"
