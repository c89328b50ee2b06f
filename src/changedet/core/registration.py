"""Co-registration: how far one image lies from another, measured and measured again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Registration:
    """The shift between two images and what was left of it after correction.

    Sign and axis order: ``shift_px = (row, column)`` is what has to be *added to the position* of a feature
    in the moving image to bring it onto the same feature in the reference image. Rows grow downwards, columns
    to the right. A moving image whose content lies 0.8 px too far down has ``shift_px[0] = -0.8``.

    Attributes
    ----------
    shift_px : tuple of float
        (row, column) in pixels.
    shift_m : tuple of float
        (north, east) in metres: positive means the content has to move north, east.
    residual_px : float
        Length of the shift measured again after correction, in pixels.
    residual_m : float
        The same in metres.
    spread_px : float
        Inter-quartile range of the residual over the tie points, in pixels; large when the shift varies
        over the image.
    tie_points : int
        Number of windows in which the residual could be measured.
    reliability : float
        Height of the correlation peak over the noise of the correlation surface, in standard deviations.
    limit_px : float
        The largest residual that passes the gate.
    applied : bool
        False when the moving image was left where it was because the shift cannot be trusted.
    verdict : str
        ``"good"``, ``"residual too large"`` or ``"not reliable"``.
    """

    shift_px: tuple[float, float]
    shift_m: tuple[float, float]
    residual_px: float
    residual_m: float
    spread_px: float
    tie_points: int
    reliability: float
    limit_px: float
    applied: bool
    verdict: str

    @property
    def passed(self) -> bool:
        """True when the pair may be compared."""
        return self.verdict == "good"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "shift_px": list(self.shift_px),
            "shift_m": list(self.shift_m),
            "residual_px": self.residual_px,
            "residual_m": self.residual_m,
            "spread_px": self.spread_px,
            "tie_points": self.tie_points,
            "reliability": self.reliability,
            "limit_px": self.limit_px,
            "applied": self.applied,
            "verdict": self.verdict,
            "convention": "shift_px is (row, column) to add to the position of the after image's content",
        }
