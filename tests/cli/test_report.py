import json


def test_the_report_is_drawn_again_beside_the_folder(cli, run_copy):
    first = sorted(run_copy.iterdir())
    assert cli("report", run_copy) == 0
    target = run_copy.with_name("run-report.html")
    assert cli.out == f"report: {target}\n"
    assert target.read_bytes() == (run_copy / "report.html").read_bytes()
    assert sorted(run_copy.iterdir()) == first
    assert cli("verify", run_copy) == 0


def test_nothing_is_overwritten_unasked(cli, run_copy, workplace):
    (workplace / "mine.html").write_text("mine")
    assert cli("report", run_copy, "--out", "mine.html") == 2
    assert "mine.html: is there already; choose another name or allow overwriting (--overwrite)" in cli.error
    assert (workplace / "mine.html").read_text() == "mine"
    assert cli("report", run_copy, "--out", "mine.html", "--overwrite", "--json") == 0
    assert json.loads(cli.out) == {"report": "mine.html"}
    assert (workplace / "mine.html").read_text().startswith("<!")


def test_a_folder_in_the_way_is_one_line(cli, run_copy, workplace):
    (workplace / "taken").mkdir()
    assert cli("report", run_copy, "--out", "taken", "--overwrite") == 73
    assert "taken" in cli.error


def test_a_folder_that_is_not_there_is_one_line(cli, run_copy, workplace):
    assert cli("report", run_copy, "--out", "no/such/place.html") == 73
    assert "place.html: the report cannot be written (No such file or directory); check" in cli.error
    assert not list(workplace.iterdir())


def test_a_damaged_run_is_one_line(cli, run_copy):
    (run_copy / "state.tif").write_bytes(b"II*\0")
    assert cli("report", run_copy) == 8
    assert "state.tif" in cli.error
    assert not run_copy.with_name("run-report.html").exists()


def test_a_run_without_images_still_has_a_report(cli, run_copy):
    for name in ("before.tif", "after.tif"):
        (run_copy / name).unlink()
    assert cli("report", run_copy) == 0
    assert run_copy.with_name("run-report.html").stat().st_size > 10_000


def test_no_run_folder(cli):
    assert cli("report", "nowhere") == 8
    assert "nowhere" in cli.error
