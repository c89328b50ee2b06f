"""What the dates of an object say about a change, as the numbers by which its kind is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.kinds import BUILT_UP_GREENEST, BUILT_UP_MOST_NDVI, Surface, name_surfaces, read_surface

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

#: Clear dates on each side from which a surface is read, and the last ones that say what it is now.
_WINDOW, _LATEST = 6, 5
#: How near a date must come to look like another one, by index.
ALIKE: Mapping[str, float] = MappingProxyType(
    {"NDVI": 0.08, "brightness": 0.03, "NDBI": 0.08, "redness": 0.06}
)
#: Signs of snow on a date: NDSI is computed as MNDWI.
_SNOW_NDSI, _SNOW_BRIGHTNESS = 0.4, 0.2
_BARE_NDVI = 0.30
#: As in `changedet.kinds.SURFACE_RULES`.
_SPARSE_NDVI, _GREEN_NDVI = 0.25, 0.40
#: Share of the dates before that must read as built.
_BUILT_SHARE = 0.5
_NONE = math.nan


@dataclass(frozen=True)
class Outline:
    """The form of an object, in pixels; NaN where it is not known."""

    area_px: float = _NONE
    width_px: float = _NONE
    elongation: float = _NONE

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> Outline:
        """Measure a group of pixels, bent ones as well.

        Parameters
        ----------
        pixels : ndarray of bool, shape (y, x)

        Returns
        -------
        Outline
            `width_px` where it is widest; `elongation` is the area over the square of that.

        Examples
        --------
        >>> line = np.zeros((9, 40), bool)
        >>> line[3:6, 5:35] = True
        >>> Outline.of(line)
        Outline(area_px=90.0, width_px=3.0, elongation=10.0)
        """
        from scipy.ndimage import distance_transform_edt

        area = float(pixels.sum())
        if not area:
            return cls()
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        part = np.pad(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
        width = 2 * float(distance_transform_edt(part).max()) - 1
        return cls(area, width, area / width**2)


@dataclass(frozen=True, eq=False)
class ObjectDates:
    """The dates of an object.

    Attributes
    ----------
    days : ndarray of float64, shape (time,)
        Ascending.
    values : mapping of str to ndarray of float32, shape (time,)
        Index medians by name; NaN where a date does not show it.
    units : mapping of str to ndarray of float32, shape (time,)
        Deviations of some of them from what is usual, in standard deviations.
    scale : mapping of str to float
        Standard deviation of a date, for each of these.
    """

    days: NDArray[np.float64]
    values: Mapping[str, Floats]
    units: Mapping[str, Floats]
    scale: Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """Between which dates an object differs, and how it went on.

    Attributes
    ----------
    first, last : int
        The first and the last clear date that show it, as places in the series.
    over_by : int or None
        The first clear date that does not any more; None when it shows on the last one.
    seasonal : bool
        Whether the same weeks of earlier years look alike (`core.series_behaviour`).
    episodes : int
        How often it left what is usual.
    outline : Outline
    before, now : mapping of str to float
        Index medians before and on the last clear dates where they are known better than by the series.
    """

    first: int
    last: int
    over_by: int | None = None
    seasonal: bool = False
    episodes: int = 1
    outline: Outline = field(default_factory=Outline)
    before: Mapping[str, float] = field(default_factory=dict)
    now: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """The numbers by which the kind of a change is chosen.

    Attributes
    ----------
    before, after, later : Surface
        On the last clear dates before, on the first ones that show it, and on the last ones of all.
    lasts : bool
        Whether the last clear date shows it.
    dates, dates_before, dates_after : int
        Clear dates that show it, before it, and after it was over.
    days : float
        From the first to the last clear date that shows it.
    step, sigmas : mapping of str to float
        By how much each index changed, season apart, and the same in standard deviations of a date.
    slope : float
        Of the leading index while it shows, in standard deviations per 100 days.
    back : float
        Largest deviation from what is usual after it was over, in standard deviations; NaN while it lasts.
    episodes : int
        How often it left what is usual.
    seasonal : bool
        Whether the same weeks of other years look alike.
    built_ground : bool
        Read as built before, on most dates and in every season.
    built_share : float
        Share of the dates before that read as built.
    greenest, barest : float
        NDVI that 90 % and 10 % of the dates before stay below.
    greenest_since : float
        NDVI that 90 % of the dates that show it stay below.
    seen_before : float
        Share of the dates before that looked like it does since.
    bare_days : float
        Longest time without plants before.
    snow, water, green : float
        Shares of the dates that show it with these signs; NaN where not known.
    darker : float
        Light left, in the visible or the near infrared, whichever is more.
    area_px, width_px, elongation : float
        Its form; NaN where unknown.
    """

    before: Surface
    after: Surface
    later: Surface
    lasts: bool
    dates: int
    dates_before: int
    dates_after: int
    days: float
    step: Mapping[str, float]
    sigmas: Mapping[str, float]
    slope: float
    back: float
    episodes: int
    seasonal: bool
    built_ground: bool
    built_share: float
    greenest: float
    barest: float
    greenest_since: float
    seen_before: float
    bare_days: float
    snow: float
    water: float
    green: float
    darker: float
    area_px: float
    width_px: float
    elongation: float

    @property
    def largest(self) -> float:
        """Largest step in standard deviations, without sign."""
        return max((abs(value) for value in self.sigmas.values()), default=_NONE)

    def numbers(self) -> dict[str, Any]:
        """Return what is shown to a reader, by name; without what is not known."""
        known: dict[str, Any] = {
            "before": self.before.value,
            "after": self.after.value,
            "later": self.later.value,
            "dates": self.dates,
            "days": round(self.days),
            "over": "no" if self.lasts else "yes",
            "episodes": self.episodes,
            "other years alike": "yes" if self.seasonal else "no",
            "built before": _share(self.built_share),
            "snow": _share(self.snow),
            "water": _share(self.water),
            "green": _share(self.green),
            "looked so before": _share(self.seen_before),
            "light left": _share(self.darker),
            "greenest before": _number(self.greenest),
            "barest before": _number(self.barest),
            "greenest since": _number(self.greenest_since),
            "bare before, days": _number(self.bare_days, 0),
            "off when over": _number(self.back, 1, " sigma"),
            "largest step": _number(self.largest, 1, " sigma"),
            "slope": _number(self.slope, 1, " sigma in 100 days"),
            "elongation": _number(self.elongation, 1),
            "width, pixels": _number(self.width_px, 1),
        }
        known |= {f"{name} step": f"{value:+.2f}" for name, value in self.step.items()}
        return {name: value for name, value in known.items() if value != ""}


def gather_evidence(series: ObjectDates, change: Change) -> Evidence:
    """Put a change into the numbers by which its kind is chosen.

    Parameters
    ----------
    series : ObjectDates
        Every date of the object.
    change : Change
        Which of them show it.

    Returns
    -------
    Evidence

    Raises
    ------
    ValueError
        When the change lies outside of the series.
    """
    dates = len(series.days)
    if not 0 <= change.first <= change.last < dates:
        message = f"a change from date {change.first} to {change.last} in a series of {dates}"
        raise ValueError(message)
    reading = _Reading.of(series, change)
    step, sigmas = reading.steps()
    before, later = (
        dict(given) or reading.typical(places)
        for given, places in ((change.before, reading.before[-_WINDOW:]), (change.now, reading.latest))
    )
    after = reading.typical(reading.showing[:_WINDOW])
    surfaces = [_surface_of(one) for one in (before, after, later)]
    if not reading.named:
        # of the dates themselves the colour is not known; while it lasts, the last ones say what it is
        surfaces[1] = surfaces[2] if change.over_by is None else surfaces[1]
    built_share = reading.share(reading.before, lambda named: named == Surface.BUILT)
    greenest, barest = reading.range_of_ndvi(reading.before)
    built = surfaces[0] == Surface.BUILT and not greenest >= BUILT_UP_MOST_NDVI
    return Evidence(
        before=surfaces[0], after=surfaces[1], later=surfaces[2],
        lasts=change.over_by is None,
        dates=len(reading.showing), dates_before=len(reading.before), dates_after=len(reading.after),
        days=float(series.days[change.last] - series.days[change.first]),
        step=step, sigmas=sigmas, slope=reading.slope(sigmas), back=reading.back(),
        episodes=change.episodes, seasonal=change.seasonal,
        built_ground=built and not built_share < _BUILT_SHARE, built_share=built_share,
        greenest=greenest, barest=barest, greenest_since=reading.range_of_ndvi(reading.showing)[0],
        seen_before=reading.seen_before(later if change.over_by is None else after),
        bare_days=reading.bare_days(), snow=reading.snow(), water=reading.water(),
        green=reading.share(reading.showing, lambda named: named == Surface.VEGETATION),
        darker=reading.light_left(before, after, step),
        area_px=change.outline.area_px, width_px=change.outline.width_px,
        elongation=change.outline.elongation,
    )  # fmt: skip


def looks_like(values: Mapping[str, Floats], state: Mapping[str, float]) -> NDArray[np.bool_]:
    """Tell which dates look like a state of the ground, in NDVI, brightness, NDBI and redness.

    Parameters
    ----------
    values : mapping of str to ndarray of float32, shape (time,)
        Index medians by name.
    state : mapping of str to float
        The same of the state.

    Returns
    -------
    ndarray of bool, shape (time,)
        False where a date is not known.

    Examples
    --------
    >>> looks_like({"NDVI": np.float32([0.1, 0.5, np.nan])}, {"NDVI": 0.12}).tolist()
    [True, False, False]
    """
    names = [name for name in ALIKE if name in state and name in values]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.all([np.abs(values[n] - state[n]) <= ALIKE[n] for n in names], axis=0))


def approximate_indices(values: Mapping[str, Floats]) -> dict[str, Floats]:
    """Add near and short-wave infrared, NDWI and MNDWI to NDVI, brightness and NDBI, as far as they tell.

    The visible bands are taken for alike: brightness for red and green. That is crude for colours and good
    enough to tell water, snow and shadow.

    Parameters
    ----------
    values : mapping of str to ndarray of float32, any shape
        Index values by name.

    Returns
    -------
    dict of str to ndarray of float32
        With those that were given.

    Examples
    --------
    >>> snow = {"NDVI": np.float32([0.0]), "brightness": np.float32([0.8]), "NDBI": np.float32([-0.8])}
    >>> round(float(approximate_indices(snow)["MNDWI"][0]), 2)
    0.8
    """
    found = dict(values)
    if not {"NDVI", "brightness"} <= set(values):
        return found
    bright = np.maximum(values["brightness"], np.float32(1e-3))
    found["NIR"] = bright * _ratio(values["NDVI"])
    found["NDWI"] = -values["NDVI"]
    if "NDBI" in values:
        swir = found["NIR"] * _ratio(values["NDBI"])
        found["MNDWI"] = (bright - swir) / (bright + swir)
    return found


def _ratio(difference: Floats) -> Floats:
    """Return the ratio of two bands from their normalised difference."""
    kept = np.clip(difference, -0.98, 0.98)
    return np.asarray((1 + kept) / (1 - kept), np.float32)


def _surface_of(state: Mapping[str, float]) -> Surface:
    """Name a surface, by plants alone where nothing else is known."""
    named, greenness = read_surface(state), state.get("NDVI", _NONE)
    if named != Surface.UNKNOWN or math.isnan(greenness) or greenness < _SPARSE_NDVI:
        return named
    return Surface.VEGETATION if greenness >= _GREEN_NDVI else Surface.SPARSE


@dataclass(frozen=True, eq=False)
class _Reading:
    """The clear dates before, during and after a change."""

    series: ObjectDates
    surfaces: NDArray[np.object_]
    before: NDArray[np.intp]
    showing: NDArray[np.intp]
    after: NDArray[np.intp]

    @classmethod
    def of(cls, series: ObjectDates, change: Change) -> _Reading:
        """Sort the clear dates."""
        clear = np.flatnonzero(np.isfinite(np.stack(list(series.values.values()))).all(axis=0))
        end = len(series.days) if change.over_by is None else change.over_by
        return cls(
            series,
            name_surfaces(series.values),
            clear[clear < change.first],
            clear[(clear >= change.first) & (clear <= change.last)],
            clear[clear >= end],
        )

    @property
    def named(self) -> bool:
        """Whether the surface of any date is known."""
        return any(one != Surface.UNKNOWN for one in self.surfaces)

    @property
    def latest(self) -> NDArray[np.intp]:
        """The last clear dates."""
        return (self.after if len(self.after) else self.showing)[-_LATEST:]

    def typical(self, places: NDArray[np.intp]) -> dict[str, float]:
        """Return the index medians of some dates; nothing for no dates."""
        if not len(places):
            return {}
        return {name: float(np.median(values[places])) for name, values in self.series.values.items()}

    def share(self, places: NDArray[np.intp], holds: Any) -> float:  # noqa: ANN401  # of surfaces or of numbers
        """Return the share of dates whose surface is so; NaN where surfaces are not known."""
        named = [one for one in self.surfaces[places] if one != Surface.UNKNOWN]
        return float(np.mean([holds(one) for one in named])) if named else _NONE

    def steps(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the steps in index units and in standard deviations."""
        sigmas = {}
        for name, units in self.series.units.items():
            known = units[self.showing]
            known = known[np.isfinite(known)]
            if known.size:
                sigmas[name] = float(np.median(known))
        return {name: value * self.series.scale[name] for name, value in sigmas.items()}, sigmas

    def slope(self, sigmas: Mapping[str, float]) -> float:
        """Return the slope of the leading index while it shows, in standard deviations per 100 days."""
        if not sigmas or len(self.showing) < _LATEST:
            return _NONE
        units = self.series.units[max(sigmas, key=lambda name: abs(sigmas[name]))][self.showing]
        days, known = self.series.days[self.showing], np.isfinite(units)
        if known.sum() < _LATEST or np.ptp(days[known]) <= 0:
            return _NONE
        later, earlier = np.triu_indices(int(known.sum()), 1)[::-1]
        rise, run = (series[known][later] - series[known][earlier] for series in (units, days))
        # the median slope of all pairs: Sen 1968, doi:10.1080/01621459.1968.10480934
        return float(100 * np.median(rise[run > 0] / run[run > 0]))

    def back(self) -> float:
        """Return how far off it is after it was over, in standard deviations; NaN where it is not over."""
        off = []
        for units in self.series.units.values():
            known = units[self.after[:_WINDOW]]
            known = known[np.isfinite(known)]
            if known.size:
                off.append(abs(float(np.median(known))))
        return max(off, default=_NONE)

    def range_of_ndvi(self, places: NDArray[np.intp]) -> tuple[float, float]:
        """Return the NDVI that most and few of some dates stay below."""
        values = self.series.values.get("NDVI")
        if values is None or not len(places):
            return _NONE, _NONE
        high, low = np.quantile(values[places], [BUILT_UP_GREENEST, 1 - BUILT_UP_GREENEST])
        return float(high), float(low)

    def seen_before(self, state: Mapping[str, float]) -> float:
        """Return the share of the dates before that look like a state; NaN where nothing is known."""
        names = [name for name in ALIKE if name in state and name in self.series.values]
        if not names or not len(self.before):
            return _NONE
        return float(looks_like(self.series.values, state)[self.before].mean())

    def bare_days(self) -> float:
        """Return the longest time without plants before it, from the last green date to the next one."""
        values = self.series.values.get("NDVI")
        if values is None or not len(self.before):
            return _NONE
        days = self.series.days[self.before]
        green = days[values[self.before] >= _BARE_NDVI]
        edges = np.concatenate([days[:1], green, days[-1:]])
        gaps = np.diff(edges)
        bare = [gap for gap, start, stop in zip(gaps, edges[:-1], edges[1:], strict=True)
                if ((days > start) & (days < stop)).any()]  # fmt: skip
        return float(max(bare, default=0.0))

    def snow(self) -> float:
        """Return the share of the dates showing it that have the signs of snow."""
        values = self.series.values
        if "MNDWI" not in values or "brightness" not in values or not len(self.showing):
            return 0.0
        signs = (values["MNDWI"] > _SNOW_NDSI) & (values["brightness"] > _SNOW_BRIGHTNESS)
        return float(signs[self.showing].mean())

    def water(self) -> float:
        """Return the share of the dates showing it that read as water."""
        known = self.share(self.showing, lambda named: named == Surface.WATER)
        if not math.isnan(known):
            return known
        values = self.series.values
        if not {"NIR", "NDWI"} <= set(values) or not len(self.showing):
            return 0.0
        return float(((values["NIR"] < 0.15) & (values["NDWI"] > 0))[self.showing].mean())

    def light_left(
        self, before: Mapping[str, float], after: Mapping[str, float], step: Mapping[str, float]
    ) -> float:
        """Return what is left of the light: the larger share of visible and near infrared."""
        left = []
        for name in ("brightness", "NIR"):
            usual = before.get(name, _NONE)
            now = usual + step[name] if name in step else after.get(name, _NONE)
            if usual > 0 and not math.isnan(now):
                left.append(max(now, 0.0) / usual)
        return max(left, default=1.0)


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0%}"


def _number(value: float, digits: int = 2, unit: str = "") -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}{unit}"
