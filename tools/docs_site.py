"""What MkDocs is told beyond its settings: pages that lie elsewhere in the repository, commands, equations.

The documents are written so that they read well as files. Here links to files outside ``docs`` are led to
their page of the site, or become plain text where there is none; equations become MathML, which browsers draw
by themselves; and one page is made from the commands of the program.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Files of the repository that are pages of the site, and where they are there.
ELSEWHERE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "notebooks/README.md": "five-notebooks.md",
}
#: Files of the repository that pages show or offer.
SHOWN = {
    path.relative_to(ROOT).as_posix(): f"{folder}/{path.name}"
    for folder, pattern in (("images", "benchmarks/plots/*.svg"), ("notebooks", "notebooks/*.ipynb"))
    for path in sorted(ROOT.glob(pattern))
}
ON_SITE = ELSEWHERE | SHOWN
COMMANDS_PAGE = "reference/commands.md"
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_DEFINITION = re.compile(r"^(\[[^\]]+\]: )(\S+)$", re.MULTILINE)
_FENCE = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)
_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie outside ``docs``, and the page of commands."""
    from mkdocs.structure.files import File

    for source, target in ON_SITE.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, COMMANDS_PAGE, content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links to where their targets are on the site."""
    here = page.file.src_uri
    inside_repository = {target: source for source, target in ELSEWHERE.items()}.get(here, f"docs/{here}")
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else led(part, inside_repository, here) for part in parts)


def on_page_content(content: str, **_: object) -> str:
    """Draw equations as MathML."""
    return _MATH.sub(lambda found: mathml(found[2], block=found[1] == "div"), content)


def led(text: str, source: str, page: str) -> str:
    """Return a text with its links led to pages of the site.

    Parameters
    ----------
    text : str
        Markdown without fenced code.
    source : str
        Path in the repository of the file that the text stands in.
    page : str
        Path of its page below the root of the site's sources.

    Returns
    -------
    str
        Links to what the site does not hold are plain text.

    Examples
    --------
    >>> led("See [how](../README.md#how) and [the tests](../tests/a.py).", "docs/x.md", "reference/y.md")
    'See [how](../readme.md#how) and the tests.'
    """

    def one(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, name = target_on_site(target, source, page)
        words = title_of(name) if name and posixpath.basename(words) == posixpath.basename(name) else words
        return f"{mark}[{words}]({path})" if path else words

    def defined(found: re.Match[str]) -> str:
        return found[1] + (target_on_site(found[2], source, page)[0] or found[2])

    return _DEFINITION.sub(defined, _LINK.sub(one, text))


def target_on_site(target: str, source: str, page: str) -> tuple[str, str]:
    """Return where a link leads on the site, "" for nowhere, and which file of the repository that is."""
    if target.startswith(("https://", "http://", "mailto:", "#")):
        return target, ""
    name, mark, anchor = target.partition("#")
    full = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
    on_site = full.removeprefix("docs/") if full.startswith("docs/") else ON_SITE.get(full)
    path = posixpath.relpath(on_site, posixpath.dirname(page) or ".") if on_site else ""
    return path and path + mark + anchor, full


def title_of(path: str) -> str:
    """Return the heading of a document of the repository, which says more than the name of a file."""
    heading = re.search(r"^# (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1] if path.endswith(".md") and heading else posixpath.basename(path)


def mathml(tex: str, *, block: bool = False) -> str:
    """Return an equation as MathML.

    Parameters
    ----------
    tex : str
        LaTeX, escaped for HTML.
    block : bool
        On a line of its own.

    Returns
    -------
    str
        One ``math`` element.
    """
    from latex2mathml.converter import convert

    return str(convert(html.unescape(tex), display="block" if block else "inline"))


def commands_page() -> str:
    """Return a page with every command and its options, as the program describes them."""
    import typer

    from changedet.cli import app

    root = typer.main.get_command(app)
    lines = [
        "# Commands", "",
        "What `changedet COMMAND --help` prints, in one place. Every option can also be set in a "
        "[settings file](../formats.md#settings) or in the environment, as `CHANGEDET_COMMAND_OPTION`.", "",
    ]  # fmt: skip
    for name, command in commands_below(root, "changedet"):
        lines += [
            f"## `{name}`",
            "",
            escaped(command.help or ""),
            "",
            *options_table(command),
            "",
            *examples_of(name),
        ]
    return "\n".join(lines)


def examples_of(name: str) -> list[str]:
    """Return the examples of a command, as a block that can be copied."""
    from changedet.cli.examples import EXAMPLES

    lines = EXAMPLES.get(name.removeprefix("changedet "), ())
    return ["```sh", *lines, "```", ""] if lines else []


def commands_below(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its full name."""
    below = getattr(command, "commands", {})
    if not below:
        yield name, command
    for part, one in below.items():
        if not one.hidden:
            yield from commands_below(one, f"{name} {part}")


def options_table(command: click.Command) -> list[str]:
    """Return the lines of a Markdown table of a command's arguments and options."""
    rows = []
    for one in command.params:
        names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts) if name != "--help")
        if not names:
            continue
        default = "" if one.default in (None, False, (), []) or callable(one.default) else f"`{one.default}`"
        rows.append(f"| {names} | {escaped(getattr(one, 'help', '') or '')} | {default} |")
    return ["| option | what it says | default |", "| --- | --- | --- |", *rows] if rows else []


def escaped(text: str) -> str:
    """Return a help text so that nothing in it is taken for markup or for the end of a cell."""
    line = " ".join(text.split())
    return re.sub(r"([|<>*_`\[\]$])", r"\\\1", line)
