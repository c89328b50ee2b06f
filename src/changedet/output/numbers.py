"""Where the numbers of objects stand on a picture, so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """The box of a number, in the units of the picture, y downwards.

    Attributes
    ----------
    left, top, right, bottom : float
        Edges of the box.
    """

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Place) -> bool:
        """Tell whether two boxes share any of the picture."""
        beside = self.right <= other.left or other.right <= self.left
        above = self.bottom <= other.top or other.bottom <= self.top
        return not (beside or above)


def place_numbers(
    shapes: Sequence[Sequence[NDArray[np.float64]]],
    numbers: Sequence[int],
    letter: tuple[float, float],
    frame: tuple[float, float],
) -> list[Place | None]:
    """Find a place for the number of each object, the leading ones first.

    Parameters
    ----------
    shapes : sequence of sequences of ndarray, shape (point, 2)
        Rings of each object as (x, y); the number stands beside the largest.
    numbers : sequence of int
        The number of each object.
    letter : tuple of float
        Width and height of a digit, in the units of the rings.
    frame : tuple of float
        Width and height of the picture.

    Returns
    -------
    list of Place or None
        None for an object without a ring, or whose number would cover another one at all four corners of
        its outline.

    Examples
    --------
    >>> import numpy as np
    >>> square = [np.array([[10.0, 10.0], [20.0, 20.0]])]
    >>> places = place_numbers([square, square], [1, 2], (4, 6), (100, 100))
    >>> [float(place.left) for place in places if place]
    [20.0, 6.0]
    """
    placed: list[Place | None] = []
    for rings, number in zip(shapes, numbers, strict=True):
        taken = [place for place in placed if place]
        free = [p for p in _corners(rings, number, letter, frame) if not any(p.meets(t) for t in taken)]
        placed.append(free[0] if free else None)
    return placed


def _corners(
    rings: Sequence[NDArray[np.float64]], number: int, letter: tuple[float, float], frame: tuple[float, float]
) -> list[Place]:
    """Return the boxes beside the four corners of the largest ring that lie inside the picture."""
    if not rings:
        return []
    widest = max(rings, key=lambda ring: float((ring.max(axis=0) - ring.min(axis=0)).prod()))
    (left, top), (right, bottom) = widest.min(axis=0), widest.max(axis=0)
    width, height = letter[0] * len(str(number)), letter[1]
    found = [
        Place(x, y, x + width, y + height)
        for y in (top - height / 2, bottom - height / 2)
        for x in (right, left - width)
    ]
    inside = [p for p in found if p.left >= 0 and p.top >= 0 and p.right <= frame[0] and p.bottom <= frame[1]]
    return inside or [_pushed_inside(found[0], frame)]


def _pushed_inside(place: Place, frame: tuple[float, float]) -> Place:
    across = min(0.0, frame[0] - place.right) - min(0.0, place.left)
    down = min(0.0, frame[1] - place.bottom) - min(0.0, place.top)
    return Place(place.left + across, place.top + down, place.right + across, place.bottom + down)
