"""How rare a place is in its context: against a count by loops, and where it must not mislead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.context import window_deviations, window_share

SHAPE = (48, 52)


def one_object(rows, columns):
    labels = np.zeros(SHAPE, np.int32)
    labels[rows, columns] = 1
    return labels


def slow_share(score, labels, side):
    """Windows one after the other; where the side is even they reach further up and left."""
    reach = side // 2
    means = np.full(SHAPE, np.nan)
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            window = score[
                max(0, y - reach) : max(0, y - reach + side), max(0, x - reach) : max(0, x - reach + side)
            ]
            usable = window[np.isfinite(window)]
            if usable.size >= side**2 / 2:
                means[y, x] = usable.mean()
    best = np.nanmax(means[labels == 1])
    windows = means[np.isfinite(means)]
    return max((windows >= best * (1 - 1e-6)).mean(), side**2 / len(windows))


@pytest.mark.parametrize(("extent", "side"), [((3, 3), 3), ((4, 4), 4), ((8, 8), 8)])
def test_the_share_is_what_counting_gives(extent, side):
    rng = np.random.default_rng(sum(extent))
    score = rng.random(SHAPE).astype(np.float32)
    score[20:40, 30:34] = np.nan
    labels = one_object(slice(10, 10 + extent[0]), slice(12, 12 + extent[1]))
    score[labels == 1] += 0.1
    assert window_share(score, labels)[0] == pytest.approx(slow_share(score, labels, side), rel=1e-3)


def test_the_highest_place_is_as_rare_as_the_context_allows():
    score = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    labels = one_object(slice(20, 24), slice(20, 24))
    score[labels == 1] = 5
    large = np.pad(score, 100, mode="reflect")
    wide = np.pad(labels, 100)
    assert window_share(large, wide)[0] < window_share(score, labels)[0] < 0.01


def test_a_place_like_any_other_is_not_rare():
    score = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    ordinary = np.median(
        [window_share(score, one_object(slice(r, r + 3), slice(9, 12)))[0] for r in range(5, 40, 5)]
    )
    assert ordinary > 0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 4.0))
def test_only_the_order_of_the_means_matters(seed, gain):
    score = np.random.default_rng(seed).random(SHAPE).astype(np.float32)
    labels = one_object(slice(20, 25), slice(20, 25))
    share = window_share(score, labels)[0]
    assert 0 < share <= 1
    assert window_share(np.float32(gain) * score, labels)[0] == pytest.approx(share, rel=1e-2)


def test_no_objects_and_nothing_usable():
    assert window_share(np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.int32)).size == 0
    nothing = np.full(SHAPE, np.nan, np.float32)
    assert np.isnan(window_share(nothing, one_object(3, 4))).all()


class TestWindowDeviations:
    def test_it_is_the_mean_in_spreads_of_windows_of_its_size(self):
        values = np.random.default_rng(2).standard_normal((200, 200)).astype(np.float32)
        labels = np.zeros((200, 200), np.int32)
        labels[50:54, 60:64] = 1
        values[labels == 1] = 2
        # means of 16 independent values have a standard deviation of a quarter
        assert window_deviations(values, labels)[0] == pytest.approx(8, rel=0.1)

    def test_the_sign_stays(self):
        values = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
        labels = one_object(slice(10, 14), slice(10, 14))
        values[labels == 1] = 3
        there, back = window_deviations(values, labels)[0], window_deviations(-values, labels)[0]
        assert there == pytest.approx(-back)
        assert there > 5

    def test_patches_are_less_rare_than_noise(self):
        rng = np.random.default_rng(5)
        noise = rng.standard_normal((120, 120)).astype(np.float32)
        patches = np.kron(rng.standard_normal((15, 15)), np.ones((8, 8))).astype(np.float32)
        labels = np.zeros((120, 120), np.int32)
        labels[40:48, 40:48] = 1
        found = []
        for values in (noise, patches):
            changed = np.where(labels == 1, np.float32(2), values)
            found.append(window_deviations(changed, labels)[0])
        assert found[1] < 0.4 * found[0]

    def test_without_values_or_variation(self):
        labels = one_object(slice(10, 14), slice(10, 14))
        assert np.isnan(window_deviations(np.full(SHAPE, np.nan, np.float32), labels)[0])
        assert window_deviations(np.ones(SHAPE, np.float32), labels)[0] == 0
        assert window_deviations(np.ones(SHAPE, np.float32), 0 * labels).size == 0
