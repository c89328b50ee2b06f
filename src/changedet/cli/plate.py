"""``changedet plate``: draw one plate of a finished run for publication."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit

OutFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--out", "-o", help="PNG or PDF to write; <run folder>-plate.png by default.", metavar="FILE"
    ),
]
Candidate = Annotated[
    int, typer.Option("--object", help="Number of the candidate to show; 0 for the whole site.", min=0)
]


def plate(
    folder: options.RunFolder,
    out: OutFile = None,
    number: Candidate = 0,
    overwrite: options.Overwrite = False,
    redact_coordinates: options.RedactCoordinates = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw a captioned plate of a finished run, 300 dpi, PNG or PDF. No network, no imagery needed."""
    from changedet.result import ChangeResult

    name = f"{folder.resolve().name}-{f'object-{number}' if number else 'plate'}.png"
    target = out or folder.resolve().with_name(name)
    found = ChangeResult.open(folder)
    found.plate(target, number=number, overwrite=overwrite, redact_coordinates=redact_coordinates)
    emit({"plate": str(target)}, [f"plate: {target}"], as_json=as_json)
