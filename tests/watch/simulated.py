"""A small site that is seen every few days: a field, a yard, and what a test lets happen there."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from changedet.progress import Silent
from changedet.providers.base import Estimate
from changedet.providers.tracked import TrackedProvider
from changedet.scene import Image, Scene
from changedet.site import Site
from changedet.timeline.access import SERIES_BANDS
from changedet.watch.gathering import Place
from changedet.watch.holding import hold
from changedet.watch.looking import WatchSpan
from changedet.watch.monitor import watch_site
from changedet.watch.rules import WatchRules
from changedet.watch.state import open_state

SITE = Site.at("38.27033, 126.49796", radius_m=240, name="Pier")
RULES = WatchRules(register=False, history_days=730)
FIRST = datetime(2021, 1, 3, 2, 16, 1, tzinfo=UTC)
SINCE = datetime(2023, 1, 1, tzinfo=UTC)
GREEN = {"B02": 0.03, "B03": 0.06, "B04": 0.04, "B08": 0.30, "B11": 0.16, "B12": 0.08}
SOIL = {"B02": 0.09, "B03": 0.13, "B04": 0.18, "B08": 0.24, "B11": 0.30, "B12": 0.26}
BUILT = {"B02": 0.22, "B03": 0.24, "B04": 0.25, "B08": 0.27, "B11": 0.26, "B12": 0.24}
PAVED = {"B02": 0.11, "B03": 0.12, "B04": 0.13, "B08": 0.15, "B11": 0.15, "B12": 0.14}
CLOUD = {"B02": 0.6, "B03": 0.6, "B04": 0.6, "B08": 0.62, "B11": 0.4, "B12": 0.33}
SNOW = {"B02": 0.7, "B03": 0.7, "B04": 0.7, "B08": 0.65, "B11": 0.1, "B12": 0.07}
HALL, YARD, FIELD = (
    (slice(20, 27), slice(8, 17)),
    (slice(2, 14), slice(2, 14)),
    (slice(28, 44), slice(24, 44)),
)


@dataclass
class Happening:
    """What is different on some dates: ground, spectrum, classes, from when until when."""

    ground: tuple
    spectrum: dict
    when: object
    code: int = 4


@dataclass
class SimulatedProvider:
    """Searches, classifies and loads simulated dates of `SITE`; counts what it loads."""

    happenings: tuple = ()
    step_days: int = 10
    last: datetime = datetime(2024, 6, 1, tzinfo=UTC)
    cloudy: tuple = ()
    name: str = "simulated"
    info: object = None
    loads: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    searches: list = field(default_factory=list)

    def scenes(self):
        count = int((self.last - FIRST).days // self.step_days) + 1
        return [self._scene(number) for number in range(count)]

    def _scene(self, number):
        when = FIRST + timedelta(days=self.step_days * number)
        return Scene(f"date-{number:03d}", self.name, "L2A", "Sentinel-2A", when, simulated=True)

    def search(self, query):
        self.searches.append((query.start, query.end))
        return [scene for scene in self.scenes() if query.start <= scene.time <= query.end]

    def classes(self, scene, grid):
        code = 9 if scene.time.date() in self.cloudy else 4
        return np.full(tuple(grid.shape), code, np.uint8)

    def estimate(self, scene, grid, bands):
        return Estimate()

    def load(self, scene, grid, bands=SERIES_BANDS, **_more):
        self.loads.append(scene.id)
        if scene.id in self.faults:
            raise self.faults[scene.id]
        rng = np.random.default_rng(int(scene.id[-3:]))
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (scene.time.timetuple().tm_yday - 200) / 365.25)
        here, texture = _inside(grid), _texture(tuple(grid.shape))
        data = np.empty((len(bands), *texture.shape), np.float32)
        classes = np.full(texture.shape, 4, np.uint8)
        for plane, name in zip(data, bands, strict=True):
            np.multiply(texture, GREEN[name] * (0.8 + 0.4 * wave * (name == "B08")), out=plane)
            ground = plane[here]
            ground[YARD] = PAVED[name] * texture[here][YARD]
            for one in (one for one in self.happenings if one.when(scene.time)):
                ground[one.ground] = one.spectrum[name]
                classes[here][one.ground] = one.code
            ground *= 1 + 0.02 * rng.standard_normal(ground.shape, np.float32)
        return Image(data, tuple(bands), classes == 4, classes, grid, scene, "SCL")


def _inside(grid):
    """Rows and columns of the site in a grid that holds it."""
    inner = _grid()
    start = (
        round((grid.transform.f - inner.transform.f) / 10),
        round((inner.transform.c - grid.transform.c) / 10),
    )
    return tuple(slice(o, o + n) for o, n in zip(start, inner.shape, strict=True))


@cache
def _grid():
    return SITE.grid


@cache
def _texture(shape):
    return np.random.default_rng(9).uniform(0.9, 1.1, shape).astype(np.float32)


def built(since=datetime(2023, 4, 1, tzinfo=UTC)):
    return Happening(HALL, BUILT, lambda time: time >= since)


def place_of(provider, rules=RULES, site=SITE):
    return Place(site, TrackedProvider(provider, Silent()), rules, Silent())


def watch(path: Path, provider, until: datetime, *, since=SINCE, rules=RULES):
    with hold(path, wait_s=1), open_state(path, write=True) as state:
        return watch_site(state, place_of(provider, rules), WatchSpan(since, until))
