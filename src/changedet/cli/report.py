"""``changedet report``: draw the report of a finished run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit

OutFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--out", "-o", help="HTML file to write; <run folder>-report.html by default.", metavar="FILE"
    ),
]
TimelineFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--timeline", help="Folder of a timeline of the site, of which the report is to tell.", metavar="DIR"
    ),
]


def report(
    folder: options.RunFolder,
    out: OutFile = None,
    overwrite: options.Overwrite = False,
    redact_coordinates: options.RedactCoordinates = None,
    timeline: TimelineFolder = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the report of a finished run again, outside its folder. No network, no imagery needed."""
    from changedet.result import ChangeResult

    target = out or folder.resolve().with_name(f"{folder.resolve().name}-report.html")
    found = ChangeResult.open(folder)
    found.report(target, overwrite=overwrite, redact_coordinates=redact_coordinates, timeline=timeline)
    emit({"report": str(target)}, [f"report: {target}"], as_json=as_json)
