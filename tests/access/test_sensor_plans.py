"""Of two sensors one may have nothing: then the other stands alone, and the reader is told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.synthetic import make_result, make_scene

from changedet.access import sensor_plans as sensor_plans
from changedet.access.archives import RADAR_PROVIDER, Archives, open_archives
from changedet.access.choosing import Plan
from changedet.access.selection import Choice, Look
from changedet.access.sensor_plans import Plans, Sensors, compare_plans, plan_sensors
from changedet.comparison import DetectSettings
from changedet.errors import NoUsableImageryError, ProviderError, UsageError
from changedet.frame import surroundings
from changedet.progress import Silent
from changedet.providers.base import Estimate, ProviderInfo
from changedet.radar.access import RadarPlan
from changedet.radar.choice import TrackPlan
from changedet.radar.types import RadarSettings, SensorChoice, Track
from changedet.site import Site

NOTHING = Estimate()
SITE = Site.at("38.58, 126.11", radius_m=300, name="Pier")


def nothing(what):
    def _make():
        raise NoUsableImageryError(what, todo="widen --before")

    return _make


def optical_plan():
    looks = [Look(make_scene(datetime(year, 5, 3, tzinfo=UTC)), 0.9, 0.1, 0.0, 0.0) for year in (2023, 2025)]
    choice = Choice(looks[:1], looks[1:], ("Because.",))
    return Plan(SITE, choice, tuple(looks[:1]), tuple(looks[1:]), surroundings(SITE.grid))


def radar_plan():
    scenes = [
        make_scene(
            datetime(year, 5, 9, tzinfo=UTC), platform="Sentinel-1A", relative_orbit=127, id=f"S1 {year}"
        )
        for year in (2023, 2025)
    ]
    track = TrackPlan(Track("descending", 127), (scenes[0],), (scenes[1],))
    return RadarPlan(SITE, RADAR_PROVIDER, (track,), ("Therefore.",))


def test_both_sensors_have_something():
    plans = plan_sensors(SITE, optical_plan, radar_plan)
    assert plans.sentences == ("Because.", "Therefore.")
    assert plans.notes == ()
    assert plans.last_date_text == "2025-05-03"
    said = plans.to_dict()
    assert len(said["radar"]["tracks"][0]["before"]) == len(said["chosen"]["before"]) == 1


def test_one_sensor_alone_is_described_as_ever():
    assert plan_sensors(SITE, optical_plan, None).to_dict() == optical_plan().to_dict()


def test_optical_without_a_usable_date_leaves_radar_and_a_reason():
    plans = plan_sensors(SITE, nothing("too cloudy: all of it"), radar_plan)
    assert plans.optical is None
    assert plans.optical_scenes == ()
    assert plans.notes == (
        "optical images could not be used, radar stands alone: too cloudy: all of it; widen --before",
    )
    assert plans.last_date_text == "2025-05-09"
    assert not plans.provisional
    assert plans.to_dict()["notes"] == list(plans.notes)


def test_radar_without_a_track_leaves_optical_and_a_reason():
    plans = plan_sensors(SITE, optical_plan, nothing("no track"))
    assert plans.radar is None
    assert plans.radar_scenes == ()
    assert plans.notes == ("radar could not be used, optical images stand alone: no track; widen --before",)


@pytest.mark.parametrize(
    ("optical", "radar", "said"),
    [
        (nothing("too cloudy"), None, "too cloudy; widen --before"),
        (None, nothing("no track"), "no track; widen --before"),
        (nothing("too cloudy"), nothing("no track"),
         "neither optical imagery (too cloudy) nor radar (no track) can be used; widen --before"),
    ],
)  # fmt: skip
def test_nothing_at_all_is_an_error(optical, radar, said):
    with pytest.raises(NoUsableImageryError) as caught:
        plan_sensors(SITE, optical, radar)
    assert str(caught.value) == said


def test_a_service_that_fails_is_not_taken_for_one_that_has_nothing():
    def _fails():
        raise ProviderError("down")

    with pytest.raises(ProviderError):
        plan_sensors(SITE, _fails, radar_plan)


@pytest.fixture
def compared(monkeypatch):
    """What is compared instead of pixels, by sensor; a reason makes optical unusable."""
    called = []

    def _optical(plan, provider, *, settings, progress, radar):
        called.append(("optical", radar is not None))
        if provider == "cloudy":
            raise NoUsableImageryError("nothing in common")
        return make_result()

    def _radar(task, *, settings, progress):
        called.append(("radar", task.settings.most_dates))
        return replace(make_result(), warnings=("of its own",))

    monkeypatch.setattr(sensor_plans, "compare_plan", _optical)
    monkeypatch.setattr(sensor_plans, "compare_radar", _radar)
    return called


def sensors(optical="clear", radar="radar"):
    return Sensors(optical, radar, DetectSettings(), RadarSettings(most_dates=7))


def test_both_are_compared_at_once(compared):
    result = compare_plans(plan_sensors(SITE, optical_plan, radar_plan), sensors(), Silent())
    assert compared == [("optical", True)]
    assert result.warnings == make_result().warnings


def test_optical_that_turns_out_to_be_unusable_leaves_radar(compared):
    result = compare_plans(plan_sensors(SITE, optical_plan, radar_plan), sensors("cloudy"), Silent())
    assert compared == [("optical", True), ("radar", 7)]
    assert result.warnings == (
        "optical images could not be used, radar stands alone: nothing in common", "of its own",
    )  # fmt: skip
    assert result.inputs["notes"] == [result.warnings[0]]


def test_without_radar_it_stays_an_error(compared):
    with pytest.raises(NoUsableImageryError, match="nothing in common"):
        compare_plans(plan_sensors(SITE, optical_plan, None), sensors("cloudy", None), Silent())


def test_notes_of_the_plan_are_warnings_of_the_result(compared):
    plans = Plans(SITE, None, radar_plan(), ("nothing optical",))
    assert compare_plans(plans, sensors(None), Silent()).warnings == ("nothing optical", "of its own")


class Named:
    """A provider as far as it matters who it is."""

    limited, kept_text = False, "2 scenes"

    def __init__(self, name, *available):
        self.name = name
        self.info = ProviderInfo(name, name, available, "nothing", (f"https://{name}",))
        self.expected = []

    def expect(self, scenes, grid, *, before=NOTHING):
        self.expected.append(list(scenes))
        return Estimate(len(self.expected[-1])) + before


@pytest.fixture
def opened():
    shelf = {"earth-search": ("s2",), RADAR_PROVIDER: ("s2", "s1"), "sentinelhub": ("s2", "s1")}
    return lambda name: Named(name, *shelf[name])


@pytest.mark.parametrize(
    ("sensor", "provider", "radar", "names"),
    [
        ("s2", "earth-search", None, ("earth-search", None)),
        ("both", "earth-search", None, ("earth-search", RADAR_PROVIDER)),
        ("s1", "earth-search", None, (None, RADAR_PROVIDER)),
        ("s1", "sentinelhub", None, (None, "sentinelhub")),
        ("both", "sentinelhub", None, ("sentinelhub", "sentinelhub")),
        ("both", "sentinelhub", RADAR_PROVIDER, ("sentinelhub", RADAR_PROVIDER)),
    ],
)
def test_where_radar_comes_from(opened, sensor, provider, radar, names):
    found = open_archives(SensorChoice(sensor), provider, radar, opened)
    assert tuple(one and one.name for one in (found.optical, found.radar)) == names
    assert bool(found.notes) is (provider == "earth-search" and sensor != "s2")


def test_a_provider_named_for_radar_must_have_it(opened):
    with pytest.raises(UsageError, match="earth-search has no radar"):
        open_archives(SensorChoice.BOTH, "sentinelhub", "earth-search", opened)


def test_one_provider_for_both_is_one(opened):
    found = open_archives(SensorChoice.BOTH, "sentinelhub", None, opened)
    assert len(found.each) == 1
    assert found.expect([1], [2, 3], None, before=Estimate(5)) == Estimate(8)
    assert found.optical.expected == [[1, 2, 3]]
    assert found.kept_text == "2 scenes"


def test_two_providers_are_told_apart(opened):
    found = open_archives(SensorChoice.BOTH, "earth-search", None, opened)
    assert found.expect([1], [2, 3], None, before=Estimate(5)) == Estimate(8)
    assert (found.optical.expected, found.radar.expected) == ([[1]], [[2, 3]])
    assert found.kept_text == f"earth-search: 2 scenes; {RADAR_PROVIDER}: 2 scenes"
    assert found.endpoints == ("https://earth-search", f"https://{RADAR_PROVIDER}")
    assert not found.limited
    assert Archives(found.optical).kept_text == "2 scenes"
