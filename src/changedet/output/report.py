"""The report: one HTML file that carries its pictures, loads nothing, and can be mailed and printed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.kinds import KIND_CAVEATS, KIND_COLOURS, KIND_LABELS, KIND_TABLE, SURFACE_RULES
from changedet.output import facts, radar_facts
from changedet.output.ground import (
    corners,
    length_text,
    north_deg,
    place_texts,
    point_of,
    site_point,
)
from changedet.output.numbers import place_numbers
from changedet.output.page import render_page, write_page
from changedet.output.picture import (
    draw_image,
    outlines,
    ring_path,
    score_colour,
    score_colours,
    score_range,
    shrink,
    to_jpeg_data_url,
    window,
)
from changedet.output.radar_picture import radar_drawn
from changedet.output.report_radar import picture_label, radar_context, radar_words
from changedet.output.scene_facts import (
    INPUT_HEADS,
    between,
    caption_line,
    ids_text,
    input_rows,
    provider_text,
    scene_rows,
)
from changedet.output.shown import (
    MOST_LISTED,
    chip_width_m,
    chip_window,
    scale_bar_m,
    score_text,
    state_areas,
)
from changedet.output.stretch import stretch_limits
from changedet.output.summary import kinds_text
from changedet.resample import has_place, pixel_size_m
from changedet.result import STATE_LABELS, State

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from changedet.kinds import Kind
    from changedet.output.radar_picture import RadarPictures
    from changedet.output.stretch import Limits
    from changedet.result import ChangeResult
    from changedet.scene import Image

#: Longest side of a picture in the report, in pixels; a larger one is scaled down by area averaging.
LARGEST_PICTURE_PX = 1100
#: What a reader can say of a candidate.
VERDICT_WORDS = ("accepted", "rejected", "unsure")

# width of a digit of a number on a picture of the usual width, as a share of the picture
_DIGIT_WIDTH = 0.013
# of the 256 colours of the score, evenly spread and with both ends
_RAMP_STOPS = np.linspace(0, 255, 9).astype(int)
_MOST_OUTLINED, _MOST_NUMBERED = 300, 25
_MOST_PATH_LETTERS = 150_000
_BYTES_PICTURE, _BYTES_CHIP = 300_000, 3_500
# the same where radar is shown beside optical images, so that the file does not grow
_BYTES_PICTURE_OF_TWO, _BYTES_CHIP_OF_TWO, _CHIP_PX_OF_TWO = 190_000, 2_000, 80
_CHIP_PX = 96

Rings = list["NDArray[np.float64]"]


@dataclass(frozen=True, eq=False)
class _Shown:
    """What pictures of objects are cut out of, and the room that pictures have."""

    before: Image
    after: Image
    limits: Limits
    radar: RadarPictures | None

    def cut(self, part: tuple[slice, slice]) -> tuple[tuple[str, NDArray[np.uint8]], ...]:
        """Return what every object shows of its ground, with what it is called."""
        dates = (("before", self.before), ("after", self.after))
        pairs = tuple((word, draw_image(image, self.limits, part)) for word, image in dates)
        beside = self.radar
        if beside is None:
            return pairs
        return (*pairs, ("radar before", beside.before[part]), ("radar after", beside.after[part]))

    @property
    def bytes_picture(self) -> int:
        """Most bytes of a large picture."""
        return _BYTES_PICTURE if self.radar is None else _BYTES_PICTURE_OF_TWO

    @property
    def bytes_chip(self) -> int:
        """Most bytes of a picture of an object."""
        return _BYTES_CHIP if self.radar is None else _BYTES_CHIP_OF_TWO

    @property
    def chip_px(self) -> int:
        """Longest side of a picture of an object."""
        return _CHIP_PX if self.radar is None else _CHIP_PX_OF_TWO


@dataclass(frozen=True)
class _Outline:
    """An object as the viewer draws it: path in grid pixels, place of its number in per cent."""

    number: int
    path: str
    colour: str
    left: float
    top: float


def write_report(result: ChangeResult, path: Path, *, record: Mapping[str, Any]) -> None:
    """Write the report of a comparison.

    Parameters
    ----------
    result : ChangeResult
        Any result, also one without objects or one that a gate refused.
    path : Path
        The HTML file; its folder has to exist. It is replaced when it is there.
    record : mapping
        What goes into ``run.json``. Limits, software versions and file digests are read from it; none has to
        be there. Times of the run are not shown, so that the same run gives the same bytes.

    Raises
    ------
    OutputError
        When the file cannot be written; nothing half-written is left.
    """
    write_page(report_html(result, record), path, what="the report")


def report_html(result: ChangeResult, record: Mapping[str, Any]) -> str:
    """Return the report as text; see `write_report`.

    Parameters
    ----------
    result : ChangeResult
        Any result.
    record : mapping
        What goes into ``run.json``.

    Returns
    -------
    str
        A complete HTML document under a policy that forbids every load; under 2 MB.
    """
    drawn = radar_drawn(result)
    radar = radar_context(result, drawn)
    sections = (_summary(result), _viewer(result, drawn), _tables(result), _provenance(record), radar)
    context = {key: value for section in sections for key, value in section.items()}
    return render_page("report.html.j2", context)


def _summary(result: ChangeResult) -> dict[str, object]:
    before, after = result.before.scene, result.after.scene
    return {
        "name": facts.clean(result.name, 120),
        "period": radar_facts.period_text(result),
        "providers": " and ".join(dict.fromkeys(provider_text(s.provider) for s in (before, after))),
        "finding": facts.finding(result),
        "kind_counts": kinds_text(result) if len(result.objects) > 1 else "",
        "simulated": facts.SIMULATED_NOTE if facts.is_simulated(result) else "",
        "place": place_texts(site_point(result.grid)),
        "footprint": "; ".join(p.dd for p in corners(result.grid)) if has_place(result.grid) else "",
        "quality": radar_facts.quality(result),
        "passed": result.registration.passed and not result.refusals,
        "warnings": [facts.clean(w, 400) for w in facts.warnings(result)],
        "confidence_note": radar_facts.confidence_note(result),
        "order": radar_facts.order(result),
        "not_flagged_note": facts.NOT_FLAGGED_NOTE,
        "reason": facts.clean(result.pair.reason, 900),
        "credits": facts.credit_lines(result),
    }


def _viewer(result: ChangeResult, drawn: RadarPictures | None) -> dict[str, object]:
    """Return the pictures and what is drawn over them."""
    limits = stretch_limits(result.before, result.after)
    factor = max(1, LARGEST_PICTURE_PX // max(result.state.shape))
    pictures = {
        "before": draw_image(result.before, limits),
        "after": draw_image(result.after, limits),
        "candidates": score_colour(result, factor),
    }
    rows, columns = result.grid.shape
    height_m, width_m = pixel_size_m(result.grid)
    bar_m = scale_bar_m(result)
    low, high = score_range(result)
    seed = result.thresholds.get("seed", math.nan)
    rings = outlines(result.objects.head(_MOST_OUTLINED), result.grid)
    outlined = _outlines(result, rings)
    beside = drawn if drawn is not None and not result.radar_alone else None
    shown = _Shown(result.before, result.after, limits, beside)
    return {
        "pictures": {
            name: to_jpeg_data_url(shrink(p, LARGEST_PICTURE_PX), most_bytes=shown.bytes_picture)
            for name, p in pictures.items()
        },
        "captions": [
            {
                "word": word,
                "time": facts.when(s),
                **picture_label(s),
                "id": ids_text(s),
                "line": caption_line(s),
            }
            for word, s in (("Before", result.before.scene), ("After", result.after.scene))
        ],
        "stretch": limits.text,
        "shown": facts.shown_text(result),
        "registration": facts.registration_text(result),
        "grid": {"columns": columns, "rows": rows, "aspect": columns * width_m / (rows * height_m)},
        "scale_bar": {"percent": 100 * bar_m / (columns * width_m), "label": length_text(bar_m)},
        "north": north_deg(result.grid),
        "outlines": outlined,
        "outlines_left_out": len(result.objects) - len(outlined),
        "gradient": ", ".join("rgb({},{},{})".format(*c) for c in score_colours()[_RAMP_STOPS]),
        "score_ends": (facts.number(low), facts.number(high)),
        "seed": facts.number(seed) if low < seed < high else "",
        "seed_percent": 100 * (seed - low) / (high - low) if low < seed < high else 0.0,
        "objects": _objects(result, shown, rings),
        "objects_in_all": len(result.objects),
        "objects_left_out": max(0, len(result.objects) - MOST_LISTED),
    }


def _outlines(result: ChangeResult, rings_of_all: list[Rings]) -> list[_Outline]:
    """Return as many of the leading outlines as the report has room for."""
    rows, columns = result.grid.shape
    found: list[_Outline] = []
    letters = 0
    objects = result.objects.head(_MOST_OUTLINED)
    numbers = [int(i) for i in objects["id"][:_MOST_NUMBERED]]
    letter = (_DIGIT_WIDTH * columns, _DIGIT_WIDTH * columns * 1.6)
    places = place_numbers(rings_of_all[: len(numbers)], numbers, letter, (columns, rows))
    places += [None] * (len(objects) - len(places))
    for rings, identity, kind, place in zip(
        rings_of_all, objects["id"], objects["kind"], places, strict=True
    ):
        path = ring_path(rings)
        letters += len(path)
        if letters > _MOST_PATH_LETTERS:
            break
        corner = (100 * place.left / columns, 100 * place.top / rows) if place else (0.0, 0.0)
        colour = KIND_COLOURS[facts.kind_of(str(kind))]
        found.append(_Outline(int(identity) if place else 0, path, colour, *corner))
    return found


def _objects(result: ChangeResult, shown: _Shown, rings_of_all: list[Rings]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for row, rings in zip(result.objects.head(MOST_LISTED).to_dict("records"), rings_of_all, strict=False):
        point = point_of(row)
        # as in the vector files: a reference to 10 m is cut off, not rounded, and would differ at an edge
        place = (
            [] if point is None else [point.dd, facts.clean(row["dms"]), f"MGRS {facts.clean(row['mgrs'])}"]
        )
        kind = facts.kind_of(str(row["kind"]))
        rows.append(
            {
                "id": int(row["id"]),
                "kind": facts.consistent_with(str(row["kind"])),
                "colour": KIND_COLOURS[kind],
                "evidence": facts.clean(row["evidence"], 400),
                **radar_words(result, row),
                "warnings": facts.clean(row["warnings"], 300),
                "confidence": facts.clean(row["confidence"], 20),
                "score": score_text(result, row),
                "area": facts.area_text(float(row["area_m2"])),
                "area_m2": facts.number(float(row["area_m2"]), 0, "m²"),
                "place": place,
                "seen": list(between(row)),
                "chips": _chips(result, shown, rings),
            }
        )
    return rows


def _chips(result: ChangeResult, shown: _Shown, rings: Rings) -> dict[str, object]:
    """Return before and after around an object, with its outline in pixels of the cut-out."""
    shape = (result.grid.shape[0], result.grid.shape[1])
    row, column, size = chip_window(rings, shape)
    rows, columns = window(shape, row, column, size)
    height_m, width_m = pixel_size_m(result.grid)
    width, height = columns.stop - columns.start, rows.stop - rows.start
    cut = [
        (
            word,
            to_jpeg_data_url(shrink(picture, shown.chip_px), most_bytes=shown.bytes_chip),
        )
        for word, picture in shown.cut((rows, columns))
    ]
    return {
        "images": cut,
        "box": f"{columns.start} {rows.start} {width} {height}",
        "aspect": width * width_m / (height * height_m),
        "path": ring_path(rings, 2_000),
        "across": length_text(chip_width_m(columns, result)),
    }


def _tables(result: ChangeResult) -> dict[str, object]:
    before, after = scene_rows(result.before.scene), scene_rows(result.after.scene)
    fuller = before if result.before.scene.members else after
    known = [label for label, _ in fuller if label != "Note"]
    scenes = [
        (label, *(dict(rows).get(label, "none, a single date") for rows in (before, after)))
        for label in known
    ]
    notes = [" ".join(text for label, text in rows if label == "Note") for rows in (before, after)]
    shares = (result.pair.clear_share_before, result.pair.clear_share_after)
    clear = "Observed of the site" if result.radar_alone else "Clear over the site"
    scenes.append((clear, facts.share_text(shares[0]), facts.share_text(shares[1])))
    if not result.radar_alone:
        scenes.append(("Clouds known from", result.before.classes_source, result.after.classes_source))
    scenes += [("Notes", notes[0] or "none", notes[1] or "none")]
    kinds = sorted({facts.kind_of(str(k)) for k in result.objects["kind"]})
    return {
        "scenes": scenes,
        "states": _states(result),
        "parameters": list(facts.flatten(result.parameters)),
        "thresholds": list(facts.flatten(result.thresholds)),
        "normalisation": _normalisation(result),
        "surfaces": []
        if result.radar_alone
        else [(r.surface.value, r.text, r.source) for r in SURFACE_RULES],
        "kinds": [(KIND_LABELS[k], KIND_COLOURS[k]) for k in kinds],
        "kind_rules": [] if result.radar_alone else _kind_rules(),
        "floor": facts.floor_text(result),
        "states_present": {
            "unseen": result.state_counts[State.NOT_OBSERVED] > 0,
            "refused": result.state_counts[State.NOT_COMPARABLE] > 0,
        },
    }


def _kind_rules() -> list[tuple[str, str, str]]:
    """Return each kind with the grounds it is read from and what else looks the same."""
    grounds: dict[Kind, list[str]] = {}
    for (before, after), kind in KIND_TABLE.items():
        grounds.setdefault(kind, []).append(f"{before.value} to {after.value}")
    return [
        (KIND_LABELS[k], "; ".join(grounds.get(k, ["any other"])), caveat)
        for k, caveat in KIND_CAVEATS.items()
    ]


def _states(result: ChangeResult) -> list[dict[str, object]]:
    areas = state_areas(result)
    rows: list[dict[str, object]] = []
    for state, label in STATE_LABELS.items():
        if state != State.OUTSIDE:
            share = result.state_shares[label]
            rows.append(
                {
                    "label": label,
                    "share": facts.share_text(share),
                    "width": 100 * share,
                    "pixels": f"{result.state_counts[state]:,}",
                    "area": areas[label],
                    "mark": state.name.lower().replace("_", "-"),
                }
            )
    return rows


def _normalisation(result: ChangeResult) -> list[tuple[str, str, str, str]]:
    done = result.normalization
    if done is None:
        return []
    return [
        (facts.clean(band, 20), facts.number(gain, 3), facts.number(offset, 4), facts.number(error, 4))
        for band, gain, offset, error in zip(done.bands, done.gain, done.offset, done.error, strict=True)
    ]


def _provenance(record: Mapping[str, Any]) -> dict[str, object]:
    """Return what the record knows of limits, software and files; keys that are missing are left out."""
    software = record.get("software")
    libraries = software.get("libraries") if isinstance(software, Mapping) else record.get("versions")
    limits = record.get("limits") or ()
    files = record.get("files")
    inputs = record.get("inputs")
    scenes, others = input_rows(inputs) if isinstance(inputs, Mapping) else ([], {})
    objects = files.get("changes.gpkg", {}) if isinstance(files, Mapping) else {}
    digest = facts.clean(objects.get("sha256", ""), 64)
    return {
        "objects_digest": digest,
        "verdicts_file": f"verdicts-{digest[:8]}.json",
        "verdict_words": VERDICT_WORDS,
        "limits": [facts.clean(t, 600) for t in ([limits] if isinstance(limits, str) else limits)],
        "version": version("changedet"),
        "schema": facts.clean(record.get("schema", ""), 60),
        "timeline": record.get("timeline"),
        "libraries": list(facts.flatten(libraries)) if isinstance(libraries, Mapping) else [],
        "input_heads": INPUT_HEADS,
        "input_scenes": scenes,
        "inputs": list(facts.flatten(others)),
        "files": _files(files) if isinstance(files, Mapping) else [],
    }


def _files(files: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            facts.clean(name, 120),
            facts.number(entry.get("bytes"), 0),
            facts.clean(entry.get("sha256", "not known"), 64),
        )
        for name, entry in sorted(files.items())
        if isinstance(entry, Mapping)
    ]
