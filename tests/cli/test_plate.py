import json


def test_a_plate_is_drawn_beside_the_folder(cli, run_copy):
    first = sorted(run_copy.iterdir())
    assert cli("plate", run_copy) == 0
    target = run_copy.with_name("run-plate.png")
    assert cli.out == f"plate: {target}\n"
    assert target.read_bytes() == (run_copy / "plates" / "overview.png").read_bytes()
    assert sorted(run_copy.iterdir()) == first


def test_a_candidate_beyond_the_leading_ones_has_a_plate_as_pdf(cli, run_copy, workplace):
    assert cli("plate", run_copy, "--object", "9", "--out", "nine.pdf", "--json") == 0
    assert json.loads(cli.out) == {"plate": "nine.pdf"}
    assert (workplace / "nine.pdf").read_bytes().startswith(b"%PDF")


def test_what_cannot_be_drawn_is_one_line(cli, run_copy, workplace):
    (workplace / "mine.png").write_text("mine")
    assert cli("plate", run_copy, "--out", "mine.png") == 2
    assert "mine.png: is there already; choose another name or allow overwriting (--overwrite)" in cli.error
    assert (workplace / "mine.png").read_text() == "mine"
    assert cli("plate", run_copy, "--out", "mine.tif") == 2
    assert "plates are PNG or PDF, not .tif; let the name end in .png or .pdf" in cli.error
    assert cli("plate", run_copy, "--object", "99", "--out", "new.png") == 2
    assert "there is no candidate 99; numbers are 1 to 9" in cli.error
    assert cli("plate", run_copy, "--out", "no/such/folder.png") == 73
    assert "the plate cannot be written" in cli.error


def test_plate_and_report_can_be_redacted(cli, run_copy, workplace):
    assert cli("plate", run_copy, "--redact-coordinates", "--out", "a.png") == 0
    assert cli("report", run_copy, "--redact-coordinates", "--out", "a.html") == 0
    text = (workplace / "a.html").read_text(encoding="utf-8")
    assert "The place is withheld for publication" in text
    assert "52SBH" not in text
    whole = (run_copy / "plates" / "overview.png").read_bytes()
    assert (workplace / "a.png").read_bytes() != whole


def test_a_redacted_comparison_says_what_may_be_published(cli, sample, workplace):
    said = ("--before", sample / "before", "--after", sample / "after", "--at", "38.2699, 126.4998")
    assert cli("detect", *said, "--radius", "400m", "--out", "run", "--redact-coordinates") == 0
    assert "published may be the plates and the report alone" in cli.err
    assert not (workplace / "run" / "changes.kmz").exists()
    text = (workplace / "run" / "report.html").read_text(encoding="utf-8")
    assert "52SBH" not in text
    assert "38.2699" not in text
    assert cli("report", "run", "--no-redact-coordinates", "--out", "whole.html") == 0
    assert "52SBH" in (workplace / "whole.html").read_text(encoding="utf-8")
    assert cli("verify", "run", "--rerun") == 0
