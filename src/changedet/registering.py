"""Bringing one raster onto another: any two that overlap, resampled once, or refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SCL
from changedet.core.alignment import AlignmentSettings, align
from changedet.core.residual import measure_remainder
from changedet.core.warping import bridge_gaps, equals, sample, warp
from changedet.errors import CrsMismatchError, NoOverlapError, QualityGateError, UsageError
from changedet.progress import Progress, Silent
from changedet.provenance import to_json_types
from changedet.providers.layers import check_north_up
from changedet.providers.local import open_source
from changedet.providers.rasters import read_header, read_window
from changedet.registration import RESIDUAL_LIMIT_PX, Registration, Views, judge, simplified
from changedet.resample import (
    FINER,
    displaced_positions,
    paste,
    pixel_ratio,
    pixel_size_m,
    smoothed,
    source_window,
    whole_pixel_shift,
)
from changedet.scene import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField

    Input = str | Path | xr.Dataset | xr.DataArray | Image

_SILENT = Silent()
_PREFERRED = ("B04", "B03", "B02")
_MOST_BANDS = 3
#: Above this many pixels one band says enough, and more would not fit into a laptop.
ONE_BAND_FROM_PX = 2e7
_VIEW_PX = 128
#: Threads that decode and encode files.
_THREADS = 2
#: Blocks that GDAL keeps; by default it takes a share of the machine.
_CACHE_MB = 256
#: Planes of a dataset that are no imagery.
_NO_BANDS = frozenset({"valid", "classes", SCL})
#: Types that are interpolated as they are.
_DIRECT = frozenset({"uint8", "uint16", "int16", "float32", "float64"})


@dataclass(frozen=True)
class RegisterSettings:
    """How one raster is brought onto another.

    Attributes
    ----------
    local : bool
        Whether the shift may vary over the image, where the tie points show that it does.
    max_shift_m : float
        Largest shift that is sought, in metres.
    residual_limit_px : float
        Largest residual after correction that passes.

    Raises
    ------
    UsageError
        When a number is not positive.
    """

    local: bool = True
    max_shift_m: float = 500.0
    residual_limit_px: float = RESIDUAL_LIMIT_PX

    def __post_init__(self) -> None:
        for name, value in (("shift", self.max_shift_m), ("residual", self.residual_limit_px)):
            if not value > 0:
                raise UsageError(f"largest {name} {value:g} is not positive", todo="give a number above 0")


_DEFAULT = RegisterSettings()


@dataclass(frozen=True, eq=False)
class Raster:
    """Bands that wait to be read, all on one grid, in the numbers of their file.

    Attributes
    ----------
    name : str
        The file or scene, for errors.
    grid : GeoBox
        Where the pixels lie.
    bands : tuple of str
        Names.
    dtype : str
        Type of the numbers.
    nodata : float or None
        The number that means "no data".
    read : callable
        Takes the position of a band and a window as (rows, columns), returns its numbers, shape (y, x).
    scales, offsets : tuple of float
        As the file states them; they are handed on.
    clear : ndarray of bool, shape of the grid, or None
        Where the ground is seen, when that is known; only the matching asks.
    """

    name: str
    grid: GeoBox
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    read: Callable[[int, tuple[slice, slice]], NDArray[Any]]
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    clear: NDArray[np.bool_] | None = None

    @property
    def fill(self) -> float:
        """What stands where there is no data: `nodata`, else NaN, or 0 for integers."""
        if self.nodata is not None:
            return self.nodata
        return float("nan") if np.issubdtype(self.dtype, np.floating) else 0.0

    def onto(
        self,
        band: int,
        grid: GeoBox,
        displacement: DisplacementField | None = None,
        *,
        matching: bool = False,
    ) -> NDArray[Any]:
        """Return a band on another grid, moved by a field on that grid, interpolated once.

        Parameters
        ----------
        band : int
            Position of the band.
        grid : GeoBox
            Any grid.
        displacement : DisplacementField, optional
            What is added to the position of the content.
        matching : bool
            Whether clouds count as no data, where they are known.

        Returns
        -------
        ndarray, shape of the grid
            In `dtype`; `fill` where there is no data.
        """
        window = source_window(self.grid, grid, displacement)
        if window is None:
            return np.full(tuple(grid.shape), self.fill, self.dtype)
        values, source = self._masked(self.read(band, window)), self.grid[window]
        if matching and self.clear is not None:
            values = np.where(self.clear[window], values, np.asarray(self.fill, self.dtype))
        shift = whole_pixel_shift(source, grid) if _is_still(displacement) else None
        if shift == (0, 0) and values.shape == tuple(grid.shape):
            return values
        if shift is not None:
            return paste(values, np.full(tuple(grid.shape), self.fill, self.dtype), shift)
        positions, shape = displaced_positions(source, grid, displacement), (grid.shape[0], grid.shape[1])
        ratio = pixel_ratio(source, grid)
        if ratio <= FINER and self.dtype in _DIRECT:
            return sample(values, shape, positions, nodata=self.nodata)
        floats = values.astype(np.float32)
        if self.nodata is not None:
            floats[equals(values, self.nodata)] = np.nan
        return self._stored(sample(smoothed(floats, ratio), shape, positions))

    def usable(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where numbers can be matched, shape of `values`; an integer zero may mean anything."""
        if np.issubdtype(values.dtype, np.floating):
            return np.asarray(~equals(values, self.fill) & np.isfinite(values))
        found = equals(values, self.fill)
        np.logical_not(found, out=found)
        return found

    def _masked(self, values: NDArray[Any]) -> NDArray[Any]:
        """Put numbers with a mask of their own, which come as NaN, into the type of the raster."""
        return values if values.dtype == self.dtype else self._stored(values)

    def _stored(self, values: NDArray[Any]) -> NDArray[Any]:
        if np.issubdtype(self.dtype, np.floating):
            filled = values if np.isnan(self.fill) else np.where(np.isnan(values), self.fill, values)
            return filled.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        rounded = np.clip(np.rint(np.nan_to_num(values.astype(np.float64))), limits.min, limits.max)
        return np.where(np.isnan(values), self.fill, rounded).astype(self.dtype)


def register(
    reference: Input,
    moving: Input,
    *,
    out: str | Path | None = None,
    settings: RegisterSettings = _DEFAULT,
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> Registration:
    """Measure how one image lies over another, and write it on the grid of the other if asked.

    Parameters
    ----------
    reference, moving : path, xarray.Dataset, xarray.DataArray or Image
        Any two images that overlap. Of files the numbers are taken as they are stored, whatever they mean;
        folders, products and cubes are read as for `detect`.
    out : path, optional
        GeoTIFF to write: every band of the moving image on the grid of the reference, interpolated once,
        in its own type.
    settings : RegisterSettings
        Limits.
    overwrite : bool
        Whether a file that is there may be replaced.
    progress : Progress
        Told about each step.

    Returns
    -------
    Registration
        In pixels of the reference, or of the moving image's size when those are coarser; `verdict` says
        whether it can be used.

    Raises
    ------
    QualityGateError
        When a file was asked for and the images are not comparable; nothing is written.
    InputFileError
        When an image cannot be used, or they share no ground.
    OutputError, OutputExistsError
        When the file cannot be written.

    Examples
    --------
    >>> import changedet as cd                                                       # doctest: +SKIP
    >>> found = cd.register("before.tif", "after.tif", out="after-registered.tif")   # doctest: +SKIP
    >>> found.verdict, found.shift_px, found.residual_px                             # doctest: +SKIP
    ('corrected', (-0.77, -0.75), 0.06)
    """
    import rasterio

    from changedet.output.registered import write_registered
    from changedet.output.tie_points import check_file

    if out is not None:
        check_file(Path(out), overwrite=overwrite)
    with rasterio.Env(GDAL_NUM_THREADS=_THREADS, GDAL_CACHEMAX=_CACHE_MB):
        sides = open_raster(reference), open_raster(moving)
        progress.step("registering")
        match = _Match.of(*sides)
        registration, field, ready = match.run(settings)
        if out is None:
            return registration
        if not registration.passed:
            raise QualityGateError(
                f"not registered: {registration.reason}", where=sides[1].name,
                todo="give images of the same ground, or ones with fewer clouds",
                details={"registration": to_json_types(registration.to_dict()), "file": None},
            )  # fmt: skip
        progress.step("writing")
        moved = match.bands_moved(field, ready)
        write_registered(Path(out), sides[0].grid, sides[1], moved, progress)
    return registration


def open_raster(given: Input) -> Raster:
    """Open an image as a raster.

    Parameters
    ----------
    given : path, xarray.Dataset, xarray.DataArray or Image
        As for `register`.

    Returns
    -------
    Raster
        Not read yet when it is one raster file.

    Raises
    ------
    InputFileError
        When it cannot be used.
    """
    path = Path(given) if isinstance(given, str | Path) else None
    if path is not None and path.is_file() and path.suffix.lower() not in {".nc", ".nc4", ".cdf", ".h5"}:
        header = read_header(path)
        types = set(header.dtypes)
        return Raster(
            str(path), header.grid, header.names, str(np.result_type(*types)), header.nodata[0],
            lambda band, window: read_window(path, header.indexes[band], window),
            header.scales, header.offsets,
        )  # fmt: skip
    if path is None and not isinstance(given, Image):
        return _of_xarray(given)  # type: ignore[arg-type]  # a path was told apart above
    image = open_source(given).load()
    read = partial(_of_image, image)
    return Raster(image.scene.id, image.grid, image.bands, "float32", None, read, clear=image.valid)


def _of_xarray(given: xr.Dataset | xr.DataArray) -> Raster:
    import odc.geo.xr  # noqa: F401  # gives arrays their grid
    import xarray as xr

    clear = None
    if isinstance(given, xr.Dataset):
        clear = np.asarray(given["valid"].to_numpy() > 0) if "valid" in given else None
        given = given.drop_vars(_NO_BANDS & set(given.data_vars)).to_array("band")
    array = given if given.ndim == 3 else given.expand_dims("band")
    grid = array.odc.geobox
    if grid is None or grid.crs is None:
        todo = "write its reference system (rioxarray: .rio.write_crs)"
        raise CrsMismatchError("the array does not say where it lies", where="xarray", todo=todo)
    check_north_up(grid, where="xarray")
    stated = given.attrs.get("nodata", given.attrs.get("_FillValue"))

    def _read(band: int, window: tuple[slice, slice]) -> NDArray[Any]:
        return np.asarray(array[band, *window].to_numpy())

    names = tuple(str(name) for name in np.atleast_1d(array["band"])) if "band" in array.coords else ()
    bands = names or tuple(f"band_{number}" for number in range(1, array.shape[0] + 1))
    nodata = None if stated is None else float(stated)
    return Raster("xarray", grid, bands, str(array.dtype), nodata, _read, clear=clear)


def _of_image(image: Image, band: int, window: tuple[slice, slice]) -> NDArray[np.float32]:
    return np.asarray(image.data[band][window])


def overlap(reference: Raster, moving: Raster) -> tuple[tuple[slice, slice], GeoBox, float]:
    """Return the ground that two rasters share, and the grid on which they can be compared.

    Parameters
    ----------
    reference, moving : Raster
        Any two.

    Returns
    -------
    tuple of (tuple of slice, GeoBox, float)
        Rows and columns of the reference; the grid, with larger pixels where those of the moving image are
        larger; and how many pixels of the reference one of its pixels is wide.

    Raises
    ------
    NoOverlapError
        When they share no ground.
    """
    window = source_window(reference.grid, moving.grid)
    if window is None or source_window(moving.grid, reference.grid) is None:
        raise NoOverlapError(
            "the two images do not overlap", where=f"{reference.name} and {moving.name}",
            todo="give two images of the same place",
        )  # fmt: skip
    grid = reference.grid[window]
    ratio = 1 / pixel_ratio(moving.grid, grid)
    return (window, grid.zoom_out(ratio), ratio) if ratio > FINER else (window, grid, 1.0)


@dataclass(frozen=True, eq=False)
class _Match:
    """Two rasters and the grid on which they are matched."""

    reference: Raster
    moving: Raster
    window: tuple[slice, slice]
    grid: GeoBox
    ratio: float
    bands: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, reference: Raster, moving: Raster) -> _Match:
        """Choose grid and bands."""
        window, grid, ratio = overlap(reference, moving)
        bands = _shared(reference.bands, moving.bands)
        if grid.shape[0] * grid.shape[1] > ONE_BAND_FROM_PX:
            bands = bands[:1]
        return cls(reference, moving, window, grid, ratio, bands)

    def run(
        self, settings: RegisterSettings
    ) -> tuple[Registration, DisplacementField | None, dict[int, NDArray[Any]]]:
        """Measure, move the matched bands, and measure again; return bands that need not be moved again."""
        fixed = [self.reference.onto(band, self.grid, matching=True) for band, _ in self.bands]
        came = [self.moving.onto(band, self.grid, matching=True) for _, band in self.bands]
        sides_m = pixel_size_m(self.grid)
        limits = AlignmentSettings(settings.max_shift_m / min(sides_m), local=settings.local)
        masks = self._valid(self.reference, fixed), self._valid(self.moving, came)
        whole, here = bridge_gaps([_plane(p) for p in fixed], masks[0])
        planes, there = bridge_gaps([_plane(p) for p in came], masks[1])
        alignment = align(whole, planes, here, there, limits)
        field = None if alignment.field is None else simplified(alignment.field)
        left, moved = None, came
        if alignment.trusted and field is not None:
            moved = self._moved(came, field)
            fits, still = bridge_gaps([_plane(p) for p in moved], self._valid(self.moving, moved))
            left = measure_remainder(whole, fits, here, still, alignment.feature)
        found = judge(alignment, left, sides_m, correction=field, limit_px=settings.residual_limit_px)
        views = Views(
            _view(self.reference, fixed[0]), _view(self.moving, came[0]), _view(self.moving, moved[0])
        )
        same = self.moving.grid == self.reference.grid and self.moving.clear is None
        same = same and self.moving.dtype in _DIRECT
        whole_numbers = self.moving.nodata is not None or bool(masks[1].all())
        final = left is not None and not _is_still(field) and same and whole_numbers
        ready = {band: plane for (_, band), plane in zip(self.bands, moved, strict=True)} if final else {}
        return replace(found, grid=self.grid, views=views), field, ready

    def bands_moved(
        self, field: DisplacementField | None, ready: dict[int, NDArray[Any]]
    ) -> Iterator[NDArray[Any]]:
        """Yield every band of the moving image on the whole grid of the reference, interpolated once."""
        displacement, shape = self.full_field(field), tuple(self.reference.grid.shape)
        for band in range(len(self.moving.bands)):
            if band in ready:
                yield ready[band]
                continue
            part = self.moving.onto(band, self.reference.grid[self.window], displacement)
            if part.shape != shape:
                part, inner = np.full(shape, self.moving.fill, self.moving.dtype), part
                part[self.window] = inner
            yield part

    def _moved(self, came: list[NDArray[Any]], field: DisplacementField) -> list[NDArray[Any]]:
        """Move the matched bands; those that were interpolated already are read again."""
        aligned = whole_pixel_shift(self.moving.grid, self.grid) is not None
        if not aligned or self.moving.dtype not in _DIRECT:
            return [self.moving.onto(band, self.grid, field, matching=True) for _, band in self.bands]
        nodata = None if np.isnan(self.moving.fill) else self.moving.fill
        return [warp(plane, field, nodata=nodata) for plane in came]

    def full_field(self, field: DisplacementField | None) -> DisplacementField | None:
        """Return the field in the pixels of the reference, over the part that was matched."""
        if field is None:
            return None
        rows, columns = self.window
        return replace(
            field,
            shape=(rows.stop - rows.start, columns.stop - columns.start),
            centre_px=(field.centre_px[0] * self.ratio, field.centre_px[1] * self.ratio),
            surface=None if field.surface is None else field.surface * self.ratio,
            lines=None if field.lines is None else field.lines * self.ratio,
        )

    def _valid(self, raster: Raster, planes: list[NDArray[Any]]) -> NDArray[np.bool_]:
        return reduce(np.logical_and, (raster.usable(plane) for plane in planes))


def _is_still(displacement: DisplacementField | None) -> bool:
    return displacement is None or (
        displacement.model == "translation" and displacement.centre_px == (0.0, 0.0)
    )


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Choose the bands to match, as pairs of positions: visible ones, others of one name, or the first."""
    common = [name for name in first if name in second and name != SCL]
    names = [name for name in _PREFERRED if name in common] or common[:_MOST_BANDS]
    if not names:
        return ((0, 0),)
    return tuple((first.index(name), second.index(name)) for name in names)


def _plane(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype in (np.uint16, np.float32) else values.astype(np.float32)


def _view(raster: Raster, plane: NDArray[Any]) -> NDArray[np.float32]:
    """Cut the middle out of a plane; NaN = no data."""
    middle = tuple(
        slice(max(0, (size - _VIEW_PX) // 2), max(0, (size - _VIEW_PX) // 2) + _VIEW_PX)
        for size in plane.shape
    )
    part = plane[middle]
    return np.where(raster.usable(part), part, np.nan).astype(np.float32)
