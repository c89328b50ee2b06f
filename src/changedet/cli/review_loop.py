"""The loop in a terminal: one candidate after the other, a letter for each verdict."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from changedet.cli.console import emit, say
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from changedet.watch.runs import RunFolder
    from changedet.watch.state import StateFile

_KEYS = (
    "a accept, r reject, u unsure (a reason may follow: r harvest); n next, p previous, t TEXT note, "
    "g N go to, q quit"
)
_MOVES = {"n": 1, "p": -1, "": 1}
_VERDICTS = ("a", "r", "u")


@dataclass(frozen=True)
class _Session:
    """Where the loop stands."""

    queue: tuple[int, ...]
    place: int = 0
    note: str = ""
    recorded: int = 0
    done: bool = False
    said: frozenset[int] = field(default_factory=frozenset)

    @property
    def number(self) -> int:
        """The candidate that is shown."""
        return self.queue[self.place]

    def moved(self, steps: int) -> _Session:
        """Return the session further on, at most at an end of the queue."""
        return replace(self, place=min(max(self.place + steps, 0), len(self.queue) - 1))


@dataclass(frozen=True)
class Review:
    """What a loop works on.

    Attributes
    ----------
    state : StateFile
        Open for writing.
    run_id : int
        ``fid`` of the run.
    reviewer : str
        Who judges.
    blind : bool
        Whether the kind and the confidence are shown only after the verdict.
    seed : str
        Decides the order of blind candidates: their numbers would tell their ranks.
    """

    state: StateFile
    run_id: int
    reviewer: str
    blind: bool = False
    seed: str = ""


def start_loop(file: Path, folder: Path, reviewer: str, *, blind: bool, site_name: str) -> None:
    """Ask for verdicts on the candidates of a run until the reader has had enough.

    Parameters
    ----------
    file : Path
        The state file.
    folder : Path
        The run folder.
    reviewer : str
        Who judges; asked for when it is empty.
    blind : bool
        Whether the kind and the confidence are shown only after the verdict.
    site_name : str
        What to call the site, "" for the name of the run.
    """
    from changedet.watch.ranking import count_runs
    from changedet.watch.runs import read_run
    from changedet.watch.state import open_state

    run = read_run(folder, site_name=site_name)
    who = reviewer or _ask("your name: ").strip()
    with open_state(file, write=True) as state:
        run_id = open_run_for_review(state, run)
        review = Review(state, run_id, who, blind, seed=f"{folder.name} {who}")
        recorded = loop(review, _ask, say)
        (row,) = (row for row in count_runs(state) if row["run_id"] == run_id)
    line = f"{recorded} verdict(s) recorded in {file}; {row['open']} of {row['candidates']} open"
    emit({}, [line], as_json=False)


def open_run_for_review(state: StateFile, run: RunFolder) -> int:
    """Make a run folder known to the state file.

    Parameters
    ----------
    state : StateFile
        Open for writing.
    run : RunFolder
        From `changedet.watch.runs.read_run`.

    Returns
    -------
    int
        ``fid`` of the run.
    """
    from changedet.watch.runs import add_run, run_row

    if known := run_row(state, run):
        return int(known["fid"])
    with state.change() as change:
        return add_run(change, run)


def loop(review: Review, ask: Callable[[str], str], tell: Callable[[str], None]) -> int:
    """Show candidates and take answers until the reader quits.

    Parameters
    ----------
    review : Review
        What is judged, and by whom.
    ask : callable
        From a prompt to the line that was typed; "q" at the end of the input.
    tell : callable
        Shows a line.

    Returns
    -------
    int
        How many verdicts were recorded.
    """
    queue = _queue(review)
    if not queue:
        tell("nothing is left to judge" if review.blind else "the run flagged nothing")
        return 0
    session = _Session(queue)
    tell(_KEYS)
    while not session.done:
        hidden = review.blind and session.number not in session.said
        for line in describe(_row(review, session.number), blind=hidden):
            tell(line)
        answer = ask(f"[{session.place + 1} of {len(queue)}] > ").strip()
        session = _answered(review, session, answer, tell)
    return session.recorded


def describe(row: dict[str, Any], *, blind: bool = False) -> list[str]:
    """Return what a reader is told of a candidate.

    Parameters
    ----------
    row : dict
        Of `changedet.watch.ranking.ranked_objects`.
    blind : bool
        Leave out what the tool says of it.

    Returns
    -------
    list of str
        Lines.
    """
    dates = " and ".join(row[name][:10] or "an unknown date" for name in ("last_seen_before", "first_seen"))
    place = f"  {row['lat']:.5f}, {row['lon']:.5f}  {row['mgrs']}  {row['area_m2']:.0f} m2  between {dates}"
    if blind:
        return ["candidate, judged blind", place]
    head = f"candidate {row['number']}: {row['kind']}, confidence {row['confidence']}, rank {row['rank']}"
    lines = [head, place, f"  {row['evidence']}"]
    lines += [f"  warning: {row['warnings']}"] if row["warnings"] else []
    lines += [f"  {row[name]}" for name in ("mask", "learnt", "hint") if row[name]]
    return [*lines, f"  {verdict_text(row)}"]


def verdict_text(row: dict[str, Any]) -> str:
    """Return the verdict that stands for a candidate as a sentence.

    Parameters
    ----------
    row : dict
        Of `changedet.watch.verdicts.standing`.

    Returns
    -------
    str
    """
    if not row["verdict"]:
        return "open: nobody has judged it"
    carried = f", carried over from run {row['carried_from']}, {row['overlap']:.2f} in common"
    return (
        f"{row['verdict']} by {row['reviewer']}, {row['time_utc'][:10]}{', blind' if row['blind'] else ''}"
        f"{carried if row['carried_from'] else ''}{': ' + row['note'] if row['note'] else ''}"
    )


def _queue(review: Review) -> tuple[int, ...]:
    """Return the numbers of the candidates in the order of the review; open ones come first."""
    from changedet.watch.ranking import ranked_objects

    objects = ranked_objects(review.state, review.run_id)
    if not review.blind:
        is_open = objects["verdict"] == ""
        return (*objects["number"][is_open].tolist(), *objects["number"][~is_open].tolist())
    told = review.state.rows(
        "SELECT objects.number FROM verdicts JOIN objects ON objects.fid = verdicts.object_id"
        " WHERE objects.run_id = ? AND verdicts.reviewer = ?",
        (review.run_id, review.reviewer),
    )
    left = sorted(set(objects["number"].tolist()) - {row["number"] for row in told})
    random.Random(review.seed).shuffle(left)
    return tuple(left)


def _row(review: Review, number: int) -> dict[str, Any]:
    from changedet.watch.ranking import ranked_objects

    objects = ranked_objects(review.state, review.run_id)
    found: dict[str, Any] = objects[objects["number"] == number].to_dict("records")[0]
    return found


def _answered(review: Review, session: _Session, answer: str, tell: Callable[[str], None]) -> _Session:
    key, _, rest = answer.partition(" ")
    if key in _MOVES and not rest:
        return session.moved(_MOVES[key])
    if key == "q":
        return replace(session, done=True)
    if key == "t":
        tell(f"  note for the next verdict: {rest}" if rest else "  no note")
        return replace(session, note=rest)
    if key == "g":
        return _gone_to(session, rest, tell, blind=review.blind)
    if key in _VERDICTS:
        return _judged(review, session, key, rest or session.note, tell)
    tell(_KEYS)
    return session


def _gone_to(session: _Session, text: str, tell: Callable[[str], None], *, blind: bool) -> _Session:
    numbers = tuple(range(1, len(session.queue) + 1)) if blind else session.queue
    if text.isdecimal() and int(text) in numbers:
        return replace(session, place=numbers.index(int(text)))
    tell("  no candidate of this number here")
    return session


def _judged(review: Review, session: _Session, key: str, note: str, tell: Callable[[str], None]) -> _Session:
    from changedet.watch.verdicts import Judgement, add_verdict, parse_verdict

    blind = review.blind and session.number not in session.said
    said = Judgement(parse_verdict(key), review.reviewer, note, blind)
    try:
        with review.state.change() as change:
            add_verdict(change, (review.run_id, session.number), said)
    except UsageError as error:
        tell(f"  {error}")
        return session
    tell(f"  recorded: {said.verdict}{': ' + note if note else ''}")
    if blind:
        head, _, evidence, *_ = describe(_row(review, session.number))
        tell(f"  the tool says {head}: {evidence.strip()}")
    if session.place == len(session.queue) - 1:
        tell("  that was the last one; q ends")
    told = session.said | {session.number}
    return replace(session, note="", recorded=session.recorded + 1, said=told).moved(1)


def _ask(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else "q"
