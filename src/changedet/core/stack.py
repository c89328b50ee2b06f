"""Many dates of one place on one common frame: measured against each other, and solved together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.alignment import Alignment, AlignmentSettings, align
from changedet.core.medians import median_of_dates
from changedet.core.shift_graph import (
    LEAST_ERROR_PX,
    Closure,
    Link,
    closure_errors,
    solve_shifts,
    standard_error_px,
)
from changedet.core.warping import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from changedet.core.tie_points import Plane

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

#: Numbers that are held at one time while a composite is made.
_STRIP_VALUES = 2**24
#: Pixels beyond a strip that the kernel reaches.
_REACH_PX = 3
#: Dates that are tried as the first reference.
_MOST_ANCHORS = 3
#: Masks are compared on every so many pixels.
_MASK_STEP = 4


@dataclass(frozen=True)
class StackSettings:
    """How a stack is aligned.

    Attributes
    ----------
    alignment : AlignmentSettings
        For each pair.
    neighbours : int
        Dates with which each date is compared besides the composite: those that share most usable ground.
    least_common : float
        Share of the image that must be usable on both dates of a pair.
    most_in_composite : int
        Dates of which the composite is made at most, the clearest ones.
    """

    alignment: AlignmentSettings = field(
        default_factory=lambda: AlignmentSettings(local=False, tie_points=2000)
    )
    neighbours: int = 4
    least_common: float = 0.15
    most_in_composite: int = 15


@dataclass(frozen=True, eq=False)
class StackAlignment:
    """How the dates of a stack lie.

    Attributes
    ----------
    anchor : int
        The date that the first alignment went to.
    shifts_px : ndarray of float64, shape (n, 2)
        (row, column) to be added to the position of each date's content to bring it onto the common frame;
        NaN for dates that could not be aligned.
    errors_px : ndarray of float64, shape (n,)
        Standard error of each of the two.
    alignments : tuple of Alignment or None
        Each date on the composite; it says why a date could not be aligned. None where too little of the
        date is usable.
    links : tuple of Link
        Pairs of dates that were measured; the composite is number n.
    closure : Closure
        What is left round triangles of dates.
    composite : ndarray of float32, shape (band, y, x)
        Median of the aligned dates; NaN where none is usable.
    """

    anchor: int
    shifts_px: NDArray[np.float64]
    errors_px: NDArray[np.float64]
    alignments: tuple[Alignment | None, ...]
    links: tuple[Link, ...]
    closure: Closure
    composite: Floats

    @property
    def aligned(self) -> Mask:
        """True for dates that lie on the common frame, shape (n,)."""
        return np.asarray(np.isfinite(self.shifts_px).all(axis=1))


def align_stack(
    planes: Sequence[Sequence[Plane]], valid: Sequence[Mask], settings: StackSettings = StackSettings()
) -> StackAlignment:
    """Align many dates to each other.

    All dates are aligned to the clearest one, then twice to the median composite of those that fit, which is
    clear where single dates are cloudy and shows no date's passing change. Dates that share much usable
    ground are compared in pairs besides. The shifts of all dates follow from all measurements together.

    Parameters
    ----------
    planes : sequence of sequence of ndarray of float32 or uint16, shape (y, x)
        The same bands of each date on one grid, finite where valid.
    valid : sequence of ndarray of bool, shape (y, x)
        True where usable.
    settings : StackSettings
        Limits.

    Returns
    -------
    StackAlignment
        With NaN for dates that could not be aligned.
    """
    stack = _Stack(planes, valid, settings)
    anchor, shifts = stack.first()
    composite = stack.composite(shifts, anchor)
    onto = stack.onto(composite)
    composite = stack.composite(_shifts_of(onto), anchor)
    onto = stack.onto(composite)
    count = len(planes)
    trusted = [index for index, one in enumerate(onto) if one is not None and one.trusted]
    links = [_link(count, index, onto[index]) for index in trusted]
    pairs = [link for link in map(stack.link, stack.pairs(trusted)) if link is not None]
    solution = solve_shifts(count + 1, [*links, *pairs], count)
    return StackAlignment(
        anchor=anchor,
        shifts_px=solution.shifts_px[:count],
        errors_px=solution.errors_px[:count],
        alignments=tuple(onto),
        links=(*links, *pairs),
        closure=closure_errors(count, pairs),
        composite=composite,
    )


@dataclass(frozen=True, eq=False)
class _Stack:
    """The dates and how they are compared."""

    planes: Sequence[Sequence[Plane]]
    valid: Sequence[Mask]
    settings: StackSettings

    def first(self) -> tuple[int, NDArray[np.float64]]:
        """Align all dates to the clearest one; to another one when that is the odd one out."""
        clear = np.array([one.mean() for one in self.valid])
        best: tuple[int, NDArray[np.float64]] | None = None
        for anchor in np.argsort(-clear, kind="stable")[:_MOST_ANCHORS].tolist():
            found = [
                None if index == anchor else self.pair(anchor, index) for index in range(len(self.planes))
            ]
            shifts = _shifts_of(found)
            shifts[anchor] = 0.0
            if best is None or np.isfinite(shifts).sum() > np.isfinite(best[1]).sum():
                best = anchor, shifts
            if np.isfinite(shifts).all(axis=1).sum() > len(shifts) / 2:
                break
        return best if best is not None else (0, np.zeros((len(self.planes), 2)))

    def pair(self, reference: int, moving: int) -> Alignment | None:
        """Align one date to another; None where they share too little usable ground."""
        if self.common(reference, moving) < self.settings.least_common:
            return None
        return align(
            self.planes[reference], self.planes[moving], self.valid[reference], self.valid[moving],
            self.settings.alignment,
        )  # fmt: skip

    def common(self, one: int, other: int) -> float:
        """Return the share of the image that is usable on both dates."""
        thin = slice(None, None, _MASK_STEP), slice(None, None, _MASK_STEP)
        return float((self.valid[one][thin] & self.valid[other][thin]).mean())

    def pairs(self, dates: list[int]) -> list[tuple[int, int]]:
        """Choose pairs of dates: each with those that share most ground with it, near ones first."""
        chosen = set()
        for one in dates:
            others = [other for other in dates if other != one]
            others.sort(key=lambda other: (-round(self.common(one, other), 1), abs(other - one)))
            chosen |= {(min(one, other), max(one, other)) for other in others[: self.settings.neighbours]}
        return sorted(chosen)

    def link(self, pair: tuple[int, int]) -> Link | None:
        """Measure a pair; None where it cannot be."""
        found = self.pair(*pair)
        return None if found is None or not found.trusted else _link(*pair, found)

    def onto(self, composite: Floats) -> list[Alignment | None]:
        """Align every date to a composite."""
        seen = np.asarray(np.isfinite(composite).all(axis=0))
        filled = [np.where(seen, plane, np.float32(0)) for plane in composite]
        return [
            None
            if (one & seen).mean() < self.settings.least_common
            else align(
                filled, [np.asarray(p, np.float32) for p in planes], seen, one, self.settings.alignment
            )
            for planes, one in zip(self.planes, self.valid, strict=True)
        ]

    def composite(self, shifts: NDArray[np.float64], anchor: int) -> Floats:
        """Make the median of the dates that have a shift, a strip of rows at a time."""
        dates = np.flatnonzero(np.isfinite(shifts).all(axis=1)).tolist()
        if not dates:
            dates, shifts = [anchor], np.zeros_like(shifts)
        dates.sort(key=lambda date: -float(self.valid[date].mean()))
        dates = dates[: self.settings.most_in_composite]
        height, width = self.valid[0].shape
        bands = len(self.planes[0])
        out = np.empty((bands, height, width), np.float32)
        step = max(1, _STRIP_VALUES // (len(dates) * width))
        for start in range(0, height, step):
            rows = slice(start, min(start + step, height))
            for band in range(bands):
                moved = np.stack([
                    _strip(self.planes[date][band], self.valid[date], shifts[date], rows) for date in dates
                ])  # fmt: skip
                out[band, rows] = median_of_dates(moved)
        return out


def _strip(plane: Plane, valid: Mask, shift: NDArray[np.float64], rows: slice) -> Floats:
    """Return some rows of a plane whose content is moved by a shift; NaN where it has no data."""
    row_px, column_px = shift.tolist()
    low = max(0, int(np.floor(rows.start - row_px)) - _REACH_PX)
    high = max(low, min(plane.shape[0], int(np.ceil(rows.stop - row_px)) + _REACH_PX))
    shape = rows.stop - rows.start, plane.shape[1]
    if high == low:
        return np.full(shape, np.nan, np.float32)
    part = np.where(valid[low:high], plane[low:high, :], np.float32(np.nan)).astype(np.float32)
    return np.asarray(sample(part, shape, _positions(rows.start - low - row_px, -column_px, shape[1])))


def _positions(row_px: float, column_px: float, width: int) -> Callable[[slice], tuple[Floats, Floats]]:
    columns = (np.arange(width) + column_px).astype(np.float32)[None, :]

    def at(rows: slice) -> tuple[Floats, Floats]:
        """Return the positions of some rows of the strip."""
        down = (np.arange(rows.start, rows.stop) + row_px).astype(np.float32)[:, None]
        return np.broadcast_to(down, (len(down), width)), np.broadcast_to(columns, (len(down), width))

    return at


def _shifts_of(found: Sequence[Alignment | None]) -> NDArray[np.float64]:
    """Return the median shift of each alignment, NaN where there is none to believe, shape (n, 2)."""
    return np.array(
        [
            one.field.median_px
            if one is not None and one.trusted and one.field is not None
            else (np.nan, np.nan)
            for one in found
        ]
    )


def _link(reference: int, moving: int, found: Alignment | None) -> Link:
    if found is None or found.field is None:
        message = "only an alignment that was found makes a link"
        raise ValueError(message)
    error = float(np.hypot(*standard_error_px(found)) / np.sqrt(2))
    return Link(reference, moving, *found.field.median_px, max(error, LEAST_ERROR_PX))
