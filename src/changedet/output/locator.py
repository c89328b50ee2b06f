"""Where on Earth a site lies: a small map of coastlines round it.

The coastlines are those of Natural Earth at 1:110 million, which are in the public domain
(https://www.naturalearthdata.com); they come with the package, so that nobody is asked for a map. They are
land and sea alone: no border is drawn, since borders are disputed where analysts look.
"""

from __future__ import annotations

import json
import math
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from changedet.output.ground import edge_ticks
from changedet.output.sheet import Box, Lettering

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from changedet.coordinates import GeoPoint
    from changedet.output.sheet import Sheet

#: What stands under the map.
LOCATOR_NOTE = "Coastlines: Natural Earth 1:110m"

#: Angle from the site to the edge of the map, and between the lines of its graticule, in degrees; the
#: first that shows both land and sea is taken.
_VIEWS = ((12.0, 5.0), (25.0, 10.0), (50.0, 20.0), (90.0, 30.0))
_LEAST_OF_BOTH = 0.05
_CELLS_PER_DEGREE = 10
_PICTURE_PX = 480
_LAND, _SEA, _COAST = (226, 222, 210), (238, 245, 249), (92, 100, 108)
_MARK, _LINES = "#d55e00", "#b4bcc4"
_TICKS = Lettering(5.5)


def draw_locator(sheet: Sheet, box: Box, point: GeoPoint) -> Axes:
    """Draw a map of the coastlines round a point, with the point in the middle and north up.

    Parameters
    ----------
    sheet : Sheet
        The page.
    box : Box
        A square.
    point : GeoPoint
        What is marked.

    Returns
    -------
    Axes
        In radii of the Earth from the point, seen from straight above it (orthographic).
    """
    from matplotlib.collections import LineCollection

    radius_deg, step_deg = locator_view(point)
    half = math.sin(math.radians(radius_deg))
    axes = sheet.axes(box)
    axes.imshow(_picture(point, half), extent=(-half, half, -half, half), interpolation="bilinear")
    lines = LineCollection(_graticule(point, step_deg), colors=_LINES, linewidths=0.35)
    axes.add_collection(lines, autolim=False)
    axes.plot([0], [0], "o", ms=5.5, mfc="none", mec="white", mew=2.4)
    axes.plot([0], [0], "o", ms=5.5, mfc="none", mec=_MARK, mew=1.3)
    axes.set_xlim(-half, half)
    axes.set_ylim(-half, half)
    along = np.linspace(-half, half, 65)
    longitude, _ = _from_above(point, along, np.full_like(along, -half))
    _, latitude = _from_above(point, np.full_like(along, -half), along)
    for set_ticks, degrees, letters in (
        (axes.set_xticks, longitude, "EW"),
        (axes.set_yticks, latitude, "NS"),
    ):
        ticks = edge_ticks(degrees, letters, most=3)
        set_ticks([half * (2 * p - 1) for p, _ in ticks], [label for _, label in ticks], size=_TICKS.size_pt)
    axes.tick_params(pad=1.2, size=1.8)
    return axes


def locator_view(point: GeoPoint) -> tuple[float, float]:
    """Return how far a map round a point reaches, and the step of its graticule, in degrees.

    Parameters
    ----------
    point : GeoPoint
        The middle of the map.

    Returns
    -------
    tuple of float
        The smallest view in which both land and sea are seen; half of the globe where none is.

    Examples
    --------
    >>> from changedet.coordinates import GeoPoint
    >>> locator_view(GeoPoint(38.6, 126.1)), locator_view(GeoPoint(48.0, 88.0))
    ((12.0, 5.0), (90.0, 30.0))
    """
    for radius_deg, step_deg in _VIEWS[:-1]:
        share = float(_land_seen(point, math.sin(math.radians(radius_deg)), 64).mean())
        if _LEAST_OF_BOTH <= share <= 1 - _LEAST_OF_BOTH:
            return radius_deg, step_deg
    return _VIEWS[-1]


@lru_cache(maxsize=8)
def _picture(point: GeoPoint, half: float) -> NDArray[np.uint8]:
    """Draw land, sea and the coast between them; white beside the globe."""
    land = _land_seen(point, half, _PICTURE_PX)[..., None]
    picture = np.asarray(_SEA) + (np.asarray(_LAND) - np.asarray(_SEA)) * np.nan_to_num(land)
    coast = np.clip(1.6 - 4.0 * np.abs(np.nan_to_num(land) - 0.5), 0, 1)
    picture += (np.asarray(_COAST) - picture) * coast
    picture[np.isnan(land[..., 0])] = 255
    return np.asarray(picture.round(), np.uint8)


def _land_seen(point: GeoPoint, half: float, size: int) -> NDArray[np.float32]:
    """Return the share of land, 0 to 1, of a square map; NaN beside the globe."""
    import cv2

    along = (np.arange(size) + 0.5) / size * 2 * half - half
    x, y = np.meshgrid(along, -along)
    longitude, latitude = _from_above(point, x, y)
    mask = _land_mask()
    column = (longitude + 180) % 360 * _CELLS_PER_DEGREE - 0.5
    row = (90 - latitude) * _CELLS_PER_DEGREE - 0.5
    shown = cv2.remap(
        mask, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return np.where(np.isnan(latitude), np.float32(np.nan), shown.astype(np.float32) / 255)


def _from_above(
    point: GeoPoint, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude on a globe of radius 1 seen from above a point; NaN beside the globe.

    Orthographic projection: Snyder 1987, doi:10.3133/pp1395, equations 20-14 and 20-15.
    """
    phi, distance = math.radians(point.lat), np.hypot(x, y)
    angle = np.arcsin(np.where(distance <= 1, distance, np.nan))
    safe = np.where(distance > 0, distance, 1.0)
    sine = np.cos(angle) * math.sin(phi) + y * np.sin(angle) * math.cos(phi) / safe
    down = distance * math.cos(phi) * np.cos(angle) - y * math.sin(phi) * np.sin(angle)
    latitude = np.degrees(np.arcsin(np.clip(sine, -1, 1)))
    return point.lon + np.degrees(np.arctan2(x * np.sin(angle), down)), latitude


def _graticule(point: GeoPoint, step_deg: float) -> list[NDArray[np.float64]]:
    """Return meridians and parallels as lines on the globe seen from above a point."""
    fine = np.arange(0, 1.0001, 1 / 180)
    # few meridians reach the poles, where all would run into each other
    meridians = [
        (np.full_like(fine, lon), (180 * fine - 90) * (1.0 if lon % 30 == 0 else 80 / 90))
        for lon in np.arange(-180, 180, step_deg)
    ]
    parallels = [(360 * fine - 180, np.full_like(fine, lat)) for lat in np.arange(-90, 90, step_deg)[1:]]
    lines = []
    for longitude, latitude in (*meridians, *parallels):
        east, phi = np.radians(longitude - point.lon), np.radians(latitude)
        middle = math.radians(point.lat)
        x = np.cos(phi) * np.sin(east)
        y = math.cos(middle) * np.sin(phi) - math.sin(middle) * np.cos(phi) * np.cos(east)
        towards = math.sin(middle) * np.sin(phi) + math.cos(middle) * np.cos(phi) * np.cos(east)
        # the far side of the globe is not seen: NaN ends a line
        hidden = np.where(towards > 0, 1.0, np.nan)
        lines.append(np.column_stack([x * hidden, y * hidden]))
    return [line for line in lines if np.isfinite(line).any()]


@cache
def _land_mask() -> NDArray[np.uint8]:
    """Return land as 255 on a map of longitude and latitude, made once."""
    import cv2

    text = (files("changedet.output") / "coastlines.json").read_text(encoding="utf-8")
    # the first corner of a ring, then the step to each next one, in hundredths of a degree
    rings = [np.cumsum(np.reshape(steps, (-1, 2)), axis=0) / 100 for steps in json.loads(text)]
    mask = np.zeros((180 * _CELLS_PER_DEGREE, 360 * _CELLS_PER_DEGREE), np.uint8)
    fine = 16 * _CELLS_PER_DEGREE
    # rings across the antimeridian run on beyond the edge of the map: they come in again at the other edge
    turns = [ring + np.array([turn, 0]) for ring in rings for turn in (-360, 0, 360)]
    on_map = [ring for ring in turns if ring[:, 0].max() > -180 and ring[:, 0].min() < 180]
    corners = [np.round((ring * [1, -1] + [180, 90]) * fine - 8).astype(np.int32) for ring in on_map]
    cv2.fillPoly(mask, corners, 255, cv2.LINE_AA, shift=4)
    return mask
