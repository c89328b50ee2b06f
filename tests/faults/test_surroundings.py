"""Locales, clocks, homes, limits, names and rights that nobody thinks of: the same bytes, or one line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="forks")
#: One of each sort; all of them are part of `make faults`.
CHOSEN = ("locale C, far east", "clock set back", "folders listed backwards", "no home", "16 open files",
          "a strange name", "not UTF-8", "without rights")  # fmt: skip


@posix
def test_surroundings_change_no_byte_or_end_in_one_line(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    chosen = [name for name in CHOSEN if name != "without rights" or os.geteuid() == 0]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.surroundings", str(tmp_path), *chosen],
        cwd=ROOT, capture_output=True, text=True, timeout=500, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = {row["surroundings"]: row["problems"] for row in map(json.loads, done.stdout.splitlines())}
    assert found == {name: [] for name in chosen}


@posix
@pytest.mark.parametrize("streams", [">&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_failure(streams, tmp_path):
    line = f'"{sys.executable}" -m changedet methods {streams}'
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_another_process_in_other_surroundings_makes_the_same_bytes(sample_run, sample, tmp_path):
    other = os.environ | {"PYTHONHASHSEED": "4242", "LC_ALL": "C", "TZ": "Pacific/Kiritimati",
                          "OMP_NUM_THREADS": "2", "HOME": str(tmp_path)}  # fmt: skip
    for name in [n for n in other if n.startswith("CHANGEDET_")]:
        del other[name]
    dates = ("--before", sample / "before", "--after", sample / "after")
    line = [
        sys.executable,
        "-m",
        "changedet",
        "detect",
        *dates,
        "--out",
        "run",
        "--quiet",
        "--name",
        "Sample pair",
    ]
    subprocess.run(line, cwd=tmp_path, env=other, check=True, capture_output=True)
    first, second = digests(sample_run), digests(tmp_path / "run")
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} <= {"run.json"}
    records = [json.loads((folder / "run.json").read_text()) for folder in (sample_run, tmp_path / "run")]
    differing = {name for name in records[0] if records[0][name] != records[1][name]}
    assert differing <= {"created_utc", "command"}
