"""Settings that cannot be switched off by accident, and pairs that nothing could be said about."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.synthetic import BEFORE_TIME, make_image

from changedet.comparison import DetectSettings, compare
from changedet.core.threshold import ThresholdParameters
from changedet.errors import UsageError
from changedet.pairing import make_pair
from changedet.result import State

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
