"""Which of the scenes that were found are worth a look: those that have a partner in the other period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changedet.access.date_sets import offset_is_assumed, other_geometry, season_gap_of
from changedet.access.selection import no_same_orbit, no_same_season, require_any
from changedet.errors import NoUsableImageryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from changedet.access.selection import SelectionRules
    from changedet.scene import Scene

#: No more optical scenes than this are looked at in each period; looking at radar costs nothing.
MOST_LOOKS = 12
#: Footprints must cover this share of the site.
MIN_COVERAGE = 0.95


def worth_a_look(
    before: Sequence[Scene], after: Sequence[Scene], rules: SelectionRules
) -> tuple[list[Scene], list[Scene]]:
    """Leave out the scenes that match none of the other period, then all but the most promising.

    A partner is a scene of the other period within the season gap; for radar, one of the same relative orbit
    and direction of flight. Of more than `MOST_LOOKS` optical scenes on a side those stay whose pairs have
    the least cloud over their tiles and the smallest season gap. Scenes whose radiometric offset had to be
    assumed come last.

    Parameters
    ----------
    before, after : sequence of Scene
        All that were found in each period, in any order.
    rules : SelectionRules
        The largest season gap.

    Returns
    -------
    tuple of two lists of Scene
        Before and after, in the order given; each scene has a partner in the other list.

    Raises
    ------
    NoUsableImageryError
        When a period has no scene, or none that covers the site, or no two scenes match.
    """
    sides = _covering(before, "before"), _covering(after, "after")
    pairs = _pairs(*sides, rules)
    radar = sides[0][0].sensor == "s1"
    if not pairs:
        raise no_same_orbit() if radar else _other_seasons(*sides)
    most = max(map(len, sides)) if radar else MOST_LOOKS
    return of_best_pairs(pairs, sides, most)


def of_best_pairs(
    pairs: Iterable[tuple[int, int]], sides: tuple[Sequence[Scene], Sequence[Scene]], most: int
) -> tuple[list[Scene], list[Scene]]:
    """Take the scenes of pairs, the best pair first, until each side has as many as it may.

    Parameters
    ----------
    pairs : iterable of (int, int)
        Places in the sides, the best pair first.
    sides : tuple of two sequences of Scene
        Before and after.
    most : int
        No more than this of each side; a pair that needs one more is passed over.

    Returns
    -------
    tuple of two lists of Scene
        Before and after, in the order given.
    """
    kept: tuple[set[int], set[int]] = set(), set()
    for pair in pairs:
        if all(place in side or len(side) < most for place, side in zip(pair, kept, strict=True)):
            for place, side in zip(pair, kept, strict=True):
                side.add(place)
    first, second = ([side[place] for place in sorted(own)] for side, own in zip(sides, kept, strict=True))
    return first, second


def without_cloudy_tiles(scenes: Sequence[Scene], most: float, word: str) -> list[Scene]:
    """Leave out scenes whose whole tile is clouded.

    Parameters
    ----------
    scenes : sequence of Scene
        All of one period; those of which nobody says the cloud stay.
    most : float
        Largest share of cloud over the tile, 0..1.
    word : str
        The period, as its option calls it.

    Returns
    -------
    list of Scene
        In the order given.

    Raises
    ------
    NoUsableImageryError
        When there are scenes and all of them are clouded.
    """
    found = [scene for scene in scenes if _tile_cloud(scene) <= most]
    if scenes and not found:
        best = min(scenes, key=lambda scene: (_tile_cloud(scene), scene.id))
        raise NoUsableImageryError(
            f"all {len(scenes)} scene(s) in the {word} period have more than {most:.0%} cloud over their "
            f"tiles; the clearest, {best.date_text}, has {_tile_cloud(best):.0%}",
            todo=f"raise --max-tile-cloud, or widen --{word}",
        )
    return found


def _covering(scenes: Sequence[Scene], word: str) -> list[Scene]:
    require_any(scenes, word)
    whole = [scene for scene in scenes if scene.coverage is None or scene.coverage >= MIN_COVERAGE]
    if not whole:
        raise NoUsableImageryError(
            f"none of {len(scenes)} scene(s) in the {word} period covers the whole site",
            todo=f"choose a smaller site, or widen --{word}",
        )
    return whole


def _pairs(before: Sequence[Scene], after: Sequence[Scene], rules: SelectionRules) -> list[tuple[int, int]]:
    """Return the places of all scenes that match, the most promising first."""
    doubts, clouds = (
        [[measure(scene) for scene in side] for side in (before, after)]
        for measure in (offset_is_assumed, _tile_cloud)
    )
    found = []
    for i, first in enumerate(before):
        for j, second in enumerate(after):
            gap = season_gap_of(first, second)
            if gap > rules.max_season_gap_days or other_geometry(first, second):
                continue
            # ten days of season count like a tenth of the tile, as they do when dates are chosen
            weight = clouds[0][i] + clouds[1][j] + gap / 100
            found.append((doubts[0][i] + doubts[1][j], weight, first.id, second.id, i, j))
    return [(i, j) for *_, i, j in sorted(found)]


def _tile_cloud(scene: Scene) -> float:
    return scene.tile_cloud_share or 0.0


def _other_seasons(before: Sequence[Scene], after: Sequence[Scene]) -> NoUsableImageryError:
    gap = min(season_gap_of(first, second) for first in before for second in after)
    return no_same_season("nearest", gap)
