"""What the command line prints where: results to stdout, everything human to stderr, errors in one line."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

import typer

from changedet.cli.notices import Notices
from changedet.errors import EXIT_BUG, ChangedetError, InterruptedRunError, OutputError, UsageError, exit_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

#: How Python says it.
_NO_THREAD = "can't start new thread"
_HALF_A_CHARACTER = "surrogates not allowed"
#: How click says that a word is too many, where it may be the second half of a coordinate.
_LEFT_OVER = re.compile(r"unexpected extra argument\S* \([-+]?\d|No such option: -\d")


def emit(document: Mapping[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """Print a result: one JSON document, or lines for a reader that cannot move the cursor or colour it."""
    if as_json:
        text = _escaped(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        text = "\n".join(map(_harmless, lines))
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _forget_reader()


def _forget_reader() -> None:
    """Go on without the reader of stdout, who has gone (| head), also when Python flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line() -> list[str]:
    """Return the command as it was given, for the record of the run."""
    return ["changedet", *sys.argv[1:]]


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line for a human on stderr; file names cannot move its cursor or colour it."""
    if not quiet:
        print(_harmless(text), file=sys.stderr)


def _escaped(document: str) -> str:
    r"""Write what would act on a terminal as JSON can: ``\u202e``; it stands inside of texts alone."""
    if document.replace("\n", "").isprintable():
        return document
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in document)


def _harmless(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line)


class Outcome:
    """A ``with`` block that turns whatever ends it into one line on stderr and an exit code.

    Attributes
    ----------
    code : int
        Exit code of the process.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.code = 0
        self._json = "--json" in arguments
        short = "".join(a for a in arguments if re.fullmatch("-[qv]+", a))
        self._traceback = short.count("v") + arguments.count("--verbose") > 1
        self._notices = Notices(say, quiet="q" in short or "--quiet" in arguments)

    def __enter__(self) -> Outcome:
        self._notices.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._notices.__exit__(kind, error, trace)
        if error is None:
            return True
        if isinstance(error, SystemExit):
            # so ends Typer's own output, the help, when its reader has gone
            gone = isinstance(error.__context__, BrokenPipeError)
            if gone:
                _forget_reader()
            return gone
        if self._traceback:
            traceback.print_exception(kind, error, trace)
        known = _translate(error)
        self.code = EXIT_BUG if known is None else exit_code(known)
        text = str(known) if known else _bug(error)
        say(f"changedet: error: {text}")
        if self._json:
            name = type(known).__name__ if known else type(error).__name__
            details = known.details if known else {}
            said = {"type": name, "message": text, "exit_code": self.code}
            emit({**details, "error": said}, (), as_json=True)
        return True


def _translate(error: BaseException) -> ChangedetError | None:
    """Put an exception from the frame of the command line into our own words, None for a bug."""
    if isinstance(error, ChangedetError):
        return error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return InterruptedRunError("stopped by the user", todo="nothing half-written was left behind")
    # Typer raises the exceptions of click, or of its own copy of click, by its version: known by what they do
    if (format_message := getattr(error, "format_message", None)) is not None:
        from changedet.cli.settings import error_of_settings

        path = getattr(getattr(error, "ctx", None), "command_path", "changedet")
        return error_of_settings(error) or _misunderstood(str(format_message()).rstrip("."), path)
    if isinstance(error, MemoryError):
        return OutputError("not enough memory", todo="choose a smaller site with --at and --radius")
    if isinstance(error, OSError) and error.errno is not None:
        what, where = error.strerror or "input or output failed", str(error.filename or "")
        return OutputError(
            what, where=where, todo="check that it is there, its permission and the free space"
        )
    return _limit_of_the_machine(error)


def _misunderstood(said: str, path: str) -> UsageError:
    """Return the error of a line that the parser refused, with what most likely puts it right."""
    if _LEFT_OVER.search(said):
        return UsageError(said, todo='a coordinate with a space in it needs quotes: --at "38.5847, 126.1079"')
    return UsageError(said, todo=f"see {path} --help")


def _limit_of_the_machine(error: BaseException) -> ChangedetError | None:
    """Put what the machine or the libraries cannot do into our own words, None for a bug."""
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return OutputError(
            "the machine gives no more threads",
            todo="close programs, or raise the limit of memory or processes",
        )
    if isinstance(error, UnicodeEncodeError) and error.reason == _HALF_A_CHARACTER:
        return UsageError("a name or path that was given is not UTF-8", todo="rename the file or folder")
    return None


def _bug(error: BaseException) -> str:
    said = " ".join(str(error).split())[:200]
    todo = "run it again as changedet -vv and the rest of the line, and report what is printed"
    return f"this is a bug in changedet ({type(error).__name__}: {said}); {todo}"
