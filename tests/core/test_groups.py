"""Groups that are numbered strip by strip are those of the whole mask, with the same numbers."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from changedet.core import groups as module
from changedet.core.blocks import limited_threads
from changedet.core.groups import connected_groups


def whole(mask):
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    return labels, count - 1


@settings(max_examples=150, deadline=None)
@given(
    mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=17)),
    strip_px=st.integers(1, 80),
)
def test_strips_change_nothing(mask, strip_px):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STRIP_PX", strip_px)
        labels, count = connected_groups(mask)
    expected, number = whole(mask)
    assert labels.dtype == np.int32
    assert count == number
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_large_pattern_whose_groups_cross_many_borders(monkeypatch, threads):
    rng = np.random.default_rng(8)
    mask = ndimage.gaussian_filter(rng.standard_normal((301, 257)), 1.3) > 0.02
    mask[100:140] = False
    monkeypatch.setattr(module, "_STRIP_PX", 257 * 6)
    with limited_threads(threads):
        labels, count = connected_groups(mask)
    expected, number = whole(mask)
    assert count == number > 50
    np.testing.assert_array_equal(labels, expected)


def test_a_snake_through_all_strips_is_one_group(monkeypatch):
    mask = np.zeros((40, 9), bool)
    mask[::4] = True
    mask[1::8, -1] = mask[2::8, -1] = mask[3::8, -1] = True
    mask[5::8, 0] = mask[6::8, 0] = mask[7::8, 0] = True
    monkeypatch.setattr(module, "_STRIP_PX", 18)
    labels, count = connected_groups(mask)
    assert count == 1
    assert (labels[mask] == 1).all()
    assert not labels[~mask].any()


@pytest.mark.parametrize("shape", [(1, 1), (9, 4)])
def test_nothing_is_no_group(monkeypatch, shape):
    monkeypatch.setattr(module, "_STRIP_PX", 8)
    labels, count = connected_groups(np.zeros(shape, bool))
    assert count == 0
    assert labels.shape == shape
    assert not labels.any()
