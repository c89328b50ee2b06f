"""Files that ask for the network are not served, and what they ask for is said."""

import http.server
import json
import threading

import numpy as np
import pyogrio
import pytest
import rasterio
from tests.providers.files import BANDS_10M, numbers, write, write_folder, write_vrt

from changedet.errors import InputFileError
from changedet.offline import OFFLINE_OPTIONS, begins_with, offline_vectors
from changedet.providers.local import open_source
from changedet.site_lists import read_sites

REMOTE = [
    "/vsicurl/{url}/a.tif", "/vsicurl_streaming/{url}/a.tif", "/vsicurl?url={url}/a.tif", "{url}/a.tif",
    "/vsizip//vsicurl/{url}/a.zip/b.tif", "/vsizip/vsicurl/{url}/a.zip/b.tif", "NETCDF:\"{url}/a.nc\":x",
    "<![CDATA[{url}/a.tif]]>", "http&#58;//{url}/a.tif",
]  # fmt: skip
TILES = """<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>
<DataWindow><UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY>
<LowerRightX>20037508</LowerRightX><LowerRightY>-20037508</LowerRightY><TileLevel>2</TileLevel>
<TileCountX>1</TileCountX><TileCountY>1</TileCountY></DataWindow><Projection>EPSG:3857</Projection>
<BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>3</BandsCount></GDAL_WMS>"""
VIRTUAL = (
    '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/vsicurl/{url}/a.geojson</SrcDataSource>'
    "</OGRVRTLayer></OGRVRTDataSource>"
)


class Server(http.server.ThreadingHTTPServer):
    """A server on this machine that counts what it is asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hits = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hits.append(self.path)
        self.send_response(404)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  # the name that the library calls

    def log_message(self, *_):
        pass


@pytest.fixture
def server(socket_enabled, monkeypatch):
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_the_server_notices_who_reads_without_care(server, tmp_path):
    path = write_vrt(tmp_path / "a.tif", f"/vsicurl/{server.url}/careless.tif")
    with rasterio.open(path) as dataset, pytest.raises(rasterio.errors.RasterioIOError):
        dataset.read(1)
    assert server.hits


@pytest.mark.parametrize("source", REMOTE)
@pytest.mark.parametrize("name", ["a.vrt", "a.tif"])
def test_a_virtual_raster_of_remote_sources_is_refused(server, tmp_path, source, name):
    path = write_vrt(tmp_path / name, source.format(url=server.url))
    with pytest.raises(
        InputFileError, match="names addresses on the network, which is never used here; download"
    ):
        open_source(path)
    outer = write_vrt(tmp_path / "outer.vrt", str(path))
    with pytest.raises(InputFileError, match="addresses on the network"):
        open_source(outer)
    assert server.hits == []


@pytest.mark.parametrize("source", [source for source in REMOTE if source[0] in "/{"])
def test_even_what_gets_past_the_check_reaches_nobody(server, tmp_path, monkeypatch, source):
    monkeypatch.setattr("changedet.providers.rasters.require_local", lambda _: None)
    path = write_vrt(tmp_path / "a.vrt", source.format(url=server.url))
    with pytest.raises(InputFileError):
        open_source(path).load()
    assert server.hits == []


@pytest.mark.parametrize(
    "text", [TILES, '{{"type": "FeatureCollection", "links": ["{url}"]}}', "[1]", "<a/>"]
)
def test_a_text_about_imagery_is_none(server, tmp_path, text):
    path = tmp_path / "a.tif"
    path.write_text("\ufeff\n" + text.format(url=server.url), encoding="utf-8")
    with pytest.raises(InputFileError, match="describes imagery, and holds none; give the image file itself"):
        open_source(path)
    assert server.hits == []


def test_bands_that_are_virtual_rasters_of_local_files_are_read(tmp_path):
    folder = write_folder(tmp_path / "real")
    for band in BANDS_10M:
        write_vrt(tmp_path / f"virtual_{band}.vrt", next(folder.glob(f"*_{band}.tif")))
    image = open_source(tmp_path).load()
    np.testing.assert_array_equal(image.band("B04"), numbers("B04", 10) * np.float32(1e-4))


@pytest.mark.parametrize("first", [0x053C, 0x057B, 0x055B])
def test_raw_pixels_that_begin_like_a_text_are_pixels(tmp_path, first):
    array = np.stack([numbers(band, 10) for band in BANDS_10M])
    array[0, 0, 0] = first
    path = write(tmp_path / "stack", array, driver="ENVI", descriptions=BANDS_10M)
    assert path.read_bytes()[:1] in {b"<", b"{", b"["}
    assert open_source(path).load().data[0, 0, 0] == pytest.approx(first * 1e-4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.geojson", " " * 100 + VIRTUAL),
        ("a.geojson", '{{"a": "' + VIRTUAL + '"}}'),
        ("a.kml", "<kml>" + VIRTUAL + "</kml>"),
    ],
)
def test_a_list_of_sites_elsewhere_is_refused(server, tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text.format(url=server.url))
    with pytest.raises(InputFileError, match=r"is not what its name says|points to data elsewhere"):
        read_sites(path)
    assert server.hits == []


def collection(crs):
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [12, 48]}}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": [point]})


def test_a_reference_system_behind_a_link_is_not_followed(server, tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(collection({"type": "link", "properties": {"href": f"{server.url}/crs"}}))
    with pytest.raises(InputFileError, match="points to data elsewhere"):
        read_sites(path)
    with offline_vectors():
        pyogrio.read_dataframe(path)
    assert server.hits == []
    path.write_text(collection({"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}))
    assert len(read_sites(path)) == 1


def test_settings_of_the_vector_reader_are_put_back():
    name = "GDAL_HTTP_PROXY"
    assert pyogrio.get_gdal_config_option(name) is None
    with pytest.raises(KeyError), offline_vectors():
        assert pyogrio.get_gdal_config_option(name) == OFFLINE_OPTIONS[name]
        raise KeyError
    assert pyogrio.get_gdal_config_option(name) is None


@pytest.mark.parametrize("blanks", [0, 3, 70_000, 200_000])
def test_the_beginning_is_found_after_any_blanks(tmp_path, blanks):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n"[:2] * blanks + b"<x>")
    assert begins_with(path) == b"<x>"
    path.write_bytes(b" " * blanks)
    assert begins_with(path) == b""
