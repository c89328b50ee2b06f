"""``changedet verify``: check that a run folder still holds what it promised, and that it can be redone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import emit
from changedet.errors import VerificationError

if TYPE_CHECKING:
    from changedet.provenance import Verification

Rerun = Annotated[
    bool, typer.Option("--rerun", help="Run again from run.json and compare the data products byte for byte.")
]


def verify(
    folder: options.RunFolder,
    *,
    rerun: Rerun = False,
    cache: options.Cache = None,
    max_pu: options.MaxUnits = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Recompute the hash of every file of a run folder; with --rerun, make the results again."""
    from changedet.provenance import verify as check
    from changedet.rerun import Fetching
    from changedet.rerun import rerun as repeat

    checks = {"hashes": check(folder)}
    if rerun and checks["hashes"].passed:
        with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
            checks["rerun"] = repeat(folder, fetching=Fetching(cache, max_pu), progress=bar)
    failed = [name for name, found in checks.items() if not found.passed]
    document = {"folder": str(folder), "passed": not failed}
    document |= {name: _document(found) for name, found in checks.items()}
    if not as_json or not failed:
        lines = [line for name, found in checks.items() for line in _lines(name, found)]
        emit(document, lines, as_json=as_json)
    if failed:
        found = checks[failed[0]]
        wrong = (*found.changed, *found.missing, *found.unexpected)
        raise VerificationError(
            f"{failed[0]}: {len(wrong)} file(s) differ ({', '.join(wrong[:5])})",
            where=str(folder),
            todo="use an unaltered copy of the run folder"
            if failed == ["hashes"]
            else "compare the library versions in run.json with those of changedet doctor",
            details=document,
        )


def _document(found: Verification) -> dict[str, Any]:
    return {"passed": found.passed} | {name: list(paths) for name, paths in asdict(found).items()}


def _lines(name: str, found: Verification) -> list[str]:
    word = {"hashes": "unaltered", "rerun": "reproduced byte for byte"}[name]
    listed = (
        ("changed", found.changed),
        ("missing", found.missing),
        ("unexpected", found.unexpected),
        ("left by viewers", found.left_by_viewers),
    )
    return [f"{name}: {len(found.ok)} file(s) {word}"] + [
        f"  {label}: {path}" for label, paths in listed for path in paths
    ]
