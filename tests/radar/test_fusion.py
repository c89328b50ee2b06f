"""Radar beside an optical pair: the score it weighs, what it alone flags, and who flagged what."""

from dataclasses import replace

import numpy as np
import pytest
from tests.radar_passes import FALLING, RISING, factors, make_track_passes
from tests.synthetic import BEFORE_TIME, GRID, make_image

from changedet.comparison import DetectSettings, compare
from changedet.core.radar_stack import Direction
from changedet.kinds import Kind
from changedet.objects import build_objects
from changedet.pairing import make_pair
from changedet.radar.comparison import compare_radar
from changedet.radar.fusion import (
    CONSISTENT_WITH,
    RadarFinding,
    RadarOpinion,
    add_radar,
    fused_score,
    judged_by_radar,
    least_pixels,
    opinions_of,
)
from changedet.radar.types import FoundBy, RadarSettings, SensorChoice
from changedet.result import State

EVERYWHERE = np.ones(tuple(GRID.shape), bool)
#: Under the cloud of the made-up image, in the open, and where the images change.
CLOUDED, OPEN, BUILT = np.s_[1:10, 2:13], np.s_[70:80, 20:31], np.s_[40:52, 50:66]


def noisy(seed, time=BEFORE_TIME):
    image = make_image(0, time)
    own = np.random.default_rng(seed).normal(0, 0.006, image.data.shape)
    return replace(image, data=(image.data + own).astype(np.float32))


def optical_pair():
    """Images with a bright change at `BUILT`."""
    before, after = noisy(1), noisy(2, BEFORE_TIME.replace(year=2025))
    data = after.data.copy()
    data[:, *BUILT] += np.float32(0.2)
    return make_pair(before, replace(after, data=data), EVERYWHERE)


def evidence_of(*boxes, counts=(8, 4)):
    change = factors(*boxes)
    tracks = [make_track_passes(RISING, counts, change), make_track_passes(FALLING, counts, change, 1)]
    return compare_radar(tracks, EVERYWHERE)


def compared(evidence):
    pair = optical_pair()
    comparison = compare(pair, EVERYWHERE, DetectSettings(), refused=False, radar=evidence)
    objects, kind = build_objects(comparison.flagged, pair.before, comparison.after, EVERYWHERE)
    return comparison, objects, kind


def found_at(objects, box):
    """The object that covers the middle of a box."""
    import shapely

    row, column = ((part.start + part.stop) / 2 for part in box)
    point = shapely.Point(GRID.transform * (column, row))
    hits = objects[objects.contains(point)]
    assert len(hits) == 1, objects[["sensor", "area_m2"]]
    return hits.iloc[0]


@pytest.fixture(scope="module")
def together():
    return compared(evidence_of((CLOUDED, 4.0), (OPEN, 0.2), (BUILT, 4.0)))


class TestTogether:
    def test_a_change_under_cloud_is_found_by_radar_only(self, together):
        comparison, objects, _ = together
        found = found_at(objects, CLOUDED)
        assert found["sensor"] == "radar only"
        assert found["kind"] == "unclassified change"
        assert "optical images did not observe it" in found["evidence"]
        assert "consistent with new structures" in found["evidence"]
        assert found["radar_db"] == pytest.approx(6, abs=1)
        assert (comparison.state[CLOUDED] == State.CHANGED).mean() > 0.7

    def test_radar_judges_the_ground_under_the_cloud(self, together):
        comparison, *_ = together
        assert not (comparison.state == State.NOT_OBSERVED).any()
        assert np.isfinite(comparison.flagged.score).all()

    def test_a_change_that_images_do_not_show_is_found_by_radar_only(self, together):
        found = found_at(together[1], OPEN)
        assert found["sensor"] == "radar only"
        assert found["radar_db"] < -4
        assert "optical images do not flag it" in found["evidence"]
        assert "cleared, flooded or paved" in found["evidence"]

    def test_what_both_see_says_so_and_is_trusted_more(self, together):
        found = found_at(together[1], BUILT)
        assert found["sensor"] == "both"
        assert found["confidence"] in {"medium", "high"}
        assert "radar agrees: brighter by" in found["evidence"]
        assert found["radar_deviations"] > 12

    def test_objects_of_radar_have_no_kind_and_their_own_caveat(self, together):
        _, objects, kind = together
        assert set(np.unique(kind[CLOUDED])) <= {Kind.NONE, Kind.UNCLASSIFIED}
        assert "ships, cranes, vehicles" in found_at(objects, OPEN)["warnings"]

    def test_ids_rank_and_every_object_has_a_sensor(self, together):
        objects = together[1]
        assert list(objects["id"]) == list(range(1, len(objects) + 1))
        assert set(objects["sensor"]) <= {"both", "optical only", "radar only", "conflicting"}


def test_radar_that_sees_nothing_leaves_an_object_to_optical_images():
    found = found_at(compared(evidence_of())[1], BUILT)
    assert found["sensor"] == "optical only"
    assert "which does not stand out" in found["evidence"]


def test_a_direction_that_does_not_fit_is_conflicting_and_low():
    evidence = evidence_of((BUILT, 0.2))
    labels = factors((BUILT, 2.0)).astype(np.int32) - 1
    pair = optical_pair()
    for kind, sensor in (
        (Kind.CONSTRUCTION, "conflicting"),
        (Kind.DEMOLITION, "both"),
        (Kind.SURFACE, "both"),
    ):
        finding = RadarFinding(evidence, SensorChoice.BOTH, 2)
        (opinion,) = opinions_of(finding, labels, [kind], (pair.before, pair.after))
        assert opinion.sensor == sensor
    (opinion,) = opinions_of(finding, labels, [Kind.CONSTRUCTION], (pair.before, pair.after))
    assert opinion.confidence("medium") == "low"
    assert "radar does not fit: darker by" in opinion.sentence


@pytest.mark.parametrize(
    ("gain", "factor", "sensor"),
    [(0.3, 0.2, "both"), (0.3, 4.0, "conflicting"), (-0.3, 4.0, "both"), (-0.3, 0.2, "conflicting")],
)
def test_water_that_came_is_expected_to_be_darker(gain, factor, sensor):
    pair = optical_pair()
    data = pair.after.data.copy()
    data[pair.after.bands.index("B03"), *BUILT] += gain
    data[pair.after.bands.index("B08"), *BUILT] -= 0.5 * gain
    labels = factors((BUILT, 2.0)).astype(np.int32) - 1
    finding = RadarFinding(evidence_of((BUILT, factor)), SensorChoice.BOTH, 2)
    images = pair.before, replace(pair.after, data=data)
    assert opinions_of(finding, labels, [Kind.WATER], images)[0].sensor == sensor


class TestTheScore:
    SCORE = np.random.default_rng(3).gamma(2, 1, tuple(GRID.shape)).astype(np.float32)

    def test_it_rises_where_radar_changed_and_hardly_elsewhere(self):
        evidence = evidence_of((OPEN, 4.0))
        ratio = fused_score(self.SCORE, evidence) / self.SCORE
        assert np.median(ratio[OPEN]) > 1.1
        assert np.median(ratio) == pytest.approx(1, abs=0.02)
        assert ratio.max() < 1.25

    def test_no_exponent_changes_nothing(self):
        evidence = replace(evidence_of((OPEN, 4.0)), settings=RadarSettings(fusion_exponent=0))
        assert fused_score(self.SCORE, evidence) is self.SCORE

    def test_a_larger_exponent_weighs_more(self):
        evidence = evidence_of((OPEN, 4.0))
        strong = replace(evidence, settings=RadarSettings(fusion_exponent=0.4))
        assert fused_score(self.SCORE, strong)[OPEN].sum() > fused_score(self.SCORE, evidence)[OPEN].sum()

    def test_where_radar_does_not_judge_the_score_stays(self):
        evidence = evidence_of((OPEN, 4.0))
        deviations = evidence.deviations.copy()
        deviations[:30] = np.nan
        fused = fused_score(self.SCORE, replace(evidence, deviations=deviations))
        assert np.array_equal(fused[:30], self.SCORE[:30])

    def test_what_is_not_judged_stays_so(self):
        score = self.SCORE.copy()
        score[:5] = np.nan
        assert np.array_equal(np.isnan(fused_score(score, evidence_of())), np.isnan(score))

    def test_log_odds_are_left_as_they_are(self):
        score = self.SCORE - 3
        assert fused_score(score, evidence_of((OPEN, 4.0))) is score


def test_unaltered_radar_flags_no_more():
    pair = optical_pair()
    alone = compare(pair, EVERYWHERE, DetectSettings(), refused=False)
    both = compare(pair, EVERYWHERE, DetectSettings(), refused=False, radar=evidence_of())
    assert abs(int((both.state == 1).sum()) - int((alone.state == 1).sum())) <= 4


@pytest.fixture(scope="module")
def ranked():
    """Radar that could not be tested: one pass in each period."""
    return compared(evidence_of((CLOUDED, 4.0), (OPEN, 4.0), (BUILT, 4.0), counts=(1, 1)))


def test_untested_radar_flags_nothing_alone_and_judges_nothing_under_cloud(ranked):
    comparison, objects, _ = ranked
    assert "radar only" not in set(objects["sensor"])
    assert (comparison.state[CLOUDED] == State.NOT_OBSERVED).all()


def test_untested_radar_does_not_raise_confidence(ranked):
    assert found_at(ranked[1], BUILT)["confidence"] != "high"


def test_objects_say_that_untested_radar_only_ranks(ranked, together):
    assert found_at(ranked[1], BUILT)["sensor"] == "both"
    assert found_at(ranked[1], BUILT)["evidence"].endswith("too few passes to test it, radar only ranks")
    assert not together[1]["evidence"].str.contains("only ranks").any()


def test_a_pair_without_background_is_not_decided_by_radar(monkeypatch):
    evidence = evidence_of((CLOUDED, 4.0), (OPEN, 4.0))
    monkeypatch.setattr("changedet.comparison._undecided", lambda flagged: True)
    found = compare(optical_pair(), EVERYWHERE, DetectSettings(), refused=False, radar=evidence)
    assert found.refusal
    assert found.flagged.radar is None
    assert (found.state[CLOUDED] == State.NOT_OBSERVED).all()
    assert not (found.state == State.NOT_FLAGGED).any()


def test_small_groups_are_speckle_of_one_square():
    evidence = evidence_of()
    assert least_pixels(evidence, 1.0) == 9.0
    assert least_pixels(evidence, 20.0) == 20.0
    assert least_pixels(replace(evidence, settings=RadarSettings(multilook_px=5)), 1.0) == 25.0


def test_the_edge_of_an_optical_object_is_no_object_of_radar():
    evidence = evidence_of((BUILT, 4.0))
    comparison = compare(optical_pair(), EVERYWHERE, DetectSettings(), refused=False)
    flagged = add_radar(comparison.flagged, evidence, comparison.state, 5.0)
    assert (evidence.flagged & (comparison.state == State.NOT_FLAGGED)).any()
    assert flagged.labels.max() == comparison.flagged.labels.max()
    assert judged_by_radar(evidence).all()


def test_what_was_set_aside_as_season_is_no_object_of_radar():
    evidence = evidence_of((OPEN, 4.0))
    comparison = compare(optical_pair(), EVERYWHERE, DetectSettings(), refused=False)
    seasonal = (factors((OPEN, 2.0)) > 1).astype(np.int32)
    free = add_radar(comparison.flagged, evidence, comparison.state, 5.0)
    aside = add_radar(replace(comparison.flagged, seasonal=seasonal), evidence, comparison.state, 5.0)
    assert free.labels[OPEN].any()
    assert not aside.labels[OPEN].any()


def test_a_budget_is_not_exceeded_by_radar():
    evidence = evidence_of((OPEN, 4.0), (CLOUDED, 4.0))
    found = compare(optical_pair(), EVERYWHERE, DetectSettings(budget=0.02), refused=False, radar=evidence)
    assert 0 < (found.state == State.CHANGED).mean() <= 0.02


@pytest.mark.parametrize(
    ("sensor", "deviations", "optical", "tested", "expected"),
    [
        (FoundBy.BOTH, 20, "medium", True, "high"),
        (FoundBy.BOTH, 20, "low", True, "medium"),
        (FoundBy.BOTH, 20, "medium", False, "medium"),
        (FoundBy.BOTH, 20, "low", False, "low"),
        (FoundBy.CONFLICTING, 20, "medium", True, "low"),
        (FoundBy.OPTICAL_ONLY, 1, "medium", True, "medium"),
        (FoundBy.RADAR_ONLY, -20, "low", True, "medium"),
        (FoundBy.RADAR, 5, "low", True, "low"),
        (FoundBy.RADAR, 20, "low", False, "low"),
    ],
)
def test_confidence_follows_from_both_sensors(sensor, deviations, optical, tested, expected):
    assert RadarOpinion(sensor, 5.0, deviations, "", tested).confidence(optical) == expected


def test_words_for_readers_promise_nothing():
    for text in CONSISTENT_WITH.values():
        assert text.startswith("consistent with")
    assert set(CONSISTENT_WITH) == {Direction.BRIGHTER, Direction.DARKER}


def test_a_test_that_goes_the_other_way_than_the_mean_says_so():
    evidence = evidence_of((BUILT, 4.0))
    labels = factors((BUILT, 2.0)).astype(np.int32) - 1
    pair = optical_pair()
    for sign, said in ((1, "dB ("), (-1, "dB (-")):
        finding = RadarFinding(
            replace(evidence, deviations=sign * np.abs(evidence.deviations)), SensorChoice.BOTH, 2
        )
        (opinion,) = opinions_of(finding, labels, [Kind.SURFACE], (pair.before, pair.after))
        assert said in opinion.sentence
        assert ("dB (-" in opinion.sentence) == (sign < 0)
