"""What a result was made from and with, written so that a second person can check it."""

from __future__ import annotations

import json
import math
import os
import platform
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from changedet.errors import MissingInputError, OutputError, VerificationError
from changedet.hashing import sha256_file as sha256_file
from changedet.json_texts import read_json
from changedet.output import facts, radar_facts
from changedet.output.radar_rasters import radar_section
from changedet.resample import pixel_size_m
from changedet.result import STATE_LABELS, ChangeResult, State

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: What strict JSON holds.
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

#: Name and version of the layout of ``run.json``.
SCHEMA = "changedet.run/1"

#: Name of the file that holds the record.
RECORD_NAME = "run.json"

#: Names and endings of files that viewers leave beside a file they opened.
LEFT_BY_VIEWERS = (
    ".aux.xml",
    ".ovr",
    ".gpkg-wal",
    ".gpkg-shm",
    ".qmd",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
)

_LIBRARIES = (
    "numpy", "scipy", "opencv-python-headless", "rasterio", "pyogrio", "geopandas", "shapely", "pyproj",
    "odc-geo",
)  # fmt: skip
_AGAIN = "make the run again"
#: A record of ten thousand objects has some megabytes.
_MOST_BYTES = 100_000_000
_OURS = "name a folder that changedet wrote"
#: What the record of a timeline is called, which is none of a run.
_TIMELINE_RECORD = "timeline.json"


@dataclass(frozen=True)
class Verification:
    """How the files of a folder compare with what they should be.

    Attributes
    ----------
    ok, changed, missing, unexpected : tuple of str
        Relative POSIX paths: the same bytes, other bytes, not there, there though nothing speaks of it.
    left_by_viewers : tuple of str
        There though nothing speaks of it, but of the names in `LEFT_BY_VIEWERS`.
    """

    ok: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    left_by_viewers: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True when every file is there with the right bytes, and no other but what viewers left."""
        return not (self.changed or self.missing or self.unexpected)


def run_record(
    result: ChangeResult,
    folder: str | Path | None = None,
    *,
    started: datetime | None = None,
    command: list[str] | None = None,
) -> dict[str, Any]:
    """Describe a result and the files beside it.

    `started` is the only time in the record that does not come from the imagery. A run made again with the
    same `started` and `command` therefore has the same record.

    Parameters
    ----------
    result : ChangeResult
        What is described.
    folder : str or Path, optional
        Every file in it except ``run.json`` is listed with its SHA-256 digest and size.
    started : datetime, optional
        When the run began, time-zone aware; now when not given.
    command : list of str, optional
        The command line, when there was one.

    Returns
    -------
    dict
        JSON-serialisable without NaN or infinity, in the layout `SCHEMA`.

    Raises
    ------
    OutputError
        When a file in the folder cannot be read.
    """
    from changedet.output.shown import shown_section

    record: dict[str, object] = {
        "schema": SCHEMA,
        "software": {"name": "changedet", "version": version("changedet"), "libraries": library_versions()},
        "created_utc": (started or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": command,
        "name": result.name,
        "inputs": result.inputs,
        "parameters": result.parameters,
        "scenes": {"before": result.before.scene.to_dict(), "after": result.after.scene.to_dict()},
        "classes_source": {"before": result.before.classes_source, "after": result.after.classes_source},
        "bands": result.before.bands,
        "pair": result.pair.to_dict(),
        "registration": result.registration.to_dict(),
        "normalization": None if result.normalization is None else result.normalization.to_dict(),
        "thresholds": result.thresholds,
        "detection_floor": result.detection_floor,
        **({} if result.radar is None else {"radar": radar_section(result)}),
        "grid": _grid_record(result.grid),
        "counts": _counts(result),
        "warnings": result.warnings,
        "refusals": result.refusals,
        "limits": limits(result),
        "credit": facts.credit_lines(result),
        "shown": shown_section(result),
        "redacted": result.redact_coordinates,
        "files": {} if folder is None else file_records(folder, file_names(folder)),
    }
    return {key: to_json_types(value) for key, value in record.items()}


def write_record(folder: str | Path, record: Mapping[str, Any]) -> Path:
    """Write a record as ``run.json`` into a folder.

    Parameters
    ----------
    folder : str or Path
        An existing folder.
    record : mapping
        NaN and infinity become null.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    path = Path(folder) / RECORD_NAME
    text = json.dumps(to_json_types(record), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        path.write_bytes((text + "\n").encode("utf-8", errors="replace"))
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error})", where=str(path), todo="check the free space"
        ) from error
    return path


def read_record(folder: str | Path) -> dict[str, Any]:
    """Read ``run.json`` of a run folder.

    Raises
    ------
    MissingInputError
        When the folder or the file is not there.
    VerificationError
        When the file is damaged or has another layout than `SCHEMA`.
    """
    path = Path(folder) / RECORD_NAME
    if not path.is_file():
        if (path.parent / _TIMELINE_RECORD).is_file():
            raise MissingInputError(
                "is the folder of a timeline, which holds no candidates",
                where=str(folder),
                todo="name one that changedet detect or changedet run wrote",
            )
        raise MissingInputError("no such file", where=str(path), todo=_ours(path.parent))
    return read_layout(path, SCHEMA, todo=_AGAIN)


def read_layout(path: Path, schema: str, *, todo: str) -> dict[str, Any]:
    """Read a record that says in which layout it is.

    Parameters
    ----------
    path : Path
        The file.
    schema : str
        The layout that is known.
    todo : str
        What to do where the file is damaged.

    Returns
    -------
    dict
        What it holds; no more than the layout was checked.

    Raises
    ------
    VerificationError
        When the file is damaged or has another layout.
    """
    try:
        record = read_json(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise VerificationError(f"damaged ({str(error)[:120]})", where=str(path), todo=todo) from error
    found = record.get("schema") if isinstance(record, dict) else None
    if found != schema:
        raise VerificationError(
            f"layout {str(found)[:60]!r} is not {schema!r}",
            where=str(path),
            todo="use the version that wrote it",
        )
    checked: dict[str, Any] = record
    return checked


def strange_file(folder: Path, known: Collection[str]) -> str:
    """Return the first file of a folder that is not known and that no viewer left, "" when there is none.

    Parameters
    ----------
    folder : Path
        Whoever wants to replace it has to know all that it holds.
    known : collection of str
        Relative POSIX paths.

    Returns
    -------
    str
        The relative path of the file. ``run.json`` is not looked for.
    """
    strangers = (
        name for name in file_names(folder) if name not in known and not name.endswith(LEFT_BY_VIEWERS)
    )
    return next(strangers, "")


def file_names(folder: str | Path) -> list[str]:
    """Return the relative POSIX paths of the files in a folder except ``run.json``, sorted.

    Links to folders count as files and are not followed.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        base = Path(parent)
        links = [name for name in folders if (base / name).is_symlink()]
        found += [(base / name).relative_to(folder).as_posix() for name in [*names, *links]]
    return sorted(name for name in found if name != RECORD_NAME)


def file_records(folder: str | Path, names: Iterable[str]) -> dict[str, dict[str, str | int]]:
    """Return digest and size of files in a folder, by relative POSIX path.

    Raises
    ------
    OutputError
        When a file cannot be read.
    """
    folder = Path(folder)
    try:
        return {
            name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
            for name in names
        }
    except OSError as error:
        todo = "check the disk"
        raise OutputError(f"cannot be read back ({error})", where=str(folder), todo=todo) from error


def verify(folder: str | Path) -> Verification:
    """Check that a run folder holds the bytes its record promises.

    Parameters
    ----------
    folder : str or Path
        A run folder.

    Returns
    -------
    Verification
        Which files are as promised, and which are not.

    Raises
    ------
    MissingInputError
        When there is no ``run.json``.
    VerificationError
        When ``run.json`` is damaged, has another layout, or names a file outside the folder.
    """
    folder = Path(folder)
    promised = _promised_files(folder)
    present = set(file_names(folder))
    states: dict[str, list[str]] = {"ok": [], "changed": [], "missing": []}
    for name, digest in promised.items():
        if name not in present:
            states["missing"].append(name)
        else:
            states["ok" if _digest(folder / name) == digest else "changed"].append(name)
    groups = {key: tuple(sorted(names)) for key, names in states.items()}
    strangers, left = _told_apart(present - promised.keys())
    return Verification(**groups, unexpected=strangers, left_by_viewers=left)


def compare_folders(first: str | Path, second: str | Path) -> Verification:
    """Compare the products of two runs byte for byte, without ``run.json`` and what viewers left.

    Parameters
    ----------
    first : str or Path
        The run folder that is believed.
    second : str or Path
        The folder made again.

    Returns
    -------
    Verification
        As seen from `first`: ``missing`` is not in `second`, ``unexpected`` is only there.

    Raises
    ------
    MissingInputError
        When one of them is not a folder.
    VerificationError
        When a file cannot be read.
    """
    first, second = Path(first), Path(second)
    for folder in (first, second):
        if not folder.is_dir():
            raise MissingInputError(
                "no such folder", where=str(folder), todo="name a folder that changedet wrote"
            )
    left, right = set(file_names(first)), set(file_names(second))
    same = {name for name in left & right if _digest(first / name) == _digest(second / name)}
    missing, left_in_first = _told_apart(left - right)
    unexpected, left_in_second = _told_apart(right - left)
    return Verification(
        ok=tuple(sorted(same)),
        changed=tuple(sorted((left & right) - same)),
        missing=missing,
        unexpected=unexpected,
        left_by_viewers=tuple(sorted(left_in_first + left_in_second)),
    )


def _ours(folder: Path) -> str:
    """Say which folder is wanted, by an example where there is one in the folder that was named."""
    inside = sorted(path.parent for path in folder.glob(f"*/{RECORD_NAME}"))
    return f"{_OURS}, such as {inside[0]}" if inside else _OURS


def _told_apart(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sorted names that need an explanation, and those that viewers left."""
    found = sorted(names)
    left = tuple(name for name in found if name.endswith(LEFT_BY_VIEWERS))
    return tuple(name for name in found if name not in left), left


def limits(result: ChangeResult) -> list[str]:
    """Return what a reader has to know about what the comparison could not see, as sentences."""
    scene_m = max(result.before.scene.resolution_m, result.after.scene.resolution_m)
    pixel_m = round(max(scene_m, *pixel_size_m(result.grid)), 1)
    sentences = [
        f"Pixels are {pixel_m:g} m wide: vehicles, people, fences, repairs and work inside buildings are "
        "smaller than a pixel and cannot be seen.",
        facts.NOT_FLAGGED_NOTE,
        "Every object is a candidate for a reader to check against sharper imagery or another source; its "
        f"kind says what {'its radar power is' if result.radar_alone else 'the reflectances are'} consistent "
        "with.",
        "The score is a rank; scores of different runs cannot be compared.",
    ]
    if floor := facts.floor_text(result):
        sentences.append(f"{floor}.")
    if result.seasonal is not None and len(result.seasonal):
        many, area = len(result.seasonal), facts.area_text(float(result.seasonal["area_m2"].sum()))
        sentences.append(
            f"Not flagged, though standing out: {many:,} place{'s' * (many > 1)}, {area} in all, consistent "
            "with season, plants or moisture alone; seasonal.geojson lists them, --keep-seasonal flags them."
        )
    sentences += radar_facts.limits(result)
    unseen = result.state_shares[STATE_LABELS[State.NOT_OBSERVED]]
    if unseen > 0:
        sentences.append(f"{facts.share_text(unseen)} of the site was not observed on at least one date.")
    if facts.is_simulated(result):
        sentences.append(f"{facts.SIMULATED_NOTE}.")
    return sentences


def library_versions() -> dict[str, str]:
    """Return the versions of Python, GDAL, PROJ and the libraries that decide the numbers."""
    import pyogrio
    import pyproj
    import rasterio

    found = {
        "python": platform.python_version(),
        "gdal (rasters)": str(rasterio.__gdal_version__),
        "gdal (vectors)": str(pyogrio.__gdal_version_string__),
        "proj": str(pyproj.proj_version_str),
    }
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed under this name"
    return found


def to_json_types(value: object) -> Json:
    """Turn a value into what strict JSON can hold.

    Mappings, sequences, NumPy scalars and arrays, paths, enumerations and dates are understood; NaN and
    infinity become None; anything else becomes its text.

    Examples
    --------
    >>> to_json_types({"a": (1, float("nan")), "b": np.float32(0.5)})
    {'a': [1, None], 'b': 0.5}
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_types(item) for item in value]
    if isinstance(value, set | frozenset):
        return [*sorted(str(to_json_types(item)) for item in value)]
    return value.isoformat() if isinstance(value, date) else str(value)


def _grid_record(grid: GeoBox) -> dict[str, Any]:
    return {
        "crs": str(grid.crs),
        "transform": list(grid.transform)[:6],
        "shape": list(grid.shape),
        "pixel_size": [abs(grid.resolution.x), abs(grid.resolution.y)],
    }


def _counts(result: ChangeResult) -> dict[str, Any]:
    pixels = {STATE_LABELS[s]: count for s, count in result.state_counts.items()}
    return {
        "objects": len(result.objects),
        "objects_by_kind": dict(sorted(Counter(str(kind) for kind in result.objects["kind"]).items())),
        "seasonal_objects": 0 if result.seasonal is None else len(result.seasonal),
        "pixels_by_state": pixels,
        "share_by_state": result.state_shares,
        "valid_share": result.pair.clear_share,
    }


def _digest(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise VerificationError("is no file", where=str(path), todo="do not trust this folder")
    try:
        return sha256_file(path)
    except OSError as error:
        raise VerificationError(
            f"cannot be read ({error})", where=str(path), todo="check the disk"
        ) from error


def _promised_files(folder: Path) -> dict[str, str]:
    """Return the digests by path that the record lists, refusing any path that leaves the folder."""
    where = str(folder / RECORD_NAME)
    files = read_record(folder).get("files")
    if not isinstance(files, dict):
        raise VerificationError("lists no files", where=where, todo=_AGAIN)
    promised = {}
    for name, entry in files.items():
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(digest, str):
            raise VerificationError(f"no digest for {name[:80]!r}", where=where, todo=_AGAIN)
        if not _stays_inside(folder, name):
            todo = "do not trust this folder"
            raise VerificationError(
                f"names a file outside the folder ({name[:80]!r})", where=where, todo=todo
            )
        promised[name] = digest.lower()
    return promised


def _stays_inside(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    windows = PureWindowsPath(name)
    if not name or "\0" in name or "\\" in name or path.is_absolute() or windows.drive or ".." in path.parts:
        return False
    return (folder / name).resolve().is_relative_to(folder.resolve())
