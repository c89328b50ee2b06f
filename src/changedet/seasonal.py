"""What stands out and is consistent with season, plants or moisture alone: it is listed, not flagged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.components import component_quantile, label_components
from changedet.core.planes import by_rows, by_tiles, new_plane, placed_where, values_where
from changedet.objects import build_objects, flagged_pixels, indices_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import geopandas as gpd
    from numpy.typing import NDArray

    from changedet.objects import Flagged
    from changedet.scene import Image

#: NDVI of ground on which something grows (Rouse et al. 1974), and of ground that plants cover: the limits of
#: sparse and of dense vegetation in `changedet.kinds.SURFACE_RULES`.
GROWN_NDVI, COVERED_NDVI = 0.25, 0.40
#: Plants that lost more than this of their NDVI, and kept less than the second, were cleared or harvested:
#: that stays flagged, as two dates cannot tell which.
CLEARED_LOSS, CLEARED_NDVI = 0.1, 0.30
#: Plants that ripen brighten the ground in the visible by less than this factor, a roof by more; greening
#: may darken it by any factor.
PLANTS_FACTOR = 2.5
#: (B04 - B02) / (B04 + B02) of open soil, and of painted steel, whose near infrared can pass for plants: as
#: `changedet.kinds.SURFACE_RULES` reads them.
SOIL_REDNESS, PAINTED_REDNESS = 0.22, -0.15
#: Soil that is wetted, dries or is tilled keeps its colour: NDVI and redness stay within these, and the
#: visible reflectance within this factor (Lobell and Asner 2002, doi:10.2136/sssaj2002.7220).
SAME_NDVI, SAME_REDNESS, MOISTURE_FACTOR = 0.1, 0.05, 1.5
# From how far a pixel counts when what is one pixel wide is left out.
_TWO_WIDE_REACH_PX = 2
#: Index values without which nothing is set aside.
NEEDED_INDICES = ("NDVI", "redness", "brightness")


@dataclass(frozen=True, eq=False)
class SetAside:
    """Objects that stand out, parted by whether season alone could have made them.

    Attributes
    ----------
    flagged, seasonal : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...; no pixel is in both.
    """

    flagged: NDArray[np.int32]
    seasonal: NDArray[np.int32]

    @classmethod
    def nothing_of(cls, labels: NDArray[np.int32]) -> SetAside:
        """Return objects none of which is set aside."""
        return cls(labels, new_plane(labels.shape, np.int32, 0))

    def kept(self) -> SetAside:
        """Return the same with all of it flagged, and still apart: a field does not swallow a roof in it."""
        last = self.flagged.max(initial=0)
        every = by_rows(
            lambda aside, flagged: np.where(aside > 0, aside + last, flagged),
            self.seasonal, self.flagged,
            dtype=np.int32,
        )  # fmt: skip
        return SetAside.nothing_of(every)


def set_seasonal_aside(
    labels: NDArray[np.int32],
    seeds: NDArray[np.bool_],
    images: tuple[Image, Image],
    min_pixels: float,
) -> SetAside:
    """Part objects by whether season, plants or moisture alone could have made them.

    The medians of an object decide. Pixels of it that look otherwise, lie together and stand out by
    themselves stay flagged: a road through a field that ripens is found.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...
    seeds : ndarray of bool, shape (y, x)
        Pixels of which one at least makes a group an object.
    images : tuple of two Image
        Before and after, registered and normalised.
    min_pixels : float
        Smallest object.

    Returns
    -------
    SetAside
        With nothing set aside where bands are missing that tell plants and soil.
    """
    inside = flagged_pixels(labels)
    within = values_where(inside, labels)
    sides = [indices_of(image, inside) for image in images] if within.size else [{}]
    if any(name not in side for side in sides for name in NEEDED_INDICES):
        return SetAside.nothing_of(labels)
    medians = [
        {name: component_quantile(within, side[name], 0.5) for name in NEEDED_INDICES} for side in sides
    ]
    aside = np.append(False, looks_seasonal(medians[0], medians[1]))[within]
    other = placed_where(inside, aside & ~looks_seasonal(sides[0], sides[1]))
    wide = by_tiles(_two_wide, other, halo_px=_TWO_WIDE_REACH_PX, dtype=bool)
    again = values_where(inside, label_components(wide, seeds, min_pixels=min_pixels))
    flagged = _renumbered(np.where(aside, 0, within))
    flagged[again > 0] = again[again > 0] + flagged.max(initial=0)
    seasonal = _renumbered(np.where(aside & (again == 0), within, 0))
    return SetAside(placed_where(inside, flagged), placed_where(inside, seasonal))


def _two_wide(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out what is one pixel wide: the edges of fields, where a pixel shows two of them."""
    import cv2

    square = np.ones((2, 2), np.uint8)
    # the corner that is kept when the mask shrinks is the one it grows from again
    kept = cv2.erode(mask.astype(np.uint8), square, anchor=(0, 0), borderValue=0)
    return np.asarray(cv2.dilate(kept, square, anchor=(1, 1), borderValue=0) > 0)


def looks_seasonal(
    before: Mapping[str, NDArray[np.floating]], after: Mapping[str, NDArray[np.floating]]
) -> NDArray[np.bool_]:
    """Tell what season, plants or moisture alone could have made.

    Either plants cover the ground on both dates, densely on one of them, and were not cleared; or open soil
    or thin growth keeps its colour and becomes a little lighter or darker. Whatever lays ground bare, builds
    on it, or greens what was bare stays flagged.

    Parameters
    ----------
    before, after : mapping of str to ndarray of float, shape (n,)
        `NEEDED_INDICES` of pixels, or their medians in objects, by the names of
        `changedet.core.indices.INDICES`.

    Returns
    -------
    ndarray of bool, shape (n,)
        False where an index is not known.

    Examples
    --------
    >>> ripe, green = ({"NDVI": np.array([v])} for v in (0.45, 0.75))
    >>> colour = {"redness": np.array([0.2]), "brightness": np.array([0.06])}
    >>> looks_seasonal(green | colour, ripe | colour).tolist()
    [True]
    >>> cleared = {name: np.array([v]) for name, v in (("NDVI", 0.1), ("redness", 0.3), ("brightness", 0.1))}
    >>> looks_seasonal(green | colour, cleared).tolist()
    [False]
    """
    first, second = before["NDVI"], after["NDVI"]
    grown = np.minimum(first, second) >= GROWN_NDVI
    cleared = (second < CLEARED_NDVI) & (first - second > CLEARED_LOSS)
    one, other = (np.maximum(side["brightness"], 1e-6) for side in (before, after))
    dense = np.maximum(first, second) >= COVERED_NDVI
    plants = grown & dense & ~cleared & (other < PLANTS_FACTOR * one)
    open_ground = np.all(
        [(side["redness"] >= SOIL_REDNESS) | (side["NDVI"] >= GROWN_NDVI) for side in (before, after)], axis=0
    )
    same_colour = (
        (np.abs(first - second) < SAME_NDVI)
        & (np.abs(before["redness"] - after["redness"]) < SAME_REDNESS)
        & (np.maximum(one / other, other / one) < MOISTURE_FACTOR)
    )
    known = np.all([np.isfinite(side[name]) for side in (before, after) for name in NEEDED_INDICES], axis=0)
    painted = np.minimum(before["redness"], after["redness"]) < PAINTED_REDNESS
    return np.asarray(known & (plants | (open_ground & same_colour)) & ~painted, bool)


def seasonal_objects(
    flagged: Flagged, before: Image, after: Image, inside: NDArray[np.bool_] | None = None
) -> gpd.GeoDataFrame:
    """Return the table of what stands out and is not flagged, ranked as candidates are.

    Parameters
    ----------
    flagged, before, after, inside
        As in `changedet.objects.build_objects`.

    Returns
    -------
    GeoDataFrame
        As `changedet.objects.build_objects` makes it, with numbers of its own.
    """
    labels = flagged.seasonal
    if labels is None:
        labels = new_plane(flagged.labels.shape, np.int32, 0)
    radar = flagged.radar
    if radar is not None:
        # none of them was flagged by radar alone
        radar = replace(radar, first_label=int(labels.max(initial=0)) + 1)
    return build_objects(replace(flagged, labels=labels, radar=radar), before, after, inside)[0]


def _renumbered(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give the objects that are left numbers from 1, in the same order."""
    left = np.unique(labels[labels > 0])
    return np.where(labels > 0, np.searchsorted(left, labels) + 1, 0).astype(np.int32)
