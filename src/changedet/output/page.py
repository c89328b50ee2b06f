"""How HTML pages are made from templates: all is escaped, and a policy lets only their own code run."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from changedet.errors import OutputError
from changedet.providers.cache_files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: What a template writes where the policy of the page belongs.
POLICY = "the-policy-of-this-page"

# of templates alone: what comes from outside has its quotation marks escaped
_LOOK = re.compile(r' style="([^"]*)"')
_STYLE, _SCRIPT = (re.compile(f"<{tag}>(.*?)</{tag}>", re.DOTALL) for tag in ("style", "script"))


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """Fill in a template; a name that is missing is an error.

    Style attributes become rules of the style sheet, so that the policy need not allow any: it names the
    style sheets and scripts of the page by their digests, and nothing else is heeded or run.

    Parameters
    ----------
    template : str
        File in ``output/templates``.
    context : mapping
        Values by the names that the template uses.

    Returns
    -------
    str
        A complete HTML document.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("changedet.output", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = _gather_looks(environment.get_template(template).render({"policy": POLICY, **context}))
    return text.replace(POLICY, _policy(text), 1)


def write_page(text: str, path: Path, *, what: str) -> None:
    """Write a page; a file of that name is replaced when the new one is whole.

    Parameters
    ----------
    text : str
        The document.
    path : Path
        The file; its folder has to exist.
    what : str
        What it is, for the error, such as "the report".

    Raises
    ------
    OutputError
        When it cannot be written; nothing half-written is left.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise OutputError(
            f"{what} cannot be written ({error.strerror or 'write error'})",
            where=str(path),
            todo="check that the folder is there and that you may write to it, or name another with --out",
        ) from error


def _gather_looks(text: str) -> str:
    """Move style attributes into the first style sheet, each look once."""
    looks: dict[str, int] = {}

    def _named(match: re.Match[str]) -> str:
        return f' data-look="{looks.setdefault(match[1], len(looks) + 1)}"'

    head, end, body = text.partition("</style>")
    body = _LOOK.sub(_named, body)
    rules = "".join(f':root [data-look="{number}"]{{{look}}}\n' for look, number in looks.items())
    return head + rules + end + body


def _policy(text: str) -> str:
    styles, scripts = (
        " ".join(f"'sha256-{_digest(part)}'" for part in kind.findall(text)) or "'none'"
        for kind in (_STYLE, _SCRIPT)
    )
    return (
        f"default-src 'none'; img-src data:; style-src {styles}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
