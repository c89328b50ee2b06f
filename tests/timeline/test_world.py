"""A timeline from a provider: real clients over sockets on this machine, simulated scenes behind them."""

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from tests.world.granules import quick_scene
from tests.world.world import World, without_proxies

import changedet as cd
from changedet.cli import run as command
from changedet.errors import NoUsableImageryError
from changedet.investigation import AccessOptions
from changedet.timeline.access import SERIES_BANDS
from changedet.timeline.making import TimelineRequest, default_settings, make_timeline

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
FIRST, DATES, CHANGED, STEP_DAYS = date(2021, 5, 21), 14, 8, 50
#: Rows and columns of the 10 m bands that become a roof.
ROOF = slice(36, 42)


def scenes():
    made = []
    for number in range(DATES):
        scene = quick_scene(FIRST + timedelta(days=STEP_DAYS * number), bands=SERIES_BANDS)
        numbers = dict(scene.numbers)
        for name, plane in numbers.items() if number >= CHANGED else ():
            step = 2 if name in ("B11", "B12") else 1
            part = slice(ROOF.start // step, ROOF.stop // step)
            numbers[name] = plane.copy()
            numbers[name][part, part] = 4000 + (200 if name == "B02" else 0)
        classes = scene.classes.copy()
        if number in {4, 10}:
            classes[:] = 9
        made.append(replace(scene, numbers=numbers, classes=classes))
    return made


@pytest.fixture(scope="module")
def made():
    return scenes()


@pytest.fixture
def world(made, workplace, monkeypatch):
    without_proxies(monkeypatch)
    with World(made) as found:
        monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", found.earth_search)
        yield found


@pytest.fixture
def place(made):
    grid = made[0].grid
    x, y = grid.affine * ((ROOF.start + ROOF.stop) / 2, (ROOF.start + ROOF.stop) / 2)
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    return f"{lat:.6f}, {lon:.6f}"


def test_dates_of_a_provider_are_followed_and_fetched_once(world, place, workplace):
    site = cd.Site.at(place, radius_m=150, name="Pier")
    access = AccessOptions(cache=workplace / "kept")
    # the texture of these scenes is noise, on which nothing can be registered
    settings = default_settings(register=False)
    request = TimelineRequest("2021/2023", points=(place,), settings=settings, access=access)
    found = make_timeline(site, request)
    assert len(found.dates) == DATES - 2
    assert [one.reason for one in found.left_out] == ["cloud over nearly all of its tile; not looked at"] * 2
    (one,) = found.zones[-1].breaks
    days = [(FIRST + timedelta(days=STEP_DAYS * number)).isoformat() for number in (CHANGED - 1, CHANGED)]
    assert [one.after, one.by] == days
    assert one.built and one.dates_inside == DATES - CHANGED - 1
    assert found.parameters["provider"] == "earth-search"
    # offsets of both processing baselines lead to one scale
    assert abs(found.zones[-1].values[: CHANGED - 1, 1]).max() < 0.3
    world.reset_log()
    again = make_timeline(site, request)
    assert not world.requests("*.tif")
    np.testing.assert_array_equal(again.zones[-1].values, found.zones[-1].values)


def test_a_dry_run_fetches_nothing(world, place, workplace, capsys):
    line = ["timeline", "--at", place, "--radius", "150", "--during", "2021/2023", "--dry-run", "--json"]
    assert command([*line, "--cache", str(workplace / "kept")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["dates"]) + len(document["left_out"]) == DATES
    assert document["dry_run"] and document["estimate"]["requests"] > 0
    assert not world.requests("*.tif")


def test_a_span_without_scenes_is_said(world, place, workplace):
    site = cd.Site.at(place, radius_m=150)
    request = TimelineRequest("2018", access=AccessOptions(cache=workplace / "kept"))
    with pytest.raises(NoUsableImageryError, match=r"earth-search has no scene of .* in 2018"):
        make_timeline(site, request)
    asked = replace(request, during="2021/2023", min_clear=1.0)
    corner = cd.Site.at(place, radius_m=400)
    with pytest.raises(NoUsableImageryError, match="shows 100% of it"):
        make_timeline(corner, asked)
