"""Series of objects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.object_series import object_series


@given(seed=st.integers(0, 1000), gaps=st.floats(0, 0.95), least=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_medians_and_shares_are_those_of_each_object_alone(seed, gaps, least):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (4, 7, 6)).astype(np.float32)
    seen = rng.random(values.shape) >= gaps
    labels = rng.choice([0, 1, 2, 5], (7, 6))
    found = object_series(values, labels, seen, least)
    assert found.median.shape == (4, labels.max())
    for label in range(1, labels.max() + 1):
        inside = labels == label
        assert found.pixels[label - 1] == inside.sum()
        for date in range(4):
            usable = values[date][inside & seen[date]]
            share = usable.size / inside.sum() if inside.any() else 0.0
            assert found.share_seen[date, label - 1] == pytest.approx(share)
            expected = np.median(usable) if usable.size and share >= least else np.nan
            np.testing.assert_allclose(found.median[date, label - 1], expected, rtol=1e-5, atol=1e-6)


def test_gaps_are_nan_without_a_mask():
    values = np.array([[0.1, np.nan, 0.3, 0.5]], np.float32)
    found = object_series(values, np.array([1, 1, 1, 0]))
    assert found.median[0, 0] == pytest.approx(0.2)
    assert found.share_seen[0, 0] == pytest.approx(2 / 3)


def test_a_remnant_of_cloud_does_not_move_an_object():
    values = np.full((3, 5, 5), 0.2, np.float32)
    values[1, :2] = 0.9
    np.testing.assert_allclose(object_series(values, np.ones((5, 5), int)).median, 0.2)


def test_arguments_stay_as_they_are():
    values = np.ones((2, 3), np.float32)
    object_series(values, np.array([1, 1, 1]), np.zeros((2, 3), bool))
    assert (values == 1).all()


def test_no_object_is_no_column():
    assert object_series(np.ones((2, 3), np.float32), np.zeros(3, int)).median.shape == (2, 0)


@pytest.mark.parametrize(
    ("labels", "seen", "share", "text"),
    [
        (np.ones(4, int), None, 0.5, "use one grid"),
        (np.ones(3, int), np.ones((1, 3), bool), 0.5, "use one grid"),
        (np.ones(3, int), None, 1.5, "give a number from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(labels, seen, share, text):
    with pytest.raises(ValueError, match=text):
        object_series(np.ones((2, 3), np.float32), labels, seen, share)
