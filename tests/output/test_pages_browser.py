"""Pages of real runs in a browser without a network: the bundled pair, a labelled city, an index of sites."""

import shutil

import numpy as np
import pytest
from tests.data import data_folder
from tests.output.browsing import HOSTILE, MARKS, chromium, open_page
from tests.runs import clean_environment, write_no_plates
from tests.watch.folders import make_run

from changedet.batch import Fate, Outcome
from changedet.cli import run
from changedet.output.index_page import write_index

pytestmark = MARKS
DATA = data_folder()
CITY = DATA / "oscd" / "images" / "beihai"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def city_report(tmp_path_factory):
    if not CITY.is_dir():
        pytest.skip("no labelled pairs: set CHANGEDET_DATA to the folder that holds oscd/")
    folder = tmp_path_factory.mktemp("city")
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch, folder / "home")
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        patch.chdir(folder)
        pair = [f"--before={CITY / 'imgs_1'}", f"--after={CITY / 'imgs_2'}"]
        times = ["--before-time=2016-12-09", "--after-time=2018-03-09"]
        code = run(["detect", *pair, *times, "--out", "run", "--quiet"])
    assert code == 0
    return folder / "run" / "report.html"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    make_run(folder / "Pier", images=True)
    write_index(
        folder,
        [
            Outcome("North/Pier", Fate.COMPLETE, "Pier"),
            Outcome(HOSTILE + "x" * 10_000, Fate.COMPLETE, "Pier"),
            Outcome("Gate", Fate.FAILED, "Gate", None, 3, HOSTILE),
        ],
        name=HOSTILE,
    )
    return folder / "index.html"


def look_at_report(browser, path):
    """What holds for the report of any run: it draws, it moves, it fits, and it asks for nothing."""
    assert path.stat().st_size < 2_000_000
    opened = open_page(browser, path, 360)
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert min(opened.widths_of_pictures()) > 0
    assert opened.overflow() == 0
    opened.page.set_viewport_size({"width": 1440, "height": 900})
    assert opened.overflow() == 0
    assert opened.serious() == []
    drawn = opened.pixels()
    assert drawn.std() > 20
    opened.page.locator("#divider").press("Home")
    assert opened.clip() in {"inset(0px)", "inset(0px 0px 0px 0%)"}
    assert np.abs(opened.pixels() - drawn).max() > 50
    for name in ("Blink", "Overlay", "Side by side", "Swipe"):
        opened.page.get_by_role("button", name=name).press("Enter")
        assert opened.page.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
    assert opened.loaded() == []
    assert opened.troubles == []
    opened.close()


def test_the_report_of_the_bundled_pair(browser, sample_run):
    look_at_report(browser, sample_run / "report.html")


@pytest.mark.real
def test_the_report_of_a_city(browser, city_report):
    look_at_report(browser, city_report)


def test_the_report_prints_both_dates_side_by_side_and_no_controls(browser, sample_run):
    opened = open_page(browser, sample_run / "report.html", 760, color_scheme="dark")
    opened.page.get_by_role("button", name="Overlay").click()
    opened.page.emulate_media(media="print")
    left, right = (opened.page.locator(f"#stage .{name}").bounding_box() for name in ("before", "after"))
    assert left["width"] == pytest.approx(right["width"], abs=1)
    assert left["x"] + left["width"] <= right["x"]
    opacity = opened.page.evaluate("getComputedStyle(document.querySelector('.after img')).opacity")
    assert opacity == "1"
    assert opened.page.locator("button >> visible=true").count() == 0
    opened.page.set_viewport_size({"width": 700, "height": 1000})
    assert opened.overflow() == 0
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_index_leads_to_the_reports(browser, index, scheme):
    opened = open_page(browser, index, 360, color_scheme=scheme)
    assert opened.overflow() == 0
    assert min(opened.widths_of_pictures()) > 0
    opened.page.set_viewport_size({"width": 1440, "height": 900})
    assert opened.overflow() == 0
    assert opened.serious() == []
    assert opened.page.locator("h1").inner_text().startswith("</script><script>alert(1)")
    assert opened.loaded() == []
    link = opened.page.get_by_role("link", name="North/Pier")
    assert link.evaluate("one => one.href") == (index.parent / "Pier" / "report.html").as_uri()
    assert opened.troubles == []
    opened.close()


def test_a_page_of_another_mind_cannot_run(browser, sample_run, tmp_path):
    """The policy itself: what somebody adds to the file does nothing."""
    path = tmp_path / "report.html"
    shutil.copy(sample_run / "report.html", path)
    text = path.read_text(encoding="utf-8")
    added = "<script>window.foreign = 1</script><style>h1 { color: red }</style><img src='https://a.example/x.png'>"
    path.write_text(text.replace("</header>", f"{added}</header>", 1), encoding="utf-8")
    opened = open_page(browser, path)
    assert opened.page.evaluate("window.foreign") is None
    assert opened.page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"
    assert sum("Content Security Policy" in one for one in opened.troubles) >= 3
    opened.close()
