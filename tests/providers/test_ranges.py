"""Remote files of which only the needed bytes are fetched."""

from itertools import pairwise

import numpy as np
import pytest
import rasterio
import requests
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from tests.world.plumbing import Response, Server
from tests.world.world import without_proxies

from changedet.providers.http import NoRangesError, make_session
from changedet.providers.ranges import (
    HEADER_BYTES,
    Cursor,
    Piece,
    RemoteFile,
    block_ranges,
    fetch_range,
    merged,
)
from changedet.providers.settings import ProviderSettings

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
CONTENT = np.random.default_rng(4).integers(0, 256, 400_000, dtype=np.uint8).tobytes()
PATIENCE = (2.0, 2.0)


class Shelf:
    """Bytes to fetch from, and what was asked of them."""

    def __init__(self, content=CONTENT):
        self.content, self.asked = content, []

    def __call__(self, start, stop):
        self.asked.append((start, stop))
        return Piece(start, self.content[start:stop], len(self.content))


@given(
    st.lists(st.tuples(st.integers(0, 390_000), st.integers(1, 9_000)), max_size=6),
    st.lists(st.tuples(st.integers(0, 399_999), st.integers(0, 60_000)), min_size=1, max_size=8),
)
def test_what_is_read_is_what_stands_there(wanted, reads):
    shelf = Shelf()
    file = RemoteFile(shelf)
    file.want((start, start + size) for start, size in wanted)
    for start, size in reads:
        assert file.read(start, start + size) == CONTENT[start : start + size]


def test_what_was_wanted_is_not_asked_for_again():
    shelf = Shelf()
    file = RemoteFile(shelf)
    file.want([(100, 200), (300_000, 300_500)])
    assert shelf.asked == [(0, HEADER_BYTES), (300_000, 300_500)]
    assert file.read(300_100, 300_200) == CONTENT[300_100:300_200]
    assert len(shelf.asked) == 2


def test_a_cursor_is_a_file():
    first, second = (Cursor(file) for file in [RemoteFile(Shelf())] * 2)
    assert first.seekable()
    assert first.readable()
    assert first.seek(0, 2) == len(CONTENT) == first.tell()
    assert first.read(10) == b""
    assert first.seek(-5, 2) == len(CONTENT) - 5
    assert first.read() == CONTENT[-5:]
    assert second.read(3) + second.read(3) == CONTENT[:6]
    assert second.seek(4, 1) == 10


def test_a_failure_is_kept_and_nothing_is_asked_for_afterwards():
    shelf = Shelf()

    def failing(start, stop):
        if start:
            raise requests.ConnectionError("gone")
        return shelf(start, stop)

    file = RemoteFile(failing)
    assert file.read(200_000, 200_100) == b""
    assert str(file.failure) == "gone"
    assert file.read(0, 10) == b""
    with pytest.raises(requests.ConnectionError):
        file.want([(200_000, 200_001)])


def test_a_file_that_changes_meanwhile_is_not_believed():
    shelf = Shelf()
    file = RemoteFile(shelf)
    shelf.content += b"more"
    with pytest.raises(requests.exceptions.ContentDecodingError, match="changed while it was read"):
        file.want([(200_000, 200_001)])


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**6)), max_size=30))
def test_joined_ranges_cover_all_in_order(parts):
    ranges = [(start, start + size) for start, size in parts]
    joined = merged(ranges)
    assert all(any(a <= start and stop <= b for a, b in joined) for start, stop in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(joined))


def test_few_bytes_more_save_a_request_and_many_do_not():
    rows = [(number * 700_000, number * 700_000 + 100_000) for number in range(4)]
    assert len(merged(rows)) == 2
    far = [(number * 10**8, number * 10**8 + 10) for number in range(4)]
    assert merged(far) == far


@pytest.fixture(scope="module")
def tiff():
    numbers = np.random.default_rng(1).integers(1, 9000, (512, 512), dtype=np.uint16)
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=512, height=512, count=1, dtype="uint16", tiled=True,
                         blockxsize=128, blockysize=128, compress="deflate", crs="EPSG:32633",
                         transform=from_origin(5e5, 5e6, 10, 10)) as target:  # fmt: skip
            target.write(numbers, 1)
        yield memory.read(), numbers


def test_blocks_of_a_window_are_all_that_is_read(tiff):
    content, numbers = tiff
    shelf = Shelf(content)
    file = RemoteFile(shelf)

    def only(path, mode="rb"):
        if not path.endswith("a.tif"):
            raise FileNotFoundError(path)
        return Cursor(file)

    window = slice(140, 250), slice(10, 200)
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open("a.tif", driver="GTiff", opener=only) as dataset,
    ):
        ranges = block_ranges(dataset, 1, window)
        assert len(ranges) == 2
        file.want(ranges)
        asked = len(shelf.asked)
        found = dataset.read(1, window=rasterio.windows.Window.from_slices(*window))
    np.testing.assert_array_equal(found, numbers[window])
    assert len(shelf.asked) == asked <= 2


def serving(answer):
    return Server(answer, 0.0)


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"content-range": "bytes 10-19/100"}, b"x" * 10, None),
        ({"content-range": "bytes 10-14/15"}, b"x" * 5, None),
        ({"content-range": "bytes 10-29/100"}, b"x" * 20, None),
        ({"content-range": "bytes 0-9/100"}, b"x" * 10, "other bytes"),
        ({"content-range": "bytes 10-19/100"}, b"x" * 4, "other bytes"),
        ({"content-range": "nonsense"}, b"x" * 10, "other bytes"),
        ({}, b"x" * 10, "other bytes"),
        ({"content-range": "bytes 10-18/100"}, b"x" * 9, "fewer bytes than it was asked for"),
        ({"content-range": "bytes 10-10/12"}, b"x", "fewer bytes than it was asked for"),
    ],
)
def test_other_bytes_than_were_asked_for_are_refused(monkeypatch, headers, body, said):
    without_proxies(monkeypatch)
    server = serving(lambda _: Response(206, body, headers))
    try:
        with make_session(ProviderSettings(max_retries=0)) as session:
            if said is None:
                size = int(headers["content-range"].rsplit("/")[-1])
                assert fetch_range(session, server.url, 10, 20, PATIENCE) == Piece(10, body, size)
                return
            with pytest.raises(requests.exceptions.ContentDecodingError, match=said):
                fetch_range(session, server.url, 10, 20, PATIENCE)
    finally:
        server.close()


def test_a_server_without_ranges_gives_the_whole_file(monkeypatch):
    without_proxies(monkeypatch)
    server = serving(lambda _: Response(200, b"y" * 50))
    try:
        with make_session(ProviderSettings(max_retries=0)) as session:
            assert fetch_range(session, server.url, 10, 20, PATIENCE) == Piece(0, b"y" * 50, 50)
    finally:
        server.close()


def test_a_large_file_of_a_server_without_ranges_is_not_taken(monkeypatch):
    without_proxies(monkeypatch)
    monkeypatch.setattr("changedet.providers.http.MOST_WHOLE_BYTES", 40)
    server = serving(lambda _: Response(200, b"y" * 50))
    try:
        with make_session(ProviderSettings(max_retries=0)) as session:
            with pytest.raises(NoRangesError, match="the server knows no byte ranges"):
                fetch_range(session, server.url, 10, 20, PATIENCE)
            # what is asked for as a whole has no such limit
            assert session.get(server.url, timeout=PATIENCE).content == b"y" * 50
    finally:
        server.close()
