"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

import threading
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


class TotalProgress:
    """Adds up what several providers have received, so that one bar shows all of a run.

    Parameters
    ----------
    progress : Progress
        Is told the total, when it is a `TransferProgress`; steps and shares pass as they are.

    Examples
    --------
    >>> class Heard:
    ...     def step(self, name): ...
    ...     def advance(self, share): ...
    ...     def received(self, state): print(state)
    >>> total = TotalProgress(Heard())
    >>> total.of("radar").received(Received(3, 4, 3_000_000, 4_000_000))
    3 of 4 scene(s), 3.0 MB received
    >>> total.of("optical").received(Received(1, 2, 500_000, 1_000_000))
    4 of 6 scene(s), 3.5 MB received
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._states: dict[str, Received] = {}

    def of(self, name: str) -> Progress:
        """Return what one provider is given: it counts for itself only."""
        return _Share(self, name) if isinstance(self._progress, TransferProgress) else self._progress

    def begin(self) -> None:
        """Forget what has come in, as of another site."""
        with self._lock:
            self._states = {}

    def step(self, name: str) -> None:
        """Pass the step on."""
        self._progress.step(name)

    def advance(self, share: float) -> None:
        """Pass the share on."""
        self._progress.advance(share)

    def add(self, name: str, state: Received) -> None:
        """Take note of what has come in from one provider, and tell the total."""
        with self._lock:
            self._states[name] = state
            parts = tuple(self._states.values())
            if isinstance(self._progress, TransferProgress):
                self._progress.received(
                    Received(
                        sum(one.scenes_done for one in parts),
                        sum(one.scenes for one in parts),
                        sum(one.bytes_done for one in parts),
                        sum(one.bytes_expected for one in parts),
                    )
                )


class _Share:
    """What one provider tells of a total."""

    def __init__(self, total: TotalProgress, name: str) -> None:
        self._total, self._name = total, name

    def step(self, name: str) -> None:
        """Pass the step on."""
        self._total.step(name)

    def advance(self, share: float) -> None:
        """Pass the share on."""
        self._total.advance(share)

    def received(self, state: Received) -> None:
        """Have it added up."""
        self._total.add(self._name, state)


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


class Several:
    """Lets several sites that are at work at one time tell one `Progress` what they do.

    Parameters
    ----------
    progress : Progress
        Is told which site it is whenever another one than before says something.
    count : int
        How many sites there are in all.

    Examples
    --------
    >>> class Heard:
    ...     def begin_site(self, name, number, count): print(f"{number} of {count}, {name}")
    ...     def step(self, name): print(name)
    ...     def advance(self, share): ...
    >>> several = Several(Heard(), 3)
    >>> several.of("Pier", 2).step("choosing dates")
    2 of 3, Pier
    choosing dates
    """

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress, self._count = progress, count
        self._speaker: tuple[str, int] | None = None

    def of(self, site: str, number: int) -> TransferProgress:
        """Return what one site tells.

        Parameters
        ----------
        site : str
            What it is called.
        number : int
            Which of them it is, from 1.

        Returns
        -------
        TransferProgress
            Calls must not overlap with those of another.
        """
        return _OfSite(self, (site, number))

    def turn_to(self, speaker: tuple[str, int]) -> Progress:
        """Say which site the next words are of, and to whom they go."""
        if speaker != self._speaker:
            begin_site(self._progress, *speaker, self._count)
        self._speaker = speaker
        return self._progress


class _OfSite:
    """What one of several sites tells."""

    def __init__(self, several: Several, speaker: tuple[str, int]) -> None:
        self._several, self._speaker = several, speaker

    def step(self, name: str) -> None:
        """Pass the step on."""
        self._several.turn_to(self._speaker).step(name)

    def advance(self, share: float) -> None:
        """Pass the share on."""
        self._several.turn_to(self._speaker).advance(share)

    def received(self, state: Received) -> None:
        """Pass on what has come in, to whom it matters."""
        progress = self._several.turn_to(self._speaker)
        if isinstance(progress, TransferProgress):
            progress.received(state)
