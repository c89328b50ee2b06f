"""What a run may take of the machine is said on the command line, in the environment, or in settings."""

import pytest

from changedet.core.blocks import thread_count
from changedet.scale.resources import processors, resources_in_use, usual_memory_bytes


@pytest.fixture
def given(cli, sample, monkeypatch):
    """What a comparison may take and how many threads it has, without making it."""

    def look(*arguments):
        seen = []

        def stop(*_inputs, **_more):
            used = resources_in_use()
            seen.append((used.memory_bytes, used.jobs, used.scratch, thread_count()))
            raise KeyboardInterrupt

        monkeypatch.setattr("changedet.pipeline.detect", stop)
        cli("detect", "--before", sample / "before", "--after", sample / "after", "--out", "run", *arguments)
        return seen[0]

    return look


def test_nothing_said_is_a_quarter_of_the_memory_and_all_processors(given):
    assert given() == (usual_memory_bytes(), processors(), None, processors())


def test_flag_then_environment_then_settings(given, workplace, monkeypatch):
    folders = [workplace / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    (workplace / "changedet.toml").write_text('[detect]\nmemory = "1GB"\njobs = 1\nscratch = "a"\n')
    assert given()[:3] == (10**9, 1, folders[0].relative_to(workplace))
    for name, value in (("MEMORY", "2GB"), ("JOBS", "2"), ("SCRATCH", str(folders[1]))):
        monkeypatch.setenv(f"CHANGEDET_{name}", value)
    assert given() == (2 * 10**9, 2, folders[1], 2)
    assert given("--memory", "3GiB", "--jobs", "3", "--scratch", folders[2]) == (3 * 2**30, 3, folders[2], 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--memory", "3MB"), "--memory: 3 MB of memory are too little for any comparison; give 500MB"),
        (("--memory", "lots"), "--memory: 'lots' is not a size; write it as 5GB or 500MB"),
        (("--scratch", "nowhere"), "--scratch nowhere: no such folder for scratch files; make it"),
        (("--jobs", "0"), "--jobs"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(cli, workplace, arguments, said):
    assert cli("detect", "--before", "no", "--after", "no", *arguments) == 2
    assert said in cli.err
    assert len(cli.err.strip().splitlines()) == 1
    assert cli.out == ""
