"""Passes of radar become evidence: tracks apart, one level, satellites together, nothing flagged untested."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.radar_passes import FALLING, RISING, factors, ground, make_track_passes, one_pass
from tests.synthetic import GRID

from changedet.errors import MissingBandError, NoUsableImageryError, UsageError
from changedet.frame import Frame
from changedet.radar.comparison import compare_radar, crop_evidence
from changedet.radar.platforms import brought_together, platform_offsets
from changedet.radar.result import platform_check
from changedet.radar.types import RadarPasses, RadarSettings, Track

EVERYWHERE = np.ones(tuple(GRID.shape), bool)
SITE = np.zeros_like(EVERYWHERE)
SITE[20:80, 20:100] = True
BUILT, CLEARED, BESIDE = np.s_[40:50, 40:52], np.s_[60:70, 70:82], np.s_[4:14, 4:16]
CHANGE = factors((BUILT, 4.0), (CLEARED, 0.25), (BESIDE, 5.0))


@pytest.fixture(scope="module")
def evidence():
    tracks = make_track_passes(RISING, (6, 4), CHANGE), make_track_passes(FALLING, (8, 4), CHANGE, 1)
    return compare_radar(tracks, SITE)


class TestTwoTracks:
    def test_what_changed_is_flagged_with_its_direction(self, evidence):
        assert evidence.flagged[BUILT].mean() > 0.9
        assert evidence.flagged[CLEARED].mean() > 0.6
        assert np.nanmedian(evidence.change_db[BUILT]) == pytest.approx(6.0, abs=0.5)
        assert np.nanmedian(evidence.change_db[CLEARED]) == pytest.approx(-6.0, abs=0.8)
        assert np.nanmedian(evidence.deviations[BUILT]) > 12
        assert np.nanmedian(evidence.deviations[CLEARED]) < -12

    def test_nothing_outside_the_site_is_flagged_though_it_deviates(self, evidence):
        assert not evidence.flagged[~SITE].any()
        assert np.nanmedian(evidence.deviations[BESIDE]) > 12

    def test_hardly_anything_else_is_flagged(self, evidence):
        # squares of three pixels reach one pixel beyond what changed
        near = factors((np.s_[39:51, 39:53], 2.0), (np.s_[59:71, 69:83], 2.0)) > 1
        assert evidence.flagged[~near].sum() == 0

    def test_the_track_of_most_passes_leads(self, evidence):
        assert [one.track for one in evidence.tracks] == [FALLING, RISING]
        assert [one.method for one in evidence.tracks] == ["likelihood ratio"] * 2
        assert all(20 < one.looks < 60 for one in evidence.tracks)
        assert len(evidence.before.scene.acquisitions) == 8
        assert evidence.before.bands == ("VV", "VH")
        assert evidence.tested

    def test_deviations_are_standard_where_nothing_changed(self, evidence):
        quiet = cv2.erode((CHANGE == 1).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert np.nanstd(evidence.deviations[quiet]) == pytest.approx(1.0, abs=0.2)

    def test_it_is_cut_to_the_site(self, evidence):
        window = (slice(20, 80), slice(20, 100))
        frame = Frame(GRID[window], GRID, window)
        cut = crop_evidence(evidence, frame)
        assert cut.grid == GRID[window]
        assert cut.before.data.shape == (2, 60, 80)
        for name in ("deviations", "change_db", "flagged", "observed"):
            assert np.array_equal(getattr(cut, name), getattr(evidence, name)[window], equal_nan=True)


def test_where_nothing_changed_nothing_is_flagged():
    assert not compare_radar([make_track_passes(counts=(8, 4))], EVERYWHERE).flagged.any()


def test_rain_on_all_of_the_ground_is_no_change():
    wet = compare_radar([make_track_passes(rain=1.6)], SITE)
    assert not wet.flagged.any()
    assert abs(np.nanmedian(wet.change_db)) < 0.1


def test_exchanging_the_periods_exchanges_the_signs():
    track = make_track_passes(counts=(5, 5), change=CHANGE)
    swapped = RadarPasses(track.track, track.after, track.before)
    there, back = (compare_radar([one], SITE).change_db for one in (track, swapped))
    assert np.nanmedian(there[BUILT]) == pytest.approx(-np.nanmedian(back[BUILT]), abs=0.2)


def test_periods_that_overlap_are_said():
    track = make_track_passes(counts=(4, 3))
    late, early = track.before[0], track.after[-1]
    overlapping = RadarPasses(track.track, (*track.before[1:], early), (late, *track.after[:-1]))
    evidence = compare_radar([overlapping], SITE)
    said = "the periods overlap: passes before reach to 2025-05-25, those after begin on 2023-05-01"
    assert evidence.tracks[0].note == said
    assert evidence.warnings == (f"radar, track ascending 44: {said}",)
    assert compare_radar([track], SITE).warnings == ()


@pytest.mark.parametrize(
    ("offset", "verdict", "moved"), [((0.2, 0.2), "good", (0, 0)), ((2.0, -1.0), "corrected", (-2, 1))]
)
def test_only_what_was_moved_is_called_corrected(evidence, offset, verdict, moved):
    report = replace(evidence.tracks[0], platform_offsets_px={"Sentinel-1C": offset})
    found = platform_check(replace(evidence, tracks=(report, *evidence.tracks[1:])), 0.5)
    assert (found.verdict, found.shift_px) == (verdict, moved)
    assert found.applied == (verdict == "corrected")


class TestTooFewPasses:
    def test_one_against_one_ranks_and_flags_nothing(self):
        evidence = compare_radar([make_track_passes(counts=(1, 1), change=CHANGE)], SITE)
        assert evidence.tracks[0].method == "log-ratio"
        assert not evidence.flagged.any()
        assert not evidence.tested
        assert np.nanmedian(evidence.deviations[BUILT]) > 3 * np.nanstd(evidence.deviations[CHANGE == 1])
        assert "flags none by itself" in evidence.warnings[0]
        assert "1 and 1 passes, fewer than the 3 and 1" in evidence.tracks[0].note

    def test_a_track_that_can_be_tested_leaves_the_others_out(self):
        tracks = make_track_passes(RISING, (2, 2), CHANGE), make_track_passes(FALLING, (6, 2), CHANGE, 1)
        evidence = compare_radar(tracks, SITE)
        assert [(one.track, one.method) for one in evidence.tracks] == [
            (FALLING, "likelihood ratio"),
            (RISING, "left out"),
        ]
        assert "other tracks have enough" in evidence.tracks[1].note
        assert evidence.warnings == ()

    def test_a_track_of_one_period_is_left_out_and_named(self):
        half = replace(make_track_passes(FALLING), after=())
        evidence = compare_radar([make_track_passes(), half], SITE)
        assert evidence.tracks[1].note == "no pass in the period after"


class TestSatellites:
    @staticmethod
    def mixed(moved, counts=(6, 4)):
        track = make_track_passes(counts=counts, change=CHANGE)
        rng = np.random.default_rng(7)
        after = tuple(
            one_pass(
                image.scene.time, RISING, ground() * CHANGE, rng, platform="Sentinel-1C", moved=moved
            )
            for image in track.after
        )  # fmt: skip
        return RadarPasses(RISING, track.before, after)

    def test_satellites_that_lie_apart_are_brought_together_and_on_record(self):
        evidence = compare_radar([self.mixed((2, -1))], SITE)
        offset = evidence.tracks[0].platform_offsets_px["Sentinel-1C"]
        assert offset == pytest.approx((2, -1), abs=0.2)
        assert "passes of Sentinel-1C were moved by 2." in evidence.tracks[0].note
        assert evidence.flagged[BUILT].mean() > 0.85
        assert evidence.flagged.sum() < 1.6 * compare_radar([self.mixed((0, 0))], SITE).flagged.sum()

    def test_those_that_fit_are_left_as_they_are(self):
        evidence = compare_radar([self.mixed((0, 0))], SITE)
        assert np.hypot(*evidence.tracks[0].platform_offsets_px["Sentinel-1C"]) < 0.3
        assert evidence.tracks[0].note == ""

    def test_what_cannot_be_measured_is_said(self):
        blank = np.full((4, 1, 64, 64), 0.1, np.float32)
        offsets, unmeasured = platform_offsets(blank, ["A", "A", "A", "B"])
        assert dict(offsets) == {}
        assert unmeasured == ("B",)

    def test_small_offsets_move_nothing(self):
        stack = np.ones((2, 1, 8, 8), np.float32)
        assert brought_together(stack, ["A", "B"], {"B": (0.1, 0.1)}) is stack

    def test_power_stays_positive_when_it_is_moved(self):
        stack = np.full((1, 1, 9, 9), 1e-3, np.float32)
        stack[0, 0, 4, 4] = 50
        moved = brought_together(stack, ["B"], {"B": (0.5, 0.4)})
        assert np.nanmin(moved) > 0
        assert stack[0, 0, 4, 4] == 50


class TestWhatIsRefused:
    def test_no_track_in_both_periods(self):
        with pytest.raises(NoUsableImageryError, match="no track of radar has passes in both periods"):
            compare_radar([replace(make_track_passes(), before=())], SITE)

    def test_a_pass_of_another_track(self):
        track = make_track_passes()
        with pytest.raises(UsageError, match="a pass of another track than ascending 44"):
            compare_radar([replace(track, after=make_track_passes(FALLING).after)], SITE)

    def test_passes_on_other_grids(self):
        track = make_track_passes()
        other = GeoBox.from_bbox((0, 0, 1200, 1000), "EPSG:32652", resolution=10, tight=True)
        moved = replace(track.after[0], grid=other)
        with pytest.raises(UsageError, match="do not lie on one grid"):
            compare_radar([replace(track, after=(moved,))], SITE)

    def test_passes_without_a_polarisation_in_common(self):
        track = make_track_passes(counts=(3, 1))
        after = tuple(image.select(("VH",)) for image in track.after)
        before = tuple(image.select(("VV",)) for image in track.before)
        with pytest.raises(MissingBandError, match="no polarisation in common"):
            compare_radar([RadarPasses(RISING, before, after)], SITE)

    def test_a_site_that_no_pass_sees(self):
        track = make_track_passes(counts=(3, 1))
        blind = tuple(replace(image, valid=image.valid & ~SITE) for image in track.after)
        with pytest.raises(NoUsableImageryError, match="sees any of the site"):
            compare_radar([replace(track, after=blind)], SITE)

    def test_a_grid_that_does_not_fit_the_site(self):
        with pytest.raises(UsageError, match="does not fit"):
            compare_radar([make_track_passes(counts=(3, 1))], SITE[:50])


def test_one_polarisation_is_enough():
    evidence = compare_radar([make_track_passes(change=CHANGE, bands=("VV",))], SITE)
    assert evidence.before.bands == ("VV",)
    assert evidence.flagged[BUILT].mean() > 0.8


def test_passes_of_an_unknown_track_are_compared():
    track = make_track_passes(change=CHANGE)
    assert compare_radar([replace(track, track=Track())], SITE).flagged[BUILT].any()


def test_gaps_are_not_judged():
    track = make_track_passes()
    gap = np.s_[30:40, 30:60]
    after = tuple(replace(image, valid=image.valid & (factors((gap, 0)) > 0)) for image in track.after)
    evidence = compare_radar([replace(track, after=after)], SITE)
    assert not evidence.observed[gap].any()
    assert np.isnan(evidence.deviations[gap]).all()
    assert evidence.observed[50:].all()


def test_a_larger_least_change_flags_less():
    track = make_track_passes(change=factors((BUILT, 3.0)))
    few = compare_radar([track], SITE, RadarSettings(least_change_db=6.0)).flagged.sum()
    assert few < 0.3 * compare_radar([track], SITE).flagged.sum()
