"""What a reader is shown that follows from a result: it stands in ``run.json`` too, number by number."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.objects import COLUMNS
from changedet.output import facts, radar_facts
from changedet.output.ground import centre, corners, place_texts, round_length_m
from changedet.output.picture import outlines, score_range, window
from changedet.output.stretch import stretch_limits
from changedet.resample import has_place, pixel_size_m
from changedet.result import STATE_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.result import ChangeResult

#: How many objects the report and the record list; all of them are in the vector files.
MOST_LISTED = 50

_SMALLEST_CHIP_PX, _CHIP_TO_OBJECT = 28, 2.5
_SCALE_BAR_SHARE = 0.3


def shown_section(result: ChangeResult) -> dict[str, Any]:
    """Return what the report and the plates say that no other part of the record says as it is said.

    Parameters
    ----------
    result : ChangeResult
        Any.

    Returns
    -------
    dict
        ``finding``, ``quality``, ``registration`` and ``floor`` in words; ``centre`` and ``corners`` of the
        grid (WGS 84, corners from the upper left clockwise); ``stretch`` of the pictures, ``score_range`` of
        the colours, ``scale_bar_m``; ``area_by_state``; and the leading ``objects``, at most `MOST_LISTED`.
    """
    known = has_place(result.grid)
    limits = stretch_limits(result.before, result.after)
    return {
        "finding": facts.finding(result),
        "quality": [asdict(fact) for fact in radar_facts.quality(result)],
        "registration": facts.registration_text(result),
        "floor": facts.floor_text(result),
        "centre": dict(place_texts(centre(result.grid) if known else None)),
        "corners": [point.dd for point in corners(result.grid)] if known else [],
        "stretch": limits.text,
        "score_range": score_range(result),
        "scale_bar_m": scale_bar_m(result),
        "area_by_state": state_areas(result),
        "objects": _objects(result),
    }


def scale_bar_m(result: ChangeResult) -> float:
    """Return how long the scale bar of a picture of the whole site is, in metres on the ground."""
    return round_length_m(_SCALE_BAR_SHARE * result.grid.shape[1] * pixel_size_m(result.grid)[1])


def state_areas(result: ChangeResult) -> dict[str, str]:
    """Return how much ground is in each state, in words, by label."""
    pixel_m2 = math.prod(pixel_size_m(result.grid))
    return {
        label: facts.area_text(result.state_counts[state] * pixel_m2) for state, label in STATE_LABELS.items()
    }


def score_text(result: ChangeResult, row: Mapping[Any, Any]) -> str:
    """Say how high an object scores, and what that means.

    Parameters
    ----------
    result : ChangeResult
        Where it was found.
    row : mapping
        Of the object table.

    Returns
    -------
    str
        Such as "0.27 (19.4 robust deviations above background; construction-like 0.21; 1 in 180 windows of
        its size score as high)".
    """
    likeness = math.nan if result.radar_alone else float(row["construction"])
    parts = (
        f"{facts.number(float(row['score_mads']), 1)} robust deviations above background",
        *((f"construction-like {facts.number(likeness)}",) if math.isfinite(likeness) else ()),
        f"{facts.one_in(float(row['context_share']))} windows of its size score as high",
    )
    return f"{facts.number(float(row['score']))} ({'; '.join(parts)})"


def chip_window(rings: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> tuple[float, float, int]:
    """Return what is cut out of the pictures to show an object with its surroundings.

    Parameters
    ----------
    rings : sequence of ndarray, shape (n, 2)
        Outline in pixels of the grid, as `changedet.output.picture.outlines` returns it.
    shape : tuple of int
        Of the grid.

    Returns
    -------
    row, column : float
        Its middle.
    size : int
        Its side in pixels.
    """
    points = np.concatenate(rings) if len(rings) else np.array([[shape[1] / 2, shape[0] / 2]])
    low, high = points.min(axis=0), points.max(axis=0)
    column, row = (low + high) / 2
    return float(row), float(column), int(max(_SMALLEST_CHIP_PX, _CHIP_TO_OBJECT * (high - low).max()))


def chip_width_m(columns: slice, result: ChangeResult) -> float:
    """Return how wide the cut-out of these columns is on the ground, to two digits, in metres."""
    return float(f"{(columns.stop - columns.start) * pixel_size_m(result.grid)[1]:.2g}")


def _objects(result: ChangeResult) -> list[dict[str, Any]]:
    objects = result.objects.head(MOST_LISTED)
    shape = (result.grid.shape[0], result.grid.shape[1])
    rows = []
    for row, rings in zip(objects.to_dict("records"), outlines(objects, result.grid), strict=True):
        _, columns = window(shape, *chip_window(rings, shape))
        said = {"score_text": score_text(result, row), "picture_m": chip_width_m(columns, result)}
        rows.append({name: row[name] for name in COLUMNS} | said)
    return rows
