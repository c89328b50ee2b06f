"""These tests talk to servers on 127.0.0.1 and to nothing else."""

from datetime import date

import pytest
from tests.world.granules import quick_scene
from tests.world.world import World, without_proxies


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture(scope="session")
def days():
    """Three scenes, one before the change of the offset."""
    return (
        quick_scene(date(2021, 5, 21), baseline="03.00"),
        quick_scene(date(2023, 5, 16)),
        quick_scene(date(2023, 5, 21), seed=3),
    )


@pytest.fixture
def world(days):
    with World(days) as found:
        yield found
