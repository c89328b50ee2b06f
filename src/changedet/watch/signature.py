"""Who holds a file: the machine, the process and since when, so that whoever waits is told whom to ask."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from changedet.json_texts import parse_json
from changedet.watch.geopackage import now_text

if TYPE_CHECKING:
    from pathlib import Path

#: A signature may be a stranger's: so much of its words is shown at most.
_MOST_LETTERS = 80


@dataclass(frozen=True)
class Signature:
    """Who holds a file.

    Attributes
    ----------
    host : str
        Name of the machine.
    pid : int
        Number of the process there.
    since_utc : str
        Since when.
    """

    host: str
    pid: int
    since_utc: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since_utc}"

    @property
    def is_gone(self) -> bool:
        """True when the process ended without taking its signature away."""
        return self.host == socket.gethostname() and not _is_running(self.pid)

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-serialisable description."""
        return asdict(self)

    def to_text(self) -> str:
        """Return what is written into the file, for `read_signature`."""
        return json.dumps(self.to_dict())


def own_signature() -> Signature:
    """Return the signature of this process, from now.

    Returns
    -------
    Signature

    Examples
    --------
    >>> own_signature().is_gone
    False
    """
    return Signature(socket.gethostname(), os.getpid(), now_text())


def read_signature(path: Path) -> Signature | None:
    """Read who has signed.

    Parameters
    ----------
    path : Path
        File with a signature.

    Returns
    -------
    Signature or None
        None when the file is not there, is being written, or holds something else.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = parse_json(path.read_text(encoding="utf-8"))
        host, since = str(about["host"])[:_MOST_LETTERS], str(about["since_utc"])[:_MOST_LETTERS]
        return Signature(host, int(about["pid"]), since)
    return None


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # elsewhere the question would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
