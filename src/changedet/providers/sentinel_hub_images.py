"""From what Sentinel Hub rendered to an image: which pixels can be used, and at which resolution they lie."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SCL, band
from changedet.core.masking import UNUSABLE_CLASSES, unclassified
from changedet.providers.layers import Layer, LayerSource, load_classes
from changedet.providers.radar import fuse_radar, geometry_note, seen_at_angle
from changedet.providers.sentinel_hub_products import (
    ANGLE_LAYER,
    CLOUD_LAYER,
    CODES,
    MASK,
    NO_DATA,
    SHADOW_LAYER,
)
from changedet.providers.sentinel_hub_requests import COARSE_M
from changedet.resample import crs_of
from changedet.scene import Asset

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.providers.sentinel_hub_products import Product
    from changedet.scene import Image, Scene

#: A cloud layer above this speaks of cloud; the share of clear pixels above it that is worth a note.
_CLOUD_PERCENT, _CLOUD_NOTE_SHARE = 65, 0.02
#: What was fetched is kept up to so many bytes; however large they are, two dates can be compared.
_KEPT_BYTES, _LEAST_KEPT = 500_000_000, 2


@dataclass(frozen=True, eq=False)
class Fetch:
    """What the service gave of one scene, on a 10 m grid whose corners are multiples of 20 m.

    Attributes
    ----------
    product : Product
        What it is of.
    scene_id : str
        Which acquisition.
    names : tuple of str
        Layers, one for each plane; the last is `MASK`.
    grid : GeoBox
        Where the pixels lie.
    planes : ndarray of uint16 or float32, shape (layer, y, x)
        Where nothing was observed, `NO_DATA` or NaN in bands and 0 in all other layers.
    """

    product: Product
    scene_id: str
    names: tuple[str, ...]
    grid: GeoBox
    planes: NDArray[Any]

    def answers(self, scene_id: str, names: tuple[str, ...], needed: GeoBox) -> bool:
        """Tell whether this fetch holds what is needed now."""
        same = self.scene_id == scene_id and set(names) <= set(self.names) and self.grid.crs == needed.crs
        mine, wanted = self.grid.boundingbox, needed.boundingbox
        return (
            same
            and mine.left <= wanted.left
            and mine.bottom <= wanted.bottom
            and mine.right >= wanted.right
            and mine.top >= wanted.top
        )

    def plane(self, name: str) -> NDArray[Any]:
        """Return the numbers of one layer, shape (y, x)."""
        found: NDArray[Any] = self.planes[self.names.index(name)]
        return found

    def layer(self, name: str, *, nested: bool = False) -> Layer:
        """Return one layer; one of 20 m at its own resolution when its pixels nest in the grid."""
        grid, values = self.grid, self.plane(name)
        if nested and (name == SCL or band(name).resolution_m > 10):
            grid, values = grid.zoom_to(resolution=COARSE_M), values[::2, ::2]
        radiometry = CODES if name == SCL else self.product.radiometry
        asset = Asset("", variable=name, radiometry=radiometry)
        return Layer(name, grid, asset, lambda window: values[window])


class KeptFetches:
    """What was fetched last, so that nothing is paid for twice when registration moves the grid a little.

    Parameters
    ----------
    most_bytes : int
        Beyond this those go that were not used for longest, but for the last two.
    """

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: tuple[Fetch, ...] = ()

    def find(self, scene_id: str, names: tuple[str, ...], needed: GeoBox) -> Fetch | None:
        """Return a fetch that holds what is needed, None when there is none."""
        with self._lock:
            found = next((one for one in self._kept if one.answers(scene_id, names, needed)), None)
            if found is not None:
                self._keep(found)
        return found

    def keep(self, fetch: Fetch) -> None:
        """Remember a fetch, and forget others that have no room any more."""
        with self._lock:
            self._keep(fetch)

    def _keep(self, fetch: Fetch) -> None:
        ranked = [fetch, *(one for one in self._kept if one is not fetch)]
        sums = accumulate(one.planes.nbytes for one in ranked)
        fitting = sum(taken <= self._most_bytes for taken in sums)
        self._kept = tuple(ranked[: max(fitting, _LEAST_KEPT)])


def marked(planes: NDArray[Any], names: tuple[str, ...], product: Product) -> NDArray[Any]:
    """Mark what was not observed.

    Parameters
    ----------
    planes : ndarray, shape (layer, y, x)
        As the service gave them. Not changed.
    names : tuple of str
        What the planes are; the last is `MASK`, above 0 where something was observed.
    product : Product
        What they are of.

    Returns
    -------
    ndarray, shape (layer, y, x)
        See `Fetch`.
    """
    out = planes.copy()
    observed = planes[-1] > 0
    blank = np.nan if product.float32 else NO_DATA
    for index, name in enumerate(names):
        out[index][~observed] = blank if name in product.offered else 0
    return out


def image_of(
    fetch: Fetch,
    scene: Scene,
    names: tuple[str, ...],
    grid: GeoBox,
    displacement: DisplacementField | None = None,
) -> Image:
    """Put what was fetched onto a grid.

    Parameters
    ----------
    fetch : Fetch
        Covers the grid.
    scene : Scene
        What it is of.
    names : tuple of str
        Bands of the image.
    grid : GeoBox
        Any grid.
    displacement : DisplacementField, optional
        On that grid, of optical scenes: what is added to the position of the content.

    Returns
    -------
    Image
        Reflectance or linear gamma nought. Its scene notes what else the service said of the pixels.

    Raises
    ------
    NoOverlapError
        When the two have no common ground.
    """
    if fetch.product.radar:
        return _radar_image(fetch, scene, names, grid)
    # pixels of 20 m nest in the grid only in the zone they were made in
    epsg = crs_of(fetch.grid).epsg
    nested = all(one.epsg == epsg for one in scene.granules)
    beside = [name for name in fetch.product.beside if name != CLOUD_LAYER]
    layers = tuple(fetch.layer(name, nested=nested) for name in dict.fromkeys((*names, *beside)))
    noted = _noted(scene, *_cloud_notes(fetch))
    return LayerSource(noted, fetch.grid, layers).load(grid, displacement).select(names)


def glance_of(fetch: Fetch, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
    """Return the scene classes of what was fetched, on a grid, shape (y, x); 0 = no data."""
    if fetch.product.radar:
        codes = unclassified(np.asarray(fetch.plane(MASK) > 0))
    elif SCL in fetch.names:
        return load_classes(fetch.layer(SCL), grid)
    else:
        tests = tuple(fetch.layer(name) for name in fetch.product.glance)
        codes = LayerSource(scene, fetch.grid, tests).load(fetch.grid).classes
    asset = Asset("", variable=SCL, radiometry=CODES)
    return load_classes(Layer(SCL, fetch.grid, asset, lambda window: codes[window]), grid)


def _cloud_notes(fetch: Fetch) -> tuple[str, ...]:
    """Say where the classification sees none of the cloud that the service's other layer sees."""
    if CLOUD_LAYER not in fetch.names:
        return ()
    clear = (fetch.plane(SCL) > 0) & ~np.isin(fetch.plane(SCL), UNUSABLE_CLASSES)
    if not clear.any():
        return ()
    share = float((fetch.plane(CLOUD_LAYER)[clear] >= _CLOUD_PERCENT).mean())
    if share < _CLOUD_NOTE_SHARE:
        return ()
    return (f"{share:.0%} of what the scene classification calls clear is cloud by the layer {CLOUD_LAYER}",)


def _radar_image(fetch: Fetch, scene: Scene, names: tuple[str, ...], grid: GeoBox) -> Image:
    unusable = ~seen_at_angle(fetch.plane(ANGLE_LAYER)) | (fetch.plane(SHADOW_LAYER) > 0)
    observed = np.isfinite(fetch.plane(names[0]))
    clean = replace(fetch, planes=np.where(unusable, np.float32(np.nan), fetch.planes))
    noted = _noted(scene, *geometry_note(unusable, observed))
    return fuse_radar([{name: clean.layer(name) for name in names}], names, noted, grid)


def _noted(scene: Scene, *notes: str) -> Scene:
    """Add notes to a scene; one that was loaded before has them already."""
    return replace(scene, notes=tuple(dict.fromkeys((*scene.notes, *notes))))
