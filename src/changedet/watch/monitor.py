"""One site, one pass: learn what is usual the first time, then take what is new date by date.

Everything that one date changes counts in one transaction: the arrays, the scene, the objects and the
alerts. Whoever is killed has taken the dates before it, and the next pass takes the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import shapely

from changedet.batch import site_label
from changedet.errors import ChangedetError, MissingBandError, UsageError
from changedet.frame import site_mask
from changedet.periods import Period
from changedet.watch.arrays import PreparedArrays, add_arrays, prepare_arrays, read_arrays, remove_orphans
from changedet.watch.baselines import Ground, SiteBaseline, grid_facts, learn, take
from changedet.watch.candidate_kinds import site_floor
from changedet.watch.candidates import PERSISTING, Candidate, candidate_table, find_candidates
from changedet.watch.following import FollowRules, add_alert, follow_objects
from changedet.watch.gathering import Place, find_dates, load_date, load_history, seen_scene
from changedet.watch.geopackage import blob_to_outline, to_lonlat
from changedet.watch.masks import list_masks, masked_reasons
from changedet.watch.passes import SeenScene, add_scene, begin_pass, end_pass, unseen_scenes
from changedet.watch.runs import add_objects, add_site
from changedet.watch.state import rows_of

if TYPE_CHECKING:
    import sqlite3

    from changedet.core.detection_floor import DetectionFloor
    from changedet.scene import Image, Scene
    from changedet.watch.following import Sighting
    from changedet.watch.rules import WatchRules
    from changedet.watch.state import StateFile

#: How a pass of a watch is called among the runs.
METHOD = "watch"
#: The chart of each pixel has seen it persist by then, so that one sighting is enough.
FOLLOW = FollowRules(persists_after=1)
#: A thing that goes on is noted again so often, whether it grows or not.
_AGAIN = timedelta(days=30)


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


def watch_site(state: StateFile, place: Place, span: WatchSpan) -> SitePass:
    """Look at a site once.

    Parameters
    ----------
    state : StateFile
        Open for writing, held by `changedet.watch.holding.hold`.
    place : Place
        The site and where its dates come from.
    span : WatchSpan
        Which days.

    Returns
    -------
    SitePass
        The same alerts come of many short passes as of a single long one.

    Raises
    ------
    NoUsableImageryError
        When the history holds too few dates to say what is usual.
    UsageError
        When the outline of the site is another one than before.
    ProviderError, CredentialsError, BudgetError
        When imagery cannot be had; the next pass goes on where this one ended.
    InputFileError
        When what is kept of the site is damaged.
    StateBusyError, OutputError
        When the state file cannot be changed.
    """
    name = site_label(place.site)
    with state.change() as change:
        outline = to_lonlat(place.site.geometry, "EPSG:4326")
        site_id = add_site(change, name, outline, place.site.folder)
        run_id = begin_pass(change, site_id, method=METHOD)
    one = _Pass(state, place, span, name, (site_id, run_id))
    try:
        found = one.carry_out()
    except ChangedetError as error:
        with state.change() as change:
            end_pass(change, run_id, "failed", message=str(error))
        raise
    with state.change() as change:
        end_pass(change, run_id, "done", message=done_text(found))
    return found


def close_abandoned(state: StateFile) -> int:
    """Note of passes that have begun and not ended that somebody was killed.

    Parameters
    ----------
    state : StateFile
        Open for writing, held by `changedet.watch.holding.hold`: nobody else can be at work.

    Returns
    -------
    int
        How many there were.
    """
    with state.change() as change:
        query = "SELECT fid FROM runs WHERE status = 'running' AND method = ?"
        found = rows_of(change, query, (METHOD,))
        for row in found:
            end_pass(change, row["fid"], "failed", message="was interrupted; the next pass went on")
    return len(found)


@dataclass(frozen=True, eq=False)
class _Pass:
    """A pass that has begun."""

    state: StateFile
    place: Place
    span: WatchSpan
    name: str
    ids: tuple[int, int]

    def carry_out(self) -> SitePass:
        """Learn where nothing is known yet, then take what is new."""
        self.place.provider.begin(self.place.frame.context)
        stored = read_arrays(self.state, self.name)
        learned = 0
        left: list[SeenScene] = []
        if stored is None:
            base, left = self._learn()
            learned, generation = len(base.times), 1
        else:
            base, generation = SiteBaseline.from_arrays(stored.arrays), stored.generation
            self._require_same(base)
        taken, alerts = [], 0
        start = first_moment(base.since, base.times[-1], self.place.rules)
        kept: tuple[Scene, ...] = ()
        if start <= self.span.until:
            found = find_dates(self.place, Period(start, self.span.until), self._unseen)
            kept, left = found.kept, [*left, *found.left, *found.unread]
            self._note(found.left)
        self.place.progress.step("taking dates")
        for number, scene in enumerate(kept):
            image = self._load(base, scene)
            if isinstance(image, str):
                reason = seen_scene(scene, image)
                left.append(reason)
                self._note((reason,))
                continue
            base = take(base, image)
            alerts += self._commit(base, seen_scene(scene), generation)
            generation += 1
            remove_orphans(self.state, site=self.name)
            taken.append(scene.time_text)
            self.place.progress.advance((number + 1) / len(kept))
        return SitePass(
            self.name, learned, tuple(taken), tuple(left), alerts,
            tuple(find_candidates(base, self.place.rules)), base.times[-1],
            silent_days(base.times[-1], self.span.until), base.watched_share,
            base.simulated, site_floor(base), base.since,
        )  # fmt: skip

    def _unseen(self, scenes: Any) -> list[str]:  # noqa: ANN401  # any iterable of identifiers
        return unseen_scenes(self.state, self.name, scenes)

    def _learn(self) -> tuple[SiteBaseline, list[SeenScene]]:
        """Learn what is usual; nothing counts until all of it does."""
        since, place = self.span.since, self.place
        history = Period(since - timedelta(days=place.rules.history_days), since - timedelta(seconds=1))
        found = find_dates(place, history, self._unseen)
        place.progress.step("reading the history")
        images, reference, spoilt = load_history(place, found.kept)
        images = _alike(images)
        mask = site_mask(place.site, place.frame.grid)
        base = learn(images, Ground(reference, mask, since.isoformat()), place.rules)
        used = {one.scene.id for one in images}
        prepared = self._prepared(base)
        left = [*found.left, *spoilt]
        with self.state.change() as change:
            add_arrays(change, self.state.path, self.name, prepared, replaces=0)
            for scene in (one for one in found.kept if one.id in used):
                add_scene(change, self.ids[0], seen_scene(scene))
            for one in left:
                add_scene(change, self.ids[0], one)
        return base, left

    def _require_same(self, base: SiteBaseline) -> None:
        grid = self.place.frame.grid
        facts = {"crs": str(grid.crs), "shape": [int(size) for size in grid.shape],
                 "transform": [float(number) for number in tuple(grid.transform)[:6]]}  # fmt: skip
        if facts != dict(base.place):
            raise UsageError(
                f"the outline of {self.name[:60]!r} is another one than before",
                todo="give the site another name, or watch it with another --state",
            )

    def _load(self, base: SiteBaseline, scene: Scene) -> Image | str:
        """Load a date, or say in words why it cannot be used."""
        if _moment(scene.time_text) <= _moment(base.times[-1]):
            return "came after later dates had been taken"
        image = load_date(self.place, scene, base.reference)
        if not isinstance(image, str) and (lacking := set(base.bands) - set(image.bands)):
            return f"lacks {', '.join(sorted(lacking))}"
        if not isinstance(image, str) and grid_facts(image) != dict(base.place):
            return "lies on another grid"
        return image

    def _prepared(self, base: SiteBaseline) -> PreparedArrays:
        return prepare_arrays(self.state.path, self.name, base.to_arrays())

    def _note(self, scenes: tuple[SeenScene, ...]) -> None:
        if scenes:
            with self.state.change() as change:
                for one in scenes:
                    add_scene(change, self.ids[0], one)

    def _commit(self, base: SiteBaseline, scene: SeenScene, generation: int) -> int:
        """Let everything that a date changes count at once, and return the number of new alerts."""
        settled = find_candidates(base, self.place.rules, settled_only=True)
        found = [one for one in settled if one.status == PERSISTING]
        masks = list_masks(self.state, site=self.name)
        prepared = self._prepared(base)
        with self.state.change() as change:
            add_arrays(change, self.state.path, self.name, prepared, replaces=generation)
            add_scene(change, self.ids[0], scene)
            told = _to_follow(change, self.ids[0], found, scene.time)
            return self._follow(change, told, scene, masks) if told else 0

    def _follow(
        self,
        change: sqlite3.Connection,
        found: list[Candidate],
        scene: SeenScene,
        masks: Any,  # noqa: ANN401
    ) -> int:
        table = candidate_table(found, scene.time)
        count = rows_of(change, "SELECT count(*) AS n FROM objects WHERE run_id = ?", (self.ids[1],))
        table = table.assign(id=table["id"] + count[0]["n"])
        rows = add_objects(change, self.ids, table, [{} for _ in found])
        reasons = dict(zip(rows, masked_reasons(table, masks), strict=True))
        by_row = dict(zip(rows, found, strict=True))
        alerts = 0
        for sighting in follow_objects(change, self.ids[1], FOLLOW):
            if not sighting.is_new:
                continue
            row = _date_from_change(change, sighting, by_row)
            if not reasons[row]:
                text = alert_text(self.name, by_row[row])
                alerts += add_alert(change, sighting, text, run_id=self.ids[1])
        return alerts


def done_text(found: SitePass) -> str:
    """Say in a line what came of a pass."""
    return f"{len(found.taken)} date(s) taken, {found.alerts} new alert(s)"


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
    return max(_moment(since), _moment(last) - timedelta(days=rules.overlap_days))


def silent_days(last: str, until: datetime) -> float:
    """Return the days from the last date that was used to the end of a watch."""
    return max((until - _moment(last)).total_seconds() / 86400, 0.0)


def alert_text(site: str, candidate: Candidate) -> str:
    """Say in a line what an alert is about.

    Parameters
    ----------
    site : str
        Name of the site.
    candidate : Candidate
        What persists there.

    Returns
    -------
    str
    """
    return (
        f"{site}: candidate of {candidate.kind}, {candidate.area_m2:,.0f} m2, first seen between "
        f"{candidate.after[:10]} and {candidate.by[:10]}, at {candidate.point.lat:.5f}, "
        f"{candidate.point.lon:.5f}; {candidate.evidence}"
    )


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


def _to_follow(
    change: sqlite3.Connection, site_id: int, found: list[Candidate], seen: str
) -> list[Candidate]:
    """Return what this date adds to: what is new, what grew, and everything when some time has passed."""
    query = "SELECT geom, last_seen FROM followed WHERE site_id = ?"
    recent = [
        blob_to_outline(row["geom"])
        for row in rows_of(change, query, (site_id,))
        if _moment(row["last_seen"]) + _AGAIN > _moment(seen)
    ]

    def _known(one: Candidate) -> bool:
        return any(
            shapely.area(shapely.intersection(one.outline, other))
            >= FOLLOW.overlap * min(one.outline.area, other.area)
            for other in recent
        )

    return [one for one in found if one.is_new or not _known(one)]


def _date_from_change(change: sqlite3.Connection, sighting: Sighting, by_row: dict[int, Candidate]) -> int:
    """Let a new thing begin when its ground changed, not when that had been borne out; return its object."""
    query = "SELECT fid FROM objects WHERE followed_id = ?"
    rows = [row["fid"] for row in rows_of(change, query, (sighting.followed_id,)) if row["fid"] in by_row]
    by = min(by_row[row].by for row in rows)
    change.execute("UPDATE followed SET first_seen = ? WHERE fid = ?", (by, sighting.followed_id))
    change.executemany("UPDATE objects SET first_seen = ? WHERE fid = ?", [(by_row[r].by, r) for r in rows])
    return int(rows[0])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
