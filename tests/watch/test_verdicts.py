"""Verdicts: only ever added, the last one counts, carried over to the same thing in other runs."""

import sqlite3
from datetime import UTC, datetime

import geopandas as gpd
import pyogrio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box
from tests.watch.folders import known_run, make_run

from changedet.errors import InputFileError, UsageError
from changedet.kinds import Kind
from changedet.watch.state import open_state
from changedet.watch.verdicts import (
    MATCH_IOU,
    Judgement,
    Verdict,
    history,
    latest,
    overlaps,
    parse_verdict,
    record,
    standing,
)

ANN, BOB = "Ann", "Bob"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "verdicts.gpkg"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def stands(file, folder, number=1):
    run_id = known_run(file, folder)
    with open_state(file) as state:
        table = standing(state, run_id)
    return table[table["number"] == number].iloc[0]


def test_a_verdict_is_kept_with_who_when_why_and_where(file, run):
    moment = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    told = record(file, run, 2, Judgement(Verdict.REJECTED, " Ann ", " harvest ", time=moment))
    (row,) = told.to_dict("records")
    assert (row["verdict"], row["reviewer"], row["note"]) == ("rejected", ANN, "harvest")
    assert (row["time_utc"], row["blind"], row["site"], row["number"]) == (
        "2026-03-01T12:00:00.000Z", False, "Pier", 2,
    )  # fmt: skip
    assert row["kind"] == "ground clearing or earthworks"
    shown = pyogrio.read_dataframe(file, layer="verdicts")
    assert shown["verdict"].tolist() == ["rejected"]
    assert shown["time_utc"].iloc[0] == moment
    assert shown.geometry.iloc[0].equals(row["geometry"])


def test_a_changed_mind_is_another_row_and_the_last_one_counts(file, run):
    for word, who in ((Verdict.ACCEPTED, ANN), (Verdict.UNSURE, BOB), (Verdict.REJECTED, ANN)):
        told = record(file, run, 1, Judgement(word, who))
    assert told["verdict"].tolist() == ["accepted", "unsure", "rejected"]
    assert stands(file, run)["verdict"] == "rejected"
    assert latest(told)["verdict"].tolist() == ["rejected"]


@pytest.mark.parametrize("statement", ["UPDATE verdicts SET verdict = 'accepted'", "DELETE FROM verdicts"])
def test_verdicts_are_not_altered_by_anybody(file, run, statement):
    record(file, run, 1, Judgement(Verdict.REJECTED, ANN))
    other = sqlite3.connect(file)
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        other.execute(statement)
    other.close()
    with open_state(file, write=True) as state:
        with pytest.raises(InputFileError, match="only ever added"), state.change() as change:
            change.execute(statement)
        assert history(state)["verdict"].tolist() == ["rejected"]


def test_a_blind_verdict_is_kept_as_blind_and_only_the_first_is(file, run):
    told = record(file, run, 1, Judgement(Verdict.ACCEPTED, ANN, blind=True))
    assert told["blind"].tolist() == [True]
    with pytest.raises(
        UsageError, match="Ann has judged candidate 1 before and has seen its kind; record a changed"
    ):
        record(file, run, 1, Judgement(Verdict.REJECTED, ANN, blind=True))
    record(file, run, 1, Judgement(Verdict.REJECTED, BOB, blind=True))
    told = record(file, run, 1, Judgement(Verdict.REJECTED, ANN))
    assert told["blind"].tolist() == [True, True, False]


def test_a_verdict_on_nothing_is_refused_and_nothing_is_kept(file, run, tmp_path):
    with pytest.raises(UsageError, match="no candidate 4; give a number from 1 to 3"):
        record(file, run, 4, Judgement(Verdict.ACCEPTED, ANN))
    with open_state(file) as state:
        assert len(history(state)) == 0
        assert state.rows("SELECT fid FROM runs") == []
    with pytest.raises(UsageError, match="flagged nothing"):
        record(file, make_run(tmp_path / "empty", boxes=[]), 1, Judgement(Verdict.ACCEPTED, ANN))


def test_nobody_and_novels_are_refused():
    with pytest.raises(UsageError, match="nobody is named; say who judges: --reviewer"):
        Judgement(Verdict.ACCEPTED, "  ")
    with pytest.raises(UsageError, match="a note 2000; shorten it"):
        Judgement(Verdict.ACCEPTED, ANN, "x" * 2001)


def test_words_are_read():
    assert [parse_verdict(word) for word in ("a", "R", " unsure ")] == list(Verdict)
    with pytest.raises(UsageError, match="say accepted, rejected or unsure"):
        parse_verdict("maybe")


def test_a_verdict_carries_over_to_the_same_thing_in_a_later_run(file, run, tmp_path):
    record(file, run, 1, Judgement(Verdict.REJECTED, ANN, "harvest"))
    # the first object 10 px further out on one side: 150 of 180 pixels in common
    later = make_run(tmp_path / "later", years=3, boxes=[(30, 40, 40, 55), (60, 64, 80, 100)])
    found = stands(file, later)
    assert (found["verdict"], found["reviewer"], found["note"]) == ("rejected", ANN, "harvest")
    assert found["overlap"] == pytest.approx(150 / 180, abs=1e-3)
    assert found["carried_from"].endswith("object 1")
    assert stands(file, later, 2)["verdict"] == ""
    # what is said of the later one counts for both, since it is the last
    record(file, later, 1, Judgement(Verdict.ACCEPTED, BOB))
    assert stands(file, later)["carried_from"] == ""
    assert stands(file, run)["verdict"] == "accepted"
    assert stands(file, run)["carried_from"] != ""


def test_what_has_more_than_doubled_is_open_again(file, run, tmp_path):
    record(file, run, 1, Judgement(Verdict.ACCEPTED, ANN))
    grown = make_run(tmp_path / "grown", years=3, boxes=[(30, 55, 40, 55)])
    assert stands(file, grown)["verdict"] == ""


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"kinds": [Kind.DEMOLITION]}, "earlier accepted as new construction, 2025-05-13"),
        ({"before": "2025-05-13T02:07:01Z", "years": 4}, "earlier accepted as new construction, 2025-05-13"),
    ],
    ids=["another kind", "another period"],
)
def test_another_event_at_the_same_place_is_open_and_says_what_was_there(file, run, tmp_path, changes, hint):
    record(file, run, 1, Judgement(Verdict.ACCEPTED, ANN))
    other = make_run(tmp_path / "other", boxes=[(30, 42, 40, 55)], **changes)
    found = stands(file, other)
    assert (found["verdict"], found["hint"]) == ("", hint)


def test_unknown_dates_do_not_speak_against_the_same_event(file, run, tmp_path):
    record(file, run, 1, Judgement(Verdict.ACCEPTED, ANN))
    other = make_run(tmp_path / "other", boxes=[(30, 42, 40, 55)], before="not known", years=5)
    assert stands(file, other)["verdict"] == "accepted"


def test_verdicts_of_another_site_do_not_carry_over(file, run, tmp_path):
    record(file, run, 1, Judgement(Verdict.ACCEPTED, ANN))
    assert stands(file, make_run(tmp_path / "other", name="Same ground, other name"))["verdict"] == ""


_BOX = st.tuples(st.floats(0, 3), st.floats(0, 3), st.floats(0.5, 2), st.floats(0.5, 2)).map(
    lambda b: box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(_BOX, _BOX)
def test_the_share_in_common_is_that_of_the_union(one, other):
    first, second = (gpd.GeoDataFrame(geometry=[shape], crs=4326) for shape in (one, other))
    ((forth,), (back,)) = overlaps(first, second), overlaps(second, first)
    assert forth.get(0, 0.0) == pytest.approx(one.intersection(other).area / one.union(other).area)
    assert forth.get(0, 0.0) == pytest.approx(back.get(0, 0.0))
    assert overlaps(first, first)[0][0] == pytest.approx(1)
    assert overlaps(first, second.iloc[:0]) == [{}]
    assert 0 < MATCH_IOU < 1
