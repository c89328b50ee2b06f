"""Which two dates to compare: what was seen of the site on each, and how well two dates match.

Cloud is measured over the site, never taken from the tile: a tile half under cloud may show a site clearly,
or the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.masking import SceneClass, usable_from_classes
from changedet.errors import NoUsableImageryError
from changedet.pairing import season_gap_days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
        Largest difference of the shares of the site under snow.
    """

    min_clear_share: float = 0.8
    max_season_gap_days: int = 45
    max_snow_gap: float = 0.1


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
    """

    scene: Scene
    clear_share: float
    cloud_share: float
    snow_share: float
    missing_share: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "id": self.scene.id,
            "time_utc": self.scene.time_text,
            "clear_share": self.clear_share,
            "cloud_share": self.cloud_share,
            "snow_share": self.snow_share,
            "missing_share": self.missing_share,
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

    def _share(region: NDArray[np.bool_]) -> float:
        return float((region & inside).sum() / size)

    return Look(
        scene=scene,
        clear_share=_share(usable_from_classes(classes, dilation_px=buffer_px)),
        cloud_share=_share(np.isin(classes, _CLOUD)),
        snow_share=_share(classes == SceneClass.SNOW),
        missing_share=_share(classes == SceneClass.NO_DATA) if inside.any() else 1.0,
    )


def choose_pair(before: Sequence[Look], after: Sequence[Look], rules: SelectionRules | None = None) -> Choice:
    """Choose the two dates that match best.

    Dates that are not clear enough are left out; of the pairs that remain, those with too large a season gap
    or with snow on one side only. The rest is ranked by what is hidden on either date, the season gap, the
    gap in sun elevation, and whether the relative orbits differ.

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
        With the name of the first rule that leaves nothing: no scene, too cloudy, season gap, snow.
    """
    rules = rules or SelectionRules()
    clear = [_clear_enough(looks, word, rules) for looks, word in ((before, "before"), (after, "after"))]
    pairs = [(first, second) for first in clear[0] for second in clear[1]]
    pairs = _same_season(pairs, rules)
    pairs = _same_snow(pairs, rules)
    first, second = min(pairs, key=_mismatch)
    return Choice((first,), (second,), _sentences(first, second, len(before), len(after)))


def _clear_enough(looks: Sequence[Look], word: str, rules: SelectionRules) -> list[Look]:
    if not looks:
        raise NoUsableImageryError(
            f"no scene covers the site in the {word} period",
            todo=f"widen --{word}, or try another --provider",
        )
    found = [look for look in looks if look.clear_share >= rules.min_clear_share]
    if not found:
        best = max(looks, key=lambda look: look.clear_share)
        raise NoUsableImageryError(
            f"too cloudy: the clearest of {len(looks)} scene(s) in the {word} period, "
            f"{best.scene.date_text}, shows {best.clear_share:.0%} of the site",
            todo=f"widen --{word}, or lower --min-clear",
        )
    return found


def _same_season(pairs: list[tuple[Look, Look]], rules: SelectionRules) -> list[tuple[Look, Look]]:
    found = [pair for pair in pairs if _season_gap(pair) <= rules.max_season_gap_days]
    if not found:
        raise NoUsableImageryError(
            f"season gap: the best clear dates lie {min(map(_season_gap, pairs))} days of the year apart",
            todo="choose periods in the same weeks of the year, or raise --max-season-gap",
        )
    return found


def _same_snow(pairs: list[tuple[Look, Look]], rules: SelectionRules) -> list[tuple[Look, Look]]:
    found = [pair for pair in pairs if _snow_gap(pair) <= rules.max_snow_gap]
    if not found:
        raise NoUsableImageryError(
            f"snow on one side only: {min(map(_snow_gap, pairs)):.0%} of the site at least",
            todo="choose periods without snow, or with snow on both",
        )
    return found


def _season_gap(pair: tuple[Look, Look]) -> int:
    gap = season_gap_days(pair[0].scene.time, pair[1].scene.time)
    return 183 if gap is None else gap


def _snow_gap(pair: tuple[Look, Look]) -> float:
    return abs(pair[0].snow_share - pair[1].snow_share)


def _mismatch(pair: tuple[Look, Look]) -> tuple[float, str, str]:
    """Rank a pair: hidden ground counts most, then ten days of season or five degrees of sun count alike."""
    first, second = pair
    hidden = 2.0 - first.clear_share - second.clear_share
    suns = first.scene.sun_elevation_deg, second.scene.sun_elevation_deg
    sun_gap = abs(suns[0] - suns[1]) if suns[0] is not None and suns[1] is not None else 0.0
    orbits = first.scene.relative_orbit, second.scene.relative_orbit
    other_orbit = None not in orbits and orbits[0] != orbits[1]
    badness = 10 * hidden + _season_gap(pair) / 10 + sun_gap / 5 + (1.0 if other_orbit else 0.0)
    # the ids make the choice independent of the order in which a catalogue answers
    return badness, first.scene.id, second.scene.id


def _sentences(first: Look, second: Look, number_before: int, number_after: int) -> tuple[str, ...]:
    gap = season_gap_days(first.scene.time, second.scene.time)
    orbits = first.scene.relative_orbit, second.scene.relative_orbit
    same = "the same" if orbits[0] == orbits[1] and None not in orbits else "another or an unknown"
    return (
        f"Before: {first.scene.date_text}, {first.clear_share:.0%} of the site clear, "
        f"chosen from {number_before} date(s).",
        f"After: {second.scene.date_text}, {second.clear_share:.0%} of the site clear, "
        f"chosen from {number_after} date(s).",
        f"The dates lie {gap} days of the year apart and come from {same} relative orbit.",
    )
