"""The same work at several sites: what a failure at one of them means for the others, and for the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from changedet.errors import (
    EXIT_CODES,
    BudgetError,
    ChangedetError,
    CredentialsError,
    OutputError,
    SomeSitesFailedError,
    exit_code,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

#: After these the next site would fare no better.
FINAL_ERRORS = (CredentialsError, BudgetError, OutputError)
Place = TypeVar("Place")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """Why there is nothing of a site.

    Attributes
    ----------
    site : str
        Its name, as tables show it.
    reason : str
        One line, without secrets.
    exit_code : int
        What the site alone would have ended with; 0 for what was not tried.
    stops : str
        What is said of the sites after it, which are not tried then; empty when they may fare better.
    details : mapping
        What the error says to a program.
    """

    site: str
    reason: str
    exit_code: int = 0
    stops: str = ""
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class Attempt(Generic[Result]):
    """A ``with`` block round the work at one site: whatever fails becomes a `Failure`, also a bug.

    What stops the program, such as Ctrl-C, passes.

    Parameters
    ----------
    site : str
        Name of the site.

    Examples
    --------
    >>> attempt = Attempt("Pier")
    >>> with attempt:
    ...     attempt.result = 1 / 0
    >>> attempt.failure.reason, attempt.failure.exit_code
    ('ZeroDivisionError: division by zero', 70)
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self.result: Result | None = None
        self.failure: Failure | None = None

    def __enter__(self) -> Attempt[Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return True
        if not isinstance(error, Exception):
            return False
        self.failure = failure_of(self._site, error)
        return True


def failure_of(site: str, error: Exception) -> Failure:
    """Say what an error at one site means.

    Parameters
    ----------
    site : str
        Name of the site.
    error : Exception
        Any; the text of one that is not ours may hold links, and loses their secrets.

    Returns
    -------
    Failure
        With `Failure.stops` for `FINAL_ERRORS`.
    """
    from changedet.providers.http import scrubbed

    ours = isinstance(error, ChangedetError)
    reason = " ".join(str(error).split()) if ours else scrubbed(f"{type(error).__name__}: {error}")
    stops = f"not tried after {site}: {reason}" if isinstance(error, FINAL_ERRORS) else ""
    details = error.details if isinstance(error, ChangedetError) else {}
    return Failure(site, reason, exit_code(error), stops, MappingProxyType(details))


def attempt_all(
    places: Iterable[tuple[str, Place]], work: Callable[[Place], Result]
) -> Iterator[Result | Failure]:
    """Do the same at several places, whatever becomes of the others.

    Parameters
    ----------
    places : iterable of (str, place)
        Names of the sites, and what `work` takes.
    work : callable
        Does it at one place.

    Yields
    ------
    result of `work`, or Failure
        One for each place; after one of `FINAL_ERRORS` the others are not tried.
    """
    stopped = ""
    for site, place in places:
        if stopped:
            yield Failure(site, stopped)
            continue
        attempt: Attempt[Result] = Attempt(site)
        with attempt:
            attempt.result = work(place)
        if attempt.failure is not None:
            stopped = attempt.failure.stops
        yield attempt.failure or cast("Result", attempt.result)


def error_for_all(
    failures: Sequence[Failure], count: int, lacking: str, details: Mapping[str, Any]
) -> ChangedetError:
    """Return the error that stands for the sites that failed.

    Parameters
    ----------
    failures : sequence of Failure
        At least one, in the order of the sites.
    count : int
        How many sites there are in all.
    lacking : str
        What these sites do not have, such as "result".
    details : mapping
        The summary for a program.

    Returns
    -------
    ChangedetError
        `SomeSitesFailedError` when others did not fail, or reasons differ; when all fail for one reason, the
        error of that reason.
    """
    tried = [one for one in failures if one.exit_code]
    first = (tried or failures)[0]
    codes = {one.exit_code for one in tried}
    same = next((kind for kind, code in EXIT_CODES.items() if {code} == codes), SomeSitesFailedError)
    return (same if len(failures) == count else SomeSitesFailedError)(
        f"{len(failures)} of {count} site(s) have no {lacking}, {first.site} first: {first.reason}",
        todo="the same command again goes on with them",
        details=details,
    )
