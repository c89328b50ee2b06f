"""The same work at several sites: failures, what stops the others, and which error stands for all."""

import pytest

from changedet.attempts import Attempt, Failure, attempt_all, error_for_all, failure_of
from changedet.errors import (
    BudgetError,
    CredentialsError,
    NoUsableImageryError,
    OutputError,
    ProviderError,
    SomeSitesFailedError,
    UsageError,
    exit_code,
)


def go(*errors):
    """Work that fails with an error, or gives back what it got."""
    done = []

    def work(error):
        done.append(error)
        if isinstance(error, BaseException):
            raise error
        return "done"

    places = [(f"site {number}", error) for number, error in enumerate(errors)]
    return list(attempt_all(places, work)), len(done)


def test_one_failure_is_one_failure_whatever_it_is():
    found, done = go(None, ZeroDivisionError("by\nzero"), ProviderError("down", details={"a": 1}), None)
    assert (found[0], found[3], done) == ("done", "done", 4)
    assert found[1] == Failure("site 1", "ZeroDivisionError: by zero", 70)
    assert (found[2].reason, found[2].exit_code, found[2].details) == ("down", 5, {"a": 1})


@pytest.mark.parametrize("kind", [CredentialsError, BudgetError, OutputError])
def test_after_what_is_final_nobody_is_tried(kind):
    found, done = go(None, kind("no more"), None, ZeroDivisionError())
    assert done == 2
    assert [one.reason for one in found[2:]] == ["not tried after site 1: no more"] * 2
    assert [one.exit_code for one in found[2:]] == [0, 0]


@pytest.mark.parametrize("kind", [ProviderError, NoUsableImageryError, UsageError])
def test_after_others_the_next_is_tried(kind):
    assert go(kind("not here"), None)[1] == 2


def test_what_stops_the_program_passes():
    with pytest.raises(KeyboardInterrupt):
        go(KeyboardInterrupt())
    attempt = Attempt("Pier")
    with pytest.raises(SystemExit), attempt:
        raise SystemExit(3)
    assert attempt.failure is None


def test_secrets_of_others_do_not_pass():
    failure = failure_of("Pier", OSError("no https://me:word@host/a?sig=TheSignature"))
    assert failure.reason == "OSError: no https://host/a?..."


CLOUDY, DOWN = NoUsableImageryError("cloudy"), ProviderError("down")


@pytest.mark.parametrize(
    ("errors", "count", "code"),
    [
        ([CLOUDY], 2, 7),
        ([CLOUDY, CLOUDY], 2, 3),
        ([CLOUDY, DOWN], 2, 7),
        ([DOWN], 1, 5),
        ([ValueError(), KeyError()], 2, 70),
        ([UsageError("no")], 1, 2),
    ],
)
def test_one_error_stands_for_all(errors, count, code):
    failures = [failure_of(f"site {n}", error) for n, error in enumerate(errors)]
    error = error_for_all(failures, count, "plan", {"rows": []})
    assert exit_code(error) == code
    assert isinstance(error, SomeSitesFailedError) == (code == 7)
    assert f"{len(errors)} of {count} site(s) have no plan, site 0 first: " in str(error)
    assert error.details == {"rows": []}


def test_what_was_not_tried_has_no_say():
    failures = [Failure("a", "not tried"), failure_of("b", CredentialsError("refused")), Failure("c", "not")]
    error = error_for_all(failures, 3, "scenes", {})
    assert isinstance(error, CredentialsError)
    assert "b first: refused" in str(error)
    assert exit_code(error_for_all(failures[:1], 1, "scenes", {})) == 7
