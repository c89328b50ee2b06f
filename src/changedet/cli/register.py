"""``changedet register``: bring one raster onto another, or say why that cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import emit, say

if TYPE_CHECKING:
    from changedet.registration import Registration

_IMAGES = "What is registered"

Reference = Annotated[
    Path,
    typer.Option("--reference", help="The image that stays: raster, folder of bands, .SAFE, cube.",
                 rich_help_panel=_IMAGES, metavar="PATH"),
]  # fmt: skip
Moving = Annotated[
    Path,
    typer.Option("--moving", help="The image that is brought onto it.", rich_help_panel=_IMAGES,
                 metavar="PATH"),
]  # fmt: skip
File = Annotated[
    Optional[Path],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--out", "-o", help="GeoTIFF to write; without it the images are only measured.",
                 metavar="FILE"),
]  # fmt: skip
Local = Annotated[
    bool,
    typer.Option("--local/--global", help="Whether the shift may vary over the image, where that shows."),
]
MaxShift = Annotated[
    str, typer.Option("--max-shift", help="Largest shift that is sought, such as 500m.", metavar="LENGTH")
]
TiePointFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--tie-points", help="GeoPackage to write the tie points to.", metavar="FILE"),
]


def register(
    *,
    reference: Reference,
    moving: Moving,
    out: File = None,
    local: Local = True,
    max_shift: MaxShift = "500m",
    max_residual: options.MaxResidual = 0.5,
    tie_points: TiePointFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Bring one raster onto another to a fraction of a pixel; refuse rather than write a wrong alignment."""
    from changedet.errors import QualityGateError
    from changedet.output.tie_points import check_file
    from changedet.registering import RegisterSettings
    from changedet.registering import register as measure
    from changedet.site import parse_length_m

    settings = RegisterSettings(local, parse_length_m(max_shift), max_residual)
    if tie_points is not None:
        check_file(tie_points, overwrite=overwrite)
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        found = measure(reference, moving, out=out, settings=settings, overwrite=overwrite, progress=bar)
    if tie_points is not None and found.alignment is not None and found.alignment.ties is not None:
        found.save_tie_points(tie_points, overwrite=overwrite)
        say(f"tie points: {tie_points}", quiet=quiet)
    if not found.passed:
        raise QualityGateError(
            f"not comparable: {found.reason}", where=str(moving), details=_document(found, None),
            todo="give images of the same ground, or ones with fewer clouds",
        )  # fmt: skip
    _tell(found, out, as_json=as_json)


def _tell(found: Registration, out: Path | None, *, as_json: bool) -> None:
    from changedet.output.summary import registration_lines

    lines = registration_lines(found) + ([] if out is None else [f"written: {out}"])
    emit(_document(found, out), lines, as_json=as_json)


def _document(found: Registration, out: Path | None) -> dict[str, Any]:
    from changedet.provenance import to_json_types

    document = {"registration": found.to_dict(), "file": None if out is None else str(out)}
    return {name: to_json_types(part) for name, part in document.items()}
