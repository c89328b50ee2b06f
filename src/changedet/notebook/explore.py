"""Something to look at: a widget where anywidget is installed, else a still view that says so."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from changedet.notebook.widget import DateExplorer, Explorer
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene
    from changedet.site import Site

#: What is said where the widget cannot be shown.
NO_WIDGET = (
    "anywidget is not installed, so this view stands still: no swipe, no threshold, no verdicts. "
    'Install it with  pip install "changedet[jupyter]"  and start the kernel again.'
)


@dataclass(frozen=True)
class StillView:
    """What is shown in place of a widget.

    Attributes
    ----------
    html : str
        For notebooks.
    text : str
        For terminals.
    """

    html: str
    text: str

    def __repr__(self) -> str:
        return f"{NO_WIDGET}\n{self.text}"

    def _repr_html_(self) -> str:
        from changedet.notebook.parts import ALARM

        return f'<div style="{ALARM};font-weight:400;max-width:60rem">{escape(NO_WIDGET)}</div>{self.html}'


def explore_result(
    result: ChangeResult,
    *,
    state_file: str | Path | None = None,
    reviewer: str = "",
    blind: bool = False,
    site_name: str = "",
) -> Explorer | StillView:
    """Make what `ChangeResult.explore` returns.

    Parameters
    ----------
    result : ChangeResult
        Any.
    state_file, reviewer, blind, site_name
        See `ChangeResult.explore`.

    Returns
    -------
    Explorer or StillView

    Raises
    ------
    UsageError
        When a state file is named and the result has no run folder.
    InputFileError, StateBusyError
        When the state file cannot be used.
    """
    from changedet.notebook.verdict_book import open_book

    if not widgets_work():
        return StillView(result._repr_html_(), repr(result))
    from changedet.notebook.widget import Explorer

    return Explorer(result, open_book(result, state_file, site_name=site_name, blind=blind), reviewer)


def explore_dates(site: Site, scenes: Sequence[Scene | Image], most: int) -> DateExplorer | StillView:
    """Make what `Site.explore` returns.

    Parameters
    ----------
    site : Site
        The place.
    scenes : sequence of Scene or Image
        Its dates.
    most : int
        How many may be fetched.

    Returns
    -------
    DateExplorer or StillView

    Raises
    ------
    UsageError, NoUsableImageryError, ProviderError, CredentialsError
        See `changedet.notebook.dates.read_dates`.
    """
    from changedet.notebook.dates import dates_html, read_dates

    images = read_dates(site, scenes, most)
    if not widgets_work():
        lines = [f"{number}: {image!r}" for number, image in enumerate(images)]
        return StillView(dates_html(site.name, images), "\n".join(lines))
    from changedet.notebook.widget import DateExplorer

    return DateExplorer(site.name, images)


def widgets_work() -> bool:
    """Tell whether widgets can be made here."""
    return find_spec("anywidget") is not None
