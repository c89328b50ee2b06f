"""What each parser is asked to do with the bytes of one case; a value or an error of ours comes back."""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from unittest import mock

import requests

from changedet.errors import ChangedetError

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def text_of(data):
    return (
        data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")
        if _decodes(data)
        else data.decode("latin-1")
    )


def _decodes(data):
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def coordinates(data, _):
    from changedet.coordinates import parse_point

    point = parse_point(text_of(data))
    assert -90 <= point.lat <= 90 and -180 <= point.lon <= 180
    assert point.dd and point.dms


def lengths(data, _):
    from changedet.configuration import parse_size
    from changedet.site import parse_area_m2, parse_length_m

    for parse in (parse_length_m, parse_area_m2, parse_size):
        _or_refused(parse, text_of(data))


def _or_refused(parse, *given):
    """Each of several parsers is asked, whatever the others say."""
    try:
        return parse(*given)
    except ChangedetError as error:
        from tests.fuzz.outcomes import require_plain

        require_plain(error)
        return None


def periods(data, _):
    from changedet.periods import parse_period
    from changedet.providers.facts import baseline_pair, read_time

    text = text_of(data)
    period = _or_refused(lambda one: parse_period(one, now=WHEN), text)
    assert period is None or period.start <= period.end
    read_time(text)
    baseline_pair(text, where="x")


def site_list(suffix):
    def _read(data, folder):
        from changedet.batch import site_folders
        from changedet.site_lists import read_sites

        path = folder / f"sites{suffix}"
        path.write_bytes(data)
        sites = read_sites(path)
        assert sites
        for name in site_folders(sites[:50]):
            assert ".." not in name.split("/") and not name.startswith("/") and len(name) < 200

    return _read


def settings(data, folder):
    from changedet import configuration
    from changedet.providers.settings import read_provider_settings

    path = folder / "changedet.toml"
    path.write_bytes(data)
    with (
        mock.patch.object(configuration, "settings_files", lambda: [path]),
        mock.patch("changedet.providers.settings.settings_files", lambda: [path]),
    ):
        for read in (configuration.read_settings, lambda: configuration.cache_max_bytes({})):
            _or_refused(read)
        for name in ("earth-search", "sentinelhub"):
            read_provider_settings(name, {})


@cache
def _run_folder():
    """A small run folder, what its rasters and tables say, read once."""
    import tempfile

    from tests.watch.folders import make_run

    folder = Path(tempfile.mkdtemp(prefix="changedet-fuzz-run-")) / "run"
    return make_run(folder, images=True)


def run_record(data, folder):
    """Verify, open and repeat a run whose record is spoilt; rasters and tables are those of the run."""
    from changedet.output.geotiff import read_raster
    from changedet.output.vector import read_gpkg
    from changedet.provenance import read_record, verify
    from changedet.result import ChangeResult
    from changedet.watch.runs import read_run

    home = _run_folder()
    (folder / "run.json").write_bytes(data)
    for path in home.iterdir():
        link = folder / path.name
        if path.name != "run.json" and not link.exists():
            link.hardlink_to(path) if link.parent.stat().st_dev == path.stat().st_dev else link.write_bytes(
                path.read_bytes()
            )
    raster, table = cache(read_raster), cache(read_gpkg)
    _or_refused(verify, folder)
    with (
        mock.patch("changedet.output.folder.read_raster", lambda path: _kept(raster, home / path.name)),
        mock.patch("changedet.output.geotiff.read_raster", lambda path: _kept(raster, home / path.name)),
        mock.patch("changedet.output.folder.read_gpkg", lambda path: _kept(table, home / path.name)),
        mock.patch("changedet.watch.runs.read_gpkg", lambda path: _kept(table, home / path.name)),
    ):
        result = _or_refused(ChangeResult.open, folder)
        if result is not None:
            assert repr(result)
        _or_refused(read_run, folder)
    _repeat(read_record(folder), folder)


_KEPT = {}


def _kept(read, path):
    if path not in _KEPT:
        _KEPT[path] = read(path)
    return _KEPT[path]


def _repeat(record, folder):
    """Read the record as `rerun` does; what it would compute is not of interest here."""
    from changedet.rerun import repeat

    stop = ChangedetError("far enough")
    with (
        mock.patch("changedet.pipeline.detect", side_effect=stop),
        mock.patch("changedet.pipeline.detect_with_radar", side_effect=stop),
        mock.patch("changedet.pipeline.compare_radar_files", side_effect=stop),
        mock.patch("changedet.access.choosing.compare_scenes", side_effect=stop),
        mock.patch("changedet.radar.access.compare_radar", side_effect=stop),
        mock.patch("changedet.providers.cached.open_cached", side_effect=stop),
    ):
        repeat(record, where=folder)


def verdicts(data, folder):
    from changedet.watch.verdict_files import read_verdict_file

    path = folder / "verdicts.json"
    path.write_bytes(data)
    read_verdict_file(path)


@cache
def _site():
    from changedet.site import Site

    return Site.at("38.27, 126.5", radius_m=50_000)


def _query(sensor="s2"):
    from changedet.providers.base import SearchQuery

    return SearchQuery(
        _site(), datetime(2015, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC), sensor=sensor
    )


def _answer(data, status=200, kind="application/json"):
    answer = requests.Response()
    answer.status_code, answer._content, answer.url = status, data, "https://host/search"
    answer.headers["content-type"] = kind
    return answer


def stac_items(data, _):
    """One page of a search, from the answer of the server to scenes, of both sensors."""
    from changedet.providers.earth_search import earth_search
    from changedet.providers.planetary_computer import planetary_computer
    from changedet.providers.settings import ProviderSettings

    quick = ProviderSettings(max_retries=0)

    def _send(_, request, **__):
        answer = _answer(data if request.url.split("?")[0].endswith("/search") else _ROOT)
        answer.url = request.url
        return answer

    with mock.patch("changedet.providers.http.PatientAdapter.send", _send):
        sensor = "s1" if b"sentinel-1" in data or b"ascending" in data else "s2"
        for provider in (planetary_computer,) if b"planetary" in data or sensor == "s1" else (earth_search,):
            for scene in provider(quick).search(_query(sensor)):
                json.dumps(scene.to_dict())
                assert repr(scene)


_ROOT = json.dumps(
    {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "x",
        "description": "x",
        "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
        "links": [
            {"rel": "self", "href": "https://host/v1"},
            {"rel": "root", "href": "https://host/v1"},
            {
                "rel": "search",
                "href": "https://host/v1/search",
                "type": "application/geo+json",
                "method": "POST",
            },
        ],
    }
).encode()


def stac_catalogue(data, folder):
    from changedet.providers.catalog import stac
    from changedet.providers.settings import ProviderSettings

    (folder / "catalog.json").write_bytes(data)
    for scene in stac(ProviderSettings(url=str(folder))).search(_query()):
        json.dumps(scene.to_dict())


def safe(data, folder):
    from changedet.providers.safe import read_safe

    home = folder / "S2A_MSIL2A_20230514T100601_N0509_R022_T33TUN_20230514T150000.SAFE"
    (home / "GRANULE/L2A_T33TUN_A041212_20230514T100601/IMG_DATA").mkdir(parents=True, exist_ok=True)
    tile = b"Tile_ID" in data[:400]
    main = _SAFE_MAIN if tile else data
    (home / "MTD_MSIL2A.xml").write_bytes(main)
    (home / "GRANULE/L2A_T33TUN_A041212_20230514T100601/MTD_TL.xml").write_bytes(data if tile else b"<a/>")
    read_safe(home)


_SAFE_MAIN = b"<a><BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE></a>"


@cache
def _hub():
    from changedet.providers.sentinel_hub import SentinelHubOptions, SentinelHubProvider
    from changedet.providers.sentinel_hub_client import Credentials
    from changedet.providers.settings import ProviderSettings

    quick = ProviderSettings(url="https://127.0.0.1:9", max_retries=0, retry_delay_s=1e-3, total_deadline_s=5)
    return SentinelHubProvider(
        quick, SentinelHubOptions(credentials=Credentials("who", "hidden-word-of-mine"))
    )


def _asked(data, status=200, kind="application/json"):
    """Stand in for the network: the token is good, everything else answers with the bytes of the case."""

    def _request(method, url, **_):
        return _answer(data, status, kind)

    def _post(url, **_):
        return _answer(b'{"access_token": "abc", "expires_in": 3600}')

    return (
        mock.patch("changedet.providers.sentinel_hub_client.requests.request", _request),
        mock.patch("changedet.providers.sentinel_hub_client.requests.post", _post),
        mock.patch("changedet.providers.sentinel_hub_client.read_whole", lambda *_: None),
    )


def _search_hub(sensor="s2"):
    for scene in _hub().search(_query(sensor)):
        json.dumps(scene.to_dict())


def hub_catalogue(data, _):
    request, post, whole = _asked(data)
    with request, post, whole:
        for sensor in ("s2", "s1"):
            _or_refused(_search_hub, sensor)


def hub_errors(data, _):
    for status in (400, 401, 403, 404, 429, 500):
        request, post, whole = _asked(data, status)
        with request, post, whole:
            _or_refused(_search_hub)


def hub_pixels(data, _):
    import numpy as np

    from changedet.providers.sentinel_hub_requests import read_tiff

    read_tiff(data, (3, 16, 16), "https://host/process", np.uint16)


def hub_tokens(data, _):
    import time

    from changedet.providers.sentinel_hub_client import Credentials, Tokens, Waits
    from changedet.providers.settings import ProviderSettings

    with (
        mock.patch("changedet.providers.sentinel_hub_client.requests.post", lambda *_, **__: _answer(data)),
        mock.patch("changedet.providers.sentinel_hub_client.read_whole", lambda *_: None),
    ):
        tokens = Tokens("https://host/token", Credentials("who", "hidden-word-of-mine"))
        header = tokens.headers(Waits(ProviderSettings(max_retries=0), time.monotonic() + 5))["Authorization"]
        assert header.isascii() and header.isprintable(), header


def signatures(data, _):
    from changedet.providers.planetary_computer import Signatures
    from changedet.providers.settings import ProviderSettings

    with mock.patch("requests.Session.get", lambda *_, **__: _answer(data)):
        signed = Signatures(ProviderSettings(max_retries=0)).sign("https://a.blob.core.windows.net/c/x.tif")
    assert signed.startswith("https://a.blob.core.windows.net/c/x.tif?")
    assert signed.isprintable() and " " not in signed, signed


def sidecars(data, folder):
    from changedet.providers.cache import SceneCache

    kept, key = SceneCache(folder / "cache"), "0" * 64
    kept.scenes.mkdir(parents=True, exist_ok=True)
    (kept.scenes / f"{key}.json").write_bytes(data)
    kept.look(key)
    kept.describe(key)
    kept.fetch(key)
    kept.entries()


def models(data, folder):
    from changedet.models.trained import open_model

    path = folder / "model.json"
    path.write_bytes(data)
    with mock.patch("changedet.models.trained.fingerprint", _fingerprint):
        open_model(path)


@cache
def _fingerprint(bands, weights):
    """Compute it once for the same bands: it takes most of the time."""
    from changedet.core.change_features import fingerprint

    return fingerprint(bands, weights)


def rasters(data, folder):
    from changedet.providers.local import open_source

    path = folder / "scene.tif"
    path.write_bytes(data)
    source = open_source(path)
    if source.grid.shape[0] * source.grid.shape[1] <= 10**6:
        source.load()


def names(data, _):
    from changedet.providers.local_names import band_of_file, common_stem, facts_from_names

    path = Path("folder") / text_of(data).replace("\0", "")
    _or_refused(band_of_file, path)
    common_stem([path, path])
    facts_from_names(Path("folder"), [path])


def state(data, folder):
    from tests.watch.queries import list_sites

    from changedet.watch.runs import objects_of
    from changedet.watch.state import open_state
    from changedet.watch.verdicts import history

    path = folder / "state.gpkg"
    for suffix in ("", "-wal", "-shm", "-journal", ".writer"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(data)
    with open_state(path) as opened:
        list_sites(opened)
        objects_of(opened)
        history(opened)
        opened.check()


def timeline_record(data, folder):
    from changedet.output.report_timeline import read_timeline

    (folder / "timeline.json").write_bytes(data)
    read_timeline(folder, _site().grid)
