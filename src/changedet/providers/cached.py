"""A provider that asks another one only for what is not kept, and what makes two requests the same."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import numpy as np

from changedet.bands import SCL
from changedet.configuration import cache_max_bytes
from changedet.core import masking
from changedet.errors import CacheWarning, OutputError
from changedet.providers.base import Estimate
from changedet.providers.cache import DEFAULT_MAX_BYTES, SCHEMA_VERSION, SceneCache, default_folder
from changedet.providers.cache_files import Planes, digest_of, stack, without_secrets
from changedet.providers.items import DECIDED, UNDECIDED
from changedet.resample import crs_of
from changedet.scene import Image, Scene

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.providers.base import OnReceived, Provider, ProviderInfo, SearchQuery
    from changedet.scene import Asset, Radiometry

#: Names the one rule by which pixels get onto a grid; to be changed together with it.
RESAMPLING_RULE = "bands interpolated once, classes nearest"

#: Under this name stands every catalogue that nobody knows in advance.
_ANY_CATALOGUE = "stac"
_AFTER_BANDS = ("valid", "classes")
#: Two fields that agree in pixels this far apart are one field.
_EVERY_PX = 16
#: What makes the classes of each level.
_CLASSES_SOURCE = MappingProxyType({"L2A": "SCL", "L1C": "spectral tests"})


@dataclass(frozen=True)
class Wanted:
    """One request for pixels, by everything that decides them.

    Attributes
    ----------
    provider : str
        Name of the provider.
    scene : Scene
        What is to be loaded; its collection, granules, baselines and offsets count. Of its links those to
        files on disk count, with size and time of change, and those of a catalogue that nobody knows; all
        others may lead to a mirror.
    grid : GeoBox
        Where the pixels are to lie.
    bands : tuple of str or None
        Bands in the order wanted; None when the provider chooses.
    product : {"image", "classes"}
        The whole image, or its scene classes alone.
    resampling : str
        Rule by which pixels get onto the grid.
    displacement : DisplacementField or None
        On the grid, by which the content is moved.
    """

    provider: str
    scene: Scene
    grid: GeoBox
    bands: tuple[str, ...] | None = None
    product: Literal["image", "classes"] = "image"
    resampling: str = RESAMPLING_RULE
    displacement: DisplacementField | None = None

    @property
    def key(self) -> str:
        """SHA-256 digest of `to_dict`, 64 hexadecimal digits."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the pixels, JSON-serialisable."""
        return {
            "version": SCHEMA_VERSION,
            "provider": self.provider,
            "product": self.product,
            "scene": _identity(self.scene),
            "bands": None if self.bands is None else list(self.bands),
            "grid": {
                "crs": _crs_text(self.grid),
                "transform": list(self.grid.transform)[:6],
                "shape": list(self.grid.shape),
            },
            "resampling": self.resampling,
            "usable": {
                "cloud_buffer_m": masking.CLOUD_BUFFER_M,
                "unusable": [int(code) for code in masking.UNUSABLE_CLASSES],
                "soft_edged": [int(code) for code in masking.SOFT_EDGED_CLASSES],
            },
            "files": _files(self.scene, self.provider),
            **({} if self.displacement is None else {"displacement": _shifts(self.displacement)}),
        }


@dataclass(frozen=True)
class CachedProvider:
    """A provider before which a cache stands: what was loaded once is not asked for again.

    Attributes
    ----------
    provider : Provider
        Asked for what is not there.
    cache : SceneCache
        Read first, filled afterwards. When it cannot be written, a `CacheWarning` says so and the work goes
        on.
    """

    provider: Provider
    cache: SceneCache

    @property
    def name(self) -> str:
        """Name of the provider behind."""
        return self.provider.name

    @property
    def info(self) -> ProviderInfo:
        """What the provider behind says of itself."""
        return self.provider.info

    def search(self, query: SearchQuery) -> list[Scene]:
        """Ask the provider behind for scenes; answers to searches are not kept.

        Parameters
        ----------
        query : SearchQuery
            Place, time and sensor.

        Returns
        -------
        list of Scene
            Sorted by time.
        """
        return self.provider.search(query)

    def load(
        self,
        scene: Scene,
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        on_received: OnReceived | None = None,
        displacement: DisplacementField | None = None,
    ) -> Image:
        """Load a scene onto a grid, from the cache when it is there.

        Parameters
        ----------
        scene : Scene
            From `search`.
        grid : GeoBox
            Where the pixels are to lie.
        bands : tuple of str, optional
            Bands in the order wanted; the provider chooses by default.
        on_received : callable, optional
            Handed to the provider behind; what comes from the cache is not received.
        displacement : DisplacementField, optional
            Handed to the provider behind. What is kept are pixels on a grid, and not those of the archive, so
            that a displaced scene is an entry of its own.

        Returns
        -------
        Image
            Equal in every pixel whether it came from the cache or not.
        """
        key = Wanted(self.name, scene, grid, bands, displacement=displacement).key
        kept = self.cache.fetch(key)
        image = None if kept is None else _image(*kept, scene, grid)
        if image is not None:
            return image
        # a provider of somebody else may not know the hook
        more = {"on_received": on_received, "displacement": displacement}
        given: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
        image = self.provider.load(scene, grid, bands, **given)
        planes = Planes(
            stack([image.data, image.valid, image.classes]), (*image.bands, *_AFTER_BANDS), image.grid
        )
        content = {"scene": image.scene.to_dict(), "classes_source": image.classes_source}
        self._keep(key, planes, {"bands": list(image.bands), "provider": self.name} | content)
        return image

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Load the scene classes alone, from the cache when they are there.

        Parameters
        ----------
        scene : Scene
            From `search`.
        grid : GeoBox
            Where the pixels are to lie.

        Returns
        -------
        ndarray of uint8, shape (y, x)
            Codes of the scene classification.
        """
        key = Wanted(self.name, scene, grid, product="classes").key
        kept = self.cache.fetch(key)
        if kept is not None and kept[0].shape == (1, *grid.shape) and kept[0].dtype == np.uint8:
            return np.asarray(kept[0][0])
        found = self.provider.classes(scene, grid)
        source = _CLASSES_SOURCE.get(scene.level, "none")
        content = {"bands": [], "provider": self.name, "scene": scene.to_dict(), "classes_source": source}
        self._keep(key, Planes(found[np.newaxis], ("classes",), grid), content)
        return found

    def holds(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> bool:
        """Say whether `load` would find a scene in the cache (`classes` for ``("SCL",)``), unread so far.

        Parameters
        ----------
        scene, grid, bands
            As for `load`.

        Returns
        -------
        bool
            A kept scene may still turn out to be damaged when it is read.
        """
        only_classes = bands == (SCL,)
        wanted = Wanted(
            self.name,
            scene,
            grid,
            None if only_classes else bands,
            product="classes" if only_classes else "image",
        )
        return bool(self.cache.describe(wanted.key))

    def estimate(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> Estimate:
        """Say what `load` would take: nothing for what is kept.

        Parameters
        ----------
        scene, grid, bands
            As for `load`; ``("SCL",)`` for what `classes` takes.

        Returns
        -------
        Estimate
            Nobody is asked.
        """
        if self.holds(scene, grid, bands):
            return Estimate()
        return self.provider.estimate(scene, grid, bands)

    def _keep(self, key: str, planes: Planes, content: Mapping[str, Any]) -> None:
        try:
            self.cache.store(key, planes, content)
        except OutputError as error:
            warnings.warn(str(error), CacheWarning, stacklevel=3)


def open_cached(
    name: str, folder: Path | None = None, *, max_processing_units: float | None = None
) -> CachedProvider:
    """Open a provider by its name with the scene cache before it, so that no pixel is asked for twice.

    Parameters
    ----------
    name : str
        As `changedet.providers.registry.open_provider` takes it.
    folder : Path, optional
        Folder of the cache; the user's cache folder when not given.
    max_processing_units : float, optional
        Most processing units that may be asked for; what the settings say when not given.

    Returns
    -------
    CachedProvider
        Nothing has been asked of any service yet.

    Raises
    ------
    UsageError
        When no provider has this name.
    InputFileError
        When the settings cannot be used.
    """
    from changedet.providers.registry import open_provider, provider_names
    from changedet.providers.settings import read_provider_settings

    settings = None
    if max_processing_units is not None and name in provider_names():
        settings = replace(read_provider_settings(name), max_processing_units=max_processing_units)
    cache = open_cache(folder)
    if obstacle := cache.obstacle():
        # said now, not after the first scene has come
        todo = "name another folder with --cache"
        warnings.warn(f"scenes cannot be kept ({obstacle}); {todo}", CacheWarning, stacklevel=2)
    return CachedProvider(open_provider(name, settings), cache)


def open_cache(folder: Path | None = None) -> SceneCache:
    """Open the scene cache with the limit on its size that the settings say.

    Parameters
    ----------
    folder : Path, optional
        The user's cache folder when not given.

    Returns
    -------
    SceneCache
        Nothing has been read yet.

    Raises
    ------
    InputFileError
        When the limit in the settings is no size.
    """
    most = cache_max_bytes()
    return SceneCache(folder or default_folder(), DEFAULT_MAX_BYTES if most is None else most)


def _identity(scene: Scene) -> dict[str, Any]:
    """Return what tells a scene from every other one, and from itself processed anew or read otherwise."""
    return {
        "id": scene.id,
        "collection": scene.collection,
        "level": scene.level,
        "baseline": scene.processing_baseline,
        "granules": [
            {
                "id": granule.id,
                "collection": granule.collection,
                "baseline": granule.baseline,
                "updated": granule.updated,
                "radiometry": _radiometry(granule.assets),
            }
            for granule in scene.granules
        ],
        "radiometry": _radiometry(scene.assets),
    }


def _shifts(displacement: DisplacementField) -> str:
    """Return a digest of the shifts on a raster that is much finer than a field can bend."""
    every = [np.append(np.arange(0, size - 1, _EVERY_PX), size - 1) for size in displacement.shape]
    shifts = displacement.on(*(axis.astype(np.float64) for axis in every))
    return digest_of({"shape": list(displacement.shape), "px": (np.round(shifts, 4) + 0.0).tolist()})


def _radiometry(assets: Mapping[str, Asset]) -> dict[str, list[float | str | None]]:
    return {
        band: [asset.radiometry.scale, _offset(asset.radiometry), asset.radiometry.nodata]
        for band, asset in assets.items()
    }


def _files(scene: Scene, provider: str) -> list[Any]:
    """Return what else tells files from others that a catalogue describes in the same words."""
    sides = [granule.assets for granule in scene.granules] or [scene.assets]
    links = sorted({asset.href for assets in sides for asset in assets.values()})
    on_disk = [link for link in links if not urlsplit(link).scheme]
    others = [link for link in links if link not in on_disk] if provider == _ANY_CATALOGUE else []
    return [_state(link) for link in on_disk] + [digest_of(without_secrets(link)) for link in others]


def _state(path: str) -> list[str | int | None]:
    try:
        found = Path(path).stat()
    except OSError:
        return [path, None, None]
    return [path, found.st_size, found.st_mtime_ns]


def _offset(radiometry: Radiometry) -> float | str:
    """Return an offset; where the pixels decide it, one scene is asked for before and after they have."""
    return "by the pixels" if radiometry.source in {UNDECIDED, DECIDED} else radiometry.offset


def _crs_text(grid: GeoBox) -> str:
    crs = crs_of(grid)
    code = crs.to_epsg()
    return str(crs.to_wkt()) if code is None else f"EPSG:{code}"


def _image(array: NDArray[Any], content: Mapping[str, Any], scene: Scene, grid: GeoBox) -> Image | None:
    """Make an image again, None when what was kept is not one on this grid."""
    try:
        bands = tuple(content["bands"])
        kept = Scene.from_dict(content["scene"])
        source = str(content["classes_source"])
    except (KeyError, TypeError, ValueError):
        return None
    if array.shape != (len(bands) + len(_AFTER_BANDS), *grid.shape):
        return None
    # the scene asked for knows fractions of a second, and links as its provider wrote them
    if _as_kept(scene) == content["scene"]:
        kept = scene
    data, valid, classes = array[: len(bands)], array[-2] > 0, array[-1].astype(np.uint8)
    return Image(data, bands, valid, classes, grid, replace(kept, time=scene.time), source)


def _as_kept(scene: Scene) -> Any:  # noqa: ANN401  # whatever JSON can hold
    return json.loads(json.dumps(without_secrets(scene.to_dict())))
