"""Room for planes that are opened again: in memory, or on disk where they are large."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from changedet.scale.resources import resources_in_use
from changedet.scale.scratch import planes_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

#: So much is always held in memory, and never more than this share of what a run may take.
_SMALL_BYTES, _SHARE = 500_000_000, 0.5


@contextmanager
def room_for_planes(needed_bytes: float) -> Iterator[None]:
    """Let planes be made on disk while this lasts, where together they are large.

    Parameters
    ----------
    needed_bytes : float
        What all of them take.

    Yields
    ------
    None

    Raises
    ------
    OutputError
        When a plane is made for which the disk has no room.
    """
    if needed_bytes <= _SMALL_BYTES:
        yield
        return
    resources = resources_in_use()
    limit = max(_SMALL_BYTES, min(2 * _SMALL_BYTES, _SHARE * resources.memory_bytes))
    with planes_on_disk(resources.scratch, resident_bytes=limit):
        yield
