"""A result in a few lines of text, for terminals, logs and ``repr``."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from changedet.output import facts, radar_facts
from changedet.output.redaction import WITHHELD
from changedet.output.scene_facts import ids_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from changedet.registration import Registration
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

#: How many objects, and how many warnings, the short forms of a result list.
MOST_LISTED, MOST_WARNINGS = 5, 8


def result_text(result: ChangeResult) -> str:
    """Return a result as plain text.

    Parameters
    ----------
    result : ChangeResult
        Any result.

    Returns
    -------
    str
        Finding, scenes, quality, the leading objects and warnings: several lines, without a line end.
    """
    lines = [facts.finding(result)]
    if facts.is_simulated(result):
        lines.insert(0, facts.SIMULATED_NOTE)
    for word, image in (("before", result.before), ("after", result.after)):
        lines.append(f"  {word + ':':<8}{facts.when(image.scene)}  {ids_text(image.scene)}")
        if image.scene.members:
            lines.append(f"  {'':<8}{facts.dates_note(image.scene)}")
    lines += [f"  {fact.label}: {fact.value} ({fact.note})" for fact in radar_facts.quality(result)]
    lines.append(f"  pixels: {shares_text(result)}")
    if result.radar is not None:
        lines.append(f"  {radar_facts.sentence(result)}")
    if len(result.objects) > 0:
        heading, _ = radar_facts.order(result)
        lines.append(f"  {heading} (consistent with {kinds_text(result)}):")
    lines += [f"  {' | '.join(cells)}" for cells in object_rows(result)]
    if len(result.objects) > MOST_LISTED:
        lines.append(f"  and {len(result.objects) - MOST_LISTED:,} more")
    lines += [f"  warning: {text}" for text in warning_texts(result)]
    return "\n".join([*lines, f"  {facts.NOT_FLAGGED_NOTE}"])


def kinds_text(result: ChangeResult) -> str:
    """Return how many objects there are of each kind, the most frequent first.

    Returns
    -------
    str
        Such as ``new construction 3, vegetation change 2``; empty without objects.
    """
    counts = Counter(facts.clean(kind, 60) for kind in result.objects["kind"])
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.most_common())


def scene_text(scene: Scene) -> str:
    """Return a scene as one line, without its links.

    Parameters
    ----------
    scene : Scene
        Any; of a composite all identifiers stand there.

    Returns
    -------
    str
        Such as ``Scene(pier, 2023-05-16T02:16:13Z, Sentinel-2A L2A, earth-search, 11 bands)``.
    """
    time = f"{len(scene.members)} dates" if scene.members else scene.time_text
    named = facts.clean(f"{scene.platform} {scene.level}, {scene.provider}", 120)
    return f"Scene({ids_text(scene)}, {time}, {named}, {len(scene.assets)} bands)"


def image_text(image: Image) -> str:
    """Return a loaded image as one line: its scene, bands, size and how much of it is usable."""
    rows, columns = image.valid.shape
    usable = facts.share_text(float(image.valid.mean())) if image.valid.size else "nothing"
    return (
        f"Image({ids_text(image.scene)}, {image.scene.time_text}, bands {', '.join(image.bands)}, "
        f"{columns} x {rows} pixels, {facts.clean(image.grid.crs, 40)}, {usable} usable)"
    )


#: Heads of the table of scenes.
SCENE_HEADS = ("", "date", "platform", "level", "orbit", "tile cloud", "covers", "id")


def scene_cells(scenes: Sequence[Scene]) -> list[tuple[str, ...]]:
    """Return the cells of `SCENE_HEADS` for each scene, its index first."""
    return [
        (
            str(index),
            scene.time_text,
            facts.clean(scene.platform, 20),
            facts.clean(scene.level, 10),
            "" if scene.relative_orbit is None else str(scene.relative_orbit),
            "" if scene.tile_cloud_share is None else f"{scene.tile_cloud_share:.0%}",
            "" if scene.coverage is None else f"{scene.coverage:.0%}",
            ids_text(scene),
        )
        for index, scene in enumerate(scenes)
    ]


def scenes_text(scenes: Sequence[Scene]) -> str:
    """Return scenes as a table, one line for each; the number in front is the index in the list."""
    rows = [SCENE_HEADS, *scene_cells(scenes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([f"{len(scenes)} scene(s)", *(line.rstrip() for line in lines)])


def registration_lines(registration: Registration) -> list[str]:
    """Return a registration as lines of text.

    Parameters
    ----------
    registration : Registration
        Any.

    Returns
    -------
    list of str
        Verdict; shift and residual; tie points.
    """
    number = facts.number
    kept, dropped = registration.tie_points, registration.tie_points_dropped
    lines = [
        f"registration: {facts.verdict_text(registration)}",
        f"{facts.shift_text(registration)}, residual {number(registration.residual_px, 2, 'px')} = "
        f"{number(registration.residual_m, 2, 'm')}",
        f"{kept:,} tie points agree, {dropped:,} do not; left-out ones are predicted within "
        f"{number(registration.held_out_rmse_px, 3, 'px')}",
    ]
    return [*lines, f"model: {facts.clean(registration.model)}"] if registration.model else lines


def shares_text(result: ChangeResult) -> str:
    """Return the share of each state that occurs, in one line."""
    return ", ".join(f"{label} {facts.share_text(s)}" for label, s in result.state_shares.items() if s > 0)


def object_rows(result: ChangeResult) -> list[tuple[str, ...]]:
    """Return the cells that describe each of the `MOST_LISTED` leading objects.

    Returns
    -------
    list of tuple of str
        Number, kind, area, position, MGRS, confidence, score; with radar also which sensors flagged it.
    """
    return [
        (
            str(int(row["id"])),
            facts.consistent_with(str(row["kind"])),
            facts.area_text(float(row["area_m2"])),
            place_text(row),
            f"MGRS {facts.clean(row['mgrs'], 20)}",
            f"confidence {facts.clean(row['confidence'], 20)}",
            f"score {facts.number(float(row['score']))}",
            *(() if result.radar is None else (f"sensor {facts.clean(row['sensor'], 20)}",)),
        )
        for row in result.objects.head(MOST_LISTED).to_dict("records")
    ]


def place_text(row: Mapping[Any, Any]) -> str:
    """Return latitude and longitude of an object, or that its place is withheld."""
    lat, lon = float(row["lat"]), float(row["lon"])
    return WITHHELD if math.isnan(lat) else f"{lat:.5f}, {lon:.5f}"


def warning_texts(result: ChangeResult) -> list[str]:
    """Return the warnings of a result and of its pair, each once; what is left out is counted.

    Returns
    -------
    list of str
        At most `MOST_WARNINGS`, and one line more that says how many there are besides.
    """
    texts = [facts.clean(text, 300) for text in facts.warnings(result)]
    left = len(texts) - MOST_WARNINGS
    return texts[:MOST_WARNINGS] + ([f"and {left} more, see run.json"] if left > 0 else [])
