"""The drawing board of the plates: a page measured in inches, map panels, captions that wrap."""

from __future__ import annotations

import math
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.kinds import KIND_COLOURS
from changedet.output.facts import kind_of
from changedet.output.ground import edge_ticks, length_text, lonlat, north_deg, round_length_m
from changedet.output.numbers import place_numbers
from changedet.resample import has_place, pixel_size_m

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

#: Resolution of the written plates in dots per inch.
PLATE_DPI = 300

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.monospace": ["DejaVu Sans Mono"],
    "font.size": 7.0,
    "text.parse_math": False,
    "axes.linewidth": 0.5,
    "axes.edgecolor": "#333333",
    "xtick.labelsize": 6.0,
    "ytick.labelsize": 6.0,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "hatch.linewidth": 0.6,
}
_LINE_SPACING = 1.32
_NUMBER_PT = 7.0
_ROOM_PER_TICK = 0.7
_POINTS_PER_INCH = 72.0
_PROPORTIONAL_WIDTH_EM, _MONO_WIDTH_EM = 0.515, 0.602


@contextmanager
def plate_style() -> Iterator[None]:
    """Set the fixed style of the plates for a while, whatever the user's own settings are.

    The settings that were there before come back at the end.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        for setting, value in _STYLE.items():
            mpl.rcParams[setting] = value  # type: ignore[index]
        yield


@dataclass(frozen=True)
class Box:
    """A rectangle on a page, in inches from the upper left corner.

    Attributes
    ----------
    left, top, width, height : float
        Inches.
    """

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """Distance of the lower edge from the top of the page in inches."""
        return self.top + self.height


@dataclass(frozen=True)
class Lettering:
    """How a text is written.

    Attributes
    ----------
    size_pt : float
        Height of the letters in points.
    bold, mono : bool
        Weight, and fixed width for identifiers.
    colour : str
        A colour of matplotlib.
    most_lines : int
        Further lines are cut, the last one shown ends in an ellipsis.
    """

    size_pt: float = 6.8
    bold: bool = False
    mono: bool = False
    colour: str = "#222222"
    most_lines: int = 3


@dataclass(frozen=True, eq=False)
class View:
    """The part of a grid that a panel shows.

    Attributes
    ----------
    grid : GeoBox
        The whole grid.
    rows, columns : slice
        The part shown.
    pixel_m : tuple of float
        (row, column) spacing in true metres.
    north_deg : float
        Direction of true north, clockwise from the top.
    """

    grid: GeoBox
    rows: slice
    columns: slice
    pixel_m: tuple[float, float]
    north_deg: float

    @classmethod
    def whole(cls, grid: GeoBox) -> View:
        """Return the view of a whole grid."""
        rows, columns = grid.shape
        return cls(grid, slice(0, rows), slice(0, columns), pixel_size_m(grid), north_deg(grid))

    def part(self, rows: slice, columns: slice) -> View:
        """Return the view of a part of the same grid."""
        return View(self.grid, rows, columns, self.pixel_m, self.north_deg)

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height in true metres."""
        return (
            (self.columns.stop - self.columns.start) * self.pixel_m[1],
            (self.rows.stop - self.rows.start) * self.pixel_m[0],
        )

    def fit(self, box: Box) -> Box:
        """Return the largest box of the right proportions in the upper left of `box`."""
        width_m, height_m = self.size_m
        scale = min(box.width / width_m, box.height / height_m)
        return Box(box.left, box.top, width_m * scale, height_m * scale)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A page on which things are placed in inches from the upper left corner.

    Attributes
    ----------
    figure : Figure
        The matplotlib figure.
    width, height : float
        Size in inches.
    """

    figure: Figure
    width: float
    height: float

    @classmethod
    def new(cls, width: float, height: float) -> Sheet:
        """Return an empty white page with its own Agg canvas."""
        from changedet.output.figure import PageFigure

        return cls(PageFigure(width, height), width, height)

    def axes(self, box: Box) -> Axes:
        """Return new axes that fill `box`."""
        bottom = 1 - box.bottom / self.height
        return self.figure.add_axes(
            (box.left / self.width, bottom, box.width / self.width, box.height / self.height)
        )

    def write(self, text: str, box: Box, lettering: Lettering | None = None) -> float:
        """Write a text, wrapped to the width of `box`, downwards from its upper edge.

        Returns
        -------
        float
            Where the next line may begin, in inches from the top.
        """
        lettering = lettering or Lettering()
        lines = wrap(text, box.width, lettering)
        self.figure.text(
            box.left / self.width,
            1 - box.top / self.height,
            "\n".join(lines),
            va="top",
            size=lettering.size_pt,
            weight="bold" if lettering.bold else "normal",
            family="monospace" if lettering.mono else "sans-serif",
            color=lettering.colour,
            linespacing=_LINE_SPACING,
        )
        return box.top + text_height(len(lines), lettering)

    @property
    def words(self) -> str:
        """Every text on the page."""
        from matplotlib.text import Text

        return "\n".join(one.get_text() for one in self.figure.findobj(Text))

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands along the edges of its maps and bars and on them, each text once."""
        said = [
            label.get_text()
            for axes in self.figure.axes
            for label in (*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts)
        ]
        return tuple(dict.fromkeys(text for text in said if text))

    def save(self, path: Path, title: str) -> None:
        """Write the page as PNG or, to a name that ends in ``.pdf``, as PDF; the same page, the same bytes.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        said = title.encode("latin-1", "replace").decode("latin-1")
        if path.suffix.lower() == ".pdf":
            # neither who wrote it nor when: both would differ from one writing to the next
            told = {"Title": said, "Creator": None, "Producer": None, "CreationDate": None}
            self.figure.savefig(path, format="pdf", dpi=PLATE_DPI, metadata=told)
            return
        told = {"Title": said, "Software": None}
        self.figure.savefig(
            path, format="png", dpi=PLATE_DPI, metadata=told, pil_kwargs={"compress_level": 1}
        )


def wrap(text: str, width: float, lettering: Lettering) -> list[str]:
    """Break a text into lines that fit `width` inches, at most `lettering.most_lines` of them."""
    em = _MONO_WIDTH_EM if lettering.mono else _PROPORTIONAL_WIDTH_EM * (1.12 if lettering.bold else 1.0)
    letters = max(8, int(width * _POINTS_PER_INCH / (lettering.size_pt * em)))
    lines = textwrap.wrap(printable(text), letters, break_on_hyphens=False) or [""]
    if len(lines) > lettering.most_lines:
        last = lines[lettering.most_lines - 1][: letters - 1].rstrip()
        lines = [*lines[: lettering.most_lines - 1], last + "…"]
    return lines


def text_height(lines: int, lettering: Lettering) -> float:
    """Return the height of so many lines in inches, with the gap to what follows."""
    return (lines * _LINE_SPACING + 0.25) * lettering.size_pt / _POINTS_PER_INCH


def printable(text: str) -> str:
    """Replace characters that the plates' own font cannot draw by a hollow square.

    Plates use one font that is always there, so that they look the same on every machine.
    """
    known = _font_characters()
    return "".join(c if ord(c) in known else "□" for c in text)


def draw_map(
    sheet: Sheet, box: Box, picture: NDArray[np.uint8], view: View, *, latitudes: bool = True
) -> Axes:
    """Draw a picture as a map panel with graticule ticks, scale bar and north arrow.

    Parameters
    ----------
    sheet : Sheet
        The page.
    box : Box
        Where; its proportions should come from `View.fit`.
    picture : ndarray of uint8, shape (y, x, 3)
        A picture of `view`, at any scale.
    view : View
        What is shown; the axes are in pixels of its grid.
    latitudes : bool
        Whether the left edge is labelled.

    Returns
    -------
    Axes
        For outlines and marks in pixels of the grid.
    """
    axes = sheet.axes(box)
    left, right, top, bottom = view.columns.start, view.columns.stop, view.rows.start, view.rows.stop
    axes.imshow(picture, extent=(left, right, bottom, top), aspect="auto", interpolation="nearest")
    if has_place(view.grid):
        _ticks(axes, view, box, latitudes=latitudes)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    _scale_bar(axes, view)
    _north_arrow(axes, view, box)
    return axes


def _ticks(axes: Axes, view: View, box: Box, *, latitudes: bool) -> None:
    left, right, top, bottom = view.columns.start, view.columns.stop, view.rows.start, view.rows.stop
    along = np.linspace(0, 1, 33)
    longitude, _ = lonlat(view.grid, left + along * (right - left), bottom)
    _, latitude = lonlat(view.grid, left, top + along * (bottom - top))
    ticks = edge_ticks(longitude, "EW", most=_most_ticks(box.width))
    axes.set_xticks([left + p * (right - left) for p, _ in ticks], [label for _, label in ticks])
    ticks = edge_ticks(latitude, "NS", most=_most_ticks(box.height)) if latitudes else ()
    positions = [top + p * (bottom - top) for p, _ in ticks]
    axes.set_yticks(positions, [label for _, label in ticks], rotation=90, va="center")
    axes.tick_params(pad=1.5)


def _most_ticks(length: float) -> int:
    return max(1, min(5, int(length / _ROOM_PER_TICK)))


def draw_outlines(axes: Axes, shapes: Sequence[Sequence[NDArray[np.float64]]], kinds: Sequence[str]) -> None:
    """Draw outlines in the colours of the kinds over a dark rim.

    Parameters
    ----------
    axes : Axes
        From `draw_map`.
    shapes : sequence of sequence of ndarray
        Rings of each object in pixels, from `changedet.output.picture.outlines`.
    kinds : sequence of str
        Label of the kind of each object.
    """
    from matplotlib.collections import LineCollection

    rings = [ring for rings in shapes for ring in rings]
    colours = [KIND_COLOURS[kind_of(kind)] for rings, kind in zip(shapes, kinds, strict=True) for _ in rings]
    axes.add_collection(LineCollection(rings, colors="black", linewidths=2.2), autolim=False)
    axes.add_collection(LineCollection(rings, colors=colours, linewidths=1.1), autolim=False)


def draw_numbers(axes: Axes, shapes: Sequence[Sequence[NDArray[np.float64]]], numbers: Sequence[int]) -> int:
    """Write the number of each object beside its outline, inside the panel and apart from the others.

    Returns
    -------
    int
        How many were written; one that would cover another is left out.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    extent = axes.get_window_extent()
    dots = axes.get_figure().dpi / 72 * _NUMBER_PT  # type: ignore[union-attr]  # axes of a page
    letter = (0.72 * dots * (right - left) / extent.width, 1.1 * dots * (bottom - top) / extent.height)
    moved = [[ring - [left, top] for ring in rings] for rings in shapes]
    places = place_numbers(moved, numbers, letter, (right - left, bottom - top))
    for place, number in zip(places, numbers, strict=True):
        if place:
            centre = left + (place.left + place.right) / 2, top + (place.top + place.bottom) / 2
            axes.annotate(
                str(number), centre, size=_NUMBER_PT, ha="center", va="center", color="white",
                weight="bold", path_effects=_rim(1.8),
            )  # fmt: skip
    return sum(place is not None for place in places)


def _scale_bar(axes: Axes, view: View) -> None:
    width_m, _ = view.size_m
    length_m = round_length_m(0.3 * width_m)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    start, y = left + 0.04 * (right - left), bottom + 0.06 * (top - bottom)
    end = start + length_m / view.pixel_m[1]
    axes.plot([start, end], [y, y], color="white", lw=2.2, solid_capstyle="butt", path_effects=_rim(4.0))
    axes.annotate(
        length_text(length_m), (start, y), (0, 3), textcoords="offset points", ha="left",
        va="bottom", size=6.5, color="white", weight="bold", path_effects=_rim(1.6),
    )  # fmt: skip


def _north_arrow(axes: Axes, view: View, box: Box) -> None:
    angle = math.radians(view.north_deg)
    length = min(0.3, 0.16 * box.height)
    foot = (1 - 0.2 / box.width, 1 - (0.14 + length) / box.height)
    tip = (foot[0] + math.sin(angle) * length / box.width, foot[1] + math.cos(angle) * length / box.height)
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": "white", "lw": 1.4, "path_effects": _rim(3.2)}
    axes.annotate(
        "", tip, foot, xycoords="axes fraction", textcoords="axes fraction",
        arrowprops=style | {"shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
    axes.text(
        foot[0], foot[1], "N", transform=axes.transAxes, ha="center", va="top", size=6.5,
        color="white", weight="bold", path_effects=_rim(1.6),
    )  # fmt: skip


def _rim(width_pt: float) -> list[Any]:
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width_pt, foreground="#000000cc"), Normal()]


@cache
def _font_characters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=["DejaVu Sans"])))
    mono = get_font(findfont(FontProperties(family=["DejaVu Sans Mono"])))
    return frozenset(font.get_charmap()) & frozenset(mono.get_charmap())
