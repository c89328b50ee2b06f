"""What a finished comparison would have flagged under another threshold or another smallest object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from changedet.comparison import DetectSettings, snow_on_one_date, teaching_ground
from changedet.core.components import label_components
from changedet.core.prediction import predict_change
from changedet.core.threshold import Thresholds
from changedet.deciders import Evidence, open_deciders
from changedet.decision import Scored, at_seed, flag_scored, min_pixels, score_evidence
from changedet.errors import UsageError
from changedet.objects import Flagged, build_objects
from changedet.radar.fusion import RadarFinding, add_radar, least_pixels, without_radar
from changedet.radar.types import SensorChoice
from changedet.result import State

if TYPE_CHECKING:
    import geopandas as gpd
    from numpy.typing import NDArray

    from changedet.result import ChangeResult


@dataclass(frozen=True, eq=False)
class Reconsidered:
    """A result with the scores that were not kept, made again: what is slow is done once.

    The recorded score decides against the recorded background. Outlines and second opinions come from the
    images of the result alone, without the surroundings that the comparison may have learnt from as well.

    Attributes
    ----------
    result : ChangeResult
        What is reconsidered.
    settings : DetectSettings
        Under which it was made.
    evidence : Evidence or None
        Its images; None for radar alone.
    scored : Scored or None
        Its scores; None for radar alone.
    judged : ndarray of bool, shape (y, x)
        Where the images can be compared.
    """

    result: ChangeResult
    settings: DetectSettings
    evidence: Evidence | None
    scored: Scored | None
    judged: NDArray[np.bool_]

    def candidates(self, seed: float, min_area_m2: float) -> gpd.GeoDataFrame:
        """Return the objects that a threshold and a smallest object would have left.

        Parameters
        ----------
        seed : float
            Score that starts an object, above the median of the background. Everything else that depends on
            the threshold moves with it.
        min_area_m2 : float
            Smallest object in square metres.

        Returns
        -------
        GeoDataFrame
            As `ChangeResult.objects`, ranked anew.

        Raises
        ------
        UsageError
            When the threshold does not lie above the background, or the area is negative.
        """
        result = self.result
        background = recorded_thresholds(result)
        settings = replace(self.settings, min_area_m2=min_area_m2, budget=None)
        factor = (seed - background.median) / (background.seed - background.median)
        if not factor > 0:
            raise UsageError(
                "the threshold does not lie above the background",
                todo=f"choose more than {background.median:g}",
            )
        flagged = self._radar_alone(seed, settings) if self.scored is None else self._flag(factor, settings)
        inside = result.state != State.OUTSIDE
        found = build_objects(flagged, result.before, result.after, inside)[0]
        return without_radar(found) if result.radar is None and "radar" in result.inputs else found

    def _flag(self, factor: float, settings: DetectSettings) -> Flagged:
        """Decide anew as `changedet.comparison.compare` does."""
        scored, evidence = cast(Scored, self.scored), cast(Evidence, self.evidence)
        if settings.model is None:
            asked = settings.threshold
            moved = replace(asked, seed_mads=asked.seed_mads * factor, grow_mads=asked.grow_mads * factor)
            settings = replace(settings, threshold=moved)
            scored = replace(scored, second_thresholds=at_seed(scored.second_thresholds, factor))
        sharp = scored.sharp_thresholds
        scored = replace(
            scored,
            thresholds=at_seed(scored.thresholds, factor),
            sharp_thresholds=None if sharp is None else at_seed(sharp, factor),
        )
        flagged = flag_scored(scored, evidence, self.judged, settings, open_deciders(settings))
        if evidence.radar is None:
            return flagged
        state = np.where(self.judged, State.NOT_FLAGGED, State.NOT_COMPARABLE).astype(np.uint8)
        state[~(evidence.before.valid & evidence.after.valid)] = State.NOT_OBSERVED
        state[self.result.state == State.OUTSIDE] = State.OUTSIDE
        state[flagged.labels > 0] = State.CHANGED
        return add_radar(flagged, evidence.radar, state, min_pixels(evidence.before, settings))

    def _radar_alone(self, seed: float, settings: DetectSettings) -> Flagged:
        """Decide anew as `changedet.radar.result.radar_result` does, by deviations."""
        result = self.result
        if result.radar is None:
            raise UsageError("the result has no scores", todo="compare the images again")
        large = np.abs(result.radar.change_db) >= np.float32(result.radar.settings.least_change_db)
        chosen = self.judged & large & (np.nan_to_num(result.score) >= seed)
        least = least_pixels(result.radar, min_pixels(result.before, settings))
        labels = label_components(chosen, chosen, min_pixels=least)
        thresholds = replace(recorded_thresholds(result), seed=seed, grow=seed)
        finding = RadarFinding(result.radar, SensorChoice.S1, 1)
        score = result.score
        return Flagged(labels, score, thresholds, score, thresholds, result.radar.observed, radar=finding)


def recorded_thresholds(result: ChangeResult) -> Thresholds:
    """Return the thresholds of a result.

    Parameters
    ----------
    result : ChangeResult
        One that was compared.

    Returns
    -------
    Thresholds
        Finite.

    Raises
    ------
    UsageError
        When nothing could be flagged: a gate refused the pair, or its score has no background.
    """
    found = [float(result.thresholds.get(name, np.nan)) for name in ("median", "mad", "seed", "grow")]
    if not np.isfinite(found).all() or found[2] <= found[0]:
        raise UsageError(
            "the result has no threshold to move: nothing was compared",
            todo="see its refusals and warnings",
        )
    return Thresholds(*found)


def reconsider(result: ChangeResult) -> Reconsidered:
    """Make ready to ask what another threshold would have flagged.

    Parameters
    ----------
    result : ChangeResult
        Of a comparison, or opened from a run folder that holds its images.

    Returns
    -------
    Reconsidered
        Its `Reconsidered.candidates` under the recorded threshold are those of the result, apart from what
        the surroundings of the site taught the comparison about outlines and small objects.

    Raises
    ------
    UsageError
        When nothing was compared.
    InputFileError
        When a trained model decided that cannot be had.
    """
    recorded = recorded_thresholds(result)
    before, after = result.before, result.after
    settings = DetectSettings()
    if "settings" in result.inputs:
        settings = DetectSettings.from_dict(result.inputs["settings"])
    observed = before.valid & after.valid
    inside = result.state != State.OUTSIDE
    if result.radar_alone:
        return Reconsidered(result, settings, None, None, inside & np.isfinite(result.score))
    usable = observed & ~snow_on_one_date(before, after)
    learn = teaching_ground(usable, inside)
    weights = settings.weights_of(before)
    prediction = predict_change(
        before.data, after.data, usable, weights, settings.predict_parameters(), learn
    )
    evidence = Evidence(before, after, usable, weights, prediction, result.radar)
    scored = score_evidence(evidence, learn, open_deciders(settings))
    scored = replace(scored, score=result.score, thresholds=recorded)
    return Reconsidered(result, settings, evidence, scored, usable & inside)
