"""What goes wrong with searches: each ends, in time, after a known number of requests, with a reason."""

import copy
import json
import time
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.providers.remote_world import provider_of, query_of, small_world, three_days
from tests.world.faults import Fault, answers, delays, drops
from tests.world.world import without_proxies

from changedet.errors import ChangedetError, NoUsableImageryError, ProviderError, exit_code
from changedet.providers import item_search
from changedet.providers.http import TRY_LATER

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
NAMES = ("earth-search", "planetary-computer", "stac")
HTML = b"<!DOCTYPE html><html><body>Please sign in to the wireless network</body></html>"
DAYS = three_days()
QUERY = query_of(DAYS[0])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture(scope="module")
def shared():
    with small_world(DAYS) as found:
        yield found


@pytest.fixture
def world(shared):
    shared.clear_faults()
    shared.reset_log()
    yield shared
    shared.clear_faults()


def posts(world):
    return world.requests("*/search", "POST")


def in_time(provider, seconds):
    """Search in vain; the error, after it was checked that it came in time and in one line."""
    started = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        provider.search(QUERY)
    assert time.monotonic() - started < seconds
    assert "\n" not in str(caught.value)
    assert exit_code(caught.value) == 5
    assert caught.value.todo == TRY_LATER
    return caught.value


def breaks_off(pattern, **changes):
    return Fault(pattern, "truncate", method="POST", keep_bytes=40, **changes)


# ------------------------------------------------------------------------------------ what may pass, and ends


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "fault",
    [
        answers("*/search", 500),
        answers("*/search", 502),
        answers("*/search", 504),
        answers("*/search", 429, {"retry-after": "soon"}),
        answers("*/search", 429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        breaks_off("*/search"),
    ],
    ids=["500", "502", "504", "odd-wait", "wait-that-is-over", "answer-breaks-off"],
)
def test_what_may_pass_is_sent_again_and_no_more_often_than_set(world, name, fault):
    world.add_faults(fault.first(2))
    assert len(provider_of(world, name).search(QUERY)) == 3
    assert len(posts(world)) == 3
    world.clear_faults()
    world.add_faults(fault)
    world.reset_log()
    in_time(provider_of(world, name), 5)
    assert len(posts(world)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_search_that_times_out_is_sent_again(world, name):
    world.add_faults(delays("*/search", 0.5).first(1))
    provider = provider_of(world, name, read_timeout_s=0.2)
    assert len(provider.search(QUERY)) == 3
    assert len(posts(world)) == 2


def test_a_search_that_always_times_out_is_given_up(world):
    world.add_faults(delays("*/search", 0.4))
    error = in_time(provider_of(world, "stac", read_timeout_s=0.1), 3)
    assert "timed out" in error.what
    time.sleep(0.4)
    assert len(posts(world)) == 3


def test_the_first_question_of_all_is_repeated_like_the_others(world):
    world.add_faults(answers("/stac", 503).first(2))
    assert len(provider_of(world, "stac").search(QUERY)) == 3
    assert len(world.requests("/stac", "GET")) == 3


@pytest.mark.parametrize("as_date", [False, True])
def test_the_wait_that_a_service_asks_for_is_kept(world, as_date):
    later = datetime.now(UTC) + timedelta(seconds=2)
    asked = f"{later:%a, %d %b %Y %H:%M:%S} GMT" if as_date else "1"
    world.add_faults(answers("*/search", 429, {"retry-after": asked}).first(1))
    assert len(provider_of(world, "stac").search(QUERY)) == 3
    first, second = posts(world)
    waited_s = second.started_s - first.finished_s
    assert (0.1 if as_date else 0.95) <= waited_s < 2.5


def test_a_wait_beyond_the_deadline_ends_it_at_once(world):
    later = datetime.now(UTC) + timedelta(hours=1)
    world.add_faults(answers("*/search", 503, {"retry-after": f"{later:%a, %d %b %Y %H:%M:%S} GMT"}))
    error = in_time(provider_of(world, "stac", total_deadline_s=3.0), 2)
    assert "no answer within 3 s" in error.what
    assert len(posts(world)) == 1


@pytest.mark.parametrize("fault", [answers("*/search", 503), drops("*/search"), breaks_off("*/search")])
def test_no_number_of_retries_outlives_the_deadline(world, fault):
    world.add_faults(fault)
    in_time(provider_of(world, "stac", max_retries=10_000, retry_delay_s=0.05, total_deadline_s=0.6), 3)
    assert 2 <= len(posts(world)) < 40


def test_an_answer_that_trickles_ends_with_the_deadline(world):
    world.add_faults(Fault("*/search", "slow", method="POST", seconds=30))
    # each piece comes within the time-out, so that only the deadline can end it
    error = in_time(provider_of(world, "stac", read_timeout_s=5.0, total_deadline_s=0.7), 5)
    assert "search failed" in error.what


def test_all_pages_together_have_one_deadline(world, monkeypatch):
    monkeypatch.setattr(item_search, "PAGE_SIZE", 1)
    assert len(provider_of(world, "stac").search(QUERY)) == 3
    assert len(posts(world)) >= 3
    world.reset_log()
    world.add_faults(delays("*/search", 0.3))
    in_time(provider_of(world, "stac", total_deadline_s=0.5, max_retries=0), 2)
    assert len(posts(world)) <= 2


def test_a_next_page_that_leads_to_itself_ends_with_the_deadline(world):
    again = {"rel": "next", "method": "POST", "href": f"{world.stac}/search", "body": {"token": "same"}}
    page = {"type": "FeatureCollection", "features": list(world.items("stac"))[:1], "links": [again]}
    world.add_faults(Fault("*/search", "status", 200, body=json.dumps(page).encode()))
    in_time(provider_of(world, "stac", total_deadline_s=0.4), 3)
    assert len(posts(world)) > 1


def test_pages_are_small_enough_for_the_services_that_break_on_large_ones(world):
    for name in NAMES:
        provider_of(world, name).search(QUERY)
    assert {entry.request.json()["limit"] for entry in posts(world)} == {100}


# -------------------------------------------------------------------------------- what does not pass


def test_throttling_by_403_at_earth_search_is_waited_out_and_ends(world):
    world.add_faults(answers("*/search", 403).first(2))
    assert len(provider_of(world, "earth-search").search(QUERY)) == 3
    assert len(posts(world)) == 3
    world.clear_faults()
    world.add_faults(answers("*/search", 403))
    world.reset_log()
    assert "HTTP 403" in in_time(provider_of(world, "earth-search"), 3).what
    assert len(posts(world)) == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_a_refusal_is_not_sent_again(world, name, status):
    world.add_faults(answers("*/search", status))
    assert f"HTTP {status}" in in_time(provider_of(world, name), 3).what
    assert len(posts(world)) == 1


@pytest.mark.parametrize("name", ["planetary-computer", "stac"])
def test_elsewhere_403_is_a_refusal(world, name):
    world.add_faults(answers("*/search", 403))
    assert "HTTP 403" in in_time(provider_of(world, name), 3).what
    assert len(posts(world)) == 1


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type": "FeatureCollection", "features": null, "links": []}',
        b'{"type": "FeatureCollection", "features": [{"id": "S2A',
        b"\xff\xfe\x00",
    ],
)
@pytest.mark.parametrize("where", ["*/search", "/stac"])
def test_an_answer_of_another_kind_is_named_and_not_asked_for_again(world, body, where):
    world.add_faults(Fault(where, "status", 200, headers={"content-type": "text/html"}, body=body))
    error = in_time(provider_of(world, "stac"), 3)
    assert "search failed" in error.what
    assert len(str(error)) < 400
    assert len(world.requests(where)) == 1


def test_nobody_there_is_an_error_in_time(world):
    with small_world(DAYS[:1]) as gone:
        provider = provider_of(gone, "stac")
    assert "search failed" in in_time(provider, 3).what


# -------------------------------------------------------------------------------- damaged items


def found_among(provider, items):
    """What a provider makes of items, without a server."""

    class Given(type(provider)):
        def _items(self, query):
            return items

    parts = {one.name: getattr(provider, one.name) for one in fields(provider)}
    return Given(**parts).search(QUERY)


def damaged(item, path, value):
    """A copy of an item with another value somewhere, or without it."""
    spoilt = copy.deepcopy(item)
    place = spoilt
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return spoilt


DAMAGES = {
    "no geometry": (("geometry",), KeyError),
    "geometry null": (("geometry",), None),
    "no properties": (("properties",), KeyError),
    "no time": (("properties", "datetime"), None),
    "odd time": (("properties", "datetime"), "last spring"),
    "assets as a list": (("assets",), []),
    "no red": (("assets", "red"), KeyError),
    "no near infrared": (("assets", "nir"), KeyError),
    "no link": (("assets", "nir"), {"title": "B08"}),
    "odd clouds": (("properties", "eo:cloud_cover"), "many"),
    "no identifier": (("id",), KeyError),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_item_is_left_out_and_the_others_are_found(world, damage):
    good = list(world.items("earth-search"))
    day = good[0]["properties"]["datetime"]
    spoilt = [damaged(i, *damage) if i["properties"]["datetime"] == day else i for i in good]
    page = {"type": "FeatureCollection", "features": spoilt, "links": []}
    world.add_faults(Fault("*/search", "status", 200, body=json.dumps(page).encode()))
    assert len(provider_of(world, "earth-search").search(QUERY)) == 2
    page["features"] = [damaged(item, *damage) for item in good]
    world.clear_faults()
    world.add_faults(Fault("*/search", "status", 200, body=json.dumps(page).encode()))
    with pytest.raises(NoUsableImageryError, match=r"nothing that was found can be used \(\d x ") as caught:
        provider_of(world, "earth-search").search(QUERY)
    assert exit_code(caught.value) == 3


@pytest.mark.parametrize("item", [None, 7, "S2A", ["S2A"]])
def test_what_is_no_item_at_all_is_left_out(world, item):
    page = {"type": "FeatureCollection", "features": [item, *world.items("stac")], "links": []}
    world.add_faults(Fault("*/search", "status", 200, body=json.dumps(page).encode()))
    assert len(provider_of(world, "stac").search(QUERY)) == 3
    page["features"] = [item]
    world.clear_faults()
    world.add_faults(Fault("*/search", "status", 200, body=json.dumps(page).encode()))
    with pytest.raises(NoUsableImageryError, match="1 x it is no STAC item"):
        provider_of(world, "stac").search(QUERY)


def test_the_lacking_band_is_named(world):
    page = {"type": "FeatureCollection", "links": []}
    page["features"] = [damaged(i, ("assets", "nir"), KeyError) for i in world.items("earth-search")]
    world.add_faults(Fault("*/search", "status", 200, body=json.dumps(page).encode()))
    with pytest.raises(NoUsableImageryError, match="6 x it lacks B08"):
        provider_of(world, "earth-search").search(QUERY)


def leaves(value, path=()):
    """Every place in a JSON value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from leaves(part, (*path, key))


odd_values = st.one_of(
    st.just(KeyError),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_of_an_item_is_a_bug(shared, name, data):
    items = [i for i in shared.items(name) if "S1" not in i["id"]]
    number = data.draw(st.integers(0, len(items) - 1))
    path = data.draw(st.sampled_from(sorted(leaves(items[number]), key=str)))
    spoilt = [*items]
    spoilt[number] = damaged(items[number], path, data.draw(odd_values))
    try:
        found = found_among(provider_of(shared, name), spoilt)
    except ChangedetError as error:
        assert str(error)
    else:
        assert len(found) <= 4
        for scene in found:
            json.dumps(scene.to_dict())
