"""From bands to pictures: natural colour, radar, score, outlines, encoding."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np

from changedet.core.blocks import run_blocks, spans
from changedet.errors import UsageError
from changedet.kinds import KIND_COLOURS
from changedet.output.facts import kind_of
from changedet.output.numbers import place_numbers
from changedet.output.stretch import decibels, lattice, thinning
from changedet.result import State
from changedet.scale.scratch import release

if TYPE_CHECKING:
    from collections.abc import Callable

    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.output.stretch import Limits
    from changedet.result import ChangeResult
    from changedet.scene import Image

    _Painted = tuple[NDArray[np.uint8], NDArray[np.uint8]]

#: Name of the colour map of the score: perceptually uniform, readable with colour-vision deficiency.
SCORE_COLOUR_MAP = "cividis"

_Scalar = TypeVar("_Scalar", bound=np.generic)

_HATCH_LIGHT, _HATCH_DARK = 206, 158
_OUTSIDE_GREY = 238
# what fills ground without a colour
_PLAIN, _STRIPES, _CROSSED, _OUTSIDE = range(4)
# pixels of a large grid that are drawn at a time
_BLOCK_PX = 120_000
# planes on disk give their memory back so often while a large picture is drawn
_RELEASED_IN = 16
_QUALITIES = (90, 82, 74, 64, 52, 40, 28)
_SHRINK_BY, _SMALLEST_PX = 0.85, 16


def draw_image(image: Image, limits: Limits, part: tuple[slice, slice] | None = None) -> NDArray[np.uint8]:
    """Draw an image with a given stretch: natural colour, or the composite of radar.

    Parameters
    ----------
    image : Image
        Clouds are drawn as they are; pixels without data as a neutral hatch.
    limits : Limits
        From `stretch_limits`, made for this image and the one it is shown beside.
    part : pair of slice, optional
        Rows and columns to draw; all when not given.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)
        Red, green, blue. Of 25 million pixels and more a smaller picture, by `thinning`: each of its pixels
        is the mean of those it stands for.
    """
    rows, columns = part or (slice(0, image.valid.shape[0]), slice(0, image.valid.shape[1]))
    return _drawn(partial(_image_colours, image, limits), (rows, columns), (image.data,))


def _image_colours(image: Image, limits: Limits, part: tuple[slice, slice]) -> _Painted:
    shown = replace(
        image,
        data=image.data[:, *part],
        valid=image.valid[part],
        classes=image.classes[part],
        grid=image.grid[part],
    )
    planes = []
    empty = np.zeros(shown.valid.shape, bool)
    for name, low, high in zip(limits.bands, limits.low, limits.high, strict=True):
        plane = decibels(shown, name) if limits.radar else shown.band(name)
        empty |= np.isnan(plane) if limits.radar else ~np.isfinite(plane)
        planes.append(stretched(plane, low, high))
    colour = np.stack(planes * (3 // len(planes)), axis=-1)
    return colour, np.where(empty, np.uint8(_STRIPES), np.uint8(_PLAIN))


def pictured(image: Image) -> NDArray[np.bool_]:
    """Return where an image has data in any band, at the scale of `draw_image`, shape (y, x)."""
    return np.asarray(np.isfinite(lattice(image.data)).any(axis=0))


def _drawn(
    paint: Callable[[tuple[slice, slice]], _Painted],
    part: tuple[slice, slice],
    sources: tuple[NDArray[Any], ...],
) -> NDArray[np.uint8]:
    """Draw a part of a grid, smaller and in pieces where it is large, and fill in the patterns."""
    rows, columns = part
    shape = rows.stop - rows.start, columns.stop - columns.start
    factor = thinning(shape)
    if factor == 1:
        return _patterned(*paint((rows, columns)), (rows.start, columns.start))
    small = -(-shape[0] // factor), -(-shape[1] // factor)
    colour, pattern = np.empty((*small, 3), np.uint8), np.empty(small, np.uint8)

    def work(block: slice) -> None:
        """Draw some rows of the small picture."""
        first, last = (rows.start + factor * row for row in (block.start, block.stop))
        painted = paint((slice(first, min(last, rows.stop)), columns))
        colour[block], pattern[block] = _smaller(*painted, factor)

    blocks = spans(small[0], max(1, _BLOCK_PX // (factor * shape[1])))
    for some in spans(len(blocks), -(-len(blocks) // _RELEASED_IN)):
        run_blocks(work, blocks[some])
        release(*sources)
    return _patterned(colour, pattern, (0, 0))


def _smaller(colour: NDArray[np.uint8], pattern: NDArray[np.uint8], factor: int) -> _Painted:
    """Make one pixel of each square of pixels: the mean colour, and the pattern that half of it has."""
    missing = [-side % factor for side in pattern.shape]
    height, width = ((side + more) // factor for side, more in zip(pattern.shape, missing, strict=True))

    def averaged(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the mean of each square; squares at the end are filled up with the last pixels."""
        whole = cv2.copyMakeBorder(plane, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    found = np.full((height, width), _PLAIN, np.uint8)
    for one in (_STRIPES, _CROSSED, _OUTSIDE):
        here = pattern == one
        if here.any():
            found[averaged(here.astype(np.uint8) * np.uint8(255)) >= 128] = one
    return averaged(colour), found


def _patterned(
    colour: NDArray[np.uint8], pattern: NDArray[np.uint8], origin: tuple[int, int]
) -> NDArray[np.uint8]:
    """Fill in the patterns of ground without a colour; pictures of parts have those of the whole."""
    for one, crossed in ((_STRIPES, False), (_CROSSED, True)):
        here = pattern == one
        if here.any():
            colour[here] = hatch((here.shape[0], here.shape[1]), crossed=crossed, origin=origin)[here]
    colour[pattern == _OUTSIDE] = _OUTSIDE_GREY
    return colour


def stretched(plane: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Scale numbers so that `low` and what has no number become 0, and `high` 255.

    Examples
    --------
    >>> stretched(np.array([-1.0, 0.5, 2.0, np.nan], np.float32), 0.0, 1.0).tolist()
    [0, 128, 255, 0]
    """
    scaled = (np.nan_to_num(plane, nan=low, posinf=high, neginf=low) - low) * (255.0 / (high - low))
    return np.asarray((np.clip(scaled, 0, 255) + 0.5).astype(np.uint8))


def score_colour(result: ChangeResult, factor: int = 1) -> NDArray[np.uint8]:
    """Draw the score, with what was not judged as hatching.

    Parameters
    ----------
    result : ChangeResult
        Score and states.
    factor : int
        Each pixel becomes a square of this many picture pixels, so that the hatching is finer than a pixel;
        not where the grid is large.

    Returns
    -------
    ndarray of uint8, shape (factor * y, factor * x, 3)
        Diagonal hatching: not observed. Crossed hatching: not comparable. Plain light grey: outside the site.
        Of 25 million pixels and more a smaller picture, as of `draw_image`.
    """
    ends = score_range(result)
    shape = result.state.shape
    paint = partial(_score_pattern, result, ends, factor if thinning(shape) == 1 else 1)
    return _drawn(paint, (slice(0, shape[0]), slice(0, shape[1])), (result.score, result.state))


def _score_pattern(
    result: ChangeResult, ends: tuple[float, float], factor: int, part: tuple[slice, slice]
) -> _Painted:
    (low, high), score, state = ends, result.score[part], result.state[part]
    level = np.clip((np.nan_to_num(score, nan=low) - low) * (255.0 / (high - low)), 0, 255)
    pattern = np.full(state.shape, _PLAIN, np.uint8)
    pattern[~np.isfinite(score) | (state == State.NOT_OBSERVED)] = _STRIPES
    pattern[state == State.NOT_COMPARABLE] = _CROSSED
    pattern[state == State.OUTSIDE] = _OUTSIDE
    colour = np.take(score_colours(), level.astype(np.uint8), axis=0)
    return enlarge(colour, factor), enlarge(pattern, factor)


def score_range(result: ChangeResult) -> tuple[float, float]:
    """Return the scores at the two ends of the colour map: background median, and the top of the scores.

    Thresholds that are not finite, as of a pair that was refused, are passed over.

    Parameters
    ----------
    result : ChangeResult
        Any result; a score that is NaN everywhere gives 0 and 1.

    Returns
    -------
    low, high : float
        Finite, ``low < high``.
    """
    score = lattice(result.score)
    finite = score[np.isfinite(score)]
    if finite.size == 0:
        return 0.0, 1.0
    median, seed = (float(result.thresholds.get(name, np.nan)) for name in ("median", "seed"))
    low = median if np.isfinite(median) else float(np.median(finite))
    high = max(float(np.percentile(finite, 99.5)), seed if np.isfinite(seed) else low)
    return low, max(high, low + 1e-6)


def score_colours() -> NDArray[np.uint8]:
    """Return the colours of the score, low to high, as uint8 of shape (256, 3)."""
    from matplotlib import colormaps

    return (colormaps[SCORE_COLOUR_MAP](np.arange(256))[:, :3] * 255 + 0.5).astype(np.uint8)


def hatch(
    shape: tuple[int, int], *, crossed: bool = False, period_px: int = 8, origin: tuple[int, int] = (0, 0)
) -> NDArray[np.uint8]:
    """Return a neutral hatching: grey diagonal stripes, or crossed ones.

    Parameters
    ----------
    shape : tuple of int
        (y, x).
    crossed : bool
        Stripes in both directions.
    period_px : int
        Distance of the stripes in pixels.
    origin : tuple of int
        Row and column of the first pixel in the whole that the stripes belong to.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)
        Two greys.
    """
    rows = origin[0] + np.arange(shape[0])[:, None]
    columns = origin[1] + np.arange(shape[1])[None, :]
    dark = (rows + columns) % period_px < period_px // 4
    if crossed:
        dark = dark | ((rows - columns) % period_px < period_px // 4)
    grey = np.where(dark, np.uint8(_HATCH_DARK), np.uint8(_HATCH_LIGHT))
    return np.repeat(grey[:, :, None], 3, axis=2)


def window(shape: tuple[int, int], row: float, column: float, size: int) -> tuple[slice, slice]:
    """Return the square window of an array that shows a position, moved inwards at the edges.

    Parameters
    ----------
    shape : tuple of int
        (y, x) of the array.
    row, column : float
        Position that should be in the middle.
    size : int
        Side of the window in pixels; the array's own extent where that is smaller.

    Returns
    -------
    rows, columns : slice
        Never empty, always inside the array.

    Examples
    --------
    >>> window((100, 50), 2, 48, 20)
    (slice(0, 20, None), slice(30, 50, None))
    """
    slices = []
    for position, length in ((row, shape[0]), (column, shape[1])):
        extent = max(1, min(size, length))
        start = min(max(int(position) - extent // 2, 0), length - extent)
        slices.append(slice(start, start + extent))
    return slices[0], slices[1]


def chip(array: NDArray[np.uint8], row: float, column: float, size: int) -> NDArray[np.uint8]:
    """Cut the square around a position out of a picture, moved inwards at the edges.

    Parameters
    ----------
    array : ndarray, shape (y, x) or (y, x, 3)
        The picture.
    row, column : float
        Position that should be in the middle.
    size : int
        Side in pixels.

    Returns
    -------
    ndarray
        A copy, at most `size` on each side.
    """
    rows, columns = window((array.shape[0], array.shape[1]), row, column, size)
    return array[rows, columns].copy()


def enlarge(array: NDArray[_Scalar], factor: int) -> NDArray[_Scalar]:
    """Repeat every pixel `factor` times in both directions, without interpolation."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else array.copy()


def shrink(picture: NDArray[np.uint8], largest_px: int) -> NDArray[np.uint8]:
    """Scale a picture down by area averaging so that its longer side is at most `largest_px`."""
    height, width = picture.shape[:2]
    scale = largest_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def outlines(objects: gpd.GeoDataFrame, grid: GeoBox) -> list[list[NDArray[np.float64]]]:
    """Return the rings of each object in pixels of a grid.

    Parameters
    ----------
    objects : GeoDataFrame
        Polygons or multi-polygons in the coordinate reference system of `grid`.
    grid : GeoBox
        (0, 0) is the outer corner of its first pixel.

    Returns
    -------
    list of list of ndarray of float64, shape (n, 2)
        For each object its closed rings, outer and inner, as (column, row).
    """
    import shapely

    found: list[list[NDArray[np.float64]]] = []
    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    matrix, origin = np.array([[a, d], [b, e]]), np.array([c, f])
    for geometry in objects.geometry:
        rings = shapely.get_rings(shapely.get_parts(geometry)) if geometry is not None else ()
        coordinates = [shapely.get_coordinates(ring) for ring in rings]
        found.append([xy @ matrix + origin for xy in coordinates])
    return found


def ring_path(rings: list[NDArray[np.float64]], longest: int = 20_000) -> str:
    """Write rings as an SVG path in grid pixels; very ragged ones are simplified to under a pixel.

    Parameters
    ----------
    rings : list of ndarray of float64, shape (n, 2)
        Closed, as (column, row), from `outlines`.
    longest : int
        Letters above which the rings are simplified.

    Returns
    -------
    str
        For the attribute ``d`` of a path.

    Examples
    --------
    >>> ring_path([np.array([[0.5, 1], [3, 1], [3, 2], [0.5, 1]])])
    'M0.5,1 3,1 3,2Z'
    """
    import shapely

    text = _path_text(rings)
    if len(text) <= longest:
        return text
    return _path_text([shapely.get_coordinates(shapely.LineString(ring).simplify(0.9)) for ring in rings])


def _path_text(rings: list[NDArray[np.float64]]) -> str:
    return "".join("M" + " ".join(f"{x:.7g},{y:.7g}" for x, y in ring[:-1]) + "Z" for ring in rings)


def overlay(
    picture: NDArray[np.uint8], objects: gpd.GeoDataFrame, grid: GeoBox, *, numbered: int = 20
) -> NDArray[np.uint8]:
    """Draw the outlines of objects on a picture of the whole grid.

    Parameters
    ----------
    picture : ndarray of uint8, shape (y, x, 3)
        A picture of `grid`, at any scale.
    objects : GeoDataFrame
        Ranked objects with columns ``id`` and ``kind``, in the coordinate reference system of the grid.
    grid : GeoBox
        What the picture shows.
    numbered : int
        How many of the leading objects get their number beside the outline.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)
        A copy with outlines in the colours of the kinds over a dark rim.
    """
    drawn = np.ascontiguousarray(picture)
    drawn = drawn.copy() if drawn is picture else drawn
    scale = np.array([picture.shape[1] / grid.shape[1], picture.shape[0] / grid.shape[0]])
    shapes = [[np.round(r * scale).astype(np.int32) for r in rings] for rings in outlines(objects, grid)]
    width = max(1, round(max(picture.shape[:2]) / 500))
    for rings in shapes:
        cv2.polylines(drawn, rings, True, (0, 0, 0), width + 2, cv2.LINE_AA)
    for rings, kind in zip(shapes, objects["kind"], strict=True):
        cv2.polylines(drawn, rings, True, rgb(KIND_COLOURS[kind_of(kind)]), width, cv2.LINE_AA)
    numbers = [int(i) for i in objects["id"][:numbered]]
    size = (10.0 * width, 12.0 * width)
    frame = (float(picture.shape[1]), float(picture.shape[0]))
    for place, number in zip(place_numbers(shapes[:numbered], numbers, size, frame), numbers, strict=True):
        if place:
            corner = (round(place.left) + 1, round(place.bottom) - 1)
            for colour, pen in (((0, 0, 0), width + 3), ((255, 255, 255), width)):
                cv2.putText(
                    drawn,
                    str(number),
                    corner,
                    cv2.FONT_HERSHEY_SIMPLEX,
                    0.45 * width,
                    colour,
                    pen,
                    cv2.LINE_AA,
                )
    return drawn


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green, blue (0 to 255) of a colour written ``"#rrggbb"``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def to_jpeg_data_url(picture: NDArray[np.uint8], *, most_bytes: int | None = None) -> str:
    """Encode a picture for display as a ``data:`` address, JPEG without colour subsampling.

    Parameters
    ----------
    picture : ndarray of uint8, shape (y, x, 3)
        Red, green, blue.
    most_bytes : int, optional
        Quality 90 is lowered until the file is not larger; when even the lowest does not do, the picture is
        made smaller.

    Returns
    -------
    str
        ``"data:image/jpeg;base64,..."``; the same bytes for the same picture.
    """
    return "data:image/jpeg;base64," + base64.b64encode(to_jpeg(picture, most_bytes=most_bytes)).decode()


def to_jpeg(picture: NDArray[np.uint8], *, most_bytes: int | None = None) -> bytes:
    """Encode a picture as the JPEG file that `to_jpeg_data_url` writes as an address."""
    data = _smallest_that_fits(picture, most_bytes)
    while most_bytes is not None and len(data) > most_bytes and min(picture.shape[:2]) > _SMALLEST_PX:
        picture = shrink(picture, round(_SHRINK_BY * max(picture.shape[:2])))
        data = _smallest_that_fits(picture, most_bytes)
    return data


def _smallest_that_fits(picture: NDArray[np.uint8], most_bytes: int | None) -> bytes:
    """Encode with the best quality that fits; with the lowest when none does."""
    data = b""
    for quality in _QUALITIES:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        data = _encode(picture, options)
        if most_bytes is None or len(data) <= most_bytes:
            break
    return data


def _encode(picture: NDArray[np.uint8], options: list[int]) -> bytes:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise UsageError(
            f"a picture of shape {picture.shape} and type {picture.dtype} cannot be encoded",
            todo="give uint8 of shape (y, x, 3)",
        )
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), options)
    if not done:
        raise UsageError(f"a picture of shape {picture.shape} cannot be encoded", todo="make it smaller")
    return bytes(data.tobytes())
