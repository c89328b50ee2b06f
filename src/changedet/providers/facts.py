"""What several witnesses (the user, metadata, tags, names) say about one scene, and who is believed first."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError
from changedet.scene import as_utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: What is noted of a scene of which only the day is known.
DAY_ONLY_NOTE = "only the date of acquisition is known, not the time of day"
#: A processing level in letters and digits alone, in capitals: ``LEVEL2A``, ``S2MSI1C``, ``L2AP``.
_LEVEL = re.compile(r"(?:S2)?(?:MSI)?(?:LEVEL|L)?(1C|2A)P?")


@dataclass(frozen=True)
class LocalOptions:
    """What the user says of local imagery; it wins over what files say. None = let the files speak.

    Attributes
    ----------
    scale, offset : float or None
        ``reflectance = number * scale + offset``.
    nodata : float or None
        The stored number that means "no data".
    time : datetime, date or None
        Acquisition time; taken as UTC when it has no time zone. A `datetime.date` when only the day is known.
    """

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    time: date | None = None


@dataclass(frozen=True)
class Stated:
    """A statement and who made it.

    Attributes
    ----------
    value : Any
        What was said.
    source : str
        Who said it, in words for a reader.
    day_only : bool
        True for a time of which only the day was said.
    note : str
        What a reader must know before believing it, or "".
    file : Path or None
        The file that said so, when it is none of the imagery.
    """

    value: Any
    source: str
    day_only: bool = False
    note: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Facts:
    """What one witness knows of a scene; None = it does not say.

    Attributes
    ----------
    id, level, platform, tile : str or None
        As in `changedet.scene.Scene`.
    time : Stated or None
        An aware `datetime` and its source.
    baseline : Stated or None
        Processing baseline as text and its source.
    relative_orbit : int or None
        Relative orbit number.
    sun_elevation_deg, sun_azimuth_deg : float or None
        Degrees; azimuth clockwise from north.
    simulated : bool or None
        True when the scene says that it is made up.
    """

    id: str | None = None
    level: str | None = None
    platform: str | None = None
    tile: str | None = None
    time: Stated | None = None
    baseline: Stated | None = None
    relative_orbit: int | None = None
    sun_elevation_deg: float | None = None
    sun_azimuth_deg: float | None = None
    simulated: bool | None = None

    def otherwise(self, other: Facts) -> Facts:
        """Return these facts, filled up with those of a witness who is believed less.

        Examples
        --------
        >>> Facts(level="L2A").otherwise(Facts(level="L1C", tile="T33UUU")).tile
        'T33UUU'
        """
        silent = {f.name: getattr(other, f.name) for f in fields(self) if getattr(self, f.name) is None}
        return replace(self, **silent)


def baseline_pair(text: str, *, where: str) -> tuple[int, int]:
    """Read a processing baseline as a pair of numbers.

    Parameters
    ----------
    text : str
        ``"05.09"``, ``"0509"``, ``"N0509"`` or ``"5.9"``.
    where : str
        File or folder concerned, for the error.

    Raises
    ------
    InputFileError
        When it is not a baseline, or outside 02.00 to 05.99: nobody has said which offset those have.

    Examples
    --------
    >>> baseline_pair("05.09", where="scene"), baseline_pair("N0204", where="scene")
    ((5, 9), (2, 4))
    """
    found = re.fullmatch(r"[Nn]?(\d{1,2})\.(\d{1,2})|[Nn]?(\d{2})(\d{2})", text.strip())
    pair = (int(found[1] or found[3]), int(found[2] or found[4])) if found else (0, 0)
    if not (2, 0) <= pair <= (5, 99):
        raise InputFileError(
            f"the radiometric offset of processing baseline {text.strip()} is not known",
            where=where,
            todo="give scale and offset yourself (scale 0.0001 and offset 0 or -0.1)",
        )
    return pair


def facts_from_tags(tags: Mapping[str, str]) -> Facts:
    """Read what the tags of a raster say.

    Parameters
    ----------
    tags : mapping of str to str
        ``ACQUISITION_TIME_UTC``, ``PLATFORM``, ``PROCESSING_BASELINE``, ``LEVEL``,
        ``SUN_ELEVATION_DEG``, ``SUN_AZIMUTH_DEG``, ``RELATIVE_ORBIT``, ``TILE``, ``SCENE_ID``, ``SIMULATED``;
        upper or lower case.

    Returns
    -------
    Facts
        A tag that cannot be understood counts as not there. The time of saving is another witness, see
        `facts_of_saving`.
    """
    said = {key.upper(): str(value).strip() for key, value in tags.items()}
    orbit = _number(said.get("RELATIVE_ORBIT"))
    baseline = said.get("PROCESSING_BASELINE")
    return Facts(
        id=said.get("SCENE_ID") or None,
        level=level_name(said.get("LEVEL", "")),
        platform=said.get("PLATFORM") or None,
        tile=said.get("TILE") or None,
        time=stated_time(said.get("ACQUISITION_TIME_UTC", ""), "tag ACQUISITION_TIME_UTC"),
        baseline=Stated(baseline, "tag PROCESSING_BASELINE") if baseline else None,
        relative_orbit=None if orbit is None else int(orbit),
        sun_elevation_deg=_number(said.get("SUN_ELEVATION_DEG")),
        sun_azimuth_deg=_number(said.get("SUN_AZIMUTH_DEG")),
        simulated=True if said.get("SIMULATED", "").lower() in {"yes", "true", "1"} else None,
    )


def facts_of_saving(tags: Mapping[str, str]) -> Facts:
    """Read the time in the tag ``TIFFTAG_DATETIME``, which many programs set when they save a file.

    Parameters
    ----------
    tags : mapping of str to str
        Tags of a raster; upper or lower case.

    Returns
    -------
    Facts
        A time and nothing else, with a note that says how far it can be believed: the last witness.
    """
    said = {key.upper(): str(value) for key, value in tags.items()}
    stated = stated_time(said.get("TIFFTAG_DATETIME", ""), "tag TIFFTAG_DATETIME")
    note = "the time comes from the tag TIFFTAG_DATETIME, where some programs write the time of saving"
    return Facts(time=replace(stated, note=note) if stated else None)


def level_name(text: str) -> str | None:
    """Return a processing level as ``"L1C"`` or ``"L2A"``, however it was written; None when it is neither.

    Examples
    --------
    >>> level_name("Level-2A"), level_name("MSIL1C"), level_name("l2a"), level_name("L3A")
    ('L2A', 'L1C', 'L2A', None)
    """
    found = _LEVEL.fullmatch(re.sub(r"[\W_]", "", text).upper())
    return f"L{found[1]}" if found else None


def read_time(text: str) -> date | None:
    """Read a time as UTC, or return None when the text is not one.

    Parameters
    ----------
    text : str
        ISO 8601, or ``2023:05:14 02:07:01`` as in the tags of pictures.

    Returns
    -------
    datetime, date or None
        An aware `datetime` in UTC, or a `datetime.date` when the text has no time of day.

    Examples
    --------
    >>> read_time("2023-05-14T02:07:01Z"), read_time("20161209")
    (datetime.datetime(2023, 5, 14, 2, 7, 1, tzinfo=datetime.timezone.utc), datetime.date(2016, 12, 9))
    """
    text = text.strip()
    if found := re.fullmatch(r"(\d{4}):(\d\d):(\d\d)(?: (\d\d:\d\d:\d\d))?", text):
        text = f"{found[1]}-{found[2]}-{found[3]}" + (f"T{found[4]}" if found[4] else "")
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def stated_time(said: str | date, source: str) -> Stated | None:
    """Return a time as somebody stated it: an aware UTC time, and whether only the day was said.

    Parameters
    ----------
    said : str, datetime or date
        A text for `read_time`, or a time; a naive one is UTC. A date alone becomes its midnight, `day_only`.
    source : str
        Who said it, in words for a reader.

    Returns
    -------
    Stated or None
        None when the text is not a time.
    """
    time = read_time(said) if isinstance(said, str) else said
    if time is None:
        return None
    if isinstance(time, datetime):
        return Stated(as_utc(time), source)
    return Stated(datetime.combine(time, time_of_day(), UTC), source, day_only=True)


def time_notes(stated: Stated) -> tuple[str, ...]:
    """Return what a reader should know about a time, in sentences; empty for a time beyond doubt."""
    return (*((stated.note,) if stated.note else ()), *((DAY_ONLY_NOTE,) if stated.day_only else ()))


def time_from_dates_file(folder: Path) -> Stated | None:
    """Read the date of a folder of a pair from ``dates.txt`` beside it.

    The file has lines such as ``date_1: 20161209``; the last digit of the folder's name says which one is
    meant. Only the day is known.

    Parameters
    ----------
    folder : Path
        The folder of band files, for example ``city/imgs_1``.
    """
    notes = folder.absolute().parent / "dates.txt"
    digit = folder.absolute().name[-1:]
    if digit not in {"1", "2"} or not notes.is_file():
        return None
    found = re.search(
        rf"^\s*date_{digit}\s*:\s*(\d{{4}}-?\d\d-?\d\d)\s*$",
        notes.read_text(encoding="utf-8", errors="replace"),
        re.MULTILINE | re.IGNORECASE,
    )
    stated = stated_time(found[1], "dates.txt") if found else None
    return replace(stated, file=folder.parent / notes.name) if stated else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
