"""Pictures of radar: both periods with one stretch, and one picture of what changed between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.output.picture import draw_image, hatch, stretched
from changedet.output.stretch import RADAR_RANGES_DB, Limits, decibels, stretch_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.radar.types import RadarEvidence
    from changedet.result import ChangeResult
    from changedet.scene import Image


@dataclass(frozen=True, eq=False)
class RadarPictures:
    """The pictures that show what radar saw.

    Attributes
    ----------
    before, after, change : ndarray of uint8, shape (y, x, 3)
        Red, green, blue; ground without data is hatched.
    limits : Limits
        Decibels that are black and white in the first two.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    change: NDArray[np.uint8]
    limits: Limits


def radar_pictures(radar: RadarEvidence) -> RadarPictures | None:
    """Draw what radar saw in both periods.

    Parameters
    ----------
    radar : RadarEvidence
        Mean power of the leading track in both periods.

    Returns
    -------
    RadarPictures or None
        None when there are no pixels, as in a result opened from a folder that kept no images.
    """
    if not all(np.isfinite(image.data).any() for image in (radar.before, radar.after)):
        return None
    limits = stretch_limits(radar.before, radar.after, radar.observed)
    before, after = (draw_image(image, limits) for image in (radar.before, radar.after))
    return RadarPictures(before, after, change_composite(radar.before, radar.after), limits)


def radar_drawn(result: ChangeResult) -> RadarPictures | None:
    """Draw what radar saw of a result; None without radar, or without its pixels."""
    return None if result.radar is None else radar_pictures(result.radar)


def change_band(image: Image) -> str:
    """Return the polarisation that the change composite shows: VV where it is there."""
    return "VV" if "VV" in image.bands else image.bands[0]


def change_composite(before: Image, after: Image) -> NDArray[np.uint8]:
    """Draw two periods of radar as one picture: red is VV after, green and blue are VV before.

    What became brighter is red, what became darker is cyan, what stayed is grey.

    Parameters
    ----------
    before, after : Image
        Linear gamma nought, with the same bands.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)
        With the fixed stretch of the band of `change_band`; ground without data on either date is hatched.
    """
    name = change_band(before)
    now, then = (decibels(image, name) for image in (after, before))
    empty = np.isnan(now) | np.isnan(then)
    red, rest = (stretched(plane, *RADAR_RANGES_DB[name]) for plane in (now, then))
    colour = np.stack([red, rest, rest], axis=-1)
    colour[empty] = hatch((empty.shape[0], empty.shape[1]))[empty]
    return colour
