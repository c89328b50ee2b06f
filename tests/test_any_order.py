"""The order in which folders list files, catalogues name scenes and users write sites changes no result."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from benchmarks.watch import facts
from tests.disorder import answer_in_any_order, list_backwards
from tests.providers import searching
from tests.providers.places import EVERYONE, open_any
from tests.providers.remote_world import query_of
from tests.radar.test_files import write_periods
from tests.radar_passes import FALLING, RISING
from tests.timelines import HALL_PLACE, make_images, make_synthetic, sources_of
from tests.watch.simulated import RULES, SINCE, SITE, SimulatedProvider, built
from tests.watch.test_folders import look as watch_files
from tests.watch.test_folders import write
from tests.world.world import without_proxies

from changedet.access.fetching import clearest
from changedet.output.timeline_folder import timeline_csv, timeline_record
from changedet.periods import parse_period
from changedet.pipeline import compare_radar_files
from changedet.progress import Silent
from changedet.providers.tracked import TrackedProvider
from changedet.radar.files import open_radar_files
from changedet.timeline.access import plan_local_series, plan_series, search_span
from changedet.timeline.making import TimelineRequest, default_settings, make_timeline
from changedet.watch.monitor import WatchSpan
from changedet.watch.running import WatchRequest, run_watch

STARTED = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def dates():
    """Fourteen dates of a yard, on the last six of which a hall stands."""
    return make_images(14, 40, built_at=8, hidden={5})


def told(timeline):
    """All that is written of a timeline."""
    record = timeline_record(timeline, command=[], started=STARTED)
    return timeline_csv(timeline), json.dumps(record, sort_keys=True)


class TestFolders:
    """Listed backwards; a whole comparison is part of tests/faults/surroundings.py."""

    def test_a_series_is_the_same(self, dates, tmp_path, monkeypatch):
        for image in dates:
            write(tmp_path / "images" / f"T52SBH_{image.scene.time:%Y%m%dT%H%M%S}.tif", image, image.bands)
        request = TimelineRequest(
            images=tmp_path / "images",
            points=(HALL_PLACE,),
            settings=default_settings(("NDVI",), register=False),
        )
        usual = make_timeline(None, request)
        list_backwards(monkeypatch)
        assert told(make_timeline(None, request)) == told(usual)
        assert len(usual.dates) == 14

    def test_radar_is_the_same(self, tmp_path, monkeypatch):
        folders = write_periods(tmp_path, (3, 3), tracks=(RISING, FALLING))
        usual = compare_radar_files(open_radar_files(*folders))
        list_backwards(monkeypatch)
        found = compare_radar_files(open_radar_files(*folders))
        np.testing.assert_array_equal(found.score, usual.score)
        assert found.objects.equals(usual.objects)

    def test_what_is_left_out_is_told_in_the_same_order(self, dates, tmp_path, monkeypatch):
        write(tmp_path / "T52SBH_20210301T021601.tif", dates[0], dates[0].bands)
        for name in ("b.tif", "a.tif", "c.tif"):
            (tmp_path / name).write_bytes(b"no raster")
        usual = plan_local_series(tmp_path)
        list_backwards(monkeypatch)
        assert plan_local_series(tmp_path).left_out == usual.left_out
        assert [one.scene_id for one in usual.left_out] == ["a.tif", "b.tif", "c.tif"]

    def test_what_is_watched_is_the_same(self, tmp_path, monkeypatch):
        provider = SimulatedProvider((built(),), step_days=30, last=datetime(2023, 7, 20, tzinfo=UTC))
        for scene in provider.scenes():
            image = provider.load(scene, SITE.grid.pad(8, 8))
            write(tmp_path / "images" / f"T52SBH_{scene.time:%Y%m%dT%H%M%S}.tif", image)
        states = []
        for name in ("usual", "backwards"):
            (tmp_path / name).mkdir()
            assert not watch_files(tmp_path / name, tmp_path / "images").failures
            states.append(facts(tmp_path / name / "w.gpkg"))
            list_backwards(monkeypatch)
        assert states[0]["Pier"]["scenes"] and states[0] == states[1]


class TestDates:
    @pytest.mark.parametrize("register", [False, True])
    def test_images_of_a_series_may_come_in_any_order(self, dates, register):
        usual, mixed = make_synthetic(dates, register=register), [*dates]
        random.Random(1).shuffle(mixed)
        found = make_synthetic(mixed, register=register)
        assert told(found) == told(usual)

    def test_of_dates_of_one_time_the_same_one_is_taken(self, dates):
        twin = replace(dates[3], scene=replace(dates[3].scene, id="another"))
        for images in ([*dates[:3], dates[3], twin], [twin, dates[3], *dates[2::-1]]):
            plan = plan_series(sources_of(images))
            assert [one.scene.id for one in plan.sources] == ["date-00", "date-01", "date-02", "another"]
            assert [one.scene_id for one in plan.left_out] == ["date-03"]


@pytest.fixture(scope="module")
def world():
    with searching.search_world() as found:
        yield found


@pytest.mark.allow_hosts(["127.0.0.1"])
class TestCatalogues:
    @pytest.mark.parametrize("provider", EVERYONE)
    def test_items_may_come_in_any_order(self, world, provider, monkeypatch):
        without_proxies(monkeypatch)
        asked = query_of(searching.HOME, max_tile_cloud=1.0)
        usual = open_any(world, provider).search(asked)
        assert len(usual) == len(searching.DAYS)
        for seed in range(3):
            answer_in_any_order(monkeypatch, seed)
            assert [one.to_dict() for one in open_any(world, provider).search(asked)] == [
                one.to_dict() for one in usual
            ]


class Twins(SimulatedProvider):
    """Says that scenes of three names were taken at one time, in any order."""

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)

    def search(self, query):
        found = [replace(one, id=f"{one.id}-{name}") for one in super().search(query)[:2] for name in "abc"]
        return self.random.sample(found, len(found))


def test_scenes_of_one_time_are_named_and_taken_in_the_same_order():
    span, names = parse_period("2021"), []
    for seed in range(5):
        twins = Twins(seed)
        scenes = search_span(SITE, span, twins)
        looks = clearest(SITE, scenes[::-1], 4, TrackedProvider(twins, Silent()), Silent())
        names.append([[one.id for one in scenes], [one.scene.id for one in looks]])
    assert names[0][0] == sorted(names[0][0]) and len(names[0][0]) >= 6
    assert names[0][1] == names[0][0][:4]
    assert all(one == names[0] for one in names)


class TestSites:
    def test_a_list_that_is_watched_may_stand_in_any_order(self, tmp_path):
        sites = tuple(replace(SITE, name=name, folder=name[:1]) for name in ("Pier", "Quay"))
        span = WatchSpan(SINCE, datetime(2023, 7, 1, tzinfo=UTC))
        states = []
        for name, listed in (("usual", sites), ("backwards", sites[::-1])):
            request = WatchRequest(tmp_path / f"{name}.gpkg", tmp_path / name, span, RULES)
            provider = TrackedProvider(SimulatedProvider((built(),), step_days=20), Silent())
            assert not run_watch(listed, request, provider, Silent()).failures
            states.append(facts(request.state))
        assert states[0]["Q/Quay"]["alerts"] and states[0] == states[1]
