"""The products that Sentinel Hub renders for us: what each is called there, and how it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.bands import COMPARED_BANDS, RADAR_BANDS, SCL, SENTINEL2_BANDS
from changedet.core.masking import CLOUD_TEST_BANDS
from changedet.errors import UsageError
from changedet.providers.radar import RADAR_LEVEL, gamma_nought
from changedet.scene import Asset, Radiometry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from changedet.providers.base import SearchQuery
    from changedet.scene import Scene

#: Service's own cloud layer of Level-2A, in per cent.
CLOUD_LAYER = "CLD"
#: True in radar shadow; angle between the radar's line of sight and the normal of the ground, in degrees.
SHADOW_LAYER, ANGLE_LAYER = "shadowMask", "localIncidenceAngle"
#: Above 0 where something was observed; free of charge.
MASK = "dataMask"
#: No reflectance is stored as this number, so it can stand for "no data".
NO_DATA = 65535
#: Bands at which the spectral tests for clouds look.
TEST_BANDS = tuple(one.name for one in SENTINEL2_BANDS if one.name in CLOUD_TEST_BANDS | {"B10"})

CODES = Radiometry(nodata=0.0, source="class codes")
_REFLECTANCE = Radiometry(
    scale=1e-4,
    nodata=float(NO_DATA),
    source="numbers are 10000 times reflectance for every baseline (harmonizeValues), negative ones are 0",
)
_GAMMA = gamma_nought(None, "made by Sentinel Hub on the terrain model Copernicus 30 m")
_OFFERED = tuple(one.name for one in SENTINEL2_BANDS)
_HARMONISED = MappingProxyType({"harmonizeValues": True})
#: Without interpolation the pixels of the slant geometry would be displaced by up to half a pixel.
_CORRECTED = MappingProxyType(
    {
        "backCoeff": "GAMMA0_TERRAIN",
        "orthorectify": True,
        "demInstance": "COPERNICUS_30",
        "upsampling": "BILINEAR",
        "downsampling": "BILINEAR",
    }
)


@dataclass(frozen=True)
class Product:
    """One product of Sentinel Hub.

    Attributes
    ----------
    level : str
        As `changedet.scene.Scene.level` has it.
    source : str
        Name of the collection in the `sentinelhub` package.
    offered : tuple of str
        Bands that can be asked for.
    default : tuple of str
        Bands that are loaded when none are named.
    beside : tuple of str
        Layers that every load needs beside the bands.
    glance : tuple of str
        Layers that tell clouds, or where there is data, without the rest.
    radiometry : Radiometry
        How numbers become reflectance or gamma nought.
    processing : mapping
        What the service is told about processing.
    float32 : bool
        Whether samples are 32-bit, which costs twice as much; else they are 16-bit numbers.
    notes : tuple of str
        What a reader should know of every scene of it.
    """

    level: str
    source: str
    offered: tuple[str, ...]
    default: tuple[str, ...]
    beside: tuple[str, ...]
    glance: tuple[str, ...]
    radiometry: Radiometry = _REFLECTANCE
    processing: Mapping[str, Any] = field(default_factory=lambda: _HARMONISED)
    float32: bool = False
    notes: tuple[str, ...] = ()

    @property
    def radar(self) -> bool:
        """Whether it is radar."""
        return self.level == RADAR_LEVEL

    def assets(self, address: str) -> Mapping[str, Asset]:
        """Return what the service at an address can render by default, by band name."""
        found = {name: Asset(address, variable=name, radiometry=self.radiometry) for name in self.default}
        if SCL in self.beside:
            found[SCL] = Asset(address, variable=SCL, radiometry=CODES)
        return MappingProxyType(found)

    def bands(self, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the bands to load, in the order of the image.

        Parameters
        ----------
        wanted : tuple of str or None
            Canonical names; the default when None.

        Raises
        ------
        UsageError
            When the service does not have one of them.
        """
        names = self.default if wanted is None else tuple(wanted)
        if strange := [name for name in names if name not in self.offered]:
            raise UsageError(
                f"band {', '.join(strange)} is not offered by this provider",
                where="sentinelhub",
                todo=f"choose among {', '.join(self.offered)}",
            )
        return names

    def layers(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return what is asked of the service to load these bands: they, and what tells which are usable."""
        return tuple(dict.fromkeys((*names, *self.beside)))


LEVEL_2A = Product(
    level="L2A",
    source="SENTINEL2_L2A",
    offered=tuple(name for name in _OFFERED if name != "B10"),
    default=COMPARED_BANDS,
    beside=(SCL, CLOUD_LAYER),
    glance=(SCL,),
)
LEVEL_1C = Product(
    level="L1C",
    source="SENTINEL2_L1C",
    offered=_OFFERED,
    default=tuple(name for name in _OFFERED if name in {*COMPARED_BANDS, "B10"}),
    beside=TEST_BANDS,
    glance=TEST_BANDS,
    notes=("clouds, shadows and snow are found by spectral tests: Level-1C has no scene classification",),
)
RADAR = Product(
    level=RADAR_LEVEL,
    source="SENTINEL1_IW",
    offered=RADAR_BANDS,
    default=RADAR_BANDS,
    beside=(SHADOW_LAYER, ANGLE_LAYER),
    glance=(),
    radiometry=_GAMMA,
    processing=_CORRECTED,
    float32=True,
)
_BY_LEVEL = MappingProxyType({product.level: product for product in (LEVEL_2A, LEVEL_1C, RADAR)})


def product_for(query: SearchQuery) -> Product:
    """Return the product that a search is for."""
    return RADAR if query.sensor == "s1" else _BY_LEVEL[query.level]


def product_of(scene: Scene) -> Product:
    """Return the product a scene is of.

    Raises
    ------
    UsageError
        When the service has no such product.
    """
    if scene.level not in _BY_LEVEL:
        raise UsageError(
            f"Sentinel Hub has no imagery of level {scene.level}",
            where=scene.id,
            todo="search for it again with this provider",
        )
    return _BY_LEVEL[scene.level]
