"""What a watch asks of dates and of pixels before it says anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from changedet.core.cusum import MonitorParameters
from changedet.errors import UsageError


@dataclass(frozen=True)
class WatchRules:
    """Rules of a watch.

    Attributes
    ----------
    history_days : float
        Length of the history that says what is usual, before the first day that is watched.
    overlap_days : float
        A pass searches so many days again that an earlier one has searched: products come late.
    min_clear : float
        Share of the site that a date must show clear to be read, 0 to 1.
    max_tile_cloud : float
        Scenes with more cloud over their tiles are not looked at, 0 to 1.
    min_area_m2 : float
        Smallest ground that an alert is about.
    least_later, of_later : int
        How many of how many clear dates after an alarm must bear it out.
    register : bool
        Whether dates are registered to the reference that is kept of the site.
    silent_days : float
        So long without a usable image is said.
    """

    history_days: float = 730.0
    overlap_days: float = 14.0
    min_clear: float = 0.3
    max_tile_cloud: float = 0.9
    min_area_m2: float = 500.0
    least_later: int = 2
    of_later: int = 3
    register: bool = True
    silent_days: float = 30.0

    def __post_init__(self) -> None:
        if not (0 <= self.min_clear <= 1 and 0 <= self.max_tile_cloud <= 1):
            raise UsageError("a share is not within 0 and 1", todo="give shares, such as 0.3")
        if not (self.history_days > 0 and self.overlap_days >= 0 and self.min_area_m2 > 0):
            raise UsageError(
                "history, overlap and area must not be negative", todo="give a history such as 2y"
            )
        try:
            self.monitor()
        except ValueError as error:
            raise UsageError(
                f"{self.least_later} of {self.of_later} later dates make no rule",
                todo="give at least 1, the first not above the second, of 8 at most, such as 2/3",
            ) from error

    def monitor(self) -> MonitorParameters:
        """Return the parameters of the chart of each pixel."""
        return MonitorParameters(least_later=self.least_later, of_later=self.of_later)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return asdict(self)


def parse_days(text: str) -> float:
    """Read a length of time.

    Parameters
    ----------
    text : str
        A number with ``d``, ``w``, ``m`` (months) or ``y``; days without a letter.

    Returns
    -------
    float
        Days.

    Raises
    ------
    UsageError
        When it is something else, or not positive.

    Examples
    --------
    >>> parse_days("2y"), parse_days("6w"), parse_days("90")
    (730.5, 42.0, 90.0)
    """
    units = {"d": 1.0, "w": 7.0, "m": 365.25 / 12, "y": 365.25}
    word = text.strip().lower()
    unit = units.get(word[-1:], 1.0)
    try:
        days = float(word.rstrip("dwmy")) * unit
    except ValueError:
        days = -1.0
    if not 0 < days < 36_500:
        raise UsageError(f"{text[:20]!r} is no length of time", todo="write it such as 2y, 18m, 6w or 90d")
    return days


def parse_persistence(text: str) -> tuple[int, int]:
    """Read how many of how many later clear dates must bear an alarm out.

    Parameters
    ----------
    text : str
        Such as ``"2/3"``.

    Returns
    -------
    tuple of two int

    Raises
    ------
    UsageError
        When it is something else.

    Examples
    --------
    >>> parse_persistence("2/3")
    (2, 3)
    """
    parts = text.split("/")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"{text[:20]!r} is not such as 2/3", todo="say how many of how many, such as 2/3")
    return int(parts[0]), int(parts[1])
