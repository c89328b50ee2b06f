"""A place under watch: its name, its outline, and the one grid every image of it lies on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.coordinates import GeoPoint, parse_point
from changedet.errors import InputFileError, MissingInputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

#: Ground sampling distance of the site grid in metres.
GRID_RESOLUTION_M = 10
#: Corners of the site grid are snapped outward to multiples of this, so that 20 m bands nest.
GRID_SNAP_M = 20

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
        Outline in longitude, latitude (EPSG:4326).
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
    def at(cls, point: str | GeoPoint, *, radius_m: float = 2000.0, name: str = "") -> Site:
        """Make a square site around a point.

        Parameters
        ----------
        point : str or GeoPoint
            The centre; text is read by `changedet.coordinates.parse_point`.
        radius_m : float
            Half the side of the square, in metres.
        name : str
            Name of the site; the MGRS reference of the centre when empty.

        Raises
        ------
        CoordinateError
            When the text is not a coordinate.
        UsageError
            When the radius is not positive.
        """
        from odc.geo.geom import box

        centre = parse_point(point) if isinstance(point, str) else point
        if radius_m <= 0:
            raise UsageError(f"radius {radius_m:g} m is not positive", todo="give a radius such as 2km")
        epsg = utm_epsg(centre)
        x, y = _project(centre.lon, centre.lat, "EPSG:4326", f"EPSG:{epsg}")
        square = box(x - radius_m, y - radius_m, x + radius_m, y + radius_m, f"EPSG:{epsg}")
        return cls(name or centre.mgrs, square.to_crs("EPSG:4326", resolution=radius_m / 4).geom)

    @classmethod
    def from_bbox(cls, west: float, south: float, east: float, north: float, *, name: str = "") -> Site:
        """Make a site from a bounding box in degrees (longitude west and east, latitude south and north).

        Raises
        ------
        UsageError
            When the box is empty, out of range, or looks like swapped latitude and longitude.
        """
        from shapely.geometry import box

        if not (west < east and south < north):
            raise UsageError(
                f"box {west:g},{south:g},{east:g},{north:g} is empty",
                todo="give W,S,E,N with west < east and south < north",
            )
        corners = GeoPoint(south, west), GeoPoint(north, east)
        centre = GeoPoint((corners[0].lat + corners[1].lat) / 2, (corners[0].lon + corners[1].lon) / 2)
        return cls(name or centre.mgrs, box(west, south, east, north))

    @property
    def centroid(self) -> GeoPoint:
        """The centroid of the outline."""
        point = self.geometry.centroid
        return GeoPoint(float(point.y), float(point.x))

    @property
    def grid(self) -> GeoBox:
        """The fixed grid: UTM zone of the centroid, 10 m pixels, corners on multiples of 20 m."""
        from odc.geo.geobox import GeoBox
        from odc.geo.geom import Geometry

        crs = f"EPSG:{utm_epsg(self.centroid)}"
        bounds = Geometry(self.geometry, "EPSG:4326").to_crs(crs).boundingbox
        left, bottom = (int(v // GRID_SNAP_M) * GRID_SNAP_M for v in (bounds.left, bounds.bottom))
        right, top = (-int(-v // GRID_SNAP_M) * GRID_SNAP_M for v in (bounds.right, bounds.top))
        return GeoBox.from_bbox((left, bottom, right, top), crs, resolution=GRID_RESOLUTION_M, tight=True)

    def to_dict(self) -> dict[str, Any]:
        """Return name, folder and GeoJSON geometry."""
        return {"name": self.name, "folder": self.folder, "geometry": self.geometry.__geo_interface__}


def utm_epsg(point: GeoPoint) -> int:
    """Return the EPSG code of the UTM zone of a point (no exceptions for Norway and Svalbard).

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
        given.

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
    path = Path(path)
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo="check the path of the site list")
    readers = {".csv": _read_csv, ".wkt": _read_wkt, ".txt": _read_wkt}
    try:
        sites = readers.get(path.suffix.lower(), _read_vector)(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, InputFileError | UsageError):
            raise
        raise InputFileError(
            f"cannot be read as a list of sites ({' '.join(str(error).split())[:160]})",
            where=str(path),
            todo="use KML, KMZ, GeoJSON, GPKG, CSV or WKT",
        ) from error
    if not sites:
        raise InputFileError("holds no site", where=str(path), todo="add at least one point or polygon")
    return sites


def _project(x: float, y: float, source: str, target: str) -> tuple[float, float]:
    from pyproj import Transformer

    px, py = Transformer.from_crs(source, target, always_xy=True).transform(x, y)
    return float(px), float(py)


def _site_from_geometry(geometry: BaseGeometry, name: str, folder: str, radius_m: float = 2000.0) -> Site:
    if geometry.geom_type == "Point":
        point = GeoPoint(float(geometry.y), float(geometry.x))
        return Site(name or point.mgrs, Site.at(point, radius_m=radius_m).geometry, folder)
    west, south, east, north = geometry.bounds
    GeoPoint(south, west), GeoPoint(north, east)  # out of range is an error here, not later
    return Site(name or Site("", geometry).centroid.mgrs, geometry, folder)


def _read_vector(path: Path) -> list[Site]:
    import geopandas as gpd
    import pyogrio

    source = f"/vsizip/{path}/doc.kml" if path.suffix.lower() == ".kmz" else str(path)
    sites: list[Site] = []
    for layer, _ in pyogrio.list_layers(source):
        frame = gpd.read_file(source, layer=layer, engine="pyogrio")
        if frame.crs is not None:
            frame = frame.to_crs("EPSG:4326")
        folder = "" if len(pyogrio.list_layers(source)) == 1 else str(layer)
        names = frame["Name"] if "Name" in frame else frame.get("name", [""] * len(frame))
        sites += [
            _site_from_geometry(geometry, str(name or ""), folder)
            for geometry, name in zip(frame.geometry, names, strict=True)
            if geometry is not None and not geometry.is_empty
        ]
    return sites


def _read_csv(path: Path) -> list[Site]:
    import csv

    sites = []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            cells = {(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
            text = cells.get("at") or f"{cells.get('lat', '')}, {cells.get('lon', '')}"
            try:
                point = parse_point(text)
                radius = parse_length_m(cells["radius"]) if cells.get("radius") else 2000.0
            except UsageError as error:
                raise InputFileError(str(error), where=f"{path}, line {number}") from error
            name = cells.get("name") or point.mgrs
            sites.append(Site(name, Site.at(point, radius_m=radius).geometry, cells.get("folder", "")))
    return sites


def _read_wkt(path: Path) -> list[Site]:
    import shapely

    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [_site_from_geometry(shapely.from_wkt(line), "", "") for line in lines]


def site_from_dict(data: Mapping[str, Any]) -> Site:
    """Make a site again from what `Site.to_dict` gave."""
    from shapely.geometry import shape

    return Site(data["name"], shape(data["geometry"]), data.get("folder", ""))
