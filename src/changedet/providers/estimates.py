"""What reading pixels takes, before anything is read: requests, bytes as they are stored, and the cost."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from changedet.antimeridian import footprint_on
from changedet.bands import SENTINEL2_BANDS
from changedet.errors import BudgetError
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


class Budget:
    """A limit on processing units, and how many of them are gone; good for several threads.

    Parameters
    ----------
    limit : float or None
        Most of them; None = no limit.
    where : str
        The provider that charges them, for errors.

    Examples
    --------
    >>> budget = Budget(10.0, "sentinelhub")
    >>> budget.spend(4.0, needed_after=6.0)
    >>> budget.spent
    4.0
    """

    def __init__(self, limit: float | None, where: str) -> None:
        self.limit = limit
        self._where = where
        self._lock = threading.Lock()
        self._spent = 0.0

    @property
    def spent(self) -> float:
        """What is gone so far."""
        return self._spent

    def spend(self, units: float, *, needed_after: float = 0.0) -> None:
        """Count what is going to be asked for.

        Parameters
        ----------
        units : float
            What it costs.
        needed_after : float
            What else has to be affordable, or this would be of no use.

        Raises
        ------
        BudgetError
            When both together go beyond the limit; nothing is counted then.
        """
        with self._lock:
            total = self._spent + units + needed_after
            if self.limit is not None and total > self.limit:
                raise BudgetError(
                    f"this would take {total:.3g} processing units in all, and the limit is {self.limit:g}",
                    where=self._where,
                    todo="raise the limit (--max-pu), or choose a smaller site or fewer bands",
                    details={"processing_units": total, "max_processing_units": self.limit},
                )
            self._spent += units

    def require(self, units: float) -> None:
        """Refuse what goes beyond the limit, as `spend` does, without counting it."""
        self.spend(0.0, needed_after=units)

    def correct(self, units: float) -> None:
        """Count what was asked for already, or, below 0, what was not asked for in the end."""
        with self._lock:
            self._spent += units


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
