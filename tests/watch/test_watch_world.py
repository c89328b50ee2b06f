"""A watch of a provider: real clients over sockets on this machine, simulated scenes behind them."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from pyproj import Transformer
from tests.world.granules import quick_scene
from tests.world.world import World, without_proxies

from changedet.cli import run as command
from changedet.timeline.access import SERIES_BANDS

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
FIRST, DATES, WATCHED, CHANGED, STEP_DAYS = date(2021, 5, 21), 24, 13, 15, 56
#: Rows and columns of the 10 m bands that become a roof, and numbers of roofs and meadows.
ROOF = slice(34, 42)
BUILT = {"B02": 3400, "B03": 3500, "B04": 3550, "B08": 3800, "B11": 3600, "B12": 3400}
GREEN = {"B02": 1300, "B03": 1600, "B04": 1400, "B08": 4200, "B11": 2600, "B12": 1800}


def scenes():
    made = []
    for number in range(DATES):
        scene = quick_scene(FIRST + timedelta(days=STEP_DAYS * number), bands=SERIES_BANDS)
        numbers = {}
        for name, plane in scene.numbers.items():
            step = 2 if name in ("B11", "B12") else 1
            part = slice(ROOF.start // step, ROOF.stop // step)
            numbers[name] = (plane // 20 + GREEN[name] - 60).astype(plane.dtype)
            if number >= CHANGED:
                numbers[name][part, part] = BUILT[name]
        classes = scene.classes.copy()
        if number == CHANGED + 2:
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


def test_a_list_is_watched_day_by_day_and_nothing_is_fetched_twice(
    world, made, workplace, capsys, monkeypatch
):
    monkeypatch.chdir(workplace)
    grid = made[0].grid
    middle = (ROOF.start + ROOF.stop) / 2
    x, y = grid.affine * (middle, middle)
    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    (workplace / "sites.csv").write_text(
        f'name,at,radius\nPier,"{lat:.6f}, {lon:.6f}",150m\n', encoding="utf-8"
    )
    days = [FIRST + timedelta(days=STEP_DAYS * number) for number in range(DATES)]
    # the texture of these scenes is noise, on which nothing can be registered
    line = [
        "watch",
        "--sites",
        "sites.csv",
        "--no-register",
        "--cache",
        "kept",
        "--since",
        str(days[WATCHED]),
    ]
    told = []
    for until in (days[WATCHED + 3], days[-1]):
        world.reset_log()
        assert command([*line, "--until", str(until), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        told += document["alerts"]
        fetched = len(world.requests("*.tif"))
    assert fetched > 0
    world.reset_log()
    assert command([*line, "--until", str(days[-1])]) == 0
    assert capsys.readouterr().out == "" and not world.requests("*.tif")
    (alert,) = told
    assert [alert["after_utc"][:10], alert["by_utc"][:10]] == [str(days[CHANGED - 1]), str(days[CHANGED])]
    assert alert["kind"] == "new construction" and alert["area_m2"] == pytest.approx(6400, rel=0.1)
    (site,) = document["sites"]
    assert site["silent_days"] < 2 and site["simulated"] is False
