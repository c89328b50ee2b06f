"""The script of the widgets in a real browser, without a network: it draws, recolours, and tells Python."""

from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from tests.notebook.host import Kernel, page_of
from tests.output.browsing import HOSTILE, MARKS, chromium, open_page
from tests.synthetic import BEFORE_TIME, make_image, make_result

from changedet.notebook.payload import send_pictures
from changedet.site import Site

pytest.importorskip("anywidget", reason="anywidget is not installed")
pytestmark = MARKS
# a copy is read: what is shown stays where the browser draws quickly
READ_CANVAS = """(() => {
  const shown = document.querySelector(".after canvas"), copy = document.createElement("canvas");
  [copy.width, copy.height] = [shown.width, shown.height];
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(shown, 0, 0);
  return [copy.width, copy.height, ...pen.getImageData(0, 0, copy.width, copy.height).data];
})()"""


@cache
def result():
    return make_result()


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


class Looked:
    """A widget in a page with its kernel, and a record of everything that went wrong."""

    def __init__(self, browser, folder, widget, *, width=1000, dark=False):
        path = folder / "widget.html"
        path.write_text(page_of(widget, dark=dark), "utf-8")
        self.opened = open_page(browser, path, width)
        self.page, self.troubles, self.close = self.opened.page, self.opened.troubles, self.opened.close
        self.kernel = Kernel(self.page, widget)
        self.page.wait_for_function("window.ready")
        self.page.wait_for_function("Array.from(document.images).every(i => i.complete && i.naturalWidth)")

    def canvas(self):
        """The score as it is drawn: red, green, blue, alpha."""
        numbers = self.page.evaluate(READ_CANVAS)
        width, height, *values = numbers
        return np.array(values, np.uint8).reshape(height, width, 4)

    def stage(self):
        return self.opened.pixels(".stage")

    def slide(self, label, value, *, release=True):
        knob = self.page.get_by_label(label, exact=True)
        knob.evaluate(
            "(e, [v, release]) => { e.value = v; e.dispatchEvent(new Event('input'));"
            " if (release) { e.dispatchEvent(new Event('change')); } }",
            [str(value), release],
        )

    def press(self, *keys):
        self.page.locator(".stage").focus()
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture
def opened(browser, tmp_path):
    one = Looked(browser, tmp_path, result().explore(reviewer="A. Reader"))
    yield one
    assert one.troubles == []
    assert [url for url in one.opened.loaded() if not url.startswith("blob:")] == []
    one.close()


def test_it_draws_both_dates_the_score_and_the_outlines(opened):
    assert opened.stage().std() > 20
    drawn, score = opened.canvas(), result().score
    pink = (drawn[..., :3] == (255, 0, 200)).all(axis=-1) & (drawn[..., 3] > 0)
    assert (pink == (np.nan_to_num(score) > 4.4)).mean() > 0.999
    unseen = (drawn[..., 0] == drawn[..., 1]) & (drawn[..., 3] > 0)
    assert (unseen == ~np.isfinite(score)).all()
    assert opened.page.locator(".after .ink").count() == 3
    assert opened.page.locator(".count").inner_text() == "3 candidate(s), 2.96 ha in all"


def test_the_threshold_changes_the_picture_without_python(opened):
    before = opened.canvas()
    opened.slide("Threshold of the score", 900, release=False)
    after = opened.canvas()
    assert ((after[..., 3] > 0) != (before[..., 3] > 0)).sum() > 100
    assert opened.kernel.heard == []
    assert opened.page.evaluate("sent.length") == 0
    low, high = opened.kernel.widget._limits
    assert f"{low + 0.9 * (high - low):.3g}"[:3] in opened.page.locator("output").first.inner_text()


def test_letting_go_finds_the_candidates_anew_in_python(opened):
    opened.slide("Smallest object", 45)
    assert opened.page.locator(".count").inner_text() == "counting candidates …"
    opened.kernel.answer()
    found = opened.kernel.widget.objects
    assert 0 < len(found) < 3
    assert opened.page.locator(".after .ink").count() == len(found)
    assert "as recorded 3" in opened.page.locator(".count").inner_text()
    opened.press("n")
    assert opened.page.get_by_role("button", name="Accepted (a)").is_disabled()
    opened.page.get_by_role("button", name="Recorded settings").click()
    opened.kernel.answer()
    assert opened.page.locator(".after .ink").count() == 3


def test_small_objects_go_while_the_slider_moves(opened):
    opened.slide("Smallest object", 40, release=False)
    assert opened.page.locator(".after .ink").count() == 2
    assert opened.kernel.heard == []


def test_the_keyboard_walks_through_the_candidates_and_zooms_in(opened):
    whole = opened.stage()
    opened.press("n", "n")
    assert "earthworks" in opened.page.locator(".details").inner_text()
    assert "52SBH46987584" in opened.page.locator(".details").inner_text()
    assert np.abs(opened.stage() - whole).mean() > 5
    opened.press("p", "p")
    assert "water change" in opened.page.locator(".details").inner_text()
    opened.press("0")
    assert (
        opened.page.evaluate("getComputedStyle(document.querySelector('.stage')).getPropertyValue('--s')")
        == "1"
    )
    opened.kernel.answer()
    assert opened.kernel.widget.chosen == 3


def test_a_verdict_reaches_python_and_shows(opened):
    opened.press("n")
    opened.page.get_by_placeholder("Why, in a sentence").fill("a hall, r n p")
    opened.page.get_by_role("button", name="Accepted (a)").click()
    opened.kernel.answer()
    assert opened.kernel.widget.verdicts[1] | {"time": ""} == {
        "verdict": "accepted", "note": "a hall, r n p", "reviewer": "A. Reader", "time": ""
    }  # fmt: skip
    assert "kept in this notebook only" in opened.page.locator(".said").inner_text()
    assert opened.page.get_by_role("button", name="Accepted (a)").get_attribute("aria-pressed") == "true"
    assert "accepted" in opened.page.locator(".list button").first.inner_text()
    opened.press("n", "u")
    opened.kernel.answer()
    assert opened.kernel.widget.verdicts[2]["verdict"] == "unsure"
    assert opened.kernel.widget.verdicts[2]["note"] == ""


def test_nobody_named_is_said_in_the_widget(opened):
    opened.page.get_by_placeholder("Your name").fill("")
    opened.kernel.widget.reviewer = ""
    opened.press("n", "r")
    opened.kernel.answer()
    assert "nobody is named" in opened.page.locator(".said.wrong").inner_text()


def test_bands_are_drawn_by_python_when_asked_for(opened):
    opened.page.get_by_label("Picture").select_option(label="short-wave infrared")
    opened.kernel.answer()
    drawn = send_pictures(result(), "short-wave infrared")
    assert opened.page.locator(".after img").get_attribute("src") == drawn["after"]
    assert "B12" in opened.page.locator("p", has_text="Same stretch").inner_text()


def test_the_score_can_be_seen_as_colours_fainter_or_not_at_all(opened):
    opened.page.get_by_label("Score", exact=True).select_option(label="as colours")
    strong = opened.canvas()
    assert (strong[..., 3] > 0).all()
    opened.slide("Opacity of the score", 10)
    judged = np.isfinite(result().score)
    assert opened.canvas()[judged][:, 3].max() < strong[judged][:, 3].min()
    opened.page.get_by_label("Score", exact=True).select_option(label="not shown")
    assert not opened.page.locator(".after canvas").is_visible()


def test_swipe_blink_overlay_and_side_by_side(opened):
    clip = "getComputedStyle(document.querySelector('.after')).clipPath"
    assert "50%" in opened.page.evaluate(clip)
    opened.page.locator(".slider input").focus()
    opened.page.keyboard.press("ArrowRight")
    assert "51%" in opened.page.evaluate(clip)
    opened.press("b")
    assert opened.page.locator(".stage").get_attribute("data-mode") == "blink"
    opened.page.get_by_role("button", name="Side by side").click()
    left, right = (opened.page.locator(f".layer.{side}").bounding_box() for side in ("before", "after"))
    assert left["x"] + left["width"] <= right["x"]
    opened.page.get_by_role("button", name="Overlay").click()
    assert opened.page.evaluate("getComputedStyle(document.querySelector('.after img')).opacity") == "0.5"
    opened.page.evaluate("cleanup()")


@pytest.mark.parametrize("width", [360, 700, 1440])
def test_nothing_runs_out_of_the_cell(browser, tmp_path, width):
    one = Looked(browser, tmp_path, result().explore(), width=width, dark=width == 700)
    one.press("n")
    assert one.opened.overflow() == 0
    assert one.troubles == []
    one.close()


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(browser, tmp_path, dark):
    one = Looked(browser, tmp_path, result().explore(), dark=dark)
    one.press("n")
    assert one.opened.serious() == []
    one.close()


def test_hostile_names_stay_text(browser, tmp_path):
    widget = make_result(name=HOSTILE, warnings=(HOSTILE,)).explore(reviewer=HOSTILE)
    one = Looked(browser, tmp_path, widget)
    one.press("n")
    assert "<script>alert(1)</script>" in one.page.locator(".title").inner_text()
    assert one.troubles == []
    one.close()


def test_dates_are_leafed_through(browser, tmp_path):
    images = [make_image(n, BEFORE_TIME + timedelta(days=30 * n)) for n in range(4)]
    one = Looked(browser, tmp_path, Site.at("38.5847, 126.1079", name="pier").explore(images))
    assert one.stage().std() > 20
    assert one.page.locator(".strip button").count() == 4
    source = one.page.locator(".after img").get_attribute("src")
    one.press("p")
    one.kernel.answer()
    assert one.kernel.widget.after == 2
    assert one.page.locator(".after img").get_attribute("src") != source
    one.page.locator(".strip button").nth(1).click(modifiers=["Shift"])
    one.kernel.answer()
    assert one.kernel.widget.chosen == (images[1].scene, images[2].scene)
    assert "BEFORE 2023-06-13" in one.page.locator(".before .label").inner_text()
    assert one.troubles == []
    one.close()
