"""``changedet review``: scripts, the loop in a terminal, listings, masks and learning."""

import io
import json
from datetime import UTC, datetime, timedelta

import pyogrio
import pytest
from shapely.geometry import mapping
from tests.watch.folders import by_green, made, make_run

from changedet.cli.review_loop import Review, describe, loop, open_run_for_review
from changedet.provenance import file_records, read_record, write_record
from changedet.watch.runs import objects_of, read_run
from changedet.watch.state import open_state
from changedet.watch.verdicts import history

ANN = ("--reviewer", "Ann")


@pytest.fixture
def run(workplace):
    make_run(workplace / "changedet-runs" / "pier")
    return "changedet-runs/pier"


@pytest.fixture
def judged(cli, run):
    assert cli("review", run, "--object", 2, "--verdict", "rejected", "--note", "harvest", *ANN) == 0
    return run


def told(file="changedet-runs/verdicts.gpkg"):
    with open_state(file) as state:
        return history(state).drop(columns="geometry").to_dict("records")


# --- scripts ----------------------------------------------------------------------------------------


def test_verdicts_that_a_report_saved_are_recorded_beside_the_runs(cli, run, workplace):
    record = read_record(run)
    write_record(run, {**record, "files": file_records(run, ["changes.gpkg"])})
    said = {"number": 1, "verdict": "unsure", "note": "", "blind": False, "reviewer": "Ann"}
    document = {
        "schema": "changedet.verdicts/1",
        "objects_sha256": read_record(run)["files"]["changes.gpkg"]["sha256"],
        "verdicts": [said | {"time_utc": "2026-03-01T12:00:00Z"}],
    }
    (workplace / "verdicts.json").write_text(json.dumps(document))
    assert cli("review", "import", run, "verdicts.json") == 0
    assert cli.out.startswith("1 verdict(s) recorded, 0 known before")
    assert cli("review", "import", run, "verdicts.json", "--json") == 0
    assert json.loads(cli.out)["known"] == 1
    assert [row["verdict"] for row in told()] == ["unsure"]


def test_a_verdict_is_recorded_beside_the_runs(cli, judged):
    assert cli.out.startswith("candidate 2 (ground clearing or earthworks): rejected by Ann, ")
    (row,) = told()
    assert (row["verdict"], row["note"], row["number"], row["blind"]) == ("rejected", "harvest", 2, False)
    assert (
        cli("review", judged, "--object", 2, "--verdict", "a", "--blind", "--reviewer", "Bob", "--json") == 0
    )
    document = json.loads(cli.out)
    assert [row["verdict"] for row in document["verdicts"]] == ["rejected", "accepted"]
    assert [row["blind"] for row in document["verdicts"]] == [False, True]
    assert "fid" not in document["verdicts"][0]


def test_the_reviewer_and_the_file_may_come_from_the_environment(cli, run, monkeypatch, workplace):
    monkeypatch.setenv("CHANGEDET_REVIEWER", "Eve")
    monkeypatch.setenv("CHANGEDET_STATE", "mine.gpkg")
    assert cli("review", "run", run, "--object", 1, "--verdict", "unsure", "--site", "Quay") == 0
    assert [(row["reviewer"], row["site"]) for row in told("mine.gpkg")] == [("Eve", "Quay")]
    assert cli("review", "status", "--json") == 0
    assert json.loads(cli.out)["state"] == "mine.gpkg"
    assert not (workplace / "changedet-runs" / "verdicts.gpkg").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--verdict", "accepted", *ANN), 2, "a verdict on nothing; name the candidate with --object N"),
        (("--object", "9", "--verdict", "accepted", *ANN), 2, "no candidate 9; give a number from 1 to 3"),
        (("--object", "9"), 2, "no candidate 9"),
        (("--object", "1", "--verdict", "maybe", *ANN), 2, "say accepted, rejected or unsure"),
        (("--object", "1", "--verdict", "accepted"), 2, "nobody is named; say who judges: --reviewer NAME"),
        (("--object", "1", "--note", "x"), 2, "a note without a verdict"),
        (("--object", "1", "--state", "no/v.gpkg"), 73, "cannot be opened"),
    ],
)
def test_what_cannot_be_recorded_is_said(cli, run, arguments, code, said):
    assert cli("review", run, *arguments) == code
    assert said in cli.error


def test_a_folder_that_is_no_run_is_said(cli, workplace):
    assert cli("review", "nowhere") == 8
    assert "no such file" in cli.error
    assert list(workplace.iterdir()) == []


def test_a_state_file_that_is_not_there_is_looked_for_beside_the_run(cli, workplace):
    assert cli("review", "status") == 8
    assert "name it with --state: changedet watch makes one, and changedet review one beside" in cli.error


def test_the_help_of_the_group_and_of_the_command(cli):
    assert cli("review", "--help") == 0
    assert "status" in cli.out
    assert cli("review", "run", "--help") == 0
    assert "--blind" in cli.out


# --- listings ---------------------------------------------------------------------------------------


def test_candidates_are_listed_with_what_was_said(cli, judged):
    assert cli("review", judged) == 0
    head, *rows = cli.out.splitlines()
    assert head.split() == ["rank", "number", "kind", "confidence", "area_m2", "mgrs", "verdict"]
    assert [row.split()[-1] for row in rows] == ["open", "rejected", "open"]
    assert cli("review", judged, "--object", 2) == 0
    assert "rejected by Ann, 20" in cli.out
    assert ": harvest" in cli.out


def test_a_blind_listing_tells_nothing_of_what_the_tool_says(cli, judged):
    for arguments in ((), ("--object", 1)):
        assert cli("review", judged, "--blind", *arguments) == 0
        assert not any(
            word in cli.out for word in ("construction", "earthworks", "medium", "low", "NDVI", "rank")
        )
    assert cli("review", judged, "--blind", "--json") == 0
    assert (
        set(json.loads(cli.out)["objects"][0]) & {"kind", "confidence", "score", "rank", "features"} == set()
    )


def test_the_status_counts_what_is_open(cli, judged):
    assert cli("review", "status") == 0
    assert cli.out.startswith("2 open of 3 candidate(s) in 1 run(s)\n")
    assert cli("review", "status", "--json") == 0
    (row,) = json.loads(cli.out)["runs"]
    assert (row["site"], row["open"], row["rejected"]) == ("Pier", 2, 1)
    assert cli("review", "status", "--site", "Quay", "--json") == 0
    assert json.loads(cli.out)["runs"] == []


def test_without_a_state_file_it_says_how_to_get_one(cli, workplace):
    assert cli("review", "status") == 8
    assert "name it with --state: changedet watch makes one" in cli.error


def test_verdicts_are_exported(cli, judged, workplace):
    assert cli("review", "export", "--out", "all.geojson") == 0
    assert cli.out == "1 verdict(s) in all.geojson\n"
    assert pyogrio.read_dataframe("all.geojson")["note"].tolist() == ["harvest"]
    assert cli("review", "export", "--out", "all.geojson") == 2
    assert "--overwrite" in cli.error


def test_precision_says_its_counts_and_its_interval(cli, judged):
    assert cli("review", "precision", "--by", "all") == 0
    assert "0.00 to 0.79" in cli.out
    assert "not judged" in cli.out
    assert cli("review", "precision", "--by", "week") == 2
    assert cli("review", "precision", "--json") == 0
    rows = json.loads(cli.out)["rows"]
    assert rows[-1]["kind"] == "all kinds"
    assert (rows[-1]["flagged"], rows[-1]["rejected"], rows[-1]["precision"]) == (3, 1, 0)


def test_masks_are_drawn_listed_and_ended(cli, judged, workplace):
    with open_state("changedet-runs/verdicts.gpkg") as state:
        outline = objects_of(state).geometry.iloc[0]
    (workplace / "pans.geojson").write_text(json.dumps(mapping(outline)))
    drawn = ("review", "mask", "--aoi", "pans.geojson", "--reason", "salt pans", *ANN)
    next_year = datetime.now(UTC).year + 1
    assert cli(*drawn) == 2
    assert f"a mask needs an end; give a day to come, such as --until {next_year}-12-31" in cli.error
    assert cli(*drawn, "--until", "soon") == 2
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert cli(*drawn, "--until", yesterday) == 2
    assert f"the last day {yesterday} is past: the mask would hold for no image to come" in cli.error
    assert cli(*drawn, "--until", "2097-03-31") == 0
    assert cli.out.splitlines()[-1].split()[:3] == ["1", "Pier", "2097-03-31"]
    assert cli("review", judged) == 0
    assert cli.out.splitlines()[-1].endswith("masked: salt pans (until 2097-03-31)")
    assert cli("review", "status", "--json") == 0
    assert json.loads(cli.out)["runs"][0]["masked"] == 1
    assert cli(*drawn, "--until", "2099-01-01") == 0
    assert cli("review", "mask", "--end", 1, "--json") == 0
    assert json.loads(cli.out)["masks"][0]["ended"].startswith(f"{datetime.now(UTC):%Y}")
    assert json.loads(cli.out)["masks"][1]["ended"] == ""


def test_a_run_without_candidates_is_said_in_a_sentence(cli, workplace):
    make_run(workplace / "runs" / "empty", boxes=[])
    assert cli("review", "runs/empty") == 0
    assert cli.out.startswith("no candidate was flagged in this run")


def test_a_folder_is_no_outline(cli, judged, workplace):
    (workplace / "outlines").mkdir()
    drawn = ("review", "mask", "--aoi", "outlines", "--reason", "pans", "--until", "2099-01-01", *ANN)
    assert cli(*drawn) == 8
    assert "outlines: a folder, not a file; name a file in it" in cli.error


def test_learning_at_an_unknown_site_names_the_known_ones(cli, judged):
    assert cli("review", "learn", "--site", "Nowhere") == 2
    assert "no site 'Nowhere'; the state file knows 'Pier'; name one of them with --site" in cli.error


def test_learning_from_too_little_says_so(cli, judged):
    assert cli("review", "learn", "--site", "Pier") == 2
    assert "0 accepted and 1 rejected at 'Pier' are too few to learn from" in cli.error


def test_learning_says_what_it_learnt_and_what_it_is_worth(cli, workplace):
    made(workplace, by_green)
    assert cli("review", "learn", "--site", "Pier", "--state", "v.gpkg") == 0
    assert cli.out.startswith(
        "Pier: learnt from 12 rejected, 12 accepted\non verdicts it had not seen: area under"
    )
    assert "NDVI after: median NDVI inside on the after image" in cli.out
    assert cli("review", "./run", "--state", "v.gpkg") == 0
    rows = cli.out.splitlines()[1:]
    put_back = ["put back: like 12 rejected here" in row for row in rows]
    assert len(rows) == 40
    assert put_back == sorted(put_back)
    assert cli("review", "learn", "--site", "Pier", "--state", "v.gpkg", "--json") == 0
    assert json.loads(cli.out)["model"]["schema"] == "changedet.rank/1"


# --- the loop ---------------------------------------------------------------------------------------


class Reader:
    """Answers in turn, and keeps what was shown."""

    def __init__(self, *answers):
        self.answers, self.lines = list(answers), []

    def ask(self, prompt):
        self.lines.append(prompt)
        return self.answers.pop(0) if self.answers else "q"

    def tell(self, line):
        self.lines.append(line)

    @property
    def shown(self):
        return "\n".join(self.lines)


def looped(run, *answers, reviewer="Ann", blind=False, file="changedet-runs/verdicts.gpkg"):
    reader = Reader(*answers)
    with open_state(file, write=True) as state:
        run_id = open_run_for_review(state, read_run(run))
        count = loop(Review(state, run_id, reviewer, blind, "seed"), reader.ask, reader.tell)
    return count, reader


def test_letters_are_verdicts_and_what_follows_is_the_reason(run):
    count, reader = looped(run, "a", "t by the road", "r", "u mist", "q")
    assert count == 3
    said = [(row["number"], row["verdict"], row["note"]) for row in told()]
    assert said == [(1, "accepted", ""), (2, "rejected", "by the road"), (3, "unsure", "mist")]
    assert "candidate 1: new construction, confidence medium, rank 1" in reader.shown


def test_one_moves_about_and_what_is_not_understood_is_explained(run):
    count, reader = looped(run, "n", "p", "p", "g 3", "g 9", "x", "", "q")
    assert count == 0
    prompts = [line for line in reader.lines if line.startswith("[")]
    assert prompts == [f"[{n} of 3] > " for n in (1, 2, 1, 1, 3, 3, 3, 3)]
    assert "no candidate of this number here" in reader.shown
    assert reader.shown.count("a accept, r reject") == 2


def test_what_is_judged_comes_after_what_is_open(judged):
    _, reader = looped(judged, "n", "n", "q")
    heads = [line for line in reader.lines if line.startswith("candidate")]
    assert [head.split(":")[0] for head in heads] == ["candidate 1", "candidate 3", "candidate 2"]
    assert "open: nobody has judged it" in reader.shown
    assert "rejected by Ann" in reader.shown


def test_blind_candidates_show_their_kind_only_after_the_verdict(run):
    count, reader = looped(run, "a", "a", "r", "q", blind=True)
    first = reader.lines.index("  recorded: accepted")
    hidden, shown = "\n".join(reader.lines[:first]), "\n".join(reader.lines[first:])
    assert not any(
        word in hidden for word in ("construction", "earthworks", "water", "confidence", "NDVI", "rank")
    )
    assert "the tool says candidate " in shown
    assert "that was the last one; q ends" in shown
    assert count == 3
    assert all(row["blind"] for row in told())
    # who has judged everything has nothing left to judge blind; somebody else has
    assert looped(run, blind=True)[1].shown == "nothing is left to judge"
    assert looped(run, "u", "q", blind=True, reviewer="Bob")[0] == 1


def test_a_second_thought_on_a_blind_one_is_not_blind(run):
    looped(run, "a", "p", "r", "q", blind=True)
    rows = told()
    assert [row["blind"] for row in rows] == [True, False]
    assert rows[0]["number"] == rows[1]["number"]


def test_a_run_that_flagged_nothing_is_said(workplace):
    make_run(workplace / "empty", boxes=[])
    assert looped("empty", file="v.gpkg")[1].shown == "the run flagged nothing"


def test_the_loop_starts_in_a_terminal_and_asks_who_it_is(cli, run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("Ann\na\n"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert cli("review", run) == 0
    assert cli.out.startswith("1 verdict(s) recorded in ")
    assert cli.out.endswith("; 2 of 3 open\n")
    assert [row["reviewer"] for row in told()] == ["Ann"]


def test_carried_verdicts_hints_and_reasons_are_described(cli, judged, workplace):
    row = {
        "number": 1, "kind": "new construction", "confidence": "low", "rank": 4, "lat": 1.0, "lon": 2.0,
        "mgrs": "X",
        "area_m2": 100.0, "last_seen_before": "", "first_seen": "2025-05-13T02:07:01Z", "evidence": "NDVI",
        "warnings": "near a cloud", "mask": "masked: reeds", "learnt": "", "hint": "earlier rejected",
        "verdict": "accepted", "reviewer": "Ann", "time_utc": "2026-01-01T00:00:00Z", "note": "hall",
        "blind": True, "carried_from": "abc object 2", "overlap": 0.8,
    }  # fmt: skip
    lines = "\n".join(describe(row))
    for part in (
        "between an unknown date and 2025-05-13",
        "warning: near a cloud",
        "masked: reeds",
        "earlier rejected",
        "accepted by Ann, 2026-01-01, blind, carried over from run abc object 2, 0.80 in common: hall",
    ):
        assert part in lines
