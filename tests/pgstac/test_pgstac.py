"""The stand-ins for STAC services against a real server: whatever is asked, both must find the same."""

import pytest
import requests
from tests.pgstac.server import Cluster, Missing, find_tools
from tests.providers import searching
from tests.providers.places import DIALECTS
from tests.providers.remote_world import QUICK, provider_of, query_of
from tests.world.items import collection
from tests.world.world import without_proxies

from changedet.providers.catalog import stac
from changedet.providers.earth_search import earth_search
from changedet.providers.planetary_computer import planetary_computer
from changedet.providers.settings import ProviderSettings

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.pgstac]

HOME = searching.HOME
SITE = query_of(HOME).site
SHAPE = SITE.geometry.__geo_interface__
BOX = [round(v, 5) for v in SITE.geometry.bounds]
DAY = "2023-05-16T00:00:00Z/2023-05-17T00:00:00Z"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture(scope="module")
def world():
    with searching.search_world() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(world):
    try:
        tools = find_tools()
    except Missing as reason:
        pytest.skip(str(reason))
    contents = {}
    for name in DIALECTS:
        items = world.items(name)
        kinds = dict.fromkeys(item["collection"] for item in items)
        contents[name] = ([collection("http://127.0.0.1", kind) for kind in kinds], items)
    with Cluster(tools, contents) as found:
        yield found


def real(cluster, world, dialect):
    """A provider whose searches go to the real server; pixels and signatures stay with the world."""
    settings = QUICK | {"url": cluster.urls[dialect]}
    if dialect == "earth-search":
        return earth_search(ProviderSettings(**settings))
    if dialect == "planetary-computer":
        return planetary_computer(ProviderSettings(signing_url=world.signing, **settings))
    return stac(ProviderSettings(**settings))


def root_of(world, dialect):
    return {"earth-search": world.earth_search, "planetary-computer": world.planetary_computer,
            "stac": world.stac}[dialect]  # fmt: skip


def ask(root, body):
    return requests.post(f"{root}/search", json=body, timeout=30)


def pages(root, body):
    """Identifiers of each page, following the links as they stand."""
    found, url = [], f"{root}/search"
    while True:
        answer = requests.post(url, json=body, timeout=30)
        answer.raise_for_status()
        document = answer.json()
        found.append([(item["collection"], item["id"]) for item in document["features"]])
        after = [link for link in document["links"] if link["rel"] == "next"]
        if not after:
            return found
        assert after[0]["method"] == "POST"
        url = after[0]["href"]
        body = (body if after[0].get("merge") else {}) | after[0]["body"]


def together(found):
    return sorted(one for page in found for one in page)


def by(field, direction="asc"):
    return {"field": field, "direction": direction}


def cloud(operator, share):
    return {"op": operator, "args": [{"property": "eo:cloud_cover"}, share]}


# ------------------------------------------------------------------------------------- through the providers


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("check", searching.CHECKS, ids=lambda check: check.__name__)
def test_a_search_of_the_real_server(cluster, world, dialect, check):
    check(real(cluster, world, dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_pages_of_the_real_server(cluster, world, dialect, monkeypatch):
    searching.every_page_is_turned(real(cluster, world, dialect), monkeypatch)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("site", [SITE, searching.FAR, searching.BEYOND, searching.SOUTH_OF_IT])
def test_scenes_are_equal_to_the_last_letter(cluster, world, dialect, site):
    query = searching.SearchQuery(
        site, searching.utc(2020, 1, 1), searching.utc(2024, 1, 1), max_tile_cloud=1
    )
    ours = [scene.to_dict() for scene in provider_of(world, dialect).search(query)]
    theirs = [scene.to_dict() for scene in real(cluster, world, dialect).search(query)]
    assert theirs == ours


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_real_server_lists_can_be_read(cluster, world, dialect):
    provider = real(cluster, world, dialect)
    scene = next(s for s in provider.search(query_of(HOME)) if s.time.date() == HOME.time.date())
    image = provider.load(scene, HOME.grid, ("B04",))
    truth = world.truth(HOME, "B04", HOME.grid)
    assert abs(image.band("B04") - truth).max() < 5e-4


# ----------------------------------------------------------------------------------------- as they are asked


BODIES = {
    "nothing but a page size": {"limit": 100},
    "bbox": {"bbox": BOX},
    "intersects": {"intersects": SHAPE},
    "intersects a point": {"intersects": {"type": "Point", "coordinates": [BOX[0] + 0.001, BOX[1] + 0.001]}},
    "intersects two parts": {"intersects": {"type": "MultiPolygon", "coordinates": [
        [[[179.9, -17.1], [180, -17.1], [180, -16.9], [179.9, -16.9], [179.9, -17.1]]],
        [[[-180, -17.1], [-179.9, -17.1], [-179.9, -16.9], [-180, -16.9], [-180, -17.1]]]]}},
    "a day": {"datetime": DAY},
    "a moment without anything": {"datetime": "2023-05-16T00:00:00Z"},
    "open to the past": {"datetime": "../2023-05-12T00:00:00Z"},
    "open to the future": {"datetime": "2023-05-20T00:00:00Z/.."},
    "with an offset": {"datetime": "2023-05-16T09:00:00+09:00/2023-05-17T09:00:00+09:00"},
    "place and time": {"intersects": SHAPE, "datetime": DAY},
    "query less than": {"query": {"eo:cloud_cover": {"lt": 50}}},
    "query a range": {"query": {"eo:cloud_cover": {"gte": 0, "lte": 95}}, "datetime": DAY},
    "filter": {"filter-lang": "cql2-json", "filter": cloud("<=", 50)},
    "filter with and": {"filter-lang": "cql2-json", "bbox": BOX,
                        "filter": {"op": "and", "args": [cloud(">", 50), cloud("<=", 95)]}},
    "sorted by time": {"sortby": [by("datetime"), by("id")]},
    "sorted by cloud": {"query": {"eo:cloud_cover": {"gte": 0}},
                        "sortby": [by("properties.eo:cloud_cover", "desc"), by("id")]},
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("limit", [100, 3])
def test_bodies_find_the_same(cluster, world, dialect, case, limit):
    body = BODIES[case] | {"limit": limit}
    ours, theirs = (pages(root, body) for root in (root_of(world, dialect), cluster.urls[dialect]))
    found = [together(answer) for answer in (ours, theirs)]
    assert found[1] == found[0]
    if "sortby" in body:
        assert theirs == ours
    # a page is never longer than asked for, and nothing comes twice
    assert all(len(page) <= limit for page in theirs)
    assert len(set(found[1])) == len(found[1])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_newest_come_first(cluster, world, dialect):
    times = []
    for root in (root_of(world, dialect), cluster.urls[dialect]):
        features = ask(root, {"limit": 100}).json()["features"]
        times.append([item["properties"]["datetime"] for item in features])
        assert times[-1] == sorted(times[-1], reverse=True)
    assert times[0] == times[1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_collections_and_identifiers(cluster, world, dialect):
    items = world.items(dialect)
    for kind in {item["collection"] for item in items}:
        for body in (
            {"collections": [kind]},
            {"collections": [kind], "ids": [items[0]["id"], items[-1]["id"]]},
        ):
            body["limit"] = 100
            ours, theirs = (pages(r, body) for r in (root_of(world, dialect), cluster.urls[dialect]))
            assert together(theirs) == together(ours)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_items_come_back_as_they_were_loaded(cluster, world, dialect):
    def essence(item):
        return {key: item[key] for key in ("id", "collection", "geometry", "bbox", "properties", "assets")}

    wanted = {(item["collection"], item["id"]): essence(item) for item in world.items(dialect)}
    features = ask(cluster.urls[dialect], {"limit": 100}).json()["features"]
    assert {(item["collection"], item["id"]): essence(item) for item in features} == wanted


REFUSED = {
    "a page of nothing": {"limit": 0},
    "a page of words": {"limit": "ten"},
    "bbox and intersects": {"bbox": BOX, "intersects": SHAPE},
    "a time that ends before it starts": {"datetime": "2023-05-17T00:00:00Z/2023-05-16T00:00:00Z"},
    "a time that is none": {"datetime": "last week"},
    "a box of three numbers": {"bbox": BOX[:3]},
    "a shape that is none": {"intersects": {"type": "Circle", "radius": 3}},
    "collections as a word": {"collections": {"a": 1}},
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_by_both(cluster, world, dialect, case):
    statuses = [
        ask(root, REFUSED[case]).status_code for root in (root_of(world, dialect), cluster.urls[dialect])
    ]
    assert statuses == [400, 400]


def test_figures(cluster, capsys):
    """Say how long it took, where somebody looks."""
    with capsys.disabled():
        print("\npgstac:", ", ".join(f"{name} {value}" for name, value in cluster.figures.items()))  # noqa: T201
