import json
import shutil

import pytest
from tests.runs import write_no_plates

from changedet.cli import run


def test_an_unaltered_folder_passes(cli, sample_run):
    assert cli("verify", sample_run) == 0
    assert cli.out.startswith("hashes: ")
    assert "file(s) unaltered" in cli.out
    assert cli.err == ""


def test_one_flipped_byte_is_found(cli, run_copy):
    path = run_copy / "score.tif"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert cli("verify", run_copy) == 8
    assert f"{run_copy}: hashes: 1 file(s) differ (score.tif); use an unaltered copy" in cli.error
    assert "changed: score.tif" in cli.out


def test_a_missing_and_an_extra_file_are_found(cli, run_copy):
    (run_copy / "plates" / "overview.png").unlink()
    (run_copy / "notes.txt").write_text("mine")
    assert cli("verify", run_copy) == 8
    assert "2 file(s) differ (plates/overview.png, notes.txt)" in cli.error
    assert "missing: plates/overview.png" in cli.out
    assert "unexpected: notes.txt" in cli.out


def test_a_failure_as_json_is_one_document_that_names_the_files(cli, run_copy):
    (run_copy / "notes.txt").write_text("mine")
    assert cli("verify", run_copy, "--json") == 8
    document = json.loads(cli.out)
    assert document["folder"] == str(run_copy)
    assert document["passed"] is document["hashes"]["passed"] is False
    assert document["hashes"]["unexpected"] == ["notes.txt"]
    assert "state.tif" in document["hashes"]["ok"]
    assert document["hashes"]["changed"] == document["hashes"]["missing"] == []
    assert document["error"]["type"] == "VerificationError"
    assert document["error"]["exit_code"] == 8
    assert "notes.txt" in document["error"]["message"]


def test_what_viewers_leave_is_listed_and_does_not_fail(cli, run_copy):
    (run_copy / "state.tif.aux.xml").write_text("<PAMDataset/>")
    assert cli("verify", run_copy) == 0
    assert "  left by viewers: state.tif.aux.xml" in cli.out.splitlines()
    assert cli("verify", run_copy, "--json") == 0
    assert json.loads(cli.out)["hashes"]["left_by_viewers"] == ["state.tif.aux.xml"]


def test_success_as_json(cli, sample_run):
    assert cli("verify", sample_run, "--json") == 0
    document = json.loads(cli.out)
    assert document["passed"] is True
    assert "state.tif" in document["hashes"]["ok"]
    assert document["hashes"]["changed"] == []


def test_a_changed_record_does_not_leave_the_folder(cli, run_copy):
    record = json.loads((run_copy / "run.json").read_text())
    record["files"]["../../secret"] = {"sha256": "0" * 64, "bytes": 1}
    (run_copy / "run.json").write_text(json.dumps(record))
    assert cli("verify", run_copy) == 8
    assert "names a file outside the folder" in cli.error


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"schema": "other"}'])
def test_a_damaged_record_is_one_line(cli, run_copy, content):
    (run_copy / "run.json").write_text(content)
    assert cli("verify", run_copy) == 8
    assert "run.json" in cli.error


def test_no_run_folder(cli):
    assert cli("verify", "nowhere") == 8
    assert "nowhere/run.json: no such file; name a folder that changedet wrote" in cli.error


def test_the_folder_above_runs_is_told_of_one_of_them(cli, run_copy):
    assert cli("verify", run_copy.parent) == 8
    assert f"name a folder that changedet wrote, such as {run_copy}" in cli.error


class TestRerun:
    @pytest.fixture(scope="class")
    @staticmethod
    def small_run(tmp_path_factory, sample):
        folder = tmp_path_factory.mktemp("verify")
        for date in ("before", "after"):
            shutil.copytree(sample / date, folder / date)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("changedet.output.plate.write_plates", write_no_plates)
            scenes = ["--before", str(folder / "before"), "--after", str(folder / "after")]
            place = ["--at", "38.2707, 126.4994", "--radius", "400m"]
            code = run(["detect", *scenes, *place, "--out", str(folder / "run")])
        assert code == 0
        return folder / "run"

    def test_it_comes_out_byte_for_byte(self, cli, small_run, no_plates):
        # the working directory is another one than that of the run, and someone has looked at it
        (small_run / "state.tif.aux.xml").write_text("<PAMDataset/>")
        assert cli("verify", "--rerun", small_run) == 0
        assert cli.out.count("left by viewers: state.tif.aux.xml") == 2
        assert "rerun: " in cli.out
        assert "reproduced byte for byte" in cli.out

    def test_a_falsified_product_is_found_even_when_its_digest_fits(
        self, cli, small_run, no_plates, tmp_path
    ):
        from changedet.hashing import sha256_file

        copy = shutil.copytree(small_run, tmp_path / "run")
        (copy / "changes.csv").write_text("id,kind\n")
        record = json.loads((copy / "run.json").read_text())
        record["files"]["changes.csv"]["sha256"] = sha256_file(copy / "changes.csv")
        (copy / "run.json").write_text(json.dumps(record))
        assert cli("verify", copy) == 0
        assert cli("verify", copy, "--rerun", "--json") == 8
        document = json.loads(cli.out)
        assert document["hashes"]["passed"] is True
        assert document["rerun"]["changed"] == ["changes.csv"]
        message = document["error"]["message"]
        assert "rerun: " in message
        assert "changes.csv" in message
        assert "compare the library versions in run.json with those of changedet doctor" in message

    def test_altered_files_are_said_without_running_anything(self, cli, small_run, tmp_path, monkeypatch):
        copy = shutil.copytree(small_run, tmp_path / "run")
        (copy / "changes.csv").write_text("")
        monkeypatch.setattr("changedet.rerun.rerun", None)
        assert cli("verify", copy, "--rerun") == 8
        assert "hashes: 1 file(s) differ (changes.csv)" in cli.error

    def test_a_missing_input_is_named(self, cli, small_run):
        gone = next((small_run.parent / "after").glob("*B04.tif"))
        away = gone.rename(gone.with_suffix(".away"))
        try:
            assert cli("verify", "--rerun", small_run) == 8
            assert f"{gone}: input file of the run is missing" in cli.error
        finally:
            away.rename(gone)
