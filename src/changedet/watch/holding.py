"""One watch at a time for each state file: who comes second waits, or is told who is at work."""

from __future__ import annotations

import contextlib
import sys
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from changedet.errors import OutputError, StateBusyError
from changedet.watch.signature import own_signature, read_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Ending of the file that a watch holds; it stays, and only its lock counts.
HOLDING_SUFFIX = ".watch"
_POLL_S = 0.2


@contextmanager
def hold(state_path: Path, *, wait_s: float = 60.0) -> Iterator[None]:
    """Keep other watches away from a state file; the lock ends with its process, however that ends.

    Parameters
    ----------
    state_path : Path
        The state file; it need not be there yet.
    wait_s : float
        How long to wait for another watch, in seconds.

    Yields
    ------
    None

    Raises
    ------
    StateBusyError
        When another watch has not finished in time; it is named.
    OutputError
        When the file beside the state file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, hold(Path(folder) / "watch.gpkg"):
    ...     print("alone")
    alone
    """
    path = state_path.with_name(state_path.name + HOLDING_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            todo="check the permission, or name a state file elsewhere with --state",
        ) from error
    with stream:
        until = time.monotonic() + wait_s
        while not _locked(stream):
            if time.monotonic() >= until:
                raise _busy(path, state_path)
            time.sleep(_POLL_S)
        with contextlib.suppress(OSError):
            stream.truncate(0)
            stream.write(own_signature().to_text())
            stream.flush()
        yield


def _locked(stream: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _busy(path: Path, state_path: Path) -> StateBusyError:
    by = read_signature(path)
    return StateBusyError(
        f"is being watched by {by or 'another watch'}", where=str(state_path),
        todo="try again when it has finished, or wait longer with --wait",
        details={} if by is None else by.to_dict(),
    )  # fmt: skip
