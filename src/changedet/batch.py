"""Several sites, by whoever does the work: what came of each, and going on where an earlier attempt ended.

A batch folder holds ``batch.json`` (what was asked for, written first) and ``status.jsonl`` (one line for
each attempt at a site, appended when it ends). What counts is the last line of a site, and the run folder
itself.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from changedet.attempts import Failure, error_for_all
from changedet.errors import (
    OutputError,
    OutputExistsError,
)
from changedet.json_texts import parse_json
from changedet.providers.cache_files import digest_of, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from changedet.site import Site

#: What was asked for, and what came of it.
REQUEST_NAME, STATUS_NAME = "batch.json", "status.jsonl"
SCHEMA = "changedet.batch/1"
_LONGEST_NAME = 40
#: Names that some systems keep for devices, whatever follows them after a dot.
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))}
)


class Fate(StrEnum):
    """What came of a site."""

    COMPLETE = "complete"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Outcome:
    """What came of one site.

    Attributes
    ----------
    site : str
        Its name, with the group it belongs to: ``group/name``.
    fate : Fate
        Refused means that a quality gate refused the pair: the run folder says why.
    folder : str
        The run folder, relative to that of the batch; there for what is complete or refused.
    candidates : int or None
        How many were flagged; None when nothing was compared.
    exit_code : int
        What the site alone would have ended with; 0 for what was not tried.
    reason : str
        One line; empty for what is complete.
    time_utc : str
        When it ended.
    earlier : bool
        True when it was complete before this attempt and was not run again.
    """

    site: str
    fate: Fate
    folder: str
    candidates: int | None = None
    exit_code: int = 0
    reason: str = ""
    time_utc: str = ""
    earlier: bool = False

    @property
    def whole(self) -> bool:
        """True when there is a run folder."""
        return self.fate in {Fate.COMPLETE, Fate.REFUSED}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return asdict(self) | {"fate": str(self.fate)}


def safe_name(text: str) -> str:
    """Return a name that is safe for files everywhere, of at most 40 characters; "" when nothing is left.

    Examples
    --------
    >>> safe_name("North pier / hall 2")
    'North-pier---hall-2'
    """
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in text)
    kept = kept[:_LONGEST_NAME].strip("-")
    return f"{kept}_" if kept.lower() in _RESERVED else kept


def site_folders(sites: Sequence[Site]) -> list[str]:
    """Return a relative folder for each site: ``name``, or ``group/name`` where lists have groups.

    Parameters
    ----------
    sites : sequence of Site
        In any order.

    Returns
    -------
    list of str
        All different, also where file systems do not tell capitals from small letters; none lies in another.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> from changedet.site import Site
    >>> names = [("Pier", ""), ("pier", ""), ("Hall", "Pier"), ("Gate", "Pier")]
    >>> site_folders([Site(name, box(0, 0, 1, 1), group) for name, group in names])
    ['Pier-2', 'pier-3', 'Pier/Hall', 'Pier/Gate']
    """
    groups: dict[str, str] = {}
    taken: dict[str, set[str]] = {"": set()}
    for site in sites:
        if site.folder and site.folder not in groups:
            groups[site.folder] = _unique(site.folder, "group", taken[""])
    found = []
    for site in sites:
        group = groups.get(site.folder, "")
        own = _unique(site.name, "site", taken.setdefault(group, set()))
        found.append(f"{group}/{own}" if group else own)
    return found


def _unique(text: str, otherwise: str, taken: set[str]) -> str:
    stem = safe_name(text) or otherwise
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def site_label(site: Site) -> str:
    """Return the name of a site with its group, as tables show it."""
    return f"{site.folder}/{site.name}" if site.folder else site.name


@dataclass(frozen=True)
class Batch:
    """The folder of a batch.

    Attributes
    ----------
    folder : Path
        Made by `begin`.
    sites : tuple of Site
        In the order of the list.
    request : mapping
        What is asked of every site, JSON-serialisable; with the sites and the version it tells one batch from
        another.
    """

    folder: Path
    sites: tuple[Site, ...]
    request: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 digest of all that decides the results."""
        return digest_of({"request": dict(self.request), "sites": self._sites(), "version": _version()})

    def begin(self, *, overwrite: bool = False) -> bool:
        """Make the folder, or go on in it.

        Parameters
        ----------
        overwrite : bool
            Begin anew, also where another batch began.

        Returns
        -------
        bool
            True when an earlier attempt at the same batch is continued.

        Raises
        ------
        OutputExistsError
            When the folder holds another batch, or what no batch wrote.
        OutputError
            When it cannot be written.
        """
        path = self.folder / REQUEST_NAME
        there = self.folder.is_dir() and any(self.folder.iterdir())
        if there and not path.is_file():
            raise OutputExistsError(
                "the folder holds what no batch wrote", where=str(self.folder), todo="choose another folder"
            )
        if there and not overwrite:
            if _said(path).get("digest") != self.digest:
                raise OutputExistsError(
                    f"the folder holds another batch ({_difference(_said(path), self._record())})",
                    where=str(self.folder),
                    todo="choose another folder, or begin anew in this one (--overwrite)",
                )
            return True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / STATUS_NAME).unlink(missing_ok=True)
            # run folders of an earlier batch may be replaced until this one has made its own
            record = self._record() | {"replacing": [name for name in self._names() if self._has(name)]}
            write_text(path, json.dumps(record, indent=1, ensure_ascii=False), durable=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        return False

    def outcomes(self) -> dict[str, Outcome]:
        """Return what the status file says last of each run folder; lines that are torn say nothing."""
        found: dict[str, Outcome] = {}
        with suppress(OSError, UnicodeDecodeError):
            for line in (self.folder / STATUS_NAME).read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError, KeyError, AttributeError):
                    said = parse_json(line)
                    found[said["folder"]] = Outcome(**(said | {"fate": Fate(said["fate"])}))
        return found

    def replaceable(self) -> frozenset[str]:
        """Return the run folders of an earlier batch that were there when this one began, overwriting."""
        said = _said(self.folder / REQUEST_NAME).get("replacing", ())
        made = {name for name, outcome in self.outcomes().items() if outcome.whole}
        return frozenset(map(str, said)) - made

    def note(self, outcome: Outcome) -> None:
        """Append what came of a site, and wait until it is on the disk.

        Parameters
        ----------
        outcome : Outcome
            Of one attempt.

        Raises
        ------
        OutputError
            When it cannot be written.
        """
        path = self.folder / STATUS_NAME
        try:
            with path.open("ab+") as stream:
                # what a crash tore off must not swallow this line
                if stream.tell() and not _ends_whole(path):
                    stream.write(b"\n")
                stream.write(json.dumps(outcome.to_dict(), ensure_ascii=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise _unwritable(path, error) from error

    def _names(self) -> list[str]:
        return site_folders(self.sites)

    def _has(self, name: str) -> bool:
        folder = self.folder / name
        return folder.is_dir() and any(folder.iterdir())

    def _sites(self) -> list[Any]:
        return [json.loads(json.dumps(site.to_dict())) for site in self.sites]

    def _record(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "created_utc": now_text(),
            "version": _version(),
            "digest": self.digest,
            "sites_sha256": digest_of(self._sites()),
            "sites": [site_label(site) for site in self.sites],
            "request": dict(self.request),
        }


def require_all(outcomes: Sequence[Outcome], details: Mapping[str, Any]) -> None:
    """Raise what stands for the sites that failed or were refused.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of every site.
    details : mapping
        The summary for a program.

    Raises
    ------
    ChangedetError
        Nothing when all are complete. `SomeSitesFailedError` when some are not; when none is and all have one
        reason, the error of that reason.
    """
    bad = [one for one in outcomes if one.fate is not Fate.COMPLETE]
    if not bad:
        return
    failures = [Failure(one.site, one.reason, one.exit_code) for one in bad]
    raise error_for_all(failures, len(outcomes), "result", details)


def _said(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _difference(said: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name what differs between two requests."""
    names = ("version", "sites_sha256")
    found = [name.removesuffix("_sha256") for name in names if said.get(name) != now[name]]
    before, after = said.get("request", {}), now["request"]
    if isinstance(before, dict):
        found += [name.removesuffix("_sha256") for name in after if before.get(name) != after[name]]
    return f"other {', '.join(found)}" if found else "its record cannot be read"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        error.strerror or "cannot be written",
        where=str(path),
        todo="check the permission and the free space, or choose another folder",
    )


def _version() -> str:
    return version("changedet")


def now_text() -> str:
    """Return the moment in UTC, in seconds, as it stands in the files of a batch."""
    return datetime.now(UTC).isoformat(timespec="seconds")
