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


class Silent:
    """A `Progress` that says nothing."""

    def step(self, name: str) -> None:
        """Ignore the step."""

    def advance(self, share: float) -> None:
        """Ignore the share."""
