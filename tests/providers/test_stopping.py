"""Work in other threads learns that nobody waits for it any longer."""

import threading
import time

import pytest
from tests.providers.remote_world import provider_of, query_of, small_world, three_days
from tests.world.faults import answers

from changedet.errors import ProviderError
from changedet.providers.stopping import StopGroup, stop_event


def test_without_a_group_the_end_of_the_block_stops():
    with stop_event() as stop:
        assert not stop.is_set()
    assert stop.is_set()


def test_a_group_stops_what_is_under_way_and_what_begins_later():
    group, other = StopGroup(), StopGroup()
    with group.member(), stop_event() as first, stop_event() as second:
        with other.member(), stop_event() as foreign:
            group.stop()
            assert first.is_set()
            assert second.is_set()
            assert not foreign.is_set()
        with stop_event() as late:
            assert late.is_set()


def test_what_has_ended_and_other_threads_do_not_belong_to_it():
    group, found = StopGroup(), []

    def _elsewhere():
        with stop_event() as stop:
            group.stop()
            found.append(stop.is_set())

    with group.member():
        with stop_event():
            pass
        thread = threading.Thread(target=_elsewhere)
        thread.start()
        thread.join()
    assert found == [False]


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_reading_that_waits_for_its_next_attempt_ends_with_its_group():
    days, group = three_days(), StopGroup()
    with small_world(days) as world:
        provider = provider_of(world, "earth-search", retry_delay_s=30.0)
        (scene, *_) = provider.search(query_of(days[0]))
        world.add_faults(answers("*.tif", 503))
        started_s = time.monotonic()
        timer = threading.Timer(0.3, group.stop)
        timer.start()
        with group.member(), pytest.raises(ProviderError):
            provider.classes(scene, days[0].grid)
        timer.join()
        assert time.monotonic() - started_s < 10
