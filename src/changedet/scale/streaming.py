"""When the planes of a comparison go to disk, so that any pair of images fits into the memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from changedet.scale.memory import comparison_bytes, require_memory
from changedet.scale.resources import resources_in_use
from changedet.scale.scratch import planes_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odc.geo.geobox import GeoBox

    from changedet.scale.resources import Resources
    from changedet.scale.scratch import Scratch

#: What helps where something that cannot be done in pieces does not fit.
_TODO_WHOLE = (
    "restrict the comparison with --at and --radius, or with --bbox; or leave out {}, which is compared in "
    "memory: images alone are compared in pieces, by every method and trained model"
)
#: Above this share of its memory a run lets go of all pages of its planes; the rest is for what it computes.
_PLANES_SHARE = 0.55


def is_streamed(grid: GeoBox, bands: int, resources: Resources) -> bool:
    """Tell whether the planes of a comparison go to disk.

    Parameters
    ----------
    grid : GeoBox
        Grid of the computation.
    bands : int
        Number of bands that are loaded.
    resources : Resources
        What the run may take.

    Returns
    -------
    bool
        True where it would take more memory than that otherwise. The result is the same.
    """
    return comparison_bytes(grid, bands) > resources.memory_bytes


@contextmanager
def planes_within_memory(grid: GeoBox, bands: int, *, whole: str = "") -> Iterator[Scratch | None]:
    """Let the planes of a comparison be made where they fit, while this lasts.

    Parameters
    ----------
    grid : GeoBox
        Grid of the computation.
    bands : int
        Number of bands that are loaded.
    whole : str
        What is asked for that looks at whole images in memory, in words for a reader; empty for nothing.

    Yields
    ------
    Scratch or None
        Where the planes go; None for the memory.

    Raises
    ------
    UsageError
        When even so the machine does not have enough memory.
    OutputError
        When a plane does not fit on the disk.
    """
    resources = resources_in_use()
    if whole or not is_streamed(grid, bands, resources):
        require_memory(grid, bands, todo=_TODO_WHOLE.format(whole) if whole else "")
        yield None
        return
    require_memory(grid, bands, on_disk=True)
    limit = _PLANES_SHARE * resources.memory_bytes
    with planes_on_disk(resources.scratch, resident_bytes=limit) as scratch:
        yield scratch
