"""Which radar passes of two periods are compared: grouped by track, those most alike in season."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from changedet.access.candidates import MIN_COVERAGE, of_best_pairs
from changedet.errors import NoUsableImageryError
from changedet.pairing import season_gap_days
from changedet.radar.types import Track
from changedet.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Passes whose days of the year differ by less than this are alike: tracks repeat after 12 days.
SEASON_STEP_DAYS = 12
_SIDES = ("before", "after")


@dataclass(frozen=True)
class TrackPlan:
    """The passes of one track that are going to be compared.

    Attributes
    ----------
    track : Track
        Their geometry.
    before, after : tuple of Scene
        In order of time; at least one each.
    """

    track: Track
    before: tuple[Scene, ...]
    after: tuple[Scene, ...]

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All passes."""
        return (*self.before, *self.after)

    @property
    def coverage(self) -> float:
        """Share of the site that the fullest pass covers, 0 to 1; 1 when nobody says it."""
        return max(1.0 if one.coverage is None else one.coverage for one in self.scenes)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "orbit_state": self.track.orbit_state,
            "relative_orbit": self.track.relative_orbit,
            **{word: [scene.to_dict() for scene in getattr(self, word)] for word in _SIDES},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrackPlan:
        """Make it again from what `to_dict` gave.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.

        Returns
        -------
        TrackPlan
            With the same passes.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        before, after = (tuple(Scene.from_dict(one) for one in data[word]) for word in _SIDES)
        if not (before and after):
            raise ValueError("a track without passes")
        return cls(Track(data["orbit_state"], data["relative_orbit"]), before, after)


def choose_passes(
    before: Sequence[Scene], after: Sequence[Scene], most: int
) -> tuple[tuple[TrackPlan, ...], tuple[str, ...]]:
    """Choose which passes of two periods are compared.

    Passes are grouped by track and direction, and a track without passes in both periods is left out, as are
    passes whose track nobody states: a wall that faces the radar on one of two tracks does not on the other.
    A pass that lies in both periods says nothing. Where some passes of a track have two polarisations in both
    periods, those with one are left out.

    Of more than `most` passes of a track in a period those are taken that have a partner in the other period
    nearest in season (in steps of 12 days, after which a track repeats), then nearest in time, so that two
    periods that share no season meet where they are closest; of equals the latest. Passes that cover less
    than 95 % of the site come last, and are used with gaps.

    Parameters
    ----------
    before, after : sequence of Scene
        All that were found in each period, in any order.
    most : int
        Passes of a track and period that are taken at most.

    Returns
    -------
    tracks : tuple of TrackPlan
        The track that covers most of the site first, of equals the one with more passes.
    sentences : tuple of str
        What was taken and what was left out, for a reader.

    Raises
    ------
    NoUsableImageryError
        When a period has no pass, or no track has passes in both.
    """
    both = {scene.id for scene in before} & {scene.id for scene in after}
    before, after = ([scene for scene in side if scene.id not in both] for side in (before, after))
    for word, scenes in zip(_SIDES, (before, after), strict=True):
        if not scenes:
            raise NoUsableImageryError(
                f"no radar pass covers any of the site in the {word} period" + " alone" * bool(both),
                todo=f"widen --{word}, or try another --radar-provider",
            )
    first, second = by_track(before), by_track(after)
    common = sorted(track for track in first.keys() & second.keys() if track.relative_orbit is not None)
    if not common:
        raise _no_common_track(first, second)
    chosen = [
        TrackPlan(track, *_nearest(*_same_polarisations(first[track], second[track]), most))
        for track in common
    ]
    chosen.sort(key=lambda plan: (-round(plan.coverage, 2), -len(plan.scenes), plan.track))
    sentences = [_sentence(plan, (first[plan.track], second[plan.track])) for plan in chosen]
    return tuple(chosen), (*sentences, *_left_out(first, second, common))


def _sentence(plan: TrackPlan, found: tuple[Sequence[Scene], Sequence[Scene]]) -> str:
    """Say what was taken of all that was found of a track."""
    sides = [
        f"{_count_text(len(taken), len(there))} {word} ({_dates_text(taken)})"
        for word, taken, there in zip(_SIDES, (plan.before, plan.after), found, strict=True)
    ]
    platforms = " and ".join(sorted({scene.platform for scene in plan.scenes}))
    bands = [set(scene.assets) for scene in plan.scenes if scene.assets]
    shared = " and ".join(sorted(set.intersection(*bands), reverse=True)) if bands else ""
    also = f", {shared}" if shared else ""
    part = f"; no pass covers more than {plan.coverage:.0%} of the site" * (plan.coverage < MIN_COVERAGE)
    return f"Radar, {plan.track.label}: {sides[0]} and {sides[1]}, by {platforms}{also}{part}."


def by_track(scenes: Sequence[Scene]) -> dict[Track, list[Scene]]:
    """Group passes by their geometry.

    Parameters
    ----------
    scenes : sequence of Scene
        In any order.

    Returns
    -------
    dict of Track to list of Scene
        Each in order of time; passes whose track nobody states have none as relative orbit.
    """

    def _track(scene: Scene) -> tuple[str, int]:
        return scene.orbit_state or "unknown", scene.relative_orbit or 0

    found = {}
    for (state, orbit), group in groupby(sorted(scenes, key=_track), _track):
        found[Track(state, orbit or None)] = sorted(group, key=lambda scene: (scene.time_text, scene.id))
    return found


def _same_polarisations(before: list[Scene], after: list[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Leave out the passes with fewer polarisations where both periods have some with more."""
    most = max(len(scene.assets) for scene in (*before, *after))
    full = [[scene for scene in side if len(scene.assets) == most] for side in (before, after)]
    return (full[0], full[1]) if all(full) else (before, after)


def _nearest(
    before: Sequence[Scene], after: Sequence[Scene], most: int
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Take pairs of passes, the most alike first, until each side has as many as it may."""
    ranked = []
    for i, first in enumerate(before):
        for j, second in enumerate(after):
            gap = season_gap_days(first.time, second.time) or 0
            partial = _is_partial(first) + _is_partial(second)
            # both sides are in order of time
            ranked.append((partial, gap // SEASON_STEP_DAYS, _days_apart(first, second), -i, -j))
    places = ((-i, -j) for *_, i, j in sorted(ranked))
    first_side, second_side = of_best_pairs(places, (before, after), most)
    return tuple(first_side), tuple(second_side)


def _is_partial(scene: Scene) -> bool:
    return scene.coverage is not None and scene.coverage < MIN_COVERAGE


def _days_apart(first: Scene, second: Scene) -> int:
    if first.time is None or second.time is None:
        return 0
    return abs((second.time - first.time).days)


def _count_text(taken: int, there: int) -> str:
    of = "" if taken == there else f" of {there}"
    return f"{taken}{of} pass{'es' * (taken != 1 or taken != there)}"


def _dates_text(scenes: Sequence[Scene]) -> str:
    first, last = scenes[0].date_text, scenes[-1].date_text
    return first if first == last else f"{first} to {last}"


def _left_out(
    before: Mapping[Track, Sequence[Scene]], after: Mapping[Track, Sequence[Scene]], common: Sequence[Track]
) -> list[str]:
    """Say of each track that is not compared why."""
    told = []
    others = (before.keys() | after.keys()) - set(common)
    for track in sorted(others, key=lambda one: (one.orbit_state, one.relative_orbit or 0)):
        counts = [len(side.get(track, ())) for side in (before, after)]
        unknown = "nobody states their track, and " if track.relative_orbit is None else ""
        told.append(
            f"Radar left out: {track.label}, with {counts[0]} pass(es) before and {counts[1]} after: "
            f"{unknown}passes of different tracks cannot be compared."
        )
    return told


def _no_common_track(
    before: Mapping[Track, Sequence[Scene]], after: Mapping[Track, Sequence[Scene]]
) -> NoUsableImageryError:
    listed = [
        ", ".join(sorted(f"{len(scenes)} of {track.label}" for track, scenes in side.items()))
        for side in (before, after)
    ]
    return NoUsableImageryError(
        f"no track of radar has passes in both periods (before: {listed[0]}; after: {listed[1]})",
        todo="widen --before or --after, or try another --radar-provider",
    )
