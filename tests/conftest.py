"""Fixtures that several test files share."""

import json
import shutil

import pytest
from tests.documents import promised
from tests.runs import SAMPLES, Command, clean_environment, write_no_plates
from threadpoolctl import threadpool_limits

from changedet.cli import console, run
from changedet.pipeline import detect


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Multiply matrices on one thread: many small ones take several times as long on two that are busy."""
    with threadpool_limits(1, "blas"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield


@pytest.fixture(autouse=True)
def documents_as_promised():
    """Hold every JSON document that a command prints in this process against its schema."""
    misfits, given, begin = [], [], console.Outcome.__init__

    def remember(outcome, arguments):
        given[:] = arguments
        begin(outcome, arguments)

    def show(text, **how):
        if "--json" in given and text.startswith("{"):
            misfits.extend(promised(json.loads(text), given))
        print(text, **how)  # noqa: T201  # in the place of the command

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console.Outcome, "__init__", remember)
        patch.setattr(console, "print", show, raising=False)
        yield
    assert misfits == []


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory, without settings of any user."""
    clean_environment(monkeypatch, tmp_path / "home")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def no_plates(monkeypatch):
    monkeypatch.setattr("changedet.output.plate.write_plates", write_no_plates)


@pytest.fixture
def cli(workplace, capfd):
    return Command(capfd)


@pytest.fixture(scope="session")
def sample():
    """The bundled pair: a folder with ``before``, ``after`` and the truth."""
    return SAMPLES


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory, sample):
    """A run folder of the bundled pair as the command line writes it, pictures and all. Not to be changed."""
    folder = tmp_path_factory.mktemp("session")
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch, folder / "home")
        patch.chdir(folder)
        code = run(["detect", "--before", f"{sample / 'before'}", "--after", f"{sample / 'after'}",
                    "--out", "run", "--quiet", "--name", "Sample pair"])  # fmt: skip
    assert code == 0
    return folder / "run"


@pytest.fixture
def run_copy(sample_run, tmp_path):
    """A copy of the run folder that a test may spoil."""
    return shutil.copytree(sample_run, tmp_path / "copy" / "run")


@pytest.fixture(scope="session")
def sample_result(sample):
    """The bundled pair compared, in memory."""
    return detect(sample / "before", sample / "after")


@pytest.fixture(scope="session")
def unshifted():
    """A simulated pair without clouds and without a shift: before and after as images, and its truth."""
    from changedet.samples import SceneSettings, simulate_pair

    return simulate_pair(SceneSettings(size_px=160, clouds=False, after_shift_px=(0.0, 0.0)))
