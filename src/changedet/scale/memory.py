"""How much memory comparisons take, and that they are refused where the machine has less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changedet.errors import UsageError
from changedet.scale.resources import memory_of_machine_bytes

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: Peak memory of a comparison whose planes are in memory, measured.
_BYTES_PER_PIXEL_AND_BAND = 36.0
#: What one whose planes are on disk cannot do without for each pixel: the numbers of its groups, and as much
#: to find them.
_BYTES_PER_PIXEL_ON_DISK = 8.0
#: Share of the machine's memory that a comparison may take.
_MACHINE_SHARE = 0.7


def comparison_bytes(grid: GeoBox, bands: int) -> float:
    """Return about how much memory a comparison takes whose images are held in memory.

    Parameters
    ----------
    grid : GeoBox
        Grid of the computation.
    bands : int
        Number of bands that are loaded.

    Returns
    -------
    float
        Bytes.
    """
    return _pixels(grid) * bands * _BYTES_PER_PIXEL_AND_BAND


def require_memory(grid: GeoBox, bands: int, *, on_disk: bool = False, todo: str = "") -> None:
    """Refuse a comparison that this machine cannot hold, before it tries.

    Parameters
    ----------
    grid : GeoBox
        Grid of the computation.
    bands : int
        Number of bands that are loaded.
    on_disk : bool
        Whether its planes go to disk.
    todo : str
        What helps, for a reader; a smaller area when not given.

    Raises
    ------
    UsageError
        With the size and what to do about it. Never where the system does not say how much memory there is.
    """
    needed = _pixels(grid) * _BYTES_PER_PIXEL_ON_DISK if on_disk else comparison_bytes(grid, bands)
    available = memory_of_machine_bytes()
    if needed > _MACHINE_SHARE * available:
        raise UsageError(
            f"{_pixels(grid) / 1e6:.0f} megapixels with {bands} bands need about "
            f"{needed / 1e9:.0f} GB of memory, this machine has {available / 1e9:.0f} GB",
            todo=todo or "restrict the comparison with --at and --radius, or with --bbox",
        )


def _pixels(grid: GeoBox) -> float:
    return float(grid.shape[0]) * float(grid.shape[1])
