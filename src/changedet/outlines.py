"""The outlines of labelled objects as polygons on their grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.extents import object_windows
from changedet.core.planes import relieve

if TYPE_CHECKING:
    from affine import Affine
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.extents import ObjectWindow


def object_outlines(labels: NDArray[np.int32], grid: GeoBox, count: int) -> list[Any]:
    """Outline every object; groups joined only by a corner become multi-polygons, which are valid.

    Objects are outlined window by window, so that no more of the image is in memory at one time.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ..., `count`; every number occurs.
    grid : GeoBox
        Of the labels.
    count : int
        Number of objects.

    Returns
    -------
    list of shapely.Polygon or shapely.MultiPolygon
        In the coordinates of the grid, in the order of the numbers.
    """
    import shapely

    parts: list[list[Any]] = [[] for _ in range(count)]
    for window in object_windows(labels):
        for number, outline in zip(*_outlined(labels, window), strict=True):
            parts[number - 1].append(outline)
        relieve()
    whole = [p[0] if len(p) == 1 else shapely.MultiPolygon(p) for p in parts]
    return [*shapely.transform(np.array(whole, object), lambda corners: _placed(corners, grid.transform))]


def _outlined(labels: NDArray[np.int32], window: ObjectWindow) -> tuple[list[int], NDArray[Any]]:
    """Return the number and the outline of each part of the objects of a window, in pixels of the image."""
    import shapely
    from rasterio.features import shapes

    part = labels[window.rows, window.columns]
    wanted = np.zeros(int(part.max()) + 1, bool)
    wanted[window.numbers] = True
    chosen = wanted[part]
    one = len(window.numbers) == 1  # it may be as large as the image, in fewer bytes
    numbered = chosen.view(np.uint8) if one else np.ascontiguousarray(part)
    found = list(shapes(numbered, mask=chosen, connectivity=4))
    outlines = np.array([shapely.geometry.shape(geometry) for geometry, _ in found], object)
    corner = np.array([window.columns.start, window.rows.start])
    numbers = [int(window.numbers[0]) if one else int(value) for _, value in found]
    return numbers, shapely.transform(outlines, lambda corners: corners + corner)


def _placed(corners: NDArray[np.float64], transform: Affine) -> NDArray[np.float64]:
    x, y = corners.T
    return np.stack(
        [
            transform.c + x * transform.a + y * transform.b,
            transform.f + x * transform.d + y * transform.e,
        ],
        axis=1,
    )
