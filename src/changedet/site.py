"""A place under watch: its name, its outline, and the one grid every image of it lies on."""

from __future__ import annotations

import csv
import math
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.antimeridian import box_outline, continuous, unwrapped
from changedet.coordinates import GeoPoint, parse_point
from changedet.errors import CoordinateError, InputFileError, MissingInputError, UsageError
from changedet.kml import Placemark, read_placemarks
from changedet.offline import VECTOR_BEGINNINGS, offline_vectors, require_plain_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from changedet.providers.base import Level, OnReceived, Sensor
    from changedet.scene import Image, Scene

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
#: Larger files are no lists of sites; a zip archive may not swell beyond this either.
_LARGEST_FILE_BYTES = 64 * 2**20

#: Shapes that are sites as they stand; a point becomes a square.
_AREAS = frozenset({"Polygon", "MultiPolygon"})

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
            When the radius is not positive or above 200 km, or the point is outside UTM.
        """
        from odc.geo.geom import box

        centre = parse_point(point) if isinstance(point, str) else point
        if not 0 < radius_m <= _LARGEST_RADIUS_M:
            raise UsageError(
                f"radius {radius_m:g} m is not above 0 and up to 200 km", todo="give a radius such as 2km"
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
    def grid(self) -> GeoBox:
        """The fixed grid: UTM zone of the centroid, 10 m pixels, corners on multiples of 20 m."""
        from odc.geo.geobox import GeoBox
        from odc.geo.geom import Geometry

        crs = f"EPSG:{utm_epsg(self.centroid)}"
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
    ) -> list[Scene]:
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
        list of Scene
            Sorted by time.

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
        from changedet.fetching import SceneQuery, find_scenes
        from changedet.providers.registry import open_provider

        query = SceneQuery(period, sensor, level, max_tile_cloud, limit)
        return find_scenes(self, query, open_provider(provider))

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
            When the provider or the scene does not have a band.
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

        kept = open_cached(scene.provider, cache)
        return kept.load(scene, self.grid if grid is None else grid, bands, on_received=on_received)

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


def read_sites(path: str | Path) -> list[Site]:
    """Read sites from KML, KMZ, GeoJSON, GeoPackage, Shapefile, CSV or WKT.

    Parameters
    ----------
    path : str or Path
        KML and KMZ keep folders and names. CSV needs a column ``at`` or columns ``lat`` and ``lon``, and may
        have ``name``, ``folder`` and ``radius``. Points become squares of 2 km half-width unless a radius is
        given. A site without a name is called by the MGRS reference of its centre.

    Returns
    -------
    list of Site
        In file order; never empty.

    Raises
    ------
    MissingInputError
        When the file is not there.
    InputFileError
        When it cannot be read, or holds no site.
    """
    from shapely.errors import ShapelyError

    path = Path(path)
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo="check the path of the site list")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputFileError("is not a list of sites by its name", where=str(path), todo=_FORMATS)
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise InputFileError("is too large for a list of sites", where=str(path), todo=_FORMATS)
        sites = reader(path)
    except InputFileError as error:
        raise InputFileError(error.what, where=error.where or str(path), todo=error.todo) from error
    except (OSError, ValueError, LookupError, RuntimeError, ShapelyError, csv.Error) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputFileError(
            f"cannot be read as a list of sites ({reason})", where=str(path), todo=_FORMATS
        ) from error
    if not sites:
        raise InputFileError("holds no site", where=str(path), todo="add at least one point or polygon")
    return sites


def _project(x: float, y: float, source: str, target: str) -> tuple[float, float]:
    from pyproj import Transformer

    px, py = Transformer.from_crs(source, target, always_xy=True).transform(x, y)
    return float(px), float(py)


def _site_from_geometry(
    geometry: BaseGeometry, name: str, folder: str, radius_m: float = DEFAULT_RADIUS_M
) -> Site:
    if geometry.geom_type == "Point":
        point = GeoPoint(float(geometry.centroid.y), float(geometry.centroid.x))
        return Site(name or point.mgrs, Site.at(point, radius_m=radius_m).geometry, folder)
    if geometry.geom_type not in _AREAS or not geometry.area > 0:
        what = f"{name or 'an outline'} is a {geometry.geom_type} without area; sites are points or areas"
        raise InputFileError(what, todo="draw a polygon round it, or give its point")
    west, south, east, north = geometry.bounds
    # out of range is an error here, not later; an outline may run on past 180 degrees from this side of it
    GeoPoint(south, west), GeoPoint(north, 180.0 if west < 180 < east else east)
    geometry = continuous(geometry)
    return Site(name or Site("", geometry).centroid.mgrs, geometry, folder)


def _read_kml(path: Path) -> list[Site]:
    from xml.etree import ElementTree as ET

    data = _main_kml(path) if path.suffix.lower() == ".kmz" else path.read_bytes()
    require_plain_vectors(data, where=str(path))
    parser = ET.XMLParser(target=_tree_without_doctype(path))
    try:
        root = ET.fromstring(data, parser)
    except ET.ParseError as error:
        raise InputFileError(f"is not well-formed KML ({error})", where=str(path), todo=_FORMATS) from error
    return [_site_from_placemark(placemark) for placemark in read_placemarks(root)]


def _site_from_placemark(placemark: Placemark) -> Site:
    try:
        return _site_from_geometry(placemark.geometry, placemark.name, placemark.folder)
    except CoordinateError as error:
        raise InputFileError(
            f"the placemark {placemark.name!r}: {error.what}", todo="KML wants the longitude first"
        ) from error


def _tree_without_doctype(path: Path) -> Any:  # noqa: ANN401  # a class that can only be made where it is used
    from xml.etree import ElementTree as ET

    class _Tree(ET.TreeBuilder):
        def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
            """Refuse: KML has none, and one declares entities that swell or fetch other files."""
            raise InputFileError(
                "holds a document type declaration", where=str(path), todo="save it again from a map program"
            )

    return _Tree()


def _main_kml(path: Path) -> bytes:
    """Return the KML file of an archive: the one nearest to its root, ``doc.kml`` before others."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if e.filename.lower().endswith(".kml")]
            if not entries:
                raise InputFileError("holds no KML file", where=str(path), todo=_FORMATS)
            main = min(entries, key=lambda e: (e.filename.count("/"), e.filename.lower() != "doc.kml"))
            if main.file_size > _LARGEST_FILE_BYTES:
                raise InputFileError("is too large for a list of sites", where=str(path), todo=_FORMATS)
            return archive.read(main)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputFileError(f"is a damaged KMZ ({error})", where=str(path), todo=_FORMATS) from error


def _read_vector(path: Path) -> list[Site]:
    require_plain_vectors(path.read_bytes(), VECTOR_BEGINNINGS, where=str(path))
    return _read_layers(path, lambda layer, count: layer if count > 1 else "")


def _read_layers(source: Path | bytes, folder_of: Callable[[str, int], str]) -> list[Site]:
    """Read every layer with geometry; `folder_of` names the folder from a layer and the number of layers."""
    with offline_vectors():
        return _sites_of_layers(source, folder_of)


def _sites_of_layers(source: Path | bytes, folder_of: Callable[[str, int], str]) -> list[Site]:
    import pyogrio

    layers = [str(name) for name, geometry_type in pyogrio.list_layers(source) if geometry_type is not None]
    sites: list[Site] = []
    for layer in layers:
        with warnings.catch_warnings():
            # a column of numbers and words is announced as JSON, which it need not be
            warnings.filterwarnings("ignore", "Could not parse column")
            frame = pyogrio.read_dataframe(source, layer=layer)
        if frame.crs is not None:
            frame = frame.to_crs("EPSG:4326")
        columns = {str(column).lower(): column for column in frame.columns}
        blank = [""] * len(frame)
        names, folders = (frame[columns[c]] if c in columns else blank for c in ("name", "folder"))
        # layers of one name are told apart by a number that the folder itself does not have
        group = folder_of(re.sub(r" \(#\d+\)$", "", layer), len(layers))
        sites += [
            _site_from_geometry(geometry, _text(name), _text(folder) or group)
            for geometry, name, folder in zip(frame.geometry, names, folders, strict=True)
            if geometry is not None and not geometry.is_empty
        ]
    return sites


def _text(value: object) -> str:
    """Return a cell of a table as text; empty for the two ways in which tables write "nothing"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if whole else " ".join(str(value).split())


def _read_csv(path: Path) -> list[Site]:
    sites = []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        header = {name.strip().lower() for name in rows.fieldnames or ()}
        if header and "at" not in header and not {"lat", "lon"} <= header:
            raise InputFileError(
                f"has no column at, nor lat and lon (it has {', '.join(sorted(header))[:100]})",
                where=str(path),
                todo="name the columns in the first line, with commas between them",
            )
        for row in rows:
            cells = {
                (k or "").strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str)
            }
            try:
                sites.append(_site_from_cells(cells))
            except UsageError as error:
                raise InputFileError(str(error), where=f"{path}, line {rows.line_num}") from error
    return sites


def _site_from_cells(cells: Mapping[str, str]) -> Site:
    point = parse_point(cells.get("at") or f"{cells.get('lat', '')}, {cells.get('lon', '')}")
    radius_m = parse_length_m(cells["radius"]) if cells.get("radius") else DEFAULT_RADIUS_M
    square = Site.at(point, radius_m=radius_m, name=cells.get("name", ""))
    return replace(square, folder=cells.get("folder", ""))


def _read_wkt(path: Path) -> list[Site]:
    import shapely

    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    shapes = [shapely.from_wkt(line) for line in lines]
    return [_site_from_geometry(shape, "", "") for shape in shapes if not shape.is_empty]


_FORMATS = "use KML, KMZ, GeoJSON, GPKG, Shapefile, CSV or WKT"
_READERS: Mapping[str, Callable[[Path], list[Site]]] = MappingProxyType(
    {
        ".kml": _read_kml,
        ".kmz": _read_kml,
        ".csv": _read_csv,
        ".wkt": _read_wkt,
        ".txt": _read_wkt,
        **dict.fromkeys((".geojson", ".json", ".gpkg", ".shp"), _read_vector),
    }
)


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
    from shapely.geometry import shape

    return Site(data["name"], shape(data["geometry"]), data.get("folder", ""))
