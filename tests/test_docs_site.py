"""The documentation as a site: every page can be reached, links lead somewhere, the build has no warning."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML to read mkdocs.yml")

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def load_hooks():
    specification = importlib.util.spec_from_file_location("docs_site", ROOT / "tools" / "docs_site.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


hooks = load_hooks()


class Settings(yaml.SafeLoader):
    """Reads mkdocs.yml, of which some values are Python objects."""


Settings.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def settings():
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Settings)


def pages_of(part):
    """Yield the pages of a navigation in their order."""
    for one in part if isinstance(part, list) else [part]:
        if isinstance(one, str):
            yield one
        else:
            for below in one.values():
                yield from pages_of(below)


def test_every_page_is_in_the_navigation_once():
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    made = {hooks.COMMANDS_PAGE, *hooks.ELSEWHERE.values()}
    named = list(pages_of(settings()["nav"]))
    assert len(named) == len(set(named))
    assert set(named) == written | made


def test_nothing_is_loaded_from_other_hosts():
    known = settings()
    assert known["theme"]["font"] is False
    for script in (*known["extra"]["polyfills"], *known["extra_css"], *known.get("extra_javascript", ())):
        assert (DOCS / script).is_file(), script


def test_every_public_name_and_every_detector_is_in_the_reference():
    import changedet
    from changedet.core.optical import DETECTORS

    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    described = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    public = [getattr(changedet, name) for name in changedet.__all__]
    assert {f"{one.__module__}.{one.__qualname__}" for one in public} <= described
    functions = [getattr(one.function, "func", one.function) for one in DETECTORS.values()]
    assert {function.__module__ for function in functions} <= described


@pytest.mark.parametrize(
    ("link", "source", "page", "led"),
    [
        ("[codes](../README.md#exit-codes)", "docs/a.md", "a.md", "[codes](readme.md#exit-codes)"),
        ("![](../benchmarks/plots/beside-others.svg)", "docs/a.md", "a.md", "![](images/beside-others.svg)"),
        ("[docs/glossary.md](docs/glossary.md)", "README.md", "readme.md", "[Glossary](glossary.md)"),
        ("[Unreleased]: README.md#status", "CHANGELOG.md", "changelog.md", "[Unreleased]: readme.md#status"),
        ("[here](#below)", "README.md", "readme.md", "[here](#below)"),
        ("[up](../methods.md#score)", "docs/reference/a.md", "reference/a.md", "[up](../methods.md#score)"),
        ("[a test](../tests/test_docs.py)", "docs/a.md", "a.md", "a test"),
        ("[far](https://example.org/a.md)", "docs/a.md", "a.md", "[far](https://example.org/a.md)"),
    ],
)  # fmt: skip
def test_links_are_led_to_pages_of_the_site(link, source, page, led):
    assert hooks.led(link, source, page) == led


def test_links_in_code_stay_as_they_are():
    class Here:
        class file:  # noqa: N801  # as in MkDocs
            src_uri = "methods.md"

    text = "[a](../LICENSE)\n\n```text\n[a](../LICENSE)\n```\n"
    assert hooks.on_page_markdown(text, Here) == "a\n\n```text\n[a](../LICENSE)\n```\n"


def test_page_of_commands_names_every_command_and_option():
    page = hooks.commands_page()
    for part in ("## `changedet detect`", "## `changedet review mask`", "`--min-area`", "`--at`"):
        assert part in page
    table = next(part for part in page.split("## ") if part.startswith("`changedet detect`"))
    assert all(line.count(" | ") >= 2 for line in table.splitlines() if line.startswith("| `"))


class Links(HTMLParser):
    """Where a page points to, what it loads, and what can be pointed at."""

    def __init__(self):
        super().__init__()
        self.targets, self.loaded, self.anchors = [], [], set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found.get("id"), found.get("name")}
        if tag == "a" and found.get("href"):
            self.targets.append(found["href"])
        if tag in {"script", "img", "iframe"} and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in {"stylesheet", "icon", "preconnect", "preload"}:
            self.loaded.append(found["href"])


def read_page(path):
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for name in ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml"):
        pytest.importorskip(name, reason="needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "WARNING" not in ended.stderr
    return folder


def test_built_pages_load_nothing_from_other_hosts(site):
    for page in site.rglob("*.html"):
        for source in read_page(page).loaded:
            assert not urlsplit(source).netloc, (page.name, source)


def test_links_of_built_pages_lead_to_files_and_anchors_that_are_there(site):
    pages = {page: read_page(page) for page in site.rglob("*.html") if page.name != "404.html"}
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), (page.name, target)
            if parts.fragment and file in pages:
                assert unquote(parts.fragment) in pages[file].anchors | {"__skip"}, (page.name, target)


def test_equations_are_drawn_without_a_script(site):
    text = (site / "methods.html").read_text(encoding="utf-8")
    assert text.count("<math") > 50
    assert "arithmatex" not in text
