"""From alarmed pixels to candidates on the ground: what is told, what has to wait, what is set aside."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.coordinates import GeoPoint
from changedet.core.components import label_components
from changedet.core.index_alarms import combine_alarms
from changedet.core.season import YEAR_DAYS
from changedet.core.series_behaviour import BehaviourParameters, Pattern, behaviour
from changedet.objects import area_m2
from changedet.timeline.kinds_in_time import DECOYS, TIME_LABELS, TimeFinding, TimeKind
from changedet.watch.candidate_kinds import (
    PixelGroup,
    candidate_finding,
    leading_side,
    still_off,
)
from changedet.watch.early import Alarms, gather_alarms
from changedet.watch.geopackage import in_form
from changedet.watch.grouping import separate, step_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import geopandas as gpd
    from numpy.typing import NDArray

    from changedet.watch.baselines import SiteBaseline
    from changedet.watch.rules import WatchRules

#: Kinds that plants, water and weather make of themselves in most years: listed by name, never alerted.
QUIET_KINDS = DECOYS | {TimeKind.VEGETATION, TimeKind.WATER}
#: Indices of bands with pixels of 10 m.
FINE_INDICES = frozenset({"NDVI", "brightness"})
#: Kinds that no crop makes, and by how many days crops come earlier or later than in other years.
_NO_CROPS = frozenset({TimeKind.CONSTRUCTION, TimeKind.ROAD, TimeKind.DEMOLITION})
_SHIFTS_DAYS = (-10.0, 10.0, -20.0, 20.0)
#: What no later date bears out by itself, since other years vary much, but stays off on so many clear dates,
#: is told when no crop makes it.
_LASTING_DATES = 8
#: What a pattern is called where a candidate is set aside for it.
ASIDE_WORDS = {
    Pattern.SEASONAL: "as in the same weeks of earlier years",
    Pattern.BURSTS: "comes and goes",
    Pattern.REVERSED: "back at what was usual",
}
#: What the watch calls a candidate that persists, one that has to wait, and one that is set aside.
PERSISTING, PROVISIONAL, ASIDE = "persisting", "provisional", "set aside"


@dataclass(frozen=True)
class Candidate:
    """A piece of ground that differs from what is usual there.

    Attributes
    ----------
    status : str
        `PERSISTING`, `PROVISIONAL` or `ASIDE`.
    reason : str
        Why it waits or is set aside; empty when it persists.
    kind : str
        A label of `changedet.timeline.kinds_in_time`.
    evidence : str
        The surfaces, the rule and the numbers behind it, for a reader.
    after, by : str
        UTC times of the clear dates between which it changed.
    area_m2 : float
        On the ellipsoid.
    point : GeoPoint
        Its centre.
    outline : shapely geometry
        In longitude and latitude.
    size : float
        Median step of its leading index, in standard deviations.
    indices : tuple of str
        Indices that flagged it.
    is_new : bool
        Whether the last date bore out a pixel of it.
    found : TimeFinding or None
        The kind, the rule that chose it, its numbers and the phase of a construction.
    """

    status: str
    reason: str
    kind: str
    evidence: str
    after: str
    by: str
    area_m2: float
    point: GeoPoint
    outline: Any
    size: float
    indices: tuple[str, ...]
    is_new: bool
    found: TimeFinding | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "status": self.status, "reason": self.reason, "kind": self.kind, "evidence": self.evidence,
            "after_utc": self.after, "by_utc": self.by, "area_m2": round(self.area_m2, 1),
            "lat": round(self.point.lat, 6), "lon": round(self.point.lon, 6), "dms": self.point.dms,
            "mgrs": self.point.mgrs, "indices": list(self.indices),
            "decided_by": None if self.found is None else self.found.to_dict(),
        }  # fmt: skip


def find_candidates(base: SiteBaseline, rules: WatchRules, *, settled_only: bool = False) -> list[Candidate]:
    """Find what differs at a site after its last date.

    Parameters
    ----------
    base : SiteBaseline
        After `changedet.watch.baselines.take`.
    rules : WatchRules
        The least area.
    settled_only : bool
        Leave out what has to wait for more dates and what came and went: that is half of the work.

    Returns
    -------
    list of Candidate
        Persisting ones first, then provisional ones, then what is set aside.
    """
    alarms = gather_alarms(base, combine_alarms(base.states, base.names), rules)
    if not alarms.alarmed.any():
        return []
    least = rules.min_area_m2 / abs(base.place["transform"][0] * base.place["transform"][4])
    return _Ground.of(base, alarms, rules, least).candidates(settled_only)


def candidate_table(candidates: Sequence[Candidate], seen: str) -> gpd.GeoDataFrame:
    """Return candidates with the columns that the state file keeps of objects.

    Parameters
    ----------
    candidates : sequence of Candidate
        Any.
    seen : str
        UTC time of the date that shows them.

    Returns
    -------
    GeoDataFrame
        In longitude and latitude; ``first_seen`` is that date.
    """
    import geopandas as gpd

    rows = [
        {
            "id": number, "kind": one.kind, "score": abs(one.size), "score_mads": abs(one.size),
            "construction": 0.0, "context_share": 0.0, "sensor": "optical",
            "confidence": "medium" if len(one.indices) > 1 else "low", "area_m2": round(one.area_m2, 1),
            "lat": round(one.point.lat, 6), "lon": round(one.point.lon, 6), "dms": one.point.dms,
            "mgrs": one.point.mgrs, "first_seen": seen, "last_seen_before": one.after,
            "evidence": one.evidence, "warnings": "",
        }
        for number, one in enumerate(candidates, 1)
    ]  # fmt: skip
    return gpd.GeoDataFrame(rows, geometry=[one.outline for one in candidates], crs="EPSG:4326")


@dataclass(frozen=True, eq=False)
class _Ground:
    """The alarmed pixels of a site and what their series did since."""

    base: SiteBaseline
    alarms: Alarms
    pattern: NDArray[np.uint8]
    settled: NDArray[np.bool_]
    still: NDArray[np.bool_]
    least: float

    @classmethod
    def of(cls, base: SiteBaseline, alarms: Alarms, rules: WatchRules, least: float) -> _Ground:
        """Look at what the series of the alarmed pixels did since."""
        shape = alarms.alarmed.shape
        pattern = np.zeros(shape, np.uint8)
        still, lasting = np.zeros(shape, bool), np.zeros(shape, bool)
        asked = (BehaviourParameters(), BehaviourParameters(least_later=1 + rules.least_later))
        for index in range(len(base.names)):
            for early, parameters in enumerate(asked):
                pixels = alarms.alarmed & (alarms.leading == index) & (alarms.early == bool(early))
                if not pixels.any():
                    continue
                units, side = base.units_of(index, pixels), alarms.side[pixels]
                went = behaviour(units, base.days, alarms.by_day[pixels], side, parameters)
                still[pixels] = still_off(units, side, went.step)
                pattern[pixels] = went.pattern
                lasting[pixels] = went.later_dates >= _LASTING_DATES
        settled = (alarms.persisting | alarms.early | lasting) & (pattern == Pattern.STEP)
        return cls(base, alarms, pattern, settled, still, least)

    def candidates(self, settled_only: bool) -> list[Candidate]:
        """Group the pixels: settled ones grow over provisional neighbours, and keep their edges so."""
        alarmed, least = self.alarms.alarmed, self.least
        aside = alarmed & np.isin(self.pattern, list(ASIDE_WORDS))
        waiting = alarmed & ~aside
        settled = waiting & self.settled
        sharp = waiting & ~self._blurred(label_components(waiting, waiting), least)
        things = separate(sharp, step_sizes(self.base, sharp), least)
        labels = things.labels
        found: list[Candidate] = []
        size = int(labels.max()) + 1
        count = np.bincount(labels[settled], minlength=size)
        # a season that has just ended looks like a step until some dates show that it is over
        still = np.bincount(labels[settled & self.still], minlength=size)
        enough = (count >= least) & (2 * still >= count)
        enough[0] = False
        found += self._groups(np.where(enough[labels], labels, 0), things.pure, self._of_kind)
        if not settled_only:
            found += self._groups(np.where(enough[labels], 0, labels), things.pure, self._waiting)
            found += self._groups(label_components(aside, aside, min_pixels=least), aside, self._aside)
        order = {PERSISTING: 0, PROVISIONAL: 1, ASIDE: 2}
        return sorted(found, key=lambda one: order[one.status])

    def _blurred(self, labels: NDArray[np.int32], least: float) -> NDArray[np.bool_]:
        """Tell which pixels of groups only a band of 20 m flags, where those of 10 m flag enough alone.

        At 10 m such a band spreads an edge over its neighbours, which would double a small outline and
        spoil the medians that choose its kind.
        """
        fine = [self._said(name) for name in self.base.names if name in FINE_INDICES]
        sharp = np.any(fine, axis=0) if fine else np.zeros(labels.shape, bool)
        enough = np.bincount(labels[sharp], minlength=int(labels.max()) + 1) >= least
        return np.asarray(enough[labels] & ~sharp)

    def _said(self, name: str) -> NDArray[np.bool_]:
        bit = np.uint32(1 << self.base.names.index(name))
        return np.asarray(self.alarms.said_by & bit, np.bool_)

    def _groups(
        self,
        labels: NDArray[np.int32],
        pure: NDArray[np.bool_],
        status: Callable[[NDArray[np.bool_], TimeFinding], tuple[str, str]],
    ) -> list[Candidate]:
        numbers = np.unique(labels[labels > 0])
        return [self._candidate(labels == number, pure, status) for number in numbers]

    def _of_kind(self, pixels: NDArray[np.bool_], found: TimeFinding) -> tuple[str, str]:
        kind = found.kind
        if kind in QUIET_KINDS:
            return ASIDE, f"{TIME_LABELS[kind]}, which season and weather make as well"
        if kind not in _NO_CROPS:
            if (self.alarms.persisting & pixels).sum() < self.least:
                return PROVISIONAL, "later clear dates have not borne it out, and crops may do so as well"
            if self._in_nearby_weeks(pixels):
                return ASIDE, "as in nearby weeks of earlier years"
        return PERSISTING, ""

    def _in_nearby_weeks(self, pixels: NDArray[np.bool_]) -> bool:
        """Tell whether earlier years show it some weeks earlier or later: no harvest keeps a date."""
        base, alarms = self.base, self.alarms
        for shift in _SHIFTS_DAYS:
            seasonal = 0
            for index in range(len(base.names)):
                part = pixels & (alarms.leading == index)
                if not part.any():
                    continue
                earlier = base.days < float(np.nanmedian(alarms.by_day[part])) - YEAR_DAYS / 2
                days = np.where(earlier, base.days + shift, base.days)
                found = behaviour(base.units_of(index, part), days, alarms.by_day[part], alarms.side[part])
                seasonal += int((found.pattern == Pattern.SEASONAL).sum())
            if 2 * seasonal >= pixels.sum():
                return True
        return False

    def _waiting(self, _pixels: NDArray[np.bool_], _found: TimeFinding) -> tuple[str, str]:
        return PROVISIONAL, "later clear dates have not borne it out, or not the last one"

    def _aside(self, pixels: NDArray[np.bool_], _found: TimeFinding) -> tuple[str, str]:
        (code, _), *_ = Counter(self.pattern[pixels].tolist()).most_common()
        return ASIDE, ASIDE_WORDS[Pattern(code)]

    def _candidate(
        self,
        pixels: NDArray[np.bool_],
        pure: NDArray[np.bool_],
        status: Callable[[NDArray[np.bool_], TimeFinding], tuple[str, str]],
    ) -> Candidate:
        base, alarms = self.base, self.alarms
        core = pixels & pure
        core = core if core.any() else pixels
        leading, side = leading_side(alarms.leading, alarms.side, core)
        by_day = self._day(alarms.by_day[core])
        seen = candidate_finding(base, PixelGroup(pixels, core, leading, side, by_day))
        word, reason = status(pixels, seen.found)
        outline = in_form(_outline(pixels, base.place))
        indices = tuple(name for name in base.names if self._said(name)[pixels].mean() > 0.5)
        new = np.any([one.newly_persisting[pixels].any() for one in base.states])
        centre = outline.centroid
        return Candidate(
            word, reason, seen.found.label, f"{seen.surfaces}; {seen.found.evidence}",
            base.times[seen.after], base.times[seen.first],
            area_m2(outline), GeoPoint(float(centre.y), float(centre.x)), outline,
            float(np.median(alarms.size[core])), indices, bool(new), seen.found,
        )  # fmt: skip

    def _day(self, days: NDArray[np.float32]) -> float:
        """Return the day that most pixels name: a median would name one on which nothing was taken."""
        known = days[np.isfinite(days)]
        if not len(known):
            return math.nan
        values, counts = np.unique(known, return_counts=True)
        return float(values[counts.argmax()])


def _outline(pixels: NDArray[np.bool_], place: Any) -> Any:  # noqa: ANN401  # shapely's geometries
    import geopandas as gpd
    import shapely
    from affine import Affine
    from rasterio.features import shapes

    parts = [
        shapely.geometry.shape(geometry)
        for geometry, _ in shapes(
            pixels.astype(np.uint8), mask=pixels, connectivity=4, transform=Affine(*place["transform"])
        )
    ]
    return gpd.GeoSeries([shapely.union_all(parts)], crs=place["crs"]).to_crs("EPSG:4326").iloc[0]
