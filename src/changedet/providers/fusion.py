"""From the layers of several granules to one image: the first granule that has data at a pixel gives it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from changedet.bands import SCL
from changedet.errors import NoOverlapError, ProviderError
from changedet.providers.items import DECIDED, UNDECIDED
from changedet.providers.layers import Layer, load_band, load_classes, usable_pixels
from changedet.scene import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.scene import Asset, Granule, Scene

#: Numbers with the offset still in them are reflectance * 10000 + 1000, so nearly all lie above this.
OFFSET_NUMBER = 1000
#: Share of the pixels below it from which on the offset counts as applied.
_APPLIED_SHARE = 0.005
_VISIBLE = ("B02", "B03", "B04")


def fuse(
    layers: Sequence[Mapping[str, Layer]],
    names: tuple[str, ...],
    scene: Scene,
    grid: GeoBox,
    displacement: DisplacementField | None = None,
) -> Image:
    """Put the granules of a scene onto one grid.

    Parameters
    ----------
    layers : sequence of mapping
        For each granule, best first, its layers by name.
    names : tuple of str
        Bands of the image, without the scene classification.
    scene : Scene
        What the image is of.
    grid : GeoBox
        Where its pixels lie.
    displacement : DisplacementField, optional
        On that grid: what is added to the position of the content, in the same interpolation.

    Returns
    -------
    Image
        At each pixel everything comes from the first granule that has all bands there; NaN and invalid where
        none has.

    Raises
    ------
    NoOverlapError
        When no granule reaches the grid.
    ProviderError
        When nobody, not even the pixels, can tell whether an offset was applied.
    """
    if not any(layers):
        raise NoOverlapError(
            "the scene does not cover any of the ground asked for",
            where=scene.id,
            todo="choose a scene of this place",
        )
    shape = (len(names), *grid.shape)
    data = np.full(shape, np.nan, np.float32)
    classes = np.zeros(shape[1:], np.uint8)
    filled = np.zeros(shape[1:], np.bool_)
    for found in layers:
        if not {*names, SCL} <= set(found):
            continue
        own = np.full(shape, np.nan, np.float32)
        for name, plane in zip(names, own, strict=True):
            load_band(found[name], grid, plane, displacement)
        take = np.isfinite(own).all(axis=0) & ~filled
        data[:, take] = own[:, take]
        own_classes = load_classes(found[SCL], grid, displacement)
        classes = np.where(take | (~filled & (classes == 0)), own_classes, classes)
        filled |= take
    return Image(data, names, usable_pixels(data, names, classes, grid), classes, grid, scene, SCL)


def fuse_classes(layers: Sequence[Mapping[str, Layer]], grid: GeoBox) -> NDArray[np.uint8]:
    """Return the scene classes of the first granule that has any at a pixel, shape (y, x); 0 = no data."""
    classes = np.zeros(tuple(grid.shape), np.uint8)
    for found in layers:
        if SCL in found:
            classes = np.where(classes == 0, load_classes(found[SCL], grid), classes)
    return classes


def decide_offsets(
    scene: Scene, layers: Sequence[Mapping[str, Layer]], names: tuple[str, ...]
) -> tuple[Scene, list[dict[str, Layer]]]:
    """Let the pixels of each granule say whether its offset was applied, where its item could not.

    Parameters
    ----------
    scene : Scene
        What is being loaded.
    layers : sequence of mapping of str to Layer
        For each granule of the scene its layers, in memory.
    names : tuple of str
        Its reflectance bands.

    Returns
    -------
    scene : Scene
        The same; granules that were decided, and its bands and notes with them, say what was used.
    layers : list of dict of str to Layer
        The same, with offset 0 where the visible bands hold numbers that an offset of 1000 rules out.

    Raises
    ------
    ProviderError
        When they hold none: bright ground without the offset looks like dark ground with it.
    """
    pairs = list(zip(scene.granules, layers, strict=True))
    open_ones = [granule.id for granule, found in pairs if _applied_already(granule, found, names)]
    if not open_ones:
        return scene, [dict(found) for found in layers]
    granules = tuple(_decided_granule(one) if one.id in open_ones else one for one in scene.granules)
    read = [
        {name: replace(layer, asset=_decided(layer.asset)) for name, layer in found.items()}
        if granule.id in open_ones
        else dict(found)
        for granule, found in pairs
    ]
    # a scene has the bands of its best granule
    assets = granules[0].assets if scene.granules[0].id in open_ones else scene.assets
    notes = dict.fromkeys(note.replace(UNDECIDED, DECIDED) for note in scene.notes)
    return replace(scene, granules=granules, assets=assets, notes=tuple(notes)), read


def _applied_already(granule: Granule, layers: Mapping[str, Layer], names: tuple[str, ...]) -> bool:
    """Tell whether the pixels of a granule had to say that its offset was applied, and did."""
    if not any(n in layers and layers[n].asset.radiometry.source == UNDECIDED for n in names):
        return False
    shares = [_share_below(layers[name]) for name in _VISIBLE if name in layers]
    if max(shares, default=0.0) < _APPLIED_SHARE:
        raise ProviderError(
            "catalogue and pixels do not tell whether the radiometric offset was applied",
            where=granule.id,
            todo="choose another date or provider",
        )
    return True


def _decided_granule(granule: Granule) -> Granule:
    assets = {name: _decided(asset) for name, asset in granule.assets.items()}
    return replace(granule, assets=MappingProxyType(assets))


def _decided(asset: Asset) -> Asset:
    if asset.radiometry.source != UNDECIDED:
        return asset
    return replace(asset, radiometry=replace(asset.radiometry, offset=0.0, source=DECIDED))


def _share_below(layer: Layer) -> float:
    height, width = layer.grid.shape
    numbers = layer.read((slice(0, height), slice(0, width)))
    seen = numbers[numbers != 0]
    return float((seen < OFFSET_NUMBER).mean()) if seen.size else 0.0
