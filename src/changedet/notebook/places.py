"""How a site, a scene and a timeline present themselves in a notebook; nothing is downloaded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from changedet.notebook.parts import ALARM, FRAME, QUIET, notes_html, plotted, table
from changedet.output import facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from changedet.scene import Scene
    from changedet.site import Site
    from changedet.timeline.types import Timeline

_SKETCH_PX, _SKETCH_ROOM_PX = 180.0, 14.0
#: Corners of an outline that are drawn; more cannot be seen in a sketch.
_MOST_CORNERS = 500
_MOST_LINES = 12


def site_html(site: Site) -> str:
    """Return a site as HTML: where it is, how large, its grid, a sketch of its outline.

    Parameters
    ----------
    site : Site
        Any.

    Returns
    -------
    str
        Loads nothing.
    """
    from changedet.objects import area_m2
    from changedet.resample import pixel_size_m

    centre, grid = site.centroid, site.grid
    west, south, east, north = site.geometry.bounds
    rows, columns = grid.shape
    pixel_m = max(pixel_size_m(grid))
    told = [
        ("Centre", f"{centre.dd}; {centre.dms}"),
        ("MGRS", centre.mgrs),
        ("Area", facts.area_text(area_m2(site.geometry))),
        ("Bounds", f"{south:.5f} to {north:.5f} north, {west:.5f} to {east:.5f} east"),
        ("Grid", f"{columns:,} x {rows:,} pixels of {pixel_m:.0f} m, {facts.clean(grid.crs)}"),
    ]
    told += [("Folder", facts.clean(site.folder))] if site.folder else []
    return (
        f'<div style="{FRAME}"><p><strong>{escape(facts.clean(site.name))}</strong></p>'
        f'<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:center">{_sketch(site)}'
        f'<div style="flex:1 1 20rem;min-width:0">{table(told)}</div></div></div>'
    )


def _sketch(site: Site) -> str:
    """Draw the outline on its grid, north up, with a bar that tells its size."""
    from odc.geo.geom import Geometry

    from changedet.output.ground import length_text, round_length_m

    grid = site.grid
    outline = Geometry(site.geometry, "EPSG:4326").to_crs(str(grid.crs)).geom
    box = grid.boundingbox
    width_m, height_m = box.right - box.left, box.top - box.bottom
    scale = (_SKETCH_PX - 2 * _SKETCH_ROOM_PX) / max(width_m, height_m)
    wide, high = (side * scale + 2 * _SKETCH_ROOM_PX for side in (width_m, height_m))
    path = " ".join(_ring(ring, (box.left, box.top), scale) for ring in _rings(outline))
    bar_m = round_length_m(width_m / 2)
    left, foot, end = _SKETCH_ROOM_PX, high + 6, _SKETCH_ROOM_PX + bar_m * scale
    name = escape(facts.clean(site.name))
    return (
        f'<svg role="img" aria-label="Outline of {name}, north is up" width="{wide:.0f}" '
        f'height="{high + 22:.0f}" viewBox="0 0 {wide:.0f} {high + 22:.0f}" style="flex:none">'
        f'<path d="{path}" fill="currentColor" fill-opacity=".15" fill-rule="evenodd" stroke="currentColor" '
        'stroke-width="1.5"/>'
        f'<path d="M{left:.1f} {foot - 4:.1f}v4H{end:.1f}v-4" fill="none" stroke="currentColor"/>'
        f'<text x="{end + 6:.1f}" y="{foot + 1:.1f}" font-size="11" fill="currentColor">{length_text(bar_m)}'
        "</text></svg>"
    )


def _rings(outline: BaseGeometry) -> list[NDArray[np.float64]]:
    import shapely

    rings = shapely.get_rings(shapely.get_parts(outline))
    coordinates = [shapely.get_coordinates(ring) for ring in rings]
    step = max(1, sum(len(one) for one in coordinates) // _MOST_CORNERS)
    return [one[::step] for one in coordinates]


def _ring(corners: NDArray[np.float64], origin: tuple[float, float], scale: float) -> str:
    places = (
        f"{(x - origin[0]) * scale + _SKETCH_ROOM_PX:.1f},{(origin[1] - y) * scale + _SKETCH_ROOM_PX:.1f}"
        for x, y in corners
    )
    return f"M{' '.join(places)}Z"


def scene_html(scene: Scene) -> str:
    """Return what is known of a scene as HTML, without its links.

    Parameters
    ----------
    scene : Scene
        Any.

    Returns
    -------
    str
        Loads nothing.
    """
    from changedet.output.scene_facts import scene_rows

    told = [*scene_rows(scene), ("Bands", facts.clean(", ".join(scene.assets) or "not known", 300))]
    alarm = f'<p style="{ALARM}">{escape(facts.SIMULATED_NOTE)}</p>' if scene.simulated else ""
    return f'<div style="{FRAME}">{alarm}{table(told)}</div>'


def timeline_html(timeline: Timeline) -> str:
    """Return a timeline as HTML: finding, the drawing of `Timeline.plot`, what is said of each zone.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    str
        Under 150 kB; loads nothing.
    """
    from changedet.output.timeline_facts import finding, timeline_lines

    _, *lines = timeline_lines(timeline)
    said = [line for line in lines if not line.startswith("warning: ")]
    body = "".join(
        f'<div style="padding-left:{1.2 if line.startswith("  ") else 0}rem">{escape(line.strip())}</div>'
        for line in said[:_MOST_LINES]
    )
    more = f"<div>and {len(said) - _MOST_LINES} more lines, see <code>print(timeline)</code></div>"
    warned = [facts.clean(text, 300) for text in timeline.warnings]
    simulated = any(one.scene.simulated for one in timeline.acquisitions)
    alarm = f'<p style="{ALARM}">{escape(facts.SIMULATED_NOTE)}</p>' if simulated else ""
    dates = f"{len(timeline.acquisitions)} dates, {' to '.join(timeline.span)}"
    name = escape(facts.clean(timeline.name))
    return (
        f'<div style="{FRAME}">{alarm}<p><strong>{name}: {escape(finding(timeline))}</strong></p>'
        f"{plotted(timeline.plot(), f'{name} over time')}{body}"
        f"{more if len(said) > _MOST_LINES else ''}{notes_html(warned)}"
        f'<p style="{QUIET}">{escape(dates)}.</p></div>'
    )
