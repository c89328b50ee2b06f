"""How HTML pages are made from templates: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """Fill in a template.

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
    return environment.get_template(template).render(context)
