"""Large planes on disk that are used like arrays, and whose memory can be given back at any time."""

from __future__ import annotations

import errno
import math
import mmap
import os
import tempfile
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from changedet.core.planes import planes_made_by
from changedet.errors import OutputError, UsageError
from changedet.scale.resources import SCRATCH_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType

    from numpy.typing import DTypeLike, NDArray

#: How often the keeper looks at the memory of the process, in seconds.
_LOOK_EVERY_S = 0.02
#: Whoever works on planes may ask for relief at every block; so often it is looked at, in seconds.
_RELIEVE_EVERY_S = 0.002
#: So much is left free on the disk beside a plane.
_LEFT_FREE_BYTES = 64_000_000


class _Mapping(mmap.mmap):
    """A shared mapping of a scratch file: its pages may be let go of, the file keeps what they hold."""


class Scratch:
    """A place on disk for planes that are too large for the memory.

    A plane is an ordinary ``numpy.memmap`` over a file that has no name, so nothing is left behind whatever
    happens to the process; it lives as long as anything refers to it, also after the scratch is closed. What
    the process has touched of it counts as its memory until it is let go of: by `release`, or by itself as
    soon as the process takes more than `resident_bytes`.

    Parameters
    ----------
    folder : Path, optional
        Where the files are made: the environment's ``CHANGEDET_SCRATCH``, else the temporary folder, when
        left out.
    resident_bytes : float
        Memory of the process above which the pages of all planes are let go of; never when left out.

    Raises
    ------
    UsageError
        When the folder is not there.

    Examples
    --------
    >>> with Scratch() as scratch:
    ...     plane = scratch.plane((2, 3), "float32")
    >>> plane[:] = 1.5
    >>> release(plane)
    >>> plane.sum().item()
    9.0
    """

    def __init__(self, folder: Path | None = None, *, resident_bytes: float = float("inf")) -> None:
        self.folder = scratch_folder(folder)
        self._limit, self._open = resident_bytes, True
        self._mappings: weakref.WeakSet[_Mapping] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._looked_s = -math.inf

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Make no more planes; those that are there live on until nobody refers to them."""
        self._open = False

    def plane(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap[Any, Any]:
        """Return an array of zeros that lies on disk.

        Parameters
        ----------
        shape : tuple of int
            Of the array.
        dtype : dtype
            Of its numbers.

        Returns
        -------
        numpy.memmap
            Shared with nobody.

        Raises
        ------
        OutputError
            When the disk has not enough room, before anything is computed.
        ValueError
            When the scratch is closed.
        """
        if not self._open:
            message = "the scratch is closed"
            raise ValueError(message)
        size = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        with self._file(size) as file:
            mapping = _Mapping(file.fileno(), size)
        with self._lock:
            self._mappings.add(mapping)
        self._keep()
        return np.ndarray.__new__(np.memmap, shape, dtype, buffer=mapping)

    def owns(self, array: NDArray[Any]) -> bool:
        """Tell whether an array is a plane of this scratch, or a view of one."""
        mapping = _mapping_of(array)
        with self._lock:
            return mapping is not None and mapping in self._mappings

    def release(self) -> None:
        """Let go of the resident pages of every plane; what they hold stays."""
        _looked_after(self._mappings, self._lock, 0)

    def relieve(self) -> None:
        """Let go of the resident pages of every plane if the process takes too much.

        The keeper does so as well, but cannot while something holds the interpreter.
        """
        now = time.monotonic()
        if now - self._looked_s >= _RELIEVE_EVERY_S:
            self._looked_s = now
            _looked_after(self._mappings, self._lock, self._limit)

    def _file(self, size: int) -> BinaryIO:
        """Make a nameless file of a size for which the disk has room."""
        import shutil

        free = shutil.disk_usage(self.folder).free
        if size + _LEFT_FREE_BYTES > free:
            raise _full(self.folder, size, free)
        try:
            file: Any = tempfile.TemporaryFile(prefix="changedet-", dir=self.folder)  # noqa: SIM115  # it is the result
        except OSError as error:
            raise OutputError(
                f"no scratch file can be made ({error.strerror})", where=str(self.folder), todo=_ELSEWHERE
            ) from error
        try:
            _reserve(file, size)
        except OSError as error:
            file.close()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise _full(self.folder, size, shutil.disk_usage(self.folder).free) from error
        return file  # type: ignore[no-any-return]

    def _keep(self) -> None:
        """Watch the memory of the process while there are planes."""
        if self._limit == float("inf") or resident_bytes() == 0:
            return
        with self._lock:
            if self._keeper is None or not self._keeper.is_alive():
                arguments = self._mappings, self._lock, self._limit
                self._keeper = threading.Thread(
                    target=_watch, args=arguments, name="changedet-scratch", daemon=True
                )
                self._keeper.start()


@contextmanager
def planes_on_disk(folder: Path | None, *, resident_bytes: float) -> Iterator[Scratch]:
    """Let planes be made on disk while this lasts.

    Parameters
    ----------
    folder : Path or None
        As for `Scratch`.
    resident_bytes : float
        As for `Scratch`.

    Yields
    ------
    Scratch
        Where they go.

    Raises
    ------
    UsageError
        When the folder is not there.
    OutputError
        When a plane is made for which the disk has no room.
    """
    with Scratch(folder, resident_bytes=resident_bytes) as scratch, planes_made_by(scratch):
        yield scratch


_ELSEWHERE = "name another folder with --scratch or CHANGEDET_SCRATCH"


def scratch_folder(folder: Path | None = None) -> Path:
    """Return where scratch files are made.

    Parameters
    ----------
    folder : Path, optional
        What was asked for.

    Returns
    -------
    Path
        It, else the environment's ``CHANGEDET_SCRATCH``, else the temporary folder.

    Raises
    ------
    UsageError
        When there is no such folder.
    """
    named = folder or os.environ.get(SCRATCH_VARIABLE)
    found = Path(named) if named else Path(tempfile.gettempdir())
    if not found.is_dir():
        raise UsageError("no such folder for scratch files", where=str(found), todo=_ELSEWHERE)
    return found


def release(*arrays: NDArray[Any]) -> None:
    """Let go of the resident pages of planes of a `Scratch`; what they hold stays.

    Parameters
    ----------
    *arrays : ndarray
        Planes or views of planes; nothing is done to any other array.
    """
    for array in arrays:
        mapping = _mapping_of(array)
        if mapping is not None:
            _let_go(mapping)


def resident_bytes() -> int:
    """Return how much memory this process has in use, 0 where the system does not say."""
    try:
        # asked for at every block of a plane: the layers of a text file would take most of the time
        file = os.open("/proc/self/statm", os.O_RDONLY)
        try:
            pages = int(os.read(file, 128).split()[1])
        finally:
            os.close(file)
    except (OSError, ValueError, IndexError):
        return 0
    return pages * mmap.PAGESIZE


def _mapping_of(array: object) -> _Mapping | None:
    while array is not None and not isinstance(array, _Mapping):
        array = getattr(array, "base", None)
    return array


def _let_go(mapping: _Mapping) -> None:
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is None or not hasattr(mapping, "madvise"):
        return
    # a mapping that ends while the keeper looks at it has nothing to let go of
    with suppress(ValueError, OSError):
        mapping.madvise(advice)


def _watch(mappings: Collection[_Mapping], lock: threading.Lock, limit: float) -> None:
    """Let go of pages whenever the process takes too much, until there is no plane left."""
    while _looked_after(mappings, lock, limit):
        time.sleep(_LOOK_EVERY_S)


def _looked_after(mappings: Collection[_Mapping], lock: threading.Lock, limit: float) -> bool:
    """Let go of pages if the process takes too much; tell whether there is a plane left."""
    if resident_bytes() <= limit:
        return bool(mappings)
    with lock:
        held = tuple(mappings)
    for mapping in held:
        _let_go(mapping)
    return bool(held)


def _reserve(file: BinaryIO, size: int) -> None:
    """Give a file its size, with all of its blocks: a mapping over missing ones kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _full(folder: Path, size: int, free: int) -> OutputError:
    return OutputError(
        f"a scratch file of {size / 1e9:.2f} GB does not fit, {free / 1e9:.2f} GB are free",
        where=str(folder),
        todo=_ELSEWHERE,
    )
