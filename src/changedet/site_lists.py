"""Lists of sites as people keep them: KML, KMZ, GeoJSON, GeoPackage, Shapefile, CSV, WKT."""

from __future__ import annotations

import csv
import math
import re
import warnings
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.antimeridian import continuous
from changedet.coordinates import GeoPoint, parse_point
from changedet.errors import CoordinateError, InputFileError, MissingInputError, UsageError
from changedet.kml import Placemark, read_placemarks
from changedet.offline import VECTOR_BEGINNINGS, offline_vectors, require_plain_vectors
from changedet.site import DEFAULT_RADIUS_M, Site, parse_length_m

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from xml.etree.ElementTree import Element

    from shapely.geometry.base import BaseGeometry

#: Larger files are no lists of sites; a zip archive may not swell beyond this either.
_LARGEST_FILE_BYTES = 64 * 2**20

#: What readers raise at damaged files.
_DAMAGED = (OSError, ValueError, LookupError, RuntimeError, RuntimeWarning, ArithmeticError)

#: Shapes that are sites as they stand; a point becomes a square.
_AREAS = frozenset({"Polygon", "MultiPolygon"})


def read_sites(path: str | Path, *, radius_m: float = DEFAULT_RADIUS_M) -> list[Site]:
    """Read sites from KML, KMZ, GeoJSON, GeoPackage, Shapefile, CSV or WKT.

    Parameters
    ----------
    path : str or Path
        KML and KMZ keep folders and names. CSV needs a column ``at`` or columns ``lat`` and ``lon``, and may
        have ``name``, ``folder`` and ``radius``. A site without a name is called by the MGRS reference of its
        centre.
    radius_m : float
        Half-width in metres of the squares that points become, unless the list itself gives a radius.

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
    if path.is_dir():
        raise MissingInputError("a folder, not a file", where=str(path), todo="name a file in it")
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo="check the path")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputFileError("is not a list of sites by its name", where=str(path), todo=_FORMATS)
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise InputFileError("is too large for a list of sites", where=str(path), todo=_FORMATS)
        sites = reader(path, radius_m)
    except InputFileError as error:
        raise InputFileError(error.what, where=error.where or str(path), todo=error.todo) from error
    except (*_DAMAGED, ShapelyError, csv.Error) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputFileError(
            f"cannot be read as a list of sites ({reason})", where=str(path), todo=_FORMATS
        ) from error
    if not sites:
        raise InputFileError("holds no site", where=str(path), todo="add at least one point or polygon")
    return sites


def _site_from_geometry(geometry: BaseGeometry, name: str, folder: str, radius_m: float) -> Site:
    import numpy as np
    from shapely import get_coordinates

    if geometry.geom_type == "Point":
        point = GeoPoint(float(geometry.centroid.y), float(geometry.centroid.x))
        return Site(name or point.mgrs, Site.at(point, radius_m=radius_m).geometry, folder)
    if geometry.geom_type not in _AREAS or not geometry.area > 0:
        what = f"{name or 'an outline'} is a {geometry.geom_type} without area; sites are points or areas"
        raise InputFileError(what, todo="draw a polygon round it, or give its point")
    if not np.isfinite(get_coordinates(geometry)).all():
        raise CoordinateError(f"{name or 'an outline'} has corners without a place", todo="draw it again")
    west, south, east, north = geometry.bounds
    # out of range is an error here, not later; an outline may run on past 180 degrees from this side of it
    GeoPoint(south, west), GeoPoint(north, 180.0 if west < 180 < east else east)
    geometry = continuous(geometry)
    return Site(name or Site("", geometry).centroid.mgrs, geometry, folder)


def _read_kml(path: Path, radius_m: float) -> list[Site]:
    return [_site_from_placemark(placemark, radius_m) for placemark in read_placemarks(kml_tree(path))]


def kml_tree(path: Path) -> Element:
    """Parse a KML file, or the main one of a KMZ archive.

    Parameters
    ----------
    path : Path
        KMZ where it ends so.

    Returns
    -------
    Element
        The root.

    Raises
    ------
    InputFileError
        When it is damaged, too large, or holds a document type declaration.
    """
    from xml.etree import ElementTree as ET

    data = _main_kml(path) if path.suffix.lower() == ".kmz" else path.read_bytes()
    require_plain_vectors(data, where=str(path))
    parser = ET.XMLParser(target=_tree_without_doctype(path))
    try:
        return ET.fromstring(data, parser)
    except ET.ParseError as error:
        raise InputFileError(
            f"is not well-formed KML ({error})", where=str(path), todo=f"export it again, or {_FORMATS}"
        ) from error


def _site_from_placemark(placemark: Placemark, radius_m: float) -> Site:
    try:
        return _site_from_geometry(placemark.geometry, placemark.name, placemark.folder, radius_m)
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
            if main.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                # others ask for as much memory as their header says
                raise InputFileError("is packed in an unusual way", where=str(path), todo="save it again")
            if max(main.file_size, main.compress_size) > _LARGEST_FILE_BYTES:
                raise InputFileError("is too large for a list of sites", where=str(path), todo=_FORMATS)
            return archive.read(main)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputFileError(f"is a damaged KMZ ({error})", where=str(path), todo=_FORMATS) from error


def _read_vector(path: Path, radius_m: float) -> list[Site]:
    require_plain_vectors(path.read_bytes(), VECTOR_BEGINNINGS, where=str(path))
    return _read_layers(path, lambda layer, count: layer if count > 1 else "", radius_m)


def _read_layers(source: Path | bytes, folder_of: Callable[[str, int], str], radius_m: float) -> list[Site]:
    """Read every layer with geometry; `folder_of` names the folder from a layer and the number of layers."""
    with offline_vectors():
        return _sites_of_layers(source, folder_of, radius_m)


def _sites_of_layers(
    source: Path | bytes, folder_of: Callable[[str, int], str], radius_m: float
) -> list[Site]:
    import pyogrio

    layers = [str(name) for name, geometry_type in pyogrio.list_layers(source) if geometry_type is not None]
    sites: list[Site] = []
    for layer in layers:
        with warnings.catch_warnings():
            # a column of numbers and words is announced as JSON, which it need not be, and more of the kind
            warnings.simplefilter("ignore")
            # a site that would be left out in silence
            warnings.filterwarnings("error", "Unsupported geometry type")
            frame = pyogrio.read_dataframe(source, layer=layer)
        if frame.crs is not None:
            frame = frame.to_crs("EPSG:4326")
        columns = {str(column).lower(): column for column in frame.columns}
        blank = [""] * len(frame)
        names, folders = (frame[columns[c]] if c in columns else blank for c in ("name", "folder"))
        # layers of one name are told apart by a number that the folder itself does not have
        group = folder_of(re.sub(r" \(#\d+\)$", "", layer), len(layers))
        sites += [
            _site_from_geometry(geometry, _text(name), _text(folder) or group, radius_m)
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


def _read_csv(path: Path, radius_m: float) -> list[Site]:
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
                sites.append(_site_from_cells(cells, radius_m))
            except UsageError as error:
                raise InputFileError(str(error), where=f"{path}, line {rows.line_num}") from error
    return sites


def _site_from_cells(cells: Mapping[str, str], radius_m: float) -> Site:
    point = parse_point(cells.get("at") or f"{cells.get('lat', '')}, {cells.get('lon', '')}")
    radius_m = parse_length_m(cells["radius"]) if cells.get("radius") else radius_m
    square = Site.at(point, radius_m=radius_m, name=cells.get("name", ""))
    return replace(square, folder=cells.get("folder", ""))


def _read_wkt(path: Path, radius_m: float) -> list[Site]:
    import numpy as np
    import shapely

    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    with np.errstate(all="ignore"):  # numbers beyond what can be held lie nowhere, which is found below
        shapes = [shapely.from_wkt(line) for line in lines]
    return [_site_from_geometry(shape, "", "", radius_m) for shape in shapes if not shape.is_empty]


_FORMATS = "use KML, KMZ, GeoJSON, GPKG, Shapefile, CSV or WKT"
_READERS: Mapping[str, Callable[[Path, float], list[Site]]] = MappingProxyType(
    {
        ".kml": _read_kml,
        ".kmz": _read_kml,
        ".csv": _read_csv,
        ".wkt": _read_wkt,
        ".txt": _read_wkt,
        **dict.fromkeys((".geojson", ".json", ".gpkg", ".shp"), _read_vector),
    }
)
