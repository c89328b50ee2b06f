"""The notebooks run as they stand, without a network, and are committed without outputs."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: Runs before the first cell: whoever opens a connection to a host fails.
NO_NETWORK = """
import socket

def _refuse(*_arguments):
    raise OSError("a notebook must not need a network")

socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = _refuse
"""


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


#: Runs a notebook in place; the kernel talks over files, not over ports.
RUNNER = """
import sys

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")
client = NotebookClient(notebook, km=kernel, timeout=240, resources={"metadata": {"path": sys.argv[2]}})
try:
    client.execute()
finally:
    nbformat.write(notebook, sys.argv[1])
"""


def execute(notebook, folder):
    """Run a copy of a notebook in a process of its own, in whose folder the socket files lie too."""
    copy = nbformat.from_dict(notebook)
    copy.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    path = folder / "copy.ipynb"
    nbformat.write(copy, path)
    command = [sys.executable, "-c", RUNNER, str(path), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=400, check=False)
    return ended, read(path).cells[1:]


def outputs_of(cells, identifier):
    return next(cell.outputs for cell in cells if cell.id == identifier)


def drawn(cells):
    """Cells that showed a picture."""
    return {
        cell.id
        for cell in cells
        if cell.cell_type == "code" and any("image/png" in o.get("data", {}) for o in cell.outputs)
    }


def run(name, workplace):
    """Execute a notebook and return its cells; it must not fail."""
    ended, cells = execute(read(ROOT / "notebooks" / name), workplace / "notebooks")
    assert ended.returncode == 0, ended.stderr[-3000:]
    return cells


def shown(cells, identifier):
    """All text that one cell showed."""
    outputs = outputs_of(cells, identifier)
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return "\n".join(texts)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder like the repository's, with the samples and no results; kernels keep their files in it."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "notebooks").mkdir()
    return tmp_path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_without_outputs_and_traces_of_a_run(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata.language_info) == {"name"}
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_have_names_of_their_own(path):
    identifiers = [cell.id for cell in read(path).cells]
    assert len(set(identifiers)) == len(identifiers)
    assert all(name.replace("-", "").isalpha() for name in identifiers)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_listed_in_the_readme_of_the_folder(path):
    assert path.name in (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")


def test_first_look_finds_the_events_and_leaves_a_folder_that_verifies(workplace):
    cells = run("01_first_look.ipynb", workplace)
    assert "new construction" in shown(cells, "objects")
    truth = shown(cells, "truth")
    for event in ("new warehouse", "pad cleared in the forest", "new concrete road"):
        line = next(line for line in truth.splitlines() if event in line)
        share = float(next(word for word in line.split() if word.startswith(("0.", "1."))))
        assert share > 0.5, line
    assert "passed: True" in shown(cells, "verify")
    assert shown(cells, "reopen") == "True"
    assert "plot" in drawn(cells)
    assert outputs_of(cells, "explore")


def test_why_flagged_shows_each_cause_and_its_cure(workplace):
    cells = run("02_why_flagged.ipynb", workplace)
    assert shown(cells, "quiet").startswith("0 candidates")
    assert {"shift-picture", "season-picture", "shadow-picture", "cloud-picture"} <= drawn(cells)
    assert "harvest or ploughing looks the same" in shown(cells, "season")
    assert "days of the year apart" in shown(cells, "season")
    assert shown(cells, "season-again").startswith("0 candidates")
    usual, sensitive = (int(n) for n in re.findall(r"\d+", shown(cells, "shadow").splitlines()[0]))
    assert usual < sensitive
    assert int(shown(cells, "shadow-again").split()[0]) < sensitive / 3
    known, missed = (int(n) for n in re.findall(r"\d+", shown(cells, "cloud")))
    assert known < missed / 2
    edges = shown(cells, "cloud-edges").count("not observed") + shown(cells, "cloud-edges").count("...")
    assert edges >= known


def test_timeline_tells_what_stays_from_what_was_over(workplace):
    cells = run("03_construction_or_maintenance.ipynb", workplace)
    assert {"plot", "chips"} <= drawn(cells)
    table = shown(cells, "breaks")
    rows = {name: next(line for line in table.splitlines() if name in line) for name in
            ("clearing in the wood", "apron, west", "apron, east")}  # fmt: skip
    assert "persisting" in rows["clearing in the wood"] and "persisting" in rows["apron, west"]
    assert "over" in rows["apron, east"] and "2022-03-02" in rows["apron, east"]
    # the true dates lie between the last date without the change and the first with it
    for name, truth in (("clearing in the wood", "2021-09-20"), ("apron, west", "2022-10-05")):
        after, by = re.findall(r"\d{4}-\d\d-\d\d", rows[name])[:2]
        assert after < truth <= by
    assert "could not be registered" in shown(cells, "limits")
    assert "timeline.html" in shown(cells, "save")


def test_own_imagery_is_read_in_four_forms_and_a_missed_offset_is_refused(workplace):
    cells = run("04_own_imagery.ipynb", workplace)
    assert "offset" in shown(cells, "misread") and "0 candidates" in shown(cells, "misread")
    folders, rasters = map(int, re.findall(r"(?:^|, )(\d+) ", shown(cells, "fewer-objects")))
    masked = int(shown(cells, "mask").split()[0])
    assert masked < rasters / 2 and folders < rasters / 2
    assert "new construction" in shown(cells, "xarray-detect")
    assert "Data variables" in shown(cells, "result")
    assert {"own", "numpy"} <= drawn(cells)
    assert shown(cells, "save") == "True"


def test_watch_alerts_once_and_verdicts_are_kept(workplace):
    cells = run("05_watch_and_review.ipynb", workplace)
    for cell in cells:
        if cell.cell_type == "code":
            assert "exit code" not in shown(cells, cell.id), (cell.id, shown(cells, cell.id))
    told = shown(cells, "first") + shown(cells, "later")
    # the pad that was cleared and the road, each once
    assert told.count("Simulated wood: candidate") == 2
    for kind in ("ground clearing or earthworks", "new road or other line"):
        assert told.count(f"Simulated wood: candidate of {kind}") == 1
    assert "Simulated plant: candidate" in told
    assert not [line for line in shown(cells, "silent").splitlines() if "candidate" in line]
    assert "accepted by A. Reader" in shown(cells, "verdict")
    assert "unsure by B. Second" in shown(cells, "again")
    assert "A. Reader" in shown(cells, "export") and "B. Second" in shown(cells, "export")
    assert "runs" in drawn(cells)


def test_a_notebook_that_wants_a_network_fails(workplace):
    cell = nbformat.v4.new_code_cell("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')")
    ended, _ = execute(nbformat.v4.new_notebook(cells=[cell]), workplace)
    assert ended.returncode != 0
    assert "must not need a network" in ended.stderr
