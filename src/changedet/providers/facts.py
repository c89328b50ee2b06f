"""What several witnesses (the user, metadata, tags, names) say about one scene, and who is believed first."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from changedet.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class LocalOptions:
    """What the user says of local imagery; it wins over what files say. None = let the files speak.

    Attributes
    ----------
    scale, offset : float or None
        ``reflectance = number * scale + offset``.
    nodata : float or None
        The stored number that means "no data".
    time : datetime or None
        Acquisition time; taken as UTC when it has no time zone.
    """

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    time: datetime | None = None


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
    """

    value: Any
    source: str
    day_only: bool = False


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
        ``ACQUISITION_TIME_UTC`` (or ``TIFFTAG_DATETIME``), ``PLATFORM``, ``PROCESSING_BASELINE``, ``LEVEL``,
        ``SUN_ELEVATION_DEG``, ``SUN_AZIMUTH_DEG``, ``RELATIVE_ORBIT``, ``TILE``, ``SCENE_ID``, ``SIMULATED``;
        upper or lower case.

    Returns
    -------
    Facts
        A tag that cannot be understood counts as not there.
    """
    said = {key.upper(): str(value).strip() for key, value in tags.items()}
    orbit = _number(said.get("RELATIVE_ORBIT"))
    baseline = said.get("PROCESSING_BASELINE")
    return Facts(
        id=said.get("SCENE_ID") or None,
        level=said.get("LEVEL") or None,
        platform=said.get("PLATFORM") or None,
        tile=said.get("TILE") or None,
        time=_time_from_tags(said),
        baseline=Stated(baseline, "tag PROCESSING_BASELINE") if baseline else None,
        relative_orbit=None if orbit is None else int(orbit),
        sun_elevation_deg=_number(said.get("SUN_ELEVATION_DEG")),
        sun_azimuth_deg=_number(said.get("SUN_AZIMUTH_DEG")),
        simulated=True if said.get("SIMULATED", "").lower() in {"yes", "true", "1"} else None,
    )


def read_time(text: str) -> datetime | None:
    """Read a time as UTC, or return None when the text is not one.

    Examples
    --------
    >>> read_time("2023-05-14T02:07:01Z"), read_time("20161209")
    (datetime.datetime(2023, 5, 14, 2, 7, 1, tzinfo=datetime.timezone.utc), \
datetime.datetime(2016, 12, 9, 0, 0, tzinfo=datetime.timezone.utc))
    """
    text = text.strip()
    if found := re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", text):
        text = f"{found[1]}-{found[2]}-{found[3]}T{found[4]}"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return as_utc(time)


def as_utc(time: datetime) -> datetime:
    """Return an aware UTC time; a naive one is taken to be UTC already."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


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
    time = read_time(found[1]) if found else None
    return None if time is None else Stated(time, "dates.txt", day_only=True)


def _time_from_tags(said: Mapping[str, str]) -> Stated | None:
    for key, words in (
        ("ACQUISITION_TIME_UTC", "tag ACQUISITION_TIME_UTC"),
        ("TIFFTAG_DATETIME", "tag TIFFTAG_DATETIME (some programs write the time of saving there)"),
    ):
        if key in said and (time := read_time(said[key])) is not None:
            return Stated(time, words)
    return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
