"""What the package says while it works, warnings and notices, as lines for a human, each said once."""

from __future__ import annotations

import logging
import time
import warnings
from typing import TYPE_CHECKING, Any

from changedet.errors import CacheWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: Notices of services come from here; what stands in them is fit to be shown.
_SPEAKER = "changedet.providers"
#: Several reads that wait for one service say the same at one time, in seconds.
_SAME_WITHIN_S = 5.0


class Notices:
    """A ``with`` block in which warnings of ours and notices of the providers become lines.

    Parameters
    ----------
    say : callable
        Takes a line.
    quiet : bool
        Say nothing.
    """

    def __init__(self, say: Callable[[str], None], *, quiet: bool) -> None:
        self._say = say
        self._quiet = quiet
        self._caught = warnings.catch_warnings()
        self._handler = _Handler(say)
        self._logger = logging.getLogger(_SPEAKER)
        self._level = logging.NOTSET
        self._said: set[type[Warning]] = set()
        self._otherwise: Callable[..., None] = warnings.showwarning

    def __enter__(self) -> Notices:
        self._caught.__enter__()
        # what becomes of a warning is decided here, not by where it was raised
        warnings.simplefilter("always", CacheWarning)
        # rasterio sets this aside while it warps, which two threads undo for each other
        warnings.filterwarnings("ignore", "Dataset has no geotransform")
        self._otherwise = warnings.showwarning
        warnings.showwarning = self._show
        self._level = self._logger.level
        if not self._quiet:
            self._logger.setLevel(logging.INFO)
            self._logger.addHandler(self._handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level)
        self._caught.__exit__(kind, error, trace)

    def _show(self, message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:  # noqa: ANN401
        """Stand in for `warnings.showwarning`; warnings of other packages are shown as ever."""
        if not issubclass(category, CacheWarning):
            self._otherwise(message, category, *place, **more)
        elif not self._quiet and category not in self._said:
            self._said.add(category)
            self._say(f"changedet: warning: {message}")


class _Handler(logging.Handler):
    """Hands on what is said, but not the same again and again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say_line = say
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record in one line."""
        text, now = record.getMessage(), time.monotonic()
        if now - self._said.get(text, -_SAME_WITHIN_S) >= _SAME_WITHIN_S:
            self._say_line(f"changedet: {text}")
        self._said[text] = now
