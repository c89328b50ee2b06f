"""What a run may take of the machine: memory, processors, space for scratch files."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from changedet.configuration import parse_size
from changedet.core.blocks import limited_threads
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

#: Environment variable that names the folder of scratch files where nothing else does.
SCRATCH_VARIABLE = "CHANGEDET_SCRATCH"
#: Share of the machine's memory that a run may take where nobody says how much.
_MEMORY_SHARE = 0.25
#: The libraries alone take about half of this, whatever the area.
LEAST_MEMORY_BYTES = 500_000_000
#: What limits the memory of a container, in the second and in the first version of control groups.
_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_of_machine_bytes() -> float:
    """Return the memory that this process could have at most: that of the machine, or of its container.

    Returns
    -------
    float
        Bytes; infinite where the system does not say.
    """
    names = getattr(os, "sysconf_names", {})
    known = "SC_PHYS_PAGES" in names
    machine = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE") if known else float("inf")
    return min([machine, *map(_limit_bytes, _GROUP_LIMITS)])


def _limit_bytes(path: str) -> float:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return float("inf")
    return float(text) if text.isdecimal() else float("inf")


def processors() -> int:
    """Return how many processors this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def usual_memory_bytes() -> int:
    """Return a quarter of the memory of the machine, but never less than a run needs; 4 GB if unknown."""
    machine = memory_of_machine_bytes()
    if machine == float("inf"):
        return 4_000_000_000
    return max(LEAST_MEMORY_BYTES, int(_MEMORY_SHARE * machine))


_IN_USE: ContextVar[Resources | None] = ContextVar("resources", default=None)


@dataclass(frozen=True)
class Resources:
    """What a run may take of the machine. No result depends on it.

    Attributes
    ----------
    memory_bytes : int
        Memory of the process that a comparison tries to stay within, libraries included; a quarter of the
        machine's when not given.
    jobs : int
        Threads that compute at a time; all processors that the process may use when not given.
    scratch : Path or None
        Existing folder for arrays that do not fit into the memory. None: what ``CHANGEDET_SCRATCH`` names,
        else the temporary folder of the system.

    Raises
    ------
    UsageError
        When the memory is too small for anything, there is no thread, or the folder is not there.

    Examples
    --------
    >>> Resources(memory_bytes=1_000_000_000, jobs=2).jobs
    2
    """

    memory_bytes: int = field(default_factory=usual_memory_bytes)
    jobs: int = field(default_factory=processors)
    scratch: Path | None = None

    def __post_init__(self) -> None:
        if self.memory_bytes < LEAST_MEMORY_BYTES:
            raise UsageError(
                f"{self.memory_bytes / 1e6:.0f} MB of memory are too little for any comparison",
                where="--memory",
                todo=f"give {LEAST_MEMORY_BYTES / 1e6:.0f}MB or more",
            )
        if self.jobs < 1:
            raise UsageError(f"{self.jobs} threads do nothing", where="--jobs", todo="give 1 or more")
        if self.scratch is not None and not self.scratch.is_dir():
            raise UsageError(
                "no such folder for scratch files",
                where=f"--scratch {self.scratch}",
                todo="make it, or name another",
            )

    @classmethod
    def of(cls, memory: str | None = None, jobs: int | None = None, scratch: Path | None = None) -> Resources:
        """Read what a person asks for; what is not said is as usual.

        Parameters
        ----------
        memory : str, optional
            Such as ``"1GB"``; see `changedet.configuration.parse_size`.
        jobs : int, optional
            Threads.
        scratch : Path, optional
            Folder.

        Returns
        -------
        Resources

        Raises
        ------
        UsageError
            When the size cannot be read, or something is refused.
        """
        return cls(
            usual_memory_bytes() if memory is None else parse_size(memory, where="--memory"),
            processors() if jobs is None else jobs,
            scratch,
        )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute with so many threads, and no more, and within this memory while this lasts.

        The threads of OpenCV and of the libraries of linear algebra, which belong to the whole process, are
        put back afterwards.

        Yields
        ------
        None
        """
        with ExitStack() as stack:
            stack.enter_context(limited_threads(self.jobs))
            stack.enter_context(_opencv_threads(self.jobs))
            stack.enter_context(_algebra_threads(self.jobs))
            token = _IN_USE.set(self)
            stack.callback(_IN_USE.reset, token)
            yield


def resources_in_use() -> Resources:
    """Return what the run may take that this is part of; the usual resources where nobody has said."""
    return _IN_USE.get() or Resources()


@contextmanager
def _opencv_threads(jobs: int) -> Iterator[None]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(min(jobs, before))
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _algebra_threads(jobs: int) -> AbstractContextManager[object]:
    """Limit BLAS and OpenMP."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(jobs)
    return limits
