"""Learning from verdicts: a pattern that was put in is found, said, and only changes the order."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
from tests.watch.folders import MANY, by_green, known_run, made, make_run

from changedet.errors import InputFileError, UsageError
from changedet.kinds import Kind
from changedet.watch.learning import PUT_BACK_LOG_ODDS, LearningSettings, RankModel, learn_site, site_model
from changedet.watch.object_features import FEATURES
from changedet.watch.ranking import count_runs, ranked_objects
from changedet.watch.runs import objects_of
from changedet.watch.state import open_state
from changedet.watch.verdicts import Judgement, Verdict, add_verdict


@pytest.fixture(scope="module")
def learnt_once(tmp_path_factory):
    """A file whose verdicts follow a pattern that was learnt. Not to be changed."""
    file = made(tmp_path_factory.mktemp("learnt"), by_green)
    with open_state(file, write=True) as state:
        learn_site(state, "Pier")
    return file


@pytest.fixture
def learnt(learnt_once, tmp_path):
    return Path(shutil.copy(learnt_once, tmp_path / "learnt.gpkg"))


def test_look_alikes_of_the_rejected_come_later_and_say_why(tmp_path):
    file = made(tmp_path, by_green)
    with open_state(file, write=True) as state:
        before = ranked_objects(state, 1)
        assert before["learnt"].eq("").all()
        model = learn_site(state, "Pier")
        after = ranked_objects(state, 1)
    assert sorted(after["number"]) == sorted(before["number"])
    left = after[after["verdict"] == ""]
    green = left["number"] % 2 == 1
    assert left["learnt"].str.startswith("put back: like 12 rejected here, log odds +")[green].all()
    assert left["learnt"].str.contains("NDVI after 0.").sum() == green.sum()
    assert not left["learnt"][~green].any()
    assert left["rank"][green].min() > left["rank"][~green].max()
    # among those put back, and among the others, the order of the run stays
    assert left["number"][green].is_monotonic_increasing
    assert left["number"][~green].is_monotonic_increasing
    assert abs(model.weights[model.names.index("NDVI after")]) > 3 * abs(
        model.weights[model.names.index("area")]
    )
    assert model.provenance["cross_validation"]["auc"] > 0.95
    assert any("NDVI after: median NDVI inside on the after image" in line for line in model.sentences())


def test_what_was_accepted_is_never_put_back(tmp_path):
    # one green object is accepted against the pattern
    file = made(tmp_path, lambda number: Verdict.ACCEPTED if number == 1 else by_green(number))
    with open_state(file, write=True) as state:
        learn_site(state, "Pier")
        ranked = ranked_objects(state, 1)
    assert ranked[ranked["number"] == 1]["learnt"].tolist() == [""]
    others = ranked[(ranked["number"] % 2 == 1) & (ranked["number"] != 1)]
    assert (others["learnt"] != "").mean() > 0.6


def test_too_few_verdicts_are_said(tmp_path):
    file = made(tmp_path, by_green, judged=14)
    with open_state(file, write=True) as state:
        with pytest.raises(
            UsageError, match="7 accepted and 7 rejected at 'Pier' are too few to learn from; judge"
        ):
            learn_site(state, "Pier")
        assert site_model(state, "Pier") is None
        learn_site(state, "Pier", LearningSettings(fewest=6))
    with pytest.raises(UsageError, match="4 of both are too few; ask for 5 or more"):
        LearningSettings(fewest=4)


def test_verdicts_without_a_pattern_teach_nothing(tmp_path):
    file = made(tmp_path, lambda number: Verdict.REJECTED if number // 2 % 2 else Verdict.ACCEPTED)
    with open_state(file, write=True) as state:
        with pytest.raises(UsageError, match=r"cannot be told apart by these features .*; nothing was kept"):
            learn_site(state, "Pier", LearningSettings(least_auc=0.8))
        assert state.rows("SELECT fid FROM models") == []


def test_unsure_ones_and_second_runs_of_the_same_thing_are_not_learnt_twice(tmp_path):
    file = made(tmp_path, lambda number: Verdict.UNSURE if number > 20 else by_green(number))
    again = known_run(
        file, make_run(tmp_path / "again", boxes=MANY[:40], kinds=[Kind.UNCLASSIFIED] * 40, number=1)
    )
    with open_state(file, write=True) as state:
        with state.change() as change:
            for number in range(1, 11):
                add_verdict(change, (again, number), Judgement(by_green(number), "Bob"))
        model = learn_site(state, "Pier")
    assert model.provenance["things"] == {"accepted": 10, "rejected": 10}


def test_the_same_verdicts_teach_the_same_and_the_last_one_is_used(learnt):
    with open_state(learnt, write=True) as state:
        first, second = site_model(state, "Pier"), learn_site(state, "Pier")
        kept = site_model(state, "Pier")
        assert len(state.rows("SELECT fid FROM models")) == 2
    assert first.weights == second.weights
    assert kept == second
    assert kept.provenance["software"]["libraries"]["scikit-learn"]
    assert len(kept.provenance["verdicts_sha256"]) == 64


def test_contributions_add_up_and_what_is_missing_says_nothing():
    model = RankModel("Pier", ("area", "score"), (3.0, 10.0), (0.5, 2.0), (1.0, -2.0), 0.25)
    told = {"area": 4.0, "score": 11.0, "rarity": 9.0}
    assert model.contributions(told) == {"area": 2.0, "score": -1.0}
    assert model.log_odds(told) == pytest.approx(1.25)
    assert model.log_odds({}) == 0.25
    assert model.reason({}) == ""
    assert pytest.approx(math.log(2)) == PUT_BACK_LOG_ODDS
    assert model.reason(told) == "put back: like ? rejected here, log odds +1.2: area 4 (+2.0)"


def spoilt(content, **changes):
    return json.dumps(json.loads(content) | changes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-5],
        lambda text: spoilt(text, schema="changedet.rank/9"),
        lambda text: spoilt(text, features_version=0),
        lambda text: spoilt(text, site="Quay"),
        lambda text: spoilt(text, names=["__import__"] * len(json.loads(text)["names"])),
        lambda text: spoilt(text, weights=[]),
        lambda text: spoilt(text, scales=[0.0] * len(json.loads(text)["names"])),
        lambda text: spoilt(text, intercept=float("nan")),
        lambda text: spoilt(text, provenance={"cross_validation": {"auc": "x"}}),
        lambda text: spoilt(text, provenance=7),
        lambda text: "[" * 3000,
    ],
)
def test_what_a_stranger_wrote_is_checked(learnt, spoil):
    with open_state(learnt, write=True) as state:
        with state.change() as change:
            text = spoil(change.execute("SELECT content FROM models").fetchone()[0])
            digest = hashlib.sha256(text.encode()).hexdigest()
            change.execute("UPDATE models SET content = ?, sha256 = ?", (text, digest))
        with pytest.raises(InputFileError, match=r"learnt at 'Pier' cannot be used .*; learn it again"):
            ranked_objects(state, 1)


def test_a_model_with_another_digest_is_refused(learnt):
    with open_state(learnt, write=True) as state:
        with state.change() as change:
            change.execute("UPDATE models SET content = replace(content, '0', '1')")
        with pytest.raises(InputFileError, match="its digest is another one"):
            site_model(state, "Pier")


def test_counts_of_a_run(learnt):
    with open_state(learnt) as state:
        (row,) = count_runs(state)
        assert count_runs(state, site="Quay") == []
        assert set(objects_of(state)["features"].iloc[0]) <= set(FEATURES)
    assert (row["candidates"], row["open"], row["accepted"], row["rejected"], row["unsure"]) == (
        40,
        16,
        12,
        12,
        0,
    )
    assert (row["before"], row["after"], row["carried"], row["masked"]) == ("2023-05-14", "2025-05-13", 0, 0)
