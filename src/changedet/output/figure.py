"""A matplotlib figure that shows itself in a notebook without pyplot or a magic command."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: Dots per inch on the screen; files are written finer.
SCREEN_DPI = 100


class PageFigure(Figure):
    """A white page with its own Agg canvas, unknown to pyplot.

    Parameters
    ----------
    width, height : float
        Size in inches.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=SCREEN_DPI, facecolor="white")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=SCREEN_DPI)
        return buffer.getvalue()
