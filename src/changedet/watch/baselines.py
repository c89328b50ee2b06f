"""What is kept of a watched site as arrays: what is usual, what added up, and what it looked like."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.harmonic_baseline import BaselineCode, fit_baseline
from changedet.core.index_alarms import update_indices
from changedet.core.indices import INDICES, compute_indices
from changedet.core.medians import median_of_dates
from changedet.core.monitoring import MonitorState, start_monitoring
from changedet.errors import InputFileError, MissingBandError, NoUsableImageryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.scene import Image, Scene
    from changedet.watch.rules import WatchRules

#: Form of the stored arrays.
BASELINE_VERSION = 1
#: What is watched, as far as the bands allow.
WATCHED = ("NDVI", "brightness", "NDBI")
#: Clear dates that are kept of each pixel, of which the median is what it looks like now.
RECENT_DATES = 5
#: Deviations are kept in tenths of a standard deviation.
_TENTHS, _UNSEEN = np.float32(10), np.int8(-128)
_LEAST_HISTORY = 3


@dataclass(frozen=True, eq=False)
class SiteBaseline:
    """All that the next date of a site needs; it never changes, each date makes a new one.

    Attributes
    ----------
    names : tuple of str
        Of the indices.
    bands : tuple of str
        Of `before` and `recent`.
    states : tuple of MonitorState
        One for each index.
    times : tuple of str
        UTC time of each date that was taken, history first.
    days : ndarray of float64, shape (time,)
        The same in days since 1970.
    units : ndarray of int8, shape (index, time, y, x)
        Tenths of a standard deviation from what is usual; -128 where a date says nothing.
    before : ndarray of float32, shape (band, y, x)
        Median of the history.
    recent : ndarray of float32, shape (date, band, y, x)
        The last clear dates of each pixel, newest last.
    reference : ndarray of float32, shape (y, x)
        What dates are registered to, on the grid with its surroundings.
    inside : ndarray of bool, shape (y, x)
        Pixels of the site.
    since : str
        The first day that is watched.
    place : mapping
        The grid: ``crs``, ``transform``, ``shape``.
    simulated : bool
        Whether any date was simulated.
    """

    names: tuple[str, ...]
    bands: tuple[str, ...]
    states: tuple[MonitorState, ...]
    times: tuple[str, ...]
    days: NDArray[np.float64]
    units: NDArray[np.int8]
    before: NDArray[np.float32]
    recent: NDArray[np.float32]
    reference: NDArray[np.float32]
    inside: NDArray[np.bool_]
    since: str
    place: Mapping[str, Any]
    simulated: bool = False

    @property
    def day(self) -> float:
        """The last date that was taken."""
        return float(self.days[-1])

    @property
    def watched_share(self) -> float:
        """Share of the site of which the history says what is usual, 0 to 1."""
        usable = (BaselineCode.MONITORED, BaselineCode.LEVEL_ONLY)
        known = np.any([np.isin(one.baseline.code, usable) for one in self.states], axis=0)
        return float(known[self.inside].mean()) if self.inside.any() else 0.0

    def now(self) -> NDArray[np.float32]:
        """Return what the last clear dates look like, shape (band, y, x); NaN where there are none."""
        return np.stack([median_of_dates(plane) for plane in np.moveaxis(self.recent, 1, 0)])

    def units_of(self, index: int, pixels: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the deviations of some pixels, shape (time, pixel), in standard deviations; NaN unseen.

        Parameters
        ----------
        index : int
            Which index.
        pixels : ndarray of bool, shape (y, x)
            Which pixels.

        Returns
        -------
        ndarray of float32, shape (time, pixel)
        """
        kept = self.units[index][:, pixels]
        return np.where(kept == _UNSEEN, np.float32(np.nan), kept / _TENTHS).astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as plain arrays."""
        about = {
            "version": BASELINE_VERSION, "names": list(self.names), "bands": list(self.bands),
            "times": list(self.times), "since": self.since, "place": dict(self.place),
            "simulated": self.simulated,
        }  # fmt: skip
        found: dict[str, NDArray[Any]] = {"site": np.array(json.dumps(about))}
        found |= {name: getattr(self, name) for name in _ARRAYS}
        for name, state in zip(self.names, self.states, strict=True):
            found |= {f"{name}/{key}": array for key, array in state.to_arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SiteBaseline:
        """Make what `to_arrays` described.

        Parameters
        ----------
        arrays : mapping of ndarray

        Returns
        -------
        SiteBaseline

        Raises
        ------
        InputFileError
            When arrays are missing or do not fit together, or another version wrote them.
        """
        try:
            about = json.loads(str(arrays["site"]))
            if about["version"] != BASELINE_VERSION:
                message = f"version {about['version']}"
                raise ValueError(message)
            names = tuple(map(str, about["names"]))
            states = tuple(MonitorState.from_arrays(_part(arrays, name)) for name in names)
            kept = {name: np.asarray(arrays[name]) for name in _ARRAYS}
            return cls(names, tuple(about["bands"]), states, tuple(about["times"]), **kept,
                       since=str(about["since"]), place=about["place"],
                       simulated=bool(about["simulated"]))  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            said = " ".join(str(error).split())[:120]
            raise InputFileError(
                f"what is kept of the site cannot be used ({said})",
                todo="name another state file with --state to begin anew",
            ) from error


_ARRAYS = ("days", "units", "before", "recent", "reference", "inside")


def _part(arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    head = f"{name}/"
    return {key.removeprefix(head): array for key, array in arrays.items() if key.startswith(head)}


@dataclass(frozen=True, eq=False)
class Ground:
    """What is known of a site before any date is read.

    Attributes
    ----------
    reference : ndarray of float32, shape (y, x)
        See `SiteBaseline`.
    inside : ndarray of bool, shape (y, x)
        Pixels of the site.
    since : str
        The first day that is watched.
    """

    reference: NDArray[np.float32]
    inside: NDArray[np.bool_]
    since: str


def learn(images: Sequence[Image], ground: Ground, rules: WatchRules) -> SiteBaseline:
    """Learn from the history of a site what is usual.

    Parameters
    ----------
    images : sequence of Image
        In order of time, on one grid, with the same bands.
    ground : Ground
        The site.
    rules : WatchRules
        When alarms persist.

    Returns
    -------
    SiteBaseline

    Raises
    ------
    NoUsableImageryError
        When there are too few dates.
    MissingBandError
        When the dates have the bands of none of `WATCHED`.
    """
    if len(images) < _LEAST_HISTORY:
        raise NoUsableImageryError(
            f"{len(images)} usable date(s) before {ground.since} do not say what is usual",
            todo="choose a longer --history, a later --since or a lower --min-clear",
        )
    bands = images[0].bands
    names = tuple(name for name in WATCHED if INDICES[name][1] <= set(bands))
    if not names:
        raise MissingBandError(f"no index of {', '.join(WATCHED)}: the dates have {', '.join(bands)}",
                               todo="choose a --provider with B04 and B08")  # fmt: skip
    days = np.array([_day(one.scene) for one in images], np.float64)
    seen = np.stack([_seen(one, ground.inside) for one in images])
    series: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for one in images:
        indices = compute_indices(one.data, one.bands)
        for name in names:
            series[name].append(indices[name])
    states, units = [], []
    for name in names:
        values = np.stack(series.pop(name))
        baseline = fit_baseline(values, days, seen)
        states.append(start_monitoring(baseline, rules.monitor()))
        units.append(_tenths(baseline.standardise(values, days, seen)))
    stack = [np.where(mask, one.data, np.float32(np.nan)) for one, mask in zip(images, seen, strict=True)]
    before = np.stack([median_of_dates(np.stack([one[b] for one in stack])) for b in range(len(bands))])
    recent = np.full((RECENT_DATES, *before.shape), np.nan, np.float32)
    for plane, mask in zip(stack, seen, strict=True):
        recent = _pushed(recent, plane, mask)
    return SiteBaseline(
        names, bands, tuple(states), tuple(one.scene.time_text for one in images), days, np.stack(units),
        before, recent, ground.reference, ground.inside, ground.since, grid_facts(images[0]),
        any(one.scene.simulated for one in images),
    )  # fmt: skip


def take(base: SiteBaseline, image: Image) -> SiteBaseline:
    """Take one more date; none before it is read or fitted again.

    Parameters
    ----------
    base : SiteBaseline
        Stays as it is.
    image : Image
        On the same grid, later than the last one.

    Returns
    -------
    SiteBaseline

    Raises
    ------
    MissingBandError
        When the date lacks bands that the history had.
    """
    if lacking := [name for name in base.bands if name not in image.bands]:
        raise MissingBandError(f"the date lacks {', '.join(lacking)}", where=image.scene.id)
    image = image.select(base.bands)
    day, seen = _day(image.scene), _seen(image, base.inside)
    indices = compute_indices(image.data, image.bands)
    values = np.stack([indices[name] for name in base.names])
    units = [
        _tenths(state.baseline.standardise(plane[None], np.array([day]), seen[None]))
        for state, plane in zip(base.states, values, strict=True)
    ]
    return replace(
        base,
        states=update_indices(base.states, day, values, seen),
        times=(*base.times, image.scene.time_text),
        days=np.append(base.days, day),
        units=np.concatenate([base.units, np.stack(units)], axis=1),
        recent=_pushed(base.recent, np.where(seen, image.data, np.float32(np.nan)), seen),
        simulated=base.simulated or image.scene.simulated,
    )


def grid_facts(image: Image) -> dict[str, Any]:
    """Return what tells one grid from another, JSON-serialisable.

    Parameters
    ----------
    image : Image
        Any.

    Returns
    -------
    dict
        ``crs`` as text, ``transform`` and ``shape``.
    """
    grid = image.grid
    return {
        "crs": str(grid.crs),
        "transform": [float(number) for number in tuple(grid.transform)[:6]],
        "shape": [int(size) for size in grid.shape],
    }


def _seen(image: Image, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(image.valid & ~image.snow & np.isfinite(image.data).all(axis=0) & inside)


def _day(scene: Scene) -> float:
    return math.nan if scene.time is None else scene.time.timestamp() / 86400


def _tenths(units: NDArray[np.float32]) -> NDArray[np.int8]:
    seen = np.isfinite(units)
    scaled = np.clip(np.rint(np.where(seen, units, 0) * _TENTHS), -127, 127)
    return np.where(seen, scaled, _UNSEEN).astype(np.int8)


def _pushed(
    recent: NDArray[np.float32], values: NDArray[np.float32], seen: NDArray[np.bool_]
) -> NDArray[np.float32]:
    return np.where(seen, np.concatenate([recent[1:], values[None]]), recent)
