"""What a run may take is said in one line, refused in one line, and put back afterwards."""

import os
from pathlib import Path

import cv2
import pytest
import threadpoolctl

from changedet.core.blocks import thread_count
from changedet.errors import UsageError
from changedet.scale import resources
from changedet.scale.resources import LEAST_MEMORY_BYTES, Resources, memory_of_machine_bytes, processors


def test_what_is_not_said_is_a_quarter_of_the_memory_and_all_processors(monkeypatch):
    monkeypatch.setattr(resources, "memory_of_machine_bytes", lambda: 64e9)
    assert Resources() == Resources.of() == Resources(16_000_000_000, processors(), None)


@pytest.mark.parametrize(("machine", "usual"), [(1e9, LEAST_MEMORY_BYTES), (float("inf"), 4_000_000_000)])
def test_small_and_unknown_machines_still_get_a_budget(monkeypatch, machine, usual):
    monkeypatch.setattr(resources, "memory_of_machine_bytes", lambda: machine)
    assert Resources().memory_bytes == usual


def test_words_are_read_as_everywhere(tmp_path):
    asked = Resources.of("1.5GB", 3, tmp_path)
    assert (asked.memory_bytes, asked.jobs, asked.scratch) == (1_500_000_000, 3, tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("20MB", None, None), "20 MB of memory are too little.*give 500MB or more"),
        (("much", None, None), "'much' is not a size.*5GB"),
        ((None, 0, None), "0 threads do nothing.*give 1 or more"),
        ((None, None, Path("nowhere")), "no such folder for scratch files.*make it"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(given, said):
    with pytest.raises(UsageError, match=said) as caught:
        Resources.of(*given)
    assert "\n" not in str(caught.value)


def test_threads_of_all_libraries_are_limited_and_put_back():
    before = cv2.getNumThreads(), thread_count()
    with Resources(jobs=1).in_use():
        assert (cv2.getNumThreads(), thread_count()) == (1, 1)
        with Resources(jobs=5).in_use():
            assert thread_count() == 5
        assert thread_count() == 1
    assert (cv2.getNumThreads(), thread_count()) == before


def test_linear_algebra_is_limited():
    with Resources(jobs=1).in_use():
        assert {library["num_threads"] for library in threadpoolctl.threadpool_info()} <= {1}


def test_a_container_has_what_it_was_given(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(resources, "_GROUP_LIMITS", (str(limit), str(tmp_path / "nothing")))
    machine = memory_of_machine_bytes()
    limit.write_text("max\n")
    assert memory_of_machine_bytes() == machine
    limit.write_text("700000000\n")
    assert memory_of_machine_bytes() == 700_000_000


def test_a_system_that_says_nothing_is_without_end(monkeypatch):
    monkeypatch.delattr(os, "sysconf_names", raising=False)
    monkeypatch.setattr(resources, "_GROUP_LIMITS", ())
    assert memory_of_machine_bytes() == float("inf")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1
