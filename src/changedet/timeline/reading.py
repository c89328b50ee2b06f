"""Dates brought onto one frame and reduced one by one: what each zone shows, and a stack of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import NATURAL_COLOUR
from changedet.core.displacement import DisplacementField
from changedet.core.indices import INDICES, compute_indices
from changedet.core.masking import SceneClass
from changedet.core.sampling import MAD_TO_SPREAD
from changedet.core.small_shift import SmallShift, least_squares_shift
from changedet.errors import InputFileError, NoUsableImageryError, ProviderError
from changedet.registration import simplified
from changedet.scale.memory import require_memory
from changedet.stacking import align_stack
from changedet.timeline.access import LeftOut, SeriesPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.progress import Progress
    from changedet.providers.layers import Source
    from changedet.scene import Image, Scene
    from changedet.stacking import StackRegistration
    from changedet.timeline.zones import Zone

#: The band that is matched: green changes least with the season, and leaves show less in it than edges.
_MATCHED = ("B03", "B04", "B02", "B08")
#: A shift by least squares counts when its standard error is smaller, over at least so many pixels.
_MOST_ERROR_PX, _LEAST_PIXELS = 0.05, 300
#: Bands of a date that are held at one time, at least.
_LEAST_BANDS = 6
#: Side of the chips in pixels of the picture, at most, and ground round a small zone, in pixels of the grid.
_CHIP_PX, _CHIP_LEAST_PX = 192, 48


@dataclass(frozen=True)
class ReadingSettings:
    """How dates are brought together.

    Attributes
    ----------
    register : bool
        Whether dates are registered. Without, they are taken as their producer placed them.
    max_shift_m : float
        Largest shift that is sought, in metres.
    min_share : float
        Share of a zone that a date must show for its value to count.
    stack_megabytes : float
        Most memory of the stack of pixels; of larger sites every second, third, ... row and column is kept.
    """

    register: bool = True
    max_shift_m: float = 100.0
    min_share: float = 0.6
    stack_megabytes: float = 512.0


@dataclass(frozen=True, eq=False)
class DateRecord:
    """A date of the series.

    Attributes
    ----------
    scene : Scene
        What was loaded.
    day : float
        Days since 1970-01-01, UTC.
    shift_px : tuple of float
        (row, column) by which its content was moved.
    how : str
        How the shift was found, in words.
    """

    scene: Scene
    day: float
    shift_px: tuple[float, float]
    how: str

    @property
    def date(self) -> str:
        """As ``YYYY-MM-DD``."""
        return self.scene.date_text

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "date": self.date,
            "time_utc": self.scene.time_text,
            "scene": self.scene.to_dict(),
            "shift_px": [round(one, 4) for one in self.shift_px],
            "registered_by": self.how,
        }


@dataclass(frozen=True, eq=False)
class ZoneReading:
    """What the dates show of a zone.

    Attributes
    ----------
    values, spread : ndarray of float32, shape (time, index)
        Median and robust standard deviation of its pixels; NaN where too little of it is seen.
    share : ndarray of float32, shape (time,)
        Share of its pixels that a date shows.
    count : ndarray of int32, shape (time,)
        Their number.
    reasons : tuple of str
        Why a date does not count here; empty where it does.
    """

    values: NDArray[np.float32]
    spread: NDArray[np.float32]
    share: NDArray[np.float32]
    count: NDArray[np.int32]
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Chips:
    """The same ground on every date, for pictures.

    Attributes
    ----------
    planes : ndarray of float32, shape (time, 3, y, x)
        Red, green and blue reflectance; NaN where there is no data.
    clear : ndarray of bool, shape (time, y, x)
        Where they show ground.
    window : tuple of slice
        Rows and columns of the grid that they show.
    zone : str
        Name of the zone in their middle.
    factor : int
        Pixels of the grid in a pixel of a chip, on each side.
    """

    planes: NDArray[np.float32]
    clear: NDArray[np.bool_]
    window: tuple[slice, slice]
    zone: str
    factor: int


@dataclass(frozen=True, eq=False)
class Reading:
    """Everything that was read.

    Attributes
    ----------
    dates : tuple of DateRecord
        In order of time.
    left_out : tuple of LeftOut
        Dates that are not among them.
    index_names : tuple of str
        Names of `changedet.core.indices.INDICES`.
    zones : tuple of ZoneReading
        In the order of the zones.
    bands : tuple of str
        Of the stack.
    stack : ndarray of float32, shape (band, time, pixel)
        Reflectance of every `step`-th pixel of the site on each side; NaN where a date does not see it.
    step : int
        See there.
    chips : Chips or None
        None when the dates lack the three visible bands.
    closure_rmse_px : float
        What is left when measured shifts are added round triangles of dates; NaN when unknown.
    """

    dates: tuple[DateRecord, ...]
    left_out: tuple[LeftOut, ...]
    index_names: tuple[str, ...]
    zones: tuple[ZoneReading, ...]
    bands: tuple[str, ...]
    stack: NDArray[np.float32]
    step: int
    chips: Chips | None
    closure_rmse_px: float

    @property
    def days(self) -> NDArray[np.float64]:
        """Days since 1970-01-01 of each date."""
        return np.array([one.day for one in self.dates], np.float64)


def read_series(
    plan: SeriesPlan, zones: Sequence[Zone], progress: Progress, settings: ReadingSettings = ReadingSettings()
) -> Reading:
    """Register the dates of a plan to each other and read them, one at a time.

    Parameters
    ----------
    plan : SeriesPlan
        Which dates, and on which grid.
    zones : sequence of Zone
        The whole site first; chips show the last one.
    progress : Progress
        Told about each step.
    settings : ReadingSettings

    Returns
    -------
    Reading
        Dates that cannot be loaded or registered are left out, with the reason.

    Raises
    ------
    NoUsableImageryError
        When no date is left.
    UsageError
        When the dates do not fit into memory.
    ProviderError, CredentialsError
        When the provider refuses all of them.
    """
    # of every date one band is held while they are registered, in a sixth of what a comparison takes for it
    require_memory(plan.frame.context, max(_LEAST_BANDS, len(plan.sources) // 4))
    progress.step("registering the dates to each other")
    placed, left, closure = _placed(plan, progress, settings)
    if not placed:
        raise NoUsableImageryError(
            f"none of {len(plan.sources)} date(s) can be used (the first: {left[0].reason})",
            todo="choose a longer span; --no-register takes the dates as they lie",
            details={"left_out": [one.to_dict() for one in left]},
        )
    progress.step("reading the dates")
    collector = _Collector.of(plan, zones, placed, settings)
    for number, one in enumerate(placed):
        collector.take(number, one.load(plan))
        progress.advance((number + 1) / len(placed))
    return collector.reading((*plan.left_out, *left), closure)


@dataclass(frozen=True, eq=False)
class _Placed:
    """A date and what brings it onto the common frame."""

    source: Source
    shift_px: tuple[float, float]
    how: str

    def load(self, plan: SeriesPlan) -> Image:
        """Load the date onto the grid of the results."""
        grid = plan.frame.grid
        field = simplified(DisplacementField("translation", (grid.shape[0], grid.shape[1]), self.shift_px))
        return self.source.load(grid, field if any(field.centre_px) else None)


def _placed(
    plan: SeriesPlan, progress: Progress, settings: ReadingSettings
) -> tuple[list[_Placed], list[LeftOut], float]:
    sources: list[Source] = []
    images: list[Image] = []
    left: list[LeftOut] = []
    failures: list[ProviderError | InputFileError] = []
    for number, source in enumerate(plan.sources):
        try:
            images.append(_matched_band(source.load(plan.frame.context)))
            sources.append(source)
        except (ProviderError, InputFileError) as error:
            failures.append(error)
            left.append(LeftOut(source.scene.date_text, source.scene.id, f"cannot be loaded: {error.what}"))
        progress.advance((number + 1) / len(plan.sources))
    if not sources and failures:
        raise failures[0]
    if not settings.register or len(images) < 2:
        how = "not registered: as asked" if not settings.register else "not registered: the only date"
        return [_Placed(one, (0.0, 0.0), how) for one in sources], left, math.nan
    found = align_stack(images, max_shift_m=settings.max_shift_m)
    placed: list[_Placed] = []
    for number, (source, image) in enumerate(zip(sources, images, strict=True)):
        one = _place(source, image, found, number)
        if isinstance(one, str):
            left.append(LeftOut(source.scene.date_text, source.scene.id, one))
        else:
            placed.append(one)
    return placed, left, found.closure_rmse_px


def _place(source: Source, image: Image, found: StackRegistration, number: int) -> _Placed | str:
    """Say where a date lies, or why nobody knows; little ground is matched by least squares."""
    reason = found.reasons[number]
    if not reason:
        return _Placed(source, found.shifts_px[number], "tie points, all dates together")
    whole = found.stack.composite[0]
    shift = least_squares_shift(whole, image.data[0], np.isfinite(whole), image.valid)
    if shift is None or not _trusted(shift):
        return f"could not be registered: {reason}"
    return _Placed(source, (shift.row_px, shift.column_px), "least squares on the median of the others")


def _trusted(shift: SmallShift) -> bool:
    return shift.settled and shift.error_px <= _MOST_ERROR_PX and shift.pixels >= _LEAST_PIXELS


def _matched_band(image: Image) -> Image:
    band = next((name for name in _MATCHED if name in image.bands), image.bands[0])
    return replace(image.select((band,)), valid=image.valid & ~image.snow)


@dataclass(frozen=True, eq=False)
class _Collector:
    """Room for what is kept of each date."""

    plan: SeriesPlan
    zones: tuple[Zone, ...]
    placed: list[_Placed]
    settings: ReadingSettings
    records: list[DateRecord]
    bands: list[str]
    parts: dict[str, Any]

    @classmethod
    def of(
        cls, plan: SeriesPlan, zones: Sequence[Zone], placed: list[_Placed], settings: ReadingSettings
    ) -> _Collector:
        """Make room; of what, the first date says."""
        return cls(plan, tuple(zones), placed, settings, [], [], {})

    def _begin(self, image: Image) -> None:
        dates, names = len(self.placed), tuple(compute_indices(image.data[:, :1, :1], image.bands))
        needed = {band for _, needs in INDICES.values() for band in needs}
        self.bands.extend(band for band in image.bands if band in needed)
        inside = int(self.zones[0].mask.sum())
        megabytes = inside * dates * max(len(self.bands), 1) * 4e-6
        step = max(1, math.ceil(math.sqrt(megabytes / self.settings.stack_megabytes)))
        lattice = np.zeros_like(self.zones[0].mask)
        lattice[::step, ::step] = self.zones[0].mask[::step, ::step]
        shape = (len(self.zones), dates)
        self.parts.update(
            names=names, step=step, lattice=lattice,
            stack=np.full((len(self.bands), dates, int(lattice.sum())), np.nan, np.float32),
            values=np.full((*shape, len(names)), np.nan, np.float32),
            spread=np.full((*shape, len(names)), np.nan, np.float32),
            share=np.zeros(shape, np.float32), count=np.zeros(shape, np.int32),
            reasons=[[""] * dates for _ in self.zones], chips=list[Any](), view=_view(self.zones[-1]),
        )  # fmt: skip

    def take(self, number: int, image: Image) -> None:
        """Keep what is needed of a date."""
        if not self.parts:
            self._begin(image)
        scene, one = image.scene, self.placed[number]
        if scene.time is None:
            raise NoUsableImageryError("a date without a time", where=scene.id, todo="leave it out")
        self.records.append(DateRecord(scene, scene.time.timestamp() / 86400, one.shift_px, one.how))
        seen = image.valid & ~image.snow
        parts = self.parts
        for place, band in enumerate(self.bands):
            plane = np.where(seen, image.band(band), np.float32(np.nan))
            parts["stack"][place, number] = plane[parts["lattice"]]
        indices = compute_indices(image.data, image.bands)
        for place, zone in enumerate(self.zones):
            self._reduce(place, zone, number, image, indices)
        if set(NATURAL_COLOUR) <= set(image.bands):
            parts["chips"].append(_chip(image, *parts["view"]))

    def _reduce(
        self, place: int, zone: Zone, number: int, image: Image, indices: dict[str, NDArray[np.float32]]
    ) -> None:
        parts, seen = self.parts, (image.valid & ~image.snow)[zone.mask]
        share = float(seen.mean())
        parts["share"][place, number], parts["count"][place, number] = share, int(seen.sum())
        if share < self.settings.min_share:
            parts["reasons"][place][number] = _cause(image, zone, share)
            return
        for column, name in enumerate(parts["names"]):
            inside = indices[name][zone.mask][seen]
            median = np.median(inside)
            parts["values"][place, number, column] = median
            parts["spread"][place, number, column] = MAD_TO_SPREAD * np.median(np.abs(inside - median))

    def reading(self, left_out: tuple[LeftOut, ...], closure: float) -> Reading:
        """Return everything together."""
        parts = self.parts
        zones = tuple(
            ZoneReading(values, spread, share, count, tuple(reasons))
            for values, spread, share, count, reasons in zip(
                *(parts[name] for name in ("values", "spread", "share", "count", "reasons")), strict=True
            )
        )
        chips = None
        if len(parts["chips"]) == len(self.records):
            made = np.stack(parts["chips"])
            view, factor = parts["view"]
            chips = Chips(made[:, :3], made[:, 3] > 0.99, view, self.zones[-1].name, factor)
        ordered = tuple(sorted(left_out, key=lambda one: (one.date, one.scene_id)))
        return Reading(
            tuple(self.records), ordered, parts["names"], zones, tuple(self.bands), parts["stack"],
            parts["step"], chips, closure,
        )  # fmt: skip


def _cause(image: Image, zone: Zone, share: float) -> str:
    """Say what hides a zone."""
    hidden = zone.mask & ~(image.valid & ~image.snow)
    blank = ~np.isfinite(image.data).all(axis=0) | (image.classes == SceneClass.NO_DATA)
    causes = {"snow": image.snow[hidden].mean(), "no data": blank[hidden].mean()}
    name = next((word for word, part in causes.items() if part > 0.5), "cloud or shadow")
    return f"{name} over it: {share:.0%} seen"


def _view(zone: Zone) -> tuple[tuple[slice, slice], int]:
    """Return the ground of the chips, and how many of its pixels make one of theirs."""
    sides = []
    for part, size in zip(zone.window, zone.mask.shape, strict=True):
        length = part.stop - part.start
        extent = size if zone.kind == "site" else min(size, max(_CHIP_LEAST_PX, 2 * length))
        start = min(max((part.start + part.stop) // 2 - extent // 2, 0), size - extent)
        sides.append(slice(start, start + extent))
    longest = max(side.stop - side.start for side in sides)
    return (sides[0], sides[1]), max(1, math.ceil(longest / _CHIP_PX))


def _chip(image: Image, view: tuple[slice, slice], factor: int) -> NDArray[np.float32]:
    """Return red, green, blue, and where ground is seen, shape (4, y, x)."""
    seen = (image.valid & ~image.snow).astype(np.float32)
    planes = np.stack([*(image.band(name)[view] for name in NATURAL_COLOUR), seen[view]])
    if factor == 1:
        return planes.astype(np.float32)
    rows, columns = (size // factor * factor for size in planes.shape[1:])
    blocks = planes[:, :rows, :columns].reshape(4, rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)
