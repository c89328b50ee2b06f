"""Relative radiometric normalisation on invariant pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Normalization:
    """How the after image was matched to the before image, band by band.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    gain, offset : tuple of float
        ``normalised = after * gain + offset``, reflectance units for the offset.
    error : tuple of float
        Root mean square difference on invariant pixels that were held out of the fit, in reflectance.
    invariant_share : float
        Share of the usable pixels that was taken as invariant, 0 to 1.
    """

    bands: tuple[str, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    error: tuple[float, ...]
    invariant_share: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "bands": list(self.bands),
            "gain": list(self.gain),
            "offset": list(self.offset),
            "error_reflectance": list(self.error),
            "invariant_share": self.invariant_share,
        }
