"""Verdicts that are given while looking: kept in the notebook, and in a state file where one is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import UsageError
from changedet.watch.geopackage import utc_text
from changedet.watch.verdicts import Judgement, parse_verdict, record, standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from changedet.result import ChangeResult


@dataclass(frozen=True)
class VerdictBook:
    """Where verdicts go, and which there are.

    Attributes
    ----------
    folder : Path or None
        The run folder, when there is one.
    state_file : Path or None
        State file that keeps them; None for the notebook alone.
    site_name : str
        What the state file calls the site; the name of the run when empty.
    blind : bool
        True when kind and score are not shown before the verdict.
    given : mapping of int to dict
        Last verdict by the number of the candidate, as texts.
    """

    folder: Path | None
    state_file: Path | None
    site_name: str
    blind: bool
    given: Mapping[int, dict[str, str]]

    def judge(self, number: int, word: str, note: str, reviewer: str) -> VerdictBook:
        """Add a verdict.

        Parameters
        ----------
        number : int
            ``id`` of the candidate.
        word : str
            Accepted, rejected or unsure.
        note, reviewer : str
            Why, and who says so.

        Returns
        -------
        VerdictBook
            With the verdict in it, and in the state file where there is one.

        Raises
        ------
        UsageError
            When nobody is named, a text is too long, or there is no such candidate.
        InputFileError, StateBusyError
            When the state file cannot be written.
        """
        # a second verdict on a candidate is given by someone who has seen what the tool says of it
        blind = self.blind and number not in self.given
        said = Judgement(parse_verdict(word), reviewer, note, blind, datetime.now(UTC))
        if self.state_file is not None and self.folder is not None:
            record(self.state_file, self.folder, number, said, site_name=self.site_name)
        return replace(self, given={**self.given, number: _told(said)})


def open_book(
    result: ChangeResult, state_file: str | Path | None = None, *, site_name: str = "", blind: bool = False
) -> VerdictBook:
    """Open the verdicts on a result, with those that a state file holds already.

    Parameters
    ----------
    result : ChangeResult
        What is judged.
    state_file : str or Path, optional
        Made when it is not there, and told of the run.
    site_name : str
        What the state file calls the site.
    blind : bool
        True when kind and score are not shown before the verdict.

    Returns
    -------
    VerdictBook

    Raises
    ------
    UsageError
        When a state file is named and the result has no run folder.
    InputFileError, StateBusyError
        When the folder or the state file cannot be used.
    """
    if state_file is None:
        return VerdictBook(result.folder, None, site_name, blind, {})
    if result.folder is None:
        raise UsageError(
            "verdicts in a state file belong to a run folder, and this result has none",
            todo='save it and open it again: ChangeResult.open(result.save("runs/name"))',
        )
    return VerdictBook(
        result.folder,
        Path(state_file),
        site_name,
        blind,
        _standing(result.folder, Path(state_file), site_name),
    )


def _standing(folder: Path, state_file: Path, site_name: str) -> dict[int, dict[str, str]]:
    """Return the verdicts that stand for the candidates of a run, also those carried over from others."""
    from changedet.watch.runs import add_run, read_run
    from changedet.watch.state import open_state

    run = read_run(folder, site_name=site_name)
    with open_state(state_file, write=True) as state:
        with state.change() as change:
            run_id = add_run(change, run)
        rows = standing(state, run_id)
    found = rows[rows["verdict"] != ""].to_dict("records")
    return {
        int(row["number"]): {
            "verdict": str(row["verdict"]), "reviewer": str(row["reviewer"]), "note": str(row["note"]),
            "time": str(row["time_utc"]),
        }
        for row in found
    }  # fmt: skip


def _told(said: Judgement) -> dict[str, Any]:
    return {
        "verdict": said.verdict.value,
        "reviewer": said.reviewer.strip(),
        "note": said.note.strip(),
        "time": utc_text(said.time or datetime.now(UTC)),
    }
