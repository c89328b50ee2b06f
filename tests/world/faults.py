"""Faults that the server shows on demand: which requests they hit, and how."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["status", "drop", "truncate", "slow", "delay", "bug"]


@dataclass(frozen=True)
class Fault:
    """One fault: the matching requests from number `skip` on, `times` of them (None: all), are hit.

    `pattern` is a shell pattern for the whole path without its query, e.g. ``"*/B04.tif"``; `method` None
    means any. Requests are counted from when the fault was added.
    """

    pattern: str
    kind: Kind = "status"
    status: int = 503
    times: int | None = None
    skip: int = 0
    method: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keep_bytes: int = 0
    seconds: float = 0.0

    def first(self, times: int) -> Fault:
        """The same fault for so many requests only."""
        return replace(self, times=times)

    def after(self, skip: int) -> Fault:
        """The same fault after letting so many requests pass."""
        return replace(self, skip=skip)

    def only(self, method: str) -> Fault:
        """The same fault for one HTTP method."""
        return replace(self, method=method)


def answers(pattern: str, status: int, headers: Mapping[str, str] | None = None) -> Fault:
    """Answer with a status instead of the real thing."""
    body = json.dumps({"code": status, "message": f"injected {status}"}).encode()
    return Fault(pattern, "status", status, headers=dict(headers or {}), body=body)


def drops(pattern: str) -> Fault:
    """Close the connection without a word."""
    return Fault(pattern, "drop")


def truncates(pattern: str, keep_bytes: int = 100) -> Fault:
    """Promise the whole body of a GET and send only its beginning."""
    return Fault(pattern, "truncate", method="GET", keep_bytes=keep_bytes)


def trickles(pattern: str, seconds: float) -> Fault:
    """Send the body of a GET in ten pieces spread over so many seconds."""
    return Fault(pattern, "slow", method="GET", seconds=seconds)


def delays(pattern: str, seconds: float) -> Fault:
    """Wait before answering."""
    return Fault(pattern, "delay", seconds=seconds)


def breaks(pattern: str) -> Fault:
    """Let the server itself fail, which is the test's problem and no fault of the world."""
    return Fault(pattern, "bug")


class FaultBook:
    """The faults in force and how many requests each has seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: list[int] = []

    def add(self, *faults: Fault) -> None:
        """Put faults in force; their counting starts now."""
        with self._lock:
            self._faults.extend(faults)
            self._seen.extend(0 for _ in faults)

    def clear(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._faults.clear()
            self._seen.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Count a request and return the first fault that hits it."""
        hit = None
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.method not in {None, method} or not fnmatchcase(path, fault.pattern):
                    continue
                number = self._seen[index] - fault.skip
                self._seen[index] += 1
                if hit is None and number >= 0 and (fault.times is None or number < fault.times):
                    hit = fault
        return hit
