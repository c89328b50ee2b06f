"""Kinds of change by both dates and by behaviour in time: one table of rules; the first that holds wins.

What stays is told from what comes back, what other years show as well from what is new, and built-up ground
from fields. Decoys have names of their own: they are listed under them, never dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.kinds import KIND_LABELS, Kind, Surface

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from changedet.timeline.evidence import Evidence


class TimeKind(StrEnum):
    """Kind of a change of which the dates before and after are known."""

    CONSTRUCTION = "construction"
    ROAD = "road"
    EARTHWORKS = "earthworks"
    DEMOLITION = "demolition"
    WATER = "water"
    VEGETATION = "vegetation"
    MAINTENANCE = "maintenance"
    HARVEST = "harvest"
    SNOW = "snow"
    FLOOD = "flood"
    SHADOW = "shadow"
    CLOUD = "cloud"
    OPEN = "open"


#: What each kind is called wherever a reader sees it; where two dates have a word for it, by the same word.
TIME_LABELS: Mapping[TimeKind, str] = MappingProxyType(
    {
        TimeKind.CONSTRUCTION: KIND_LABELS[Kind.CONSTRUCTION],
        TimeKind.ROAD: "new road or other line",
        TimeKind.EARTHWORKS: KIND_LABELS[Kind.EARTHWORKS],
        TimeKind.DEMOLITION: KIND_LABELS[Kind.DEMOLITION],
        TimeKind.WATER: KIND_LABELS[Kind.WATER],
        TimeKind.VEGETATION: KIND_LABELS[Kind.VEGETATION],
        TimeKind.MAINTENANCE: "maintenance or activity",
        TimeKind.HARVEST: "harvest or field work",
        TimeKind.SNOW: "snow",
        TimeKind.FLOOD: "flood",
        TimeKind.SHADOW: "shadow",
        TimeKind.CLOUD: "remnant of cloud",
        TimeKind.OPEN: KIND_LABELS[Kind.UNCLASSIFIED],
    }
)
#: What else each kind is consistent with.
TIME_CAVEATS: Mapping[TimeKind, str] = MappingProxyType(
    {
        TimeKind.CONSTRUCTION: "a paved yard, a greenhouse or bare rock looks the same",
        TimeKind.ROAD: "a canal lining, a hedge that was cleared or a pipeline looks the same",
        TimeKind.EARTHWORKS: "a field that stays fallow, a fire or a landslide looks the same",
        TimeKind.DEMOLITION: "a cleared storage yard or a deep excavation looks the same",
        TimeKind.WATER: "a reservoir, a tide or irrigation looks the same",
        TimeKind.VEGETATION: "season, mowing, drought and irrigation look the same",
        TimeKind.MAINTENANCE: (
            "wet ground, parked goods, a building put up on paved ground or torn down to rubble look the same"
        ),
        TimeKind.HARVEST: "a field that is cleared looks the same until it stays bare for longer than before",
        TimeKind.SNOW: "white sheeting looks the same in the visible bands",
        TimeKind.FLOOD: "irrigation and wet soil look the same",
        TimeKind.SHADOW: "fresh asphalt and wet ground look the same on few dates",
        TimeKind.CLOUD: "goods of a few days look the same, and white roofs on their first dates",
        TimeKind.OPEN: "later clear dates decide",
    }
)

#: Kinds that are no work of builders: listed under their names, never told as construction.
DECOYS = frozenset({TimeKind.HARVEST, TimeKind.SNOW, TimeKind.FLOOD, TimeKind.SHADOW, TimeKind.CLOUD})
#: Kinds that building, clearing and demolishing leave behind, and work on what is built.
WORKS = frozenset(
    {TimeKind.CONSTRUCTION, TimeKind.ROAD, TimeKind.EARTHWORKS, TimeKind.DEMOLITION, TimeKind.MAINTENANCE}
)
#: Kinds of which phases are told.
PHASED = frozenset({TimeKind.CONSTRUCTION, TimeKind.ROAD, TimeKind.EARTHWORKS})


class Phase(StrEnum):
    """Phases of a construction, by the names of IARPA SMART.

    Goldberg et al. 2023, doi:10.1117/12.2663071.
    """

    PREPARATION = "Site Preparation"
    ACTIVE = "Active Construction"
    POST = "Post Construction"


@dataclass(frozen=True)
class TimeRule:
    """One row of the table.

    Attributes
    ----------
    name : str
        Short, unique; shown beside every object that it decided.
    kind : TimeKind
        What it concludes.
    holds : callable
        From `changedet.timeline.evidence.Evidence` to True or False.
    text : str
        The condition in words.
    reason : str
        Why that is so.
    source : str
        Where it comes from.
    shows : tuple of str
        Numbers of the evidence that are shown beside it.
    """

    name: str
    kind: TimeKind
    holds: Callable[[Evidence], bool]
    text: str
    reason: str
    source: str
    shows: tuple[str, ...]


@dataclass(frozen=True)
class TimeFinding:
    """The kind of an object, and what chose it.

    Attributes
    ----------
    kind : TimeKind
    rule : str
        Name of the rule.
    condition : str
        Its condition in words.
    numbers : mapping of str to float or str
        Evidence that the rule looked at.
    phase : Phase or None
        Of a construction, or of ground that is prepared like one.
    """

    kind: TimeKind
    rule: str
    condition: str
    numbers: Mapping[str, Any]
    phase: Phase | None = None

    @property
    def label(self) -> str:
        """What the kind is called."""
        return TIME_LABELS[self.kind]

    @property
    def evidence(self) -> str:
        """The rule and its numbers in one line."""
        numbers = "; ".join(f"{name} {value}" for name, value in self.numbers.items())
        return f"rule {self.rule!r}: {self.condition}" + (f" [{numbers}]" if numbers else "")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "kind": self.kind.value,
            "label": self.label,
            "phase": None if self.phase is None else self.phase.value,
            "rule": self.rule,
            "condition": self.condition,
            "numbers": dict(self.numbers),
            "caveat": TIME_CAVEATS[self.kind],
        }


_GREEN = (Surface.VEGETATION, Surface.SPARSE)
_WET = (Surface.WATER, Surface.DARK)
#: Share of the dates showing it that must show a sign: more than half.
_MOST = 0.5
#: What lasts no longer than so many clear dates can be cloud, and what so many show is no single date.
CLOUD_DATES, LEAST_DATES, CLOUD_DAYS = 2, 3, 12.0
#: A visible reflectance that bare ground and most roofs stay below, for snow and cloud.
_WHITE = 0.06
#: Brighter by so much than before are thick clouds, and hardly any roof: a few dates do not show it.
_CLOUD_WHITE, _CLOUD_MOST_DATES = 0.4, 5
#: Water that is gone within so many days was a flood: longer than most floods last on the ground.
FLOOD_DAYS = 120.0
#: From so many standard deviations off, ground is not as it was.
BACK_SIGMA = 3.5
#: Share of earlier dates from which the ground has looked like this before, and how green and how bare a
#: field becomes in a year.
SEEN_BEFORE, FIELD_GREENEST, FIELD_BAREST = 0.06, 0.45, 0.32
#: A field that stays bare for so many days more than in other years, through the time it would be green.
FALLOW_DAYS = 300.0
#: A line is this much longer than wide, and at most so wide, in pixels.
LINE_ELONGATION, LINE_WIDTH_PX = 5.0, 3.5


def _field(e: Evidence) -> bool:
    return e.greenest >= FIELD_GREENEST and (e.barest <= FIELD_BAREST or e.seen_before >= SEEN_BEFORE)


def _field_work(e: Evidence) -> bool:
    bare = e.after != Surface.VEGETATION and e.after not in _WET and e.step.get("NDVI", 0.0) < 0
    seen = e.seen_before >= SEEN_BEFORE or e.later != Surface.BUILT
    return _field(e) and bare and seen and (not e.lasts or e.days < e.bare_days + FALLOW_DAYS)


def _line(e: Evidence) -> bool:
    return e.elongation >= LINE_ELONGATION and e.width_px <= LINE_WIDTH_PX


def _came_and_went(e: Evidence) -> bool:
    return not e.lasts and (math.isnan(e.back) or e.back <= BACK_SIGMA)


def _dark(e: Evidence) -> bool:
    return e.darker <= 0.75 and abs(e.step.get("NDVI", 0.0)) < 0.12 and e.water < _MOST


def _cleared(e: Evidence) -> bool:
    bare = e.before in _GREEN and e.later == Surface.SOIL
    never_green = (
        e.before == Surface.VEGETATION and e.days >= FALLOW_DAYS and e.greenest_since < FIELD_GREENEST
    )
    return e.lasts and e.dates >= LEAST_DATES and (bare or never_green)


def _flood(e: Evidence) -> bool:
    wet = e.water >= _MOST or (e.lasts and e.later == Surface.WATER)
    return wet and e.before != Surface.WATER and (not e.lasts or e.days < FLOOD_DAYS)


def _passed(e: Evidence) -> bool:
    return e.dates <= CLOUD_DATES and e.days <= CLOUD_DAYS


def _shadow(e: Evidence) -> bool:
    moved = e.seasonal or (_came_and_went(e) and not e.built_ground)
    return _dark(e) and (moved or _passed(e))


def _became_built(e: Evidence) -> bool:
    return e.lasts and e.later == Surface.BUILT and not e.built_ground and not e.green > _MOST


#: The first rule that holds wins. Thresholds are starting points on physical grounds, fitted to no site.
TIME_RULES: tuple[TimeRule, ...] = (
    TimeRule(
        "snow",
        TimeKind.SNOW,
        lambda e: e.snow >= _MOST,
        "most dates that show it have the signs of snow: NDSI above 0.4 and visible reflectance above 0.2",
        "snow is bright in the visible and dark in the short-wave infrared; clouds and roofs are not",
        "Dozier 1989, doi:10.1016/0034-4257(89)90101-6",
        ("snow", "dates", "over"),
    ),
    TimeRule(
        "cloud",
        TimeKind.CLOUD,
        lambda e: _passed(e) and not e.lasts and e.step.get("brightness", 0.0) >= _WHITE,
        f"brighter by {_WHITE:g} or more on at most {CLOUD_DATES} clear dates within {CLOUD_DAYS:g} days, "
        "and gone again",
        "remnants of cloud brighten single dates; what is built stays",
        "Zhu and Woodcock 2014, doi:10.1016/j.rse.2014.06.012",
        ("dates", "over", "brightness step"),
    ),
    TimeRule(
        "as bright as cloud on few dates",
        TimeKind.CLOUD,
        lambda e: e.dates <= _CLOUD_MOST_DATES and e.step.get("brightness", 0.0) >= _CLOUD_WHITE,
        f"brighter by {_CLOUD_WHITE:g} or more on at most {_CLOUD_MOST_DATES} clear dates",
        "thick clouds that no mask found can lie over a place on several dates; hardly any roof is as bright",
        "Zhu and Woodcock 2014, doi:10.1016/j.rse.2014.06.012",
        ("dates", "days", "brightness step"),
    ),
    TimeRule(
        "flood",
        TimeKind.FLOOD,
        _flood,
        f"most dates that show it read as water, or the last ones do, and it is over or younger than "
        f"{FLOOD_DAYS:g} days",
        "floods run off or dry up; a reservoir stays",
        "Xu 2006, doi:10.1080/01431160600589179; McFeeters 1996, doi:10.1080/01431169608948714",
        ("water", "days", "over"),
    ),
    TimeRule(
        "water",
        TimeKind.WATER,
        lambda e: e.lasts and (e.later == Surface.WATER) != (e.before == Surface.WATER),
        "water on one side of it only, and it stays",
        "open water is dark in the near and short-wave infrared in every season",
        "Xu 2006, doi:10.1080/01431160600589179",
        ("before", "later", "water", "days"),
    ),
    TimeRule(
        "water before and after",
        TimeKind.WATER,
        lambda e: e.before == Surface.WATER and e.later in _WET,
        "water on both sides of it",
        "ripples, glint, silt and haze move water; nothing stands on it",
        "McFeeters 1996, doi:10.1080/01431169608948714",
        ("before", "after", "later", "largest step"),
    ),
    TimeRule(
        "shadow",
        TimeKind.SHADOW,
        _shadow,
        "darker by a quarter or more in visible and near infrared alike, NDVI within 0.12, and only on few "
        "dates, or in the same weeks of other years as well, or gone again on ground that is not built-up",
        "a shadow dims every band and moves with the sun; paving stays",
        "Zhu and Woodcock 2012, doi:10.1016/j.rse.2011.10.028",
        ("light left", "NDVI step", "dates", "other years alike", "over"),
    ),
    TimeRule(
        "season of a field",
        TimeKind.HARVEST,
        _field_work,
        f"a field (NDVI above {FIELD_GREENEST:g} and below {FIELD_BAREST:g} before, or looked like this on "
        f"{SEEN_BEFORE:.0%} of the dates) that turns bare, over again or for less than {FALLOW_DAYS:g} days "
        "longer than ever before",
        "fields are bare for part of every year, and no harvest keeps a date; what is built looks new",
        "Bolton and Friedl 2013, doi:10.1016/j.agrformet.2013.01.007",
        ("greenest before", "barest before", "looked so before", "days", "bare before, days", "over"),
    ),
    TimeRule(
        "as in other years",
        TimeKind.VEGETATION,
        lambda e: e.seasonal and not e.built_ground and not _became_built(e),
        "the same weeks of earlier years look alike",
        "what returns every year is season",
        "Verbesselt et al. 2012, doi:10.1016/j.rse.2012.02.022",
        ("other years alike", "before", "after"),
    ),
    TimeRule(
        "works that were filled again",
        TimeKind.MAINTENANCE,
        lambda e: e.built_ground and not e.lasts and not e.green > _MOST,
        "built-up ground that was something else than green for a time, and over again",
        "excavation and backfill, staged goods and equipment come and go on ground that stays built-up",
        "Petit et al. 2022, doi:10.3390/land11030360",
        ("built before", "after", "off when over", "days", "episodes"),
    ),
    TimeRule(
        "comes and goes on built-up ground",
        TimeKind.MAINTENANCE,
        lambda e: e.built_ground and e.episodes > 1,
        "built-up ground that leaves what is usual more than once",
        "bursts of short changes are activity: goods, vehicles, repairs",
        "Petit et al. 2022, doi:10.3390/land11030360",
        ("built before", "episodes", "days"),
    ),
    TimeRule(
        "built-up ground is bare or green",
        TimeKind.DEMOLITION,
        lambda e: e.built_ground and e.later in (Surface.SOIL, *_GREEN),
        "built-up ground that reads as soil or plants since, and stays so",
        "what was built is gone; filled again it would be maintenance",
        "Petit et al. 2022, doi:10.3390/land11030360",
        ("built before", "before", "later", "days"),
    ),
    TimeRule(
        "built-up ground with another surface",
        TimeKind.MAINTENANCE,
        lambda e: e.built_ground,
        "built-up on both sides of it, with another brightness or colour",
        "paving and roofs are renewed in place; what stands on them is too small for pixels of 10 m",
        "Petit et al. 2022, doi:10.3390/land11030360",
        ("built before", "later", "brightness step", "largest step"),
    ),
    TimeRule(
        "came and went",
        TimeKind.MAINTENANCE,
        lambda e: (
            _came_and_went(e)
            and e.dates >= LEAST_DATES
            and e.after in (Surface.SOIL, Surface.BUILT, Surface.UNKNOWN)
            and not _field(e)
        ),
        "bare or built-like on three clear dates or more, and as before since, on ground that is no field",
        "staging of goods and trenches that were filled leave the ground as it was",
        "Petit et al. 2022, doi:10.3390/land11030360",
        ("before", "after", "off when over", "days"),
    ),
    TimeRule(
        "line that reads as built",
        TimeKind.ROAD,
        lambda e: _became_built(e) and e.dates >= LEAST_DATES and _line(e),
        f"as construction, {LINE_ELONGATION:g} times as long as wide, at most {LINE_WIDTH_PX:g} pixels wide",
        "roads are long and narrow",
        "Goldberg et al. 2023, doi:10.1117/12.2663071, who count roads apart from construction",
        ("before", "later", "elongation", "width, pixels"),
    ),
    TimeRule(
        "reads as built and stays",
        TimeKind.CONSTRUCTION,
        lambda e: _became_built(e) and e.dates >= LEAST_DATES and not e.seen_before >= SEEN_BEFORE,
        f"reads as built or paved on {LEAST_DATES} clear dates or more up to the last, was not before, and "
        "looked so in no season",
        "a roof or paving is a step that stays, unlike anything the ground showed in its years before",
        "Zha, Gao and Ni 2003, doi:10.1080/01431160304987; Goldberg et al. 2023, doi:10.1117/12.2663071",
        ("before", "after", "later", "dates", "days", "largest step", "looked so before"),
    ),
    TimeRule(
        "plants to bare ground that stays",
        TimeKind.EARTHWORKS,
        _cleared,
        f"plants before, bare soil on {LEAST_DATES} clear dates or more up to the last; or ground that was "
        f"green and has not been so for {FALLOW_DAYS:g} days",
        "clearing leaves bare ground where no season has; building may follow",
        "Rikimaru, Roy and Miyatake 2002; Goldberg et al. 2023, doi:10.1117/12.2663071",
        ("before", "after", "later", "days", "greenest since", "bare before, days"),
    ),
    TimeRule(
        "plants or bare ground, before and after",
        TimeKind.VEGETATION,
        lambda e: e.before in (*_GREEN, Surface.SOIL) and e.later in (*_GREEN, Surface.SOIL),
        "plants or soil on both sides of it",
        "growing, mowing, drought and leaf fall move plants; nothing was built",
        "Verbesselt et al. 2012, doi:10.1016/j.rse.2012.02.022",
        ("before", "after", "later", "NDVI step", "days"),
    ),
    TimeRule(
        "no other rule",
        TimeKind.OPEN,
        lambda _e: True,
        "none of the above",
        "too few clear dates, or signs that contradict each other",
        "",
        ("before", "after", "later", "dates", "days"),
    ),
)


def choose_time_kind(evidence: Evidence) -> TimeFinding:
    """Choose the kind of a change by the first rule of `TIME_RULES` that holds.

    Parameters
    ----------
    evidence : Evidence
        From `changedet.timeline.evidence.gather_evidence`.

    Returns
    -------
    TimeFinding
        Without a phase, except for ground that is prepared; see `changedet.timeline.phases`.
    """
    rule = next(one for one in TIME_RULES if one.holds(evidence))
    numbers = evidence.numbers()
    phase = Phase.PREPARATION if rule.kind == TimeKind.EARTHWORKS else None
    return TimeFinding(
        rule.kind,
        rule.name,
        rule.text,
        {name: numbers[name] for name in rule.shows if name in numbers},
        phase,
    )
