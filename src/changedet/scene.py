"""One acquisition seen from one site: what is known of it (`Scene`) and its pixels (`Image`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.core.masking import SceneClass
from changedet.json_texts import require_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox


#: The darkest objects of larger images are looked for on a regular sample of about so many pixels.
_MOST_HAZE_PIXELS = 4_000_000


def as_utc(time: datetime) -> datetime:
    """Return an aware UTC time; a naive one is taken to be UTC already, wherever the computer stands.

    Raises
    ------
    ValueError
        When it lies in no year from 1 to 9999 in UTC.

    Examples
    --------
    >>> as_utc(datetime(2023, 5, 14, 2, 7)).isoformat()
    '2023-05-14T02:07:00+00:00'
    """
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{time.isoformat()} lies in no year of the calendar in UTC") from error


@dataclass(frozen=True)
class Radiometry:
    """How stored numbers become reflectance: ``reflectance = number * scale + offset``.

    Attributes
    ----------
    scale, offset : float
        Unitless; for Sentinel-2 Level-2A of processing baseline 04.00 and later 0.0001 and -0.1.
    nodata : float or None
        The stored number that means "no data", tested before scale and offset are applied.
    saturated : float or None
        The stored number that means "saturated", if there is one.
    source : str
        Where scale and offset came from: a sentence for the reader of a result.
    assumed : bool
        True when no file said so and a convention had to be assumed.
    """

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    saturated: float | None = None
    source: str = "not stated"
    assumed: bool = False


@dataclass(frozen=True)
class Asset:
    """Where the pixels of one band are.

    Attributes
    ----------
    href : str
        Path or link; what a link may hold of secrets does not show, and is not written down.
    index : int
        Band number inside the file, from 1.
    variable : str or None
        Variable of a cube (netCDF, Zarr), None for rasters.
    radiometry : Radiometry
        Scale and offset of this band.
    """

    href: str
    index: int = 1
    variable: str | None = None
    radiometry: Radiometry = Radiometry()

    def __repr__(self) -> str:
        place = _LINK_SECRETS.sub(r"\g<host>\g<path>", self.href)
        return f"Asset({place!r}, {self.index}, {self.variable!r}, {self.radiometry})"


@dataclass(frozen=True)
class Granule:
    """One product of one tile in a catalogue; a scene is made of one or more.

    Attributes
    ----------
    id : str
        Identifier in the catalogue.
    collection : str or None
        Collection it stands in.
    tile : str or None
        MGRS tile, e.g. ``"T33UUU"``.
    time : datetime
        Acquisition time, aware and in UTC.
    baseline : str or None
        Processing baseline, e.g. ``"05.09"``.
    datastrip_start : str or None
        Sensing start of the datastrip, e.g. ``"20240530T180249"``; a reprocessing has the same.
    updated : str or None
        When the producer or the catalogue last made it, as written there.
    nodata_share : float or None
        Share of the tile without data, 0..1.
    epsg : int or None
        Reference system of its pixels.
    footprint : mapping
        GeoJSON geometry of the part with data, longitude and latitude.
    assets : mapping of str to Asset
        By canonical band name, with unsigned links.
    """

    id: str
    collection: str | None
    tile: str | None
    time: datetime
    baseline: str | None = None
    datastrip_start: str | None = None
    updated: str | None = None
    nodata_share: float | None = None
    epsg: int | None = None
    footprint: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    assets: Mapping[str, Asset] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", as_utc(self.time))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            **{name: getattr(self, name) for name in _GRANULE_FIELDS},
            "time_utc": self.time.isoformat(),
            "footprint": dict(self.footprint),
            "bands": _bands(self.assets),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Granule:
        """Make a granule again from what `to_dict` gave.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.

        Returns
        -------
        Granule
            Equal to the one described.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        made = cls(
            time=datetime.fromisoformat(data["time_utc"]),
            footprint=MappingProxyType(dict(data["footprint"])),
            assets=MappingProxyType({name: _asset(entry) for name, entry in data["bands"].items()}),
            **{name: data[name] for name in _GRANULE_FIELDS},
        )
        require_types(made)
        return made


@dataclass(frozen=True)
class Scene:
    """Metadata of one acquisition; no pixels. Cheap to make and to serialise.

    Attributes
    ----------
    id : str
        Product or scene identifier as the producer names it.
    provider : str
        Where it came from, e.g. ``"local"``.
    level : str
        ``"L1C"``, ``"L2A"`` or ``"unknown"``.
    platform : str
        ``"Sentinel-2A"``, ... or ``"unknown"``.
    time : datetime or None
        Acquisition time, time-zone aware and in UTC: a naive time is taken as UTC, one of another zone is
        converted. None when nothing trustworthy says it.
    time_source : str
        What said so.
    day_only : bool
        True when only the day is known; the time of day is then meaningless.
    processing_baseline : str or None
        For example ``"05.09"``.
    relative_orbit : int or None
        Relative orbit number.
    tile : str or None
        MGRS tile, e.g. ``"T33UUU"``.
    sun_elevation_deg, sun_azimuth_deg : float or None
        Sun position at the scene; azimuth clockwise from north.
    resolution_m : float
        Ground sampling distance of the finest band in metres.
    simulated : bool
        True for simulated imagery, which every product then says.
    assets : mapping of str to Asset
        By canonical band name.
    notes : tuple of str
        What a reader should know about this scene (assumptions made on reading).
    collection : str or None
        Collection of the catalogue it was found in.
    orbit_state : str or None
        ``"ascending"`` or ``"descending"``.
    granules : tuple of Granule
        What a catalogue offers of it, best first; empty for local imagery.
    coverage : float or None
        Share of the site inside the footprints, 0..1.
    tile_cloud_share : float or None
        Cloud over the whole tiles as the producer says, 0..1; it tells little about a site.
    members : tuple of Scene
        The acquisitions that a composite is made of, the anchor first; empty for a single acquisition. What
        else is said of a composite is true of its anchor.
    """

    id: str
    provider: str
    level: str = "unknown"
    platform: str = "unknown"
    time: datetime | None = None
    time_source: str = "unknown"
    day_only: bool = False
    processing_baseline: str | None = None
    relative_orbit: int | None = None
    tile: str | None = None
    sun_elevation_deg: float | None = None
    sun_azimuth_deg: float | None = None
    resolution_m: float = 10.0
    simulated: bool = False
    assets: Mapping[str, Asset] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    collection: str | None = None
    orbit_state: str | None = None
    granules: tuple[Granule, ...] = ()
    coverage: float | None = None
    tile_cloud_share: float | None = None
    members: tuple[Scene, ...] = ()

    def __post_init__(self) -> None:
        if self.time is not None:
            object.__setattr__(self, "time", as_utc(self.time))

    def __repr__(self) -> str:
        from changedet.output.summary import scene_text

        return scene_text(self)

    def _repr_html_(self) -> str:
        from changedet.notebook.places import scene_html

        return scene_html(self)

    @property
    def time_text(self) -> str:
        """Acquisition time as ISO 8601 in UTC, to the second or to the day, or ``"unknown"``."""
        form = "%Y-%m-%d" if self.day_only else "%Y-%m-%dT%H:%M:%SZ"
        return "unknown" if self.time is None else self.time.strftime(form)

    @property
    def date_text(self) -> str:
        """Acquisition date as ``YYYY-MM-DD`` in UTC, ``"unknown date"``, or the dates of several."""
        if dates := [scene.date_text for scene in self.acquisitions if self.members]:
            kind = "mean" if self.sensor == "s1" else "composite"
            return f"a {kind} of {len(dates)} dates ({dates[0]} to {dates[-1]})"
        return "unknown date" if self.time is None else self.time_text[:10]

    @property
    def acquisitions(self) -> tuple[Scene, ...]:
        """The members of a composite from the earliest to the latest; else the scene alone."""
        return tuple(sorted(self.members, key=lambda scene: scene.time_text)) or (self,)

    @property
    def sensor(self) -> Literal["s1", "s2", "other"]:
        """``"s1"`` for Sentinel-1, ``"s2"`` for Sentinel-2; the level tells where the platform is unknown.

        Examples
        --------
        >>> Scene("a", "local", level="RTC").sensor, Scene("b", "local", platform="Landsat-9").sensor
        ('s1', 'other')
        """
        if self.platform.startswith("Sentinel-1"):
            return "s1"
        if self.platform.startswith("Sentinel-2") or self.level in {"L1C", "L2A"}:
            return "s2"
        return "s1" if self.platform == "unknown" and self.level == "RTC" else "other"

    @property
    def credit(self) -> str:
        """The licence notice that must stand on every picture made from this scene."""
        if self.simulated:
            return "Simulated imagery (changedet.samples); not real ground"
        if self.sensor == "other":
            return "Imagery supplied by the user"
        years = {scene.time_text[:4] if scene.time else "year unknown" for scene in self.acquisitions}
        return f"Contains modified Copernicus Sentinel data [{', '.join(sorted(years))}]"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description (no pixels, no secrets)."""
        return {
            "id": self.id,
            "provider": self.provider,
            "level": self.level,
            "platform": self.platform,
            "time_utc": None if self.time is None else self.time_text,
            "time_source": self.time_source,
            "day_only": self.day_only,
            "processing_baseline": self.processing_baseline,
            "relative_orbit": self.relative_orbit,
            "tile": self.tile,
            "sun_elevation_deg": self.sun_elevation_deg,
            "sun_azimuth_deg": self.sun_azimuth_deg,
            "resolution_m": self.resolution_m,
            "simulated": self.simulated,
            "credit": self.credit,
            "notes": list(self.notes),
            "bands": _bands(self.assets),
            **{name: getattr(self, name) for name in _CATALOGUE_FIELDS},
            "granules": [granule.to_dict() for granule in self.granules],
            "members": [member.to_dict() for member in self.members],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scene:
        """Make a scene again from what `to_dict` gave; the time is exact to the second.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.

        Returns
        -------
        Scene
            Equal to the scene described, but for fractions of a second.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        moment = None if data["time_utc"] is None else datetime.fromisoformat(data["time_utc"])
        # records of earlier versions do not have these
        catalogue: dict[str, Any] = {name: data.get(name) for name in _CATALOGUE_FIELDS}
        made = cls(
            # a day without a time of day has no zone either; both are UTC
            time=None if moment is None else moment.replace(tzinfo=UTC),
            assets=MappingProxyType({name: _asset(entry) for name, entry in data["bands"].items()}),
            notes=tuple(data["notes"]),
            granules=tuple(Granule.from_dict(entry) for entry in data.get("granules", ())),
            members=tuple(cls.from_dict(entry) for entry in data.get("members", ())),
            **catalogue,
            **{name: data[name] for name in _PLAIN_FIELDS},
        )
        require_types(made)
        return made


_PLAIN_FIELDS = (
    "id", "provider", "level", "platform", "time_source", "day_only", "processing_baseline", "relative_orbit",
    "tile", "sun_elevation_deg", "sun_azimuth_deg", "resolution_m", "simulated",
)  # fmt: skip
_CATALOGUE_FIELDS = ("collection", "orbit_state", "coverage", "tile_cloud_share")
_GRANULE_FIELDS = (
    "id", "collection", "tile", "baseline", "datastrip_start", "updated", "nodata_share", "epsg",
)  # fmt: skip


# a signature stands in the query, a password before the host; no record needs them
_LINK_SECRETS = re.compile(r"(?P<host>[A-Za-z][\w+.-]*://)(?:[^/?#]*@)?(?P<path>[^?#]*).*", re.DOTALL)


def _bands(assets: Mapping[str, Asset]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "href": _LINK_SECRETS.sub(r"\g<host>\g<path>", asset.href),
            "index": asset.index,
            "variable": asset.variable,
            "scale": asset.radiometry.scale,
            "offset": asset.radiometry.offset,
            "nodata": asset.radiometry.nodata,
            "saturated": asset.radiometry.saturated,
            "source": asset.radiometry.source,
            "assumed": asset.radiometry.assumed,
        }
        for name, asset in assets.items()
    }


def _asset(entry: Mapping[str, Any]) -> Asset:
    names = ("scale", "offset", "nodata", "saturated", "source", "assumed")
    asset = Asset(
        entry["href"], entry["index"], entry["variable"], Radiometry(**{n: entry[n] for n in names})
    )
    require_types(asset)
    require_types(asset.radiometry)
    return asset


@dataclass(frozen=True, eq=False)
class Image:
    """A loaded scene on a grid.

    Attributes
    ----------
    data : ndarray of float32, shape (band, y, x)
        Reflectance 0..1 (it may exceed 1 over clouds), or linear gamma nought of radar; NaN = no data.
    bands : tuple of str
        Canonical band names, one for each plane of `data`.
    valid : ndarray of bool, shape (y, x)
        True where the pixel is usable: data in every band, no cloud, no shadow, not saturated.
    classes : ndarray of uint8, shape (y, x)
        Scene classes with the codes of the Sentinel-2 scene classification, see `SceneClass`.
    grid : GeoBox
        Where the pixels lie.
    scene : Scene
        What the pixels are.
    classes_source : str
        What made the classes: ``"SCL"``, ``"spectral tests"`` or ``"none"``.
    """

    data: NDArray[np.float32]
    bands: tuple[str, ...]
    valid: NDArray[np.bool_]
    classes: NDArray[np.uint8]
    grid: GeoBox
    scene: Scene
    classes_source: str = "none"

    def __post_init__(self) -> None:
        if self.data.shape != (len(self.bands), *self.valid.shape) or self.classes.shape != self.valid.shape:
            message = f"data {self.data.shape}, {len(self.bands)} bands and valid {self.valid.shape} disagree"
            raise ValueError(message)
        if (size := tuple(self.grid.shape)) != self.valid.shape:
            message = f"a grid of {size} pixels does not carry an image of {self.valid.shape}"
            raise ValueError(message)

    @property
    def snow(self) -> NDArray[np.bool_]:
        """True where the surface is snow or ice, shape (y, x)."""
        return np.asarray(self.classes == SceneClass.SNOW)

    @cached_property
    def haze(self) -> NDArray[np.float32]:
        """What the air adds to each band of top-of-atmosphere data, shape (band,), never negative.

        In the unit of the image, by its darkest objects (Chavez 1988, doi:10.1016/0034-4257(88)90019-3); 0
        for surface reflectance. Looked for once: several steps of a comparison need it.
        """
        step = max(1, self.valid.size // _MOST_HAZE_PIXELS)
        seen = self.valid.ravel()[::step]
        if self.scene.level == "L2A" or not seen.any():
            return np.zeros(len(self.bands), np.float32)
        darkest = [np.quantile(band.ravel()[::step][seen], 0.001) for band in self.data]
        return np.asarray(np.maximum(np.array(darkest, np.float32) - np.float32(0.01), 0))

    def select(self, bands: tuple[str, ...]) -> Image:
        """Return the image with these bands only, in this order.

        Parameters
        ----------
        bands : tuple of str
            Names out of `bands`.

        Returns
        -------
        Image
            Everything else is the same; this very image when the bands are its own.

        Raises
        ------
        ValueError
            When the image does not have one of them.
        """
        if bands == self.bands:
            return self
        index = [self.bands.index(band) for band in bands]
        steps = set(np.diff(index).tolist())
        if len(index) > 1 and len(steps) == 1:
            # neighbours are seen where they lie: bands of a large image are not copied
            step = steps.pop()
            end = index[-1] + step
            return replace(self, data=self.data[index[0] : end if end >= 0 else None : step], bands=bands)
        return replace(self, data=self.data[index], bands=bands)

    def band(self, name: str) -> NDArray[np.float32]:
        """Return one band.

        Parameters
        ----------
        name : str
            One of `bands`.

        Returns
        -------
        ndarray of float32, shape (y, x)
            Reflectance, NaN where there is no data.

        Raises
        ------
        ValueError
            When the image does not have it.
        """
        return np.asarray(self.data[self.bands.index(name)])

    def __repr__(self) -> str:
        from changedet.output.summary import image_text

        return image_text(self)

    def _repr_html_(self) -> str:
        from changedet.notebook.repr import image_html

        return image_html(self)

    def to_xarray(self) -> xr.Dataset:
        """Return a Dataset with one variable per band, ``valid`` and ``classes``, and CF georeferencing."""
        import xarray as xr
        from odc.geo.xr import wrap_xr

        planes = {b: wrap_xr(self.data[i], self.grid, nodata=np.nan) for i, b in enumerate(self.bands)}
        planes["valid"] = wrap_xr(self.valid.astype(np.uint8), self.grid)
        planes["classes"] = wrap_xr(self.classes, self.grid)
        ids = ", ".join(one.id for one in self.scene.acquisitions)
        return xr.Dataset(planes, attrs={"scene_id": ids, "time_utc": self.scene.time_text})
