"""What reading pixels takes, before anything is read: requests, and bytes as they are stored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from changedet.antimeridian import footprint_on
from changedet.bands import SENTINEL2_BANDS
from changedet.providers.base import Estimate
from changedet.providers.remote import SPARE_PX
from changedet.resample import pixel_size_m

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from changedet.scene import Granule

#: Requests for one file: its header, and the blocks of the window, which mostly lie in two stretches.
REQUESTS_PER_FILE = 3
#: Pixels read beyond each edge of the grid: for the interpolation, and to spare.
_MARGIN_PX = 4 + SPARE_PX
_CLASSES_M = 20
_OPTICAL_M = {band.name: band.resolution_m for band in SENTINEL2_BANDS}


def estimate_files(granules: Sequence[Granule], names: Sequence[str], grid: GeoBox) -> Estimate:
    """Estimate what windows of files take, one file for each granule and band.

    Parameters
    ----------
    granules : sequence of Granule
        Those whose footprint does not reach the grid take nothing.
    names : sequence of str
        Bands, and ``"SCL"``.
    grid : GeoBox
        Where the pixels are needed.

    Returns
    -------
    Estimate
        Links to files of this computer take nothing.
    """
    remote = [
        name
        for granule in granules
        if _reaches(granule, grid)
        for name in names
        if name in granule.assets and "://" in granule.assets[name].href
    ]
    return Estimate(
        requests=REQUESTS_PER_FILE * len(remote),
        megabytes=sum(window_bytes(name, grid) for name in remote) / 1e6,
    )


def window_bytes(name: str, grid: GeoBox) -> int:
    """Return the bytes of the window of one band that a grid needs, as they are stored.

    Parameters
    ----------
    name : str
        Band; one that is not of Sentinel-2 counts as radar, in floats of 10 m.
    grid : GeoBox
        Where the pixels are needed.

    Returns
    -------
    int
        Before compression.

    Examples
    --------
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox.from_bbox((300000, 0, 301000, 1000), "EPSG:32633", resolution=10)
    >>> window_bytes("B04", grid), window_bytes("SCL", grid)
    (28800, 4900)
    """
    size_m = _CLASSES_M if name == "SCL" else _OPTICAL_M.get(name, 10)
    depth = 1 if name == "SCL" else 2 if name in _OPTICAL_M else 4
    height_m, width_m = (n * step for n, step in zip(grid.shape, pixel_size_m(grid), strict=True))
    return depth * math.prod(round(side / size_m) + 2 * _MARGIN_PX for side in (height_m, width_m))


def _reaches(granule: Granule, grid: GeoBox) -> bool:
    """Tell whether a footprint touches the grid; one that is not there is believed to."""
    outline = footprint_on(granule.footprint, grid)
    return outline is None or bool(outline.intersects(grid.extent.geom))
