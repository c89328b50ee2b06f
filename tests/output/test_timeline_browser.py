"""The page of a timeline in a real browser without a network: it draws, flips, and asks nobody."""

import shutil

import pytest
from tests.timelines import make_images, make_synthetic

from changedet.output.timeline_chips import draw_chips
from changedet.output.timeline_folder import timeline_record
from changedet.output.timeline_page import timeline_html

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = make_synthetic(make_images(24, 30, built_at=14, hidden={5}))
    path = tmp_path_factory.mktemp("page") / "timeline.html"
    path.write_text(timeline_html(found, draw_chips(found), timeline_record(found)), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_flips_and_asks_nobody(path, width, scheme):
    asked, troubles = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: troubles.append(one.text))
        page.on("pageerror", lambda one: troubles.append(str(one)))
        page.goto(path.as_uri())
        first = page.locator("#shown").get_attribute("src")
        assert page.locator("#said").inner_text().startswith("2023-01-20")
        page.locator("#back").click()
        assert page.locator("#shown").get_attribute("src") != first
        page.locator("svg.chart circle[data-date='0']").first.click()
        assert page.locator("#said").inner_text() == "2021-03-01"
        assert page.locator("#chips figure.now").count() == 1
        # the page itself never scrolls sideways, charts do so alone
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert troubles == []
    assert [url for url in asked if not url.startswith(("data:", path.as_uri()))] == []
