"""What is kept of a watched site as arrays: what is usual, what added up, and what it looked like."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.harmonic_baseline import Baseline, BaselineCode, design_of, fit_baseline
from changedet.core.index_alarms import update_indices
from changedet.core.indices import INDICES, compute_indices
from changedet.core.medians import median_of_dates
from changedet.core.monitoring import MonitorState, start_monitoring
from changedet.errors import InputFileError, MissingBandError, NoUsableImageryError
from changedet.json_texts import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.scene import Image, Scene
    from changedet.watch.rules import WatchRules

    Floats = NDArray[np.float32]

#: Form of the stored arrays.
BASELINE_VERSION = 2
#: What is watched, as far as the bands allow.
WATCHED = ("NDVI", "brightness", "NDBI")
#: Clear dates that are kept of each pixel, of which the median is what it looks like now.
RECENT_DATES = 5
#: Deviations are kept as steps of an inverse hyperbolic sine: of a tenth of a standard deviation where they
#: are small, of a thirtieth of themselves where they are large, and up to 103. A plain number of tenths would
#: end at 12.7, where forest with a hall on it cannot be told from forest that is a little browner.
_KNEE, _TENTHS = np.float32(3), np.float32(10)
#: What stands where a date says nothing.
UNSEEN = np.int8(-128)
#: Form in which they were plain tenths.
_PLAIN_VERSION = 1
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
        Deviations from what is usual, as `units_of` reads them; -128 where a date says nothing.
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
        known = np.any([one.baseline.monitored for one in self.states], axis=0)
        return float(known[self.inside].mean()) if self.inside.any() else 0.0

    def now(self) -> NDArray[np.float32]:
        """Return what the last clear dates look like, shape (band, y, x); NaN where there are none."""
        return np.stack([median_of_dates(plane) for plane in np.moveaxis(self.recent, 1, 0)])

    def latest(self, pixels: NDArray[np.bool_], dates: int) -> NDArray[np.float32]:
        """Return the last clear dates of some pixels, shape (date, band, pixel).

        Parameters
        ----------
        pixels : ndarray of bool, shape (y, x)
            Which pixels.
        dates : int
            How many dates, at most `RECENT_DATES`.

        Returns
        -------
        ndarray of float32, shape (date, band, pixel)
            Newest last; NaN where a pixel has not been seen so often.
        """
        return np.asarray(self.recent[-max(min(dates, RECENT_DATES), 1) :][..., pixels])

    def units_of(self, index: int, pixels: NDArray[np.bool_], last: int | None = None) -> NDArray[np.float32]:
        """Return the deviations of some pixels, shape (time, pixel), in standard deviations; NaN unseen.

        Parameters
        ----------
        index : int
            Which index.
        pixels : ndarray of bool, shape (y, x)
            Which pixels.
        last : int, optional
            Of so many last dates; of all when not given.

        Returns
        -------
        ndarray of float32, shape (time, pixel)
        """
        return _opened(self.units[index, -(last or len(self.days)) :][:, pixels])

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
            about = parse_json(str(arrays["site"]))
            if about["version"] not in (_PLAIN_VERSION, BASELINE_VERSION):
                message = f"version {about['version']}"
                raise ValueError(message)
            names = tuple(map(str, about["names"]))
            states = tuple(MonitorState.from_arrays(_part(arrays, name)) for name in names)
            kept = {name: np.asarray(arrays[name]) for name in _ARRAYS}
            if about["version"] == _PLAIN_VERSION:
                kept["units"] = _closed(_plain(kept["units"]))
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
        units.append(_closed(deviations(baseline, values, days, seen)))
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
        _closed(deviations(state.baseline, plane[None], np.array([day]), seen[None]))
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


def deviations(
    baseline: Baseline, values: Floats, days: NDArray[np.float64], seen: NDArray[np.bool_]
) -> Floats:
    """Return deviations from what is usual, also where the history changed by itself.

    Such pixels are not watched by this index, but what it was on each date helps to choose a kind where
    another index is alarmed.

    Parameters
    ----------
    baseline : Baseline
    values : ndarray of float32, shape (time, y, x)
    days : ndarray of float64, shape (time,)
    seen : ndarray of bool, shape (time, y, x)

    Returns
    -------
    ndarray of float32, shape (time, y, x)
        In standard deviations; NaN where a date says nothing.
    """
    units = baseline.standardise(values, days, seen)
    unstable = baseline.code == BaselineCode.UNSTABLE
    if unstable.any():
        terms = design_of(days, baseline.origin_day, baseline.parameters).astype(np.float32)
        off = (values[:, unstable] - terms @ baseline.coefficient[:, unstable]) / baseline.scale[unstable]
        units[:, unstable] = np.where(seen[:, unstable], off, np.float32(np.nan))
    return units


def _closed(units: NDArray[np.float32]) -> NDArray[np.int8]:
    """Put deviations into bytes."""
    seen = np.isfinite(units)
    steps = _KNEE * _TENTHS * np.arcsinh(np.where(seen, units, np.float32(0)) / _KNEE)
    return np.where(seen, np.clip(np.rint(steps), -127, 127), UNSEEN).astype(np.int8)


def kept_step(units: float) -> int:
    """Return as what a deviation is kept; larger ones are kept as larger numbers.

    Parameters
    ----------
    units : float
        In standard deviations.

    Returns
    -------
    int

    Examples
    --------
    >>> kept_step(0.1), kept_step(3.0), kept_step(-3.0), kept_step(1000.0)
    (1, 26, -26, 127)
    """
    return int(_closed(np.array([units], np.float32))[0])


def _opened(kept: NDArray[np.int8]) -> NDArray[np.float32]:
    """Take deviations out of bytes."""
    table = _KNEE * np.sinh(np.arange(-128, 128, dtype=np.float32) / (_KNEE * _TENTHS))
    table[0] = np.nan
    return np.asarray(table[kept.astype(np.int16) + 128], np.float32)


def _plain(kept: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.where(kept == UNSEEN, np.float32(np.nan), kept / _TENTHS).astype(np.float32)


def _pushed(
    recent: NDArray[np.float32], values: NDArray[np.float32], seen: NDArray[np.bool_]
) -> NDArray[np.float32]:
    return np.where(seen, np.concatenate([recent[1:], values[None]]), recent)
