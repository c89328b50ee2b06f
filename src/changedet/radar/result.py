"""The result of a comparison of radar alone: what it flags, in the form that every comparison has."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.components import label_components
from changedet.core.false_discovery import DiscoveryParameters, discovery_threshold
from changedet.core.registration import TIE_POINT_RELIABILITY, estimate_shift
from changedet.core.threshold import robust_thresholds
from changedet.objects import Flagged, build_objects
from changedet.pairing import SEASON_GAP_DAYS, Pair, season_gap_days
from changedet.radar.comparison import crop_evidence
from changedet.radar.fusion import RadarFinding, least_pixels
from changedet.radar.platforms import CORRECTED_FROM_PX
from changedet.radar.types import SensorChoice, Track
from changedet.registration import Registration
from changedet.resample import pixel_size_m
from changedet.result import ChangeResult, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from changedet.comparison import DetectSettings
    from changedet.core.threshold import Thresholds
    from changedet.frame import Frame
    from changedet.radar.types import RadarEvidence
    from changedet.site import Site

#: What a record calls the method when radar alone decided.
RADAR_METHOD = "radar"
#: Largest misfit between both periods that is looked for, in pixels.
_MOST_MISFIT_PX = 8.0
#: Settings that only a comparison of optical imagery heeds, and their options.
_OPTICAL_ONLY = MappingProxyType(
    {
        "method": "--method",
        "threshold": "--threshold",
        "model": "--model",
        "keep_seasonal": "--keep-seasonal",
    }
)
_UNTESTED = (
    "not comparable: too few passes of radar to tell change from weather and speckle, so that nothing is "
    "said about change; give at least {before} passes of one track before and {after} after, or flag the "
    "leading share of the site with --budget"
)


@dataclass(frozen=True, eq=False)
class RadarAsked:
    """What a comparison of radar alone was asked, and where.

    Attributes
    ----------
    frame : Frame
        Where the results lie in the grid of the evidence.
    inside : ndarray of bool, shape (y, x)
        True inside the site, on that grid.
    site : Site or None
        The site.
    settings : DetectSettings
        Smallest object, budget, largest misfit.
    reason : str
        Why these passes, for a reader.
    inputs : mapping
        What they were made from.
    notes : tuple of str
        What a reader should know besides.
    """

    frame: Frame
    inside: NDArray[np.bool_]
    site: Site | None
    settings: DetectSettings
    reason: str
    inputs: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def radar_result(evidence: RadarEvidence, asked: RadarAsked) -> ChangeResult:
    """Turn evidence into a result.

    Parameters
    ----------
    evidence : RadarEvidence
        With the surroundings of the site.
    asked : RadarAsked
        What for.

    Returns
    -------
    ChangeResult
        Before and after are the mean power of the leading track; the score is the length of the combined
        deviations. Nothing is flagged, and why is in its refusals, when the periods do not fit each other or
        no track has enough passes to be tested.
    """
    frame, window, settings = asked.frame, asked.frame.window, asked.settings
    registration = platform_check(evidence, settings.residual_limit_px)
    refused = _refusals(evidence, registration, settings)
    flagged = _flagged(evidence, asked, refused=bool(refused))
    state = _states(evidence, asked.inside, flagged.labels, refused=bool(refused))
    objects, kind = build_objects(flagged, evidence.before, evidence.after, asked.inside)
    cropped = crop_evidence(evidence, frame)
    pair = _pair(cropped, asked)
    notes = (*_season_notes(pair), *_unused_notes(settings), *pass_notes(cropped))
    return ChangeResult(
        name=asked.site.name if asked.site else _name(evidence.tracks[0].track),
        grid=frame.grid,
        score=flagged.score[window],
        state=state[window],
        kind=kind[window],
        objects=objects,
        before=cropped.before,
        after=cropped.after,
        pair=pair,
        registration=replace(registration, grid=frame.context),
        normalization=None,
        parameters={
            "sensor": SensorChoice.S1.value,
            "method": RADAR_METHOD,
            "detector": evidence.settings.to_dict(),
            "min_area_m2": _min_area_m2(evidence, settings),
            "budget": settings.budget,
            "context_pixels": list(frame.context.shape),
        },
        thresholds=asdict(flagged.thresholds),
        detection_floor={
            "min_area_m2": _min_area_m2(evidence, settings),
            "least_change_db": evidence.settings.least_change_db,
        },
        warnings=(*refused, *evidence.warnings, *asked.notes, *notes),
        inputs={
            **asked.inputs,
            "site": asked.site.to_dict() if asked.site else None,
            "settings": settings.to_dict(),
        },
        refusals=refused,
        radar=cropped,
    )


def platform_check(evidence: RadarEvidence, limit_px: float) -> Registration:
    """Say how both periods of the leading track lie on each other.

    Nothing is registered here: products that are corrected for the terrain lie where they lie. Satellites
    that do not were brought together before. What is left is measured between the means of both periods.

    Parameters
    ----------
    evidence : RadarEvidence
        With pictures of both periods, and what was corrected.
    limit_px : float
        Largest misfit that is compared.

    Returns
    -------
    Registration
        Its shift is the largest that a satellite was moved by; the residual is NaN where nothing could be
        measured, which refuses nothing.
    """
    sides_m = pixel_size_m(evidence.grid)
    offsets = evidence.tracks[0].platform_offsets_px.values()
    corrected = [by for by in offsets if np.hypot(*by) >= CORRECTED_FROM_PX]
    # what lies further down and right has to move up and left
    shift = max(
        ((-row, -column) for row, column in corrected), key=lambda by: np.hypot(*by), default=(0.0, 0.0)
    )
    left = _misfit(evidence)
    residual = float(np.hypot(*left[:2]))
    refused = residual > limit_px
    reason = f"the residual of {residual:.2f} px is above the limit of {limit_px:g} px" if refused else ""
    return Registration(
        shift_px=(shift[0] + 0.0, shift[1] + 0.0),
        shift_m=(-shift[0] * sides_m[0] + 0.0, shift[1] * sides_m[1] + 0.0),
        residual_px=residual,
        residual_m=float(np.hypot(left[0] * sides_m[0], left[1] * sides_m[1])),
        spread_px=float("nan"),
        tie_points=0,
        reliability=left[2],
        limit_px=limit_px,
        applied=bool(corrected),
        verdict="not comparable" if refused else "corrected" if corrected else "good",
        reason=reason,
        model="translation",
        feature="edges",
    )


def misfit_refusal(registration: Registration) -> str:
    """Say why both periods of radar are not comparable; "" where they are, or nothing could be measured.

    Parameters
    ----------
    registration : Registration
        From `platform_check`.
    """
    return "" if registration.passed else f"{registration.reason} between both periods of radar"


def pass_notes(evidence: RadarEvidence) -> tuple[str, ...]:
    """Return what the readers of both pictures have to know of their passes, each note once."""
    scenes = (*evidence.before.scene.acquisitions, *evidence.after.scene.acquisitions)
    return tuple(dict.fromkeys(note for scene in scenes for note in scene.notes))


def _misfit(evidence: RadarEvidence) -> tuple[float, float, float]:
    """Return rows, columns and reliability of what is left between both periods; NaN where it has no peak."""
    planes = [
        np.log(np.maximum(image.data[0], np.float32(1e-6))) for image in (evidence.before, evidence.after)
    ]
    seen = [np.isfinite(plane) for plane in planes]
    found = estimate_shift(planes[0][None], planes[1][None], seen[0], seen[1], max_shift_px=_MOST_MISFIT_PX)
    if found.reliability < TIE_POINT_RELIABILITY:
        return float("nan"), float("nan"), found.reliability
    return found.row_px, found.column_px, found.reliability


def _refusals(
    evidence: RadarEvidence, registration: Registration, settings: DetectSettings
) -> tuple[str, ...]:
    if misfit := misfit_refusal(registration):
        return (f"not comparable: {misfit}",)
    if evidence.tested or settings.budget is not None:
        return ()
    asked = evidence.settings
    return (_UNTESTED.format(before=asked.least_before, after=asked.least_after),)


def _name(track: Track) -> str:
    """Call a result after its track, as local files without a site have no other name."""
    return "radar" if track == Track() else f"radar {track.label}"


def _flagged(evidence: RadarEvidence, asked: RadarAsked, *, refused: bool) -> Flagged:
    """Label what radar flags, or the leading share of the site when a budget is given."""
    score = np.abs(evidence.deviations)
    thresholds = _thresholds(evidence, score, asked.inside)
    judged = asked.inside & np.isfinite(score)
    chosen, budget = evidence.flagged & judged, asked.settings.budget
    if budget is not None and judged.any():
        least = float(np.quantile(score[judged], 1 - budget, method="higher"))
        chosen, thresholds = judged & (score > least), replace(thresholds, seed=least, grow=least)
    if refused:
        chosen, thresholds = np.zeros_like(judged), replace(thresholds, seed=np.inf, grow=np.inf)
    pixels = least_pixels(evidence, _min_area_m2(evidence, asked.settings) / _pixel_m2(evidence))
    labels = label_components(chosen, chosen, min_pixels=pixels)
    score = np.where(asked.inside, score, np.float32(np.nan))
    finding = RadarFinding(evidence, SensorChoice.S1, 1)
    return Flagged(labels, score, thresholds, score, thresholds, evidence.observed, radar=finding)


def _thresholds(evidence: RadarEvidence, score: NDArray[np.float32], inside: NDArray[np.bool_]) -> Thresholds:
    """Return the deviations that pass the rate of false discoveries over the site, and the background."""
    from scipy.special import ndtr, ndtri

    background = robust_thresholds(score)
    if not evidence.tested:
        return replace(background, seed=float("inf"), grow=float("inf"))
    p_value = np.where(inside, 2 * ndtr(-score.astype(np.float64)), np.nan).astype(np.float32)
    most = discovery_threshold(p_value, DiscoveryParameters(evidence.settings.false_discovery_share))
    least = float(-ndtri(most / 2)) if most > 0 else float("inf")
    return replace(background, seed=least, grow=least)


def _states(
    evidence: RadarEvidence, inside: NDArray[np.bool_], labels: NDArray[np.int32], *, refused: bool
) -> NDArray[np.uint8]:
    state = np.full(inside.shape, State.NOT_COMPARABLE if refused else State.NOT_FLAGGED, np.uint8)
    state[~np.isfinite(evidence.deviations)] = State.NOT_COMPARABLE
    state[~evidence.observed] = State.NOT_OBSERVED
    state[labels > 0] = State.CHANGED
    state[~inside] = State.OUTSIDE
    return state


def _pair(evidence: RadarEvidence, asked: RadarAsked) -> Pair:
    """Describe the pair of pictures; light and cloud are none of its matters."""
    first, second = evidence.before.scene, evidence.after.scene
    inside = asked.inside[asked.frame.window]
    size = max(int(inside.sum()), 1)
    shares = [
        float((seen & inside).sum() / size)
        for seen in (evidence.before.valid, evidence.after.valid, evidence.observed)
    ]
    return Pair(
        before=evidence.before,
        after=evidence.after,
        clear_share_before=shares[0],
        clear_share_after=shares[1],
        clear_share=shares[2],
        days_apart=(second.time.date() - first.time.date()).days if first.time and second.time else None,
        season_gap_days=season_gap_days(first.time, second.time),
        sun_elevation_gap_deg=None,
        sun_azimuth_gap_deg=None,
        same_orbit=True if evidence.tracks[0].track.relative_orbit is not None else None,
        reason=asked.reason,
    )


def _season_notes(pair: Pair) -> tuple[str, ...]:
    """Return a warning when the periods lie in different seasons."""
    if pair.season_gap_days is None or pair.season_gap_days <= SEASON_GAP_DAYS:
        return ()
    return (
        f"the periods lie {pair.season_gap_days} days of the year apart: expect crops, wet ground, frost and "
        "snow among the candidates",
    )


def _unused_notes(settings: DetectSettings) -> tuple[str, ...]:
    """Return a warning when settings were changed that only a comparison of optical imagery heeds."""
    usual = type(settings)()
    unused = [
        option for name, option in _OPTICAL_ONLY.items() if getattr(settings, name) != getattr(usual, name)
    ]
    if not unused:
        return ()
    return (f"radar alone does not heed {' and '.join(unused)}: what it flags follows from the passes",)


def _pixel_m2(evidence: RadarEvidence) -> float:
    return float(np.prod(pixel_size_m(evidence.grid)))


def _min_area_m2(evidence: RadarEvidence, settings: DetectSettings) -> float:
    return max(settings.min_area_m2, _pixel_m2(evidence) * least_pixels(evidence, 1.0))
