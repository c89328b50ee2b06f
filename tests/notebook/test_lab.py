"""The widget in JupyterLab itself, headless and without a way out: the real kernel, the real front end."""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.output.browsing import MARKS, chromium

pytestmark = [
    *MARKS,
    pytest.mark.skipif(find_spec("jupyterlab") is None, reason="JupyterLab is not installed"),
    pytest.mark.skipif(find_spec("anywidget") is None, reason="anywidget is not installed"),
]
ROOT = Path(__file__).parents[2]
CELLS = (
    "from tests.synthetic import make_result\nview = make_result().explore(reviewer='A. Reader')\nview",
    "print('judged', view.verdicts[1]['verdict'], 'left', len(view.objects))",
)
SETTINGS = (
    "--no-browser", "--allow-root", "--ip=127.0.0.1", "--ServerApp.port=0", "--IdentityProvider.token=",
    "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)  # fmt: skip


def write_notebook(path):
    from nbformat.v4 import new_code_cell, new_notebook, writes

    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(writes(new_notebook(cells=[new_code_cell(text) for text in CELLS], metadata=kernel)))


def address_of(server, runtime, patience_s=60):
    """Where the server listens: it says so in a file of its own."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end and server.poll() is None:
        for found in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(found.read_text())["url"]
            except ValueError:  # half written
                continue
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start: {server.poll()}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    write_notebook(folder / "look.ipynb")
    places = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {
        **os.environ, **places, "HOME": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(folder / "ipython"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", *SETTINGS, f"--ServerApp.root_dir={folder}"]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            yield address_of(server, folder / "runtime")
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def page(lab):
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1300, "height": 1300})
        context.route(lambda url: not url.startswith(lab), lambda route: route.abort())
        context.set_default_timeout(60_000)
        opened = context.new_page()
        opened.goto(f"{lab}lab/tree/look.ipynb?reset")
        yield opened


def run_cell(page, number):
    page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")


def spoken(frames):
    """What the widget said to the kernel."""
    return [frame for frame in frames if "comm_msg" in frame]


def test_explore_draws_recolours_and_takes_a_verdict(page):
    frames, strangers = [], []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(str(frame))))
    page.on("request", lambda request: strangers.append(request.url))
    page.reload()
    page.locator(".jp-Notebook .jp-Cell").nth(1).wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # what is run earlier may be lost
    run_cell(page, 0)
    page.locator(".changedet-explore .after .ink").nth(2).wait_for(state="attached")
    shown = "document.querySelector('.changedet-explore .after canvas').toDataURL()"
    drawn = page.evaluate(shown)
    assert len(drawn) > 1000

    # the slider moves: another picture, and not one message to the kernel
    told = spoken(frames)
    slider = page.get_by_label("Threshold of the score")
    slider.evaluate("e => { e.value = 900; e.dispatchEvent(new Event('input')); }")
    assert page.evaluate(shown) != drawn
    page.wait_for_timeout(300)
    assert spoken(frames) == told

    # it is let go: Python finds the candidates anew
    slider.evaluate("e => e.dispatchEvent(new Event('change'))")
    page.locator(".count", has_text="as recorded 3").wait_for()
    assert len(spoken(frames)) > len(told)
    page.get_by_role("button", name="Recorded settings").click()
    page.locator(".count", has_text="3 candidate(s), 2.96 ha in all").wait_for()

    # keys are those of the widget, not the notebook's: "a" would add a cell
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    page.locator(".changedet-explore .stage").focus()
    page.keyboard.press("n")
    page.keyboard.press("a")
    page.locator(".said", has_text="candidate 1: accepted").wait_for()
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    run_cell(page, 1)
    page.locator(".jp-OutputArea-output", has_text="judged accepted left 3").wait_for()
    near = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [url for url in strangers if not url.startswith(near)] == []
