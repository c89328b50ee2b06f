"""Two dates that are to be compared, and what lies between them besides change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from changedet.scene import Image


@dataclass(frozen=True, eq=False)
class Pair:
    """A before and an after image on one grid.

    Attributes
    ----------
    before, after : Image
        On the same grid with the same bands, before registration and normalisation.
    clear_share_before, clear_share_after, clear_share : float
        Share of the site's pixels usable before, after, and on both dates, 0 to 1.
    days_apart : int or None
        After minus before, in days.
    season_gap_days : int or None
        Difference of the day of year, 0 to 183.
    sun_elevation_gap_deg, sun_azimuth_gap_deg : float or None
        After minus before.
    same_orbit : bool or None
        Whether both dates have the same relative orbit.
    reason : str
        Why these two dates.
    warnings : tuple of str
        What a reader should know about the pair.
    """

    before: Image
    after: Image
    clear_share_before: float
    clear_share_after: float
    clear_share: float
    days_apart: int | None
    season_gap_days: int | None
    sun_elevation_gap_deg: float | None
    sun_azimuth_gap_deg: float | None
    same_orbit: bool | None
    reason: str
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description; the scenes are described apart."""
        names = (
            "clear_share_before", "clear_share_after", "clear_share", "days_apart", "season_gap_days",
            "sun_elevation_gap_deg", "sun_azimuth_gap_deg", "same_orbit", "reason",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"warnings": list(self.warnings)}
