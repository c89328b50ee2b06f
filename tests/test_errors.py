"""Errors: one line, a builtin ancestor, and one exit code each."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet import errors
from changedet.errors import EXIT_BUG, EXIT_CODES, ChangedetError, exit_code

ERRORS = [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, ChangedetError)]
ANCESTORS = {
    "ChangedetError": Exception,
    "UsageError": ValueError,
    "BudgetError": ValueError,
    "CoordinateError": ValueError,
    "OutputExistsError": FileExistsError,
    "NoUsableImageryError": ValueError,
    "CredentialsError": PermissionError,
    "ProviderError": ConnectionError,
    "QualityGateError": ValueError,
    "SomeSitesFailedError": Exception,
    "InputFileError": ValueError,
    "MissingInputError": FileNotFoundError,
    "MissingBandError": KeyError,
    "NoOverlapError": ValueError,
    "CrsMismatchError": ValueError,
    "VerificationError": ValueError,
    "OutputError": OSError,
    "StateBusyError": OSError,
    "InterruptedRunError": Exception,
}
CODES = {
    "ChangedetError": 70,
    "UsageError": 2,
    "BudgetError": 2,
    "CoordinateError": 2,
    "OutputExistsError": 2,
    "NoUsableImageryError": 3,
    "CredentialsError": 4,
    "ProviderError": 5,
    "QualityGateError": 6,
    "SomeSitesFailedError": 7,
    "InputFileError": 8,
    "MissingInputError": 8,
    "MissingBandError": 8,
    "NoOverlapError": 8,
    "CrsMismatchError": 8,
    "VerificationError": 8,
    "OutputError": 73,
    "StateBusyError": 73,
    "InterruptedRunError": 130,
}


def test_every_documented_code_stands_in_the_table_once():
    assert sorted(EXIT_CODES.values()) == [2, 3, 4, 5, 6, 7, 8, 70, 73, 130]
    assert EXIT_CODES[ChangedetError] == EXIT_BUG


def test_the_lists_of_this_file_are_complete():
    assert {e.__name__ for e in ERRORS} == set(ANCESTORS) == set(CODES)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_what_a_stranger_would_catch(error):
    with pytest.raises(ANCESTORS[error.__name__]):
        raise error("something happened")


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_the_code_of_its_nearest_ancestor(error):
    assert exit_code(error("something happened")) == CODES[error.__name__]


@pytest.mark.parametrize("error", ERRORS)
def test_the_message_says_what_where_and_what_to_do(error):
    caught = error("band B04 is missing", where="scene/", todo="add it")
    assert str(caught) == "scene/: band B04 is missing; add it"
    assert (caught.what, caught.where, caught.todo) == ("band B04 is missing", "scene/", "add it")
    assert str(error("band B04 is missing")) == "band B04 is missing"
    assert str(error("it is empty", where="a.tif")) == "a.tif: it is empty"
    assert str(error("it is empty", todo="fill it")) == "it is empty; fill it"


def test_details_for_programs_are_kept_apart_from_the_message():
    given = {"files": ["a"]}
    caught = ChangedetError("it differs", details=given)
    given["files"] = []
    assert caught.details == {"files": ["a"]}
    assert str(caught) == "it differs"
    assert ChangedetError("it differs").details == {}


@given(st.text(), st.text(), st.text())
def test_a_message_is_always_one_line(what, where, todo):
    assert len(str(ChangedetError(what, where=where, todo=todo)).splitlines()) <= 1


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError(), OSError(), MemoryError()])
def test_a_foreign_exception_is_a_bug(error):
    assert exit_code(error) == EXIT_BUG


def test_a_child_that_nobody_listed_follows_its_parent():
    class LaterError(errors.MissingBandError):
        pass

    assert exit_code(LaterError("x")) == 8


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        EXIT_CODES[ChangedetError] = 0
