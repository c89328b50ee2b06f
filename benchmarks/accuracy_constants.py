"""What the constants of the method are worth when they are chosen on other cities than those measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.accuracy_pairs import Varied

from changedet.comparison import compare
from changedet.core.accuracy import PixelCounts, average_precision, count_pixels, rank_pixels
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.accuracy_pairs import City

_AP, _F1 = "average_precision", "f1"


@dataclass(frozen=True)
class Constant:
    """A constant of the method.

    Attributes
    ----------
    name : str
        What it is called in the code.
    values : tuple
        Those that are tried, the default among them.
    measures : tuple of str
        What it can change: the ranking and the decision, or the decision alone.
    """

    name: str
    values: tuple[Any, ...]
    measures: tuple[str, ...] = (_F1,)


CONSTANTS = (
    Constant("surprise_cap", (5.0, 7.0, 10.0, 15.0, 30.0), (_AP, _F1)),
    Constant("structure_cap", (2.5, 3.5, 5.0, 7.0, 10.0), (_AP, _F1)),
    Constant("structure_weight", (0.0, 0.25, 0.5, 0.75, 1.0), (_AP, _F1)),
    Constant(
        "smoothing_px",
        ((1.0, 2.0, 4.0), (2.0, 4.0), (2.0, 4.0, 8.0), (1.0, 2.0, 4.0, 8.0), (1.0, 2.0, 4.0, 8.0, 16.0)),
        (_AP, _F1),
    ),
    Constant("knots", ((), (0.5,), (0.25, 0.5, 0.75), (0.1, 0.3, 0.5, 0.7, 0.9)), (_AP, _F1)),
    Constant("weight of B05", (0.0, 0.15, 0.3, 0.5, 1.0), (_AP, _F1)),
    Constant("seed_mads", (6.0, 8.0, 10.0, 12.0, 15.0)),
    Constant("grow_mads", (4.0, 4.5, 5.0, 5.5, 6.0)),
    Constant("seed_contrast", (0.01, 0.015, 0.02, 0.03, 0.04)),
    Constant("grow_contrast", (0.0, 0.005, 0.01, 0.015, 0.02)),
    Constant("seed_contrast_share", (0.3, 0.35, 0.4, 0.45, 0.5)),
    Constant("peak_share", (0.15, 0.2, 0.25, 0.3, 0.35)),
)


@dataclass(frozen=True)
class Outcome:
    """What a variant of the method did in a city."""

    average_precision: float
    pixels: PixelCounts

    @property
    def f1(self) -> float:
        """Of the pixels, at the decision of the variant."""
        return self.pixels.f1

    @classmethod
    def of(cls, city: City, settings: Varied) -> Outcome:
        """Compare a registered pair and hold it against the labels."""
        found = compare(city.pair, city.inside, settings, refused=False)
        known = city.truth.known
        changed = city.truth.changed[known]
        ranking = rank_pixels(changed, found.flagged.score[known])
        flagged = (found.state == State.CHANGED)[known]
        return cls(average_precision(ranking), count_pixels(changed, flagged))


def varied(changes: Mapping[str, Any]) -> Varied:
    """Return the default settings with some constants changed, by the names in `CONSTANTS`."""
    usual = Varied()
    bands = {name: value for name, value in changes.items() if name.startswith("weight of ")}
    predict = {name: value for name, value in changes.items() if hasattr(usual.predict, name)}
    decision = {name: v for name, v in changes.items() if name not in bands and name not in predict}
    return replace(
        usual,
        predict=replace(usual.predict, **predict),
        threshold=replace(usual.threshold, **decision),
        weight_of_band=tuple((name.removeprefix("weight of "), value) for name, value in bands.items()),
    )


def default_of(constant: Constant) -> Any:
    """Return the value that the program uses."""
    usual = Varied()
    for holder in (usual.predict, usual.threshold):
        if hasattr(holder, constant.name):
            return getattr(holder, constant.name)
    from changedet.bands import band

    return band(constant.name.removeprefix("weight of ")).change_weight


def best_elsewhere(figures: Sequence[Sequence[float]], left_out: int) -> int:
    """Return which row has the highest mean over all columns but one; the first of equal ones.

    >>> best_elsewhere([[0.9, 0.1, 0.1], [0.0, 0.5, 0.5]], left_out=0)
    1
    """
    means = np.delete(np.asarray(figures, np.float64), left_out, axis=1).mean(axis=1)
    return int(np.argmax(means))


def measured_constants(
    cities: Sequence[City],
    constants: Sequence[Constant] = CONSTANTS,
    outcome: Callable[[City, Varied], Outcome] = Outcome.of,
) -> dict[str, Any]:
    """Choose each constant on all cities but one, and measure it on that one; then all of them at once."""
    usual = [outcome(city, varied({})) for city in cities]
    found: dict[str, Any] = {"default": _means(usual), "constants": {}}
    chosen: dict[str, list[dict[str, Any]]] = {key: [{} for _ in cities] for key in (_AP, _F1)}
    for constant in constants:
        default = default_of(constant)
        tried = [
            usual if value == default else [outcome(c, varied({constant.name: value})) for c in cities]
            for value in constant.values
        ]
        _require_effect(constant, tried)
        found["constants"][constant.name] = _one_constant(constant, tried, chosen)
        print(constant.name, found["constants"][constant.name], flush=True)
    found["all_at_once"] = {
        key: _means([outcome(city, _together(sets[i])) for i, city in enumerate(cities)])
        for key, sets in chosen.items()
    }
    return found


def _require_effect(constant: Constant, tried: Sequence[Sequence[Outcome]]) -> None:
    """Refuse a constant whose values all give the same: it never reached the comparison."""
    if all(list(row) == list(tried[0]) for row in tried[1:]):
        raise RuntimeError(f"{constant.name} changes nothing in any city: it does not reach the comparison")


def _one_constant(
    constant: Constant, tried: Sequence[Sequence[Outcome]], chosen: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "default": default_of(constant),
        "values": list(constant.values),
        "means": [_means(row) for row in tried],
    }
    for key in constant.measures:
        figures = [[getattr(one, key) for one in row] for row in tried]
        picks = [best_elsewhere(figures, city) for city in range(len(figures[0]))]
        for city, pick in enumerate(picks):
            chosen[key][city][constant.name] = constant.values[pick]
        report[f"left_out_{key}"] = float(np.mean([figures[pick][city] for city, pick in enumerate(picks)]))
        report[f"chosen_by_{key}"] = [constant.values[pick] for pick in picks]
    return report


def _together(changes: Mapping[str, Any]) -> Varied:
    """Set several constants at once; the second threshold or contrast never above the first."""
    usual = Varied().threshold
    changes = dict(changes)
    for lower, upper in (("grow_mads", "seed_mads"), ("grow_contrast", "seed_contrast")):
        most = changes.get(upper, getattr(usual, upper))
        changes[lower] = min(changes.get(lower, getattr(usual, lower)), most)
    return varied(changes)


def _means(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return mean average precision and mean F1 of several cities, and F1 of their pixels together."""
    return {
        "average_precision": float(np.mean([one.average_precision for one in outcomes])),
        "f1": float(np.mean([one.f1 for one in outcomes])),
        "pooled_f1": sum((one.pixels for one in outcomes), PixelCounts()).f1,
    }
