"""No secret, token, signature or password reaches a message, a log, a record or a file, whatever fails."""

import base64
import json
import logging
import traceback
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.providers.remote_world import QUICK, query_of, small_world
from tests.world.faults import Fault, answers, delays, drops
from tests.world.granules import quick_scene
from tests.world.sentinel_hub import quota_used_up
from tests.world.world import without_proxies

from changedet.cli import run as command_line
from changedet.errors import ChangedetError
from changedet.providers.cache import SceneCache
from changedet.providers.cache_files import without_secrets
from changedet.providers.cached import CachedProvider
from changedet.providers.catalog import stac
from changedet.providers.earth_search import earth_search
from changedet.providers.http import scrubbed
from changedet.providers.planetary_computer import planetary_computer
from changedet.providers.sentinel_hub import SentinelHubOptions, SentinelHubProvider
from changedet.providers.sentinel_hub_client import Credentials, Tokens
from changedet.providers.settings import ProviderSettings, read_provider_settings
from changedet.scene import Scene

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
DAYS = (quick_scene(date(2021, 5, 21), baseline="03.00"), quick_scene(date(2023, 5, 16)))
DAY = DAYS[1]
PASSWORD = "pass-word-of-me"
BASIC = base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()
NAMES = ("earth-search", "planetary-computer", "stac", "sentinelhub")


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    without_proxies(monkeypatch)
    for name in ("SH_PROFILE", "SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def world():
    with small_world(DAYS) as found:
        yield found


def with_password(url):
    return url.replace("://", f"://somebody:{PASSWORD}@")


def addresses(world, name):
    """Settings whose links hold a password."""
    url = {
        "earth-search": world.earth_search,
        "planetary-computer": world.planetary_computer,
        "stac": world.stac,
        "sentinelhub": world.sentinel_hub,
    }[name]
    signing = with_password(world.signing) if name == "planetary-computer" else None
    # two ways to authorise exclude each other: this one has tokens
    url = url if name == "sentinelhub" else with_password(url)
    return ProviderSettings(url=url, signing_url=signing, **QUICK)


def opened(world, name, **changes):
    given = replace(addresses(world, name), **changes)
    if name == "sentinelhub":
        service = world.sentinel_hub_service
        who = Credentials(service.client_id, service.client_secret)
        return SentinelHubProvider(given, SentinelHubOptions(credentials=who))
    return {"earth-search": earth_search, "planetary-computer": planetary_computer, "stac": stac}[name](given)


def secrets_of(world):
    """What must be seen nowhere: what was made for this world, and what it has given out."""
    service = world.sentinel_hub_service
    shown = {entry.request.query.get("sig", "") for entry in world.requests("*.tif")}
    tokens = {entry.request.headers.get("authorization", "") for entry in world.requests()}
    tokens = {text.removeprefix("Bearer ").removeprefix("Basic ") for text in tokens}
    return {PASSWORD, BASIC, service.client_secret, "sig=", *shown, *tokens} - {""}


@contextmanager
def all_logs():
    """Every record of every logger, as it would be written, with what stands behind it."""
    lines = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(handler.format(record))
    root = logging.getLogger()
    # libraries that draw, and talk of nothing else
    others = [
        name for name in logging.root.manager.loggerDict if name.split(".")[0] not in {"matplotlib", "PIL"}
    ]
    levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, others))]
    root.addHandler(handler)
    for logger, _ in levels:
        logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)


def chain(error):
    """An exception and everything behind it, whether it would be printed or not."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def texts_of(error):
    for one in chain(error):
        yield from (str(one), repr(one), *map(str, one.args))
        yield json.dumps(getattr(one, "details", {}), default=str)
        yield "".join(traceback.format_exception(one))


def leaks(world, texts):
    return sorted({text[:300] for text in texts for secret in secrets_of(world) if secret in text})


def written(folder):
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


FAULTS = {
    "nothing": None,
    "400": answers("*", 400),
    "401": answers("*", 401),
    "403": answers("*", 403),
    "404": answers("*", 404),
    "429": answers("*", 429, {"retry-after": "0"}),
    "503": answers("*", 503),
    "drop": drops("*"),
    "delay": delays("*", 0.4),
    "truncate": Fault("*", "truncate", keep_bytes=30),
    "html": Fault("*", "status", 200, body=b"<html>sign in</html>"),
    "quota": quota_used_up("/sentinel-hub"),
}
#: Which requests fail: the first of all, the search, a token or signature, the pixels.
WHERE = {
    "root": ("*/v1", "*/stac"),
    "search": ("*/search",),
    "token": ("*/token", "*/token/*"),
    "pixels": ("*.tif", "*/process"),
}


@pytest.mark.parametrize(
    ("name", "where"),
    # open archives need no token
    [(n, w) for n in NAMES for w in WHERE if w != "token" or n in {"planetary-computer", "sentinelhub"}],
)
def test_nothing_secret_is_said_whatever_fails(name, where, capfd, tmp_path):
    for label, fault in FAULTS.items():
        with small_world([DAY]) as world, all_logs() as lines:
            kept = CachedProvider(
                opened(world, name, max_retries=1, read_timeout_s=0.15 if label == "delay" else 5.0),
                SceneCache(tmp_path / label),
            )
            if fault is not None:
                world.add_faults(*(replace(fault, pattern=pattern) for pattern in WHERE[where]))
            told = [repr(kept), repr(kept.provider), repr(kept.info.name)]
            try:
                scenes = kept.search(query_of(DAY))
                told += [json.dumps(scene.to_dict()) for scene in scenes]
                told += [repr(kept.load(scene, DAY.grid, ("B04",)).scene.to_dict()) for scene in scenes]
            except ChangedetError as error:
                told += texts_of(error)
            else:
                # what is slow or cut may pass; whatever else fails is an error
                assert label in {"nothing", "delay", "truncate"} or not _hit(world)
            printed = capfd.readouterr()
            found = leaks(world, [*told, *lines, printed.out, printed.err, *written(tmp_path / label)])
            assert found == [], (label, found)


def _hit(world):
    return [entry for entry in world.requests() if entry.fault]


def test_a_password_in_the_address_of_sentinel_hub_is_not_logged(world):
    service = world.sentinel_hub_service
    who = Credentials(service.client_id, service.client_secret)
    given = ProviderSettings(url=with_password(world.sentinel_hub), **QUICK)
    with all_logs() as lines, pytest.raises(ChangedetError) as caught:
        SentinelHubProvider(given, SentinelHubOptions(credentials=who)).search(query_of(DAY))
    assert world.requests("*/search")
    assert leaks(world, [*lines, *texts_of(caught.value)]) == []


def test_the_check_would_see_a_leak(world):
    opened(world, "planetary-computer").search(query_of(DAY))
    with all_logs() as lines:
        logging.getLogger("anybody").debug("GET %s", with_password("https://host/a.tif?sig=abc"))
    assert len(leaks(world, lines)) == 1
    try:
        try:
            raise ValueError(PASSWORD)
        except ValueError:
            raise ChangedetError("what was seen") from None
    except ChangedetError as error:
        assert leaks(world, texts_of(error))


# ------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def ready(world, workplace, monkeypatch):
    """The environment of a user with an account and passwords everywhere."""
    service = world.sentinel_hub_service
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    monkeypatch.setenv("SH_CLIENT_ID", service.client_id)
    monkeypatch.setenv("SH_CLIENT_SECRET", service.client_secret)
    for name in NAMES:
        given = addresses(world, name)
        prefix = f"CHANGEDET_PROVIDERS__{name.replace('-', '_').upper()}__"
        monkeypatch.setenv(f"{prefix}URL", given.url)
        monkeypatch.setenv(f"{prefix}RETRY_DELAY_S", "0.01")
        monkeypatch.setenv(f"{prefix}MAX_RETRIES", "1")
        if given.signing_url:
            monkeypatch.setenv(f"{prefix}SIGNING_URL", given.signing_url)
    return workplace


def place():
    centre = DAY.grid.extent.centroid.to_crs("EPSG:4326").geom
    return ("--at", f"{centre.y:.5f}, {centre.x:.5f}", "--radius", "150m")


def said_by(capfd, folder, arguments):
    """Everything that a command leaves behind: what it printed, logged and wrote."""
    with all_logs() as lines:
        code = command_line(list(arguments))
    printed = capfd.readouterr()
    return code, [printed.out, printed.err, *lines, *written(folder)]


def commands(name):
    periods = ("--before", "2021-05", "--after", "2023-05", "--min-clear", "0.1")
    return (
        ["search", *place(), "--period", "2023-05", "--provider", name, "--json"],
        ["run", *place(), *periods, "--provider", name, "--out", "run", "-vv"],
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_command_that_succeeds_shows_a_secret(world, ready, capfd, no_plates, name):
    for arguments in commands(name):
        code, texts = said_by(capfd, ready, arguments)
        # 6: these two dates cannot be registered, which is on record with all the rest
        assert code in {0, 6}, texts[1]
        assert leaks(world, texts) == []
    assert json.loads((ready / "run" / "run.json").read_text())["inputs"]["before"]["provider"] == name
    assert SceneCache(ready / "cache" / "changedet").entries()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", [answers("*", 403), Fault("*", "status", 200, body=b"<html>")])
def test_no_command_that_fails_shows_a_secret(world, ready, capfd, name, fault):
    search, run = commands(name)
    pixels = {"sentinelhub": ("*/process", "*/token"), "planetary-computer": ("*.tif", "*/token/*")}
    for arguments, pattern in ((search, "*/search"), *((run, p) for p in pixels.get(name, ("*.tif",)))):
        world.clear_faults()
        world.add_faults(replace(fault, pattern=pattern))
        code, texts = said_by(capfd, ready, arguments)
        assert code in {4, 5}, texts[1]
        assert ("Traceback" in texts[1]) == ("-vv" in arguments)
        assert leaks(world, texts) == []


def test_the_list_of_providers_shows_addresses_without_passwords(world, ready, capfd):
    for arguments in (["providers"], ["providers", "--json"]):
        code, texts = said_by(capfd, ready, arguments)
        assert code == 0
        assert world.planetary_computer in texts[0]
        assert leaks(world, texts) == []


def test_a_secret_in_the_wrong_place_is_not_repeated(monkeypatch):
    name = "CHANGEDET_PROVIDERS__SENTINELHUB__CLIENT_SECRET"
    with pytest.raises(ChangedetError) as caught:
        read_provider_settings("sentinelhub", {name: PASSWORD})
    assert not [text for text in texts_of(caught.value) if PASSWORD in text]


# ------------------------------------------------------------------------------------------- properties

plain = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~%", min_size=1, max_size=12)
secret = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=6, max_size=20)
before_and_after = st.sampled_from(["", "failed: ", "('", '"', "<", "GET "])


@given(plain, plain, secret, before_and_after, st.sampled_from(["", " again", "'", '"', ">", ")"]))
@settings(max_examples=100, deadline=None)
def test_links_in_texts_lose_passwords_and_queries(host, path, hidden, before, after):
    links = (
        f"https://me:{hidden}@{host}/{path}",
        f"https://{host}/{path}?a=1&sig={hidden}",
        f"https://{hidden}@{host}/{path}?{hidden}",
        f"/vsicurl/http://a@b:{hidden}@{host}/x",
    )
    for link in links:
        text = scrubbed(f"{before}{link}{after}", longest=1000)
        assert hidden not in text
        assert host in text
        assert hidden not in json.dumps(without_secrets({"a": [f"{link}"]}))


@given(secret, st.sampled_from(["Bearer ", "Basic ", ""]), st.sampled_from([": ", "': '", "=", '": "']))
@settings(max_examples=50, deadline=None)
def test_headers_in_texts_lose_what_authorises(hidden, scheme, between):
    text = scrubbed(f"GET /x Headers: {{'Authorization{between}{scheme}{hidden}', 'accept': 'image/tiff'}}")
    assert hidden not in text
    assert "image/tiff" in text


@given(secret, secret, st.sampled_from(["message", "description", "reason"]))
@settings(max_examples=50, deadline=None)
def test_what_the_service_says_is_told_without_what_it_repeats(hidden, token, key):
    tokens = Tokens("https://host/token", Credentials("the-client", hidden))
    tokens._given.append(token)
    text = f"client the-client with {hidden} and Bearer {token}, token {token}; access_token={token}"
    said = tokens.scrub(f"{key}: {text}")
    for part in (hidden, token, "the-client"):
        assert part not in said
    assert hidden not in repr(tokens) + repr(Credentials("the-client", hidden))


@given(plain, secret)
@settings(max_examples=50, deadline=None)
def test_a_record_of_a_scene_holds_links_without_secrets(path, hidden):
    link = f"https://me:{hidden}@host/{path}.tif?se=1&sig={hidden}#{hidden}"
    given_scene = _scene_with(link)
    text = json.dumps(given_scene.to_dict())
    assert hidden not in text
    assert f"https://host/{path}.tif" in text
    assert given_scene.assets["B04"].href == link
    assert Scene.from_dict(json.loads(text)).assets["B04"].href == f"https://host/{path}.tif"


def _scene_with(link):
    from types import MappingProxyType

    from changedet.scene import Asset

    return Scene("s", "stac", assets=MappingProxyType({"B04": Asset(link)}))
