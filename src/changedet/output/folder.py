"""The run folder: everything a run leaves behind, written whole or not at all, and opened again."""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.normalization import Normalization
from changedet.errors import (
    ChangedetError,
    InputFileError,
    OutputExistsError,
    UsageError,
    VerificationError,
)
from changedet.json_texts import OTHER_SHAPE, require_types
from changedet.output.geotiff import read_image, read_raster, stored_bytes, write_rasters
from changedet.output.kmz import write_kmz
from changedet.output.radar_rasters import read_radar, write_radar_rasters
from changedet.output.redaction import published, redacted_record, require_redacted, secrets_of
from changedet.output.vector import read_gpkg, read_seasonal, write_seasonal, write_vectors
from changedet.output.whole import check_folder, keep, one_line_errors, set_aside, temporary_sibling
from changedet.pairing import Pair
from changedet.progress import Progress, Silent
from changedet.provenance import (
    RECORD_NAME,
    file_records,
    read_record,
    run_record,
    strange_file,
    write_record,
)
from changedet.registration import Registration
from changedet.result import ChangeResult
from changedet.scale.room import room_for_planes
from changedet.scene import Image, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

#: Name of the report in a run folder.
REPORT_NAME = "report.html"
#: Name of the file for virtual globes in a run folder.
KMZ_NAME = "changes.kmz"

#: The compared images are kept unless the grid has this many pixels or more.
KEEP_IMAGES_BELOW_PX = 25_000_000

_AGAIN = "make the run again"


def save(
    result: ChangeResult,
    folder: str | Path,
    *,
    overwrite: bool = False,
    keep_images: bool | None = None,
    command: list[str] | None = None,
    started: datetime | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a result as a run folder.

    Everything is written beside the target under a temporary name and renamed when it is whole. When that
    fails or is interrupted, nothing is left behind and what was there before is untouched.

    Parameters
    ----------
    result : ChangeResult
        What is written. With `ChangeResult.redact_coordinates` the plates and the report leave out what says
        where the site is, and there is no KMZ; the rasters, the vectors and ``run.json`` are whole.
    folder : str or Path
        The folder to make; missing parents are made too.
    overwrite : bool
        Replace a run folder that is there already. A folder that no run wrote is never replaced.
    keep_images : bool, optional
        Also write ``before.tif`` and ``after.tif``; when not given, for grids of less than 25 million pixels.
    command : list of str, optional
        The command line, for the record.
    started : datetime, optional
        When the run began, time-zone aware; now when not given. With it the same bytes come out again.
    progress : Progress, optional
        Is told the steps.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputExistsError
        When the folder is there and may not be replaced.
    OutputError
        When it cannot be written (permission, full disk).
    """
    check_target(folder, overwrite=overwrite)
    target = Path(folder).resolve()
    if keep_images is None:
        keep_images = math.prod(result.grid.shape) < KEEP_IMAGES_BELOW_PX
    started = started or datetime.now(UTC)
    with one_line_errors(target), temporary_sibling(target) as temporary:
        labels = _write_products(result, temporary, keep_images, progress or Silent())
        record = run_record(result, temporary, started=started, command=command)
        record["shown"]["plates"] = labels
        _write_report(result, temporary / REPORT_NAME, record)
        files = record["files"] | file_records(temporary, [REPORT_NAME])
        write_record(temporary, {**record, "files": dict(sorted(files.items()))})
        _publish(temporary, target, overwrite=overwrite)
    return Path(folder)


def check_target(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a target that `save` would refuse, before any work is done.

    A folder that a killed run had set aside, to be replaced, is given its name again first.

    Parameters
    ----------
    folder : str or Path
        The run folder that is to be made.
    overwrite : bool
        Whether a run folder that is there may be replaced.

    Raises
    ------
    OutputExistsError
        When the target is a file, or a folder that is not empty and may not be replaced: without `overwrite`
        any, with it one that no run wrote or that holds files that no run wrote.
    UsageError
        When the target is the working directory, or its path cannot be written to.
    OutputError
        When the nearest folder above that is there is a file, or may not be written.
    """
    check_folder(folder, _foreign_file, overwrite=overwrite, kind="run")


def open_run(folder: str | Path) -> ChangeResult:
    """Open a run folder as the result it was written from.

    The files are not checked against their digests here, see `changedet.provenance.verify`. The images as
    loaded are not kept in a run folder, so `ChangeResult.pair` holds the compared images. Without
    ``before.tif`` and ``after.tif`` the images are all NaN.

    Parameters
    ----------
    folder : str or Path
        A folder that `save` made.

    Returns
    -------
    ChangeResult
        With `folder` set.

    Raises
    ------
    VerificationError
        When ``run.json`` is damaged or does not fit the rasters.
    InputFileError
        When another file is damaged or (`MissingInputError`) not there.
    """
    record = read_record(folder := Path(folder))
    with room_for_planes(stored_bytes(folder)):
        return _opened(folder, record)


def _opened(folder: Path, record: Mapping[str, Any]) -> ChangeResult:
    score, raster_grid, _ = read_raster(folder / "score.tif")
    state, kind = (read_raster(folder / name)[0] for name in ("state.tif", "kind.tif"))
    if not score.shape == state.shape == kind.shape:
        raise VerificationError("the rasters differ in size", where=str(folder), todo=_AGAIN)
    objects = read_gpkg(folder / "changes.gpkg")
    with _record_errors(folder):
        grid = _read_grid(record["grid"], raster_grid)
        before, after = (_read_image(folder, date, record, grid) for date in ("before", "after"))
        return ChangeResult(
            grid=grid,
            score=score[0],
            construction=_read_construction(folder, record, score.shape),
            state=np.asarray(state[0], np.uint8),
            kind=np.asarray(kind[0], np.uint8),
            objects=objects,
            seasonal=read_seasonal(folder),
            before=before,
            after=after,
            pair=_read_pair(record["pair"], before, after),
            radar=read_radar(folder, record, (before, after)),
            folder=folder,
            redact_coordinates=bool(record.get("redacted", False)),
            **_read_findings(record),
        )


def write_report_again(
    result: ChangeResult, path: str | Path, *, overwrite: bool = False, timeline: str | Path | None = None
) -> Path:
    """Write the report of a result alone.

    Parameters
    ----------
    result : ChangeResult
        When it was opened from a run folder, the report says what the record of that folder says: the
        versions that decided the numbers are those of the run.
    path : str or Path
        The HTML file; its folder has to exist.
    overwrite : bool
        Replace a file of that name.
    timeline : str or Path, optional
        Folder of a timeline of the same site, of which the report is to tell.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputExistsError
        When the file is there and `overwrite` is False.
    UsageError
        When the timeline is of another place, or the place is to be withheld.
    OutputError
        When it cannot be written, or would still say where the site is though it may not.
    InputFileError
        When the record of the run folder is damaged or (`MissingInputError`) not there any more.
    """
    path = _free_path(path, overwrite=overwrite)
    record = run_record(result) if result.folder is None else read_record(result.folder)
    # a report cannot hold its own digest: without it the bytes are those of the first one
    files = {name: entry for name, entry in dict(record["files"]).items() if name != REPORT_NAME}
    said = None if timeline is None else _timeline(result, timeline)
    _write_report(result, path, {**record, "files": files, "timeline": said})
    return path


def _timeline(result: ChangeResult, folder: str | Path) -> dict[str, Any]:
    from changedet.output.report_timeline import read_timeline

    if result.redact_coordinates:
        raise UsageError(
            "a timeline says where the site is",
            where=str(folder),
            todo="leave out the timeline, or the redaction",
        )
    return read_timeline(folder, result.grid)


def write_plate_again(
    result: ChangeResult, path: str | Path, *, number: int = 0, overwrite: bool = False
) -> Path:
    """Write one plate of a result alone.

    Parameters
    ----------
    result : ChangeResult
        Any result.
    path : str or Path
        Ends in ``.png`` or ``.pdf``; its folder has to exist.
    number : int
        The ``id`` of the object to show; 0 for the overview.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputExistsError
        When the file is there and `overwrite` is False.
    UsageError
        When the name ends in something else, or there is no such object.
    OutputError
        When it cannot be written, or would still say where the site is though it may not.
    """
    from changedet.output.plate import write_plate

    path = _free_path(path, overwrite=overwrite)
    return write_plate(published(result), path, number=number)


def _free_path(path: str | Path, *, overwrite: bool) -> Path:
    """Return a path that may be written."""
    path = Path(path)
    if path.is_symlink():
        raise OutputExistsError(
            "is a link to a file elsewhere", where=str(path), todo="name the file itself, or another one"
        )
    if path.exists() and not overwrite:
        todo = "choose another name or allow overwriting (--overwrite)"
        raise OutputExistsError("is there already", where=str(path), todo=todo)
    return path


@contextmanager
def _record_errors(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with a record that says something else than expected into one line about it."""
    try:
        yield
    except ChangedetError:
        raise
    except (*OTHER_SHAPE, RuntimeError) as error:
        what = f"incomplete, or does not fit the other files ({str(error)[:120]})"
        raise VerificationError(what, where=str(folder / RECORD_NAME), todo=_AGAIN) from error


def _write_products(
    result: ChangeResult, folder: Path, keep_images: bool, progress: Progress
) -> dict[str, list[str]]:
    """Write everything but the report and the record; return what stands along the maps of each plate."""
    progress.step("writing the rasters")
    write_rasters(result, folder, images=keep_images)
    write_radar_rasters(result, folder, images=keep_images)
    progress.step("writing the objects")
    write_vectors(result, folder)
    write_seasonal(result, folder)
    if not result.redact_coordinates:
        write_kmz(folder / KMZ_NAME, result)
    progress.step("drawing the plates")
    plates = folder / "plates"
    plates.mkdir()
    labels = _write_plates(result, plates)
    progress.step("writing the report")
    return labels


def _write_plates(result: ChangeResult, folder: Path) -> dict[str, list[str]]:
    from changedet.output.plate import write_plates

    return {path.name: list(labels) for path, labels in write_plates(published(result), folder).items()}


def _write_report(result: ChangeResult, path: Path, record: Mapping[str, Any]) -> None:
    """Write the report of a result, or of what may be published of it."""
    from changedet.output.report import report_html, write_report

    if not result.redact_coordinates:
        write_report(result, path, record=record)
        return
    shown = published(result)
    record = redacted_record(record, shown)
    require_redacted(report_html(shown, record), secrets_of(result), str(path))
    write_report(shown, path, record=record)


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Rename the whole folder into place."""
    check_target(target, overwrite=overwrite)  # again: someone else may have been quicker
    keep(temporary)
    with set_aside(target):
        temporary.rename(target)


def _foreign_file(folder: Path) -> str:
    """Return the first file that the record of a run folder does not list, "" when there is none."""
    try:
        record = read_record(folder)
    except InputFileError:
        return f"no readable {RECORD_NAME}"
    files = record.get("files")
    known = set(files) if isinstance(files, dict) else set()
    return strange_file(folder, known)


def _read_construction(
    folder: Path, record: Mapping[str, Any], shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """Return the construction-like score; None where an earlier version wrote the folder without one."""
    if "construction.tif" not in record.get("files", {}):
        return None
    planes = read_raster(folder / "construction.tif")[0]
    if planes.shape != shape:
        raise VerificationError("the rasters differ in size", where=str(folder), todo=_AGAIN)
    return np.asarray(planes[0], np.float32)


def _read_grid(described: Mapping[str, Any], raster_grid: GeoBox) -> GeoBox:
    """Return the grid under the name its reference system had, when it is that of the rasters."""
    from odc.geo.geobox import GeoBox

    grid = GeoBox(raster_grid.shape, raster_grid.affine, described["crs"])
    if grid != raster_grid or list(grid.affine)[:6] != described["transform"]:
        raise ValueError("the rasters lie on another grid")
    return grid


def _read_image(folder: Path, date: str, record: Mapping[str, Any], grid: GeoBox) -> Image:
    scene, source = Scene.from_dict(record["scenes"][date]), str(record["classes_source"][date])
    return read_image(folder / f"{date}.tif", tuple(record["bands"]), scene, source, grid)


def _read_pair(described: Mapping[str, Any], before: Image, after: Image) -> Pair:
    shares = ("clear_share_before", "clear_share_after", "clear_share")
    values = dict(described) | {name: _number(described[name]) for name in shares}
    pair = Pair(before, after, **(values | {"warnings": _texts(values["warnings"])}))
    require_types(pair)
    return pair


def _read_findings(record: Mapping[str, Any]) -> dict[str, Any]:
    normalization = record["normalization"]
    return {
        "name": str(record["name"]),
        "registration": Registration.from_dict(record["registration"]),
        "normalization": None if normalization is None else _normalization(normalization),
        "parameters": dict(record["parameters"]),
        "inputs": dict(record["inputs"]),
        "thresholds": {name: _threshold(name, value) for name, value in record["thresholds"].items()},
        "detection_floor": {name: _number(value) for name, value in record["detection_floor"].items()},
        "warnings": _texts(record["warnings"]),
        "refusals": _texts(record.get("refusals", [])),
    }


def _normalization(described: Mapping[str, Any]) -> Normalization:
    made = Normalization.from_dict(described)
    require_types(made)
    if len({len(made.bands), len(made.gain), len(made.offset), len(made.error)}) != 1:
        raise ValueError("not as many numbers as bands")
    return made


def _texts(value: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("a list of texts holds something else")
    return tuple(value)


def _number(value: float | None) -> float:
    """Return a number of the record, where null stands for NaN."""
    return math.nan if value is None else float(value)


def _threshold(name: str, value: float | None) -> float:
    """Return a threshold of the record, where null stands for one that nothing reaches."""
    return math.inf if value is None and name in {"seed", "grow"} else _number(value)
