"""The process in which the worlds run, and the line to it.

GDAL holds the interpreter's lock while it waits for some answers; a server in the same interpreter would wait
for that lock, and both for ever. One process serves all worlds of a test run: it starts with the first and
ends when its standard input does, so also when the tests are killed.
"""

from __future__ import annotations

import atexit
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tests.world.service import Service
from tests.world.store import Shelf

if TYPE_CHECKING:
    from tests.world.service import Plan

_ROOT = Path(__file__).resolve().parents[2]


class HostError(Exception):
    """The process of the worlds is gone, or something cannot travel to it."""


class Host:
    """The line to the process: one question and one answer at a time."""

    def __init__(self, patience_s: float = 60.0) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.world.host"],
            cwd=_ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, action: str, *arguments: Any) -> Any:
        """Have the process do something; what it raises is raised here."""
        try:
            question = pickle.dumps((action, arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise HostError(f"this cannot travel to the process of the worlds: {error}") from error
        with self._lock:
            try:
                _send(self._process.stdin, question)
                self._await()
                done, value = pickle.loads(pickle.load(self._process.stdout))
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                raise HostError(f"the process of the worlds is gone ({self._process.poll()})") from error
        if not done:
            raise value
        return value

    def _await(self) -> None:
        if not select.select([self._process.stdout], [], [], self._patience_s)[0]:
            # its answer could come at any time and be taken for another
            self._process.kill()
            self._process.wait()
            raise HostError(f"the process of the worlds gave no answer within {self._patience_s:g} s")

    def close(self) -> None:
        """End the process and wait for it."""
        for stream in (self._process.stdin, self._process.stdout):
            try:
                stream.close()
            except OSError:
                continue
        self._process.wait()


def host() -> Host:
    """The process of the worlds; started when there is none, or when the one there was has died."""
    found = _host(os.getpid())
    if not found.alive:
        found.close()
        _host.cache_clear()
        found = _host(os.getpid())
    return found


@cache
def _host(_owner: int) -> Host:
    # by owner: a process that was forked from this one needs a line of its own
    found = Host()
    atexit.register(found.close)
    return found


class _Worlds:
    """The actions that can be asked for."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._open: dict[int, Service] = {}
        # what a closed world has seen can still be read for a while
        self._closed: deque[tuple[int, Service]] = deque(maxlen=4)
        self._count = 0

    def open(self, plan: Plan) -> tuple[int, str, str]:
        self._count += 1
        made = self._open[self._count] = Service(plan, self._shelf)
        return self._count, made.server.url, made.unique

    def get(self, number: int, name: str) -> tuple[bool, Any]:
        value = attrgetter(name)(self._find(number))
        return (True, None) if callable(value) else (False, value)

    def set(self, number: int, name: str, value: Any) -> None:
        *path, last = name.split(".")
        owner = self._find(number)
        setattr(attrgetter(".".join(path))(owner) if path else owner, last, value)

    def call(self, number: int, name: str, arguments: tuple[Any, ...]) -> Any:
        return attrgetter(name)(self._find(number))(*arguments)

    def close(self, number: int) -> tuple[BaseException, ...]:
        found = self._open.pop(number)
        self._closed.append((number, found))
        return tuple(_portable(problem) for problem in found.close())

    def _find(self, number: int) -> Service:
        return self._open[number] if number in self._open else dict(self._closed)[number]

    def close_all(self) -> None:
        for number in tuple(self._open):
            self.close(number)


def _portable(error: BaseException) -> BaseException:
    """The error itself when it survives the journey, else its text."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except (pickle.PicklingError, AttributeError, TypeError):
        return HostError(text)
    error.add_note(f"in the process of the worlds:\n{text}")
    return error


def _send(stream: BinaryIO, packed: bytes) -> None:
    # a pickle in a pickle: the outer one is always read to its end, whatever the inner one does
    pickle.dump(packed, stream)
    stream.flush()


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    worlds = _Worlds()
    try:
        while True:
            try:
                packed = pickle.load(questions)
            except EOFError:
                return
            try:
                action, arguments = pickle.loads(packed)
                answer = pickle.dumps((True, getattr(worlds, action)(*arguments)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the asker is told
                answer = pickle.dumps((False, _portable(error)))
            _send(answers, answer)
    finally:
        worlds.close_all()


def main() -> None:
    """Serve until the standard input ends."""
    # an interrupt from the keyboard reaches both processes; this one ends with the other
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing else may be written between the answers
    try:
        _serve(sys.stdin.buffer, answers)
    except BrokenPipeError:
        return


if __name__ == "__main__":
    main()
