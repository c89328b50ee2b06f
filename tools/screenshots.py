"""Make the pictures of the README and the documents from the bundled samples.

Wants Chromium and the extra ``test`` (playwright)::

    python tools/screenshots.py docs/images

Writes ``report.png``, ``overview.png`` (a plate), ``terminal.png`` and ``timeline.png``, each under 200 kB.
"""

from __future__ import annotations

import html
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAIR, SERIES = ROOT / "samples" / "pair", ROOT / "samples" / "series"
CHROMIUM = "/usr/bin/chromium"
MOST_BYTES = 200_000
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #fff }}
pre {{ margin: 0; padding: 18px 22px; background: #14181d; color: #e6e6e6; display: inline-block;
  font: 14px/1.45 "DejaVu Sans Mono", monospace; width: 1000px; white-space: pre-wrap }}
b {{ color: #8fd0ff; font-weight: normal }}
</style><pre>{lines}</pre>"""


def changedet(*arguments: str, folder: Path) -> str:
    """Run a command in a folder and return what a reader sees of it."""
    command = [sys.executable, "-m", "changedet", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def shoot(page: Page, address: str, target: Path, *, height: int | None = None) -> None:
    """Take a picture of the head of a page, or of its preformatted text when no height is said."""
    page.goto(address)
    if height is None:
        page.locator("pre").screenshot(path=target)
    else:
        page.screenshot(path=target, clip={"x": 0, "y": 0, "width": 1200, "height": height}, full_page=True)


def make_small(path: Path, width: int | None = None) -> None:
    """Scale a picture to a width, and store it with as many colours as fit into the allowed bytes."""
    picture = Image.open(path).convert("RGB")
    if width is not None:
        picture = picture.resize(
            (width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS
        )
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        if path.stat().st_size < MOST_BYTES:
            return
    raise SystemExit(f"{path} does not fit into {MOST_BYTES} bytes")


def main(target: Path) -> None:
    """Run the samples in a scratch folder and take the pictures."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        (folder / "scenes").symlink_to(PAIR)
        said = (
            "detect",
            "--before",
            "scenes/before",
            "--after",
            "scenes/after",
            "--name",
            "Simulated demo site",
        )
        out = changedet(*said, "--out", "run", folder=folder)
        pad = ("--point", "38.2742, 126.5036")
        changedet("timeline", "--images", str(SERIES), *pad, "--out", "timeline", folder=folder)
        (folder / "run" / "plates" / "overview.png").replace(target / "overview.png")
        make_small(target / "overview.png", 1300)
        shown = "$ changedet " + " ".join(f'"{a}"' if " " in a else a for a in (*said, "--out", "run"))
        (folder / "terminal.html").write_text(
            TERMINAL.format(lines=f"<b>{html.escape(shown)}</b>\n{html.escape(out)}"), encoding="utf-8"
        )
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        for name, file, height in (
            ("terminal", folder / "terminal.html", None),
            ("report", folder / "run" / "report.html", 1350),
            ("timeline", folder / "timeline" / "timeline.html", 1350),
        ):
            shoot(page, file.as_uri(), target / f"{name}.png", height=height)
            make_small(target / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
