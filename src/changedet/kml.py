"""Placemarks of KML: names, the folders they lie in, and their points and areas.

Map programs write KML of every shape: documents without a name, placemarks at the root, folders in folders.
Standard: OGC KML 2.3, OGC 12-007r2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from changedet.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from shapely.geometry.base import BaseGeometry

#: Of longer names nobody reads more.
_LONGEST_NAME = 500

#: What stands between the names of folders that lie in each other.
FOLDER_SEPARATOR = " / "


@dataclass(frozen=True, eq=False)
class Placemark:
    """One placemark.

    Attributes
    ----------
    name : str
        As written, white space folded; may be empty.
    folder : str
        Names of the folders round it, outermost first, joined by " / ".
    geometry : shapely geometry
        Longitude, latitude.
    """

    name: str
    folder: str
    geometry: BaseGeometry


def read_placemarks(root: Element) -> list[Placemark]:
    """Return every placemark of a KML tree, in document order.

    Parameters
    ----------
    root : Element
        Parsed by a parser that refuses document type declarations.

    Returns
    -------
    list of Placemark
        Empty when the tree holds none.

    Raises
    ------
    InputFileError
        When a placemark has no geometry, or one that cannot be read; it is named.
    """
    return list(_walk(root, ()))


def _walk(element: Element, folders: tuple[str, ...]) -> Iterator[Placemark]:
    for child in element:
        kind = _local(child)
        if kind == "Placemark":
            name = _name(child)
            yield Placemark(name, FOLDER_SEPARATOR.join(folders), _geometry(child, name))
        elif kind == "Folder":
            inner = _name(child)
            yield from _walk(child, (*folders, inner) if inner else folders)
        elif kind in {"Document", "kml"}:
            yield from _walk(child, folders)


def _local(element: Element) -> str:
    """Return the name of an element without its namespace: KML 2.0 to 2.3 have several."""
    return str(element.tag).rsplit("}", 1)[-1]


def _name(element: Element) -> str:
    """Return a name; of one longer than any its beginning: folders are repeated for each placemark."""
    return " ".join((element.findtext("{*}name") or "")[: 4 * _LONGEST_NAME].split())[:_LONGEST_NAME]


def _geometry(placemark: Element, name: str) -> BaseGeometry:
    found = [shape for child in placemark for shape in _shapes(child, name)]
    if not found:
        raise InputFileError(
            f"the placemark {name!r} has no point and no polygon", todo="draw it again, or delete it"
        )
    if len(found) == 1:
        return found[0]
    from shapely import GeometryCollection, MultiPolygon, Polygon

    areas = [shape for shape in found if isinstance(shape, Polygon)]
    return MultiPolygon(areas) if len(areas) == len(found) else GeometryCollection(found)


def _shapes(element: Element, name: str) -> Iterator[BaseGeometry]:
    from shapely import LineString, Point, Polygon

    kind = _local(element)
    if kind == "MultiGeometry":
        for child in element:
            yield from _shapes(child, name)
    elif kind == "Point":
        yield Point(_coordinates(element, name)[0])
    elif kind in {"LineString", "LinearRing"}:
        yield LineString(_coordinates(element, name))
    elif kind == "Polygon":
        rings = [_coordinates(e, name) for e in element.iter() if _local(e) == "LinearRing"]
        if rings:
            yield Polygon(rings[0], rings[1:])


def _coordinates(element: Element, name: str) -> list[tuple[float, float]]:
    text = element.findtext("{*}coordinates") or ""
    try:
        numbers = [tuple(float(n) for n in word.split(",")[:2]) for word in text.split()]
    except ValueError:
        numbers = []
    pairs = [(pair[0], pair[1]) for pair in numbers if len(pair) == 2]
    if not pairs or len(pairs) != len(numbers):
        raise InputFileError(
            f"the coordinates of the placemark {name!r} cannot be read",
            todo="KML wants longitude,latitude with a point as decimal mark",
        )
    return pairs
