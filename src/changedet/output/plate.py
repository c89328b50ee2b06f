"""Captioned pictures that can be published: the overview of a comparison, and the leading objects."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import OutputError, UsageError
from changedet.output import facts, radar_facts
from changedet.output.ground import length_text, point_of, site_point
from changedet.output.picture import (
    draw_image,
    enlarge,
    outlines,
    score_colour,
    score_colours,
    score_range,
    window,
)
from changedet.output.plate_parts import (
    CAPTION,
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
from changedet.output.radar_picture import radar_drawn
from changedet.output.radar_plate import RADAR_PLATE_NAME, radar_plate
from changedet.output.redaction import require_redacted
from changedet.output.scene_facts import caption_line, ids_text
from changedet.output.sheet import (
    Box,
    Lettering,
    Sheet,
    View,
    draw_map,
    draw_numbers,
    draw_outlines,
    plate_style,
    text_height,
    wrap,
)
from changedet.output.stretch import Limits, stretch_limits
from changedet.resample import has_place
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

#: Name of the plate that shows the whole site, and the formats in which plates are written.
OVERVIEW_NAME, PLATE_FORMATS = "overview.png", (".png", ".pdf")
#: How many leading objects get a plate of their own.
MOST_OBJECT_PLATES = 6
#: How many outlines the overview draws, and how many of them carry their number.
MOST_OUTLINES, MOST_NUMBERS = 2000, 25

_WIDTH_OVERVIEW, _WIDTH_OBJECT = 12.0, 10.0
_TALLEST_PANEL = 4.6
#: Height of the site beside the pictures of an object, and where its facts begin below their top, in inches.
_CONTEXT_HEIGHT, _FACTS_BELOW = 1.7, 2.0
_SMALLEST_WINDOW_PX = 36
_WINDOW_TO_OBJECT = 3.0
_MOST_WARNINGS = 3
_SIMULATED = Lettering(7, bold=True, colour="#b00020", most_lines=1)
#: A composite has at most five dates, whose identifiers take a line or two each.
_IDENTIFIER = Lettering(6, mono=True, most_lines=10)
_MOST_PASSES_NAMED = 3
_SCENE_LINE = Lettering(6.8, most_lines=5)
#: Room for a letter of the labels of the score's bar, and between two of them, in inches.
_LABEL_LETTER, _LABEL_GAP = 0.052, 0.06


@dataclass(frozen=True, eq=False)
class _Pictures:
    """What all plates of a result share, made once."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    #: The same two dates, of which objects show a part.
    images: tuple[Image, Image]
    limits: Limits
    view: View
    shapes: list[list[NDArray[np.float64]]]


def write_plates(result: ChangeResult, folder: Path) -> dict[Path, tuple[str, ...]]:
    """Write ``overview.png`` and ``.pdf``, with radar ``radar.png``, and ``object-<id>.png`` of the leading.

    Parameters
    ----------
    result : ChangeResult
        Any result, also one without objects or one that a gate refused.
    folder : Path
        Made when it is not there.

    Returns
    -------
    dict of Path to tuple of str
        The files written, the overview first, and what stands along the edges of their maps and bars and on
        them. The same result gives the same bytes.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    labels: dict[str, tuple[str, ...]] = {}
    pdf = str(PurePath(OVERVIEW_NAME).with_suffix(".pdf"))
    # a page in print resolution takes much memory: one is held at a time
    for name, draw in _plates(result).items():
        names = (name, pdf) if name == OVERVIEW_NAME else (name,)
        with plate_style():
            sheet = draw()
            with _own_errors(folder, "the plates"):
                folder.mkdir(parents=True, exist_ok=True)
                for one in names:
                    _save(sheet, folder / one, result)
        labels |= dict.fromkeys(names, sheet.labels)
    return {folder / name: labels[name] for name in sorted(labels, key=lambda name: name == pdf)}


def _plates(result: ChangeResult) -> dict[str, Callable[[], Sheet]]:
    """Return how each plate is drawn, by its name."""
    pictures = _pictures(result)
    plates: dict[str, Callable[[], Sheet]] = {OVERVIEW_NAME: partial(_overview, result, pictures)}
    drawn = radar_drawn(result)
    if result.radar is not None and drawn is not None:
        plates[RADAR_PLATE_NAME] = partial(radar_plate, result, result.radar, drawn)
    for number, identity in enumerate(result.objects["id"][:MOST_OBJECT_PLATES]):
        plates[f"object-{int(identity)}.png"] = partial(_object_plate, result, pictures, number)
    return plates


def write_plate(result: ChangeResult, path: Path, *, number: int = 0) -> Path:
    """Write one plate alone.

    Parameters
    ----------
    result : ChangeResult
        Any result.
    path : Path
        Ends in ``.png`` or ``.pdf``; it is replaced when it is there.
    number : int
        The ``id`` of the object to show; 0 for the overview.

    Returns
    -------
    Path
        The same. The same result gives the same bytes.

    Raises
    ------
    UsageError
        When the file is to be of another format, or there is no object of this number.
    OutputError
        When the file cannot be written.
    """
    if path.suffix.lower() not in PLATE_FORMATS:
        raise UsageError(
            f"plates are PNG or PDF, not {path.suffix or 'without a format'}",
            where=str(path),
            todo="let the name end in .png or .pdf",
        )
    known = [int(identity) for identity in result.objects["id"]]
    if number and number not in known:
        listed = f"1 to {max(known)}" if known else "none: nothing was flagged"
        raise UsageError(f"there is no candidate {number}", where=result.name, todo=f"numbers are {listed}")
    with plate_style():
        pictures = _pictures(result)
        place = known.index(number) if number else -1
        sheet = _object_plate(result, pictures, place) if number else _overview(result, pictures)
        with _own_errors(path, "the plate"):
            _save(sheet, path, result)
    return path


def _save(sheet: Sheet, path: Path, result: ChangeResult) -> None:
    title = facts.finding(result)
    if not has_place(result.grid):
        require_redacted(f"{title}\n{sheet.words}", frozenset(), str(path))
    sheet.save(path, title)


@contextmanager
def _own_errors(where: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{what} cannot be written ({error.strerror or 'write error'})",
            where=str(where),
            todo="check permission and free space, or choose another folder",
        ) from error


def plot(result: ChangeResult) -> Figure:
    """Draw the overview plate as a matplotlib figure, for a notebook.

    Parameters
    ----------
    result : ChangeResult
        Any result.

    Returns
    -------
    Figure
        Before, after and candidates with their caption, 12 inches wide; not known to pyplot.
    """
    with plate_style():
        return _overview(result, _pictures(result)).figure


def _pictures(result: ChangeResult) -> _Pictures:
    limits = stretch_limits(result.before, result.after)
    return _Pictures(
        draw_image(result.before, limits),
        draw_image(result.after, limits),
        (result.before, result.after),
        limits,
        View.whole(result.grid),
        outlines(result.objects.head(MOST_OUTLINES), result.grid),
    )


def _overview(result: ChangeResult, pictures: _Pictures) -> Sheet:
    room = _WIDTH_OVERVIEW - 2 * MARGIN - LABELS - 2 * GAP
    panel = pictures.view.fit(Box(MARGIN + LABELS, 1.22, room / 3, _TALLEST_PANEL))
    closing = _closing_lines(result, pictures.limits)
    caption_top = panel.bottom + 0.3
    foot_top = caption_top + max(0.72, 0.42 + 0.14 * _legend_rows(result), _caption_height(result, room / 3))
    foot = foot_height(result, closing, _WIDTH_OVERVIEW)
    sheet = Sheet.new(_WIDTH_OVERVIEW, foot_top + foot + MARGIN)
    name = facts.clean(result.name, 80)
    finding = facts.finding(result).removeprefix(f"{name}: ")
    write_header(sheet, result, name, finding[:1].upper() + finding[1:])
    lefts = [panel.left + i * (room / 3 + GAP) for i in range(3)]
    for left, image, picture, word in (
        (lefts[0], result.before, pictures.before, "Before"),
        (lefts[1], result.after, pictures.after, "After"),
    ):
        box = Box(left, panel.top, panel.width, panel.height)
        draw_map(sheet, box, picture, pictures.view, latitudes=image is result.before)
        _scene_caption(sheet, box, room / 3, image, word)
    box = Box(lefts[2], panel.top, panel.width, panel.height)
    axes = draw_map(sheet, box, _score_picture(result), pictures.view, latitudes=False)
    draw_outlines(axes, pictures.shapes, list(result.objects["kind"].head(MOST_OUTLINES)))
    numbers = [int(i) for i in result.objects["id"][:MOST_NUMBERS]]
    numbered = draw_numbers(axes, pictures.shapes[:MOST_NUMBERS], numbers)
    count = f"{len(result.objects):,} flagged" if len(result.objects) else "none flagged"
    if len(result.objects) > MOST_OUTLINES:
        count += f", {MOST_OUTLINES:,} outlined"
    if numbered < len(result.objects):
        count += f", {numbered} numbered"
    sheet.write(f"Candidates: {count}", Box(box.left, box.top - 0.2, room / 3, 0.2), PANEL_TITLE)
    _legend(sheet, Box(box.left, caption_top, room / 3, foot_top - caption_top), result)
    write_foot(sheet, foot_top, result, closing)
    return sheet


def _object_plate(result: ChangeResult, pictures: _Pictures, number: int) -> Sheet:
    row = result.objects.iloc[number]
    rings = pictures.shapes[number]
    view = _zoom(pictures.view, rings)
    side = 3.5
    panel = view.fit(Box(MARGIN + LABELS, 1.22, side, side))
    closing = _closing_lines(result, pictures.limits)
    beside = Box(panel.left + 2 * side + GAP + 0.25, panel.top, 0, _CONTEXT_HEIGHT)
    beside = replace(beside, width=_WIDTH_OBJECT - MARGIN - beside.left)
    lines = _object_facts(result, number)
    told = sum(text_height(len(wrap(text, beside.width, kind)), kind) for text, kind in lines)
    pictured = panel.height + max(0.95, 0.3 + _caption_height(result, side))
    foot_top = panel.top + max(pictured, 4.3, _FACTS_BELOW + told + 0.1)
    foot = foot_height(result, closing, _WIDTH_OBJECT)
    sheet = Sheet.new(_WIDTH_OBJECT, foot_top + foot + MARGIN)
    title = (
        f"Candidate {int(row['id'])} of {len(result.objects):,}: {facts.consistent_with(str(row['kind']))}"
    )
    period = f"between {result.before.scene.date_text} and {result.after.scene.date_text}"
    write_header(sheet, result, title, f"{facts.clean(result.name, 80)}, flagged {period}")
    lefts = (panel.left, panel.left + side + GAP)
    for left, image, word in zip(lefts, pictures.images, ("Before", "After"), strict=True):
        box = Box(left, panel.top, panel.width, panel.height)
        picture = draw_image(image, pictures.limits, (view.rows, view.columns))
        axes = draw_map(sheet, box, picture, view, latitudes=word == "Before")
        draw_outlines(axes, [rings], [str(row["kind"])])
        draw_numbers(axes, [rings], [int(row["id"])])
        _scene_caption(sheet, box, side, image, word)
    _context(sheet, beside, pictures, view)
    top = panel.top + _FACTS_BELOW
    for text, kind in lines:
        top = sheet.write(text, Box(beside.left, top, beside.width, 0), kind)
    write_foot(sheet, foot_top, result, closing)
    return sheet


def _zoom(view: View, rings: list[NDArray[np.float64]]) -> View:
    """Return the square of ground around an object that shows it with its surroundings."""
    if not rings:
        return view
    points = np.concatenate(rings)
    low, high = points.min(axis=0), points.max(axis=0)
    size = int(max(_SMALLEST_WINDOW_PX, _WINDOW_TO_OBJECT * (high - low).max()))
    column, row = (low + high) / 2
    return view.part(*window((view.grid.shape[0], view.grid.shape[1]), row, column, size))


def _score_picture(result: ChangeResult) -> NDArray[np.uint8]:
    """Draw the score at about 1000 pixels, so that hatching stays fine on small grids."""
    return score_colour(result, max(1, round(1000 / max(result.state.shape))))


def _scene_caption(sheet: Sheet, box: Box, width: float, image: Image, word: str) -> None:
    scene = image.scene
    sheet.write(f"{word}: {facts.when(scene)}", Box(box.left, box.top - 0.2, width, 0.2), PANEL_TITLE)
    top = sheet.write(_ids_text(scene), Box(box.left, box.bottom + 0.3, width, 0), _IDENTIFIER)
    top = sheet.write(caption_line(scene), Box(box.left, top, width, 0), _SCENE_LINE)
    if scene.simulated:
        sheet.write(facts.SIMULATED_NOTE, Box(box.left, top, width, 0), _SIMULATED)


def _ids_text(scene: Scene) -> str:
    """Return the identifiers of a scene; of a mean of many passes how many there are."""
    many = scene.sensor == "s1" and len(scene.members) > _MOST_PASSES_NAMED
    return f"{len(scene.members)} passes, named in run.json" if many else ids_text(scene)


def _caption_height(result: ChangeResult, width: float) -> float:
    """Return how much room the captions of both scenes need below their pictures, in inches."""
    heights = []
    for scene in (result.before.scene, result.after.scene):
        texts = [(_ids_text(scene), _IDENTIFIER), (caption_line(scene), _SCENE_LINE)]
        texts += [(facts.SIMULATED_NOTE, _SIMULATED)] if scene.simulated else []
        heights.append(sum(text_height(len(wrap(text, width, kind)), kind) for text, kind in texts))
    return max(heights) + 0.08


def _closing_lines(result: ChangeResult, limits: Limits) -> list[str]:
    """Return the lines at the foot of every plate."""
    width_m, height_m = View.whole(result.grid).size_m
    size = f"{facts.number(width_m / 1000, 2)} x {facts.number(height_m / 1000, 2, 'km')}"
    point = site_point(result.grid)
    lines = [
        f"Place withheld for publication; {size}."
        if point is None
        else f"Centre of the site {point.dd} | {point.dms} | MGRS {point.mgrs} | WGS 84; grid "
        f"{result.grid.crs}, {size}.",
        f"Registration: {facts.registration_text(result)}. {facts.shown_text(result)}. {limits.text}.",
        f"{facts.floor_text(result)}. {facts.NOT_FLAGGED_NOTE}".removeprefix(". "),
    ]
    if limits.radar:
        lines.insert(1, radar_facts.picture_note(limits))
    if result.warnings:
        left = len(result.warnings) - _MOST_WARNINGS
        # in front, because a long text is cut at its end
        head = f"Note (and {left} more, see run.json): " if left > 0 else "Note: "
        lines.append(head + "; ".join(facts.clean(w, 200) for w in result.warnings[:_MOST_WARNINGS]))
    return [
        *lines,
        f"{'. '.join(facts.credit_lines(result))}. Processed with changedet {version('changedet')}.",
    ]


def _legend_rows(result: ChangeResult) -> int:
    return (len(kinds_present(result)) + 4) // 2


def _legend(sheet: Sheet, box: Box, result: ChangeResult) -> None:
    """Draw the bar of the score, and the legend of kinds and states under it."""
    low, high = score_range(result)
    axes = sheet.axes(Box(box.left, box.top, box.width, 0.08))
    axes.imshow(score_colours()[None], extent=(low, high, 0, 1), aspect="auto", interpolation="nearest")
    ticks = _bar_ticks((low, high), result.thresholds.get("seed", math.nan), box.width)
    axes.set_xticks([t for t, _ in ticks], [label for _, label in ticks])
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes.set_yticks([])
    axes.tick_params(pad=1, size=2)
    handles = _legend_handles(result)
    holder = sheet.axes(Box(box.left, box.top + 0.26, box.width, max(0.1, box.height - 0.3)))
    holder.set_axis_off()
    if handles:
        draw_legend(holder, handles, columns=2)


def _bar_ticks(ends: tuple[float, float], seed: float, width: float) -> list[tuple[float, str]]:
    """Return score and label of both ends of the bar, and of the threshold where there is room for it."""
    low, high = ends
    first, last = (low, f"{low:.2g} background"), (high, f"{high:.2g} or more")
    middle = (float(seed), f"{seed:.2g} flagged")
    if not math.isfinite(seed):
        return [first, last]
    place = width * (seed - low) / (high - low)
    half = _label_width(middle[1]) / 2 + _LABEL_GAP
    clear = _label_width(first[1]) + half < place < width - _label_width(last[1]) - half
    return [first, middle, last] if clear else [first, last]


def _label_width(label: str) -> float:
    return len(label) * _LABEL_LETTER


def _legend_handles(result: ChangeResult) -> list[Artist]:
    from matplotlib.patches import Patch

    handles: list[Artist] = kind_handles(result)
    for state, name, pattern in (
        (State.NOT_OBSERVED, "not observed", "/////"),
        (State.NOT_COMPARABLE, "not comparable", "xxxxx"),
        (State.OUTSIDE, "outside the site", ""),
    ):
        if result.state_counts[state]:
            handles.append(
                Patch(facecolor="#cecece", edgecolor="#8e8e8e", hatch=pattern, linewidth=0.4, label=name)
            )
    return handles


def _context(sheet: Sheet, box: Box, pictures: _Pictures, view: View) -> Axes:
    """Draw the whole site small, with a frame around what the zoom shows."""
    from matplotlib.patches import Rectangle

    whole = pictures.view
    fitted = whole.fit(box)
    step = max(1, min(pictures.after.shape[:2]) // 400)
    sheet.write("Where in the site", Box(box.left, box.top - 0.2, box.width, 0.2), PANEL_TITLE)
    axes = sheet.axes(fitted)
    rows, columns = whole.grid.shape
    picture = enlarge(pictures.after[::step, ::step], 1)
    axes.imshow(picture, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest")
    corner = (view.columns.start, view.rows.start)
    size = (view.columns.stop - view.columns.start, view.rows.stop - view.rows.start)
    for colour, width in (("black", 2.6), ("white", 1.3)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))
    axes.set_xticks([])
    axes.set_yticks([])
    across = length_text(float(f"{whole.size_m[0]:.3g}"))
    sheet.write(f"{across} across", Box(box.left, fitted.bottom + 0.04, box.width, 0), Lettering(6.2))
    return axes


def _sensor_line(result: ChangeResult, row: Mapping[Any, Any]) -> tuple[tuple[str, Lettering], ...]:
    """Return who flagged an object, as a line; none without radar."""
    if result.radar is None:
        return ()
    return ((radar_facts.sensor_text(row, tested=result.radar.tested).capitalize(), CAPTION),)


def _object_facts(result: ChangeResult, number: int) -> list[tuple[str, Lettering]]:
    """Return what stands beside the pictures of an object, line by line."""
    row = result.objects.iloc[number].to_dict()
    point = point_of(row)
    place = () if point is None else (f"Centre {point.dd}", point.dms, f"MGRS {point.mgrs}")
    lines = [
        (f"Area {facts.area_text(float(row['area_m2']))}", Lettering(7.5, bold=True)),
        (f"Confidence: {facts.clean(row['confidence'], 20)}", Lettering(7.5, bold=True)),
        (radar_facts.confidence_short(result), CAPTION),
        *_sensor_line(result, row),
        *((text, CAPTION) for text in place),
        (f"Score {facts.number(float(row['score_mads']), 1)} robust deviations above background", CAPTION),
        (facts.clean(row["evidence"], 300), Lettering(6.8, most_lines=7)),
        (facts.clean(row["warnings"], 200), Lettering(6.8, colour="#8a4b00", most_lines=4)),
    ]
    return [(text, lettering) for text, lettering in lines if text]
