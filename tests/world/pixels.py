"""Pixels of granules as each archive stores them, and the truth behind them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds
from tests.world.granules import Pass

from changedet.bands import SCL, band

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from tests.world.granules import Granule

    from changedet.simulator.scene import SimulatedScene

#: How numbers relate to reflectance: as the baseline says, always + 1000, never, or no reflectance at all.
Flavour = Literal["baseline", "collection-1", "shifted", "codes", "gamma0"]

_CLOUD_PERCENT = {8: 62, 9: 95, 10: 31, 3: 4, 11: 12}
GAMMA0_NODATA = -32768.0


@dataclass(frozen=True, eq=False)
class Layer:
    """One raster file of an archive: which granule, what, at which resolution, stored how."""

    granule: Granule
    name: str
    resolution_m: int
    flavour: Flavour


@dataclass(frozen=True, eq=False)
class Raster:
    """Float values with NaN where there is nothing, on a grid."""

    values: NDArray[np.float64]
    grid: GeoBox

    def on(self, grid: GeoBox, resampling: str = "nearest") -> NDArray[np.float64]:
        """The values on another grid; NaN outside."""
        out = np.full(tuple(grid.shape), np.nan)
        reproject(self.values, out, src_transform=self.grid.transform, src_crs=str(self.grid.crs),
                  src_nodata=np.nan, dst_transform=grid.transform, dst_crs=str(grid.crs), dst_nodata=np.nan,
                  resampling=Resampling[resampling])  # fmt: skip
        return out


class Pixels:
    """Makes the pixels of granules `size_px` wide at 10 m; the scene lies in the middle, mirrored around."""

    def __init__(self, size_px: int = 768, cloud_percent: Mapping[int, int] | None = None) -> None:
        self.size_px = size_px
        self.cloud_percent = dict(_CLOUD_PERCENT if cloud_percent is None else cloud_percent)
        self._made: dict[tuple[Granule | SimulatedScene, str, int], Raster] = {}
        self._lock = threading.Lock()

    def grid(self, granule: Granule, resolution_m: int = 10) -> GeoBox:
        """The grid of a granule's files."""
        home = self._home(granule.scene, resolution_m)
        if str(home.crs) == f"EPSG:{granule.epsg}":
            return home
        left, bottom, right, top = transform_bounds(
            str(home.crs), f"EPSG:{granule.epsg}", *home.boundingbox.bbox
        )
        snapped = (*np.floor(np.divide((left, bottom), 20)) * 20, *np.ceil(np.divide((right, top), 20)) * 20)
        return GeoBox.from_bbox(snapped, f"EPSG:{granule.epsg}", resolution=resolution_m, tight=True)

    def radar_grid(self, granule: Granule) -> GeoBox:
        """The grid of a radar scene: off the usual lattice by another fraction of a pixel every time."""
        home, day = self._home(granule.scene, 10), granule.scene.time.toordinal()
        if isinstance(granule.scene, Pass):
            # speckle on the same lattice every time: what is between its pixels is for other tests
            return home
        east, south = (0.5 + day * 37 % 90 / 10, 0.5 + day * 53 % 90 / 10)
        shape = (home.shape[0] - 1, home.shape[1] - 1)
        return GeoBox(shape, Affine.translation(east, -south) * home.transform, home.crs)

    def stored(self, layer: Layer) -> tuple[NDArray[np.generic], GeoBox]:
        """The numbers in the file of a layer, and their grid."""
        raster = self.raster(layer.granule, layer.name, layer.resolution_m)
        empty = np.isnan(raster.values)
        if layer.flavour == "codes":
            return np.where(empty, 0, raster.values).astype(np.uint8), raster.grid
        if layer.flavour == "gamma0":
            return np.where(empty, GAMMA0_NODATA, raster.values).astype(np.float32), raster.grid
        numbers = np.clip(np.rint(raster.values * 1e4) + added(layer), 1, 65534)
        return np.where(empty, 0, numbers).astype(np.uint16), raster.grid

    def raster(self, granule: Granule, name: str, resolution_m: int) -> Raster:
        """Reflectance, gamma0, classes (``SCL``) or cloud per cent (``CLD``) of a granule."""
        key = (granule, name, resolution_m)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(granule, name, resolution_m)
            return self._made[key]

    def radar_ground(self, granule: Granule, name: str) -> Raster:
        """What a radar slice saw on the scene's own grid: power, radar shadow (0 or 1), angle in degrees."""
        key = (granule, f"ground {name}", 0)
        if key not in self._made:
            power = self.truth(granule.scene, name if name in {"VV", "VH"} else "VV")
            values = power.values
            if name not in {"VV", "VH"}:
                values = _terrain(granule, power.grid, name)
            covered = _covered(granule, power.grid)
            self._made[key] = Raster(np.where(covered, values, np.nan), power.grid)
        return self._made[key]

    def truth(self, scene: SimulatedScene, name: str) -> Raster:
        """What a scene really is, before it is cut into granules; mirrored around the site."""
        key = (scene, name, 0)
        if key not in self._made:
            self._made[key] = self._make_truth(scene, name)
        return self._made[key]

    def _home(self, scene: SimulatedScene, resolution_m: int) -> GeoBox:
        margin = (self.size_px - scene.grid.shape[0]) // 2
        corner = scene.grid.transform * Affine.translation(-margin, -margin)
        side, step = self.size_px * 10 // resolution_m, resolution_m / 10
        return GeoBox((side, side), corner * Affine.scale(step), scene.grid.crs)

    def _make(self, granule: Granule, name: str, resolution_m: int) -> Raster:
        truth = self.truth(granule.scene, name)
        cut = Raster(np.where(_covered(granule, truth.grid), truth.values, np.nan), truth.grid)
        if name in {"VV", "VH"}:
            grid = self.radar_grid(granule)
            return Raster(cut.on(grid, "bilinear"), grid)
        grid = self.grid(granule, resolution_m)
        if grid == cut.grid:
            return cut
        coarser = grid.crs == cut.grid.crs and resolution_m > abs(cut.grid.transform.a)
        smooth = "average" if coarser else "bilinear"
        return Raster(cut.on(grid, "nearest" if name in {SCL, "CLD"} else smooth), grid)

    def _make_truth(self, scene: SimulatedScene, name: str) -> Raster:
        values = _scene_values(scene, name, self.cloud_percent)
        step = 10 * scene.grid.shape[0] // values.shape[0]
        margin = (self.size_px * 10 // step - values.shape[0]) // 2
        return Raster(np.pad(values, margin, mode="symmetric"), self._home(scene, step))


def added(layer: Layer) -> int:
    """What an archive adds to reflectance * 10000 before storing."""
    return {"baseline": layer.granule.stored_offset, "collection-1": 1000}.get(layer.flavour, 0)


def native_resolution(name: str) -> int:
    """Pixel size of a layer in metres."""
    if name in {SCL, "CLD"}:
        return 20
    # bands of 60 m are held in cells of 20 m, in which everything is counted
    return 10 if name in {"VV", "VH"} else min(band(name).resolution_m, 20)


def write_cog(
    path: Path, values: NDArray[np.generic], grid: GeoBox, nodata: float | None, block_px: int = 256
) -> None:
    """Write a cloud-optimised GeoTIFF, (y, x) or (band, y, x), in square tiles."""
    planes = values if values.ndim == 3 else values[None]
    profile = {
        "driver": "COG", "count": planes.shape[0], "height": planes.shape[1], "width": planes.shape[2],
        "dtype": planes.dtype.name, "crs": str(grid.crs), "transform": grid.transform, "nodata": nodata,
        "blocksize": block_px, "compress": "deflate", "level": 1, "predictor": "yes",
        "resampling": "nearest" if planes.dtype == np.uint8 else "average",
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as target:
        target.write(planes)


def _scene_values(scene: SimulatedScene, name: str, cloud_percent: Mapping[int, int]) -> NDArray[np.float64]:
    if name == SCL:
        return scene.classes.astype(np.float64)
    if name == "CLD":
        percent = np.ones(256)
        percent[list(cloud_percent)] = list(cloud_percent.values())
        return percent[scene.classes]
    if isinstance(scene, Pass):
        return np.asarray(scene.power[name], np.float64)
    if name in {"VV", "VH"}:
        vertical = 0.02 + 0.5 * _scene_values(scene, "B04", cloud_percent)
        return vertical if name == "VV" else 0.22 * vertical
    return (scene.numbers[name].astype(np.float64) + round(scene.offset * 1e4)) / 1e4


def _terrain(granule: Granule, grid: GeoBox, name: str) -> NDArray[np.float64]:
    shadow, layover = np.zeros((2, *grid.shape), bool)
    if granule.hills is not None:
        top, bottom, left, right = granule.hills
        middle = (left + right) / 2
        shadow = _covered(replace(granule, covers=(top, bottom, left, middle)), grid)
        layover = _covered(replace(granule, covers=(top, bottom, middle, right)), grid)
    if name == "shadowMask":
        return shadow.astype(np.float64)
    return np.where(shadow, 86.0, np.where(layover, 4.0, 38.0))


def _covered(granule: Granule, grid: GeoBox) -> NDArray[np.bool_]:
    # counted in cells of 20 m, whose edges the layers of all resolutions share
    side, cells, per_cell = grid.shape[0], granule.scene.classes.shape[0], round(20 / abs(grid.transform.a))
    margin = (side // per_cell - cells) // 2

    def edge(share: float) -> int:
        inner: int = (margin + round(share * cells)) * per_cell
        outer: dict[float, int] = {0.0: 0, 1.0: side}
        return outer.get(share, inner)

    top, bottom, left, right = (edge(share) for share in granule.covers)
    out = np.zeros(tuple(grid.shape), bool)
    out[top:bottom, left:right] = True
    return out
