"""How images, pairs and results present themselves in a notebook; nothing is downloaded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from changedet.output import facts, radar_facts
from changedet.output.scene_facts import caption_line, ids_text
from changedet.output.summary import (
    MOST_LISTED,
    MOST_WARNINGS,
    object_rows,
    registration_lines,
    shares_text,
    warning_texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.pairing import Pair
    from changedet.registration import Registration
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

_THUMBNAIL_PX = 320
_BYTES_THUMBNAIL = 30_000
_MOST_OUTLINED = 200
_REGISTRATION_DPI = 80

_FRAME = "max-width:62rem;font-family:system-ui,sans-serif;font-size:14px;line-height:1.45"
_QUIET = "opacity:.75;font-size:12px"
_ALARM = "border:1px solid;border-left-width:6px;padding:4px 10px;font-weight:700;color:#c2185b"
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"


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
    """
    from changedet.output.picture import draw_image, overlay, score_colour, shrink, stretch_limits

    limits = stretch_limits(result.before, result.after, result.before.valid & result.after.valid)
    factor = max(1, _THUMBNAIL_PX // max(result.state.shape))
    drawn = shrink(score_colour(result, factor), _THUMBNAIL_PX)
    two_rows = result.radar is not None and not result.radar_alone
    room = _BYTES_THUMBNAIL // 2 if two_rows else _BYTES_THUMBNAIL
    pictures = (
        _picture(draw_image(result.before, limits), "Before", result.before, room),
        _picture(draw_image(result.after, limits), "After", result.after, room),
        _figure(
            overlay(drawn, result.objects.head(_MOST_OUTLINED), result.grid, numbered=MOST_LISTED),
            f"Candidates: {len(result.objects):,} flagged",
            "change score with outlines; hatched ground was not judged",
            result.grid,
            room,
        ),
    )
    radar = _radar(result, room) if two_rows else ""
    alarm = f'<p style="{_ALARM}">{escape(facts.SIMULATED_NOTE)}</p>' if facts.is_simulated(result) else ""
    return (
        f'<div style="{_FRAME}">{alarm}<p><strong>{escape(facts.finding(result))}</strong></p>'
        f"{_row(pictures)}{radar}{_strip(result)}{_objects(result)}{_notes(warning_texts(result))}"
        f'<p style="{_QUIET}">{escape(limits.text)}. {escape(facts.NOT_FLAGGED_NOTE)} '
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
        _figure(drawn.before, f"Radar before: {facts.when(radar.before.scene)}", named, result.grid, room),
        _figure(drawn.after, f"Radar after: {facts.when(radar.after.scene)}", named, result.grid, room),
        _figure(drawn.change, "Radar: change", "red brighter, cyan darker now", result.grid, room),
    )
    return f"{_row(figures)}<div>{escape(radar_facts.sentence(result))}</div>"


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
    from changedet.output.picture import draw_image, stretch_limits

    colour = draw_image(image, stretch_limits(image, image, image.valid))
    rows, columns = image.valid.shape
    lines = (
        f"{columns:,} x {rows:,} pixels, {facts.clean(image.grid.crs)}, bands {', '.join(image.bands)}",
        f"usable {facts.share_text(float(image.valid.mean()))} (classes from {image.classes_source})",
        caption_line(image.scene),
        facts.clean(image.scene.credit),
    )
    alarm = f'<p style="{_ALARM}">{facts.SIMULATED_NOTE}</p>' if image.scene.simulated else ""
    body = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return f'<div style="{_FRAME}">{alarm}{_row([_picture(colour, "Image", image)])}{body}</div>'


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

    head = "".join(f"<th>{escape(cell)}</th>" for cell in SCENE_HEADS)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in scene_cells(scenes))
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div style="{_FRAME}"><div>{len(scenes)} scene(s)</div>{table}</div>'


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
    from changedet.output.picture import draw_image, stretch_limits

    limits = stretch_limits(pair.before, pair.after, pair.before.valid & pair.after.valid)
    pictures = [
        _picture(draw_image(image, limits), word, image)
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
        f'<div style="{_FRAME}">{_row(pictures)}<div>{escape(facts_line)}</div>{_notes(notes)}'
        f'<p style="{_QUIET}">{escape(limits.text)}. As loaded, not registered.</p></div>'
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
    import base64
    import io

    head, *lines = registration_lines(registration)
    body = "".join(f"<div>{escape(line)}</div>" for line in lines)
    drawn = ""
    if registration.alignment is not None and registration.views is not None:
        buffer = io.BytesIO()
        registration.plot().savefig(buffer, format="jpeg", dpi=_REGISTRATION_DPI)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        drawn = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(head)}" style="width:100%">'
    return f'<div style="{_FRAME}"><p><strong>{escape(head)}</strong></p>{body}{drawn}</div>'


def _picture(colour: NDArray[np.uint8], word: str, image: Image, room: int = _BYTES_THUMBNAIL) -> str:
    note = f"{ids_text(image.scene)}{', simulated' if image.scene.simulated else ''}"
    return _figure(colour, f"{word}: {facts.when(image.scene)}", note, image.grid, room)


def _figure(colour: NDArray[np.uint8], title: str, note: str, grid: GeoBox, room: int) -> str:
    from changedet.output.picture import shrink, to_jpeg_data_url
    from changedet.resample import pixel_size_m

    height_m, width_m = pixel_size_m(grid)
    aspect = grid.shape[1] * width_m / (grid.shape[0] * height_m)

    url = to_jpeg_data_url(shrink(colour, _THUMBNAIL_PX), most_bytes=room)
    return (
        f'<figure style="margin:0;flex:1 1 14rem;min-width:0;max-width:{_THUMBNAIL_PX}px">'
        f"<div><strong>{escape(title)}</strong></div>"
        f'<img src="{url}" alt="{escape(title)}, {escape(note)}" '
        f'style="width:100%;aspect-ratio:{aspect:.4f};image-rendering:pixelated">'
        f'<figcaption style="{_QUIET};overflow-wrap:anywhere">{escape(note)}</figcaption></figure>'
    )


def _row(figures: Iterable[str]) -> str:
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(figures)}</div>'


def _strip(result: ChangeResult) -> str:
    cells = "".join(
        f'<div style="flex:1 1 9rem"><div style="{_QUIET}">{escape(f.label)}</div>'
        f'<div><strong>{escape(f.value)}</strong></div><div style="{_QUIET}">{escape(f.note)}</div></div>'
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
    head = "".join(f'<th scope="col" style="{_CELL}">{h}</th>' for h in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(_bare(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    left = len(result.objects) - len(rows)
    more = f"<div>and {left:,} more in <code>result.objects</code></div>" if left else ""
    return (
        '<div style="overflow-x:auto;font-size:14px">'
        '<table style="border-collapse:collapse;margin:8px 0;font-size:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
        f'<div style="{_QUIET}">{escape(radar_facts.confidence_note(result))}</div>'
    )


def _bare(cell: str) -> str:
    """Drop the word that the head of the column says already."""
    for word in ("consistent with ", "MGRS ", "confidence ", "score ", "sensor "):
        cell = cell.removeprefix(word)
    return cell


def _notes(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div style="{_ALARM};font-weight:400"><strong>Before you use this</strong><ul>{items}</ul></div>'
