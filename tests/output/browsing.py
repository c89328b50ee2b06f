"""What tests of pages in a browser share: Chromium without a network, and a record of what a page did."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Every test file of pages has it as `pytestmark`.
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
HOSTILE = "</script><script>alert(1)</script>\u202e\u200f<img src=x onerror=alert(2)>"
#: Findings of axe-core that keep somebody from reading a page.
SERIOUS = {"serious", "critical"}


@dataclass
class Opened:
    """A page with a record of everything it did."""

    page: object
    requests: list = field(default_factory=list)
    troubles: list = field(default_factory=list)

    def close(self):
        self.page.context.close()

    def pixels(self, selector="#stage"):
        from PIL import Image

        with Image.open(BytesIO(self.page.locator(selector).screenshot())) as picture:
            return np.asarray(picture.convert("RGB")).astype(int)

    def clip(self):
        return self.page.evaluate("getComputedStyle(document.querySelector('.stage .after')).clipPath")

    def loaded(self):
        """What was asked for besides the page itself and what it carries."""
        own = self.page.url.partition("#")[0]
        return [url for url in self.requests if not url.startswith(("data:", own))]

    def widths_of_pictures(self):
        return self.page.evaluate("Array.from(document.images, i => i.complete ? i.naturalWidth : 0)")

    def overflow(self):
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    def serious(self, *rules):
        """What axe-core finds that is serious, by all its rules or by some: rule, place, and what to do."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
        options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        found = axe.Axe().run(self.page, options=options).response["violations"]
        return [
            (one["id"], node["target"], node.get("failureSummary", "")[:300])
            for one in found
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]


@contextmanager
def chromium():
    """Give a browser."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def open_page(browser, path, width=1440, *, fragment="", **options):
    """Open a file without a network."""
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900}, **options)
    found = Opened(context.new_page())
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("requestfailed", lambda request: found.troubles.append(f"failed {request.url}"))
    found.page.on("console", lambda message: found.troubles.append(message.text))
    found.page.on("pageerror", lambda error: found.troubles.append(str(error)))
    found.page.on("dialog", lambda dialog: (found.troubles.append("dialog"), dialog.dismiss()))
    found.page.goto(path.as_uri() + fragment)
    return found
