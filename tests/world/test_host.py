"""The process of the worlds: what travels, what is handed back, and how it ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from tests.world.faults import breaks
from tests.world.host import _ROOT, Host, HostError, host
from tests.world.store import Shelf
from tests.world.world import World


def test_the_servers_run_in_a_process_of_their_own(days):
    with World(days) as one, World(days) as other:
        numbers = {world._host._process.pid for world in (one, other)}
        assert len(numbers) == 1
        assert os.getpid() not in numbers
        assert one.url != other.url


def test_attributes_are_read_called_and_set_over_there(world):
    service = world.sentinel_hub_service
    assert service.client_id == "world-client"
    service.token_life_s = 7
    assert service.token_life_s == 7
    assert service.revoke() is None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = service.nonsense


def test_what_cannot_travel_is_named_and_breaks_nothing(world):
    with pytest.raises(HostError, match="cannot travel to the process of the worlds"):
        world.signatures.life_s = lambda: None
    assert requests.get(world.earth_search, timeout=10).status_code == 200


def test_an_error_over_there_says_where(world):
    with pytest.raises(KeyError, match="nowhere") as caught:
        world.items("nowhere")
    assert any("service.py" in note for note in caught.value.__notes__)


def test_items_are_served_as_the_test_left_them(world):
    item = world.items("stac")[0]
    assert world.items("stac")[0] is item
    item["properties"]["platform"] = "another"
    (home,) = [link["href"] for link in item["links"] if link["rel"] == "self"]
    assert requests.get(home, timeout=10).json()["properties"]["platform"] != "another"
    world.publish("stac")
    assert requests.get(home, timeout=10).json()["properties"]["platform"] == "another"


def test_what_a_closed_world_saw_can_be_read(days):
    with World(days) as world:
        requests.get(f"{world.url}/elsewhere", timeout=10)
    assert [entry.status for entry in world.requests()] == [404]
    assert world.close() == ()


def test_a_failing_test_is_not_hidden_by_a_failing_server(days):
    def spoil():
        with World(days, [breaks("/x")]) as world:
            with pytest.raises(requests.ConnectionError):
                requests.get(f"{world.url}/x", timeout=10)
            raise LookupError

    with pytest.raises(LookupError):
        spoil()


def test_a_process_that_died_is_replaced():
    line = Host()
    line._process.kill()
    line._process.wait()
    with pytest.raises(HostError, match="is gone"):
        line.ask("close_all")
    assert not line.alive
    line.close()
    assert host().alive


def test_a_process_that_gives_no_answer_is_ended():
    line = Host(patience_s=0.0)
    with pytest.raises(HostError, match="gave no answer within 0 s"):
        line.ask("close_all")
    assert not line.alive
    line.close()


_DIES = """
import os, sys
from tests.world.granules import quick_scene
from tests.world.world import World
world = World([quick_scene()])
print(world._host._process.pid, world.store.folder, flush=True)
os._exit(3)
"""


def test_nothing_is_left_when_the_tests_are_killed():
    ended = subprocess.run(
        [sys.executable, "-c", _DIES], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 3, ended.stderr
    number, folder = ended.stdout.split()
    until = time.monotonic() + 10
    while _runs(int(number)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(int(number))
    assert not Path(folder).exists()


def _runs(number):
    try:
        os.kill(number, 0)
        status = Path(f"/proc/{number}/stat")
        # an orphan that has ended may wait for the one who reaps it
        return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_shelf_makes_a_file_once_and_forgets_the_oldest():
    made, shelf = [], Shelf(most_bytes=25)

    def file(key):
        return shelf.get(key, lambda: made.append(key) or key.encode() * 10)

    assert file("a") == file("a") == b"a" * 10
    assert made == ["a"]
    for key in "bac":
        file(key)
    assert made == ["a", "b", "c"]
    file("a")
    file("b")
    assert made == ["a", "b", "c", "b"]
