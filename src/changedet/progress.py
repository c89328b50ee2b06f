"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Receives the steps of a run. The command line draws a bar; a library user may pass a logger."""

    def step(self, name: str) -> None:
        """Say that the step `name` has begun (and the one before it has ended)."""

    def advance(self, share: float) -> None:
        """Say which share (0 to 1) of the current step is done."""


@dataclass(frozen=True)
class Received:
    """How much of the imagery that a run needs has come in.

    Attributes
    ----------
    scenes_done, scenes : int
        Scenes that are there, and scenes in all.
    bytes_done, bytes_expected : int
        Bytes of pixels before compression; what is expected is an estimate.
    """

    scenes_done: int
    scenes: int
    bytes_done: int
    bytes_expected: int

    @property
    def share(self) -> float:
        """Share of the bytes that is there, 0 to 1."""
        return min(self.bytes_done / self.bytes_expected, 1.0) if self.bytes_expected else 1.0

    def __str__(self) -> str:
        return f"{self.scenes_done} of {self.scenes} scene(s), {self.bytes_done / 1e6:.1f} MB received"


@runtime_checkable
class TransferProgress(Progress, Protocol):
    """A `Progress` that also wants to know how much imagery has come in, of all scenes and bands together."""

    def received(self, state: Received) -> None:
        """Take note of what has come in; called from several threads, one at a time."""


@runtime_checkable
class SiteProgress(Progress, Protocol):
    """A `Progress` that also wants to know which of several sites the steps belong to."""

    def begin_site(self, name: str, number: int, count: int) -> None:
        """Say that the steps from now on belong to the site `name`, the `number`-th of `count`."""


def begin_site(progress: Progress, name: str, number: int, count: int) -> None:
    """Say to whoever wants to know it that another site begins.

    Parameters
    ----------
    progress : Progress
        Any; only a `SiteProgress` listens.
    name : str
        What the site is called.
    number, count : int
        Which of how many, from 1.
    """
    if isinstance(progress, SiteProgress):
        progress.begin_site(name, number, count)


class Silent:
    """A `Progress` that says nothing."""

    def step(self, name: str) -> None:
        """Ignore the step."""

    def advance(self, share: float) -> None:
        """Ignore the share."""
