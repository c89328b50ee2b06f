"""The report in a real browser without a network: it draws, it moves, it asks nobody for anything."""

import shutil
from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np
import pytest
from tests.synthetic import make_both, make_radar_alone, make_result

from changedet.output.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
HOSTILE = "</script><script>alert(1)</script>\u202e\u200f<img src=x onerror=alert(2)>"


@dataclass
class Opened:
    """A page with a record of everything it did."""

    page: object
    requests: list = field(default_factory=list)
    troubles: list = field(default_factory=list)

    def pixels(self, selector="#stage"):
        from PIL import Image

        with Image.open(BytesIO(self.page.locator(selector).screenshot())) as picture:
            return np.asarray(picture.convert("RGB")).astype(int)

    def clip(self):
        return self.page.evaluate("getComputedStyle(document.querySelector('.stage .after')).clipPath")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(make_result(), path, record={})
    return path


@pytest.fixture
def opened(browser, report):
    context, page = open_page(browser, report)
    yield page
    context.close()


def open_page(browser, path, width=1440, **options):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900}, **options)
    opened = Opened(context.new_page())
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("requestfailed", lambda request: opened.troubles.append(f"failed {request.url}"))
    opened.page.on("console", lambda message: opened.troubles.append(message.text))
    opened.page.on("pageerror", lambda error: opened.troubles.append(str(error)))
    opened.page.on("dialog", lambda dialog: (opened.troubles.append("dialog"), dialog.dismiss()))
    opened.page.goto(path.as_uri())
    return context, opened


def test_it_asks_for_nothing_and_reports_no_trouble(opened):
    opened.page.wait_for_timeout(100)
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]
    assert opened.troubles == []


def test_every_picture_is_there_and_the_viewer_is_not_blank(opened):
    widths = opened.page.evaluate("Array.from(document.images, i => i.complete ? i.naturalWidth : 0)")
    assert len(widths) == 9
    assert min(widths) > 0
    assert opened.pixels().std() > 20


def test_the_keyboard_moves_the_divider_and_the_picture(opened):
    before, clip = opened.pixels(), opened.clip()
    assert "50%" in clip
    opened.page.locator("#divider").focus()
    for _ in range(10):
        opened.page.keyboard.press("ArrowRight")
    assert "60%" in opened.clip()
    assert opened.page.locator("#divider").get_attribute("aria-valuetext") == "60 % before, 40 % after"
    assert np.abs(opened.pixels() - before).max() > 50


def test_the_divider_at_either_end_shows_one_date_alone(opened):
    shown = {}
    for value in ("0", "100"):
        opened.page.locator("#divider").fill(value)
        assert f"{value}%" in opened.clip() or (value == "0" and opened.clip() == "inset(0px)")
        shown[value] = opened.pixels()
    height, width, _ = shown["0"].shape
    inside = np.s_[int(height * 0.33) : int(height * 0.38), int(width * 0.36) : int(width * 0.42)]
    assert shown["0"][inside].mean() > shown["100"][inside].mean() + 60


def test_dragging_on_the_picture_moves_the_divider(opened):
    box = opened.page.locator("#stage").bounding_box()
    y = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.8, y)
    opened.page.mouse.up()
    assert opened.page.locator("#divider").input_value() == "80"


def test_blink_changes_between_the_dates_and_stops(opened):
    blink = opened.page.get_by_role("button", name="Blink")
    blink.click()
    assert blink.get_attribute("aria-pressed") == "true"
    after = opened.page.locator(".stage .after")
    assert not after.is_visible()
    opened.page.locator("#stage.flipped").wait_for()
    assert after.is_visible()
    blink.click()
    assert opened.page.locator("#stage").get_attribute("data-mode") == "swipe"
    assert blink.get_attribute("aria-pressed") == "false"


def test_a_reader_who_wants_stillness_blinks_by_hand(browser, report):
    context, opened = open_page(browser, report, reduced_motion="reduce")
    blink = opened.page.get_by_role("button", name="Blink")
    blink.click()
    assert not opened.page.locator(".stage .after").is_visible()
    blink.click()
    assert opened.page.locator(".stage .after").is_visible()
    context.close()


def test_side_by_side_and_outlines(opened):
    opened.page.get_by_role("button", name="Side by side").click()
    left, right = (opened.page.locator(f".stage .{name}").bounding_box() for name in ("before", "after"))
    assert left["x"] + left["width"] <= right["x"]
    assert not opened.page.locator("#divider").is_visible()
    drawn = opened.pixels()
    opened.page.get_by_label("Outlines").uncheck()
    assert np.abs(opened.pixels() - drawn).max() > 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1440])
def test_nothing_runs_out_of_the_window(browser, report, width, scheme):
    context, opened = open_page(browser, report, width, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    context.close()


def test_print_and_no_script_show_both_dates_side_by_side(browser, report):
    for options, media in (({}, "print"), ({"java_script_enabled": False}, "screen")):
        context, opened = open_page(browser, report, 760, **options)
        opened.page.emulate_media(media=media)
        left, right = (opened.page.locator(f".stage .{n}").bounding_box() for n in ("before", "after"))
        assert left["width"] == pytest.approx(right["width"], abs=1)
        assert left["x"] + left["width"] <= right["x"]
        assert not opened.page.locator("#controls").is_visible()
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 760
        context.close()


def test_hostile_names_stay_text(browser, tmp_path):
    path = tmp_path / "report.html"
    write_report(make_result(name=HOSTILE, warnings=(HOSTILE,)), path, record={"limits": [HOSTILE]})
    context, opened = open_page(browser, path, 360)
    opened.page.wait_for_timeout(100)
    assert opened.troubles == []
    assert "<script>alert(1)</script>" in opened.page.locator("h1").inner_text()
    assert opened.page.evaluate("document.scripts.length") == 1
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()


@pytest.fixture(scope="module")
def radar_reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radar")
    for name, result in (("both", make_both()), ("alone", make_radar_alone())):
        write_report(result, folder / f"{name}.html", record={})
    return folder


def test_either_divider_moves_its_own_pictures(browser, radar_reports):
    context, opened = open_page(browser, radar_reports / "both.html")
    radar = opened.pixels("#stage-radar")
    assert radar.std() > 20
    opened.page.locator("#divider-radar").focus()
    for _ in range(10):
        opened.page.keyboard.press("ArrowRight")
    assert "60%" in opened.page.evaluate(
        "getComputedStyle(document.querySelector('#stage-radar .after')).clipPath"
    )
    assert "50%" in opened.clip()
    assert np.abs(opened.pixels("#stage-radar") - radar).max() > 50
    opened.page.locator("#show-outlines-radar").uncheck()
    assert opened.page.locator("#stage-radar.bare").count() == 1
    assert opened.page.locator("#stage.bare").count() == 0
    assert opened.troubles == []
    context.close()


def test_either_pair_blinks_by_itself(browser, radar_reports):
    context, opened = open_page(browser, radar_reports / "both.html", reduced_motion="reduce")
    opened.page.get_by_role("button", name="Blink").nth(1).click()
    assert opened.page.locator("#stage-radar").get_attribute("data-mode") == "blink"
    assert opened.page.locator("#stage").get_attribute("data-mode") == "swipe"
    assert not opened.page.locator("#stage-radar .after").is_visible()
    context.close()


@pytest.mark.parametrize("name", ["both", "alone"])
@pytest.mark.parametrize("width", [360, 820, 1440])
def test_radar_does_not_run_out_of_the_window(browser, radar_reports, name, width):
    context, opened = open_page(browser, radar_reports / f"{name}.html", width)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    boxes = opened.page.evaluate(
        "Array.from(document.querySelectorAll('.tracks td, .tracks th, .chip'), "
        "e => e.getBoundingClientRect().right)"
    )
    assert max(boxes) <= width
    for stage in ("#stage", "#stage-radar") if name == "both" else ("#stage",):
        left, right = (
            opened.page.locator(f"{stage} .{side} .label").bounding_box() for side in ("before", "after")
        )
        assert left["x"] + left["width"] <= right["x"]
    context.close()


def test_outlines_are_drawn_over_radar_as_over_natural_colours(browser, radar_reports):
    context, opened = open_page(browser, radar_reports / "both.html")
    for selector in ("#stage-radar", ".pair.four >> nth=0"):
        opened.page.locator(selector).scroll_into_view_if_needed()
    colours = opened.page.evaluate("getComputedStyle(document.querySelectorAll('#ink-1')[0]).vectorEffect")
    assert colours == "non-scaling-stroke"
    drawn = opened.pixels(".pair.four >> nth=0 >> figure >> nth=3")
    orange = np.array([213, 94, 0])
    assert (np.abs(drawn - orange).max(axis=-1) < 40).any()
    context.close()


def test_labels_of_a_narrow_picture_are_whole(browser, tmp_path):
    result = make_result(boxes=[], kinds=[])
    narrow = {name: getattr(result, name)[:, :56] for name in ("score", "state", "kind", "construction")}
    images = {
        name: replace(
            image, data=image.data[:, :, :56], valid=image.valid[:, :56], classes=image.classes[:, :56],
            grid=result.grid[:, :56],
        )
        for name, image in (("before", result.before), ("after", result.after))
    }  # fmt: skip
    path = tmp_path / "report.html"
    write_report(replace(result, grid=result.grid[:, :56], **narrow, **images), path, record={})
    context, opened = open_page(browser, path)
    stage = opened.page.locator("#stage").bounding_box()
    middle = stage["x"] + stage["width"] / 2
    assert stage["width"] < 500
    after = opened.page.locator("#stage .after .label").bounding_box()
    before = opened.page.locator("#stage .before .label").bounding_box()
    assert before["x"] + before["width"] <= middle <= after["x"]
    opened.page.get_by_role("button", name="Side by side").click()
    assert opened.page.locator("#stage .after .clock").is_visible()
    context.close()
