"""Made-up ground through the years: its covers, what happens on it, and what weather makes of it.

Spectra and phenologies are those of the package's scene simulator, with differences from place to place, from
year to year and from date to date that are drawn at random. Nothing here is taken from a threshold of a rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from changedet.bands import COMPARED_BANDS
from changedet.simulator.scenery import COVERS, SPECTRA, Cover

YEAR = 365.25
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
_COLUMNS = [COMPARED_BANDS.index(name) for name in BANDS]
CLOUD = np.array([0.60, 0.59, 0.59, 0.62, 0.48, 0.39])
#: What may be built on, with how it is drawn; and what is built, by the shares in which it is drawn.
OPEN_COVERS = (
    "winter wheat", "maize", "soybean", "vegetables", "fallow", "meadow", "broadleaf forest", "pine forest",
)  # fmt: skip
FIELDS = ("winter wheat", "maize", "soybean", "vegetables")
BUILT = {
    "concrete": 0.22, "asphalt": 0.2, "grey roof": 0.22, "white roof": 0.13, "blue roof": 0.13,
    "red roof": 0.10,
}  # fmt: skip
PAVED = ("concrete", "asphalt", "gravel", "grey roof", "white roof")
_LOOSE = frozenset({"soil", "stubble", "dry grass", "subsoil", "gravel", "rubble"})


@dataclass(frozen=True)
class Weather:
    """What differs from date to date and from year to year; reflectance, shares and days."""

    illumination: float = 0.012
    haze: float = 0.004
    wet_share: float = 0.2
    loose_wet: float = 0.22
    sealed_wet: float = 0.10
    late_days: float = 7.0
    vigour: float = 0.06
    pixel_noise: float = 0.02
    sensor_noise: float = 0.003
    missed_cloud: float = 0.03
    missed_shadow: float = 0.015


class Site:
    """The dates of a place, and what all of its ground has in common on each of them."""

    def __init__(self, rng, days, weather=Weather()):
        self.rng, self.days, self.weather = rng, np.asarray(days, float), weather
        count = len(self.days)
        self.light = 1 + rng.normal(0, weather.illumination, count)
        self.haze = np.abs(rng.normal(0, weather.haze, count))[:, None] * np.array(
            [1.0, 0.7, 0.5, 0.2, 0.1, 0.05]
        )
        self.wet = np.where(rng.random(count) < weather.wet_share, rng.uniform(0.2, 1, count), 0.0)
        years = int(self.days.max() // YEAR) + 2
        self.late = rng.normal(0, weather.late_days, years)

    def cover(self, name, rng=None):
        """Reflectance (time, band) of a cover at a place of its own."""
        rng = self.rng if rng is None else rng
        kind, weather = COVERS.get(name) or Cover(name, name), self.weather
        own = np.exp(rng.normal(0, 0.08)) * np.exp(rng.normal(0, 0.03, len(BANDS)))
        green, bare = (np.array(SPECTRA[one])[_COLUMNS] * own for one in (kind.green, kind.bare))
        lag, years = rng.normal(0, 5), (self.days // YEAR).astype(int)
        yearly = rng.normal(0, weather.vigour, len(self.late))
        share = np.array(
            [
                kind.phenology.green_share(day % YEAR, lag + self.late[year]) * (1 + yearly[year])
                for day, year in zip(self.days, years, strict=True)
            ]
        )
        share = (
            np.clip(share * rng.uniform(0.9, 1.02), 0, 1) if kind.green != kind.bare else np.zeros(len(share))
        )
        darker = weather.loose_wet if kind.bare in _LOOSE else weather.sealed_wet
        if kind.bare == "snow" or "water" in kind.bare:
            darker = 0.0
        wet = 1 - darker * rng.uniform(0.6, 1.2) * self.wet[:, None] * np.array([0.8, 0.9, 1, 1.1, 1.4, 1.5])
        return bare * wet + share[:, None] * (green - bare * wet)

    def seen(self, surface, pixels=1.0):
        """What a sensor makes of a surface (time, ..., band) on each date."""
        extra = (1,) * (surface.ndim - 2)
        light = self.light.reshape(-1, *extra, 1)
        haze = self.haze.reshape(len(self.days), *extra, -1)
        noise = 1 + self.rng.normal(0, self.weather.pixel_noise / np.sqrt(pixels), surface.shape)
        out = surface * light * noise + haze + self.rng.normal(0, self.weather.sensor_noise, surface.shape)
        return np.maximum(out, 0.001)


@dataclass
class Event:
    """What happens at an object: its truth, and its covers (name, from day, to day, share of the object)."""

    truth: str
    name: str
    before: str
    parts: list = field(default_factory=list)
    onset: float = np.nan
    over: float = np.inf

    def surface(self, site, ground=None):
        """Reflectance (time, band) of the object, on ground that is given or of its own."""
        out = site.cover(self.before) if ground is None else ground.copy()
        for name, start, stop, share in self.parts:
            inside = (site.days >= start) & (site.days < stop)
            if name == "shade":
                out[inside] *= share
            elif name == "cloud":
                out[inside] += share * (CLOUD - out[inside])
            else:
                out[inside] += share * (site.cover(name)[inside] - out[inside])
        return out


def built_cover(rng):
    """A roof or paving."""
    return str(rng.choice(list(BUILT), p=list(BUILT.values())))


def construction(rng, start, before=None):
    """Plants or bare ground; often prepared for some weeks or months; then a roof or paving, for good."""
    before = str(rng.choice(OPEN_COVERS)) if before is None else before
    built, day, parts = built_cover(rng), start, []
    if rng.random() < 0.6:
        ready = day + rng.uniform(20, 150)
        parts.append((str(rng.choice(["soil", "subsoil", "gravel"])), day, ready, 1.0))
        day = ready
    if rng.random() < 0.4:
        ready = day + rng.uniform(15, 90)
        parts.append((str(rng.choice(["concrete", "gravel", "rubble"])), day, ready, 1.0))
        day = ready
    parts.append((built, day, np.inf, 1.0))
    return Event("construction", f"{before} to {built}", before, parts, start)


def maintenance(rng, start, end):
    """Built-up ground: a new surface, a pit that is filled, or goods that come and go."""
    before = str(rng.choice(PAVED))
    kind = str(rng.choice(["resurfacing", "pit", "staging"]))
    if kind == "resurfacing":
        after = str(rng.choice([one for one in (*BUILT, "fresh asphalt") if one not in (before, "red roof")]))
        return Event("maintenance", f"resurfacing: {before} to {after}", before,
                     [(after, start, np.inf, rng.uniform(0.7, 1))], start)  # fmt: skip
    if kind == "pit":
        until = start + rng.uniform(25, 120)
        return Event("maintenance", f"pit in {before}", before,
                     [(str(rng.choice(["soil", "subsoil", "rubble"])), start, until, rng.uniform(0.7, 1))],
                     start, until)  # fmt: skip
    parts, day = [], start
    goods = str(rng.choice(["white roof", "blue roof", "grey roof", "rubble", "red roof", "fresh asphalt"]))
    for _ in range(int(rng.integers(1, 4))):
        until = day + rng.uniform(20, 80)
        parts.append((goods, day, until, rng.uniform(0.5, 1)))
        day = until + rng.uniform(30, 90)
        if day > end:
            break
    return Event("maintenance", f"staging of {goods} on {before}", before, parts, start, parts[-1][2])


DECOYS = ("harvest", "fallow", "snow", "flood", "cloud", "shadow", "low sun", "mowing")


def decoy(rng, start, clear_days, kind=None):
    """Harvest, fallow, snow, flood, cloud, shadow, mowing: what is no work of builders."""
    kind = str(rng.choice(DECOYS)) if kind is None else kind
    any_ = str(rng.choice([*OPEN_COVERS, *PAVED]))
    if kind in ("snow", "cloud"):
        dates = clear_days[clear_days >= start][: int(rng.integers(1, 5 if kind == "snow" else 3))]
        low, high = (0.5, 1) if kind == "snow" else (0.3, 0.9)
        parts = [(kind, day - 0.1, day + 0.1, rng.uniform(low, high)) for day in dates]
        return Event("decoy", kind, any_, parts, start, start if not parts else parts[-1][2])
    if kind == "low sun":
        middle, half, left = rng.uniform(-15, 15), rng.uniform(30, 60), rng.uniform(0.4, 0.75)
        parts = [("shade", YEAR * y + middle - half, YEAR * y + middle + half, left) for y in range(6)]
        return Event("decoy", kind, any_, parts, start)
    field_ = str(rng.choice(FIELDS))
    before, covers, days, share = {
        "harvest": (field_, ["stubble", "soil"], (20, 90), 1.0),
        "fallow": (field_, ["stubble", "soil", "fallow"], (120, 330), 1.0),
        "mowing": ("meadow", ["fallow"], (20, 60), rng.uniform(0.6, 1)),
        "flood": (field_, ["water", "flooded field"], (8, 70), rng.uniform(0.8, 1)),
        "shadow": (any_, ["shade"], (5, 40), rng.uniform(0.35, 0.7)),
    }[kind]
    part = (str(rng.choice(covers)), start, start + rng.uniform(*days), share)
    return Event("decoy", kind, before, [part], start, part[2])


def nothing(rng):
    """Ground of any cover on which nothing happens."""
    cover = str(rng.choice([*OPEN_COVERS, *PAVED, "water", "red roof", "blue roof"]))
    return Event("nothing", f"nothing on {cover}", cover)
