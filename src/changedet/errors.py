"""Errors, and the one table from an error to an exit code.

Every message says what happened, where, and what to do next, in one line. Each class also derives
from the builtin that a caller would expect (`ValueError`, `FileNotFoundError`, ...), so code that
does not know `changedet` still catches it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Longest part of a message: what a file of a stranger says is repeated as far as that.
_LONGEST_PART = 400
#: Joins letters in the names of some scripts, and does nothing else.
_JOINERS = frozenset("\u200c\u200d")
_CUT = " ... "


def plain_line(text: str, longest: int = _LONGEST_PART) -> str:
    r"""Return a text as one printable line of a certain length, whoever wrote it.

    Parameters
    ----------
    text : str
        Any text.
    longest : int
        Most characters; of more, the middle is left out.

    Returns
    -------
    str
        White space folded; control characters, marks that turn the direction of writing and halves of
        characters as ``?``.

    Examples
    --------
    >>> plain_line("a name\nof two lines \x1b[2J")
    'a name of two lines ?[2J'
    """
    half = (longest - len(_CUT)) // 2
    if len(text) > 2 * longest:  # nobody folds megabytes to show a line
        text = f"{text[:longest]}{_CUT}{text[-longest:]}"
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() or c in _JOINERS else "?" for c in line)
    return line if len(line) <= longest else f"{line[:half]}{_CUT}{line[-half:]}"


class ChangedetError(Exception):
    """Base of everything this package raises on purpose.

    Parameters
    ----------
    what : str
        What happened, in the words of the field.
    where : str, optional
        The file, scene, site or option concerned.
    todo : str, optional
        What the reader can do next, as an imperative.
    details : mapping, optional
        The same for a program: JSON-serialisable, printed beside the message by ``--json``.

    Examples
    --------
    >>> print(ChangedetError("band B04 is missing", where="scene/", todo="add a file ending in _B04.tif"))
    scene/: band B04 is missing; add a file ending in _B04.tif
    """

    def __init__(
        self, what: str, *, where: str = "", todo: str = "", details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo
        self.details = dict(details or {})

    def __str__(self) -> str:
        where, what, todo = map(plain_line, (self.where, self.what, self.todo))
        text = f"{where}: {what}" if where else what
        return f"{text}; {todo}" if todo else text


class UsageError(ChangedetError, ValueError):
    """An option or argument cannot be understood or contradicts another."""


class CoordinateError(UsageError):
    """A text is not one coordinate in decimal degrees, degrees-minutes-seconds or MGRS."""


class OutputExistsError(UsageError, FileExistsError):
    """The output is there already and overwriting was not asked for."""


class BudgetError(UsageError):
    """The work would cost more than the limit that was set; nothing was spent on it."""


class NoUsableImageryError(ChangedetError, ValueError):
    """The images are readable, but nothing in them can be compared (all cloud, constant, no valid pixel)."""


class CredentialsError(ChangedetError, PermissionError):
    """An account is needed, or was refused, or its quota is used up."""


class ProviderError(ChangedetError, ConnectionError):
    """A provider of imagery or the network failed."""


class QualityGateError(ChangedetError, ValueError):
    """A quality gate refused the comparison (registration, season, radiometry)."""


class SomeSitesFailedError(ChangedetError):
    """Of several sites, some failed; the others are complete."""


class InputFileError(ChangedetError, ValueError):
    """A file given as input cannot be used."""


class MissingInputError(InputFileError, FileNotFoundError):
    """A file or folder given as input is not there, or there is nothing in it."""


class MissingBandError(InputFileError, KeyError):
    """A band that the work needs is not among the files."""


class NoOverlapError(InputFileError):
    """The two images do not cover any common ground."""


class CrsMismatchError(InputFileError):
    """The two images have different coordinate reference systems, or one has none."""


class VerificationError(InputFileError):
    """A run folder does not hold the bytes its provenance promises."""


class OutputError(ChangedetError, OSError):
    """The result could not be written (permission, full disk); nothing is left half-written."""


class StateBusyError(OutputError):
    """Another process is changing the state file and has not finished in time; it is named."""


class InterruptedRunError(ChangedetError):
    """The user stopped the run; nothing is left half-written."""


class CacheWarning(UserWarning):
    """What was fetched could not be kept for the next time; the work goes on without."""


#: The one table from an error to the exit code of the command line. Children follow their nearest ancestor.
EXIT_CODES: Mapping[type[ChangedetError], int] = MappingProxyType(
    {
        UsageError: 2,
        NoUsableImageryError: 3,
        CredentialsError: 4,
        ProviderError: 5,
        QualityGateError: 6,
        SomeSitesFailedError: 7,
        InputFileError: 8,
        OutputError: 73,
        InterruptedRunError: 130,
        ChangedetError: 70,
    }
)

#: Exit code for an exception nobody foresaw: a bug in changedet.
EXIT_BUG = 70


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command line for an exception.

    Parameters
    ----------
    error : BaseException
        Any exception; one that is not a `ChangedetError` counts as a bug.

    Returns
    -------
    int
        The code of the nearest ancestor listed in `EXIT_CODES`, else `EXIT_BUG`.

    Examples
    --------
    >>> exit_code(MissingBandError("band B04 is missing"))
    8
    >>> exit_code(ZeroDivisionError())
    70
    """
    for ancestor in type(error).__mro__:
        if ancestor in EXIT_CODES:
            return EXIT_CODES[ancestor]
    return EXIT_BUG
