"""Running again what a run folder says was run."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import ChangedetError, InputFileError
from changedet.hashing import sha256_file
from changedet.json_texts import OTHER_SHAPE
from changedet.progress import Progress, Silent
from changedet.provenance import Verification, compare_folders, read_record
from changedet.providers.local import LocalOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from changedet.providers.base import Provider
    from changedet.radar.files import RadarFiles
    from changedet.result import ChangeResult
    from changedet.scene import Scene

_SILENT = Silent()


@dataclass(frozen=True)
class Fetching:
    """How scenes of a provider are fetched again.

    Attributes
    ----------
    cache : Path or None
        Folder that keeps loaded scenes, as it was given to the run; None = the user's cache folder.
    max_processing_units : float or None
        Most processing units that may be asked for; None = what the settings say.
    """

    cache: Path | None = None
    max_processing_units: float | None = None


_FETCHING = Fetching()


def rerun(
    folder: str | Path, *, fetching: Fetching = _FETCHING, progress: Progress = _SILENT
) -> Verification:
    """Make the results of a run folder again and compare them byte for byte.

    Parameters
    ----------
    folder : str or Path
        A run folder whose inputs are still where run.json says.
    fetching : Fetching
        Cache and limit on costs, for a run whose scenes came from a provider.
    progress : Progress
        Is told the steps.

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
    with _understood(folder):
        # what the record says of the first run is part of the report's bytes
        said = {"command": record["command"], "started": datetime.fromisoformat(record["created_utc"])}
    result = repeat(record, where=folder, fetching=fetching, progress=progress)
    result = replace(result, redact_coordinates=bool(record.get("redacted", False)))
    keep_images = (folder / "before.tif").is_file()
    with tempfile.TemporaryDirectory(prefix="changedet-rerun-") as scratch:
        again = Path(scratch) / folder.resolve().name
        save(result, again, keep_images=keep_images, progress=progress, **said)
        return compare_folders(folder, again)


def repeat(
    record: Mapping[str, Any],
    *,
    where: str | Path,
    fetching: Fetching = _FETCHING,
    progress: Progress = _SILENT,
) -> ChangeResult:
    """Run the comparison that a record describes.

    Parameters
    ----------
    record : mapping
        What `changedet.provenance.read_record` returns.
    where : str or Path
        Whose record it is, for the messages.
    fetching : Fetching
        Cache and limit on costs, for a run whose scenes came from a provider.
    progress : Progress
        Is told the steps.

    Returns
    -------
    ChangeResult
        Under the name that the record gives.

    Raises
    ------
    InputFileError
        When it cannot be repeated, with the reason.
    """
    from changedet.comparison import DetectSettings
    from changedet.pipeline import compare_radar_files, detect, detect_with_radar
    from changedet.site import site_from_dict

    where = Path(where)
    with _understood(where):
        inputs, name = record["inputs"], str(record["name"])
        fetched = any("provider" in (inputs.get(side) or {}) for side in ("before", "radar"))
    if fetched:
        return replace(_repeat_from_provider(inputs, where, fetching, progress), name=name)
    with _understood(where):
        sides = [_side(inputs[date]) for date in ("before", "after") if date in inputs]
        site = site_from_dict(inputs["site"]) if inputs["site"] else None
        settings = DetectSettings.from_dict(inputs["settings"])
        radar = _local_radar(inputs["radar"], where) if "radar" in inputs else None
    for side in sides:
        _require_unaltered(side, where)
    if not sides and radar is not None:
        result = compare_radar_files(radar, site=site, settings=settings, progress=progress)
        return replace(result, name=name)
    with _understood(where):
        first, second = ((side.path, side.options) for side in sides)
    if radar is not None:
        task = radar.task()
        result = detect_with_radar((first, second), task, site=site, settings=settings, progress=progress)
        return replace(result, name=name)
    result = detect(
        first[0],
        second[0],
        site=site,
        settings=settings,
        before_options=first[1],
        after_options=second[1],
        progress=progress,
    )
    return replace(result, name=name)


def _local_radar(described: Mapping[str, Any], where: Path) -> RadarFiles:
    """Find the local radar of a run again, and refuse files that have changed."""
    from changedet.radar.files import RadarNumbers, open_radar_files
    from changedet.radar.types import RadarSettings

    paths = []
    for word in ("before", "after"):
        said = described[word]
        side = _Side(str(said["path"]), described["in_memory"], dict(said["files"]), LocalOptions())
        _require_unaltered(side, where)
        paths.append(Path(side.path))
    numbers, settings = RadarNumbers(**described["numbers"]), RadarSettings.from_dict(described["settings"])
    return open_radar_files(paths[0], paths[1], numbers, settings)


def _repeat_from_provider(
    inputs: Mapping[str, Any], where: Path, fetching: Fetching, progress: Progress
) -> ChangeResult:
    """Fetch the recorded scenes again, or take them from the cache, and compare them."""
    from changedet.access.choosing import compare_scenes
    from changedet.access.sensor_plans import with_notes
    from changedet.comparison import DetectSettings
    from changedet.radar.access import RadarTask, compare_radar
    from changedet.site import site_from_dict

    opened = cache(partial(_opened, fetching))
    radar = None
    with _understood(where):
        site, settings = site_from_dict(inputs["site"]), DetectSettings.from_dict(inputs["settings"])
        notes = tuple(map(str, inputs.get("notes", ())))
        if "radar" in inputs:
            radar = RadarTask.from_dict(inputs["radar"], site, opened)
        alone = radar is not None and "before" not in inputs
        scenes = ((), ()) if alone else _recorded_scenes(inputs)
        name, reason = ("", "") if alone else (str(inputs["before"]["provider"]), str(inputs["reason"]))
    if radar is not None and alone:
        result = compare_radar(radar, settings=settings, progress=progress)
    else:
        result = compare_scenes(
            scenes, opened(name), site, settings=settings, reason=reason, progress=progress, radar=radar
        )
    return with_notes(result, notes)


def _opened(fetching: Fetching, name: str) -> Provider:
    from changedet.providers.cached import open_cached

    return open_cached(name, fetching.cache, max_processing_units=fetching.max_processing_units)


def _recorded_scenes(inputs: Mapping[str, Any]) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    from changedet.scene import Scene

    before, after = (
        tuple(Scene.from_dict(entry) for entry in inputs[word]["scenes"]) for word in ("before", "after")
    )
    if not (before and after):
        raise ValueError("no scenes")
    return before, after


@dataclass(frozen=True)
class _Side:
    """One input of a run, as its record describes it."""

    path: str
    in_memory: bool
    files: dict[str, str]
    options: LocalOptions


def _side(described: Mapping[str, Any]) -> _Side:
    if described["in_memory"]:
        return _Side("", in_memory=True, files={}, options=LocalOptions())
    files = {str(href): str(digest) for href, digest in described["files"].items()}
    return _Side(str(described["path"]), in_memory=False, files=files, options=_options(described["options"]))


@contextmanager
def _understood(where: Path) -> Iterator[None]:
    """Turn what goes wrong with a damaged record into one line about it."""
    try:
        yield
    except ChangedetError:
        raise
    except OTHER_SHAPE as error:
        raise InputFileError(
            f"run.json does not say how the run was made ({error!r})",
            where=str(where),
            todo="run changedet detect again",
        ) from error


def _require_unaltered(side: _Side, where: Path) -> None:
    if side.in_memory:
        raise InputFileError(
            "the images were given in memory, so the run cannot be repeated from run.json",
            where=str(where),
            todo="run it again on files",
        )
    for href, digest in side.files.items():
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
        time=_time(time) if time else None,
    )


def _time(text: str) -> date:
    """Return a `datetime`, or a `date` where the record holds no time of day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
