"""Where objects lie, against a loop over them, and windows that hold each of them once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from changedet.core import extents as module
from changedet.core import planes
from changedet.core.extents import object_extents, object_windows

plans = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 5)
)


@settings(max_examples=60, deadline=None)
@given(labels=plans, block_bytes=st.sampled_from([16, 500, 10_000]))
def test_extents_are_those_of_a_loop(labels, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planes, "_BLOCK_BYTES", block_bytes)
        found = object_extents(labels)
    assert len(found) == labels.max()
    for number, ends in enumerate(found.tolist(), start=1):
        rows, columns = np.nonzero(labels == number)
        if rows.size:
            assert ends == [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
        else:
            assert ends == [labels.shape[0], 0, labels.shape[1], 0]


@settings(max_examples=60, deadline=None)
@given(labels=plans, window_px=st.integers(1, 200))
def test_every_object_lies_in_one_window_as_a_whole(labels, window_px):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW_PX", window_px)
        windows = object_windows(labels)
    held = [number for window in windows for number in window.numbers]
    assert sorted(held) == sorted(set(labels[labels > 0].tolist()))
    tallest = max(1, window_px // labels.shape[1])
    for window in windows:
        part = labels[window.rows, window.columns]
        for number in window.numbers:
            assert (part == number).sum() == (labels == number).sum()
        assert len(window.numbers) == 1 or part.shape[0] <= tallest
        assert (np.diff(window.numbers) > 0).all()
