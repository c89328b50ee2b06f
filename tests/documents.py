"""Whether a JSON document has the form that is promised."""

from functools import cache

from jsonschema import Draft202012Validator

from changedet.cli.examples import EXAMPLES
from changedet.schemas import schema_of


@cache
def validator(name):
    return Draft202012Validator(schema_of(name))


def misfits(document, name):
    """What of a document is not as its schema has it, one line each."""
    return [f"{name}: {one.json_path}: {one.message[:300]}" for one in validator(name).iter_errors(document)]


def command_of(arguments):
    """The command that a line names: ``review DIR`` is ``review run``."""
    words = [word for word in arguments if not word.startswith("-")]
    for name in (" ".join(words[:2]), f"{words[0]} run", words[0]) if words else ():
        if name in EXAMPLES:
            return name
    return None


def promised(document, arguments):
    """What of a printed document breaks the promise made for its command, or for failures."""
    if "error" in document:
        return misfits(document, "error")
    return misfits(document, command_of(arguments))
