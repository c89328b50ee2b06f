"""Bands that wait to be read, and how a scene made of them is put onto a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from changedet.bands import COMPARED_BANDS, REQUIRED_BANDS, SCL, SENTINEL2_BANDS
from changedet.core.blocks import THREADS, run_blocks
from changedet.core.masking import (
    CLOUD_TEST_BANDS,
    SceneClass,
    cloud_buffer_px,
    spectral_classes,
    unclassified,
    usable_from_classes,
)
from changedet.core.planes import all_finite, by_rows, new_plane, planes_in_memory, relieve
from changedet.errors import InputFileError, MissingBandError, NoOverlapError
from changedet.providers.local_radiometry import to_reflectance
from changedet.resample import pixel_size_m, resample, source_window
from changedet.resample_rows import resampled_rows, source_rows
from changedet.scene import Asset, Image, Scene

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField


_SENTINEL2_NAMES = tuple(band.name for band in SENTINEL2_BANDS)
#: Cirrus is not compared, but the cloud test looks at it.
_LOADED = frozenset({*COMPARED_BANDS, "B10"})
#: Reading a window of a band: rows and columns in, stored numbers out.
Reader = Callable[[tuple[slice, slice]], "NDArray[Any]"]


class Source(Protocol):
    """A scene whose pixels can be loaded onto any grid, as often as needed.

    Attributes
    ----------
    scene : Scene
        What is known of it without reading pixels.
    grid : GeoBox
        Native grid of its finest bands.
    band_count : int
        Number of bands that `load` returns, known without reading.
    """

    @property
    def scene(self) -> Scene:
        """What is known of the scene."""

    @property
    def grid(self) -> GeoBox:
        """Native grid of the finest bands."""

    @property
    def band_count(self) -> int:
        """Number of bands that `load` returns."""

    def files(self) -> tuple[Path, ...]:
        """Return every file whose bytes decide the result, sorted; none for imagery in memory."""

    def load(self, grid: GeoBox | None = None, displacement: DisplacementField | None = None) -> Image:
        """Read the pixels onto `grid` (default: the native one); each band is resampled once.

        The content is moved by `displacement`, a field on `grid`, in the same step.
        """


@dataclass(frozen=True, eq=False)
class Layer:
    """One band, not read yet.

    Attributes
    ----------
    name : str
        Canonical band name, ``"SCL"``, or a name of the producer's own.
    grid : GeoBox
        Where its pixels lie.
    asset : Asset
        Where its numbers are and how they become reflectance.
    read : callable
        Takes (rows, columns) as slices and returns the stored numbers of that window, shape (y, x).
    """

    name: str
    grid: GeoBox
    asset: Asset
    read: Reader


@dataclass(frozen=True, eq=False)
class LayerSource:
    """A scene made of layers, each on a grid of its own; a `Source`.

    Attributes
    ----------
    scene : Scene
        Metadata.
    grid : GeoBox
        Native grid of the finest bands.
    layers : tuple of Layer
        Reflectance bands in the order of the image, then the scene classification if there is one.
    inputs : tuple of Path
        Files and folders of bands and metadata, as the user gave them; empty for imagery in memory.
    """

    scene: Scene
    grid: GeoBox
    layers: tuple[Layer, ...]
    inputs: tuple[Path, ...] = ()

    @property
    def band_count(self) -> int:
        """Number of bands that `load` returns."""
        return sum(layer.name != SCL for layer in self.layers)

    def files(self) -> tuple[Path, ...]:
        """Return every file whose bytes decide the result.

        Returns
        -------
        tuple of Path
            Sorted, as the user gave them: band files with what lies beside them and counts (ENVI headers,
            masks, sources of a VRT), product metadata, every file of a Zarr folder.
        """
        from changedet.providers.rasters import files_of

        return tuple(sorted({file for path in self.inputs for file in files_of(path)}))

    def load(self, grid: GeoBox | None = None, displacement: DisplacementField | None = None) -> Image:
        """Read every band onto one grid.

        Parameters
        ----------
        grid : GeoBox, optional
            Any grid, also one displaced by a fraction of a pixel; the native grid when not given. Only the
            part of the files that the grid needs is read.
        displacement : DisplacementField, optional
            On that grid: what is added to the position of the content, in the same interpolation.

        Returns
        -------
        Image
            float32 reflectance, NaN = no data.

        Raises
        ------
        NoOverlapError
            When the scene and the grid have no common ground.
        InputFileError
            When a file turns out to be damaged.
        """
        wanted = self.grid if grid is None else grid
        bands = [layer for layer in self.layers if layer.name != SCL]
        _require_memory(len(bands), wanted, self.scene.id)
        data = new_plane((len(bands), *wanted.shape), np.float32)
        seen = [load_band(layer, wanted, out, displacement) for layer, out in zip(bands, data, strict=True)]
        if not any(seen):
            raise NoOverlapError(
                "the scene does not cover any of the ground asked for",
                where=self.scene.id,
                todo="choose a scene of this place, or a site inside the scene",
            )
        classification = next((layer for layer in self.layers if layer.name == SCL), None)
        names = tuple(layer.name for layer in bands)
        if classification is not None:
            classes, classes_source = load_classes(classification, wanted, displacement), SCL
        else:
            classes, classes_source = _classes(wanted, data, names, self.scene)
        valid = usable_pixels(data, names, classes, wanted)
        return Image(data, names, valid, classes, wanted, self.scene, classes_source)


def _require_memory(bands: int, grid: GeoBox, where: str) -> None:
    """Refuse what the machine has no room for, before any is taken: a file may claim any size."""
    from changedet.scale.resources import memory_of_machine_bytes

    rows, columns = (int(side) for side in grid.shape)
    needed = float(rows) * columns * (np.dtype(np.float32).itemsize * bands + 2)
    if planes_in_memory() and needed > memory_of_machine_bytes():
        raise InputFileError(
            f"{columns} x {rows} pixels take {needed / 1e9:,.0f} GB of memory, more than there are",
            where=where,
            todo="choose a site in it with --at and --radius",
        )


def choose_bands(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Choose and order the bands that an image needs.

    Parameters
    ----------
    names : sequence of str
        Every band found.
    where : str
        What is being read, for errors.

    Returns
    -------
    tuple of str
        Sentinel-2 bands that are compared or tell clouds (not B01 and B09), by wavelength, and then SCL; when
        no band has a Sentinel-2 name, all but SCL.

    Raises
    ------
    MissingBandError
        When there is no band, or a Sentinel-2 scene lacks one of `REQUIRED_BANDS`.
    """
    known = tuple(name for name in _SENTINEL2_NAMES if name in names)
    if not known:
        bands = tuple(name for name in names if name != SCL)
        if not bands:
            raise MissingBandError("there is no band in it", where=where, todo="give imagery with bands")
        return bands
    missing = [name for name in REQUIRED_BANDS if name not in names]
    if missing:
        raise MissingBandError(
            f"missing band{'s' * (len(missing) > 1)} {', '.join(missing)} (found {', '.join(known)})",
            where=where,
            todo=f"add the missing ones: a comparison needs {', '.join(REQUIRED_BANDS)}",
        )
    chosen = tuple(name for name in known if name in _LOADED)
    return (*chosen, SCL) if SCL in names else chosen


def native_grid(layers: Sequence[Layer]) -> GeoBox:
    """Return the grid of the finest reflectance band; among equals the first of `REQUIRED_BANDS`."""
    bands = [layer for layer in layers if layer.name != SCL]
    ranked = [layer for name in REQUIRED_BANDS for layer in bands if layer.name == name] + bands
    return min((layer.grid for layer in ranked), key=lambda grid: round(math.prod(pixel_size_m(grid)), 2))


def resolution_m(grid: GeoBox) -> float:
    """Return the ground sampling distance in metres, to three digits.

    Examples
    --------
    >>> from odc.geo.geobox import GeoBox
    >>> resolution_m(GeoBox.from_bbox((300000, 0, 300100, 100), "EPSG:32633", resolution=10))
    10.0
    """
    return float(f"{math.sqrt(math.prod(pixel_size_m(grid))):.3g}")


def observed_pixels(data: NDArray[np.float32], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return where every compared band has data, shape (y, x); every band when none has a known name."""
    compared = [i for i, name in enumerate(names) if name in COMPARED_BANDS] or range(len(names))
    return all_finite(*(data[index] for index in compared))


def usable_pixels(
    data: NDArray[np.float32], names: tuple[str, ...], classes: NDArray[np.uint8], grid: GeoBox
) -> NDArray[np.bool_]:
    """Return where every compared band has data and no cloud or shadow is near, shape (y, x)."""
    buffer_px = cloud_buffer_px(min(pixel_size_m(grid)))
    usable = usable_from_classes(classes, dilation_px=buffer_px)
    return by_rows(np.logical_and, usable, observed_pixels(data, names), dtype=bool, out=usable)


def check_north_up(grid: GeoBox, *, where: str) -> None:
    """Refuse a grid that is rotated, sheared or upside down.

    Raises
    ------
    InputFileError
        With what to do about it.
    """
    step = grid.transform
    slant = max(abs(step.b * grid.shape[0]), abs(step.d * grid.shape[1]))
    if slant > 1e-3 * min(abs(step.a), abs(step.e)):
        raise InputFileError(
            "the image is rotated or sheared against its reference system",
            where=where,
            todo="warp it north up first (gdalwarp does so)",
        )
    if step.a <= 0 or step.e >= 0:
        raise InputFileError(
            "the image is stored upside down or mirrored",
            where=where,
            todo="warp it north up first (gdalwarp does so)",
        )


def load_band(
    layer: Layer, wanted: GeoBox, out: NDArray[np.float32], displacement: DisplacementField | None = None
) -> bool:
    """Write the reflectance of one band on the grid `wanted` into all of `out`; False without any overlap."""
    window = source_window(layer.grid, wanted, displacement)
    if window is None:
        by_rows(lambda part: np.full(part.shape, np.nan, np.float32), out, dtype=np.float32, out=out)
        return False
    radiometry = layer.asset.radiometry
    # Sentinel Hub gives nothing below zero, other archives do where too much haze was taken off. What any
    # provider delivers comes through here, so that the same ground is the same whoever delivered it
    clip = layer.name in _SENTINEL2_NAMES or radiometry.offset < 0
    stored = layer.read(window)

    def _work(rows: slice) -> None:
        part = source_rows(layer.grid[window], wanted, rows, displacement)
        if part is None:
            out[rows] = np.nan
            return
        values = to_reflectance(stored[part], radiometry, clip=clip)
        moved = resample(values, layer.grid[window][part], wanted, displacement=displacement, rows=rows)
        # the cubic kernel swings below zero beside bright roofs
        out[rows] = np.maximum(moved, np.float32(0)) if clip else moved
        relieve()

    # a field has threads of its own
    run_blocks(_work, resampled_rows(wanted, displacement), threads=THREADS if displacement is None else 1)
    return True


def load_classes(
    layer: Layer, wanted: GeoBox, displacement: DisplacementField | None = None
) -> NDArray[np.uint8]:
    """Return the scene classes of a layer on a grid, each from the nearest pixel; 0 = no data."""
    window = source_window(layer.grid, wanted, displacement)
    if window is None:
        return new_plane(tuple(wanted.shape), np.uint8, 0)
    stored = layer.read(window)
    out = new_plane(tuple(wanted.shape), np.uint8, 0)

    def _work(rows: slice) -> None:
        part = source_rows(layer.grid[window], wanted, rows, displacement)
        if part is None:
            return
        found = stored[part]
        # fill values of other writers (255, -9999, NaN) are no class
        codes = np.where((found >= 0) & (found <= max(SceneClass)), found, 0).astype(np.uint8)
        out[rows] = resample(codes, layer.grid[window][part], wanted, displacement=displacement, rows=rows)

    # a field has threads of its own
    run_blocks(_work, resampled_rows(wanted, displacement), threads=THREADS if displacement is None else 1)
    return out


def _classes(
    wanted: GeoBox, data: NDArray[np.float32], names: tuple[str, ...], scene: Scene
) -> tuple[NDArray[np.uint8], str]:
    if set(names) >= CLOUD_TEST_BANDS:
        classes = spectral_classes(
            data,
            names,
            sun_elevation_deg=scene.sun_elevation_deg,
            sun_azimuth_deg=scene.sun_azimuth_deg,
            pixel_size_m=math.sqrt(math.prod(pixel_size_m(wanted))),
        )
        return classes, "spectral tests"
    return unclassified(observed_pixels(data, names)), "none"
