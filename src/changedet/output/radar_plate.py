"""The plate of radar: both periods and what changed between them, with the tracks that were compared."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from changedet.output import facts, radar_facts
from changedet.output.picture import outlines
from changedet.output.plate_parts import (
    GAP,
    LABELS,
    MARGIN,
    PANEL_TITLE,
    draw_legend,
    foot_height,
    kind_handles,
    kinds_present,
    write_foot,
    write_header,
)
from changedet.output.radar_picture import change_band
from changedet.output.sheet import Box, Lettering, Sheet, View, draw_map, draw_numbers, draw_outlines
from changedet.radar.types import Track

if TYPE_CHECKING:
    from changedet.output.radar_picture import RadarPictures
    from changedet.radar.types import RadarEvidence
    from changedet.result import ChangeResult

#: Name of the plate.
RADAR_PLATE_NAME = "radar.png"

_WIDTH, _TALLEST_PANEL = 12.0, 4.6
_LEGEND_COLUMNS = 4
_MOST_OUTLINES, _MOST_NUMBERS, _MOST_TRACKS = 2000, 25, 6
_UNDER = Lettering(6.8, most_lines=3)


def radar_plate(result: ChangeResult, radar: RadarEvidence, drawn: RadarPictures) -> Sheet:
    """Draw the plate of radar.

    Parameters
    ----------
    result : ChangeResult
        Whose objects are outlined.
    radar : RadarEvidence
        Its radar.
    drawn : RadarPictures
        The pictures of that.

    Returns
    -------
    Sheet
        12 inches wide; before, after and change side by side, in the lettering of `plate_style`.
    """
    view = View.whole(result.grid)
    room = (_WIDTH - 2 * MARGIN - LABELS - 2 * GAP) / 3
    panel = view.fit(Box(MARGIN + LABELS, 1.22, room, _TALLEST_PANEL))
    closing = _closing_lines(result, radar, drawn)
    legend = Box(panel.left, panel.bottom + 0.72, _WIDTH - 2 * MARGIN - LABELS, _legend_height(result))
    foot_top = legend.bottom + 0.03
    sheet = Sheet.new(_WIDTH, foot_top + foot_height(result, closing, _WIDTH) + MARGIN)
    title = f"{facts.clean(result.name, 80)}: what radar saw"
    write_header(sheet, result, title, radar_facts.sentence(result))
    shapes = outlines(result.objects.head(_MOST_OUTLINES), result.grid)
    before, after = radar.before.scene, radar.after.scene
    panels = (
        (drawn.before, f"Radar before: {facts.when(before)}", facts.scene_line(before)),
        (drawn.after, f"Radar after: {facts.when(after)}", facts.scene_line(after)),
        (drawn.change, "Change: red brighter, cyan darker now", radar_facts.means_text(radar)),
    )
    for number, (picture, heading, line) in enumerate(panels):
        box = Box(panel.left + number * (room + GAP), panel.top, panel.width, panel.height)
        axes = draw_map(sheet, box, picture, view, latitudes=number == 0)
        draw_outlines(axes, shapes, list(result.objects["kind"].head(_MOST_OUTLINES)))
        sheet.write(heading, Box(box.left, box.top - 0.2, room, 0.2), PANEL_TITLE)
        sheet.write(line, Box(box.left, box.bottom + 0.3, room, 0), _UNDER)
    numbers = [int(one) for one in result.objects["id"][:_MOST_NUMBERS]]
    draw_numbers(axes, shapes[:_MOST_NUMBERS], numbers)
    if handles := kind_handles(result):
        holder = sheet.axes(legend)
        holder.set_axis_off()
        draw_legend(holder, handles, columns=_LEGEND_COLUMNS)
    write_foot(sheet, foot_top, result, closing)
    return sheet


def _legend_height(result: ChangeResult) -> float:
    """Return what the legend of kinds takes, in inches; nothing where nothing is outlined."""
    return 0.16 * -(-len(kinds_present(result)) // _LEGEND_COLUMNS)


def _closing_lines(result: ChangeResult, radar: RadarEvidence, drawn: RadarPictures) -> list[str]:
    lines = [
        f"{radar_facts.picture_note(drawn.limits)} {drawn.limits.text}.",
        f"{radar_facts.change_note(change_band(radar.before))} Hatched ground has no data. Outlines are "
        "those of the candidates.",
        *(_track_line(cells) for cells in radar_facts.track_rows(radar)[:_MOST_TRACKS]),
    ]
    left = len(radar.tracks) - _MOST_TRACKS
    lines += [f"And {left} more tracks, see run.json."] if left > 0 else []
    credit = ". ".join(facts.credit_lines(result))
    return [
        *lines,
        f"{radar_facts.CANNOT_NOTE} {facts.NOT_FLAGGED_NOTE}",
        f"{credit}. Processed with changedet {version('changedet')}.",
    ]


def _track_line(cells: tuple[str, ...]) -> str:
    track, before, after, looks, method, apart, note = cells
    named = track.capitalize() if track == Track().label else f"Track {track}"
    said = f"{named}, {method}, looks {looks}, satellites: {apart}. Before {before}. After {after}."
    return said if note == "none" else f"{said} Note: {note}."
