"""The notebooks run as they stand, without a network, and are committed without outputs."""

import shutil
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
client = NotebookClient(notebook, km=kernel, timeout=60, resources={"metadata": {"path": sys.argv[2]}})
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
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=90, check=False)
    return ended, read(path).cells[1:]


def shown(cells, identifier):
    """All text that one cell showed."""
    outputs = next(cell.outputs for cell in cells if cell.id == identifier)
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return "\n".join(texts)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder like the repository's, with the samples and no results; kernels keep their files in it."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    shutil.copytree(ROOT / "samples" / "pair", tmp_path / "samples" / "pair")
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
    ended, cells = execute(read(ROOT / "notebooks" / "01_first_look.ipynb"), workplace / "notebooks")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "new construction" in shown(cells, "objects")
    truth = shown(cells, "truth")
    for event in ("new warehouse", "pad cleared in the forest", "new concrete road"):
        line = next(line for line in truth.splitlines() if event in line)
        share = float(next(word for word in line.split() if word.startswith(("0.", "1."))))
        assert share > 0.5, line
    assert "passed: True" in shown(cells, "verify")
    assert shown(cells, "reopen") == "True"
    pictures = next(cell.outputs for cell in cells if cell.id == "plot")
    assert any("image/png" in output.get("data", {}) for output in pictures)


def test_a_notebook_that_wants_a_network_fails(workplace):
    cell = nbformat.v4.new_code_cell("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')")
    ended, _ = execute(nbformat.v4.new_notebook(cells=[cell]), workplace)
    assert ended.returncode != 0
    assert "must not need a network" in ended.stderr
