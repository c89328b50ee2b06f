"""The strongest window of dates against a search over windows, one at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.slow import breaks as slow

from changedet.core.episodes import (
    EpisodeParameters,
    Episodes,
    episode_noise,
    episode_steps,
    restlessness,
    strongest_episode,
)

DATES = 24
DAYS = np.cumsum(np.tile([12.0, 12.0, 36.0], 8))
COMMON = 0.4 * np.exp(-np.abs(DAYS[:, None] - DAYS) / 40)
CORRELATION = np.array([[1, 0.35], [0.35, 1]])
SPREAD = np.array([0.5, 0.8])
NOISE = episode_noise(CORRELATION, SPREAD, COMMON)
STARTS = np.arange(DATES)


def noise_series(pixels, seed=0):
    rng = np.random.default_rng(seed)
    return (SPREAD[:, None] * rng.standard_normal((DATES, 2, pixels))).astype(np.float32)


def seen_all(series):
    return np.ones((len(series), series.shape[2]), bool)


ANY = EpisodeParameters()


def strongest(series, parameters=ANY, seen=None, starts=STARTS):
    return strongest_episode(series, seen_all(series) if seen is None else seen, NOISE, starts, parameters)


@pytest.mark.parametrize("least", [(2, 3, 3), (1, 1, 1), (4, 6, 8)])
def test_score_and_window_are_those_of_the_definition(least):
    series = noise_series(12)
    series[14:18, :, 3] += 3
    series[9:, 1, 5] -= 2
    inside, before, outside = least
    found = strongest(series, EpisodeParameters(inside, before, outside))
    covariance = CORRELATION * np.outer(SPREAD, SPREAD)
    between = COMMON + 0.6 * np.eye(DATES)
    for pixel in range(12):
        score, start, stop = slow.strongest_episode(
            series[..., pixel].astype(float), covariance, between, least
        )
        assert found.score[pixel] == pytest.approx(score, rel=1e-4)
        assert (found.start[pixel], found.stop[pixel]) == (start, stop)


def test_one_polarisation_without_slow_noise_is_the_textbook_statistic():
    series = noise_series(20, seed=1)[:, :1]
    noise = episode_noise(np.ones((1, 1)), np.array([0.5]), np.zeros((DATES, DATES)))
    found = strongest_episode(series, seen_all(series), noise, STARTS)
    for pixel in range(20):
        z, window = series[:, 0, pixel] / 0.5, slice(found.start[pixel], found.stop[pixel])
        length = window.stop - window.start
        rest = np.delete(z, window)
        expected = abs(z[window].mean() - rest.mean()) / np.sqrt(1 / length + 1 / len(rest))
        penalty = np.log(DATES) * (window.stop < DATES)
        assert found.score[pixel] ** 2 + penalty == pytest.approx(expected**2, rel=1e-4)


@given(
    start=st.integers(3, DATES - 2),
    length=st.integers(2, DATES),
    step=st.floats(3, 12),
    sign=st.sampled_from([-1, 1]),
)
@settings(max_examples=40, deadline=None)
def test_a_clean_step_is_found_at_its_dates(start, length, step, sign):
    stop = min(start + length, DATES)
    if DATES - (stop - start) < 3 or stop - start < 2:
        return
    series = np.zeros((DATES, 2, 1), np.float32)
    series[start:stop] = sign * step
    found = strongest(series)
    assert (int(found.start[0]), int(found.stop[0])) == (start, stop)
    steps = episode_steps(series, seen_all(series), found)
    np.testing.assert_allclose(steps, sign * step, rtol=1e-5)


@given(seed=st.integers(0, 50), share=st.floats(0.05, 0.6))
@settings(max_examples=30, deadline=None)
def test_gaps_move_dates_to_none_that_were_not_seen(seed, share):
    rng = np.random.default_rng(seed)
    series = noise_series(1, seed)
    series[12:, :, 0] -= 9
    seen = rng.random((DATES, 1)) > share
    series *= seen[:, None]
    if seen[:12].sum() < 4 or seen[12:].sum() < 4:
        return
    found = strongest(series, seen=seen)
    last_before, first_after = np.flatnonzero(seen[:12, 0])[-1], 12 + np.flatnonzero(seen[12:, 0])[0]
    assert last_before < found.start[0] <= first_after
    assert not seen[found.stop[0] :].any()


def test_pixels_do_not_mind_each_other():
    series, other = noise_series(6, seed=3), noise_series(6, seed=4)
    seen = seen_all(series)
    seen[5:9, 3:] = False
    alone = strongest(series * seen[:, None], seen=seen)
    together = strongest(
        np.concatenate([series, other], axis=2) * np.concatenate([seen, seen], axis=1)[:, None],
        seen=np.concatenate([seen, seen], axis=1),
    )
    np.testing.assert_allclose(together.score[:6], alone.score, rtol=1e-5)
    np.testing.assert_array_equal(together.start[:6], alone.start)


def test_sense_keeps_what_goes_one_way():
    series = np.zeros((DATES, 2, 1), np.float32)
    series[5:8], series[15:18] = 4, -3
    windows = {
        sense: strongest(series, EpisodeParameters(sense=sense)) for sense in ("any", "darker", "brighter")
    }
    assert [int(found.start[0]) for found in windows.values()] == [5, 15, 5]
    assert windows["any"].score == windows["brighter"].score > windows["darker"].score


def test_starts_bound_where_it_begins():
    series = np.zeros((DATES, 2, 1), np.float32)
    series[5:8], series[15:18] = 4, -3
    assert strongest(series, starts=np.arange(10, 20)).start[0] == 15


def test_nothing_to_judge_scores_nothing():
    series = np.zeros((DATES, 2, 3), np.float32)
    series[10:, :, 1] = 3
    seen = seen_all(series)
    seen[:, 2] = False
    seen[4:, 1] = False
    found = strongest(series * seen[:, None], seen=seen)
    assert found.score.tolist() == [0, 0, 0]
    assert found.start.tolist() == found.stop.tolist() == [0, 0, 0]
    assert not episode_steps(series, seen, found).any()


def test_restless_pixels_are_told_from_steps():
    series = noise_series(400, seed=7)
    series[:, :, :100] *= 3
    series[12:, :, 100:200] += 8
    found = strongest(series)
    steps = episode_steps(series, seen_all(series), found)
    restless = restlessness(series, seen_all(series), found, steps, SPREAD)
    assert restless.min() == 1
    assert np.median(restless[:100]) == pytest.approx(2.7, abs=0.4)
    assert np.median(restless[100:200]) < 1.1


def test_restlessness_leaves_out_what_was_not_seen():
    series = noise_series(50, seed=8)
    seen = seen_all(series)
    seen[::2] = False
    none = np.zeros(50, np.int16)
    found = Episodes(none.astype(np.float32), none, none)
    steps = np.zeros((2, 50), np.float32)
    half = restlessness(series * seen[:, None], seen, found, steps, SPREAD)
    only = restlessness(series[1::2], seen[1::2], found, steps, SPREAD)
    np.testing.assert_array_equal(half, only)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"least_dates": 0}, "give 1 or more of each"),
        ({"least_before": 0}, "give 1 or more of each"),
        ({"sense": "down"}, "give one of any, darker, brighter"),
    ],
)
def test_parameters_out_of_range(wrong, text):
    with pytest.raises(ValueError, match=text):
        EpisodeParameters(**wrong)


def test_parameters_are_recorded_whole():
    parameters = EpisodeParameters(4, 5, 6, "darker")
    assert EpisodeParameters(**parameters.to_dict()) == parameters
