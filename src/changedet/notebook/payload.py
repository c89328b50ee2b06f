"""What the browser is sent of a result: scores as bytes, pictures, outlines, from which it draws."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import NATURAL_COLOUR
from changedet.kinds import KIND_COLOURS
from changedet.output import facts
from changedet.output.picture import (
    draw_image,
    outlines,
    ring_path,
    score_colours,
    score_range,
    shrink,
    to_jpeg_data_url,
)
from changedet.output.redaction import WITHHELD, published
from changedet.output.stretch import stretch_limits
from changedet.output.summary import place_text
from changedet.resample import pixel_size_m
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import geopandas as gpd
    from numpy.typing import NDArray

    from changedet.result import ChangeResult
    from changedet.scene import Image

#: Scores of larger grids are sent as the highest of each block, so that the browser stays quick.
MOST_PIXELS = 2_250_000
#: Outlines that are sent; the rest is counted.
MOST_OUTLINED = 400
#: Band combinations by name: red, green and blue of the picture.
COMBINATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "natural colour": NATURAL_COLOUR,
        "near infrared (plants are red)": ("B08", "B04", "B03"),
        "short-wave infrared": ("B12", "B08", "B04"),
        "built-up ground": ("B12", "B11", "B04"),
    }
)
#: The images as they were compared, when none of `COMBINATIONS` can be drawn.
AS_COMPARED = "as compared"
#: The passes of radar, where it was asked beside optical images.
RADAR = "radar"
_LEVELS = 65_534
_LARGEST_PICTURE_PX, _BYTES_PICTURE = 1500, 900_000
_LONGEST_PATH = 4_000


@dataclass(frozen=True, eq=False)
class SentScore:
    """A score as bytes.

    Attributes
    ----------
    codes : ndarray of uint16, shape (y, x)
        0 = not judged; 1 to 65535 stand for `low` to `high` in even steps.
    low, high : float
        The lowest and the highest score.
    block : int
        How many pixels of the grid each code stands for, along either side.
    """

    codes: NDArray[np.uint16]
    low: float
    high: float
    block: int

    @property
    def step(self) -> float:
        """How far apart scores are that get different codes."""
        return (self.high - self.low) / _LEVELS


def send_score(score: NDArray[np.float32], most_pixels: int = MOST_PIXELS) -> SentScore:
    """Turn a score into codes of two bytes.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        NaN = not judged.
    most_pixels : int
        Larger ones are sent as the highest score of each block.

    Returns
    -------
    SentScore
        Blocks in which nothing was judged have code 0.

    Examples
    --------
    >>> send_score(np.array([[1.0, np.nan, 3.0]], np.float32)).codes.tolist()
    [[1, 0, 65535]]
    """
    block = block_of(score.shape, most_pixels)
    highest = in_blocks(np.where(np.isfinite(score), score, np.float32(-np.inf)), block).max(axis=(1, 3))
    judged = np.isfinite(highest)
    low, high = (float(highest[judged].min()), float(highest[judged].max())) if judged.any() else (0.0, 1.0)
    high = max(high, low + 1e-6)
    level = np.where(judged, (highest - low) * (_LEVELS / (high - low)), 0)
    return SentScore(np.where(judged, np.rint(level) + 1, 0).astype(np.uint16), low, high, block)


def block_of(shape: tuple[int, ...], most_pixels: int = MOST_PIXELS) -> int:
    """Return the side of the blocks that make an array of this shape small enough."""
    return max(1, int(np.ceil(np.sqrt(np.prod(shape) / most_pixels))))


def in_blocks(plane: NDArray[Any], block: int) -> NDArray[Any]:
    """Return a plane as (rows of blocks, block, columns of blocks, block); its last pixels are repeated."""
    rows, columns = (-size % block for size in plane.shape)
    padded = np.pad(plane, ((0, rows), (0, columns)), mode="edge") if rows or columns else plane
    return padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)


def send_state(state: NDArray[np.uint8], block: int) -> bytes:
    """Return the state of the first pixel of each block, in rows."""
    return bytes(in_blocks(state, block)[:, 0, :, 0].tobytes())


def combinations(result: ChangeResult) -> dict[str, tuple[str, ...]]:
    """Return the pictures that can be drawn of a result.

    Parameters
    ----------
    result : ChangeResult
        Any.

    Returns
    -------
    dict of str to tuple of str
        Bands by the name of the picture, the usual one first.
    """
    there = set(result.before.bands)
    found = {name: bands for name, bands in COMBINATIONS.items() if there >= set(bands)}
    found = found or {AS_COMPARED: result.before.bands}
    if result.radar is not None and not result.radar_alone:
        found[RADAR] = result.radar.before.bands
    return found


def send_pictures(result: ChangeResult, name: str) -> dict[str, str]:
    """Draw both dates with one stretch.

    Parameters
    ----------
    result : ChangeResult
        Any.
    name : str
        One of `combinations`.

    Returns
    -------
    dict of str to str
        ``before`` and ``after`` as ``data:`` addresses, and ``stretch`` in words.

    Raises
    ------
    KeyError
        When there is no such picture.
    """
    bands = combinations(result)[name]
    before, after = result.before, result.after
    if name == RADAR and result.radar is not None:
        before, after = result.radar.before, result.radar.after
    before, after = before.select(bands), after.select(bands)
    limits = stretch_limits(before, after)
    drawn = {word: _encoded(draw_image(one, limits)) for word, one in (("before", before), ("after", after))}
    return {**drawn, "stretch": limits.text}


def _encoded(picture: NDArray[np.uint8]) -> str:
    return to_jpeg_data_url(shrink(picture, _LARGEST_PICTURE_PX), most_bytes=_BYTES_PICTURE)


def describe(result: ChangeResult, sent: SentScore) -> dict[str, Any]:
    """Return everything about a result that stays as it is while it is looked at.

    Parameters
    ----------
    result : ChangeResult
        Any.
    sent : SentScore
        Its score.

    Returns
    -------
    dict
        JSON-serialisable; texts are plain, the browser never reads them as HTML.
    """
    result = published(result)
    height_m, width_m = pixel_size_m(result.grid)
    rows, columns = (int(size) for size in result.grid.shape)
    drawn_low, drawn_high = score_range(result)
    return {
        "title": facts.clean(result.name),
        "finding": facts.finding(result),
        "notes": [facts.clean(text, 300) for text in facts.warnings(result)],
        "simulated": facts.SIMULATED_NOTE if facts.is_simulated(result) else "",
        "not_flagged": unescape(facts.NOT_FLAGGED_NOTE),
        "credit": ". ".join(facts.credit_lines(result)),
        "before": facts.when(result.before.scene),
        "after": facts.when(result.after.scene),
        "rows": rows,
        "columns": columns,
        "aspect": columns * width_m / (rows * height_m),
        "pixel_m2": height_m * width_m,
        "sent_rows": sent.codes.shape[0],
        "sent_columns": sent.codes.shape[1],
        "low": sent.low,
        "high": sent.high,
        "drawn_low": drawn_low,
        "drawn_high": drawn_high,
        "colours": score_colours().tolist(),
        "states": {"not_observed": State.NOT_OBSERVED, "not_comparable": State.NOT_COMPARABLE,
                   "outside": State.OUTSIDE},
        "pictures": list(combinations(result)),
    }  # fmt: skip


def send_objects(
    objects: gpd.GeoDataFrame, result: ChangeResult, *, hidden: bool = False
) -> list[dict[str, Any]]:
    """Return the leading candidates with their outlines.

    Parameters
    ----------
    objects : GeoDataFrame
        Ranked, as `ChangeResult.objects`.
    result : ChangeResult
        Whose they are.
    hidden : bool
        Leave out kind, score, confidence and evidence, for reviewers who judge by the pictures alone.

    Returns
    -------
    list of dict
        At most `MOST_OUTLINED`, JSON-serialisable: number, texts, path in pixels of the grid, and its box.
    """
    objects = objects.head(MOST_OUTLINED)
    found = []
    for row, rings in zip(objects.to_dict("records"), outlines(objects, result.grid), strict=True):
        corners = np.concatenate(rings) if rings else np.zeros((1, 2))
        box = [*corners.min(axis=0).round(2).tolist(), *corners.max(axis=0).round(2).tolist()]
        told = _place(row, result) | ({} if hidden else _opinion(row))
        colour = "#ffffff" if hidden else KIND_COLOURS[facts.kind_of(str(row["kind"]))]
        found.append(told | {"path": ring_path(rings, _LONGEST_PATH), "box": box, "colour": colour})
    return found


def _place(row: Mapping[Any, Any], result: ChangeResult) -> dict[str, Any]:
    shut = result.redact_coordinates
    return {
        "id": int(row["id"]),
        "area": facts.area_text(float(row["area_m2"])),
        "area_m2": float(row["area_m2"]),
        "where": WITHHELD if shut else place_text(row),
        "mgrs": WITHHELD if shut else facts.clean(row["mgrs"], 20),
    }


def _opinion(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "kind": facts.consistent_with(str(row["kind"])),
        "confidence": facts.clean(row["confidence"], 20),
        "score": facts.number(float(row["score"])),
        "evidence": facts.clean(row["evidence"], 500),
        "warnings": facts.clean(row["warnings"], 300),
    }


def send_image(image: Image, like: Image | None = None) -> str:
    """Draw one date for leafing through dates.

    Parameters
    ----------
    image : Image
        The date.
    like : Image, optional
        Whose stretch is taken; its own when not given.

    Returns
    -------
    str
        A ``data:`` address.
    """
    other = image if like is None else like
    return _encoded(draw_image(image, stretch_limits(other, other)))
