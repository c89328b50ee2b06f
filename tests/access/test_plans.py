"""Kept choices of dates: the same again, for as long as they hold, and never with a secret."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.synthetic import make_scene

from changedet.access.choosing import Plan
from changedet.access.plans import FRESH_FOR, PlanStore
from changedet.access.selection import Choice, Look
from changedet.access.sensor_plans import Plans
from changedet.frame import surroundings
from changedet.periods import parse_period
from changedet.radar.access import RadarPlan
from changedet.radar.choice import TrackPlan
from changedet.radar.types import Track
from changedet.site import Site

SITE = Site.at("38.58, 126.11", radius_m=300, name="Pier")
REQUEST = {"before": "2023-05", "after": "2025-05", "provider": "earth-search"}
PAST = parse_period("2023-05"), parse_period("2025-05")


def look(day, year, clear=0.9, **changes):
    scene = make_scene(datetime(year, 5, day, 2, 7, 1, tzinfo=UTC), **changes)
    return Look(scene, clear, 1 - clear, 0.0, 0.0, np.ones(5, bool))


@pytest.fixture
def plan():
    before, after = (look(3, 2023), look(8, 2023, 0.5)), (look(4, 2025), look(9, 2025), look(14, 2025))
    choice = Choice((before[0],), (after[1], after[2]), ("Because.", "Therefore."))
    return Plans(SITE, Plan(SITE, choice, before, after, surroundings(SITE.grid)))


@pytest.fixture
def radar():
    def _pass(year, day):
        return make_scene(datetime(year, 5, day, tzinfo=UTC), platform="Sentinel-1A", relative_orbit=127,
                          orbit_state="descending", id=f"S1A-{year}-{day}")  # fmt: skip

    track = TrackPlan(Track("descending", 127), (_pass(2023, 1), _pass(2023, 13)), (_pass(2025, 2),))
    return RadarPlan(SITE, "planetary-computer", (track,), ("Since it is so.",))


@pytest.fixture
def store(tmp_path):
    return PlanStore(tmp_path / "cache" / "plans")


def test_what_was_kept_comes_back(store, plan):
    store.keep(REQUEST, plan, PAST)
    kept = store.read(REQUEST, SITE)
    assert kept.plan.to_dict() == plan.to_dict()
    assert kept.plan.optical_scenes == plan.optical_scenes
    assert kept.plan.grid == plan.grid
    assert abs(datetime.now(UTC) - kept.made) < timedelta(minutes=1)


def test_the_passes_of_radar_come_back_too(store, plan, radar):
    store.keep(REQUEST, replace(plan, radar=radar), PAST)
    kept = store.read(REQUEST, SITE).plan
    assert kept.radar.tracks == radar.tracks
    assert kept.radar_scenes == radar.scenes
    assert kept.sentences == (*plan.sentences, "Since it is so.")


def test_of_two_sensors_one_may_have_nothing_and_that_is_kept(store, radar):
    store.keep(REQUEST, Plans(SITE, None, radar, ("nothing optical",)), PAST)
    kept = store.read(REQUEST, SITE).plan
    assert kept.optical is None
    assert kept.notes == ("nothing optical",)
    assert kept.last_date_text == "2025-05-02"
    assert kept.to_dict()["chosen"] == {"before": [], "after": []}


def test_a_plan_of_nothing_is_none(store, radar):
    store.keep(REQUEST, Plans(SITE, None, radar), PAST)
    (path,) = store.folder.iterdir()
    said = json.loads(path.read_text())
    for tracks in ({"radar": said["radar"] | {"tracks": []}}, {}):
        path.write_text(json.dumps({key: v for key, v in said.items() if key != "radar"} | tracks))
        assert store.read(REQUEST, SITE) is None


def test_another_request_or_place_has_no_plan(store, plan):
    store.keep(REQUEST, plan, PAST)
    assert store.read(REQUEST | {"after": "2025-06"}, SITE) is None
    assert store.read(REQUEST, Site.at("38.59, 126.11", radius_m=300)) is None


def test_the_name_of_the_place_does_not_matter(store, plan):
    store.keep(REQUEST, plan, PAST)
    assert store.read(REQUEST, replace(SITE, name="North pier")).plan.site.name == "North pier"


@pytest.mark.parametrize(("after", "holds"), [("2025-05", True), ("2025-05/..", False)])
def test_a_choice_among_dates_that_may_still_come_holds_for_a_day(store, plan, after, holds):
    store.keep(REQUEST, plan, (PAST[0], parse_period(after)))
    later = datetime.now(UTC) + FRESH_FOR
    assert store.read(REQUEST, SITE, now=later - timedelta(minutes=5)) is not None
    assert (store.read(REQUEST, SITE, now=later + timedelta(minutes=5)) is not None) is holds


def test_a_choice_made_while_the_clock_was_ahead_does_not_hold_for_years(store, plan):
    store.keep(REQUEST, plan, (PAST[0], parse_period("2999")))
    corrected = datetime.now(UTC) - FRESH_FOR - timedelta(days=800)
    assert store.read(REQUEST, SITE, now=corrected) is None


def test_it_is_forgotten_when_asked(store, plan):
    store.keep(REQUEST, plan, PAST)
    store.forget(REQUEST, SITE)
    assert store.read(REQUEST, SITE) is None
    store.forget(REQUEST, SITE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "changedet.plan/1"}', "\x00"])
def test_a_damaged_file_is_no_plan(store, plan, text):
    store.keep(REQUEST, plan, PAST)
    (path,) = store.folder.iterdir()
    path.write_text(text)
    assert store.read(REQUEST, SITE) is None


def test_an_unknown_layout_is_no_plan(store, plan):
    store.keep(REQUEST, plan, PAST)
    (path,) = store.folder.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": "changedet.plan/99"}))
    assert store.read(REQUEST, SITE) is None


def test_a_plan_with_a_signature_in_it_is_not_written(store, plan):
    optical = plan.optical
    scene = optical.before[0].scene
    asset = replace(scene.assets["B04"], href="https://host/B04.tif?sig=TheSignature")
    signed = replace(scene, assets={**scene.assets, "B04": asset})
    looks = (replace(optical.before[0], scene=signed), optical.before[1])
    optical = replace(optical, before=looks, choice=replace(optical.choice, before=looks[:1]))
    store.keep(REQUEST, replace(plan, optical=optical), PAST)
    assert not store.folder.exists()
    assert store.read(REQUEST, SITE) is None


def test_a_folder_that_cannot_be_made_does_no_harm(plan, tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = PlanStore(tmp_path / "file" / "plans")
    store.keep(REQUEST, plan, PAST)
    assert store.read(REQUEST, SITE) is None
