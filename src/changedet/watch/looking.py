"""One look at a site: what is usual is learnt the first time, then what is new is taken date by date.

Nothing is written here. What is known of the site is told beforehand, and what each date changes is given
back: so a look may be taken anywhere, and taken again when it comes to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from changedet.batch import site_label
from changedet.errors import MissingBandError, UsageError
from changedet.frame import site_mask
from changedet.periods import Period
from changedet.watch.baselines import Ground, SiteBaseline, grid_facts, learn, take
from changedet.watch.candidate_kinds import site_floor
from changedet.watch.candidates import PERSISTING, Candidate, find_candidates
from changedet.watch.gathering import FoundDates, Place, find_dates, load_date, load_history, seen_scene
from changedet.watch.passes import unseen_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from changedet.core.detection_floor import DetectionFloor
    from changedet.scene import Image, Scene
    from changedet.watch.arrays import ArrayFile
    from changedet.watch.passes import SeenScene
    from changedet.watch.rules import WatchRules


@dataclass(frozen=True)
class WatchSpan:
    """Which days are watched.

    Attributes
    ----------
    since : datetime
        The first one, of a site that has not been watched before; the history ends there.
    until : datetime
        The last moment.
    """

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise UsageError("the watch ends before it begins", todo="put --since before --until")


@dataclass(frozen=True)
class SitePass:
    """What a pass found at a site.

    Attributes
    ----------
    site : str
        Its name, with the group it belongs to.
    learned : int
        Dates of the history that were learned from; 0 when the site was known.
    taken : tuple of str
        UTC times of the dates that were taken.
    left : tuple of SeenScene
        Scenes that were not used, with the reason.
    alerts : int
        New alerts.
    candidates : tuple of Candidate
        What differs after the last date: persisting, provisional, set aside.
    last : str
        UTC time of the last date that was used, also by earlier passes.
    silent_days : float
        From then to the end of the watch.
    watched_share : float
        Share of the site of which the history says what is usual.
    simulated : bool
        Whether any date was simulated.
    floor : DetectionFloor or None
        Which maintenance its dates could not show.
    since : str
        The first day that is watched.
    """

    site: str
    learned: int
    taken: tuple[str, ...]
    left: tuple[SeenScene, ...]
    alerts: int
    candidates: tuple[Candidate, ...]
    last: str
    silent_days: float
    watched_share: float
    simulated: bool = False
    floor: DetectionFloor | None = None
    since: str = ""

    def of(self, status: str) -> tuple[Candidate, ...]:
        """Return the candidates of a status."""
        return tuple(one for one in self.candidates if one.status == status)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "site": self.site, "learned_dates": self.learned, "taken_utc": list(self.taken),
            "left_out": [{"scene": one.id, "time_utc": one.time, "reason": one.reason} for one in self.left],
            "new_alerts": self.alerts, "candidates": [one.to_dict() for one in self.candidates],
            "last_used_utc": self.last, "silent_days": round(self.silent_days, 1),
            "watched_share": round(self.watched_share, 3), "simulated": self.simulated,
            "detection_floor": None if self.floor is None else self.floor.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class Recalled:
    """What is known of a site before it is looked at.

    Attributes
    ----------
    seen : frozenset of str
        Identifiers of the scenes that were looked at.
    stored : ArrayFile or None
        What is kept of its pixels; None when it was never learnt what is usual.
    """

    seen: frozenset[str]
    stored: ArrayFile | None


@dataclass(frozen=True, eq=False)
class Step:
    """What counts together or not at all: a history, a date, or scenes of no use.

    Attributes
    ----------
    scenes : tuple of SeenScene
        What was looked at; of a date, the date.
    generation : int
        Which generation the arrays are; 0 when nothing of them changed.
    arrays : mapping of str to ndarray, or None
        What is kept of the site from then on.
    found : tuple of Candidate
        What persists after a date.
    """

    scenes: tuple[SeenScene, ...]
    generation: int = 0
    arrays: Mapping[str, NDArray[Any]] | None = None
    found: tuple[Candidate, ...] = ()


def look_at_site(place: Place, span: WatchSpan, recalled: Recalled) -> Iterator[Step | SitePass]:
    """Look at a site once.

    Parameters
    ----------
    place : Place
        The site and where its dates come from.
    span : WatchSpan
        Which days.
    recalled : Recalled
        What is known of it.

    Yields
    ------
    Step or SitePass
        What each date changes, in the order in which it is to count; what was found in the end, of which
        nobody has counted the alerts yet.

    Raises
    ------
    NoUsableImageryError, UsageError, ProviderError, CredentialsError, BudgetError, InputFileError
        As `changedet.watch.monitor.watch_site`; what was given by then counts.
    """
    yield from _Look(place, span, recalled).carry_out()


@dataclass(frozen=True, eq=False)
class _Look:
    """A look that has begun."""

    place: Place
    span: WatchSpan
    recalled: Recalled

    def carry_out(self) -> Iterator[Step | SitePass]:
        """Learn where nothing is known yet, then take what is new."""
        place, stored = self.place, self.recalled.stored
        place.provider.begin(place.frame.context)
        used: list[SeenScene] = []
        left: list[SeenScene] = []
        if stored is None:
            base, used, left = self._learn()
            learned, generation = len(base.times), 1
            yield Step((*used, *left), generation, base.to_arrays())
        else:
            base, learned, generation = SiteBaseline.from_arrays(stored.read()), 0, stored.generation
            self._require_same(base)
        taken: list[str] = []
        found = self._new(base, self.recalled.seen.union(one.id for one in (*used, *left)))
        left += [*found.left, *found.unread]
        if found.left:
            yield Step(found.left)
        place.progress.step("taking dates")
        for number, scene in enumerate(found.kept):
            image = self._load(base, scene)
            if isinstance(image, str):
                left.append(seen_scene(scene, image))
                yield Step((left[-1],))
                continue
            base, generation = take(base, image), generation + 1
            yield Step((seen_scene(scene),), generation, base.to_arrays(), self._persisting(base))
            taken.append(scene.time_text)
            place.progress.advance((number + 1) / len(found.kept))
        yield SitePass(
            site_label(place.site), learned, tuple(taken), tuple(left), 0,
            tuple(find_candidates(base, place.rules)), base.times[-1],
            silent_days(base.times[-1], self.span.until), base.watched_share,
            base.simulated, site_floor(base), base.since,
        )  # fmt: skip

    def _new(self, base: SiteBaseline, seen: frozenset[str]) -> FoundDates:
        start = first_moment(base.since, base.times[-1], self.place.rules)
        if start > self.span.until:
            return FoundDates((), ())
        return find_dates(self.place, Period(start, self.span.until), partial(unseen_of, seen))

    def _persisting(self, base: SiteBaseline) -> tuple[Candidate, ...]:
        settled = find_candidates(base, self.place.rules, settled_only=True)
        return tuple(one for one in settled if one.status == PERSISTING)

    def _learn(self) -> tuple[SiteBaseline, list[SeenScene], list[SeenScene]]:
        """Learn what is usual, from which dates, and which were of no use."""
        since, place = self.span.since, self.place
        history = Period(since - timedelta(days=place.rules.history_days), since - timedelta(seconds=1))
        found = find_dates(place, history, partial(unseen_of, self.recalled.seen))
        place.progress.step("reading the history")
        images, reference, spoilt = load_history(place, found.kept)
        images = _alike(images)
        mask = site_mask(place.site, place.frame.grid)
        base = learn(images, Ground(reference, mask, since.isoformat()), place.rules)
        ids = {one.scene.id for one in images}
        used = [seen_scene(scene) for scene in found.kept if scene.id in ids]
        return base, used, [*found.left, *spoilt]

    def _require_same(self, base: SiteBaseline) -> None:
        grid = self.place.frame.grid
        facts = {"crs": str(grid.crs), "shape": [int(size) for size in grid.shape],
                 "transform": [float(number) for number in tuple(grid.transform)[:6]]}  # fmt: skip
        if facts != dict(base.place):
            raise UsageError(
                f"the outline of {site_label(self.place.site)[:60]!r} is another one than before",
                todo="give the site another name, or watch it with another --state",
            )

    def _load(self, base: SiteBaseline, scene: Scene) -> Image | str:
        """Load a date, or say in words why it cannot be used."""
        if moment_of(scene.time_text) <= moment_of(base.times[-1]):
            return "came after later dates had been taken"
        image = load_date(self.place, scene, base.reference)
        if not isinstance(image, str) and (lacking := set(base.bands) - set(image.bands)):
            return f"lacks {', '.join(sorted(lacking))}"
        if not isinstance(image, str) and grid_facts(image) != dict(base.place):
            return "lies on another grid"
        return image


def first_moment(since: str, last: str, rules: WatchRules) -> datetime:
    """Return from when on a site that is known is searched for what is new.

    Parameters
    ----------
    since : str
        The first day that is watched.
    last : str
        UTC time of the last date that was used.
    rules : WatchRules
        How long before it what came late is looked for.

    Returns
    -------
    datetime
    """
    return max(moment_of(since), moment_of(last) - timedelta(days=rules.overlap_days))


def silent_days(last: str, until: datetime) -> float:
    """Return the days from the last date that was used to the end of a watch."""
    return max((until - moment_of(last)).total_seconds() / 86400, 0.0)


def moment_of(text: str) -> datetime:
    """Return the moment that a text names; UTC where it does not say.

    Parameters
    ----------
    text : str
        ISO 8601.

    Returns
    -------
    datetime
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _alike(images: list[Image]) -> list[Image]:
    """Bring the dates of a history to the bands that all of them have."""
    if not images:
        return images
    common = set.intersection(*(set(one.bands) for one in images))
    bands = tuple(name for name in images[0].bands if name in common)
    if not bands:
        raise MissingBandError("the dates of the history have no band in common",
                               todo="choose another --provider")  # fmt: skip
    return [one if one.bands == bands else one.select(bands) for one in images]
