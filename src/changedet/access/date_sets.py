"""Sets of dates that together show enough of a site, and which set before matches which set after."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from changedet.pairing import season_gap_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from changedet.access.selection import Look, SelectionRules
    from changedet.scene import Scene

#: Of more dates than this, only the clearest are put together.
_MOST_COMBINED = 12
#: A season gap that no rule allows, for dates that are not known.
_UNKNOWN_GAP_DAYS = 183


@dataclass(frozen=True, eq=False)
class DateSet:
    """Dates of one period that are used as one; mostly a single one.

    Attributes
    ----------
    looks : tuple of Look
        The anchor first, which is the clearest; then by nearness in time.
    clear_share : float
        Share of the site that is clear on at least one of them.
    """

    looks: tuple[Look, ...]
    clear_share: float

    @property
    def anchor(self) -> Look:
        """The date to which the others are matched."""
        return self.looks[0]

    @property
    def spread(self) -> float:
        """How unlike the anchor the other dates are, 0 for a single date."""
        return sum(
            _days_apart(self.anchor, look) / 10 + _unlike(self.anchor, look) for look in self.looks[1:]
        )


def date_sets(looks: Sequence[Look], rules: SelectionRules, most: int) -> tuple[DateSet, ...]:
    """Return every set of dates that shows enough and from which no date can be spared.

    Parameters
    ----------
    looks : sequence of Look
        One period, in any order.
    rules : SelectionRules
        The share that must be clear, and how close together the dates of a set must lie.
    most : int
        Most dates in a set.

    Returns
    -------
    tuple of DateSet
        Small sets first, in an order that does not depend on that of `looks`.
    """
    enough: list[DateSet] = []
    within: list[frozenset[int]] = []
    for members, found in _sets(looks, rules, most):
        if found.clear_share >= rules.min_clear_share and not any(known <= members for known in within):
            enough.append(found)
            within.append(members)
    return tuple(enough)


def fullest_set(looks: Sequence[Look], rules: SelectionRules, most: int) -> DateSet:
    """Return the set of dates that shows most of the site, the smallest of equals; `looks` is not empty."""
    return max((found for _, found in _sets(looks, rules, most)), key=lambda found: found.clear_share)


def _sets(
    looks: Sequence[Look], rules: SelectionRules, most: int
) -> Iterator[tuple[frozenset[int], DateSet]]:
    """Give the single dates, then the sets of two, and so on; with the places of their members."""
    ordered = sorted(looks, key=lambda look: look.scene.id)
    for place, look in enumerate(ordered):
        yield frozenset({place}), DateSet((look,), look.clear_share)
    unclear = [place for place, look in enumerate(ordered) if _can_be_combined(look, rules)]
    unclear.sort(key=lambda place: -ordered[place].clear_share)
    usable = sorted(unclear[:_MOST_COMBINED])
    for number in range(2, most + 1):
        for places in combinations(usable, number):
            chosen = [ordered[place] for place in places]
            if _days_spanned(chosen) <= rules.max_span_days:
                yield frozenset(places), _as_one(chosen)


def _can_be_combined(look: Look, rules: SelectionRules) -> bool:
    unclear = 0 < look.clear_share < rules.min_clear_share
    known = look.clear is not None and look.scene.time is not None
    return unclear and known and look.scene.sensor != "s1"


def _as_one(looks: list[Look]) -> DateSet:
    anchor = max(looks, key=lambda look: look.clear_share)
    others = sorted(
        (look for look in looks if look is not anchor), key=lambda look: _days_apart(anchor, look)
    )
    clear = np.logical_or.reduce([look.clear for look in looks if look.clear is not None])
    return DateSet((anchor, *others), float(clear.mean()) if clear.size else 0.0)


@dataclass(frozen=True, eq=False)
class Gaps:
    """What lies between each set before and each set after: the largest gap of any of their dates.

    Attributes
    ----------
    season_days : ndarray of float64, shape (set before, set after)
        Difference of the day of year; 183 when a date is not known. 0 for radar, which sees no season.
    snow : ndarray of float64, shape (set before, set after)
        Difference of the shares under snow of what is seen; 0 for radar.
    other_geometry : ndarray of bool, shape (set before, set after)
        True where radar dates come from different orbits; always False for optical dates.
    """

    season_days: NDArray[np.float64]
    snow: NDArray[np.float64]
    other_geometry: NDArray[np.bool_]


def gaps_between(before: Sequence[DateSet], after: Sequence[DateSet]) -> Gaps:
    """Measure what lies between the sets of two periods; neither may be empty."""
    return Gaps(
        _largest(before, after, season_gap),
        _largest(before, after, snow_gap),
        _largest(before, after, _other_geometry) > 0,
    )


def best_match(
    before: Sequence[DateSet], after: Sequence[DateSet], rules: SelectionRules
) -> tuple[DateSet, DateSet] | None:
    """Return the two sets that match best, None when no two sets keep the rules.

    A single date is preferred to a composite on either side, then fewer dates to more; after that a pair is
    ranked by what is hidden, the season gap, the gap in sun elevation, whether the relative orbits differ,
    and how unlike its anchor the other dates of a composite are.
    """
    if not before or not after:
        return None
    gaps = gaps_between(before, after)
    fits = (gaps.season_days <= rules.max_season_gap_days) & (gaps.snow <= rules.max_snow_gap)
    fits &= ~gaps.other_geometry
    if not fits.any():
        return None
    effort = _outer(before, after, lambda one: 100.0 * (len(one.looks) > 1) + len(one.looks))
    fits &= effort == effort[fits].min()
    # ten days of season count like five degrees of sun, or a tenth of the site
    mismatch = _outer(before, after, lambda one: 10 * (1 - one.clear_share) + one.spread)
    mismatch += _largest([_anchor(one) for one in before], [_anchor(one) for one in after], _mismatch)
    first, second = np.unravel_index(np.where(fits, mismatch, np.inf).argmin(), mismatch.shape)
    return before[int(first)], after[int(second)]


def season_gap(first: Look, second: Look) -> int:
    """Return by how many days of the year two dates differ, 0 for radar."""
    return season_gap_of(first.scene, second.scene)


def season_gap_of(first: Scene, second: Scene) -> int:
    """Return by how many days of the year two scenes differ; 183 when a date is not known, 0 for radar."""
    if "s1" in {first.sensor, second.sensor}:
        return 0
    gap = season_gap_days(first.time, second.time)
    return _UNKNOWN_GAP_DAYS if gap is None else gap


def other_geometry(first: Scene, second: Scene) -> bool:
    """Tell whether radar looked from different or unknown orbits; False for optical scenes."""
    if "s1" not in {first.sensor, second.sensor}:
        return False
    views = {(scene.relative_orbit, scene.orbit_state) for scene in (first, second)}
    return len(views) > 1 or first.relative_orbit is None


def offset_is_assumed(scene: Scene) -> bool:
    """Tell whether the offset of any band had to be assumed: the pixels may refute it when they are read."""
    bands = [scene.assets, *(granule.assets for granule in scene.granules)]
    return any(asset.radiometry.assumed for assets in bands for asset in assets.values())


def snow_gap(first: Look, second: Look) -> float:
    """Return by how much the shares under snow of what is seen differ, 0 for radar."""
    return 0.0 if _is_radar(first, second) else abs(_snow_of_seen(first) - _snow_of_seen(second))


def same_orbit(looks: Sequence[Look]) -> bool:
    """Tell whether all dates are known to come from one relative orbit."""
    orbits = {look.scene.relative_orbit for look in looks}
    return len(orbits) == 1 and None not in orbits


def _snow_of_seen(look: Look) -> float:
    seen = 1 - look.cloud_share - look.missing_share
    return min(look.snow_share / seen, 1.0) if seen > 0 else 0.0


def _other_geometry(first: Look, second: Look) -> bool:
    return other_geometry(first.scene, second.scene)


def _is_radar(first: Look, second: Look) -> bool:
    return "s1" in {first.scene.sensor, second.scene.sensor}


def _mismatch(first: Look, second: Look) -> float:
    gap = season_gap_days(first.scene.time, second.scene.time)
    return (_UNKNOWN_GAP_DAYS if gap is None else gap) / 10 + _unlike(first, second)


def _unlike(first: Look, second: Look) -> float:
    """Weigh what else lies between two dates: five degrees of sun count one, another orbit counts one."""
    suns = first.scene.sun_elevation_deg, second.scene.sun_elevation_deg
    sun_gap = abs(suns[0] - suns[1]) if suns[0] is not None and suns[1] is not None else 0.0
    orbits = {first.scene.relative_orbit, second.scene.relative_orbit}
    return sun_gap / 5 + (1.0 if len(orbits) > 1 and None not in orbits else 0.0)


def _days_apart(first: Look, second: Look) -> float:
    times = first.scene.time, second.scene.time
    return abs((times[0] - times[1]).total_seconds()) / 86_400 if times[0] and times[1] else 0.0


def _days_spanned(looks: Sequence[Look]) -> float:
    times = [look.scene.time for look in looks if look.scene.time is not None]
    return (max(times) - min(times)).total_seconds() / 86_400


def _anchor(one: DateSet) -> DateSet:
    return DateSet((one.anchor,), one.anchor.clear_share)


def _outer(
    before: Sequence[DateSet], after: Sequence[DateSet], measure: Callable[[DateSet], float]
) -> NDArray[np.float64]:
    first, second = (np.array([measure(one) for one in sets], np.float64) for sets in (before, after))
    return np.add.outer(first, second)


def _largest(
    before: Sequence[DateSet], after: Sequence[DateSet], gap: Callable[[Look, Look], float]
) -> NDArray[np.float64]:
    """Return the largest gap between any date of each set before and any of each set after."""
    # looks are measured against each other once, however many sets they stand in
    looks = [
        list({id(look): look for one in sets for look in one.looks}.values()) for sets in (before, after)
    ]
    places = [{id(look): place for place, look in enumerate(side)} for side in looks]
    single = np.array([[gap(first, second) for second in looks[1]] for first in looks[0]], np.float64)
    rows = np.stack([single[[places[0][id(look)] for look in one.looks]].max(axis=0) for one in before])
    return np.stack(
        [rows[:, [places[1][id(look)] for look in one.looks]].max(axis=1) for one in after], axis=1
    )
