"""One after the other, in threads: every item once, steps heard, an end when nobody wants more."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.blocks import thread_count
from changedet.errors import UsageError
from changedet.progress import Received, Silent
from changedet.scale.executors import AHEAD, Room, Serial, Threads, in_order, open_executor


class Heard:
    """Keeps what it is told."""

    def __init__(self):
        self.steps, self.shares, self.states = [], [], []

    def step(self, name):
        self.steps.append(name)

    def advance(self, share):
        self.shares.append(share)

    def received(self, state):
        self.states.append(state)


def squared(item, progress):
    progress.step(f"squaring {item}")
    progress.advance(0.5)
    return item**2


def silent(_item):
    return Silent()


def noting(taken, count):
    """So many items, each noted when it is taken."""
    for item in range(count):
        taken.append(item)
        yield item


@pytest.mark.parametrize("executor", [Serial(), Threads(1), Threads(3)])
def test_every_item_is_worked_on_once_and_its_steps_are_heard(executor):
    heard = {item: Heard() for item in range(7)}
    found = dict(executor.run(squared, range(7), heard.__getitem__))
    assert found == {item: item**2 for item in range(7)}
    assert all(one.steps == [f"squaring {item}"] for item, one in heard.items())
    assert all(one.shares == [0.5] for one in heard.values())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(), max_size=12), st.integers(1, 5), st.data())
def test_room_hands_out_everything_in_order_and_never_too_much(items, most, data):
    room, out, under_way = Room(items, most), [], 0
    while len(out) < len(items):
        given_out = room.fill(under_way)
        out += given_out
        under_way += len(given_out)
        assert under_way <= most
        under_way -= data.draw(st.integers(min(1, under_way), under_way))
    assert out == items
    assert room.fill(0) == []


def test_threads_work_at_the_same_time_and_share_the_processors():
    meeting = threading.Barrier(2, timeout=20)

    def _meet(_item, _progress):
        meeting.wait()
        return thread_count()

    found = dict(Threads(2, processors=3).run(_meet, "ab", silent))
    assert found == {"a": 3, "b": 3}


def test_items_are_taken_only_when_there_is_room():
    taken = []
    ended = Threads(2).run(squared, noting(taken, 9), silent)
    next(ended)
    assert len(taken) <= 4
    ended.close()
    assert len(taken) <= 4


def test_what_nobody_wants_any_more_ends_at_its_next_step():
    begun, ends = threading.Event(), []

    def _endless(item, progress):
        if item == 0:
            begun.wait(20)
            return "first"
        try:
            begun.set()
            while True:
                progress.step("going on")
                time.sleep(0.001)
        except KeyboardInterrupt:
            ends.append(item)
            raise

    ended = Threads(2).run(_endless, range(2), silent)
    assert next(ended) == (0, "first")
    ended.close()
    assert ends == [1]


def test_an_error_of_the_work_is_raised_and_ends_the_others():
    def _fail(item, _progress):
        if item == 1:
            raise ZeroDivisionError("by zero")
        return item

    with pytest.raises(ZeroDivisionError):
        list(Threads(2).run(_fail, range(50), silent))


def test_bytes_that_came_in_are_heard_where_somebody_listens():
    state = Received(1, 2, 10, 20)

    class Deaf:
        def step(self, name): ...

        def advance(self, share): ...

    def _receive(item, progress):
        progress.received(state)
        return item

    heard = Heard()
    list(Threads(1).run(_receive, "a", lambda _: heard))
    list(Threads(1).run(_receive, "a", lambda _: Deaf()))
    assert heard.states == [state]


@pytest.mark.parametrize(("scheduler", "jobs", "at_once"), [("local", None, 1), ("threads", 3, 3)])
def test_what_is_opened_by_its_name(scheduler, jobs, at_once):
    with open_executor(scheduler, jobs) as executor:
        assert executor.at_once == at_once
        assert dict(executor.run(squared, [4], silent)) == {4: 16}


@pytest.mark.parametrize(
    ("scheduler", "jobs", "said"),
    [
        ("slurm", None, "there is no scheduler 'slurm'; choose local, threads, processes or an address"),
        ("local", 2, "--jobs says nothing with --scheduler local; choose --scheduler threads or processes"),
        ("tcp://127.0.0.1:1", 2, "--jobs says nothing with --scheduler tcp://127.0.0.1:1"),
    ],
)
def test_what_was_meant_must_be_clear(scheduler, jobs, said):
    with pytest.raises(UsageError, match="scheduler") as caught:
        open_executor(scheduler, jobs)
    assert str(caught.value).startswith(said)


class Anyhow:
    """Has some items at work at one time, any of which ends first."""

    def __init__(self, at_once, choose):
        self.at_once, self._choose = at_once, choose

    def run(self, work, items, hear):
        room, under_way = Room(items, 2 * self.at_once), []
        while True:
            under_way += room.fill(len(under_way))
            if not under_way:
                return
            item = under_way.pop(self._choose(len(under_way)))
            yield item, work(item, hear(item))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 25), st.integers(1, 4), st.data())
def test_results_come_in_order_and_few_wait_for_their_turn(count, at_once, data):
    executor = Anyhow(at_once, lambda most: data.draw(st.integers(0, most - 1)))
    items, given_out, ended = [[number] for number in range(count)], [], []

    def _items():
        for item in items:
            given_out.append(item)
            assert len(given_out) - len(ended) <= at_once + AHEAD
            yield item

    for item, kept in in_order(executor, lambda i, _: i[0] ** 2, _items(), silent, lambda i, r: (i, r)):
        ended.append(item)
        assert kept == (item, item[0] ** 2)
    assert ended == items


@pytest.mark.parametrize("executor", [Serial(), Threads(3)])
def test_every_executor_gives_in_order(executor):
    pauses = [0.05, 0.0, 0.01, 0.0, 0.02, 0.0, 0.0]

    def _wait(item, _progress):
        time.sleep(pauses[item])
        return -item

    found = list(in_order(executor, _wait, range(7), silent, lambda _, result: result))
    assert found == [(item, -item) for item in range(7)]


def test_who_closes_what_comes_in_order_stops_the_rest():
    taken = []
    ended = in_order(Threads(2), squared, noting(taken, 50), silent, lambda _, result: result)
    assert next(ended) == (0, 0)
    ended.close()
    assert len(taken) <= 2 + AHEAD
