"""The schemas are schemas, every command has one, and documents that break them are noticed."""

import json

import pytest
from jsonschema import Draft202012Validator
from tests.documents import command_of, misfits, promised

from changedet.cli.examples import EXAMPLES
from changedet.errors import EXIT_CODES, UsageError
from changedet.schemas import schema_names, schema_of


def test_all_are_schemas():
    Draft202012Validator.check_schema(schema_of("run"))


@pytest.mark.parametrize("name", schema_names())
def test_each_stands_by_itself(name):
    # whatever it points at is there, and a list is none of these
    assert misfits([], name)


def test_every_command_has_one():
    assert set(EXAMPLES) <= set(schema_names())
    assert {"error", "run.json", "timeline.json", "digest.json", "alert"} <= set(schema_names())


def test_a_name_that_nothing_has():
    with pytest.raises(UsageError, match="no document is called 'detekt'; use one of"):
        schema_of("detekt")


def test_every_exit_code_of_a_failure_is_in_the_schema():
    failures = schema_of("error")["$defs"]["failure"]["properties"]["exit_code"]["enum"]
    assert set(EXIT_CODES.values()) - {0, 1} <= set(failures)


def test_a_run_folder_holds_what_is_promised(sample_run):
    record = json.loads((sample_run / "run.json").read_text(encoding="utf-8"))
    assert misfits(record, "run.json") == []
    assert promised(record | {"folder": "run"}, ["detect", "--json"]) == []
    assert misfits(record | {"schema": "changedet.run/2"}, "run.json")
    assert misfits({key: value for key, value in record.items() if key != "files"}, "run.json")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_failure_is_a_document_too(cli, name):
    assert cli(*name.split(), "--json", "--no-such-option") == 2
    document = json.loads(cli.out)
    assert misfits(document, "error") == []
    assert document["error"]["exit_code"] == 2
    assert "see changedet" in document["error"]["message"]


@pytest.mark.parametrize(
    ("document", "line", "said"),
    [
        ({"report": 3}, ["report", "runs/pier"], "3 is not of type 'string'"),
        ({"report": "a", "plate": "b"}, ["report", "runs/pier"], "'plate' was unexpected"),
        ({"error": {"type": "UsageError", "message": "no"}}, ["report", "x"], "'exit_code' is a required"),
        (
            {"folder": "c", "entries": {"a": {"condition": "fine"}}},
            ["cache", "verify"],
            "'fine' is not one of",
        ),
    ],
)
def test_what_breaks_a_promise_is_named(document, line, said):
    assert any(said in one for one in promised(document, [*line, "--json"]))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("review runs/pier --json", "review run"),
        ("--json review status", "review status"),
        ("watch --sites a.kml", "watch run"),
        ("cache ls", "cache ls"),
        ("nonsense", None),
        ("--json", None),
    ],
)
def test_the_command_of_a_line(line, name):
    assert command_of(line.split()) == name
