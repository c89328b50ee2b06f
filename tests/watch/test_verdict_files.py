"""Verdicts that a report saved: recorded all or none, once, and only on the candidates that it showed."""

import json

import pytest
from tests.watch.folders import make_run

from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.output.report import VERDICT_WORDS
from changedet.provenance import file_records, read_record, write_record
from changedet.watch.state import open_state
from changedet.watch.verdict_files import SCHEMA, Imported, import_verdicts, read_verdict_file
from changedet.watch.verdicts import Verdict, history

ONE = {
    "number": 2, "verdict": "rejected", "note": "harvest", "blind": True, "time_utc": "2026-03-01T12:00:00Z",
    "reviewer": "Ann",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    folder = make_run(tmp_path / "run")
    record = read_record(folder)
    write_record(folder, {**record, "files": file_records(folder, ["changes.gpkg"])})
    return folder


@pytest.fixture
def saved(tmp_path, run):
    """Write a file as the report does, with changes."""
    digest = read_record(run)["files"]["changes.gpkg"]["sha256"]

    def _save(*verdicts, **changes):
        path = tmp_path / "verdicts.json"
        said = {"schema": SCHEMA, "site": "Pier", "objects_sha256": digest, "verdicts": list(verdicts)}
        path.write_text(json.dumps(said | changes), encoding="utf-8")
        return path

    return _save


def told(file):
    with open_state(file) as state:
        return history(state).drop(columns="geometry").to_dict("records")


def test_the_report_offers_the_words_that_are_known():
    assert tuple(verdict.value for verdict in Verdict) == VERDICT_WORDS


def test_verdicts_are_recorded_once_with_their_own_times(tmp_path, run, saved):
    file = tmp_path / "verdicts.gpkg"
    path = saved(ONE, ONE | {"number": 1, "verdict": "accepted", "note": "", "blind": False})
    assert import_verdicts(file, run, path) == Imported(added=2, known=0)
    assert import_verdicts(file, run, path) == Imported(added=0, known=2)
    first, second = told(file)
    assert (first["number"], first["verdict"], first["note"], first["blind"]) == (
        2,
        "rejected",
        "harvest",
        True,
    )
    assert first["time_utc"] == "2026-03-01T12:00:00.000Z"
    assert (second["number"], second["reviewer"], second["blind"]) == (1, "Ann", False)


def test_a_mind_changed_after_a_blind_verdict_stands_beside_it(tmp_path, run, saved):
    file = tmp_path / "verdicts.gpkg"
    later = ONE | {"verdict": "accepted", "blind": False, "time_utc": "2026-03-01T12:01:00Z"}
    assert import_verdicts(file, run, saved(ONE, later)).added == 2
    assert [row["verdict"] for row in told(file)] == ["rejected", "accepted"]


def test_all_or_none(tmp_path, run, saved):
    file = tmp_path / "verdicts.gpkg"
    with pytest.raises(UsageError, match="no candidate 99"):
        import_verdicts(file, run, saved(ONE, ONE | {"number": 99}))
    assert import_verdicts(file, run, saved()) == Imported(0, 0)
    assert told(file) == []


def test_who_has_seen_what_the_tool_says_cannot_judge_blind(tmp_path, run, saved):
    file = tmp_path / "verdicts.gpkg"
    import_verdicts(file, run, saved(ONE | {"blind": False}))
    with pytest.raises(UsageError, match="has judged candidate 2 before"):
        import_verdicts(file, run, saved(ONE | {"time_utc": "2026-03-02T12:00:00Z"}))


def test_verdicts_on_other_candidates_are_refused_and_leave_nothing(tmp_path, run, saved):
    file = tmp_path / "verdicts.gpkg"
    with pytest.raises(UsageError, match=r"on other candidates.*name the run folder whose report"):
        import_verdicts(file, run, saved(ONE, objects_sha256="ab" * 32))
    assert not file.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "other/9"}, "layout 'other/9' is not"),
        ({"verdicts": [ONE | {"time_utc": "yesterday"}]}, "yesterday"),
        ({"verdicts": [ONE | {"time_utc": "2026-03-01T12:00:00"}]}, "without a time zone"),
        ({"verdicts": [ONE | {"blind": "no"}]}, "neither true nor false"),
        ({"verdicts": [{"number": 1}]}, "time_utc"),
        ({"verdicts": 7}, "not iterable"),
    ],
)
def test_what_is_no_file_of_verdicts_is_told_in_one_line(saved, changes, said):
    with pytest.raises(InputFileError, match=said) as caught:
        read_verdict_file(saved(**changes))
    assert "\n" not in str(caught.value)
    assert "save it again from the report" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b'"' + b"x" * 10_000_001])
def test_foreign_content_is_refused(tmp_path, content):
    path = tmp_path / "verdicts.json"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="no file of verdicts"):
        read_verdict_file(path)


def test_words_names_and_files_that_are_missing(tmp_path, saved):
    with pytest.raises(UsageError, match="say accepted, rejected or unsure"):
        read_verdict_file(saved(ONE | {"verdict": "perhaps"}))
    with pytest.raises(UsageError, match="nobody is named"):
        read_verdict_file(saved(ONE | {"reviewer": " "}))
    with pytest.raises(MissingInputError, match="no such file"):
        read_verdict_file(tmp_path / "none.json")
