"""The objects and both images as one KMZ file for Google Earth and other virtual globes.

The elements and their order follow the OGC KML 2.2 standard (OGC 07-147r2).
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from changedet.errors import OutputError
from changedet.kinds import KIND_COLOURS, KIND_LABELS, Kind
from changedet.output import facts, radar_facts
from changedet.output.ground import lonlat
from changedet.output.scene_facts import between, ids_text, provider_text
from changedet.output.shown import MOST_LISTED, chip_window
from changedet.output.vector import object_table
from changedet.resample import edge_px

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

#: Name space of every element.
KML_NAMESPACE = "http://www.opengis.net/kml/2.2"

_LONLAT = "EPSG:4326"
#: Longest side of a picture: what virtual globes draw without shrinking it themselves.
_LARGEST_PX = 2048
#: The earliest time a zip file can hold; the same for every file, so that the bytes repeat.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_OUTLINE_ALPHA, _FILL_ALPHA = "ff", "33"
_LONGEST_TEXT = 2000
#: How wide a balloon shows a picture of an object, its longest side as stored, and its most bytes.
_BALLOON_PX, _CHIP_PX, _CHIP_BYTES = 220, 110, 6_000


@dataclass(frozen=True)
class Overlay:
    """A picture in longitude and latitude.

    Attributes
    ----------
    png : bytes
        The picture, transparent where there is no data; rows run from north to south.
    west, south, east, north : float
        Edges in degrees; `east` is above 180 when the picture crosses the antimeridian.
    """

    png: bytes
    west: float
    south: float
    east: float
    north: float


def write_kmz(path: Path, result: ChangeResult) -> None:
    """Write the objects of a result, with the images before and after, as KMZ.

    The file holds one folder of outlines for each kind that occurs, and two pictures with one stretch: in
    natural colours, or of radar where radar alone was compared. The time slider of the viewer shows the
    before picture until the date of the after picture. The balloons of the leading objects show both dates
    side by side. A result without pixels (opened from a folder that kept no images) gives a file without
    pictures. The same result gives the same bytes.

    Parameters
    ----------
    path : Path
        File to write; one that is there already is replaced.
    result : ChangeResult
        Texts in it may come from strangers: they are escaped, and lose their control characters.

    Raises
    ------
    OutputError
        When the file cannot be written.

    Examples
    --------
    >>> write_kmz(Path("changes.kmz"), result)  # doctest: +SKIP
    """
    overlays = make_overlays(result)
    chips = make_chips(result) if overlays else {}
    images = {f"images/{name}.png": overlay.png for name, overlay in overlays.items()}
    write_archive(path, _document(result, overlays, chips), images | chips)


def write_archive(path: Path, root: ET.Element, images: Mapping[str, bytes]) -> None:
    """Write a tree of KML with the pictures it names as KMZ; the same bytes for the same content.

    Parameters
    ----------
    path : Path
        File to write; one that is there already is replaced.
    root : Element
        Of KML.
    images : mapping of str to bytes
        Pictures by the path under which the tree names them.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    text = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    try:
        with zipfile.ZipFile(path, "w") as archive:
            _add(archive, "doc.kml", text, zipfile.ZIP_DEFLATED)
            for name, data in images.items():
                _add(archive, name, data, zipfile.ZIP_STORED)
    except OSError as error:
        todo = "check the free space and the permission"
        raise OutputError(f"cannot be written ({error})", where=str(path), todo=todo) from error


def make_chips(result: ChangeResult) -> dict[str, bytes]:
    """Cut both dates of the leading objects out of the pictures, for their balloons.

    Parameters
    ----------
    result : ChangeResult
        With pixels.

    Returns
    -------
    dict of str to bytes
        JPEG files by path: ``images/object-<id>-before.jpg`` and ``-after.jpg``.
    """
    from changedet.output.picture import draw_image, outlines, shrink, to_jpeg, window
    from changedet.output.stretch import stretch_limits

    limits = stretch_limits(result.before, result.after)
    objects = result.objects.head(MOST_LISTED)
    rings_of_all = outlines(objects, result.grid)
    shape = (result.grid.shape[0], result.grid.shape[1])
    found = {}
    for name, image in (("before", result.before), ("after", result.after)):
        for identity, rings in zip(objects["id"], rings_of_all, strict=True):
            part = shrink(draw_image(image, limits, window(shape, *chip_window(rings, shape))), _CHIP_PX)
            found[f"images/object-{int(identity)}-{name}.jpg"] = to_jpeg(part, most_bytes=_CHIP_BYTES)
    return found


def make_overlays(result: ChangeResult) -> dict[str, Overlay]:
    """Draw both images with one stretch, natural colours or radar, in longitude and latitude.

    Parameters
    ----------
    result : ChangeResult
        The compared images are drawn; the pixels are those of the grid, nearest neighbour, unless the picture
        has to be made smaller.

    Returns
    -------
    dict of str to Overlay
        ``"before"`` and ``"after"``; empty when the result holds no pixels or its grid lies nowhere.
    """
    from changedet.output.picture import draw_image, pictured
    from changedet.output.stretch import stretch_limits

    images = {"before": result.before, "after": result.after}
    clear = {name: pictured(image) for name, image in images.items()}
    if not result.grid.crs or not all(there.any() for there in clear.values()):
        return {}
    limits = stretch_limits(result.before, result.after)
    return {name: _overlay(draw_image(image, limits), clear[name], image) for name, image in images.items()}


def _overlay(picture: NDArray[np.uint8], there: NDArray[np.bool_], image: Image) -> Overlay:
    """Bring a picture of a grid to longitude, latitude, with transparency where there is no data."""
    import cv2
    from affine import Affine
    from rasterio.transform import from_bounds
    from rasterio.warp import Resampling, reproject

    from changedet.output.stretch import thinning

    alpha = np.where(there, np.uint8(255), np.uint8(0))
    planes = np.concatenate([np.moveaxis(picture, -1, 0), alpha[np.newaxis]])
    edges = _lonlat_edges(image.grid)
    shrink = min(1.0, _LARGEST_PX / max(image.grid.shape))
    height, width = (max(1, round(side * shrink)) for side in image.grid.shape)
    warped = np.zeros((4, height, width), np.uint8)
    reproject(
        planes,
        warped,
        src_transform=image.grid.transform * Affine.scale(thinning(image.valid.shape)),
        src_crs=str(image.grid.crs),
        dst_transform=from_bounds(*edges, width, height),
        dst_crs=_LONLAT,
        resampling=Resampling.average if shrink < 1 else Resampling.nearest,
    )
    _, data = cv2.imencode(".png", np.ascontiguousarray(np.moveaxis(warped, 0, -1)[..., [2, 1, 0, 3]]))
    return Overlay(data.tobytes(), *edges)


def _lonlat_edges(grid: GeoBox) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a grid; east is above 180 across the antimeridian."""
    rows, columns = grid.shape
    longitude, latitude = lonlat(grid, *edge_px(columns, rows, 65))
    # degrees relative to one corner are continuous where the longitudes themselves jump by 360
    relative = (longitude - longitude[0] + 180.0) % 360.0 - 180.0
    west, east = longitude[0] + relative.min(), longitude[0] + relative.max()
    turn = 360.0 if west < -180.0 else 0.0
    return float(west + turn), float(latitude.min()), float(east + turn), float(latitude.max())


def _document(
    result: ChangeResult, overlays: Mapping[str, Overlay], chips: Mapping[str, bytes]
) -> ET.Element:
    root = ET.Element("kml", xmlns=KML_NAMESPACE)
    document = ET.SubElement(root, "Document")
    child(document, "name", _safe(result.name))
    child(document, "open", "1")
    child(document, "description", _summary(result))
    table = object_table(result)
    if table.crs is not None:
        table = table.to_crs(_LONLAT)
    kinds = [facts.kind_of(label) for label in table["kind"]]
    occurring = [kind for kind in Kind if kind in kinds]
    for kind in occurring:
        _add_style(document, kind)
    for order, (name, overlay) in enumerate(overlays.items()):
        _add_overlay(document, result, name, overlay, order)
    for kind in occurring:
        folder = child(document, "Folder")
        child(folder, "name", KIND_LABELS[kind])
        for row in table[[k == kind for k in kinds]].to_dict("records"):
            _add_placemark(folder, result, row, _chip_names(row, chips))
    return root


def _add_style(parent: ET.Element, kind: Kind) -> None:
    red, green, blue = (KIND_COLOURS[kind][i : i + 2] for i in (1, 3, 5))
    style = child(parent, "Style", id=f"kind-{int(kind)}")
    line = child(style, "LineStyle")
    child(line, "color", _OUTLINE_ALPHA + blue + green + red)
    child(line, "width", "2.5")
    child(child(style, "PolyStyle"), "color", _FILL_ALPHA + blue + green + red)
    child(child(style, "BalloonStyle"), "text", "<h3>$[name]</h3>$[description]")


def _add_overlay(parent: ET.Element, result: ChangeResult, name: str, overlay: Overlay, order: int) -> None:
    scene = (result.before if name == "before" else result.after).scene
    element = child(parent, "GroundOverlay")
    child(element, "name", f"{name.capitalize()}: {facts.when(scene)}, {_safe(ids_text(scene))}")
    child(element, "description", escape(_safe(scene.credit)))
    _add_time_span(element, result, name)
    child(element, "drawOrder", str(order))
    child(child(element, "Icon"), "href", f"images/{name}.png")
    box = child(element, "LatLonBox")
    for side in ("north", "south", "east", "west"):
        child(box, side, f"{getattr(overlay, side):.9f}")


def _add_time_span(parent: ET.Element, result: ChangeResult, name: str) -> None:
    """Show the before image until the after image begins; nothing where the times do not say so."""
    before, after = result.before.scene, result.after.scene
    begins = before if name == "before" else after
    if begins.time is None:
        return
    span = child(parent, "TimeSpan")
    child(span, "begin", begins.time_text)
    if name == "before" and after.time is not None and after.time > begins.time:
        child(span, "end", after.time_text)


def _add_placemark(
    parent: ET.Element, result: ChangeResult, row: dict[str, Any], pictures: Sequence[str]
) -> None:
    placemark = child(parent, "Placemark")
    child(placemark, "name", f"{row['id']}. {_safe(row['kind'])}")
    child(placemark, "Snippet", facts.area_text(float(row["area_m2"])), maxLines="1")
    child(placemark, "description", _pictures_side_by_side(result, pictures) + _balloon(result, row))
    child(placemark, "styleUrl", f"#kind-{int(facts.kind_of(str(row['kind'])))}")
    extended = child(placemark, "ExtendedData")
    for name, value in row.items():
        if name not in {"geometry", "id"} and not (isinstance(value, float) and math.isnan(value)):
            child(child(extended, "Data", name=name), "value", _safe(value))
    add_geometry(placemark, row["geometry"])


def add_geometry(parent: ET.Element, geometry: BaseGeometry) -> None:
    """Add a point, an area, or several of them, to an element; longitude first.

    Parameters
    ----------
    parent : Element
        A placemark.
    geometry : shapely geometry
        In longitude and latitude.
    """
    parts = list(_parts(geometry))
    holder = child(parent, "MultiGeometry") if len(parts) > 1 else parent
    for part in parts:
        if part.geom_type == "Point":
            child(child(holder, "Point"), "coordinates", _coordinates(part.coords))
            continue
        polygon = child(holder, "Polygon")
        child(polygon, "tessellate", "1")
        for tag, rings in (("outerBoundaryIs", [part.exterior]), ("innerBoundaryIs", part.interiors)):
            for ring in rings:
                text = _coordinates(ring.coords)
                child(child(child(polygon, tag), "LinearRing"), "coordinates", text)


def _parts(geometry: BaseGeometry) -> Iterator[Any]:
    """Return the points and areas of a geometry, one by one."""
    inner = getattr(geometry, "geoms", None)
    if inner is None:
        yield geometry
        return
    for part in inner:
        yield from _parts(part)


def _coordinates(points: Iterable[tuple[float, ...]]) -> str:
    # beyond the antimeridian KML starts again at -180
    return " ".join(f"{x if x <= 180 else x - 360:.7f},{y:.7f},0" for x, y, *_ in points)


def _chip_names(row: Mapping[str, Any], chips: Mapping[str, bytes]) -> list[str]:
    names = [f"images/object-{int(row['id'])}-{name}.jpg" for name in ("before", "after")]
    return [name for name in names if name in chips]


def _pictures_side_by_side(result: ChangeResult, names: Sequence[str]) -> str:
    """Return both dates of an object as the head of its balloon; "" where there are no pictures."""
    if not names:
        return ""
    scenes = (result.before.scene, result.after.scene)
    heads = [f"<b>{word}</b><br>{facts.when(s)}" for word, s in zip(("Before", "After"), scenes, strict=True)]
    pictures = [f'<img src="{name}" width="{_BALLOON_PX}" alt="">' for name in names]
    rows = ("".join(f"<td>{cell}</td>" for cell in cells) for cells in (heads, pictures))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _balloon(result: ChangeResult, row: dict[str, Any]) -> str:
    before, after = result.before.scene, result.after.scene
    number, count = int(row["id"]), len(result.objects)
    likeness = facts.number(row["construction"]) if result.construction is not None else ""
    said = "radar power is" if result.radar_alone else "the reflectances are"
    with_radar, tested = result.radar is not None, result.radar is not None and result.radar.tested
    lines = [
        ("Candidate", f"{row['kind']}: {said} {facts.consistent_with(str(row['kind']))}"),
        ("Area", facts.area_text(float(row["area_m2"]))),
        ("Appeared between", " and ".join(between(row))),
        ("First seen", row["first_seen"]),
        ("Last seen before", row["last_seen_before"]),
        ("Rank", f"{number} of {count}{', by likeness to construction' if likeness else ''}"),
        ("Score", f"{facts.number(row['score_mads'], 1)} deviations above the background"),
        ("Construction-like score", likeness),
        ("Confidence", row["confidence"]),
        ("Sensors", radar_facts.sensor_text(row, tested=tested) if with_radar else ""),
        ("Radar", radar_facts.object_text(row).removeprefix("radar: ") if with_radar else ""),
        ("Position", f"{row['dms']}; {row['lat']:.5f}, {row['lon']:.5f}; MGRS {row['mgrs']}"),
        ("Evidence", row["evidence"]),
        ("Warnings", row["warnings"]),
        ("Before", _scene_text(before)),
        ("After", _scene_text(after)),
        ("Credit", "; ".join(facts.credit_lines(result))),
    ]
    return f"<table>{_html_rows(lines)}</table>"


def _summary(result: ChangeResult) -> str:
    lines = [
        ("Before", _scene_text(result.before.scene)),
        ("After", _scene_text(result.after.scene)),
        ("Registration", facts.registration_text(result)),
        ("Radar", radar_facts.sentence(result)),
        ("Colours", _how_to_read(result)),
        ("Limits", facts.floor_text(result)),
        ("Note", facts.NOT_FLAGGED_NOTE),
        ("Radar cannot tell", "" if result.radar is None else radar_facts.CANNOT_NOTE),
        ("Warnings", "; ".join(result.warnings)),
        ("Credit", "; ".join(facts.credit_lines(result))),
    ]
    return f"<p>{escape(_safe(facts.finding(result)))}</p><table>{_html_rows(lines)}</table>"


def _how_to_read(result: ChangeResult) -> str:
    """Say how the two pictures are read when they are those of radar."""
    from changedet.output.stretch import stretch_limits

    if not result.radar_alone:
        return ""
    limits = stretch_limits(result.before, result.after)
    return f"{radar_facts.picture_note(limits)} {limits.text}."


def _scene_text(scene: Scene) -> str:
    dates = f" ({facts.dates_note(scene)})" if scene.members else ""
    return f"{facts.when(scene)}, {ids_text(scene)}, {provider_text(scene.provider)}{dates}"


def _html_rows(lines: Iterable[tuple[str, object]]) -> str:
    cells = ((escape(label), escape(_safe(value))) for label, value in lines if value)
    return "".join(f"<tr><td><b>{label}</b></td><td>{value}</td></tr>" for label, value in cells)


def _safe(text: object) -> str:
    """Clean a text, and break what a viewer would replace by the value of a field."""
    return facts.clean(text, _LONGEST_TEXT).replace("$[", "$ [")


def child(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    """Add an element of KML with a text to another one, and return it."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.compress_type = method
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
