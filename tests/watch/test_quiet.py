"""A day on which nothing is new says what the day before said, and reads next to nothing for it."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from tests.watch.queries import unfinished_passes
from tests.watch.simulated import RULES, SINCE, SITE, SimulatedProvider, built, place_of, watch
from tests.watch.test_running import Failing, look, request_in

from changedet.hashing import code_digest
from changedet.progress import Silent
from changedet.providers.tracked import TrackedProvider
from changedet.watch import running, standing
from changedet.watch.arrays import array_folder
from changedet.watch.looking import SitePass
from changedet.watch.overview import site_history
from changedet.watch.standing import STANDING_NAME, keep_standing, known_sites, read_standing
from changedet.watch.state import open_state

END = datetime(2023, 7, 1, tzinfo=UTC)
LATER = timedelta(hours=20)


@pytest.fixture(scope="module")
def stood(tmp_path_factory):
    """A state after a construction was told of, and what was said in the end."""
    folder = tmp_path_factory.mktemp("stood")
    return folder, look(folder)


@pytest.fixture
def again(stood, tmp_path):
    """The same, to be changed."""
    import shutil

    return shutil.copytree(stood[0], tmp_path / "again")


def counted(monkeypatch):
    """How often a site is looked at thoroughly."""
    found, really = [], running.watch_site
    monkeypatch.setattr(running, "watch_site", lambda *told: found.append(told[1].site.name) or really(*told))
    return found


def test_a_quiet_day_says_what_a_thorough_look_says(again, monkeypatch):
    thorough = watch(again / "w.gpkg", SimulatedProvider((built(),)), END + LATER)
    looked = counted(monkeypatch)
    (quiet,) = look(again, until=END + LATER).passes
    assert looked == [] and not quiet.taken and thorough.candidates
    for each in fields(SitePass):
        assert getattr(quiet, each.name) == getattr(thorough, each.name), each.name


def test_a_quiet_day_loads_nothing_and_is_among_the_passes(again, monkeypatch):
    provider = SimulatedProvider((built(),))
    monkeypatch.setattr("changedet.watch.monitor.newest_arrays", None)
    report = look(again, provider=provider, until=END + LATER)
    assert provider.loads == [] and len(provider.searches) == 1 and report.lines() == []
    assert provider.searches[0][1] == END + LATER
    with open_state(again / "w.gpkg") as state:
        passes = state.rows("SELECT status, message, method FROM runs ORDER BY fid")
        assert passes[-1] == {
            "status": "done",
            "message": "0 date(s) taken, 0 new alert(s)",
            "method": "watch",
        }
        assert len(passes) == 2 and unfinished_passes(state) == []
        assert site_history(state, SITE.name)
    document = json.loads((again / "out" / "digest.json").read_text(encoding="utf-8"))
    assert document["sites"][0]["silent_days"] == pytest.approx(report.passes[0].silent_days, abs=0.1)


def test_what_is_new_is_looked_at(again, monkeypatch):
    looked = counted(monkeypatch)
    report = look(again, until=END + timedelta(days=20))
    assert looked == [SITE.name] and len(report.passes[0].taken) == 2
    look(again, until=END + timedelta(days=20))
    assert looked == [SITE.name]  # and then it is known how it stands


@pytest.mark.parametrize("what", ["gone", "damaged", "of other arrays", "of another form"])
def test_what_cannot_be_believed_is_looked_at(again, monkeypatch, what):
    path = array_folder(again / "w.gpkg", SITE.name) / STANDING_NAME
    document = json.loads(path.read_text(encoding="utf-8"))
    if what == "gone":
        path.unlink()
    elif what == "damaged":
        path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    elif what == "of other arrays":
        path.write_text(json.dumps(document | {"key": "another"}), encoding="utf-8")
    else:
        path.write_text(json.dumps(document | {"stood": [1, {"point": 2}]}), encoding="utf-8")
    looked = counted(monkeypatch)
    look(again, until=END + LATER)
    assert looked == [SITE.name]
    look(again, until=END + LATER)
    assert looked == [SITE.name]


def test_other_rules_and_another_outline_are_looked_at(again, monkeypatch):
    looked = counted(monkeypatch)
    request = request_in(again, until=END + LATER)
    provider = TrackedProvider(SimulatedProvider((built(),)), Silent())
    running.run_watch((SITE,), replace(request, rules=replace(RULES, min_area_m2=900.0)), provider, Silent())
    assert looked == [SITE.name]
    wider = replace(SITE, geometry=SITE.geometry.buffer(0.002))
    (failure,) = running.run_watch((wider,), request, provider, Silent()).failures
    assert "the outline of 'Pier' is another one than before" in failure.reason


def test_a_search_that_fails_is_a_failed_pass(again, monkeypatch):
    looked = counted(monkeypatch)
    other = replace(SITE, name="Quay")
    look(again, (SITE, other), until=END)
    report = look(again, (other, SITE), Failing((built(),)), until=END + LATER)
    (failure,) = report.failures
    assert (failure.site, failure.reason) == ("Quay", "is down; try later")
    assert looked == ["Quay", "Quay"] and isinstance(report.passes[1], SitePass)
    with open_state(again / "w.gpkg") as state:
        row = state.rows("SELECT status, message FROM runs WHERE status = 'failed'")
    assert row == [{"status": "failed", "message": "is down; try later"}]


def test_passes_are_noted_when_the_user_stops_it(again, monkeypatch):
    def _stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "watch_site", _stopped)
    with pytest.raises(KeyboardInterrupt):
        look(again, (SITE, replace(SITE, name="Quay")), until=END + LATER)
    with open_state(again / "w.gpkg") as state:
        assert [row["status"] for row in state.rows("SELECT status FROM runs")] == ["done", "done"]


def test_how_a_site_stands_is_kept_to_the_last_digit(again):
    place = place_of(SimulatedProvider())
    with open_state(again / "w.gpkg", write=True) as state:
        known = known_sites(state)
        assert list(known) == [SITE.name] and known_sites(state, "Quay") == {}
        assert known_sites(state, SITE.name) == known
        found = read_standing(state, place, known[SITE.name])
        assert found.since == SINCE.isoformat() and found.candidates and found.floor is not None
        strange = replace(found.candidates[0], found=None, reason='\u00e4 \n"<b>')
        odd = replace(found, silent_days=1 / 3, candidates=(*found.candidates, strange))
        keep_standing(state, place, odd)
        assert read_standing(state, place, known[SITE.name]) == odd
        keep_standing(state, place, replace(odd, site="nobody knows it"))
        assert read_standing(state, place, replace(known[SITE.name], generation=999)) is None


def test_how_a_site_stood_is_not_believed_by_another_code(again, monkeypatch):
    place = place_of(SimulatedProvider())
    with open_state(again / "w.gpkg", write=True) as state:
        known = known_sites(state)[SITE.name]
        found = read_standing(state, place, known)
        for changed in (("0.0.0", code_digest()), (version("changedet"), "0" * 64)):
            monkeypatch.setattr(standing, "_code", lambda changed=changed: changed)
            assert read_standing(state, place, known) is None
            keep_standing(state, place, found)
            assert read_standing(state, place, known) == found


def test_nothing_is_searched_where_the_watch_ends_before_the_last_date(again):
    provider = SimulatedProvider((built(),))
    (found,) = look(again, provider=provider, until=datetime(2023, 1, 2, tzinfo=UTC)).passes
    assert provider.searches == [] and found.silent_days == 0.0


def test_simulated_dates_are_said_on_quiet_days(again):
    (found,) = look(again, until=END + LATER).passes
    assert found.simulated and found.to_dict()["simulated"]
