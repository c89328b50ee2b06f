"""A round over the sites of a batch: who works at which, what came of each, and when the rest is left."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from changedet.attempts import Attempt, Failure
from changedet.batch import Batch, Fate, Outcome, now_text, site_folders, site_label
from changedet.errors import (
    EXIT_BUG,
    EXIT_CODES,
    InputFileError,
    InterruptedRunError,
    OutputError,
    OutputExistsError,
    QualityGateError,
    exit_code,
)
from changedet.output.whole import clear_away
from changedet.progress import Progress, Silent
from changedet.provenance import read_record, verify
from changedet.scale.executors import Lost, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from changedet.result import ChangeResult
    from changedet.scale.executors import Executor
    from changedet.site import Site

_SERIAL = Serial()
_ELSEWHERE = (
    "its worker made the run folder where it cannot be seen from here; the folder of the batch must be on a "
    "file system that all of them share"
)


def _heard_by_nobody(_trial: object) -> Progress:
    return Silent()


@dataclass(frozen=True)
class Trial:
    """One site of a batch whose turn has come.

    Attributes
    ----------
    label : str
        Its name, as tables show it.
    name : str
        Its run folder, relative to that of the batch.
    site : Site
        The site.
    folder : Path
        Its run folder, absolute: whoever makes it may work somewhere else.
    replaceable : bool
        Whether a run folder that is there may be replaced.
    number : int
        Which site of the batch it is, from 1.
    """

    label: str
    name: str
    site: Site
    folder: Path
    replaceable: bool
    number: int


@dataclass(frozen=True)
class _Trying:
    """The work at a site, and what came of it; travels to where it is done."""

    work: Callable[[Trial, Progress], ChangeResult]

    def __call__(self, trial: Trial, progress: Progress) -> tuple[Outcome, str]:
        # whoever did this before may have died between writing and saying so
        if (
            not trial.replaceable
            and (done := _found(trial.label, trial.folder, trial.name, None)) is not None
        ):
            return replace(done, earlier=False), ""
        return _tried(trial.label, trial.name, partial(self.work, trial, progress))


def run_sites(
    batch: Batch,
    work: Callable[[Trial, Progress], ChangeResult],
    *,
    overwrite: bool = False,
    executor: Executor = _SERIAL,
    hear: Callable[[Trial], Progress] = _heard_by_nobody,
) -> Iterator[Outcome]:
    """Do the same work at every site of a batch that has begun, whatever becomes of the others.

    Parameters
    ----------
    batch : Batch
        After `Batch.begin`.
    work : callable
        Takes a `Trial` and whom to tell of the steps; makes the run folder and returns what it holds. It has
        to be pickled where the executor sends it elsewhere.
    overwrite : bool
        Replace run folders; complete ones are made again.
    executor : Executor
        Who does the work.
    hear : callable
        Says whom the steps at a site are told.

    Yields
    ------
    Outcome
        One for each site as it ends; in the order of the list where one is done after the other. After an
        account is refused, a quota or limit is used up, or nothing can be written, the remaining ones are
        not tried.

    Raises
    ------
    KeyboardInterrupt
        When the user stops it; what is complete by then is on record.
    """
    yield from _Round(batch, overwrite=overwrite).outcomes(_Trying(work), executor, hear)


class _Round:
    """One round over the sites of a batch."""

    def __init__(self, batch: Batch, *, overwrite: bool) -> None:
        self._batch = batch
        self._earlier = {} if overwrite else batch.outcomes()
        self._names = site_folders(batch.sites)
        self._replaceable = frozenset(self._names) if overwrite else batch.replaceable()
        self._stopped = ""
        self._under_way: dict[str, Trial] = {}
        #: What is known without any work, until it is told.
        self._known: list[Outcome] = []

    def outcomes(
        self, work: _Trying, executor: Executor, hear: Callable[[Trial], Progress]
    ) -> Iterator[Outcome]:
        """Yield what came of every site."""
        results = executor.run(work, self._trials(), hear)
        try:
            with closing(results):  # type: ignore[type-var]  # every executor is a generator
                for trial, result in results:
                    yield from self._told()
                    del self._under_way[trial.name]
                    outcome = self._noted(trial, result)
                    yield outcome
                    if outcome.fate is Fate.INTERRUPTED:
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            yield from self._told()
            for trial in self._under_way.values():
                outcome = _interrupted(trial.label, trial.name)
                self._batch.note(outcome)
                yield outcome
            raise
        yield from self._told()

    def _told(self) -> Iterator[Outcome]:
        while self._known:
            yield self._known.pop(0)

    def _trials(self) -> Iterator[Trial]:
        """Give the sites that are to be tried, one by one, as there is somebody to work on them."""
        base = self._batch.folder.absolute()
        # a worker may have died over a site that another one then made: nobody writes beside that one again
        clear_away(*(base / name for name in self._names))
        named = zip(self._batch.sites, self._names, strict=True)
        for number, (site, name) in enumerate(named, start=1):
            label, noted = site_label(site), self._earlier.get(name)
            again = name in self._replaceable
            found = None if again else _found(label, self._batch.folder / name, name, noted)
            if found is not None:
                if noted is None or noted.fate is not found.fate:
                    self._batch.note(replace(found, earlier=False))
                self._known.append(found)
            elif self._stopped:
                reason = self._stopped
                self._known.append(Outcome(label, Fate.NOT_TRIED, name, reason=reason, time_utc=now_text()))
            else:
                self._under_way[name] = trial = Trial(label, name, site, base / name, again, number)
                yield trial

    def _noted(self, trial: Trial, result: tuple[Outcome, str] | Lost) -> Outcome:
        """Keep on record what came of a site."""
        if isinstance(result, Lost):
            outcome = _failed(trial.label, trial.name, result.reason, EXIT_BUG)
        else:
            outcome, stopped = result
            self._stopped = self._stopped or stopped
            if outcome.whole and not _can_be_seen(trial.folder):
                outcome = _failed(trial.label, trial.name, _ELSEWHERE, EXIT_CODES[OutputError])
        self._batch.note(outcome)
        return outcome


def _can_be_seen(folder: Path) -> bool:
    """Tell whether a run folder is there, asking a network file system for what is there now."""
    with suppress(OSError):
        return folder.name in {path.name for path in folder.parent.iterdir()}
    return False


def _tried(label: str, name: str, work: Callable[[], ChangeResult]) -> tuple[Outcome, str]:
    """Return what came of a site, and what is said of those after it when they are not to be tried."""
    attempt: Attempt[Outcome] = Attempt(label)
    try:
        with attempt:
            result = work()
            attempt.result = _finished(label, name, len(result.objects), result.refusals)
    except KeyboardInterrupt:
        return _interrupted(label, name), ""
    failure = attempt.failure or Failure(label, "")
    if attempt.result is not None:
        return attempt.result, ""
    return _failed(label, name, failure.reason, failure.exit_code), failure.stops


def _failed(label: str, name: str, reason: str, code: int) -> Outcome:
    return Outcome(label, Fate.FAILED, name, None, code, reason, now_text())


def _interrupted(label: str, name: str) -> Outcome:
    code = EXIT_CODES[InterruptedRunError]
    return Outcome(label, Fate.INTERRUPTED, name, None, code, "stopped by the user", now_text())


def _found(label: str, folder: Path, name: str, noted: Outcome | None) -> Outcome | None:
    """Return what the run folder of a site says; None when there is none yet."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    try:
        found = verify(folder)
        # what somebody put beside the files of the run does no harm to them
        if not (found.changed or found.missing):
            record = read_record(folder)
            refusals, count = list(record.get("refusals", ())), _candidates_of(record)
            if noted is not None and noted.whole:
                return replace(noted, earlier=True)
            return _finished(label, name, count, refusals, earlier=True)
    except (InputFileError, OSError, TypeError):
        pass
    # runs are written whole or not at all, so that this is somebody's work
    error = OutputExistsError(
        "the run folder was changed since it was made, or no run wrote it",
        where=str(folder),
        todo="move it away to have it made again; --overwrite makes all sites again",
    )
    return _failed(label, name, str(error), exit_code(error))


def _candidates_of(record: Mapping[str, Any]) -> int | None:
    counts = record.get("counts", {})
    found = counts.get("objects") if isinstance(counts, dict) else None
    return found if isinstance(found, int) else None


def _finished(
    label: str, folder: str, candidates: int | None, refusals: Sequence[str], *, earlier: bool = False
) -> Outcome:
    refused = bool(refusals)
    return Outcome(
        label,
        Fate.REFUSED if refused else Fate.COMPLETE,
        folder,
        candidates,
        EXIT_CODES[QualityGateError] if refused else 0,
        "; ".join(refusals),
        now_text(),
        earlier,
    )
