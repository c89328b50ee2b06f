"""Before and after exchanged: the same score, the same ground, and kinds that read backwards."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.metamorphic import CITIES, jaccard

from changedet.comparison import DetectSettings
from changedet.core.optical import DETECTORS
from changedet.kinds import KIND_TABLE, Kind
from changedet.pipeline import detect
from changedet.result import State

#: Where it matters to which date the other one was brought: indices, and what predicts by a gain alone, see
#: its offset, and SiROC predicts the later date from the earlier.
ONE_WAY = {name for name, one in DETECTORS.items() if one.family in {"index", "context"}}
#: Season is set aside by its direction: green ground that was bare is passed over, the reverse is not.
KEEP = DetectSettings(keep_seasonal=True)
MIRRORED = {(kind, KIND_TABLE[b, a]) for (a, b), kind in KIND_TABLE.items() if (b, a) in KIND_TABLE} | {
    (Kind.UNCLASSIFIED, Kind.UNCLASSIFIED)
}


def both_ways(before, after, **more):
    settings = replace(KEEP, **more)
    return detect(before, after, settings=settings), detect(after, before, settings=settings)


def mirrored_share(first, second):
    """Of the pixels that both flag, the share whose kinds mirror each other by the table."""
    flagged = (first.state == State.CHANGED) & (second.state == State.CHANGED)
    kinds = zip(first.kind[flagged].tolist(), second.kind[flagged].tolist(), strict=True)
    return float(np.mean([(Kind(a), Kind(b)) in MIRRORED for a, b in kinds]))


def test_a_simulated_pair_reads_backwards(unshifted):
    first, second = both_ways(unshifted.before.to_image(), unshifted.after.to_image())
    np.testing.assert_allclose(first.score, second.score, rtol=1e-4, atol=1e-5)
    assert jaccard(first.state == State.CHANGED, second.state == State.CHANGED) >= 0.95
    assert mirrored_share(first, second) >= 0.9
    built, gone = first.kind == Kind.CONSTRUCTION, second.kind == Kind.DEMOLITION
    assert built.sum() > 50
    assert jaccard(built, gone) >= 0.7  # at rims the surfaces are read after other normalisations


@pytest.mark.parametrize("method", sorted({*DETECTORS} - {KEEP.method}))
def test_every_other_method_reads_backwards(unshifted, method):
    first, second = both_ways(unshifted.before.to_image(), unshifted.after.to_image(), method=method)
    flagged = [one.state == State.CHANGED for one in (first, second)]
    assert flagged[0].sum() > 20
    assert mirrored_share(first, second) >= 0.9
    if method in ONE_WAY:
        assert jaccard(*flagged) >= 0.85
        return
    np.testing.assert_allclose(first.score, second.score, rtol=1e-4, atol=1e-4)
    assert jaccard(*flagged) >= 0.95


@pytest.mark.real
@pytest.mark.skipif(not (CITIES / "bercy").is_dir(), reason="no labelled pairs: set CHANGEDET_DATA")
def test_a_real_pair_reads_backwards():
    city = CITIES / "bercy"
    first, second = both_ways(city / "imgs_1", city / "imgs_2")
    judged = np.isfinite(first.score) & np.isfinite(second.score)
    assert np.corrcoef(first.score[judged], second.score[judged])[0, 1] >= 0.98
    assert jaccard(first.state == State.CHANGED, second.state == State.CHANGED) >= 0.75
    assert mirrored_share(first, second) >= 0.75
    np.testing.assert_allclose(
        first.registration.shift_px, -np.array(second.registration.shift_px), atol=0.05
    )
