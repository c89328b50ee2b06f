import json
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest

import changedet.cli as command_line
from changedet.cli import console
from changedet.cli.bars import progress_on_terminal
from changedet.errors import EXIT_CODES, ChangedetError, InputFileError, OutputError

PROGRAM = (sys.executable, "-m", "changedet")


def raising(monkeypatch, error):
    """Let the doctor, the quickest command, end in an error."""

    def fail(*_arguments, **_keywords):
        raise error

    monkeypatch.setattr("changedet.cli.doctor._libraries", fail)


class TestErrors:
    @pytest.mark.parametrize("kind", [k for k in EXIT_CODES if k is not ChangedetError])
    def test_every_class_has_its_exit_code_and_one_line(self, cli, monkeypatch, kind):
        raising(monkeypatch, kind("it broke", where="here", todo="mend it"))
        assert cli("doctor") == EXIT_CODES[kind]
        assert cli.error == "changedet: error: here: it broke; mend it"
        assert cli.out == ""

    def test_as_json_too(self, cli, monkeypatch):
        raising(monkeypatch, InputFileError("it broke", where="here"))
        assert cli("doctor", "--json") == 8
        assert json.loads(cli.out) == {
            "error": {"type": "InputFileError", "message": "here: it broke", "exit_code": 8}
        }
        assert cli.error

    def test_a_bug_is_said_as_one(self, cli, monkeypatch):
        raising(monkeypatch, ZeroDivisionError("division\nby zero"))
        assert cli("doctor") == 70
        assert cli.error.endswith(
            "a bug in changedet (ZeroDivisionError: division by zero); run it again as "
            "changedet -vv and the rest of the line, and report what is printed"
        )

    def test_every_command_takes_the_flags_of_a_traceback_before_its_name(self, cli, monkeypatch):
        raising(monkeypatch, ZeroDivisionError("division by zero"))
        assert cli("-vv", "doctor") == 70
        assert "Traceback" in cli.err
        assert cli("-v", "doctor") == 70
        assert "Traceback" not in cli.err

    @pytest.mark.parametrize("words", [("38.27,", "126.5"), ("-33.9,", "-18.4")])
    def test_a_coordinate_without_quotes_is_told_of_them(self, cli, words):
        assert cli("run", "--before", "2021-05", "--after", "2023-05", "--at", *words) == 2
        assert 'a coordinate with a space in it needs quotes: --at "38.5847, 126.1079"' in cli.error

    def test_another_word_too_many_is_told_of_the_help(self, cli):
        assert cli("doctor", "now") == 2
        assert cli.error.endswith("Got unexpected extra argument(s) (now); see changedet doctor --help")

    @pytest.mark.parametrize("flags", [("-vv",), ("-v", "-v"), ("--verbose", "--verbose"), ("-qvv",)])
    def test_the_traceback_comes_only_when_asked_for_twice(self, cli, monkeypatch, tmp_path, flags):
        monkeypatch.setattr("changedet.provenance.verify", lambda folder: 1 // 0)
        monkeypatch.setattr("changedet.cli.verify.check", None, raising=False)
        assert cli("verify", tmp_path, "-v") == 70
        assert "Traceback" not in cli.err
        assert cli("verify", tmp_path, *flags) == 70
        assert "Traceback" in cli.err
        assert "ZeroDivisionError" in cli.err.splitlines()[-1]

    def test_a_known_error_has_a_traceback_too_when_asked_for(self, cli):
        assert cli("verify", "nowhere", "-vv") == 8
        assert "Traceback" in cli.err

    def test_an_interruption(self, cli, monkeypatch):
        raising(monkeypatch, KeyboardInterrupt())
        assert cli("doctor") == 130
        assert cli.error.endswith("stopped by the user; nothing half-written was left behind")

    def test_an_error_of_the_system(self, cli, monkeypatch):
        raising(monkeypatch, PermissionError(13, "Permission denied", "/some/file"))
        assert cli("doctor") == 73
        assert "/some/file: Permission denied; check that it is there" in cli.error

    def test_no_memory(self, cli, monkeypatch):
        raising(monkeypatch, MemoryError())
        assert cli("doctor") == 73
        assert "not enough memory; choose a smaller site" in cli.error

    def test_file_names_cannot_steer_the_terminal(self, cli, monkeypatch):
        raising(monkeypatch, OutputError("broken", where="a\x1b[2Jb\u202ec"))
        cli("doctor")
        assert cli.error == "changedet: error: a?[2Jb?c: broken"

    def test_results_cannot_steer_the_terminal_either(self, capsys):
        console.emit({"name": "a\x1b[2J"}, ["a\x1b[2Jb\u202ec", "two\nlines"], as_json=False)
        assert capsys.readouterr().out == "a?[2Jb?c\ntwo?lines\n"
        console.emit({"name": "a\x1b[2J"}, [], as_json=True)
        assert json.loads(capsys.readouterr().out) == {"name": "a\x1b[2J"}

    def test_a_command_that_is_not_there(self, cli):
        assert cli("detekt") == 2
        assert "No such command 'detekt'" in cli.error
        assert "see changedet --help" in cli.error

    def test_as_json_for_usage_too(self, cli):
        assert cli("doctor", "--json", "--colour") == 2
        assert json.loads(cli.out)["error"]["type"] == "UsageError"


class TestHelp:
    def test_nothing_asks_for_help(self, cli):
        assert cli() == 0
        assert "Exit codes: 0 done" in cli.out
        assert cli.err == ""

    @pytest.mark.parametrize(
        "command", ["", "detect", "demo", "report", "verify", "doctor", "sites", "sites check"]
    )
    @pytest.mark.parametrize("flag", ["--help", "-h"])
    def test_every_command_has_help(self, cli, command, flag):
        assert cli(*command.split(), flag) == 0
        assert cli.out.lower().startswith("usage: changedet")
        assert "\x1b" not in cli.out
        assert cli.err == ""

    def test_the_version(self, cli):
        from importlib.metadata import version

        assert cli("--version") == 0
        assert cli.out == f"changedet {version('changedet')}\n"


class TestProgress:
    def test_a_log_without_a_terminal(self, capsys):
        with progress_on_terminal(show=None, quiet=False, verbose=1) as progress:
            progress.step("weighing")
            progress.advance(0.5)
        assert capsys.readouterr().err == "   0.0 s  weighing\n"

    def test_silence_without_a_terminal(self, capsys):
        for quiet, verbose, show in ((False, 0, None), (True, 2, None), (True, 0, True)):
            with progress_on_terminal(show=show, quiet=quiet, verbose=verbose) as progress:
                progress.step("weighing")
                progress.advance(1.0)
        captured = capsys.readouterr()
        assert captured.out + captured.err == ""

    def test_a_bar_writes_to_stderr_alone(self, capsys):
        with progress_on_terminal(show=True, quiet=False, verbose=0) as progress:
            progress.step("weighing")
            progress.advance(0.5)
        assert capsys.readouterr().out == ""


class TestProcesses:
    """What only a process of its own can show."""

    def test_help_is_quick(self, workplace):
        """The whole process, median of five: under 0.3 s, or what a slow machine adds to an idle Python."""

        def seconds(*command):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - start

        idle = statistics.median(seconds(sys.executable, "-c", "pass") for _ in range(5))
        helped = statistics.median(seconds(*PROGRAM, "--help") for _ in range(5))
        assert helped < max(0.3, 15 * idle)

    def test_nothing_heavy_is_imported_for_it(self, workplace):
        heavy = {"numpy", "rasterio", "pandas", "geopandas", "scipy", "cv2", "xarray", "matplotlib", "pyproj"}
        code = "import sys, changedet.cli; print(*sys.modules)"
        loaded = subprocess.run(
            (sys.executable, "-c", code), check=True, capture_output=True, text=True
        ).stdout
        assert "changedet.cli" in loaded.split()
        assert not heavy & set(loaded.split())

    @pytest.mark.parametrize("arguments", [("methods",), ("--help",)])
    def test_a_reader_that_has_gone_is_no_error(self, workplace, arguments):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            command = [*PROGRAM, *arguments]
            done = subprocess.run(command, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
        finally:
            os.close(writer)
        assert done.stderr == ""
        assert done.returncode == 0

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_a_signal_in_mid_run_leaves_nothing(self, workplace, sample, number):
        scenes = ("--before", sample / "before", "--after", sample / "after")
        # a test runner in the background may have left SIGINT ignored
        start = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); "
        start += "import changedet.cli as c; c.main()"
        command = (sys.executable, "-c", start, "detect", *scenes, "--out", "run", "-v")
        said = []
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                said.append(line)
                if "plates" in line:
                    assert [p.name.startswith(".run.part-") for p in workplace.iterdir()] == [True]
                    process.send_signal(number)
        assert process.wait(30) == 130
        assert said[-1].endswith("error: stopped by the user; nothing half-written was left behind\n")
        assert "Traceback" not in "".join(said)
        assert not list(workplace.iterdir())


def test_output_that_the_terminal_cannot_write_is_escaped(monkeypatch, capsys):
    import io

    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    monkeypatch.setattr("sys.argv", ["changedet", "--version"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 0
    print("Пхеньян", file=narrow)
    narrow.flush()
    assert b"\\u041f" in narrow.buffer.getvalue()


def test_json_never_holds_what_json_does_not_know(capsys):
    with pytest.raises(ValueError, match="JSON"):
        console.emit({"share": float("nan")}, (), as_json=True)
    console.emit({"name": "Пхеньян"}, (), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "Пхеньян"}
