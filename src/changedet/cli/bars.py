"""How progress looks on stderr: a bar on a terminal, a line a step in a log, or nothing."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from changedet.progress import Progress, Received, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bar:
    """A `Progress` that draws on a terminal: one bar for the step, and one for all sites of several.

    Parameters
    ----------
    display : rich.progress.Progress
        What draws.
    task : rich.progress.TaskID
        The bar of the step.
    """

    def __init__(self, display: Any, task: Any) -> None:  # noqa: ANN401  # rich's types cost its import
        self._display, self._task = display, task
        self._receiving = False
        self._site, self._sites = "", None
        self._furthest = 0

    def begin_site(self, name: str, number: int, count: int) -> None:
        """Show the site with every step from now on, and how many sites are done."""
        self._site = f"{name}: "
        # sites that are worked on at one time speak in any order
        self._furthest = number = max(number, self._furthest)
        described = f"site {number} of {count}"
        if self._sites is None:
            self._sites = self._display.add_task(described, total=count)
        self._display.update(self._sites, description=described, total=count, completed=number - 1)

    def step(self, name: str) -> None:
        """Show the name of the step that has begun."""
        self._receiving = False
        self._display.reset(self._task, description=self._site + name, total=None)

    def advance(self, share: float) -> None:
        """Show how much of the step is done."""
        # while imagery comes in, its bytes say more
        if not self._receiving:
            self._display.update(self._task, total=1.0, completed=share)

    def received(self, state: Received) -> None:
        """Show how much imagery has come in."""
        self._receiving = True
        described = f"{self._site}fetching, {state}"
        self._display.update(self._task, description=described, total=1.0, completed=state.share)


class Log:
    """A `Progress` that writes a line a step, for ``-v`` without a terminal."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._scenes = 0
        self._site = ""

    def begin_site(self, name: str, number: int, count: int) -> None:
        """Write the site and its number with every step from now on."""
        self._site = f"{number} of {count}  {name}: "

    def step(self, name: str) -> None:
        """Write the step and the seconds since the start."""
        print(f"{time.monotonic() - self._start:6.1f} s  {self._site}{name}", file=sys.stderr)

    def advance(self, share: float) -> None:
        """Ignore the share: lines do not move."""

    def received(self, state: Received) -> None:
        """Write a line for each scene that is there."""
        if state.scenes_done > self._scenes:
            self.step(f"fetching, {state}")
        self._scenes = state.scenes_done


@contextmanager
def progress_on_terminal(*, show: bool | None, quiet: bool, verbose: int) -> Iterator[Progress]:
    """Yield a `Progress` that draws a bar on stderr when that is a terminal, or was asked for."""
    wanted = sys.stderr.isatty() if show is None else show
    if quiet or not wanted:
        yield Log() if verbose and not quiet else Silent()
        return
    from rich.console import Console
    from rich.progress import Progress as Display

    with Display(*_columns(), console=Console(stderr=True), transient=True) as display:
        yield Bar(display, display.add_task("starting", total=None))


def _columns() -> tuple[Any, ...]:
    """Return the parts of a bar; the time that is left stands there once it is known."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class _Remaining(TimeRemainingColumn):
        def render(self, task: Any) -> Text:  # noqa: ANN401  # rich's own types cost its import
            """Draw the time that is left, with the word that tells it from the time that has passed."""
            if task.time_remaining is None or task.finished:
                return Text("")
            return Text.assemble(super().render(task), " left")

    # a name from a file is not markup
    described = TextColumn("{task.description}", markup=False)
    return SpinnerColumn(), described, BarColumn(), TimeElapsedColumn(), _Remaining()
