"""A registration as a picture: the tie points as arrows, the images as a checkerboard before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.errors import UsageError
from changedet.output.summary import registration_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from changedet.core.alignment import Alignment
    from changedet.registration import Registration

_SQUARES = 8
_MOST_ARROWS = 900
#: The longest arrows reach about this share of the image.
_ARROW_SHARE = 0.06
_KEPT, _DROPPED = "#0072b2", "#b0b0b0"


def plot_registration(registration: Registration) -> Figure:
    """Draw a registration; see `Registration.plot`.

    Parameters
    ----------
    registration : Registration
        With its tie points and views.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window.

    Raises
    ------
    UsageError
        When it comes from a file, which keeps no tie points.
    """
    from changedet.output.figure import PageFigure

    alignment, views = registration.alignment, registration.views
    if alignment is None or views is None:
        raise UsageError("this registration has no tie points", todo="register the images again")
    figure = PageFigure(13, 4.9)
    spaces = {"left": 0.05, "right": 0.99, "bottom": 0.11, "top": 0.87, "wspace": 0.06}
    axes = figure.subplots(1, 3, gridspec_kw=spaces)
    _arrows(axes[0], registration, alignment)
    for ax, moving, title in ((axes[1], views.before, "as they came"), (axes[2], views.after, "registered")):
        ax.imshow(
            _checkerboard(views.reference, moving), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
        )
        ax.set_title(f"Reference and moving image {title}", fontsize=10)
        ax.set_axis_off()
    figure.suptitle(". ".join(registration_lines(registration)[:2]), fontsize=10)
    return figure


def _arrows(ax: Axes, registration: Registration, alignment: Alignment) -> None:
    """Draw how each tie point deviates from the median shift: what is common to all would hide the rest."""
    ties = alignment.ties
    ax.set_title("Tie points: deviation from the median shift", fontsize=10)
    ax.set_aspect("equal")
    if ties is None:
        ax.text(0.5, 0.5, "no tie points", ha="center", transform=ax.transAxes)
        return
    measured = np.flatnonzero(np.isfinite(alignment.residual_px))
    chosen = measured[:: max(1, len(measured) // _MOST_ARROWS)]
    down = ties.row_px[chosen] - registration.shift_px[0]
    right = ties.column_px[chosen] - registration.shift_px[1]
    kept = alignment.agreeing[chosen]
    longest = float(np.percentile(np.hypot(down, right)[kept], 95)) if kept.any() else 1.0
    length = max(longest, 0.05)
    reach = _ARROW_SHARE * float(max(np.ptp(ties.row), np.ptp(ties.column), 1.0))
    # what disagrees points anywhere: that it does is all it says
    ax.plot(ties.column[chosen[~kept]], ties.row[chosen[~kept]], ".", color=_DROPPED, markersize=3)
    at = chosen[kept]
    arrows = ax.quiver(
        ties.column[at], ties.row[at], right[kept], down[kept],
        angles="xy", scale_units="xy", scale=length / reach, color=_KEPT, width=0.003,
    )  # fmt: skip
    ax.quiverkey(arrows, 0.85, -0.08, length, f"{length:.2f} px", labelpos="E", fontproperties={"size": 8})
    ax.set(xlim=(0, float(ties.column.max())), ylim=(float(ties.row.max()), 0))
    ax.set(xlabel="column, px", ylabel="row, px")


def _checkerboard(reference: NDArray[np.float32], moving: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put squares of two images beside each other, each stretched for itself."""
    row, column = np.indices(reference.shape) * _SQUARES // np.array(reference.shape)[:, None, None]
    return np.where((row + column) % 2 == 0, _stretched(reference), _stretched(moving))


def _stretched(image: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(image).any():
        return np.zeros_like(image)
    low, high = np.nanpercentile(image, [2, 98])
    return np.asarray(np.clip((image - low) / max(high - low, 1e-6), 0, 1), np.float32)
