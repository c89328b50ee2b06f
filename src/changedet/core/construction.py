"""How much a change looks like construction, from what the ground looked like on both dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import row_blocks, run_blocks
from changedet.core.indices import compute_indices
from changedet.core.planes import by_tiles, new_plane, relieve
from changedet.core.smoothing import blur_reach_px, blur_valid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Standard deviation of the Gaussian under which weights are averaged, in pixels.
WEIGHT_SMOOTHING_PX = 2.0
# Rows of a wide image are short work: more of them at one time than fit the cache cost less than calls.
_BLOCK_BYTES = 2_000_000
#: Bands without which nothing can be said of the kind of ground, so that every weight is 1.
NEEDED_BANDS: tuple[str, ...] = ("B02", "B03", "B04", "B08")


@dataclass(frozen=True)
class Membership:
    """A soft "more than": 0 far below the centre, one half at it, 1 far above it.

    Attributes
    ----------
    centre : float
        Where a pixel belongs half, in the unit of the index.
    width : float
        Scale of the logistic: at the centre plus three widths a pixel belongs by 0.95.
    """

    centre: float
    width: float

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far each value belongs.

        Parameters
        ----------
        values : ndarray of float32
            An index.

        Returns
        -------
        ndarray of float32, same shape
            0 to 1, rising with the value; NaN stays NaN.

        Examples
        --------
        >>> VEGETATED.of(np.float32([0.0, 0.3, 0.8])).round(2).tolist()
        [0.0, 0.5, 1.0]
        """
        # the tangent saturates where an exponential would overflow
        half = (values - np.float32(self.centre)) * np.float32(0.5 / self.width)
        return np.asarray(np.float32(0.5) * (np.float32(1) + np.tanh(half)), np.float32)


#: NDVI of ground that plants cover in part and of ground that they cover (Rouse et al. 1974).
VEGETATED = Membership(0.30, 0.05)
GREEN = Membership(0.40, 0.05)
#: NDVI that only closed crops, meadows and forest reach.
DENSE = Membership(0.60, 0.05)
#: NDVI below which ground that was green has been stripped.
STRIPPED = Membership(0.25, 0.05)
#: (B04 - B02) / (B04 + B02) of soil, which iron oxides redden (the saturation index of Mathieu et al. 1998,
#: doi:10.1016/S0034-4257(98)00030-3). Concrete, metal and asphalt lie near 0.
REDDISH = Membership(0.15, 0.05)
#: Open water by NDWI (McFeeters 1996, doi:10.1080/01431169608948714), MNDWI (Xu 2006,
#: doi:10.1080/01431160600589179) and a near infrared of less than this reflectance.
WET = Membership(0.0, 0.05)
WET_SHORTWAVE = Membership(0.1, 0.05)
NEAR_INFRARED_OF_LAND = Membership(0.15, 0.02)
#: Snow by NDSI, whose bands are those of MNDWI, and by B03 (Hall, Riggs and Salomonson 1995,
#: doi:10.1016/0034-4257(95)00137-P).
SNOWY = Membership(0.4, 0.05)
SNOW_GREEN = Membership(0.15, 0.02)
#: Mean visible and near-infrared reflectance above which ground is not in shadow.
LIT = Membership(0.045, 0.005)
LIT_NEAR_INFRARED = Membership(0.10, 0.01)
#: A shadow takes the same share of every band: standard deviation of the log ratios that still is the same.
SHADOW_SPREAD = 0.2

#: What is left of the weight where nothing speaks for construction.
FLOOR = 0.25
#: What is taken off for soil that still lies open after, for plants after, for dense plants on both dates and
#: for a shadow on one date. Water on both dates, and snow on both, take everything.
OPEN_SOIL_AFTER, PLANTS_AFTER, DENSE_ON_BOTH, SHADOW_ON_ONE = 0.2, 0.25, 0.5, 0.5


def construction_weight(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    bands: tuple[str, ...],
    haze: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Say of every pixel how far a change there would look like construction.

    A building site lays soil bare on one of the dates at least, strips plants, or makes land of water. The
    membership in any of the three makes the weight; the rest keeps `FLOOR`, since a hall may also replace
    another one. Then a part is taken off for soil that still lies open (cleared or demolished, not built
    yet), for plants after (harvested, ripened or grown over), for dense plants on both dates and for a shadow
    on one of them, and everything for water or snow on both dates. The order is that of the table of kinds
    (`changedet.kinds`) without its hard edges.

    Exchanging the dates exchanges what soil and plants after take off, and stripped plants with plants that
    grew: construction turns into demolition or overgrowing, which weigh less. Soil on either date, dense
    plants, shadow and water weigh the same both ways.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Reflectance, 0 to 1; the after image normalised to the before image. NaN where unknown.
    bands : tuple of str
        Canonical names. Without B11 water is told by fewer indices and snow is not told; without any of
        `NEEDED_BANDS` every weight is 1.
    haze : tuple of two ndarray of float32, shape (band,), optional
        What the air adds to each band of either date, taken off first; nothing when left out.

    Returns
    -------
    ndarray of float32, shape (y, x)
        0 to 1; NaN where a needed band is NaN on either date.

    Raises
    ------
    ValueError
        When shapes and names disagree.

    Examples
    --------
    >>> meadow, roof = np.float32([0.04, 0.07, 0.05, 0.35]), np.float32([0.30, 0.30, 0.30, 0.32])
    >>> bands = ("B02", "B03", "B04", "B08")
    >>> built = construction_weight(meadow[:, None, None], roof[:, None, None], bands)
    >>> grown = construction_weight(roof[:, None, None], meadow[:, None, None], bands)
    >>> bool(built[0, 0] > 0.9 and grown[0, 0] < 0.5)
    True
    """
    if before.shape != after.shape or len(before) != len(bands):
        message = f"before {before.shape}, after {after.shape} and {len(bands)} band names disagree"
        raise ValueError(message)
    shape = (before.shape[1], before.shape[2])
    if not set(NEEDED_BANDS) <= set(bands):
        return new_plane(shape, np.float32, 1)
    wanted = [i for i, name in enumerate(bands) if name in (*NEEDED_BANDS, "B11")]
    names = tuple(bands[i] for i in wanted)
    out = new_plane(shape, np.float32)

    def _work(rows: slice) -> None:
        sides = []
        for date, image in enumerate((before, after)):
            pixels = image[wanted, rows]
            if haze is not None:
                pixels = np.maximum(pixels - haze[date][wanted, None, None], np.float32(0))
            sides.append(_Side.of(pixels, names))
        out[rows] = _weight(*sides)
        relieve()

    run_blocks(_work, row_blocks(shape, 8 * len(wanted), _BLOCK_BYTES))
    return out


def construction_score(score: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh a change score by how far the change looks like construction.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        Of any detector; NaN = not judged.
    weight : ndarray of float32, shape (y, x)
        From `construction_weight`. It is averaged over judged neighbours with a Gaussian of
        `WEIGHT_SMOOTHING_PX`, since the score itself is smoothed.

    Returns
    -------
    ndarray of float32, shape (y, x)
        In the unit of the score and never above it; NaN where the score is, 0 where no weight is known near.
    """

    def _tile(wide: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        known = np.isfinite(wide) & np.isfinite(weights)
        averaged = blur_valid(np.where(known, weights, np.float32(0)), known, WEIGHT_SMOOTHING_PX)
        # rounding in the normalised average may exceed 1 by one part in ten million
        return np.asarray(wide * np.minimum(averaged, np.float32(1)), np.float32)

    return by_tiles(_tile, score, weight, halo_px=blur_reach_px(WEIGHT_SMOOTHING_PX), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Side:
    """Index values of one date, and the logarithm of its four finest bands."""

    ndvi: NDArray[np.float32]
    soil: NDArray[np.float32]
    water: NDArray[np.float32]
    snow: NDArray[np.float32]
    dark: NDArray[np.float32]
    logs: NDArray[np.float32]

    @classmethod
    def of(cls, pixels: NDArray[np.float32], names: tuple[str, ...]) -> _Side:
        """Read one date; what takes a missing band is 0."""
        values = compute_indices(pixels, names)
        planes = dict(zip(names, pixels, strict=True))
        finest = np.stack([planes[name] for name in NEEDED_BANDS])
        return cls(
            ndvi=values["NDVI"],
            soil=REDDISH.of(values["redness"]),
            water=_water(values),
            snow=_snow(values, planes),
            dark=(1 - LIT.of(values["brightness"])) * (1 - LIT_NEAR_INFRARED.of(values["NIR"])),
            # a reflectance below half a per cent is noise, and its logarithm would be too
            logs=np.log(np.maximum(finest, np.float32(0.005))),
        )


def _water(values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    wet = WET.of(values["NDWI"]) * (1 - NEAR_INFRARED_OF_LAND.of(values["NIR"]))
    return wet * WET_SHORTWAVE.of(values["MNDWI"]) if "MNDWI" in values else wet


def _snow(
    values: Mapping[str, NDArray[np.float32]], planes: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    if "MNDWI" not in values:
        return np.zeros_like(planes["B03"])
    return SNOWY.of(values["MNDWI"]) * SNOW_GREEN.of(planes["B03"])


def _weight(before: _Side, after: _Side) -> NDArray[np.float32]:
    """Combine the memberships: what speaks for construction, less what speaks for something else."""
    bare = np.maximum(before.soil, after.soil)
    stripped = GREEN.of(before.ndvi) * (1 - STRIPPED.of(after.ndvi)) * (1 - after.water)
    made_land = before.water * (1 - after.water)
    nothing = (1 - bare) * (1 - stripped) * (1 - made_land)
    planted = VEGETATED.of(after.ndvi)
    spread = np.std(after.logs - before.logs, axis=0) / np.float32(SHADOW_SPREAD)
    shadow = np.abs(after.dark - before.dark) * np.exp(np.float32(-0.5) * spread * spread)
    weight = 1 - np.float32(1 - FLOOR) * nothing
    for share, belongs in (
        (OPEN_SOIL_AFTER, after.soil * (1 - planted)),
        (PLANTS_AFTER, planted),
        (DENSE_ON_BOTH, DENSE.of(np.minimum(before.ndvi, after.ndvi))),
        (SHADOW_ON_ONE, shadow),
        (1.0, before.water * after.water),
        (1.0, before.snow * after.snow),
    ):
        weight = weight * (1 - np.float32(share) * belongs)
    return np.asarray(weight, np.float32)
