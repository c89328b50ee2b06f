"""How work that is under way in other threads learns that nobody waits for it any longer."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP: ContextVar[StopGroup | None] = ContextVar("changedet_stop_group", default=None)


class StopGroup:
    """Everything that is read on behalf of one piece of work, to be stopped together.

    Examples
    --------
    >>> group = StopGroup()
    >>> with group.member(), stop_event() as stop:
    ...     group.stop()
    ...     stop.is_set()
    True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._events: set[threading.Event] = set()

    @contextmanager
    def member(self) -> Iterator[None]:
        """Let what is read in this ``with`` block, in this thread, belong to the group."""
        token = _GROUP.set(self)
        try:
            yield
        finally:
            _GROUP.reset(token)

    def stop(self) -> None:
        """Stop all that is under way and all that begins later."""
        with self._lock:
            self._stopped = True
            for event in self._events:
                event.set()

    def add(self, event: threading.Event) -> None:
        """Set an event as soon as the group is stopped."""
        with self._lock:
            self._events.add(event)
            if self._stopped:
                event.set()

    def remove(self, event: threading.Event) -> None:
        """Forget an event."""
        with self._lock:
            self._events.discard(event)


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """Give an event that is set when the group of this thread is stopped, and when the block is left.

    Yields
    ------
    threading.Event
        For the threads that work on behalf of the block.
    """
    event, group = threading.Event(), _GROUP.get()
    if group is not None:
        group.add(event)
    try:
        yield event
    finally:
        event.set()
        if group is not None:
            group.remove(event)
