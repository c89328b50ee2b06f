"""What is asked of every site: what decides the dates, what decides the results, and running it in Python."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.world.world import World, without_proxies

import changedet as cd
from changedet.access.selection import SelectionRules
from changedet.comparison import DetectSettings
from changedet.errors import UsageError
from changedet.investigation import AccessOptions, Investigation
from changedet.radar.types import RadarSettings, SensorChoice, sensor_of
from changedet.samples import simulate_pair
from changedet.simulator.scene import SceneSettings

ASKED = Investigation("2021-05", "2023-05")


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, after="2023-06"),
        replace(ASKED, provider="stac"),
        replace(ASKED, access=AccessOptions(SelectionRules(min_clear_share=0.5))),
        replace(ASKED, access=AccessOptions(max_tile_cloud=0.5)),
        replace(ASKED, sensor="both"),
        replace(ASKED, sensor="s1"),
    ],
)
def test_what_decides_the_dates(other):
    assert other.choosing() != ASKED.choosing()


RADAR = replace(ASKED, sensor="both")


@pytest.mark.parametrize(
    "other",
    [replace(RADAR, radar_provider="sentinelhub"), replace(RADAR, radar=RadarSettings(most_dates=5)),
     replace(RADAR, sensor="s1")],
)  # fmt: skip
def test_what_decides_the_passes(other):
    assert other.choosing() != RADAR.choosing()


def test_how_radar_is_compared_decides_the_results_and_not_the_passes():
    other = replace(RADAR, radar=RadarSettings(least_change_db=2.0))
    assert other.choosing() == RADAR.choosing()
    assert other.to_dict() != RADAR.to_dict()


def test_without_radar_nothing_of_it_is_said():
    other = replace(ASKED, radar=RadarSettings(most_dates=5), radar_provider="sentinelhub")
    assert other.to_dict() == ASKED.to_dict()
    assert not {"sensor", "radar", "radar_settings"} & set(ASKED.to_dict())


@pytest.mark.parametrize("name", ["S1", "s1", SensorChoice.S1])
def test_sensors_have_names(name):
    assert replace(ASKED, sensor=name).sensor is SensorChoice.S1
    with pytest.raises(
        UsageError, match=r"there is no sensor 'lidar'; take s2 \(optical\), s1 \(radar\) or both"
    ):
        sensor_of("lidar")


HARMLESS = {"cache": Path("x"), "max_processing_units": 3.0, "replan": True}


@pytest.mark.parametrize("access", [AccessOptions(**{name: value}) for name, value in HARMLESS.items()])
def test_what_decides_nothing(access):
    assert replace(ASKED, access=access).to_dict() == ASKED.to_dict()


def test_settings_decide_the_results_and_not_the_dates():
    other = replace(ASKED, settings=DetectSettings(method="cva"))
    assert other.choosing() == ASKED.choosing()
    assert other.to_dict() != ASKED.to_dict()


def test_periods_are_read_at_once():
    with pytest.raises(UsageError, match="not a period"):
        Investigation("soon", "2023-05")


def test_swapped_periods_are_refused_before_anything_is_asked():
    with pytest.raises(UsageError, match=r"wholly after the other \(2021-05\); swap the two periods"):
        Investigation("2023-05", "2021-05")
    Investigation("2021-05", "2021-05")


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_running_in_python(workplace, monkeypatch):
    without_proxies(monkeypatch)
    pair = simulate_pair(SceneSettings(after_shift_px=(0.0, 0.0)))
    heard = []

    class Listener:
        def step(self, name):
            heard.append(name)

        def advance(self, share):
            heard.append(share)

    site = cd.Site.at("38.2700, 126.4998", radius_m=400, name="Pier")
    access = cd.AccessOptions(cd.SelectionRules(min_clear_share=0.5), cache=workplace / "kept")
    with World([pair.before, pair.after]) as world:
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", world.earth_search)
        result = cd.run(site, before="2021-05", after="2023-05", access=access, progress=Listener())
        world.reset_log()
        again = cd.run(site, before="2021-05", after="2023-05", access=access)
        assert world.requests() == []
    assert result.name == "Pier"
    assert len(result.objects) == len(again.objects) > 0
    assert result.pair.reason.startswith("Before: 2021-05-21")
    assert heard[0] == "searching the before period"
    assert sorted(path.name for path in (workplace / "kept").iterdir()) == ["plans", "scenes"]
