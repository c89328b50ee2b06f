"""Coordinates as people write them: decimal degrees, degrees-minutes-seconds, MGRS; in and out."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from changedet.errors import CoordinateError

_EXAMPLES = 'write it like "38.5847, 126.1079", "38°35\'05"N 126°06\'28"E" or "52SBH4808674659"'
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
#: A centimetre: no reference of 10 m tells it from the equator.
_LEAST_LAT_DEG = 1e-7
#: A tenth of a millimetre: middles of sites lie on lines of 10 m, and rounding must not choose their square.
_NUDGE_DEG = 1e-9
#: Longer texts are not read: no notation of one point needs so many characters.
_LONGEST_TEXT = 100
#: Look-alikes that word processors and maps put in the place of the minus, degree, minute and second signs.
_LOOK_ALIKES = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u00ba": "°", "\u02da": "°"}
    | dict.fromkeys("\u2032\u2019\u00b4", "'")
    | dict.fromkeys("\u2033\u201d", '"')
)
_MGRS = re.compile(r"^(?:0?[1-9]|[1-5]\d|60)[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V](?:\d\d){1,5}$", re.ASCII)
_DMS_PART = re.compile(
    r"""\s*(?P<before>[NSEW])?\s*(?P<sign>[+-])?\s*(?P<deg>\d+(?:\.\d+)?)
        (?:[°:\s]+(?P<min>\d+(?:\.\d+)?))?
        (?:[':\s]+(?P<sec>\d+(?:\.\d+)?))?
        [°'"\s]*(?P<after>[NSEW])?\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class GeoPoint:
    """A point on the ground in WGS 84.

    Attributes
    ----------
    lat : float
        Latitude in degrees, north positive.
    lon : float
        Longitude in degrees, east positive, -180 to 180.
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        if not -90 <= self.lat <= 90:
            swapped = " (is longitude first?)" if -90 <= self.lon <= 90 and -180 <= self.lat <= 180 else ""
            raise CoordinateError(
                f"latitude {self.lat:g} is outside -90..90{swapped}", todo="give the latitude first"
            )
        if not -180 <= self.lon <= 180:
            raise CoordinateError(f"longitude {self.lon:g} is outside -180..180", todo=_EXAMPLES)

    @property
    def dd(self) -> str:
        """Decimal degrees, latitude first, to 5 decimals (about 1 m).

        Examples
        --------
        >>> GeoPoint(38.5847, 126.1079).dd
        '38.58470, 126.10790'
        """
        return f"{self.lat:.5f}, {self.lon:.5f}"

    @property
    def dms(self) -> str:
        r"""Degrees, minutes and seconds, latitude first.

        Examples
        --------
        >>> GeoPoint(-3.5, 122.25).dms
        '3°30\'00.0"S 122°15\'00.0"E'
        """
        return f"{_dms(self.lat, 'NS')} {_dms(self.lon, 'EW')}"

    @property
    def mgrs(self) -> str:
        """MGRS reference at 10 m precision (4 + 4 digits), as Sentinel pixels deserve.

        A point on a line between squares lies in the one to the north and east. Outside UTM coverage (beyond
        84 N, 80 S) the polar (UPS) form is returned.

        Examples
        --------
        >>> GeoPoint(38.5847, 126.1079).mgrs
        '52SBH48087465'
        """
        import mgrs

        # a breath south of the equator the library names a square that does not exist
        lat = 0.0 if abs(self.lat) < _LEAST_LAT_DEG else min(self.lat + _NUDGE_DEG, 90.0)
        return str(mgrs.MGRS().toMGRS(lat, min(self.lon + _NUDGE_DEG, 180.0), MGRSPrecision=4))


def parse_point(text: str) -> GeoPoint:
    r"""Read one point from text.

    Parameters
    ----------
    text : str
        Decimal degrees with the latitude first (brackets and N/S/E/W letters allowed), degrees-minutes-
        seconds in any usual notation, or MGRS.

    Returns
    -------
    GeoPoint
        In WGS 84.

    Raises
    ------
    CoordinateError
        When the text is none of these, is ambiguous, or is out of range. A latitude beyond 90 degrees with a
        plausible longitude is reported as a likely swap.

    Examples
    --------
    >>> parse_point("(38.5847, 126.1079)")
    GeoPoint(lat=38.5847, lon=126.1079)
    >>> parse_point("70°23'29\"N, 145°58'53\"W").lon
    -145.9813888888889
    """
    if len(text) > _LONGEST_TEXT:
        raise CoordinateError("too long for one coordinate", where=repr(text[:40] + "..."), todo=_EXAMPLES)
    clean = " ".join(text.translate(_LOOK_ALIKES).split()).strip("()[]").strip()
    if _MGRS.match(re.sub(r"\s", "", clean).upper()):
        return _parse_mgrs(re.sub(r"\s", "", clean).upper())
    numbers = [m.strip() for m in re.split(r"[,;\s]+", clean)]
    if len(numbers) == 2 and all(_NUMBER.fullmatch(n) for n in numbers):
        return GeoPoint(float(numbers[0]), float(numbers[1]))
    return _parse_dms(clean)


def _dms(value: float, letters: str) -> str:
    tenths = round(abs(value) * 36000)
    degrees, rest = divmod(tenths, 36000)
    minutes, tenths = divmod(rest, 600)
    return f"{degrees}°{minutes:02d}'{tenths / 10:04.1f}\"{letters[0] if value >= 0 else letters[1]}"


def _parse_mgrs(text: str) -> GeoPoint:
    import mgrs

    try:
        with warnings.catch_warnings():
            # the library only warns of a square that does not lie in its latitude band
            warnings.simplefilter("error", RuntimeWarning)
            lat, lon = mgrs.MGRS().toLatLon(text)
    except (mgrs.core.MGRSError, ValueError, RuntimeWarning) as error:
        raise CoordinateError("this MGRS reference does not exist", where=text, todo=_EXAMPLES) from error
    return GeoPoint(float(lat), float(lon))


def _parse_dms(text: str) -> GeoPoint:
    parts = _split_pair(text.upper())
    if parts is None:
        raise CoordinateError("not a coordinate", where=repr(text), todo=_EXAMPLES)
    values = [_read_part(part, text) for part in parts]
    letters = "".join(letter or "?" for _, letter in values)
    if letters in {"??", "N?", "S?", "?E", "?W"} or (letters[0] in "NS" and letters[1] in "EW"):
        return GeoPoint(values[0][0], values[1][0])
    if letters[0] in "EW" and letters[1] in "NS":
        return GeoPoint(values[1][0], values[0][0])
    raise CoordinateError("latitude and longitude cannot be told apart", where=repr(text), todo=_EXAMPLES)


def _split_pair(text: str) -> tuple[str, str] | None:
    """Split the text of a pair into its two coordinates, or None when it is not clearly two."""
    # a letter leads ("N38 E126") or trails ("38N 126E"); where it stands tells where to cut
    at_letters = r"(?<=[\d°'\"])\s*(?=[NSEW])" if text[:1] in "NSEW" else r"(?<=[NSEW])\s*(?=\d)"
    for pattern in ("[,;]", at_letters, r"\s+(?=[+-]\d)"):
        parts = [p for p in re.split(pattern, text) if p.strip()]
        if len(parts) == 2:
            return parts[0], parts[1]
    return None


def _read_part(part: str, whole: str) -> tuple[float, str | None]:
    found = _DMS_PART.fullmatch(part.strip())
    if found is None or (found["before"] and found["after"]):
        raise CoordinateError("not a coordinate", where=repr(whole), todo=_EXAMPLES)
    degrees, minutes, seconds = (float(found[k] or 0) for k in ("deg", "min", "sec"))
    if minutes >= 60 or seconds >= 60:
        raise CoordinateError("minutes and seconds must be below 60", where=repr(whole), todo=_EXAMPLES)
    if (found["min"] and degrees % 1) or (found["sec"] and minutes % 1):
        raise CoordinateError("only the last number can have decimals", where=repr(whole), todo=_EXAMPLES)
    letter = found["before"] or found["after"]
    southern_or_western = letter in {"S", "W"}
    if letter and found["sign"] == ("+" if southern_or_western else "-"):
        raise CoordinateError(f"the sign contradicts the letter {letter}", where=repr(whole), todo=_EXAMPLES)
    value = degrees + minutes / 60 + seconds / 3600
    return (-value if southern_or_western or found["sign"] == "-" else value), letter
