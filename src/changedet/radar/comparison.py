"""From the passes of radar to evidence: every track is tested by itself, then what they say is combined."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from changedet.bands import RADAR_BANDS
from changedet.core.false_discovery import DiscoveryParameters, RadarDecision, flag_change
from changedet.core.likelihood_ratio import LikelihoodRatioParameters, likelihood_ratio, period_mean
from changedet.core.log_ratio import like_power_deviations
from changedet.core.masking import unclassified
from changedet.core.orbits import MOST_DEVIATIONS, OrbitScore, combine_orbits, score_of_ratio
from changedet.core.radar_stack import DECIBELS, scene_levels, temporal_reference, usable_dates
from changedet.core.speckle import LooksParameters, equivalent_looks, multilook
from changedet.errors import MissingBandError, NoUsableImageryError, UsageError
from changedet.radar.platforms import CORRECTED_FROM_PX, brought_together, platform_offsets
from changedet.radar.types import (
    LEFT_OUT,
    LIKELIHOOD_RATIO,
    LOG_RATIO,
    RadarEvidence,
    RadarSettings,
    TrackReport,
)
from changedet.scale.memory import require_memory
from changedet.scene import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.frame import Frame
    from changedet.radar.types import RadarPasses, Track
    from changedet.scene import Scene

#: Looks of a pass of Sentinel-1 GRD at 10 m, and how much of the pixels of a square is independent.
_USUAL_LOOKS, _INDEPENDENT_SHARE = 4.4, 0.55
#: Ground outside the site teaches the level of a pass from so many pixels on; else all of it does.
_ENOUGH_PIXELS = 5_000
#: Planes of float32 that are held at a time besides the passes themselves, and what `require_memory` reckons
#: for each band.
_PLANES_BESIDES, _PLANES_PER_BAND = 24, 9
_DEFAULT_SETTINGS = RadarSettings()


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What one track says."""

    report: TrackReport
    score: OrbitScore
    change_db: NDArray[np.float32]
    observed: NDArray[np.bool_]
    pictures: tuple[Image, Image]


@dataclass(frozen=True, eq=False)
class _Stacks:
    """Both periods of one track as arrays, and how they came to lie on each other."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    offsets: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]


def compare_radar(
    passes: Sequence[RadarPasses],
    inside: NDArray[np.bool_],
    settings: RadarSettings = _DEFAULT_SETTINGS,
) -> RadarEvidence:
    """Compare two periods of radar.

    Each track by itself: satellites that lie apart are brought together, power is averaged over squares, all
    passes are brought to the level of the period before by the ground outside the site, looks are estimated
    from the data, and the calibrated likelihood ratio is taken (`changedet.core.likelihood_ratio`). Their
    deviations are combined by a signed, weighted sum (`changedet.core.orbits`), and false discoveries over
    the site limited. Where no track has enough passes to be tested, the logarithm of the ratio of both means
    ranks, in robust standard deviations of ground of like power, and nothing is flagged: there is nothing
    that says how much unaltered ground varies.

    Parameters
    ----------
    passes : sequence of RadarPasses
        One for each track, all on one grid, with the surroundings of the site.
    inside : ndarray of bool, shape (y, x)
        True inside the site, where pixels may be flagged.
    settings : RadarSettings
        Squares, error rate, least change, least passes.

    Returns
    -------
    RadarEvidence
        On the grid of the passes. The leading track, that which knows most, comes first; its means are the
        pictures.

    Raises
    ------
    NoUsableImageryError
        When no track has a pass in both periods, or none sees the site in both.
    UsageError
        When passes lie on different grids, a pass belongs to another track, or memory does not suffice.
    MissingBandError
        When the passes of a track have no polarisation in common.
    """
    usable = sorted((one for one in passes if one.before and one.after), key=_rank)
    if not usable:
        raise NoUsableImageryError(
            f"no track of radar has passes in both periods ({_tracks_of_both(passes)})",
            todo="widen the periods, or choose another site; keep local files of one track in folders of one "
            "name, such as track_44",
        )
    _check(usable, inside)
    able = [one for one in usable if _is_testable(one, settings)]
    chosen = able or usable
    outcomes = [_judged(one, inside, settings, tested=bool(able)) for one in chosen]
    observed = np.logical_or.reduce([one.observed for one in outcomes])
    if not (observed & inside).any():
        raise NoUsableImageryError(
            "no track of radar sees any of the site in both periods",
            todo="check that files of radar lie where the site is, or widen the periods",
        )
    left_out = [_left_out(one, settings) for one in usable if one not in chosen]
    left_out += [_one_sided(one) for one in passes if not (one.before and one.after)]
    reports = (*(one.report for one in outcomes), *left_out)
    combined = combine_orbits([one.score for one in outcomes])
    change = _mean_change(outcomes)
    flagged = np.zeros(inside.shape, bool)
    if able:
        flagged = _decided(np.where(inside, combined.p_value, np.float32(np.nan)), change, settings)
    return RadarEvidence(
        grid=usable[0].before[0].grid,
        before=outcomes[0].pictures[0],
        after=outcomes[0].pictures[1],
        deviations=combined.deviations[0],
        change_db=change,
        flagged=flagged,
        observed=observed,
        tracks=reports,
        settings=settings,
        warnings=_warnings(reports),
    )


def crop_evidence(evidence: RadarEvidence, frame: Frame) -> RadarEvidence:
    """Return evidence on the context of a comparison cut to the grid of its results.

    Parameters
    ----------
    evidence : RadarEvidence
        On ``frame.context``.
    frame : Frame
        Where the results lie in it.

    Returns
    -------
    RadarEvidence
        On ``frame.grid``.
    """
    window = frame.window
    return replace(
        evidence,
        grid=frame.grid,
        before=frame.crop(evidence.before),
        after=frame.crop(evidence.after),
        deviations=evidence.deviations[window],
        change_db=evidence.change_db[window],
        flagged=evidence.flagged[window],
        observed=evidence.observed[window],
    )


def _rank(one: RadarPasses) -> tuple[float, str, int]:
    return -_weight(one), one.track.orbit_state, one.track.relative_orbit or 0


def _weight(one: RadarPasses) -> float:
    """Return what a track can know: the harmonic mean of its passes, halved."""
    before, after = len(one.before), len(one.after)
    return before * after / (before + after)


def _tracks_of_both(passes: Sequence[RadarPasses]) -> str:
    """Say which tracks each period has."""
    before, after = (
        ", ".join(one.track.label for one in passes if getattr(one, side)) or "none"
        for side in ("before", "after")
    )
    return f"before: {before}; after: {after}"


def _is_testable(one: RadarPasses, settings: RadarSettings) -> bool:
    return len(one.before) >= settings.least_before and len(one.after) >= settings.least_after


def _check(passes: Sequence[RadarPasses], inside: NDArray[np.bool_]) -> None:
    grid = passes[0].before[0].grid
    held = most = 0
    for one in passes:
        for image in (*one.before, *one.after):
            _check_pass(one, image, grid)
        planes = sum(len(image.bands) for image in (*one.before, *one.after))
        held, most = held + planes, max(most, planes)
    if tuple(grid.shape) != inside.shape:
        raise UsageError(f"a site of {inside.shape} pixels does not fit passes of {tuple(grid.shape)}")
    # the passes of all tracks are held as they came, those of one as stacks besides
    require_memory(grid, -(-(held + 2 * most + _PLANES_BESIDES) // _PLANES_PER_BAND))


def _check_pass(one: RadarPasses, image: Image, grid: GeoBox) -> None:
    scene, track = image.scene, one.track
    if image.grid != grid:
        raise UsageError(
            "passes of radar do not lie on one grid", where=scene.id, todo="load all of them onto one grid"
        )
    orbits, states = {track.relative_orbit, scene.relative_orbit}, {track.orbit_state, scene.orbit_state}
    if len(orbits - {None}) > 1 or len(states - {None, "unknown"}) > 1:
        raise UsageError(
            f"a pass of another track than {track.label}", where=scene.id,
            todo="compare only passes of one relative orbit and direction with each other",
        )  # fmt: skip


def _judged(
    one: RadarPasses, inside: NDArray[np.bool_], settings: RadarSettings, *, tested: bool
) -> _Outcome:
    """Compare the two periods of one track."""
    bands = shared_polarisations((*one.before, *one.after), one.track)
    stacks = _stacked(one, bands)
    pictures = _picture(stacks.before, one.before, bands), _picture(stacks.after, one.after, bands)
    before, after = (multilook(part, settings.multilook_px) for part in (stacks.before, stacks.after))
    observed = np.asarray(usable_dates(before).any(axis=0) & usable_dates(after).any(axis=0))
    teaches = teaching_ground(observed, inside)
    reference = np.where(teaches, temporal_reference(before), np.float32(np.nan))
    before /= scene_levels(before, reference)[:, :, None, None]
    after /= scene_levels(after, reference)[:, :, None, None]
    report = TrackReport(
        one.track,
        *one.scenes,
        LOG_RATIO,
        platform_offsets_px=stacks.offsets,
        note=_joined(_order(one), *stacks.notes),
    )
    if not tested:
        score, change = _ranked(before, after, teaches, _weight(one))
        return _Outcome(
            replace(report, note=_joined(report.note, _few(one, settings))), score, change, observed, pictures
        )
    looks, note = _looks(before, settings)
    parameters = LikelihoodRatioParameters(
        looks, least_before=settings.least_before, least_after=settings.least_after
    )
    test = likelihood_ratio(before, after, parameters)
    report = replace(report, method=LIKELIHOOD_RATIO, looks=looks, note=_joined(report.note, note))
    score = score_of_ratio(test, _weight(one))
    return _Outcome(report, score, test.change_db.mean(axis=0), observed, pictures)


def shared_polarisations(images: Sequence[Image], track: Track) -> tuple[str, ...]:
    """Return the polarisations that all passes of a track have.

    Parameters
    ----------
    images : sequence of Image
        At least one.
    track : Track
        Their geometry, for the error.

    Returns
    -------
    tuple of str
        Out of ``VV`` and ``VH``, in this order.

    Raises
    ------
    MissingBandError
        When they have none in common.
    """
    common = set.intersection(*(set(image.bands) for image in images))
    bands = tuple(name for name in RADAR_BANDS if name in common)
    if not bands:
        raise MissingBandError(
            f"the passes of {track.label} have no polarisation in common",
            where=images[0].scene.id,
            todo="give VV of every pass",
        )
    return bands


@dataclass(frozen=True, eq=False)
class PassStack:
    """The passes of one track as an array, and how they came to lie on each other.

    Attributes
    ----------
    power : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought; NaN where a pass does not see a pixel.
    offsets : mapping of str to (float, float)
        From `changedet.radar.platforms.platform_offsets`.
    notes : tuple of str
        What a reader should know.
    """

    power: NDArray[np.float32]
    offsets: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]


def stack_passes(images: Sequence[Image], bands: tuple[str, ...]) -> PassStack:
    """Put the passes of a track into an array, with its satellites on one another.

    Parameters
    ----------
    images : sequence of Image
        Of one track, on one grid.
    bands : tuple of str
        Polarisations that all of them have.

    Returns
    -------
    PassStack
        In the order of the images.
    """
    platforms = [image.scene.platform for image in images]
    stack = np.stack([_masked(image, bands) for image in images])
    notes: list[str] = []
    offsets: Mapping[str, tuple[float, float]] = MappingProxyType({})
    if len(set(platforms)) > 1:
        offsets, unmeasured = platform_offsets(stack, platforms)
        stack = brought_together(stack, platforms, offsets)
        notes += [
            f"how {name} lies could not be measured, its passes were left as they are" for name in unmeasured
        ]
        notes += [
            f"passes of {name} were moved by {np.hypot(*by):.2f} px"
            for name, by in offsets.items()
            if np.hypot(*by) >= CORRECTED_FROM_PX
        ]
    return PassStack(stack, offsets, tuple(notes))


def _stacked(one: RadarPasses, bands: tuple[str, ...]) -> _Stacks:
    """Put the passes of both periods into arrays, with the satellites on one another."""
    found, count = stack_passes((*one.before, *one.after), bands), len(one.before)
    return _Stacks(found.power[:count], found.power[count:], found.offsets, found.notes)


def _masked(image: Image, bands: tuple[str, ...]) -> NDArray[np.float32]:
    data = image.select(bands).data
    return np.where(image.valid & (data >= 0).all(axis=0), data, np.float32(np.nan))


def teaching_ground(observed: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ground that tells the level of a pass: that round the site, where it is enough.

    Parameters
    ----------
    observed, inside : ndarray of bool, shape (y, x)
        What the passes see, and the site.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    around = observed & ~inside
    return around if int(around.sum()) >= _ENOUGH_PIXELS else observed


def _looks(stack: NDArray[np.float32], settings: RadarSettings) -> tuple[float, str]:
    """Estimate looks after multilooking, the fewest of the polarisations; with a note if they are assumed."""
    try:
        found = equivalent_looks(stack, LooksParameters(spacing_px=settings.multilook_px))
    except NoUsableImageryError:
        looks = _USUAL_LOOKS * max(1.0, _INDEPENDENT_SHARE * settings.multilook_px**2)
        return looks, f"too little ground to estimate looks: {looks:.0f} were assumed"
    return float(found.min()), ""


def _ranked(
    before: NDArray[np.float32], after: NDArray[np.float32], teaches: NDArray[np.bool_], weight: float
) -> tuple[OrbitScore, NDArray[np.float32]]:
    """Rank by the logarithm of the ratio of the means."""
    means, counts = zip(*(period_mean(part) for part in (before, after)), strict=True)
    seen = (counts[0] > 0) & (counts[1] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = (DECIBELS * np.log(means[1] / means[0])).mean(axis=0)
    change = np.where(seen & np.isfinite(decibels), decibels, np.nan).astype(np.float32)
    power = np.maximum(*means).mean(axis=0).astype(np.float32)
    limit = np.float32(MOST_DEVIATIONS)
    deviations = np.clip(like_power_deviations(change, power, teaches), -limit, limit)[None]
    return OrbitScore(deviations, np.full(deviations.shape, weight, np.float32)), change


def _mean_change(outcomes: Sequence[_Outcome]) -> NDArray[np.float32]:
    """Average the change over tracks by what they know."""
    total = np.zeros(outcomes[0].change_db.shape)
    weights = np.zeros_like(total)
    for one in outcomes:
        seen = np.isfinite(one.change_db) & np.isfinite(one.score.deviations[0])
        total += np.where(seen, one.change_db * one.score.weight[0], 0)
        weights += np.where(seen, one.score.weight[0], 0)
    mean = np.divide(total, weights, out=np.full(total.shape, np.nan), where=weights > 0)
    return np.asarray(mean, np.float32)


def _decided(
    p_value: NDArray[np.float32], change: NDArray[np.float32], settings: RadarSettings
) -> NDArray[np.bool_]:
    discoveries = DiscoveryParameters(settings.false_discovery_share)
    return flag_change(p_value, change[None], RadarDecision(discoveries, settings.least_change_db))


def _picture(stack: NDArray[np.float32], images: Sequence[Image], bands: tuple[str, ...]) -> Image:
    """Return the mean power of a period, at full resolution, as an image of all its passes."""
    mean, count = period_mean(stack)
    seen = np.asarray(count > 0)
    data = np.where(seen, mean, np.nan).astype(np.float32)
    scene = _scene_of([image.scene for image in images])
    return Image(data, bands, seen, unclassified(seen), images[0].grid, scene)


def _scene_of(scenes: Sequence[Scene]) -> Scene:
    if len(scenes) == 1:
        return scenes[0]
    platforms = {scene.platform for scene in scenes}
    return replace(
        scenes[-1],
        platform=platforms.pop() if len(platforms) == 1 else "Sentinel-1",
        simulated=any(scene.simulated for scene in scenes),
        members=tuple(scenes),
        granules=(),
    )


def _left_out(one: RadarPasses, settings: RadarSettings) -> TrackReport:
    (before, after), note = one.scenes, _few(one, settings)
    return TrackReport(one.track, before[-1:], after[:1], LEFT_OUT, note=f"{note}; other tracks have enough")


def _one_sided(one: RadarPasses) -> TrackReport:
    word = "before" if one.after else "after"
    before, after = one.scenes
    return TrackReport(one.track, before[-1:], after[:1], LEFT_OUT, note=f"no pass in the period {word}")


def _few(one: RadarPasses, settings: RadarSettings) -> str:
    return (
        f"{len(one.before)} and {len(one.after)} passes, fewer than the {settings.least_before} and "
        f"{settings.least_after} that tell change from weather and speckle"
    )


def _order(one: RadarPasses) -> str:
    """Say when periods overlap; wholly exchanged ones are said, or refused, where they are given."""
    before, after = (sorted(s.time for s in side if s.time is not None) for side in one.scenes)
    if not (before and after) or before[-1] < after[0] or before[0] > after[-1]:
        return ""
    dates = f"passes before reach to {before[-1]:%Y-%m-%d}, those after begin on {after[0]:%Y-%m-%d}"
    return f"the periods overlap: {dates}"


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _warnings(reports: Sequence[TrackReport]) -> tuple[str, ...]:
    found = []
    if not any(one.method == LIKELIHOOD_RATIO for one in reports):
        found.append("no track of radar has enough passes to be tested: radar flags none by itself")
    found += [
        f"radar, {one.track.text}: {one.note}" for one in reports if one.note and one.method != LEFT_OUT
    ]
    return tuple(found)
