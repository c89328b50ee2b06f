"""Settings that cannot be switched off by accident, and pairs that nothing could be said about."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox
from scipy import ndimage
from tests.synthetic import BEFORE_TIME, make_image

from changedet.comparison import DetectSettings, compare, teaching_ground
from changedet.core.threshold import ThresholdParameters
from changedet.decision import leading_pixels
from changedet.errors import UsageError
from changedet.pairing import make_pair
from changedet.pipeline import detect
from changedet.result import State
from changedet.samples import SceneSettings, simulate_pair
from changedet.simulator.scenery import SPECTRA
from changedet.site import Site

EVERYWHERE = np.ones((100, 120), bool)
BOX = (slice(40, 52), slice(50, 66))


def pair_of(before, after):
    return make_pair(before, after, EVERYWHERE)


def noisy(seed, time=BEFORE_TIME):
    """An image whose bands do not all say the same."""
    image = make_image(0, time)
    own = np.random.default_rng(seed).normal(0, 0.006, image.data.shape)
    return replace(image, data=(image.data + own).astype(np.float32))


def changed(amount=0.2):
    before, after = noisy(1), noisy(2, BEFORE_TIME.replace(year=2025))
    data = after.data.copy()
    data[:, *BOX] += np.float32(amount)
    return before, replace(after, data=data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["min_area_m2", "residual_limit_px"])
def test_numbers_that_would_switch_a_gate_off_are_refused(name, value):
    with pytest.raises(UsageError, match="must not be negative"):
        DetectSettings(**{name: value})


@pytest.mark.parametrize("name", ["seed_mads", "grow_mads", "peak_share"])
def test_thresholds_that_are_no_numbers_are_refused(name):
    with pytest.raises(ValueError, match="must"):
        ThresholdParameters(**{name: float("nan")})


@pytest.mark.parametrize("budget", [0.0, 1.0, -0.1, 2.5, float("nan"), float("inf")])
def test_a_budget_is_a_share(budget):
    with pytest.raises(UsageError, match="the budget must be a share of the ground between 0 and 1; write"):
        DetectSettings(budget=budget)


@pytest.mark.parametrize("name", ["", "Auto", "red"])
def test_band_weights_have_names(name):
    with pytest.raises(
        UsageError, match=f"unknown band weights '{name}'; choose one of auto, built-up, equal"
    ):
        DetectSettings(band_weights=name)


def test_settings_survive_a_round_trip_with_all_that_decides():
    settings = DetectSettings(band_weights="equal", budget=0.02, model="m.json", model_sha256="ab")
    assert DetectSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_change_is_flagged_where_it_is():
    found = compare(pair_of(*changed()), EVERYWHERE, DetectSettings(), refused=False)
    assert (found.state[BOX] == State.CHANGED).mean() > 0.9
    assert not found.refusal


def test_a_refused_pair_is_judged_nowhere():
    found = compare(pair_of(*changed()), EVERYWHERE, DetectSettings(), refused=True)
    assert set(np.unique(found.state)) == {State.NOT_OBSERVED, State.NOT_COMPARABLE}
    assert np.isnan(found.flagged.score).all()
    assert found.normalization is None


def test_decibels_are_compared_too():
    before, after = changed()
    decibels = [
        replace(
            image, data=(10 * np.log10(image.data.clip(0.01))).astype(np.float32),
            bands=tuple(f"band_{i}" for i in range(len(image.bands))),
        )
        for image in (before, after)
    ]  # fmt: skip
    found = compare(pair_of(*decibels), EVERYWHERE, DetectSettings(), refused=False)
    assert found.after.data.min() < -5
    assert (found.state[BOX] == State.CHANGED).mean() > 0.8


def test_a_score_without_a_background_decides_nothing():
    before = make_image(0)
    data = before.data.copy()
    data[:, 40:43, 50:53] += np.float32(0.2)
    found = compare(pair_of(before, replace(before, data=data)), EVERYWHERE, DetectSettings(), refused=False)
    assert found.refusal or (found.state[41, 51] == State.CHANGED)
    if found.refusal:
        assert not (found.state == State.NOT_FLAGGED).any()


def test_equal_images_give_no_reason_to_flag():
    before = make_image(0)
    found = compare(pair_of(before, before), EVERYWHERE, DetectSettings(), refused=False)
    assert not found.refusal
    assert set(np.unique(found.state)) == {State.NOT_FLAGGED, State.NOT_OBSERVED}


@pytest.mark.parametrize("method", ["predict", "cva"])
def test_a_change_at_the_stated_floor_is_about_where_flagging_begins(method):
    settings = DetectSettings(method=method)
    floor = compare(pair_of(*changed(0.0)), EVERYWHERE, settings, refused=False).detection_floor

    def share_of(amount):
        pair = pair_of(*changed(amount * floor["contrast_reflectance"]))
        return (compare(pair, EVERYWHERE, settings, refused=False).state[BOX] == State.CHANGED).mean()

    assert share_of(0.3) < 0.1
    assert share_of(2.0) > 0.8


def test_an_object_is_never_asked_to_be_smaller_than_a_pixel():
    settings = DetectSettings(min_area_m2=1.0)
    found = compare(pair_of(*changed()), EVERYWHERE, settings, refused=False)
    assert found.detection_floor["min_area_m2"] == pytest.approx(100, rel=0.01)


class TestBudgets:
    def flagged(self, budget, pair=None, **settings):
        asked = DetectSettings(budget=budget, min_area_m2=0.0, **settings)
        found = compare(pair or pair_of(*changed(0.0)), EVERYWHERE, asked, refused=False)
        return found, found.state == State.CHANGED

    @pytest.mark.parametrize("method", ["predict", "cva"])
    @pytest.mark.parametrize("budget", [0.001, 0.025, 0.5, 0.999])
    def test_it_flags_its_share_of_the_judged_ground_and_no_more(self, budget, method):
        found, chosen = self.flagged(budget, method=method)
        score = found.flagged.score
        judged = np.isfinite(score)
        # a pixel less where the share is no whole number of pixels
        assert budget * judged.sum() - 1.5 <= chosen.sum() <= budget * judged.sum()
        assert score[chosen].min() > np.nanmax(np.where(chosen, np.nan, score))

    def test_it_asks_for_no_contrast_and_states_no_floor(self):
        pair, settings = pair_of(*changed(0.0)), DetectSettings()
        usual = compare(pair, EVERYWHERE, settings, refused=False)
        assert not (usual.state == State.CHANGED).any()
        assert "contrast_reflectance" in usual.detection_floor
        found, chosen = self.flagged(0.01)
        assert chosen.any()
        assert set(found.detection_floor) == {"min_area_m2"}

    def test_the_leading_pixels_are_those_of_the_change(self):
        _, chosen = self.flagged(0.01, pair_of(*changed()))
        assert chosen[BOX].sum() == chosen.sum() > 100

    def test_the_smallest_object_holds_all_the_same(self):
        found = compare(pair_of(*changed(0.0)), EVERYWHERE, DetectSettings(budget=0.02), refused=False)
        sizes = np.bincount(found.flagged.labels.ravel())[1:]
        assert sizes.size
        assert sizes.min() >= 5

    @pytest.mark.parametrize("judged", [EVERYWHERE, ~EVERYWHERE])
    def test_where_all_scores_are_equal_none_leads(self, judged):
        assert not leading_pixels(np.full(judged.shape, 2.0, np.float32), judged, 0.1).any()

    def test_only_what_is_judged_counts_and_is_flagged(self):
        inside = np.zeros(EVERYWHERE.shape, bool)
        inside[60:90, 60:100] = True
        asked = DetectSettings(budget=0.1, min_area_m2=0.0)
        found = compare(pair_of(*changed()), inside, asked, refused=False)
        assert (found.state[~inside] == State.OUTSIDE).all()
        assert (found.state == State.CHANGED).sum() == pytest.approx(0.1 * inside.sum(), abs=1)

    def test_a_score_without_a_background_can_still_be_ranked(self):
        before = make_image(0)
        data = before.data.copy()
        data[:, *BOX] += np.float32(0.2)
        pair = pair_of(before, replace(before, data=data))
        undecided = compare(pair, EVERYWHERE, DetectSettings(method="ndvi-difference"), refused=False)
        found, chosen = self.flagged(0.01, pair, method="ndvi-difference")
        assert undecided.refusal
        assert not found.refusal
        assert chosen.any()


WIDE = GeoBox.from_bbox((246080, 4275460, 249080, 4278460), "EPSG:32652", resolution=10, tight=True)


def filled_site(side_px):
    """Two dates of 300 x 300 pixels, and a site in their middle that changed as a whole."""
    rng = np.random.default_rng(4)
    images = [make_image(0, BEFORE_TIME.replace(year=year), WIDE) for year in (2023, 2025)]
    first, second = (i.data + rng.normal(0, 0.006, i.data.shape).astype(np.float32) for i in images)
    low = (300 - side_px) // 2
    middle = np.s_[low : low + side_px, low : low + side_px]
    second[:, *middle] += 0.03 * (1 + 0.5 * rng.normal(0, 1, (side_px, side_px)).astype(np.float32))
    corners = [WIDE.transform * (low, low), WIDE.transform * (low + side_px, low + side_px)]
    outline = gpd.GeoSeries([shapely.box(*corners[0], *corners[1])], crs=WIDE.crs.to_wkt()).to_crs(4326)
    site = Site("Filled", outline.iloc[0])
    return detect(replace(images[0], data=first), replace(images[1], data=second), site=site)


class TestWhatTeaches:
    def test_a_change_that_fills_the_site_does_not_become_what_is_normal(self, monkeypatch):
        def share():
            state = filled_site(140).state
            return (state == State.CHANGED).sum() / (state != State.OUTSIDE).sum()

        assert share() > 0.95
        monkeypatch.setattr("changedet.comparison._ENOUGH_PIXELS", 10**9)
        assert share() < 0.7

    @pytest.mark.parametrize(
        ("observed", "site", "taught"),
        [
            ((400, 500), (100, 500), 150_000),  # a quarter of the ground is still a small site
            ((400, 500), (101, 500), 200_000),
            ((250, 250), (50, 250), 50_000),  # just enough is left
            ((250, 250), (51, 250), 62_500),
            ((300, 300), (0, 0), 90_000),
        ],
    )
    def test_small_sites_are_left_out_where_enough_ground_is_left(self, observed, site, taught):
        inside = np.zeros(observed, bool)
        inside[: site[0], : site[1]] = True
        learn = teaching_ground(np.ones(observed, bool), inside)
        assert learn.sum() == taught
        assert learn[inside].any() == (taught == learn.size and inside.any())

    def test_what_is_not_usable_never_teaches(self):
        usable = np.ones((300, 300), bool)
        usable[:40] = False
        inside = np.zeros_like(usable)
        inside[100:120] = True
        assert np.array_equal(teaching_ground(usable, inside), usable & ~inside)


_SCORE = """
import hashlib, numpy as np
from tests.synthetic import make_image
from changedet.core.prediction import predict_score
a, b = make_image(0), make_image(1)
valid = a.valid & b.valid
print(hashlib.sha256(predict_score(a.data, b.data, valid, (1.0,) * len(a.bands)).tobytes()).hexdigest())
"""


def test_the_score_does_not_depend_on_threads_or_on_the_processor_of_the_linear_algebra():
    root = Path(__file__).parents[1]
    digests = set()
    for name, value in (("NUM_THREADS", "1"), ("NUM_THREADS", "2"), ("CORETYPE", "Haswell")):
        environment = os.environ | {f"OPENBLAS_{name}": value}
        answer = subprocess.run(
            [sys.executable, "-c", _SCORE], env=environment, cwd=root, capture_output=True, check=True
        )
        digests.add(answer.stdout)
    assert len(digests) == 1


def season_pair():
    """Simulated dates between which fields ripen and one square of 60 m is built."""
    when = {"before": date(2023, 7, 5), "after": date(2024, 8, 3)}
    made = simulate_pair(SceneSettings(seed=3, clouds=False, size_px=192, **when))
    before, after = made.before.to_image(), made.after.to_image()
    squares = np.zeros(after.valid.shape, np.int32)
    for number, (row, column) in enumerate(((40, 60), (120, 140)), 1):
        squares[row : row + 6, column : column + 6] = number
    concrete = np.array(SPECTRA["concrete"], np.float32)[:, None]
    data = after.data.copy()
    data[:, squares > 0] = concrete
    return before, (replace(after, data=data), squares)


@pytest.fixture(scope="module")
def found():
    before, (after, squares) = season_pair()
    both = [detect(before, after, settings=DetectSettings(keep_seasonal=keep)) for keep in (False, True)]
    return *both, squares


class TestSeasons:
    """What season alone could have made is listed; a small bright square is flagged in spite of it."""

    def test_it_is_listed_and_not_flagged(self, found):
        usual, kept, squares = found
        assert len(usual.seasonal) > 0
        assert set(usual.seasonal["kind"]) <= {"vegetation change", "surface change on existing ground"}
        away = ndimage.distance_transform_edt(squares == 0) > 4
        assert (usual.state == State.CHANGED)[away].mean() <= 0.0002
        assert (kept.state == State.CHANGED)[away].mean() > 0.001
        assert len(kept.seasonal) == 0

    def test_what_is_built_is_found_although_the_season_is_lively(self, found):
        usual, _, squares = found
        covered = [(usual.state == State.CHANGED)[squares == n].mean() for n in range(1, squares.max() + 1)]
        assert min(covered) >= 0.3

    def test_a_budget_lists_nothing(self):
        before, (after, _) = season_pair()
        found = detect(before, after, settings=DetectSettings(budget=0.02))
        assert len(found.seasonal) == 0
        assert (found.state == State.CHANGED).mean() > 0.015
