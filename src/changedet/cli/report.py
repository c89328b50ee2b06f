"""``changedet report``: draw the report of a finished run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit
from changedet.errors import OutputExistsError

OutFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--out", "-o", help="HTML file to write; <run folder>-report.html by default.", metavar="FILE"
    ),
]


def report(
    folder: options.RunFolder,
    out: OutFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the report of a finished run again, outside its folder. No network, no imagery needed."""
    from changedet.output.folder import REPORT_NAME, open_run
    from changedet.output.report import write_report
    from changedet.provenance import read_record

    target = out or folder.resolve().with_name(f"{folder.resolve().name}-report.html")
    if target.exists() and not overwrite:
        raise OutputExistsError("is there already", where=str(target), todo="pass --overwrite to replace it")
    record = read_record(folder)
    # a report cannot hold its own digest: without it the bytes are those of the first one
    files = {name: entry for name, entry in dict(record["files"]).items() if name != REPORT_NAME}
    write_report(open_run(folder), target, record={**record, "files": files})
    emit({"report": str(target)}, [f"report: {target}"], as_json=as_json)
