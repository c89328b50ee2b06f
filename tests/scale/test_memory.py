"""A comparison that the machine cannot hold is refused before it starts."""

import pytest
from odc.geo.geobox import GeoBox

from changedet.errors import UsageError
from changedet.scale import memory
from changedet.scale.memory import comparison_bytes, require_memory

FULL_TILE = GeoBox.from_bbox((300000, 0, 409800, 109800), "EPSG:32633", resolution=10, tight=True)
SITE = GeoBox.from_bbox((300000, 0, 305000, 5000), "EPSG:32633", resolution=10, tight=True)


@pytest.fixture
def machine(monkeypatch):
    """Let the machine have so much memory."""
    return lambda size: monkeypatch.setattr(memory, "memory_of_machine_bytes", lambda: size)


def test_a_full_tile_is_too_much_for_sixteen_gigabytes(machine):
    machine(16e9)
    with pytest.raises(UsageError) as caught:
        require_memory(FULL_TILE, 13)
    assert str(caught.value) == (
        "121 megapixels with 13 bands need about 56 GB of memory, this machine has 16 GB; "
        "restrict the comparison with --at and --radius, or with --bbox"
    )


def test_on_disk_a_full_tile_fits_a_laptop_and_not_everything_else(machine):
    machine(2e9)
    require_memory(FULL_TILE, 13, on_disk=True)
    machine(1e9)
    with pytest.raises(UsageError, match="need about 1 GB of memory"):
        require_memory(FULL_TILE, 13, on_disk=True)


def test_a_site_fits_a_laptop(machine):
    machine(4e9)
    require_memory(SITE, 13)


def test_a_system_that_does_not_say_refuses_nothing(machine):
    machine(float("inf"))
    require_memory(FULL_TILE, 1000)


def test_the_machine_itself_is_asked():
    require_memory(SITE, 13)


def test_more_bands_need_more_memory(machine):
    machine(64e9)
    require_memory(FULL_TILE, 4)
    assert comparison_bytes(FULL_TILE, 8) == 2 * comparison_bytes(FULL_TILE, 4)
    with pytest.raises(UsageError):
        require_memory(FULL_TILE, 13)
