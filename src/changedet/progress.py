"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the steps of a run. The command line draws a bar; a library user may pass a logger."""

    def step(self, name: str) -> None:
        """Say that the step `name` has begun (and the one before it has ended)."""

    def advance(self, share: float) -> None:
        """Say which share (0 to 1) of the current step is done."""


class Silent:
    """A `Progress` that says nothing."""

    def step(self, name: str) -> None:
        """Ignore the step."""

    def advance(self, share: float) -> None:
        """Ignore the share."""
