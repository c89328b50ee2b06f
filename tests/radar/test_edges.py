"""What radar flags beside an object of optical imagery: a change of its own, or the edge of that object."""

import numpy as np
import pytest
from tests.synthetic import GRID, make_radar

from changedet.core.threshold import Thresholds
from changedet.objects import Flagged
from changedet.radar.fusion import add_radar
from changedet.result import State

#: Where radar flags: rows and columns.
CHANGED = np.s_[30:42, 40:55]


def added(*places):
    """Labels after radar came to objects at some places."""
    shape = tuple(GRID.shape)
    labels = np.zeros(shape, np.int32)
    for place in places:
        labels[place] = 1
    evidence = make_radar(boxes=((30, 42, 40, 55),), factors=(6.0,))
    limits = Thresholds(0.1, 0.1, 1.0, 0.5)
    score, seen = np.zeros(shape, np.float32), np.ones(shape, bool)
    flagged = Flagged(labels, score, limits, score, limits, seen, ("score", "second"))
    state = np.where(labels > 0, State.CHANGED, State.NOT_FLAGGED).astype(np.uint8)
    return add_radar(flagged, evidence, state, 5.0).labels


@pytest.mark.parametrize("place", [np.s_[70:80, 70:80], np.s_[20:60, 10:40], np.s_[20:60, 10:42]])
def test_a_change_that_an_object_only_touches_is_one_of_its_own(place):
    labels = added(place)
    own = labels[CHANGED][labels[CHANGED] != 1]
    assert set(own.tolist()) == {2}
    assert (labels[place] == 1).all()


@pytest.mark.parametrize(("least", "labels"), [(18.0, 2), (19.0, 1)])
def test_what_is_left_of_a_change_beside_an_object_is_large_enough(least, labels):
    line = np.zeros(tuple(GRID.shape), bool)
    line[60, 88:90] = True  # two of the twenty pixels that radar flags
    small = make_radar(boxes=((60, 62, 80, 90),), factors=(6.0,))
    limits, plane = Thresholds(0.1, 0.1, 1.0, 0.5), np.zeros(line.shape, np.float32)
    flagged = Flagged(
        line.astype(np.int32), plane, limits, plane, limits, np.ones(line.shape, bool), ("score", "second")
    )
    state = np.where(line, State.CHANGED, State.NOT_FLAGGED).astype(np.uint8)
    assert add_radar(flagged, small, state, least).labels.max() == labels


def test_the_edge_of_an_object_is_no_change_of_its_own():
    assert set(added(np.s_[32:40, 42:53]).ravel().tolist()) == {0, 1}


def test_what_lies_between_two_objects_is_their_edge():
    assert added(np.s_[20:60, 10:45], np.s_[20:60, 50:70]).max() == 1
