"""A time series on one common frame: where each date lies, how far the dates agree, and which do not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SCL
from changedet.core.displacement import DisplacementField
from changedet.core.stack import StackAlignment, StackSettings
from changedet.core.stack import align_stack as _align
from changedet.errors import MissingBandError, UsageError
from changedet.registration import OBSTACLES, simplified
from changedet.resample import pixel_size_m

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from changedet.core.alignment import Alignment, AlignmentSettings
    from changedet.scene import Image

#: Bands that are matched, of those that all dates have.
_PREFERRED = ("B04", "B03", "B02", "B08")
_MAX_SHIFT_M = 500.0
_TOO_LITTLE = "too little of it is clear"


@dataclass(frozen=True, eq=False)
class StackRegistration:
    """Where the dates of a stack lie, in the order in which they were given.

    Sign and axis order are those of `changedet.registration.Registration`. The common frame is that of the
    median of all dates.

    Attributes
    ----------
    dates : tuple of str
        Date of each image.
    shifts_px : tuple of (float, float)
        (row, column) to be added to the position of each date's content; NaN for dates left out.
    shifts_m : tuple of (float, float)
        The same as (north, east) in metres.
    errors_px : tuple of float
        Standard error of each of the two.
    closure_px : tuple of float
        Root mean square of what is left when measured shifts are added round the triangles of dates that a
        date belongs to; NaN where it belongs to none.
    closure_rmse_px : float
        The same over all triangles; NaN without any.
    triangles : int
        Number of triangles.
    reasons : tuple of str
        Why a date could not be aligned, in words; empty for those that could.
    grid : GeoBox
        Of all images.
    alignments : tuple of Alignment or None
        Each date on the median of all.
    stack : StackAlignment
        Every measurement.
    """

    dates: tuple[str, ...]
    shifts_px: tuple[tuple[float, float], ...]
    shifts_m: tuple[tuple[float, float], ...]
    errors_px: tuple[float, ...]
    closure_px: tuple[float, ...]
    closure_rmse_px: float
    triangles: int
    reasons: tuple[str, ...]
    grid: GeoBox
    alignments: tuple[Alignment | None, ...]
    stack: StackAlignment

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Dates that could not be aligned, each with the reason."""
        return tuple((date, reason) for date, reason in zip(self.dates, self.reasons, strict=True) if reason)

    def displacement(self, index: int) -> DisplacementField:
        """Return what brings a date onto the common frame, for `Source.load` or `core.warping.warp`.

        Parameters
        ----------
        index : int
            Which date.

        Returns
        -------
        DisplacementField
            One shift; none at all where it is too short to be worth an interpolation.

        Raises
        ------
        UsageError
            When the date could not be aligned.
        """
        if self.reasons[index]:
            raise UsageError(
                f"not aligned: {self.reasons[index]}", where=self.dates[index], todo="leave this date out"
            )
        shape = self.grid.shape[0], self.grid.shape[1]
        return simplified(DisplacementField("translation", shape, self.shifts_px[index]))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description; None stands for what was not measured."""
        return {
            "dates": [
                {
                    "date": date,
                    "shift_px": _known(shift_px),
                    "shift_m": _known(shift_m),
                    "error_px": _known(error),
                    "closure_px": _known(closure),
                    "reason": reason,
                }
                for date, shift_px, shift_m, error, closure, reason in zip(
                    self.dates, self.shifts_px, self.shifts_m, self.errors_px, self.closure_px, self.reasons,
                    strict=True,
                )
            ],
            "closure_rmse_px": _known(self.closure_rmse_px),
            "triangles": self.triangles,
            "convention": "shift_px is (row, column) to add to the position of the date's content",
        }  # fmt: skip


def align_stack(images: Sequence[Image], *, max_shift_m: float = _MAX_SHIFT_M) -> StackRegistration:
    """Align the dates of a time series to each other.

    Every date is aligned to the median of all dates, and to the dates that share most clear ground with it;
    the shifts of all follow from all measurements together, by least squares that bear wrong ones. A date
    that cannot be aligned is left out with the reason, and the others are aligned without it.

    Parameters
    ----------
    images : sequence of Image
        At least two, on one grid, with a band in common.
    max_shift_m : float
        Largest shift that is sought, in metres.

    Returns
    -------
    StackRegistration
        Shifts, their errors, and the closure error of each date and in all.

    Raises
    ------
    UsageError
        When there are fewer than two images, they lie on different grids, or the limit is not positive.
    MissingBandError
        When the images have no band in common.

    Examples
    --------
    >>> found = align_stack([source.load(grid) for source in sources])    # doctest: +SKIP
    >>> found.closure_rmse_px, found.left_out                             # doctest: +SKIP
    (0.02, (('2024-01-12', 'the windows of the images agree on no common shift'),))
    """
    band = _checked(images, max_shift_m)
    grid = images[0].grid
    sides_m = pixel_size_m(grid)
    settings = StackSettings()
    limits: AlignmentSettings = replace(settings.alignment, max_shift_px=max_shift_m / min(sides_m))
    planes = [image.data[image.bands.index(band)] for image in images]
    valid = [
        np.asarray(image.valid & np.isfinite(plane)) for image, plane in zip(images, planes, strict=True)
    ]
    found = _align([[plane] for plane in planes], valid, replace(settings, alignment=limits))
    shifts = [(float(row), float(column)) for row, column in found.shifts_px]
    return StackRegistration(
        dates=tuple(image.scene.date_text for image in images),
        shifts_px=tuple(shifts),
        shifts_m=tuple((-row * sides_m[0], column * sides_m[1]) for row, column in shifts),
        errors_px=tuple(found.errors_px.tolist()),
        closure_px=tuple(found.closure.each_px.tolist()),
        closure_rmse_px=found.closure.rmse_px,
        triangles=found.closure.triangles,
        reasons=tuple(_reason(one) for one in found.alignments),
        grid=grid,
        alignments=found.alignments,
        stack=found,
    )


def _checked(images: Sequence[Image], max_shift_m: float) -> str:
    """Return the band that is matched."""
    if len(images) < 2:
        raise UsageError("a stack needs at least two dates", todo="give more images")
    if not max_shift_m > 0:
        raise UsageError(f"largest shift {max_shift_m:g} is not positive", todo="give a number above 0")
    for image in images:
        if image.grid != images[0].grid:
            raise UsageError(
                "the images of a stack do not lie on one grid", where=image.scene.id,
                todo="load all of them onto the grid of the first",
            )  # fmt: skip
    common = [name for name in images[0].bands if name != SCL and all(name in one.bands for one in images)]
    if not common:
        raise MissingBandError(
            "the images of a stack have no band in common", where=images[0].scene.id,
            todo="load the same bands of every date",
        )  # fmt: skip
    return next((name for name in _PREFERRED if name in common), common[0])


def _reason(found: Alignment | None) -> str:
    if found is None:
        return _TOO_LITTLE
    return OBSTACLES[found.obstacle] if found.obstacle else ""


def _known(value: float | tuple[float, float]) -> float | list[float] | None:
    if isinstance(value, tuple):
        return None if np.isnan(value[0]) else list(value)
    return None if np.isnan(value) else float(value)
