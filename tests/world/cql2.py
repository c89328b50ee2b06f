"""Filters over items: CQL2 as JSON, the few words of CQL2 text that clients send, and the older `query`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.world.plumbing import Refusal

Test = Callable[[Mapping[str, Any]], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_QUERY = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_TEXT = re.compile(r"\s*\"?([\w:.-]+)\"?\s*(<>|<=|>=|=|<|>)\s*(?:'([^']*)'|(-?[\d.]+))\s*", re.ASCII)


def value_of(item: Mapping[str, Any], name: str) -> Any:
    """A queryable of an item: a member or a property, None if it has none of that name."""
    short = name.removeprefix("properties.")
    return item[short] if short in {"id", "collection"} else item["properties"].get(short)


def from_json(expression: Any, known: frozenset[str]) -> Test:
    """Read CQL2 JSON; 400 for an operator or property nobody knows."""
    if not isinstance(expression, dict) or set(expression) != {"op", "args"}:
        raise Refusal(400, f"a filter is an object of op and args, not {expression!r}")
    name, args = expression["op"], expression["args"]
    if name in {"and", "or"}:
        parts = [from_json(arg, known) for arg in args]
        joined = all if name == "and" else any
        return lambda item: joined(part(item) for part in parts)
    if name == "not":
        inner = from_json(args[0], known)
        return lambda item: not inner(item)
    return _leaf(name, args, known)


def from_text(text: str, known: frozenset[str]) -> Test:
    """Read comparisons of a property with a constant, joined by AND."""
    args = []
    for part in re.split(r"\s+and\s+", text, flags=re.IGNORECASE):
        found = _TEXT.fullmatch(part)
        if not found:
            raise Refusal(400, f"filter {part!r} is not understood")
        name, op, word, number = found.groups()
        args.append({"op": op, "args": [{"property": name}, word if number is None else float(number)]})
    return from_json({"op": "and", "args": args}, known)


def from_query(query: Any, known: frozenset[str]) -> Test:
    """Read the query extension: ``{"eo:cloud_cover": {"lt": 50}}``."""
    if not isinstance(query, dict):
        raise Refusal(400, "query is an object")
    tests = []
    for name, conditions in query.items():
        if not isinstance(conditions, dict) or not conditions:
            raise Refusal(400, f"query of {name} is an object of operators")
        for op, wanted in conditions.items():
            word = "in" if op == "in" else _QUERY.get(op)
            if word is None:
                raise Refusal(400, f"query operator {op!r} is unknown")
            tests.append(_leaf(word, [{"property": name}, wanted], known))
    return lambda item: all(test(item) for test in tests)


def _leaf(op: str, args: Any, known: frozenset[str]) -> Test:
    if (
        not isinstance(args, list)
        or not args
        or not isinstance(args[0], dict)
        or set(args[0]) != {"property"}
    ):
        raise Refusal(400, f"{op} wants a property and a constant, not {args!r}")
    name = args[0]["property"]
    if name.removeprefix("properties.") not in known:
        raise Refusal(400, f"property {name!r} is unknown")
    if op == "isNull" and len(args) == 1:
        return lambda item: value_of(item, name) is None
    if op == "in" and len(args) == 2 and isinstance(args[1], list):
        return lambda item: value_of(item, name) in args[1]
    if op == "between" and len(args) == 3:
        low, high = args[1:]
        return lambda item: low <= value_of(item, name) <= high
    if op not in _COMPARE or len(args) != 2:
        raise Refusal(400, f"filter operator {op!r} is unknown or has the wrong number of arguments")
    compare, wanted = _COMPARE[op], args[1]

    def test(item: Mapping[str, Any]) -> bool:
        value = value_of(item, name)
        if value is not None and isinstance(value, str) != isinstance(wanted, str):
            raise Refusal(400, f"{name} cannot be compared with {wanted!r}")
        return value is not None and compare(value, wanted)

    return test
