"""What every provider of imagery can do, whatever service is behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.scene import Image, Scene
    from changedet.site import Site

Sensor = Literal["s2", "s1"]
#: Is told how many bytes of pixels, before compression, have come in since the last time; by any thread.
OnReceived: TypeAlias = "Callable[[int], None]"
#: Processing levels of Sentinel-2: at the surface, and at the top of the atmosphere.
Level = Literal["L2A", "L1C"]


@dataclass(frozen=True)
class SearchQuery:
    """What to look for.

    Attributes
    ----------
    site : Site
        The ground.
    start, end : datetime
        Aware, in UTC, both included.
    sensor : {"s2", "s1"}
        Optical or radar.
    max_tile_cloud : float
        Scenes with more cloud over their tiles are left out, 0..1. A tile is much larger than a site, so a
        strict limit loses scenes that are clear where it matters.
    limit : int
        Most scenes that are returned; of more, the newest.
    level : {"L2A", "L1C"}
        Processing level of Sentinel-2; radar has one level only, which is terrain corrected.
    """

    site: Site
    start: datetime
    end: datetime
    sensor: Sensor = "s2"
    max_tile_cloud: float = 0.9
    limit: int = 200
    level: Level = "L2A"

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise UsageError("the search ends before it starts", todo="put the earlier time first")
        if not 0 <= self.max_tile_cloud <= 1:
            raise UsageError(
                f"cloud limit {self.max_tile_cloud:g} is not within 0 and 1", todo="give a share"
            )
        if self.limit < 1:
            raise UsageError(f"limit {self.limit} is not positive", todo="ask for at least one scene")
        if self.sensor == "s1" and self.level != "L2A":
            raise UsageError(
                f"radar has no level {self.level}", todo="leave the level out, or ask for the sensor s2"
            )


@dataclass(frozen=True)
class ProviderInfo:
    """What a reader should know of a provider before choosing it.

    Attributes
    ----------
    name : str
        As options and settings call it.
    title : str
        Its name in words.
    sensors : tuple of str
        Out of ``"s2"`` and ``"s1"``.
    needs : str
        What a user must have, such as an account; "nothing" for none.
    endpoints : tuple of str
        Addresses that are asked. They may hold a password, and do not show.
    levels : tuple of str
        Processing levels: ``"L2A"`` and ``"L1C"`` of Sentinel-2, ``"RTC"`` (terrain corrected) of Sentinel-1.
    displaces : bool
        Whether `Provider.load` takes a displacement of optical scenes and has it in its one interpolation. Of
        other providers a scene is moved after it was loaded: what is not on the grid already is then
        interpolated twice.
    """

    name: str
    title: str
    sensors: tuple[str, ...]
    needs: str
    endpoints: tuple[str, ...] = field(repr=False)
    levels: tuple[str, ...] = ("L2A",)
    displaces: bool = False

    def offers(self, sensor: Sensor, level: Level) -> bool:
        """Tell whether the provider has imagery of a sensor; the level counts for Sentinel-2 only.

        Examples
        --------
        >>> ProviderInfo("p", "P", ("s2",), "nothing", ()).offers("s2", "L1C")
        False
        """
        return sensor in self.sensors and (sensor == "s1" or level in self.levels)


@dataclass(frozen=True)
class Estimate:
    """What asking for pixels takes, before anything is asked. Estimates can be added.

    Attributes
    ----------
    requests : int
        Requests that are sent, retries and searching left out.
    megabytes : float
        Size of the pixels as they are stored, before compression, in 10**6 bytes. Whole blocks go over the
        line, so somewhat more or, compressed, less.
    processing_units : float
        What a service that charges by processing units charges; 0 for all others.

    Examples
    --------
    >>> sum([Estimate(3, 1.5), Estimate(1, 0.5, 2.0)], Estimate())
    Estimate(requests=4, megabytes=2.0, processing_units=2.0)
    """

    requests: int = 0
    megabytes: float = 0.0
    processing_units: float = 0.0

    def __add__(self, other: Estimate) -> Estimate:
        """Return what both take together."""
        return Estimate(
            self.requests + other.requests,
            self.megabytes + other.megabytes,
            self.processing_units + other.processing_units,
        )

    def to_dict(self) -> dict[str, float]:
        """Return a JSON-serialisable description."""
        return {
            "requests": self.requests,
            "megabytes": round(self.megabytes, 3),
            "processing_units": round(self.processing_units, 3),
        }


class Searcher(Protocol):
    """What knows which scenes there are."""

    def search(self, query: SearchQuery) -> list[Scene]:
        """Return the scenes that fit, sorted by time; none when there is nothing."""


class Provider(Protocol):
    """A service or catalogue that is searched for scenes and gives their pixels.

    Attributes
    ----------
    name : str
        As options and settings call it.
    info : ProviderInfo
        What a reader should know before choosing it.
    """

    @property
    def name(self) -> str:
        """As options and settings call it."""

    @property
    def info(self) -> ProviderInfo:
        """What a reader should know before choosing it."""

    def search(self, query: SearchQuery) -> list[Scene]:
        """Return the scenes that fit, sorted by time; none when there is nothing."""

    def load(
        self,
        scene: Scene,
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        on_received: OnReceived | None = None,
        displacement: DisplacementField | None = None,
    ) -> Image:
        """Read the pixels of a scene onto a grid; `on_received` is told the bytes of each piece.

        `displacement`, a field on the grid, moves the content in the same interpolation. Only those are given
        one that say so in `ProviderInfo.displaces`.
        """

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Read only the scene classification onto a grid, shape (y, x), to measure cloud cheaply.

        Several threads may ask at one time.
        """

    def estimate(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> Estimate:
        """Say what `load` would take, or `classes` where `bands` are ``("SCL",)``; nobody is asked."""
