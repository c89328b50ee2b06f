"""Two dates that are to be compared, and what lies between them besides change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import COMPARED_BANDS
from changedet.core.masking import cloud_buffer_px, recheck_clouds, usable_from_classes
from changedet.core.planes import all_finite, any_rows, by_rows, count_where
from changedet.errors import InputFileError, MissingBandError, NoOverlapError, NoUsableImageryError
from changedet.resample import pixel_size_m

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from changedet.scene import Image, Scene

#: Day-of-year gap from which the season itself must be expected to show.
SEASON_GAP_DAYS = 45
#: Fewer usable pixels on both dates than this share of the site gives a warning.
LOW_CLEAR_SHARE = 0.6
#: Fewer usable pixels on both dates than this cannot carry any statistics.
_MIN_CLEAR_PIXELS = 400
#: A site of fewer pixels than this holds no object that could be outlined.
_MIN_SITE_PIXELS = 16
#: More of the site without imagery than this is said.
_MISSING_SHARE = 0.01
#: The sun stands differently by this many degrees: shadows will have moved.
_SUN_GAP_DEG = 10.0


@dataclass(frozen=True, eq=False)
class Pair:
    """A before and an after image on one grid.

    Attributes
    ----------
    before, after : Image
        On the same grid with the same bands, not normalised.
    clear_share_before, clear_share_after, clear_share : float
        Share of the site's pixels usable before, after, and on both dates, 0 to 1.
    days_apart : int or None
        After minus before, in days.
    season_gap_days : int or None
        Difference of the day of year, 0 to 183.
    sun_elevation_gap_deg, sun_azimuth_gap_deg : float or None
        After minus before.
    same_orbit : bool or None
        Whether both dates have the same relative orbit.
    reason : str
        Why these two dates.
    warnings : tuple of str
        What a reader should know about the pair.
    """

    before: Image
    after: Image
    clear_share_before: float
    clear_share_after: float
    clear_share: float
    days_apart: int | None
    season_gap_days: int | None
    sun_elevation_gap_deg: float | None
    sun_azimuth_gap_deg: float | None
    same_orbit: bool | None
    reason: str
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from changedet.notebook.repr import pair_html

        return pair_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description; the scenes are described apart."""
        names = (
            "clear_share_before", "clear_share_after", "clear_share", "days_apart", "season_gap_days",
            "sun_elevation_gap_deg", "sun_azimuth_gap_deg", "same_orbit", "reason",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"warnings": list(self.warnings)}


def make_pair(before: Image, after: Image, site: NDArray[np.bool_]) -> Pair:
    """Put two loaded images together and say what lies between them besides change.

    Parameters
    ----------
    before, after : Image
        On the same grid.
    site : ndarray of bool, shape (y, x)
        True inside the site.

    Returns
    -------
    Pair
        Both images with the bands they share; the clear shares count the site only.

    Raises
    ------
    MissingBandError
        When the images have no band in common.
    NoOverlapError
        When one of them has no data at all inside the site.
    NoUsableImageryError
        When the site is too small, or cloud, shadow or missing data leave nothing to compare.
    InputFileError
        When an image is constant.
    """
    _require_size(before, after, site)
    bands = shared_bands(before, after)
    before, after = before.select(bands), after.select(bands)
    before, after = _recheck(before, after), _recheck(after, before)
    for image, name in ((before, "before"), (after, "after")):
        _require_content(image, site, name)
    size = max(int(np.count_nonzero(site)), 1)
    clear = [count_where(np.logical_and, image.valid, site) for image in (before, after)]
    both = count_where(lambda first, second, part: first & second & part, before.valid, after.valid, site)
    shares = [count / size for count in (*clear, both)]
    if count_where(np.logical_and, before.valid, after.valid) < _MIN_CLEAR_PIXELS or not both:
        raise NoUsableImageryError(
            f"only {shares[2]:.1%} of the site is usable on both dates "
            f"(before {shares[0]:.1%}, after {shares[1]:.1%})",
            where=f"{before.scene.id} and {after.scene.id}",
            todo="choose dates with fewer clouds",
        )
    first, second = before.scene, after.scene
    pair = Pair(
        before=before,
        after=after,
        clear_share_before=shares[0],
        clear_share_after=shares[1],
        clear_share=shares[2],
        days_apart=(second.time.date() - first.time.date()).days if first.time and second.time else None,
        season_gap_days=season_gap_days(first.time, second.time),
        sun_elevation_gap_deg=_gap(first.sun_elevation_deg, second.sun_elevation_deg),
        sun_azimuth_gap_deg=_gap(first.sun_azimuth_deg, second.sun_azimuth_deg),
        same_orbit=_same_orbit(first, second),
        reason="both dates were given by the user",
    )
    return replace(pair, warnings=(*_coverage_warnings(pair, site), *_pair_warnings(pair)))


def shared_bands(before: Image, after: Image) -> tuple[str, ...]:
    """Return the bands to compare: the Sentinel-2 surface bands both have, else any band both have.

    Parameters
    ----------
    before, after : Image
        Either may hold more bands than the other, in any order.

    Returns
    -------
    tuple of str
        In the order of `COMPARED_BANDS`, or of the before image.

    Raises
    ------
    MissingBandError
        When there is none.
    """
    common = [b for b in before.bands if b in after.bands]
    surface = tuple(b for b in COMPARED_BANDS if b in common)
    if not common:
        raise MissingBandError(
            "the images share no band "
            f"(before has {', '.join(before.bands)}; after has {', '.join(after.bands)})",
            where=f"{before.scene.id} and {after.scene.id}",
            todo="give two images of the same sensor, or name their bands alike",
        )
    return surface or tuple(common)


def season_gap_days(before: datetime | None, after: datetime | None) -> int | None:
    """Return by how many days of the year two dates differ, 0 to 183, whatever their years.

    Parameters
    ----------
    before, after : datetime or None
        In either order.

    Returns
    -------
    int or None
        None when a date is not known.

    Examples
    --------
    >>> from datetime import datetime
    >>> season_gap_days(datetime(2023, 12, 30), datetime(2025, 1, 2))
    3
    """
    if before is None or after is None:
        return None
    gap = abs(before.timetuple().tm_yday - after.timetuple().tm_yday)
    return min(gap, 365 - gap)


def _gap(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _same_orbit(before: Scene, after: Scene) -> bool | None:
    if before.relative_orbit is None or after.relative_orbit is None:
        return None
    return before.relative_orbit == after.relative_orbit


def _recheck(image: Image, other: Image) -> Image:
    """Take back clouds and shadows that only spectral tests saw and the other date contradicts."""
    if image.classes_source != "spectral tests" or not {"B02", "B08"} <= {*image.bands} & {*other.bands}:
        return image
    colours = [(side.band("B02"), side.band("B08")) for side in (image, other)]
    classes = recheck_clouds(image.classes, other.classes, colours[0], colours[1])
    if classes is image.classes:
        return image
    buffer_px = cloud_buffer_px(min(pixel_size_m(image.grid)))
    was, now = (usable_from_classes(c, dilation_px=buffer_px) for c in (image.classes, classes))
    known = all_finite(*image.data)
    valid = by_rows(lambda old, a, b, k: old | (a & ~b & k), image.valid, now, was, known, dtype=bool)
    return replace(image, classes=classes, valid=valid)


def _require_size(before: Image, after: Image, site: NDArray[np.bool_]) -> None:
    for pixels, needed, what in (
        (int(np.count_nonzero(site)), _MIN_SITE_PIXELS, "the site"),
        (site.size, _MIN_CLEAR_PIXELS, "the compared area"),
    ):
        if pixels < needed:
            raise NoUsableImageryError(
                f"{what} has only {pixels} pixels, and {needed} are needed",
                where=f"{before.scene.id} and {after.scene.id}",
                todo="give a larger site (--radius, in metres unless you write km) or larger images",
            )


def _require_content(image: Image, site: NDArray[np.bool_], name: str) -> None:
    if not any_rows(lambda data, part: bool((np.isfinite(data).all(axis=0) & part).any()), image.data, site):
        raise NoOverlapError(
            f"the {name} image has no data inside the compared area",
            where=image.scene.id,
            todo="check that both images cover the same ground and that nodata is right (--nodata)",
        )
    if not count_where(np.logical_and, image.valid, site):
        raise NoUsableImageryError(
            f"no pixel of the {name} image is usable: all cloud, shadow or saturated",
            where=image.scene.id,
            todo="choose another date",
        )
    if _is_constant(image):
        raise InputFileError(
            f"the {name} image is constant: every usable pixel of every band has the same value",
            where=image.scene.id,
            todo="check the file and its nodata value (--nodata)",
        )


def _is_constant(image: Image) -> bool:
    """Tell whether every usable pixel of every band has the same value."""
    low, high = (np.full(len(image.bands), end) for end in (np.inf, -np.inf))

    def _varies(data: NDArray[np.float32], usable: NDArray[np.bool_]) -> bool:
        # what is left where nothing is usable changes no end
        for i, band in enumerate(data):
            low[i] = np.minimum(low[i], band[usable].min(initial=np.inf))
            high[i] = np.maximum(high[i], band[usable].max(initial=-np.inf))
        return bool((high > low).any())

    return not any_rows(_varies, image.data, image.valid)


def _coverage_warnings(pair: Pair, site: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say what was not there to be seen, and how clouds were looked for."""
    found = []
    known = all_finite(*pair.before.data), all_finite(*pair.after.data)
    missing = count_where(lambda first, second, part: ~(first & second) & part, *known, site)
    share = missing / max(int(np.count_nonzero(site)), 1)
    if share > _MISSING_SHARE:
        found.append(f"{share:.0%} of the site has no imagery on one of the dates; it was not observed")
    if pair.clear_share < LOW_CLEAR_SHARE:
        found.append(f"only {pair.clear_share:.0%} of the site was observed on both dates")
    sources = {pair.before.classes_source, pair.after.classes_source}
    if "none" in sources:
        found.append("clouds were not looked for: the bands for it are missing; check both images by eye")
    elif "spectral tests" in sources:
        found.append("clouds were looked for by spectral tests alone, which miss haze and small clouds")
    return tuple(found)


def _pair_warnings(pair: Pair) -> tuple[str, ...]:
    found = []
    times = pair.before.scene.time, pair.after.scene.time
    if times[0] and times[1] and times[0] > times[1]:
        found.append("the before image is the later one: every kind reads backwards; swap the two images")
    if pair.before.scene.id == pair.after.scene.id and times[0] == times[1]:
        found.append("both images are the same scene: whatever it shows, nothing can differ")
    if pair.season_gap_days is not None and pair.season_gap_days > SEASON_GAP_DAYS:
        found.append(
            f"the dates lie {pair.season_gap_days} days of the year apart: "
            "expect seasonal vegetation among the candidates"
        )
    if pair.season_gap_days is None:
        found.append("the date of an image is not known: the season gap could not be checked")
    if pair.sun_elevation_gap_deg is not None and abs(pair.sun_elevation_gap_deg) > _SUN_GAP_DEG:
        found.append(
            f"the sun stood {abs(pair.sun_elevation_gap_deg):.0f} degrees differently: shadows have moved"
        )
    if {pair.before.scene.level, pair.after.scene.level} == {"L1C", "L2A"}:
        found.append(
            "one date is Level-1C, which has the air in it, and the other Level-2A: kinds are less certain; "
            "give both dates at one level"
        )
    for image in (pair.before, pair.after):
        found += [f"{image.scene.id}: {note}" for note in image.scene.notes]
    return tuple(found)
