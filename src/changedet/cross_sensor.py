"""How far images of different sensors lie apart: each pair in the way that suits it, on the coarser grid."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from changedet.core.alignment import Alignment, AlignmentSettings, align
from changedet.core.shift_graph import standard_error_px
from changedet.core.structure import StructureSettings, measure_structure
from changedet.errors import MissingBandError, UsageError
from changedet.registering import ONE_BAND_FROM_PX, Raster, open_raster, overlap
from changedet.registration import OBSTACLES
from changedet.resample import FINER, pixel_ratio, pixel_size_m, resample, source_window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.registering import Input

Kind = Literal["optical", "radar"]
BandPairs = tuple[tuple[str, str], ...]

#: What each obstacle of a measurement across sensors means, for a reader.
STRUCTURE_OBSTACLES: Mapping[str, str] = MappingProxyType(
    {
        "no texture": OBSTACLES["no texture"],
        "too small": "the images share too little usable ground",
        "no agreement": OBSTACLES["no agreement"],
        "beyond the search": "the images lie further apart than was sought",
    }
)

_POLARISATIONS = frozenset({"VV", "VH", "HH", "HV"})
#: Bands that show the same edges, best first.
_OPTICAL = ("B04", "B03", "B02", "B08", "B11")
_MOST_BANDS = 3
#: Source pixels that are held at one time while they are averaged.
_BLOCK_PX = 2**24


@dataclass(frozen=True)
class CrossSettings:
    """How images of different sensors are compared.

    Attributes
    ----------
    max_shift_m : float
        Largest shift that is sought between optical images, in metres.
    radar_shift_m : float
        The same where one of them is radar, whose position is known better and whose match is weaker.
    bands : tuple of (str, str)
        Names of bands of the reference and of the moving image that belong together, best first; found by
        their names when empty.

    Raises
    ------
    UsageError
        When a number is not positive.
    """

    max_shift_m: float = 500.0
    radar_shift_m: float = 120.0
    bands: BandPairs = ()

    def __post_init__(self) -> None:
        for name, value in (("shift", self.max_shift_m), ("shift of radar", self.radar_shift_m)):
            if not value > 0:
                raise UsageError(f"largest {name} {value:g} is not positive", todo="give a number above 0")


_DEFAULT = CrossSettings()


@dataclass(frozen=True, eq=False)
class CrossShift:
    """A shift between images of two sensors, with its error.

    Sign and axis order are those of `changedet.registration.Registration`.

    Attributes
    ----------
    kind : {"optical", "radar"}
        How it was measured.
    shift_px : tuple of float
        (row, column) in pixels of `grid`; NaN when nothing was measured. The median of a field.
    error_px : tuple of float
        Their standard errors.
    shift_m, error_m : tuple of float
        The same as (north, east) in metres.
    windows : int
        Windows that were compared on usable ground.
    agreement : float
        Share of them that agree.
    reason : str
        Why the measurement must not be believed, in words; else empty.
    grid : GeoBox
        Where it was measured: the pixels of the coarser image, on the ground that both show.
    alignment : Alignment or None
        With the displacement field, of optical pairs.
    """

    kind: Kind
    shift_px: tuple[float, float]
    error_px: tuple[float, float]
    shift_m: tuple[float, float]
    error_m: tuple[float, float]
    windows: int
    agreement: float
    reason: str
    grid: GeoBox
    alignment: Alignment | None

    @property
    def trusted(self) -> bool:
        """True when nothing speaks against the measurement."""
        return not self.reason

    @property
    def correctable(self) -> bool:
        """True when the moving image may be moved by it; a shift to radar is only ever measured."""
        return self.trusted and self.kind == "optical"

    def within(self, limit_px: float) -> bool:
        """Tell whether the images lie closer together than a limit, the error allowed for.

        Parameters
        ----------
        limit_px : float
            In pixels of `grid`.

        Returns
        -------
        bool
            False also when nothing could be measured.
        """
        return self.trusted and float(np.hypot(*self.shift_px) + np.hypot(*self.error_px)) <= limit_px


def measure(
    reference: Input,
    moving: Input,
    *,
    kind: Kind | Literal["auto"] = "auto",
    settings: CrossSettings = _DEFAULT,
) -> CrossShift:
    """Measure how far images lie apart that different sensors, orbits or processors made.

    The finer image is averaged over the pixels of the coarser one. Optical images are aligned by their
    reflectance, or by their edges where that finds no agreement (`changedet.core.alignment.align`); radar is
    compared with anything by the directions of its edges (`changedet.core.structure.measure_structure`).

    Parameters
    ----------
    reference, moving : path, xarray.Dataset, xarray.DataArray or Image
        Any two images that overlap, as for `changedet.registering.register`. Radar may be linear or in
        decibels.
    kind : {"auto", "optical", "radar"}
        How to compare them; by the names of their bands when ``"auto"``.
    settings : CrossSettings
        Limits.

    Returns
    -------
    CrossShift
        With the reason why it must not be believed, if there is one.

    Raises
    ------
    InputFileError
        When an image cannot be used, lacks a band that is asked for, or shares no ground with the other.

    Examples
    --------
    >>> found = measure("S2_20240601.tif", "S1_20240602_VV.tif")    # doctest: +SKIP
    >>> found.kind, found.shift_px, found.error_px                  # doctest: +SKIP
    ('radar', (0.57, -0.04), (0.09, 0.13))
    """
    sides = open_raster(reference), open_raster(moving)
    grid = common_grid(*sides)
    found = _kind(*sides) if kind == "auto" else kind
    pairs = _bands(*sides, settings.bands)
    if found == "radar" or grid.shape[0] * grid.shape[1] > ONE_BAND_FROM_PX:
        pairs = pairs[:1]
    first, second = (
        [averaged(side, pair[index], grid) for pair in pairs] for index, side in enumerate(sides)
    )
    if found == "radar":
        return _by_structure(first[0], second[0], grid, settings)
    return _by_alignment(first, second, grid, settings)


def common_grid(reference: Raster, moving: Raster) -> GeoBox:
    """Return the grid on which two rasters are compared.

    Parameters
    ----------
    reference, moving : Raster
        Any two.

    Returns
    -------
    GeoBox
        The part of the reference's grid that both show; with larger pixels where those of the moving image
        are larger.

    Raises
    ------
    NoOverlapError
        When they share no ground.
    """
    return overlap(reference, moving)[1]


def averaged(raster: Raster, band: int, grid: GeoBox) -> NDArray[np.float32]:
    """Return a band on another grid: averaged over its pixels where they are larger, else interpolated.

    Parameters
    ----------
    raster : Raster
        It is read in blocks of rows, so that an image much finer than the grid need not fit into memory.
    band : int
        Position of the band.
    grid : GeoBox
        Any grid.

    Returns
    -------
    ndarray of float32, shape of the grid
        NaN where there is no data.
    """
    out = np.full(tuple(grid.shape), np.nan, np.float32)
    ratio = pixel_ratio(raster.grid, grid)
    step = int(np.clip(_BLOCK_PX / (ratio**2 * grid.shape[1]), 1, grid.shape[0]))
    for start in range(0, grid.shape[0], step):
        rows = slice(start, min(start + step, grid.shape[0]))
        part = grid[rows, :]
        window = source_window(raster.grid, part)
        if window is None:
            continue
        values = raster.read(band, window)
        floats = np.where(raster.usable(values), values, np.nan).astype(np.float32)
        method: Literal["average", "cubic"] = "average" if ratio > FINER else "cubic"
        out[rows] = resample(floats, raster.grid[window], part, method=method)
    return out


def _kind(reference: Raster, moving: Raster) -> Kind:
    return "radar" if any(_is_radar(side) for side in (reference, moving)) else "optical"


def _is_radar(raster: Raster) -> bool:
    return any(name.upper() in _POLARISATIONS for name in raster.bands)


def _bands(reference: Raster, moving: Raster, wanted: BandPairs) -> list[tuple[int, int]]:
    """Choose what is compared, as pairs of positions."""
    if wanted:
        return [(_position(reference, one), _position(moving, other)) for one, other in wanted]
    common = [name for name in _OPTICAL if name in reference.bands and name in moving.bands]
    if common:
        return [(reference.bands.index(name), moving.bands.index(name)) for name in common[:_MOST_BANDS]]
    first, second = (
        next((side.bands.index(name) for name in ("VV", *_OPTICAL) if name in side.bands), 0)
        for side in (reference, moving)
    )
    return [(first, second)]


def _position(raster: Raster, name: str) -> int:
    if name in raster.bands:
        return raster.bands.index(name)
    raise MissingBandError(
        f"there is no band {name}", where=raster.name, todo=f"choose among {', '.join(raster.bands)}"
    )


def _by_structure(
    first: NDArray[np.float32], second: NDArray[np.float32], grid: GeoBox, settings: CrossSettings
) -> CrossShift:
    planes = [_positive(plane) for plane in (first, second)]
    valid = [np.asarray(np.isfinite(plane) & (plane > 0)) for plane in planes]
    filled = [np.where(usable, plane, np.float32(0)) for plane, usable in zip(planes, valid, strict=True)]
    search_px = max(2, round(settings.radar_shift_m / min(pixel_size_m(grid))))
    limits = StructureSettings(search_px=search_px)
    found = measure_structure(filled[0], filled[1], valid[0], valid[1], limits)
    reason = STRUCTURE_OBSTACLES[found.obstacle] if found.obstacle else ""
    shift, error = (found.row_px, found.column_px), (found.row_error_px, found.column_error_px)
    return _described("radar", grid, (shift, error), (found.windows, found.agreement), reason)


def _positive(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return backscatter as power: what is negative in good part is in decibels."""
    known = plane[np.isfinite(plane)]
    decibels = known.size and float((known < 0).mean()) > 0.2
    return np.power(np.float32(10), plane / np.float32(10)) if decibels else plane


def _by_alignment(
    first: list[NDArray[np.float32]],
    second: list[NDArray[np.float32]],
    grid: GeoBox,
    settings: CrossSettings,
) -> CrossShift:
    valid = [np.logical_and.reduce([np.isfinite(plane) for plane in side]) for side in (first, second)]
    limits = AlignmentSettings(settings.max_shift_m / min(pixel_size_m(grid)))
    found = align(first, second, valid[0], valid[1], limits)
    reason = OBSTACLES[found.obstacle] if found.obstacle else ""
    shift = found.field.median_px if found.field else (np.nan, np.nan)
    windows = 0 if found.ties is None else int(np.isfinite(found.ties.row_px).sum())
    figures = shift, standard_error_px(found)
    return _described("optical", grid, figures, (windows, found.agreement), reason, found)


def _described(
    kind: Kind,
    grid: GeoBox,
    figures: tuple[tuple[float, float], tuple[float, float]],
    support: tuple[int, float],
    reason: str,
    alignment: Alignment | None = None,
) -> CrossShift:
    shift, error = figures
    row_m, column_m = pixel_size_m(grid)
    return CrossShift(
        kind=kind,
        shift_px=shift,
        error_px=error,
        shift_m=(-shift[0] * row_m, shift[1] * column_m),
        error_m=(error[0] * row_m, error[1] * column_m),
        windows=support[0],
        agreement=support[1],
        reason=reason,
        grid=grid,
        alignment=alignment,
    )
