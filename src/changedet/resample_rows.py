"""Large grids are made some rows at a time: which rows, and what of a source they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changedet.core.blocks import spans
from changedet.resample import room_for, source_window

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField

#: Rows are put onto a large grid so many pixels at a time; more of them by a spline, which needs so many
#: pixels beyond them on either side, also of pixels three times as large.
_ROWS_PX, _SPLINE_ROWS_PX = 2**21, 2**23
_ROWS_MARGIN_PX, _SPLINE_MARGIN_PX = 8, 48


def resampled_rows(target: GeoBox, displacement: DisplacementField | None = None) -> tuple[slice, ...]:
    """Cut a grid into the rows that are resampled at one time; all of them, if the grid is not large.

    Parameters
    ----------
    target : GeoBox
        Any grid.
    displacement : DisplacementField, optional
        On it, by which the content is moved.

    Returns
    -------
    tuple of slice
        In order; together every row once. They do not depend on the memory, so no pixel does.
    """
    pixels = _ROWS_PX if displacement is None else _SPLINE_ROWS_PX
    return spans(target.shape[0], max(1, pixels // max(target.shape[1], 1)))


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
    if displacement is None:
        return source_window(source, target[rows, :].pad(0, _ROWS_MARGIN_PX))
    return source_window(source, room_for(target[rows, :], displacement, 0).pad(0, _SPLINE_MARGIN_PX))
