"""How images, pairs and results present themselves in a notebook; nothing is downloaded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from changedet.notebook.parts import (
    ALARM,
    BYTES_THUMBNAIL,
    CELL,
    FRAME,
    QUIET,
    THUMBNAIL_PX,
    figure,
    notes_html,
    picture,
    plotted,
    row,
)
from changedet.output import facts, radar_facts
from changedet.output.scene_facts import caption_line
from changedet.output.summary import (
    MOST_LISTED,
    MOST_WARNINGS,
    object_rows,
    registration_lines,
    shares_text,
    warning_texts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.pairing import Pair
    from changedet.registration import Registration
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

_MOST_OUTLINED = 200
_MOST_SCENES, _LONGEST_CELL = 120, 140


def result_html(result: ChangeResult) -> str:
    """Return a result as HTML for a notebook.

    Parameters
    ----------
    result : ChangeResult
        Any result.

    Returns
    -------
    str
        Finding, three pictures, quality, the leading objects and warnings; under 150 kB, loads nothing.
        Without its place where `ChangeResult.redact_coordinates` says so.
    """
    from changedet.output.picture import draw_image, overlay, score_colour, shrink
    from changedet.output.redaction import published
    from changedet.output.stretch import stretch_limits

    result = published(result)
    limits = stretch_limits(result.before, result.after)
    factor = max(1, THUMBNAIL_PX // max(result.state.shape))
    drawn = shrink(score_colour(result, factor), THUMBNAIL_PX)
    two_rows = result.radar is not None and not result.radar_alone
    room = BYTES_THUMBNAIL // 2 if two_rows else BYTES_THUMBNAIL
    pictures = (
        picture(draw_image(result.before, limits), "Before", result.before, room),
        picture(draw_image(result.after, limits), "After", result.after, room),
        figure(
            overlay(drawn, result.objects.head(_MOST_OUTLINED), result.grid, numbered=MOST_LISTED),
            f"Candidates: {len(result.objects):,} flagged",
            "change score with outlines; hatched ground was not judged",
            result.grid,
            room,
        ),
    )
    radar = _radar(result, room) if two_rows else ""
    alarm = f'<p style="{ALARM}">{escape(facts.SIMULATED_NOTE)}</p>' if facts.is_simulated(result) else ""
    return (
        f'<div style="{FRAME}">{alarm}<p><strong>{escape(facts.finding(result))}</strong></p>'
        f"{row(pictures)}{radar}{_strip(result)}{_objects(result)}{notes_html(warning_texts(result))}"
        f'<p style="{QUIET}">{escape(limits.text)}. {escape(facts.NOT_FLAGGED_NOTE)} '
        f"{escape('. '.join(facts.credit_lines(result)))}.</p></div>"
    )


def _radar(result: ChangeResult, room: int) -> str:
    """Return what radar saw in both periods, and which sensor flagged how much."""
    from changedet.output.radar_picture import radar_pictures

    radar = result.radar
    drawn = None if radar is None else radar_pictures(radar)
    if radar is None or drawn is None:
        return ""
    named = radar_facts.means_text(radar)
    figures = (
        figure(drawn.before, f"Radar before: {facts.when(radar.before.scene)}", named, result.grid, room),
        figure(drawn.after, f"Radar after: {facts.when(radar.after.scene)}", named, result.grid, room),
        figure(drawn.change, "Radar: change", "red brighter, cyan darker now", result.grid, room),
    )
    return f"{row(figures)}<div>{escape(radar_facts.sentence(result))}</div>"


def image_html(image: Image) -> str:
    """Return a loaded image as HTML: picture, time, scene, bands, usable share.

    Parameters
    ----------
    image : Image
        Drawn with its own 2 to 98 percentile stretch.

    Returns
    -------
    str
        Loads nothing.
    """
    from changedet.output.picture import draw_image
    from changedet.output.stretch import stretch_limits

    colour = draw_image(image, stretch_limits(image, image))
    rows, columns = image.valid.shape
    lines = (
        f"{columns:,} x {rows:,} pixels, {facts.clean(image.grid.crs)}, bands {', '.join(image.bands)}",
        f"usable {facts.share_text(float(image.valid.mean()))} (classes from {image.classes_source})",
        caption_line(image.scene),
        facts.clean(image.scene.credit),
    )
    alarm = f'<p style="{ALARM}">{facts.SIMULATED_NOTE}</p>' if image.scene.simulated else ""
    body = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return f'<div style="{FRAME}">{alarm}{row([picture(colour, "Image", image)])}{body}</div>'


def scenes_html(scenes: Sequence[Scene]) -> str:
    """Return scenes as an HTML table; the number in front is the index in the list.

    Parameters
    ----------
    scenes : sequence of Scene
        From a search.

    Returns
    -------
    str
        Loads nothing.
    """
    from changedet.output.summary import SCENE_HEADS, scene_cells

    cell = f"{CELL};white-space:nowrap"
    head = "".join(f'<th scope="col" style="{CELL}">{escape(name)}</th>' for name in SCENE_HEADS)
    shown = scene_cells(scenes[:_MOST_SCENES])
    lines = (
        "".join(f'<td style="{cell}">{escape(_clipped(text))}</td>' for text in cells) for cells in shown
    )
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    table = (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    left = len(scenes) - _MOST_SCENES
    more = f"<div>and {left:,} more, see <code>print(scenes)</code></div>" if left > 0 else ""
    return f'<div style="{FRAME}"><div>{len(scenes)} scene(s)</div>{table}{more}</div>'


def _clipped(text: str) -> str:
    """Shorten a text that would widen its column beyond use, such as the identifiers of a composite."""
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def pair_html(pair: Pair) -> str:
    """Return a pair as HTML: both dates with one stretch, and what lies between them besides change.

    Parameters
    ----------
    pair : Pair
        As loaded, before registration.

    Returns
    -------
    str
        Loads nothing.
    """
    from changedet.output.picture import draw_image
    from changedet.output.stretch import stretch_limits

    limits = stretch_limits(pair.before, pair.after)
    pictures = [
        picture(draw_image(image, limits), word, image)
        for word, image in (("Before", pair.before), ("After", pair.after))
    ]
    apart = "time apart not known" if pair.days_apart is None else f"{pair.days_apart:,} days apart"
    season = (
        "season gap not known" if pair.season_gap_days is None else f"season gap {pair.season_gap_days} days"
    )
    facts_line = (
        f"{apart}, {season}, clear on both dates {facts.share_text(pair.clear_share)}; "
        f"{facts.clean(pair.reason, 300)}"
    )
    notes = [facts.clean(w, 300) for w in pair.warnings[:MOST_WARNINGS]]
    left = len(pair.warnings) - len(notes)
    notes += [f"and {left} more, see the warnings of the pair"] if left else []
    return (
        f'<div style="{FRAME}">{row(pictures)}<div>{escape(facts_line)}</div>{notes_html(notes)}'
        f'<p style="{QUIET}">{escape(limits.text)}. As loaded, not registered.</p></div>'
    )


def registration_html(registration: Registration) -> str:
    """Return a registration as HTML: verdict, figures, tie points and checkerboards where they are there.

    Parameters
    ----------
    registration : Registration
        One from a file has no picture.

    Returns
    -------
    str
        Loads nothing.
    """
    head, *lines = registration_lines(registration)
    body = "".join(f"<div>{escape(line)}</div>" for line in lines)
    drawn = ""
    if registration.alignment is not None and registration.views is not None:
        drawn = plotted(registration.plot(), head)
    return f'<div style="{FRAME}"><p><strong>{escape(head)}</strong></p>{body}{drawn}</div>'


def _strip(result: ChangeResult) -> str:
    cells = "".join(
        f'<div style="flex:1 1 9rem"><div style="{QUIET}">{escape(f.label)}</div>'
        f'<div><strong>{escape(f.value)}</strong></div><div style="{QUIET}">{escape(f.note)}</div></div>'
        for f in radar_facts.quality(result)
    )
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:12px;margin:10px 0">{cells}</div>'
        f"<div>Pixels: {escape(shares_text(result))}</div>"
    )


def _objects(result: ChangeResult) -> str:
    rows = object_rows(result)
    if not rows:
        return ""
    heads: tuple[str, ...] = (
        "No.",
        "Consistent with",
        "Area",
        "Latitude, longitude",
        "MGRS",
        "Confidence",
        "Score",
    )
    heads += () if result.radar is None else ("Flagged by",)
    head = "".join(f'<th scope="col" style="{CELL}">{h}</th>' for h in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escape(_bare(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    left = len(result.objects) - len(rows)
    more = f"<div>and {left:,} more in <code>result.objects</code></div>" if left else ""
    return (
        '<div style="overflow-x:auto;font-size:14px">'
        '<table style="border-collapse:collapse;margin:8px 0;font-size:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
        f'<div style="{QUIET}">{escape(radar_facts.confidence_note(result))}</div>'
    )


def _bare(cell: str) -> str:
    """Drop the word that the head of the column says already."""
    for word in ("consistent with ", "MGRS ", "confidence ", "score ", "sensor "):
        cell = cell.removeprefix(word)
    return cell
