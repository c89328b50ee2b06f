"""How one image lies over another: shift and field, what was left of them, and whether it will do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.core.displacement import DisplacementField

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.alignment import Alignment
    from changedet.core.residual import Remainder

Verdict = Literal["good", "corrected", "not comparable"]

#: Residual after correction above which a pair is not compared: the usual gate, half a pixel. At 0.2 px false
#: change stays under 10 % (Townshend et al. 1992, doi:10.1109/36.175340).
RESIDUAL_LIMIT_PX = 0.5
#: Images that lie no further apart than this anywhere needed no correction.
GOOD_WITHIN_PX = 0.2
#: Fields that deviate from one shift by less than this everywhere are applied as that shift.
FIELD_FROM_PX = 0.05
#: Shifts shorter than this are not taken out: they lie within the error of the measurement, and interpolation
#: would cost more than it gains.
LEAST_CORRECTION_PX = 0.02

#: What each obstacle of an alignment means, for a reader.
OBSTACLES: Mapping[str, str] = MappingProxyType(
    {
        "no texture": "there is nothing on the ground of one image that could be matched",
        "no tie points": "no window of the images could be matched",
        "no agreement": "the windows of the images agree on no common shift",
        "ambiguous": "the ground repeats itself, so that another shift fits as well",
        "turned or stretched": "the images are turned or stretched against each other",
        "distorted": "the images are distorted against each other more than sensors do",
    }
)
_NOT_MEASURED = "nothing was left to measure the residual by"
#: Verdicts of earlier versions.
_FORMER = frozenset({"residual too large", "not reliable"})


@dataclass(frozen=True, eq=False)
class Views:
    """A part of the images at full resolution, for pictures.

    Attributes
    ----------
    reference, before, after : ndarray of float32, shape (y, x)
        The reference, and the moving image as it came and as it was moved; NaN = no data.
    """

    reference: NDArray[np.float32]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


@dataclass(frozen=True)
class Registration:
    """The displacement between two images and what was left of it after correction.

    Sign and axis order: ``shift_px = (row, column)`` is what has to be *added to the position* of a feature
    in the moving image to bring it onto the same feature in the reference image. Rows grow downwards, columns
    to the right. A moving image whose content lies 0.8 px too far down has ``shift_px[0] = -0.8``.

    Attributes
    ----------
    shift_px : tuple of float
        (row, column) in pixels of the reference; of a field its median over the image.
    shift_m : tuple of float
        (north, east) in metres: positive means the content has to move north, east.
    residual_px : float
        Root mean square of the displacement measured again after correction, in windows that the estimate did
        not use, in pixels; the noise of those windows is in it.
    residual_m : float
        The same in metres.
    spread_px : float
        Inter-quartile range of the residual over the windows, in pixels.
    tie_points : int
        Tie points that agree with the correction.
    reliability : float
        Height of the peak of the coarse correlation over its surface, in standard deviations.
    limit_px : float
        The largest residual that passes the gate.
    applied : bool
        False when the moving image was left where it was because the shift cannot be trusted.
    verdict : {"good", "corrected", "not comparable"}
        Good: the images needed no correction to speak of.
    reason : str
        Why the images are not comparable, in words; else empty.
    model : str
        ``"translation"``, ``"affine"``, ``"spline"`` or ``"spline and lines"``; empty when there is none.
    extent_px : tuple of float
        Largest deviation of the (row, column) displacement from its median over the image.
    held_out_rmse_px : float
        How well the model predicts tie points that were left out of the fit, in pixels.
    tie_points_dropped : int
        Tie points that were measured and disagree: real change, clouds, chance.
    agreement : float
        Share of the tie points on usable ground that agree.
    ambiguity : float
        How well another shift would do, 0 to 1.
    feature : str
        ``"reflectance"``, or ``"edges"`` where contrasts are reversed between the dates.
    obstacle : str
        Key of `OBSTACLES`, or empty.
    field : DisplacementField or None
        The displacement everywhere on the reference.
    grid : GeoBox or None
        Grid of the reference.
    alignment : Alignment or None
        With every tie point; not kept in files.
    views : Views or None
        For `plot`; not kept in files.
    """

    shift_px: tuple[float, float]
    shift_m: tuple[float, float]
    residual_px: float
    residual_m: float
    spread_px: float
    tie_points: int
    reliability: float
    limit_px: float
    applied: bool
    verdict: Verdict
    reason: str = ""
    model: str = ""
    extent_px: tuple[float, float] = (0.0, 0.0)
    held_out_rmse_px: float = float("nan")
    tie_points_dropped: int = 0
    agreement: float = float("nan")
    ambiguity: float = float("nan")
    feature: str = "reflectance"
    obstacle: str = ""
    field: DisplacementField | None = dataclasses.field(default=None, compare=False, repr=False)
    grid: GeoBox | None = dataclasses.field(default=None, compare=False, repr=False)
    alignment: Alignment | None = dataclasses.field(default=None, compare=False, repr=False)
    views: Views | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def passed(self) -> bool:
        """True when the pair may be compared."""
        return self.verdict != "not comparable"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, with the field but without the tie points."""
        return {
            **{name: list(getattr(self, name)) for name in _PAIRS},
            **{name: getattr(self, name) for name in (*_NUMBERS, *_COUNTS, *_TEXTS)},
            "applied": self.applied,
            "field": None if self.field is None else _described(self.field),
            "convention": "shift_px is (row, column) to add to the position of the after image's content",
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Registration:
        """Make a registration again from what `to_dict` gave; None (how JSON writes NaN) becomes NaN.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes; records of earlier versions have fewer, and other verdicts.

        Returns
        -------
        Registration
            Equal to the one described; without tie points and grid.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        data = data if "model" in data else _of_former(data)
        described = data["field"]
        values: dict[str, Any] = {
            **{name: _pair(data[name]) for name in _PAIRS},
            **{name: float(np.asarray(data[name], np.float64)) for name in _NUMBERS},
            **{name: int(data[name]) for name in _COUNTS},
            **{name: str(data[name]) for name in _TEXTS},
            "applied": bool(data["applied"]),
            "field": None if described is None else _field_of(described),
        }
        return cls(**values)

    def _repr_html_(self) -> str:
        from changedet.notebook.repr import registration_html

        return registration_html(self)

    def plot(self) -> Figure:
        """Draw the tie points as arrows, and the images as a checkerboard before and after the correction.

        Returns
        -------
        matplotlib.figure.Figure
            Tie points that were dropped are grey dots.

        Raises
        ------
        UsageError
            When the registration comes from a file, which keeps no tie points.
        """
        from changedet.output.registration_plot import plot_registration

        return plot_registration(self)

    def to_xarray(self, step_px: int = 16) -> xr.Dataset:
        """Return the displacement on a raster.

        Parameters
        ----------
        step_px : int
            Side of its cells in pixels of the reference.

        Returns
        -------
        Dataset
            ``row_px`` and ``column_px`` (to be added to the position of the moving content), and the same as
            ``north_m`` and ``east_m``, at the centres of the cells, with CF georeferencing.

        Raises
        ------
        UsageError
            When there is no field, or no grid.
        """
        from changedet.output.tie_points import field_dataset

        return field_dataset(self, step_px)

    def save_tie_points(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the tie points as a GeoPackage with one layer, ``tie_points``.

        Parameters
        ----------
        path : str or Path
            File to write.
        overwrite : bool
            Whether one that is there may be replaced.

        Returns
        -------
        None
            The file is whole, or not there.

        Raises
        ------
        OutputExistsError
            When the file is there already.
        OutputError
            When it cannot be written.
        UsageError
            When there are no tie points.
        """
        from changedet.output.tie_points import write_tie_points

        write_tie_points(self, path, overwrite=overwrite)


_PAIRS = ("shift_px", "shift_m", "extent_px")
_NUMBERS = (
    "residual_px", "residual_m", "spread_px", "reliability", "limit_px", "held_out_rmse_px", "agreement",
    "ambiguity",
)  # fmt: skip
_COUNTS = ("tie_points", "tie_points_dropped")
_TEXTS = ("verdict", "reason", "model", "feature", "obstacle")


def judge(
    alignment: Alignment,
    remainder: Remainder | None,
    pixel_size_m: tuple[float, float],
    *,
    correction: DisplacementField | None = None,
    limit_px: float = RESIDUAL_LIMIT_PX,
) -> Registration:
    """Put an alignment and what was left after it together into a verdict.

    Parameters
    ----------
    alignment : Alignment
        As measured.
    remainder : Remainder or None
        Measured after the correction; None when none was made.
    pixel_size_m : tuple of float
        True (row, column) spacing of the grid in metres.
    correction : DisplacementField, optional
        What was applied; the field of the alignment when not given.
    limit_px : float
        Largest residual that passes.

    Returns
    -------
    Registration
        ``"not comparable"`` when something speaks against the alignment or the residual exceeds `limit_px`;
        ``"good"`` when the images lay within `GOOD_WITHIN_PX` everywhere; else ``"corrected"``.
    """
    applied = correction or alignment.field
    shift = applied.median_px if applied else (alignment.coarse.row_px, alignment.coarse.column_px)
    extent = applied.extent_px if applied else (0.0, 0.0)
    left = (np.nan, np.nan) if remainder is None else (remainder.row_rmse_px, remainder.column_rmse_px)
    residual_px = float(np.hypot(*left))
    reason = _reason(alignment, residual_px, limit_px)
    largest = float(np.hypot(abs(shift[0]) + extent[0], abs(shift[1]) + extent[1]))
    verdict: Verdict = "good" if largest <= GOOD_WITHIN_PX else "corrected"
    agreeing = int(alignment.agreeing.sum())
    return Registration(
        shift_px=shift,
        shift_m=(-shift[0] * pixel_size_m[0], shift[1] * pixel_size_m[1]),
        residual_px=residual_px,
        residual_m=float(np.hypot(left[0] * pixel_size_m[0], left[1] * pixel_size_m[1])),
        spread_px=np.nan if remainder is None else remainder.spread_px,
        tie_points=agreeing,
        reliability=alignment.coarse.reliability,
        limit_px=limit_px,
        applied=alignment.trusted and remainder is not None,
        verdict="not comparable" if reason else verdict,
        reason=reason,
        model=applied.model if applied else "",
        extent_px=extent,
        held_out_rmse_px=alignment.held_out_rmse_px,
        tie_points_dropped=int(np.isfinite(alignment.residual_px).sum()) - agreeing,
        agreement=alignment.agreement,
        ambiguity=alignment.ambiguity,
        feature=alignment.feature,
        obstacle=alignment.obstacle,
        field=applied,
        alignment=alignment,
    )


def simplified(displacement: DisplacementField) -> DisplacementField:
    """Return a field as one shift where it is hardly more, with digits that mean something.

    Parameters
    ----------
    displacement : DisplacementField
        Any.

    Returns
    -------
    DisplacementField
        A translation, to 1/1024 pixel, when no pixel deviates from the median by `FIELD_FROM_PX`; else the
        field. No shift at all where it is shorter than `LEAST_CORRECTION_PX`.
    """
    if max(displacement.extent_px) >= FIELD_FROM_PX:
        return displacement
    if np.hypot(*displacement.median_px) < LEAST_CORRECTION_PX:
        return DisplacementField("translation", displacement.shape, (0.0, 0.0))
    # binary digits, so that a displaced grid has the very same pixels whichever part of it is asked for;
    # minus zero would be another number in a record
    row_px, column_px = (round(shift * 1024) / 1024 + 0.0 for shift in displacement.median_px)
    return DisplacementField("translation", displacement.shape, (row_px, column_px))


def _reason(alignment: Alignment, residual_px: float, limit_px: float) -> str:
    if alignment.obstacle:
        return OBSTACLES[alignment.obstacle]
    if np.isnan(residual_px):
        return _NOT_MEASURED
    if residual_px > limit_px:
        return f"the residual of {residual_px:.2f} px is above the limit of {limit_px:g} px"
    return ""


def _of_former(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the record of an earlier version, which knew one shift and no field, into the present form."""
    verdict, shift = str(data["verdict"]), np.asarray(data["shift_px"], np.float64)
    former = verdict in _FORMER
    told = "not comparable" if former else "good" if np.hypot(*shift) <= GOOD_WITHIN_PX else "corrected"
    blank = {"held_out_rmse_px": None, "agreement": None, "ambiguity": None, "tie_points_dropped": 0}
    return {
        **blank, "reason": verdict if former else "", "model": "translation", "extent_px": [0.0, 0.0],
        "feature": "edges", "obstacle": "", "field": None, **data, "verdict": told,
    }  # fmt: skip


def _pair(values: object) -> tuple[float, float]:
    first, second = np.asarray(values, np.float64).tolist()
    return first, second


def _described(displacement: DisplacementField) -> dict[str, Any]:
    """Describe a field; coefficients to a millionth of a pixel."""
    parts = {"gradient": displacement.gradient, "surface": displacement.surface, "lines": displacement.lines}
    digits = {"gradient": 12}
    return {
        "model": displacement.model,
        "shape": list(displacement.shape),
        "centre_px": list(displacement.centre_px),
        **{
            name: None if part is None else np.round(part, digits.get(name, 6)).tolist()
            for name, part in parts.items()
        },
    }


def _field_of(data: Mapping[str, Any]) -> DisplacementField:
    height, width = (int(size) for size in data["shape"])
    row_px, column_px = (float(shift) for shift in data["centre_px"])
    parts = {
        name: None if data[name] is None else np.asarray(data[name], np.float64)
        for name in ("surface", "lines")
    }
    gradient = np.asarray(data["gradient"], np.float64)
    return DisplacementField(data["model"], (height, width), (row_px, column_px), gradient, **parts)
