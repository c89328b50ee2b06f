"""Planning and fetching radar through real clients, against archives on this machine."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.providers.remote_world import provider_of
from tests.radar_world import AFTER, BEFORE, both_periods, radar_passes
from tests.world.faults import answers
from tests.world.granules import quick_scene, whole
from tests.world.world import Options, World, without_proxies

from changedet.errors import InputFileError, NoUsableImageryError, ProviderError, UsageError
from changedet.periods import parse_period
from changedet.progress import Silent
from changedet.providers.cache import SceneCache
from changedet.providers.cached import CachedProvider
from changedet.providers.sentinel_hub import SentinelHubOptions, SentinelHubProvider
from changedet.providers.sentinel_hub_client import Credentials
from changedet.providers.settings import ProviderSettings
from changedet.radar import access as radar_access
from changedet.radar.access import RadarTask, load_passes, make_radar_plan
from changedet.radar.types import RadarSettings, Track
from changedet.site import Site

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

PERIODS = parse_period("2021-05/2021-07"), parse_period("2023-05/2023-07")
GROUND = quick_scene(size_px=128)
GRID = GROUND.grid[20:-20, 20:-20]
SITE = Site("middle", GRID.pad(-8, -8).extent.to_crs("EPSG:4326").geom)
ASCENDING = {"orbit": 54, "orbit_state": "ascending", "minutes": 700}
#: Two tracks, a third in one period only, another satellite, and a pass that shows a part.
SCENES = (
    *both_periods(GROUND, (4, 3), built=None),
    *both_periods(GROUND, (3, 2), built=None, **ASCENDING),
    *radar_passes(GROUND, AFTER + timedelta(minutes=90), 2, orbit=31),
    *radar_passes(GROUND, AFTER + timedelta(days=6), 2, unit="C", shift_px=(1, 2)),
)


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    without_proxies(monkeypatch)
    monkeypatch.delenv("SH_PROFILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def running():
    part = whole(radar_passes(GROUND, BEFORE + timedelta(days=4), 1)[0], covers=(0.0, 1.0, 0.0, 0.5))
    with World([GROUND, *SCENES, part], options=Options(granule_px=192)) as found:
        yield found


@pytest.fixture
def world(running):
    yield running
    running.clear_faults()


@pytest.fixture
def planetary(world):
    return provider_of(world, "planetary-computer", retry_delay_s=0.01, max_retries=1)


@pytest.fixture
def hub(world):
    service = world.sentinel_hub_service
    credentials = Credentials(service.client_id, service.client_secret)
    return SentinelHubProvider(
        ProviderSettings(url=world.sentinel_hub, retry_delay_s=0.01, max_retries=0),
        SentinelHubOptions(credentials=credentials),
    )


def planned(provider, **settings):
    return make_radar_plan(SITE, PERIODS, provider, Silent(), RadarSettings(**settings))


def counts(plan):
    return {one.track: (len(one.before), len(one.after)) for one in plan.tracks}


def test_tracks_are_found_and_the_one_of_one_period_is_left_out(planetary, world):
    world.reset_log()
    plan = planned(planetary)
    # the pass that shows a part comes on another day of the cycle, and is used with gaps
    assert counts(plan) == {Track("descending", 127): (5, 5), Track("ascending", 54): (3, 2)}
    assert "Radar left out: descending 31, with 0 pass(es) before and 2 after" in plan.sentences[-1]
    assert "by Sentinel-1A and Sentinel-1C" in plan.sentences[0]
    assert plan.last_date_text == "2023-05-27"
    assert not world.requests("*.tiff")


def test_both_providers_find_and_give_the_same(planetary, hub):
    plans = planned(planetary), planned(hub)
    assert counts(plans[0]) == counts(plans[1])
    loaded = [
        load_passes(plan, one, GRID, Silent()) for plan, one in zip(plans, (planetary, hub), strict=True)
    ]
    for first, second in zip(loaded[0].passes, loaded[1].passes, strict=True):
        assert first.track == second.track
        for one, other in zip((*first.before, *first.after), (*second.before, *second.after), strict=True):
            assert one.scene.date_text == other.scene.date_text
            assert one.scene.platform == other.scene.platform
            np.testing.assert_array_equal(one.valid, other.valid)
            np.testing.assert_allclose(one.data, other.data, rtol=1e-5)


def test_all_lie_on_one_grid_and_a_part_has_gaps(planetary):
    (first, second) = load_passes(planned(planetary), planetary, GRID, Silent()).passes
    images = (*first.before, *first.after, *second.before, *second.after)
    assert {image.grid for image in images} == {GRID}
    assert {image.bands for image in images} == {("VV", "VH")}
    shares = [image.valid.mean() for image in first.before]
    assert sorted(shares)[0] == pytest.approx(0.5, abs=0.02)
    assert sorted(shares)[1] == 1


def test_fewer_passes_are_taken_when_that_is_asked_for(planetary):
    plan = planned(planetary, most_dates=3)
    assert set(counts(plan).values()) == {(3, 3), (3, 2)}
    assert "3 of 5 passes before" in plan.sentences[0]
    assert all(scene.coverage == 1 for scene in plan.tracks[0].before)


def test_what_was_fetched_is_not_fetched_again(planetary, world, tmp_path):
    cached = CachedProvider(planetary, SceneCache(tmp_path / "cache"))
    plan = planned(cached)
    first = load_passes(plan, cached, GRID, Silent())
    world.reset_log()
    second = load_passes(plan, cached, GRID, Silent())
    assert not world.requests("*.tiff")
    for one, other in zip(first.passes[0].before, second.passes[0].before, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_progress_is_told(planetary):
    class _Listener:
        def __init__(self):
            self.steps, self.shares = [], []

        def step(self, name):
            self.steps.append(name)

        def advance(self, share):
            self.shares.append(share)

    heard = _Listener()
    plan = make_radar_plan(SITE, PERIODS, planetary, heard)
    load_passes(plan, planetary, GRID, heard)
    assert heard.steps == [
        "searching the before period for radar", "searching the after period for radar",
        "fetching 15 radar passes",
    ]  # fmt: skip
    assert heard.shares[-1] == 1.0
    assert heard.shares == sorted(heard.shares)


def test_a_provider_without_radar_is_refused(world):
    with pytest.raises(UsageError, match="it has no Sentinel-1; choose planetary-computer"):
        planned(provider_of(world, "earth-search"))


def test_a_period_without_passes_is_an_error(planetary):
    periods = parse_period("2019-05"), PERIODS[1]
    with pytest.raises(
        NoUsableImageryError, match="no radar pass covers any of the site in the before period"
    ):
        make_radar_plan(SITE, periods, planetary, Silent())


def spoil(world, scene):
    world.add_faults(answers(f"*{scene.id.removesuffix('_rtc')}*", 404))


def test_a_pass_that_is_gone_is_left_out_and_named(planetary, world):
    plan = planned(planetary)
    gone = plan.tracks[0].after[1]
    spoil(world, gone)
    loaded = load_passes(plan, planetary, GRID, Silent())
    assert gone.id not in {image.scene.id for image in loaded.passes[0].after}
    assert len(loaded.passes[0].after) == 4
    (note,) = loaded.notes
    assert note.startswith(f"radar pass {gone.id} was left out: ")


def test_a_track_that_loses_a_period_is_left_out(planetary, world):
    plan = planned(planetary)
    for scene in plan.tracks[1].after:
        spoil(world, scene)
    loaded = load_passes(plan, planetary, GRID, Silent())
    assert [one.track.relative_orbit for one in loaded.passes] == [127]
    assert "radar of ascending 54 was left out: a period has no pass that can be read" in loaded.notes


def test_when_many_are_gone_it_is_the_service(planetary, world):
    plan = planned(planetary)
    world.add_faults(answers("*.tiff", 404))
    with pytest.raises(ProviderError, match="404"):
        load_passes(plan, planetary, GRID, Silent())


def test_a_service_that_fails_for_now_ends_the_work(planetary, world):
    plan = planned(planetary)
    world.add_faults(answers(f"*{plan.tracks[0].after[1].id.removesuffix('_rtc')}*", 503))
    with pytest.raises(ProviderError):
        load_passes(plan, planetary, GRID, Silent())


def test_a_service_that_renders_and_fails_for_now_ends_the_work(hub, world):
    plan = planned(hub)
    world.add_faults(answers("*/process", 503).first(3))
    # fewer passes than would speak against the service as a whole
    with pytest.raises(ProviderError, match="503") as caught:
        load_passes(plan, hub, GRID, Silent())
    assert caught.value.details["passing"]


def test_too_much_for_the_machine_is_refused_before_anything_is_fetched(planetary, world, monkeypatch):
    plan = planned(planetary)
    world.reset_log()
    monkeypatch.setattr("changedet.scale.memory.memory_of_machine_bytes", lambda: 1e5)
    with pytest.raises(UsageError, match="of memory, this machine has"):
        load_passes(plan, planetary, GRID, Silent())
    assert not world.requests("*.tiff")


def test_a_task_comes_back_from_the_record_of_its_run(planetary, world):
    plan = planned(planetary)
    gone = plan.tracks[0].after[1]
    spoil(world, gone)
    taken = RadarTask(plan, planetary, RadarSettings(most_dates=9)).load(GRID, Silent())
    assert len(taken.load(GRID)[0].after) == 4
    again = RadarTask.from_dict(taken.inputs, SITE, {"planetary-computer": planetary}.__getitem__)
    assert again.settings.most_dates == 9
    repeated = again.load(GRID, Silent())
    assert repeated.notes == taken.notes
    assert repeated.inputs == taken.inputs
    np.testing.assert_array_equal(repeated.load(GRID)[1].after[0].data, taken.load(GRID)[1].after[0].data)
    # another grid is another load
    assert taken.load(GRID[4:-4, 4:-4])[0].before[0].grid == GRID[4:-4, 4:-4]


def test_a_repetition_does_without_no_pass(planetary, world):
    taken = RadarTask(planned(planetary), planetary).load(GRID, Silent())
    # another program, which has nothing in memory
    fresh = provider_of(world, "planetary-computer")
    again = RadarTask.from_dict(taken.inputs, SITE, {"planetary-computer": fresh}.__getitem__)
    spoil(world, again.plan.tracks[0].before[0])
    with pytest.raises(InputFileError, match="was left out: ") as caught:
        again.load(GRID, Silent())
    assert str(caught.value).endswith("; run it anew: the archive has changed")


def test_polarisations_that_not_all_have_are_left_out(planetary):
    plan = planned(planetary)
    track = plan.tracks[1]
    first = track.before[0]
    granules = tuple(replace(one, assets={"VV": one.assets["VV"]}) for one in first.granules)
    single = replace(first, assets={"VV": first.assets["VV"]}, granules=granules)
    plan = replace(plan, tracks=(replace(track, before=(single, *track.before[1:])),))
    (passes,) = load_passes(plan, planetary, GRID, Silent()).passes
    assert {image.bands for image in (*passes.before, *passes.after)} == {("VV",)}


def test_radar_alone_hands_over_what_was_loaded(planetary, monkeypatch):
    handed = {}

    def _compare(radar, inputs, *, grid, site, settings, reason, progress):
        handed.update(inputs=inputs, notes=radar.notes, grid=grid)
        return "result"

    monkeypatch.setattr(radar_access, "compare_radar_passes", _compare)
    monkeypatch.setattr(radar_access, "surroundings", lambda grid: GRID)
    task = RadarTask(planned(planetary), planetary, notes=("earlier",))
    assert radar_access.compare_radar(task, progress=Silent()) == "result"
    assert handed["inputs"]["sensor"] == "s1"
    assert handed["inputs"]["reason"] == " ".join(task.plan.sentences)
    assert handed["notes"] == ("earlier",)
    assert handed["grid"] == GRID
