"""The smallest change of built-up ground that dates of some noise show: what a series cannot see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Contrast in visible reflectance of a repair to its surroundings: old asphalt to new, or to concrete.
USUAL_CONTRAST = 0.10


@dataclass(frozen=True)
class FloorRule:
    """At which step a way of looking finds nine in ten.

    Attributes
    ----------
    sigma : float
        In standard deviations of a date.
    dates : int
        Clear dates on which it has to show.
    least_spread : float
        Smaller noise is taken for this one, in index units.
    """

    sigma: float
    dates: int
    least_spread: float


#: Looking back at the median of a zone, and date by date at single pixels; both are counted by
#: ``benchmarks/kinds_in_time.py --only floor``.
LOOKING_BACK, DATE_BY_DATE = FloorRule(5.0, 6, 0.008), FloorRule(3.5, 10, 0.005)


@dataclass(frozen=True)
class DetectionFloor:
    """What could be seen.

    Attributes
    ----------
    steps : mapping of str to float
        Smallest step of each index over all of the ground that is followed, in index units.
    pixels : int
        Pixels that are followed together; 1 where each is followed by itself.
    least_days : float
        A change that lasts no longer may fall between clear dates; NaN where unknown.
    measured_on : str
        Whose noise it is.
    dates : int
        Clear dates on which it has to show.
    """

    steps: Mapping[str, float]
    pixels: int
    least_days: float
    measured_on: str
    dates: int = LOOKING_BACK.dates

    def ground_m2(self, contrast: float = USUAL_CONTRAST, pixel_m2: float = 100.0) -> float:
        """Return how much ground a repair has to cover to be seen.

        Parameters
        ----------
        contrast : float
            Of the repair to its surroundings, in visible reflectance.
        pixel_m2 : float
            Ground of a pixel.

        Returns
        -------
        float
            In square metres; infinity where even all of it would not be seen, NaN without brightness.

        Examples
        --------
        >>> DetectionFloor({"brightness": 0.03}, 4, 30.0, "built-up ground").ground_m2()
        120.0
        """
        step = self.steps.get("brightness", math.nan)
        share = step / contrast
        return math.inf if share > 1 else share * self.pixels * pixel_m2

    @property
    def sentence(self) -> str:
        """What could not be seen, for a reader."""
        parts = [f"{name} {value:.2f}" for name, value in self.steps.items()]
        if not parts:
            return ""
        ground = self.ground_m2()
        covers = (
            f"covers less than about {ground:,.0f} m\u00b2"
            if math.isfinite(ground)
            else f"has a contrast of {USUAL_CONTRAST:g}, however large,"
        )
        lasts = "" if math.isnan(self.least_days) else f", or is gone within {self.least_days:.0f} days,"
        together = "of a pixel" if self.pixels == 1 else f"of all {self.pixels} pixels together"
        return (
            f"Detection floor of maintenance, from the noise of {self.measured_on}: steps {together} below "
            f"{', '.join(parts)} on {self.dates} clear dates are mostly missed. A repair with a contrast of "
            f"{USUAL_CONTRAST:g} in visible reflectance that {covers}{lasts} does not show here."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        ground = self.ground_m2()
        return {
            "smallest_step": {name: round(value, 4) for name, value in self.steps.items()},
            "clear_dates": self.dates,
            "pixels_together": self.pixels,
            "contrast": USUAL_CONTRAST,
            "least_ground_m2": round(ground, 1) if math.isfinite(ground) else None,
            "least_days": None if math.isnan(self.least_days) else round(self.least_days, 1),
            "measured_on": self.measured_on,
        }


def detection_floor(
    scale: Mapping[str, NDArray[np.float32]],
    days: NDArray[np.float64],
    measured_on: str,
    pixels: int = 1,
    rule: FloorRule = LOOKING_BACK,
) -> DetectionFloor:
    """Say what the noise of dates lets one see.

    Parameters
    ----------
    scale : mapping of str to ndarray of float32, any shape
        Standard deviation of a date, for each index; the median counts.
    days : ndarray of float64, shape (time,)
        Of the clear dates, ascending.
    measured_on : str
        Whose noise it is, for a reader.
    pixels : int
        Pixels that are followed together.
    rule : FloorRule
        How it is looked at.

    Returns
    -------
    DetectionFloor
        Without indices of which no noise is known.
    """
    known = {name: one[np.isfinite(one)] for name, one in scale.items()}
    steps = {
        name: rule.sigma * max(float(np.median(one)), rule.least_spread)
        for name, one in known.items()
        if one.size
    }
    gaps = np.diff(days)
    # two gaps: the date before may be just too early, and the one after just too late
    least = 2 * float(np.median(gaps)) if gaps.size else math.nan
    return DetectionFloor(steps, pixels, least, measured_on, rule.dates)
