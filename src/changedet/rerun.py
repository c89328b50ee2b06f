"""Running again what a run folder says was run."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError
from changedet.progress import Progress, Silent
from changedet.provenance import Verification, compare_folders, read_record, sha256_file
from changedet.providers.local import LocalOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from changedet.result import ChangeResult

_SILENT = Silent()


def rerun(folder: str | Path, *, progress: Progress = _SILENT) -> Verification:
    """Make the results of a run folder again and compare them byte for byte.

    Parameters
    ----------
    folder : str or Path
        A run folder whose inputs are still where run.json says.
    progress : Progress

    Returns
    -------
    Verification
        Of every data product (everything but run.json). Equal bytes can be promised for the library versions
        that run.json names.

    Raises
    ------
    InputFileError
        When the inputs were in memory only, are missing, or have changed since.
    """
    from changedet.output.folder import save

    folder = Path(folder)
    record = read_record(folder)
    result = repeat(record, where=folder, progress=progress)
    keep_images = (folder / "before.tif").is_file()
    with tempfile.TemporaryDirectory(prefix="changedet-rerun-") as scratch:
        again = save(
            result,
            Path(scratch) / folder.resolve().name,
            keep_images=keep_images,
            # what the record says of the first run is part of the report's bytes
            command=record["command"],
            started=datetime.fromisoformat(record["created_utc"]),
            progress=progress,
        )
        return compare_folders(folder, again)


def repeat(record: Mapping[str, Any], *, where: Path, progress: Progress = _SILENT) -> ChangeResult:
    """Run the comparison that a record describes.

    Raises
    ------
    InputFileError
        When it cannot be repeated, with the reason.
    """
    from dataclasses import replace

    from changedet.pipeline import DetectSettings, detect
    from changedet.site import site_from_dict

    try:
        inputs = record["inputs"]
        sides = [inputs["before"], inputs["after"]]
        for side in sides:
            _require_unaltered(side, where)
        result = detect(
            sides[0]["path"],
            sides[1]["path"],
            site=site_from_dict(inputs["site"]) if inputs["site"] else None,
            settings=DetectSettings.from_dict(inputs["settings"]),
            before_options=_options(sides[0]["options"]),
            after_options=_options(sides[1]["options"]),
            progress=progress,
        )
    except (KeyError, TypeError) as error:
        if isinstance(error, InputFileError):
            raise
        raise InputFileError(
            f"run.json does not say how the run was made ({error!r})",
            where=str(where),
            todo="run changedet detect again",
        ) from error
    return replace(result, name=record["name"])


def _require_unaltered(side: Mapping[str, Any], where: Path) -> None:
    if side.get("in_memory"):
        raise InputFileError(
            "the images were given in memory, so the run cannot be repeated from run.json",
            where=str(where),
            todo="run it again on files",
        )
    for href, digest in side["files"].items():
        path = Path(href)
        if not path.is_file():
            raise InputFileError(
                "input file of the run is missing",
                where=href,
                todo="put it back, or start from the folder in which the run was made",
            )
        if sha256_file(path) != digest:
            raise InputFileError(
                "input file has changed since the run", where=href, todo="restore the file that was used"
            )


def _options(said: Mapping[str, Any]) -> LocalOptions:
    time = said.get("time")
    return LocalOptions(
        scale=said.get("scale"),
        offset=said.get("offset"),
        nodata=said.get("nodata"),
        time=datetime.fromisoformat(time) if time else None,
    )
