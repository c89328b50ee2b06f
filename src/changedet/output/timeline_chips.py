"""The same ground on every date: chips with one stretch, a contact sheet of them, and an animation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from changedet.errors import OutputError
from changedet.output.facts import SIMULATED_NOTE, clean
from changedet.output.figure import PageFigure
from changedet.output.picture import enlarge, hatch
from changedet.output.sheet import plate_style
from changedet.output.stretch import STRETCH_PERCENTILES

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from changedet.timeline.reading import Chips
    from changedet.timeline.types import Timeline, ZoneTimeline

    Picture = NDArray[np.uint8]

#: Chips smaller than this are enlarged by whole numbers, and a frame of the animation lasts so long.
_SMALLEST_PX, _FRAME_MS = 192, 700
#: Most chips of a contact sheet.
_MOST_ON_SHEET = 120
_BAR_PX = 26
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def chip_zone(timeline: Timeline) -> ZoneTimeline:
    """Return the zone in the middle of the chips."""
    name = timeline.chips.zone if timeline.chips is not None else ""
    return next((one for one in timeline.zones if one.zone.name == name), timeline.zones[0])


def draw_chips(timeline: Timeline) -> list[Picture]:
    """Draw the chips of all dates with one stretch.

    Parameters
    ----------
    timeline : Timeline
        With or without chips.

    Returns
    -------
    list of ndarray of uint8, shape (y, x, 3)
        One for each date, red, green, blue; none when the dates have no visible bands. The zone is outlined.
    """
    chips = timeline.chips
    if chips is None:
        return []
    low, high = _limits(chips)
    scale = 255 / np.maximum(high - low, 1e-3)
    factor = max(1, -(-_SMALLEST_PX // max(chips.planes.shape[2:])))
    outline = _outline(timeline, factor)
    drawn = []
    for planes in chips.planes:
        levels = np.clip((planes - low[:, None, None]) * scale[:, None, None], 0, 255)
        colour = np.nan_to_num(levels).astype(np.uint8).transpose(1, 2, 0)
        blank = ~np.isfinite(planes).all(axis=0)
        colour[blank] = hatch(blank.shape)[blank]
        large = enlarge(colour, factor)
        large[outline] = (255, 221, 0)
        drawn.append(large)
    return drawn


def _limits(chips: Chips) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what becomes black and white in each colour: of clear ground, where there is any."""
    known = np.isfinite(chips.planes).all(axis=1)
    clear = known & chips.clear if (known & chips.clear).any() else known
    if not clear.any():
        return np.zeros(3), np.ones(3)
    shown = chips.planes.transpose(1, 0, 2, 3)[:, clear]
    low, high = np.percentile(shown, STRETCH_PERCENTILES, axis=1)
    return low, high


def _outline(timeline: Timeline, factor: int) -> NDArray[np.bool_]:
    """Return the rim of the zone in pixels of the drawn chips; nothing for zones of the whole site."""
    chips, zone = timeline.chips, chip_zone(timeline).zone
    shape = () if chips is None else tuple(factor * size for size in chips.planes.shape[2:])
    if chips is None or zone.kind in {"site", "built-up"}:
        return np.zeros(shape, bool)
    inside = zone.mask[chips.window].astype(np.uint8)
    size = shape[1], shape[0]
    large = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray((cv2.dilate(large, np.ones((3, 3), np.uint8)) > 0) & (large == 0))


def write_chips(timeline: Timeline, pictures: list[Picture], folder: Path) -> list[str]:
    """Write one PNG for each date.

    Parameters
    ----------
    timeline : Timeline
        Of the pictures.
    pictures : list of ndarray
        From `draw_chips`.
    folder : Path
        An existing folder.

    Returns
    -------
    list of str
        The file names, in order of time; dates of one day are told apart by their time.
    """
    names = chip_names(timeline)[: len(pictures)]
    for name, picture in zip(names, pictures, strict=True):
        if not cv2.imwrite(str(folder / name), np.ascontiguousarray(picture[:, :, ::-1])):
            raise OutputError("cannot be written", where=str(folder / name), todo="check the free space")
    return names


def chip_names(timeline: Timeline) -> list[str]:
    """Return the file name of each date's chip."""
    dates = [one.date for one in timeline.dates]
    return [
        f"{one.date}.png" if dates.count(one.date) == 1 else f"{one.scene.time_text.replace(':', '')}.png"
        for one in timeline.dates
    ]


def write_animation(timeline: Timeline, pictures: list[Picture], path: Path) -> None:
    """Write the chips as an animated WebP, each with its date below; hidden dates are passed over.

    Parameters
    ----------
    timeline : Timeline
        Of the pictures.
    pictures : list of ndarray
        From `draw_chips`.
    path : Path
        The file to write.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    used = chip_zone(timeline).used
    places = [number for number in range(len(pictures)) if used[number]] or list(range(len(pictures)))
    frames = [_framed(pictures[number], timeline.dates[number].date) for number in places]
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(frame[:, :, ::-1]) for frame in frames]
    animation.durations = [_FRAME_MS] * (len(frames) - 1) + [3 * _FRAME_MS]
    animation.loop_count = 0
    if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, 85]):
        raise OutputError("the animation cannot be written", where=str(path), todo="check the free space")


def _framed(picture: Picture, text: str) -> Picture:
    bar = np.full((_BAR_PX, picture.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, text, (6, _BAR_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([picture, bar])


def contact_sheet(timeline: Timeline, pictures: list[Picture]) -> Figure:
    """Put the chips of all dates on one page, with date and whether they count.

    Parameters
    ----------
    timeline : Timeline
        Of the pictures.
    pictures : list of ndarray
        From `draw_chips`, at least one.

    Returns
    -------
    matplotlib.figure.Figure
        Of more than 120 dates an even choice.
    """
    with plate_style():
        return _sheet(timeline, pictures)


def _sheet(timeline: Timeline, pictures: list[Picture]) -> Figure:
    zone = chip_zone(timeline)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _MOST_ON_SHEET)).astype(int))
    columns = min(len(chosen), max(6, math.ceil(math.sqrt(1.6 * len(chosen)))))
    rows = -(-len(chosen) // columns)
    shape, cell = pictures[0].shape, 12.4 / columns
    tall = cell * shape[0] / shape[1]
    height = rows * (tall + 0.38) + 1.25
    figure = PageFigure(13, height)
    for place, number in enumerate(chosen.tolist()):
        row, column = divmod(place, columns)
        left, top = 0.3 + column * cell, 0.85 + row * (tall + 0.38)
        box = (left / 13, 1 - (top + tall) / height, (cell - 0.08) / 13, tall / height)
        axes = figure.add_axes(box)
        axes.imshow(pictures[number], interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        reason = zone.reasons[number]
        middle, below = (left + (cell - 0.08) / 2) / 13, top + tall
        date = timeline.dates[number].date
        figure.text(middle, 1 - (below + 0.10) / height, date, fontsize=8, fontweight="bold", **_CENTRED)
        if reason:
            told = _short(reason)
            figure.text(middle, 1 - (below + 0.23) / height, told, fontsize=6.5, color="#a3001b", **_CENTRED)
    _sheet_titles(figure, timeline, len(chosen), height)
    return figure


def _sheet_titles(figure: Figure, timeline: Timeline, count: int, height: float) -> None:
    dates = timeline.dates
    simulated = any(one.scene.simulated for one in dates)
    title = clean(timeline.name) + (f"   {SIMULATED_NOTE}" if simulated else "")
    some = "" if count == len(dates) else f", {count} of {len(dates)} dates"
    about = f"{clean(chip_zone(timeline).zone.name)}{some}. {stretch_text()} {sizes_text(timeline)}"
    figure.text(0.3 / 13, 1 - 0.3 / height, title, fontsize=13, fontweight="bold", va="center")
    figure.text(0.3 / 13, 1 - 0.58 / height, about, fontsize=8.5, va="center")
    credits = "; ".join(dict.fromkeys(one.scene.credit for one in dates))
    figure.text(0.3 / 13, 0.15 / height, f"{credits}. Dates in UTC.", fontsize=7.5, va="center")


def stretch_text() -> str:
    """Say how the chips are drawn."""
    low, high = STRETCH_PERCENTILES
    ends = f"{low:g} to {high:g} percentile of clear ground"
    return f"Natural colour, registered, one stretch for all dates ({ends})."


def sizes_text(timeline: Timeline) -> str:
    """Say how much ground a chip shows."""
    from changedet.resample import pixel_size_m

    if timeline.chips is None:
        return ""
    rows, columns = timeline.chips.window
    down, across = pixel_size_m(timeline.grid)
    width, height = across * (columns.stop - columns.start), down * (rows.stop - rows.start)
    return f"Each shows {width:.0f} x {height:.0f} m, north up."


def _short(reason: str) -> str:
    head, _, share = reason.partition(" over it")
    return f"{head}{share}" if share else reason
