"""Made-up sites that are watched date by date, as `changedet watch` does, with what really happens there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from affine import Affine
from benchmarks.made_up_ground import (
    BANDS,
    CLOUD,
    DECOYS,
    FIELDS,
    OPEN_COVERS,
    PAVED,
    YEAR,
    Site,
    construction,
    decoy,
    maintenance,
)
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask

from changedet.core.components import label_components
from changedet.core.index_alarms import combine_alarms
from changedet.scene import Image, Scene
from changedet.timeline.kinds_in_time import TimeKind
from changedet.watch.baselines import Ground, learn, take
from changedet.watch.candidates import ASIDE, PERSISTING, find_candidates
from changedet.watch.early import gather_alarms
from changedet.watch.rules import WatchRules

START = datetime(2021, 1, 1, 2, tzinfo=UTC)
HISTORY_DAYS = 2 * YEAR
BUILDING = frozenset({TimeKind.CONSTRUCTION, TimeKind.ROAD})
#: Sites without events are looked at after so many dates.
EVERY = 3
#: Candidates of 4 pixels and less are asked for, since that is what the figures are about.
RULES = WatchRules(register=False, min_area_m2=350)


class WatchedSite:
    """Ground, dates and events of a square site; images are made when asked for."""

    def __init__(self, seed, size=72, events=True, years=3.0):
        self.rng, self.size = np.random.default_rng(seed), size
        days = np.arange(0.0, years * YEAR, 5.0)
        clear = self.rng.random(len(days)) >= self.rng.uniform(0.3, 0.6)
        self.site = Site(self.rng, days[clear])
        self.days = self.site.days
        self.grid = GeoBox((size, size), Affine(10, 0, 300000, 0, -10, 4200000), "EPSG:32652")
        self.units, self.covers = self._fields()
        self.surfaces = np.stack([self.site.cover(name) for name in self.covers])
        self.texture = np.exp(self.rng.normal(0, 0.05, (size, size)))
        self.painted = self._events() if events else []

    def _fields(self):
        """Strips of fields, woods and paved lots."""
        units, covers = np.zeros((self.size, self.size), int), []
        rows = np.cumsum(self.rng.integers(9, 17, self.size // 8))
        for start, stop in zip(
            [0, *rows[rows < self.size]], [*rows[rows < self.size], self.size], strict=True
        ):
            at = 0
            while at < self.size:
                wide = int(self.rng.integers(9, 20))
                units[start:stop, at : at + wide] = len(covers)
                pick = self.rng.random()
                names = OPEN_COVERS if pick < 0.7 else PAVED if pick < 0.95 else ("water",)
                covers.append(str(self.rng.choice(names)))
                at += wide
        return units, covers

    def _events(self):
        start, end = HISTORY_DAYS + 40, self.days[-1] - 80
        found, taken = [], np.zeros((self.size, self.size), bool)
        wanted = ["construction"] * 3 + ["maintenance"] * 3 + ["decoy"] * 4
        for truth in wanted:
            day = self.rng.uniform(start, end)
            for _ in range(60):
                made = self._placed(truth, day)
                if made is not None and not (taken & (made[1] > 0)).any():
                    found.append(made)
                    # things do not touch
                    taken |= _grown(made[1] > 0, 3)
                    break
        return found

    def _placed(self, truth, day):
        """An event, the share of each pixel that it fills, and its ground; None if it does not fit."""
        unit = int(self.rng.integers(len(self.covers)))
        cover, inside = self.covers[unit], self.units == unit
        if truth == "construction" and cover in OPEN_COVERS:
            return self._rectangle(construction(self.rng, day, cover), inside, unit)
        if truth == "maintenance" and cover in PAVED:
            event = maintenance(self.rng, day, self.days[-1])
            event.before = cover
            event.parts = [part for part in event.parts if part[0] != cover]
            return self._rectangle(event, inside, unit) if event.parts else None
        if truth == "decoy":
            kind = str(self.rng.choice([one for one in DECOYS if one != "low sun"]))
            event = decoy(self.rng, day, self.days, kind)
            if kind in ("harvest", "fallow", "flood") and cover not in FIELDS:
                return None
            if kind == "mowing" and cover != "meadow":
                return None
            return event, inside.astype(float), unit
        return None

    def _rectangle(self, event, inside, unit):
        """A turned rectangle of 4 to 80 pixels within a unit, at any place between pixels."""
        rows, columns = np.nonzero(inside)
        area, ratio = np.exp(self.rng.uniform(np.log(4), np.log(80))), self.rng.uniform(1, 2.2)
        half = 0.5 * np.sqrt(area * ratio), 0.5 * np.sqrt(area / ratio)
        place = int(self.rng.integers(len(rows)))
        centre = rows[place] + self.rng.random(), columns[place] + self.rng.random()
        angle = self.rng.uniform(0, np.pi)
        fine = (np.arange(self.size * 5) + 0.5) / 5
        down, right = fine[:, None] - centre[0], fine[None] - centre[1]
        along = np.abs(right * np.cos(angle) + down * np.sin(angle)) <= half[0]
        across = np.abs(down * np.cos(angle) - right * np.sin(angle)) <= half[1]
        share = (along & across).reshape(self.size, 5, self.size, 5).mean(axis=(1, 3))
        if share.sum() < 0.97 * area or (share * ~inside).sum() > 0.02 * area:
            return None
        event.pixels = float(area)
        return event, share, unit

    def image(self, number):
        """The image of a clear date: some of it cloudy, and some of its clouds missed."""
        planes = self.surfaces[self.units, number].astype(np.float64)
        for event, share, unit in self.painted:
            if not hasattr(event, "course"):
                event.course = event.surface(self.site, self.surfaces[unit])
            planes += share[..., None] * (event.course[number] - planes)
        planes *= self.texture[..., None]
        planes = _shifted(planes, self.rng.normal(0, 0.1, 2))
        noise = 1 + self.rng.normal(0, self.site.weather.pixel_noise, planes.shape)
        planes = planes * self.site.light[number] * noise + self.site.haze[number]
        valid = np.ones(planes.shape[:2], bool)
        if self.rng.random() < 0.35:
            valid &= ~self._blob(self.rng.uniform(0.15, 0.4) * self.size)
        if self.rng.random() < 0.06:
            blob = self._blob(self.rng.uniform(3, 12))
            planes[blob] += self.rng.uniform(0.15, 0.8) * (CLOUD - planes[blob])
        if self.rng.random() < 0.04:
            planes[self._blob(self.rng.uniform(3, 12))] *= self.rng.uniform(0.4, 0.8)
        when = START + timedelta(days=float(self.days[number]))
        scene = Scene(f"date-{number:03d}", "made up", "L2A", "made up", when, simulated=True)
        data = np.maximum(np.moveaxis(planes, -1, 0), 0.001).astype(np.float32)
        return Image(data, BANDS, valid, np.where(valid, 4, 9).astype(np.uint8), self.grid, scene, "SCL")

    def _blob(self, radius):
        centre = self.rng.uniform(0, self.size, 2)
        y, x = np.ogrid[: self.size, : self.size]
        return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def _grown(mask, pixels):
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)).astype(bool)


def _shifted(planes, shift):
    """Move an image by a fraction of a pixel."""
    for axis, part in enumerate(shift):
        moved = np.roll(planes, int(np.sign(part)), axis=axis)
        planes = planes + abs(part) * (moved - planes)
    return planes


def _may_persist(base, also_lasting):
    """Whether enough pixels that touch each other are alarmed for a candidate to persist."""
    alarms = gather_alarms(base, combine_alarms(base.states, base.names), RULES)
    shown = alarms.alarmed if also_lasting else alarms.persisting | alarms.early
    return bool(label_components(shown, shown, min_pixels=RULES.min_area_m2 / 100).any())


def watched(world, seen=None, quiet=False):
    """Watch a site; yield the number of a date and its candidates, after each monitored date.

    With `quiet` only where something may persist, and what persists by lasting long only after every third
    date: that saves time, and nothing can slip through.
    """
    history = [number for number in range(len(world.days)) if world.days[number] < HISTORY_DAYS]
    images = [world.image(number) for number in history]
    shape = (world.size, world.size)
    since = (START + timedelta(days=HISTORY_DAYS)).isoformat()
    base = learn(images, Ground(np.zeros(shape, np.float32), np.ones(shape, bool), since), RULES)
    del images
    for number in range(len(history), len(world.days)):
        image = world.image(number)
        if seen is not None:
            seen.append((number, image.valid))
        base = take(base, image)
        last = number == len(world.days) - 1
        if not quiet or _may_persist(base, number % EVERY == 0 or last):
            yield number, find_candidates(base, RULES), base


def pixels_of(candidate, grid):
    """The pixels of a candidate."""
    import geopandas as gpd

    outline = gpd.GeoSeries([candidate.outline], crs="EPSG:4326").to_crs(str(grid.crs)).iloc[0]
    return geometry_mask([outline], tuple(grid.shape), grid.transform, invert=True)


def site_report(seed, size=72, events=True):
    """What a year of watching says of a site, event by event, and what it says of nothing."""
    world, seen = WatchedSite(seed, size, events), []
    rows = [
        {"truth": event.truth, "name": event.name, "pixels": getattr(event, "pixels", None),
         "onset": event.onset, "built": max((p[1] for p in event.parts), default=np.nan),
         "steps": [p[1] for p in event.parts], "share": share,
         "shown": _shown(world, event, share),
         "said": [], "first": None, "alert": None, "kind": None, "interval": None, "aside": set()}
        for event, share, _ in world.painted
    ]  # fmt: skip
    told, building = (np.zeros((size, size), bool) for _ in range(2))
    dates = 0
    for _, candidates, base in watched(world, seen, quiet=not events):
        dates += 1
        for one in candidates:
            mask = None
            if one.status != ASIDE or events:
                mask = pixels_of(one, world.grid)
            if one.status == PERSISTING:
                told |= mask
                if one.found.kind in BUILDING:
                    building |= mask
            for row in rows if mask is not None else ():
                _note(row, one, mask, base, seen)
    events_at = _grown(np.any([row["share"] > 0 for row in rows], axis=0), 2) if rows else np.zeros_like(told)
    false = label_components(building & ~events_at, building & ~events_at, min_pixels=1).max()
    other = label_components(told & ~events_at, told & ~events_at, min_pixels=1).max()
    # 100 hectares are a square kilometre, and a year was watched
    return rows, {"dates": dates, "km2": size**2 / 1e4, "false": int(false), "false of any kind": int(other)}


def _shown(world, event, share):
    """Dates that show the last thing of what happened, whatever the clouds over it."""
    built = max((part[1] for part in event.parts), default=np.inf)
    return int((world.days >= (event.onset if event.truth != "construction" else built)).sum())


def _note(row, one, mask, base, seen):
    """Add what a candidate says to the event that it covers."""
    core = row["share"] >= 0.5
    if not core.any():
        core = row["share"] >= row["share"].max()
    if (mask & core).sum() < 0.3 * core.sum() or base.day - START.timestamp() / 86400 < row["onset"]:
        return
    started = float(base.day - START.timestamp() / 86400)
    if one.status == ASIDE:
        row["aside"].add(one.found.kind)
        return
    clear = [base_day for base_day in _clear_days(base, core) if base_day >= row["onset"]]
    row["first"] = row["first"] or len(clear)
    if one.status != PERSISTING:
        return
    row["alert"] = row["alert"] or len(clear)
    row["said"].append(one.found.kind)
    if one.found.kind in BUILDING and row["kind"] is None:
        row["kind"] = sum(day >= row["built"] for day in clear)
        row["interval"] = (one.after[:10], one.by[:10])
    row["last day"] = started


def _clear_days(base, core):
    """Days on which most of the pixels were seen, since the beginning of the simulation."""
    kept = base.units[0][:, core] != -128
    return (base.days[kept.mean(axis=1) >= 0.5] - START.timestamp() / 86400).tolist()
