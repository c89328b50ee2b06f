"""Processes that die, or whose disk fills up, at a step of their choice: forked from one that is warm."""

import errno
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

_CHANGES = frozenset(
    {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code (-9: killed), seconds, how many steps it took, what it said."""

    code: int
    seconds: float
    steps: int
    said: str


class Disk:
    """Counts what a process changes below a folder, and acts at one of these steps.

    A step is a file opened for writing by Python, made, renamed or removed. What GDAL and SQLite write by
    themselves is not seen.
    """

    def __init__(self, folder, at=0, act=None):
        self.folder, self.at, self.act, self.steps = str(folder), at, act, 0
        self._acting = False
        sys.addaudithook(self._heard)

    def _heard(self, event, arguments):
        if self._acting or not self._concerns(event, arguments):
            return
        self.steps += 1
        if self.act is not None and self.at:
            self._acting = True
            try:
                self.act(self.steps - self.at, event, arguments[0])
            finally:
                self._acting = False

    def _concerns(self, event, arguments):
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITES:
                return False
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return False
        return isinstance(path, str | os.PathLike) and str(Path(path).absolute()).startswith(self.folder)


def die(since, _event, _path):
    """Be killed at the step."""
    if since == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def full_from_here(since, event, path):
    """Have no space from the step on; names can still be changed and taken away."""
    if since >= 0 and event in {"open", "os.mkdir"}:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def broken_once(since, _event, path):
    """Fail at the step alone, as a medium or a network drive does."""
    if since == 0:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def forked(work, folder, *, at=0, act=None, after_s=None, beside=None):
    """Do some work in a process of its own, which is killed after some time or acts at a step.

    Parameters
    ----------
    work : callable
        Returns an exit code.
    folder : Path
        Below which steps count.
    beside : Path, optional
        Beside which files are kept with what was said and how many steps it took; the folder if not given.
    """
    told, said = (Path(f"{beside or folder}.{word}") for word in ("steps", "said"))
    told.unlink(missing_ok=True)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            with said.open("w") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            disk = Disk(folder, at, act)
            code = work()
            sys.stdout.flush()
            sys.stderr.flush()
            with suppress(OSError):
                told.write_text(str(disk.steps))
        except BaseException:  # noqa: BLE001  # whatever it is, it has to be seen by the parent
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    if after_s is not None:
        _kill_after(pid, started + after_s)
    _, status = os.waitpid(pid, 0)
    steps = int(told.read_text()) if told.exists() else 0
    text = said.read_text(errors="replace") if said.exists() else ""
    return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - started, steps, text)


def _kill_after(pid, moment):
    while (left := moment - time.monotonic()) > 0:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(min(left, 0.002))
    os.kill(pid, signal.SIGKILL)


def warm(work, folder):
    """Do some work once in a process of its own, and import what it imported: forks have it at once."""
    names = Path(f"{folder}.modules")

    def tell():
        code = work()
        names.write_text("\n".join(sys.modules))
        return code

    ended = forked(tell, folder)
    for name in names.read_text().splitlines():
        with suppress(Exception):
            import_module(name)
    return ended
