"""A place under watch: its name, its outline, and the one grid every image of it lies on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from changedet.antimeridian import box_outline, unwrapped
from changedet.coordinates import GeoPoint, parse_point
from changedet.errors import UsageError
from changedet.json_texts import parse_geometry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from changedet.notebook.explore import StillView
    from changedet.notebook.widget import DateExplorer
    from changedet.providers.base import Level, OnReceived, Sensor
    from changedet.scene import Image, Scene
    from changedet.scene_list import SceneList
    from changedet.timeline.types import Timeline

#: Ground sampling distance of the site grid in metres.
GRID_RESOLUTION_M = 10
#: Corners of the site grid are snapped outward to multiples of this, so that 20 m bands nest.
GRID_SNAP_M = 20

#: Steps along the longest side of a site when its edges are projected.
_EDGE_STEPS = 256

#: Half-width of the square made round a point, in metres.
DEFAULT_RADIUS_M = 2000.0
#: Beyond this the UTM grid of the centre no longer fits the ground.
_LARGEST_RADIUS_M = 200_000.0
#: Half a pixel: what is smaller is a radius in kilometres whose unit was left out.
_SMALLEST_RADIUS_M = 5.0

_LENGTH = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(km|m)?\s*$")
_AREA = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(km2|ha|m2)?\s*$")


@dataclass(frozen=True, eq=False)
class Site:
    """A named piece of ground.

    Attributes
    ----------
    name : str
        As the analyst calls it; printed on every product.
    geometry : shapely geometry
        Outline in longitude, latitude (EPSG:4326). Across the antimeridian longitudes run on beyond 180.
    folder : str
        Group the site belongs to (KML folder), or "".

    Examples
    --------
    >>> site = Site.at("38.5847, 126.1079", radius_m=2000, name="example")
    >>> site.grid.shape
    Shape2d(x=402, y=402)
    """

    name: str
    geometry: BaseGeometry
    folder: str = ""

    @classmethod
    def at(cls, point: str | GeoPoint, *, radius_m: float = DEFAULT_RADIUS_M, name: str = "") -> Site:
        """Make a square site around a point.

        Parameters
        ----------
        point : str or GeoPoint
            The centre; text is read by `changedet.coordinates.parse_point`.
        radius_m : float
            Half the side of the square, in metres.
        name : str
            Name of the site; the MGRS reference of the centre when empty.

        Returns
        -------
        Site
            A square along the axes of the UTM zone of its centre.

        Raises
        ------
        CoordinateError
            When the text is not a coordinate.
        UsageError
            When the radius is below 5 m or above 200 km, or the point is outside UTM.
        """
        from odc.geo.geom import box

        centre = parse_point(point) if isinstance(point, str) else point
        if not _SMALLEST_RADIUS_M <= radius_m <= _LARGEST_RADIUS_M:
            raise UsageError(
                f"radius {radius_m:g} m is not between 5 m and 200 km",
                todo="give it with its unit, such as 2km",
            )
        epsg = utm_epsg(centre)
        x, y = _project(centre.lon, centre.lat, "EPSG:4326", f"EPSG:{epsg}")
        square = box(x - radius_m, y - radius_m, x + radius_m, y + radius_m, f"EPSG:{epsg}")
        outline = square.to_crs("EPSG:4326", resolution=radius_m / 4).geom
        return cls(name or centre.mgrs, unwrapped(outline, centre.lon))

    @classmethod
    def from_bbox(cls, west: float, south: float, east: float, north: float, *, name: str = "") -> Site:
        """Make a site from a bounding box in degrees.

        Parameters
        ----------
        west, south, east, north : float
            Longitudes west and east, latitudes south and north. A west above east means a box that runs
            eastward across the antimeridian (RFC 7946); it may be 10 degrees wide.
        name : str
            Name of the site; the MGRS reference of the centre when empty.

        Returns
        -------
        Site
            The box as it stands; its grid covers it whole.

        Raises
        ------
        UsageError
            When the box is empty, out of range, beyond UTM, or looks like swapped latitude and longitude.

        Examples
        --------
        >>> Site.from_bbox(179.99, -17.01, -179.99, -17.0).centroid.lon
        -180.0
        """
        site = cls(name, box_outline(west, south, east, north))
        utm_epsg(site.centroid)
        return replace(site, name=name or site.centroid.mgrs)

    @property
    def centroid(self) -> GeoPoint:
        """The centroid of the outline."""
        point = self.geometry.centroid
        return GeoPoint(float(point.y), (float(point.x) + 180) % 360 - 180)

    @property
    def epsg(self) -> int:
        """The EPSG code of the UTM zone of the centroid, in which `grid` lies."""
        return utm_epsg(self.centroid)

    @cached_property
    def grid(self) -> GeoBox:
        """The fixed grid: UTM zone of the centroid, 10 m pixels, corners on multiples of 20 m."""
        from odc.geo.geobox import GeoBox
        from odc.geo.geom import Geometry

        crs = f"EPSG:{self.epsg}"
        outline = Geometry(self.geometry, "EPSG:4326")
        west, south, east, north = self.geometry.bounds
        # a straight edge in degrees is a curve on the grid
        step_deg = max(east - west, north - south) / _EDGE_STEPS
        bounds = outline.to_crs(crs, resolution=step_deg).boundingbox
        left, bottom = (int(v // GRID_SNAP_M) * GRID_SNAP_M for v in (bounds.left, bounds.bottom))
        right, top = (-int(-v // GRID_SNAP_M) * GRID_SNAP_M for v in (bounds.right, bounds.top))
        return GeoBox.from_bbox((left, bottom, right, top), crs, resolution=GRID_RESOLUTION_M, tight=True)

    def search(
        self,
        period: str,
        *,
        provider: str = "earth-search",
        sensor: Sensor = "s2",
        level: Level = "L2A",
        max_tile_cloud: float = 0.9,
        limit: int = 200,
    ) -> SceneList:
        """Find the scenes of this place; no pixels are fetched.

        Parameters
        ----------
        period : str
            Such as ``"2024-05"``, ``"2024-05/2024-07"`` or ``"2024-05/.."``.
        provider : str
            Where to look, see ``changedet providers``.
        sensor : {"s2", "s1"}
            Optical or radar.
        level : {"L2A", "L1C"}
            Processing level of Sentinel-2.
        max_tile_cloud : float
            Scenes with more cloud over their tiles are left out, 0 to 1.
        limit : int
            Most scenes; of more, the newest.

        Returns
        -------
        SceneList
            A list, sorted by time, that shows itself as a table.

        Raises
        ------
        NoUsableImageryError
            When there is none.
        UsageError
            When the period cannot be read, or the provider does not have the sensor or level.
        ProviderError, CredentialsError
            When the provider fails, or wants an account.

        Examples
        --------
        >>> site = Site.at("38.5847, 126.1079")                              # doctest: +SKIP
        >>> for scene in site.search("2025-05", max_tile_cloud=0.3):         # doctest: +SKIP
        ...     print(scene.time_text, scene.tile_cloud_share)
        """
        from changedet.access.fetching import SceneQuery, find_scenes
        from changedet.providers.registry import open_provider
        from changedet.scene_list import SceneList

        query = SceneQuery(period, sensor, level, max_tile_cloud, limit)
        return SceneList(find_scenes(self, query, open_provider(provider)))

    def fetch(
        self,
        scene: Scene,
        *,
        bands: tuple[str, ...] | None = None,
        grid: GeoBox | None = None,
        cache: Path | None = None,
        on_received: OnReceived | None = None,
    ) -> Image:
        """Load a scene of this place, from the cache when it is there.

        Parameters
        ----------
        scene : Scene
            From `search`; its provider is asked.
        bands : tuple of str, optional
            Such as ``("B04", "B08")``; all that are compared when not given.
        grid : GeoBox, optional
            Where the pixels are to lie; `grid` of the site when not given.
        cache : Path, optional
            Folder that keeps loaded scenes; the user's cache folder when not given.
        on_received : callable, optional
            Is told the bytes of each piece that comes in, by any thread.

        Returns
        -------
        Image
            float32 reflectance, NaN where there is no data; ``valid`` is True where it can be used.

        Raises
        ------
        UsageError, MissingBandError
            When this is no scene, or the provider or the scene does not have a band.
        NoOverlapError
            When the scene does not reach the grid.
        ProviderError, CredentialsError
            When the provider fails, or wants an account.

        Examples
        --------
        >>> site = Site.at("38.5847, 126.1079")                              # doctest: +SKIP
        >>> image = site.fetch(site.search("2025-05")[-1])                   # doctest: +SKIP
        >>> image.band("B08").mean(where=image.valid)                        # doctest: +SKIP
        """
        from changedet.providers.cached import open_cached
        from changedet.scene import Scene

        if not isinstance(scene, Scene):
            raise UsageError(
                f"not a scene but of type {type(scene).__name__}",
                todo='give one Scene from search, such as site.search("2025-05")[-1]',
            )
        kept = open_cached(scene.provider, cache)
        return kept.load(scene, self.grid if grid is None else grid, bands, on_received=on_received)

    def timeline(  # noqa: PLR0913  # the one call that says all
        self,
        during: str | None = None,
        *,
        provider: str = "earth-search",
        images: str | Path | None = None,
        point: str | None = None,
        found: str | None = None,
        indices: tuple[str, ...] | None = None,
        sensor: str = "s2",
        radar_images: str | Path | None = None,
        radar_unit: str = "linear",
    ) -> Timeline:
        """Follow this place through time: since when does it differ, and does it still.

        Parameters
        ----------
        during : str, optional
            Such as ``"2022/2024"``; of a folder all its dates when not given.
        provider : str
            Where imagery comes from, see ``changedet providers``.
        images : str or Path, optional
            Local folder with one scene folder or raster for each date; no network is used then.
        point : str, optional
            A point that is followed besides, 3 x 3 pixels.
        found : str, optional
            An object of an earlier run that is followed besides, as ``"RUNFOLDER:ID"``.
        indices : tuple of str, optional
            Such as ``("NDVI", "BSI")``; NDVI, brightness and NDBI when not given.
        sensor : str
            ``"s2"`` (optical), ``"s1"`` (radar) or ``"both"``. Radar comes from another provider where this
            one has none.
        radar_images : str or Path, optional
            Local radar instead: a folder of rasters, each a pass, in folders of their tracks.
        radar_unit : str
            Of these: ``"linear"`` or ``"db"``.

        Returns
        -------
        Timeline
            With ``plot()``, ``save(folder)`` and ``to_xarray()``. `changedet.timeline.making.make_timeline`
            takes further settings.

        Raises
        ------
        NoUsableImageryError
            When no date can be used.
        UsageError
            When a period, a zone or an index cannot be understood, or the provider is unknown.
        ProviderError, CredentialsError, InputFileError
            When imagery cannot be had.

        Examples
        --------
        >>> site = Site.at("38.5847, 126.1079")                              # doctest: +SKIP
        >>> series = site.timeline("2022/2024", point="38.5851, 126.1102")   # doctest: +SKIP
        >>> series.zones[-1].breaks, series.to_xarray()                      # doctest: +SKIP
        """
        from pathlib import Path

        from changedet.radar.series_access import radar_request
        from changedet.timeline.making import TimelineRequest, default_settings, make_timeline
        from changedet.timeline.types import DEFAULT_INDICES, index_names

        radar = radar_request(sensor, radar_images, radar_unit)
        settings = default_settings(index_names(",".join(indices or DEFAULT_INDICES)))
        request = TimelineRequest(
            during,
            provider,
            None if images is None else Path(images),
            () if point is None else (point,),
            () if found is None else (found,),
            settings,
            radar=radar,
        )
        return make_timeline(self, request)

    def explore(self, scenes: Sequence[Scene | Image], *, most: int = 24) -> DateExplorer | StillView:
        """Leaf through dates of this place in a notebook, any two of them on one stage.

        Parameters
        ----------
        scenes : sequence of Scene or Image
            Of `search`; the bands of a natural-colour picture of each are fetched, unless they are in the
            cache. Images that are loaded already are taken as they are.
        most : int
            More scenes than this are refused rather than fetched.

        Returns
        -------
        DateExplorer or StillView
            A widget whose ``chosen`` is the pair of scenes that is shown, where anywidget is installed
            (``pip install "changedet[jupyter]"``); else a still view that says so.

        Raises
        ------
        UsageError
            When there are too many scenes, or images differ in grid or bands.
        NoUsableImageryError
            When there is none.
        ProviderError, CredentialsError
            When imagery cannot be had.

        Examples
        --------
        >>> site = Site.at("38.5847, 126.1079")                              # doctest: +SKIP
        >>> view = site.explore(site.search("2025-05", max_tile_cloud=0.3))  # doctest: +SKIP
        >>> before, after = view.chosen                                      # doctest: +SKIP
        """
        from changedet.notebook.explore import explore_dates

        return explore_dates(self, scenes, most)

    def _repr_html_(self) -> str:
        from changedet.notebook.places import site_html

        return site_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return name, folder and GeoJSON geometry."""
        return {"name": self.name, "folder": self.folder, "geometry": self.geometry.__geo_interface__}


def utm_epsg(point: GeoPoint) -> int:
    """Return the EPSG code of the UTM zone of a point (no exceptions for Norway and Svalbard).

    Parameters
    ----------
    point : GeoPoint
        Longitude 180 counts to zone 60.

    Returns
    -------
    int
        32601 to 32660 from the equator northwards, 32701 to 32760 south of it.

    Raises
    ------
    UsageError
        Beyond 84 N or 80 S, where UTM is not defined.

    Examples
    --------
    >>> utm_epsg(GeoPoint(38.58, 126.1)), utm_epsg(GeoPoint(-3.3, -60.0))
    (32652, 32721)
    """
    if not -80 <= point.lat <= 84:
        raise UsageError(f"latitude {point.lat:g} is outside UTM", todo="choose a site between 80 S and 84 N")
    zone = min(int((point.lon + 180) // 6) + 1, 60)
    return (32600 if point.lat >= 0 else 32700) + zone


def parse_length_m(text: str) -> float:
    """Read a length: ``"2km"``, ``"500 m"``, or a bare number of metres.

    Parameters
    ----------
    text : str
        A number without sign, then nothing, ``m`` or ``km``.

    Returns
    -------
    float
        Metres.

    Raises
    ------
    UsageError
        When the text is not a length.

    Examples
    --------
    >>> parse_length_m("2km"), parse_length_m("350")
    (2000.0, 350.0)
    """
    found = _LENGTH.match(text)
    if not found:
        raise UsageError("not a length", where=repr(text), todo="write it like 2km or 500m")
    return float(found[1]) * (1000 if found[2] == "km" else 1)


def parse_area_m2(text: str) -> float:
    """Read an area: ``"400m2"``, ``"2ha"``, ``"1 km2"``, or a bare number of square metres.

    Parameters
    ----------
    text : str
        A number without sign, then nothing, ``m2``, ``ha`` or ``km2``.

    Returns
    -------
    float
        Square metres.

    Raises
    ------
    UsageError
        When the text is not an area.

    Examples
    --------
    >>> parse_area_m2("400m2"), parse_area_m2("2ha")
    (400.0, 20000.0)
    """
    found = _AREA.match(text)
    if not found:
        raise UsageError("not an area", where=repr(text), todo="write it like 400m2 or 2ha")
    return float(found[1]) * {"km2": 1e6, "ha": 1e4}.get(found[2] or "", 1.0)


def _project(x: float, y: float, source: str, target: str) -> tuple[float, float]:
    from pyproj import Transformer

    px, py = Transformer.from_crs(source, target, always_xy=True).transform(x, y)
    return float(px), float(py)


def site_from_dict(data: Mapping[str, Any]) -> Site:
    """Make a site again from what `Site.to_dict` gave.

    Parameters
    ----------
    data : mapping
        With ``name``, ``geometry`` (GeoJSON) and, if there is one, ``folder``.

    Returns
    -------
    Site
        Equal in name, folder and outline.

    Raises
    ------
    KeyError, TypeError, ValueError
        When the description is incomplete or damaged.
    """
    name, folder = data["name"], data.get("folder", "")
    if not (isinstance(name, str) and isinstance(folder, str)):
        raise TypeError("name and folder of a site are texts")
    return Site(name, parse_geometry(data["geometry"]), folder)


def utm_grid(grid: GeoBox) -> GeoBox:
    """Return the site grid that covers a grid: UTM zone of its centre, 10 m, corners on multiples of 20 m.

    Parameters
    ----------
    grid : GeoBox
        In any reference system.

    Returns
    -------
    GeoBox
        `grid` itself when it is such a grid already.

    Raises
    ------
    UsageError
        Beyond 84 N or 80 S.
    """
    step = grid.transform
    rows, columns = grid.shape
    side = max(rows * abs(step.e), columns * abs(step.a))
    wanted = Site("", grid.extent.to_crs("EPSG:4326", resolution=side / _EDGE_STEPS).geom).grid
    on_snap = all(float(v) % GRID_SNAP_M == 0 for v in grid.boundingbox)
    if grid.crs == wanted.crs and on_snap and (step.a, step.e) == (GRID_RESOLUTION_M, -GRID_RESOLUTION_M):
        return grid
    return wanted
