"""Whoever is killed, whatever disk fills up or fails: nothing half stands there, the next run completes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")


def tried(*arguments):
    """What a short part of the harness says; it forks, and so runs in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=500, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_cache_is_killed_at_random_moments():
    (row,) = tried("--only", "cache", "--kills", "16")
    assert row["tried"] == 4
    assert row["failures"] == []


def test_a_run_folder_is_written_by_who_is_killed_and_onto_disks_that_fail():
    rows = tried("--only", "save-steps", "--every", "9")
    assert len(rows) == 3
    assert all(row["tried"] >= 3 for row in rows)
    assert [row["failures"] for row in rows] == [[], [], []]
