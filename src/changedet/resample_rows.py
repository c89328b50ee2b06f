"""Large grids are made some rows at a time: which rows, and what of a source they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changedet.core.blocks import spans
from changedet.resample import room_for, source_window

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField

#: Rows are put onto a large grid so many pixels at a time. So many pixels more on either side hold what a
#: spline needs beyond them, also of pixels three times as large.
_ROWS_PX, _ROWS_MARGIN_PX = 2**23, 48


def resampled_rows(target: GeoBox) -> tuple[slice, ...]:
    """Cut a grid into the rows that are resampled at one time; all of them, if the grid is not large.

    Parameters
    ----------
    target : GeoBox
        Any grid.

    Returns
    -------
    tuple of slice
        In order; together every row once. They do not depend on the memory, so no pixel does.
    """
    return spans(target.shape[0], max(1, _ROWS_PX // max(target.shape[1], 1)))


def source_rows(
    source: GeoBox, target: GeoBox, rows: slice, displacement: DisplacementField | None = None
) -> tuple[slice, slice] | None:
    """Return the part of a source that some rows of a target need, as `source_window` does for all of them.

    Parameters
    ----------
    source, target, displacement
        As for `changedet.resample.source_window`.
    rows : slice
        Of the target.

    Returns
    -------
    tuple of slice, or None
        (rows, columns) of the source, all of it for all rows; None when the two do not overlap.
    """
    if rows.start == 0 and rows.stop == target.shape[0]:
        return slice(0, source.shape[0]), slice(0, source.shape[1])
    part = target[rows, :] if displacement is None else room_for(target[rows, :], displacement, 0)
    return source_window(source, part.pad(0, _ROWS_MARGIN_PX))
