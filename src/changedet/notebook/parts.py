"""What all HTML for notebooks is made of: its look, pictures, notes; it follows light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from changedet.output import facts
from changedet.output.scene_facts import ids_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.scene import Image

#: Longer side of a small picture in pixels, and the bytes it may take.
THUMBNAIL_PX, BYTES_THUMBNAIL = 320, 30_000
_PLOT_DPI, _BYTES_PLOT = 80, 90_000

# no colour of text is set: a notebook may be light or dark
FRAME = "max-width:62rem;font-family:system-ui,sans-serif;font-size:14px;line-height:1.45"
QUIET = "opacity:.8;font-size:12px"
ALARM = "border:1px solid #c2185b;border-left-width:6px;padding:4px 10px;font-weight:700"
CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"


def picture(colour: NDArray[np.uint8], word: str, image: Image, room: int = BYTES_THUMBNAIL) -> str:
    """Return an image that was drawn, with its date and its identifiers.

    Parameters
    ----------
    colour : ndarray of uint8, shape (y, x, 3)
        The drawing.
    word : str
        What it is, such as ``"Before"``.
    image : Image
        What was drawn.
    room : int
        Bytes it may take.

    Returns
    -------
    str
        A figure element.
    """
    note = f"{ids_text(image.scene)}{', simulated' if image.scene.simulated else ''}"
    return figure(colour, f"{word}: {facts.when(image.scene)}", note, image.grid, room)


def figure(colour: NDArray[np.uint8], title: str, note: str, grid: GeoBox, room: int) -> str:
    """Return a small picture of a grid in its true proportions.

    Parameters
    ----------
    colour : ndarray of uint8, shape (y, x, 3)
        The picture, of any scale.
    title, note : str
        Above it and below it; both are escaped.
    grid : GeoBox
        What it shows.
    room : int
        Bytes it may take.

    Returns
    -------
    str
        A figure element.
    """
    from changedet.output.picture import shrink, to_jpeg_data_url
    from changedet.resample import pixel_size_m

    height_m, width_m = pixel_size_m(grid)
    aspect = grid.shape[1] * width_m / (grid.shape[0] * height_m)
    url = to_jpeg_data_url(shrink(colour, THUMBNAIL_PX), most_bytes=room)
    return (
        f'<figure style="margin:0;flex:1 1 14rem;min-width:0;max-width:{THUMBNAIL_PX}px">'
        f"<div><strong>{escape(title)}</strong></div>"
        f'<img src="{url}" alt="{escape(title)}, {escape(note)}" '
        f'style="width:100%;aspect-ratio:{aspect:.4f};image-rendering:pixelated">'
        f'<figcaption style="{QUIET};overflow-wrap:anywhere">{escape(note)}</figcaption></figure>'
    )


def row(figures: Iterable[str]) -> str:
    """Return figures beside each other, where there is room."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(figures)}</div>'


def plotted(drawn: Figure, alt: str) -> str:
    """Return a drawing of matplotlib as a picture of at most 90 kB.

    Parameters
    ----------
    drawn : Figure
        Is left as it is.
    alt : str
        What it shows, for whoever does not see it.

    Returns
    -------
    str
        An image element.
    """
    import io

    import cv2
    import numpy as np

    from changedet.output.picture import to_jpeg_data_url

    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=_PLOT_DPI)
    pixels = np.asarray(cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR), np.uint8)
    url = to_jpeg_data_url(pixels[:, :, ::-1], most_bytes=_BYTES_PLOT)
    return f'<img src="{url}" alt="{escape(alt)}" style="width:100%">'


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return pairs of label and text as a table; both are escaped."""
    lines = "".join(
        f'<tr><th scope="row" style="{CELL}">{escape(label)}</th>'
        f'<td style="{CELL};overflow-wrap:anywhere">{escape(text)}</td></tr>'
        for label, text in rows
    )
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:8px 0;font-size:inherit">'
        f"<tbody>{lines}</tbody></table></div>"
    )


def notes_html(texts: Sequence[str]) -> str:
    """Return what a reader should know first, or nothing."""
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div style="{ALARM};font-weight:400"><strong>Before you use this</strong><ul>{items}</ul></div>'
