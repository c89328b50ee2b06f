"""What is drawn as black and as white, the same for both dates, and how much of a large grid is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from changedet.bands import NATURAL_COLOUR, RADAR_BANDS, is_radar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from changedet.scene import Image

#: Percentiles of the pooled pair that become black and white.
STRETCH_PERCENTILES = (2.0, 98.0)
#: Name of what is drawn blue beside VV and VH.
RADAR_RATIO = "VV/VH"
#: Decibels of linear gamma nought that are drawn as black and as white, of every radar picture.
RADAR_RANGES_DB: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"VV": (-20.0, 2.0), "VH": (-27.0, -5.0), RADAR_RATIO: (2.0, 14.0)}
)

#: Grids of so many pixels and more are drawn smaller as a whole, and looked at on a lattice.
LARGE_PX = 25_000_000
_LARGE_SIDE_PX = 2200
_MOST_SAMPLES = 400_000
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Limits:
    """What is drawn as black and as white, the same for both dates.

    Attributes
    ----------
    bands : tuple of str
        One name (drawn grey) or three (red, green, blue).
    low, high : tuple of float
        For each band, in reflectance, or in decibels of radar; ``high > low``.
    radar : bool
        True for decibels with the fixed stretch of radar pictures.
    """

    bands: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    radar: bool = False

    @property
    def text(self) -> str:
        """The statement that belongs under every picture drawn with these limits."""
        if self.radar:
            return f"Same stretch on both dates and in every report: {self._radar_ranges}"
        ranges = ", ".join(
            f"{b} {lo:.3f} to {hi:.3f}" for b, lo, hi in zip(self.bands, self.low, self.high, strict=True)
        )
        low, high = STRETCH_PERCENTILES
        pooled = f"{low:g} to {high:g} percentile of the pooled pair"
        return f"Same stretch on both dates: {pooled} (reflectance {ranges})"

    @property
    def _radar_ranges(self) -> str:
        colours = ("red ", "green ", "blue ") if len(self.bands) > 1 else ("",)
        ranges = zip(colours, self.bands, self.low, self.high, strict=True)
        return ", ".join(f"{colour}{band} {low:g} to {high:g} dB" for colour, band, low, high in ranges)


def thinning(shape: tuple[int, ...]) -> int:
    """Return by how much pictures of a whole grid are smaller than the grid.

    Parameters
    ----------
    shape : tuple of int
        (y, x).

    Returns
    -------
    int
        1 below 25 million pixels; beyond that so much that about 2200 pixels are left of the longer side. To
        find a stretch, every so many rows and columns are looked at too.
    """
    rows, columns = shape
    return 1 if rows * columns < LARGE_PX else -(-max(rows, columns) // _LARGE_SIDE_PX)


def lattice(plane: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return the rows and columns of a plane, or of each of several, that are looked at; all of a small one.

    Parameters
    ----------
    plane : ndarray, shape (..., y, x)
        Of a whole grid.

    Returns
    -------
    ndarray
        A view.
    """
    step = thinning(plane.shape[-2:])
    return plane[..., ::step, ::step]


def stretch_limits(before: Image, after: Image, valid: NDArray[np.bool_] | None = None) -> Limits:
    """Find one stretch for two dates.

    Parameters
    ----------
    before, after : Image
        With the same bands on the same grid.
    valid : ndarray of bool, shape (y, x), optional
        True where both dates are usable; as the images say when not given. When there is no such pixel every
        finite one counts.

    Returns
    -------
    Limits
        2 and 98 percentile of the pooled pair, per band. Natural colour where the bands are there, else the
        first three bands, else the first. Of radar the fixed decibels `RADAR_RANGES_DB`: red is VV, green is
        VH, blue is VV over VH; grey where only one of them is there.

    Notes
    -----
    Large images are sampled on a regular lattice; the same input gives the same limits.
    """
    if is_radar(before.bands):
        return _radar_limits(before.bands)
    low, high = [], []
    bands = _display_bands(before.bands)
    usable = lattice(before.valid) & lattice(after.valid) if valid is None else lattice(valid)
    usable = usable if usable.any() else np.ones_like(usable)
    step = max(1, int(usable.sum()) // _MOST_SAMPLES)
    for name in bands:
        sample = np.concatenate([lattice(image.band(name))[usable][::step] for image in (before, after)])
        sample = sample[np.isfinite(sample)]
        bottom, top = np.percentile(sample, STRETCH_PERCENTILES) if sample.size else (0.0, 1.0)
        low.append(float(bottom))
        high.append(float(max(top, bottom + 1e-3)))
    return Limits(bands, tuple(low), tuple(high))


def decibels(image: Image, name: str) -> NDArray[np.float32]:
    """Return radar power in decibels.

    Parameters
    ----------
    image : Image
        Linear gamma nought.
    name : str
        One of its bands, or `RADAR_RATIO`.

    Returns
    -------
    ndarray of float32, shape (y, x)
        NaN where there is no data; minus infinity where there is no power.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if name == RADAR_RATIO:
            return np.asarray(10 * np.log10(image.band("VV") / image.band("VH")), np.float32)
        return np.asarray(10 * np.log10(image.band(name)), np.float32)


def _radar_limits(bands: tuple[str, ...]) -> Limits:
    names = (*RADAR_BANDS, RADAR_RATIO) if set(bands) >= set(RADAR_BANDS) else bands[:1]
    low, high = zip(*(RADAR_RANGES_DB[name] for name in names), strict=True)
    return Limits(names, tuple(low), tuple(high), radar=True)


def _display_bands(bands: tuple[str, ...]) -> tuple[str, ...]:
    if all(name in bands for name in NATURAL_COLOUR):
        return NATURAL_COLOUR
    return bands[:3] if len(bands) >= 3 else bands[:1]
