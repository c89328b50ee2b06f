"""Passes, scenes, things that are followed, and alerts that are given once."""

import os
import socket
from datetime import date

import pyogrio
import pytest
from tests.watch.folders import known_run, make_run
from tests.watch.queries import list_sites, pending_alerts, unfinished_passes

from changedet.errors import UsageError
from changedet.watch.following import (
    FollowRules,
    add_alert,
    follow_objects,
    followed_things,
    mark_delivered,
)
from changedet.watch.masks import add_mask
from changedet.watch.overview import site_history, watch_status
from changedet.watch.passes import (
    SeenScene,
    add_scene,
    begin_pass,
    end_pass,
    seen_scenes,
    unseen_of,
)
from changedet.watch.runs import objects_of, read_run
from changedet.watch.state import open_state
from changedet.watch.verdicts import Judgement, Verdict, record

HALL = (30, 42, 40, 55)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "watch.gpkg"


def follow(file, folder, rules=None):
    run_id = known_run(file, folder)
    with open_state(file, write=True) as state, state.change() as change:
        return follow_objects(change, run_id, *([rules] if rules else []))


def things(file):
    with open_state(file) as state:
        return followed_things(state).drop(columns="geometry").to_dict("records")


def test_a_thing_is_new_then_stops_then_persists(file, tmp_path):
    runs = [make_run(tmp_path / f"{n}", years=n, boxes=[HALL]) for n in (2, 3, 4)]
    told = [follow(file, run)[0] for run in runs]
    assert [one.status for one in told] == ["provisional", "provisional", "persisting"]
    assert [one.growth for one in told] == ["new", "stopped", "stopped"]
    assert [(one.is_new, one.turned) for one in told] == [(True, False), (False, False), (False, True)]
    (thing,) = things(file)
    assert (thing["sightings"], thing["first_seen"][:10], thing["last_seen"][:10]) == (
        3,
        "2025-05-13",
        "2027-05-13",
    )
    with open_state(file) as state:
        assert set(objects_of(state)["followed_id"]) == {thing["fid"]}


def test_the_same_run_or_the_same_date_again_is_no_further_sighting(file, tmp_path):
    run = make_run(tmp_path / "run", boxes=[HALL])
    assert len(follow(file, run)) == 1
    assert follow(file, run) == []
    (again,) = follow(file, make_run(tmp_path / "again", boxes=[HALL], number=1))
    assert (again.is_new, again.status) == (False, "provisional")
    assert [thing["sightings"] for thing in things(file)] == [1]


def test_an_earlier_date_moves_the_first_sighting_only(file, tmp_path):
    follow(file, make_run(tmp_path / "late", years=3, boxes=[HALL]))
    follow(file, make_run(tmp_path / "early", years=2, boxes=[HALL]))
    (thing,) = things(file)
    assert (thing["first_seen"][:4], thing["last_seen"][:4], thing["sightings"]) == ("2025", "2026", 1)


def test_what_grows_is_growing_and_has_its_new_outline(file, tmp_path):
    follow(file, make_run(tmp_path / "small", years=2, boxes=[HALL]))
    (told,) = follow(file, make_run(tmp_path / "large", years=3, boxes=[(28, 60, 38, 60)]))
    assert told.growth == "growing"
    (thing,) = things(file)
    assert thing["area_m2"] == 32 * 22 * 100
    (told,) = follow(file, make_run(tmp_path / "parts", years=4, boxes=[(28, 60, 38, 48), (28, 60, 50, 60)]))
    assert told.growth == "stopped"  # 640 of 704 pixels in two parts
    with open_state(file) as state:
        assert len(followed_things(state, site="Pier").geometry.iloc[0].geoms) == 2
        assert len(followed_things(state, site="Quay")) == 0
    assert len(pyogrio.read_dataframe(file, layer="followed")) == 1


def test_neighbours_are_things_of_their_own(file, tmp_path):
    follow(file, make_run(tmp_path / "one", years=2, boxes=[HALL]))
    told = follow(file, make_run(tmp_path / "two", years=3, boxes=[(43, 50, 40, 55), (35, 60, 40, 55)]))
    # 7 of 12 rows of the hall lie inside the second
    assert sorted(one.is_new for one in told) == [False, True]
    strict = FollowRules(overlap=0.9, persists_after=1)
    (new,) = follow(file, make_run(tmp_path / "three", years=4, boxes=[(36, 48, 50, 65)]), strict)
    assert (new.is_new, new.status, new.turned) == (True, "persisting", True)


def test_nothing_is_alerted_twice(file, tmp_path):
    (told,) = follow(file, make_run(tmp_path / "run", boxes=[HALL]))
    for expected in (True, False):
        with open_state(file, write=True) as state, state.change() as change:
            assert add_alert(change, told, "new construction at 52SBH", run_id=1) is expected
            assert add_alert(change, told, "it grows", event="growing 2026") is expected
    with open_state(file, write=True) as state:
        pending = pending_alerts(state)
        assert [row["text"] for row in pending] == ["new construction at 52SBH", "it grows"]
        with state.change() as change:
            assert mark_delivered(change, [row["alert_key"] for row in pending[:1]]) == 1
            assert mark_delivered(change, [row["alert_key"] for row in pending]) == 1
        assert pending_alerts(state) == []
    assert len(pyogrio.read_dataframe(file, layer="alerts")) == 2


def test_scenes_are_seen_once_and_may_become_useful_but_not_useless(file, tmp_path):
    known_run(file, make_run(tmp_path / "run"))
    cloudy = SeenScene("a", "s2", "2026-01-01T00:00:00Z", usable=False, reason="cloud")
    with open_state(file, write=True) as state:
        with state.change() as change:
            assert add_scene(change, 1, cloudy)
            assert not add_scene(change, 1, SeenScene("a", "s2", "2026-01-01T00:00:00Z"))
            assert not add_scene(change, 1, cloudy)
        (row,) = state.rows("SELECT * FROM scenes")
        assert (row["status"], row["reason"]) == ("used", "")
        assert unseen_of(seen_scenes(state, "Pier"), ["b", "a", "b", "c"]) == ["b", "c"]
        assert unseen_of(seen_scenes(state, "Quay"), ["a"]) == ["a"]


def test_a_pass_says_who_is_at_work_until_it_ends(file, tmp_path):
    run = make_run(tmp_path / "run")
    known_run(file, run)
    with open_state(file, write=True) as state:
        with state.change() as change:
            first, second = begin_pass(change, 1, method="series"), begin_pass(change, 1)
        (told, _) = unfinished_passes(state)
        assert (told["run_id"], told["site"], told["pid"], told["host"]) == (
            first, "Pier", os.getpid(), socket.gethostname(),
        )  # fmt: skip
        with state.change() as change:
            end_pass(change, first, "failed", message="no network")
            with pytest.raises(UsageError, match="is not running"):
                end_pass(change, first, "done")
            with pytest.raises(UsageError, match="say done, failed, refused"):
                end_pass(change, second, "maybe")
            end_pass(change, second, "done", run=read_run(make_run(tmp_path / "other", number=5)))
        assert unfinished_passes(state) == []
        rows = state.rows("SELECT * FROM runs WHERE fid > 1")
    assert (rows[0]["status"], rows[0]["message"]) == ("failed", "no network")
    assert rows[1]["folder"] == str(tmp_path / "other")
    assert len(rows[1]["digest"]) == 64


def test_the_status_of_sites_and_the_history_of_one(file, tmp_path):
    run = make_run(tmp_path / "run", boxes=[HALL, (60, 64, 80, 100)])
    told = follow(file, run)
    with open_state(file, write=True) as state, state.change() as change:
        add_scene(change, 1, SeenScene("S2A", "s2", "2026-01-01T02:07:01Z"))
        add_scene(change, 1, SeenScene("S2B", "s2", "2026-01-06T02:07:01Z", usable=False, reason="cloud"))
        add_alert(change, told[0], "new construction")
        for until in (date(2026, 1, 20), date(2026, 1, 10)):
            outline = objects_of(state).geometry.iloc[0]
            add_mask(change, 1, outline, reason="reeds", until=until, made_by="Ann")
    record(file, run, 1, Judgement(Verdict.ACCEPTED, "Ann", "hall"))
    with open_state(file) as state:
        (row,) = watch_status(state, today=date(2026, 1, 15))
        events = site_history(state, "Pier")
        with pytest.raises(UsageError, match="no site 'Quay'; the state file knows 'Pier'"):
            site_history(state, "Quay")
        assert list_sites(state)[0]["objects"] == 2
    expected = {
        "site": "Pier", "scenes": 2, "used": 1, "last_scene": "2026-01-01T02:07:01Z", "silent_days": 14,
        "last_outcome": "done", "provisional": 2, "persisting": 0, "growing": 0, "open": 1, "pending": 1,
        "masks": 1, "generation": 0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert [event["time_utc"] for event in events] == sorted(event["time_utc"] for event in events)
    for layer, _ in pyogrio.list_layers(file):  # GDAL warns of what the format does not allow
        pyogrio.read_dataframe(file, layer=layer)
    assert {event["event"] for event in events} == {"scene", "run", "alert", "verdict", "mask"}
    texts = " | ".join(event["text"] for event in events)
    for part in (
        "S2B of 2026-01-06: unusable (cloud)",
        "accepted by Ann: candidate 1, new construction (hall)",
        "reeds until 2026-01-20, by Ann",
        "provisional: new construction (not delivered yet)",
    ):
        assert part in texts, part


def test_a_file_without_sites_has_no_status(file):
    with open_state(file, write=True) as state:
        assert watch_status(state) == []
        with pytest.raises(UsageError, match="the state file knows none"):
            site_history(state, "Pier")
