"""What plates share: the head with title and warning, the foot with its lines, margins and lettering."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changedet.kinds import KIND_COLOURS
from changedet.output import facts
from changedet.output.ground import site_point
from changedet.output.locator import LOCATOR_NOTE, draw_locator
from changedet.output.sheet import Box, Lettering, Sheet, text_height, wrap
from changedet.resample import has_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from changedet.result import ChangeResult

#: Empty rim of a plate, room for the labels of a map, room between panels, in inches.
MARGIN, LABELS, GAP = 0.25, 0.22, 0.2
#: Lettering of what stands above a panel, and of the lines at the foot.
PANEL_TITLE, CAPTION = Lettering(8, bold=True, most_lines=1), Lettering(6.8, most_lines=3)

#: Side of the map of where on Earth the site lies, room for the labels under it and to its left, in inches.
_LOCATOR, _UNDER_LOCATOR, _BESIDE_LOCATOR = 1.15, 0.3, 1.15 + 0.55
#: From the largest that fits; the smallest is cut.
_TITLES = tuple(Lettering(size, bold=True, most_lines=1) for size in (13, 12, 11, 10, 9))
_SUBTITLE = Lettering(8.5, most_lines=2)
_ALARM = Lettering(11, bold=True, colour="#b00020", most_lines=1)


def write_header(sheet: Sheet, result: ChangeResult, title: str, subtitle: str) -> None:
    """Write title and subtitle of a plate, and whether its imagery is simulated."""
    width = sheet.width - 2 * MARGIN
    if facts.is_simulated(result):
        alarm = Box(sheet.width - MARGIN - 3.2, MARGIN, 3.2, 0.3)
        sheet.write(facts.SIMULATED_NOTE, alarm, _ALARM)
        width -= 3.4
    top = sheet.write(title, Box(MARGIN, MARGIN, width, 0.3), _title_lettering(title, width))
    sheet.write(subtitle, Box(MARGIN, top + 0.02, sheet.width - 2 * MARGIN, 0.4), _SUBTITLE)


def kinds_present(result: ChangeResult) -> list[str]:
    """Return the labels of the kinds of its objects, in the order of their codes."""
    present = {str(kind) for kind in result.objects["kind"]}
    return sorted(present, key=lambda label: (facts.kind_of(label), label))


def kind_handles(result: ChangeResult) -> list[Artist]:
    """Return what a legend shows of the outlines: a line for each kind of object."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import Normal, Stroke

    rim = [Stroke(linewidth=3.0, foreground="black"), Normal()]
    return [
        Line2D([], [], color=KIND_COLOURS[facts.kind_of(kind)], lw=1.6, label=facts.clean(kind, 40),
               path_effects=rim)
        for kind in kinds_present(result)
    ]  # fmt: skip


def draw_legend(axes: Axes, handles: list[Artist], *, columns: int) -> None:
    """Write a legend without a frame into the upper left corner of axes that show nothing else."""
    axes.legend(
        handles=handles, loc="upper left", ncols=columns, fontsize=6.8, frameon=False, borderaxespad=0,
        borderpad=0, handlelength=1.8, columnspacing=1.0, labelspacing=0.4,
    )  # fmt: skip


def _title_lettering(title: str, width: float) -> Lettering:
    """Return the largest lettering in which a title fits into one line of so many inches."""
    return next((t for t in _TITLES if not wrap(title, width, t)[-1].endswith("…")), _TITLES[-1])


def foot_height(result: ChangeResult, lines: Sequence[str], width: float) -> float:
    """Return how much room the foot of a plate of this width needs, in inches."""
    counts = [len(wrap(line, _foot_width(result, width), CAPTION)) for line in lines]
    written = sum(text_height(count, CAPTION) for count in counts)
    return max(written, _LOCATOR + _UNDER_LOCATOR) if has_place(result.grid) else written


def write_foot(sheet: Sheet, top: float, result: ChangeResult, lines: Sequence[str]) -> None:
    """Write the lines at the foot of a plate downwards from `top`, in inches, and draw where it lies."""
    width = _foot_width(result, sheet.width)
    if (point := site_point(result.grid)) is not None:
        left = sheet.width - MARGIN - _LOCATOR
        draw_locator(sheet, Box(left, top, _LOCATOR, _LOCATOR), point)
        below = Box(left - LABELS, top + _LOCATOR + 0.15, _LOCATOR + LABELS, 0)
        sheet.write(LOCATOR_NOTE, below, Lettering(5.2, most_lines=1))
    for line in lines:
        top = sheet.write(line, Box(MARGIN, top, width, 0), CAPTION)


def _foot_width(result: ChangeResult, width: float) -> float:
    return width - 2 * MARGIN - (_BESIDE_LOCATOR if has_place(result.grid) else 0)
