"""Which dates to compare: what was seen of the site on each, and how well those before match those after.

One date in each period is compared wherever two match. Where no single date shows enough, a few that lie
close together are taken as one. Cloud is measured over the site, never taken from the tile: a tile half under
cloud may show a site clearly, or the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.access.date_sets import (
    best_match,
    date_sets,
    fullest_set,
    gaps_between,
    offset_is_assumed,
    same_orbit,
    season_gap,
)
from changedet.core.masking import SceneClass, usable_from_classes
from changedet.errors import NoUsableImageryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.access.date_sets import DateSet
    from changedet.scene import Scene

_CLOUD = (SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH, SceneClass.THIN_CIRRUS)


@dataclass(frozen=True)
class SelectionRules:
    """What two dates must have to be compared.

    Attributes
    ----------
    min_clear_share : float
        Share of the site that must be clear on each date.
    max_season_gap_days : int
        Largest difference of the day of year.
    max_snow_gap : float
        Largest difference of the shares of the seen ground that are under snow.
    max_dates : int
        Most dates that are taken as one where no single date is clear enough; 1 for never.
    max_span_days : int
        Dates that are taken as one lie within so many days: what changes between them would be mixed.

    Raises
    ------
    UsageError
        When the number of dates is not positive.
    """

    min_clear_share: float = 0.8
    max_season_gap_days: int = 45
    max_snow_gap: float = 0.1
    max_dates: int = 5
    max_span_days: int = 45

    def __post_init__(self) -> None:
        if self.max_dates < 1:
            raise UsageError(f"at most {self.max_dates} dates cannot be compared", todo="allow at least 1")


@dataclass(frozen=True)
class Look:
    """What one scene shows of a site.

    Attributes
    ----------
    scene : Scene
        The acquisition.
    clear_share, cloud_share, snow_share, missing_share : float
        Shares of the site's pixels, 0 to 1. Clear leaves out a margin round clouds and shadows, so it is less
        than one minus the others.
    clear : ndarray of bool, shape (pixel,), or None
        True for the clear ones of the site's pixels, in the order in which every look at the site has them.
        Without it the date is not put together with others.
    measured : bool
        False when nobody looked at the site: then cloud is that of the whole tile.
    rejected : str
        Why the site could not be looked at; such a date is never chosen. Empty for all others.
    """

    scene: Scene
    clear_share: float
    cloud_share: float
    snow_share: float
    missing_share: float
    clear: NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)
    measured: bool = True
    rejected: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "id": self.scene.id,
            "time_utc": self.scene.time_text,
            "clear_share": self.clear_share,
            "cloud_share": self.cloud_share,
            "snow_share": self.snow_share,
            "missing_share": self.missing_share,
            "measured": self.measured,
            "rejected": self.rejected or None,
        }


@dataclass(frozen=True)
class Choice:
    """What was chosen to be compared.

    Attributes
    ----------
    before, after : tuple of Look
        The chosen dates, the anchor first; usually it is the only one.
    sentences : tuple of str
        Why these, for a reader.
    """

    before: tuple[Look, ...]
    after: tuple[Look, ...]
    sentences: tuple[str, ...]


def look_at(scene: Scene, classes: NDArray[np.uint8], inside: NDArray[np.bool_], *, buffer_px: int) -> Look:
    """Measure what a scene shows of a site from its scene classification.

    Parameters
    ----------
    scene : Scene
        The acquisition.
    classes : ndarray of uint8, shape (y, x)
        `SceneClass` codes on a grid that covers the site, of any resolution.
    inside : ndarray of bool, shape (y, x)
        True inside the site.
    buffer_px : int
        Clouds and shadows are widened by this many pixels before the clear share is counted.

    Returns
    -------
    Look
        All shares 0 but the missing one when the site has no pixel.

    Examples
    --------
    >>> from changedet.scene import Scene
    >>> classes = np.array([[4, 4, 9, 11]], np.uint8)
    >>> look = look_at(Scene("a", "test"), classes, np.ones((1, 4), bool), buffer_px=0)
    >>> look.clear_share, look.cloud_share, look.snow_share
    (0.75, 0.25, 0.25)
    """
    size = max(int(inside.sum()), 1)
    clear = usable_from_classes(classes, dilation_px=buffer_px)

    def _share(region: NDArray[np.bool_]) -> float:
        return float((region & inside).sum() / size)

    return Look(
        scene=scene,
        clear_share=_share(clear),
        cloud_share=_share(np.isin(classes, _CLOUD)),
        snow_share=_share(classes == SceneClass.SNOW),
        missing_share=_share(classes == SceneClass.NO_DATA) if inside.any() else 1.0,
        clear=clear[inside],
    )


def look_at_radar(scene: Scene) -> Look:
    """Return what a radar scene shows of a site: all that its footprint covers, whatever the weather.

    Parameters
    ----------
    scene : Scene
        The acquisition. One that does not say its coverage is taken to cover the site.

    Returns
    -------
    Look
        Without cloud and snow.
    """
    covered = 1.0 if scene.coverage is None else scene.coverage
    return Look(scene, covered, 0.0, 0.0, 1.0 - covered)


def look_at_nothing(scene: Scene) -> Look:
    """Return what can be said of a scene before anybody looks at the site: the cloud of the whole tile.

    Parameters
    ----------
    scene : Scene
        The acquisition. One that does not say its cloud is taken to be clear.

    Returns
    -------
    Look
        Not measured, without snow.
    """
    cloud = min(max(scene.tile_cloud_share or 0.0, 0.0), 1.0)
    return Look(scene, 1.0 - cloud, cloud, 0.0, 0.0, measured=False)


def rejected_look(scene: Scene, reason: str) -> Look:
    """Return what stands for a scene that could not be looked at.

    Parameters
    ----------
    scene : Scene
        The acquisition.
    reason : str
        Why.

    Returns
    -------
    Look
        All shares 0 but the missing one.
    """
    return Look(scene, 0.0, 0.0, 0.0, 1.0, rejected=reason)


def choose_pair(before: Sequence[Look], after: Sequence[Look], rules: SelectionRules | None = None) -> Choice:
    """Choose the dates that match best: one in each period, or several as one where none is clear enough.

    Dates that are not clear enough are left out; of the pairs that remain, those with too large a season gap
    or with snow on one side only. The rest is ranked by what is hidden on either date, the season gap, the
    gap in sun elevation, and whether the relative orbits differ. Only when no pair of single dates is left,
    dates that lie close together are put together on one side, or on both: as few as show enough, every one
    of which keeps the rules with every date of the other side.

    Dates that could not be looked at are left out. Those whose radiometric offset had to be assumed are taken
    only where nothing can be chosen without them: reading their pixels may show that they cannot be used.

    Radar dates are compared only when they come from the same relative orbit and direction of flight; they
    know neither clouds nor seasons and are never put together.

    Parameters
    ----------
    before, after : sequence of Look
        What there is in each period, in any order.
    rules : SelectionRules, optional
        The default rules when not given.

    Returns
    -------
    Choice
        The same for the same looks in any order.

    Raises
    ------
    NoUsableImageryError
        With the name of the first rule that leaves nothing: no scene, too cloudy, relative orbit, season gap,
        snow.
    """
    rules = rules or SelectionRules()
    seen = [look for look in before if not look.rejected], [look for look in after if not look.rejected]
    for looks, word in zip(seen, ("before", "after"), strict=True):
        require_any(looks, word)
    sure = [[look for look in looks if not offset_is_assumed(look.scene)] for looks in seen]
    for sides in (sure, seen):
        for most in dict.fromkeys((1, rules.max_dates)):
            sets = date_sets(sides[0], rules, most), date_sets(sides[1], rules, most)
            found = best_match(*sets, rules)
            if found is not None:
                left_out = sum(map(len, seen)) - sum(map(len, sides))
                return Choice(found[0].looks, found[1].looks, _sentences(found, sides, rules, left_out))
    for looks, enough, word in zip(seen, sets, ("before", "after"), strict=True):
        if not enough:
            raise _too_cloudy(looks, word, rules)
    raise _no_match(*sets, rules)


def require_any(found: Sequence[object], word: str) -> None:
    """Refuse a period in which nothing was found.

    Parameters
    ----------
    found : sequence
        Scenes or looks of the period.
    word : str
        The period, as its option calls it.

    Raises
    ------
    NoUsableImageryError
        When there is none.
    """
    if not found:
        raise NoUsableImageryError(
            f"no scene covers the site in the {word} period",
            todo=f"widen --{word}, check the coordinate (the open sea is not imaged), "
            "or try another --provider",
        )


def no_same_orbit() -> NoUsableImageryError:
    """Return the error of radar dates that come from different orbits."""
    return NoUsableImageryError(
        "no two dates of the same relative orbit: radar looks at the ground from another side on each",
        todo="widen --before or --after",
    )


def no_same_season(which: str, days: float) -> NoUsableImageryError:
    """Return the error of dates that lie too far apart in the year, by so many days at least."""
    return NoUsableImageryError(
        f"season gap: the {which} dates lie {days:.0f} days of the year apart",
        todo="choose periods in the same weeks of the year, or raise --max-season-gap",
    )


def _too_cloudy(looks: Sequence[Look], word: str, rules: SelectionRules) -> NoUsableImageryError:
    best, together = (fullest_set(looks, rules, most) for most in (1, rules.max_dates))
    scene = best.anchor.scene
    shown = f"{best.clear_share:.0%} of the site"
    if scene.sensor == "s1":
        return NoUsableImageryError(
            f"too little covered: of {len(looks)} radar scene(s) in the {word} period the best, "
            f"{scene.date_text}, covers {shown}",
            todo=f"widen --{word}, or choose a smaller site",
        )
    more = len(together.looks)
    even = f", and even {more} dates together show only {together.clear_share:.0%}" if more > 1 else ""
    return NoUsableImageryError(
        f"too cloudy: the clearest of {len(looks)} scene(s) in the {word} period, {scene.date_text}, "
        f"shows {shown}{even}",
        todo=f"widen --{word}, or lower --min-clear",
    )


def _no_match(
    before: Sequence[DateSet], after: Sequence[DateSet], rules: SelectionRules
) -> NoUsableImageryError:
    gaps = gaps_between(before, after)
    if gaps.other_geometry.all():
        return no_same_orbit()
    seasonal = (gaps.season_days <= rules.max_season_gap_days) & ~gaps.other_geometry
    if not seasonal.any():
        return no_same_season("best clear", gaps.season_days[~gaps.other_geometry].min())
    return NoUsableImageryError(
        f"snow on one side only: {gaps.snow[seasonal].min():.0%} of what is seen at least",
        todo="choose periods without snow, or with snow on both",
    )


def _sentences(
    found: tuple[DateSet, DateSet], looks: Sequence[Sequence[Look]], rules: SelectionRules, left_out: int
) -> tuple[str, ...]:
    sides = zip(("Before", "After"), found, looks, strict=True)
    told = [_told(word, chosen, side, rules) for word, chosen, side in sides]
    if left_out:
        told.append(f"Set aside: {left_out} date(s) whose radiometric offset would have to be assumed.")
    gap = max(season_gap(first, second) for first in found[0].looks for second in found[1].looks)
    if found[0].anchor.scene.sensor == "s1":
        return (*told, "Both radar dates come from the same relative orbit.")
    looks_of_both = [*found[0].looks, *found[1].looks]
    several = len(looks_of_both) > 2
    other = "different or unknown relative orbits" if several else "another or an unknown relative orbit"
    orbit = "the same relative orbit" if same_orbit(looks_of_both) else other
    return (*told, f"The dates lie {'at most ' * several}{gap} days of the year apart and come from {orbit}.")


def _told(word: str, chosen: DateSet, looks: Sequence[Look], rules: SelectionRules) -> str:
    anchor = chosen.anchor
    if not anchor.measured:
        return (
            f"{word}: {anchor.scene.date_text}, {anchor.cloud_share:.0%} of the whole tile under cloud, the "
            f"site not looked at yet, chosen from {len(looks)} date(s)."
        )
    if len(chosen.looks) == 1:
        shown = "covered" if anchor.scene.sensor == "s1" else "clear"
        return (
            f"{word}: {anchor.scene.date_text}, {anchor.clear_share:.0%} of the site {shown}, "
            f"chosen from {len(looks)} date(s)."
        )
    *first, last = sorted(look.scene.date_text for look in chosen.looks)
    enough = f"{rules.min_clear_share:.0%} of the site"
    if any(look.clear_share >= rules.min_clear_share for look in looks):
        reason = f"since none that alone shows {enough} matches the other period"
    else:
        reason = f"since none alone shows {enough}"
    return (
        f"{word}: a composite of {len(chosen.looks)} dates, {', '.join(first)} and {last}, {reason}; the "
        f"clearest, {anchor.scene.date_text}, shows {anchor.clear_share:.0%}, all together "
        f"{chosen.clear_share:.0%}; chosen from {len(looks)} dates."
    )
