"""Workers of Dask: what they make, say and lose; what travels to them."""

import json
import logging
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("distributed")
from distributed import Client, LocalCluster

from changedet.errors import ProviderError, UsageError
from changedet.progress import Received, Silent
from changedet.scale import cluster
from changedet.scale.cluster import Cluster, open_cluster
from changedet.scale.executors import open_executor

pytestmark = [
    # Dask asks the system which way it would go to 8.8.8.8, and sends nothing there
    pytest.mark.allow_hosts(["127.0.0.1", "8.8.8.8"]),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def workers(count=2):
    """A scheduler with workers of one thread each, all in this process."""
    with LocalCluster(
        n_workers=count, threads_per_worker=1, processes=False, dashboard_address=":0", memory_limit=0,
        silence_logs="CRITICAL", protocol="inproc://",
    ) as found:  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def two():
    with workers() as found, Client(found, set_as_default=False) as client:
        yield Cluster(client)


class Heard:
    def __init__(self):
        self.steps, self.states = [], []

    def step(self, name):
        self.steps.append(name)

    def advance(self, share): ...

    def received(self, state):
        self.states.append(state)


def talks(item, progress):
    progress.step(f"squaring {item}")
    progress.received(Received(1, 2, item, 20))
    logging.getLogger("changedet.providers.test").warning("the service asks to wait for %s", item)
    time.sleep(0.05)
    return item**2


def fails(item, _progress):
    raise ZeroDivisionError(f"{item} by zero")


def silent(_item):
    return Silent()


def test_every_item_once_and_steps_come_back(two):
    assert two.at_once == 2
    heard = {item: Heard() for item in range(6)}
    assert dict(two.run(talks, range(6), heard.__getitem__)) == {item: item**2 for item in range(6)}
    said = [step for one in heard.values() for step in one.steps]
    # words on their way when the item ends are of no interest
    assert len(said) >= 3
    assert all(step == f"squaring {item}" for item, one in heard.items() for step in one.steps)
    assert all(one.states in ([], [Received(1, 2, item, 20)]) for item, one in heard.items())


def test_an_error_that_is_not_of_an_item_is_raised(two):
    with pytest.raises(ZeroDivisionError, match="by zero"):
        list(two.run(fails, [1], silent))


def test_closing_calls_off_what_waits(two):
    taken = []

    def _items():
        for item in range(50):
            taken.append(item)
            yield item

    ended = two.run(talks, _items(), silent)
    next(ended)
    ended.close()
    assert len(taken) <= 8


def test_a_killed_worker_changes_nothing_but_time(tmp_path):
    # in a process of its own: what is started anew must not meet the filters of warnings of these tests
    command = [sys.executable, "-m", "tests.scale.killed_worker", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert found["died"]
    assert sorted(number for number, _ in found["results"]) == [0, 1, 2, 3, 4]
    assert all(pid != found["own"] for _, pid in found["results"])
    assert found["lost"].startswith("its worker died again and again")
    assert done.stderr == ""


def test_nobody_at_an_address_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    with (
        pytest.raises(ProviderError, match=r"no Dask scheduler with a worker answers.*check the address"),
        open_executor("tcp://127.0.0.1:1"),
    ):
        pass
    with pytest.raises(UsageError, match="not an address of a scheduler"), open_cluster("carrier://x", 1):
        pass


def test_workers_with_another_version_are_refused(two, monkeypatch):
    said = iter(["0.0.1", "9.9"])
    monkeypatch.setattr(cluster, "_installed", lambda: next(said, "9.9"))
    with pytest.raises(UsageError, match=r"the workers have changedet 9\.9, and here is 0\.0\.1; install"):
        cluster._require_same(two.client)
